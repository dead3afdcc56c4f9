"""Imported by the process that `tests.e2e.commands` forks commands from: all of TFX."""

from __future__ import annotations

from pipeline.quiet import quiet

with quiet():
    import pipeline.local_runner
    import pipeline.steps
    import pipeline.summary

    # It is for what importing does.
    import pipeline.tuned  # noqa: F401
