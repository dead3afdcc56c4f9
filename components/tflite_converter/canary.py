"""The request by which a bundle is tried on every device, and its answer."""

from __future__ import annotations

from typing import Any

from configs.features import OOV_ID
from pocketrec_device import Bundle, BundleError, Recommender
from pocketrec_device.features import GAP, OF_TIME, History, InputSpec

_ITEMS = 5
_HOUR = 3600
_RATINGS = (3.0, 5.0, 1.0, 4.0)


def make_canary(bundle: str, start: int) -> dict[str, Any] | None:
    """The manifest's entry, as this process answers it; run it where a crash may be.

    Args:
      bundle: its folder.
      start: of the history, seconds since 1970.

    Returns:
      None where the answer is no recommendation, which the gate tells better than an
      error.

    Raises:
      pocketrec_device.BundleError: if LiteRT does not take the model.
    """
    loaded = Bundle.load(bundle)
    recommender = Recommender(loaded)
    try:
        return recommender.make_canary(canary_request(loaded, start)).to_json()
    except BundleError:
        return None


def canary_request(bundle: Bundle, start: int) -> History:
    """A history of the first items, longer than the context, with all that it needs.

    Args:
      bundle: whose model is asked.
      start: of the history, seconds since 1970.
    """
    known = [item for item in bundle.items.values() if item.index > OOV_ID]
    # Without a vocabulary, the one item of a catalogue may have that id.
    known = sorted(known or bundle.items.values(), key=lambda item: item.index)
    # Seen items are left out: some have to be there for an answer.
    known = known[: min(_ITEMS, (len(known) + 1) // 2)]
    length = bundle.max_context_length + 1
    history = [known[step % len(known)].id for step in range(length)]
    sources = {spec.source for spec in bundle.inputs}
    needs_times = bool(sources & {"timestamp", GAP, *OF_TIME})
    user = [spec for spec in bundle.inputs if spec.source == "user"]
    activities = [spec for spec in bundle.inputs if spec.source == "activity"]
    return History(
        items=history,
        ratings=_ratings(bundle, length) if "value" in sources else None,
        timestamps=[start + _HOUR * step for step in range(length)]
        if needs_times
        else None,
        user={spec.field: _user_value(bundle, spec) for spec in user} or None,
        activities={spec.field: [_value(bundle, spec)] * length for spec in activities}
        or None,
    )


def _ratings(bundle: Bundle, length: int) -> list[Any]:
    """Some that every input that looks at them knows."""
    specs = [spec for spec in bundle.inputs if spec.source == "value"]
    whole = [spec for spec in specs if spec.feature_type != "FLOAT"]
    if not whole:
        return [_RATINGS[step % len(_RATINGS)] for step in range(length)]
    first, *others = whole
    rating = _value(bundle, first)
    if first.vocabulary is None and not others:
        rows = range(1, first.vocab_size)
        return [rows[step % len(rows)] for step in range(length)]
    return [rating] * length


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
