"""The request by which a bundle is tried on every device."""

from __future__ import annotations

from typing import Any

from configs.features import OOV_ID
from pocketrec_device import Bundle
from pocketrec_device.features import GAP, OF_TIME, History, InputSpec

_LENGTH = 5
_HOUR = 3600
_RATING = 3.0


def canary_request(bundle: Bundle, start: int) -> History:
    """A short history of the first items, with all that the model looks at.

    Args:
      bundle: whose model is asked.
      start: of the history, seconds since 1970.
    """
    known = [item for item in bundle.items.values() if item.index > OOV_ID]
    known.sort(key=lambda item: item.index)
    history = [item.id for item in known[:_LENGTH]]
    sources = {spec.source for spec in bundle.inputs}
    needs_times = bool(sources & {"timestamp", GAP, *OF_TIME})
    user = [spec for spec in bundle.inputs if spec.source == "user"]
    activities = [spec for spec in bundle.inputs if spec.source == "activity"]
    return History(
        items=history,
        ratings=[_RATING] * len(history) if "value" in sources else None,
        timestamps=[start + _HOUR * step for step in range(len(history))]
        if needs_times
        else None,
        user={spec.field: _user_value(bundle, spec) for spec in user} or None,
        activities={
            spec.field: [_value(bundle, spec)] * len(history) for spec in activities
        }
        or None,
    )


def _user_value(bundle: Bundle, spec: InputSpec) -> Any:
    value = _value(bundle, spec)
    return [value] if spec.multi_valued else value


def _value(bundle: Bundle, spec: InputSpec) -> Any:
    """The first word of the vocabulary, or a number that every table has."""
    if spec.vocabulary is None:
        return 1.0 if spec.feature_type == "FLOAT" else 1
    terms = bundle.vocabularies[spec.vocabulary]
    first = min(terms, key=terms.__getitem__).decode()
    return int(first) if spec.feature_type == "INT" else first
