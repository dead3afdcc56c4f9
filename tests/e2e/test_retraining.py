"""Eight days of a pipeline that retrains itself: the demo's story, and what is left."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

from components.tflite_converter.manifest import by_metric
from examples.retraining import CONFIG, ROOT, Story, tell
from pocketrec_device import Recommender
from tests.e2e.commands import Forked, pocketrec

pytestmark = pytest.mark.e2e


class QuickStory(Story):
    """Whose commands need not import TFX."""

    def start(self, arguments: list[str]) -> Forked:
        with tempfile.TemporaryDirectory() as folder:
            pipe = Path(folder) / "pipe"
            os.mkfifo(pipe)
            return Forked(arguments, str(ROOT), dict(os.environ), (pipe,))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    told = QuickStory(tmp_path_factory.mktemp("story"))
    tell(told)
    return told


def bundle(story: Story, version: int, base: str = ".") -> Path:
    return story.folder / base / "push" / "versions" / str(version) / "bundle"


def manifest(story: Story, version: int) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        (bundle(story, version) / "manifest.json").read_text()
    )
    return content


def test_each_command_ended_as_it_should(story: Story) -> None:
    assert story.codes == {
        "day 1": 0,
        "day 2": 0,
        "day 3": 0,
        "day 4, without data": 0,
        "day 5, poisoned": 3,
        "day 5, as it was": 0,
        "day 6, new items": 0,
        "day 7, killed": -9,
        "day 7, again": 0,
        "day 7, undisturbed": 0,
        "day 8, scheduler 1": story.codes["day 8, scheduler 1"],
        "day 8, scheduler 2": 1 - story.codes["day 8, scheduler 1"],
        "status": 0,
        "versions": 0,
    }


def test_a_first_model_and_warm_successors(story: Story) -> None:
    assert "Training begins from scratch" in story.printed["day 1"]
    for day, version in ((2, 1), (3, 2)):
        printed = story.printed[f"day {day}"]
        assert f"Training begins with the weights of version {version}" in printed
        assert re.search(r"warm start: movie_id \d+ kept, 0 new, 0 removed", printed)
        assert f"/push/versions/{day}\n" in printed


def test_no_data_no_run(story: Story) -> None:
    printed = story.printed["day 4, without data"]
    assert "Nothing new" in printed
    assert "Trainer" not in printed


def test_the_poisoned_day_is_refused_by_the_stored_examples(story: Story) -> None:
    printed = story.printed["day 5, poisoned"]
    row = re.search(r"hr_10_test stored examples +([\d.]+) +([\d.]+) .*FAILED", printed)
    assert row is not None, printed
    candidate, current = map(float, row.groups())
    assert candidate < current - 0.1
    # On the poisoned examples themselves nothing looks wrong with it.
    assert "SAVED_MODEL: BLESSED" in printed
    assert "Pushed: nothing, the current version stays" in printed
    # The control: the same day, the same bounds.
    control = story.printed["day 5, as it was"]
    assert "Training begins with the weights of version 3" in control
    assert re.search(r"hr_10_test stored examples .* passed", control)
    assert "/push/versions/4\n" in control


def test_new_items_are_recommended_on_the_same_day(story: Story) -> None:
    printed = story.printed["day 6, new items"]
    found = re.search(r"warm start: movie_id (\d+) kept, (\d+) new, 0 ", printed)
    assert found is not None
    assert int(found[2]) == len(story.new_items) > 0
    new = {str(item) for item in story.new_items}
    before, after = (Recommender(bundle(story, version)) for version in (4, 5))
    assert not new & set(before.bundle.items)
    assert new <= set(after.bundle.items)
    histories = [[item] for item in list(before.bundle.items)[:100]]
    recommended = {
        item.id for history in histories for item in after.recommend(history, top_k=10)
    }
    assert len(recommended & new) >= 0.2 * len(new)


def test_a_killed_run_is_gone_on_with(story: Story) -> None:
    printed = story.printed["day 7, again"]
    states = dict(re.findall(r"\[ *\d+/11\] (\w+)  (cached|complete)  ", printed))
    for node in ("TimelineExampleGen", "StatisticsGen", "Transform", "CurrentModel"):
        assert states[node] == "cached", node
    assert states["Trainer"] == "complete"
    # The result is that of a run that nothing has disturbed, byte for byte.
    ours, theirs = bundle(story, 6), bundle(story, 6, "undisturbed")
    names = sorted(path.relative_to(ours) for path in ours.rglob("*"))
    assert names == sorted(path.relative_to(theirs) for path in theirs.rglob("*"))
    for name in names:
        if (ours / name).is_file():
            assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name


def test_of_two_schedulers_one_runs(story: Story) -> None:
    printed = [story.printed[f"day 8, scheduler {number}"] for number in (1, 2)]
    codes = [story.codes[f"day 8, scheduler {number}"] for number in (1, 2)]
    [loser] = [text for text, code in zip(printed, codes, strict=True) if code]
    assert "another process is changing it" in loser
    [winner] = [text for text, code in zip(printed, codes, strict=True) if not code]
    events = [json.loads(line) for line in winner.splitlines()]
    assert [event["event"] for event in events[:3]] == ["waiting", "started", "ended"]
    assert events[2]["exit_code"] == 0


def test_status_tells_the_story(story: Story) -> None:
    cycles = story.status()["cycles"]
    assert [(c["span"][:10], c["outcome"], c["version"]) for c in cycles] == [
        ("2024-03-01", "pushed", 1),
        ("2024-03-02", "pushed", 2),
        ("2024-03-03", "pushed", 3),
        ("2024-03-03", "nothing new", None),
        ("2024-03-05", "refused", None),
        ("2024-03-05", "pushed", 4),
        ("2024-03-06", "pushed", 5),
        ("2024-03-07", "killed", None),
        ("2024-03-07", "pushed", 6),
        ("2024-03-08", "pushed", 7),
    ]
    refused = cycles[4]["message"]
    assert refused.startswith("TFLITE: NOT_BLESSED, hr_10_test stored examples = ")
    lines = story.printed["status"].splitlines()
    assert len([line for line in lines if line.startswith("20")]) == 10
    assert f"    {refused}" in lines


def test_versions_tell_the_story(story: Story) -> None:
    rows = [line.split() for line in story.printed["versions"].splitlines()]
    table = {row[0]: row[1:] for row in rows if row and row[0].isdigit()}
    assert list(table) == [str(number) for number in range(1, 8)]
    # push.keep_versions is 5.
    assert [row[-1] for row in table.values()][:2] == ["removed", "removed"]
    assert table["7"][-1] == "current"
    assert [table[v][2] for v in "34567"] == [
        f"2024-03-0{day}" for day in (3, 5, 6, 7, 8)
    ]
    for version in range(3, 8):
        gate = by_metric(manifest(story, version)["gates"]["tflite"])
        assert table[str(version)][3] == f"{gate['hr_10_test']['value']:.4f}"


def test_what_is_old_is_removed(story: Story) -> None:
    """As some days later."""
    output = story.folder / "output"
    models = output / "artifacts" / "Trainer" / "model"
    assert len(list(models.iterdir())) >= 8

    pruned = pocketrec(
        *("retrain", "--config", CONFIG, "--data", story.folder / "data"),
        *("--output", output, "--push-destination", story.folder / "push"),
        *("--set", "retrain.keep_days=0", "--set", "retrain.keep_runs=1"),
    )
    assert pruned.code == 0, pruned.out + pruned.err
    # How long things are kept is nothing to train anew for.
    assert "Nothing new" in pruned.out
    assert re.search(r"^Removed: \d+ old runs, [\d.]+ MB$", pruned.out, re.MULTILINE)
    assert len(list(models.iterdir())) == 1
