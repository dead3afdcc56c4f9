"""What slices by popularity need to know of train, for as long as a gate runs.

TFX calls the function that makes extractors with the models, the evaluation's
configuration and the schema, and with nothing else; and it loads that function's module
anew. So what the executor knows stands here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

_buckets: ContextVar[Mapping[str, str] | None] = ContextVar("_buckets", default=None)


@contextlib.contextmanager
def popularity_of(report: Mapping[str, Any] | None) -> Iterator[None]:
    """Lets `known_buckets` answer while it is entered.

    Args:
      report: TimelineExampleGen's ingestion report; None: nothing is known.
    """
    buckets = None
    if report is not None:
        buckets = {
            item: bucket
            for bucket, items in report["popularity"].items()
            for item in items
        }
    token = _buckets.set(buckets)
    try:
        yield
    finally:
        _buckets.reset(token)


def known_buckets() -> Mapping[str, str] | None:
    """The bucket of each item but those of the tail, by raw id; None if not known."""
    return _buckets.get()
