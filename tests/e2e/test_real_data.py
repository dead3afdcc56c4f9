"""The real MovieLens sets and MovieLens-1M's format, from files to a recommendation.

Trained for a few steps only: what is checked is that the data comes through whole. But
for one, the encoder is a small one: the ready ones are of one kind.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import ROOT, Command, pocketrec

pytestmark = pytest.mark.e2e

REAL = Path(os.environ.get("POCKETREC_DATA", ROOT.parent / "shared" / "data"))
BRIEFLY = (
    "train.num_epochs=1",
    "train.steps_per_epoch=50",
    # Hardly trained, it may say the same first to everybody.
    'eval={bounds {metric: "hr_10_test" lower_bound: 0.0001}'
    ' bounds {metric: "first_item_share" upper_bound: 1}}',
)
SMALL = "input.activity_feature_groups.0.encoder_type=BOW"


def real_data(name: str) -> Path:
    if not (REAL / name).is_dir():
        pytest.skip(f"no {name} in {REAL}; POCKETREC_DATA names another folder")
    return REAL / name


def run(config: str, data: Path, output: Path, *others: str) -> str:
    """Runs the pipeline and returns what it printed."""
    settings = [text for setting in (*BRIEFLY, *others) for text in ("--set", setting)]
    command = pocketrec(
        "run",
        "--config",
        ROOT / "configs" / config,
        "--data",
        data,
        "--output",
        output,
        *settings,
    )
    assert command.code == 0, command.out + command.err
    return command.out


def read_items(output: Path) -> dict[str, dict[str, Any]]:
    """The catalogue of the pushed bundle, by the items' ids."""
    path = output / "push" / "versions" / "1" / "bundle" / "items.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    return {item["id"]: item for item in map(json.loads, lines)}


def recommend(output: Path, *arguments: str) -> list[dict[str, Any]]:
    command: Command = pocketrec(
        "recommend", "--bundle", output / "push", "--json", *arguments
    )
    assert command.code == 0, command.err
    answer = json.loads(command.out)
    assert answer["unknown_items"] == []
    return list(answer["recommendations"])


def check_recommendations(output: Path, *history: str) -> None:
    times = ",".join(str(880_000_000 + 60 * step) for step in range(len(history)))
    found = recommend(output, "--history", ",".join(history), "--timestamps", times)
    assert len({item["id"] for item in found}) == 10
    assert not {item["id"] for item in found} & set(history)
    titles = {key: item["title"] for key, item in read_items(output).items()}
    assert all(item["title"] == titles[item["id"]] for item in found)


def test_movielens_100k(tmp_path: Path) -> None:
    out = run("movielens_100k.pbtxt", real_data("ml-100k"), tmp_path)
    assert "Examples: train 97,171, eval 943, test 943, catalogue 1,682" in out
    assert "Vocabularies: movie_genre 19, movie_id 1,682, movie_year 72" in out
    items = read_items(tmp_path)
    assert len(items) == 1682
    assert items["50"]["title"] == "Star Wars (1977)"
    assert items["71"]["title"] == "Lion King, The (1994)"
    assert items["543"]["title"] == "Misérables, Les (1995)"
    assert items["50"]["features"]["movie_genre"] == [
        "Action",
        "Adventure",
        "Romance",
        "Sci-Fi",
        "War",
    ]
    check_recommendations(tmp_path, "50", "172", "181")


def test_movielens_latest_small(tmp_path: Path) -> None:
    data = real_data("ml-latest-small")
    out = run("movielens_latest_small.pbtxt", data, tmp_path, SMALL)
    users = {
        line.split(",")[0] for line in (data / "ratings.csv").read_text().splitlines()
    } - {"userId"}
    assert re.search(rf"eval {len(users)}, test {len(users)}, catalogue ", out)
    titles = {key: item["title"] for key, item in read_items(tmp_path).items()}
    movies = (data / "movies.csv").read_text(encoding="utf-8").splitlines()
    assert len(titles) == len(movies) - 1
    assert titles["11"] == "American President, The (1995)"
    accented = [line for line in movies if "é" in line]
    assert accented
    for line in accented:
        key, rest = line.split(",", 1)
        assert titles[key] == rest.rsplit(",", 1)[0].strip('"').replace('""', '"')
    check_recommendations(tmp_path, "260", "1196", "1210")


def test_movielens_1m_format(tiny_data: Path, tmp_path: Path) -> None:
    movies = (tiny_data / "movies.dat").read_text(encoding="latin-1").splitlines()
    out = run("movielens_1m.pbtxt", tiny_data, tmp_path, SMALL)
    assert "Examples: train 2,220, eval 60, test 60, catalogue 80" in out
    titles = {key: item["title"] for key, item in read_items(tmp_path).items()}
    assert titles == dict(line.split("::")[:2] for line in movies)
    check_recommendations(tmp_path, "1", "2", "3")
