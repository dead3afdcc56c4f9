"""Begins a training with the weights of the version in use.

Ids move whenever a vocabulary changes, so rows of embedding tables are carried over by
their terms.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.trainer import names
from components.trainer.checkpoints import load_checkpoint
from components.trainer.recommendation_model import ModelInputs, RecommendationModel
from components.transform.vocabularies import transformed_feature_rows, vocabulary_terms
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import parse_config

BuildModel = Callable[[pb.RecommenderConfig, ModelInputs], RecommendationModel]


class WarmStartError(UserError):
    """The earlier weights do not fit; training from scratch does."""


@dataclass(frozen=True)
class CarriedOver:
    """What became of a vocabulary's rows.

    Attributes:
      vocabulary: its name.
      kept: terms whose rows were carried over.
      new: terms that were not there before.
      removed: terms that are there no more.
    """

    vocabulary: str
    kept: int
    new: int
    removed: int

    def __str__(self) -> str:
        return (
            f"{self.vocabulary} {self.kept} kept, {self.new} new, "
            f"{self.removed} removed"
        )


def warm_start(
    model: RecommendationModel,
    config: pb.RecommenderConfig,
    inputs: ModelInputs,
    tft_output: tft.TFTransformOutput,
    base_model: str,
    build_model: BuildModel,
) -> list[CarriedOver]:
    """Puts the weights of an earlier training into a model.

    Terms that are new start from the mean of all others; new items from the mean of
    those that have feature values in common with them, weighted by how many.

    Args:
      model: the new one, with weights.
      config: its configuration.
      inputs: what it was made from.
      tft_output: what Transform wrote for it.
      base_model: folder with the earlier training's ``config.pbtxt``, ``transform/``
        and ``best.weights.h5``.
      build_model: makes the earlier model.

    Returns:
      What became of each vocabulary.

    Raises:
      WarmStartError: if there is no earlier training, or its model is another one.
    """
    if not tf.io.gfile.exists(os.path.join(base_model, names.BASE_WEIGHTS)):
        raise WarmStartError("no checkpoint of a current version")
    with tf.io.gfile.GFile(os.path.join(base_model, names.BASE_CONFIG)) as file:
        text = file.read()
    try:
        before = parse_config(text)
        graph = tft.TFTransformOutput(os.path.join(base_model, names.BASE_TRANSFORM))
        earlier = build_model(before, _shapes(before, graph))
        load_checkpoint(earlier, os.path.join(base_model, names.BASE_WEIGHTS))
    except UserError as error:
        raise WarmStartError(f"the current version's training: {error}") from error
    terms = {
        name: (vocabulary_terms(graph, name), vocabulary_terms(tft_output, name))
        for name in features.vocabularies(config)
        if name in features.vocabularies(before)
    }
    vocabulary_of = {
        f"{feature.feature_name}_embedding": features.vocabulary_name(feature)
        for feature in features.all_features(config)
        if features.has_vocabulary(feature)
    }
    item_vocabulary = vocabulary_of.get(
        f"{config.input.label_feature.feature_name}_embedding"
    )
    values = [
        inputs.item_values[feature.feature_name]
        for feature in config.input.label_item_features
        if features.is_categorical(feature)
    ]
    assigned = []
    for old, new in _pairs(earlier, model):
        weights = np.asarray(old)
        vocabulary = vocabulary_of.get(new.name)
        if vocabulary in terms:
            is_item = vocabulary == item_vocabulary
            weights = remap_rows(weights, *terms[vocabulary], values if is_item else [])
        if weights.shape != tuple(new.shape):
            raise WarmStartError(
                f"the current version's {new.path} has the shape {weights.shape}, the "
                f"new model's {tuple(new.shape)}"
            )
        assigned.append((new, weights))
    for variable, weights in assigned:
        variable.assign(weights)
    return [_counted(name, *both) for name, both in terms.items()]


def remap_rows(
    table: np.ndarray,
    terms: Sequence[bytes],
    new_terms: Sequence[bytes],
    item_values: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """A table's rows in the order of another vocabulary.

    Args:
      table: float32 [2 + terms, width]; the first rows are padding and what is out of
        vocabulary.
      terms: that the rows are of.
      new_terms: that rows are wanted of.
      item_values: of an item's table, for each feature its ids for every new row,
        [2 + new terms, length]; 0 is padding.

    Returns:
      float32 [2 + new terms, width].
    """
    first = features.FIRST_TERM_ID
    row_of = {term: row for row, term in enumerate(terms, start=first)}
    source = np.array([row_of.get(term, -1) for term in new_terms], np.int64)
    known = source >= 0
    kept = table[source[known]]
    mean = kept.mean(axis=0) if len(kept) else table[first:].mean(axis=0)
    result = np.empty((first + len(new_terms), table.shape[1]), table.dtype)
    result[:first] = table[:first]
    body = result[first:]
    body[known] = kept
    body[~known] = mean
    if item_values and known.any() and not known.all():
        totals = np.zeros_like(body)
        shared = np.zeros(len(body), table.dtype)
        for ids in item_values:
            total, count = _by_value(ids[first:], known, kept)
            totals += total
            shared += count
        alike = ~known & (shared > 0)
        body[alike] = totals[alike] / shared[alike, np.newaxis]
    return result


def _by_value(
    ids: np.ndarray, known: np.ndarray, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each row the sum of the known rows with its values, and how many there are.

    Args:
      ids: of one feature, [rows, length]; 0 is padding. What a row has twice counts
        once.
      known: bool [rows].
      kept: float32 [known rows, width].

    Returns:
      float32 [rows, width] and float32 [rows].
    """
    ids = np.sort(ids, axis=1)
    once = ids != features.PADDING_ID
    once[:, 1:] &= ids[:, 1:] != ids[:, :-1]
    size = int(ids.max(initial=0)) + 1
    sums, counts = np.zeros((size, kept.shape[1]), kept.dtype), np.zeros(size)
    row, place = np.nonzero(once & known[:, np.newaxis])
    kept_row = np.cumsum(known) - 1
    np.add.at(sums, ids[row, place], kept[kept_row[row]])
    np.add.at(counts, ids[row, place], 1)
    total = np.zeros((len(ids), kept.shape[1]), kept.dtype)
    count = np.zeros(len(ids), kept.dtype)
    for column in range(ids.shape[1]):
        real = once[:, column]
        total[real] += sums[ids[real, column]]
        count[real] += counts[ids[real, column]]
    return total, count


def _shapes(config: pb.RecommenderConfig, graph: tft.TFTransformOutput) -> ModelInputs:
    """Of an earlier model only how large its weights are, not what the data said."""
    label = config.input.label_feature.feature_name
    rows = {
        feature.feature_name: transformed_feature_rows(feature, graph)
        for feature in features.all_features(config)
        if features.is_categorical(feature)
    }
    return ModelInputs(
        rows=rows,
        candidates=np.ones(rows[label], bool),
        item_values={
            feature.feature_name: np.zeros(
                (rows[label], int(feature.feature_length)), np.int32
            )
            for feature in config.input.label_item_features
        },
        boundaries={
            feature.feature_name: np.arange(feature.num_buckets - 1, dtype=np.float32)
            for feature in features.all_features(config)
            if features.is_bucketed(feature) and feature.num_buckets
        },
    )


def _pairs(
    earlier: keras.Model, model: keras.Model
) -> Iterator[tuple[keras.Variable, keras.Variable]]:
    # In the order in which layers were made: their paths count all models of a process.
    theirs, ours = list(earlier.weights), list(model.weights)
    if [weight.name for weight in theirs] != [weight.name for weight in ours]:
        raise WarmStartError(
            f"the current version's model has other weights ({len(theirs)}) than the "
            f"new one ({len(ours)})"
        )
    yield from zip(theirs, ours, strict=True)


def _counted(name: str, terms: Sequence[bytes], new: Sequence[bytes]) -> CarriedOver:
    kept = len(set(terms) & set(new))
    return CarriedOver(name, kept, len(new) - kept, len(terms) - kept)
