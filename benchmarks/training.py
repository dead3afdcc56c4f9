"""How fast a model is trained, beside a plain Keras loop over the same examples.

``python -m benchmarks.training --help`` tells more.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components.text_table import table_lines
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import load_config

if TYPE_CHECKING:
    import tensorflow as tf

    from components.trainer.input_pipeline import ExampleSet
    from components.trainer.recommendation_model import (
        ModelInputs,
        RecommendationModel,
    )

CONFIG = Path(__file__).with_suffix(".pbtxt")

# What all loops do: the softmax over the catalogue, no schedule and no early end.
SAME = (
    "train.loss=GLOBAL_SOFTMAX",
    "train.leave_out_seen=false",
    "train.label_smoothing=0",
    "train.value_loss_weight=0",
    "train.learning_rate_schedule=CONSTANT",
    "train.early_stopping_patience=0",
    "train.steps_per_epoch=0",
    "model.ranking_num_candidates=0",
)
_SHUFFLE_BUFFER = 100_000
# Ours by what a train example gives, and how many times as many epochs each may take to
# come as far as the plain loop.
OURS = {"one target": (pb.LABEL, 2), "every position": (pb.EVERY_POSITION, 8)}


@dataclass(frozen=True)
class World:
    """What all loops are given.

    Attributes:
      config: with `SAME`.
      inputs: what the model is made from.
      train_files: transformed TFRecord files of train.
      num_examples: in them.
      evaluation: the examples of eval.
    """

    config: pb.RecommenderConfig
    inputs: ModelInputs
    train_files: Sequence[str]
    num_examples: int
    evaluation: ExampleSet


def prepare(config: Path, overrides: Sequence[str], data: Path, work: Path) -> Path:
    """Makes examples and transforms them, as a user does.

    Args:
      config: a configuration.
      overrides: ``path.to.field=value``.
      data: folder of the logs.
      work: an empty folder.

    Returns:
      The folder of the transformed examples' splits and of Transform's graph.

    Raises:
      UserError: if a command fails.
    """
    examples, training = work / "examples", work / "training"
    settings = [text for line in overrides for text in ("--set", line)]
    for command in (
        ["examples", "--data", str(data), "--output", str(examples), *settings],
        # Only what it does before training is wanted.
        [
            *("train", "--examples", str(examples), "--output", str(training)),
            *(*settings, "--set", "train.num_epochs=1", "--set"),
            *("train.steps_per_epoch=1",),
        ],
    ):
        click.echo(f"pocketrec {command[0]} ...", err=True)
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.cli", *command, "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UserError(
                f"{config}: pocketrec {command[0]} ended with exit code "
                f"{done.returncode}: {' '.join(done.stdout.split())[-300:]}"
            )
    return training / "transform"


def read_world(config: pb.RecommenderConfig, transformed: Path) -> World:
    """Reads what `prepare` made."""
    import tensorflow_transform as tft

    from components.trainer.input_pipeline import eval_columns, read_examples
    from components.trainer.model_inputs import read_model_inputs

    def files(split: str) -> list[str]:
        folder = transformed / "examples" / f"Split-{split}"
        return sorted(str(path) for path in folder.iterdir())

    graph = tft.TFTransformOutput(str(transformed / "graph"))
    inputs = read_model_inputs(config, graph, files("catalogue"))
    columns = eval_columns(config, inputs.candidates.size)
    limit = int(config.train.max_in_memory_bytes)
    evaluation = read_examples(files("eval"), columns, limit, "eval")
    number = train_examples(config, inputs, files("train"), pb.LABEL).num_examples
    return World(config, inputs, files("train"), number, evaluation)


def train_examples(
    config: pb.RecommenderConfig,
    inputs: ModelInputs,
    files: Sequence[str],
    targets: pb.Targets,
) -> ExampleSet:
    """The examples of train in memory, as our loop reads them.

    Args:
      config: the configuration.
      inputs: what the model is made from.
      files: transformed TFRecord files.
      targets: what each example gives.
    """
    from components.trainer.input_pipeline import read_examples, train_columns

    columns = train_columns(_with(config, targets), inputs.candidates.size)
    limit = int(config.train.max_in_memory_bytes)
    return read_examples(files, columns, limit, "train")


def _with(config: pb.RecommenderConfig, targets: pb.Targets) -> pb.RecommenderConfig:
    changed = pb.RecommenderConfig()
    changed.CopyFrom(config)
    changed.train.targets = targets
    return changed


def new_model(world: World) -> RecommendationModel:
    """A model with the weights that all loops start from."""
    import keras

    from components.trainer.trainer import build_model

    keras.utils.set_random_seed(int(world.config.train.seed) % 2**32)
    return build_model(world.config, world.inputs)


def plain_batches(world: World) -> tf.data.Dataset:
    """One pass: each example parsed by itself, shuffled, the label as one hot of all.

    Returns:
      A dataset of pairs: the model's inputs [batch, length] by name, and labels float32
      [batch, rows of the label].
    """
    import tensorflow as tf

    from components.trainer.input_pipeline import column_spec

    config = world.config
    label = config.input.label_feature.feature_name
    used = [*features.context_features(config), config.input.label_feature]
    spec = {feature.feature_name: column_spec(feature) for feature in used}
    rows = world.inputs.candidates.size

    def parse(serialized: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        columns = tf.io.parse_single_example(serialized, spec)
        labels = tf.one_hot(columns.pop(label)[0], rows)
        return columns, labels

    return (
        tf.data.TFRecordDataset(list(world.train_files), compression_type="GZIP")
        .map(parse, num_parallel_calls=tf.data.AUTOTUNE)
        .shuffle(_SHUFFLE_BUFFER, seed=int(config.train.seed) % 2**31)
        .batch(int(config.train.batch_size))
        .prefetch(tf.data.AUTOTUNE)
    )


def train_plainly(world: World, epochs: int) -> list[dict[str, float]]:
    """Trains with `keras.Model.fit`.

    Args:
      world: the examples.
      epochs: passes.

    Returns:
      Of each epoch the ``seconds`` of training, the ``loss`` and what eval says.
    """
    import keras

    from components.trainer.training import evaluate, make_optimizer

    config, model = world.config, new_model(world)
    steps = math.ceil(world.num_examples / int(config.train.batch_size))
    optimizer = make_optimizer(config, steps)
    if config.train.gradient_clip_norm > 0:
        optimizer.global_clipnorm = config.train.gradient_clip_norm
    model.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True))
    batches = plain_batches(world)
    result = []
    for number in range(1, epochs + 1):
        start = time.monotonic()
        history = model.fit(batches, epochs=1, verbose=0)
        seconds = time.monotonic() - start
        values = evaluate(model, config, world.inputs.candidates, world.evaluation)
        loss = float(history.history["loss"][0])
        result.append(_epoch(number, seconds, loss, values))
    return result


def train_ours(
    world: World, targets: pb.Targets, epochs: int
) -> list[dict[str, float]]:
    """Trains with our own loop; see `train_plainly`.

    Args:
      world: the examples.
      targets: what each example gives.
      epochs: passes over the targets.
    """
    from components.trainer.training import fit

    config = _with(world.config, targets)
    config.train.num_epochs = epochs
    done = fit(
        new_model(world),
        config,
        world.inputs.candidates,
        train_examples(config, world.inputs, world.train_files, targets),
        world.evaluation,
        lambda epoch, is_best: None,
    )
    return [_epoch(e.number, e.train_seconds, e.loss, e.metrics) for e in done.epochs]


def _epoch(
    number: int, seconds: float, loss: float, values: Mapping[str, float]
) -> dict[str, float]:
    metrics = {name: values[name] for name in ("hr_10_eval", "ndcg_10_eval")}
    return {"number": number, "seconds": seconds, "loss": loss, **metrics}


def compare(world: World, epochs: int) -> dict[str, Any]:
    """Trains each way.

    Args:
      world: the examples.
      epochs: of the plain loop, at least two: the first one warms up. Ours get more, as
        `OURS` says, to come as far.

    Returns:
      The ``machine``, the number of ``targets`` (contexts with the item that follows),
      the ``batch_size``; of each of the ``ways`` its ``epochs``, ``targets_per_second``
      (the median of those after the first), when it has ``reached`` the plain loop's
      last HR@10 (None: never), and the ratios to the plain loop: ``times_as_fast`` and
      ``times_as_soon``.
    """
    import tensorflow as tf

    number = world.num_examples
    click.echo(f"{number:,} targets, plain loop ...", err=True)
    trained = {"plain": train_plainly(world, epochs)}
    for way, (targets, most) in OURS.items():
        click.echo(f"{number:,} targets, {way} ...", err=True)
        trained[way] = train_ours(world, targets, most * epochs)
    goal = trained["plain"][-1]["hr_10_eval"]
    ways: dict[str, dict[str, Any]] = {}
    for way, done in trained.items():
        seconds = statistics.median(epoch["seconds"] for epoch in done[1:])
        reached = _reached(done, goal)
        ways[way] = {
            "epochs": done,
            "targets_per_second": number / seconds,
            "reached": reached,
        }
        plain = ways["plain"]
        ways[way] |= {
            "times_as_fast": number / seconds / plain["targets_per_second"],
            "times_as_soon": reached
            and plain["reached"]["seconds"] / reached["seconds"],
        }
    return {
        "machine": {
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
        },
        "config": world.config.name,
        "batch_size": int(world.config.train.batch_size),
        "targets": number,
        "target_hr_10_eval": goal,
        "ways": ways,
    }


def _reached(
    epochs: Sequence[Mapping[str, float]], target: float
) -> dict[str, float] | None:
    """The first epoch that is as good, and the seconds of training until its end."""
    until = accumulate(epoch["seconds"] for epoch in epochs)
    for epoch, seconds in zip(epochs, until, strict=True):
        if epoch["hr_10_eval"] >= target:
            return {"epoch": epoch["number"], "seconds": seconds}
    return None


def report(result: Mapping[str, Any]) -> Iterator[str]:
    """The result of `compare` as lines of text."""
    machine = result["machine"]
    yield (
        f"{machine['system']}, {machine['processors']} processors, Python "
        f"{machine['python']}, TensorFlow {machine['tensorflow']}"
    )
    yield (
        f"{result['config']}: {result['targets']:,} targets, batches of "
        f"{result['batch_size']}"
    )
    yield ""
    goal = f"hr_10_eval {result['target_hr_10_eval']:.4f} in"
    rows = [("", "targets/s", "", "first epoch", goal, "", "")]
    for way, measured in result["ways"].items():
        reached = measured["reached"]
        rows.append(
            (
                way,
                f"{measured['targets_per_second']:,.0f}",
                f"{measured['times_as_fast']:.1f}x",
                f"{measured['epochs'][0]['seconds']:.1f} s",
                f"{reached['seconds']:.1f} s" if reached else "never",
                f"epoch {reached['epoch']}" if reached else "",
                f"{measured['times_as_soon']:.1f}x" if reached else "",
            )
        )
    yield from table_lines(rows)


@click.command(context_settings={"max_content_width": 88})
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=CONFIG,
    help="The model to train.  [default: benchmarks/training.pbtxt]",
)
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of the logs.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    help="Passes of the plain loop; the first one warms up.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Of all.",
)
@click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also writes the numbers to this file.",
)
def main(
    config_path: Path,
    data: Path,
    epochs: int,
    batch_size: int,
    overrides: tuple[str, ...],
    json_file: Path | None,
) -> None:
    """Training speed of our loop beside a plain one.

    All train the same model on the same examples, from the same weights, with the same
    optimizer, learning rate and batch size, towards the softmax over the catalogue. The
    plain loop is what a tutorial would write: TFRecords read and parsed one example
    after the other, a shuffle buffer, labels as one hot of the whole catalogue,
    keras.Model.fit. Ours is measured with one target an example, as the plain loop has
    it, and with a target at every position of the examples' contexts. A pass has each
    target about once in all of them. The first epoch, in which TensorFlow compiles,
    does not count for the speed; the time until a hit rate is reached has it.

    \b
    Example:
      python -m benchmarks.training --data ml-100k --json training.json
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore", FutureWarning)
    # Keras counts the batches of a dataset in its first pass, and wonders at its end.
    warnings.filterwarnings("ignore", "Your input ran out of data")
    lines = [*overrides, *SAME, f"train.batch_size={batch_size}"]
    # What allows this allows one target, too.
    lines.append("train.targets=EVERY_POSITION")
    try:
        config = load_config(config_path, lines)
        with tempfile.TemporaryDirectory() as work:
            transformed = prepare(config_path, lines, data, Path(work))
            result = compare(read_world(config, transformed), epochs)
    except UserError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(report(result)))
    if json_file is not None:
        text = json.dumps({**result, "data": str(data)}, indent=2)
        json_file.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
