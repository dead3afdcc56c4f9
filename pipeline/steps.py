"""Single steps outside a pipeline, through the functions that the pipeline runs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow_transform as tft
from tfx.components.schema_gen import executor as schema_gen
from tfx.components.statistics_gen import executor as statistics_gen
from tfx.components.transform import executor as transform
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2, transform_pb2
from tfx.types import Artifact, standard_artifacts
from tfx.utils import proto_utils

from components.example_validator import executor as example_validator
from components.tflite_converter.bundle import describe, write_bundle
from components.tflite_converter.executor import LOG, calibration_samples
from components.tflite_converter.raw_examples import split_examples
from components.timeline_example_gen.generate import REPORT_FILE, generate_examples
from components.timeline_example_gen.report_text import report_lines
from components.trainer.run_fn import matching_files
from components.trainer.trainer import (
    DEVICE_MODEL,
    export_from_checkpoint,
    train_model,
)
from components.transform.vocabularies import check_given
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import config_to_text, parse_config
from pipeline.local_runner import BEAM_PIPELINE_ARGS
from pipeline.pipeline import CATALOGUE, PREPROCESSING_FN, SPLITS, columns_text

CONFIG = "config.pbtxt"
TRANSFORM = "transform"
GRAPH = "graph"
EXAMPLES = "examples"
MODEL = "model"
SERVING = "Format-Serving"


def make_examples(
    config: pb.RecommenderConfig,
    data: Path,
    output: Path,
    beam_pipeline_args: Sequence[str] | None = None,
) -> Iterator[str]:
    """Writes ``Split-<name>`` folders and ``ingestion_report.json`` into `output`.

    Args:
      config: a valid configuration.
      data: folder of the activities, items and users.
      output: a new folder.
      beam_pipeline_args: options for Beam; None: its runner in memory.
    """
    report = generate_examples(
        config, str(data), str(output), beam_pipeline_args=beam_pipeline_args
    )
    (output / CONFIG).write_text(columns_text(config), encoding="utf-8")
    yield from report_lines(report)
    yield f"Written: {output}"


def train(
    config: pb.RecommenderConfig,
    examples: Path,
    output: Path,
    echo: Callable[[str], None],
) -> Iterator[str]:
    """Validates and transforms the examples, then trains a model.

    Raises:
      UserError: if the examples are not complete or do not fit the configuration.
    """
    _expect_examples(config, examples)
    check_given(config)
    output.mkdir(parents=True, exist_ok=True)
    transformed = transform_examples(config, examples, output / TRANSFORM)
    result = train_model(
        config,
        train_files=split_files(transformed, "train"),
        eval_files=split_files(transformed, "eval"),
        catalogue_files=split_files(transformed, CATALOGUE),
        transform_output=str(output / TRANSFORM / GRAPH),
        serving_model_dir=str(output / MODEL / SERVING),
        model_run_dir=str(output),
        report=echo,
    )
    # Last: with it the folder is complete.
    (output / CONFIG).write_text(_trained_text(config), encoding="utf-8")
    yield f"Best epoch: {result.fit.best.number}"
    yield f"Checkpoint: {result.checkpoint}"
    yield f"Model: {output / MODEL / SERVING}"


def export(
    config: pb.RecommenderConfig,
    checkpoint: Path,
    training: Path,
    examples: Path,
    output: Path,
) -> Iterator[str]:
    """Writes the bundle of a checkpoint's weights into `output`, whole or not at all.

    Raises:
      UserError: if the examples or what training wrote are not complete or were made
        with another configuration, the checkpoint does not fit, or several variants are
        configured.
    """
    quantization, *others = features.quantizations(config)
    if others:
        names = ", ".join(pb.Quantization.Name(q) for q in config.push.quantization)
        raise UserError(
            f"push.quantization: {names} is not allowed. Expected one: no gate is "
            "here to choose by"
        )
    _expect_examples(config, examples)
    _expect_same(training, _trained_text(config), "pocketrec train")
    graph = str(training / TRANSFORM / GRAPH)
    place = output.resolve()
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".export-") as folder:
        model, bundle = Path(folder) / MODEL, Path(folder) / "bundle"
        export_from_checkpoint(
            config,
            checkpoint,
            transform_output=graph,
            catalogue_files=split_files(training / TRANSFORM / EXAMPLES, CATALOGUE),
            serving_model_dir=str(model / SERVING),
        )
        bundle.mkdir()
        description = describe(
            config,
            split_examples(str(examples / f"Split-{CATALOGUE}")),
            tft.TFTransformOutput(graph),
            json.loads((examples / REPORT_FILE).read_text(encoding="utf-8")),
        )
        write_bundle(
            description,
            model / DEVICE_MODEL,
            quantization,
            calibration_samples([quantization], str(examples / "Split-train")),
            bundle,
            place.with_name(f"{place.name}-{LOG}"),
        )
        bundle.replace(place)
    yield f"Bundle: {output}"


def _expect_examples(config: pb.RecommenderConfig, examples: Path) -> None:
    command = "pocketrec examples"
    for name in [*(f"Split-{split}" for split in SPLITS), REPORT_FILE]:
        if not (examples / name).exists():
            raise UserError(
                f"{examples}: has no {name}, expected what `{command}` wrote"
            )
    for split in SPLITS:
        if not split_files(examples, split):
            raise UserError(
                f"{examples}: Split-{split} has no file, expected what `{command}` "
                "wrote"
            )
    _expect_same(examples, columns_text(config), command)


def _expect_same(folder: Path, text: str, command: str) -> None:
    """Refuses what was made with another configuration."""
    written = folder / CONFIG
    if not written.is_file():
        raise UserError(
            f"{folder}: has no {CONFIG}, expected all that `{command}` wrote"
        )
    theirs = _settings(parse_config(written.read_text(encoding="utf-8")))
    ours = _settings(parse_config(text))
    for path in dict.fromkeys([*ours, *theirs]):
        there, here = theirs.get(path, "not set"), ours.get(path, "not set")
        if there != here:
            raise UserError(
                f"{folder}: made by `{command}` with another configuration: {path} is "
                f"{there} there and {here} here. Expected the same"
            )


def _trained_text(config: pb.RecommenderConfig) -> str:
    """What the transformed examples and the meaning of the weights depend on."""
    part = pb.RecommenderConfig()
    part.input.CopyFrom(config.input)
    part.data.CopyFrom(config.data)
    return config_to_text(part)


def _settings(part: Any, prefix: str = "") -> dict[str, str]:
    """The fields that are set, by path."""
    settings: dict[str, str] = {}
    for field, value in part.ListFields():
        several = hasattr(value, "extend")
        for index, element in enumerate(value if several else [value]):
            path = f"{prefix}{field.name}.{index}" if several else prefix + field.name
            if field.message_type is not None:
                settings |= _settings(element, f"{path}.")
            elif field.enum_type is not None:
                settings[path] = field.enum_type.values_by_number[element].name
            else:
                settings[path] = repr(element)
    return settings


def split_files(examples: Path, split: str) -> list[str]:
    """The files of a split, in one order."""
    return matching_files([str(examples / f"Split-{split}" / "*")])


def transform_examples(
    config: pb.RecommenderConfig, examples: Path, output: Path
) -> Path:
    """Statistics, schema, validation, Transform.

    Args:
      config: the one that the examples were made with.
      examples: what `make_examples` wrote.
      output: a folder.

    Returns:
      The folder of the transformed examples, below `output`.

    Raises:
      UserError: if the examples do not fit the configuration.
    """
    raw = standard_artifacts.Examples()
    raw.uri = str(examples)
    raw.splits = list(SPLITS)
    examples_utils.set_payload_format(raw, example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(raw, "tfrecords_gzip")
    statistics = _artifact(standard_artifacts.ExampleStatistics, output / "statistics")
    schema = _artifact(standard_artifacts.Schema, output / "schema")
    anomalies = _artifact(standard_artifacts.ExampleAnomalies, output / "anomalies")
    graph = _artifact(standard_artifacts.TransformGraph, output / GRAPH)
    transformed = _artifact(standard_artifacts.Examples, output / EXAMPLES)
    excluded = json.dumps([CATALOGUE])
    text = config_to_text(config)
    with tempfile.TemporaryDirectory() as folder:
        context = base_beam_executor.BaseBeamExecutor.Context(
            beam_pipeline_args=list(BEAM_PIPELINE_ARGS), tmp_dir=folder
        )
        statistics_gen.Executor(context).Do(
            {"examples": [raw]},
            {"statistics": [statistics]},
            {"exclude_splits": excluded},
        )
        schema_gen.Executor().Do(
            {"statistics": [statistics]},
            {"schema": [schema]},
            {"exclude_splits": excluded, "infer_feature_shape": 1},
        )
        example_validator.Executor().Do(
            {"statistics": [statistics], "schema": [schema]},
            {"anomalies": [anomalies]},
            {"exclude_splits": excluded, "config": text},
        )
        splits_config = transform_pb2.SplitsConfig(
            analyze=["train", CATALOGUE], transform=list(SPLITS)
        )
        transform.Executor(context).Do(
            {"examples": [raw], "schema": [schema]},
            {"transform_graph": [graph], "transformed_examples": [transformed]},
            {
                "preprocessing_fn": PREPROCESSING_FN,
                "custom_config": json.dumps({"config": text}),
                "splits_config": proto_utils.proto_to_json(splits_config),
                "disable_statistics": 1,
                "force_tf_compat_v1": 0,
                "disable_analyzer_cache": 1,
            },
        )
    return output / EXAMPLES


def _artifact(kind: type[Artifact], path: Path) -> Any:
    artifact = kind()
    artifact.uri = str(path)
    return artifact
