"""Where the variants of a bundle lie in the artifact of TFLiteConverter.

``<uri>/<QUANTIZATION>/Format-Serving`` is a bundle, or else
``<uri>/<QUANTIZATION>/failure.txt`` says in one line why there is none.
"""

from __future__ import annotations

import os

from tfx.dsl.io import fileio
from tfx.utils import io_utils

from configs import recommender_pb2 as pb

_FAILURE = "failure.txt"


def variant_uri(uri: str, quantization: str) -> str:
    """The folder of a variant, which is laid out as a Model artifact is."""
    return os.path.join(uri, quantization)


def write_failure(uri: str, quantization: str, reason: str) -> None:
    """Writes why there is no bundle of a variant."""
    path = os.path.join(variant_uri(uri, quantization), _FAILURE)
    io_utils.write_string_file(path, reason)


def converted(uri: str) -> dict[str, str]:
    """Why there is no bundle, empty where there is one, by variant.

    Args:
      uri: of the artifact ``tflite_model``.

    Returns:
      Those with the most bits first.
    """
    found = {}
    for quantization in map(pb.Quantization.Name, pb.Quantization.values()):
        path = os.path.join(variant_uri(uri, quantization), _FAILURE)
        if fileio.exists(path):
            found[quantization] = io_utils.read_string_file(path)
        elif fileio.isdir(variant_uri(uri, quantization)):
            found[quantization] = ""
    return found
