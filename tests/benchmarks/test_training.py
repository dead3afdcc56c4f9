"""The benchmark of training speed: both loops train one model on the same examples."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import training
from benchmarks.training import SAME, World
from configs import recommender_pb2 as pb
from configs.loader import load_config
from data.synthesize import synthesize
from data.synthetic_world import WorldSize

SAMPLE = Path(__file__).parents[2] / "configs" / "sample_id_based.pbtxt"
LABEL = "label_movie_id"
CONTEXT = "context_movie_id"


def test_when_a_hit_rate_is_reached() -> None:
    epochs = [
        {"number": number, "seconds": 2.0, "hr_10_eval": value}
        for number, value in enumerate((0.1, 0.3, 0.2, 0.4), start=1)
    ]
    reached = [training._reached(epochs, target) for target in (0.05, 0.25, 0.35, 0.5)]
    assert reached == [
        {"epoch": 1, "seconds": 2.0},
        {"epoch": 2, "seconds": 4.0},
        {"epoch": 4, "seconds": 8.0},
        None,
    ]


def test_the_table() -> None:
    result = {
        "machine": {
            "system": "Linux",
            "processors": 2,
            "python": "3.10.13",
            "tensorflow": "2.16",
        },
        "config": "mine",
        "batch_size": 64,
        "targets": 12_345,
        "target_hr_10_eval": 0.1,
        "ways": {
            "plain": {
                "epochs": [{"seconds": 20.0}],
                "targets_per_second": 1000.4,
                "times_as_fast": 1.0,
                "reached": {"epoch": 5, "seconds": 60.0},
                "times_as_soon": 1.0,
            },
            "ours": {
                "epochs": [{"seconds": 9.0}],
                "targets_per_second": 3000.6,
                "times_as_fast": 3.0,
                "reached": None,
                "times_as_soon": None,
            },
        },
    }
    lines = [line.split() for line in training.report(result)]
    assert lines[1] == ["mine:", "12,345", "targets,", "batches", "of", "64"]
    assert lines[-2:] == [
        ["plain", "1,000", "1.0x", "20.0", "s", "60.0", "s", "epoch", "5", "1.0x"],
        ["ours", "3,001", "3.0x", "9.0", "s", "never"],
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "data"
    synthesize(WorldSize(users=60, items=80, ratings=2400, seed=7), "ml-1m", folder)
    return folder


@pytest.fixture(scope="module")
def transformed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.prepare(SAMPLE, SAME, data, tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def world(transformed: Path) -> World:
    config = load_config(SAMPLE, [*SAME, "train.batch_size=64"])
    return training.read_world(config, transformed)


def counted(contexts: Iterable[np.ndarray], labels: Iterable[int]) -> Counter:
    pairs = zip(contexts, labels, strict=True)
    return Counter((tuple(context), int(label)) for context, label in pairs)


@pytest.mark.e2e
def test_one_target_sees_the_same_examples(world: World) -> None:
    plain: Counter = Counter()
    sizes = []
    for columns, labels in training.plain_batches(world):
        assert labels.shape[1] == world.inputs.candidates.size
        np.testing.assert_array_equal(labels.numpy().sum(axis=1), 1)
        sizes.append(len(labels))
        plain += counted(columns[CONTEXT].numpy(), labels.numpy().argmax(axis=1))
    ours: Counter = Counter()
    train = training.train_examples(
        world.config, world.inputs, world.train_files, pb.LABEL
    )
    for batch in train.shuffled_batches(64, seed=1).take(len(sizes)):
        ours += counted(batch[CONTEXT].numpy(), batch[LABEL].numpy()[:, 0])
    assert plain == ours
    assert sizes == [64] * (len(sizes) - 1) + [world.num_examples % 64 or 64]


@pytest.mark.e2e
def test_all_start_from_the_same_weights_and_learn(world: World) -> None:
    one, other = training.new_model(world), training.new_model(world)
    for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    result = training.compare(world, epochs=2)
    assert result["targets"] == world.num_examples
    epochs = {way: measured["epochs"] for way, measured in result["ways"].items()}
    lengths = {way: len(done) for way, done in epochs.items()}
    assert lengths == {"plain": 2, "one target": 4, "every position": 16}
    for done in epochs.values():
        assert done[0]["loss"] > done[1]["loss"]
        assert all(0 < epoch["hr_10_eval"] <= 1 for epoch in done)
    # The plain one also learns that padding and the unknown item are never the label.
    rows = world.inputs.candidates.size
    missing = np.log(rows) - np.log(world.inputs.candidates.sum())
    first = [done[0]["loss"] for done in epochs.values()]
    assert first[0] == pytest.approx(first[1], abs=0.05 + missing)


@pytest.mark.e2e
def test_the_command(
    data: Path, transformed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "prepare", lambda *arguments: transformed)
    arguments = ["--config", str(SAMPLE), "--data", str(data), "--epochs", "2"]
    arguments += ["--json", str(tmp_path / "result.json"), "--batch-size", "32"]
    done = CliRunner().invoke(training.main, arguments)
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["batch_size"], result["config"]) == (32, "sample_id_based")
    plain, *ours = result["ways"].values()
    for way in ours:
        speeds = way["targets_per_second"], plain["targets_per_second"]
        assert min(speeds) > 0
        assert way["times_as_fast"] == pytest.approx(speeds[0] / speeds[1])
    assert plain["reached"]["epoch"] in (1, 2)
    assert "every position" in done.output

    absent = ["--config", "absent.pbtxt", "--data", str(data)]
    refused = CliRunner().invoke(training.main, absent)
    assert refused.exit_code == 1
    assert "absent.pbtxt" in refused.output
