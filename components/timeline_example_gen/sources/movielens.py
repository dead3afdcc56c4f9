"""What the MovieLens sets have in common, whatever their files look like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from components.timeline_example_gen.sources import cells, delimited, tables
from components.timeline_example_gen.sources.source import (
    ActivityBlock,
    ActivityTypes,
    Field,
    FoundFiles,
    Role,
    Table,
)
from configs import recommender_pb2 as pb

ITEM_FIELDS = (
    Field("movie_id", Role.ITEM_ID, pb.INT),
    Field("movie_rating", Role.VALUE, pb.FLOAT),
    Field("movie_genre", Role.ITEM, pb.STRING, multi_valued=True),
    Field("title", Role.ITEM, pb.STRING),
)
# Of u.data and ratings.dat.
COLUMNS = {cells.USER: 0, cells.ITEM: 1, cells.VALUE: 2, cells.TIMESTAMP: 3}
NO_GENRES = "(no genres listed)"
# The year stands at the end of the title.
DERIVED_FIELDS = (
    pb.DerivedField(field="movie_year", derivation=pb.YEAR_IN_TEXT, from_field="title"),
)


def genres(text: str) -> list[str]:
    """Genres between bars."""
    return [] if text == NO_GENRES else [genre for genre in text.split("|") if genre]


@dataclass(frozen=True)
class MovieLensSource(FoundFiles):
    """A set whose files have no header.

    Attributes:
      kind: its name in the configuration.
      layout: of the log.
      separator_of_tables: between their columns.
      users: name of the user table, which need not be there.
      user_fields: its columns after the key.
    """

    kind: ClassVar[str]
    layout: ClassVar[delimited.Layout]
    separator_of_tables: ClassVar[bytes]
    users: ClassVar[str]
    user_fields: ClassVar[tuple[Field, ...]]
    has_item_table: ClassVar[bool] = True

    @property
    def fields(self) -> tuple[Field, ...]:
        has_users = self.users in self.inputs.tables
        return ITEM_FIELDS + (self.user_fields if has_users else ())

    def read_activities(
        self, path: str, types: ActivityTypes
    ) -> Iterator[ActivityBlock]:
        return delimited.read_activities(path, self.layout, types)

    def read_users(self) -> Table | None:
        if self.users not in self.inputs.tables:
            return None
        return tables.read_table(
            self.inputs.tables[self.users],
            tables.TableLayout(
                "user", self.separator_of_tables, columns=1 + len(self.user_fields)
            ),
            fields={
                f.name: tables.column(i) for i, f in enumerate(self.user_fields, 1)
            },
        )
