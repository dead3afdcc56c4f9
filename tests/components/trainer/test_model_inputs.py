"""What the model learns of the data from Transform's examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.model_inputs import boundaries
from configs import recommender_pb2 as pb
from configs.errors import UserError


def bucketed_config() -> pb.RecommenderConfig:
    config = pb.RecommenderConfig()
    group = config.input.global_feature_groups.add()
    group.features.add(feature_name="user_age", feature_type=pb.FLOAT, num_buckets=3)
    group.features.add(
        feature_name="user_height",
        feature_type=pb.FLOAT,
        bucket_boundaries=[0.1, 1.5, 1.9],
    )
    group.features.add(feature_name="user_weight", feature_type=pb.FLOAT)
    config.input.label_feature.feature_name = "label_item"
    return config


def write(path: Path, count: int) -> list[str]:
    example = tf.train.Example()
    values = example.features.feature["user_age_boundaries"].float_list.value
    values.extend([30.5, 61.0])
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for _ in range(count):
            writer.write(example.SerializeToString())
    return [str(path)]


def test_boundaries_are_analyzed_or_configured(tmp_path: Path) -> None:
    found = boundaries(bucketed_config(), write(tmp_path / "data.gz", 2))
    assert list(found) == ["user_age", "user_height"]
    np.testing.assert_array_equal(found["user_age"], [30.5, 61.0])
    np.testing.assert_array_equal(
        found["user_height"], np.array([0.1, 1.5, 1.9], np.float32)
    )
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}


def test_without_an_example_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the catalogue holds no item"):
        boundaries(bucketed_config(), write(tmp_path / "data.gz", 0))
