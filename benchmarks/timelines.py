"""How fast examples are made, and in how much memory, beside the plain way.

``python -m benchmarks.timelines --help`` tells more.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from benchmarks.measure import measure
from components.text_table import table_lines
from configs.errors import UserError
from data.synthesize import SynthesisError, synthesize
from data.synthetic_world import WorldSize

SIZES = (100_000, 1_000_000, 25_000_000)
CONFIG = Path(__file__).with_name("timelines.pbtxt")

_HEADINGS = (
    "ratings",
    "",
    "seconds",
    "CPU s",
    "peak MiB",
    "output MB",
    "examples/s",
    "start-up s",
    "load",
)

# How each way is called, and what makes its call: see `measure.measure`.
WAYS = {
    "baseline": "benchmarks.timelines:prepare_baseline",
    "ours": "benchmarks.timelines:prepare_ours",
}


def prepare_ours(
    data: str, output: str, shards: int, with_tfx: bool
) -> Callable[[], int]:
    """Gives a call that makes all examples with our component's function."""
    if with_tfx:
        importlib.import_module("components.timeline_example_gen.component")
    from components.timeline_example_gen.generate import generate_examples
    from configs.loader import load_config

    config = load_config(CONFIG, [f"data.num_shards={shards}"])

    def call() -> int:
        examples = generate_examples(config, data, output)["examples"]
        return sum(examples.values())

    return call


def prepare_baseline(
    data: str, output: str, shards: int, with_tfx: bool
) -> Callable[[], int]:
    """Gives a call that makes the same examples the plain way, in one file a split."""
    from benchmarks.plain_examples import write_examples

    del shards, with_tfx
    return lambda: write_examples(data, output)


def world_of(ratings: int, seed: int) -> WorldSize:
    """A world whose numbers of users and items go about as in the MovieLens sets."""
    users, items = max(1, ratings // 150), max(20, round(12 * ratings**0.5))
    return WorldSize(users=users, items=items, ratings=ratings, seed=seed)


def compare(
    sizes: Sequence[int],
    baseline_up_to: int | None,
    shards: int,
    with_tfx: bool,
    seed: int,
    work: Path,
) -> dict[str, Any]:
    """Measures both ways on synthetic data of some sizes.

    Args:
      sizes: numbers of ratings.
      baseline_up_to: the largest size of which the baseline is measured; None: of all.
      shards: files per split; 0: by the size of the data.
      with_tfx: load TFX for ours, as the component does.
      seed: of the data.
      work: folder for the data, which stays, and for the examples, which do not.

    Returns:
      The ``machine``, ``seed``, ``shards`` and ``with_tfx``; ``measurements``: one for
      each size and way.

    Raises:
      UserError: if the data cannot be made.
      RuntimeError: if a way fails, or the ways make different numbers of examples.
    """
    measurements = []
    for ratings in sorted(set(sizes)):
        data = _data(ratings, seed, work)
        number: int | None = None
        for way in WAYS:
            skipped = baseline_up_to is not None and ratings > baseline_up_to
            if way == "baseline" and skipped:
                continue
            click.echo(f"{ratings:,} ratings, {way} ...", err=True)
            measured = _measure(way, data, work / "examples", shards, with_tfx)
            number = number or measured["examples"]
            if measured["examples"] != number:
                raise RuntimeError(
                    f"{way} made {measured['examples']:,} examples of {data}. Expected "
                    f"{number:,}"
                )
            measurements.append({"ratings": ratings, "way": way, **measured})
    return {
        "machine": {
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
        },
        "seed": seed,
        "shards": shards,
        "with_tfx": with_tfx,
        "measurements": measurements,
    }


def _data(ratings: int, seed: int, work: Path) -> Path:
    """The folder of a data set, which is made unless it is there."""
    folder = work / "data" / f"{ratings}_seed_{seed}"
    if not (folder / "ratings.dat").exists():
        click.echo(f"{ratings:,} ratings, making them ...", err=True)
        try:
            synthesize(world_of(ratings, seed), "ml-1m", folder, force=True)
        except (SynthesisError, ValueError) as error:
            raise UserError(f"{ratings} ratings: {error}") from error
    return folder


def _measure(
    way: str, data: Path, output: Path, shards: int, with_tfx: bool
) -> dict[str, Any]:
    shutil.rmtree(output, ignore_errors=True)
    load = os.getloadavg()[0]
    try:
        usage = measure(WAYS[way], str(data), str(output), shards, with_tfx)
        sizes = [file.stat().st_size for file in output.glob("Split-*/*")]
    finally:
        shutil.rmtree(output, ignore_errors=True)
    return {
        "examples": usage.result,
        "seconds": usage.seconds,
        "cpu_seconds": usage.cpu_seconds,
        "peak_bytes": usage.peak_bytes,
        "output_bytes": sum(sizes),
        "startup_seconds": usage.startup_seconds,
        "load_before": load,
    }


def report(result: Mapping[str, Any]) -> Iterator[str]:
    """The result of `compare` as lines of text."""
    machine = result["machine"]
    yield (
        f"{machine['system']}, {machine['processors']} processors, Python "
        f"{machine['python']}"
    )
    yield ""
    rows: list[tuple[str, ...]] = [_HEADINGS]
    measurements = result["measurements"]
    for ratings in dict.fromkeys(m["ratings"] for m in measurements):
        by_way = {m["way"]: m for m in measurements if m["ratings"] == ratings}
        rows += [_row(measured) for measured in by_way.values()]
        if len(by_way) == len(WAYS):
            rows.append(_ratios(ratings, by_way["baseline"], by_way["ours"]))
    yield from table_lines(rows)
    ours = [m for m in measurements if m["way"] == "ours"]
    for small, large in pairwise(ours):
        times = {
            name: large[name] / small[name]
            for name in ("ratings", "seconds", "cpu_seconds", "peak_bytes")
        }
        yield ""
        yield (
            f"ours, {small['ratings']:,} to {large['ratings']:,} ratings "
            f"(times {times['ratings']:.1f}): seconds times {times['seconds']:.1f}, "
            f"CPU seconds times {times['cpu_seconds']:.1f}, peak memory times "
            f"{times['peak_bytes']:.1f}"
        )


def _row(measured: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{measured['ratings']:,}",
        measured["way"],
        f"{measured['seconds']:.1f}",
        f"{measured['cpu_seconds']:.1f}",
        f"{measured['peak_bytes'] / 2**20:,.0f}",
        f"{measured['output_bytes'] / 1e6:,.1f}",
        f"{measured['examples'] / measured['seconds']:,.0f}",
        f"{measured['startup_seconds']:.1f}",
        f"{measured['load_before']:.1f}",
    )


def _ratios(
    ratings: int, baseline: Mapping[str, Any], ours: Mapping[str, Any]
) -> tuple[str, ...]:
    ratios = [
        f"{baseline[name] / ours[name]:.2f}"
        for name in ("seconds", "cpu_seconds", "peak_bytes", "output_bytes")
    ]
    return (f"{ratings:,}", "baseline / ours", *ratios, "", "", "")


def plot(result: Mapping[str, Any], file: Path) -> None:
    """Draws time and memory over the number of ratings, as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullLocator

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = (
        ("seconds", 1, "time to the last file (s)"),
        ("peak_bytes", 2**20, "peak memory (MiB)"),
    )
    for axes, (name, unit, label) in zip(figure.subplots(1, 2), panels, strict=True):
        for way, marker in zip(WAYS, "so", strict=True):
            measured = [m for m in result["measurements"] if m["way"] == way]
            sizes = [m["ratings"] for m in measured]
            values = [m[name] / unit for m in measured]
            axes.plot(sizes, values, marker=marker, label=way)
            for size, value in zip(sizes, values, strict=True):
                axes.annotate(
                    f"{value:,.3g}" if value < 100 else f"{value:,.0f}",
                    (size, value),
                    xytext=(0, 7),
                    textcoords="offset points",
                    ha="center",
                )
        axes.set(xscale="log", yscale="log", xlabel="ratings", ylabel=label)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.margins(x=0.1, y=0.15)
        axes.grid(alpha=0.3)
        axes.legend()
    machine = result["machine"]
    figure.suptitle(f"TimelineExampleGen, {machine['processors']} processors")
    figure.savefig(file, format="png", dpi=150)


def require_matplotlib() -> None:
    """Refuses to draw without matplotlib, before anything is measured.

    Raises:
      UserError: with what to install.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError(
            "--plot needs matplotlib, which is not installed. Run: pip install "
            '"pocketrec[benchmarks]" (in a checkout: pip install matplotlib)'
        )


@click.command(context_settings={"max_content_width": 88})
@click.option(
    "--size",
    "sizes",
    type=click.IntRange(min=1_000),
    multiple=True,
    default=SIZES,
    show_default=True,
    help="Number of ratings to make examples of; may be given several times.",
)
@click.option(
    "--baseline-up-to",
    type=click.IntRange(min=0),
    help="The baseline is measured up to this size only.  [default: at all sizes]",
)
@click.option(
    "--shards",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Files per split that ours makes; 0: by the size of the data. The baseline "
    "makes one.",
)
@click.option(
    "--with-tfx",
    is_flag=True,
    help="Load TFX for ours, as a pipeline does: its memory is counted then.",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/timelines"),
    show_default=True,
    help="Folder for the data, which are made once, and for examples, which are "
    "deleted when they have been measured.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Of the data.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also writes the numbers to this file.",
)
@click.option(
    "--plot",
    "plot_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also draws time and memory over the size, as a PNG file; needs matplotlib.",
)
def main(
    sizes: tuple[int, ...],
    baseline_up_to: int | None,
    shards: int,
    with_tfx: bool,
    work: Path,
    seed: int,
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Time and memory of TimelineExampleGen beside a plain program.

    Both make the same examples of the same synthetic ratings, by the configuration
    benchmarks/timelines.pbtxt. The baseline is what a tutorial would write: pandas, a
    loop over users and activities, one tf.train.Example per window. Each runs in a
    process of its own; seconds are counted from the end of its imports to the last
    file, memory with the imports.

    \b
    Examples:
      python -m benchmarks.timelines --json timelines.json --plot timelines.png
      python -m benchmarks.timelines --size 1000000 --size 25000000 \\
          --baseline-up-to 1000000
    """
    try:
        if plot_file is not None:
            require_matplotlib()
        result = compare(sizes, baseline_up_to, shards, with_tfx, seed, work)
    except UserError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(report(result)))
    if json_file is not None:
        json_file.write_text(f"{json.dumps(result, indent=2)}\n", encoding="utf-8")
    if plot_file is not None:
        plot(result, plot_file)


if __name__ == "__main__":
    main()
