"""Accuracy of baselines on the very examples that models are tested on.

``python -m benchmarks.baselines --help`` tells more.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import numpy.typing as npt

from benchmarks import ranking
from benchmarks.activities import Activities
from benchmarks.models import Baseline, ItemCosine, Markov, Popularity
from components.text_table import table_lines
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import load_config

if TYPE_CHECKING:
    from benchmarks.examples import EvaluationSet

Ints = npt.NDArray[np.integer]

MODELS: Mapping[str, Callable[[Activities, int], Baseline]] = {
    "popularity": Popularity,
    "markov": Markov,
    "markov_5": lambda activities, items: Markov(activities, items, steps=5),
    "item_cosine": ItemCosine,
}
SEEN = ("timeline", "context", "kept")
# Length of the lists that coverage and popularity are measured on.
TOP = 10
FITS = {"train": ("train",), "train+eval": ("train", "eval")}

_BATCH = 256


@dataclass(frozen=True)
class Tested:
    """What the baselines answered to the test examples.

    Items are numbers, places in `items`; -1 is one that it does not have.

    Attributes:
      items: raw ids of the catalogue, sorted.
      counts: int64 ``[items]``, examples that were counted with each as label.
      activities: how many were counted.
      labels: int64 ``[examples]``.
      ranks: by model int64 ``[examples]``, 1 for the best.
      top: by model int64 ``[examples, TOP]``, the best items in no order.
    """

    items: npt.NDArray[Any]
    counts: Ints
    activities: int
    labels: Ints
    ranks: dict[str, Ints]
    top: dict[str, Ints]


def answers_of(
    model: Baseline, examples: EvaluationSet, num_items: int, seen: str
) -> tuple[Ints, Ints]:
    """What a baseline answers to each test example.

    Args:
      model: the baseline.
      examples: what to test on.
      num_items: in the catalogue.
      seen: what is left out, one of ``SEEN``: all earlier items of the user, those of
        the context, or none.

    Returns:
      The labels' ranks int64 ``[examples]``, and the best items int64
      ``[examples, TOP]`` in no order, -1 where there are not so many.
    """
    left_out = {"timeline": examples.histories, "context": examples.contexts}.get(seen)
    ranks, top = [], []
    for begin in range(0, len(examples.labels), _BATCH):
        batch = slice(begin, begin + _BATCH)
        excluded = None
        if left_out is not None:
            excluded = ranking.excluded_items(left_out[batch], num_items)
        scores = model.scores(examples.histories[batch])
        ranks.append(ranking.label_ranks(scores, examples.labels[batch], excluded))
        top.append(ranking.top_items(scores, TOP, excluded))
    return np.concatenate(ranks), np.concatenate(top)


def fit_and_test(
    config: pb.RecommenderConfig, folder: Path, fit: str, seen: str
) -> Tested:
    """Fits all baselines and tests them.

    With ``fit="train"`` the activity before the last, eval's label, is in the history
    that a baseline answers to, but not in what it has counted, as with a trained model;
    ``"train+eval"`` counts it too.

    Args:
      config: the one that the examples were made with.
      folder: of the examples.
      fit: a key of ``FITS``.
      seen: one of ``SEEN``.

    Raises:
      UserError: if there are no examples, or they do not fit the configuration.
    """
    from benchmarks import examples

    fitted = [examples.read_columns(config, folder, name) for name in FITS[fit]]
    items = examples.catalogue(
        [examples.read_columns(config, folder, "catalogue"), *fitted]
    )
    counted = examples.activities(items, fitted)
    tested = examples.evaluation_set(
        items, examples.read_columns(config, folder, "test")
    )
    answers = {
        name: answers_of(make(counted, len(items)), tested, len(items), seen)
        for name, make in MODELS.items()
    }
    labels = [examples.item_numbers(items, part.label) for part in fitted]
    return Tested(
        items=items,
        counts=np.bincount(np.concatenate(labels), minlength=len(items)),
        activities=len(counted.item),
        labels=tested.labels,
        ranks={name: ranks for name, (ranks, _) in answers.items()},
        top={name: top for name, (_, top) in answers.items()},
    )


def evaluate(
    config: pb.RecommenderConfig, folder: Path, fit: str, seen: str
) -> dict[str, Any]:
    """Fits all baselines and tests them: `fit_and_test`, then `describe`."""
    return describe(fit_and_test(config, folder, fit, seen), config, fit, seen)


def describe(
    tested: Tested, config: pb.RecommenderConfig, fit: str, seen: str
) -> dict[str, Any]:
    """The numbers of tested baselines.

    Args:
      tested: what `fit_and_test` returned, with the other arguments.
      config: the one that the examples were made with.
      fit: a key of ``FITS``.
      seen: one of ``SEEN``.

    Returns:
      The protocol, the numbers of items, activities and test examples, and by model its
      metrics, whose names end in the split.
    """
    results = {}
    for name, ranks in tested.ranks.items():
        values = ranking.metrics(ranks, features.eval_top_k(config))
        top = tested.top[name]
        values[f"coverage_{TOP}"] = ranking.coverage(top, len(tested.items))
        values[f"popularity_ratio_{TOP}"] = ranking.popularity_ratio(
            top, tested.labels, tested.counts
        )
        results[name] = {f"{metric}_test": value for metric, value in values.items()}
    split = pb.Split.Name(config.data.split).lower().replace("_", "-")
    return {
        "protocol": f"{split} split, full ranking, seen={seen}, fit on {fit}",
        "items": len(tested.items),
        "activities": tested.activities,
        "test_examples": len(tested.labels),
        "models": results,
    }


def report(result: Mapping[str, Any]) -> list[str]:
    """The result of `evaluate` as lines of text."""
    models = result["models"]
    names = [name.removesuffix("_test") for name in next(iter(models.values()))]
    header = ["", *(_heading(name) for name in names)]
    rows = [
        [model, *(_number(name, value) for name, value in values.items())]
        for model, values in models.items()
    ]
    return [
        f"{result['protocol']}: {result['test_examples']:,} test examples, "
        f"{result['items']:,} items, {result['activities']:,} activities counted",
        *table_lines([header, *rows]),
    ]


@click.command(context_settings={"max_content_width": 88})
@click.option(
    "--config",
    "config_path",
    required=True,
    type=click.Path(path_type=Path),
    help="The model's configuration: it says how examples are cut.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder of the logs; the examples are made from it.",
)
@click.option(
    "--examples",
    "examples_folder",
    type=click.Path(path_type=Path),
    help="Instead of --data: what `pocketrec examples`, or a run, wrote.",
)
@click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE")
@click.option(
    "--fit",
    type=click.Choice(list(FITS)),
    default="train",
    show_default=True,
    help="The splits whose activities are counted. In the history that is asked for, "
    "eval's activity is always there.",
)
@click.option(
    "--seen",
    type=click.Choice(SEEN),
    default="timeline",
    show_default=True,
    help="What is left out: all earlier items of the user, those of the context, or "
    "none.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also writes the numbers to this file.",
)
def main(
    config_path: Path,
    data: Path | None,
    examples_folder: Path | None,
    overrides: tuple[str, ...],
    fit: str,
    seen: str,
    json_file: Path | None,
) -> None:
    """Accuracy of baselines on the very examples that models are tested on.

    Popularity, a first-order Markov chain, a weighted one over five steps, and the
    cosine between items. Full ranking over the whole catalogue; ties count against the
    label.

    \b
    Example:
      python -m benchmarks.baselines --config configs/movielens_100k.pbtxt \\
          --data ml-100k --json baselines.json
    """
    if (data is None) == (examples_folder is None):
        raise click.UsageError("Give one of --data and --examples.")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore", FutureWarning)
    try:
        config = load_config(config_path, overrides)
        if examples_folder is not None:
            result = evaluate(config, examples_folder, fit, seen)
        else:
            result = _evaluate_data(config, str(data), fit, seen)
    except UserError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(report(result)))
    if json_file is not None:
        text = json.dumps({**result, "config": str(config_path)}, indent=2)
        json_file.write_text(f"{text}\n", encoding="utf-8")


def _evaluate_data(
    config: pb.RecommenderConfig, data: str, fit: str, seen: str
) -> dict[str, Any]:
    from components.timeline_example_gen.generate import generate_examples

    with tempfile.TemporaryDirectory() as folder:
        generate_examples(config, data, folder)
        return evaluate(config, Path(folder), fit, seen)


def _heading(metric: str) -> str:
    kind, _, k = metric.partition("_")
    return {
        "hr": f"HR@{k}",
        "ndcg": f"NDCG@{k}",
        "mrr": "MRR",
        "mean": "mean rank",
        "coverage": f"coverage@{k}",
        "popularity": f"popularity ratio@{k.removeprefix('ratio_')}",
    }[kind]


def _number(metric: str, value: float) -> str:
    return f"{value:.1f}" if metric.startswith("mean_rank") else f"{value:.4f}"


if __name__ == "__main__":
    main()
