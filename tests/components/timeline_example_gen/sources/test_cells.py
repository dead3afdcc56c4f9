"""Times, numbers and fields in cells of text."""

from __future__ import annotations

import datetime
import zoneinfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.timeline_example_gen.sources import cells
from components.timeline_example_gen.sources.source import ActivityTypes, RowCount
from configs import recommender_pb2 as pb

DAY = 1_709_251_200_000  # 2024-03-01 00:00 UTC


def parse(text: str, kind: int = pb.ISO_8601, zone: str = "UTC") -> int | None:
    column = pa.array([text.encode()], pa.large_binary())
    form = cells.Form(timestamps=kind, timezone=zone)
    (value,), (right,) = cells.parse_times(column, form)
    return int(value) if right else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-01", DAY),
        (" 2024-03-01 ", DAY),
        ("2024-03-01T00:00", DAY),
        ("2024-03-01 12:30:05", DAY + 45_005_000),
        ("2024-03-01T12:30:05.25", DAY + 45_005_250),
        ("2024-03-01T12:30:05,250", DAY + 45_005_250),
        ("2024-03-01T12:30:05.123456789", DAY + 45_005_123),
        ("2024-03-01T12:30:05Z", DAY + 45_005_000),
        ("2024-03-01T12:30:05.5+01:00", DAY + 41_405_500),
        ("2024-03-01T00:30:00-0230", DAY + 10_800_000),
        ("1969-12-31T23:59:59", -1000),
        ("2024-02-29", DAY - 86_400_000),
        ("2023-02-29", None),
        ("2024-13-01", None),
        ("2024-03-01T25:00", None),
        ("2024-3-1", None),
        ("01.03.2024", None),
        ("2024-03-01T12", None),
        ("1709251200", None),
        ("now", None),
        ("", None),
    ],
)
def test_iso_8601(text: str, expected: int | None) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("1709251200", pb.EPOCH_SECONDS, DAY),
        ("1709251200123", pb.EPOCH_MILLISECONDS, DAY + 123),
        ("1709251200.5", pb.EPOCH_SECONDS, None),
        ("1e9", pb.EPOCH_SECONDS, None),
    ],
)
def test_epochs(text: str, kind: int, expected: int | None) -> None:
    assert parse(text, kind) == expected


def test_milliseconds_taken_for_seconds_are_absurd_not_misread() -> None:
    milliseconds = parse("1709251200123", pb.EPOCH_SECONDS)
    assert milliseconds is not None and milliseconds > 4_102_444_800_000


@given(
    st.datetimes(datetime.datetime(1990, 1, 1), datetime.datetime(2090, 1, 1)),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"]),
)
def test_times_without_a_zone_are_local(moment: datetime.datetime, zone: str) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    expected = moment.replace(tzinfo=zoneinfo.ZoneInfo(zone)).timestamp()
    assert parse(moment.isoformat(), zone=zone) == round(expected * 1000)


def test_one_bad_time_does_not_spoil_the_others() -> None:
    texts = ["2024-03-01", "2024-13-01", "2024-03-01T00:00:01Z", "x", "2024-03-02"]
    column = pa.array([t.encode() for t in texts] + [b"\xff"], pa.large_binary())
    values, right = cells.parse_times(column, cells.Form(timestamps=pb.ISO_8601))
    assert right.tolist() == [True, False, True, False, True, False]
    assert values[right].tolist() == [DAY, DAY + 1000, DAY + 86_400_000]


def test_fields_of_activities() -> None:
    rows = [
        ("u", "i", "1", "phone", "3", "0.5"),
        ("u", "i", "1", "", "", ""),
        ("u", "i", "1", "phone", "three", "0.5"),
        ("u", "i", "1", "phone", "3", "much"),
    ]
    names = ("user", "item", "timestamp", "field_device", "field_place", "field_share")
    columns = zip(*rows, strict=True)
    found = cells.Rows(
        cells={
            name: pa.array([text.encode() for text in column], pa.large_binary())
            for name, column in zip(names, columns, strict=True)
        },
        lines=np.arange(1, 5),
        text=[b"row"] * 4,
    )
    types = ActivityTypes(
        pb.STRING,
        fields={"device": pb.STRING, "place": pb.INT, "share": pb.FLOAT},
    )
    count = RowCount(rows=4)
    block = cells.parse_activities(found, count, cells.Form(integer_ids=False), types)
    batch = block.activities.to_pydict()
    assert batch["field_device"] == [b"phone", b""]
    assert batch["field_place"] == [3, 0]
    assert batch["field_share"] == [0.5, 0.0]
    assert count.rejected == {"place is not an integer": 1, "share is not a number": 1}
    assert [s.line for r in count.samples.values() for s in r] == [3, 4]
