"""The vectorised path from rows to examples against loops of ten lines."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.timeline_example_gen import hashing, shards, splits
from components.timeline_example_gen.columns import plan_columns
from components.timeline_example_gen.inputs import Inputs
from components.timeline_example_gen.lookups import make_lookup
from components.timeline_example_gen.sources import movielens
from components.timeline_example_gen.sources.derived import with_derived_fields
from components.timeline_example_gen.sources.movielens_dat import MovieLensDat
from components.timeline_example_gen.sources.source import Role, RowCount, Table
from configs import recommender_pb2 as pb
from configs.features import history_bucket

Row = tuple[int, int, int, float]  # user, item, timestamp, rating

STEPS, GENRES = 3, 4
# Item 4 has no genre; items from 5 on are not in the table.
GENRES_OF = {0: ["A"], 1: ["A", "B"], 2: ["B", "C", "D", "E", "F"], 3: ["C"], 4: []}
VALUES = st.sampled_from([0.5, 1.0, -2.0, 0.0])
ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 7), st.integers(0, 6), VALUES),
    max_size=60,
)
ReadSplit = Callable[[Path, str], list[dict[str, list[Any]]]]
# Steps of the genres' column and values of each, if it is aligned.
Aligned = tuple[int, int] | None
# The split of a user's activity: by its place in the timeline, its length and time.
SplitOf = Callable[[int, int, int], str]


def _tie(user: int, item: int, seed: int) -> int:
    """The order within a second, one pair at a time."""

    def text(value: int) -> hashing.Hashes:
        data = str(value).encode()
        return hashing.hash_bytes(
            np.frombuffer(data, np.uint8), np.array([0, len(data)])
        )

    return int(hashing.combine(hashing.seeded(text(user), seed), text(item))[0])


def _leave_one_out(at: int, length: int, _time: int) -> str:
    return {length - 1: "test", length - 2: "eval"}.get(at, "train")


def _by(cuts: splits.Cuts) -> SplitOf:
    def split_of(_at: int, _length: int, time: int) -> str:
        if time <= cuts.train_end:
            return "train"
        return "eval" if time <= cuts.eval_end else "test"

    return split_of


def _reference(
    rows: list[Row], data: pb.DataConfig, split_of: SplitOf, aligned: Aligned
) -> dict[Any, dict[str, Any]]:
    timelines = defaultdict(list)
    for user, item, time, rating in rows:
        timelines[user].append((time, _tie(user, item, data.seed), item, rating))
    result = {}
    for user, timeline in timelines.items():
        timeline.sort()
        timeline = _once_each(timeline, data.repeated_activities)
        longest = data.max_timeline_length or len(timeline)
        if not data.min_timeline_length <= len(timeline) <= longest:
            continue
        split_at = {
            at: split_of(at, len(timeline), timeline[at][0])
            for at in range(1, len(timeline))
        }
        newest_first = [at for at in reversed(split_at) if split_at[at] == "train"]
        most = data.max_windows_per_user or None
        kept = newest_first[:: data.window_stride][:most]
        for at, split in split_at.items():
            first = max(0, at - STEPS)
            context = timeline[first:at]
            label = timeline[at]
            genres, label_genres = _genres(context, label, aligned)
            if split == "train" and at not in kept:
                continue
            seen = [a[2] for a in timeline[:at]]
            result[str(user), at] = {
                "split": split,
                "context_movie_id": [a[2] for a in context],
                "context_movie_rating": [a[3] for a in context],
                "context_movie_genre": genres,
                "label_movie_id": label[2],
                "label_movie_genre": label_genres,
                "context_gap": [_gap(timeline, i) for i in range(first, at)],
                "label_gap": _gap(timeline, at),
                "context_timestamp": [a[0] for a in context],
                "label_timestamp": label[0],
                "seen_movie_id": [] if split == "train" else seen,
                "history_length": history_bucket(at, (5, 10, 20, 50, 100)),
            }
    return result


def _genres(context: list[Any], label: Any, aligned: Aligned) -> Any:
    """Of the context, all together or step by step, and of the label."""
    genres = [GENRES_OF.get(activity[2], []) for activity in [*context, label]]
    if aligned is None:
        flat = [genre for of_step in genres[:-1] for genre in of_step]
        return flat[-GENRES:], genres[-1][-GENRES:]
    steps, number = aligned
    return [g[:number] for g in genres[:-1]][-steps:], genres[-1][:number]


def _gap(timeline: list[Any], at: int) -> int:
    return int(timeline[at][0] - timeline[at - 1][0]) if at else 0


def _once_each(timeline: list[Any], repeated: int) -> list[Any]:
    if repeated == pb.KEEP_ALL:
        return timeline
    step = 1 if repeated == pb.KEEP_FIRST else -1
    kept: dict[int, Any] = {}
    for activity in timeline[::step]:
        kept.setdefault(activity[2], activity)
    return list(kept.values())[::step]


def _unpadded(
    example: dict[str, list[Any]], split: str, aligned: Aligned
) -> dict[str, Any]:
    steps = example["context_length"][0]
    columns = {
        "split": split,
        "label_movie_id": example["label_movie_id"][0],
        "label_timestamp": example["label_timestamp"][0],
        "seen_movie_id": example["seen_movie_id"],
        "history_length": example["history_length"][0].decode(),
        "label_gap": example["label_gap"][0],
        "label_movie_genre": _texts(
            example["label_movie_genre"], example["label_movie_genre_length"][0]
        ),
    }
    assert len(example["label_movie_genre"]) == (aligned[1] if aligned else GENRES)
    genres = example["context_movie_genre"]
    if aligned is None:
        length = example["context_movie_genre_length"][0]
        assert len(genres) == GENRES
        columns["context_movie_genre"] = _texts(genres, length)
    else:
        number = aligned[1]
        lengths = example["context_movie_genre_step_lengths"]
        assert len(lengths) * number == len(genres) == aligned[0] * number
        assert "context_movie_genre_length" not in example
        by_step = [
            _texts(genres[number * i : number * (i + 1)], length)
            for i, length in enumerate(lengths)
        ]
        columns["context_movie_genre"] = by_step[:steps]
        assert not any(lengths[steps:])
    for name in (
        *("context_movie_id", "context_movie_rating", "context_timestamp"),
        "context_gap",
    ):
        assert example[name][steps:] == [0] * (STEPS - steps)
        columns[name] = example[name][:steps]
    return columns


def _texts(values: list[bytes], real: int) -> list[str]:
    assert values[real:] == [b""] * (len(values) - real)
    return [value.decode() for value in values[:real]]


def _align(config: pb.RecommenderConfig, aligned: Aligned) -> None:
    if aligned is not None:
        [genre] = config.input.activity_feature_groups[1].features
        genre.feature_length, genre.values_per_step = aligned


def _batch(rows: list[Row]) -> pa.RecordBatch:
    user, item, time, rating = (
        ([row[i] for row in rows] for i in range(4)) if rows else ([], [], [], [])
    )
    return pa.RecordBatch.from_arrays(
        [
            pa.array(user, pa.int64()),
            pa.array(item, pa.int64()),
            pa.array([1000 * t for t in time], pa.int64()),
            pa.array(rating, pa.float64()),
        ],
        ["user", "item", "timestamp", "value"],
    )


def _write(
    config: pb.RecommenderConfig,
    folder: Path,
    batches: list[list[Row]],
    num_shards: int,
    cuts: splits.Cuts | None = None,
) -> list[shards.ShardReport]:
    source = with_derived_fields(
        MovieLensDat(Inputs(("data/ratings.dat",))),
        [*movielens.DERIVED_FIELDS, pb.DerivedField(field="gap", derivation=pb.GAP)],
        "UTC",
    )
    plan = plan_columns(config, source)
    table = Table(
        file="movies.dat",
        keys=[str(item) for item in GENRES_OF],
        lines=list(range(1, len(GENRES_OF) + 1)),
        texts=[b""] * len(GENRES_OF),
        fields={
            "movie_year": [None] * len(GENRES_OF),
            "movie_genre": list(GENRES_OF.values()),
        },
        titles=None,
        count=RowCount(),
    )
    fields = [(f, plan.type_of(f)) for f in plan.fields(Role.ITEM)]
    items = make_lookup(table, fields, plan.item_type, "item")
    users = make_lookup(None, [], pb.STRING, "user")
    task = shards.make_task(config, plan, items, users, num_shards)
    streams: dict[int, list[bytes]] = {number: [] for number in range(num_shards)}
    for rows in batches:
        for number, stream in shards.partition(_batch(rows), num_shards):
            streams[number].append(stream)
    return [
        shards.write_shard(task, number, parts, cuts, str(folder))
        for number, parts in streams.items()
    ]


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=ROWS,
    settings_=st.fixed_dictionaries(
        {"min_timeline_length": st.integers(2, 5), "seed": st.integers(0, 3)},
        optional={
            "max_timeline_length": st.integers(5, 9),
            "repeated_activities": st.sampled_from(pb.RepeatedActivities.values()),
            "window_stride": st.integers(1, 3),
            "max_windows_per_user": st.integers(0, 3),
        },
    ),
    train_end=st.none() | st.integers(-1, 6),
    eval_seconds=st.integers(1, 3),
    aligned=st.none() | st.tuples(st.integers(1, STEPS), st.integers(1, 6)),
)
def test_examples_equal_the_reference(
    tmp_path: Path,
    make_config: Callable[..., pb.RecommenderConfig],
    read_split: ReadSplit,
    rows: list[Row],
    settings_: dict[str, int],
    train_end: int | None,
    eval_seconds: int,
    aligned: Aligned,
) -> None:
    config, cuts, split_of = make_config(**settings_), None, _leave_one_out
    _align(config, aligned)
    if train_end is not None:
        config.data.split = pb.TEMPORAL
        cuts = splits.Cuts(train_end, train_end + eval_seconds)
        split_of = _by(cuts)
    reports = _write(config, tmp_path, [rows[::2], rows[1::2]], 2, cuts)
    found = {}
    for split in ("train", "eval", "test"):
        for example in read_split(tmp_path, split):
            key = example["user_id"][0].decode(), example["label_position"][0]
            found[key] = _unpadded(example, split, aligned)
    assert found == _reference(rows, config.data, split_of, aligned)
    counted = sum(c.examples for report in reports for c in report.splits.values())
    assert counted == len(found)


@pytest.mark.parametrize(
    ("values_per_batch", "aligned"), [(1, None), (100, (2, 3)), (10**6, None)]
)
def test_the_same_bytes_from_any_order_shards_and_batches(
    tmp_path: Path,
    make_config: Callable[..., pb.RecommenderConfig],
    raw_records: Callable[[Path, str], list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    values_per_batch: int,
    aligned: Aligned,
) -> None:
    monkeypatch.setattr(shards, "_VALUES_PER_BATCH", values_per_batch)
    rng = random.Random(1)
    rows = [
        (rng.randrange(60), rng.randrange(8), rng.randrange(9), rng.choice([1.0, 2.0]))
        for _ in range(600)
    ]
    whole = tmp_path / "whole"
    config = make_config()
    _align(config, aligned)
    _write(config, whole, [rows], num_shards=1)
    for number in (1, 3, 50):
        rng.shuffle(rows)
        other = tmp_path / f"{number}"
        _write(config, other, [rows[:100], rows[100:250], rows[250:]], number)
        for split in ("train", "eval", "test"):
            records = raw_records(whole, split)
            assert len(records) > 50
            assert raw_records(other, split) == records
            assert len(list((other / f"Split-{split}").iterdir())) == number
