"""Weekdays and hours are those of the clock on the wall, whatever is done to it."""

from __future__ import annotations

import datetime
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketrec_device import clock

UTC = datetime.timezone.utc


def seconds(text: str) -> int:
    moment = datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)
    return int(moment.timestamp())


@pytest.mark.parametrize(
    ("moment", "zone", "expected"),
    [
        ("1970-01-01 00:00:00", "UTC", (4, 0)),
        ("1970-01-01 00:00:00", "America/New_York", (3, 19)),
        ("1970-01-01 00:00:00", "Africa/Monrovia", (3, 23)),  # 44 min 30 s behind
        ("2023-11-14 22:13:20", "UTC", (2, 22)),
        ("2023-11-14 22:13:20", "Europe/Berlin", (2, 23)),
        ("2023-11-14 22:13:20", "Asia/Kolkata", (3, 3)),
        # Clocks are set forward, and back.
        ("2024-03-31 00:59:59", "Europe/Berlin", (7, 1)),
        ("2024-03-31 01:00:00", "Europe/Berlin", (7, 3)),
        ("2024-10-27 00:59:59", "Europe/Berlin", (7, 2)),
        ("2024-10-27 01:00:00", "Europe/Berlin", (7, 2)),
        ("2024-10-27 02:00:00", "Europe/Berlin", (7, 3)),
        ("2024-10-05 15:29:59", "Australia/Lord_Howe", (7, 1)),  # by half an hour
        ("2024-10-05 15:30:00", "Australia/Lord_Howe", (7, 2)),
        ("2007-03-11 03:30:59", "America/St_Johns", (7, 0)),  # a minute past midnight
        ("2007-03-11 03:31:00", "America/St_Johns", (7, 1)),
        # A new standard time, from 5:30 to 5:45.
        ("1985-12-31 18:29:59", "Asia/Kathmandu", (2, 23)),
        ("1985-12-31 18:30:00", "Asia/Kathmandu", (3, 0)),
        # The Friday that Samoa did not have.
        ("2011-12-30 09:59:59", "Pacific/Apia", (4, 23)),
        ("2011-12-30 10:00:00", "Pacific/Apia", (6, 0)),
    ],
)
def test_weekday_and_hour(moment, zone, expected):
    known = clock.time_zone(zone)
    found = clock.weekday(seconds(moment), known), clock.hour(seconds(moment), known)
    assert found == expected


ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "Asia/Kolkata"),
    *("Asia/Kathmandu", "Africa/Casablanca", "Australia/Lord_Howe", "Pacific/Apia"),
    *("Pacific/Kiritimati", "Antarctica/Troll", "Etc/GMT+12"),
)


@given(moment=st.integers(0, 4_102_444_799), name=st.sampled_from(ZONES))
def test_weekday_and_hour_are_those_of_datetime(moment, name):
    local = datetime.datetime.fromtimestamp(moment, zoneinfo.ZoneInfo(name))
    zone = clock.time_zone(name)
    assert clock.hour(moment, zone) == local.hour
    assert clock.weekday(moment, zone) == local.weekday() + 1


def test_utc_needs_no_database(monkeypatch):
    def unknown(name: str) -> None:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", unknown)
    assert clock.hour(3600, clock.time_zone("UTC")) == 1
    with pytest.raises(ValueError, match="'Europe/Berlin' is no time zone of this"):
        clock.time_zone("Europe/Berlin")


@pytest.mark.parametrize(
    "name",
    [
        *("", "Europe", "Nowhere/City", "../etc/localtime", "/etc/localtime"),
        *("Europe/Berlin/", "a\0b", "x" * 300, "\udcff"),
    ],
)
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match="is no time zone of this machine"):
        clock.time_zone(name)
