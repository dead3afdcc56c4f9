"""Local time of many moments against Python's own, one by one."""

from __future__ import annotations

import datetime
import zoneinfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.timeline_example_gen import clock

ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Gaza", "Asia/Kathmandu")
_LAST = 4_102_444_799


def _local(second: int, zone: str) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(second, zoneinfo.ZoneInfo(zone))


def _changes(zone: str) -> list[int]:
    """The seconds around every change of the offset in ten years."""
    found = []
    start = 1_136_073_600
    for hour in range(start, start + 10 * 31_557_600, 3600):
        low, high = hour, hour + 3600
        if _local(low, zone).utcoffset() == _local(high, zone).utcoffset():
            continue
        while high - low > 1:
            middle = (low + high) // 2
            same = _local(low, zone).utcoffset() == _local(middle, zone).utcoffset()
            low, high = (middle, high) if same else (low, middle)
        found += [low - 1, low, high, high + 59, high + 840]
    return found


@pytest.mark.parametrize("zone", ZONES)
def test_around_every_change(zone: str) -> None:
    seconds = np.array([*_changes(zone), 0, _LAST], np.int64)
    moments = [_local(second, zone) for second in seconds.tolist()]
    assert clock.hours(seconds, zone).tolist() == [m.hour for m in moments]
    assert clock.weekdays(seconds, zone).tolist() == [m.isoweekday() for m in moments]


@given(
    st.lists(st.integers(0, _LAST), max_size=20),
    st.sampled_from(ZONES),
)
def test_any_moments(seconds: list[int], zone: str) -> None:
    array = np.array(seconds, np.int64)
    moments = [_local(second, zone) for second in seconds]
    assert clock.hours(array, zone).tolist() == [m.hour for m in moments]
    assert clock.weekdays(array, zone).tolist() == [m.isoweekday() for m in moments]
    local = array + clock.offsets(array, zone)
    back = local - clock.local_offsets(local, zone)
    # Of a time that there is twice the earlier is meant.
    for second, again, moment in zip(seconds, back.tolist(), moments, strict=True):
        assert again == second or (moment.fold == 1 and again < second)
