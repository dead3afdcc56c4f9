"""The command line. Heavy imports happen inside the commands that need them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from data.download import download_command
from pipeline.device_commands import inspect_bundle, recommend
from pipeline.experiment.command import experiment
from pipeline.graph_command import graph
from pipeline.kubeflow_commands import kubeflow
from pipeline.options import (
    BEAM_OPTIONS,
    CONFIG,
    DATA,
    OUTPUT,
    PUSH_DESTINATION,
    SET,
    SPAN,
    VERBOSE,
    beam_args,
    with_span,
)
from pipeline.paths import expect_file, expect_folder, expect_new, expect_writable
from pipeline.quiet import quiet
from pipeline.retraining.commands import retrain, schedule, show_status
from pipeline.version_commands import rollback, versions

NOT_BLESSED_EXIT_CODE = 3


class _Group(click.Group):
    """Prints mistakes of the user as one line; everything else keeps its traceback."""

    def invoke(self, context: click.Context) -> Any:
        from pipeline.mistakes import user_error

        try:
            return super().invoke(context)
        # Which are the user's own is for user_error to tell; all others go on.
        except Exception as error:
            mistake = user_error(error)
            if mistake is None:
                raise
            raise click.ClickException(str(mistake)) from error


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
)
@click.version_option(package_name="pocketrec")
def main() -> None:
    """From activity logs to a recommender that runs on the device.

    \b
    A first run, on the sample data:
      pocketrec run --config configs/sample.pbtxt --data data/sample

    \b
    On MovieLens:
      pocketrec download ml-100k
      pocketrec run --config configs/movielens_100k.pbtxt --data datasets/ml-100k

    \b
    Ask what was pushed:
      pocketrec recommend --bundle runs/movielens_100k/push --history 50,172,181
    """


@main.command(short_help="Run the whole pipeline: logs in, a pushed bundle out.")
@CONFIG
@DATA
@SET
@OUTPUT
@PUSH_DESTINATION
@SPAN
@BEAM_OPTIONS
@click.option("--no-cache", is_flag=True, help="Runs every component again.")
@VERBOSE
def run(
    config_path: Path,
    data: Path,
    overrides: tuple[str, ...],
    output: Path | None,
    push_destination: str | None,
    span: str | None,
    beam_options: Path | None,
    no_cache: bool,
    verbose: bool,
) -> None:
    """Runs the whole pipeline: activities in, a pushed bundle out.

    Exits with 0 if the model was pushed, or is the current one already; with 3 if a
    gate refused it; with 1 for bad input.

    \b
    Examples:
      pocketrec run --config configs/sample.pbtxt --data data/sample
      pocketrec run --config configs/movielens_100k.pbtxt --data datasets/ml-100k \\
          --set train.num_epochs=5 --set model.hidden_layer_dims=64,32

    What has not changed since the last run with the same --output is not made again.
    """
    from configs.loader import load_config

    config = load_config(config_path, with_span(overrides, span))
    expect_folder(data)
    output = output or Path("runs") / config.name
    expect_writable(output)
    destination = push_destination or config.push.push_destination
    _prepare(verbose)
    from components.timeline_example_gen.fingerprint import data_fingerprint

    # TFX takes its time to start: what is wrong with the data is told before.
    fingerprint = data_fingerprint(config, str(data))
    options = beam_args(beam_options)
    click.echo("Starting TFX ...")
    from components.lock import locked
    from pipeline import local_runner, summary
    from pipeline.tuned import write_tuned_config

    destination = destination or str(output / "push")
    local_runner.check(config, destination)
    output.mkdir(parents=True, exist_ok=True)
    with locked(str(output), "output"):
        finished = local_runner.run(
            config,
            data,
            output,
            destination,
            fingerprint,
            click.echo,
            enable_cache=not no_cache,
            beam_pipeline_args=options or local_runner.BEAM_PIPELINE_ARGS,
        )
    result = summary.summarize(config, finished)
    click.echo("\n".join(["", *result.lines]))
    if config.tune.num_trials:
        results = finished.uri("Tuner", "tuner_results")
        click.echo("\n".join(write_tuned_config(config, results, output)))
    if not result.is_current:
        sys.exit(NOT_BLESSED_EXIT_CODE)


@main.command(short_help="Cut timelines into examples.")
@CONFIG
@DATA
@SET
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="A new folder: one Split-<name> per split, config.pbtxt and "
    "ingestion_report.json.",
)
@SPAN
@BEAM_OPTIONS
@VERBOSE
def examples(
    config_path: Path,
    data: Path,
    overrides: tuple[str, ...],
    output: Path,
    span: str | None,
    beam_options: Path | None,
    verbose: bool,
) -> None:
    """Cuts timelines into training examples, without a pipeline.

    \b
    Example:
      pocketrec examples --config configs/sample.pbtxt --data data/sample \\
          --output work/examples

    `pocketrec train` takes it from there.
    """
    from configs.loader import load_config

    config = load_config(config_path, with_span(overrides, span))
    expect_folder(data)
    expect_new(output)
    _prepare(verbose)
    from pipeline import steps

    options = beam_args(beam_options)
    for line in steps.make_examples(config, data, output, options):
        click.echo(line)


@main.command(short_help="Train a model on examples.")
@CONFIG
@SET
@click.option(
    "--examples",
    "examples_folder",
    required=True,
    type=click.Path(path_type=Path),
    help="What `pocketrec examples` wrote, with the same configuration.",
)
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="A new folder: transform/, model/, checkpoints/, config.pbtxt.",
)
@VERBOSE
def train(
    config_path: Path,
    overrides: tuple[str, ...],
    examples_folder: Path,
    output: Path,
    verbose: bool,
) -> None:
    """Builds the vocabularies and trains a model, without a pipeline.

    \b
    Example:
      pocketrec train --config configs/sample.pbtxt --examples work/examples \\
          --output work/training --set train.num_epochs=5

    `pocketrec export` makes a bundle of one of its checkpoints.
    """
    from configs.loader import load_config

    config = load_config(config_path, overrides)
    expect_folder(examples_folder)
    expect_new(output)
    _prepare(verbose)
    from pipeline import steps
    from pipeline.tuned import NOT_TUNED

    if config.tune.num_trials:
        click.echo(NOT_TUNED)
    for line in steps.train(config, examples_folder, output, click.echo):
        click.echo(line)


@main.command(short_help="Turn a checkpoint into a bundle.")
@CONFIG
@SET
@click.option(
    "--checkpoint",
    required=True,
    type=click.Path(path_type=Path),
    help="A file of the checkpoints folder that training wrote.",
)
@click.option(
    "--training",
    "training_folder",
    required=True,
    type=click.Path(path_type=Path),
    help="What `pocketrec train` wrote.",
)
@click.option(
    "--examples",
    "examples_folder",
    required=True,
    type=click.Path(path_type=Path),
    help="What `pocketrec examples` wrote.",
)
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="A new folder for the bundle.",
)
@VERBOSE
def export(
    config_path: Path,
    overrides: tuple[str, ...],
    checkpoint: Path,
    training_folder: Path,
    examples_folder: Path,
    output: Path,
    verbose: bool,
) -> None:
    """Turns a checkpoint into a bundle, without a pipeline and without gates.

    \b
    Example:
      pocketrec export --config configs/sample.pbtxt --examples work/examples \\
          --training work/training --output work/bundle \\
          --checkpoint work/training/checkpoints/<name>-best.weights.h5

    The configuration is the one that was trained with; `push` and what the model
    answers (model.num_predictions) may be others. `pocketrec recommend` then asks the
    bundle.
    """
    from configs.loader import load_config

    config = load_config(config_path, overrides)
    for folder in (training_folder, examples_folder):
        expect_folder(folder)
    expect_file(checkpoint)
    expect_new(output)
    expect_writable(output.resolve().parent)
    _prepare(verbose)
    from pipeline import steps

    for line in steps.export(
        config, checkpoint, training_folder, examples_folder, output
    ):
        click.echo(line)


@main.command(short_help="Check a configuration, or explain its fields.")
@click.argument("config_path", required=False, type=click.Path(path_type=Path))
@SET
@click.option(
    "--explain", is_flag=True, help="Lists every field with its default and range."
)
def validate_config(
    config_path: Path | None, overrides: tuple[str, ...], explain: bool
) -> None:
    """Checks a configuration and prints it with the overrides applied.

    \b
    Examples:
      pocketrec validate-config configs/sample.pbtxt --set train.batch_size=64
      pocketrec validate-config --explain
    """
    from configs import loader

    if explain:
        for path, default, allowed in loader.explain_config():
            click.echo(f"{path:<58} {default:<14} {allowed}".rstrip())
        if config_path is None:
            return
    if config_path is None:
        raise click.UsageError("Missing argument 'CONFIG_PATH' (or --explain).")
    click.echo(loader.config_to_text(loader.load_config(config_path, overrides)))


main.add_command(recommend)
main.add_command(retrain)
main.add_command(schedule)
main.add_command(show_status)
main.add_command(versions)
main.add_command(rollback)
main.add_command(inspect_bundle)
main.add_command(download_command, name="download")
main.add_command(experiment)
main.add_command(graph)
main.add_command(kubeflow)


def _prepare(verbose: bool) -> None:
    if not verbose:
        click.get_current_context().with_resource(quiet())


if __name__ == "__main__":
    main()
