"""How soon a warm start comes as far as training from scratch.

``python -m benchmarks.warm_start --help`` tells more.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.training import prepare
from components.text_table import table_lines
from components.trainer import names
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import config_to_text, load_config

CONFIG = Path(__file__).parent.parent / "configs" / "movielens_100k_id_based.pbtxt"
RATINGS = "u.data"
METRIC = "hr_10_eval"

# Epochs are compared, so all of them are run at one rate.
SAME = (
    "train.learning_rate_schedule=CONSTANT",
    "train.early_stopping_patience=0",
)


def without_newest(data: Path, share: float, output: Path) -> None:
    """Copies MovieLens-100K as it was before its newest ratings.

    Args:
      data: its folder.
      share: of the ratings that are left out.
      output: a new folder.
    """
    output.mkdir()
    for path in data.iterdir():
        if path.is_file() and path.name != RATINGS:
            shutil.copy(path, output)
    lines = (data / RATINGS).read_text().splitlines(keepends=True)
    times = np.array([int(line.split("\t")[3]) for line in lines])
    last = np.quantile(times, 1 - share)
    kept = [line for line, time in zip(lines, times, strict=True) if time <= last]
    (output / RATINGS).write_text("".join(kept))


def train(
    config: pb.RecommenderConfig, transformed: Path, run: Path, base: Path | None
) -> list[dict[str, float]]:
    """Trains; returns of each epoch its number and `METRIC`.

    Args:
      config: of the training.
      transformed: what `benchmarks.training.prepare` made.
      run: a new folder for the checkpoints.
      base: of an earlier training, see `components.trainer.warm_start`.
    """
    from components.trainer.trainer import train_model

    def files(split: str) -> list[str]:
        folder = transformed / "examples" / f"Split-{split}"
        return sorted(str(path) for path in folder.iterdir())

    done = train_model(
        config,
        train_files=files("train"),
        eval_files=files("eval"),
        catalogue_files=files("catalogue"),
        transform_output=str(transformed / "graph"),
        serving_model_dir="",
        model_run_dir=str(run),
        report=lambda line: click.echo(f"  {line}", err=True),
        export=False,
        base_model=None if base is None else str(base),
    )
    made = run / "base"
    made.mkdir()
    (made / names.BASE_CONFIG).write_text(config_to_text(config))
    shutil.copy(done.checkpoint, made / names.BASE_WEIGHTS)
    shutil.copytree(transformed / "graph", made / names.BASE_TRANSFORM)
    return [
        {"epoch": epoch.number, METRIC: epoch.metrics[METRIC]}
        for epoch in done.fit.epochs
    ]


def first_at(epochs: Sequence[Mapping[str, float]], goal: float) -> int | None:
    """The first epoch that is as good; None if none is."""
    for epoch in epochs:
        if epoch[METRIC] >= goal:
            return int(epoch["epoch"])
    return None


def compare(
    scratch: Sequence[Mapping[str, float]], warm: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    """The best that training from scratch comes to, and when each is there.

    Both see the same examples with the same batch size, so that steps are as epochs.

    Returns:
      ``goal``, and the epochs ``scratch_at`` and ``warm_at`` (None: never), and
      ``share``, the second by the first.
    """
    goal = max(epoch[METRIC] for epoch in scratch)
    scratch_at, warm_at = first_at(scratch, goal), first_at(warm, goal)
    return {
        "goal": goal,
        "scratch_at": scratch_at,
        "warm_at": warm_at,
        "share": warm_at and scratch_at and warm_at / scratch_at,
    }


def report(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Results as a table, a line for each seed."""
    rows = [("seed", METRIC, "from scratch", "warm start", "share")]
    for one in results:
        warm = one["warm_at"]
        rows.append(
            (
                str(one["seed"]),
                f"{one['goal']:.4f}",
                f"epoch {one['scratch_at']}",
                "never" if warm is None else f"epoch {warm}",
                "" if warm is None else f"{one['share']:.2f}",
            )
        )
    yield from table_lines(rows)


def draw(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Both curves of each seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    for index, one in enumerate(results):
        for what, colour in (("scratch", "tab:gray"), ("warm", "tab:orange")):
            label = {"scratch": "from scratch", "warm": "warm start"}[what]
            axes.plot(
                [epoch["epoch"] for epoch in one[what]],
                [epoch[METRIC] for epoch in one[what]],
                color=colour,
                label=label if index == 0 else None,
            )
    axes.set_xlabel("epoch")
    axes.set_ylabel("HR@10 on eval")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


@click.command(context_settings={"max_content_width": 88})
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=CONFIG,
    help="The model.  [default: configs/movielens_100k_id_based.pbtxt]",
)
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of MovieLens-100K.",
)
@click.option(
    "--new-share",
    type=click.FloatRange(0.001, 0.5),
    default=0.1,
    show_default=True,
    help="Share of the ratings that the earlier model does not know, the newest.",
)
@click.option("--epochs", type=click.IntRange(min=1), default=30, show_default=True)
@click.option("--seed", "seeds", type=int, multiple=True, default=(1,))
@click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--plot", "plot_file", type=click.Path(path_type=Path, dir_okay=False))
def main(
    config_path: Path,
    data: Path,
    new_share: float,
    epochs: int,
    seeds: tuple[int, ...],
    overrides: tuple[str, ...],
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Trains on all ratings, from scratch and from the weights of an earlier model.

    The earlier model was trained on all ratings but the newest. What is compared is the
    epoch in which each is as good on eval as training from scratch ever is.

    \b
    Example:
      python -m benchmarks.warm_start --data datasets/ml-100k --seed 1 --seed 2
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore", FutureWarning)
    lines = [*overrides, *SAME, f"train.num_epochs={epochs}"]
    results = []
    try:
        config = load_config(config_path, lines)
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            without_newest(data, new_share, work / "before")
            earlier = prepare(config_path, lines, work / "before", work / "earlier")
            later = prepare(config_path, lines, data, work / "later")
            for seed in seeds:
                config.train.seed = seed
                runs = work / f"seed-{seed}"
                config.train.warm_start = False
                click.echo(f"seed {seed}, all but the newest ratings:", err=True)
                train(config, earlier, runs / "earlier", None)
                click.echo(f"seed {seed}, all ratings, from scratch:", err=True)
                scratch = train(config, later, runs / "scratch", None)
                click.echo(f"seed {seed}, all ratings, warm start:", err=True)
                config.train.warm_start = True
                base = runs / "earlier" / "base"
                warm = train(config, later, runs / "warm", base)
                result = {"seed": seed, "scratch": scratch, "warm": warm}
                results.append({**result, **compare(scratch, warm)})
    except UserError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(report(results)))
    if plot_file is not None:
        draw(results, plot_file)
    if json_file is not None:
        json_file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
