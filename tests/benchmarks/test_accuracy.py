"""The benchmark that sets whole runs beside the baselines."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import accuracy
from benchmarks.examples import Columns
from configs.errors import UserError
from data.synthesize import synthesize
from data.synthetic_world import WorldSize

CONFIGS = Path(__file__).parents[2] / "configs"
SAMPLE = CONFIGS / "sample_id_based.pbtxt"


def test_each_configuration_with_each_seed() -> None:
    paths = [CONFIGS / "sample.pbtxt", SAMPLE]
    candidates = accuracy.load_candidates(paths, ["train.num_epochs=2"], [3, 4])
    assert [c.name for c in candidates] == [
        "sample-3",
        "sample-4",
        "sample_id_based-3",
        "sample_id_based-4",
    ]
    assert [c.config.train.seed for c in candidates] == [3, 4, 3, 4]
    assert {c.config.train.num_epochs for c in candidates} == {2}
    assert candidates[0].overrides == ("train.num_epochs=2", "train.seed=3")
    assert {c.config.data.seed for c in candidates} == {1}


def test_without_seeds_each_has_its_own() -> None:
    [candidate] = accuracy.load_candidates([SAMPLE], ["train.seed=9"], [])
    assert (candidate.name, candidate.config.train.seed) == ("sample_id_based", 9)


def test_numbers_that_do_not_compare_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'sample_id_based' is there already"):
        accuracy.load_candidates([SAMPLE, SAMPLE], [], [])
    kept = tmp_path / "kept.pbtxt"
    text = SAMPLE.read_text().replace("seen: TIMELINE", "seen: KEPT")
    text = text.replace("leave_out_seen: true", "leave_out_seen: false")
    kept.write_text(text.replace('name: "sample_id_based"', 'name: "kept"'))
    with pytest.raises(UserError, match=r"model\.seen.*timeline.*kept"):
        accuracy.load_candidates([SAMPLE, kept], [], [])
    bound = 'eval.bounds={metric: "hr_5_test" lower_bound: 0.1}'
    with pytest.raises(UserError, match=r"eval\.eval_top_k: \[5\]"):
        accuracy.load_candidates([SAMPLE], ["eval.eval_top_k=5", bound], [])


def test_other_examples_are_told_by_the_column_that_differs() -> None:
    numbers = np.array([1, 2])
    columns = Columns(
        user=np.array([b"a", b"b"]),
        position=numbers,
        label=numbers,
        context=numbers[:, None],
        context_length=numbers,
        seen=np.array([7, 8, 9]),
        seen_count=numbers,
    )
    # Models may look at contexts of different lengths.
    accuracy.expect_same("mine", replace(columns, context=numbers), columns)
    other = replace(columns, seen=np.array([7, 8, 8]))
    with pytest.raises(UserError, match=r"mine: .* differ in seen"):
        accuracy.expect_same("mine", other, columns)


def test_a_configuration_beside_the_strongest_baseline() -> None:
    runs = [
        {
            "seed": seed,
            "coverage_10_test": coverage,
            "popularity_ratio_10_test": 1.5,
            "milliseconds": 0.25,
            "model_bytes": 1000,
            "bundle_bytes": size,
        }
        for seed, coverage, size in ((3, 0.25, 2000), (4, 0.75, 2001))
    ]
    # HR@10 of the seeds 3 / 4 and 2 / 4; NDCG@10 of both 2 / 4.
    ranks = np.array([[1, 3, 3, np.inf], [1, 1, np.inf, 11]])
    # HR@10 1 / 4 and 2 / 4, NDCG@10 1 / 4 and 0.2891.
    others = {"first": np.array([1, 20, 20, 20]), "late": np.array([20, 20, 10, 10])}
    users = np.array([b"a", b"b", b"c", b"d"], object)
    found = accuracy.compare(runs, ranks, others, users)
    assert found["seeds"] == [3, 4]
    hit_rate, ndcg = found["hr_10_test"], found["ndcg_10_test"]
    assert (hit_rate["mean"], hit_rate["std"]) == (0.625, pytest.approx(0.125 * 2**0.5))
    assert (hit_rate["baseline"], hit_rate["baseline_value"]) == ("late", 0.5)
    # By user 1, 1, -0.5, -1.
    assert hit_rate["difference"] == 0.125
    assert hit_rate["low"] < 0 < hit_rate["high"]
    assert hit_rate["excludes_zero"] is False
    assert (ndcg["mean"], ndcg["std"]) == (0.5, 0.0)
    assert (ndcg["baseline"], ndcg["baseline_value"]) == ("first", 0.25)
    assert (found["coverage_10_test"], found["milliseconds"]) == (0.5, 0.25)
    assert (found["model_bytes"], found["bundle_bytes"]) == (1000, 2001)
    alone = accuracy.compare(runs[:1], ranks[:1], others, users)
    assert alone["hr_10_test"]["std"] is None


def test_the_tables() -> None:
    metrics = {"hr_10_test": 0.25, "ndcg_10_test": 0.125}
    half = {name: value / 2 for name, value in metrics.items()}
    beyond = {"coverage_10_test": 0.75, "popularity_ratio_10_test": 1.5}
    compared = {
        "mean": 0.125,
        "std": 0.01,
        "baseline": "popularity",
        "baseline_value": 0.1,
        "difference": 0.025,
        "low": -0.005,
        "high": 0.055,
        "excludes_zero": False,
    }
    certain = {**compared, "std": None, "low": 0.005, "excludes_zero": True}
    result = {
        "protocol": "by time, seen=kept",
        "test_examples": 1234,
        "items": 10,
        "models": {"popularity": half | beyond},
        "bootstrap": {"resamples": 10000, "level": 0.95},
        "runs": {
            "mine-3": {
                "tflite": half,
                "saved_model": metrics,
                **beyond,
                "model_bytes": 1000,
                "bundle_bytes": 23456,
                "milliseconds": 0.0625,
                "components": {
                    "Transform": {"state": "cached", "seconds": 0.1},
                    "Trainer": {"state": "complete", "seconds": 12.3},
                },
            }
        },
        "configurations": {
            "mine": {"seeds": [3, 4], "hr_10_test": compared, "ndcg_10_test": certain}
        },
    }
    lines = [line.split() for line in accuracy.report(result)]
    assert lines[0][2:] == ["seen=kept:", "1,234", "test", "examples,", "10", "items"]
    of_both = ["0.1250", "0.0625", "0.7500", "1.50"]
    assert ["popularity", *of_both] in lines
    sizes = ["1,000", "23,456", "0.062"]
    assert ["mine-3", *of_both, "0.2500", "0.1250", *sizes] in lines
    beside = ["popularity", "0.1000", "+0.0250"]
    hit_rate = ["mine", "hr_10_test", "2", "0.1250", "0.0100", *beside]
    assert [*hit_rate, "-0.0050", "to", "+0.0550", "no"] in lines
    ndcg = ["mine", "ndcg_10_test", "2", "0.1250", *beside]
    assert [*ndcg, "+0.0050", "to", "+0.0550", "yes"] in lines
    assert lines[-4:] == [
        ["seconds", "mine-3"],
        ["Transform", "0.1", "(cached)"],
        ["Trainer", "12.3"],
        ["all", "12.4"],
    ]


@pytest.mark.e2e
def test_a_run_beside_the_baselines(tmp_path: Path) -> None:
    world = WorldSize(users=60, items=80, ratings=2400, seed=7)
    synthesize(world, "ml-1m", tmp_path / "data")
    arguments = ["--config", str(SAMPLE), "--data", str(tmp_path / "data")]
    arguments += ["--output", str(tmp_path / "runs"), "--set", "train.num_epochs=1"]
    arguments += ["--json", str(tmp_path / "result.json"), "--seed", "5"]
    arguments += ["--set", "model.seen=KEPT", "--set", "train.leave_out_seen=false"]
    bound = "eval.bounds.0.lower_bound"
    done = CliRunner().invoke(accuracy.main, [*arguments, "--set", f"{bound}=0.001"])
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["test_examples"] == 60
    assert set(result["models"]) == {"popularity", "markov", "markov_5", "item_cosine"}
    assert "seen=kept" in result["protocol"]
    run = result["runs"]["sample_id_based-5"]
    assert run["seed"] == 5
    assert "seen=kept" in run["protocol"]
    assert 0 < run["tflite"]["hr_10_test"] < 1
    assert 0 < run["saved_model"]["ndcg_10_test"] < 1
    version = tmp_path / "runs/sample_id_based/push_sample_id_based-5/versions/1"
    model = version / "bundle" / "model.tflite"
    assert run["model_bytes"] == model.stat().st_size < run["bundle_bytes"]
    assert len(run["components"]) == 11
    assert run["components"]["Trainer"]["state"] == "complete"
    assert run["components"]["Trainer"]["seconds"] > 0
    assert 0 < run["coverage_10_test"] <= 1
    assert run["milliseconds"] > 0
    compared = result["configurations"]["sample_id_based"]
    assert compared["seeds"] == [5]
    values = compared["hr_10_test"]
    assert values["mean"] == run["tflite"]["hr_10_test"]
    best = result["models"][values["baseline"]]["hr_10_test"]
    assert values["difference"] == pytest.approx(values["mean"] - best)
    assert values["low"] <= values["difference"] <= values["high"]

    refused = CliRunner().invoke(accuracy.main, [*arguments, "--set", f"{bound}=0.999"])
    assert refused.exit_code == 1
    assert "exit code 3" in refused.output
