"""MovieLens-1M and 10M: ratings.dat, movies.dat and, where there is one, users.dat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from components.timeline_example_gen.inputs import Inputs, Wanted
from components.timeline_example_gen.sources import delimited, movielens, tables
from components.timeline_example_gen.sources.source import (
    ActivityBlock,
    ActivityTypes,
    Field,
    Role,
    Table,
)
from configs import recommender_pb2 as pb

RATINGS, MOVIES, USERS = "ratings.dat", "movies.dat", "users.dat"
WANTED = Wanted((RATINGS,), tables=(MOVIES,), optional_tables=(USERS,))

_SEPARATOR = b"::"
_ACTIVITIES = delimited.Layout(separator=_SEPARATOR, columns=4, index=movielens.COLUMNS)
_USER_FIELDS = (
    Field("gender", Role.USER, pb.STRING),
    Field("age", Role.USER, pb.INT),
    Field("occupation", Role.USER, pb.INT),
    Field("zip", Role.USER, pb.STRING),
)


@dataclass(frozen=True)
class MovieLensDat:
    """The set.

    Attributes:
      inputs: the files that were found.
    """

    inputs: Inputs
    kind: str = "MOVIELENS_DAT"
    has_item_table: bool = True

    @property
    def fields(self) -> tuple[Field, ...]:
        has_users = USERS in self.inputs.tables
        return movielens.ITEM_FIELDS + (_USER_FIELDS if has_users else ())

    @property
    def activity_files(self) -> tuple[str, ...]:
        return self.inputs.activities

    @property
    def table_files(self) -> tuple[str, ...]:
        return tuple(self.inputs.tables.values())

    def read_activities(
        self, path: str, types: ActivityTypes
    ) -> Iterator[ActivityBlock]:
        return delimited.read_activities(path, _ACTIVITIES, types)

    def read_items(self) -> Table:
        return tables.read_table(
            self.inputs.tables[MOVIES],
            tables.TableLayout("item", _SEPARATOR, columns=3),
            fields={
                "movie_genre": lambda cells: movielens.genres(cells[2]),
                "title": tables.column(1),
            },
            title=lambda cells: cells[1],
        )

    def read_users(self) -> Table | None:
        if USERS not in self.inputs.tables:
            return None
        return tables.read_table(
            self.inputs.tables[USERS],
            tables.TableLayout("user", _SEPARATOR, columns=5),
            fields={f.name: tables.column(i) for i, f in enumerate(_USER_FIELDS, 1)},
        )
