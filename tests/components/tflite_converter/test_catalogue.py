"""The item catalogue that ships, and the manifest's input specs."""

from __future__ import annotations

import json

import pytest
import tensorflow as tf

from components.tflite_converter import catalogue, manifest
from configs import loader
from configs import recommender_pb2 as pb
from configs.errors import UserError

CONFIG = """
input {
  global_feature_groups { features { feature_name: "user_age" feature_type: FLOAT } }
  activity_feature_groups {
    features { feature_name: "context_item" feature_type: INT vocab_name: "item"
               embedding_dim: 2 feature_length: 3 }
    features { feature_name: "context_score" feature_type: FLOAT feature_length: 3 }
  }
  activity_feature_groups {
    features { feature_name: "context_genre" embedding_dim: 2 feature_length: 4 }
  }
  label_feature { feature_name: "label_item" feature_type: INT vocab_name: "item"
                  embedding_dim: 2 }
}
model { seen: TIMELINE max_seen_length: 50 }
"""


def example(item: int, title: str | None, genres: list[str], year: int) -> bytes:
    padded = genres + [""] * (4 - len(genres))
    columns = {
        "label_item": tf.train.Feature(int64_list=tf.train.Int64List(value=[item])),
        "label_year": tf.train.Feature(int64_list=tf.train.Int64List(value=[year])),
        "label_genre": tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[g.encode() for g in padded])
        ),
        "label_genre_length": tf.train.Feature(
            int64_list=tf.train.Int64List(value=[len(genres)])
        ),
        "item_title": tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[title.encode()] if title else [])
        ),
    }
    return tf.train.Example(
        features=tf.train.Features(feature=columns)
    ).SerializeToString()


EXAMPLES = [
    example(7, "Café, The (1995)", ["Drama", "Comedy"], 1995),
    example(0, "Zero (1980)", [], 1980),
    example(99, None, ["Drama"], 0),
]


@pytest.fixture
def config() -> pb.RecommenderConfig:
    return loader.parse_config(CONFIG)


def test_items_have_the_ids_of_the_vocabulary(config: pb.RecommenderConfig) -> None:
    items = catalogue.catalogue_items(
        config, EXAMPLES, ["genre", "year"], [b"0", b"7", b"55"]
    )
    assert items == [
        # A capped vocabulary has left item 99 out; its features are still known.
        catalogue.Item(1, "99", "99", {"genre": ["Drama"], "year": [0]}),
        catalogue.Item(2, "0", "Zero (1980)", {"genre": [], "year": [1980]}),
        catalogue.Item(
            3,
            "7",
            "Café, The (1995)",
            {"genre": ["Drama", "Comedy"], "year": [1995]},
        ),
        # Item 55 is in the logs but not in the item table.
        catalogue.Item(4, "55", "55", {}),
    ]


def test_items_are_json_lines(config: pb.RecommenderConfig) -> None:
    items = catalogue.catalogue_items(config, EXAMPLES, [], [b"7", b"0", b"99"])
    lines = catalogue.items_to_json_lines(items).decode().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[0]) == {
        "index": 2,
        "id": "7",
        "title": "Café, The (1995)",
        "features": {},
    }


def test_without_a_vocabulary_ids_are_indices(config: pb.RecommenderConfig) -> None:
    config.input.label_feature.vocab_name = ""
    config.input.label_feature.vocab_size = 100
    items = catalogue.catalogue_items(config, [EXAMPLES[0], EXAMPLES[2]], [], None)
    assert [(item.index, item.id) for item in items] == [(7, "7"), (99, "99")]


@pytest.mark.parametrize(("index", "bad"), [(2, "99"), (1, "0")])
def test_ids_that_are_no_rows_are_refused(
    config: pb.RecommenderConfig, index: int, bad: str
) -> None:
    config.input.label_feature.vocab_name = ""
    config.input.label_feature.vocab_size = 99
    with pytest.raises(
        UserError, match=f"label_item: .* holds {bad}, expected 1 to 98"
    ):
        catalogue.catalogue_items(config, [EXAMPLES[index]], [], None)


def test_input_specs_tell_the_device_how_to_feed(config: pb.RecommenderConfig) -> None:
    rows = {"context_item": 5, "context_genre": 9, "label_item": 5}
    kinds = {
        "user_age": {"source": "user", "multi_valued": False},
        "context_item": {"source": "item_id", "multi_valued": False},
        "context_score": {"source": "value", "multi_valued": False},
        "context_genre": {"source": "item", "multi_valued": True},
    }
    specs = manifest.input_specs(config, rows, kinds)
    by_name = {spec["name"]: spec for spec in specs}
    assert [spec["name"] for spec in specs] == [
        "user_age",
        "context_item",
        "context_score",
        "context_genre",
        "seen_item",
    ]
    assert by_name["context_genre"] == {
        "name": "context_genre",
        "dtype": "int32",
        "length": 4,
        "role": "context",
        "field": "genre",
        "source": "item",
        "feature_type": "STRING",
        "multi_valued": True,
        "vocabulary": "genre",
        "vocab_size": 9,
    }
    assert by_name["context_item"]["source"] == "item_id"
    assert by_name["context_score"]["dtype"] == "float32"
    assert by_name["context_score"]["vocabulary"] is None
    assert by_name["user_age"]["role"] == "user"
    assert by_name["seen_item"]["length"] == 50


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ({"source": "activity"}, {"source": "activity"}),
        ({"source": "gap"}, {"source": "gap"}),
        (
            {"source": "weekday", "timezone": "Europe/Berlin"},
            {"source": "weekday", "timezone": "Europe/Berlin"},
        ),
        ({"source": "hour", "timezone": "UTC"}, {"source": "hour", "timezone": "UTC"}),
        # Of no other source is the time zone told.
        ({"source": "value", "timezone": "UTC"}, {"source": "value"}),
    ],
)
def test_input_specs_of_activities(
    kind: dict[str, str], expected: dict[str, str]
) -> None:
    config = loader.parse_config(
        """
        input {
          activity_feature_groups {
            features { feature_name: "context_hour" feature_type: INT vocab_size: 24
                       embedding_dim: 2 feature_length: 3 }
          }
          label_feature { feature_name: "label_item" embedding_dim: 2 }
        }
        """
    )
    kinds = {"context_hour": {"multi_valued": False, **kind}}
    [spec] = manifest.input_specs(config, {"context_hour": 24, "label_item": 5}, kinds)
    assert spec == {
        "name": "context_hour",
        "dtype": "int32",
        "length": 3,
        "role": "context",
        "field": "hour",
        "feature_type": "INT",
        "multi_valued": False,
        "vocabulary": None,
        "vocab_size": 24,
        **expected,
    }
