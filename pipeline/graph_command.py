"""The command that draws a model. It needs the optional package matplotlib."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click

from pipeline.options import CONFIG, SET, VERBOSE
from pipeline.paths import expect_writable
from pipeline.quiet import quiet


def require_matplotlib(name: str = "matplotlib") -> None:
    """Refuses to go on without matplotlib, and says how to get it.

    Args:
      name: of the package that is looked for.

    Raises:
      UserError: if it is not installed.
    """
    from configs.errors import UserError

    if importlib.util.find_spec(name) is None:
        raise UserError(
            "drawing needs matplotlib, which is not installed. Run: pip install "
            "matplotlib (in a checkout: make setup)"
        )


@click.command(short_help="Draw the model of a configuration.")
@CONFIG
@SET
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The picture to write, a PNG file, e.g. model.png.",
)
@VERBOSE
def graph(
    config_path: Path, overrides: tuple[str, ...], output: Path, verbose: bool
) -> None:
    """Draws the model of a configuration: features, encoders, layers and their widths.

    Nothing is trained, and no data is read.

    \b
    Example:
      pocketrec graph --config configs/sample.pbtxt --output model.png \\
          --set model.hidden_layer_dims=128,64
    """
    from configs.errors import UserError
    from configs.loader import load_config

    require_matplotlib()
    config = load_config(config_path, overrides)
    if output.suffix.lower() != ".png":
        raise UserError(f"{output}: is not allowed. Expected a name that ends in .png")
    if output.is_dir():
        raise UserError(f"{output}: is a folder, expected a file")
    expect_writable(output.absolute().parent)
    if not verbose:
        click.get_current_context().with_resource(quiet())
    from pipeline.model_graph import draw_graph, model_graph

    found = model_graph(config)
    figure = draw_graph(found)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f"{output.name}.partial")
    figure.savefig(partial, format="png", dpi=150)
    partial.replace(output)
    click.echo(
        f"{output}: {len(found.features)} features, {len(found.nodes)} boxes of "
        f"{found.name}"
    )
