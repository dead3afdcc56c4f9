"""One retraining: look at the newest span, train, gate, push or say why not."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import math
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests
import tensorflow as tf

from components.current_model.bundles import manifest_of
from components.current_model.current import current_version, has_warm_start
from components.lock import LockedError, locked
from components.tflite_pusher import executor as pusher
from components.timeline_example_gen import spans
from components.timeline_example_gen.fingerprint import data_fingerprint
from components.timeline_example_gen.sources import open_source
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import config_to_text
from pipeline import local_runner, summary
from pipeline.mistakes import user_error
from pipeline.retraining import guards, housekeeping, status
from pipeline.retraining.status import Cycle

_OUTCOMES = {
    pusher.PUSHED: status.PUSHED,
    pusher.UNCHANGED: status.UNCHANGED,
    pusher.NOT_BLESSED: status.REFUSED,
    pusher.ROLLED_BACK: status.REFUSED,
}
_LASTING_ERRORS = (requests.exceptions.SSLError, requests.exceptions.ProxyError)
# What may be gone at the next try: a network, a mounted folder, another process.
_PASSING = {
    *(errno.EAGAIN, errno.EBUSY, errno.EIO, errno.ESTALE, errno.ETIMEDOUT),
    *(errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE),
    *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH),
    *(errno.ENETRESET, errno.ENOTCONN),
}
_PASSING_ERRORS = (
    LockedError,
    # Of a socket they often come without a number.
    TimeoutError,
    ConnectionError,
    requests.ConnectionError,
    requests.Timeout,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)


@dataclass(frozen=True)
class Request:
    """What a cycle is asked for.

    Attributes:
      config: a valid configuration; `data.span` is the newest span that is wanted.
      data: folder of the activities, items and users.
      output: folder of the artifacts, of ML Metadata and of the status.
      push_destination: folder of the pushed versions.
      from_scratch: whether training begins with new weights, not with those of the
        current version.
      beam_pipeline_args: options for Beam.
    """

    config: pb.RecommenderConfig
    data: Path
    output: Path
    push_destination: str
    from_scratch: bool = False
    beam_pipeline_args: Sequence[str] = local_runner.BEAM_PIPELINE_ARGS


@dataclass(frozen=True)
class Outlook:
    """What a cycle will do, as far as it can be told before.

    Attributes:
      config: of the run.
      fingerprint: of the data.
      key: of data and configuration together.
      span: the newest, for people; empty where the data has no spans.
      window: all spans that are read, for people.
      current: the version in use.
      has_weights: whether a warm start can begin with it.
      is_new: whether no cycle has come to a result on this yet.
      judged: by the guards.
    """

    config: pb.RecommenderConfig
    fingerprint: str
    key: str
    span: str
    window: str
    current: int | None
    has_weights: bool
    is_new: bool
    judged: list[guards.Judged]

    def stopped_by(self, action: int) -> str:
        """The guards that do not hold and ask for this; empty if there are none."""
        found = [str(one) for one in self.judged if one.action == action]
        return "; ".join(found)

    def lines(self) -> Iterator[str]:
        """For people."""
        if self.span:
            yield f"Newest span: {self.span}, window: {self.window}"
        if not self.is_new:
            yield "Nothing new: the last cycle had the same data and configuration"
            return
        if self.config.train.warm_start and self.has_weights:
            yield f"Training begins with the weights of version {self.current}"
        else:
            yield "Training begins from scratch"
        if self.judged:
            yield from guards.guard_lines(self.judged)


def look(request: Request) -> Outlook:
    """Looks at the data, the last cycles and the current version; changes nothing.

    Raises:
      UserError: if the data cannot be read as configured, or a span is missing.
    """
    config = pb.RecommenderConfig()
    config.CopyFrom(request.config)
    config.train.warm_start = not request.from_scratch
    data = str(request.data)
    window = open_source(config, data).window
    fingerprint = data_fingerprint(config, data)
    key = _key(config, fingerprint, request.push_destination, window)
    span = spans.span_text(window.newest, window.dated) if window else ""
    current = current_version(request.push_destination)
    is_new = _is_new(request, key, window)
    return Outlook(
        config=config,
        fingerprint=fingerprint,
        key=key,
        span=span,
        window=spans.ranges_text(window.spans, window.dated) if window else "",
        current=current,
        has_weights=has_warm_start(request.push_destination),
        is_new=is_new,
        judged=guards.judge(config, data) if is_new and config.retrain.guards else [],
    )


def _key(
    config: pb.RecommenderConfig,
    fingerprint: str,
    push_destination: str,
    window: spans.Window | None,
) -> str:
    """Of data, configuration and destination, less how long things are kept."""
    told = pb.RecommenderConfig()
    told.CopyFrom(config)
    told.retrain.ClearField("keep_runs")
    told.retrain.ClearField("keep_days")
    if window is not None:
        # However it was asked for.
        told.data.span = str(window.newest)
    place = _place(push_destination)
    text = "\n".join([fingerprint, place, config_to_text(told)])
    return hashlib.sha256(text.encode()).hexdigest()


def _place(folder: str) -> str:
    return folder if "://" in folder else os.path.abspath(folder)


def _is_new(request: Request, key: str, window: spans.Window | None) -> bool:
    current = current_version(request.push_destination)
    found = status.read(request.output)
    _, pushed = _cut_short(request, found.cycles)
    if done := pushed or found.done:
        # What was current may have been removed since.
        removed = current is None and (done.version or done.replaces) is not None
        return done.key != key or removed
    if request.from_scratch:
        return True
    # Where the status was lost, the current version tells what it was made from.
    manifest = current and manifest_of(request.push_destination, current)
    if not manifest or window is None:
        return True
    return bool(manifest["data"].get("spans") != list(window.spans))


def _cut_short(
    request: Request, cycles: Sequence[Cycle]
) -> tuple[Cycle, Cycle] | tuple[None, None]:
    """The last cycle and what it counts as, if it was cut short after it had pushed."""
    last = next((cycle for cycle in reversed(cycles) if cycle.key), None)
    if last is None or last.outcome not in (*status.CUT_SHORT, status.RUNNING):
        return None, None
    version = local_runner.pushed_between(
        request.config.name,
        request.output,
        status.seconds(last.started),
        # To the second, like the beginning.
        status.seconds(last.ended) + 1 if last.ended else math.inf,
    )
    if version is None:
        return None, None
    why = f"cut short after it had pushed: {last.message}".removesuffix(": ")
    return last, dataclasses.replace(
        last, outcome=status.PUSHED, version=version, message=why
    )


def retrain(
    request: Request,
    echo: Callable[[str], None],
    on_killed: Callable[[Cycle], None] = lambda cycle: None,
) -> Cycle:
    """Runs a cycle, and writes down how it went.

    Args:
      request: what is wanted.
      echo: receives lines for the terminal.
      on_killed: receives an earlier cycle of which nobody knew yet how it had ended.

    Returns:
      The cycle as it stands in the status.

    Raises:
      LockedError: if another process is at work in the output folder.
      UserError: for bad input, or if a guard stops it.
    """
    request.output.mkdir(parents=True, exist_ok=True)
    with locked(str(request.output), "output"):
        try:
            return _cycle(request, echo, on_killed)
        finally:
            # After a failure too, which may be that of a full disk.
            _prune(request, echo)


def _cycle(
    request: Request, echo: Callable[[str], None], on_killed: Callable[[Cycle], None]
) -> Cycle:
    output = request.output
    cycle = Cycle(status.now(), status.RUNNING, process=os.getpid())
    killed = status.begin(output, cycle, _place(request.push_destination))
    try:
        for one in killed:
            on_killed(one)
        known, pushed = _cut_short(request, status.read(output).cycles)
        if known is not None and pushed is not None:
            status.settle(output, known, pushed)
        outlook = look(request)
        cycle = dataclasses.replace(
            cycle, span=outlook.span, key=outlook.key, replaces=outlook.current
        )
        status.amend(output, cycle)
        ended = _run(request, outlook, cycle, echo)
    # Interrupts too: the status tells how each cycle has ended.
    except BaseException as error:
        try:
            status.end(output, _failed(cycle, error))
        except OSError as unwritten:
            echo(f"warning: how the cycle ended is not written down: {unwritten}")
        raise
    status.end(output, ended)
    return ended


def _prune(request: Request, echo: Callable[[str], None]) -> None:
    keep = request.config.retrain
    try:
        lines = housekeeping.prune(
            request.output, int(keep.keep_runs), int(keep.keep_days)
        )
    # What the cycle came to does not depend on it.
    except (OSError, sqlite3.Error) as error:
        lines = [f"warning: not all that is old is removed: {error}"]
    for line in lines:
        echo(line)


def _run(
    request: Request, outlook: Outlook, cycle: Cycle, echo: Callable[[str], None]
) -> Cycle:
    for line in outlook.lines():
        echo(line)
    if not outlook.is_new:
        return dataclasses.replace(
            cycle, outcome=status.NOTHING_NEW, ended=status.now()
        )
    if why := outlook.stopped_by(pb.DriftGuard.STOP):
        raise UserError(f"{request.data}: stopped before training: {why}")
    if why := outlook.stopped_by(pb.DriftGuard.SKIP):
        return dataclasses.replace(
            cycle, outcome=status.SKIPPED, ended=status.now(), message=why
        )
    local_runner.check(outlook.config, request.push_destination)
    finished = local_runner.run(
        outlook.config,
        request.data,
        request.output,
        request.push_destination,
        outlook.fingerprint,
        echo,
        beam_pipeline_args=request.beam_pipeline_args,
    )
    result = summary.summarize(outlook.config, finished)
    for line in ("", *result.lines):
        echo(line)
    return dataclasses.replace(
        cycle,
        outcome=_OUTCOMES[result.outcome],
        ended=status.now(),
        version=result.version if result.is_current else None,
        metric=result.metric,
        value=result.value,
        message=result.reason or outlook.stopped_by(pb.DriftGuard.WARN),
    )


def _failed(cycle: Cycle, error: BaseException) -> Cycle:
    interrupted = isinstance(error, (SystemExit, KeyboardInterrupt))
    if interrupted:
        text = "it was told to stop"
    elif mistake := user_error(error):
        text = str(mistake)
    else:
        text = f"{type(error).__name__}: {error}"
    return dataclasses.replace(
        cycle,
        outcome=status.INTERRUPTED if interrupted else status.FAILED,
        ended=status.now(),
        message=" ".join(text.split())[:500],
    )


def is_passing(error: BaseException | None) -> bool:
    """Whether the same may well go through at another time.

    Args:
      error: an exception; what caused it counts too.
    """
    while error is not None:
        if isinstance(error, _LASTING_ERRORS):
            return False
        if isinstance(error, _PASSING_ERRORS):
            return True
        # Its numbers are not those of errno.
        if isinstance(error, socket.gaierror):
            return error.errno == socket.EAI_AGAIN
        if isinstance(error, OSError) and error.errno in _PASSING:
            return True
        hidden = None if error.__suppress_context__ else error.__context__
        error = error.__cause__ or hidden
    return False
