"""Options that several commands have, and what they mean."""

from __future__ import annotations

from pathlib import Path

import click

CONFIG = click.option(
    "--config",
    "config_path",
    required=True,
    type=click.Path(path_type=Path),
    help="A configuration (.pbtxt), e.g. configs/movielens_100k.pbtxt.",
)
SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Overrides a field of the configuration, e.g. model.hidden_layer_dims=64,32. "
    "May be given several times.",
)
VERBOSE = click.option(
    "--verbose", is_flag=True, help="Shows the logs and warnings of TFX and its kin."
)
DATA = click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of the activities, items and users.",
)
SPAN = click.option(
    "--span",
    metavar="N|DATE|latest",
    help="The newest span to read; overrides data.span.",
)
BEAM_OPTIONS = click.option(
    "--beam-options",
    type=click.Path(path_type=Path),
    help="A file of Beam options, e.g. configs/beam/flink.txt, for another runner than "
    "the one in memory.",
)
OUTPUT = click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Folder of the artifacts.  [default: runs/<name of the configuration>]",
)
PUSH_DESTINATION = click.option(
    "--push-destination",
    help="Folder of the pushed versions; overrides push.push_destination.  "
    "[default: <output>/push]",
)


def with_span(overrides: tuple[str, ...], span: str | None) -> tuple[str, ...]:
    """Overrides with that of the newest span, if one is given."""
    return overrides if span is None else (*overrides, f"data.span={span}")


def beam_args(path: Path | None) -> tuple[str, ...] | None:
    """Options for Beam from a file; None where the runner's own are meant."""
    if path is None:
        return None
    from components.timeline_example_gen.generate import WORKER_IMAGE
    from pipeline.beam_options import read_beam_options

    # Of two images the last one counts.
    return WORKER_IMAGE, *read_beam_options(path)
