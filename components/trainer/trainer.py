"""Trains and exports a model: what the command line and the pipeline's Trainer call."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf
import tensorflow_transform as tft

from components.trainer import export as exports
from components.trainer.checkpoints import CheckpointFolder, load_checkpoint
from components.trainer.input_pipeline import (
    ExampleSet,
    eval_columns,
    read_examples,
    train_columns,
)
from components.trainer.model_inputs import check_aligned, read_model_inputs
from components.trainer.recommendation_model import ModelInputs, RecommendationModel
from components.trainer.training import (
    EVAL,
    Epoch,
    Fit,
    evaluate,
    fit,
    stopping_metric,
)
from components.trainer.warm_start import WarmStartError, warm_start
from configs import features
from configs import recommender_pb2 as pb

DEVICE_MODEL = "Format-Device"
HISTORY = "history.json"
CHECKPOINTS = "checkpoints"

Report = Callable[[str], None]


@dataclass(frozen=True)
class TrainingResult:
    """What came out of a training.

    Attributes:
      fit: its epochs, and which one's weights were taken.
      num_weights: numbers in the model.
      checkpoint: the weights taken, as a file.
      warnings: a line each.
    """

    fit: Fit
    num_weights: int
    checkpoint: Path
    warnings: list[str]


def train_model(
    config: pb.RecommenderConfig,
    *,
    train_files: Sequence[str],
    eval_files: Sequence[str],
    catalogue_files: Sequence[str],
    transform_output: str,
    serving_model_dir: str,
    model_run_dir: str,
    report: Report = print,
    export: bool = True,
    base_model: str | None = None,
) -> TrainingResult:
    """Trains a model and writes its exported forms, checkpoints and logs.

    With one seed, one machine's CPU gives one result. Random state of Python, NumPy and
    Keras is set to it.

    Args:
      config: a valid configuration.
      train_files: transformed TFRecord files of train.
      eval_files: those of eval.
      catalogue_files: those of the catalogue.
      transform_output: folder of Transform's graph.
      serving_model_dir: where the SavedModel is written; ``Format-Device`` beside it.
      model_run_dir: where ``history.json``, TensorBoard's logs and, unless
        ``train.checkpoint_path`` says otherwise, the checkpoints are written.
      report: called with a line per epoch, and with warnings.
      export: False leaves out the exported forms; `serving_model_dir` is not used then.
      base_model: with ``train.warm_start``, the folder of the training to begin from,
        see `components.trainer.warm_start`.

    Raises:
      UserError: if a split is empty, an id has no row in its table, or the loss is no
        longer finite.
    """
    tft_output = tft.TFTransformOutput(transform_output)
    check_aligned(config, tft_output.raw_feature_spec())
    inputs = read_model_inputs(config, tft_output, catalogue_files)
    num_rows = inputs.candidates.size
    limit = int(config.train.max_in_memory_bytes)
    columns = train_columns(config, num_rows)
    train = read_examples(train_files, columns, limit, "train")
    columns = eval_columns(config, num_rows)
    evaluation = read_examples(eval_files, columns, limit, "eval")

    keras.utils.set_random_seed(int(config.train.seed) % 2**32)
    model = build_model(config, inputs)
    warnings = []
    if config.train.warm_start:
        warnings = _begin_from(base_model, model, config, inputs, tft_output, report)
    run_folder = Path(model_run_dir)
    folder = config.train.checkpoint_path or run_folder / CHECKPOINTS
    checkpoints = CheckpointFolder(folder, config)
    logs = _TensorBoard(run_folder)

    def on_epoch(epoch: Epoch, is_best: bool) -> None:
        checkpoints.save_epoch(model, epoch.number)
        if is_best:
            checkpoints.save_best(model)
        logs.write(epoch)
        report(epoch_line(epoch, config))

    done = fit(model, config, inputs.candidates, train, evaluation, on_epoch)
    logs.close()
    later = [*_truncation(config, evaluation), *_warnings(done)]
    for warning in later:
        report(f"warning: {warning}")
    warnings += later
    _write_history(run_folder / HISTORY, done, warnings)
    if export:
        _export(model, config, inputs, tft_output, serving_model_dir)
    return TrainingResult(done, model.count_params(), checkpoints.best_path, warnings)


def export_from_checkpoint(
    config: pb.RecommenderConfig,
    checkpoint: str | Path,
    transform_output: str,
    catalogue_files: Sequence[str],
    serving_model_dir: str,
) -> None:
    """Writes the exported forms of a checkpoint's weights.

    Args:
      config: the configuration that it was trained with.
      checkpoint: a ``.weights.h5`` file.
      transform_output: folder of Transform's graph.
      catalogue_files: transformed TFRecord files of the catalogue.
      serving_model_dir: where the SavedModel is written; ``Format-Device`` beside it.

    Raises:
      UserError: if the checkpoint is missing or does not fit.
    """
    tft_output = tft.TFTransformOutput(transform_output)
    inputs = read_model_inputs(config, tft_output, catalogue_files)
    model = build_model(config, inputs)
    load_checkpoint(model, checkpoint)
    _export(model, config, inputs, tft_output, serving_model_dir)


def evaluate_checkpoint(
    config: pb.RecommenderConfig,
    checkpoint: str | Path,
    *,
    files: Sequence[str],
    split: str,
    catalogue_files: Sequence[str],
    transform_output: str,
) -> dict[str, float]:
    """Metrics of a checkpoint's weights on all examples of a split.

    Args:
      config: the configuration that it was trained with.
      checkpoint: a ``.weights.h5`` file.
      files: transformed TFRecord files of the split.
      split: its name, which ends the metrics' names.
      catalogue_files: those of the catalogue.
      transform_output: folder of Transform's graph.

    Returns:
      By name, e.g. ``hr_10_test``.

    Raises:
      UserError: if the checkpoint is missing or does not fit, or the split is empty.
    """
    whole = pb.RecommenderConfig()
    whole.CopyFrom(config)
    whole.train.ClearField("num_eval_steps")
    tft_output = tft.TFTransformOutput(transform_output)
    inputs = read_model_inputs(whole, tft_output, catalogue_files)
    model = build_model(whole, inputs)
    load_checkpoint(model, checkpoint)
    columns = eval_columns(whole, inputs.candidates.size)
    limit = int(whole.train.max_in_memory_bytes)
    examples = read_examples(files, columns, limit, split)
    values = evaluate(model, whole, inputs.candidates, examples)
    return {
        f"{name.removesuffix(EVAL)}{split}": value for name, value in values.items()
    }


def build_model(
    config: pb.RecommenderConfig, inputs: ModelInputs
) -> RecommendationModel:
    """A model with its weights made."""
    model = RecommendationModel(config, inputs)
    model(
        {
            f.feature_name: tf.zeros(
                [1, features.num_values(f)],
                tf.int32 if features.is_categorical(f) else tf.float32,
            )
            for f in features.context_features(config)
        }
    )
    vectors = tf.zeros([1, int(config.input.label_feature.embedding_dim)])
    for head in (model.ranking_head, model.value_head):
        if head is not None:
            head(vectors, vectors)
    return model


def epoch_line(epoch: Epoch, config: pb.RecommenderConfig) -> str:
    """An epoch as a line: number, loss, HR and NDCG on eval, seconds."""
    hit_rate = stopping_metric(config)
    ndcg = hit_rate.replace("hr_", "ndcg_", 1)
    return (
        f"epoch {epoch.number}/{config.train.num_epochs}  loss {epoch.loss:.3f}  "
        f"{hit_rate} {epoch.metrics[hit_rate]:.4f}  "
        f"{ndcg} {epoch.metrics[ndcg]:.4f}  {epoch.seconds:.1f} s"
    )


def _export(
    model: RecommendationModel,
    config: pb.RecommenderConfig,
    inputs: ModelInputs,
    tft_output: tft.TFTransformOutput,
    serving_model_dir: str,
) -> None:
    exports.export_serving_model(model, config, inputs, tft_output, serving_model_dir)
    parent = os.path.dirname(os.path.normpath(serving_model_dir))
    device = os.path.join(parent, DEVICE_MODEL)
    exports.export_device_model(model, config, inputs, device)


def _begin_from(
    base_model: str | None,
    model: RecommendationModel,
    config: pb.RecommenderConfig,
    inputs: ModelInputs,
    tft_output: tft.TFTransformOutput,
    report: Report,
) -> list[str]:
    """Puts earlier weights into a model; returns a warning where there are none."""
    try:
        if base_model is None:
            raise WarmStartError("no checkpoint of a current version")
        carried = warm_start(model, config, inputs, tft_output, base_model, build_model)
    # The new weights are as good a beginning, only a slower one.
    except WarmStartError as error:
        warning = f"trained from scratch: {error}"
        report(f"warning: {warning}")
        return [warning]
    report(f"warm start: {'; '.join(map(str, carried)) or 'no vocabulary'}")
    return []


def _truncation(config: pb.RecommenderConfig, evaluation: ExampleSet) -> list[str]:
    if not evaluation.truncated:
        return []
    return [
        f"{evaluation.truncated} of {evaluation.num_examples} eval examples have more "
        f"than {config.model.max_seen_length} earlier items (model.max_seen_length): "
        f"the device is not given the oldest and may recommend them again"
    ]


def _warnings(done: Fit) -> list[str]:
    if not done.on_plateau:
        return []
    return [
        f"{done.metric} {done.best.metrics[done.metric]:.4f} is not clearly above the "
        f"{done.popularity:.4f} of popularity alone: try another train.learning_rate, "
        f"more epochs or a wider model"
    ]


def _write_history(path: Path, done: Fit, warnings: list[str]) -> None:
    history = {
        "best_epoch": done.best.number,
        "popularity": {done.metric: done.popularity},
        "warnings": warnings,
        "epochs": [dataclasses.asdict(epoch) for epoch in done.epochs],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(history, indent=2) + "\n", encoding="utf-8")


class _TensorBoard:
    """Scalars of each epoch, in the folders that TensorBoard shows as two runs."""

    def __init__(self, folder: Path) -> None:
        self._train = tf.summary.create_file_writer(str(folder / "train"))
        self._eval = tf.summary.create_file_writer(str(folder / "eval"))

    def write(self, epoch: Epoch) -> None:
        with self._train.as_default():
            tf.summary.scalar("loss", epoch.loss, epoch.number)
            tf.summary.scalar("seconds", epoch.train_seconds, epoch.number)
        with self._eval.as_default():
            for name, value in epoch.metrics.items():
                tf.summary.scalar(name, value, epoch.number)

    def close(self) -> None:
        self._train.close()
        self._eval.close()
