"""From Transform's TFRecord files to shuffled batches.

Data that fit in memory are decoded once into arrays, of which batches of shuffled
indices are gathered; larger ones are streamed from the files in every epoch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from components.trainer.earlier_items import (
    Activities,
    EarlierItems,
    activities_of,
)
from components.trainer.targets import num_distinct_targets
from components.trainer.ties import shuffled_ties
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError

_DECODE_BATCH = 4096
_SHUFFLE_BUFFER = 65_536
_PARALLEL_CALLS = 2


# A batch: by column, ids int32 or values float32 [batch, length]; seen items ragged.
Batch = dict[str, Any]


@dataclass(frozen=True)
class Columns:
    """Transformed columns to read: those of the model, the label, the seen items.

    Attributes:
      parse_spec: by column.
      label: the label's column.
      num_label_rows: rows of the item table.
      seen: the column of the user's earlier items; empty if they are not wanted. Where
        the examples do not have it, it is told from all of them together.
      context: the column of the context's items, if they are looked at before training;
        else empty.
      max_seen_length: the most earlier items that the device is given.
      shuffled: columns whose steps change places with others of the same moment.
      every_position: whether the context's steps are targets too.
    """

    parse_spec: Mapping[str, Any]
    label: str
    num_label_rows: int
    seen: str = ""
    context: str = ""
    max_seen_length: int = 0
    shuffled: tuple[str, ...] = ()
    every_position: bool = False

    @property
    def joins_timelines(self) -> bool:
        """Whether earlier items are told from all examples together."""
        return bool(self.seen) and self.seen not in self.parse_spec


@dataclass(frozen=True)
class ExampleSet:
    """The examples of a split.

    Attributes:
      files: TFRecord files.
      columns: what is read of them.
      num_examples: in all files.
      label_counts: int64 [rows of the label], how often each item is the label.
      target_counts: int64 [rows of the label], how often each item is a target.
      num_distinct_targets: targets, each once that several examples have.
      arrays: all examples by column if they fit in memory, else empty.
      truncated: how many have more earlier items than the device is given.
      earlier: the users' earlier items, if the examples do not have them.
    """

    files: Sequence[str]
    columns: Columns
    num_examples: int
    label_counts: np.ndarray
    target_counts: np.ndarray
    num_distinct_targets: int
    arrays: Mapping[str, Any] = field(default_factory=dict)
    truncated: int = 0
    earlier: EarlierItems | None = None

    @property
    def in_memory(self) -> bool:
        """Whether the examples are held as arrays."""
        return bool(self.arrays)

    def batches(self, batch_size: int) -> tf.data.Dataset:
        """One pass in the order of the files.

        Returns:
          A dataset of `Batch`.
        """
        if not self.in_memory:
            dataset = read_records(self.files).batch(batch_size)
            return dataset.map(self._parse, _PARALLEL_CALLS).prefetch(2)
        starts = tf.data.Dataset.range(0, self.num_examples, batch_size)
        indices = starts.map(
            lambda start: tf.range(
                start, tf.minimum(start + batch_size, self.num_examples)
            )
        )
        return indices.map(self._gather, _PARALLEL_CALLS).prefetch(2)

    def shuffled_batches(self, batch_size: int, seed: int) -> tf.data.Dataset:
        """Pass after pass without end, each in another order that the seed decides.

        Returns:
          A dataset of `Batch`; the last batch of a pass may be smaller.
        """
        if self.in_memory:
            return (
                tf.data.Dataset.counter()
                .flat_map(lambda epoch: self._shuffled_indices(batch_size, seed, epoch))
                .map(self._gather, _PARALLEL_CALLS)
                .apply(lambda batches: self._with_shuffled_ties(batches, seed))
                .prefetch(4)
            )
        files = tf.data.Dataset.from_tensor_slices(list(self.files))
        records = files.shuffle(len(self.files), seed=seed).interleave(
            lambda file: tf.data.TFRecordDataset(file, _compression(self.files)),
            cycle_length=4,
            num_parallel_calls=_PARALLEL_CALLS,
        )
        shuffled = records.shuffle(_SHUFFLE_BUFFER, seed=seed).batch(batch_size)
        batches = shuffled.repeat().map(self._parse, _PARALLEL_CALLS)
        return self._with_shuffled_ties(batches, seed).prefetch(4)

    def _with_shuffled_ties(
        self, batches: tf.data.Dataset, seed: int
    ) -> tf.data.Dataset:
        names = self.columns.shuffled
        if not names:
            return batches

        def shuffle(step: tf.Tensor, batch: Batch) -> Batch:
            moments = batch.pop(features.CONTEXT_TIMESTAMP)
            seeds = tf.stack([tf.constant(seed, tf.int64), step])
            noise = tf.random.stateless_uniform(tf.shape(moments), seeds)
            items = batch[self.columns.context]
            counts = tf.math.count_nonzero(items, axis=1, dtype=tf.int32)
            moved = shuffled_ties({n: batch[n] for n in names}, moments, counts, noise)
            return batch | moved

        # Numbered, so that the order does not depend on which batch is ready first.
        return batches.enumerate().map(shuffle, _PARALLEL_CALLS)

    def _shuffled_indices(
        self, batch_size: int, seed: int, epoch: tf.Tensor
    ) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(self.num_examples, dtype=tf.int64), tf.stack([seed, epoch])
        )
        starts = tf.data.Dataset.range(0, self.num_examples, batch_size)
        return starts.map(lambda start: order[start : start + batch_size])

    def _gather(self, indices: tf.Tensor) -> Batch:
        return self._with_earlier(
            {name: tf.gather(array, indices) for name, array in self.arrays.items()}
        )

    def _parse(self, serialized: tf.Tensor) -> Batch:
        return self._with_earlier(parse(serialized, self.columns.parse_spec))

    def _with_earlier(self, batch: Batch) -> Batch:
        if features.USER_ID not in batch:
            return batch
        users = batch.pop(features.USER_ID)[:, 0]
        positions = tf.cast(batch.pop(features.LABEL_POSITION)[:, 0], tf.int64)
        if self.earlier is None:
            return batch
        return batch | {self.columns.seen: self.earlier(users, positions)}


def train_columns(config: pb.RecommenderConfig, num_label_rows: int) -> Columns:
    """What training reads.

    Args:
      config: the features.
      num_label_rows: rows of the item table.
    """
    label = config.input.label_feature
    spec = _model_spec(config)
    if config.train.value_loss_weight:
        value = config.input.label_value_feature
        spec[value.feature_name] = column_spec(value)
    context = features.item_feature_name(config)
    context = context if context in spec else ""
    shuffled: tuple[str, ...] = ()
    if config.train.shuffle_ties:
        steps = features.max_context_length(config)
        spec[features.CONTEXT_TIMESTAMP] = tf.io.FixedLenFeature([steps], tf.int64)
        shuffled = _moving_columns(config)
    seen, most = "", 0
    if config.train.leave_out_seen and config.model.seen == pb.TIMELINE:
        seen = features.seen_feature_name(config)
        most = int(config.model.max_seen_length)
    every_position = config.train.targets == pb.EVERY_POSITION
    if seen or every_position:
        spec[features.USER_ID] = tf.io.FixedLenFeature([1], tf.string)
        spec[features.LABEL_POSITION] = tf.io.FixedLenFeature([1], tf.int64)
    return Columns(
        spec,
        label.feature_name,
        num_label_rows,
        seen,
        context,
        most,
        shuffled,
        every_position,
    )


def _moving_columns(config: pb.RecommenderConfig) -> tuple[str, ...]:
    """Columns that go with their activity; the time before it stays at its place."""
    gaps = {
        features.CONTEXT + derived.field
        for derived in config.data.derived_fields
        if derived.derivation == pb.GAP
    }
    return tuple(
        feature.feature_name
        for group in config.input.activity_feature_groups
        for feature in group.features
        if feature.feature_name not in gaps
    )


def eval_columns(config: pb.RecommenderConfig, num_label_rows: int) -> Columns:
    """What evaluation reads: with the seen items, if they are left out.

    Args:
      config: the features.
      num_label_rows: rows of the item table.
    """
    spec = _model_spec(config)
    label = config.input.label_feature.feature_name
    if config.model.seen != pb.TIMELINE:
        return Columns(spec, label, num_label_rows)
    name = features.seen_feature_name(config)
    spec[name] = tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)
    most = int(config.model.max_seen_length)
    return Columns(spec, label, num_label_rows, name, max_seen_length=most)


def _model_spec(config: pb.RecommenderConfig) -> dict[str, Any]:
    used = [*features.context_features(config), config.input.label_feature]
    return {feature.feature_name: column_spec(feature) for feature in used}


def column_spec(feature: pb.Feature) -> tf.io.FixedLenFeature:
    """How a transformed feature is parsed."""
    kind = tf.int64 if features.is_categorical(feature) else tf.float32
    return tf.io.FixedLenFeature([features.num_values(feature)], kind)


def read_examples(
    files: Sequence[str], columns: Columns, max_in_memory_bytes: int, split: str
) -> ExampleSet:
    """Counts the examples of a split and holds them if they are small enough.

    Args:
      files: TFRecord files that Transform wrote, compressed if they end in ``.gz``.
      columns: what to read.
      max_in_memory_bytes: larger data stay on disk.
      split: its name, for the message.

    Raises:
      UserError: if there is no example, or a file cannot be read as such.
    """
    label_counts = np.zeros(columns.num_label_rows, np.int64)
    target_counts = np.zeros(columns.num_label_rows, np.int64)
    parts: list[dict[str, Any]] = []
    shown: list[Activities] = []
    windows: list[np.ndarray] = []
    num_examples = truncated = size = 0
    fits = True
    batches = read_records(files).batch(_DECODE_BATCH)
    try:
        for serialized in batches:
            spec = columns.parse_spec
            if not fits:
                spec = {name: spec[name] for name in _always_read(columns)}
            part = parse(serialized, spec)
            if columns.joins_timelines:
                shown.append(_activities(columns, part))
            elif columns.seen:
                lengths = part[columns.seen].row_lengths().numpy()
                truncated += int((lengths > columns.max_seen_length).sum())
            labels = part[columns.label].numpy()[:, 0]
            label_counts += _count(labels, columns.num_label_rows)
            if columns.every_position:
                following = part[columns.context].numpy()[:, 1:]
                following = following[following != 0]
                target_counts += _count(following, columns.num_label_rows)
                windows.append(_windows(columns, part))
            num_examples += int(serialized.shape[0])
            size += sum(_num_bytes(column) for column in part.values())
            fits = fits and size <= max_in_memory_bytes
            parts = [*parts, part] if fits else []
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        # Without TensorFlow's own names: {{function_node ...}} and [Op:...].
        message = re.sub(r"\{\{.*?\}\} *| *\[Op:\w+\]", "", str(error).splitlines()[0])
        raise UserError(f"the examples of split {split}: {message}") from error
    if not num_examples:
        raise UserError(
            f"split {split} holds no example, expected at least one: are there users "
            f"with enough activities (data.min_timeline_length)?"
        )
    arrays = {}
    if parts:
        arrays = {
            name: tf.concat([part[name] for part in parts], axis=0) for name in parts[0]
        }
    distinct = num_examples
    if columns.every_position:
        distinct = num_distinct_targets(*np.concatenate(windows, axis=1))
    return ExampleSet(
        files,
        columns,
        num_examples,
        label_counts,
        label_counts + target_counts,
        distinct,
        arrays,
        truncated,
        EarlierItems(shown, columns.max_seen_length) if shown else None,
    )


def _count(ids: np.ndarray, num_rows: int) -> np.ndarray:
    known = ids[(ids >= 0) & (ids < num_rows)]
    return np.bincount(known, minlength=num_rows)


def _windows(columns: Columns, part: Batch) -> np.ndarray:
    """Rows of user, label's position and context's length, int64 [3, examples]."""
    # A number in place of a name: all examples' are held at once.
    users = tf.strings.to_hash_bucket_fast(part[features.USER_ID], 2**63 - 1)
    lengths = np.count_nonzero(part[columns.context].numpy(), axis=1)
    positions = part[features.LABEL_POSITION].numpy()
    return np.stack([users.numpy()[:, 0], positions[:, 0], lengths])


def _always_read(columns: Columns) -> list[str]:
    """The columns that are read of all examples before training, in memory or not."""
    names = [columns.label, columns.context]
    if columns.joins_timelines or columns.every_position:
        names += [features.USER_ID, features.LABEL_POSITION]
    elif columns.seen:
        names.append(columns.seen)
    return [name for name in names if name]


def _activities(columns: Columns, part: Batch) -> Activities:
    labels = part[columns.label].numpy()[:, 0]
    contexts = np.zeros((len(labels), 0), np.int32)
    if columns.context:
        contexts = part[columns.context].numpy()
    users = part[features.USER_ID].numpy()[:, 0]
    positions = part[features.LABEL_POSITION].numpy()[:, 0].astype(np.int64)
    return activities_of(users, positions, labels, contexts)


def read_records(files: Sequence[str]) -> tf.data.Dataset:
    """Serialized tf.Examples in the order of the files."""
    return tf.data.TFRecordDataset(list(files), compression_type=_compression(files))


def parse(serialized: tf.Tensor, spec: Mapping[str, Any]) -> Batch:
    """Parses a batch of tf.Examples; ids become int32, which all devices are fast at.

    Args:
      serialized: string [batch].
      spec: by column.
    """
    columns = tf.io.parse_example(serialized, dict(spec))
    return {
        name: tf.cast(column, tf.int32) if column.dtype == tf.int64 else column
        for name, column in columns.items()
    }


def _compression(files: Sequence[str]) -> str:
    return "GZIP" if all(str(file).endswith(".gz") for file in files) else ""


def _num_bytes(column: Any) -> int:
    if isinstance(column, tf.RaggedTensor):
        return _num_bytes(column.flat_values) + _num_bytes(column.row_splits)
    return int(column.dtype.size * tf.size(column))
