from __future__ import annotations

import json
import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.timeline_example_gen.generate import (
    DEFAULT_BEAM_ARGS,
    generate_examples,
)
from configs import recommender_pb2 as pb
from configs.errors import UserError

MakeConfig = Callable[..., pb.RecommenderConfig]
WriteDat = Callable[..., str]
Generate = Callable[..., tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]]

# user, item, rating, time: user 1 has five activities, user 2 three, user 3 two.
RATINGS = [
    (1, 10, 5, 100),
    (1, 11, 4, 101),
    (1, 12, 3, 102),
    (1, 13, 2, 103),
    (1, 10, 1, 104),
    (2, 12, 5, 50),
    (2, 11, 5, 51),
    (2, 10, 5, 52),
    (3, 10, 5, 1),
    (3, 11, 5, 2),
]
MOVIES = [
    (10, "Ten (1910)", "A|B"),
    (11, "Eleven", "C"),
    (12, "Twelve (1912)", "A|B|C"),
    (13, "Thirteen (1913)", "D"),
    (14, "Fourteen (1914)", "E"),
]
USERS = [(1, "F", 25, 10, "48067"), (2, "M", 40, 3, "02139")]


def _by_position(examples: list[dict[str, Any]]) -> dict[tuple[bytes, int], Any]:
    return {(e["user_id"][0], e["label_position"][0]): e for e in examples}


def test_all_columns_of_an_example(
    make_config: MakeConfig, write_dat: WriteDat, generate: Generate
) -> None:
    report, examples = generate(make_config(), write_dat(RATINGS, MOVIES, USERS))
    assert {name: len(e) for name, e in examples.items()} == {
        "train": 2,
        "eval": 2,
        "test": 2,
        "catalogue": 5,
    }
    assert report["examples"] == {"train": 2, "eval": 2, "test": 2, "catalogue": 5}
    assert _by_position(examples["test"])[b"1", 4] == {
        "user_id": [b"1"],
        "label_position": [4],
        "context_length": [3],
        "history_length": [b"1-4"],
        "context_timestamp": [101, 102, 103],
        "label_timestamp": [104],
        "context_movie_id": [11, 12, 13],
        "context_movie_rating": [4.0, 3.0, 2.0],
        "context_movie_year": [0, 1912, 1913],
        "context_movie_genre": [b"A", b"B", b"C", b"D"],  # The oldest, C, is cut.
        "context_movie_genre_length": [4],
        "label_movie_id": [10],
        "label_movie_rating": [1.0],
        "label_movie_year": [1910],
        "label_movie_genre": [b"A", b"B", b"", b""],
        "label_movie_genre_length": [2],
        "seen_movie_id": [10, 11, 12, 13],
        "item_title": [],
        "user_gender": [b"F"],
        "user_age": [25],
        "user_occupation": [10],
        "user_zip": [b"48067"],
    }
    first = _by_position(examples["train"])[b"1", 1]
    assert first["context_movie_id"] == [10, 0, 0]
    assert first["context_movie_genre"] == [b"A", b"B", b"", b""]
    assert first["context_movie_genre_length"] == [2]
    assert first["seen_movie_id"] == []


def test_the_catalogue(
    make_config: MakeConfig, write_dat: WriteDat, generate: Generate
) -> None:
    _, examples = generate(make_config(), write_dat(RATINGS, MOVIES, USERS))
    catalogue = examples["catalogue"]
    assert [e["label_movie_id"] for e in catalogue] == [[10], [11], [12], [13], [14]]
    assert catalogue[2] == {
        "user_id": [b""],
        "label_position": [0],
        "context_length": [0],
        "history_length": [b"0"],
        "context_timestamp": [0, 0, 0],
        "label_timestamp": [0],
        "context_movie_id": [0, 0, 0],
        "context_movie_rating": [0.0, 0.0, 0.0],
        "context_movie_year": [0, 0, 0],
        "context_movie_genre": [b"", b"", b"", b""],
        "context_movie_genre_length": [0],
        "label_movie_id": [12],
        "label_movie_rating": [0.0],
        "label_movie_year": [1912],
        "label_movie_genre": [b"A", b"B", b"C", b""],
        "label_movie_genre_length": [3],
        "seen_movie_id": [],
        "item_title": [b"Twelve (1912)"],
        "user_gender": [b""],
        "user_age": [0],
        "user_occupation": [0],
        "user_zip": [b""],
    }


def test_every_split_has_the_same_columns(
    make_config: MakeConfig, write_dat: WriteDat, generate: Generate
) -> None:
    _, examples = generate(make_config(), write_dat(RATINGS, MOVIES, USERS))
    assert len({tuple(e) for split in examples.values() for e in split}) == 1


def test_types_follow_the_features(
    make_config: MakeConfig, write_dat: WriteDat, generate: Generate
) -> None:
    config = make_config()
    group = config.input.activity_feature_groups[0]
    for feature in (group.features[0], config.input.label_feature):
        feature.feature_type = pb.STRING
    group.features[1].feature_type = pb.INT
    group.features[1].vocab_size = 6
    group.features.add(feature_name="context_movie_year", feature_length=3)
    config.input.global_feature_groups.add().features.add(
        feature_name="user_age", feature_type=pb.FLOAT
    )
    _, examples = generate(config, write_dat(RATINGS, MOVIES, USERS))
    example = _by_position(examples["test"])[b"1", 4]
    assert example["context_movie_id"] == [b"11", b"12", b"13"]
    assert example["label_movie_id"] == [b"10"]
    assert example["seen_movie_id"] == [b"10", b"11", b"12", b"13"]
    assert example["context_movie_rating"] == [4, 3, 2]
    assert example["context_movie_year"] == [b"", b"1912", b"1913"]
    assert example["user_age"] == [25.0]
    assert [e["label_movie_id"] for e in examples["catalogue"]] == [
        [b"10"], [b"11"], [b"12"], [b"13"], [b"14"],
    ]  # fmt: skip


def test_values_as_text(
    make_config: MakeConfig, write_dat: WriteDat, generate: Generate
) -> None:
    config = make_config()
    rating = config.input.activity_feature_groups[0].features[1]
    rating.feature_type, rating.embedding_dim = pb.STRING, 2
    ratings = [(1, 10, "5", 1), (1, 11, "4.5", 2), (1, 12, "3.0", 3), (1, 13, 2, 4)]
    _, examples = generate(config, write_dat(ratings, MOVIES))
    assert examples["test"][0]["context_movie_rating"] == [b"5", b"4.5", b"3"]


def test_filters(
    make_config: MakeConfig, write_dat: WriteDat, generate: Generate
) -> None:
    config = make_config(min_rating=3, min_timeline_length=3)
    ratings = [*RATINGS, (4, 10, 3, 1), (4, 11, 3, 2), (4, 12, 3, 3), (4, 13, 3, 4)]
    report, examples = generate(config, write_dat(ratings, MOVIES))
    assert report["filters"] == {
        "min_rating": 3.0,
        "activity_types": [],
        "repeated_activities": "KEEP_ALL",
        "min_timeline_length": 3,
        "max_timeline_length": 0,
        "window_stride": 1,
        "max_windows_per_user": 0,
    }
    assert report["left_out"] == {
        "activities_below_min_rating": 2,
        "activities_of_other_types": 0,
        "repeated_activities": 0,
        "short_timelines": 1,
        "activities_of_short_timelines": 2,
        "long_timelines": 0,
        "activities_of_long_timelines": 0,
        "train_windows": 0,
    }
    # Of user 1 three activities are left, which give no train example.
    assert set(_by_position(examples["train"])) == {(b"4", 1)}
    assert set(_by_position(examples["test"])) == {(b"1", 2), (b"2", 2), (b"4", 3)}
    assert (report["users"], report["items"], report["activities"]) == (3, 4, 10)
    assert (report["first_timestamp"], report["last_timestamp"]) == (1, 102)


def test_the_report(
    make_config: MakeConfig,
    write_dat: WriteDat,
    generate: Generate,
    tmp_path: Path,
) -> None:
    ratings = [*RATINGS, (5, 77, 5, 1), (5, 10, 5, 2), (5, 11, 5, 3), (6, 1, "x", 1)]
    config = make_config(max_rejected_fraction=0.1)
    report, _ = generate(config, write_dat(ratings, MOVIES, USERS))
    assert json.loads((tmp_path / "out/ingestion_report.json").read_text()) == report
    assert report["source"] == "MOVIELENS_DAT"
    assert report["files"] == [
        {
            "file": "ratings.dat",
            "rows": 14,
            "blank_lines": 0,
            "rejected": {"rating is not a number": 1},
            "samples": [
                {"line": 14, "reason": "rating is not a number", "text": "6::1::x::1"}
            ],
        },
        {
            "file": "movies.dat",
            "rows": 5,
            "blank_lines": 0,
            "rejected": {},
            "samples": [],
        },
        {
            "file": "users.dat",
            "rows": 2,
            "blank_lines": 0,
            "rejected": {},
            "samples": [],
        },
    ]
    assert report["users_not_in_table"] == 1
    assert report["items_not_in_table"] == 1
    # Train holds items 10, 11 and 12; the only label beside them is 13, in eval.
    assert report["labels_unseen_in_train"] == {"eval": 1 / 3, "test": 0.0}
    assert set(report["popularity"]) == {"head", "middle"}
    assert report["split"]["kind"] == "LEAVE_ONE_OUT"
    assert report["split"]["train_ends_before_held_out"] is False
    assert report["split"]["labels"]["eval"] == {
        "users": 3,
        "items": 3,
        "first_timestamp": 2,
        "last_timestamp": 103,
    }
    assert report["split"]["users_trained_later_than_held_out"] == 0
    assert report["spans"] is None
    assert {
        "name": "movie_genre",
        "role": "item",
        "type": "STRING",
        "multi_valued": True,
    } in (report["fields"])


def test_temporal_split_by_timestamps(
    make_config: MakeConfig, write_dat: WriteDat, generate: Generate
) -> None:
    ratings = [(user, 10 * user + t, 3, t) for user in (1, 2) for t in range(1, 11)]
    config = make_config(split=pb.TEMPORAL, train_end="8", eval_end="9")
    report, examples = generate(config, write_dat(ratings))
    assert {e["label_timestamp"][0] for e in examples["eval"]} == {9}
    assert {e["label_timestamp"][0] for e in examples["test"]} == {10}
    train = examples["train"]
    assert {e["label_timestamp"][0] for e in train} == set(range(2, 9))
    assert max(t for e in train for t in e["context_timestamp"]) == 7
    assert examples["eval"][0]["context_timestamp"] == [6, 7, 8]
    assert report["split"]["train_ends_before_held_out"] is True
    assert report["split"]["train_end"] == 8


@pytest.mark.parametrize("num_shards", [1, 3])
def test_temporal_split_by_fraction_leaks_nothing(
    make_config: MakeConfig, write_dat: WriteDat, generate: Generate, num_shards: int
) -> None:
    # Ten users, each with an activity at each of t=1..10: the cuts are at 8 and 9.
    ratings = [(user, t, 3, t) for user in range(10) for t in range(1, 11)]
    config = make_config(split=pb.TEMPORAL, num_shards=num_shards)
    report, examples = generate(config, write_dat(ratings))
    held_out = examples["eval"] + examples["test"]
    assert {e["label_timestamp"][0] for e in held_out} == {9, 10}
    for example in examples["train"]:
        assert max(example["context_timestamp"] + example["label_timestamp"]) <= 8
    assert report["split"]["eval_end"] == 9
    assert report["examples"]["train"] == 70


@pytest.mark.parametrize("split", [pb.RANDOM, pb.USER_HASH], ids=pb.Split.Name)
def test_splits_by_hash_say_that_they_leak(
    make_config: MakeConfig,
    write_dat: WriteDat,
    generate: Generate,
    caplog: pytest.LogCaptureFixture,
    split: int,
) -> None:
    ratings = [(user, t, 3, t) for user in range(200) for t in range(1, 5)]
    config = make_config(split=split, train_data_fraction=0.6)
    with caplog.at_level(logging.WARNING):
        report, examples = generate(config, write_dat(ratings))
    assert f"{pb.Split.Name(split)} leaks the future" in caplog.text
    assert report["split"]["train_ends_before_held_out"] is False
    shares = [len(examples[name]) / (200 * 3) for name in ("train", "eval", "test")]
    assert sum(shares) == pytest.approx(1)
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.08)


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*.gz"))
    }


@pytest.mark.parametrize("split", pb.Split.values(), ids=pb.Split.Name)
def test_the_same_bytes_from_shuffled_lines_and_several_workers(
    make_config: MakeConfig,
    write_dat: WriteDat,
    raw_records: Callable[[Path, str], list[bytes]],
    tmp_path: Path,
    split: int,
) -> None:
    rng = random.Random(7)
    ratings = [
        (rng.randrange(80), rng.randrange(30), rng.randrange(1, 6), rng.randrange(20))
        for _ in range(1500)
    ]
    movies = [(i, f"Film {i}", "|".join("ABC"[: i % 4])) for i in range(30)]
    config = make_config(split=split, num_shards=4)
    generate_examples(config, write_dat(ratings, movies), str(tmp_path / "first"))
    rng.shuffle(ratings)
    rng.shuffle(movies)
    data = write_dat(ratings, movies, folder="shuffled")
    threads = [
        DEFAULT_BEAM_ARGS[0],
        "--direct_running_mode=multi_threading",
        "--direct_num_workers=2",
    ]
    generate_examples(
        config, data, str(tmp_path / "second"), beam_pipeline_args=threads
    )
    first = _contents(tmp_path / "first")
    assert len(first) == 3 * 4 + 1
    assert _contents(tmp_path / "second") == first
    config.data.num_shards = 1
    generate_examples(config, data, str(tmp_path / "one"))
    for name in ("train", "eval", "test", "catalogue"):
        records = raw_records(tmp_path / "one", name)
        assert records == raw_records(tmp_path / "first", name)
        assert records


def test_ties_in_time_in_any_order_of_lines_and_shards(
    make_config: MakeConfig, write_dat: WriteDat, generate: Generate
) -> None:
    rows = [(1, 9, 3, 5), (1, 2, 3, 5), (1, 4, 3, 7), (1, 5, 3, 8), (1, 6, 3, 9)]
    seen = []
    for number in (1, 2, 5):
        for turn in (rows, rows[::-1], rows[1:] + rows[:1]):
            config = make_config(num_shards=number)
            _, examples = generate(config, write_dat(turn), out=f"out{len(seen)}")
            seen.append(examples["test"][0]["seen_movie_id"])
    assert set(seen[0][:2]) == {2, 9}
    assert seen[0][2:] == [4, 5]
    assert seen == [seen[0]] * 9


CSV_INPUT = """
activity_feature_groups {
  features { feature_name: "context_sku" embedding_dim: 4 feature_length: 2 }
}
label_feature { feature_name: "label_sku" embedding_dim: 4 }
"""


def test_csv_without_any_table(
    make_config: MakeConfig, generate: Generate, tmp_path: Path
) -> None:
    config = make_config(CSV_INPUT)
    config.data.files.item_column = "item"
    lines = ["user_id,item,timestamp"]
    lines += [f'"u, {user}",sku-{t % 3},{t}' for user in "ab" for t in range(4)]
    (tmp_path / "activities.csv").write_text("\n".join(lines))
    report, examples = generate(config, str(tmp_path))
    assert [e["label_sku"] for e in examples["catalogue"]] == [
        [b"sku-0"], [b"sku-1"], [b"sku-2"],
    ]  # fmt: skip
    assert {e["user_id"][0] for e in examples["test"]} == {b"u, a", b"u, b"}
    assert examples["test"][0]["context_sku"] == [b"sku-1", b"sku-2"]
    assert examples["catalogue"][0]["item_title"] == [b""]
    assert report["items_not_in_table"] is None
    assert report["users_not_in_table"] is None


@pytest.mark.parametrize(
    ("data", "ratings", "message"),
    [
        ({}, [*RATINGS, (9, "", 3, 5)],
         r"ratings\.dat: line 11: item is empty: '9::::3::5'; 1 of 11"),
        ({}, [*RATINGS[:-1], (3, 11, "good", 2)],
         r"line 10: rating is not a number: '3::11::good::2'"),
        ({}, [*RATINGS, (1, 2, 3)], "line 11: wrong number of columns"),
        ({}, [*RATINGS, (1, 2, 3, -4)], "line 11: timestamp is not between"),
        ({"min_rating": 9}, RATINGS, r"data\.min_rating: 9 leaves no activity"),
        ({"min_timeline_length": 9}, RATINGS,
         r"data\.min_timeline_length: no user has 9"),
        ({}, RATINGS[5:], "LEAVE_ONE_OUT: no example for train"),
        ({"split": pb.TEMPORAL, "train_end": "200", "eval_end": "300"},
         RATINGS, "TEMPORAL: no example for eval"),
    ],
)  # fmt: skip
def test_data_that_cannot_be_used(
    make_config: MakeConfig,
    write_dat: WriteDat,
    tmp_path: Path,
    data: dict[str, Any],
    ratings: list[tuple[Any, ...]],
    message: str,
) -> None:
    out = tmp_path / "out"
    old = out / "Split-train" / "old"
    old.parent.mkdir(parents=True)
    old.write_text("kept")
    with pytest.raises(UserError, match=message) as error:
        generate_examples(make_config(**data), write_dat(ratings, MOVIES), str(out))
    assert "\n" not in str(error.value)
    assert [str(p.relative_to(out)) for p in out.rglob("*")] == [
        "Split-train",
        "Split-train/old",
    ]


def test_a_log_without_rows(
    make_config: MakeConfig, write_dat: WriteDat, tmp_path: Path
) -> None:
    data = write_dat(RATINGS, MOVIES)
    Path(data, "ratings.dat").write_text("\n")
    with pytest.raises(UserError, match=r"ratings\.dat: no activity to be read"):
        generate_examples(make_config(), data, str(tmp_path / "out"))


def test_bad_rows_of_a_table_stop_the_run(
    make_config: MakeConfig, write_dat: WriteDat, tmp_path: Path
) -> None:
    data = write_dat(RATINGS, [*MOVIES, (15, "No genres")])
    with pytest.raises(
        UserError, match=r"movies\.dat: line 6: wrong number of columns"
    ):
        generate_examples(make_config(), data, str(tmp_path / "out"))


def test_a_vocabulary_of_size_zero(
    make_config: MakeConfig, write_dat: WriteDat, tmp_path: Path
) -> None:
    data = write_dat(RATINGS, [(item, title, "") for item, title, _ in MOVIES])
    with pytest.raises(
        UserError, match=r"vocabulary movie_genre of size zero: .*context_movie_genre"
    ):
        generate_examples(make_config(), data, str(tmp_path / "out"))


def test_texts_wanted_as_integers(
    make_config: MakeConfig, write_dat: WriteDat, tmp_path: Path
) -> None:
    config = make_config()
    genre = config.input.activity_feature_groups[1].features[0]
    genre.feature_type, genre.vocab_size = pb.INT, 20
    with pytest.raises(
        UserError,
        match=r"movies\.dat: line 1: movie_genre is not an integer: '10::Ten",
    ):
        generate_examples(config, write_dat(RATINGS, MOVIES), str(tmp_path / "out"))


def test_values_wanted_as_integers(
    make_config: MakeConfig, write_dat: WriteDat, tmp_path: Path
) -> None:
    config = make_config()
    rating = config.input.activity_feature_groups[0].features[1]
    rating.feature_type, rating.vocab_size = pb.INT, 6
    data = write_dat([(1, 10, 3.5, t) for t in range(9)], MOVIES)
    with pytest.raises(UserError, match="line 1: rating is not a whole number"):
        generate_examples(config, data, str(tmp_path / "out"))


def test_labels_that_would_be_cut_although_contexts_are_not(
    make_config: MakeConfig, write_dat: WriteDat, tmp_path: Path
) -> None:
    config = make_config()
    label = config.input.label_item_features.add(
        feature_name="label_movie_genre", embedding_dim=4, feature_length=2
    )
    data = write_dat(RATINGS, MOVIES)
    with pytest.raises(UserError, match=r"label_movie_genre: length 2 .* Expected 3"):
        generate_examples(config, data, str(tmp_path / "out"))
    label.feature_length = 3
    generate_examples(config, data, str(tmp_path / "out"))


def test_labels_hold_the_values_that_a_step_takes(
    make_config: MakeConfig, write_dat: WriteDat, generate: Generate, tmp_path: Path
) -> None:
    config = make_config()
    [genre] = config.input.activity_feature_groups[1].features
    genre.feature_length, genre.values_per_step = 3, 2
    data = write_dat(RATINGS, MOVIES)
    _, examples = generate(config, data)
    several = [e for e in examples["catalogue"] if e["label_movie_genre_length"] == [2]]
    assert several
    for example in examples["catalogue"]:
        assert len(example["label_movie_genre"]) == 2
        assert example["context_movie_genre"] == [b""] * 6
        assert example["context_movie_genre_step_lengths"] == [0] * 3
    config.input.label_item_features.add(
        feature_name="label_movie_genre", embedding_dim=4, feature_length=1
    )
    with pytest.raises(UserError, match=r"label_movie_genre: length 1 .* Expected 2"):
        generate_examples(config, data, str(tmp_path / "other"))


def test_min_rating_needs_a_value(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(CSV_INPUT, min_rating=3)
    config.data.files.item_column = "item"
    (tmp_path / "activities.csv").write_text("user_id,item,timestamp\n")
    with pytest.raises(UserError, match=r"data\.min_rating: 3 is not allowed"):
        generate_examples(config, str(tmp_path), str(tmp_path / "out"))


def test_new_examples_replace_old_ones(
    make_config: MakeConfig, write_dat: WriteDat, tmp_path: Path
) -> None:
    data, out = write_dat(RATINGS, MOVIES), tmp_path / "out"
    generate_examples(make_config(num_shards=3), data, str(out))
    generate_examples(make_config(num_shards=2), data, str(out))
    assert [p.name for p in sorted((out / "Split-train").iterdir())] == [
        "data_tfrecord-00000-of-00002.gz",
        "data_tfrecord-00001-of-00002.gz",
    ]
    assert sorted(p.name for p in out.iterdir()) == [
        "Split-catalogue",
        "Split-eval",
        "Split-test",
        "Split-train",
        "ingestion_report.json",
    ]


def test_where_the_data_lies_does_not_matter(
    make_config: MakeConfig, write_dat: WriteDat, generate: Generate, tmp_path: Path
) -> None:
    data = write_dat(RATINGS, MOVIES)
    shutil.copytree(data, tmp_path / "elsewhere")
    here = generate(make_config(), data, out="a")
    there = generate(make_config(), str(tmp_path / "elsewhere"), out="b")
    assert here == there
    assert _contents(tmp_path / "a") == _contents(tmp_path / "b")


def test_one_way_to_choose_the_beam_pipeline(
    make_config: MakeConfig, write_dat: WriteDat, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="not both"):
        generate_examples(
            make_config(),
            write_dat(RATINGS),
            str(tmp_path / "out"),
            beam_pipeline_args=[],
            make_beam_pipeline=lambda: None,
        )
