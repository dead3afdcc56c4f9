"""Options for Beam from a file: where the Beam jobs of a run are run."""

from __future__ import annotations

import argparse
import difflib
import json
import re
from pathlib import Path
from typing import Any

import apache_beam
from apache_beam.options.pipeline_options import (
    PipelineOptions,
    StandardOptions,
    _BeamArgumentParser,
)
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator

from configs.errors import UserError

_PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*>")
# What Beam's parser lets pass as any text, and finds out later.
_NAMES = {
    "--runner": StandardOptions.KNOWN_RUNNER_NAMES,
    "--environment_type": list(PipelineOptionsValidator.REQUIRED_ENVIRONMENT_OPTIONS),
}
_KINDS: dict[Any, str] = {int: "a whole number", float: "a number", json.loads: "JSON"}


def read_beam_options(path: Path) -> list[str]:
    """Reads a file of options, one a line, and checks them as Beam does.

    Empty lines and lines that begin with ``#`` are left out. An option is ``--name`` or
    ``--name=value``; quotes and blanks are part of the value.

    Args:
      path: such as those in ``configs/beam``.

    Returns:
      The options, to be given to Beam.

    Raises:
      UserError: if the file cannot be read, an option is unknown or has a value that is
        not allowed, or a placeholder such as ``<HOST>`` is left.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"cannot read the options for Beam {path}: {error.strerror}"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: the options for Beam are not UTF-8 text") from error
    parser = _parser()
    options = []
    for number, line in enumerate(text.splitlines(), 1):
        option = line.strip()
        if not option or option.startswith("#"):
            continue
        try:
            _check(option, parser)
        except UserError as error:
            raise UserError(f"{path}: line {number}: {error}") from error
        options.append(option)
    # Of several options together: which ones need, or forbid, which others.
    mistakes = PipelineOptionsValidator(PipelineOptions(options), None).validate()
    if mistakes:
        raise UserError(f"{path}: {' '.join(mistakes[0].split())}")
    return options


def _parser() -> _BeamArgumentParser:
    """Beam's own, for all its options; it raises errors and knows no abbreviations."""
    parser = _BeamArgumentParser(
        add_help=False,
        allow_abbrev=False,
        exit_on_error=False,
        # A class of options may have been loaded twice.
        conflict_handler="resolve",
    )
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    return parser


def _check(option: str, parser: argparse.ArgumentParser) -> None:
    name, equals, value = option.partition("=")
    if not re.fullmatch(r"--\w[\w-]*", name):
        raise UserError(f"{option!r} is not allowed. Expected --name or --name=value")
    action = parser._option_string_actions.get(name)
    if action is None:
        raise UserError(f"{name}: {_unknown(name, parser)}")
    if left := _PLACEHOLDER.search(value):
        raise UserError(f"{name}: {left[0]} is not filled in")
    expected = _expected(name, action)
    try:
        parser.parse_known_args([option])
    except argparse.ArgumentError as error:
        raise _error(name, value, expected) from error
    if equals and not value:
        raise _error(name, value, expected)
    if name in _NAMES and not _is_known(name, value):
        raise _error(name, value, f"one of {', '.join(_NAMES[name])}")


def _unknown(name: str, parser: argparse.ArgumentParser) -> str:
    known = list(parser._option_string_actions)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f". Expected perhaps {near[0]}" if near else ""
    return f"Beam {apache_beam.__version__} has no such option{hint}"


def _expected(name: str, action: argparse.Action) -> str:
    if action.nargs == 0:
        return f"{name} without a value"
    if action.choices is not None:
        return f"one of {', '.join(map(str, action.choices))}"
    return _KINDS.get(action.type, "a value")


def _is_known(name: str, value: str) -> bool:
    if name == "--runner":
        # Beam takes it in any case, without "Runner" too, or as a class to import.
        known = {runner.lower() for runner in _NAMES[name]}
        return "." in value or bool({value.lower(), f"{value.lower()}runner"} & known)
    return value in _NAMES[name]


def _error(name: str, value: str, expected: str) -> UserError:
    return UserError(f"{name}: {value!r} is not allowed. Expected {expected}")
