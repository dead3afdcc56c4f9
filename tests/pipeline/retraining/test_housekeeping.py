"""What of old runs is removed, and what the next run needs of them."""

from __future__ import annotations

import functools
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.paths import ARTIFACTS, METADATA
from pipeline.retraining import housekeeping
from pipeline.retraining.housekeeping import prune

DAY = 86_400_000
PUSHER = "TFLitePusher"
NODES = ("Gen", PUSHER)


class Pipeline:
    """Writes what TFX's local runner writes: to ML Metadata and to disk."""

    def __init__(self, output: Path) -> None:
        self.output = output
        output.mkdir()
        config = mlmd.ConnectionConfig()
        config.sqlite.filename_uri = str(output / METADATA)
        config.sqlite.connection_mode = config.sqlite.READWRITE_OPENCREATE
        self.store = metadata_store.MetadataStore(config)
        # Of each node the cache's key and the artifact.
        self.last: dict[str, tuple[str, int]] = {}

    def run(
        self,
        name: str,
        cached: tuple[str, ...] = (),
        ends_at: str = "",
        state: int = mlmd.Execution.FAILED,
    ) -> dict[str, int]:
        """Executions of a run by node; what is cached has the last artifact again."""
        store = self.store
        types = {
            kind: store.put_context_type(mlmd.ContextType(name=kind))
            for kind in ("pipeline", "pipeline_run", "node", "execution_cache")
        }
        artifact_type = store.put_artifact_type(mlmd.ArtifactType(name="Examples"))
        result: dict[str, int] = {}
        for node in NODES:
            contexts = [
                context(store, types, "pipeline", "shop"),
                context(store, types, "pipeline_run", name),
                context(store, types, "node", f"shop.{node}"),
            ]
            key = self.last[node][0] if node in cached else f"{node} {name}"
            contexts.append(context(store, types, "execution_cache", key))
            failed = node == ends_at
            execution_type = store.put_execution_type(
                mlmd.ExecutionType(name=f"components.{node}")
            )
            execution = mlmd.Execution(
                type_id=execution_type,
                last_known_state=mlmd.Execution.CACHED
                if node in cached
                else state
                if failed
                else mlmd.Execution.COMPLETE,
            )
            execution.custom_properties["config"].string_value = "x" * 5000
            [number] = store.put_executions([execution])
            result[node] = number
            folder = self.output / ARTIFACTS / node / "out" / str(number)
            system = self.output / ARTIFACTS / node / ".system" / "executor_execution"
            if node not in cached:
                (system / str(number)).mkdir(parents=True)
                folder.mkdir(parents=True)
                (folder / "data").write_bytes(b"x" * 1000)
            if failed:
                store.put_attributions_and_associations(
                    [], associations(contexts, number)
                )
                break
            if node in cached:
                [artifact] = store.get_artifacts_by_id([self.last[node][1]])
            else:
                artifact = mlmd.Artifact(type_id=artifact_type, uri=str(folder))
                [artifact.id] = store.put_artifacts([artifact])
            event = mlmd.Event(
                artifact_id=artifact.id, execution_id=number, type=mlmd.Event.OUTPUT
            )
            event.path.steps.add().key = "out"
            store.put_events([event])
            store.put_attributions_and_associations(
                [
                    mlmd.Attribution(artifact_id=artifact.id, context_id=c)
                    for c in contexts
                ],
                associations(contexts, number),
            )
            self.last[node] = (key, artifact.id)
        return result

    def age(self, days: float) -> None:
        """Makes all runs so far older."""
        with sqlite3.connect(self.output / METADATA) as connection:
            connection.execute(
                "UPDATE Context "
                "SET create_time_since_epoch = create_time_since_epoch - ?",
                (days * DAY,),
            )

    def folders(self) -> set[tuple[str, int]]:
        return {
            (path.parent.parent.name, int(path.name))
            for path in (self.output / ARTIFACTS).glob("*/out/*")
        }

    def runs(self) -> list[str]:
        found = self.store.get_contexts_by_type("pipeline_run")
        return sorted(context.name for context in found)


def context(store: Any, types: dict[str, int], kind: str, name: str) -> int:
    found = store.get_context_by_type_and_name(kind, name)
    if found is not None:
        return int(found.id)
    [number] = store.put_contexts([mlmd.Context(type_id=types[kind], name=name)])
    return int(number)


def associations(contexts: list[int], execution: int) -> list[mlmd.Association]:
    return [mlmd.Association(execution_id=execution, context_id=c) for c in contexts]


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path / "output")


def test_where_nothing_ran(tmp_path: Path) -> None:
    assert prune(tmp_path, 1, 0) == []


def test_the_newest_runs_stay(pipeline: Pipeline) -> None:
    runs = [pipeline.run(f"run {number}") for number in range(4)]
    pipeline.age(1)
    assert prune(pipeline.output, keep_runs=2, keep_days=0) == [
        "Removed: 2 old runs, 0.0 MB"
    ]
    assert pipeline.runs() == ["run 2", "run 3"]
    assert pipeline.folders() == {item for run in runs[2:] for item in run.items()}
    assert prune(pipeline.output, keep_runs=2, keep_days=0) == []


def test_what_is_not_old_stays(pipeline: Pipeline) -> None:
    pipeline.run("old")
    pipeline.age(10)
    for name in ("a", "b", "c"):
        pipeline.run(name)
    pipeline.age(4)
    pipeline.run("now")
    assert prune(pipeline.output, keep_runs=1, keep_days=5)
    assert pipeline.runs() == ["a", "b", "c", "now"]
    assert prune(pipeline.output, keep_runs=1, keep_days=3)
    assert pipeline.runs() == ["now"]


def test_what_the_last_run_was_served_from_the_cache_stays(pipeline: Pipeline) -> None:
    first = pipeline.run("first")
    pipeline.run("second", cached=("Gen",))
    last = pipeline.run("third", cached=("Gen",))
    pipeline.age(1)
    prune(pipeline.output, keep_runs=1, keep_days=0)
    assert pipeline.folders() == {
        ("Gen", first["Gen"]),
        (PUSHER, last[PUSHER]),
    }
    store = pipeline.store
    kept = {execution.id for execution in store.get_executions()}
    assert kept == {first["Gen"], *last.values()}
    # The next run finds it where TFX looks for it.
    cache = store.get_context_by_type_and_name("execution_cache", "Gen first")
    found = {execution.id for execution in store.get_executions_by_context(cache.id)}
    assert found == {first["Gen"], last["Gen"]}
    [artifact] = store.get_artifacts_by_context(cache.id)
    assert Path(artifact.uri, "data").exists()
    assert (
        store.get_context_by_type_and_name("execution_cache", f"{PUSHER} first") is None
    )


def test_the_last_run_that_went_through_stays(pipeline: Pipeline) -> None:
    whole = pipeline.run("whole")
    for number in range(5):
        pipeline.run(f"failed {number}", ends_at=PUSHER)
    killed = pipeline.run("killed", ends_at=PUSHER, state=mlmd.Execution.RUNNING)
    pipeline.age(1)
    prune(pipeline.output, keep_runs=1, keep_days=0)
    assert pipeline.runs() == ["killed", "whole"]
    assert pipeline.folders() == {*whole.items(), *killed.items()}


def test_a_run_that_was_killed_between_two_components_is_not_whole(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pipeline.run("whole")
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules[__name__], "NODES", NODES[:1])
        killed = pipeline.run("killed")
    pipeline.age(1)
    prune(pipeline.output, keep_runs=1, keep_days=0)
    assert pipeline.folders() == {*whole.items(), *killed.items()}


def test_folders_go_though_the_database_cannot_be_made_smaller(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which takes as much room again, on a disk that may be full."""

    class Full(sqlite3.Connection):
        def execute(self, sql: str, *others: Any) -> sqlite3.Cursor:
            if sql == "VACUUM":
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(sql, *others)

    pipeline.run("old")
    newest = pipeline.run("new")
    pipeline.age(1)
    connect = functools.partial(sqlite3.connect, isolation_level=None, factory=Full)
    monkeypatch.setattr(housekeeping, "_open", connect)
    with pytest.raises(sqlite3.OperationalError):
        prune(pipeline.output, keep_runs=1, keep_days=0)
    assert pipeline.folders() == set(newest.items())


def test_disk_use_stays_bounded(pipeline: Pipeline) -> None:
    def used() -> int:
        files = (path for path in pipeline.output.rglob("*") if path.is_file())
        return sum(path.stat().st_size for path in files)

    sizes = []
    for number in range(100):
        cached = ("Gen",) if number % 3 else ()
        pipeline.run(f"run {number:03}", cached=cached)
        pipeline.age(1)
        prune(pipeline.output, keep_runs=3, keep_days=2)
        sizes.append(used())
    assert max(sizes[10:]) <= 1.2 * max(sizes[:10])
    assert len(pipeline.runs()) == 3
    assert len(list((pipeline.output / ARTIFACTS).glob("*/.system/*/*"))) <= 8


def test_what_a_killed_process_left_is_removed(pipeline: Pipeline) -> None:
    pipeline.run("run")
    stray = pipeline.output / ARTIFACTS / "Gen" / "out" / "99"
    stray.mkdir()
    other = pipeline.output / ARTIFACTS / "Gen" / "out" / "notes"
    other.mkdir()
    working = pipeline.output / ARTIFACTS / "Gen/.system/stateful_working_dir/run"
    working.mkdir(parents=True)
    prune(pipeline.output, keep_runs=1, keep_days=9)
    assert not working.exists()
    assert not stray.exists()
    assert other.exists()


def test_metadata_of_another_version_is_left_alone(pipeline: Pipeline) -> None:
    for number in range(3):
        pipeline.run(f"run {number}")
    pipeline.age(1)
    with sqlite3.connect(pipeline.output / METADATA) as connection:
        connection.execute("UPDATE MLMDEnv SET schema_version = 11")
    before = pipeline.folders()
    [line] = prune(pipeline.output, keep_runs=1, keep_days=0)
    assert "is of version 11 of ML Metadata, nothing old is removed" in line
    assert pipeline.folders() == before
