"""The search: trials that fail, what is told of them, and when it gives up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.tuner import tuner_fn
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import parse_config
from tests.e2e.commands import TINY_CONFIG


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[pb.RecommenderConfig]:
    """What was trained; a learning rate is its own score, above 1 it diverges."""
    configs: list[pb.RecommenderConfig] = []

    def train_model(config: pb.RecommenderConfig, **_: Any) -> Any:
        configs.append(config)
        rate = config.train.learning_rate
        if rate > 1:
            raise UserError(f"the loss is not finite at {rate:g}")
        best = SimpleNamespace(number=1, metrics={"hr_10_eval": rate})
        return SimpleNamespace(fit=SimpleNamespace(best=best))

    monkeypatch.setattr(tuner_fn, "train_model", train_model)
    return configs


def tuner(
    folder: Path, num_trials: int, field: str, seed: int = 1
) -> tuner_fn.TrainingTuner:
    tune = f"num_trials: {num_trials} seed: {seed} fields {{ {field} }}"
    config = parse_config(f"{TINY_CONFIG} tune {{ {tune} }}")
    config.train.checkpoint_path = "mine"
    return tuner_fn.TrainingTuner(config, {}, str(folder))


def rates(*values: str) -> str:
    given = "".join(f' values: "{value}"' for value in values)
    return f'field: "train.learning_rate"{given}'


def test_what_ran_and_what_failed_is_told(
    trained: list[pb.RecommenderConfig],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    search = tuner(tmp_path, 20, rates("0.25", "0.5", "2"))
    search.search(verbose=0)
    search.results_summary()
    printed = capfd.readouterr()
    assert "Traceback" not in printed.out + printed.err
    *trials, summary, best = printed.out.splitlines()
    assert [line.split("  ")[0] for line in trials] == [
        f"trial {number}/20" for number in (1, 2, 3)
    ]
    [failed] = [line for line in trials if "failed" in line]
    assert failed.endswith("train.learning_rate=2: failed: the loss is not finite at 2")
    assert summary == "3 of 20 trials ran, 1 failed"
    rate = [config.train.learning_rate for config in trained].index(0.5) + 1
    assert best == f"best trial {rate}  train.learning_rate=0.5: 0.5000"
    assert not any(config.train.checkpoint_path for config in trained)


def test_all_fail(trained: list[pb.RecommenderConfig], tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        tuner(tmp_path, 5, rates("2")).search(verbose=0)
    assert str(error.value) == (
        "tune: all trials failed (1 of 5 ran), the last with: the loss is not finite "
        "at 2"
    )


def test_the_search_ends_where_the_first_three_fail(
    trained: list[pb.RecommenderConfig], tmp_path: Path
) -> None:
    search = tuner(tmp_path, 9, rates("2", "3", "4", "5", "6"))
    with pytest.raises(UserError, match=r"all trials failed \(3 of 9 ran\)"):
        search.search(verbose=0)
    assert len(trained) == 3


def test_it_goes_on_where_others_fail(
    trained: list[pb.RecommenderConfig], tmp_path: Path
) -> None:
    search = tuner(tmp_path, 5, rates("0.5", "2", "3", "4", "5"))
    drawn = iter(["0.5", "2", "3", "4", "5"])
    search.oracle.populate_space = lambda trial_id: {
        "status": "RUNNING",
        "values": {"train.learning_rate": next(drawn)},
    }
    search.search(verbose=0)
    assert len(trained) == 5
    [best] = search.get_best_hyperparameters()
    assert best.values == {"train.learning_rate": "0.5"}


def test_every_seed_is_one(tmp_path: Path) -> None:
    """KerasTuner draws one in place of 0."""
    first, second = (
        tuner(tmp_path / name, 1, rates("0.5"), seed=0).oracle.seed for name in "ab"
    )
    assert first == second


def test_whole_numbers_stay_in_their_range(
    trained: list[pb.RecommenderConfig], tmp_path: Path
) -> None:
    """Drawn logarithmically KerasTuner's may be one above."""
    units = 'field: "model.lstm_num_units" min_value: 2 max_value: 3 logarithmic: true'
    search = tuner(tmp_path, 1, units)
    trial = search.oracle.create_trial("tuner")
    trial.hyperparameters.values["model.lstm_num_units"] = 4
    search.run_trial(trial)
    assert trained[0].model.lstm_num_units == 3
    assert trial.hyperparameters.values == {"model.lstm_num_units": 3}
