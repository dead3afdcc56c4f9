"""Copies the current version's models and test examples into artifacts."""

from __future__ import annotations

import os
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components.current_model import current
from components.trainer import names
from configs.errors import UserError


class Executor(base_executor.BaseExecutor):
    """Leaves the artifacts' folders empty where nothing is pushed."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        destination = exec_properties["push_destination"]
        expected = exec_properties.get("current_digest")
        if expected and current.current_digest(destination) != expected:
            # Else the cache would give this model for the other one's digest.
            raise UserError(
                f"push destination {destination}: its current version has changed "
                "since the run began. Expected no push or rollback meanwhile: run again"
            )
        outputs = [
            artifact_utils.get_single_uri(output_dict[key])
            for key in ("model", "tflite_model")
        ]
        examples = artifact_utils.get_single_uri(output_dict["examples"])
        training = artifact_utils.get_single_uri(output_dict["training"])
        for uri in (*outputs, training, examples):
            fileio.makedirs(uri)
        models = current.current_models(destination)
        if models is None:
            return
        for source, uri in zip(models, outputs, strict=True):
            io_utils.copy_dir(source, path_utils.serving_model_dir(uri))
        stored = current.stored_examples(destination)
        if stored is not None:
            io_utils.copy_dir(stored, os.path.join(examples, current.TEST_SPLIT))
        kept = current.current_training(destination)
        if kept is not None:
            config, checkpoint, graph = kept
            folder = path_utils.serving_model_dir(training)
            io_utils.copy_file(config, os.path.join(folder, names.BASE_CONFIG))
            io_utils.copy_file(checkpoint, os.path.join(folder, names.BASE_WEIGHTS))
            io_utils.copy_dir(graph, os.path.join(folder, names.BASE_TRANSFORM))
