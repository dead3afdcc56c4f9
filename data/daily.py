"""Cuts a folder of MovieLens' .dat files into daily spans, as logs come to a shop.

``python -m data.daily --help`` tells more.
"""

from __future__ import annotations

import datetime
import shutil
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

RATINGS, MOVIES, USERS = "ratings.dat", "movies.dat", "users.dat"
FIRST_DAY = datetime.date(2024, 3, 1)
SPAN_FOLDER = "{YYYY}-{MM}-{DD}"

_SEPARATOR = b"::"
_SECONDS_PER_DAY = 86_400
_EPOCH = datetime.date(1970, 1, 1)

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ratings:
    """Ratings in the order of time.

    Attributes:
      user: int64 ``[rows]``.
      item: int64 ``[rows]``.
      value: int64 ``[rows]``.
      timestamp: int64 ``[rows]``, seconds since 1970.
    """

    user: Ints
    item: Ints
    value: Ints
    timestamp: Ints

    def take(self, rows: npt.NDArray[np.bool_] | Ints) -> Ratings:
        """Some of them."""
        return Ratings(
            self.user[rows], self.item[rows], self.value[rows], self.timestamp[rows]
        )


def read_ratings(folder: Path) -> Ratings:
    """Reads ``ratings.dat``."""
    lines = (folder / RATINGS).read_bytes().split()
    table = np.array([line.split(_SEPARATOR) for line in lines], np.int64)
    table = table[np.argsort(table[:, 3], kind="stable")]
    return Ratings(*table.T)


def cut(ratings: Ratings, days: int) -> list[Ratings]:
    """Each user's ratings evenly over the days, their times spread over each day.

    What is of one moment for a user stays so where it falls on one day, and the order
    of time is kept for each user.

    Args:
      ratings: in the order of time.
      days: how many.
    """
    order = np.argsort(ratings.user, kind="stable")
    _, begin, count = np.unique(
        ratings.user[order], return_index=True, return_counts=True
    )
    place = np.arange(len(order)) - np.repeat(begin, count)
    day = np.empty(len(order), np.int64)
    day[order] = place * days // np.repeat(count, count)
    parts = []
    for index in range(days):
        part = ratings.take(day == index)
        midnight = ((FIRST_DAY - _EPOCH).days + index) * _SECONDS_PER_DAY
        moments = np.unique(part.timestamp)
        share = np.searchsorted(moments, part.timestamp) / len(moments)
        timestamp = midnight + (share * _SECONDS_PER_DAY).astype(np.int64)
        parts.append(Ratings(part.user, part.item, part.value, timestamp))
    return parts


def shuffled(ratings: Ratings, seed: int) -> Ratings:
    """The same users, items and times, but who has had what is drawn by lot."""
    item = np.random.default_rng(seed).permutation(ratings.item)
    return Ratings(ratings.user, item, ratings.value, ratings.timestamp)


def some_items(ratings: Ratings, share: float, seed: int) -> Ints:
    """A share of the items that are rated, drawn by lot."""
    items = np.unique(ratings.item)
    chosen = np.random.default_rng(seed).permutation(items)[: round(share * len(items))]
    return np.sort(chosen)


def day_folder(output: Path, index: int) -> Path:
    """The folder of a day, the first has the index 0."""
    return output / (FIRST_DAY + datetime.timedelta(days=index)).isoformat()


def write_day(
    source: Path,
    output: Path,
    index: int,
    ratings: Ratings,
    without: Ints | None = None,
) -> None:
    """Writes a span: the day's ratings, and the tables as they are on that day.

    Args:
      source: folder with ``movies.dat`` and ``users.dat``.
      output: gets the span's folder; one that is there already is replaced.
      index: of the day.
      ratings: of it.
      without: items that are not known yet: neither rated nor in the table.
    """
    unknown = set() if without is None else set(without.tolist())
    folder = day_folder(output, index)
    partial = folder.with_name(f".{folder.name}")
    # What a killed run has left.
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    rows = zip(
        ratings.user.tolist(),
        ratings.item.tolist(),
        ratings.value.tolist(),
        ratings.timestamp.tolist(),
        strict=True,
    )
    (partial / RATINGS).write_text(
        "".join(
            "::".join(map(str, row)) + "\n" for row in rows if row[1] not in unknown
        )
    )
    movies = (source / MOVIES).read_bytes().splitlines(keepends=True)
    (partial / MOVIES).write_bytes(
        b"".join(
            line for line in movies if int(line.split(_SEPARATOR)[0]) not in unknown
        )
    )
    shutil.copy(source / USERS, partial / USERS)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


@click.command(context_settings={"max_content_width": 88})
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path("data/sample"),
    show_default=True,
    help="Folder with ratings.dat, movies.dat and users.dat.",
)
@click.option("--days", type=click.IntRange(min=1), default=8, show_default=True)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="A new folder for the spans.",
)
def daily_command(data: Path, days: int, out: Path) -> None:
    """Cuts ratings by time into daily spans: 2024-03-01/, 2024-03-02/ ...

    Each user rates on every day. A configuration reads them with
    `data { span_folder: "{YYYY}-{MM}-{DD}" span_window: 3 }`.

    \b
    Example:
      python -m data.daily --data data/sample --days 8 --out spans
    """
    if out.exists() and any(out.iterdir()):
        raise click.ClickException(f"{out}: is not empty, expected a new folder")
    for index, ratings in enumerate(cut(read_ratings(data), days)):
        write_day(data, out, index, ratings)
        click.echo(f"{day_folder(out, index)}: {len(ratings.user):,} ratings")


if __name__ == "__main__":
    daily_command()
