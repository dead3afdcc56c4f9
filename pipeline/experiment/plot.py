"""Draws an experiment: its cells with error bars, and their learning curves."""

from __future__ import annotations

import importlib.util
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.errors import UserError
from pipeline.experiment.grid import cell_name
from pipeline.experiment.results import standard_error

_LINES = ("-", "--", ":", "-.")
_CHARACTERS_IN_A_ROW = 50
_MARKERS = "osD^vP*X"


def require_matplotlib() -> None:
    """Refuses to draw without matplotlib, before anything is trained.

    Raises:
      UserError: with what to install.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError(
            "--plot needs matplotlib, which is not installed. Run: pip install "
            '"pocketrec[benchmarks]" (in a checkout: pip install matplotlib)'
        )


def plot(result: Mapping[str, Any], x_axis: int | None, file: Path) -> None:
    """Draws, as a PNG file.

    Left, the metric of each cell at its chosen learning rate: the values of one axis
    side by side, a series for each combination of the others, with bars of one standard
    deviation over the seeds, or of one standard error by the number of examples where
    there is one seed. Right, the metric over the epochs of the same trainings, their
    mean as long as all seeds went on.

    Args:
      result: of `results.summarize`.
      x_axis: the axis whose values stand side by side; None without axes.
      file: the file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    cells_axes, curves_axes = figure.subplots(1, 2)
    series = _series(result["cells"], result["axes"], x_axis)
    labels = list(dict.fromkeys(x for points in series.values() for x in points))
    metric, several = result["metric"], len(result["seeds"]) > 1
    named: set[str] = set()
    for number, (name, points) in enumerate(series.items()):
        shift = (number - (len(series) - 1) / 2) * min(0.08, 0.6 / len(series))
        marker = _MARKERS[number // 10 % len(_MARKERS)]
        for label, cell in points.items():
            place = labels.index(label)
            # A color for each series; where there is one, for each of its points.
            color = f"C{(number if len(series) > 1 else place) % 10}"
            style = _LINES[place % len(_LINES)] if len(series) > 1 else "-"
            curve = _curve(cell, metric)
            epochs = range(1, len(curve) + 1)
            curves_axes.plot(epochs, curve, style, color=color, alpha=0.8)
            if metric not in cell["metrics"]:
                continue
            value = cell["metrics"][metric]
            error = value["standard_deviation"]
            if error is None:
                error = standard_error(cell, metric) or 0.0
            cells_axes.errorbar(
                *(place + shift, value["mean"], error),
                fmt=marker,
                color=color,
                capsize=3,
                label=None if name in named else name,
            )
            named.add(name)
    what = f"standard deviation over {len(result['seeds'])} seeds"
    if not several:
        what = "standard error by the number of examples, one seed"
    axis = "" if x_axis is None else result["axes"][x_axis]
    cells_axes.set(xlabel=axis, ylabel=metric, title=f"bars: {what}")
    cells_axes.set_xticks(range(len(labels)), labels)
    if sum(map(len, labels)) > _CHARACTERS_IN_A_ROW:
        for text in cells_axes.get_xticklabels():
            text.set(rotation=25, ha="right", rotation_mode="anchor")
    cells_axes.margins(x=0.15)
    curves_axes.set(xlabel="epoch", ylabel=metric, title="at the chosen learning rates")
    if len(labels) > 1:
        for number, label in enumerate(labels):
            style, color = _LINES[number % len(_LINES)], "0.3"
            if len(series) == 1:
                style, color = "-", f"C{number % 10}"
            curves_axes.plot([], [], style, color=color, label=f"{axis} {label}")
        curves_axes.legend(fontsize="small")
    for axes in (cells_axes, curves_axes):
        axes.grid(alpha=0.3)
    if len(series) > 1:
        figure.legend(*cells_axes.get_legend_handles_labels(), loc="outside right")
    figure.suptitle(result["experiment"])
    figure.savefig(file, format="png", dpi=150)


def _series(
    cells: Sequence[Mapping[str, Any]], axes: Sequence[str], x_axis: int | None
) -> dict[str, dict[str, Mapping[str, Any]]]:
    """The cells by what the axes but one say, and by what that one says."""
    series: dict[str, dict[str, Mapping[str, Any]]] = {}
    for cell in cells:
        labels = list(cell["labels"].values())
        others = [number for number in range(len(axes)) if number != x_axis]
        name = cell_name([axes[n] for n in others], [labels[n] for n in others])
        x = "" if x_axis is None else labels[x_axis]
        series.setdefault(name, {})[x] = cell
    return series


def _curve(cell: Mapping[str, Any], metric: str) -> list[float]:
    """Mean of the metric over the seeds at each epoch that all of them had."""
    histories = [
        [epoch["metrics"][metric] for epoch in training["epochs"]]
        for training in cell["trainings"]
        if training["chosen"]
    ]
    return [statistics.fmean(values) for values in zip(*histories, strict=False)]
