"""Files of options for Beam: those of ours, and what is wrong in those of others."""

from __future__ import annotations

import io
import json
import re
import threading
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import apache_beam
import pytest
from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    StandardOptions,
)
from apache_beam.runners.runner import create_runner
from tfx.utils.dependency_utils import make_beam_dependency_flags

from configs.errors import UserError
from pipeline.beam_options import read_beam_options
from pipeline.local_runner import BEAM_PIPELINE_ARGS
from pipeline.options import beam_args
from tests.checkout import ROOT

SETS = sorted((ROOT / "configs" / "beam").iterdir())
PAGE = ROOT / "docs" / "runners.md"
# What a user would fill in.
FILLED = {
    "<BUCKET_FOLDER>": "gs://my-bucket/beam",
    "<FLINK_REST_ADDRESS>": "http://flink-jobmanager:8081",
    "<IMAGE>": "registry.example/pocketrec-worker:0.1.0",
    "<PROJECT>": "my-project",
    "<REGION>": "europe-west4",
}
PLACEHOLDER = re.compile(r"<[A-Z_]+>")

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(text: str) -> Path:
        path = tmp_path / "options.txt"
        path.write_text(text)
        return path

    return write_file


def options_lines(path: Path) -> list[str]:
    lines = path.read_text().splitlines()
    return [line for line in lines if line.startswith("--")]


def filled_in(path: Path) -> str:
    text = "\n".join(options_lines(path))
    return PLACEHOLDER.sub(lambda found: FILLED[found[0]], text)


def test_these_are_the_sets() -> None:
    names = ["dataflow", "flink", "local", "portable", "spark"]
    assert [path.name for path in SETS] == [f"{name}.txt" for name in names]


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_a_set_is_valid_once_it_is_filled_in(path: Path, write: Write) -> None:
    options = read_beam_options(write(filled_in(path)))
    assert options == filled_in(path).splitlines()
    # Beam itself leaves none of them aside, and has the runner.
    parsed = PipelineOptions(options)
    assert parsed.get_all_options() == parsed.get_all_options(
        retain_unknown_options=True
    )
    assert create_runner(parsed.view_as(StandardOptions).runner) is not None


@pytest.mark.parametrize("path", [None, *SETS], ids=lambda path: path and path.stem)
def test_tfx_packs_itself_for_no_workers(path: Path | None, write: Write) -> None:
    if path is None:
        options = BEAM_PIPELINE_ARGS
    else:
        given = beam_args(write(filled_in(path)))
        assert given is not None
        options = given
    assert make_beam_dependency_flags(list(options)) == list(options)


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_a_set_is_refused_until_it_is_filled_in(path: Path) -> None:
    placeholders = PLACEHOLDER.findall("\n".join(options_lines(path)))
    if not placeholders:
        assert read_beam_options(path) == options_lines(path)
        return
    with pytest.raises(UserError) as caught:
        read_beam_options(path)
    assert str(caught.value).endswith(f": {placeholders[0]} is not filled in")


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_a_set_explains_its_options(path: Path) -> None:
    blocks = path.read_text().strip().split("\n\n")
    assert all(block.startswith("# ") for block in blocks)
    assert path.name in PAGE.read_text()


def test_comments_and_empty_lines_are_left_out(write: Write) -> None:
    path = write("# --streaming\n\n  --parallelism=3 \n\t# more\n--job_name=a b\n")
    assert read_beam_options(path) == ["--parallelism=3", "--job_name=a b"]


@pytest.mark.parametrize("runner", ["FlinkRunner", "flink", "direct", "a.b.MyRunner"])
def test_runners_by_each_of_their_names(write: Write, runner: str) -> None:
    assert read_beam_options(write(f"--runner={runner}")) == [f"--runner={runner}"]


NO_SUCH = f"Beam {apache_beam.__version__} has no such option"
FLINK_VERSIONS = ", ".join(FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "--paralelism=2",
            f"--paralelism: {NO_SUCH}. Expected perhaps --parallelism",
        ),
        # argparse would take it for what it begins.
        (
            "--flink_mast=x",
            f"--flink_mast: {NO_SUCH}. Expected perhaps --flink_master",
        ),
        ("--qqq", f"--qqq: {NO_SUCH}"),
        (
            "--parallelism=two",
            "--parallelism: 'two' is not allowed. Expected a whole number",
        ),
        ("--parallelism", "--parallelism: '' is not allowed. Expected a whole number"),
        ("--job_name=", "--job_name: '' is not allowed. Expected a value"),
        (
            "--profile_sample_rate=x",
            "--profile_sample_rate: 'x' is not allowed. Expected a number",
        ),
        (
            "--transform_name_mapping={",
            "--transform_name_mapping: '{' is not allowed. Expected JSON",
        ),
        (
            "--flink_version=0.9",
            f"--flink_version: '0.9' is not allowed. Expected one of {FLINK_VERSIONS}",
        ),
        (
            "--flink_submit_uber_jar=true",
            "--flink_submit_uber_jar: 'true' is not allowed. Expected "
            "--flink_submit_uber_jar without a value",
        ),
        (
            "--runner=Flnk",
            "--runner: 'Flnk' is not allowed. Expected one of "
            + ", ".join(StandardOptions.KNOWN_RUNNER_NAMES),
        ),
        (
            "--environment_type=external",
            "--environment_type: 'external' is not allowed. Expected one of DOCKER, "
            "PROCESS, EXTERNAL, LOOPBACK",
        ),
        (
            "--temp_location=<BUCKET>/temp",
            "--temp_location: <BUCKET> is not filled in",
        ),
        (
            "--parallelism 2",
            "'--parallelism 2' is not allowed. Expected --name or --name=value",
        ),
        (
            "parallelism=2",
            "'parallelism=2' is not allowed. Expected --name or --name=value",
        ),
    ],
)
def test_mistakes_are_named(write: Write, option: str, message: str) -> None:
    path = write(f"# Mine.\n--job_endpoint=localhost:8099\n{option}\n")
    with pytest.raises(UserError) as caught:
        read_beam_options(path)
    assert str(caught.value) == f"{path}: line 3: {message}"


def test_options_that_need_others(write: Write) -> None:
    path = write("--runner=FlinkRunner\n--environment_type=EXTERNAL\n")
    with pytest.raises(UserError) as caught:
        read_beam_options(path)
    message = "Option external_service_address is required for environment type"
    assert str(caught.value) == f"{path}: {message} EXTERNAL."


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing = tmp_path / "none.txt"
    with pytest.raises(UserError, match=f"^cannot read the options .* {missing}: No "):
        read_beam_options(missing)
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"--job_name=\xff")
    with pytest.raises(UserError, match=f"^{binary}: .* not UTF-8 text$"):
        read_beam_options(binary)


class FakeFlink(BaseHTTPRequestHandler):
    """As much of Flink's REST interface as Beam asks; every job ends at once."""

    uploads: ClassVar[list[bytes]] = []

    def do_GET(self) -> None:
        status = {"id": "COMPLETED"}
        self._answer({"status": status, "state": "FINISHED", "all-exceptions": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/jars/upload"):
            self.uploads.append(body[body.index(b"PK\3\4") : body.rindex(b"\r\n--")])
        self._answer({"filename": "jars/beam.jar", "jobid": "1"})

    def do_DELETE(self) -> None:
        self._answer({})

    def _answer(self, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def test_flink_is_sent_one_jar_and_no_java_is_needed(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jar = tmp_path / "beam-runners-flink.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "")
    text = filled_in(ROOT / "configs" / "beam" / "flink.txt")
    monkeypatch.setenv("PATH", str(tmp_path))
    with HTTPServer(("localhost", 0), FakeFlink) as flink:
        threading.Thread(target=flink.serve_forever, daemon=True).start()
        text = text.replace("flink-jobmanager:8081", f"localhost:{flink.server_port}")
        text += f"\n--flink_job_server_jar={jar}"
        options = PipelineOptions(read_beam_options(write(text)))
        with apache_beam.Pipeline(options=options) as pipeline:
            _ = pipeline | apache_beam.Create([1]) | apache_beam.Map(str)
        flink.shutdown()
    [upload] = FakeFlink.uploads
    with zipfile.ZipFile(io.BytesIO(upload)) as sent:
        job = json.loads(sent.read("BEAM-PIPELINE/pipeline/pipeline.json"))
        settings = json.loads(sent.read("BEAM-PIPELINE/pipeline/pipeline-options.json"))
    environments = job["components"]["environments"].values()
    assert {e["urn"] for e in environments} == {"beam:env:external:v1"}
    assert settings["beam:option:parallelism:v1"] == "4"
    assert settings["beam:option:sdk_worker_parallelism:v1"] == "2"
