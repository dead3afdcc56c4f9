"""Reads the examples that TimelineExampleGen wrote, as arrays of item numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from benchmarks.activities import Activities, rebuild
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError

Ints = npt.NDArray[np.integer]

_BATCH = 4096


@dataclass(frozen=True)
class Columns:
    """Columns of a split, raw.

    Attributes:
      user: bytes ``[examples]``.
      position: int64 ``[examples]``, activities before the label.
      label: raw item ids ``[examples]``, int64 or bytes.
      context: raw item ids ``[examples, length]``, oldest first, padded at the end.
      context_length: int64 ``[examples]``, how many of these are real.
      seen: all raw item ids before the label, of all examples one after the other.
      seen_count: int64 ``[examples]``.
    """

    user: npt.NDArray[Any]
    position: Ints
    label: npt.NDArray[Any]
    context: npt.NDArray[Any]
    context_length: Ints
    seen: npt.NDArray[Any]
    seen_count: Ints


@dataclass(frozen=True)
class EvaluationSet:
    """The examples of a split to test on, items numbered from 0, -1 if not known.

    Attributes:
      labels: int64 ``[examples]``.
      histories: all earlier items of each, oldest first.
      contexts: the last ones of each.
    """

    labels: Ints
    histories: list[Ints]
    contexts: list[Ints]


def read_columns(config: pb.RecommenderConfig, folder: Path, split: str) -> Columns:
    """Reads a split.

    Args:
      config: the one that the examples were made with.
      folder: holds ``Split-<name>`` folders.
      split: its name.

    Raises:
      UserError: if there are no examples, or they do not fit the configuration.
    """
    item = features.item_field(config)
    label, context, seen = (
        f"{role}{item}" for role in (features.LABEL, features.CONTEXT, features.SEEN)
    )
    length = features.column_lengths(config).get(
        context, features.max_context_length(config)
    )
    is_int = config.input.label_feature.feature_type == pb.INT
    kind = tf.int64 if is_int else tf.string
    spec = {
        "user_id": tf.io.FixedLenFeature([], tf.string),
        "label_position": tf.io.FixedLenFeature([], tf.int64),
        label: tf.io.FixedLenFeature([], kind),
        context: tf.io.FixedLenFeature([length], kind),
        "context_length": tf.io.FixedLenFeature([], tf.int64),
        seen: tf.io.RaggedFeature(kind, row_splits_dtype=tf.int64),
    }
    batches = list(_batches(folder / f"Split-{split}", spec))

    def column(name: str) -> npt.NDArray[Any]:
        return np.concatenate([batch[name].numpy() for batch in batches])

    return Columns(
        user=column("user_id"),
        position=column("label_position"),
        label=column(label),
        context=column(context),
        context_length=np.minimum(column("context_length"), length),
        seen=np.concatenate([batch[seen].flat_values.numpy() for batch in batches]),
        seen_count=np.concatenate([b[seen].row_lengths().numpy() for b in batches]),
    )


def catalogue(parts: Sequence[Columns]) -> npt.NDArray[Any]:
    """All raw item ids of some splits, sorted; an item's number is its place here.

    Args:
      parts: the split ``catalogue`` and those that are fitted on.
    """
    raw = []
    for part in parts:
        real = np.arange(part.context.shape[1]) < part.context_length[:, None]
        raw += [part.label, part.context[real]]
    return np.unique(np.concatenate(raw))


def activities(items: npt.NDArray[Any], parts: Sequence[Columns]) -> Activities:
    """The timelines that the examples of some splits show together."""
    users = np.unique(np.concatenate([part.user for part in parts]))
    together = [
        rebuild(
            np.searchsorted(users, part.user),
            part.position,
            item_numbers(items, part.label),
            item_numbers(items, part.context),
            part.context_length,
        )
        for part in parts
    ]
    user, position, item = (
        np.concatenate([getattr(part, name) for part in together])
        for name in ("user", "position", "item")
    )
    none = np.zeros((len(user), 0), np.int64)
    # Once more: what one split has as label another has in its contexts.
    return rebuild(user, position, item, none, np.zeros(len(user), np.int64))


def evaluation_set(items: npt.NDArray[Any], part: Columns) -> EvaluationSet:
    """A split's examples to test on."""
    numbers = item_numbers(items, part.seen)
    context = item_numbers(items, part.context)
    return EvaluationSet(
        labels=item_numbers(items, part.label),
        histories=np.split(numbers, np.cumsum(part.seen_count)[:-1]),
        contexts=[
            row[:count] for row, count in zip(context, part.context_length, strict=True)
        ],
    )


def item_numbers(items: npt.NDArray[Any], raw: npt.NDArray[Any]) -> Ints:
    """Places of raw ids in the sorted catalogue, -1 for those that it does not have."""
    place = np.minimum(np.searchsorted(items, raw), len(items) - 1)
    return np.where(items[place] == raw, place, -1)


def _batches(folder: Path, spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    files = sorted(str(path) for path in folder.glob("*") if path.is_file())
    if not files:
        raise UserError(
            f"{folder}: no examples here. Expected what `pocketrec examples` writes"
        )
    empty = True
    kind = "GZIP" if files[0].endswith(".gz") else ""
    dataset = tf.data.TFRecordDataset(files, compression_type=kind).batch(_BATCH)
    try:
        for serialized in dataset:
            empty = False
            yield tf.io.parse_example(serialized, spec)
    except tf.errors.InvalidArgumentError as error:
        reason = " ".join(error.message.split())[:200]
        raise UserError(
            f"{folder}: the examples do not fit the configuration: {reason}"
        ) from error
    if empty:
        raise UserError(f"{folder}: holds no example. Expected at least one")
