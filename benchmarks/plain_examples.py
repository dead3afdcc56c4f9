"""The examples of TimelineExampleGen made the plain way, to measure it against.

pandas reads the log, Python loops over the users and their activities and writes one
tf.train.Example per window, all of them as TimelineExampleGen does by the configuration
``timelines.pbtxt``; only where activities of one user share a timestamp do the two
differ, as the log's own order decides here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import pandas as pd
import tensorflow as tf

STEPS = 10
GENRES = 30
MIN_TIMELINE_LENGTH = 3
# First history length of each bucket, the highest first.
BUCKETS = {100: "100+", 50: "50-99", 20: "20-49", 10: "10-19", 5: "5-9", 1: "1-4"}

T = TypeVar("T")


class Activity(NamedTuple):
    """One row of the log."""

    item: int
    rating: float
    timestamp: int


class Film(NamedTuple):
    """One row of the item table."""

    title: str
    year: int
    genres: list[str]


class Person(NamedTuple):
    """One row of the user table."""

    gender: str
    age: int
    occupation: int
    zip_code: str


NO_FILM = Film("", 0, [])
NOBODY = Person("", 0, 0, "")


def write_examples(data: str, output: str) -> int:
    """Writes the examples of all splits, leave one out.

    Args:
      data: folder with ``ratings.dat``, ``movies.dat`` and ``users.dat``.
      output: gets ``Split-<name>/data_tfrecord-00000-of-00001.gz``.

    Returns:
      How many there are.
    """
    films, people = _read_films(Path(data)), _read_people(Path(data))
    # The fast parser takes one character: every other column is empty.
    ratings = pd.read_csv(
        Path(data, "ratings.dat"),
        sep=":",
        names=["user", "_1", "item", "_2", "rating", "_3", "timestamp"],
        usecols=["user", "item", "rating", "timestamp"],
    )
    ratings = ratings.sort_values(["user", "timestamp"], kind="stable")
    writers = {
        split: _writer(Path(output, f"Split-{split}"))
        for split in ("train", "eval", "test", "catalogue")
    }
    written = 0
    for user, rows in ratings.groupby("user", sort=False):
        timeline = [
            Activity(*row)
            for row in zip(
                rows["item"].tolist(),
                rows["rating"].tolist(),
                rows["timestamp"].tolist(),
                strict=True,
            )
        ]
        if len(timeline) < MIN_TIMELINE_LENGTH:
            continue
        person = people.get(user, NOBODY)
        for position in range(1, len(timeline)):
            left = len(timeline) - 1 - position
            split = {0: "test", 1: "eval"}.get(left, "train")
            seen = [] if split == "train" else timeline[:position]
            example = make_example(
                str(user),
                person,
                timeline[max(0, position - STEPS) : position],
                timeline[position],
                position,
                seen,
                films,
            )
            writers[split].write(example.SerializeToString())
            written += 1
    for item in films:
        label = Activity(item, 0.0, 0)
        example = make_example("", NOBODY, [], label, 0, [], films)
        title = films[item].title
        example.features.feature["item_title"].CopyFrom(_texts([title]))
        writers["catalogue"].write(example.SerializeToString())
        written += 1
    for writer in writers.values():
        writer.close()
    return written


def make_example(
    user: str,
    person: Person,
    context: Sequence[Activity],
    label: Activity,
    position: int,
    seen: Sequence[Activity],
    films: dict[int, Film],
) -> tf.train.Example:
    """One window as an example.

    Args:
      user: the id.
      person: the user's row.
      context: the activities before the label, oldest first.
      label: what is to be predicted.
      position: how many activities come before the label.
      seen: these activities, in the splits that hold them.
      films: by item.
    """
    context_films = [films.get(activity.item, NO_FILM) for activity in context]
    label_film = films.get(label.item, NO_FILM)
    genres = [genre for film in context_films for genre in film.genres][-GENRES:]
    label_genres = label_film.genres[-GENRES:]
    features = {
        "context_length": _ints([len(context)]),
        "context_movie_genre": _texts(_padded(genres, GENRES, "")),
        "context_movie_genre_length": _ints([len(genres)]),
        "context_movie_id": _ints(_padded([a.item for a in context], STEPS, 0)),
        "context_movie_rating": _floats(
            _padded([a.rating for a in context], STEPS, 0.0)
        ),
        "context_movie_year": _ints(_padded([f.year for f in context_films], STEPS, 0)),
        "context_timestamp": _ints(_padded([a.timestamp for a in context], STEPS, 0)),
        "history_length": _texts([_bucket(position)]),
        "item_title": _texts([]),
        "label_movie_genre": _texts(_padded(label_genres, GENRES, "")),
        "label_movie_genre_length": _ints([len(label_genres)]),
        "label_movie_id": _ints([label.item]),
        "label_movie_rating": _floats([label.rating]),
        "label_movie_year": _ints([label_film.year]),
        "label_position": _ints([position]),
        "label_timestamp": _ints([label.timestamp]),
        "seen_movie_id": _ints([a.item for a in seen]),
        "user_age": _ints([person.age]),
        "user_gender": _texts([person.gender]),
        "user_id": _texts([user]),
        "user_occupation": _ints([person.occupation]),
        "user_zip": _texts([person.zip_code]),
    }
    return tf.train.Example(features=tf.train.Features(feature=features))


def _read_films(data: Path) -> dict[int, Film]:
    films = {}
    for line in (data / "movies.dat").read_text("latin-1").splitlines():
        item, title, genres = line.split("::")
        year = re.search(r"\((\d{4})\)$", title)
        films[int(item)] = Film(title, int(year[1]) if year else 0, genres.split("|"))
    return films


def _read_people(data: Path) -> dict[int, Person]:
    people = {}
    for line in (data / "users.dat").read_text("latin-1").splitlines():
        user, gender, age, occupation, zip_code = line.split("::")
        people[int(user)] = Person(gender, int(age), int(occupation), zip_code)
    return people


def _writer(folder: Path) -> tf.io.TFRecordWriter:
    folder.mkdir(parents=True)
    # Compressed as lightly as TimelineExampleGen does.
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
    return tf.io.TFRecordWriter(
        str(folder / "data_tfrecord-00000-of-00001.gz"), options
    )


def _bucket(position: int) -> str:
    return next((name for first, name in BUCKETS.items() if position >= first), "0")


def _padded(values: list[T], length: int, padding: T) -> list[T]:
    return values + [padding] * (length - len(values))


def _ints(values: Sequence[int]) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _floats(values: Sequence[float]) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def _texts(values: Sequence[str]) -> tf.train.Feature:
    encoded = [value.encode() for value in values]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))
