"""Commands that retrain: one cycle, a schedule of them, and what they came to."""

from __future__ import annotations

import os
import signal
import sys
import zoneinfo
from pathlib import Path
from typing import Any

import click

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
from pipeline.paths import expect_file, expect_folder, expect_writable
from pipeline.quiet import quiet

REFUSED_EXIT_CODE = 3

_FROM_SCRATCH = click.option(
    "--from-scratch",
    is_flag=True,
    help="Training begins with new weights, not with those of the current version.",
)
# Of a process, others may see the arguments.
WEBHOOK_VARIABLE = "POCKETREC_WEBHOOK"
_WEBHOOK = click.option(
    "--webhook",
    metavar="URL",
    envvar=WEBHOOK_VARIABLE,
    show_envvar=True,
    help="Gets a JSON object by POST when a model is refused or a cycle fails.",
)
_METRICS_FILE = click.option(
    "--metrics-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.prom",
    help="Written after each cycle, for the textfile collector of Prometheus' node "
    "exporter.",
)
_SECONDS = click.FloatRange(min=0)


@click.command(short_help="Retrain on the newest data, push or refuse.")
@CONFIG
@DATA
@SET
@OUTPUT
@PUSH_DESTINATION
@SPAN
@_FROM_SCRATCH
@click.option("--dry-run", is_flag=True, help="Tells what would be done; does nothing.")
@_WEBHOOK
@_METRICS_FILE
@BEAM_OPTIONS
@VERBOSE
def retrain(
    config_path: Path,
    data: Path,
    overrides: tuple[str, ...],
    output: Path | None,
    push_destination: str | None,
    span: str | None,
    from_scratch: bool,
    dry_run: bool,
    webhook: str | None,
    metrics_file: Path | None,
    beam_options: Path | None,
    verbose: bool,
) -> None:
    """Runs one retraining cycle.

    It reads the newest span and the window before it, holds them to the guards of
    `retrain.guards`, trains from the weights of the current version, and pushes the
    model unless a gate refuses it. Where the last cycle had the same data and
    configuration there is nothing to do.

    Exits with 0 if the model was pushed, or there was nothing new; with 3 if a gate
    refused it; with 75 for what may be gone at the next try, such as another cycle that
    is at work; with 1 for bad input and guards that stop.

    \b
    Examples:
      pocketrec retrain --config shop.pbtxt --data /data/shop
      pocketrec retrain --config shop.pbtxt --data /data/shop --span 2024-03-01 \\
          --dry-run
    """
    # A scheduler that is stopped, or whose time is up, ends its cycle in order; before
    # the seconds that imports take, since process 1 of a container has no handler else.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    from configs.loader import load_config

    config = load_config(config_path, with_span(overrides, span))
    expect_folder(data)
    output = output or Path("runs") / config.name
    expect_writable(output)
    destination = push_destination or config.push.push_destination
    if not verbose:
        click.get_current_context().with_resource(quiet())
    options = beam_args(beam_options)
    from pipeline.retraining import cycle, reporting, scheduler, status

    if webhook is not None:
        reporting.check_webhook(webhook)
    request = cycle.Request(
        config=config,
        data=data,
        output=output,
        push_destination=destination or str(output / "push"),
        from_scratch=from_scratch,
        **({"beam_pipeline_args": options} if options else {}),
    )
    if dry_run:
        click.echo("\n".join(cycle.look(request).lines()))
        return
    channels = reporting.Channels(config.name, output, webhook, metrics_file)
    try:
        ended = cycle.retrain(
            request, click.echo, lambda killed: reporting.report(channels, killed)
        )
    except cycle.LockedError as error:
        # Another cycle's status is none of this one's business.
        click.echo(f"Error: {error}", err=True)
        sys.exit(scheduler.TEMPORARY_FAILURE)
    except BaseException as error:
        cycles = status.read(output).cycles
        # Unless it failed before it had begun: then the last one is another's.
        if cycles and cycles[-1].process == os.getpid():
            reporting.report(channels, cycles[-1])
        if isinstance(error, Exception) and cycle.is_passing(error):
            click.echo(f"Error: {error}", err=True)
            sys.exit(scheduler.TEMPORARY_FAILURE)
        raise
    reporting.report(channels, ended)
    if ended.outcome == status.REFUSED:
        sys.exit(REFUSED_EXIT_CODE)


@click.command(short_help="Retrain at the times of a cron expression.")
@CONFIG
@DATA
@click.option(
    "--cron",
    required=True,
    metavar="'M H D M W'",
    help="When: minute, hour, day of the month, month, day of the week, e.g. "
    "'0 3 * * *' for every night.",
)
@click.option(
    "--timezone", default="UTC", show_default=True, help="Of the cron expression."
)
@click.option(
    "--jitter",
    type=_SECONDS,
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Puts each start off by up to so long.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(min=1),
    default=6 * 3600.0,
    show_default=True,
    metavar="SECONDS",
    help="Ends a cycle that takes longer.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Of a cycle that fails for a passing reason.",
)
@click.option(
    "--backoff",
    type=_SECONDS,
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Before the first retry; twice as long before each next one.",
)
@SET
@OUTPUT
@PUSH_DESTINATION
@_FROM_SCRATCH
@_WEBHOOK
@_METRICS_FILE
@BEAM_OPTIONS
def schedule(
    config_path: Path,
    data: Path,
    cron: str,
    timezone: str,
    jitter: float,
    time_limit: float,
    retries: int,
    backoff: float,
    overrides: tuple[str, ...],
    output: Path | None,
    push_destination: str | None,
    from_scratch: bool,
    webhook: str | None,
    metrics_file: Path | None,
    beam_options: Path | None,
) -> None:
    """Runs `pocketrec retrain` at the times of a cron expression, until it is stopped.

    One cycle runs at a time; those that were missed meanwhile, or while the machine was
    off, are made up for by one at once. SIGTERM and Ctrl-C end the cycle that runs, and
    the schedule. Events go to the terminal and to <output>/log.jsonl, one JSON object a
    line; what each cycle prints, to <output>/schedule/.

    \b
    Example:
      pocketrec schedule --config shop.pbtxt --data /data/shop --cron '0 3 * * *' \\
          --timezone Europe/Berlin --jitter 600 --time-limit 7200
    """
    from configs.errors import UserError
    from configs.loader import load_config
    from pipeline.retraining import scheduler
    from pipeline.retraining.reporting import Channels, check_webhook

    config = load_config(config_path, overrides)
    expect_folder(data)
    output = output or Path("runs") / config.name
    expect_writable(output)
    scheduler.check_cron(cron)
    if webhook is not None:
        check_webhook(webhook)
    try:
        zone = zoneinfo.ZoneInfo(timezone)
    except (ValueError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise UserError(
            f"--timezone: {timezone!r} is not known. Expected e.g. Europe/Berlin"
        ) from error
    arguments = ["--config", str(config_path), "--data", str(data)]
    arguments += [text for line in overrides for text in ("--set", line)]
    arguments += ["--output", str(output)]
    optional: dict[str, Any] = {
        "--push-destination": push_destination,
        "--metrics-file": metrics_file,
        "--beam-options": beam_options,
    }
    for option, value in optional.items():
        if value is not None:
            arguments += [option, str(value)]
    if beam_options is not None:
        expect_file(beam_options)
    if from_scratch:
        arguments.append("--from-scratch")
    if webhook is not None:
        os.environ[WEBHOOK_VARIABLE] = webhook
    runner = scheduler.Scheduler(
        scheduler.Schedule(cron, zone, jitter, time_limit, retries, backoff),
        Channels(config.name, output, webhook, metrics_file),
        scheduler.retrain_command(arguments),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, runner.stop)
    runner.run()


@click.command("status", short_help="Tell what the retraining cycles came to.")
@click.argument("output", type=click.Path(path_type=Path))
def show_status(output: Path) -> None:
    """Tells what the retraining cycles in OUTPUT came to, and what comes next.

    \b
    Example:
      pocketrec status runs/shop
    """
    expect_folder(output)
    click.get_current_context().with_resource(quiet())
    from components.lock import is_locked
    from pipeline.retraining import scheduler, status

    found = status.read(output)
    lines = status.lines(found, is_locked(str(output)))
    if found.push_destination:
        lines += ["", f"current version: {_current(found.push_destination)}"]
    if line := scheduler.schedule_line(output):
        lines += ["", line]
    click.echo("\n".join(lines))


def _current(push_destination: str) -> str:
    """The version in use; of a local folder as the client finds it, without TFX."""
    if "://" in push_destination:
        from components.current_model.current import current_version

        return str(current_version(push_destination) or "none")
    from pocketrec_device.bundle import CURRENT, BundleError, find_bundle

    if not (Path(push_destination) / CURRENT).exists():
        return "none"
    try:
        return find_bundle(push_destination).parent.name
    except BundleError as error:
        return f"broken: {error}"
