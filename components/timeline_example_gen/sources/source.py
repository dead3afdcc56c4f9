"""What every kind of log gives, whatever its files look like."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from components.timeline_example_gen.inputs import Inputs

MAX_SAMPLES = 3  # Of each reason, of each file.
_SAMPLE_LENGTH = 200


class Role(enum.Enum):
    """What a field belongs to."""

    ITEM_ID = "item id"
    ITEM = "item"
    VALUE = "value"
    ACTIVITY = "activity"
    USER = "user"


@dataclass(frozen=True)
class Field:
    """Something a source knows of activities, items or users.

    Attributes:
      name: as in ``context_<name>``, ``label_<name>``, ``user_<name>``.
      role: what it belongs to.
      natural: the ``pb.FeatureType`` of its column unless a feature says another.
      multi_valued: whether there are several values, e.g. the genres of a movie.
      derivation: ``pb.Derivation`` of a field that is worked out from another.
    """

    name: str
    role: Role
    natural: int
    multi_valued: bool = False
    derivation: int | None = None


@dataclass(frozen=True)
class Sample:
    """A row that could not be used: its line (from 1) and how it looks."""

    line: int
    text: str

    @classmethod
    def of(cls, line: int, row: bytes) -> Sample:
        """From the row's bytes, which need not be text."""
        text = row.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
        if len(text) > _SAMPLE_LENGTH:
            text = text[:_SAMPLE_LENGTH] + "…"
        return cls(line=line, text=text)


@dataclass
class RowCount:
    """Rows of a file and those of them that cannot be used.

    Blank lines are no rows; they are counted beside them.
    """

    rows: int = 0
    blank_lines: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def reject(self, reason: str, count: int, samples: Sequence[Sample]) -> None:
        """Counts rows that cannot be used; of the samples the first few are kept."""
        self.rejected[reason] = self.rejected.get(reason, 0) + count
        kept = self.samples.setdefault(reason, [])
        kept += samples[: MAX_SAMPLES - len(kept)]

    def add(self, other: RowCount) -> None:
        """Adds the count of the rows that follow."""
        self.rows += other.rows
        self.blank_lines += other.blank_lines
        for reason, count in other.rejected.items():
            self.reject(reason, count, other.samples[reason])

    def take(self) -> RowCount:
        """Hands over what has been counted, and begins again."""
        taken = RowCount()
        taken.add(self)
        self.rows = self.blank_lines = 0
        self.rejected, self.samples = {}, {}
        return taken

    @property
    def rejected_rows(self) -> int:
        """Rows that cannot be used, for whatever reason."""
        return sum(self.rejected.values())


@dataclass(frozen=True)
class ActivityBlock:
    """Some of a file's activities, in the order of the file.

    Attributes:
      activities: ``user`` and ``item`` (int64 or large_binary in UTF-8), ``timestamp``
        (int64, milliseconds) and, where there are such, ``value`` (float64) and
        ``field_<name>`` (int64, float64 or large_binary).
      count: the rows they were read from.
      of_other_types: how many rows are of none of the types wanted; whether they could
        be used does not matter.
    """

    activities: pa.RecordBatch
    count: RowCount
    of_other_types: int = 0


@dataclass(frozen=True)
class Table:
    """What a source knows of its items or its users, as text.

    Attributes:
      file: its path.
      keys: of each row.
      lines: of each row, from 1.
      texts: how each row looks.
      fields: per field one text per row, None where there is none, or several.
      titles: per row, if items have titles.
      count: rows read, the rejected ones too.
    """

    file: str
    keys: Sequence[str]
    lines: Sequence[int]
    texts: Sequence[bytes]
    fields: dict[str, Sequence[str | None] | Sequence[Sequence[str]]]
    titles: Sequence[str] | None
    count: RowCount


@dataclass(frozen=True)
class ActivityTypes:
    """How the columns of activities are wanted; rows that do not fit are rejected.

    Attributes:
      item: ``pb.INT`` or ``pb.STRING``.
      whole_values: whether values must be integers.
      fields: ``pb.FeatureType`` of the activities' own fields, by name.
      activity_types: those wanted; none: all.
    """

    item: int
    whole_values: bool = False
    fields: Mapping[str, int] = field(default_factory=dict)
    activity_types: tuple[str, ...] = ()


FIELD_COLUMN = "field_"


@dataclass(frozen=True)
class FoundFiles:
    """The part of a source that is the same for all kinds.

    Attributes:
      inputs: the files that were found.
    """

    inputs: Inputs

    @property
    def activity_files(self) -> tuple[str, ...]:
        return self.inputs.activities

    @property
    def table_files(self) -> tuple[str, ...]:
        return tuple(self.inputs.tables.values())


class Source(Protocol):
    """A kind of log."""

    @property
    def kind(self) -> str:
        """Its name in the configuration, e.g. ``"MOVIELENS_100K"``."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """All fields, the item's id first."""

    @property
    def activity_files(self) -> tuple[str, ...]:
        """Paths of the logs."""

    @property
    def table_files(self) -> tuple[str, ...]:
        """Paths of all other files that are read."""

    @property
    def has_item_table(self) -> bool:
        """Whether the catalogue is a table; else it is the items of the log."""

    def read_activities(
        self, path: str, types: ActivityTypes
    ) -> Iterator[ActivityBlock]:
        """Reads one of the logs, block by block.

        Args:
          path: one of `activity_files`.
          types: of the columns.
        """

    def read_items(self) -> Table | None:
        """Reads the item table."""

    def read_users(self) -> Table | None:
        """Reads the user table."""
