"""Whole runs, from logs to examples, against loops of a few lines."""

from __future__ import annotations

import csv
import datetime
import functools
import math
import random
import zoneinfo
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from google.protobuf import text_format

from components.timeline_example_gen import hashing, shards
from components.timeline_example_gen.generate import generate_examples
from configs import recommender_pb2 as pb

CONFIG = """
input {
  activity_feature_groups {
    features { feature_name: "context_item" feature_type: %(item)s vocab_name: "item"
               embedding_dim: 4 feature_length: 3 }
    features { feature_name: "context_device" embedding_dim: 4 feature_length: 2 }
  }
  activity_feature_groups {
    features { feature_name: "context_genre" embedding_dim: 4 feature_length: 4 }
  }
  label_feature { feature_name: "label_item" feature_type: %(item)s vocab_name: "item"
                  embedding_dim: 4 }
}
data {
  source: CSV
  max_rejected_fraction: 0
  files {
    activities_files: "log-*.csv" user_column: "user" item_column: "item"
    timestamp_column: "time" timestamp_format: EPOCH_MILLISECONDS
    value_column: "value" activity_type_column: "type"
    activity_fields { column: "device" }
    activity_fields { column: "place" type: INT }
    activity_fields { column: "load" type: FLOAT }
    items_file: "items.csv" item_key_column: "item" title_column: "title"
    item_fields { column: "genres" field: "genre" separator: "|" }
  }
  derived_fields { field: "year" derivation: YEAR_IN_TEXT from_field: "title" }
}
"""
STEPS, GENRES = 3, 4
LENGTHS = {"device": 2, "genre": GENRES}
START = 1_709_251_200  # 2024-03-01
TYPES = ["view", "buy", "räte"]
# Items from 5 on are not in the table.
YEARS = [1994, 0, 2001, 0, 1950]
GENRES_OF = [["A"], ["A", "B"], ["B", "C", "D", "E", "F"], ["C"], []]
LABELLED = ("train", "eval", "test")


class Row(NamedTuple):
    """An activity as in the log."""

    user: str
    item: str
    time: int
    value: str
    type: str
    device: str
    place: str
    load: str


Example = tuple[str, dict[str, list[Any]]]
Examples = dict[tuple[str, int], Example]
SplitOf = Callable[[list[Row], int], str]


def _log(rng: random.Random, config: pb.RecommenderConfig) -> list[Row]:
    prefix = _prefix(config)
    users = [f"{n}" if n % 3 else f"ü, {n}" for n in range(rng.randint(25, 40))]
    return [
        Row(
            user=rng.choice(users),
            item=f"{prefix}{rng.randrange(9)}",
            # Few hours and few parts of a second, so that there are ties in both.
            time=1000 * (START + 3600 * rng.randrange(96)) + rng.choice([0, 250, 999]),
            value=rng.choice(["-3", "-0", "0", "0.5", "2.50", "4", "1e1"]),
            type=rng.choice(TYPES),
            device=rng.choice(["", "phone", "Küche", "tv"]),
            place=rng.choice(["", "-7", "0", "12"]),
            load=rng.choice(["", "-0.25", "0", "1.5"]),
        )
        for _ in range(rng.randint(300, 600))
    ]


def _prefix(config: pb.RecommenderConfig) -> str:
    """Of the items' ids, before their digit."""
    return "" if config.input.label_feature.feature_type == pb.INT else "é-"


def _number(row: Row) -> int:
    return int(row.item[-1])


def _config(rng: random.Random, split: int) -> pb.RecommenderConfig:
    config = pb.RecommenderConfig()
    text_format.Parse(CONFIG % {"item": rng.choice(["INT", "STRING"])}, config)
    data = config.data
    data.split, data.seed = split, rng.randrange(5)
    data.num_shards = rng.choice([1, 1, 2, 5])
    data.train_data_fraction = rng.choice([0.3, 0.4, 0.55, 0.6])
    data.min_timeline_length = rng.randint(2, 4)
    data.max_timeline_length = rng.choice([0, rng.randint(10, 25)])
    data.repeated_activities = rng.choice(pb.RepeatedActivities.values())
    data.window_stride = rng.choice([1, 2, 3])
    data.max_windows_per_user = rng.choice([0, rng.randint(1, 4)])
    data.timezone = rng.choice(["UTC", "Asia/Kolkata"])
    if rng.random() < 0.5:
        data.min_rating = rng.choice([-1, 0, 0.5])
    if rng.random() < 0.5:
        data.activity_types[:] = rng.sample(TYPES, 2)
    if split == pb.TEMPORAL and rng.random() < 0.5:
        data.train_end = rng.choice(
            ["2024-03-02", "2024-03-02T10:00", f"{START + 99_999}"]
        )
        data.eval_end = rng.choice(["2024-03-03", "2024-03-03 09:30:00"])
    return config


def _reference(rows: list[Row], config: pb.RecommenderConfig, split_of: SplitOf) -> Any:
    """Split and columns of each example, by user and place in the timeline."""
    data = config.data
    examples: Examples = {}
    for user, timeline in _timelines(rows, data).items():
        newer = 0
        for at in range(len(timeline) - 1, 0, -1):
            split = split_of(timeline, at)
            if split == "train":
                rank, rest = divmod(newer, data.window_stride)
                newer += 1
                if rest or rank >= (data.max_windows_per_user or len(timeline)):
                    continue
            examples[user, at] = split, _columns(timeline, at, split, config)
    return examples


def _wanted(rows: list[Row], data: pb.DataConfig) -> list[Row]:
    least = data.min_rating if data.HasField("min_rating") else -math.inf
    types = data.activity_types or TYPES
    return [row for row in rows if float(row.value) >= least and row.type in types]


def _timelines(rows: list[Row], data: pb.DataConfig) -> dict[str, list[Row]]:
    def order(row: Row) -> Any:
        fields = int(row.place or 0), float(row.load or 0), row.device.encode()
        return row.time, _tie(row, data.seed), float(row.value), fields

    timelines = defaultdict(list)
    for row in sorted(_wanted(rows, data), key=order):
        timelines[row.user].append(row)
    kept = {u: _once_each(t, data.repeated_activities) for u, t in timelines.items()}
    most = data.max_timeline_length or math.inf
    return {u: t for u, t in kept.items() if data.min_timeline_length <= len(t) <= most}


def _tie(row: Row, seed: int) -> int:
    """The order within a moment, one pair at a time."""
    user = hashing.seeded(_hash(row.user), seed)
    return int(hashing.combine(user, _hash(row.item))[0])


@functools.cache
def _hash(text: str) -> hashing.Hashes:
    data = text.encode()
    return hashing.hash_bytes(np.frombuffer(data, np.uint8), np.array([0, len(data)]))


def _once_each(timeline: list[Row], repeated: int) -> list[Row]:
    if repeated == pb.KEEP_ALL:
        return timeline
    step = 1 if repeated == pb.KEEP_FIRST else -1
    kept: dict[str, Row] = {}
    for row in timeline[::step]:
        kept.setdefault(row.item, row)
    return list(kept.values())[::step]


def _columns(
    timeline: list[Row], at: int, split: str, config: pb.RecommenderConfig
) -> dict[str, list[Any]]:
    one_value: dict[str, tuple[Any, Callable[[Row], Any]]] = {
        "item": (b"", lambda row: row.item.encode())
        if _prefix(config)
        else (0, _number),
        "value": (0.0, lambda row: float(row.value)),
        "device": (b"", lambda row: row.device.encode()),
        "place": (0, lambda row: int(row.place or 0)),
        "load": (0.0, lambda row: float(row.load or 0)),
        "year": (0, lambda row: dict(enumerate(YEARS)).get(_number(row), 0)),
    }
    before, label = timeline[max(0, at - STEPS) : at], timeline[at]
    seen = [] if split == "train" else timeline[:at]
    columns = {
        "user_id": [label.user.encode()],
        "label_position": [at],
        "context_length": [len(before)],
        "history_length": [
            [b"1-4", b"5-9", b"10-19", b"20-49"][bisect([5, 10, 20], at)]
        ],
        "context_timestamp": _padded([row.time // 1000 for row in before], STEPS, 0),
        "label_timestamp": [label.time // 1000],
        "item_title": [],
        "seen_item": [one_value["item"][1](row) for row in seen],
    }
    for name, (nothing, value) in one_value.items():
        length = LENGTHS.get(name, STEPS)
        values = [value(row) for row in before]
        columns[f"context_{name}"] = _padded(values, length, nothing)
        columns[f"label_{name}"] = [value(label)]
    for prefix, part in (("context", before), ("label", [label])):
        genres = [g.encode() for row in part for g in _genres(row)][-GENRES:]
        columns[f"{prefix}_genre"] = _padded(genres, GENRES, b"")
        columns[f"{prefix}_genre_length"] = [len(genres)]
    return columns


def _genres(row: Row) -> list[str]:
    return dict(enumerate(GENRES_OF)).get(_number(row), [])


def _padded(values: list[Any], length: int, nothing: Any) -> list[Any]:
    return values[-length:] + [nothing] * (length - len(values))


def _leave_one_out(timeline: list[Row], at: int) -> str:
    return {1: "test", 2: "eval"}.get(len(timeline) - at, "train")


def _temporal(ends: Sequence[int]) -> SplitOf:
    def split_of(timeline: list[Row], at: int) -> str:
        return LABELLED[sum(timeline[at].time // 1000 > end for end in ends)]

    return split_of


def _as_found(found: Examples) -> SplitOf:
    """Of splits by hash; a label that is not found can be one of train thinned out."""
    return lambda timeline, at: found.get((timeline[at].user, at), ("train",))[0]


def _ends(rows: list[Row], data: pb.DataConfig) -> list[int]:
    """The last seconds of train and of eval."""
    if data.train_end:
        return [_second(end, data.timezone) for end in (data.train_end, data.eval_end)]
    seconds = sorted(row.time // 1000 for row in _wanted(rows, data))
    share = Fraction(str(data.train_data_fraction))
    return [
        seconds[math.ceil(part * len(seconds)) - 1] for part in (share, (1 + share) / 2)
    ]


def _second(end: str, timezone: str) -> int:
    if end.isdecimal():
        return int(end)
    moment = datetime.datetime.fromisoformat(end)
    whole_day = datetime.timedelta(days=len(end) == len("2024-03-02"))
    moment = (moment + whole_day).replace(tzinfo=zoneinfo.ZoneInfo(timezone))
    return int(moment.timestamp()) - whole_day.days


def _write(folder: Path, rows: list[Row], files: int, prefix: str) -> None:
    folder.mkdir()
    for number in range(files):
        _write_csv(folder / f"log-{number}.csv", [Row._fields, *rows[number::files]])
    items = [
        (f"{prefix}{n}", f"Ä Film ({year})" if year else "Film", "|".join(GENRES_OF[n]))
        for n, year in enumerate(YEARS)
    ]
    _write_csv(folder / "items.csv", [("item", "title", "genres"), *items])


def _write_csv(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


@pytest.mark.parametrize("number", range(15))
@pytest.mark.parametrize("split", pb.Split.values(), ids=pb.Split.Name)
def test_examples_equal_the_reference(
    tmp_path: Path,
    read_split: Callable[[Path, str], list[dict[str, list[Any]]]],
    split: int,
    number: int,
) -> None:
    rng = random.Random(number)
    config = _config(rng, split)
    rows = _log(rng, config)
    _write(tmp_path / "data", rows, rng.randint(1, 3), _prefix(config))
    report = generate_examples(config, str(tmp_path / "data"), str(tmp_path / "out"))
    written = [(n, e) for n in LABELLED for e in read_split(tmp_path / "out", n)]
    found = {
        (e["user_id"][0].decode(), e["label_position"][0]): (name, e)
        for name, e in written
    }
    assert len(found) == len(written)
    split_of: dict[int, SplitOf] = {
        pb.LEAVE_ONE_OUT: _leave_one_out,
        pb.TEMPORAL: _temporal(_ends(rows, config.data)),
    }
    reference = _reference(rows, config, split_of.get(split, _as_found(found)))
    assert found == reference
    if split == pb.USER_HASH:
        splits_of_users = {(user, name) for (user, _), (name, _) in found.items()}
        assert len(splits_of_users) == len({user for user, _ in found})
    counted = Counter(name for name, _ in written)
    assert {name: report["examples"][name] for name in LABELLED} == counted
    left_out = report["left_out"]
    dropped = sum(n for name, n in left_out.items() if "activities" in name)
    assert report["activities"] + dropped == len(rows)


@pytest.mark.parametrize(
    ("split", "values_per_batch"),
    [
        (pb.LEAVE_ONE_OUT, 1),
        (pb.TEMPORAL, 100),
        (pb.RANDOM, 10**6),
        (pb.USER_HASH, 100),
    ],
)
def test_the_same_bytes_from_any_order_shards_and_batches(
    tmp_path: Path,
    raw_records: Callable[[Path, str], list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    split: int,
    values_per_batch: int,
) -> None:
    monkeypatch.setattr(shards, "_VALUES_PER_BATCH", values_per_batch)
    rng = random.Random(1)
    config = _config(rng, split)
    rows = _log(rng, config)
    whole = {}
    for number in (1, 3, 20):
        config.data.num_shards = number
        data, out = tmp_path / f"data-{number}", tmp_path / f"{number}"
        _write(data, rows, number % 7, _prefix(config))
        generate_examples(config, str(data), str(out))
        for name in LABELLED:
            records = raw_records(out, name)
            assert len(records) > 10
            assert whole.setdefault(name, records) == records
            assert len(list((out / f"Split-{name}").iterdir())) == number
        rng.shuffle(rows)
