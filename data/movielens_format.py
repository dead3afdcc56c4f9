"""Writes an invented world in the file formats of MovieLens.

The columns, separators, encodings and line ends are those of the published sets:
`ml-100k` (u.data, u.item, u.user, u.genre, u.occupation, u.info), `ml-1m`
(ratings.dat, movies.dat, users.dat) and `csv` (ratings.csv and movies.csv, as in
ml-latest-small, 20M, 25M and 32M).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

import numpy as np

from data import synthetic_world
from data.synthetic_world import Catalogue, Ints, People, Ratings, WorldSize

_ROWS_PER_WRITE = 100_000


@dataclass(frozen=True)
class Film:
    """One row of an item table."""

    item_id: int
    title: str
    year: int
    genres: tuple[str, ...]


@dataclass(frozen=True)
class World:
    """All that a format needs to write its tables."""

    size: WorldSize
    catalogue: Catalogue
    people: People
    item_ids: Ints  # [items], by item index

    def films(self) -> Iterator[Film]:
        """Films by rising id."""
        titles = make_titles(self.size, self.catalogue)
        names = np.asarray(synthetic_world.GENRES)
        for item in np.argsort(self.item_ids):
            yield Film(
                item_id=int(self.item_ids[item]),
                title=titles[item],
                year=int(self.catalogue.year[item]),
                genres=tuple(names[self.catalogue.genres[item]].tolist()),
            )


@dataclass(frozen=True)
class FileFormat:
    """How one family of MovieLens sets looks on disk.

    Attributes:
        encoding: Of all its text files.
        newline: The line end.
        id_gap: The item ids' largest step; above 1, some ids are unused.
        ratings_name: The file of the ratings.
        ratings_header: Its first line, empty if it has none.
        write_ratings: Appends a block of ratings.
        tables: Lines of each other file.
    """

    encoding: str
    newline: str
    id_gap: int
    ratings_name: str
    ratings_header: str
    write_ratings: Callable[[TextIO, Ratings, Ints], None]
    tables: dict[str, Callable[[World], Iterable[str]]]

    @property
    def file_names(self) -> tuple[str, ...]:
        """All files of the format."""
        return (self.ratings_name, *self.tables)


def write_world(
    size: WorldSize,
    file_format: FileFormat,
    folder: Path,
    *,
    rows_per_block: int = synthetic_world.ROWS_PER_BLOCK,
    on_rows: Callable[[int], None] | None = None,
) -> None:
    """Writes all files of a world into a folder.

    Args:
        size: What to generate.
        file_format: One of `FORMATS`.
        folder: An existing folder; files of the same names are replaced.
        rows_per_block: Ratings to keep in memory at once, about.
        on_rows: Called with the number of ratings after each block.

    Raises:
        OSError: a file cannot be written.
        ValueError: more series of films than there are titles for.
    """
    catalogue = synthetic_world.make_catalogue(size)
    world = World(
        size=size,
        catalogue=catalogue,
        people=synthetic_world.make_people(size),
        item_ids=make_item_ids(size, catalogue, file_format.id_gap),
    )

    def open_file(name: str) -> TextIO:
        return (folder / name).open(
            "w", encoding=file_format.encoding, newline=file_format.newline
        )

    for name, lines in file_format.tables.items():
        with open_file(name) as file:
            file.writelines(line + "\n" for line in lines(world))
    with open_file(file_format.ratings_name) as file:
        file.write(file_format.ratings_header)
        for block in synthetic_world.generate_ratings(size, catalogue, rows_per_block):
            file_format.write_ratings(file, block, world.item_ids)
            if on_rows:
                on_rows(len(block.item))


def make_item_ids(size: WorldSize, catalogue: Catalogue, gap: int) -> Ints:
    """Unique ids int64 [items] from 1, with steps of mostly 1 and up to `gap`."""
    step = 1 + (np.arange(size.items) % 37 == 36) * (gap - 1)
    return np.cumsum(step)[catalogue.place]


def make_titles(size: WorldSize, catalogue: Catalogue) -> list[str]:
    """Titles with the year, such as `Silent River, The (1995)`, all different.

    Raises:
        ValueError: more series of films than there are titles for.
    """
    pairs = len(_FIRST_WORDS) * len(_LAST_WORDS)
    most = pairs * len(_PLACES)
    series_count = int(catalogue.series[-1]) + 1
    if series_count > most:
        raise ValueError(
            f"expected at most {most} series of films, since all titles differ, "
            f"received {series_count} (items={size.items})"
        )
    titles = []
    for series, part, year in zip(
        catalogue.series.tolist(),
        catalogue.part.tolist(),
        catalogue.year.tolist(),
        strict=True,
    ):
        # A step without a common divisor visits every pair of words once.
        code = (series * _PAIR_STEP + size.seed) % pairs
        first = _FIRST_WORDS[code // len(_LAST_WORDS)]
        last = _LAST_WORDS[code % len(_LAST_WORDS)]
        name = _decorate(first, last, series % 10)
        place = _PLACES[series // pairs]
        name += f" {place}" if place else ""
        name += f": Part {_ROMAN[part]}" if part else ""
        # MovieLens puts a leading article last.
        name += ", The" if series % 4 == 1 else ", A" if series % 12 == 2 else ""
        titles.append(f"{name} ({year})")
    return titles


def _decorate(first: str, last: str, style: int) -> str:
    if style == 3:
        return f'"{first}" {last}'
    if style == 6:
        return f"{last}, {first} and Free"
    if style == 8:
        return f"{last}'s {first} Year"
    return f"{first} {last}"


def _write_dat(file: TextIO, block: Ratings, item_ids: Ints) -> None:
    order = np.lexsort((block.shuffle, block.user))
    _write_rows(file, "%d::%d::%d::%d\n", _columns(block, item_ids, order))


def _write_u_data(file: TextIO, block: Ratings, item_ids: Ints) -> None:
    order = np.lexsort((block.shuffle, block.user))
    _write_rows(file, "%d\t%d\t%d\t%d\n", _columns(block, item_ids, order))


def _write_csv(file: TextIO, block: Ratings, item_ids: Ints) -> None:
    order = np.lexsort((item_ids[block.item], block.user))
    user, item, _, timestamp = _columns(block, item_ids, order).T
    halves = np.clip(np.floor(2 * block.liking[order] + 0.5), 1, 10).astype(np.int64)
    columns = np.stack([user, item, halves // 2, 5 * (halves % 2), timestamp], axis=1)
    _write_rows(file, "%d,%d,%d.%d,%d\n", columns)


def _columns(block: Ratings, item_ids: Ints, order: Ints) -> Ints:
    """User id, item id, stars 1 to 5, timestamp: int64 [rows, 4]."""
    stars = np.clip(np.floor(block.liking + 0.5), 1, 5).astype(np.int64)
    columns = (block.user + 1, item_ids[block.item], stars, block.timestamp)
    return np.stack(columns, axis=1)[order]


def _write_rows(file: TextIO, template: str, columns: Ints) -> None:
    # One template for many rows is several times faster than one call per row.
    for begin in range(0, len(columns), _ROWS_PER_WRITE):
        rows = columns[begin : begin + _ROWS_PER_WRITE]
        file.write(template * len(rows) % tuple(rows.ravel().tolist()))


def _movies_dat(world: World) -> Iterator[str]:
    for film in world.films():
        yield f"{film.item_id}::{film.title}::{'|'.join(film.genres)}"


def _users_dat(world: World) -> Iterator[str]:
    people = world.people
    groups = np.asarray(_AGE_GROUPS)
    age_group = groups[np.searchsorted(groups, people.age, side="right") - 1]
    for user in range(world.size.users):
        yield (
            f"{user + 1}::{'M' if people.male[user] else 'F'}::{age_group[user]}"
            f"::{people.occupation[user]}::{people.zip_code[user]:05d}"
        )


def _u_item(world: World) -> Iterator[str]:
    for film in world.films():
        flags = ["0"] + ["01"[name in film.genres] for name in synthetic_world.GENRES]
        address = f"http://example.org/title?{quote(film.title, encoding='latin-1')}"
        yield "|".join(
            (str(film.item_id), film.title, f"01-Jan-{film.year}", "", address, *flags)
        )


def _u_user(world: World) -> Iterator[str]:
    people = world.people
    for user in range(world.size.users):
        yield (
            f"{user + 1}|{people.age[user]}|{'M' if people.male[user] else 'F'}"
            f"|{_OCCUPATIONS[people.occupation[user]]}|{people.zip_code[user]:05d}"
        )


def _u_genre(world: World) -> Iterator[str]:
    for index, name in enumerate(("unknown", *synthetic_world.GENRES)):
        yield f"{name}|{index}"
    yield ""  # the published file ends so


def _u_occupation(world: World) -> Iterator[str]:
    yield from _OCCUPATIONS


def _u_info(world: World) -> Iterator[str]:
    size = world.size
    yield from (
        f"{size.users} users",
        f"{size.items} items",
        f"{size.ratings} ratings",
    )


def _movies_csv(world: World) -> Iterator[str]:
    lines = _Lines()
    writer = csv.writer(lines, lineterminator="")
    yield "movieId,title,genres"
    for film in world.films():
        # The CSV sets call this genre without the 's.
        genres = "|".join(film.genres).replace("Children's", "Children")
        writer.writerow((film.item_id, film.title, genres))
        yield lines.last


class _Lines:
    """What a `csv.writer` writes to; keeps the last line."""

    last = ""

    def write(self, line: str) -> None:
        self.last = line


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_AGE_GROUPS = (1, 18, 25, 35, 45, 50, 56)
_OCCUPATIONS = (
    "administrator",
    "artist",
    "doctor",
    "educator",
    "engineer",
    "entertainment",
    "executive",
    "healthcare",
    "homemaker",
    "lawyer",
    "librarian",
    "marketing",
    "none",
    "other",
    "programmer",
    "retired",
    "salesman",
    "scientist",
    "student",
    "technician",
    "writer",
)
_ROMAN = ("I", "II", "III", "IV", "V")
_PAIR_STEP = 1009  # a prime, no divisor of the number of pairs
_FIRST_WORDS = _words(
    "Silent Crimson Broken Hidden Golden Paper Winter Northern Borrowed Hollow Amber "
    "Restless Velvet Distant Iron Salted Electric Wandering Fragile Burning Café "
    "Midnight Crooked Emerald Forgotten Gentle Invisible Lantern Lonely Marble Naïve "
    "Painted Quiet Scarlet Seventh Shattered Sleeping Stolen Élan Thirsty Twisted "
    "Unwritten Weathered Wicked Wooden Yellow Zealous Forêt"
)
_LAST_WORDS = _words(
    "River Harbor Orchard Letter Kingdom Machine Garden Mirror Engine Island Promise "
    "Circus Compass Planet Detective Widow Fiancée Sparrow Station Theater Bridge "
    "Carnival Cathedral Señor Dynasty Ember Fortune Ghost Hunter Journey Kitchen "
    "Labyrinth Mountain Neighbor Oracle Parade Quarry Rebellion Château Storm Tailor "
    "Umbrella Violin Wedding Yacht Zeppelin Alibi Brother"
)
_TOWNS = _words(
    "Lisbon Prague Nairobi Kyoto Bogotá Oslo Cairo Lima Denver Málaga Quito Zürich "
    "Hanoi Dublin Tunis Riga"
)
_PREPOSITIONS = _words("in of to from near")
_PLACES = ("", *(f"{word} {town}" for town in _TOWNS for word in _PREPOSITIONS))

FORMATS = {
    "ml-100k": FileFormat(
        encoding="latin-1",
        newline="\n",
        id_gap=1,
        ratings_name="u.data",
        ratings_header="",
        write_ratings=_write_u_data,
        tables={
            "u.item": _u_item,
            "u.user": _u_user,
            "u.genre": _u_genre,
            "u.occupation": _u_occupation,
            "u.info": _u_info,
        },
    ),
    "ml-1m": FileFormat(
        encoding="latin-1",
        newline="\n",
        id_gap=2,
        ratings_name="ratings.dat",
        ratings_header="",
        write_ratings=_write_dat,
        tables={"movies.dat": _movies_dat, "users.dat": _users_dat},
    ),
    "csv": FileFormat(
        encoding="utf-8",
        newline="\r\n",
        id_gap=50,
        ratings_name="ratings.csv",
        ratings_header="userId,movieId,rating,timestamp\n",
        write_ratings=_write_csv,
        tables={"movies.csv": _movies_csv},
    ),
}
