"""TFX's Evaluator, with a baseline that may be empty and a verdict that can be read."""

from __future__ import annotations

import os
from typing import Any

from absl import logging
from tfx import types
from tfx.components.evaluator import executor as tfx_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import path_utils

from components.evaluator.verdict import read_verdict
from configs import recommender_pb2 as pb
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
        super().Do(inputs, output_dict, exec_properties)
        verdict = read_verdict(
            artifact_utils.get_single_uri(
                output_dict[standard_component_specs.EVALUATION_KEY]
            ),
            parse_config(exec_properties["config"]),
            pb.Gate.Value(exec_properties["gate"]),
        )
        for line in verdict.lines():
            logging.info(line)
        if not verdict.blessed:
            logging.warning(verdict.summary())


def holds_model(artifact: types.Artifact) -> bool:
    """Whether a Model artifact has a SavedModel or a bundle in it."""
    folder = path_utils.serving_model_dir(artifact.uri)
    return any(fileio.exists(os.path.join(folder, name)) for name in MODEL_FILES)
