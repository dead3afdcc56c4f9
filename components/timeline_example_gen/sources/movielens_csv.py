"""MovieLens latest, 20M, 25M and 32M: ratings.csv and movies.csv."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from components.timeline_example_gen.inputs import Wanted
from components.timeline_example_gen.sources import (
    cells,
    csv_source,
    delimited,
    movielens,
    tables,
)
from components.timeline_example_gen.sources.source import (
    ActivityBlock,
    ActivityTypes,
    Field,
    FoundFiles,
    Table,
)

RATINGS, MOVIES = "ratings.csv", "movies.csv"
WANTED = Wanted((RATINGS,), tables=(MOVIES,))

_ENCODING = "utf-8"


@dataclass(frozen=True)
class MovieLensCsv(FoundFiles):
    """The set."""

    kind: str = "MOVIELENS_CSV"
    fields: tuple[Field, ...] = movielens.ITEM_FIELDS
    has_item_table: bool = True

    def read_activities(
        self, path: str, types: ActivityTypes
    ) -> Iterator[ActivityBlock]:
        names = ["userId", "movieId", "rating", "timestamp"]
        header, index = csv_source.find_columns(path, names, b",", _ENCODING)
        layout = delimited.Layout(
            separator=b",",
            columns=len(header),
            index={
                cells.USER: index["userId"],
                cells.ITEM: index["movieId"],
                cells.TIMESTAMP: index["timestamp"],
                cells.VALUE: index["rating"],
            },
            header=True,
            quotes=True,
        )
        return delimited.read_activities(path, layout, types)

    def read_items(self) -> Table:
        path = self.inputs.tables[MOVIES]
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
                "movie_genre": lambda cells: movielens.genres(cells[genres]),
                "title": tables.column(title),
            },
            title=lambda cells: cells[title],
        )

    def read_users(self) -> None:
        return None
