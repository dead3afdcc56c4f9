"""Turns activity logs into training examples: one per activity and what came before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.timeline_example_gen.component import TimelineExampleGen

__all__ = ["TimelineExampleGen"]


def __getattr__(name: str) -> Any:
    # The component imports TFX, which takes 20 seconds; the modules beside it do not
    # need it.
    if name == "TimelineExampleGen":
        from components.timeline_example_gen.component import TimelineExampleGen

        return TimelineExampleGen
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
