"""Eight days of a recommender that retrains itself, in some minutes.

``python -m examples.retraining --help`` tells more.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import click

from data.daily import cut, read_ratings, shuffled, some_items, write_day
from data.synthesize import synthesize
from data.synthetic_world import WorldSize

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "configs" / "sample_daily.pbtxt"
WORLD = WorldSize(users=800, items=300, ratings=80_000, seed=5)

_DAYS = 8
_SEED = 3
# Days by their index in the data.
_POISONED, _NEW_ITEMS, _KILLED, _TWICE = 4, 5, 6, 7
_NEW_SHARE = 0.3
_SECONDS = 1200


class Running(Protocol):
    """A process, as `subprocess.Popen` has it."""

    @property
    def stdout(self) -> IO[str] | None: ...

    def wait(self) -> int: ...

    def send_signal(self, sig: int) -> None: ...


@dataclass
class Story:
    """What happens in a folder.

    Attributes:
      folder: gets ``data/`` (the spans), ``output/`` and ``push/``, and ``world/``,
        which the spans are cut from.
      codes: how each command has ended, by what it was for.
      printed: what each has printed.
      new_items: that there are from the sixth day on.
    """

    folder: Path
    codes: dict[str, int] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)
    new_items: list[int] = field(default_factory=list)

    def start(self, arguments: list[str]) -> Running:
        """Starts a command of `pocketrec`, with both of its outputs in one."""
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
        )

    def arguments(self, command: str, base: Path | None = None) -> list[str]:
        """A command line of this pipeline, or of its copy in another folder."""
        base = base or self.folder
        return [
            command,
            *("--config", str(CONFIG), "--data", str(self.folder / "data")),
            *("--output", str(base / "output")),
            *("--push-destination", str(base / "push")),
        ]

    def retrain(self, what: str, *options: str, base: Path | None = None) -> str:
        """Runs a cycle to its end; returns what it printed."""
        click.echo(f"\n== {what}")
        process = self.start([*self.arguments("retrain", base), *options])
        return self._finish(what, process)

    def _finish(self, what: str, process: Running) -> str:
        lines = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            click.echo(f"   {line}", nl=False)
        self.codes[what] = process.wait()
        self.printed[what] = "".join(lines)
        click.echo(f"   exit code {self.codes[what]}")
        return self.printed[what]

    def retrain_and_kill(self, what: str, when: str) -> None:
        """Starts a cycle and kills it as soon as it prints something."""
        click.echo(f"\n== {what}")
        process = self.start(self.arguments("retrain"))
        assert process.stdout is not None
        for line in process.stdout:
            click.echo(f"   {line}", nl=False)
            if when in line:
                # Half-way through an epoch or so.
                time.sleep(3)
                process.send_signal(signal.SIGKILL)
        self.codes[what] = process.wait()
        click.echo(f"   exit code {self.codes[what]}")

    def two_schedulers(self, what: str) -> None:
        """Starts two at once; ends the one that runs when its cycle is over."""
        click.echo(f"\n== {what}")
        command = [*self.arguments("schedule"), "--cron", "* * * * *"]
        both = [self.start(command) for _ in range(2)]
        try:
            deadline = time.monotonic() + _SECONDS
            log = self.folder / "output" / "log.jsonl"
            while time.monotonic() < deadline:
                if log.exists() and '"event": "ended"' in log.read_text():
                    break
                time.sleep(0.5)
        finally:
            for process in both:
                process.send_signal(signal.SIGTERM)
        for number, process in enumerate(both, start=1):
            self._finish(f"{what} {number}", process)

    def show(self, what: str, *arguments: str) -> None:
        """Runs a short command."""
        click.echo(f"\n== pocketrec {what}")
        self._finish(what, self.start([what, *arguments]))

    def status(self) -> dict[str, Any]:
        """The content of ``status.json``."""
        content: dict[str, Any] = json.loads(
            (self.folder / "output" / "status.json").read_text()
        )
        return content


def tell(story: Story) -> None:
    """Lets the eight days pass.

    Args:
      story: with an empty folder.
    """
    data, world = story.folder / "data", story.folder / "world"
    data.mkdir(parents=True)
    synthesize(WORLD, "ml-1m", world)
    days = cut(read_ratings(world), _DAYS)
    new = some_items(days[_NEW_ITEMS], _NEW_SHARE, _SEED)
    story.new_items = new.tolist()
    for index in range(3):
        write_day(world, data, index, days[index], new)
        story.retrain(f"day {index + 1}")

    story.retrain("day 4, without data")

    write_day(world, data, 3, days[3], new)
    poisoned = shuffled(days[_POISONED], _SEED)
    write_day(world, data, _POISONED, poisoned, new)
    story.retrain("day 5, poisoned")
    write_day(world, data, _POISONED, days[_POISONED], new)
    story.retrain("day 5, as it was")

    write_day(world, data, _NEW_ITEMS, days[_NEW_ITEMS])
    story.retrain("day 6, new items")

    write_day(world, data, _KILLED, days[_KILLED])
    undisturbed = story.folder / "undisturbed"
    for name in ("output", "push"):
        shutil.copytree(story.folder / name, undisturbed / name)
    story.retrain_and_kill("day 7, killed", "Trainer ...")
    story.retrain("day 7, again")
    story.retrain("day 7, undisturbed", base=undisturbed)

    write_day(world, data, _TWICE, days[_TWICE])
    story.two_schedulers("day 8, scheduler")

    story.show("status", str(story.folder / "output"))
    story.show("versions", "--push-destination", str(story.folder / "push"), "--log")


@click.command(context_settings={"max_content_width": 88})
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="A new folder to keep what is made; else it is removed in the end.",
)
def main(out: Path | None) -> None:
    """Eight days of a pipeline that retrains itself, on invented ratings of films.

    First models, a day without data, a poisoned day that the gate refuses, new items, a
    process that is killed, two schedulers at once. Takes some fifteen minutes.
    """
    with contextlib.ExitStack() as stack:
        folder = out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if folder.exists() and any(folder.iterdir()):
            raise click.ClickException(f"{folder}: is not empty, expected a new folder")
        tell(Story(folder.resolve()))


if __name__ == "__main__":
    main()
