"""Runs and recurring runs, against a small Kubeflow Pipelines on this machine.

It holds each request to the model of the API that Kubeflow's client brings.
"""

from __future__ import annotations

import http.server
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kfp", reason="kfp is not installed (Python 3.10 and 3.11 only)")

import kfp_server_api
import yaml
from click.testing import CliRunner, Result

from pipeline.cli import main

PACKAGE = {
    "schemaVersion": "2.1.0",
    "sdkVersion": "tfx",
    "pipelineInfo": {"name": "shop"},
    "root": {
        "dag": {"tasks": {"a": {"componentRef": {"name": "a"}}}},
        "inputDefinitions": {
            "parameters": {
                "span": {"parameterType": "STRING", "defaultValue": "latest"},
                "num_epochs": {"parameterType": "NUMBER_INTEGER", "defaultValue": 3},
            }
        },
    },
    "components": {"a": {"executorLabel": "a"}},
    "deploymentSpec": {"executors": {"a": {"container": {"image": "i"}}}},
}
API = "/apis/v2beta1/"
# Collection -> model, and its key for an id.
COLLECTIONS = {
    "experiments": ("V2beta1Experiment", "experiment_id"),
    "runs": ("V2beta1Run", "run_id"),
    "recurringruns": ("V2beta1RecurringRun", "recurring_run_id"),
}
LISTS = {"experiments": "experiments", "runs": "runs", "recurringruns": "recurringRuns"}


def misfits(content: Any, kind: str, path: str = "body") -> Iterator[str]:
    """Where JSON is not what a model of the API declares."""
    scalars = {"str": str, "int": int, "bool": bool, "float": (int, float)}
    if kind in scalars:
        # Protobuf's JSON has int64 as text, and takes numbers as well.
        whole = path.endswith("max_concurrency") and isinstance(content, int)
        if not isinstance(content, scalars[kind]) and not whole:
            yield f"{path}: {content!r} is no {kind}"
    elif kind == "datetime":
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT.*", str(content)):
            yield f"{path}: {content!r} is no time"
    elif found := re.fullmatch(r"list\[(.*)\]", kind):
        for index, item in enumerate(content):
            yield from misfits(item, found[1], f"{path}.{index}")
    elif found := re.fullmatch(r"dict\(str, (.*)\)", kind):
        for key, item in content.items():
            yield from misfits(item, found[1], f"{path}.{key}")
    elif kind != "object":
        model = getattr(kfp_server_api, kind)
        allowed = {
            value
            for name, value in vars(model).items()
            if name.isupper() and isinstance(value, str)
        }
        if allowed and not model.openapi_types:
            if content not in allowed:
                yield f"{path}: {content!r} is none of {allowed}"
            return
        names = {json_name: name for name, json_name in model.attribute_map.items()}
        for key, item in content.items():
            if key not in names:
                yield f"{path}: {key} is unknown to {kind}"
            elif item is not None:
                inner = model.openapi_types[names[key]]
                yield from misfits(item, inner, f"{path}.{key}")


class Kubeflow(http.server.ThreadingHTTPServer):
    """What the API server keeps, and what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.kept: dict[str, dict[str, dict[str, Any]]] = {c: {} for c in COLLECTIONS}
        self.asked: list[str] = []
        self.misfits: list[str] = []
        self.token = ""
        self.page_size = 100
        self.fails: dict[str, tuple[int, str]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Kubeflow

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def _answer(self, content: Any, code: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _handle(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        assert url.path.startswith(API), url.path
        what, _, number = url.path.removeprefix(API).partition("/")
        call = f"{self.command} {what}" + (f"/{number}" if number else "")
        if what == "healthz":
            self._answer({"multi_user": False})
            return
        self.server.asked.append(call)
        self.server.token = self.headers.get("Authorization", "")
        if f"{self.command} {what}" in self.server.fails:
            code, text = self.server.fails[f"{self.command} {what}"]
            self._answer({"error": text}, code)
            return
        model, key = COLLECTIONS[what]
        kept = self.server.kept[what]
        if self.command == "POST":
            self.server.misfits += misfits(body, model)
            body[key] = f"{what}-{len(self.server.asked)}"
            body.setdefault("created_at", "2024-03-01T03:00:00Z")
            body.setdefault("state", "PENDING")
            body.setdefault("status", "ENABLED")
            kept[body[key]] = body
            self._answer(body)
        elif self.command == "DELETE":
            if kept.pop(number, None) is None:
                self._answer({"error": f"{number} not found"}, 404)
            else:
                self._answer({})
        elif number:
            self._answer(kept[number])
        else:
            start = int(query.get("page_token") or 0)
            rows = list(kept.values())
            if filter_text := query.get("filter"):
                [predicate] = json.loads(filter_text)["predicates"]
                rows = [
                    r for r in rows if r["display_name"] == predicate["stringValue"]
                ]
            if experiment := query.get("experiment_id"):
                rows = [r for r in rows if r["experiment_id"] == experiment]
            end = start + self.server.page_size
            page = {LISTS[what]: rows[start:end], "total_size": len(rows)}
            if end < len(rows):
                page["next_page_token"] = str(end)
            self._answer(page)

    do_GET = do_POST = do_DELETE = _handle


@pytest.fixture
def kubeflow() -> Iterator[Kubeflow]:
    with Kubeflow() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
        assert server.misfits == []


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump(PACKAGE))
    return path


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubeflow's client keeps its settings there."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KF_PIPELINES_ENDPOINT", raising=False)


def call(kubeflow: Kubeflow, command: str, *arguments: str | Path) -> Result:
    host = ["--host", kubeflow.url]
    return CliRunner().invoke(main, ["kubeflow", command, *map(str, arguments), *host])


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.output


def test_submit(kubeflow: Kubeflow, package: Path) -> None:
    options = ("--package", package, "--name", "first")
    values = ("--param", "span=2024-03-01", "--param", "num_epochs=5")
    out = done(call(kubeflow, "submit", *options, *values, "--service-account", "bot"))
    [experiment] = kubeflow.kept["experiments"].values()
    [run] = kubeflow.kept["runs"].values()
    assert out == f"Started: first ({run['run_id']})\n"
    assert experiment["display_name"] == "pocketrec"
    assert run["experiment_id"] == experiment["experiment_id"]
    assert run["runtime_config"]["parameters"] == {
        "span": "2024-03-01",
        "num_epochs": 5,
    }
    assert run["service_account"] == "bot"
    spec = run["pipeline_spec"]
    assert spec["root"]["inputDefinitions"] == PACKAGE["root"]["inputDefinitions"]
    # A second one goes to the same experiment, by its own name.
    done(call(kubeflow, "submit", "--package", package))
    assert len(kubeflow.kept["experiments"]) == 1
    _, second = kubeflow.kept["runs"].values()
    assert re.fullmatch(r"shop \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", second["display_name"])
    assert second["runtime_config"].get("parameters", {}) == {}


def test_schedule(kubeflow: Kubeflow, package: Path) -> None:
    options = ("--package", package, "--name", "nightly", "--cron", "0 3 * * *")
    out = done(call(kubeflow, "schedule", *options))
    [run] = kubeflow.kept["recurringruns"].values()
    assert out == f"Scheduled: nightly ({run['recurring_run_id']})\n"
    assert run["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"
    assert int(run["max_concurrency"]) == 1
    assert run["no_catchup"] is True
    assert run["mode"] == "ENABLE"
    assert run["runtime_config"]["parameters"] == {
        "span": "[[ScheduledTime.2006-01-02]]"
    }


def test_a_date_is_no_span_where_data_comes_in_one_piece(
    kubeflow: Kubeflow, package: Path
) -> None:
    spec = yaml.safe_load(package.read_text())
    del spec["root"]["inputDefinitions"]["parameters"]["span"]
    package.write_text(yaml.safe_dump(spec))
    options = ("--package", package, "--name", "nightly", "--cron", "0 3 * * *")
    done(call(kubeflow, "schedule", *options))
    [run] = kubeflow.kept["recurringruns"].values()
    assert run["runtime_config"].get("parameters", {}) == {}


def test_schedule_replaces_and_leaves_others(kubeflow: Kubeflow, package: Path) -> None:
    options = ("--package", package, "--cron", "0 3 * * *")
    for name in ("nightly", "other", "nightly"):
        out = done(call(kubeflow, "schedule", *options, "--name", name))
    assert out.endswith("), in place of 1\n")
    names = [run["display_name"] for run in kubeflow.kept["recurringruns"].values()]
    assert names == ["other", "nightly"]
    # The new one is there before the old one goes.
    calls = [c.split("/")[0] for c in kubeflow.asked if "recurringruns" in c]
    assert calls[-2:] == ["POST recurringruns", "DELETE recurringruns"]


def test_a_schedule_that_cannot_be_made_leaves_the_old_one(
    kubeflow: Kubeflow, package: Path
) -> None:
    options = ("--package", package, "--cron", "0 3 * * *", "--name", "nightly")
    done(call(kubeflow, "schedule", *options))
    before = dict(kubeflow.kept["recurringruns"])
    kubeflow.fails["POST recurringruns"] = (400, "invalid\n input")
    failed = call(kubeflow, "schedule", *options)
    assert failed.exit_code == 1
    assert failed.output == f"Error: {kubeflow.url}: 400: invalid input\n"
    assert kubeflow.kept["recurringruns"] == before


def test_a_span_of_its_own(kubeflow: Kubeflow, package: Path) -> None:
    options = ("--package", package, "--cron", "30 0 3 * * *", "--name", "n")
    done(call(kubeflow, "schedule", *options, "--param", "span=latest"))
    [run] = kubeflow.kept["recurringruns"].values()
    assert run["trigger"]["cron_schedule"]["cron"] == "30 0 3 * * *"
    assert run["runtime_config"]["parameters"] == {"span": "latest"}


def test_list(kubeflow: Kubeflow, package: Path) -> None:
    assert done(call(kubeflow, "list")) == "no recurring run\n\nno run\n"
    assert not kubeflow.kept["experiments"]
    kubeflow.page_size = 1
    for name in ("a", "b"):
        options = ("--package", package, "--cron", "0 3 * * *", "--name", name)
        done(call(kubeflow, "schedule", *options))
    done(call(kubeflow, "submit", "--package", package, "--name", "once"))
    lines = [
        " ".join(line.split()) for line in done(call(kubeflow, "list")).splitlines()
    ]
    assert lines[0] == "recurring run cron status id"
    assert [line.rsplit(" ", 1)[0] for line in lines[1:3]] == [
        "a 0 0 3 * * * enabled",
        "b 0 0 3 * * * enabled",
    ]
    assert lines[4] == "run created state id"
    assert lines[5].startswith("once 2024-03-01 03:00 pending ")


def test_delete(kubeflow: Kubeflow, package: Path) -> None:
    options = ("--package", package, "--cron", "0 3 * * *")
    for name in ("nightly", "other"):
        done(call(kubeflow, "schedule", *options, "--name", name))
    assert done(call(kubeflow, "delete", "nightly")) == "Deleted: nightly\n"
    [left] = kubeflow.kept["recurringruns"].values()
    assert left["display_name"] == "other"
    again = call(kubeflow, "delete", "nightly")
    assert again.exit_code == 1
    expected = "Error: nightly: there is no such recurring run. There are: other\n"
    assert again.output == expected


def test_others_runs_are_left_alone(kubeflow: Kubeflow, package: Path) -> None:
    options = ("--package", package, "--cron", "0 3 * * *", "--name", "nightly")
    done(call(kubeflow, "schedule", *options, "--experiment", "theirs"))
    done(call(kubeflow, "schedule", *options))
    assert len(kubeflow.kept["recurringruns"]) == 2
    done(call(kubeflow, "delete", "nightly"))
    [left] = kubeflow.kept["recurringruns"].values()
    [theirs, _] = kubeflow.kept["experiments"].values()
    assert left["experiment_id"] == theirs["experiment_id"]
    assert "nightly" not in done(call(kubeflow, "list"))


def test_a_token(kubeflow: Kubeflow, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    done(call(kubeflow, "list", "--token-file", tmp_path / "token"))
    assert kubeflow.token == "Bearer secret"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--param", "epochs=5"], "of num_epochs (by default 3), span (by default 'la"),
        (["--param", "span"], "--param span: expected NAME=VALUE"),
        (
            ["--param", "num_epochs=many"],
            "num_epochs: 'many' is not allowed. Expected a",
        ),
        (
            ["--cron", "0 3 * *"],
            "--cron: '0 3 * *' is not allowed. Expected five fields",
        ),
    ],
)
def test_mistakes_are_told_before_anything_is_asked(
    kubeflow: Kubeflow, package: Path, arguments: list[str], part: str
) -> None:
    options = ("--package", package, "--name", "n", "--cron", "0 3 * * *")
    failed = call(kubeflow, "schedule", *options, *arguments)
    assert failed.exit_code == 1
    assert part in failed.output
    assert kubeflow.asked == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: 1",
        "- 1",
        "{",
        "root: {}",
        "\x00",
        "pipelineInfo: {name: a}\nroot: {inputDefinitions: {parameters: [1]}}",
    ],
)
def test_a_file_that_is_no_package(
    kubeflow: Kubeflow, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(text)
    failed = call(kubeflow, "submit", "--package", path)
    assert failed.exit_code == 1
    assert f"Error: {path}: is no compiled pipeline. " in failed.output


def test_nobody_answers(package: Path) -> None:
    with Kubeflow() as server:
        url = server.url
    arguments = ["kubeflow", "list", "--host", url]
    failed = CliRunner().invoke(main, arguments)
    assert failed.exit_code == 1
    assert failed.output.startswith(f"Error: {url}: cannot be reached: ")
    assert len(failed.output.splitlines()) == 1


def test_the_fake_is_strict() -> None:
    wrong = {"display_name": 5, "colour": "red", "mode": "MAYBE", "trigger": {"a": 1}}
    assert len(list(misfits(wrong, "V2beta1RecurringRun"))) == 4
