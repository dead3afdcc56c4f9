"""Ranks of the label from the .tflite file itself, for TFX's Evaluator.

The file is run as a device runs it: from its bundle, by the device's client, one row
at a time. Raw examples become tensors through the bundle's own vocabularies, so that an
old baseline is judged by what it knows.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2
from tfx.utils import io_utils

from components.evaluator.slices import with_slice_columns
from components.evaluator.top_k_rank import MISS, top_k_rank
from components.tflite_converter.raw_examples import raw_columns
from configs.errors import UserError
from configs.features import (
    FIRST_TERM_ID,
    LABEL,
    SEEN,
    length_column,
    step_lengths_column,
)
from pocketrec_device import Bundle, BundleError, Recommender, RequestError
from pocketrec_device.features import (
    CONTEXT_LENGTH,
    Tensors,
    catalogue_key,
    item_id_type,
    tensors_from_example,
)


class BundleRanker:
    """Ranks labels with a bundle.

    Attributes:
      bundle: the loaded bundle that it was made from.
      recommender: runs the bundle's model.

    Raises:
      pocketrec_device.BundleError: if LiteRT cannot run its model.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.recommender = Recommender(bundle)
        self._id_type = item_id_type(bundle.inputs)
        self._index = recommendable_items(bundle)
        self._complete = bundle.num_predictions >= len(self._index)

    def rank(self, columns: Mapping[str, Sequence[Any]]) -> float:
        """The rank of an example's label, infinite where the bundle misses it.

        A label that the user has had before is taken off the items to leave out. One in
        the context of a model that leaves out its context stays a miss: no input of a
        device could undo that.

        Args:
          columns: raw values of one example by column.

        Raises:
          pocketrec_device.RequestError: if a column that the model needs is missing or
            of another type.
        """
        return self.rank_in(columns, *self.recommender.predict(self.tensors(columns)))

    def tensors(self, columns: Mapping[str, Sequence[Any]]) -> Tensors:
        """What `rank` feeds to the model, int32 or float32 ``[1, length]`` by input."""
        label = columns[LABEL + self.bundle.item_field][0]
        seen = SEEN + self.bundle.item_field
        if seen in columns:
            others = [item for item in columns[seen] if item != label]
            columns = {**columns, seen: others}
        return tensors_from_example(
            self.bundle.inputs, columns, self.bundle.vocabularies
        )

    def rank_in(
        self, columns: Mapping[str, Sequence[Any]], ids: np.ndarray, scores: np.ndarray
    ) -> float:
        """The rank of an example's label in what the model answered to its tensors.

        Args:
          columns: raw values of the example by column.
          ids: int32 ``[K]``, the best items.
          scores: float32 ``[K]``, their scores.
        """
        label = columns[LABEL + self.bundle.item_field][0]
        index = self._index.get(catalogue_key(label, self._id_type))
        return MISS if index is None else top_k_rank(ids, scores, index, self._complete)


def recommendable_items(bundle: Bundle) -> dict[str, int]:
    """The index of every item that a bundle may recommend, by raw id.

    With a vocabulary, index 1 is out of vocabulary and stands for no one item; without
    one the raw ids are the indices, and 1 is an item as any.
    """
    items = bundle.items.values()
    raw = all(item.id == str(item.index) for item in items)
    return {item.id: item.index for item in items if raw or item.index >= FIRST_TERM_ID}


def check_top_k(bundle: Bundle, top_k: int) -> None:
    """Refuses to judge a bundle by more predictions than it exports.

    Raises:
      UserError: if `top_k` is more, unless the bundle exports its whole catalogue.
    """
    exported = bundle.num_predictions
    if top_k > exported and exported < len(recommendable_items(bundle)):
        raise UserError(
            f"eval.eval_top_k: {top_k} is not allowed. Expected at most {exported}, as "
            f"many predictions as the .tflite file in {bundle.path} answers"
        )


def check_columns(bundle: Bundle, columns: Collection[str]) -> None:
    """Refuses to judge a bundle by examples that lack what its model looks at.

    Raises:
      UserError: naming the first column that is missing.
    """
    needed = [CONTEXT_LENGTH, LABEL + bundle.item_field]
    for spec in bundle.inputs:
        needed.append(spec.name)
        if spec.values_per_step:
            needed.append(step_lengths_column(spec.name))
        elif spec.multi_valued:
            needed.append(length_column(spec.name))
    for name in needed:
        if name not in columns:
            raise UserError(
                f"the .tflite gate: the examples have no column {name}, which the "
                f"model in {bundle.path} needs"
            )


def largest_k(eval_config: config_pb2.EvalConfig) -> int:
    """The largest K of the metrics of an evaluation, 0 if none has one."""
    return max(
        (
            json.loads(metric.config or "{}").get("k", 0)
            for spec in eval_config.metrics_specs
            for metric in spec.metrics
        ),
        default=0,
    )


def custom_extractors(
    eval_shared_model: Any,
    eval_config: config_pb2.EvalConfig,
    tensor_adapter_config: Any,
) -> list[tfma.extractors.Extractor]:
    """Called by TFX's Evaluator: its usual extractors, with ours for the predictions.

    Raises:
      UserError: if a bundle is broken, exports too few predictions or needs a column
        that the examples' schema lacks, or the examples cannot be sliced as configured.
    """
    models = eval_shared_model if isinstance(eval_shared_model, list) else None
    paths = {m.model_name or "": m.model_path for m in models or [eval_shared_model]}
    # Here, since an error in a Beam worker arrives as the text of its traceback.
    for path in paths.values():
        bundle = load_ranker(path).bundle
        check_top_k(bundle, largest_k(eval_config))
        if tensor_adapter_config is not None:
            check_columns(bundle, tensor_adapter_config.arrow_schema.names)
    predict = tfma.extractors.Extractor(
        "PredictTFLiteRank", beam.ParDo(_PredictRanks(paths))
    )
    return with_slice_columns(
        tfma.default_extractors(
            eval_shared_model=eval_shared_model,
            eval_config=eval_config,
            tensor_adapter_config=tensor_adapter_config,
            custom_predict_extractor=predict,
        ),
        eval_config,
        tensor_adapter_config,
    )


def load_ranker(path: str) -> BundleRanker:
    """Loads a bundle from a local folder or any that TFX's fileio reaches.

    Raises:
      UserError: if it is broken.
    """
    try:
        if "://" not in path:
            return BundleRanker(Bundle.load(path))
        with tempfile.TemporaryDirectory() as folder:
            io_utils.copy_dir(path, folder)
            return BundleRanker(Bundle.load(folder))
    except BundleError as error:
        raise UserError(f"the .tflite gate: {error}") from error


class _PredictRanks(beam.DoFn):
    """Adds the predictions: float32 ``[batch]`` ranks, by model if there are two."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = paths
        self._rankers: dict[str, BundleRanker] = {}

    def setup(self) -> None:
        self._rankers = {name: load_ranker(path) for name, path in self._paths.items()}

    def process(self, extracts: dict[str, Any]) -> Iterator[dict[str, Any]]:
        examples = [raw_columns(example) for example in extracts[tfma.INPUT_KEY]]
        ranks = {
            name: np.asarray(
                [self._rank(name, columns) for columns in examples], np.float32
            )
            for name in self._rankers
        }
        predictions = ranks[""] if set(ranks) == {""} else ranks
        yield {**extracts, tfma.PREDICTIONS_KEY: predictions}

    def _rank(self, name: str, columns: Mapping[str, Sequence[Any]]) -> float:
        try:
            return self._rankers[name].rank(columns)
        except RequestError as error:
            raise UserError(
                f"the .tflite gate, {self._paths[name]}: {error}"
            ) from error
