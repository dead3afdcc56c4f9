"""Removes artifacts and metadata of old runs.

What the newest runs have made or been served from the cache stays, so that the next one
finds it there. Pushed versions are none of its business, see ``push.keep_versions``.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.paths import ARTIFACTS, METADATA

# ML Metadata has no way to delete, so its tables are written; of another version of
# them nothing is known.
SCHEMA_VERSION = 10
_LAST_COMPONENT = "TFLitePusher"
_WELL_DONE = "(3, 5)"  # COMPLETE and CACHED of ML Metadata's Execution.State
_OUTPUTS = "(2, 4, 6)"  # DECLARED_OUTPUT, OUTPUT, INTERNAL_OUTPUT of its Event.Type
_MILLISECONDS_PER_DAY = 86_400_000

# What is known of runs that are not in the table Old stays: their executions, those
# executions' artifacts, and the executions that made them, not all that had them from
# the cache since.
_STATEMENTS = (
    """
    CREATE TEMP TABLE KeptExecution AS
    SELECT DISTINCT execution_id AS id FROM Association
    WHERE context_id IN (SELECT id FROM Run) AND context_id NOT IN (SELECT id FROM Old)
    """,
    """
    CREATE TEMP TABLE KeptArtifact AS SELECT DISTINCT artifact_id AS id FROM Event
    WHERE execution_id IN (SELECT id FROM KeptExecution)
    """,
    f"""
    INSERT INTO KeptExecution SELECT MIN(execution_id) FROM Event
    WHERE type IN {_OUTPUTS} AND artifact_id IN (SELECT id FROM KeptArtifact)
    GROUP BY artifact_id
    """,
    "DELETE FROM Execution WHERE id NOT IN (SELECT id FROM KeptExecution)",
    "DELETE FROM Artifact WHERE id NOT IN (SELECT id FROM KeptArtifact)",
    """
    DELETE FROM ExecutionProperty
    WHERE execution_id NOT IN (SELECT id FROM Execution)
    """,
    "DELETE FROM ArtifactProperty WHERE artifact_id NOT IN (SELECT id FROM Artifact)",
    """
    DELETE FROM Event WHERE execution_id NOT IN (SELECT id FROM Execution)
    OR artifact_id NOT IN (SELECT id FROM Artifact)
    """,
    "DELETE FROM EventPath WHERE event_id NOT IN (SELECT id FROM Event)",
    """
    DELETE FROM Association WHERE context_id IN (SELECT id FROM Old)
    OR execution_id NOT IN (SELECT id FROM Execution)
    """,
    """
    DELETE FROM Attribution WHERE context_id IN (SELECT id FROM Old)
    OR artifact_id NOT IN (SELECT id FROM Artifact)
    """,
    """
    DELETE FROM Context WHERE id IN (SELECT id FROM Old)
    OR type_id = (SELECT id FROM Type WHERE name = 'execution_cache')
    AND id NOT IN (SELECT context_id FROM Association)
    """,
    "DELETE FROM ContextProperty WHERE context_id NOT IN (SELECT id FROM Context)",
    "DELETE FROM ParentContext WHERE context_id NOT IN (SELECT id FROM Context)",
)


def prune(output: Path, keep_runs: int, keep_days: int) -> list[str]:
    """Removes what belongs to old runs only.

    The newest run that came to its end stays whatever its age. The caller holds the
    folder's lock.

    Args:
      output: folder of the artifacts and of ML Metadata.
      keep_runs: so many newest runs stay.
      keep_days: and all that are no older.

    Returns:
      A line if something was removed, or if ML Metadata is of an unknown version.
    """
    database = output / METADATA
    if not database.exists():
        return []
    with contextlib.closing(_open(database)) as connection:
        [version] = connection.execute("SELECT schema_version FROM MLMDEnv").fetchone()
        if version != SCHEMA_VERSION:
            return [
                f"warning: {database}: is of version {version} of ML Metadata, nothing "
                f"old is removed (expected {SCHEMA_VERSION})"
            ]
        connection.execute("BEGIN IMMEDIATE")
        runs = _forget(connection, keep_runs, keep_days)
        connection.execute("COMMIT")
        kept = {row[0] for row in connection.execute("SELECT id FROM Execution")}
        # After the metadata: what a killed process leaves is removed by the next one.
        freed = sum(_remove(folder) for folder in _folders(output, kept))
        # Last, since it takes room first, which there may be only now.
        if runs:
            connection.execute("VACUUM")
    if not runs and not freed:
        return []
    return [f"Removed: {runs} old runs, {freed / 1e6:,.1f} MB"]


def _open(database: Path) -> sqlite3.Connection:
    # None: transactions begin and end where it is said.
    return sqlite3.connect(database, isolation_level=None)


def _forget(connection: sqlite3.Connection, keep_runs: int, keep_days: int) -> int:
    """Deletes from the tables; returns how many runs were deleted."""
    oldest = time.time() * 1000 - keep_days * _MILLISECONDS_PER_DAY
    connection.execute(
        f"""
        CREATE TEMP TABLE Run AS
        SELECT Context.id, Context.create_time_since_epoch AS time, NOT EXISTS (
            SELECT * FROM Association
            JOIN Execution ON Execution.id = Association.execution_id
            WHERE Association.context_id = Context.id
            AND last_known_state NOT IN {_WELL_DONE}
        ) AND EXISTS (
            SELECT * FROM Association
            JOIN Execution ON Execution.id = Association.execution_id
            JOIN Type ON Type.id = Execution.type_id
            WHERE Association.context_id = Context.id
            AND Type.name LIKE '%.{_LAST_COMPONENT}'
        ) AS whole
        FROM Context JOIN Type ON Type.id = Context.type_id
        WHERE Type.name = 'pipeline_run'
        """
    )
    connection.execute(
        """
        CREATE TEMP TABLE Old AS SELECT id FROM Run WHERE time < ?
        AND id NOT IN (SELECT id FROM Run ORDER BY time DESC, id DESC LIMIT ?)
        AND id NOT IN (
            SELECT id FROM Run WHERE whole ORDER BY time DESC, id DESC LIMIT 1
        )
        """,
        (oldest, keep_runs),
    )
    for statement in _STATEMENTS:
        connection.execute(statement)
    [runs] = connection.execute("SELECT COUNT(*) FROM Old").fetchone()
    for table in ("Run", "Old", "KeptExecution", "KeptArtifact"):
        connection.execute(f"DROP TABLE {table}")
    return int(runs)


def _folders(output: Path, kept: set[int]) -> Iterator[Path]:
    """Folders of executions that nothing refers to any more."""
    for pattern in ("*/*/*", "*/.system/*/*"):
        for folder in sorted((output / ARTIFACTS).glob(pattern)):
            if folder.name.isdigit() and int(folder.name) not in kept:
                yield folder
    # Of processes that were killed; the caller's lock says that none is at work.
    yield from sorted((output / ARTIFACTS).glob("*/.system/stateful_working_dir/*"))


def _remove(folder: Path) -> int:
    size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder)
    return size
