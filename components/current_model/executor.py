"""Copies the current version's models and test examples into artifacts."""

from __future__ import annotations

import os
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components.current_model import bundles, current
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
        version = current.current_version(destination)
        expected = exec_properties.get("current_digest")
        if expected and current.digest_of(destination, version) != expected:
            # Else the cache would give this model for the other one's digest.
            raise UserError(
                f"push destination {destination}: its current version has changed "
                "since the run began. Expected no push or rollback meanwhile: run again"
            )
        uris = {
            key: artifact_utils.get_single_uri(artifacts)
            for key, artifacts in output_dict.items()
        }
        for uri in uris.values():
            fileio.makedirs(uri)
        if version is None:
            return
        parts = current.parts_of(destination, version)
        bundles.verify(parts.bundle)
        for key, source in (
            ("model", parts.saved_model),
            ("tflite_model", parts.bundle),
        ):
            io_utils.copy_dir(source, path_utils.serving_model_dir(uris[key]))
        stored = os.path.join(uris["examples"], current.TEST_SPLIT)
        io_utils.copy_dir(parts.examples, stored)
        if parts.warm_start is not None:
            folder = path_utils.serving_model_dir(uris["training"])
            for source, name in (
                (parts.warm_start.config, names.BASE_CONFIG),
                (parts.warm_start.checkpoint, names.BASE_WEIGHTS),
            ):
                io_utils.copy_file(source, os.path.join(folder, name))
            graph = os.path.join(folder, names.BASE_TRANSFORM)
            io_utils.copy_dir(parts.warm_start.transform, graph)
