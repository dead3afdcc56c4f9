"""Reads the trained model's artifacts and writes a bundle for each variant."""

from __future__ import annotations

import functools
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
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
from components.tflite_converter.manifest import MODEL
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
            convert = functools.partial(
                _convert, description, device_model, samples, Path(folder)
            )
            sizes = {}
            for quantization in wanted:
                try:
                    sizes[quantization] = convert(quantization, uri)
                # Another variant may do.
                except ConversionError as error:
                    name = pb.Quantization.Name(quantization)
                    logging.warning("variant %s: %s", name, error)
                    failures.append(error)
                    write_failure(uri, name, str(error))
            if len(failures) == len(wanted):
                raise failures[0]
            if not set(wanted) & {pb.FLOAT32, pb.FLOAT16}:
                _keep_float_if_smaller(sizes, convert, uri)


def _convert(
    description: bundle.Description,
    device_model: Path,
    samples: Sequence[bytes],
    folder: Path,
    quantization: pb.Quantization,
    uri: str,
) -> int:
    """Writes a variant and its log into the artifact; returns the model's bytes."""
    output = folder / pb.Quantization.Name(quantization)
    output.mkdir()
    # The log of a failure must outlive this folder and the artifact.
    log = Path(tempfile.gettempdir()) / f"pocketrec-{uuid.uuid4().hex}-{LOG}"
    bundle.write_bundle(description, device_model, quantization, samples, output, log)
    variant = variant_uri(uri, output.name)
    io_utils.copy_dir(str(output), path_utils.serving_model_dir(variant))
    fileio.copy(str(log), os.path.join(variant, LOG))
    log.unlink()
    return (output / MODEL).stat().st_size


def _keep_float_if_smaller(
    sizes: Mapping[pb.Quantization, int],
    convert: Callable[[pb.Quantization, str], int],
    uri: str,
) -> None:
    """Puts floats in the place of variants in 8 bits that save nothing.

    What 8 bits need beside the weights is more than they save where these are few.
    """
    of_floats = convert(pb.FLOAT32, uri)
    smaller = [size for size in sizes.values() if size < of_floats]
    for quantization, size in sizes.items():
        if size >= of_floats:
            name = pb.Quantization.Name(quantization)
            fileio.rmtree(variant_uri(uri, name))
            reason = (
                f"its {size:,} bytes are no fewer than the {of_floats:,} of FLOAT32"
            )
            logging.warning("variant %s: %s", name, reason)
            write_failure(uri, name, reason)
    if smaller:
        fileio.rmtree(variant_uri(uri, pb.Quantization.Name(pb.FLOAT32)))


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
