"""Options that several commands have."""

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
