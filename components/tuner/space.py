"""Fields to tune as KerasTuner's hyperparameters."""

from __future__ import annotations

import keras_tuner

from configs import recommender_pb2 as pb
from configs.loader import is_whole_number


def search_space(config: pb.RecommenderConfig) -> keras_tuner.HyperParameters:
    """A hyperparameter for each of ``tune.fields``, called after its path.

    Args:
      config: a valid configuration.
    """
    space = keras_tuner.HyperParameters()
    for tuned in config.tune.fields:
        sampling = "log" if tuned.logarithmic else "linear"
        if tuned.values:
            space.Choice(tuned.field, list(tuned.values), ordered=False)
        elif is_whole_number(config, tuned.field):
            low, high = int(tuned.min_value), int(tuned.max_value)
            space.Int(tuned.field, low, high, sampling=sampling)
        else:
            space.Float(
                tuned.field, tuned.min_value, tuned.max_value, sampling=sampling
            )
    return space


def keep_in_range(chosen: keras_tuner.HyperParameters) -> None:
    """Mends values in place: a logarithmic Int may be drawn as max_value + 1."""
    for parameter in chosen.space:
        if isinstance(parameter, keras_tuner.engine.hyperparameters.Int):
            value = chosen.values[parameter.name]
            chosen.values[parameter.name] = min(value, parameter.max_value)
