"""What activities themselves tell: their type, their own fields, their time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from components.timeline_example_gen.report_text import report_lines
from components.timeline_example_gen.sources import open_source
from components.timeline_example_gen.sources.source import Role
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import validate_config

CONFIG = """
input {
  activity_feature_groups {
    features { feature_name: "context_sku" embedding_dim: 4 feature_length: 4 }
  }
  activity_feature_groups {
    features { feature_name: "context_device" embedding_dim: 2 feature_length: 4 }
    features { feature_name: "context_place" feature_type: INT vocab_name: "place"
               embedding_dim: 2 feature_length: 4 }
    features { feature_name: "context_hour" embedding_dim: 2 feature_length: 4 }
    features { feature_name: "context_weekday" feature_type: INT vocab_size: 8
               embedding_dim: 2 feature_length: 4 }
  }
  label_feature { feature_name: "label_sku" embedding_dim: 4 }
}
data {
  min_timeline_length: 2
  timezone: "Europe/Berlin"
  activity_types: "view" activity_types: "buy"
  files {
    item_column: "sku" timestamp_column: "when" timestamp_format: ISO_8601
    activity_type_column: "what"
    activity_fields { column: "agent" field: "device" }
    activity_fields { column: "place" type: INT }
  }
  derived_fields { field: "hour" derivation: HOUR }
  derived_fields { field: "weekday" derivation: WEEKDAY }
  derived_fields { field: "gap" derivation: GAP }
}
eval { bounds { metric: "hr_1_test" lower_bound: 0.1 } eval_top_k: 1 }
"""
# Of one second of user a the item's order by time is within the second.
LOG = """user_id,sku,when,what,agent,place
a,s1,2024-03-01T00:30:00.750,view,phone,7
a,s2,2024-03-01T00:30:00.500,view,,
a,s3,2024-03-03T22:59:59Z,buy,tv,9
a,s4,2024-03-03T23:00:00Z,view,phone,7
a,s5,2024-03-05,hover,phone,7
b,s1,2024-03-01,view,"a, b",1
b,s2,2024-03-02,view,phone,2
b,s3,2024-03-03,view,phone,3
"""


@pytest.fixture
def config() -> pb.RecommenderConfig:
    result = text_format.Parse(CONFIG, pb.RecommenderConfig())
    validate_config(result)
    return result


def test_columns_and_values(
    config: pb.RecommenderConfig, generate: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "activities.csv").write_text(LOG)
    report, examples = generate(config, str(tmp_path))
    [of_a] = [e for e in examples["test"] if e["user_id"] == [b"a"]]
    assert of_a["label_sku"] == [b"s4"]
    assert of_a["context_sku"] == [b"s2", b"s1", b"s3", b""]
    assert of_a["context_device"] == [b"", b"phone", b"tv", b""]
    assert of_a["context_place"] == [0, 7, 9, 0]
    # In Berlin: 00:30 on a Friday, and 23:59:59 on a Sunday.
    assert of_a["context_hour"] == [b"0", b"0", b"23", b""]
    assert of_a["context_weekday"] == [5, 5, 7, 0]
    assert of_a["label_hour"] == [b"0"]
    assert of_a["label_weekday"] == [1]
    assert of_a["context_gap"] == [0, 0, 257_399, 0]
    assert of_a["label_gap"] == [1]
    assert report["left_out"]["activities_of_other_types"] == 1
    assert any("1 activities of other types" in line for line in report_lines(report))
    fields = {f["name"]: f for f in report["fields"]}
    assert fields["device"]["role"] == "activity"
    assert fields["hour"]["derivation"] == "HOUR"
    assert fields["hour"]["timezone"] == "Europe/Berlin"
    assert fields["gap"] == {
        "name": "gap",
        "role": "activity",
        "type": "FLOAT",
        "multi_valued": False,
        "derivation": "GAP",
    }
    catalogue = examples["catalogue"][0]
    assert catalogue["label_hour"] == [b""] and catalogue["label_place"] == [0]
    assert catalogue["label_gap"] == [0]


def test_types_that_nobody_has(
    config: pb.RecommenderConfig, generate: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "activities.csv").write_text(LOG)
    config.data.activity_types[:] = ["rent"]
    with pytest.raises(UserError, match=r"data\.activity_types: rent leaves no"):
        generate(config, str(tmp_path))


def test_a_field_of_the_wrong_type_rejects_its_row(
    config: pb.RecommenderConfig, generate: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "activities.csv").write_text(LOG + "b,s4,2024-03-04,view,x,here\n")
    config.data.max_rejected_fraction = 0.5
    report, _ = generate(config, str(tmp_path))
    [file] = report["files"]
    assert file["rejected"] == {"place is not an integer": 1}
    assert file["samples"][0]["line"] == 10


def test_roles_of_derived_fields(config: pb.RecommenderConfig, tmp_path: Path) -> None:
    (tmp_path / "activities.csv").write_text(LOG)
    roles = {f.name: f.role for f in open_source(config, str(tmp_path)).source.fields}
    assert roles["hour"] == roles["device"] == roles["gap"] == Role.ACTIVITY


def test_gaps_reach_back_before_the_window(
    config: pb.RecommenderConfig, generate: Callable[..., Any], tmp_path: Path
) -> None:
    rows = [f"a,s{i},2024-03-01T00:0{i}:{i * i:02d},view,tv,1" for i in range(8)]
    header = LOG.splitlines()[0]
    (tmp_path / "activities.csv").write_text("\n".join([header, *rows]))
    _, examples = generate(config, str(tmp_path))
    found = {
        e["label_position"][0]: e["context_gap"]
        for split in ("train", "eval", "test")
        for e in examples[split]
    }
    # A minute and, from square to square, 1, 3, 5, ... seconds.
    gaps = [0, *(60 + 2 * i + 1 for i in range(7))]
    assert found[3] == [*gaps[:3], 0]
    assert found[7] == gaps[3:7]


def test_the_gap_before_the_label_is_no_feature(
    config: pb.RecommenderConfig, generate: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "activities.csv").write_text(LOG)
    config.input.label_item_features.add(
        feature_name="label_gap", feature_type=pb.FLOAT
    )
    with pytest.raises(UserError, match=r"label_gap: the data .* no such field"):
        generate(config, str(tmp_path))


@pytest.mark.parametrize(
    ("derived", "message"),
    [
        ('field: "place" derivation: HOUR', "derived_fields.0.field: 'place' is not"),
        ('field: "y" from_field: "name"', "from_field: 'name' .* there is no item ta"),
    ],
)
def test_derived_fields_that_do_not_fit_the_data(
    config: pb.RecommenderConfig, tmp_path: Path, derived: str, message: str
) -> None:
    (tmp_path / "activities.csv").write_text(LOG)
    del config.data.derived_fields[:]
    text_format.Parse(f"derived_fields {{ {derived} }}", config.data)
    with pytest.raises(UserError, match=message):
        open_source(config, str(tmp_path))


def test_movielens_keeps_its_year_beside_other_derived_fields(
    write_dat: Callable[..., str], make_config: Callable[..., pb.RecommenderConfig]
) -> None:
    config = make_config()
    config.data.derived_fields.add(field="hour", derivation=pb.HOUR)
    source = open_source(config, write_dat([(1, 2, 3, 4)])).source
    assert {"movie_year", "hour"} <= {f.name for f in source.fields}
    config.data.derived_fields.add(
        field="movie_year", derivation=pb.YEAR_IN_TEXT, from_field="title"
    )
    source = open_source(config, write_dat([(1, 2, 3, 4)])).source
    assert [f.name for f in source.fields].count("movie_year") == 1
