"""What a configuration says about its features: names, columns, vocabularies.

Every column of the examples is called ``<role>_<field>``: ``context_movie_genre`` is
the field ``movie_genre`` of the activities before the label, ``label_movie_genre`` that
of the label, ``user_age`` the field ``age`` of the user.
"""

from __future__ import annotations

import datetime
import re
import zoneinfo
from collections.abc import Iterator, Sequence

from configs import recommender_pb2 as pb
from configs.errors import UserError

CONTEXT = "context_"
LABEL = "label_"
USER = "user_"
SEEN = "seen_"
ROLES = (CONTEXT, LABEL, USER)

# Columns that every example has, beside those of features.
USER_ID = "user_id"
LABEL_POSITION = "label_position"
CONTEXT_LENGTH = "context_length"
CONTEXT_TIMESTAMP = "context_timestamp"
HISTORY_LENGTH = "history_length"

PADDING_ID = 0
OOV_ID = 1
FIRST_TERM_ID = 2

# A column that slices may be made by, though the examples do not have it.
LABEL_POPULARITY = "label_popularity"
# Of items, the most popular first.
POPULARITY_BUCKETS = ("head", "middle", "tail")

# What the gate of the .tflite file measures beside accuracy; overlap_<k> too.
DEVICE_METRICS = (
    "model_bytes",
    "latency_p50_ms",
    "latency_p99_ms",
    "memory_bytes",
    "score_difference",
    "distinct_items",
    "first_item_share",
)

DEFAULT_CONTEXT_LENGTH = 10
DEFAULT_EVAL_TOP_K = (1, 5, 10)
DEFAULT_CONV_NUM_FILTER_RATIOS = (2, 4)
DEFAULT_RANKING_LAYER_DIMS = (64, 32)
DEFAULT_HISTORY_LENGTH_BUCKETS = (5, 10, 20, 50, 100)

_MOMENT = re.compile(
    r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?)?"
)


def role_of(feature_name: str) -> str:
    """The prefix of a feature's name, e.g. ``"context_"``.

    Raises:
      ValueError: if the name has none of the known prefixes.
    """
    for role in ROLES:
        if feature_name.startswith(role) and len(feature_name) > len(role):
            return role
    raise ValueError(
        f"a feature's name starts with one of {', '.join(ROLES)}. "
        f"Received: {feature_name!r}"
    )


def field_of(feature_name: str) -> str:
    """The name without its prefix: ``context_movie_id`` -> ``movie_id``."""
    return feature_name[len(role_of(feature_name)) :]


def item_field(config: pb.RecommenderConfig) -> str:
    """The field that identifies an item, e.g. ``movie_id``."""
    return field_of(config.input.label_feature.feature_name)


def item_feature_name(config: pb.RecommenderConfig) -> str:
    """The context's feature of items' ids, e.g. ``context_movie_id``."""
    return CONTEXT + item_field(config)


def seen_feature_name(config: pb.RecommenderConfig) -> str:
    """The column that lists the user's earlier items, e.g. ``seen_movie_id``."""
    return SEEN + item_field(config)


def length_column(feature_name: str) -> str:
    """The column that holds how many values of a multi-valued feature are real."""
    return f"{feature_name}_length"


def step_lengths_column(feature_name: str) -> str:
    """The column that holds how many values of each step are real, if aligned."""
    return f"{feature_name}_step_lengths"


def boundaries_column(feature_name: str) -> str:
    """The column in which Transform repeats the boundaries of a feature's buckets."""
    return f"{feature_name}_boundaries"


def feature_groups(config: pb.RecommenderConfig) -> list[pb.FeatureGroup]:
    """All groups of the context side, global ones first."""
    return [
        *config.input.global_feature_groups,
        *config.input.activity_feature_groups,
    ]


def context_features(config: pb.RecommenderConfig) -> list[pb.Feature]:
    """The features of all groups: the inputs of the context side, in order."""
    return [f for group in feature_groups(config) for f in group.features]


def label_features(config: pb.RecommenderConfig) -> list[pb.Feature]:
    """The label feature and the item features of the label side."""
    return [config.input.label_feature, *config.input.label_item_features]


def all_features(config: pb.RecommenderConfig) -> list[pb.Feature]:
    """Context features, then the label's, its value last."""
    found = [*context_features(config), *label_features(config)]
    if config.input.HasField("label_value_feature"):
        found.append(config.input.label_value_feature)
    return found


def has_vocabulary(feature: pb.Feature) -> bool:
    """Whether the feature's values become ids through a vocabulary."""
    return feature.feature_type == pb.STRING or (
        feature.feature_type == pb.INT and bool(feature.vocab_name)
    )


def is_categorical(feature: pb.Feature) -> bool:
    """Whether the model sees ids (STRING, INT) rather than numbers (FLOAT)."""
    return feature.feature_type != pb.FLOAT


def is_bucketed(feature: pb.Feature) -> bool:
    """Whether a FLOAT feature's value becomes the number of a bucket."""
    return bool(feature.bucket_boundaries) or feature.num_buckets > 0


def num_values(feature: pb.Feature) -> int:
    """Length of the feature's column: so many values for each of its steps."""
    return int(feature.feature_length) * max(int(feature.values_per_step), 1)


def vocabulary_name(feature: pb.Feature) -> str:
    """Name of the feature's vocabulary without ``.txt``; features of one name share it.

    Raises:
      ValueError: if the feature has no vocabulary.
    """
    if not has_vocabulary(feature):
        raise ValueError(f"{feature.feature_name} has no vocabulary")
    return (feature.vocab_name or field_of(feature.feature_name)).removesuffix(".txt")


def vocabularies(config: pb.RecommenderConfig) -> dict[str, list[pb.Feature]]:
    """The features of each vocabulary, by its name, in order of first use."""
    result: dict[str, list[pb.Feature]] = {}
    for feature in all_features(config):
        if has_vocabulary(feature):
            result.setdefault(vocabulary_name(feature), []).append(feature)
    return result


def max_context_length(config: pb.RecommenderConfig) -> int:
    """The most activities before the label that an example holds.

    ``data.max_context_length``, else the ``feature_length`` of the item's context
    feature, else the shortest of the activity features (multi-valued ones are longer
    than the context), else 10.
    """
    if config.data.max_context_length:
        return int(config.data.max_context_length)
    lengths = {
        feature.feature_name: int(feature.feature_length)
        for group in config.input.activity_feature_groups
        for feature in group.features
    }
    item = item_feature_name(config)
    return lengths.get(item, min(lengths.values(), default=DEFAULT_CONTEXT_LENGTH))


def column_lengths(config: pb.RecommenderConfig) -> dict[str, int]:
    """Lengths of the columns that the configuration names.

    A feature's column has its ``feature_length``, of an aligned feature times its
    ``values_per_step``; other columns have the length in ``data.max_feature_lengths``.
    """
    lengths = {e.feature_name: int(e.length) for e in config.data.max_feature_lengths}
    if config.data.max_context_movie_genre_length:
        lengths["context_movie_genre"] = int(config.data.max_context_movie_genre_length)
    lengths.update((f.feature_name, num_values(f)) for f in all_features(config))
    return lengths


def eval_top_k(config: pb.RecommenderConfig) -> tuple[int, ...]:
    """K of HR@K and NDCG@K, ascending."""
    return tuple(sorted(set(config.eval.eval_top_k))) or DEFAULT_EVAL_TOP_K


def quantizations(config: pb.RecommenderConfig) -> tuple[pb.Quantization, ...]:
    """The variants of the ``.tflite`` file to make, those with the most bits first."""
    given = list(config.push.quantization) or [pb.FLOAT32]
    if pb.AUTO in given:
        given = [kind for kind in pb.Quantization.values() if kind != pb.AUTO]
    return tuple(sorted(set(given)))


def conv_num_filter_ratios(model: pb.ModelConfig) -> tuple[int, ...]:
    """Filters of each convolution as a multiple of the group's embedding width."""
    return tuple(model.conv_num_filter_ratios) or DEFAULT_CONV_NUM_FILTER_RATIOS


def ranking_layer_dims(config: pb.RecommenderConfig) -> tuple[int, ...]:
    """Dense layers of the ranking head."""
    return tuple(config.model.ranking_layer_dims) or DEFAULT_RANKING_LAYER_DIMS


def history_length_buckets(config: pb.RecommenderConfig) -> tuple[int, ...]:
    """First history length of each bucket after the first, ascending."""
    return tuple(config.data.history_length_buckets) or DEFAULT_HISTORY_LENGTH_BUCKETS


def history_bucket(position: int, buckets: Sequence[int]) -> str:
    """The bucket of a history length as text: ``"5-9"``, ``"100+"``; none is ``"0"``.

    Args:
      position: activities before the label.
      buckets: first history length of each bucket after the first, ascending.
    """
    if position == 0:
        return "0"
    below = [1, *(first for first in buckets if first <= position)]
    above = [first for first in buckets if first > position]
    if not above:
        return f"{below[-1]}+"
    return f"{below[-1]}-{above[0] - 1}" if above[0] - 1 > below[-1] else f"{below[-1]}"


def history_bucket_names(config: pb.RecommenderConfig) -> list[str]:
    """All buckets of history lengths, the shortest first."""
    buckets = history_length_buckets(config)
    names = [history_bucket(position, buckets) for position in (0, 1, *buckets)]
    return list(dict.fromkeys(names))


def cut(data: pb.DataConfig, field: str) -> int:
    """The last second before ``train_end`` or ``eval_end``.

    Args:
      data: its time zone is that of dates.
      field: one of the two.

    Raises:
      UserError: if the value is no time.
    """
    text = getattr(data, field)
    if re.fullmatch(r"[0-9]{1,12}", text):
        return int(text)
    try:
        if not _MOMENT.fullmatch(text):
            raise ValueError
        # Python 3.10 knows Z by its offset alone.
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise UserError(
            f"data.{field}: {text!r} is not allowed. Expected seconds since 1970, a "
            "date (2024-03-01), or a date and a time"
        ) from None
    if len(text) == len("2024-03-01"):
        moment = moment.replace(hour=23, minute=59, second=59)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zoneinfo.ZoneInfo(data.timezone))
    return int(moment.timestamp())


def is_device_metric(name: str) -> bool:
    """Whether a metric is of the bundle on a device, not of its accuracy."""
    return name in DEVICE_METRICS or name.startswith("overlap_")


def overlap_k(config: pb.RecommenderConfig) -> int:
    """The K of ``overlap_<k>``: the largest of ``eval.eval_top_k`` up to 10."""
    top_k = eval_top_k(config)
    return max((k for k in top_k if k <= 10), default=top_k[0])


def gate_bounds(
    config: pb.RecommenderConfig, gate: pb.Gate
) -> Iterator[pb.MetricBound]:
    """The bounds that bind one gate (``SAVED_MODEL`` or ``TFLITE``).

    The .tflite file answers its top K only, so ``mrr_test`` and ``mean_rank_test``
    bind the SavedModel's gate alone; metrics of the device bind the other one.
    """
    for bound in config.eval.bounds:
        if bound.gate not in (pb.BOTH, gate):
            continue
        if gate == pb.SAVED_MODEL and is_device_metric(bound.metric):
            continue
        if gate == pb.TFLITE and bound.metric in ("mrr_test", "mean_rank_test"):
            continue
        yield bound
