"""Which fields, values and ranges tuning takes."""

from __future__ import annotations

import pytest

from configs import loader
from configs import recommender_pb2 as pb
from configs.errors import UserError
from tests.configs.test_training_knobs import CONFIG


def configured(fields: str, *overrides: str) -> pb.RecommenderConfig:
    config = loader.parse_config(f"{CONFIG} tune {{ num_trials: 3 {fields} }}")
    for override in overrides:
        loader.apply_override(config, override)
    loader.validate_config(config)
    return config


UNITS = 'field: "model.gru_num_units"'
RATE = 'field: "train.learning_rate"'
DECAY = 'fields { field: "train.weight_decay" values: "0" values: "0.1" }'
OPTIMIZER = 'fields { field: "train.optimizer" values: "ADAM" values: "SGD" }'


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        (
            f"fields {{ {UNITS} min_value: 0.5 max_value: 8 }}",
            ("tune.fields.0.min_value", "0.5", "a whole number", "gru_num_units"),
        ),
        (
            f"fields {{ {UNITS} min_value: 1 max_value: 8.5 logarithmic: true }}",
            ("tune.fields.0.max_value", "8.5", "a whole number"),
        ),
        (
            f"fields {{ {RATE} values: '1' }} fields {{ {RATE} values: '2' }}",
            ("tune.fields.1.field", "'train.learning_rate'", "each field once"),
        ),
        (
            f"fields {{ {RATE} values: '0.1' values: '0.1' }}",
            ("tune.fields.0.values", "each value once"),
        ),
        (
            f"fields {{ {RATE} values: '0.1' max_value: 1 }}",
            ("tune.fields.0.max_value", "1.0", "none, since values are given"),
        ),
        (
            f"fields {{ {RATE} values: '0.1' logarithmic: true }}",
            ("tune.fields.0.logarithmic", "none, since values are given"),
        ),
        (
            f"fields {{ {RATE} min_value: 0.1 }}",
            ("tune.fields.0", "either values, or min_value and max_value"),
        ),
        (
            "fields { field: 'train.seed' min_value: 1 max_value: 9 }",
            ("tune.fields.0.field", "'train.seed'", "luckiest seed"),
        ),
        (
            "fields { field: 'train.max_in_memory_bytes' values: '0' }",
            ("tune.fields.0.field", "does not depend on"),
        ),
        (
            "fields { field: 'train.learning_rat' values: '0' }",
            ("tune.fields.0.field: train.learning_rat: no such field",),
        ),
    ],
)
def test_what_is_refused(fields: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as error:
        configured(fields)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_a_size_of_batches_that_would_change_what_trials_are_judged_by() -> None:
    fields = "fields { field: 'train.batch_size' values: '32' values: '64' }"
    configured(fields)
    with pytest.raises(UserError, match=r"fields\.0\.field.*num_eval_steps 0"):
        configured(fields, "train.num_eval_steps=5")


def test_a_value_that_only_another_field_could_make_valid() -> None:
    """By itself it is told beforehand, among others it is left to the trials."""
    with pytest.raises(UserError, match=r"^tune\.fields\.0: train\.weight_decay: 0.1"):
        configured(DECAY, "train.optimizer=SGD")
    configured(DECAY + OPTIMIZER, "train.optimizer=SGD")
    heads = 'field: "model.transformer_num_heads"'
    encoder = "input.activity_feature_groups.0.encoder_type=TRANSFORMER"
    configured(f"fields {{ {heads} values: '2' values: '4' }}", encoder)
    with pytest.raises(UserError, match=r"^tune\.fields\.0: model\.transformer_num"):
        configured(f"fields {{ {heads} min_value: 1 max_value: 3 }}", encoder)
