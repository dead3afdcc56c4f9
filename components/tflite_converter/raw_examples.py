"""Raw examples, and what a bundle's model makes of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf
from tfx.dsl.io import fileio

from pocketrec_device import Bundle
from pocketrec_device.features import tensors_from_example


def split_examples(folder: str, most: int = -1) -> list[bytes]:
    """Serialized tf.Examples of a split's folder, in the order of its files.

    Args:
      folder: of the split.
      most: how many; -1: all.
    """
    files = sorted(fileio.glob(os.path.join(folder, "*")))
    dataset = tf.data.TFRecordDataset(files, compression_type="GZIP").take(most)
    return list(dataset.as_numpy_iterator())


def example_tensors(bundle: Bundle, examples: Iterable[bytes]) -> dict[str, np.ndarray]:
    """The model's inputs by name, by the bundle's own vocabularies.

    Args:
      bundle: whose model is fed.
      examples: serialized raw tf.Examples, at least one.

    Returns:
      int32 or float32 ``[examples, length]``.
    """
    rows = [
        tensors_from_example(bundle.inputs, raw_columns(example), bundle.vocabularies)
        for example in examples
    ]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def raw_columns(serialized: bytes) -> dict[str, list[Any]]:
    """The values of a serialized tf.Example by column, empty where it has none."""
    example = tf.train.Example.FromString(serialized)
    columns = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        columns[name] = list(getattr(feature, kind).value) if kind else []
    return columns
