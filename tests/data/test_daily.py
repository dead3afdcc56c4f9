"""A log cut into days."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from data import daily
from data.daily import Ratings, cut, read_ratings, shuffled, some_items, write_day
from tests.checkout import ROOT

SAMPLE = ROOT / "data" / "sample"
MIDNIGHT = 1_709_251_200  # 2024-03-01

ROWS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(0, 50)), min_size=1
)


def ratings_of(rows: list[tuple[int, int, int]]) -> Ratings:
    table = np.array(sorted(rows, key=lambda row: row[2]), np.int64)
    return Ratings(table[:, 0], table[:, 1], np.ones(len(rows), np.int64), table[:, 2])


@given(rows=ROWS, days=st.integers(1, 5))
def test_each_user_is_cut_evenly_and_in_order(
    rows: list[tuple[int, int, int]], days: int
) -> None:
    ratings = ratings_of(rows)
    parts = cut(ratings, days)
    assert len(parts) == days
    for index, part in enumerate(parts):
        begin = MIDNIGHT + index * 86_400
        assert ((begin <= part.timestamp) & (part.timestamp < begin + 86_400)).all()
    for user in np.unique(ratings.user):
        mine = [part.take(part.user == user) for part in parts]
        items = np.concatenate([part.item for part in mine])
        np.testing.assert_array_equal(items, ratings.item[ratings.user == user])
        counts = [len(part.item) for part in mine]
        assert max(counts) - min(counts) <= 1
        for part in mine:
            assert (np.diff(part.timestamp) >= 0).all()


def test_what_is_of_one_moment_stays_so() -> None:
    ratings = ratings_of([(1, 1, 5), (1, 2, 5), (2, 3, 5), (1, 4, 6)])
    [part] = cut(ratings, 1)
    assert len(set(part.timestamp[:3])) == 1
    assert part.timestamp[3] > part.timestamp[0]


def test_the_sample() -> None:
    ratings = read_ratings(SAMPLE)
    assert len(ratings.user) == 40_000
    assert (np.diff(ratings.timestamp) >= 0).all()
    parts = cut(ratings, 8)
    assert sum(len(part.user) for part in parts) == len(ratings.user)
    assert all(len(np.unique(part.user)) == 600 for part in parts)


def test_shuffled_labels() -> None:
    ratings = read_ratings(SAMPLE)
    other = shuffled(ratings, seed=1)
    np.testing.assert_array_equal(other.user, ratings.user)
    np.testing.assert_array_equal(np.sort(other.item), np.sort(ratings.item))
    assert (other.item != ratings.item).mean() > 0.9
    np.testing.assert_array_equal(other.item, shuffled(ratings, seed=1).item)
    assert (other.item != shuffled(ratings, seed=2).item).mean() > 0.9


def test_days_before_an_item_was_there(tmp_path: Path) -> None:
    ratings = read_ratings(SAMPLE)
    new = some_items(ratings, 0.3, seed=1)
    assert len(new) == round(0.3 * len(np.unique(ratings.item)))
    write_day(SAMPLE, tmp_path, 0, ratings, new)
    folder = tmp_path / "2024-03-01"
    assert not set(read_ratings(folder).item) & set(new)
    movies = (folder / daily.MOVIES).read_bytes().splitlines()
    assert not {int(line.split(b"::")[0]) for line in movies} & set(new.tolist())
    assert len(movies) == 700 - len(new)
    # Written anew, nothing of the former is left.
    write_day(SAMPLE, tmp_path, 0, ratings)
    written = (folder / daily.RATINGS).read_bytes().split()
    assert sorted(written) == sorted((SAMPLE / daily.RATINGS).read_bytes().split())
    assert (folder / daily.MOVIES).read_bytes() == (SAMPLE / daily.MOVIES).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2024-03-01"]


def test_the_command(tmp_path: Path) -> None:
    out = tmp_path / "spans"
    arguments = ["--data", str(SAMPLE), "--days", "3", "--out", str(out)]
    done = CliRunner().invoke(daily.daily_command, arguments)
    assert done.exit_code == 0, done.output
    assert len(done.output.splitlines()) == 3
    names = ["2024-03-01", "2024-03-02", "2024-03-03"]
    assert sorted(path.name for path in out.iterdir()) == names
    again = CliRunner().invoke(daily.daily_command, arguments)
    assert again.exit_code == 1
    assert "is not empty, expected a new folder" in again.output


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_no_item_or_all(share: float) -> None:
    ratings = read_ratings(SAMPLE)
    chosen = some_items(ratings, share, seed=1)
    assert len(chosen) == share * len(np.unique(ratings.item))
