"""The ``preprocessing_fn``: values to ids, with masks that come from lengths.

Every vocabulary serves all features of its name: the item's context feature and the
label share theirs, so one id means one item on both sides. Ids: 0 is padding, 1 out of
vocabulary, 2 and on the terms by falling frequency.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from configs import features
from configs import recommender_pb2 as pb
from configs.loader import parse_config

Columns = Mapping[str, Any]


# Of a float32's 23 bits behind the point the first 12.
_ROUNDING = -(1 << 11)
# The sketch then holds more than 150,000 distinct values.
_QUANTILE_ERROR = 1e-4


def preprocessing_fn(
    inputs: Columns, custom_config: Mapping[str, str]
) -> dict[str, Any]:
    """Entry point of TFX's Transform; ``custom_config["config"]`` is the config."""
    return preprocess(inputs, parse_config(custom_config["config"]))


def raw_columns(config: pb.RecommenderConfig, kind: str) -> list[str]:
    """Raw columns that a signature of the model parses.

    Args:
      config: the configuration.
      kind: ``"serve"`` for recommendations, ``"evaluate"`` for the label's rank.

    Raises:
      ValueError: if `kind` is another.
    """
    if kind not in ("serve", "evaluate"):
        raise ValueError(f"kind is 'serve' or 'evaluate'. Received: {kind!r}")
    columns = [features.CONTEXT_LENGTH]
    for feature in features.context_features(config):
        columns.append(feature.feature_name)
        columns.append(_lengths_column(feature))
    if config.model.seen == pb.TIMELINE:
        columns.append(features.seen_feature_name(config))
    if kind == "evaluate":
        columns.append(config.input.label_feature.feature_name)
    return columns


def preprocess(inputs: Columns, config: pb.RecommenderConfig) -> dict[str, Any]:
    """Transformed columns of a batch.

    Args:
      inputs: raw columns, dense ``[batch, length]``, `seen_<item>` sparse; of an
        aligned feature ``[batch, feature_length * values_per_step]``.
      config: the configuration.

    Returns:
      Per feature of the configuration: int64 ids ``[batch, length]``, 0 where padded,
      or float32 ``[batch, length]``; ``context_length`` and ``label_position``
      int64 and ``user_id`` string ``[batch, 1]``; ``context_timestamp`` int64 ``[batch,
      max_context_length]``; ``seen_<item>`` sparse int64 ids;
      per scaled FLOAT feature ``<name>_offset`` and ``<name>_scale`` float32 ``[batch,
      1]``; per FLOAT feature with ``num_buckets`` ``<name>_boundaries`` float32
      ``[batch, num_buckets - 1]``; per INT feature without a vocabulary ``<name>_min``
      and ``<name>_max`` int64 ``[batch, 1]``. The
      last five are the same in every row: this is how analyzed numbers reach the
      trainer.
    """
    outputs: dict[str, Any] = {
        features.CONTEXT_LENGTH: _dense(inputs, features.CONTEXT_LENGTH, 1),
        features.USER_ID: _dense(inputs, features.USER_ID, 1),
        features.LABEL_POSITION: _dense(inputs, features.LABEL_POSITION, 1),
        features.CONTEXT_TIMESTAMP: _dense(
            inputs, features.CONTEXT_TIMESTAMP, features.max_context_length(config)
        ),
    }
    tables = {
        name: _vocabulary(inputs, config, name, members)
        for name, members in features.vocabularies(config).items()
    }
    for feature in features.all_features(config):
        name = feature.feature_name
        values = _dense(inputs, name, features.num_values(feature))
        mask = _mask(inputs, feature)
        if features.has_vocabulary(feature):
            table = tables[features.vocabulary_name(feature)]
            ids = tf.where(mask, _lookup(_tokens(values), table), features.PADDING_ID)
            outputs[name] = ids
        elif feature.feature_type == pb.INT:
            outputs[name] = tf.where(mask, values, features.PADDING_ID)
            outputs |= _raw_id_range(name, values, mask & _analyzed(inputs, feature))
        else:
            outputs[name] = tf.where(mask, values, 0.0)
            analyzed = tf.boolean_mask(values, mask & _analyzed(inputs, feature))
            if feature.scaling != pb.NONE:
                outputs |= _scaling(feature, values, analyzed)
            if feature.num_buckets:
                outputs |= _boundaries(feature, values, analyzed)
    outputs[features.seen_feature_name(config)] = _seen(inputs, config, tables)
    return outputs


def _dense(inputs: Columns, name: str, length: int) -> tf.Tensor:
    return tf.reshape(inputs[name], [-1, length])  # [batch, length]


def _lengths_column(feature: pb.Feature) -> str:
    if feature.values_per_step:
        return features.step_lengths_column(feature.feature_name)
    return features.length_column(feature.feature_name)


def _mask(inputs: Columns, feature: pb.Feature) -> tf.Tensor:
    """Which values are real: bool ``[batch, length]``; ``[1, length]`` if all are."""
    name, length = feature.feature_name, feature.feature_length
    if feature.values_per_step:
        counts = _dense(inputs, _lengths_column(feature), length)
        slots = tf.range(feature.values_per_step, dtype=tf.int64)
        real = slots < counts[..., None]  # [batch, length, values_per_step]
        return tf.reshape(real, [-1, features.num_values(feature)])
    if features.length_column(name) in inputs:
        count = _dense(inputs, features.length_column(name), 1)
    elif features.role_of(name) == features.CONTEXT:
        count = _dense(inputs, features.CONTEXT_LENGTH, 1)
    else:
        count = tf.constant([[1]], tf.int64)
    return tf.range(length, dtype=tf.int64)[None, :] < count


def _analyzed(inputs: Columns, feature: pb.Feature) -> tf.Tensor:
    """Which examples analyzers look at: bool ``[batch, 1]``.

    The catalogue's examples have no context, no user and no value of an activity: of
    them only the item's own features count.
    """
    context_length = _dense(inputs, features.CONTEXT_LENGTH, 1)
    if features.role_of(feature.feature_name) == features.LABEL:
        return tf.ones_like(context_length, tf.bool)
    return context_length > 0


def _tokens(values: tf.Tensor) -> tf.Tensor:
    return values if values.dtype == tf.string else tf.strings.as_string(values)


def _vocabulary(
    inputs: Columns,
    config: pb.RecommenderConfig,
    name: str,
    members: list[pb.Feature],
) -> Any:
    """The vocabulary's file, built from all its features or read from `vocab_dir`."""
    if not config.data.build_vocabs:
        return tf.constant(f"{config.data.vocab_dir}/{name}.txt")
    tokens = []
    for feature in members:
        values = _dense(inputs, feature.feature_name, features.num_values(feature))
        mask = _mask(inputs, feature) & _analyzed(inputs, feature)
        tokens.append(tf.boolean_mask(_tokens(values), mask))
    flat = tf.concat(tokens, axis=0)  # [tokens]
    size = int(members[0].vocab_size)
    return tft.vocabulary(
        tf.boolean_mask(flat, flat != ""),
        top_k=size if size else None,
        vocab_filename=name,
    )


def _lookup(tokens: tf.Tensor, table: Any) -> tf.Tensor:
    term = tft.apply_vocabulary(tokens, table, default_value=-1)
    oov = tf.constant(features.OOV_ID, tf.int64)
    return tf.where(term < 0, oov, term + features.FIRST_TERM_ID)


def _constant(like: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    return tf.fill([tf.shape(like)[0], 1], value)  # [batch, 1]


def _raw_id_range(name: str, values: tf.Tensor, mask: tf.Tensor) -> dict[str, Any]:
    real = tf.boolean_mask(values, mask)
    return {
        f"{name}_min": _constant(values, tft.min(real)),
        f"{name}_max": _constant(values, tft.max(real)),
    }


def _scaling(
    feature: pb.Feature, values: tf.Tensor, analyzed: tf.Tensor
) -> dict[str, Any]:
    if feature.scaling == pb.Z_SCORE:
        # Beam sizes batches by the clock, so in float32 the sums would differ in their
        # last digit from run to run.
        analyzed = tf.cast(analyzed, tf.float64)
        offset = tft.mean(analyzed)
        spread = tf.sqrt(tft.var(analyzed))
    else:
        offset = tft.min(analyzed)
        spread = tft.max(analyzed) - offset
    scale = tf.where(spread > 0, 1.0 / spread, tf.ones_like(spread))
    name = feature.feature_name
    return {
        f"{name}_offset": _constant(values, tf.cast(offset, tf.float32)),
        f"{name}_scale": _constant(values, tf.cast(scale, tf.float32)),
    }


def _boundaries(
    feature: pb.Feature, values: tf.Tensor, analyzed: tf.Tensor
) -> dict[str, Any]:
    """Quantiles of the values, rounded towards 0 to 13 significant bits.

    Beam sizes batches by the clock, and the sketch is the same for any batches as long
    as it holds each distinct value; after rounding there are few.
    """
    bits = tf.bitcast(analyzed, tf.int32)
    rounded = tf.bitcast(tf.bitwise.bitwise_and(bits, _ROUNDING), tf.float32)
    boundaries = tft.quantiles(rounded, feature.num_buckets, _QUANTILE_ERROR)
    rows = tf.shape(values)[0]
    name = features.boundaries_column(feature.feature_name)
    return {name: tf.repeat(boundaries, rows, axis=0)}  # [batch, num_buckets - 1]


def _seen(
    inputs: Columns, config: pb.RecommenderConfig, tables: Mapping[str, Any]
) -> tf.SparseTensor:
    label = config.input.label_feature
    seen = inputs[features.seen_feature_name(config)]
    ids = seen.values
    if features.has_vocabulary(label):
        ids = _lookup(_tokens(ids), tables[features.vocabulary_name(label)])
    return tf.SparseTensor(seen.indices, ids, seen.dense_shape)
