"""MovieLens-1M and 10M: ratings.dat, movies.dat and, where there is one, users.dat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from components.timeline_example_gen import storage
from components.timeline_example_gen.sources import delimited, movielens, tables
from components.timeline_example_gen.sources.source import (
    ActivityBlock,
    Field,
    Role,
    Table,
)
from configs import recommender_pb2 as pb

FILES = ("ratings.dat", "movies.dat")
USERS = "users.dat"

_SEPARATOR = b"::"
_ACTIVITIES = delimited.Layout(separator=_SEPARATOR, columns=4)
_USER_FIELDS = (
    Field("gender", Role.USER, pb.STRING),
    Field("age", Role.USER, pb.INT),
    Field("occupation", Role.USER, pb.INT),
    Field("zip", Role.USER, pb.STRING),
)


@dataclass(frozen=True)
class MovieLensDat:
    """The set in one folder.

    Attributes:
      folder: its path.
      has_users: whether there is a user table.
    """

    folder: str
    has_users: bool
    kind: str = "MOVIELENS_DAT"
    has_item_table: bool = True

    @property
    def fields(self) -> tuple[Field, ...]:
        return movielens.ITEM_FIELDS + (_USER_FIELDS if self.has_users else ())

    @property
    def activity_files(self) -> tuple[str, ...]:
        return (storage.join(self.folder, "ratings.dat"),)

    @property
    def table_files(self) -> tuple[str, ...]:
        names = ["movies.dat"] + ([USERS] if self.has_users else [])
        return tuple(storage.join(self.folder, name) for name in names)

    def read_activities(
        self, path: str, item_type: int, whole_values: bool
    ) -> Iterator[ActivityBlock]:
        return delimited.read_activities(path, _ACTIVITIES, item_type, whole_values)

    def read_items(self) -> Table:
        return tables.read_table(
            storage.join(self.folder, "movies.dat"),
            tables.TableLayout("item", _SEPARATOR, columns=3),
            fields={
                "movie_year": lambda cells: movielens.year(cells[1]),
                "movie_genre": lambda cells: movielens.genres(cells[2]),
                "title": tables.column(1),
            },
            title=lambda cells: cells[1],
        )

    def read_users(self) -> Table | None:
        if not self.has_users:
            return None
        return tables.read_table(
            storage.join(self.folder, USERS),
            tables.TableLayout("user", _SEPARATOR, columns=5),
            fields={f.name: tables.column(i) for i, f in enumerate(_USER_FIELDS, 1)},
        )
