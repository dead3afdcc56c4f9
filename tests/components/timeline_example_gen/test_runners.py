"""The same bytes from every Beam runner; on a job service, for real, as on a cluster.

The workers there have our wheel and nothing else of ours: an environment of its own,
started in an empty folder. The packages of others they share with this environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.timeline_example_gen.generate import REPORT_FILE, generate_examples
from components.timeline_example_gen.splits import CATALOGUE_SPLIT, LABELLED_SPLITS
from components.timeline_example_gen.tfrecord import file_name
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import load_config
from pipeline.beam_options import read_beam_options
from tests.checkout import ROOT
from tests.wheel import clean_environment, packages_of, run, wheel_environment

BEAM = ROOT / "configs" / "beam"
SAMPLE = ROOT / "data" / "sample"
SHARDS = 4
# Written by the one who starts the job.
OF_THE_CALLER = {f"Split-{CATALOGUE_SPLIT}/{file_name(0, 1)}", REPORT_FILE}
SPLITS = [pb.LEAVE_ONE_OUT, pb.TEMPORAL, pb.RANDOM, pb.USER_HASH]
ITEMS_ALONE = """
activity_feature_groups {
  features { feature_name: "context_item_id" embedding_dim: 4 }
}
label_feature { feature_name: "label_item_id" embedding_dim: 4 }
"""

# Imported by every process of the workers' environment: notes who writes examples.
WITNESS = """
import json, os, re, sys

def note(event, arguments):
    if event == "open" and "w" in str(arguments[1]):
        path = str(arguments[0])
    elif event == "os.rename":
        path = str(arguments[1])
    else:
        return
    file = re.search(r"Split-[a-z]+/data_tfrecord-\\d+-of-\\d+\\.gz", path)
    if file:
        line = {
            "file": file[0],
            "process": os.getpid(),
            "parent": os.getppid(),
            "folder": os.getcwd(),
            "code": sys.modules["components"].__file__,
        }
        os.write(notes, (json.dumps(line) + "\\n").encode())

if "WITNESS" in os.environ:
    notes = os.open(os.environ["WITNESS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    sys.addaudithook(note)
"""


@pytest.fixture(scope="module")
def worker_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with our wheel, and with the packages of others."""
    folder = tmp_path_factory.mktemp("wheel")
    python = wheel_environment(folder, ["import witness"])
    (packages_of(python) / "witness.py").write_text(WITNESS)
    return python


@dataclass(frozen=True)
class Cluster:
    """A job service and a pool of workers on this machine.

    Attributes:
      options: for Beam, to run a job there.
      pool: the process that starts the workers.
      folder: the empty folder where all of them run.
      python: theirs.
      notes: what `WITNESS` writes.
    """

    options: list[str]
    pool: int
    folder: Path
    python: Path
    notes: Path

    def written(self) -> dict[str, dict[str, Any]]:
        """By file of examples, who wrote it."""
        lines = self.notes.read_text().splitlines()
        return {note["file"]: note for note in map(json.loads, lines)}


@pytest.fixture(scope="module")
def cluster(
    worker_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """What docs/runners.md has one start for configs/beam/portable.txt."""
    base = tmp_path_factory.mktemp("cluster")
    empty, temporary, logs = (base / name for name in ("empty", "tmp", "logs"))
    for folder in (empty, temporary, logs):
        folder.mkdir()
    environment = clean_environment(
        # The pool starts a plain `python`.
        PATH=os.pathsep.join([str(worker_python.parent), os.environ["PATH"]]),
        TMPDIR=temporary,
        WITNESS=base / "notes",
    )
    service_port, pool_port = _free_port(), _free_port()
    service = [ROOT / "scripts" / "job_service.py", f"--port={service_port}"]
    pool_main = "apache_beam.runners.worker.worker_pool_main"
    pool = ["-m", pool_main, f"--service_port={pool_port}"]
    options = base / "portable.txt"
    text = (BEAM / options.name).read_text()
    text = text.replace("localhost:8099", f"localhost:{service_port}")
    options.write_text(text.replace("localhost:50000", f"localhost:{pool_port}"))
    with (
        _process([worker_python, *service], empty, environment, logs / "service") as a,
        _process([worker_python, *pool], empty, environment, logs / "pool") as b,
    ):
        _wait_for(service_port, a, logs / "service")
        _wait_for(pool_port, b, logs / "pool")
        yield Cluster(
            # A worker that does not come would be waited for.
            options=[*read_beam_options(options), "--job_server_timeout=300"],
            pool=b.pid,
            folder=empty,
            python=worker_python,
            notes=base / "notes",
        )


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def _process(
    command: list[str | Path], folder: Path, environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends, with all it has started, however this one goes on."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("localhost", port), timeout=1).close()
            return
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"no answer on port {port}:\n{log.read_text()}")
        time.sleep(0.1)


@pytest.fixture(scope="module")
def in_memory(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[int], dict[str, bytes]]:
    """What the default runner writes, by split."""
    made: dict[int, dict[str, bytes]] = {}
    shards = [file_name(number, SHARDS) for number in range(SHARDS)]
    labelled = {f"Split-{name}/{file}" for name in LABELLED_SPLITS for file in shards}

    def files(split: int) -> dict[str, bytes]:
        if split not in made:
            folder = tmp_path_factory.mktemp("in_memory")
            generate_examples(_config(split), str(SAMPLE), str(folder))
            made[split] = _files(folder)
            assert made[split].keys() == labelled | OF_THE_CALLER
        return made[split]

    return files


def _config(split: int) -> pb.RecommenderConfig:
    config = load_config(ROOT / "configs" / "sample.pbtxt")
    config.data.split = split
    config.data.num_shards = SHARDS
    return config


def _files(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.slow
def test_the_workers_know_the_wheel_alone(cluster: Cluster) -> None:
    code = (
        "import components, configs, pipeline, pocketrec_device as device, json;"
        "modules = components, configs, pipeline, device;"
        "print(json.dumps([module.__file__ for module in modules]))"
    )
    environment = str(cluster.python.parent.parent)
    for path in json.loads(run(cluster.python, "-c", code, folder=cluster.folder)):
        assert path.startswith(environment + os.sep)
    assert list(cluster.folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("split", pb.Split.values(), ids=pb.Split.Name)
def test_two_workers_of_a_job_service_write_the_same_bytes(
    cluster: Cluster,
    in_memory: Callable[[int], dict[str, bytes]],
    tmp_path: Path,
    split: int,
) -> None:
    cluster.notes.unlink(missing_ok=True)
    generate_examples(
        _config(split),
        str(SAMPLE),
        str(tmp_path),
        beam_pipeline_args=cluster.options,
    )
    assert _files(tmp_path) == in_memory(split)
    written = cluster.written()
    assert written.keys() == in_memory(split).keys() - OF_THE_CALLER
    assert len({note["process"] for note in written.values()}) == 2
    assert {note["parent"] for note in written.values()} == {cluster.pool}
    assert {note["folder"] for note in written.values()} == {str(cluster.folder)}
    environment = str(cluster.python.parent.parent)
    for note in written.values():
        assert note["code"].startswith(environment + os.sep)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["multi_threading", "multi_processing"])
def test_two_workers_of_the_direct_runner_write_the_same_bytes(
    in_memory: Callable[[int], dict[str, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "device")]))
    options = [*read_beam_options(BEAM / "local.txt"), f"--direct_running_mode={mode}"]
    generate_examples(
        _config(pb.TEMPORAL), str(SAMPLE), str(tmp_path), beam_pipeline_args=options
    )
    assert _files(tmp_path) == in_memory(pb.TEMPORAL)


@pytest.mark.slow
def test_bad_rows_that_workers_find_are_one_line_of_their_caller(
    cluster: Cluster,
    make_config: Callable[..., pb.RecommenderConfig],
    write_dat: Callable[..., str],
    tmp_path: Path,
) -> None:
    ratings = [(user, item, 5, item) for user in range(3) for item in range(4)]
    data = write_dat([*ratings, (3, 1, "good", 2)])
    with pytest.raises(UserError) as caught:
        generate_examples(
            make_config(num_shards=2),
            data,
            str(tmp_path / "out"),
            beam_pipeline_args=cluster.options,
        )
    assert str(caught.value).startswith(
        f"{data}/ratings.dat: line 13: rating is not a number: '3::1::good::2'; 1 of 13"
    )
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_what_workers_raise_is_one_line_of_their_caller(
    cluster: Cluster,
    make_config: Callable[..., pb.RecommenderConfig],
    tmp_path: Path,
) -> None:
    config = make_config(ITEMS_ALONE)
    config.data.files.encoding = "utf-16"
    log = tmp_path / "data" / "activities.csv"
    log.parent.mkdir()
    text = "user_id,item_id,timestamp\n" + "a,x,1\n" * 9
    # Half of the last character is missing; nobody reads so far before the job.
    log.write_bytes(text.encode("utf-16")[:-1])
    with pytest.raises(UserError) as caught:
        generate_examples(
            config,
            str(log.parent),
            str(tmp_path / "out"),
            beam_pipeline_args=cluster.options,
        )
    assert str(caught.value).startswith(f"{log}: not utf-16 text: ")
    assert "\n" not in str(caught.value)
