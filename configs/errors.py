"""The one exception for mistakes that a user can mend."""

from __future__ import annotations


class UserError(Exception):
    """Bad input: a file, a row, a configuration field or a folder.

    Its message is one line that names what is wrong, the value seen and what was
    expected; the command line prints it without a traceback and exits with 1.
    """
