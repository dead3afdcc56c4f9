"""Fields that are worked out from others, as the configuration declares them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

from components.timeline_example_gen import clock
from components.timeline_example_gen.clock import Ints
from components.timeline_example_gen.sources.source import (
    ActivityBlock,
    ActivityTypes,
    Field,
    Role,
    Source,
    Table,
)
from configs import recommender_pb2 as pb
from configs.errors import UserError

# By what is worked out from an activity's time.
OF_TIME: dict[int, Callable[[Ints, str], Ints]] = {
    pb.WEEKDAY: clock.weekdays,
    pb.HOUR: clock.hours,
}
# What is worked out from activities rather than from items.
OF_ACTIVITIES = (*OF_TIME, pb.GAP)

# Also the first year of a series, "(2005-2013)" or "(2005-)", hyphen or en dash.
_YEAR = re.compile("\\(([0-9]{4})(?:[-\u2013][0-9]{0,4})?\\)")
_TITLE = "title"


def year_in_text(text: str | None) -> str | None:
    """The last year in brackets of a text, if there is one."""
    years = _YEAR.findall(text or "")
    return years[-1] if years else None


@dataclass(frozen=True)
class WithDerivedFields:
    """A source, and fields that are worked out from its own.

    Attributes:
      source: the source.
      derived: the fields.
      timezone: of weekdays and hours.
    """

    source: Source
    derived: tuple[pb.DerivedField, ...]
    timezone: str

    @property
    def kind(self) -> str:
        return self.source.kind

    @property
    def fields(self) -> tuple[Field, ...]:
        own = self.source.fields
        return own + tuple(
            Field(
                d.field,
                Role.ACTIVITY if d.derivation in OF_ACTIVITIES else Role.ITEM,
                pb.FLOAT if d.derivation == pb.GAP else pb.INT,
                derivation=d.derivation,
            )
            for d in self.derived
        )

    @property
    def activity_files(self) -> tuple[str, ...]:
        return self.source.activity_files

    @property
    def table_files(self) -> tuple[str, ...]:
        return self.source.table_files

    @property
    def has_item_table(self) -> bool:
        return self.source.has_item_table

    def read_activities(
        self, path: str, types: ActivityTypes
    ) -> Iterator[ActivityBlock]:
        return self.source.read_activities(path, types)

    def read_items(self) -> Table | None:
        table = self.source.read_items()
        if table is None:
            return None
        fields = dict(table.fields)
        for index, derived in enumerate(self.derived):
            if derived.derivation in OF_ACTIVITIES:
                continue
            texts = _texts(table, derived.from_field)
            if texts is None:
                raise UserError(
                    f"data.derived_fields.{index}.from_field: {_TITLE!r} is not "
                    "allowed. Expected a field of items, since there is no title; name "
                    "its column with data.files.title_column"
                )
            fields[derived.field] = [year_in_text(text) for text in texts]
        return replace(table, fields=fields)

    def read_users(self) -> Table | None:
        return self.source.read_users()


def with_derived_fields(
    source: Source, derived: Sequence[pb.DerivedField], timezone: str
) -> Source:
    """Adds fields to a source.

    Args:
      source: the source.
      derived: the fields.
      timezone: of weekdays and hours.

    Raises:
      UserError: if a field has the name of another, or is to be worked out from one
        that is not there.
    """
    if not derived:
        return source
    names = {field.name for field in source.fields if field.role != Role.USER}
    texts = {
        field.name
        for field in source.fields
        if field.role == Role.ITEM and not field.multi_valued
    }
    if source.has_item_table:
        texts.add(_TITLE)
    for index, one in enumerate(derived):
        path = f"data.derived_fields.{index}"
        if one.field in names:
            raise UserError(
                f"{path}.field: {one.field!r} is not allowed. Expected another name, "
                "since the data has such a field"
            )
        names.add(one.field)
        if one.derivation not in OF_ACTIVITIES and one.from_field not in texts:
            raise UserError(
                f"{path}.from_field: {one.from_field!r} is not allowed. Expected one "
                f"of {', '.join(sorted(texts)) or 'none: there is no item table'}"
            )
    return WithDerivedFields(source, tuple(derived), timezone)


def _texts(table: Table, field: str) -> Sequence[str | None] | None:
    if field in table.fields:
        return cast("Sequence[str | None]", table.fields[field])
    # The title's column is no field of its own, unless it is named as one.
    return table.titles
