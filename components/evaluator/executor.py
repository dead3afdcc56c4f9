"""TFX's Evaluator, with a baseline that may be empty and a verdict that can be read."""

from __future__ import annotations

import json
import os
from typing import Any

import tensorflow as tf
from absl import logging
from tfx import types
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as tfx_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, path_utils

from components.evaluator.bounds import SPLIT
from components.evaluator.eval_config import SIGNATURE
from components.evaluator.popularity import popularity_of
from components.evaluator.verdict import read_verdict
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import parse_config

MODEL_FILES = ("saved_model.pb", "model.tflite")


class Executor(tfx_executor.Executor):
    """Leaves out a baseline without a model, then does what TFX's does."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        inputs = dict(input_dict)
        baseline = inputs.pop(standard_component_specs.BASELINE_MODEL_KEY, [])
        # The artifact exists on every orchestrator, so its files tell.
        if present := [artifact for artifact in baseline if holds_model(artifact)]:
            inputs[standard_component_specs.BASELINE_MODEL_KEY] = present
            if exec_properties["gate"] == pb.Gate.Name(pb.SAVED_MODEL):
                check_answers(
                    path_utils.serving_model_dir(present[0].uri),
                    _first_example(input_dict),
                )
        report = None
        if reports := inputs.pop("ingestion_report", []):
            uri = artifact_utils.get_single_uri(reports)
            report = json.loads(io_utils.read_string_file(uri))
        with popularity_of(report):
            super().Do(inputs, output_dict, exec_properties)
        verdict = read_verdict(
            artifact_utils.get_single_uri(
                output_dict[standard_component_specs.EVALUATION_KEY]
            ),
            parse_config(exec_properties["config"]),
            pb.Gate.Value(exec_properties["gate"]),
        )
        if not verdict.blessed:
            _refuse(artifact_utils.get_single_instance(output_dict["blessing"]))
        for line in verdict.lines():
            logging.info(line)
        logging.info(verdict.summary())


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
    folder = artifact_utils.get_split_uri(
        input_dict[standard_component_specs.EXAMPLES_KEY], SPLIT
    )
    files = sorted(fileio.glob(os.path.join(folder, "*")))
    records = tf.data.TFRecordDataset(files, "GZIP").take(1).as_numpy_iterator()
    return next(iter(records), None)
