"""Runs a grid: examples and Transform once per configuration of theirs, then trainings.

What is done already is not done again: each piece of work has a folder named by a
digest of all that it depends on, which is there as a whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from components.lock import locked
from configs import recommender_pb2 as pb
from configs.errors import UserError
from pipeline.experiment.grid import Grid, cell_name, training_config
from pipeline.experiment.progress import Progress
from pipeline.experiment.results import DIVERGED, Trained, choose_rate, summarize

RESULT = "result.json"
_PARTIAL = ".partial-"


class Work(Protocol):
    """What `worker.Worker` does; tests put another in its place."""

    def examples_key(self, config: pb.RecommenderConfig) -> str: ...

    def transform_key(self, config: pb.RecommenderConfig) -> str: ...

    def training_key(self, config: pb.RecommenderConfig) -> str: ...

    def test_key(self) -> str: ...

    def make_examples(self, config: pb.RecommenderConfig, output: Path) -> None: ...

    def transform(
        self, config: pb.RecommenderConfig, examples: Path, output: Path
    ) -> None: ...

    def train(
        self,
        config: pb.RecommenderConfig,
        examples: Path,
        transformed: Path,
        output: Path,
        report: Callable[[str], None],
    ) -> dict[str, Any]: ...

    def test(
        self, config: pb.RecommenderConfig, transformed: Path, training: Path
    ) -> dict[str, float]: ...

    def tflite_bytes(
        self, config: pb.RecommenderConfig, transformed: Path, training: Path
    ) -> dict[str, int]: ...


@dataclass(frozen=True)
class _Job:
    """One training and where its pieces lie."""

    cell: int
    name: str
    learning_rate: float
    seed: int
    config: pb.RecommenderConfig
    examples: Path
    transformed: Path
    training: Path

    @property
    def result(self) -> Path:
        return self.training / RESULT


def run_experiment(
    grid: Grid, work: Work, output: Path, progress: Progress, test: bool = False
) -> dict[str, Any]:
    """Trains what has not been trained yet.

    Args:
      grid: what to train.
      work: does it.
      output: folder of all results.
      progress: is told how far it is.
      test: also measure the trainings with the chosen rates on test, and the sizes of
        their ``.tflite`` files.

    Returns:
      What `results.summarize` returns.

    Raises:
      UserError: for bad input, or if another process works in the same folder.
    """
    output.mkdir(parents=True, exist_ok=True)
    with locked(str(output), "output"):
        for left in output.glob(f"*/{_PARTIAL}*"):
            shutil.rmtree(left)
        jobs = list(_jobs(grid, work, output))
        progress.start(len(jobs), sum(job.result.is_file() for job in jobs))
        trainings = []
        for job in jobs:
            if not job.result.is_file():
                _train(job, work, progress, grid.metric)
            result = _read(job.result)
            trainings.append(Trained(job.cell, job.learning_rate, job.seed, result))
        tests = None
        if test:
            tests = _tests(grid, jobs, trainings, work, progress)
        progress.close()
    return summarize(grid, trainings, tests)


def _jobs(grid: Grid, work: Work, output: Path) -> Iterator[_Job]:
    cells = zip(grid.cells, grid.learning_rates, strict=True)
    for index, (cell, rates) in enumerate(cells):
        examples = _digest(work.examples_key(cell.config))
        transform = _digest(examples, work.transform_key(cell.config))
        for rate in rates:
            for seed in grid.seeds:
                config = training_config(cell, rate, seed)
                name = cell_name(grid.axes, cell.labels)
                yield _Job(
                    index,
                    f"{name}, rate {rate:g}, seed {seed}",
                    rate,
                    seed,
                    config,
                    output / "examples" / examples,
                    output / "transforms" / transform,
                    output
                    / "trainings"
                    / _digest(transform, work.training_key(config)),
                )


def _train(job: _Job, work: Work, progress: Progress, metric: str) -> None:
    _prepare(job, work, progress)
    progress.begin(job.name)
    with _new(job.training) as folder:
        result = work.train(
            job.config, job.examples, job.transformed, folder, progress.detail
        )
        result = {"training": job.name, **result}
        (folder / RESULT).write_text(json.dumps(result, indent=2), encoding="utf-8")
    progress.end(_outcome(result, metric))


def _outcome(result: Mapping[str, Any], metric: str) -> str:
    if DIVERGED in result:
        return DIVERGED
    return (
        f"{metric} {result['metrics'][metric]:.4f}, best epoch {result['best_epoch']} "
        f"of {len(result['epochs'])}"
    )


def _prepare(job: _Job, work: Work, progress: Progress) -> None:
    """Makes what the training reads, unless it is there."""
    if not job.examples.is_dir():
        progress.note(f"{job.name}: making examples ...")
        with _new(job.examples) as folder:
            work.make_examples(job.config, folder)
    if not job.transformed.is_dir():
        progress.note(f"{job.name}: Transform ...")
        with _new(job.transformed) as folder:
            work.transform(job.config, job.examples, folder)


def _tests(
    grid: Grid,
    jobs: list[_Job],
    trainings: list[Trained],
    work: Work,
    progress: Progress,
) -> dict[tuple[int, int], dict[str, Any]]:
    """By cell and seed, of the trainings with the chosen rates."""
    tests: dict[tuple[int, int], dict[str, Any]] = {}
    for cell in range(len(grid.cells)):
        chosen = choose_rate(grid.metric, [t for t in trainings if t.cell == cell])
        own = [j for j in jobs if j.cell == cell and j.learning_rate == chosen]
        for index, job in enumerate(own):
            tests[cell, job.seed] = {
                "metrics": _once("test", work.test, job, work, progress)
            }
            # A seed does not change the size.
            if index == 0:
                tests[cell, job.seed]["tflite_bytes"] = _once(
                    "tflite", work.tflite_bytes, job, work, progress
                )
    return tests


def _once(
    what: str,
    measure: Callable[[pb.RecommenderConfig, Path, Path], Mapping[str, Any]],
    job: _Job,
    work: Work,
    progress: Progress,
) -> dict[str, Any]:
    """What a file in the training's folder says; measured if there is none."""
    file = job.training / f"{what}-{_digest(work.test_key())}.json"
    if not file.is_file():
        _prepare(job, work, progress)
        progress.note(f"{job.name}: {what} ...")
        measured = measure(job.config, job.transformed, job.training)
        partial = file.with_name(f"{_PARTIAL}{file.name}")
        partial.write_text(json.dumps(measured, indent=2), encoding="utf-8")
        partial.replace(file)
    return _read(file)


def _read(file: Path) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{file}: is no JSON, expected what an earlier run wrote: remove it"
        ) from error
    return result


@contextlib.contextmanager
def _new(folder: Path) -> Iterator[Path]:
    """A folder to write into, which gets its name when all is written."""
    partial = folder.with_name(f"{_PARTIAL}{folder.name}")
    partial.mkdir(parents=True)
    try:
        yield partial
        # Whatever is left of it without a result.
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    # Interrupts too: nothing half-written stays.
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
