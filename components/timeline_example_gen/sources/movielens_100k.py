"""MovieLens-100K: u.data, u.item, u.genre and, where there is one, u.user."""

from __future__ import annotations

from collections.abc import Sequence

from components.timeline_example_gen.inputs import Wanted
from components.timeline_example_gen.sources import delimited, movielens, tables, text
from components.timeline_example_gen.sources.source import (
    Field,
    Role,
    Table,
)
from configs import recommender_pb2 as pb
from configs.errors import UserError

DATA, ITEM, GENRE, USERS = "u.data", "u.item", "u.genre", "u.user"
WANTED = Wanted((DATA,), tables=(ITEM, GENRE), optional_tables=(USERS,))

_ACTIVITIES = delimited.Layout(separator=b"\t", columns=4, index=movielens.COLUMNS)
_USER_FIELDS = (
    Field("age", Role.USER, pb.INT),
    Field("gender", Role.USER, pb.STRING),
    Field("occupation", Role.USER, pb.STRING),
    Field("zip", Role.USER, pb.STRING),
)
_FIRST_GENRE = 5  # After id, title, release, video release and address.


class MovieLens100K(movielens.MovieLensSource):
    """The set."""

    kind = "MOVIELENS_100K"
    layout = _ACTIVITIES
    separator_of_tables = b"|"
    users = USERS
    user_fields = _USER_FIELDS

    def read_items(self) -> Table:
        names = self._genre_names()

        def genres(cells: Sequence[str]) -> list[str]:
            flags = cells[_FIRST_GENRE:]
            return [n for n, flag in zip(names, flags, strict=True) if flag == "1"]

        layout = tables.TableLayout("item", b"|", columns=_FIRST_GENRE + len(names))
        return tables.read_table(
            self.inputs.tables[ITEM],
            layout,
            fields={
                "movie_genre": genres,
                "title": tables.column(1),
            },
            title=lambda cells: cells[1],
        )

    def _genre_names(self) -> list[str]:
        """The genres in the order of u.item's flags."""
        path = self.inputs.tables[GENRE]
        names: dict[int, str] = {}
        for line, row in enumerate(text.read_utf8(path, None).splitlines(), 1):
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
