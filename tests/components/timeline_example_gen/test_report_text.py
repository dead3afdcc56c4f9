"""The report for people: what each kind of split says of leaks, from the times."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from components.timeline_example_gen.report_text import leak_line, report_lines
from configs import recommender_pb2 as pb

RANDOM = random.Random(1)
RATINGS = [
    (user, item, 3, RANDOM.randrange(10**6))
    for user in range(60)
    for item in RANDOM.sample(range(1, 31), 8)
]


@pytest.mark.parametrize(
    ("split", "beginning", "resolution"),
    [
        (pb.TEMPORAL, "No leak: last train label ", 1),
        (pb.LEAVE_ONE_OUT, "No leak within a user: ", 1),
        (pb.USER_HASH, "No leak within a user: ", 1),
        (pb.RANDOM, "LEAKS the future: ", 1),
        # All at one time: the order within it counts.
        (pb.LEAVE_ONE_OUT, "No leak within a user: ", 10**7),
        (pb.USER_HASH, "No leak within a user: ", 10**7),
        (pb.RANDOM, "LEAKS the future: ", 10**7),
    ],
)
def test_leaks_are_told_from_the_times(
    make_config: Callable[..., pb.RecommenderConfig],
    write_dat: Callable[..., str],
    generate: Callable[..., Any],
    split: int,
    beginning: str,
    resolution: int,
) -> None:
    config = make_config(split=split, train_data_fraction=0.6)
    ratings = [(*row, time // resolution) for *row, time in RATINGS]
    report, examples = generate(config, write_dat(ratings))
    assert leak_line(report).startswith(beginning)
    times = {
        name: [e["label_timestamp"][0] for e in examples[name]]
        for name in ("train", "eval", "test")
    }
    held_out = times["eval"] + times["test"]
    earlier = max(times["train"]) < min(held_out)
    assert report["split"]["train_ends_before_held_out"] is earlier
    # What is in its context is earlier than an example's label.
    held_out_items: dict[bytes, set[int]] = {}
    for example in examples["eval"] + examples["test"]:
        items = held_out_items.setdefault(example["user_id"][0], set())
        items.add(example["label_movie_id"][0])
    leaking = {
        example["user_id"][0]
        for example in examples["train"]
        if held_out_items.get(example["user_id"][0], set())
        & set(example["context_movie_id"])
    }
    later = report["split"]["users_trained_later_than_held_out"]
    assert later >= len(leaking)
    assert (later > 0) is bool(leaking)
    for name in ("train", "eval", "test"):
        labels = {e["label_movie_id"][0] for e in examples[name]}
        assert report["split"]["labels"][name]["items"] == len(labels)


def test_all_that_was_left_out_is_said(
    make_config: Callable[..., pb.RecommenderConfig],
    write_dat: Callable[..., str],
    generate: Callable[..., Any],
) -> None:
    config = make_config(
        min_rating=2,
        min_timeline_length=3,
        max_timeline_length=9,
        repeated_activities=pb.KEEP_LAST,
        max_windows_per_user=4,
        max_rejected_fraction=0.1,
    )
    rows: list[Any] = [(1, i, 3, i) for i in range(9)]
    rows += [(1, 2, 3, 50), (1, 3, 1, 51), (1, 77, "x", 1)]
    rows += [(2, 1, 3, 1), (2, 2, 3, 2)]
    rows += [(3, i, 3, i) for i in range(10)]
    report, examples = generate(config, write_dat(rows))
    assert report_lines(report)[:7] == [
        "Rows: 35 of ratings.dat, movies.dat; 1 rejected (2.86%)",
        "  1 in ratings.dat: rating is not a number, as in line 12: '1::77::x::1'",
        "Left out: 1 activities below min_rating",
        "Left out: 1 repeated activities (repeated_activities)",
        "Left out: 2 activities of users with fewer than min_timeline_length",
        "Left out: 10 activities of users with more than max_timeline_length",
        "Left out: 2 train examples (window_stride, max_windows_per_user)",
    ]
    [test] = examples["test"]
    assert test["label_movie_id"] == [2] and test["label_timestamp"] == [50]
