"""Local time of a moment: what the examples hold as weekday and hour."""

from __future__ import annotations

import datetime
import zoneinfo

UTC = "UTC"

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def time_zone(name: str) -> datetime.tzinfo:
    """A time zone by its name, e.g. ``Europe/Berlin``.

    Raises:
      ValueError: if this machine does not know it.
    """
    if name == UTC:
        return datetime.timezone.utc  # There without a time zone database, too.
    try:
        return zoneinfo.ZoneInfo(name)
    # A name may also be that of a folder, or none that a file could have.
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"{name!r} is no time zone of this machine") from error


def weekday(seconds: int, zone: datetime.tzinfo) -> int:
    """1, Monday, to 7, Sunday, of seconds since 1970."""
    return _local(seconds, zone).isoweekday()


def hour(seconds: int, zone: datetime.tzinfo) -> int:
    """0 to 23, of seconds since 1970."""
    return _local(seconds, zone).hour


def _local(seconds: int, zone: datetime.tzinfo) -> datetime.datetime:
    return (_EPOCH + datetime.timedelta(seconds=seconds)).astimezone(zone)
