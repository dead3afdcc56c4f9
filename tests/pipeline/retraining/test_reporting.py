"""Who is told how a cycle has ended."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import http.server
import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from prometheus_client.parser import text_string_to_metric_families

from configs.errors import UserError
from pipeline.retraining import reporting, status
from pipeline.retraining.reporting import Channels
from pipeline.retraining.status import Cycle

PUSHED = Cycle(
    "2024-03-01T03:00:00+00:00",
    status.PUSHED,
    ended="2024-03-01T03:01:30+00:00",
    span="2024-03-01 (19783)",
    version=4,
    metric="hr_10_test",
    value=0.25,
)
REFUSED = dataclasses.replace(
    PUSHED,
    started="2024-03-02T03:00:00+00:00",
    ended="2024-03-02T03:00:10+00:00",
    outcome=status.REFUSED,
    version=None,
    value=0.03,
    message="hr_10_test = 0.0300 (at least 0.15): failed",
)


class Webhook(http.server.HTTPServer):
    """Keeps what it is sent."""

    def __init__(self, code: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.code = code
        self.received: list[Any] = []
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class Receiver(http.server.BaseHTTPRequestHandler):
    server: Webhook

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.received.append(json.loads(self.rfile.read(length)))
        self.send_response(self.server.code)
        self.end_headers()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def lines(output: Path) -> list[dict[str, Any]]:
    text = (output / reporting.LOG_FILE).read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (status.PUSHED, False),
        (status.UNCHANGED, False),
        (status.NOTHING_NEW, False),
        (status.SKIPPED, False),
        (status.REFUSED, True),
        (status.FAILED, True),
        (status.KILLED, True),
        (status.INTERRUPTED, True),
    ],
)
def test_the_webhook_is_told_what_somebody_has_to_look_into(
    webhook: Webhook, tmp_path: Path, outcome: str, told: bool
) -> None:
    cycle = dataclasses.replace(REFUSED, outcome=outcome)
    reporting.report(Channels("shop", tmp_path, webhook=webhook.url), cycle)
    assert len(webhook.received) == int(told)
    [event] = lines(tmp_path)
    del event["time"]
    assert event == {
        "event": "cycle",
        "pipeline": "shop",
        "started": REFUSED.started,
        "outcome": outcome,
        "ended": REFUSED.ended,
        "span": "2024-03-01 (19783)",
        "version": None,
        "metric": "hr_10_test",
        "value": 0.03,
        "message": "hr_10_test = 0.0300 (at least 0.15): failed",
    }
    assert webhook.received == [event] * told


def test_a_webhook_that_does_not_work_is_logged(
    webhook: Webhook, tmp_path: Path
) -> None:
    webhook.code = 500
    reporting.report(Channels("shop", tmp_path, webhook=webhook.url), REFUSED)
    first, second = lines(tmp_path)
    assert first["event"] == "cycle"
    assert second["event"] == "webhook failed"
    assert second["message"] == "127.0.0.1: HTTPError 500"


def test_a_webhook_that_is_not_there_is_logged(tmp_path: Path) -> None:
    with Webhook() as gone:
        url = gone.url
    reporting.report(Channels("shop", tmp_path, webhook=url), REFUSED)
    assert [line["event"] for line in lines(tmp_path)] == ["cycle", "webhook failed"]


def test_a_webhook_that_answers_for_ever_is_not_waited_for(
    webhook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece of its answer comes in time, and there is always one more."""
    over = threading.Event()

    def answer(self: Receiver) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\n")
        while not over.wait(0.05):
            with contextlib.suppress(OSError):
                self.wfile.write(b"X-More: 1\r\n")

    monkeypatch.setattr(Receiver, "do_POST", answer)
    monkeypatch.setattr(reporting, "_WEBHOOK_SECONDS", 0.5)
    reporting.report(Channels("shop", tmp_path, webhook=webhook.url), REFUSED)
    over.set()
    assert lines(tmp_path)[-1]["message"] == "127.0.0.1: no answer in 0.5 s"


def test_a_terminal_that_is_a_file_on_a_full_disk_silences_nobody(
    webhook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(click, "echo", full)
    reporting.report(Channels("shop", tmp_path, webhook=webhook.url), REFUSED)
    assert len(webhook.received) == 1
    assert [line["event"] for line in lines(tmp_path)] == ["cycle"]


def test_a_webhook_that_fails_in_an_unknown_way_is_logged_without_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def post(url: str, **_: object) -> None:
        raise RuntimeError(f"{url} is odd")

    monkeypatch.setattr(reporting.requests, "post", post)
    url = "https://alarm.example/secret"
    reporting.report(Channels("shop", tmp_path, webhook=url), REFUSED)
    assert lines(tmp_path)[-1]["message"] == "alarm.example: RuntimeError"


@pytest.mark.parametrize(
    "url", ["", "alarm", "http://[::1", "ftp://alarm.example/", "https:///path"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="--webhook: is no address"):
        reporting.check_webhook(url)


def test_a_metric_that_is_no_number_is_told(webhook: Webhook, tmp_path: Path) -> None:
    cycle = dataclasses.replace(REFUSED, value=math.nan)
    reporting.report(Channels("shop", tmp_path, webhook=webhook.url), cycle)
    assert [event["value"] for event in webhook.received] == [None]


def test_the_log_does_not_grow_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "_LOG_BYTES", 2000)
    for number in range(200):
        reporting.log(Channels("shop", tmp_path), {"event": "e", "number": number})
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["log.jsonl", "log.jsonl.1", "log.jsonl.2"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 6000
    assert lines(tmp_path)[-1]["number"] == 199


def metrics(path: Path) -> dict[tuple[str, ...], float]:
    """By name and the values of labels but the pipeline's."""
    result = {}
    for family in text_string_to_metric_families(path.read_text()):
        for sample in family.samples:
            assert sample.labels.pop("pipeline") == "shop"
            result[(sample.name, *sample.labels.values())] = sample.value
    return result


def test_metrics(tmp_path: Path) -> None:
    path = tmp_path / "textfile" / "shop.prom"
    channels = Channels("shop", tmp_path, metrics_file=path)
    for cycle in (PUSHED, REFUSED):
        status.begin(tmp_path, dataclasses.replace(cycle, outcome=status.RUNNING))
        status.end(tmp_path, cycle)
        reporting.report(channels, cycle)
    assert metrics(path) == {
        ("pocketrec_cycles", "pushed"): 1,
        ("pocketrec_cycles", "refused"): 1,
        ("pocketrec_last_cycle_timestamp_seconds",): status.seconds(REFUSED.ended),
        ("pocketrec_last_cycle_duration_seconds",): 10,
        ("pocketrec_last_cycle_failed",): 1,
        ("pocketrec_last_push_timestamp_seconds",): status.seconds(PUSHED.ended),
        ("pocketrec_pushed_version",): 4,
        ("pocketrec_pushed_metric", "hr_10_test"): 0.25,
    }


def test_a_killed_cycle_is_a_failure_in_the_metrics(tmp_path: Path) -> None:
    killed = dataclasses.replace(REFUSED, outcome=status.KILLED, ended="")
    found = status.Status((PUSHED, killed), {"pushed": 1, "killed": 1})
    reporting.write_metrics("shop", found, tmp_path / "a.prom")
    told = metrics(tmp_path / "a.prom")
    assert told[("pocketrec_last_cycle_failed",)] == 1
    began = status.seconds(killed.started)
    assert told[("pocketrec_last_cycle_timestamp_seconds",)] == began


def test_metrics_before_the_first_cycle(tmp_path: Path) -> None:
    path = tmp_path / "shop.prom"
    reporting.write_metrics("shop", status.Status(), path)
    assert metrics(path) == {}
