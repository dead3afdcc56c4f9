"""Local time of many moments at once, from Python's time zones.

Arrow has its own, but needs a system with a time zone database, and another copy could
differ from the one that the device asks.
"""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_EPOCH = datetime.datetime(1970, 1, 1)
_DAY, _HOUR = 86_400, 3_600


def offsets(seconds: Ints, timezone: str) -> Ints:
    """How far local time is ahead of UTC.

    Args:
      seconds: int64, since 1970-01-01 00:00 UTC.
      timezone: its name, e.g. ``Europe/Berlin``.

    Returns:
      int64, seconds.
    """
    zone = zoneinfo.ZoneInfo(timezone)
    utc = datetime.timezone.utc
    return _by_step(
        seconds,
        lambda moment: moment.replace(tzinfo=utc).astimezone(zone).utcoffset(),
    )


def local_offsets(seconds: Ints, timezone: str) -> Ints:
    """As `offsets`, of local times.

    Of a time that there is twice, as clocks are set back, the earlier is meant.

    Args:
      seconds: int64, local time as if it were UTC.
      timezone: its name.
    """
    zone = zoneinfo.ZoneInfo(timezone)
    return _by_step(seconds, lambda local: local.replace(tzinfo=zone).utcoffset())


def weekdays(seconds: Ints, timezone: str) -> Ints:
    """1, Monday, to 7, Sunday."""
    days = (seconds + offsets(seconds, timezone)) // _DAY
    return (days + 3) % 7 + 1  # 1970-01-01 was a Thursday.


def hours(seconds: Ints, timezone: str) -> Ints:
    """0 to 23."""
    return (seconds + offsets(seconds, timezone)) % _DAY // _HOUR


def _by_step(
    seconds: Ints,
    offset_of: Callable[[datetime.datetime], datetime.timedelta | None],
) -> Ints:
    """Asks for one moment of an hour, and for each where the offset changes in it."""

    def ask(moments: Ints) -> Ints:
        found = np.zeros(len(moments), np.int64)
        for index, moment in enumerate(moments.tolist()):
            offset = offset_of(_EPOCH + datetime.timedelta(seconds=moment))
            assert offset is not None
            found[index] = int(offset.total_seconds())
        return found

    hours, inverse = np.unique(seconds // _HOUR, return_inverse=True)
    first = ask(hours * _HOUR)
    last = ask(hours * _HOUR + _HOUR - 1)
    inverse = inverse.reshape(-1)
    result = first[inverse]
    changing = (first != last)[inverse]
    moments, back = np.unique(seconds[changing], return_inverse=True)
    result[changing] = ask(moments)[back.reshape(-1)]
    return result
