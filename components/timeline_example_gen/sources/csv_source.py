"""CSV and its kin: a header, a delimiter, quotes; compressed or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from components.timeline_example_gen.sources import delimited, tables
from components.timeline_example_gen.sources.mapped_source import (
    MappedSource,
    field_name,
)
from components.timeline_example_gen.sources.source import (
    ActivityBlock,
    ActivityTypes,
    Table,
)
from configs import recommender_pb2 as pb
from configs.errors import UserError

DEFAULT_FILE = "activities.csv"


@dataclass(frozen=True)
class CsvSource(MappedSource):
    """Text files with a header."""

    kind: str = "CSV"

    def read_activities(
        self, path: str, types: ActivityTypes
    ) -> Iterator[ActivityBlock]:
        columns = self.activity_columns
        header, index = find_columns(
            path, list(columns.values()), self._separator, self.files.encoding
        )
        layout = delimited.Layout(
            separator=self._separator,
            columns=len(header),
            index={name: index[column] for name, column in columns.items()},
            form=self.form,
            header=True,
            quotes=True,
            encoding=self.files.encoding,
        )
        return delimited.read_activities(path, layout, types)

    @property
    def _separator(self) -> bytes:
        return self.files.delimiter.encode()

    def read_table(
        self,
        what: str,
        path: str,
        key: str,
        fields: Sequence[pb.FileField],
        title: str = "",
    ) -> Table:
        names = [key, *(f.column for f in fields)] + ([title] if title else [])
        header, index = find_columns(path, names, self._separator, self.files.encoding)
        layout = tables.TableLayout(
            what,
            self._separator,
            columns=len(header),
            key=index[key],
            integer_keys=False,
            header=True,
            quotes=True,
            encoding=self.files.encoding,
        )
        return tables.read_table(
            path,
            layout,
            fields={
                field_name(f): tables.several(index[f.column], f.separator)
                if f.separator
                else tables.column(index[f.column])
                for f in fields
            },
            title=(lambda cells: cells[index[title]]) if title else None,
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
