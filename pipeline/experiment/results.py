"""What the trainings of a grid come to: rates chosen, means and deviations, a table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.text_table import table_lines
from pipeline.experiment.grid import Grid

DIVERGED = "diverged"
# The one metric that is better the smaller it is.
_SMALLER_IS_BETTER = "mean_rank_"


@dataclass(frozen=True)
class Trained:
    """One training.

    Attributes:
      cell: index of the cell.
      learning_rate: that of the training.
      seed: that of the training.
      result: what the training wrote; with the key `DIVERGED`, a message, if the loss
        was no longer finite, else with ``best_epoch``, ``metrics`` (those of eval at
        that epoch), ``num_weights``, ``stopped_early``, ``eval_examples``, ``seconds``
        and ``epochs``.
    """

    cell: int
    learning_rate: float
    seed: int
    result: Mapping[str, Any]


def choose_rate(metric: str, trainings: Sequence[Trained]) -> float | None:
    """The rate with the best mean over the seeds; of equal ones, the first.

    A rate with which a training diverged is not chosen.

    Args:
      metric: of eval.
      trainings: of one cell.

    Returns:
      None if there is no such rate.

    Raises:
      ValueError: if the metric is not one of eval.
    """
    if not metric.endswith("_eval"):
        raise ValueError(f"a rate is chosen on eval alone. Received: {metric}")
    best: float | None = None
    best_value = -math.inf
    for rate in dict.fromkeys(t.learning_rate for t in trainings):
        results = [t.result for t in trainings if t.learning_rate == rate]
        if any(DIVERGED in result for result in results):
            continue
        value = statistics.fmean(result["metrics"][metric] for result in results)
        value = -value if metric.startswith(_SMALLER_IS_BETTER) else value
        if value > best_value:
            best, best_value = rate, value
    return best


def summarize(
    grid: Grid,
    trainings: Sequence[Trained],
    tests: Mapping[tuple[int, int], Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Everything about an experiment, as JSON has it.

    Args:
      grid: what was trained.
      trainings: all of them.
      tests: by cell and seed, of the trainings with the chosen rate: ``metrics`` on
        test and, of one seed, ``tflite_bytes`` by quantization; None: not tested.

    Returns:
      The ``experiment``, ``metric``, ``seeds`` and ``cells``: of each its ``labels`` by
      axis, ``chosen_learning_rate``, ``metrics`` (mean and standard deviation over the
      seeds at that rate), ``learning_rates`` (the same of `Grid.metric`, by rate) and
      its ``trainings``.
    """
    cells = []
    for index, cell in enumerate(grid.cells):
        own = [t for t in trainings if t.cell == index]
        chosen = choose_rate(grid.metric, own)
        found = []
        for training in own:
            row = {
                "learning_rate": training.learning_rate,
                "seed": training.seed,
                "chosen": training.learning_rate == chosen,
                **training.result,
            }
            if row["chosen"] and tests is not None:
                row["test"] = tests[index, training.seed]
            found.append(row)
        cells.append(
            {
                "labels": dict(zip(grid.axes, cell.labels, strict=True)),
                "chosen_learning_rate": chosen,
                **_chosen([row for row in found if row["chosen"]]),
                "learning_rates": [
                    {"learning_rate": rate, **_of_rate(grid.metric, own, rate)}
                    for rate in dict.fromkeys(t.learning_rate for t in own)
                ],
                "trainings": found,
            }
        )
    return {
        "experiment": grid.name,
        "axes": list(grid.axes),
        "metric": grid.metric,
        "seeds": list(grid.seeds),
        "tested": tests is not None,
        "cells": cells,
    }


def _chosen(trainings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the seeds of the trainings with a cell's chosen rate."""
    if not trainings:
        return {"num_weights": None, "metrics": {}}
    tests = [training.get("test", {}) for training in trainings]
    values = [
        {**training["metrics"], **test.get("metrics", {})}
        for training, test in zip(trainings, tests, strict=True)
    ]
    sizes = {k: v for test in tests for k, v in test.get("tflite_bytes", {}).items()}
    names = [name for name in values[0] if all(name in value for value in values)]
    return {
        "num_weights": trainings[0]["num_weights"],
        "eval_examples": trainings[0]["eval_examples"],
        "metrics": {name: _mean([value[name] for value in values]) for name in names},
        **({"tflite_bytes": sizes} if sizes else {}),
    }


def _of_rate(metric: str, own: Sequence[Trained], rate: float) -> dict[str, Any]:
    results = [t.result for t in own if t.learning_rate == rate]
    if any(DIVERGED in result for result in results):
        return {"mean": None, "standard_deviation": None}
    return _mean([result["metrics"][metric] for result in results])


def _mean(values: Sequence[float]) -> dict[str, Any]:
    several = len(values) > 1
    return {
        "mean": statistics.fmean(values),
        "standard_deviation": statistics.stdev(values) if several else None,
    }


def standard_error(cell: Mapping[str, Any], metric: str) -> float | None:
    """Of a hit rate, by the number of eval's examples alone; None of other metrics."""
    if not metric.startswith("hr_") or metric not in cell["metrics"]:
        return None
    share = cell["metrics"][metric]["mean"]
    return math.sqrt(share * (1 - share) / cell["eval_examples"])


def shown_metrics(result: Mapping[str, Any]) -> list[str]:
    """The metrics in the table: the chosen one with its sibling of one K, then test's.

    Args:
      result: of `summarize`.
    """
    metric: str = result["metric"]
    kind, _, rest = metric.partition("_")
    of_eval = [metric]
    if kind in ("hr", "ndcg"):
        of_eval = [f"hr_{rest}", f"ndcg_{rest}"]
    of_test = [name.removesuffix("eval") + "test" for name in of_eval]
    return [*of_eval, *of_test] if result["tested"] else of_eval


def report(result: Mapping[str, Any]) -> Iterator[str]:
    """The result of `summarize` as lines of text: a table, and what to mind."""
    shown = shown_metrics(result)
    cells = result["cells"]
    sizes = sorted({kind for cell in cells for kind in cell.get("tflite_bytes", {})})
    axes = result["axes"] or ["configuration"]
    bytes_of = [f"bytes of {kind.lower()} .tflite" for kind in sizes]
    rows = [(*axes, "rate", "epoch", *shown, "weights", *bytes_of)]
    for cell in cells:
        labels = list(cell["labels"].values()) or ["base"]
        rate = cell["chosen_learning_rate"]
        if rate is None:
            blank = [""] * (len(shown) + 1 + len(sizes))
            rows.append((*labels, DIVERGED, "", *blank))
            continue
        chosen = [t for t in cell["trainings"] if t["chosen"]]
        epoch = statistics.fmean(t["best_epoch"] for t in chosen)
        kept = cell.get("tflite_bytes", {})
        rows.append(
            (
                *labels,
                f"{rate:g}{'*' * _at_edge(cell)}",
                f"{epoch:.0f}",
                *(_with_deviation(cell["metrics"][name]) for name in shown),
                f"{cell['num_weights']:,}",
                *(f"{kept[kind]:,}" if kind in kept else "" for kind in sizes),
            )
        )
    yield from table_lines(rows)
    yield ""
    yield from _notes(result)


def _notes(result: Mapping[str, Any]) -> Iterator[str]:
    seeds = len(result["seeds"])
    if seeds > 1:
        yield f"Means and standard deviations over {seeds} seeds."
    else:
        yield "One seed: differences between cells may be chance."
    metric, cells = result["metric"], result["cells"]
    errors = [standard_error(cell, metric) for cell in cells]
    known = [error for error in errors if error is not None]
    if known:
        yield (
            f"The standard error of {metric} by the number of examples alone is "
            f"{max(known):.3f}."
        )
    tried = [cell["learning_rates"] for cell in cells]
    if any(len(rates) > 1 for rates in tried):
        yield f"Learning rates are chosen by {metric}."
        edges = sum(_at_edge(cell) for cell in cells)
        if edges:
            yield (
                f"* the smallest or largest of those tried ({edges} of {len(cells)} "
                "cells): one beyond it may be better."
            )
    running = [
        t
        for cell in cells
        for t in cell["trainings"]
        if t["chosen"] and not t["stopped_early"]
    ]
    if running:
        yield (
            f"{len(running)} chosen trainings ran for all train.num_epochs: they may "
            "still have become better."
        )
    lost = sum(DIVERGED in t for cell in cells for t in cell["trainings"])
    if lost:
        yield f"{lost} trainings diverged; their rates are not chosen."


def _at_edge(cell: Mapping[str, Any]) -> bool:
    values = [rate["learning_rate"] for rate in cell["learning_rates"]]
    edges = (min(values), max(values))
    return len(values) > 1 and cell["chosen_learning_rate"] in edges


def _with_deviation(value: Mapping[str, float | None]) -> str:
    deviation = value["standard_deviation"]
    return f"{value['mean']:.4f}" + ("" if deviation is None else f" ± {deviation:.4f}")
