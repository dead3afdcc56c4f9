"""What is refused of models, losses, targets and tuning, and what is let through."""

from __future__ import annotations

import pytest

from configs import loader
from configs import recommender_pb2 as pb
from configs.errors import UserError

CONFIG = """
input {
  activity_feature_groups {
    features { feature_name: "context_movie_id" embedding_dim: 8 feature_length: 10 }
    encoder_type: GRU
  }
  activity_feature_groups {
    features { feature_name: "context_movie_genre" embedding_dim: 4
               feature_length: 10 values_per_step: 3 }
  }
  label_feature { feature_name: "label_movie_id" embedding_dim: 8 }
}
eval { bounds { metric: "hr_10_test" lower_bound: 0.1 } }
"""
GENRE_LENGTH = "input.activity_feature_groups.1.features.0.feature_length"
VALUE = (
    "input.label_value_feature.feature_name=label_movie_rating",
    "input.label_value_feature.feature_type=FLOAT",
    "train.value_loss_weight=1",
)
RATE = "{field: 'train.learning_rate' min_value: 0.001 max_value: 0.1}"


def configured(*overrides: str) -> pb.RecommenderConfig:
    config = loader.parse_config(CONFIG)
    for override in overrides:
        loader.apply_override(config, override)
    loader.validate_config(config)
    return config


@pytest.mark.parametrize(
    "overrides",
    [
        ("train.targets=EVERY_POSITION",),
        ("train.targets=EVERY_POSITION", "data.split=USER_HASH"),
        ("train.shuffle_ties=true",),
        ("train.leave_out_seen=true", "model.seen=CONTEXT"),
        ("train.leave_out_seen=true", "model.seen=TIMELINE"),
        ("train.weight_decay=0.1",),
        ("train.label_smoothing=0.1", "train.loss=SAMPLED_SOFTMAX"),
        ("input.tie_item_embeddings=true",),
        ("model.ranking_num_candidates=100",),
        VALUE,
        (f"tune.fields={RATE}", "tune.num_trials=3"),
        ("tune.fields={field: 'model.hidden_layer_dims' values: '8,4' values: '16'}",),
        (
            "tune.fields={field: 'input.label_feature.embedding_dim' values: '4'}",
            "tune.num_trials=3",
        ),
    ],
)
def test_what_is_let_through(overrides: tuple[str, ...]) -> None:
    configured(*overrides)


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (
            ("train.weight_decay=0.1", "train.optimizer=SGD"),
            ("train.weight_decay", "0.1", "SGD"),
        ),
        (
            ("train.label_smoothing=0.1", "train.loss=BINARY_CROSS_ENTROPY"),
            ("train.label_smoothing", "no softmax"),
        ),
        (
            ("train.targets=EVERY_POSITION", f"{GENRE_LENGTH}=20"),
            (GENRE_LENGTH, "20", "10, as context_movie_id", "values_per_step"),
        ),
        (
            ("train.shuffle_ties=true", f"{GENRE_LENGTH}=20"),
            (GENRE_LENGTH, "20", "10, as context_movie_id", "train.shuffle_ties true"),
        ),
        (
            ("train.shuffle_ties=true", "data.max_context_length=20"),
            ("data.max_context_length", "20", "10, as context_movie_id"),
        ),
        (
            ("train.shuffle_ties=true", "input.activity_feature_groups.0="),
            ("train.shuffle_ties", "true", "false", "context_movie_id"),
        ),
        (
            ("train.targets=EVERY_POSITION", "input.activity_feature_groups.0="),
            ("train.targets", "EVERY_POSITION", "context_movie_id"),
        ),
        (
            ("train.leave_out_seen=true", "model.seen=KEPT"),
            ("train.leave_out_seen", "True", "false, with model.seen KEPT"),
        ),
        (
            ("train.targets=EVERY_POSITION", "data.split=RANDOM"),
            ("train.targets", "EVERY_POSITION", "LABEL, with data.split RANDOM"),
        ),
        (
            ("input.tie_item_embeddings=true", "input.label_feature.embedding_dim=4"),
            ("input.label_feature.embedding_dim", "4", "8, as context_movie_id"),
        ),
        (
            ("input.tie_item_embeddings=true", "input.activity_feature_groups.0="),
            ("input.tie_item_embeddings", "no feature context_movie_id"),
        ),
        (
            ("model.ranking_num_candidates=50",),
            ("model.ranking_num_candidates", "50", "100"),
        ),
        (VALUE[2:], ("input.label_value_feature", "nothing")),
        (VALUE[::2], ("input.label_value_feature.feature_type", "STRING", "FLOAT")),
        (
            (*VALUE, "input.label_value_feature.scaling=Z_SCORE"),
            ("input.label_value_feature", "as it is"),
        ),
        (
            (*VALUE, "input.label_value_feature.feature_name=user_age"),
            ("input.label_value_feature.feature_name", "user_age", "label_<field>"),
        ),
        (("tune.num_trials=3",), ("tune.fields", "none")),
        (
            ("tune.fields={field: 'model.seen' values: 'KEPT'}",),
            ("tune.fields.0.field", "'model.seen'", "bundle"),
        ),
        (
            ("tune.fields={field: 'data.min_rating' values: '3'}",),
            ("tune.fields.0.field", "'data.min_rating'"),
        ),
        (
            ("tune.fields={field: 'train.learning_rat' values: '3'}",),
            ("train.learning_rat", "no such field"),
        ),
        (
            ("tune.fields={field: 'train.learning_rate'}",),
            ("tune.fields.0", "either values, or min_value and max_value"),
        ),
        (
            ("tune.fields={field: 'train.learning_rate' min_value: 2 max_value: 1}",),
            ("tune.fields.0.max_value", "more than min_value, 2"),
        ),
        (
            (
                "tune.fields={field: 'train.gradient_clip_norm' min_value: 0 "
                "max_value: 1 logarithmic: true}",
            ),
            ("tune.fields.0.min_value", "logarithmic"),
        ),
        (
            ("tune.fields={field: 'train.optimizer' min_value: 0 max_value: 1}",),
            ("tune.fields.0.min_value", "no number"),
        ),
        (
            ("tune.fields={field: 'train.batch_size' values: '64' values: '0'}",),
            ("tune.fields.0", "train.batch_size", "0", "1 to"),
        ),
        (
            ("tune.fields={field: 'model.dropout' min_value: 0 max_value: 1.5}",),
            ("tune.fields.0", "model.dropout", "1.5", "0 to 0.95"),
        ),
    ],
)
def test_what_is_refused(overrides: tuple[str, ...], parts: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as error:
        configured(*overrides)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)
