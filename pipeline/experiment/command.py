"""The command `pocketrec experiment`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pipeline.options import SET, VERBOSE
from pipeline.paths import expect_folder, expect_writable
from pipeline.quiet import quiet

RESULTS = "results.json"


@click.command(short_help="Train a grid of configurations and compare them.")
@click.argument("grid_path", metavar="GRID", type=click.Path(path_type=Path))
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of the activities, items and users.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Folder of all results; what it has is not trained again.  "
    "[default: runs/experiments/<name of the experiment>]",
)
@click.option(
    "--seed",
    "seeds",
    type=click.IntRange(min=0),
    multiple=True,
    help="Trains each configuration with this seed; may be given several times.  "
    "[default: those of the grid]",
)
@SET
@click.option(
    "--test",
    is_flag=True,
    help="Also measures what was chosen on the test split, and its size as .tflite.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also writes the results to this file.",
)
@click.option(
    "--plot",
    "plot_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also draws the cells and their learning curves, as a PNG file; needs "
    "matplotlib.",
)
@VERBOSE
def experiment(
    grid_path: Path,
    data: Path,
    output: Path | None,
    seeds: tuple[int, ...],
    overrides: tuple[str, ...],
    test: bool,
    json_file: Path | None,
    plot_file: Path | None,
    verbose: bool,
) -> None:
    """Trains each cell of a grid of configurations and compares them.

    GRID is a text file (configs/experiment.proto): a base configuration, axes whose
    values override fields of it, seeds, and learning rates of which each cell has the
    one that is best on eval. The test split takes no part in any choice.

    \b
    Examples:
      pocketrec experiment configs/experiments/encoders.pbtxt --data datasets/ml-100k
      pocketrec experiment configs/experiments/published_study.pbtxt \\
          --data datasets/ml-100k --seed 1 --seed 2 --seed 3 --test --plot study.png

    A run that was stopped goes on where it was: what has been trained with the same
    data, configuration and code is taken from --output.
    """
    from pipeline.experiment.grid import load_grid

    grid = load_grid(grid_path, overrides, seeds)
    expect_folder(data)
    output = output or Path("runs") / "experiments" / grid.name
    expect_writable(output)
    for file in (json_file, plot_file):
        if file is not None:
            expect_writable(file.absolute().parent)
    if plot_file is not None:
        from pipeline.experiment.plot import require_matplotlib

        require_matplotlib()
    if not verbose:
        click.get_current_context().with_resource(quiet())
    from pipeline.tuned import NOT_TUNED

    if any(cell.config.tune.num_trials for cell in grid.cells):
        click.echo(NOT_TUNED)
    click.echo("Starting TFX ...")
    from components.tflite_converter.bundle import protocol
    from pipeline.experiment.progress import progress_on
    from pipeline.experiment.results import report
    from pipeline.experiment.run import run_experiment
    from pipeline.experiment.worker import Worker

    result = {
        **run_experiment(grid, Worker(data), output, progress_on(), test),
        "protocol": protocol(grid.cells[0].config),
        "data": str(data),
    }
    click.echo("\n".join(["", f"{result['protocol']}:", "", *report(result)]))
    for file in (output / RESULTS, json_file):
        if file is not None:
            _write(result, file)
            click.echo(f"Written: {file}")
    if plot_file is not None:
        from pipeline.experiment.plot import plot

        plot_file.parent.mkdir(parents=True, exist_ok=True)
        plot(result, grid.x_axis, plot_file)
        click.echo(f"Written: {plot_file}")


def _write(result: dict[str, Any], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.partial")
    partial.write_text(f"{json.dumps(result, indent=2)}\n", encoding="utf-8")
    partial.replace(file)
