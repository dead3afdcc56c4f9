"""One destination over several runs: growth, rollback, deletion, a broken version.

The tests of this file go on from one another, as the runs of a user do.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.tflite_converter.manifest import by_metric
from data.synthesize import synthesize
from data.synthetic_world import WorldSize
from tests.e2e.commands import TINY_CONFIG, Command, pocketrec

pytestmark = pytest.mark.e2e

LENIENT = ("--set", "eval.bounds.0.max_regression=1")


@dataclass(frozen=True)
class Runs:
    """A user's folder."""

    folder: Path

    @property
    def push(self) -> Path:
        return self.folder / "push"

    @property
    def current(self) -> str:
        return (self.push / "CURRENT").read_text()

    def versions(self) -> list[str]:
        return sorted(path.name for path in (self.push / "versions").iterdir())

    def run(self, data: str, *arguments: str) -> Command:
        return pocketrec(
            "run",
            *("--config", self.folder / "config.pbtxt"),
            *("--data", self.folder / data),
            *("--output", self.folder / "output"),
            *("--push-destination", self.push),
            *arguments,
        )

    def manifest(self, version: int) -> dict:
        path = self.push / "versions" / str(version) / "bundle" / "manifest.json"
        return dict(json.loads(path.read_text()))


def states(command: Command) -> dict[str, str]:
    return dict(re.findall(r"^\[ ?\d+/11\] (\w+)  (\w+)  ", command.out, re.MULTILINE))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The first run: 50 items, and nothing to compare with."""
    folder = tmp_path_factory.mktemp("versions")
    (folder / "config.pbtxt").write_text(TINY_CONFIG)
    for name, items in (("small", 50), ("large", 80)):
        size = WorldSize(users=60, items=items, ratings=1500, seed=7)
        synthesize(size, "ml-1m", folder / name)
    runs = Runs(folder)
    first = runs.run("small")
    assert first.code == 0, first.out + first.err
    assert first.out.count("no current model to compare with") == 2
    assert runs.current == "1\n"
    return runs


def test_the_current_model_knows_50_items_the_data_80(runs: Runs) -> None:
    second = runs.run("large", *LENIENT)
    assert second.code == 0, second.out + second.err
    assert "Traceback" not in second.err
    how = "compared with the current model on the same examples, each in its own"
    assert second.out.count(how) == 2
    assert runs.current == "2\n"
    assert runs.versions() == ["1", "2"]
    old, new = runs.manifest(1), runs.manifest(2)
    assert (old["data"]["items"], new["data"]["items"]) == (50, 80)
    for gate in ("saved_model", "tflite"):
        rows = by_metric(new["gates"][gate])
        assert 0 < rows["hr_10_test"]["value"] <= 1
        assert 0 <= rows["hr_10_test"]["baseline"] <= 1
        assert rows["hr_10_test"]["blessed"] is True
        first = by_metric(old["gates"][gate])
        assert first["hr_10_test"]["baseline"] is None


def test_a_pointer_that_was_set_back_by_hand_is_a_rollback(runs: Runs) -> None:
    (runs.push / "CURRENT").write_text("1\n")
    refused = runs.run("large", *LENIENT)
    assert refused.code == 3, refused.out + refused.err
    assert "this is version 2, which was rolled back" in refused.out
    assert states(refused)["Trainer"] == states(refused)["TFLiteConverter"] == "cached"
    assert states(refused)["TFLitePusher"] == "complete"
    assert (runs.current, runs.versions()) == ("1\n", ["1", "2"])
    (runs.push / "CURRENT").write_text("2\n")


def test_the_same_again_is_not_pushed(runs: Runs) -> None:
    again = runs.run("large", *LENIENT)
    assert again.code == 0, again.out + again.err
    assert "unchanged since an earlier run" in again.out
    assert (runs.current, runs.versions()) == ("2\n", ["1", "2"])


def test_a_version_that_was_rolled_back_is_not_pushed_again(runs: Runs) -> None:
    back = pocketrec("rollback", "--push-destination", runs.push)
    assert back.code == 0, back.err
    refused = runs.run("large", *LENIENT)
    assert refused.code == 3, refused.out + refused.err
    assert "this is version 2, which was rolled back" in refused.out
    assert (runs.current, runs.versions()) == ("1\n", ["1", "2"])
    forth = pocketrec("rollback", "--to", "2", "--push-destination", runs.push)
    assert forth.code == 0, forth.err


def test_a_current_model_with_other_lengths_is_one_line(runs: Runs) -> None:
    """Its examples cannot be made any more: it is said which model and why."""
    changed = [
        f"input.activity_feature_groups.0.features.{index}.feature_length=4"
        for index in (0, 1)
    ]
    settings = [text for value in changed for text in ("--set", value)]
    refused = runs.run("large", *LENIENT, *settings)
    assert refused.code == 1, refused.out + refused.err
    [line] = refused.err.splitlines()
    assert line.startswith("Error: Evaluator: the current model cannot be evaluated")
    assert "context_movie_" in line
    assert runs.current == "2\n"


def test_a_pointer_to_nothing_stops_before_the_run(runs: Runs) -> None:
    (runs.push / "CURRENT").write_text("9\n")
    broken = runs.run("large", *LENIENT)
    (runs.push / "CURRENT").write_text("2\n")
    assert broken.code == 1, broken.out + broken.err
    [line] = broken.err.splitlines()
    assert "names version 9, which is missing" in line
    assert "one of 1, 2" in line
    assert states(broken) == {}


def test_after_a_deletion_it_is_a_first_run_again(runs: Runs) -> None:
    shutil.rmtree(runs.push)
    again = runs.run("large", *LENIENT)
    assert again.code == 0, again.out + again.err
    assert again.out.count("no current model to compare with") == 2
    assert states(again)["Trainer"] == "cached"
    assert (runs.current, runs.versions()) == ("1\n", ["1"])
    assert runs.manifest(1)["data"]["items"] == 80


def test_the_smallest_variant_that_passes_is_pushed(runs: Runs) -> None:
    command = runs.run("large", *LENIENT, "--set", "push.quantization=AUTO")
    assert command.code == 0, command.out + command.err
    assert states(command)["Trainer"] == "cached"
    manifest = runs.manifest(2)
    tried = {entry["quantization"]: entry for entry in manifest["variants"]}
    assert list(tried) == ["FLOAT32", "FLOAT16", "DYNAMIC_RANGE", "INT8"]
    taken = manifest["quantization"]
    assert tried[taken]["fate"] == "taken, the smallest"
    sizes = {
        name: entry["size"]
        for name, entry in tried.items()
        if entry["fate"] != "refused"
    }
    assert sizes[taken] == min(sizes.values())
    assert manifest["files"]["model.tflite"]["size"] == sizes[taken]
    _, _, told = command.out.partition("Variants of the .tflite file:\n")
    assert [line.split()[0] for line in told.splitlines()[:5]] == ["variant", *tried]
    card = (runs.push / "versions/2/bundle/model_card.md").read_text()
    assert "### Variants that were tried" in card
    assert "### The .tflite file by history_length" in card
