"""Accuracy, size and time of whole runs, beside the baselines on the same examples.

``python -m benchmarks.accuracy --help`` tells more.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import numpy.typing as npt

from benchmarks import baselines, bootstrap, bundles, ranking
from components.text_table import table_lines
from components.tflite_converter.manifest import by_metric
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import load_config
from pocketrec_device import Bundle

if TYPE_CHECKING:
    from benchmarks.examples import Columns

Floats = npt.NDArray[np.floating]

METRICS = ("hr_10_test", "ndcg_10_test")
BEYOND_ACCURACY = ("coverage_10_test", "popularity_ratio_10_test")
# What the baselines count, as the models are trained on.
FIT = "train"

# The line that `pocketrec run` prints when a component has ended.
_ENDED = re.compile(r"\[ *\d+/\d+\] (\w+)  (\w+)  ([\d.]+) s")


@dataclass(frozen=True)
class Candidate:
    """A configuration to measure.

    Attributes:
      name: what the tables call it.
      path: of the configuration.
      overrides: ``path.to.field=value``.
      config: the two together.
    """

    name: str
    path: Path
    overrides: tuple[str, ...]
    config: pb.RecommenderConfig


def load_candidates(
    paths: Iterable[Path], overrides: Iterable[str], seeds: Iterable[int]
) -> list[Candidate]:
    """The configurations to measure, with each of the seeds.

    Args:
      paths: of the configurations.
      overrides: ``path.to.field=value``, for all of them.
      seeds: of the training; none: each configuration's own.

    Raises:
      UserError: if one is not allowed, two have one name, or their numbers could not be
        compared.
    """
    variants = [(f"-{seed}", [f"train.seed={seed}"]) for seed in seeds] or [("", [])]
    candidates: dict[str, Candidate] = {}
    for path in paths:
        for suffix, seeded in variants:
            added = (*overrides, *seeded)
            config = load_config(path, added)
            name = config.name + suffix
            if name in candidates:
                raise UserError(f"{path}: name: {name!r} is there already")
            if 10 not in features.eval_top_k(config):
                raise UserError(
                    f"{path}: eval.eval_top_k: {list(config.eval.eval_top_k)} is not "
                    "allowed. Expected 10 among them"
                )
            candidates[name] = Candidate(name, path, added, config)
    seen = {name: _seen(c.config) for name, c in candidates.items()}
    if len(set(seen.values())) > 1:
        raise UserError(f"model.seen: {seen} is not allowed. Expected one for all")
    return list(candidates.values())


def measure(
    candidates: Sequence[Candidate], data: Path, output: Path
) -> dict[str, Any]:
    """Tests the baselines, runs each configuration's pipeline.

    Args:
      candidates: see `load_candidates`.
      data: folder of the logs.
      output: folder of the runs.

    Returns:
      What `baselines.describe` returns; by name the ``runs``; by the configuration's
      name what `compare` returns of its runs, as ``configurations``.

    Raises:
      UserError: for bad input, if a run pushes nothing, or if it was tested on other
        examples than the baselines.
      RuntimeError: if a run's ranks are not those that its gate has judged.
    """
    from benchmarks.examples import read_columns
    from components.timeline_example_gen.generate import generate_examples

    config = candidates[0].config
    seen = _seen(config)
    with tempfile.TemporaryDirectory() as folder:
        generate_examples(config, str(data), folder)
        tested = baselines.fit_and_test(config, Path(folder), FIT, seen)
        expected = read_columns(config, Path(folder), "test")
    runs = {}
    ranks: dict[str, list[Floats]] = {}
    for candidate in candidates:
        components, version = run(candidate, data, output)
        examples = version / "training" / "examples"
        expect_same(
            candidate.name, read_columns(candidate.config, examples, "test"), expected
        )
        bundle = Bundle.load(version / "bundle")
        answers = bundles.answers(bundle, examples / "Split-test", baselines.TOP)
        if not np.array_equal(answers.users, expected.user):
            raise RuntimeError(f"{candidate.name}: its examples have changed")
        bundles.check_gate(
            candidate.name, answers.ranks, bundle.manifest["gates"]["tflite"]
        )
        top = bundles.item_numbers_of(answers.top, tested.items)
        runs[candidate.name] = {
            "configuration": candidate.config.name,
            "seed": candidate.config.train.seed,
            **describe(bundle),
            f"coverage_{baselines.TOP}_test": ranking.coverage(top, answers.num_items),
            f"popularity_ratio_{baselines.TOP}_test": ranking.popularity_ratio(
                top, tested.labels, tested.counts
            ),
            "milliseconds": answers.milliseconds,
            "components": components,
        }
        ranks.setdefault(candidate.config.name, []).append(answers.ranks)
    return {
        **baselines.describe(tested, config, FIT, seen),
        "bootstrap": {"resamples": bootstrap.RESAMPLES, "level": bootstrap.LEVEL},
        "runs": runs,
        "configurations": {
            name: compare(
                [run for run in runs.values() if run["configuration"] == name],
                np.stack(ranks[name]),
                tested.ranks,
                expected.user,
            )
            for name in ranks
        },
    }


def compare(
    runs: Sequence[Mapping[str, Any]],
    ranks: Floats,
    baseline_ranks: Mapping[str, npt.NDArray[np.integer]],
    users: npt.NDArray[Any],
) -> dict[str, Any]:
    """One configuration's runs together, beside the baseline that is best.

    Args:
      runs: as `measure` describes them, each with another seed.
      ranks: ``[runs, examples]``, of the .tflite files, infinite for a miss.
      baseline_ranks: by baseline ``[examples]``.
      users: ``[examples]``, whose each example is.

    Returns:
      ``seeds``; by metric the ``mean`` over them and its standard deviation ``std``
      (None of one seed), the strongest ``baseline`` and its ``baseline_value``, the
      ``difference`` with the interval's ends ``low`` and ``high``, and whether it
      ``excludes_zero``; the means of coverage, popularity ratio and milliseconds; the
      largest sizes in bytes.
    """
    result: dict[str, Any] = {"seeds": [run["seed"] for run in runs]}
    for metric in METRICS:
        kind, k, _ = metric.split("_")
        gains = ranking.gains(ranks, kind, int(k))  # [runs, examples]
        values = gains.mean(axis=1)
        others = {
            name: ranking.gains(of_baseline, kind, int(k))
            for name, of_baseline in baseline_ranks.items()
        }
        strongest = max(others, key=lambda name: float(others[name].mean()))
        found = bootstrap.paired_difference(gains, others[strongest], users)
        result[metric] = {
            "mean": float(values.mean()),
            "std": float(values.std(ddof=1)) if len(values) > 1 else None,
            "baseline": strongest,
            "baseline_value": float(others[strongest].mean()),
            "difference": found.mean,
            "low": found.low,
            "high": found.high,
            "excludes_zero": found.excludes_zero,
        }
    for name in (*BEYOND_ACCURACY, "milliseconds"):
        result[name] = float(np.mean([run[name] for run in runs]))
    for name in ("model_bytes", "bundle_bytes"):
        result[name] = max(run[name] for run in runs)
    return result


def run(
    candidate: Candidate, data: Path, output: Path
) -> tuple[dict[str, dict[str, Any]], Path]:
    """Runs a pipeline as a user does.

    Returns:
      By component its state and seconds, and the folder of the pushed version.

    Raises:
      UserError: if nothing was pushed.
    """
    folder = output / candidate.config.name
    push = folder / f"push_{candidate.name}"
    command = [sys.executable, "-m", "pipeline.cli", "run"]
    command += ["--config", str(candidate.path), "--data", str(data)]
    command += ["--output", str(folder), "--push-destination", str(push)]
    for override in candidate.overrides:
        command += ["--set", override]
    click.echo(f"{candidate.name} ...", err=True)
    components = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            click.echo(line, err=True, nl=False)
            if ended := _ENDED.match(line):
                node, state, seconds = ended.groups()
                components[node] = {"state": state, "seconds": float(seconds)}
    if process.returncode:
        raise UserError(
            f"{candidate.path}: the run ended with exit code {process.returncode} and "
            "pushed nothing. Expected a model that passes the gates"
        )
    return components, push / "versions" / (push / "CURRENT").read_text().strip()


def describe(bundle: Bundle) -> dict[str, Any]:
    """Both gates' metrics and the sizes, from a pushed bundle."""
    gates = {
        gate: {name: row["value"] for name, row in by_metric(rows).items()}
        for gate, rows in bundle.manifest["gates"].items()
    }
    return {
        "protocol": bundle.manifest["protocol"],
        **gates,
        "quantization": bundle.manifest["quantization"],
        "model_bytes": bundle.files["model.tflite"].size,
        "bundle_bytes": sum(
            path.stat().st_size for path in bundle.path.rglob("*") if path.is_file()
        ),
    }


def expect_same(name: str, found: Columns, expected: Columns) -> None:
    """Refuses to compare numbers of different examples.

    Raises:
      UserError: naming the run whose users, labels or histories differ.
    """
    for column in ("user", "position", "label", "seen"):
        if not np.array_equal(getattr(found, column), getattr(expected, column)):
            raise UserError(
                f"{name}: its test examples differ in {column} from those of the "
                "baselines. Expected configurations that cut the same examples"
            )


def report(result: Mapping[str, Any]) -> Iterator[str]:
    """The result of `measure` as lines of text."""
    yield (
        f"{result['protocol']}: {result['test_examples']:,} test examples, "
        f"{result['items']:,} items"
    )
    yield ""
    yield from table_lines(list(_accuracy_rows(result)))
    yield ""
    yield from _comparison_lines(result)
    yield ""
    runs = result["runs"].values()
    nodes = next(iter(runs))["components"]
    yield from table_lines(
        [
            ("seconds", *result["runs"]),
            *(
                (node, *(_seconds(run["components"][node]) for run in runs))
                for node in nodes
            ),
            ("all", *(_all_seconds(run["components"].values()) for run in runs)),
        ]
    )


def _accuracy_rows(result: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Every baseline and every run."""
    yield (
        *("", "HR@10", "NDCG@10", "coverage", "popularity", "HR@10", "NDCG@10"),
        *("bytes of", "bytes of", "ms"),
    )
    yield (
        *("", ".tflite", ".tflite", "@10", "ratio@10", "SavedModel", "SavedModel"),
        *("model", "bundle", "per call"),
    )
    for name, values in result["models"].items():
        yield (name, *_metrics(values), *_beyond_accuracy(values), *[""] * 5)
    for name, run in result["runs"].items():
        yield (
            name,
            *_metrics(run["tflite"]),
            *_beyond_accuracy(run),
            *_metrics(run["saved_model"]),
            f"{run['model_bytes']:,}",
            f"{run['bundle_bytes']:,}",
            f"{run['milliseconds']:.3f}",
        )


def _comparison_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """Every configuration beside the strongest baseline of each metric."""
    drawing = result["bootstrap"]
    percent = f"{drawing['level']:.0%}".replace("%", " %")
    rows = [
        (
            *("", "metric", "seeds", "mean", "std", "baseline", "its value"),
            *("difference", f"{percent} interval", "excludes 0"),
        )
    ]
    for name, configuration in result["configurations"].items():
        for metric in METRICS:
            values = configuration[metric]
            rows.append(
                (
                    name,
                    metric,
                    str(len(configuration["seeds"])),
                    f"{values['mean']:.4f}",
                    "" if values["std"] is None else f"{values['std']:.4f}",
                    values["baseline"],
                    f"{values['baseline_value']:.4f}",
                    f"{values['difference']:+.4f}",
                    f"{values['low']:+.4f} to {values['high']:+.4f}",
                    "yes" if values["excludes_zero"] else "no",
                )
            )
    yield (
        "The .tflite file, mean over the seeds, beside the strongest baseline; paired "
        f"bootstrap over users, {drawing['resamples']:,} resamples"
    )
    yield from table_lines(rows)


def _seen(config: pb.RecommenderConfig) -> str:
    return pb.Seen.Name(config.model.seen).lower()


def _metrics(values: Mapping[str, float]) -> list[str]:
    return [f"{values[metric]:.4f}" for metric in METRICS]


def _beyond_accuracy(values: Mapping[str, float]) -> list[str]:
    coverage, ratio = (values[metric] for metric in BEYOND_ACCURACY)
    return [f"{coverage:.4f}", f"{ratio:.2f}"]


def _seconds(component: Mapping[str, Any]) -> str:
    note = " (cached)" if component["state"] == "cached" else ""
    return f"{component['seconds']:.1f}{note}"


def _all_seconds(components: Iterable[Mapping[str, Any]]) -> str:
    return f"{sum(component['seconds'] for component in components):.1f}"


@click.command(context_settings={"max_content_width": 88})
@click.option(
    "--config",
    "config_paths",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="A configuration to run; may be given several times.",
)
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of the logs.",
)
@click.option(
    "--seed",
    "seeds",
    type=click.IntRange(min=0),
    multiple=True,
    help="Trains with this seed; may be given several times. The examples stay the "
    "same.  [default: train.seed of the configuration]",
)
@click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/accuracy"),
    show_default=True,
    help="Folder of the artifacts; what has not changed is served from it.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also writes the numbers to this file.",
)
def main(
    config_paths: tuple[Path, ...],
    data: Path,
    seeds: tuple[int, ...],
    overrides: tuple[str, ...],
    output: Path,
    json_file: Path | None,
) -> None:
    """Accuracy, size and time of whole runs, beside the baselines.

    Each configuration's pipeline runs as `pocketrec run` runs it; the numbers are those
    of its gates on the test split, and the baselines are tested on the same examples,
    with the same items left out (`--set model.seen=KEPT --set
    train.leave_out_seen=false` for none). Each configuration's mean over the seeds is
    set beside the strongest baseline, with a 95 % interval of the difference from a
    paired bootstrap over users.

    \b
    Example:
      python -m benchmarks.accuracy --config configs/movielens_100k.pbtxt \\
          --config configs/movielens_100k_id_based.pbtxt --data ml-100k \\
          --seed 1 --seed 2 --seed 3
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore", FutureWarning)
    try:
        candidates = load_candidates(config_paths, overrides, seeds)
        result = measure(candidates, data, output)
    except UserError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(report(result)))
    if json_file is not None:
        text = json.dumps({**result, "data": str(data)}, indent=2)
        json_file.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
