"""The real MovieLens sets, where they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.timeline_example_gen.generate import generate_examples
from configs import recommender_pb2 as pb


def test_movielens_100k(
    make_config: Callable[..., pb.RecommenderConfig],
    read_split: Callable[[Path, str], list[dict[str, Any]]],
    raw_records: Callable[[Path, str], list[bytes]],
    movielens: Callable[[str], str],
    tmp_path: Path,
) -> None:
    data = movielens("ml-100k")
    report = generate_examples(make_config(), data, str(tmp_path))
    assert report["examples"] == {
        "train": 100_000 - 3 * 943,
        "eval": 943,
        "test": 943,
        "catalogue": 1682,
    }
    for name, number in report["examples"].items():
        assert len(raw_records(tmp_path, name)) == number
    assert (report["users"], report["items"], report["activities"]) == (
        943,
        1682,
        100_000,
    )
    assert all(not file["rejected"] for file in report["files"])
    # Labels of all splits, and the first of each timeline, are the rows of the log.
    rows = [line.split("\t") for line in Path(data, "u.data").read_text().splitlines()]
    last = {e["user_id"][0]: e for e in read_split(tmp_path, "test")}
    timelines = Counter(user.encode() for user, *_ in rows)
    assert {u: len(e["seen_movie_id"]) + 1 for u, e in last.items()} == timelines
    for user, example in last.items():
        times = sorted(int(t) for u, _, _, t in rows if u.encode() == user)
        assert example["label_timestamp"] == times[-1:]
    items = Counter(int(item) for _, item, *_ in rows)
    held = Counter(
        i for e in last.values() for i in e["seen_movie_id"] + e["label_movie_id"]
    )
    assert held == items
    titles = {
        e["label_movie_id"][0]: e["item_title"][0]
        for e in read_split(tmp_path, "catalogue")
    }
    assert titles[50] == b"Star Wars (1977)"
    assert titles[543] == "Misérables, Les (1995)".encode()


def test_movielens_latest_small(
    make_config: Callable[..., pb.RecommenderConfig],
    read_split: Callable[[Path, str], list[dict[str, Any]]],
    raw_records: Callable[[Path, str], list[bytes]],
    movielens: Callable[[str], str],
    tmp_path: Path,
) -> None:
    data = movielens("ml-latest-small")
    rows = len(Path(data, "ratings.csv").read_text().splitlines()) - 1
    report = generate_examples(make_config(num_shards=3), data, str(tmp_path))
    users = report["users"]
    assert report["activities"] == rows
    assert len(raw_records(tmp_path, "train")) == rows - 3 * users
    assert len(raw_records(tmp_path, "eval")) == users
    assert len(raw_records(tmp_path, "test")) == users
    assert all(not file["rejected"] for file in report["files"])
    titles = {e["label_movie_id"][0]: e for e in read_split(tmp_path, "catalogue")}
    movies = Path(data, "movies.csv").read_text(encoding="utf-8")
    assert len(titles) == len(movies.splitlines()) - 1
    assert titles[11]["item_title"] == [b"American President, The (1995)"]
    assert titles[11]["label_movie_year"] == [1995]
