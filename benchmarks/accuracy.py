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

from benchmarks import baselines
from components.text_table import table_lines
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import load_config
from pocketrec_device import Bundle

if TYPE_CHECKING:
    from benchmarks.examples import Columns

METRICS = ("hr_10_test", "ndcg_10_test")

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
      What `baselines.evaluate` returns, and by name the ``runs``.

    Raises:
      UserError: for bad input, if a run pushes nothing, or if it was tested on other
        examples than the baselines.
    """
    from benchmarks.examples import read_columns
    from components.timeline_example_gen.generate import generate_examples

    config = candidates[0].config
    with tempfile.TemporaryDirectory() as folder:
        generate_examples(config, str(data), folder)
        result = baselines.evaluate(config, Path(folder), "train", _seen(config))
        expected = read_columns(config, Path(folder), "test")
    runs = {}
    for candidate in candidates:
        components, version = run(candidate, data, output)
        found = read_columns(
            candidate.config, version / "training" / "examples", "test"
        )
        expect_same(candidate.name, found, expected)
        runs[candidate.name] = {
            "seed": candidate.config.train.seed,
            **describe(version / "bundle"),
            "components": components,
        }
    return {**result, "runs": runs}


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


def describe(folder: Path) -> dict[str, Any]:
    """Both gates' metrics and the sizes, from a pushed bundle."""
    bundle = Bundle.load(folder)
    gates = {
        gate: {row["metric"]: row["value"] for row in rows}
        for gate, rows in bundle.manifest["gates"].items()
    }
    return {
        "protocol": bundle.manifest["protocol"],
        **gates,
        "quantization": bundle.manifest["quantization"],
        "model_bytes": bundle.files["model.tflite"].size,
        "bundle_bytes": sum(
            path.stat().st_size for path in folder.rglob("*") if path.is_file()
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
    rows = [
        ("", "HR@10", "NDCG@10", "HR@10", "NDCG@10", "bytes of", "bytes of"),
        ("", ".tflite", ".tflite", "SavedModel", "SavedModel", "model", "bundle"),
    ]
    for name, values in result["models"].items():
        rows.append((name, *_metrics(values), "", "", "", ""))
    for name, run in result["runs"].items():
        sizes = f"{run['model_bytes']:,}", f"{run['bundle_bytes']:,}"
        metrics = *_metrics(run["tflite"]), *_metrics(run["saved_model"])
        rows.append((name, *metrics, *sizes))
    yield from table_lines(rows)
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


def _seen(config: pb.RecommenderConfig) -> str:
    return pb.Seen.Name(config.model.seen).lower()


def _metrics(values: Mapping[str, float]) -> list[str]:
    return [f"{values[metric]:.4f}" for metric in METRICS]


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
    of its gates on the test split, and the baselines are tested on the same examples.

    \b
    Example:
      python -m benchmarks.accuracy --config configs/movielens_100k.pbtxt \\
          --config configs/movielens_100k_id_based.pbtxt --data ml-100k
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
