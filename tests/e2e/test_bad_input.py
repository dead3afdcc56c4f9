"""Mistakes of a user: one clear line, a non-zero exit, and nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands import ROOT, SAMPLE, Command, pocketrec

pytestmark = pytest.mark.e2e

CONFIG = ROOT / "configs" / "sample.pbtxt"


def check(command: Command, *parts: str) -> None:
    """One line that has all the parts, and no traceback."""
    assert command.code == 1, command.out + command.err
    lines = [line for line in command.err.splitlines() if line.strip()]
    assert len(lines) == 1, command.err
    assert lines[0].startswith("Error: ")
    for part in parts:
        assert part in lines[0], lines[0]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small data set that a test may break."""
    folder = tmp_path / "data"
    folder.mkdir()
    ratings = [
        f"{user}::{item}::{3 + (user + item) % 3}::{1000 + 10 * item}"
        for user in range(1, 8)
        for item in range(1, 9)
    ]
    (folder / "ratings.dat").write_text("\n".join(ratings) + "\n")
    movies = [f"{item}::Film {item} (199{item})::Drama|War" for item in range(1, 9)]
    (folder / "movies.dat").write_text("\n".join(movies) + "\n")
    users = [f"{user}::F::25::{user}::12345" for user in range(1, 8)]
    (folder / "users.dat").write_text("\n".join(users) + "\n")
    return folder


def append(name: str, line: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(path.read_text() + line + "\n")

    return change


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def write(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


GENRELESS = "".join(
    f"{item}::Film {item} (1990)::(no genres listed)\n" for item in range(1, 9)
)


@pytest.mark.parametrize(
    ("change", "settings", "parts"),
    [
        (remove("movies.dat"), (), ("movies.dat",)),
        (append("ratings.dat", "1::2::5"), (), ("ratings.dat", "57", "1::2::5")),
        (append("ratings.dat", "1::2::good::9"), (), ("ratings.dat", "57", "good")),
        (append("ratings.dat", "1::2::5::soon"), (), ("ratings.dat", "57", "soon")),
        (None, ("data.min_rating=6",), ("min_rating", "6")),
        (None, ("data.min_timeline_length=100",), ("min_timeline_length", "100")),
        (
            None,
            (
                "input.activity_feature_groups.0.features.2.feature_name="
                "context_director",
            ),
            ("context_director", "context_movie_genre"),
        ),
        (write("movies.dat", GENRELESS), (), ("movie_genre",)),
        (write("movies.dat", ""), (), ("movies.dat",)),
    ],
    ids=[
        "missing file",
        "column count",
        "non-numeric rating",
        "non-numeric time",
        "nothing left by rating",
        "nothing left by length",
        "absent feature",
        "empty vocabulary",
        "empty table",
    ],
)
def test_data_that_cannot_be_used(
    data: Path,
    tmp_path: Path,
    change: Callable[[Path], None] | None,
    settings: tuple[str, ...],
    parts: tuple[str, ...],
) -> None:
    if change is not None:
        change(data)
    output = tmp_path / "examples"
    arguments = [text for value in settings for text in ("--set", value)]
    command = pocketrec(
        "examples", "--config", CONFIG, "--data", data, "--output", output, *arguments
    )
    check(command, *parts)
    assert not output.exists() or not any(output.iterdir())


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--data", "absent"), ("absent", "does not exist", "folder")),
        (("--data", str(CONFIG)), ("sample.pbtxt", "is a file")),
        (
            ("--data", str(SAMPLE), "--set", "train.optimiser=ADAM"),
            ("train.optimiser", "no such field"),
        ),
        (
            ("--data", str(SAMPLE), "--set", "eval.bounds="),
            ("eval.bounds", "no absolute bound"),
        ),
        (
            ("--data", str(SAMPLE), "--set", "data.source=MOVIELENS_100K"),
            ("u.data",),
        ),
    ],
    ids=["no folder", "file for a folder", "unknown field", "no bound", "other format"],
)
def test_a_run_that_cannot_start(
    tmp_path: Path, arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    output = tmp_path / "output"
    command = pocketrec(
        "run", "--config", CONFIG, "--output", output, *arguments, cwd=tmp_path
    )
    check(command, *parts)
    assert not output.exists()


def test_a_destination_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    command = pocketrec(
        "run",
        "--config",
        CONFIG,
        "--data",
        SAMPLE,
        "--output",
        tmp_path / "output",
        "--push-destination",
        tmp_path / "file",
    )
    check(command, "push destination", "cannot be written")
    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "output").exists()


def test_a_component_that_fails_is_named(data: Path, tmp_path: Path) -> None:
    append("ratings.dat", "1::2::good::9")(data)
    command = pocketrec(
        "run", "--config", CONFIG, "--data", data, "--output", tmp_path / "output"
    )
    check(command, "TimelineExampleGen", "ratings.dat", "good")
    assert "TimelineExampleGen  failed" in command.out
    assert list((tmp_path / "output" / "push").iterdir()) == []


def test_an_anomaly_stops_the_run_before_training(data: Path, tmp_path: Path) -> None:
    """Raw ids beyond the table that the configuration gives them."""
    bare = tmp_path / "input.pbtxt"
    text = (ROOT / "tests/configs/testdata/id_only_input.pbtxt").read_text()
    bare.write_text(text.replace("3953", "6"))
    command = pocketrec(
        "run",
        "--config",
        bare,
        "--data",
        data,
        "--output",
        tmp_path / "output",
        "--set",
        "eval.eval_top_k=1",
        "--set",
        'eval.bounds={metric: "hr_1_test" lower_bound: 0.001}',
    )
    check(command, "ExampleValidator", "context_movie_id", "nothing was trained")
    assert "ExampleValidator  failed" in command.out
    assert "Transform" not in command.out


def test_an_output_that_is_there_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    command = pocketrec(
        "examples", "--config", CONFIG, "--data", data, "--output", tmp_path
    )
    check(command, str(tmp_path), "expected a new or an empty folder")
    assert (tmp_path / "mine").read_text() == "mine"


def test_artifacts_that_are_gone_are_told(tmp_path: Path) -> None:
    """The cache would hand out files that are no longer there."""
    (tmp_path / "metadata.sqlite").write_bytes(b"")
    command = pocketrec(
        "run", "--config", CONFIG, "--data", SAMPLE, "--output", tmp_path
    )
    check(command, "metadata.sqlite", "artifacts")
