"""The search space, and the configuration that a choice gives."""

from __future__ import annotations

import pytest

from components.tuner.space import search_space
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import load_config, validate_config
from configs.tuned import tuned_config
from tests.e2e.commands import ROOT

FIELDS = """tune { num_trials: 3
  fields { field: "train.learning_rate" min_value: 0.001 max_value: 0.1
           logarithmic: true }
  fields { field: "model.lstm_num_units" min_value: 16 max_value: 64 }
  fields { field: "train.optimizer" values: "ADAM" values: "ADAGRAD" }
  fields { field: "input.activity_feature_groups.0.encoder_type" values: "GRU" }
}"""


@pytest.fixture
def config() -> pb.RecommenderConfig:
    result = load_config(ROOT / "configs" / "sample.pbtxt")
    from google.protobuf import text_format

    text_format.Parse(FIELDS, result)
    validate_config(result)
    return result


def test_each_field_is_drawn_from_its_range(config: pb.RecommenderConfig) -> None:
    space = search_space(config)
    rate, units, optimizer, encoder = space.space
    assert (rate.min_value, rate.max_value, rate.sampling) == (0.001, 0.1, "log")
    assert (units.min_value, units.max_value, units.sampling) == (16, 64, "linear")
    assert optimizer.values == ["ADAM", "ADAGRAD"]
    for seed in range(20):
        assert 0.001 <= rate.random_sample(seed) <= 0.1
        assert isinstance(units.random_sample(seed), int)
    assert set(space.values) == {tuned.field for tuned in config.tune.fields}
    assert encoder.default == "GRU"


def test_a_choice_becomes_a_configuration(config: pb.RecommenderConfig) -> None:
    values = {
        "train.learning_rate": 0.0123,
        "model.lstm_num_units": 48,
        "train.optimizer": "ADAGRAD",
        "input.activity_feature_groups.0.encoder_type": "GRU",
    }
    found = tuned_config(config, values)
    assert found.train.learning_rate == 0.0123
    assert found.model.lstm_num_units == 48
    assert found.train.optimizer == pb.ADAGRAD
    assert found.input.activity_feature_groups[0].encoder_type == pb.GRU
    assert not found.HasField("tune") and config.HasField("tune")
    with pytest.raises(UserError, match=r"train\.weight_decay: 0.1"):
        config.train.weight_decay = 0.1
        tuned_config(config, values)
