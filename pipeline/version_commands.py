"""Commands about the versions at a push destination."""

from __future__ import annotations

from pathlib import Path

import click

from configs.errors import UserError
from pipeline.options import VERBOSE
from pipeline.quiet import quiet

_RUNS = Path("runs")
_PUSH_DESTINATION = click.option(
    "--push-destination",
    metavar="FOLDER",
    help="Folder of the pushed versions.  [default: the only one at runs/*/push]",
)


@click.command(short_help="List the pushed versions.")
@_PUSH_DESTINATION
@click.option("--log", is_flag=True, help="Shows what happened, event by event.")
@VERBOSE
def versions(push_destination: str | None, log: bool, verbose: bool) -> None:
    """Lists the pushed versions: when, from which data, how good, how large.

    \b
    Examples:
      pocketrec versions
      pocketrec versions --push-destination gs://models/push --log
    """
    destination = push_destination or _only_destination()
    if not verbose:
        click.get_current_context().with_resource(quiet())
    from components.tflite_pusher import push_log
    from components.tflite_pusher import versions as pushed

    lines = pushed.versions_lines(pushed.versions(destination))
    if log:
        lines += ["", *pushed.log_lines(push_log.read(destination))]
    click.echo("\n".join(lines))


@click.command(short_help="Make an earlier version the current one again.")
@click.option(
    "--to",
    type=click.IntRange(min=1),
    metavar="VERSION",
    help="The version.  [default: the one that the current version replaced]",
)
@_PUSH_DESTINATION
@VERBOSE
def rollback(to: int | None, push_destination: str | None, verbose: bool) -> None:
    """Makes an earlier version the current one again, at once.

    Before, its files are compared with its manifest, and the client answers its canary.
    It becomes what the next run's model is compared with, and the version that was left
    is not pushed again.

    \b
    Examples:
      pocketrec rollback
      pocketrec rollback --to 3 --push-destination runs/movielens_100k/push
    """
    destination = push_destination or _only_destination()
    if not verbose:
        click.get_current_context().with_resource(quiet())
    from components.tflite_pusher.rollback import rollback as roll_back

    before, now = roll_back(destination, to)
    click.echo(f"{destination}: version {now} is current, in place of {before}")


def _only_destination() -> str:
    found = sorted(path.parent for path in _RUNS.glob("*/push/CURRENT"))
    if len(found) != 1:
        there = ", ".join(map(str, found)) or "none"
        raise UserError(
            f"--push-destination: is not given, and not clear. Expected one of: {there}"
        )
    return str(found[0])
