"""CSV files of any kind, their columns told in the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from components.timeline_example_gen import storage
from components.timeline_example_gen.sources import delimited, tables
from components.timeline_example_gen.sources.source import (
    ActivityBlock,
    Field,
    Role,
    Table,
)
from configs import recommender_pb2 as pb
from configs.errors import UserError


@dataclass(frozen=True)
class CsvField:
    """A column of a table and the field it holds."""

    column: str
    name: str
    natural: int
    separator: str


@dataclass(frozen=True)
class CsvSource:
    """CSV files in one folder.

    Attributes:
      folder: its path.
      item_field: what the item's id is called in the features.
      activities_file, items_file, users_file: names in the folder, or empty.
      user_column, item_column, timestamp_column, value_column: of the activities.
      item_key, title_column, item_columns: of the item table.
      user_key, user_columns: of the user table.
      separator: one character.
      encoding: of all files.
    """

    folder: str
    item_field: str
    activities_file: str
    user_column: str
    item_column: str
    timestamp_column: str
    value_column: str
    items_file: str
    item_key: str
    title_column: str
    item_columns: tuple[CsvField, ...]
    users_file: str
    user_key: str
    user_columns: tuple[CsvField, ...]
    separator: bytes
    encoding: str
    kind: str = "CSV"

    @property
    def fields(self) -> tuple[Field, ...]:
        fields = [Field(self.item_field, Role.ITEM_ID, pb.STRING)]
        if self.value_column:
            fields.append(Field(self.value_column, Role.VALUE, pb.FLOAT))
        for role, columns in (
            (Role.ITEM, self.item_columns),
            (Role.USER, self.user_columns),
        ):
            fields += [
                Field(c.name, role, c.natural, multi_valued=bool(c.separator))
                for c in columns
            ]
        return tuple(fields)

    @property
    def activity_files(self) -> tuple[str, ...]:
        return (storage.join(self.folder, self.activities_file),)

    @property
    def table_files(self) -> tuple[str, ...]:
        names = [name for name in (self.items_file, self.users_file) if name]
        return tuple(storage.join(self.folder, name) for name in names)

    @property
    def has_item_table(self) -> bool:
        return bool(self.items_file)

    def read_activities(
        self, path: str, item_type: int, whole_values: bool
    ) -> Iterator[ActivityBlock]:
        names = [self.user_column, self.item_column, self.timestamp_column]
        if self.value_column:
            names.append(self.value_column)
        header, index = find_columns(path, names, self.separator, self.encoding)
        layout = delimited.Layout(
            separator=self.separator,
            columns=len(header),
            user=index[self.user_column],
            item=index[self.item_column],
            timestamp=index[self.timestamp_column],
            value=index[self.value_column] if self.value_column else None,
            value_name=self.value_column,
            header=True,
            quotes=True,
            encoding=self.encoding,
            integer_ids=False,
        )
        return delimited.read_activities(path, layout, item_type, whole_values)

    def read_items(self) -> Table | None:
        if not self.items_file:
            return None
        return self._read_table(
            "item", self.items_file, self.item_key, self.item_columns, self.title_column
        )

    def read_users(self) -> Table | None:
        if not self.users_file:
            return None
        return self._read_table(
            "user", self.users_file, self.user_key, self.user_columns
        )

    def _read_table(
        self,
        what: str,
        file: str,
        key: str,
        columns: tuple[CsvField, ...],
        title: str = "",
    ) -> Table:
        path = storage.join(self.folder, file)
        names = [key, *(c.column for c in columns)] + ([title] if title else [])
        header, index = find_columns(path, names, self.separator, self.encoding)
        layout = tables.TableLayout(
            what,
            self.separator,
            columns=len(header),
            key=index[key],
            integer_keys=False,
            header=True,
            quotes=True,
            encoding=self.encoding,
        )
        return tables.read_table(
            path,
            layout,
            fields={
                c.name: tables.several(index[c.column], c.separator)
                if c.separator
                else tables.column(index[c.column])
                for c in columns
            },
            title=(lambda cells: cells[index[title]]) if title else None,
        )


def csv_source(folder: str, config: pb.CsvSource, item_field: str) -> CsvSource:
    """The source that a configuration describes.

    Raises:
      UserError: if fields of a table are named but no table is, or the other way.
    """
    for file, columns in (("items_file", "item_fields"), ("users_file", "user_fields")):
        if getattr(config, columns) and not getattr(config, file):
            raise UserError(
                f"data.csv.{file}: '' is not allowed. Expected a file, since "
                f"data.csv.{columns} names columns of it"
            )
    if config.title_column and not config.items_file:
        raise UserError(
            "data.csv.items_file: '' is not allowed. Expected a file, since "
            "data.csv.title_column names a column of it"
        )
    return CsvSource(
        folder=folder,
        item_field=item_field,
        activities_file=config.activities_file,
        user_column=config.user_column,
        item_column=config.item_column,
        timestamp_column=config.timestamp_column,
        value_column=config.value_column,
        items_file=config.items_file,
        item_key=config.item_key_column,
        title_column=config.title_column,
        item_columns=_columns(config.item_fields, "item_fields"),
        users_file=config.users_file,
        user_key=config.user_key_column,
        user_columns=_columns(config.user_fields, "user_fields"),
        separator=config.delimiter.encode(),
        encoding=config.encoding,
    )


def find_columns(
    path: str, names: Sequence[str], separator: bytes, encoding: str
) -> tuple[list[str], dict[str, int]]:
    """The header of a file, and the places of some columns in it.

    Raises:
      UserError: if a column is not there, or more than once.
    """
    header = delimited.read_header(path, separator, encoding)
    for name in names:
        if header.count(name) != 1:
            times = "no" if name not in header else f"{header.count(name)}"
            raise UserError(
                f"{path}: line 1: {times} column {name!r}, expected one. There are "
                f"{', '.join(header)}"
            )
    return header, {name: header.index(name) for name in names}


def _columns(fields: Sequence[pb.CsvField], path: str) -> tuple[CsvField, ...]:
    for index, field in enumerate(fields):
        if not field.column:
            raise UserError(
                f"data.csv.{path}.{index}.column: '' is not allowed. Expected the name "
                "of a column"
            )
    return tuple(
        CsvField(
            column=field.column,
            name=field.field or field.column,
            natural=field.type,
            separator=field.separator,
        )
        for field in fields
    )
