"""Reads the vocabularies that Transform has built."""

from __future__ import annotations

import os

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.analyzers import get_empy_vocabulary_dummy_value

from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError


def vocabulary_terms(tft_output: tft.TFTransformOutput, name: str) -> list[bytes]:
    """The terms of a vocabulary in the order of their ids, the first has id 2.

    Args:
      tft_output: what Transform wrote.
      name: as `configs.features.vocabulary_name` gives it.

    Raises:
      UserError: if the vocabulary has no term.
    """
    path = _asset(tft_output, name)
    with tf.io.gfile.GFile(path, "rb") as file:
        terms = file.read().splitlines()
    # What TensorFlow Transform writes where it found no term.
    _, dummy = get_empy_vocabulary_dummy_value(tf.string)
    if not terms or terms == [dummy]:
        raise UserError(
            f"vocabulary {name} of size zero: its features have no value in train and "
            "the catalogue"
        )
    return terms


def transformed_feature_rows(
    feature: pb.Feature, tft_output: tft.TFTransformOutput
) -> int:
    """Rows of the embedding table of a feature, padding's included.

    Raises:
      ValueError: if the feature is FLOAT.
    """
    if not features.is_categorical(feature):
        raise ValueError(f"{feature.feature_name} is FLOAT and has no table")
    if features.has_vocabulary(feature):
        terms = vocabulary_terms(tft_output, features.vocabulary_name(feature))
        return len(terms) + features.FIRST_TERM_ID
    return int(feature.vocab_size)


def check_given(config: pb.RecommenderConfig) -> None:
    """Checks the vocabularies that are read from ``data.vocab_dir``, if any are.

    Raises:
      UserError: naming the file that is missing, holds no term or one twice.
    """
    if config.data.build_vocabs:
        return
    for name in features.vocabularies(config):
        path = os.path.join(config.data.vocab_dir, f"{name}.txt")
        if not tf.io.gfile.exists(path):
            raise UserError(f"data.vocab_dir: {path} does not exist, expected a file")
        with tf.io.gfile.GFile(path, "rb") as file:
            terms = file.read().splitlines()
        if not any(term.strip() for term in terms):
            raise UserError(f"{path}: no term, expected one a line")
        first_line: dict[bytes, int] = {}
        for number, term in enumerate(terms, start=1):
            if first_line.setdefault(term, number) != number:
                raise UserError(
                    f"{path}: line {number}: {term.decode(errors='replace')!r} is in "
                    f"line {first_line[term]} too, expected each term once"
                )


def _asset(tft_output: tft.TFTransformOutput, name: str) -> str:
    # A vocabulary that was read from a file keeps that file's name, with its ending.
    folder = os.path.join(tft_output.transform_savedmodel_dir, "assets")
    for candidate in (name, f"{name}.txt"):
        path = os.path.join(folder, candidate)
        if tf.io.gfile.exists(path):
            return path
    raise ValueError(f"no vocabulary {name} among {tf.io.gfile.listdir(folder)}")
