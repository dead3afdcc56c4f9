"""Aligned features, buckets and gaps: what the loader lets through."""

from __future__ import annotations

import pytest

from configs import features, loader
from configs import recommender_pb2 as pb
from configs.errors import UserError

CONFIG = """
input {
  activity_feature_groups {
    features { feature_name: "context_item" embedding_dim: 8 feature_length: 5 }
    features { feature_name: "context_genre" embedding_dim: 4 feature_length: 5
               values_per_step: 3 }
    features { feature_name: "context_gap" feature_type: FLOAT feature_length: 5
               embedding_dim: 2 bucket_boundaries: -1.5 bucket_boundaries: 60 }
  }
  global_feature_groups {
    features { feature_name: "user_age" feature_type: FLOAT embedding_dim: 2
               num_buckets: 8 }
  }
  label_feature { feature_name: "label_item" embedding_dim: 8 }
  label_item_features { feature_name: "label_price" feature_type: FLOAT
                        embedding_dim: 2 num_buckets: 4 }
}
data { derived_fields { field: "gap" derivation: GAP } }
eval { bounds { metric: "hr_10_test" lower_bound: 0.01 } }
"""
ACTIVITIES = "input.activity_feature_groups.0.features"
AGE = "input.global_feature_groups.0.features.0"
PRICE = "input.label_item_features.0"


@pytest.fixture
def config() -> pb.RecommenderConfig:
    config = loader.parse_config(CONFIG)
    loader.validate_config(config)
    return config


def test_lengths_of_columns(config: pb.RecommenderConfig) -> None:
    lengths = features.column_lengths(config)
    assert lengths["context_item"] == lengths["context_gap"] == 5
    assert lengths["context_genre"] == 15
    assert features.max_context_length(config) == 5


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([f"{ACTIVITIES}.1.feature_length=4"], "one feature_length in a group"),
        ([f"{ACTIVITIES}.2.values_per_step=2"], "values_per_step: 2 .* from the val"),
        ([f"{AGE}.values_per_step=2"], "values_per_step: 2 .* only context_<field>"),
        ([f"{PRICE}.values_per_step=2"], "values_per_step: 2 .* only context_<field>"),
        (
            [f"{ACTIVITIES}.0.bucket_boundaries=1"],
            "features.0.bucket_boundaries: 'of STRING' .* only FLOAT has buckets",
        ),
        (
            [f"{ACTIVITIES}.1.num_buckets=4"],
            "features.1.num_buckets: 'of STRING' .* only FLOAT has buckets",
        ),
        (
            [f"{ACTIVITIES}.2.num_buckets=4"],
            "num_buckets: 4 .* Expected 0, since bucket_boundaries are given",
        ),
        ([f"{AGE}.num_buckets=1"], "num_buckets: 1 is not allowed. Expected 2 or more"),
        *(
            (
                [f"{ACTIVITIES}.2.bucket_boundaries={numbers}"],
                "bucket_boundaries: .* Expected ascending numbers",
            )
            for numbers in ("2,1", "1,1", "16777216,16777217", "-1e300,0", "1,1e300")
        ),
        ([f"{ACTIVITIES}.2.bucket_boundaries=1,inf"], "bucket_boundaries: inf"),
        ([f"{ACTIVITIES}.2.bucket_boundaries=nan"], "bucket_boundaries: nan"),
        ([f"{AGE}.embedding_dim=0"], "embedding_dim: 0 .* a bucket has an embedding"),
        ([f"{AGE}.num_buckets=0"], "embedding_dim: 2 .* only buckets have one"),
        ([f"{AGE}.scaling=Z_SCORE"], "scaling: 'Z_SCORE' .* a bucket is no number"),
        ([f"{AGE}.feature_length=2"], "feature_length: 2 .* in the bucket of 0"),
        ([f"{PRICE}.feature_length=2"], "feature_length: 2 .* in the bucket of 0"),
        (
            [
                f"{ACTIVITIES}.2.feature_type=INT",
                f"{ACTIVITIES}.2.vocab_name=gap",
                f"{ACTIVITIES}.2.bucket_boundaries=",
            ],
            "features.2.feature_type: 'INT' .* Expected FLOAT: GAP counts seconds",
        ),
        (
            ["data.derived_fields.0.from_field=title"],
            "from_field: 'title' .* none: GAP is of the activity's time",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    config: pb.RecommenderConfig, overrides: list[str], message: str
) -> None:
    for override in overrides:
        loader.apply_override(config, override)
    with pytest.raises(UserError, match=message):
        loader.validate_config(config)


def test_a_field_of_numbers_has_one_of_each_kind(config: pb.RecommenderConfig) -> None:
    """The smallest of what is allowed."""
    loader.apply_override(config, f"{ACTIVITIES}.2.bucket_boundaries=0")
    loader.apply_override(config, f"{AGE}.num_buckets=2")
    loader.apply_override(config, f"{ACTIVITIES}.1.values_per_step=1")
    loader.validate_config(config)
