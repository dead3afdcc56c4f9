"""Reads the trained model's artifacts and writes a bundle for each variant."""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow_transform as tft
from absl import logging
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components.tflite_converter import bundle
from components.tflite_converter.convert import ConversionError
from components.tflite_converter.raw_examples import split_examples
from components.tflite_converter.variants import variant_uri, write_failure
from components.trainer.trainer import DEVICE_MODEL
from configs import features
from configs import recommender_pb2 as pb
from configs.loader import parse_config

LOG = "conversion.log"

# Examples of train that the ranges of INT8 are read off, out of the first so many.
_SAMPLES = 200
_SAMPLED_FROM = 20_000


class Executor(base_executor.BaseExecutor):
    """Thin shell around `bundle.write_bundle`."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        config = parse_config(exec_properties["config"])
        model = artifact_utils.get_single_uri(input_dict["model"])
        transform = artifact_utils.get_single_uri(input_dict["transform_graph"])
        report = artifact_utils.get_single_uri(input_dict["ingestion_report"])
        examples = input_dict["examples"]
        uri = artifact_utils.get_single_uri(output_dict["tflite_model"])
        description = bundle.describe(
            config,
            split_examples(artifact_utils.get_split_uri(examples, "catalogue")),
            tft.TFTransformOutput(transform),
            json.loads(io_utils.read_string_file(report)),
        )
        wanted = features.quantizations(config)
        samples = calibration_samples(
            wanted, artifact_utils.get_split_uri(examples, "train")
        )
        failures = []
        with tempfile.TemporaryDirectory() as folder:
            # The converter and its subprocess work on local files only.
            device_model = Path(folder) / DEVICE_MODEL
            io_utils.copy_dir(os.path.join(model, DEVICE_MODEL), str(device_model))
            for quantization in wanted:
                output = Path(folder) / pb.Quantization.Name(quantization)
                output.mkdir()
                # The log of a failure must outlive this folder and the artifact.
                log = Path(tempfile.gettempdir())
                log /= f"pocketrec-{uuid.uuid4().hex}-{LOG}"
                try:
                    bundle.write_bundle(
                        description, device_model, quantization, samples, output, log
                    )
                # Another variant may do.
                except ConversionError as error:
                    logging.warning("variant %s: %s", output.name, error)
                    failures.append(error)
                    write_failure(uri, output.name, str(error))
                    continue
                variant = variant_uri(uri, output.name)
                io_utils.copy_dir(str(output), path_utils.serving_model_dir(variant))
                fileio.copy(str(log), os.path.join(variant, LOG))
                log.unlink()
        if len(failures) == len(wanted):
            raise failures[0]


def calibration_samples(
    wanted: Sequence[pb.Quantization], train: str
) -> Sequence[bytes]:
    """Examples that the ranges of ``INT8`` are read off, if that is wanted.

    Args:
      wanted: the variants to make.
      train: folder of the split.

    Returns:
      Serialized raw tf.Examples, evenly spaced over the first ones: neighbours are of
      one user.
    """
    if pb.INT8 not in wanted:
        return ()
    examples = split_examples(train, _SAMPLED_FROM)
    return examples[:: max(1, len(examples) // _SAMPLES)][:_SAMPLES]
