"""Starts a cycle whenever a cron expression says so, each in a process of its own.

APScheduler's cron triggers count weekdays from Monday, against cron's own rule, so the
moments come from croniter; one cycle at a time and missed ones taken together need no
more than this loop.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tenacity
from croniter import croniter

from components.lock import LockedError, is_locked, locked
from configs.errors import UserError
from pipeline.retraining import reporting, status
from pipeline.retraining.reporting import Channels
from pipeline.retraining.status import Cycle

# As sysexits.h has it: the same may go through at another time.
TEMPORARY_FAILURE = 75

# In the output folder: the scheduler's lock, its state, and what each cycle printed.
FOLDER = "schedule"
_STATE = "next.json"
_KEPT_LOGS = 30
_GRACE_SECONDS = 30.0
_POLL_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 60.0
# Exit codes of cycles that have said how they ended, or that are tried again.
_TOLD_BY_ITSELF = (0, 3, TEMPORARY_FAILURE)
_STOPPED = "the scheduler was stopped"

Clock = Callable[[], datetime.datetime]


@dataclass(frozen=True)
class Schedule:
    """When cycles start, and how long they may take.

    Attributes:
      cron: five fields, in `timezone`.
      timezone: a time zone.
      jitter_seconds: each start is put off by up to so many, evenly drawn.
      time_limit_seconds: of a cycle, all its tries together.
      retries: how often a cycle is tried again that has failed for a passing reason.
      backoff_seconds: before the first of these; twice as long before each next one.
    """

    cron: str
    timezone: datetime.tzinfo = datetime.timezone.utc
    jitter_seconds: float = 0.0
    time_limit_seconds: float = 6 * 3600.0
    retries: int = 3
    backoff_seconds: float = 60.0


def check_cron(cron: str) -> None:
    """Refuses what is no cron expression of five fields.

    Raises:
      UserError: naming it.
    """
    try:
        if len(cron.split()) != 5:
            raise ValueError("not five fields")
        croniter(cron, utc_now()).get_next(datetime.datetime)
    except (ValueError, KeyError) as error:
        raise UserError(
            f"--cron: {cron!r} is not allowed. Expected five fields (minute, hour, day "
            "of the month, month, day of the week), e.g. '0 3 * * *', with a day that "
            "there is"
        ) from error


def next_start(schedule: Schedule, after: datetime.datetime) -> datetime.datetime:
    """The first moment of the schedule after another one, without jitter."""
    moment: datetime.datetime = croniter(
        schedule.cron, after.astimezone(schedule.timezone)
    ).get_next(datetime.datetime)
    return moment


def utc_now() -> datetime.datetime:
    """This moment."""
    return datetime.datetime.now(datetime.timezone.utc)


class Scheduler:
    """Runs cycles until it is told to stop.

    Args:
      schedule: when.
      channels: of the pipeline.
      command: of a cycle, which ends with 0, 3 (refused), `TEMPORARY_FAILURE` or
        another code.
      clock: what time it is.
    """

    def __init__(
        self,
        schedule: Schedule,
        channels: Channels,
        command: Sequence[str],
        clock: Clock = utc_now,
    ) -> None:
        self._schedule = schedule
        self._channels = channels
        self._output = channels.output
        self._command = list(command)
        self._clock = clock
        self._stopping = threading.Event()

    def stop(self, *_: object) -> None:
        """Ends the cycle that runs, and the loop; fit for a signal's handler."""
        self._stopping.set()

    def run(self) -> None:
        """Starts cycles until `stop` is called.

        What should have started while a cycle ran, or while nothing ran at all since
        the last one, is made up for by one cycle at once.

        Raises:
          LockedError: if another scheduler is at work in the output folder.
        """
        folder = self._output / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        with locked(str(folder), "schedule"):
            for start in self._starts():
                # A full disk, or a status that is broken, may be mended by tomorrow.
                with self._failures_are_told():
                    self._say_next(start)
                # In pieces: a machine that sleeps does not count the time.
                while not self._stopping.is_set() and self._clock() < start:
                    left = (start - self._clock()).total_seconds()
                    self._stopping.wait(min(left, _LONGEST_WAIT_SECONDS))
                if not self._stopping.is_set():
                    with self._failures_are_told():
                        self.cycle()
            (folder / _STATE).unlink(missing_ok=True)
            self._log(event="scheduler stopped")

    @contextlib.contextmanager
    def _failures_are_told(self) -> Iterator[None]:
        """Reports what keeps the scheduler itself from its work, which goes on."""
        try:
            yield
        except (OSError, UserError) as error:
            self._tell_failure(f"the scheduler: {error}")

    def _tell_failure(self, message: str) -> None:
        """Reports what is no cycle's own failure, so that no status has it."""
        now = self._clock().isoformat(timespec="seconds")
        failed = Cycle(now, status.FAILED, ended=now, message=message)
        reporting.report(self._channels, failed)

    def _starts(self) -> Iterator[datetime.datetime]:
        cycles = status.read(self._output).cycles
        before = (
            datetime.datetime.fromisoformat(cycles[-1].started)
            if cycles
            else self._clock()
        )
        while not self._stopping.is_set():
            due = next_start(self._schedule, before)
            jitter = random.uniform(0, self._schedule.jitter_seconds)
            put_off = due + datetime.timedelta(seconds=jitter)
            before = max(put_off, self._clock())
            yield before

    def cycle(self) -> int:
        """Runs a cycle, and again while it fails for a passing reason.

        Returns:
          The exit code of the last try.
        """
        schedule = self._schedule
        limit = datetime.timedelta(seconds=schedule.time_limit_seconds)
        tries = tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda code: code == TEMPORARY_FAILURE),
            stop=tenacity.stop_after_attempt(schedule.retries + 1)
            | tenacity.stop_when_event_set(self._stopping)
            | tenacity.stop_before_delay(limit),
            wait=tenacity.wait_exponential(multiplier=schedule.backoff_seconds),
            sleep=tenacity.sleep_using_event(self._stopping),
            before_sleep=self._log_retry,
            retry_error_callback=_last_code,
        )
        before = status.read(self._output).cycles
        code: int = tries(self._try, self._clock() + limit)
        is_silent = status.read(self._output).cycles == before
        if code == TEMPORARY_FAILURE and is_silent and not self._stopping.is_set():
            # Another process may hold the folder.
            self._tell_failure(f"no try could begin, see {FOLDER}/")
        return code

    def _log_retry(self, state: tenacity.RetryCallState) -> None:
        assert state.next_action is not None
        self._log(event="again", after_seconds=state.next_action.sleep)

    def _try(self, deadline: datetime.datetime) -> int:
        folder = self._output / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        for old in sorted(folder.glob("*.log"))[: 1 - _KEPT_LOGS]:
            old.unlink()
        path = folder / f"{self._clock():%Y%m%dT%H%M%SZ}.log"
        if self._stopping.is_set() or self._clock() >= deadline:
            return TEMPORARY_FAILURE
        before = status.read(self._output).cycles
        self._log(event="started", log=str(path))
        why = ""
        with path.open("ab") as file:
            process = subprocess.Popen(
                self._command,
                stdout=file,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches the scheduler alone, which ends the cycle in order.
                start_new_session=True,
            )
            while (code := process.poll()) is None:
                if self._stopping.is_set():
                    why = _STOPPED
                elif self._clock() >= deadline:
                    limit = f"{self._schedule.time_limit_seconds:g}"
                    why = f"over its time limit of {limit} s"
                if why:
                    self._end(process, why)
                else:
                    self._stopping.wait(_POLL_SECONDS)
        self._log(event="ended", exit_code=code)
        self._tell_for(code, before, why)
        return code

    def _tell_for(self, code: int, before: Sequence[Cycle], why: str) -> None:
        """Reports what the process could not: that it was killed, or never began."""
        # Stopped before it began, there was none.
        told = why == _STOPPED or code in _TOLD_BY_ITSELF
        why = why or f"it ended with exit code {code}, see {FOLDER}/"
        unheard = None if told else tuple(before)
        try:
            ended = status.bury(self._output, why, unheard)
        except LockedError:
            # Another process is at work: what runs is not ours.
            return
        if ended is not None:
            reporting.report(self._channels, ended)

    def _end(self, process: subprocess.Popen[bytes], why: str) -> None:
        """Lets the cycle write down that it was interrupted; then kills what is left.

        Which may be Beam's workers or a converter, when the cycle itself has ended.
        """
        process.send_signal(signal.SIGTERM)
        self._log(event="interrupted", message=why)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _say_next(self, start: datetime.datetime) -> None:
        told = {
            "cron": self._schedule.cron,
            "next_run": start.astimezone(datetime.timezone.utc).isoformat(
                timespec="seconds"
            ),
        }
        path = self._output / FOLDER / _STATE
        partial = path.with_name(f".{_STATE}")
        partial.write_text(json.dumps(told) + "\n", encoding="utf-8")
        partial.replace(path)
        self._log(event="waiting", next_run=told["next_run"])

    def _log(self, **event: object) -> None:
        reporting.log(self._channels, event)


def _last_code(state: tenacity.RetryCallState) -> int:
    assert state.outcome is not None
    return int(state.outcome.result())


def retrain_command(arguments: Sequence[str]) -> list[str]:
    """The command line of a cycle, by the same Python."""
    return [sys.executable, "-m", "pipeline.cli", "retrain", *arguments]


def schedule_line(output: Path) -> str:
    """What a scheduler that is at work will do next; empty if none is."""
    path = output / FOLDER / _STATE
    if not path.exists() or not is_locked(str(path.parent)):
        return ""
    told = json.loads(path.read_text(encoding="utf-8"))
    if is_locked(str(output)):
        return f"schedule: {told['cron']}, a cycle is at work"
    return f"schedule: {told['cron']}, next run {status.short(told['next_run'])} UTC"
