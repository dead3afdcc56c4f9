"""Reads the trained model's artifacts and writes the bundle into one of its own."""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components.tflite_converter import bundle
from components.trainer.trainer import DEVICE_MODEL
from configs.loader import parse_config

LOG = "conversion.log"


class Executor(base_executor.BaseExecutor):
    """Thin shell around `bundle.write_bundle`."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        model = artifact_utils.get_single_uri(input_dict["model"])
        transform = artifact_utils.get_single_uri(input_dict["transform_graph"])
        report = artifact_utils.get_single_uri(input_dict["ingestion_report"])
        uri = artifact_utils.get_single_uri(output_dict["tflite_model"])
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder)
            device_model, output = local / DEVICE_MODEL, local / "bundle"
            output.mkdir()
            # The converter and its subprocess work on local files only.
            io_utils.copy_dir(os.path.join(model, DEVICE_MODEL), str(device_model))
            # The log of a failed conversion must outlive this folder and the artifact.
            log = Path(tempfile.gettempdir()) / f"pocketrec-{uuid.uuid4().hex}-{LOG}"
            bundle.write_bundle(
                parse_config(exec_properties["config"]),
                device_model,
                split_examples(
                    artifact_utils.get_split_uri(input_dict["examples"], "catalogue")
                ),
                tft.TFTransformOutput(transform),
                json.loads(io_utils.read_string_file(report)),
                output,
                log,
            )
            io_utils.copy_dir(str(output), path_utils.serving_model_dir(uri))
            fileio.copy(str(log), os.path.join(uri, LOG))
            log.unlink()


def split_examples(folder: str) -> list[bytes]:
    """Serialized tf.Examples of a split's folder, in the order of its files."""
    files = sorted(fileio.glob(os.path.join(folder, "*")))
    dataset = tf.data.TFRecordDataset(files, compression_type="GZIP")
    return list(dataset.as_numpy_iterator())
