"""What sources have in common whose files and columns the configuration tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.timeline_example_gen.inputs import Wanted
from components.timeline_example_gen.sources import cells, tables
from components.timeline_example_gen.sources.source import (
    FIELD_COLUMN,
    Field,
    FoundFiles,
    Role,
    RowCount,
    Table,
)
from configs import recommender_pb2 as pb


@dataclass(frozen=True)
class MappedSource(FoundFiles):
    """Files of one format, their columns by name.

    Attributes:
      files: the columns, from the configuration.
      item_field: what the item's id is called in the features.
      timezone: of timestamps without one.
    """

    files: pb.FilesConfig
    item_field: str
    timezone: str

    @property
    def fields(self) -> tuple[Field, ...]:
        fields = [Field(self.item_field, Role.ITEM_ID, pb.STRING)]
        if self.files.value_column:
            fields.append(Field(self.files.value_column, Role.VALUE, pb.FLOAT))
        for role, columns in (
            (Role.ACTIVITY, self.files.activity_fields),
            (Role.ITEM, self.files.item_fields),
            (Role.USER, self.files.user_fields),
        ):
            fields += [
                Field(field_name(c), role, c.type, multi_valued=bool(c.separator))
                for c in columns
            ]
        return tuple(fields)

    @property
    def has_item_table(self) -> bool:
        return bool(self.files.items_file)

    @property
    def activity_columns(self) -> dict[str, str]:
        """The columns of activities, by what they hold, see `cells.Rows`."""
        columns = {
            cells.USER: self.files.user_column,
            cells.ITEM: self.files.item_column,
            cells.TIMESTAMP: self.files.timestamp_column,
            cells.VALUE: self.files.value_column,
            cells.TYPE: self.files.activity_type_column,
        }
        columns |= {
            FIELD_COLUMN + field_name(field): field.column
            for field in self.files.activity_fields
        }
        return {name: column for name, column in columns.items() if column}

    def read_items(self) -> Table | None:
        files = self.files
        if not files.items_file:
            return None
        path = self.inputs.tables[files.items_file]
        return self.read_table(
            "item", path, files.item_key_column, files.item_fields, files.title_column
        )

    def read_users(self) -> Table | None:
        files = self.files
        if not files.users_file:
            return None
        path = self.inputs.tables[files.users_file]
        return self.read_table("user", path, files.user_key_column, files.user_fields)

    def read_table(
        self,
        what: str,
        path: str,
        key: str,
        fields: Sequence[pb.FileField],
        title: str = "",
    ) -> Table:
        """Reads the item or the user table.

        Args:
          what: what a row is, for messages.
          path: of the file.
          key: the key's column.
          fields: the columns that are fields.
          title: the title's column, if there is one.
        """
        raise NotImplementedError

    @property
    def form(self) -> cells.Form:
        """What the columns of activities mean."""
        return cells.Form(
            integer_ids=False,
            value_name=self.files.value_column,
            timestamps=self.files.timestamp_format,
            timezone=self.timezone,
        )


def wanted_files(files: pb.FilesConfig, default: str) -> Wanted:
    """The files that the configuration names.

    Args:
      files: of the configuration.
      default: name of the log where none is given.
    """
    return Wanted(
        activities=tuple(files.activities_files) or (default,),
        tables=tuple(name for name in (files.items_file, files.users_file) if name),
    )


def table_of_texts(
    path: str,
    what: str,
    rows: Iterable[tuple[int, bytes, Mapping[str, Any]]],
    count: RowCount,
    key: str,
    fields: Sequence[pb.FileField],
    title: str,
) -> Table:
    """A table of rows whose columns hold a text each, or a list of texts.

    Args:
      path: of the file.
      what: what a row is, for messages.
      rows: line, text and columns of each.
      count: gets the rejected rows.
      key: the key's column.
      fields: the columns that are fields.
      title: the title's column, if there is one.
    """
    return tables.collect(
        path,
        what,
        rows,
        count,
        key=lambda row: row[key],
        fields={field_name(f): _getter(f) for f in fields},
        title=(lambda row: row[title]) if title else None,
    )


def _getter(field: pb.FileField) -> Callable[[Any], Any]:
    if not field.separator:
        return lambda row: row[field.column] or None

    def several(row: Mapping[str, Any]) -> list[str]:
        value = row[field.column]
        values = value if isinstance(value, list) else value.split(field.separator)
        return [v for v in values if v]

    return several


def field_name(field: pb.FileField) -> str:
    """What a column's field is called in the features."""
    return str(field.field or field.column)
