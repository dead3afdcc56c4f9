"""The benchmark of TimelineExampleGen and the plain program beside it."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import timelines
from data.synthesize import synthesize


def measurement(ratings: int, way: str, seconds: float, mib: int) -> dict[str, Any]:
    return {
        "ratings": ratings,
        "way": way,
        "examples": 9 * ratings // 10,
        "seconds": seconds,
        "cpu_seconds": seconds / 2,
        "peak_bytes": mib * 2**20,
        "output_bytes": 100 * ratings,
        "startup_seconds": 1.5,
        "load_before": 0.25,
    }


RESULT = {
    "machine": {"system": "Linux", "processors": 2, "python": "3.10.13"},
    "seed": 1,
    "shards": 0,
    "with_tfx": False,
    "measurements": [
        measurement(1_000, "baseline", 8.0, 900),
        measurement(1_000, "ours", 2.0, 300),
        measurement(10_000, "ours", 10.0, 600),
    ],
}


def without_ties(folder: Path) -> str:
    """A small data set in which no two activities of a user share a timestamp.

    Some users and items are not in their tables, and some users are short.
    """
    synthesize(timelines.world_of(3_000, seed=5), "ml-1m", folder)
    log = folder / "ratings.dat"
    rows = [line.split("::")[:3] for line in log.read_text().splitlines()]
    rows += [["901", "1", "4"], ["901", "90001", "3"], ["901", "2", "1"]]
    rows += [["902", "1", "5"], ["902", "2", "5"]]
    # A step that has no divisor in common with the number visits every second once.
    number = len(rows)
    step = next(s for s in range(1000, 2 * number) if number % s and s % 2)
    moments = [i * step % 1_000_003 for i in range(number)]
    assert len(set(moments)) == number
    lines = ["::".join([*row, str(m)]) for row, m in zip(rows, moments, strict=True)]
    log.write_text("\n".join(lines) + "\n")
    with (folder / "movies.dat").open("a", encoding="latin-1") as file:
        file.write("90000::Untitled::Drama\n")
    return str(folder)


def decoded(folder: Path, split: str) -> Counter[str]:
    import tensorflow as tf

    examples = Counter[str]()
    files = [str(file) for file in (folder / f"Split-{split}").iterdir()]
    for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        columns = {}
        for name, feature in features.items():
            kind = feature.WhichOneof("kind")
            columns[name] = kind, list(getattr(feature, kind).value)
        examples[repr(sorted(columns.items()))] += 1
    return examples


def test_both_ways_make_the_same_examples(tmp_path: Path) -> None:
    data = without_ties(tmp_path / "data")
    made = {
        way: prepare(data, str(tmp_path / way), 3, False)()
        for way, prepare in (
            ("baseline", timelines.prepare_baseline),
            ("ours", timelines.prepare_ours),
        )
    }
    assert made["baseline"] == made["ours"] > 2_900
    for split in ("train", "eval", "test", "catalogue"):
        examples = decoded(tmp_path / "ours", split)
        assert examples == decoded(tmp_path / "baseline", split)
        assert sum(examples.values()) >= 20


def test_worlds_are_about_as_large_as_movielens() -> None:
    world = timelines.world_of(25_000_000, seed=3)
    assert (world.users, world.items) == (166_666, 60_000)
    assert (world.ratings, world.seed) == (25_000_000, 3)


def test_the_report_holds_ratios_and_growth() -> None:
    lines = list(timelines.report(RESULT))
    assert lines[0] == "Linux, 2 processors, Python 3.10.13"
    cells = [line.split() for line in lines[3:]]
    assert cells[0][:7] == ["1,000", "baseline", "8.0", "4.0", "900", "0.1", "112"]
    assert cells[1][:7] == ["1,000", "ours", "2.0", "1.0", "300", "0.1", "450"]
    assert cells[2] == [
        "1,000",
        "baseline",
        "/",
        "ours",
        "4.00",
        "4.00",
        "3.00",
        "1.00",
    ]
    assert cells[3][:5] == ["10,000", "ours", "10.0", "5.0", "600"]
    assert lines[-1] == (
        "ours, 1,000 to 10,000 ratings (times 10.0): seconds times 5.0, CPU seconds "
        "times 5.0, peak memory times 2.0"
    )


@pytest.mark.slow
def test_the_command_measures_both(tmp_path: Path) -> None:
    work, numbers = tmp_path / "work", tmp_path / "numbers.json"
    arguments = ["--size", "1000", "--size", "2000", "--baseline-up-to", "1000"]
    arguments += ["--work", str(work), "--json", str(numbers), "--seed", "7"]
    outcome = CliRunner().invoke(timelines.main, arguments)
    assert outcome.exit_code == 0, outcome.output
    result = json.loads(numbers.read_text())
    measured = {(m["ratings"], m["way"]): m for m in result["measurements"]}
    assert list(measured) == [(1000, "baseline"), (1000, "ours"), (2000, "ours")]
    assert result["seed"] == 7
    baseline, ours = measured[1000, "baseline"], measured[1000, "ours"]
    assert baseline["examples"] == ours["examples"] > 1000
    for values in measured.values():
        assert 50 * 2**20 < values["peak_bytes"] < 8 * 2**30
        assert values["seconds"] > 0
        assert values["cpu_seconds"] > 0
        assert values["output_bytes"] > 10_000
    assert "baseline / ours" in outcome.output
    assert not (work / "examples").exists()
    assert {folder.name for folder in (work / "data").iterdir()} == {
        "1000_seed_7",
        "2000_seed_7",
    }


def test_without_matplotlib_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    arguments = ["--work", str(tmp_path / "work"), "--plot", str(tmp_path / "plot.png")]
    outcome = CliRunner().invoke(timelines.main, arguments)
    assert outcome.exit_code == 1
    assert 'pip install "pocketrec[benchmarks]"' in outcome.output
    assert list(tmp_path.iterdir()) == []


def test_the_plot_is_a_png_file(tmp_path: Path) -> None:
    timelines.plot(RESULT, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
