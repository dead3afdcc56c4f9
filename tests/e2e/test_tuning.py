"""A pipeline that tunes: its choice is trained and becomes a configuration."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from configs.loader import load_config
from tests.e2e.commands import TINY_CONFIG, Command, pocketrec

pytestmark = pytest.mark.e2e

TUNE = """
tune {
  num_trials: 3
  strategy: BAYESIAN_OPTIMIZATION
  fields { field: "train.learning_rate" min_value: 0.001 max_value: 0.05
           logarithmic: true }
  fields { field: "input.activity_feature_groups.0.encoder_type"
           values: "BOW" values: "GRU" }
}
"""


def test_tuning(tmp_path: Path, tiny_data: Path) -> None:
    config = tmp_path / "config.pbtxt"
    config.write_text(TINY_CONFIG + TUNE)
    output = tmp_path / "out"

    def run(*arguments: str | Path) -> Command:
        where = ("--data", tiny_data, "--output", output)
        done = pocketrec("run", *where, *arguments)
        assert done.code == 0, done.out + done.err
        assert done.err == ""
        return done

    first = run("--config", config)
    trials = re.findall(
        r"^trial (\d)/3  train.learning_rate=(\S+)  \S+encoder_type=(BOW|GRU): "
        r"hr_10_eval (\S+) in epoch \d$",
        first.out,
        re.MULTILINE,
    )
    assert [trial[0] for trial in trials] == ["1", "2", "3"]
    assert "3 of 3 trials ran, 0 failed" in first.out
    assert "Tuned on eval (finished trials: 3)" in first.out
    best = max(trials, key=lambda trial: float(trial[3]))
    tuned = output / "tuned.pbtxt"
    assert f"written to {tuned}" in first.out
    found = load_config(tuned)
    assert found.train.learning_rate == pytest.approx(float(best[1]), rel=1e-4)
    assert not found.HasField("tune")

    # The Trainer trained with the choice: the tuned configuration gives the same model.
    histories = set(output.glob("artifacts/Trainer/**/history.json"))
    (history,) = histories
    by_tuner = json.loads(history.read_text())
    alone = run("--config", tuned)
    assert "Trainer  complete" in alone.out
    (history,) = set(output.glob("artifacts/Trainer/**/history.json")) - histories
    by_itself = json.loads(history.read_text())
    assert [epoch["loss"] for epoch in by_tuner["epochs"]] == [
        epoch["loss"] for epoch in by_itself["epochs"]
    ]

    # A second run takes all from the cache.
    again = run("--config", config)
    assert re.search(r"Tuner  cached", again.out)
    assert not re.search(r"^trial ", again.out, re.MULTILINE)


def test_all_trials_fail(tmp_path: Path, tiny_data: Path) -> None:
    """What no value can mend is told in one line."""
    config = tmp_path / "config.pbtxt"
    decay = 'fields { field: "train.weight_decay" values: "0.1" }'
    optimizer = 'fields { field: "train.optimizer" values: "SGD" }'
    config.write_text(f"{TINY_CONFIG} tune {{ num_trials: 2 {decay} {optimizer} }}")
    where = ("--data", tiny_data, "--output", tmp_path / "out")
    done = pocketrec("run", "--config", config, *where)
    assert done.code == 1
    assert "trial 1/2  train.weight_decay=0.1  train.optimizer=SGD: failed" in done.out
    mistake = "train.weight_decay: 0.1 is not allowed. Expected 0, with SGD"
    assert done.err == (
        "Error: Tuner: tune: all trials failed (1 of 2 ran), the last with: "
        f"{mistake}\n"
    )


def test_other_commands_tell_that_they_do_not_tune(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text(TINY_CONFIG + TUNE)
    grid = tmp_path / "grid.pbtxt"
    grid.write_text('config: "config.pbtxt"')
    empty = tmp_path / "empty"
    empty.mkdir()
    output = ("--output", tmp_path / "out")
    for command in (
        ("train", "--config", tmp_path / "config.pbtxt", "--examples", empty),
        ("experiment", grid, "--data", empty),
    ):
        done = pocketrec(*command, *output)
        assert "warning: tune is left out" in done.out
        assert done.code == 1  # There is nothing to train on.
        assert done.err.count("\n") == 1
