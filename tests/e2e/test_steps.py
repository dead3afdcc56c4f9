"""`examples`, `train` and `export`, one after the other: a run that all tests share."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.e2e.commands import TINY_CONFIG, Command, pocketrec

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Steps:
    """The folders that the three commands wrote, and what they printed."""

    folder: Path
    commands: dict[str, Command]

    @property
    def config(self) -> Path:
        return self.folder / "config.pbtxt"

    @property
    def examples(self) -> Path:
        return self.folder / "examples"

    @property
    def training(self) -> Path:
        return self.folder / "training"

    @property
    def checkpoint(self) -> Path:
        [best] = (self.training / "checkpoints").glob("*-best.weights.h5")
        return best

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> Steps:
    steps = Steps(tmp_path_factory.mktemp("steps"), {})
    steps.config.write_text(TINY_CONFIG)

    def run(name: str, *arguments: str | Path) -> None:
        done = pocketrec(name, "--config", steps.config, *arguments)
        assert done.code == 0, done.out + done.err
        assert done.err == ""
        steps.commands[name] = done

    run("examples", "--data", tiny_data, "--output", steps.examples)
    run("train", "--examples", steps.examples, "--output", steps.training)
    run(
        "export",
        *("--checkpoint", steps.checkpoint),
        *("--training", steps.training),
        *("--examples", steps.examples),
        *("--output", steps.bundle),
    )
    return steps


def test_each_command_tells_what_it_did(steps: Steps) -> None:
    report = json.loads((steps.examples / "ingestion_report.json").read_text())
    out = steps.commands["examples"].out
    assert ", test 60, " in out
    assert f"Examples: train {report['examples']['train']:,}, " in out
    epochs = [
        line
        for line in steps.commands["train"].out.splitlines()
        if line.startswith("epoch ")
    ]
    assert len(epochs) == 2
    assert f"Checkpoint: {steps.checkpoint}" in steps.commands["train"].out
    assert f"Bundle: {steps.bundle}" in steps.commands["export"].out


def test_the_bundle_answers(steps: Steps) -> None:
    asked = pocketrec("recommend", "--bundle", steps.bundle, "--history", "1,2,3")
    assert asked.code == 0, asked.err
    assert len(asked.out.splitlines()) == 11  # A header and ten items.
    inspected = pocketrec("inspect-bundle", steps.bundle)
    assert inspected.code == 0, inspected.err
    assert "not pushed yet" in inspected.out
    assert "No gate has judged this bundle yet." in inspected.out


def test_the_bundle_holds_the_weights_of_the_checkpoint(steps: Steps) -> None:
    """It answers what the model that the training exported answers."""
    import tensorflow as tf

    from components.tflite_converter.raw_examples import raw_columns, split_examples
    from pocketrec_device import Recommender
    from pocketrec_device.features import tensors_from_example

    recommender = Recommender(steps.bundle)
    bundle = recommender.bundle
    model = tf.saved_model.load(str(steps.training / "model" / "Format-Serving"))
    serialized = split_examples(str(steps.examples / "Split-test"))[:10]
    answer = model.signatures["serving_default"](examples=tf.constant(serialized))
    for row, example in enumerate(serialized):
        _, scores = recommender.predict(
            tensors_from_example(
                bundle.inputs, raw_columns(example), bundle.vocabularies
            )
        )
        np.testing.assert_allclose(
            scores, answer["top_prediction_scores"][row], rtol=1e-4, atol=1e-4
        )


def test_another_checkpoint_is_another_bundle(steps: Steps, tmp_path: Path) -> None:
    """What the model answers may be chosen anew; the weights are the checkpoint's."""
    first = steps.checkpoint.with_name(
        steps.checkpoint.name.replace("best", "epoch-0001")
    )
    assert first.is_file()
    done = export(
        steps,
        *("--checkpoint", str(first), "--output", str(tmp_path / "bundle")),
        *("--set", "model.num_predictions=12", "--set", "push.quantization=FLOAT16"),
    )
    assert done.exit_code == 0, done.output
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert (manifest["num_predictions"], manifest["quantization"]) == (12, "FLOAT16")
    assert (tmp_path / "bundle" / "model.tflite").read_bytes() != (
        steps.bundle / "model.tflite"
    ).read_bytes()


def test_one_checkpoint_is_one_bundle(steps: Steps, tmp_path: Path) -> None:
    """Byte for byte, whichever process wrote it and where."""
    done = export(steps, "--output", str(tmp_path / "bundle"))
    assert done.exit_code == 0, done.output
    first, second = (
        {p.relative_to(b): p.read_bytes() for p in b.rglob("*") if p.is_file()}
        for b in (steps.bundle, tmp_path / "bundle")
    )
    assert first == second


def test_several_variants_need_a_gate(steps: Steps, tmp_path: Path) -> None:
    output = tmp_path / "bundle"
    done = export(
        steps, "--output", str(output), "--set", "push.quantization=FLOAT16,INT8"
    )
    check_refusal(done, output, "push.quantization: FLOAT16, INT8 is not allowed")


def invoke(*arguments: str) -> Result:
    """In this process, where TFX is imported once for all tests."""
    from pipeline.cli import main

    return CliRunner().invoke(main, [*arguments, "--verbose"])


def train(steps: Steps, *arguments: str, examples: Path | None = None) -> Result:
    folder = ("--examples", str(examples or steps.examples))
    return invoke("train", "--config", str(steps.config), *folder, *arguments)


def export(steps: Steps, *arguments: str) -> Result:
    given = set(arguments)
    defaults = {
        "--checkpoint": steps.checkpoint,
        "--training": steps.training,
        "--examples": steps.examples,
    }
    folders = [t for k, v in defaults.items() if k not in given for t in (k, str(v))]
    return invoke("export", "--config", str(steps.config), *folders, *arguments)


def check_refusal(done: Result, output: Path, *parts: str) -> None:
    """One line that has all the parts, exit code 1, nothing written."""
    assert done.exit_code == 1, done.output
    assert isinstance(done.exception, SystemExit), done.exception
    lines = [line for line in done.output.splitlines() if line.startswith("Error: ")]
    assert lines == done.output.strip().splitlines()[-1:]
    assert "Traceback" not in done.output
    for part in parts:
        assert part in lines[0], lines[0]
    assert not output.exists() or list(output.iterdir()) == []
    assert list(output.parent.glob(".export-*")) == []


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        (
            "input.activity_feature_groups.1.features.0.feature_length=20",
            ("feature_length is 12 there and 20 here",),
        ),
        (
            "data.max_context_length=4",
            ("data.max_context_length is not set there and 4 here",),
        ),
        ("data.split=RANDOM", ("data.split is not set there and RANDOM here",)),
        (
            "input.activity_feature_groups.1.features.0.feature_name=context_movie_year",
            ("'context_movie_genre' there and 'context_movie_year' here",),
        ),
    ],
)
def test_examples_of_another_configuration(
    steps: Steps, tmp_path: Path, setting: str, parts: tuple[str, ...]
) -> None:
    output = tmp_path / "training"
    done = train(steps, "--set", setting, "--output", str(output))
    check_refusal(done, output, str(steps.examples), *parts)


@pytest.mark.parametrize(
    "name",
    [
        *(f"Split-{split}" for split in ("train", "eval", "test", "catalogue")),
        "ingestion_report.json",
        "config.pbtxt",
    ],
)
def test_examples_that_are_not_complete(
    steps: Steps, tmp_path: Path, name: str
) -> None:
    examples = tmp_path / "examples"
    examples.mkdir()
    for path in steps.examples.iterdir():
        if path.name != name:
            (examples / path.name).symlink_to(path)
    output = tmp_path / "training"
    done = train(steps, "--output", str(output), examples=examples)
    check_refusal(done, output, str(examples), f"has no {name}")


def test_a_split_without_an_example(steps: Steps, tmp_path: Path) -> None:
    examples = tmp_path / "examples"
    shutil.copytree(steps.examples, examples)
    for path in (examples / "Split-train").iterdir():
        path.unlink()
    output = tmp_path / "training"
    done = train(steps, "--output", str(output), examples=examples)
    check_refusal(done, output, str(examples), "Split-train", "no file")


def no_checkpoint(steps: Steps, folder: Path) -> Path:
    return folder / "absent.weights.h5"


def no_weights(steps: Steps, folder: Path) -> Path:
    path = folder / "text.weights.h5"
    path.write_text("no weights")
    return path


def other_file(steps: Steps, folder: Path) -> Path:
    return steps.examples / "ingestion_report.json"


def folder_of_checkpoints(steps: Steps, folder: Path) -> Path:
    return steps.training / "checkpoints"


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (no_checkpoint, ("does not exist",)),
        (folder_of_checkpoints, ("is a folder, expected a file",)),
        (other_file, ("is no checkpoint",)),
        (no_weights, ("does not fit",)),
    ],
)
def test_a_checkpoint_that_is_none(
    steps: Steps,
    tmp_path: Path,
    make: Callable[[Steps, Path], Path],
    parts: tuple[str, ...],
) -> None:
    checkpoint = make(steps, tmp_path)
    output = tmp_path / "bundle"
    done = export(steps, "--checkpoint", str(checkpoint), "--output", str(output))
    check_refusal(done, output, str(checkpoint), *parts)


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("model.hidden_layer_dims=32", ("best.weights.h5", "does not fit")),
        ("model.hidden_layer_dims=16,16", ("best.weights.h5", "does not fit")),
        (
            "input.activity_feature_groups.1.encoder_type=BOW",
            ("encoder_type is CNN there and BOW here",),
        ),
        (
            "input.label_feature.embedding_dim=4",
            ("input.label_feature.embedding_dim is 8 there and 4 here",),
        ),
    ],
)
def test_a_checkpoint_of_another_model(
    steps: Steps, tmp_path: Path, setting: str, parts: tuple[str, ...]
) -> None:
    output = tmp_path / "bundle"
    done = export(steps, "--set", setting, "--output", str(output))
    check_refusal(done, output, *parts)


def test_a_training_that_is_not_complete(steps: Steps, tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    output = tmp_path / "bundle"
    done = export(
        steps, "--training", str(tmp_path / "training"), "--output", str(output)
    )
    check_refusal(done, output, "has no config.pbtxt", "pocketrec train")
