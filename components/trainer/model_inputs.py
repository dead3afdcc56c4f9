"""Reads from Transform's output what the model must know about the data."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.trainer.feature_group_embedding import Scaling, bucket_boundaries
from components.trainer.input_pipeline import column_spec, read_records
from components.trainer.recommendation_model import ModelInputs
from components.transform.vocabularies import transformed_feature_rows
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError

_BATCH = 4096


def read_model_inputs(
    config: pb.RecommenderConfig,
    tft_output: tft.TFTransformOutput,
    catalogue_files: Sequence[str],
) -> ModelInputs:
    """Table sizes, candidates, item features, scalings and boundaries of buckets.

    With an item vocabulary all its items are candidates; without one those of the
    catalogue are, since of the ids in between nothing is known.

    Args:
      config: the features.
      tft_output: what Transform wrote.
      catalogue_files: its examples of the split ``catalogue``.

    Raises:
      UserError: if the catalogue is empty, or an id of an INT feature without a
        vocabulary has no row in the feature's table.
    """
    label = config.input.label_feature
    rows = {
        feature.feature_name: transformed_feature_rows(feature, tft_output)
        for feature in features.all_features(config)
        if features.is_categorical(feature)
    }
    constants = read_constants(config, catalogue_files)
    check_raw_ids(config, constants)
    catalogue = _read_catalogue(config, catalogue_files)
    num_rows = rows[label.feature_name]
    items = catalogue[label.feature_name][:, 0]
    known = (items > features.PADDING_ID) & (items < num_rows)
    if features.has_vocabulary(label):
        candidates = np.arange(num_rows) >= features.FIRST_TERM_ID
    else:
        candidates = np.zeros(num_rows, bool)
        candidates[items[known]] = True
    item_values = {}
    for feature in config.input.label_item_features:
        column = catalogue[feature.feature_name]
        values = np.zeros((num_rows, column.shape[1]), column.dtype)
        values[items[known]] = column[known]
        item_values[feature.feature_name] = values
    return ModelInputs(
        rows,
        candidates,
        item_values,
        scalings(config, constants),
        boundaries(config, catalogue_files),
    )


def read_constants(
    config: pb.RecommenderConfig, files: Sequence[str]
) -> dict[str, float]:
    """The numbers that Transform analyzed, which each of its examples repeats.

    Returns:
      By column: ``<name>_offset`` and ``<name>_scale`` of scaled FLOAT features,
      ``<name>_min`` and ``<name>_max`` of INT features without a vocabulary.

    Raises:
      UserError: if there is no example.
    """
    spec: dict[str, Any] = {}
    for feature in features.all_features(config):
        name = feature.feature_name
        if feature.feature_type == pb.FLOAT and feature.scaling != pb.NONE:
            for column in (f"{name}_offset", f"{name}_scale"):
                spec[column] = tf.io.FixedLenFeature([1], tf.float32)
        elif feature.feature_type == pb.INT and not features.has_vocabulary(feature):
            for column in (f"{name}_min", f"{name}_max"):
                spec[column] = tf.io.FixedLenFeature([1], tf.int64)
    parsed = _first_example(files, spec)
    return {name: value[0].item() for name, value in parsed.items()}


def check_raw_ids(config: pb.RecommenderConfig, constants: Mapping[str, float]) -> None:
    """Checks that ids without a vocabulary lie inside their feature's table.

    No item has the id 0; of other fields 0 stands for a value that is missing, such as
    the year of a film without one, and becomes padding.

    Args:
      config: the features.
      constants: from `read_constants`.

    Raises:
      UserError: naming the feature, the value and the range.
    """
    for feature in features.all_features(config):
        name = feature.feature_name
        if f"{name}_min" not in constants:
            continue
        smallest, largest = constants[f"{name}_min"], constants[f"{name}_max"]
        if smallest > largest:
            continue  # No value at all: the two are what an empty minimum starts from.
        is_item = features.field_of(name) == features.item_field(config)
        first, last = int(is_item), int(feature.vocab_size) - 1
        for value in (smallest, largest):
            if not first <= value <= last:
                raise UserError(
                    f"{name}: value {value} in the data is not allowed. Expected "
                    f"{first} to {last} (vocab_size {feature.vocab_size}, and 0 is "
                    f"padding), or a vocab_name"
                )


def scalings(
    config: pb.RecommenderConfig, constants: Mapping[str, float]
) -> dict[str, Scaling]:
    """Scalings of FLOAT features by name; those without one are not in it."""
    return {
        f.feature_name: Scaling(
            constants[f"{f.feature_name}_offset"], constants[f"{f.feature_name}_scale"]
        )
        for f in features.all_features(config)
        if f"{f.feature_name}_offset" in constants
    }


def boundaries(
    config: pb.RecommenderConfig, files: Sequence[str]
) -> dict[str, np.ndarray]:
    """Between the buckets of FLOAT features, by name; of others there are none.

    Args:
      config: the features.
      files: examples of Transform, each of which repeats what it analyzed.

    Returns:
      float32 [buckets - 1] for each, ascending.

    Raises:
      UserError: if there is no example.
    """
    bucketed = [f for f in features.all_features(config) if features.is_bucketed(f)]
    spec = {
        features.boundaries_column(f.feature_name): tf.io.FixedLenFeature(
            [int(f.num_buckets) - 1], tf.float32
        )
        for f in bucketed
        if f.num_buckets
    }
    parsed = _first_example(files, spec)
    analyzed = {
        f.feature_name: parsed[features.boundaries_column(f.feature_name)]
        for f in bucketed
        if f.num_buckets
    }
    return {f.feature_name: bucket_boundaries(f, analyzed) for f in bucketed}


def _first_example(
    files: Sequence[str], spec: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """What all examples repeat: the columns of the first."""
    for serialized in read_records(files).take(1):
        parsed = tf.io.parse_single_example(serialized, dict(spec)) if spec else {}
        return {name: value.numpy() for name, value in parsed.items()}
    raise UserError("the catalogue holds no item, expected at least one")


def check_aligned(config: pb.RecommenderConfig, columns: Container[str]) -> None:
    """Checks that every feature's steps are those of the context.

    Args:
      config: the features and what is trained.
      columns: names of all raw columns.

    Raises:
      UserError: if training looks at single steps, and a feature has its values one
        after the other, so that nobody knows which are of which step.
    """
    knobs = {
        "targets: EVERY_POSITION": config.train.targets == pb.EVERY_POSITION,
        "shuffle_ties: true": config.train.shuffle_ties,
    }
    wanting = [knob for knob, wants in knobs.items() if wants]
    if not wanting:
        return
    for group in config.input.activity_feature_groups:
        for feature in group.features:
            name = feature.feature_name
            if features.length_column(name) in columns:
                raise UserError(
                    f"train.{wanting[0]} is not allowed with {name}, whose values "
                    f"stand one after the other. Expected values_per_step for it"
                )


def _read_catalogue(
    config: pb.RecommenderConfig, files: Sequence[str]
) -> dict[str, np.ndarray]:
    spec = {f.feature_name: column_spec(f) for f in features.label_features(config)}
    parts = [
        {name: column.numpy() for name, column in tf.io.parse_example(b, spec).items()}
        for b in read_records(files).batch(_BATCH)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in spec}
