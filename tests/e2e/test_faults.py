"""Whatever breaks between training and push, the destination stays as it was."""

from __future__ import annotations

import functools
import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.lock import locked
from tests.e2e.commands import TINY_CONFIG, Command, pocketrec

pytestmark = pytest.mark.e2e

BROKEN_CONVERTER = str(Path(__file__).with_name("broken_converter.py"))
OTHER_MODEL = ("--set", "train.seed=2")
AT_MOST_2_SECONDS = ("--set", "push.conversion_timeout_seconds=2")


@dataclass(frozen=True)
class World:
    """A user's folder, where version 1 is pushed."""

    folder: Path
    data: Path

    @property
    def push(self) -> Path:
        return self.folder / "push"

    def run(self, *arguments: str, fault: Callable[[], None] | None = None) -> Command:
        return pocketrec(
            "run",
            *("--config", self.folder / "config.pbtxt"),
            *("--data", self.data),
            *("--output", self.folder / "output"),
            *("--push-destination", self.push),
            *arguments,
            fault=fault,
        )

    def content(self) -> dict[str, bytes]:
        """Of all that readers may look at."""
        return {
            path.relative_to(self.push).as_posix(): path.read_bytes()
            for path in sorted(self.push.rglob("*"))
            if path.is_file() and path.name[0] != "."
        }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> World:
    folder = tmp_path_factory.mktemp("faults")
    (folder / "config.pbtxt").write_text(TINY_CONFIG)
    world = World(folder, tiny_data)
    first = world.run()
    assert first.code == 0, first.out + first.err
    assert (world.push / "CURRENT").read_text() == "1\n"
    return world


def convert_by(fault: str) -> None:
    from components.tflite_converter import convert

    run, program = convert._run, convert._PROGRAM

    def run_broken(arguments: list[str], *others: object) -> None:
        if arguments[0] == "convert":
            arguments = [fault, *arguments]
            convert._PROGRAM = (BROKEN_CONVERTER,)
        run(arguments, *others)
        convert._PROGRAM = program

    convert._run = run_broken


def lose_all_weights() -> None:
    from components.trainer import trainer

    export = trainer._export

    def export_nothing(model: object, *others: object) -> None:
        for variable in model.weights:
            variable.assign(variable * float("nan"))
        export(model, *others)

    trainer._export = export_nothing


def score_all_users_alike() -> None:
    import tensorflow as tf

    from components.trainer.export import Recommender

    scores_of = Recommender._scores

    def scores_of_nobody(self: Recommender, contexts: tf.Tensor) -> tf.Tensor:
        return scores_of(self, tf.zeros_like(contexts))

    Recommender._scores = scores_of_nobody


def be_killed_while_pushing() -> None:
    from components.tflite_pusher import push

    push.make_current = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)


FAULTS = {
    "the converter aborts": (
        *(("abort",), OTHER_MODEL, 1),
        r"TFLiteConverter: the TFLite converter was ended by signal 6: about to conv",
    ),
    "the converter hangs": (
        *(("hang",), (*OTHER_MODEL, *AT_MOST_2_SECONDS), 1),
        r"push\.conversion_timeout_seconds: the TFLite converter took longer than 2 s",
    ),
    "the converter writes an empty file": (
        *(("write nothing",), OTHER_MODEL, 1),
        r"the TFLite converter wrote nothing: about to convert",
    ),
    "the converter writes rubbish": (
        *(("write rubbish",), OTHER_MODEL, 1),
        r"the converted model exited with 1: .*model\.tflite: ",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_converter_fails(world: World, name: str) -> None:
    (fault,), arguments, code, message = FAULTS[name]
    before = world.content()
    broken = functools.partial(convert_by, fault)
    done = world.run(*arguments, fault=broken)
    assert done.code == code, done.out + done.err
    assert re.search(message, done.err), done.err
    assert done.err.count("\n") == 1
    assert world.content() == before


def test_a_model_with_nan_weights(world: World) -> None:
    before = world.content()
    done = world.run("--set", "train.seed=3", fault=lose_all_weights)
    assert done.code == 3, done.out + done.err
    assert re.search(r"SAVED_MODEL: NOT_BLESSED, hr_10_test = 0\.0000", done.out)
    # It answers nothing, its canary neither.
    assert re.search(
        r"TFLITE: NOT_BLESSED, .*self_test = 0 .*distinct_items = 0 ", done.out
    ), done.out
    assert world.content() == before


def test_a_model_that_gives_everybody_the_same(world: World) -> None:
    before = world.content()
    settings = ("--set", "train.seed=4", "--set", "eval.bounds.2.upper_bound=0.9")
    done = world.run(*settings, fault=score_all_users_alike)
    assert done.code == 3, done.out + done.err
    assert re.search(
        r"first_item_share = 1\.0000 \(at most 0\.9\): failed", done.out
    ), done.out
    assert world.content() == before


@pytest.mark.parametrize(
    ("bound", "reason"),
    [
        ('metric: "model_bytes" upper_bound: 1000', r"model_bytes = [\d,]+ \(at most"),
        (
            'metric: "latency_p50_ms" upper_bound: 0.00001',
            r"latency_p50_ms = \S+ \(at most 1e-05\): failed",
        ),
        (
            'metric: "hr_10_test" gate: TFLITE slice_feature: "history_length" '
            "lower_bound: 1 min_slice_examples: 1",
            r"hr_10_test history_length=\S+ = \S+ \(at least 1, the current model has",
        ),
    ],
    ids=["too large", "too slow", "bad for some"],
)
def test_a_bound_refuses(world: World, bound: str, reason: str) -> None:
    before = world.content()
    done = world.run(*OTHER_MODEL, "--set", f"eval.bounds.1={{{bound}}}")
    assert done.code == 3, done.out + done.err
    assert re.search(f"TFLITE: NOT_BLESSED, .*{reason}", done.out), done.out
    assert world.content() == before


def test_another_pusher_is_at_work(world: World) -> None:
    before = world.content()
    with locked(str(world.push), "push destination"):
        done = world.run(*OTHER_MODEL)
    assert done.code == 1
    assert re.search("push destination .*: another process is changing it", done.err)
    assert done.err.count("\n") == 1
    assert world.content() == before


@pytest.mark.parametrize(
    "name",
    [
        "bundle/manifest.json",
        "bundle/model.tflite",
        "training/examples/Split-test",
        "training.sha256",
    ],
)
def test_the_current_version_is_damaged(world: World, name: str) -> None:
    path = world.push / "versions" / "1" / name
    path = next(path.iterdir()) if path.is_dir() else path
    content = path.read_bytes()
    try:
        path.write_bytes(content[: len(content) // 2])
        before = world.content()
        # Though the cache holds all of it.
        done = world.run()
        assert done.code == 1
        assert path.name in done.err
        assert done.err.count("\n") == 1
        assert world.content() == before
    finally:
        path.write_bytes(content)


def test_the_pusher_is_killed_and_the_next_one_is_not(world: World) -> None:
    before = world.content()
    done = world.run(*OTHER_MODEL, fault=be_killed_while_pushing)
    assert done.code == -signal.SIGKILL
    assert (world.push / "CURRENT").read_text() == "1\n"
    assert {k: v for k, v in world.content().items() if k in before} == before
    again = world.run(*OTHER_MODEL)
    assert again.code == 0, again.out + again.err
    assert (world.push / "CURRENT").read_text() == "3\n"
