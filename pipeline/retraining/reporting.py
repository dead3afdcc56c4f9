"""Tells others how cycles end: JSON lines, a webhook, metrics for Prometheus."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import logging.handlers
import math
import queue
import threading
import urllib.parse
from pathlib import Path
from typing import Any

import click
import prometheus_client
import requests

from configs.errors import UserError
from pipeline.retraining import status
from pipeline.retraining.status import Cycle, Status

LOG_FILE = "log.jsonl"
_LOG_BYTES = 5_000_000
_LOG_FILES = 3
_WEBHOOK_SECONDS = 10
# What somebody may have to look into.
ALARMING = (status.REFUSED, status.FAILED, status.KILLED, status.INTERRUPTED)


@dataclasses.dataclass(frozen=True)
class Channels:
    """Where cycles are reported to.

    Attributes:
      name: of the pipeline.
      output: its output folder; the log is there.
      webhook: an address; None: nobody is told.
      metrics_file: for Prometheus; None: there is none.
    """

    name: str
    output: Path
    webhook: str | None = None
    metrics_file: Path | None = None


def report(channels: Channels, cycle: Cycle) -> None:
    """Reports how a cycle has ended; what cannot be reached is told in the log.

    Args:
      channels: where to.
      cycle: that has ended.
    """
    event = {"event": "cycle", "pipeline": channels.name, **_told(cycle)}
    log(channels, event)
    webhook = channels.webhook if cycle.outcome in ALARMING else None
    # A cycle is not worth less because nobody could be told of it.
    if webhook and (why := _post(webhook, event)):
        # Without the path, which may be a password, as the error has it too.
        what = f"{urllib.parse.urlsplit(webhook).hostname}: {why}"
        log(channels, {"event": "webhook failed", "message": what})
    if channels.metrics_file is not None:
        try:
            found = status.read(channels.output)
            write_metrics(channels.name, found, channels.metrics_file)
        except (OSError, UserError) as error:
            what = f"{channels.metrics_file}: {error}"
            log(channels, {"event": "metrics failed", "message": what})


def check_webhook(url: str) -> None:
    """Refuses what is no address.

    Raises:
      UserError: without what may be a password in it.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname if parts.scheme in ("http", "https") else None
        requests.Request("POST", url).prepare()
    except (ValueError, requests.RequestException):
        host = None
    if not host:
        raise UserError("--webhook: is no address. Expected https://HOST/PATH")


def _post(url: str, event: dict[str, Any]) -> str:
    """Sends an event; returns why it did not get there, else the empty text."""
    answers: queue.Queue[str] = queue.Queue()

    def post() -> None:
        try:
            answer = requests.post(url, json=event, timeout=_WEBHOOK_SECONDS)
            answer.raise_for_status()
            answers.put("")
        # Else a thread's error is printed, with the address, which may be a password.
        except Exception as error:
            code = getattr(getattr(error, "response", None), "status_code", "")
            answers.put(f"{type(error).__name__} {code}".rstrip())

    # The timeout of requests is for each piece of an answer, however many there are.
    threading.Thread(target=post, daemon=True).start()
    try:
        return answers.get(timeout=_WEBHOOK_SECONDS)
    except queue.Empty:
        return f"no answer in {_WEBHOOK_SECONDS} s"


def log(channels: Channels, event: dict[str, Any]) -> None:
    """Shows a line, and adds it to the log; three files of 5 MB are kept."""
    line = json.dumps({"time": status.now(), **event}, ensure_ascii=False)
    # The terminal may be a file on a full disk, and so is the log then: what there is
    # to do goes on, and the webhook is told.
    with contextlib.suppress(OSError):
        click.echo(line, err=True)
    with contextlib.suppress(OSError):
        channels.output.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        channels.output / LOG_FILE,
        maxBytes=_LOG_BYTES,
        backupCount=_LOG_FILES - 1,
        encoding="utf-8",
        # Opened as it is written to, where logging tells of errors and goes on.
        delay=True,
    )
    handler.emit(logging.makeLogRecord({"msg": line}))
    handler.close()


def write_metrics(name: str, found: Status, path: Path) -> None:
    """Writes what Prometheus may alarm by: when, how and with what cycles ended.

    Args:
      name: of the pipeline, which every metric is labelled with.
      found: the status.
      path: of the file, which is replaced at once.
    """
    registry = prometheus_client.CollectorRegistry()

    def gauge(suffix: str, what: str, value: float, **labels: str) -> None:
        metric = gauges.get(suffix)
        if metric is None:
            metric = prometheus_client.Gauge(
                f"pocketrec_{suffix}", what, ["pipeline", *labels], registry=registry
            )
            gauges[suffix] = metric
        metric.labels(pipeline=name, **labels).set(value)

    gauges: dict[str, prometheus_client.Gauge] = {}
    for outcome, number in found.totals.items():
        gauge("cycles", "Cycles so far, by outcome.", number, outcome=outcome)
    ended = [cycle for cycle in found.cycles if cycle.outcome != status.RUNNING]
    if ended:
        last = ended[-1]
        # Of a killed one only the beginning is known.
        moment = status.seconds(last.ended or last.started)
        gauge(
            "last_cycle_timestamp_seconds",
            "When the last cycle ended.",
            moment,
        )
        gauge(
            "last_cycle_duration_seconds",
            "How long it took.",
            moment - status.seconds(last.started),
        )
        gauge(
            "last_cycle_failed",
            "1 if it failed or its model was refused.",
            last.outcome in ALARMING,
        )
    pushed = [cycle for cycle in ended if cycle.outcome == status.PUSHED]
    if pushed:
        last = pushed[-1]
        gauge(
            "last_push_timestamp_seconds",
            "When the last model was pushed.",
            status.seconds(last.ended or last.started),
        )
        gauge("pushed_version", "Its version.", last.version or 0)
        if last.value is not None:
            gauge("pushed_metric", "Its hit rate.", last.value, metric=last.metric)
    path.parent.mkdir(parents=True, exist_ok=True)
    prometheus_client.write_to_textfile(str(path), registry)


def _told(cycle: Cycle) -> dict[str, Any]:
    content = dataclasses.asdict(cycle)
    for name in ("key", "times", "process", "replaces"):
        del content[name]
    # JSON has no NaN.
    if cycle.value is not None and math.isnan(cycle.value):
        content["value"] = None
    return content
