"""Finds the user's mistake in an error, whatever it was wrapped in on its way."""

from __future__ import annotations

import re

from configs.errors import UserError

# What Beam appends to an error in a worker.
_WHERE = re.compile(r"(?: \[while running '[^\n]*'\])+$")
# Some of its runners hand on the text of the traceback alone.
_TRACEBACK = re.compile(r"^configs\.errors\.UserError: (.*)$", re.MULTILINE)


def user_error(error: BaseException | None) -> UserError | None:
    """The user's mistake among an exception and what caused it, if there is one.

    Args:
      error: an exception; of a `UserError` that was raised inside a Beam worker, the
        step that Beam names is taken off.
    """
    while error is not None:
        text = str(error)
        if isinstance(error, UserError):
            plain = _WHERE.sub("", text)
            return error if plain == text else UserError(plain)
        if found := _TRACEBACK.findall(text):
            return UserError(_WHERE.sub("", found[-1]))
        error = error.__cause__ or error.__context__
    return None
