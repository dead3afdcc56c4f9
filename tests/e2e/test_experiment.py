"""`pocketrec experiment` on tiny data: trained once, tested where it was chosen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.commands import TINY_CONFIG, Command, pocketrec

pytestmark = pytest.mark.e2e

GRID = """
config: "base.pbtxt"
axes {
  name: "encoder"
  values { set: "input.activity_feature_groups.0.encoder_type=BOW" }
  values { set: "input.activity_feature_groups.0.encoder_type=LSTM" }
}
learning_rates: [0.01, 0.1]
"""


def test_a_small_grid(tmp_path: Path, tiny_data: Path) -> None:
    (tmp_path / "base.pbtxt").write_text(TINY_CONFIG)
    grid = tmp_path / "small.pbtxt"
    grid.write_text(GRID)
    output = tmp_path / "out"

    def run(*arguments: str | Path) -> Command:
        where = ("--data", tiny_data, "--output", output)
        done = pocketrec("experiment", grid, *where, *arguments)
        assert done.code == 0, done.out + done.err
        assert done.err == ""
        return done

    first = run("--test", "--plot", tmp_path / "plot.png")
    assert "4 trainings, of which 0 are done already" in first.out
    assert "leave-one-out by time, full ranking, seen=timeline:" in first.out
    assert "[4/4] encoder LSTM, rate 0.1, seed 1 ..." in first.out
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    result = json.loads((output / "results.json").read_text())
    for cell in result["cells"]:
        assert 0 < cell["metrics"]["hr_10_test"]["mean"] < 1
        assert cell["tflite_bytes"]["FLOAT16"] < cell["tflite_bytes"]["FLOAT32"]
        assert len(cell["trainings"]) == 2
        for training in cell["trainings"]:
            assert len(training["epochs"]) == 2
            assert training["eval_examples"] == 60
    assert len(list((output / "examples").iterdir())) == 1
    assert len(list((output / "transforms").iterdir())) == 1

    # What one of them comes to does not depend on those before it.
    again = sorted((output / "trainings").iterdir())[2]
    shutil.rmtree(again)
    second = run("--test", "--json", tmp_path / "again.json")
    assert "4 trainings, of which 3 are done already" in second.out
    repeated = json.loads((tmp_path / "again.json").read_text())
    for one, other in zip(result["cells"], repeated["cells"], strict=True):
        assert one["metrics"] == other["metrics"]
        assert one["chosen_learning_rate"] == other["chosen_learning_rate"]


def test_the_seed_and_other_settings(tmp_path: Path, tiny_data: Path) -> None:
    """As `pocketrec train` trains it with the same settings."""
    (tmp_path / "base.pbtxt").write_text(TINY_CONFIG)
    grid = tmp_path / "one.pbtxt"
    grid.write_text('config: "base.pbtxt"')
    settings = ["--set", "train.learning_rate=0.02"]
    done = pocketrec(
        *("experiment", grid, "--data", tiny_data, "--output", tmp_path / "out"),
        *("--seed", "3", *settings),
    )
    assert done.code == 0, done.out + done.err
    folder = tmp_path / "training"
    [examples] = (tmp_path / "out" / "examples").iterdir()
    trained = pocketrec(
        *("train", "--config", tmp_path / "base.pbtxt"),
        *("--examples", examples, "--output", folder),
        *("--set", "train.seed=3", *settings),
    )
    assert trained.code == 0, trained.out + trained.err
    history = json.loads((folder / "history.json").read_text())
    [cell] = json.loads((tmp_path / "out" / "results.json").read_text())["cells"]
    [training] = cell["trainings"]
    assert training["seed"] == 3
    for name in ("number", "loss", "metrics"):
        ours = [epoch[name] for epoch in training["epochs"]]
        assert ours == [epoch[name] for epoch in history["epochs"]]
