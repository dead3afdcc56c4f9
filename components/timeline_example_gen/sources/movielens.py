"""What the MovieLens sets have in common, whatever their files look like."""

from __future__ import annotations

from components.timeline_example_gen.sources import cells
from components.timeline_example_gen.sources.source import Field, Role
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
