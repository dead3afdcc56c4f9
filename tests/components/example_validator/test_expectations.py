"""Anomalies against what the configuration expects, through TFDV itself."""

from __future__ import annotations

import pytest
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.example_validator import expectations
from configs import loader
from configs import recommender_pb2 as pb

CONFIG = """
input {
  activity_feature_groups {
    features { feature_name: "context_item" feature_type: INT vocab_size: 9
               embedding_dim: 2 feature_length: 2 }
    features { feature_name: "context_genre" embedding_dim: 2 feature_length: 2 }
  }
  label_feature { feature_name: "label_item" feature_type: INT vocab_size: 9
                  embedding_dim: 2 }
}
"""


def column(name: str, kind: str, low: int = 1, high: int = 8) -> dict[str, object]:
    return {"name": name, "kind": kind, "low": low, "high": high}


def statistics(
    *columns: dict[str, object],
) -> statistics_pb2.DatasetFeatureStatisticsList:
    result = statistics_pb2.DatasetFeatureStatisticsList()
    data = result.datasets.add(num_examples=10)
    for spec in columns:
        feature = data.features.add()
        feature.path.step.append(str(spec["name"]))
        if spec["kind"] == "INT":
            feature.type = statistics_pb2.FeatureNameStatistics.INT
            numbers = feature.num_stats
            numbers.min, numbers.max = float(spec["low"]), float(spec["high"])
            common = numbers.common_stats
        else:
            feature.type = statistics_pb2.FeatureNameStatistics.STRING
            strings = feature.string_stats
            strings.unique = 2
            for word, count in (("a", 12), ("b", 8)):
                bucket = strings.rank_histogram.buckets.add()
                bucket.label, bucket.sample_count = word, count
                top = strings.top_values.add()
                top.value, top.frequency = word, count
            common = strings.common_stats
        common.num_non_missing = 10
        common.min_num_values = common.max_num_values = 2
        common.tot_num_values = 20
    return result


GOOD = (
    column("context_item", "INT", low=0),
    column("context_genre", "STRING"),
    column("label_item", "INT"),
)


@pytest.fixture
def config() -> pb.RecommenderConfig:
    return loader.parse_config(CONFIG)


def lines(config: pb.RecommenderConfig, *columns: dict[str, object]) -> list[str]:
    found = statistics(*columns)
    schema = expectations.expected_schema(config, tfdv.infer_schema(found))
    return expectations.describe_anomalies(
        {"train": tfdv.validate_statistics(found, schema)}
    )


def test_good_examples_have_no_anomaly(config: pb.RecommenderConfig) -> None:
    assert lines(config, *GOOD) == []


def test_a_missing_feature(config: pb.RecommenderConfig) -> None:
    [line] = lines(config, GOOD[0], GOOD[2])
    assert line.startswith("split train, feature context_genre: ")
    assert "missing" in line or "completely" in line or "dropped" in line.lower()


def test_a_feature_of_another_type(config: pb.RecommenderConfig) -> None:
    [line] = lines(config, GOOD[0], column("context_genre", "INT"), GOOD[2])
    assert "context_genre" in line
    assert "BYTES" in line and "INT" in line


@pytest.mark.parametrize(
    "bad", [column("context_item", "INT", 0, 9), column("context_item", "INT", -3, 8)]
)
def test_values_outside_the_table(
    config: pb.RecommenderConfig, bad: dict[str, object]
) -> None:
    [line] = lines(config, bad, *GOOD[1:])
    assert "context_item" in line
    assert "9" in line or "-3" in line


def test_a_label_is_never_padding(config: pb.RecommenderConfig) -> None:
    [line] = lines(config, *GOOD[:2], column("label_item", "INT", 0, 8))
    assert "label_item" in line


def test_a_new_word_is_no_anomaly(config: pb.RecommenderConfig) -> None:
    schema = expectations.expected_schema(config, tfdv.infer_schema(statistics(*GOOD)))
    later = statistics(*GOOD)
    later.datasets[0].features[1].string_stats.top_values[0].value = "new"
    later.datasets[0].features[1].string_stats.rank_histogram.buckets[0].label = "new"
    anomalies = {"eval": tfdv.validate_statistics(later, schema)}
    assert expectations.describe_anomalies(anomalies) == []
    assert isinstance(schema, schema_pb2.Schema)


def test_the_summary_is_one_line_and_counts_the_rest() -> None:
    text = expectations.summary(f"split train, feature f{i}: gone" for i in range(13))
    assert "\n" not in text
    assert "f9: gone; and 3 more" in text
