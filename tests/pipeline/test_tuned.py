"""The configuration that the Tuner's choice becomes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import load_config, parse_config
from pipeline.tuned import write_tuned_config
from tests.e2e.commands import TINY_CONFIG


@pytest.fixture
def config() -> pb.RecommenderConfig:
    field = 'field: "train.learning_rate" min_value: 0.01 max_value: 0.1'
    return parse_config(f"{TINY_CONFIG} tune {{ num_trials: 3 fields {{ {field} }} }}")


def test_the_best_of_the_trials_that_finished(
    config: pb.RecommenderConfig, tmp_path: Path
) -> None:
    trials = [
        {"trial_id": "1", "score": 0.3, "train.learning_rate": 0.02},
        {"trial_id": "0", "score": 0.2, "train.learning_rate": 0.07},
    ]
    (tmp_path / "tuner_results.json").write_text(json.dumps(trials))
    lines = write_tuned_config(config, str(tmp_path), tmp_path)
    assert lines == [
        "Tuned on eval (finished trials: 2):",
        "  train.learning_rate: 0.02",
        f"  written to {tmp_path / 'tuned.pbtxt'}",
    ]
    tuned = load_config(tmp_path / "tuned.pbtxt")
    assert tuned.train.learning_rate == 0.02
    assert not tuned.HasField("tune")


def test_results_that_are_gone(config: pb.RecommenderConfig, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tuner_results\.json: No such file.*no-cache"):
        write_tuned_config(config, str(tmp_path), tmp_path)
