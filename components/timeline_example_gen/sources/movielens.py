"""What the MovieLens sets have in common, whatever their files look like."""

from __future__ import annotations

import re

from components.timeline_example_gen.sources.source import Field, Role
from configs import recommender_pb2 as pb

ITEM_FIELDS = (
    Field("movie_id", Role.ITEM_ID, pb.INT),
    Field("movie_rating", Role.VALUE, pb.FLOAT),
    Field("movie_year", Role.ITEM, pb.INT),
    Field("movie_genre", Role.ITEM, pb.STRING, multi_valued=True),
    Field("title", Role.ITEM, pb.STRING),
)
NO_GENRES = "(no genres listed)"

# Also the first year of a series, "(2005-2013)" or "(2005-)", hyphen or en dash.
_YEAR = re.compile("\\((\\d{4})(?:[-\u2013]\\d{0,4})?\\)\\s*$")


def year(title: str) -> str | None:
    """The year at the end of a title, if there is one."""
    match = _YEAR.search(title)
    return match.group(1) if match else None


def genres(text: str) -> list[str]:
    """Genres between bars."""
    return [] if text == NO_GENRES else [genre for genre in text.split("|") if genre]
