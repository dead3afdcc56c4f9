"""TFX's Evaluator, with a baseline that may be empty and a verdict that can be read."""

from __future__ import annotations

import copy
import json
import os
import tempfile
from typing import Any

import tensorflow as tf
from absl import logging
from tfx import types
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as tfx_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, path_utils

from components.evaluator.bounds import EVAL_SPLIT, SPLIT
from components.evaluator.device_checks import MOST_EXAMPLES, check_device
from components.evaluator.eval_config import SIGNATURE
from components.evaluator.popularity import popularity_of
from components.evaluator.stored_examples import stored_rows
from components.evaluator.tflite_extractor import load_ranker
from components.evaluator.variants import Variant, choose, variant_of, write_variants
from components.evaluator.verdict import (
    MetricVerdict,
    Verdict,
    read_verdict,
    write_rows,
)
from components.tflite_converter.manifest import MANIFEST, MODEL
from components.tflite_converter.raw_examples import split_examples
from components.tflite_converter.variants import converted, variant_uri
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import parse_config

TRAINED_MODEL = "trained_model"
STORED_EXAMPLES = "stored_examples"
MODEL_FILES = ("saved_model.pb", MODEL)


class Executor(tfx_executor.Executor):
    """Leaves out a baseline without a model, then does what TFX's does.

    The ``TFLITE`` gate judges each variant of the bundle by itself, in a folder of its
    name; the verdict on the chosen one is the verdict of the gate.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        if exec_properties["gate"] == pb.Gate.Name(pb.TFLITE):
            self._judge_variants(input_dict, output_dict, exec_properties)
        else:
            self._judge(input_dict, output_dict, exec_properties)

    def _judge_variants(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        config = parse_config(exec_properties["config"])
        key = standard_component_specs.MODEL_KEY
        model = artifact_utils.get_single_instance(input_dict[key])
        tried, parts = [], {}
        for name, failure in converted(model.uri).items():
            inputs = {**input_dict, key: [_part(model, name)]}
            parts[name] = {
                k: [_part(artifact_utils.get_single_instance(artifacts), name)]
                for k, artifacts in output_dict.items()
            }
            try:
                if failure:
                    raise UserError(failure)
                verdict = self._judge(inputs, parts[name], exec_properties)
            # Another variant may do.
            except UserError as error:
                logging.warning("variant %s: %s", name, error)
                tried.append(Variant(name, failure=str(error)))
                continue
            tflite, manifest = (
                _content(inputs[key][0], file) for file in (MODEL, MANIFEST)
            )
            tried.append(variant_of(name, tflite, manifest, config, verdict))
        variants = choose(tried)
        for k, artifacts in output_dict.items():
            _take_up(artifacts[0], parts[variants.chosen.quantization][k][0])
        evaluation = output_dict[standard_component_specs.EVALUATION_KEY]
        write_variants(artifact_utils.get_single_uri(evaluation), variants)

    def _judge(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> Verdict:
        inputs = dict(input_dict)
        baseline = inputs.pop(standard_component_specs.BASELINE_MODEL_KEY, [])
        # The artifact exists on every orchestrator, so its files tell.
        present = [artifact for artifact in baseline if holds_model(artifact)]
        if present:
            inputs[standard_component_specs.BASELINE_MODEL_KEY] = present
        if exec_properties["gate"] == pb.Gate.Name(pb.SAVED_MODEL):
            if present:
                check_answers(
                    path_utils.serving_model_dir(present[0].uri),
                    _first_example(input_dict),
                )
        else:
            # Within Beam's pipeline an error would leave that's folder behind.
            for artifact in (*inputs[standard_component_specs.MODEL_KEY], *present):
                load_ranker(path_utils.serving_model_dir(artifact.uri))
        trained = inputs.pop(TRAINED_MODEL, [])
        stored = inputs.pop(STORED_EXAMPLES, [])
        report = None
        if reports := inputs.pop("ingestion_report", []):
            uri = artifact_utils.get_single_uri(reports)
            report = json.loads(io_utils.read_string_file(uri))
        with popularity_of(report):
            super().Do(inputs, output_dict, exec_properties)
        evaluation = artifact_utils.get_single_uri(
            output_dict[standard_component_specs.EVALUATION_KEY]
        )
        config = parse_config(exec_properties["config"])
        gate = pb.Gate.Value(exec_properties["gate"])
        rows = []
        if present and stored:
            rows += _stored_rows(input_dict, present[0], stored[0], config)
        if trained:
            rows += _device_rows(input_dict, trained, config)
        if rows:
            write_rows(evaluation, rows)
        verdict = read_verdict(evaluation, config, gate)
        if not verdict.blessed:
            _refuse(artifact_utils.get_single_instance(output_dict["blessing"]))
        for line in verdict.lines():
            logging.info(line)
        logging.info(verdict.summary())
        return verdict


def _stored_rows(
    input_dict: dict[str, list[types.Artifact]],
    baseline: types.Artifact,
    stored: types.Artifact,
    config: pb.RecommenderConfig,
) -> list[MetricVerdict]:
    model = artifact_utils.get_single_uri(
        input_dict[standard_component_specs.MODEL_KEY]
    )
    candidate, current = (
        load_ranker(path_utils.serving_model_dir(uri)) for uri in (model, baseline.uri)
    )
    folder = os.path.join(stored.uri, f"Split-{SPLIT}")
    return stored_rows(config, candidate, current, split_examples(folder))


def _device_rows(
    input_dict: dict[str, list[types.Artifact]],
    trained: list[types.Artifact],
    config: pb.RecommenderConfig,
) -> list[MetricVerdict]:
    model = artifact_utils.get_single_uri(
        input_dict[standard_component_specs.MODEL_KEY]
    )
    saved_model = artifact_utils.get_single_uri(trained)
    examples = _examples(input_dict, EVAL_SPLIT, MOST_EXAMPLES)
    if not examples:
        raise UserError(f"split {EVAL_SPLIT} holds no example to try the bundle with")
    with tempfile.TemporaryDirectory() as folder:
        io_utils.copy_dir(path_utils.serving_model_dir(model), folder)
        return check_device(
            folder, path_utils.serving_model_dir(saved_model), examples, config
        )


def _content(bundle: types.Artifact, name: str) -> bytes:
    folder = path_utils.serving_model_dir(bundle.uri)
    with fileio.open(os.path.join(folder, name), "rb") as file:
        content: bytes = file.read()
    return content


def _part(artifact: types.Artifact, name: str) -> types.Artifact:
    """What an artifact holds of one variant, as an artifact."""
    part = copy.deepcopy(artifact)
    part.uri = variant_uri(artifact.uri, name)
    return part


def _take_up(artifact: types.Artifact, part: types.Artifact) -> None:
    """Makes what a part holds, and TFX has said of it, the artifact's own."""
    uri = artifact.uri
    artifact.copy_from(part)
    artifact.uri = uri
    for name in fileio.listdir(part.uri):
        name = str(name).rstrip("/")
        fileio.rename(os.path.join(part.uri, name), os.path.join(uri, name))
    fileio.rmtree(part.uri)


def _refuse(blessing: types.Artifact) -> None:
    """Takes back what TFX has blessed without looking at slices."""
    blessed = os.path.join(blessing.uri, constants.BLESSED_FILE_NAME)
    if fileio.exists(blessed):
        fileio.remove(blessed)
    io_utils.write_string_file(
        os.path.join(blessing.uri, constants.NOT_BLESSED_FILE_NAME), ""
    )
    blessing.set_int_custom_property(
        constants.ARTIFACT_PROPERTY_BLESSED_KEY, constants.NOT_BLESSED_VALUE
    )


def holds_model(artifact: types.Artifact) -> bool:
    """Whether a Model artifact has a SavedModel or a bundle in it."""
    folder = path_utils.serving_model_dir(artifact.uri)
    return any(fileio.exists(os.path.join(folder, name)) for name in MODEL_FILES)


def check_answers(saved_model: str, example: bytes | None) -> None:
    """Refuses a current model that cannot read the examples of this run.

    It would fail in the midst of the evaluation, in a Beam worker, where it is not
    known which of the two models it was.

    Args:
      saved_model: its folder.
      example: a serialized tf.Example; None if there is none to read.

    Raises:
      UserError: if the model does not load, lacks the signature or fails.
    """
    try:
        model = tf.saved_model.load(saved_model)
        evaluate = model.signatures[SIGNATURE]
        if example is not None:
            evaluate(examples=tf.constant([example]))
    except (OSError, ValueError, KeyError, AttributeError, tf.errors.OpError) as error:
        # TensorFlow puts its graph's names before and after what is wrong.
        text = " ".join(str(error).split()).partition(" [[{{node")[0]
        reason = text.rpartition("<unknown>, ")[2][:300]
        raise UserError(
            f"the current model cannot be evaluated on these examples: {reason}. "
            "Expected one that was pushed with the same feature lengths and types: "
            "push to another destination, or remove CURRENT there"
        ) from error


def _first_example(input_dict: dict[str, list[types.Artifact]]) -> bytes | None:
    return next(iter(_examples(input_dict, SPLIT, 1)), None)


def _examples(
    input_dict: dict[str, list[types.Artifact]], split: str, most: int
) -> list[bytes]:
    folder = artifact_utils.get_split_uri(
        input_dict[standard_component_specs.EXAMPLES_KEY], split
    )
    return split_examples(folder, most)
