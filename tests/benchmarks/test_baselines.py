"""The baselines' command, on examples cut from a log of four users."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.baselines import main

CONFIG = """
input {
  activity_feature_groups {
    features {
      feature_name: "context_item_id"
      feature_type: %(type)s
      vocab_name: "item_id"
      embedding_dim: 4
      feature_length: 2
    }
  }
  label_feature {
    feature_name: "label_item_id"
    feature_type: %(type)s
    vocab_name: "item_id"
    embedding_dim: 4
  }
}
data { source: CSV files { items_file: "items.csv" } }
eval { eval_top_k: 1 eval_top_k: 2 bounds { metric: "hr_1_test" lower_bound: 0.1 } }
"""
# The last item of each is test's label, the one before eval's.
TIMELINES = {
    "a": [1, 2, 3, 4, 5],
    "b": [1, 2, 6, 3, 4],
    "c": [2, 3, 1, 2, 3],
    "d": [2, 1, 4],
}
ITEMS = 7


@pytest.fixture(params=["INT", "STRING"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "config.pbtxt").write_text(CONFIG % {"type": request.param})
    rows = [
        f"{user},{item},{time}\n"
        for user, items in TIMELINES.items()
        for time, item in enumerate(items)
    ]
    data = tmp_path / "data"
    data.mkdir()
    (data / "activities.csv").write_text("user_id,item_id,timestamp\n" + "".join(rows))
    items = "".join(f"{item}\n" for item in range(1, ITEMS + 1))
    (data / "items.csv").write_text(f"item_id\n{items}")
    return tmp_path


def run(folder: Path, *arguments: str) -> Result:
    config = ["--config", str(folder / "config.pbtxt")]
    return CliRunner().invoke(main, [*config, *arguments])


def ask(folder: Path, *arguments: str) -> dict:
    output = folder / "result.json"
    data = ["--data", str(folder / "data"), "--json", str(output)]
    result = run(folder, *data, *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(output.read_text())


def test_popularity_worked_out_by_hand(folder):
    result = ask(folder)
    assert result["protocol"] == (
        "leave-one-out split, full ranking, seen=timeline, fit on train"
    )
    assert (result["items"], result["test_examples"]) == (7, 4)
    # Train is a: 1 2 3, b: 1 2 6, c: 2 3 1; d's single activity is in no example.
    assert result["activities"] == 9
    # Counts of items 1 to 7: 3 3 2 0 0 1 0. The labels are 5 (among 5, 6, 7, of which
    # 6 is better and 7 equal), 4 (of 4, 5, 7, all equal), 3 (of 3, 4, 5, 6, 7, since a
    # label is never left out) and 4 (of 3, 4, 5, 6, 7).
    ranks = [3, 3, 1, 5]
    # All that is not left out is in the lists: 3 to 7 at least once. Items 1 to 7 are
    # labels of train 1 2 2 0 0 1 0 times, the labels of test 0, 0, 2 and 0 times.
    popularity = (1 / 3 + 0 + 1 / 4 + 3 / 5) / 4
    assert result["models"]["popularity"] == pytest.approx(
        {
            "hr_1_test": 1 / 4,
            "ndcg_1_test": 1 / 4,
            "hr_2_test": 1 / 4,
            "ndcg_2_test": 1 / 4,
            "mrr_test": sum(1 / rank for rank in ranks) / 4,
            "mean_rank_test": sum(ranks) / 4,
            "coverage_10_test": 5 / 7,
            "popularity_ratio_10_test": popularity / (2 / 4),
        }
    )


def test_evals_activity_is_counted_if_asked_for(folder):
    result = ask(folder, "--fit", "train+eval")
    assert result["activities"] == 14
    assert result["protocol"].endswith("fit on train+eval")
    # Counts of items 1 to 7 are now 4 5 3 1 0 1 0: of a's label 5, 6 is ahead and 7
    # equal; b's 4 is ahead of 5 and 7; c's 3 of all; of d's 4, 3 is ahead and 6 equal.
    assert result["models"]["popularity"]["mean_rank_test"] == (3 + 1 + 1 + 3) / 4


@pytest.mark.parametrize(
    ("seen", "popularity", "markov"),
    [
        # Of the labels 5, 4, 3, 4 the items with more and as many activities. To the
        # chain only c's tells something: after 2 came 3 twice and 6 once.
        ("kept", [7, 7, 3, 7], [7, 7, 1, 7]),
        # Left out are 3 and 4; 6 and 3; 1 and 2; 2 and 1.
        ("context", [5, 5, 1, 5], [5, 5, 1, 5]),
    ],
)
def test_what_is_left_out_is_chosen(folder, seen, popularity, markov):
    result = ask(folder, "--seen", seen)
    assert f"seen={seen}, " in result["protocol"]
    models = result["models"]
    assert models["popularity"]["mean_rank_test"] == sum(popularity) / 4
    assert models["markov"]["mean_rank_test"] == sum(markov) / 4


def test_examples_of_a_run_are_taken_as_they_are(folder):
    from benchmarks.baselines import evaluate
    from components.timeline_example_gen.generate import generate_examples
    from configs.loader import load_config

    config = load_config(folder / "config.pbtxt")
    examples = folder / "examples"
    generate_examples(config, str(folder / "data"), str(examples))
    result = run(folder, "--examples", str(examples))
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == (
        "leave-one-out split, full ranking, seen=timeline, fit on train: 4 test "
        "examples, 7 items, 9 activities counted"
    )
    names = ["HR@1", "NDCG@1", "HR@2", "NDCG@2", "MRR", "mean", "rank"]
    assert lines[1].split() == [*names, "coverage@10", "popularity", "ratio@10"]
    assert [line.split()[0] for line in lines[2:]] == [
        "popularity",
        "markov",
        "markov_5",
        "item_cosine",
    ]
    values = evaluate(config, examples, "train", "timeline")["models"]["item_cosine"]
    shown = [float(cell) for cell in lines[5].split()[1:]]
    assert shown == pytest.approx(list(values.values()), abs=0.05)
    assert all(math.isfinite(value) for value in values.values())


def test_examples_of_another_configuration_are_refused(folder):
    data = ["--data", str(folder / "data")]
    assert run(folder, *data, "--set", "data.min_timeline_length=2").exit_code == 0
    from components.timeline_example_gen.generate import generate_examples
    from configs.loader import load_config

    examples = folder / "examples"
    config = load_config(folder / "config.pbtxt")
    generate_examples(config, str(folder / "data"), str(examples))
    longer = "input.activity_feature_groups.0.features.0.feature_length=3"
    result = run(folder, "--examples", str(examples), "--set", longer)
    assert result.exit_code == 1
    assert "the examples do not fit the configuration" in result.output
    assert result.output.count("\n") == 1


def test_a_folder_without_examples_is_refused(folder):
    result = run(folder, "--examples", str(folder / "data"))
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "Split-train: no examples here" in result.output


def test_mistakes_in_the_configuration_are_one_line(folder):
    data = ["--data", str(folder / "data")]
    result = run(folder, *data, "--set", "data.seeds=1")
    assert result.exit_code == 1
    assert "data.seeds" in result.output
    assert result.output.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["--data", "x", "--examples", "y"]])
def test_one_of_data_and_examples_is_wanted(folder, arguments):
    result = run(folder, *arguments)
    assert result.exit_code == 2
    assert "Give one of --data and --examples." in result.output
