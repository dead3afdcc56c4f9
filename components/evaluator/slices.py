"""What the examples are sliced by, made ready for TensorFlow Model Analysis.

It makes a slice of every distinct value of a column, padding included, and knows only
columns that are there. So padding is taken off before, and the column that tells how
popular the label's item is gets added, from what the ingestion report says of train.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.extractors import slice_key_extractor
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.bounds import POPULARITY, TAIL
from components.evaluator.popularity import known_buckets
from configs.errors import UserError
from configs.features import LABEL, USER, length_column


def custom_extractors(
    eval_shared_model: Any,
    eval_config: config_pb2.EvalConfig,
    tensor_adapter_config: Any,
) -> list[tfma.extractors.Extractor]:
    """Called by TFX's Evaluator for a SavedModel: its usual extractors, and ours.

    Raises:
      UserError: see `with_slice_columns`.
    """
    return with_slice_columns(
        tfma.default_extractors(
            eval_shared_model=eval_shared_model,
            eval_config=eval_config,
            tensor_adapter_config=tensor_adapter_config,
        ),
        eval_config,
        tensor_adapter_config,
    )


def with_slice_columns(
    extractors: Sequence[tfma.extractors.Extractor],
    eval_config: config_pb2.EvalConfig,
    tensor_adapter_config: Any,
) -> list[tfma.extractors.Extractor]:
    """The extractors, with one before the slicing that makes its columns ready.

    Raises:
      UserError: if a column to slice by is not in the examples, or holds floats, or the
        popularity of items is not known.
    """
    names = [key for spec in eval_config.slicing_specs for key in spec.feature_keys]
    if tensor_adapter_config is not None:
        _check_columns(names, tensor_adapter_config.arrow_schema)
    buckets = known_buckets()
    if POPULARITY in names and buckets is None:
        raise UserError(
            f"eval.slice_features: {POPULARITY} is not allowed. Expected no such slice "
            "without an ingestion report, which tells what is popular in train"
        )
    label = eval_config.model_specs[0].label_key
    ready = tfma.extractors.Extractor(
        "SliceColumns", beam.ParDo(_SliceColumns(names, label, buckets or {}))
    )
    result = list(extractors)
    stages = [extractor.stage_name for extractor in result]
    place = stages.index(slice_key_extractor.SLICE_KEY_EXTRACTOR_STAGE_NAME)
    return [*result[:place], ready, *result[place:]]


def slice_values(values: np.ndarray, length: int | None) -> np.ndarray:
    """The values of a column that are no padding.

    Args:
      values: of one example, ``[n]``.
      length: how many are real, where a column tells; an empty text never is.
    """
    kept = [value for value in values[:length].tolist() if value not in (b"", "")]
    return np.array(kept, values.dtype)


def _check_columns(names: Sequence[str], schema: pa.Schema) -> None:
    for name in names:
        if name == POPULARITY:
            continue
        if name not in schema.names:
            columns = [
                field.name
                for field in schema
                if field.name.startswith((LABEL, USER)) and not _holds_floats(field)
            ]
            raise UserError(
                f"eval.slice_features: {name!r} is no column of the examples. Expected "
                f"{POPULARITY} or one of {', '.join(columns)}"
            )
        if _holds_floats(schema.field(name)):
            raise UserError(
                f"eval.slice_features: {name!r} holds floats. Expected texts or whole "
                "numbers: each value becomes a slice"
            )


def _holds_floats(field: pa.Field) -> bool:
    return bool(pa.types.is_floating(getattr(field.type, "value_type", field.type)))


class _SliceColumns(beam.DoFn):
    """Replaces the columns to slice by, in each example's features."""

    def __init__(
        self, names: Sequence[str], label: str, buckets: Mapping[str, str]
    ) -> None:
        self._names = list(names)
        self._label = label
        self._buckets = buckets

    def process(self, extracts: dict[str, Any]) -> Iterator[dict[str, Any]]:
        features = dict(extracts[tfma.FEATURES_KEY])
        for name in self._names:
            if name == POPULARITY:
                item = np.asarray(features[self._label]).flatten()[0]
                features[name] = np.array([self._bucket(item)], object)
            elif name in features:
                length = features.get(length_column(name))
                features[name] = slice_values(
                    np.asarray(features[name]).flatten(),
                    None if length is None else int(np.asarray(length).flatten()[0]),
                )
        yield {**extracts, tfma.FEATURES_KEY: features}

    def _bucket(self, item: Any) -> bytes:
        text = item.decode(errors="replace") if isinstance(item, bytes) else str(item)
        return self._buckets.get(text, TAIL).encode()
