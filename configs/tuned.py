"""A configuration with the values that tuning chose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from configs import recommender_pb2 as pb
from configs.loader import apply_override, validate_training


def tuned_config(
    config: pb.RecommenderConfig, values: Mapping[str, Any]
) -> pb.RecommenderConfig:
    """The configuration with chosen values in place, and without tuning.

    Args:
      config: the one that was tuned.
      values: by path of the field.

    Raises:
      UserError: if a value is not allowed, or not together with the others.
    """
    result = pb.RecommenderConfig()
    result.CopyFrom(config)
    for field, value in values.items():
        apply_override(result, f"{field}={value}")
    result.ClearField("tune")
    validate_training(result)
    return result
