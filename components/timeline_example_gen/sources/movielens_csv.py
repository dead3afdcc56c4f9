"""MovieLens latest, 20M, 25M and 32M: ratings.csv and movies.csv."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from components.timeline_example_gen import storage
from components.timeline_example_gen.sources import (
    csv_source,
    delimited,
    movielens,
    tables,
)
from components.timeline_example_gen.sources.source import ActivityBlock, Field, Table

FILES = ("ratings.csv", "movies.csv")

_ENCODING = "utf-8"


@dataclass(frozen=True)
class MovieLensCsv:
    """The set in one folder.

    Attributes:
      folder: its path.
    """

    folder: str
    kind: str = "MOVIELENS_CSV"
    fields: tuple[Field, ...] = movielens.ITEM_FIELDS
    has_item_table: bool = True

    @property
    def activity_files(self) -> tuple[str, ...]:
        return (storage.join(self.folder, "ratings.csv"),)

    @property
    def table_files(self) -> tuple[str, ...]:
        return (storage.join(self.folder, "movies.csv"),)

    def read_activities(
        self, path: str, item_type: int, whole_values: bool
    ) -> Iterator[ActivityBlock]:
        names = ["userId", "movieId", "rating", "timestamp"]
        header, index = csv_source.find_columns(path, names, b",", _ENCODING)
        layout = delimited.Layout(
            separator=b",",
            columns=len(header),
            user=index["userId"],
            item=index["movieId"],
            timestamp=index["timestamp"],
            value=index["rating"],
            header=True,
            quotes=True,
        )
        return delimited.read_activities(path, layout, item_type, whole_values)

    def read_items(self) -> Table:
        path = storage.join(self.folder, "movies.csv")
        names = ["movieId", "title", "genres"]
        header, index = csv_source.find_columns(path, names, b",", _ENCODING)
        layout = tables.TableLayout(
            "item",
            b",",
            columns=len(header),
            key=index["movieId"],
            header=True,
            quotes=True,
            encoding=_ENCODING,
        )
        title, genres = index["title"], index["genres"]
        return tables.read_table(
            path,
            layout,
            fields={
                "movie_year": lambda cells: movielens.year(cells[title]),
                "movie_genre": lambda cells: movielens.genres(cells[genres]),
                "title": tables.column(title),
            },
            title=lambda cells: cells[title],
        )

    def read_users(self) -> None:
        return None
