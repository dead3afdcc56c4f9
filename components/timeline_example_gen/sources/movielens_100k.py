"""MovieLens-100K: u.data, u.item, u.genre and, where there is one, u.user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from configs.errors import UserError

FILES = ("u.data", "u.item", "u.genre")
USERS = "u.user"

_ACTIVITIES = delimited.Layout(separator=b"\t", columns=4)
_USER_FIELDS = (
    Field("age", Role.USER, pb.INT),
    Field("gender", Role.USER, pb.STRING),
    Field("occupation", Role.USER, pb.STRING),
    Field("zip", Role.USER, pb.STRING),
)
_FIRST_GENRE = 5  # After id, title, release, video release and address.


@dataclass(frozen=True)
class MovieLens100K:
    """The set in one folder.

    Attributes:
      folder: its path.
      has_users: whether there is a user table.
    """

    folder: str
    has_users: bool
    kind: str = "MOVIELENS_100K"
    has_item_table: bool = True

    @property
    def fields(self) -> tuple[Field, ...]:
        return movielens.ITEM_FIELDS + (_USER_FIELDS if self.has_users else ())

    @property
    def activity_files(self) -> tuple[str, ...]:
        return (storage.join(self.folder, "u.data"),)

    @property
    def table_files(self) -> tuple[str, ...]:
        names = ["u.item", "u.genre"] + ([USERS] if self.has_users else [])
        return tuple(storage.join(self.folder, name) for name in names)

    def read_activities(
        self, path: str, item_type: int, whole_values: bool
    ) -> Iterator[ActivityBlock]:
        return delimited.read_activities(path, _ACTIVITIES, item_type, whole_values)

    def read_items(self) -> Table:
        names = self._genre_names()

        def genres(cells: Sequence[str]) -> list[str]:
            flags = cells[_FIRST_GENRE:]
            return [n for n, flag in zip(names, flags, strict=True) if flag == "1"]

        layout = tables.TableLayout("item", b"|", columns=_FIRST_GENRE + len(names))
        return tables.read_table(
            storage.join(self.folder, "u.item"),
            layout,
            fields={
                "movie_year": lambda cells: movielens.year(cells[1]),
                "movie_genre": genres,
                "title": tables.column(1),
            },
            title=lambda cells: cells[1],
        )

    def read_users(self) -> Table | None:
        if not self.has_users:
            return None
        return tables.read_table(
            storage.join(self.folder, USERS),
            tables.TableLayout("user", b"|", columns=5),
            fields={f.name: tables.column(i) for i, f in enumerate(_USER_FIELDS, 1)},
        )

    def _genre_names(self) -> list[str]:
        """The genres in the order of u.item's flags."""
        path = storage.join(self.folder, "u.genre")
        names: dict[int, str] = {}
        for line, row in enumerate(tables.read_text(path, None).splitlines(), 1):
            if not row:
                continue
            name, _, index = row.decode("utf-8").partition("|")
            if not index.isdigit() or int(index) != len(names):
                raise UserError(
                    f"{path}: line {line}: {row.decode('utf-8')!r} instead of "
                    f"'<genre>|{len(names)}'"
                )
            names[int(index)] = name
        return list(names.values())
