"""Times, numbers and fields in cells of text."""

from __future__ import annotations

import datetime
import zoneinfo
from typing import Any

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
    column = pa.array([text.encode("utf-8", "surrogatepass")], pa.large_binary())
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
        *((f"{year}-03-01", -1) for year in ("0001", "1402", "1677", "2262", "9999")),
        *((f"{year}-03-01T00:00:00Z", -1) for year in ("1402", "2567", "2600")),
        ("2567-13-01", None),
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
        ("1709251200.0", pb.EPOCH_SECONDS, DAY),
        (" +1709251200.000 ", pb.EPOCH_SECONDS, DAY),
        ("1709251200123.0", pb.EPOCH_MILLISECONDS, DAY + 123),
        ("1709251200.5", pb.EPOCH_SECONDS, None),
        ("1709251200.0.0", pb.EPOCH_SECONDS, None),
        ("1e9", pb.EPOCH_SECONDS, None),
        (".0", pb.EPOCH_SECONDS, None),
        ("\ud8001.0", pb.EPOCH_SECONDS, None),
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


def test_a_bad_time_is_found_without_a_look_at_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    casts = []
    cast_times = cells._cast_times

    def counted(text: pa.LargeStringArray, zoned: bool) -> Any:
        casts.append(len(text))
        return cast_times(text, zoned)

    monkeypatch.setattr(cells, "_cast_times", counted)
    texts = ["2024-02-29"] * 1000
    texts[70] = texts[700] = "2023-02-29"
    values, right = cells.parse_times(
        column(*texts), cells.Form(timestamps=pb.ISO_8601)
    )
    assert np.flatnonzero(~right).tolist() == [70, 700]
    assert set(values[right].tolist()) == {DAY - 86_400_000}
    assert len(casts) < 50


@given(st.dates())
def test_no_date_comes_round(day: datetime.date) -> None:
    first, end = datetime.date(1970, 1, 1), datetime.date(2100, 1, 1)
    for text in (day.isoformat(), f"{day.isoformat()}T00:00:00Z"):
        milliseconds = parse(text)
        assert milliseconds is not None
        if first <= day <= end:
            assert milliseconds == (day - first).days * 86_400_000
        else:
            assert milliseconds < 0 or milliseconds > 4_102_444_800_000


def column(*texts: str) -> pa.LargeBinaryArray:
    return pa.array([text.encode() for text in texts], pa.large_binary())


def test_integers_of_64_bits() -> None:
    most, least = 2**63 - 1, -(2**63)
    texts = [str(most), str(least), f" +{most} ", f"{0:030d}", "007"]
    values, right = cells.parse_integers(column(*texts))
    assert right.all()
    assert values.tolist() == [most, least, most, 0, 7]
    wrong = column(str(most + 1), str(least - 1), "9" * 31, "1_000", "\uff11", "1.0")
    assert not cells.parse_integers(wrong)[1].any()


def test_numbers_of_32_bits() -> None:
    texts = ["-0", "-0.0", "0", "-1e-320", "3.4028235e38", "-3.4028235e38"]
    values, right = cells.parse_numbers(column(*texts))
    assert right.all()
    assert not np.signbit(values[:3]).any()
    assert np.isfinite(values.astype(np.float32)).all()
    wrong = column("3.4028236e38", "1e39", "-1e300", "1e400", "1e9999", "inf", "nan")
    assert not cells.parse_numbers(wrong)[1].any()


@pytest.mark.parametrize(
    ("value", "right"),
    [("3", True), ("3.0", True), ("-0", True)]
    + [(sign + "9007199254740991", True) for sign in ("", "-")]
    # Another number is the same float64 as each of these.
    + [(sign + "900719925474099" + end, False) for sign in ("", "-") for end in "234"]
    + [(text, False) for text in ("3.5", "1e19", "1e38")],
)
def test_whole_values(value: str, right: bool) -> None:
    rows = cells.Rows(
        cells={
            name: column(text)
            for name, text in (
                *(("user", "u"), ("item", "i")),
                *(("timestamp", "1"), ("value", value)),
            )
        },
        lines=np.arange(1, 2),
        text=[b"row"],
    )
    types = ActivityTypes(pb.STRING, whole_values=True)
    form = cells.Form(integer_ids=False)
    block = cells.parse_activities(rows, RowCount(rows=1), form, types)
    assert block.activities.num_rows == right
    reason = "rating is not a whole number within 53 bits"
    assert block.count.rejected == ({} if right else {reason: 1})


def test_rows_of_other_types_are_not_looked_at() -> None:
    rows = cells.Rows(
        cells={
            "user": column("u", "", "u", "u", "u"),
            "item": column("i", "i", "", "i", "i"),
            "timestamp": column("1", "x", "1", "1", "y"),
            "value": column("2", "", "3", "", ""),
            "type": column("buy", "view", "view", "like", "buy"),
        },
        lines=np.arange(1, 6),
        text=[b"row"] * 5,
    )
    types = ActivityTypes(pb.STRING, activity_types=("buy", "like"))
    form = cells.Form(integer_ids=False)
    block = cells.parse_activities(rows, RowCount(rows=5), form, types)
    assert block.of_other_types == 2
    assert block.activities.to_pylist() == [
        {"user": b"u", "item": b"i", "timestamp": 1000, "value": 2.0}
    ]
    assert block.count.rejected == {
        "rating is not a number": 1,
        "timestamp is not a whole number": 1,
    }


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
