"""MovieLens-1M and 10M: ratings.dat, movies.dat and, where there is one, users.dat."""

from __future__ import annotations

from components.timeline_example_gen.inputs import Wanted
from components.timeline_example_gen.sources import delimited, movielens, tables
from components.timeline_example_gen.sources.source import (
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


class MovieLensDat(movielens.MovieLensSource):
    """The set."""

    kind = "MOVIELENS_DAT"
    layout = _ACTIVITIES
    separator_of_tables = _SEPARATOR
    users = USERS
    user_fields = _USER_FIELDS

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
