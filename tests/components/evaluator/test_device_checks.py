"""What a bundle is like on a device, on bundles whose answers are known."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.evaluator import device_checks
from components.evaluator.bounds import Limits, device_limits
from components.evaluator.device_checks import Answers
from components.evaluator.verdict import bound_verdict
from configs import recommender_pb2 as pb
from configs.errors import UserError
from pocketrec_device import Bundle
from pocketrec_device.recommender import FLOOR

pytestmark = pytest.mark.slow

SCORES = {11: 4.0, 12: 3.0, 13: 2.0, 14: 1.0}


@pytest.fixture(scope="module")
def bundle(
    tmp_path_factory: pytest.TempPathFactory,
    make_bundles: Callable[..., None],
    bundle_spec: Any,
) -> Bundle:
    folder = tmp_path_factory.mktemp("device") / "bundle"
    make_bundles({folder: bundle_spec(SCORES, seen=True)})
    return Bundle.load(folder)


@pytest.fixture(scope="module")
def examples(rows: Any, encode: Callable[..., bytes]) -> list[bytes]:
    return [encode(row) for row in rows]


@pytest.fixture(scope="module")
def answers(bundle: Bundle, examples: list[bytes]) -> Answers:
    return device_checks.device_answers(bundle, examples)


def test_all_examples_are_answered_in_a_process_of_its_own(
    bundle: Bundle, answers: Answers, rows: Any
) -> None:
    assert answers.ids.shape == answers.scores.shape == (len(rows), 3)
    for row, ids, scores in zip(rows, answers.ids, answers.scores, strict=True):
        left = [item for item in SCORES if item not in row.context][:3]
        listed = scores > FLOOR
        assert [11 + index - 2 for index in ids[listed]] == left
    values = device_checks.resource_values(answers)
    assert 0 < values["latency_p50_ms"] <= values["latency_p99_ms"]
    assert values["memory_bytes"] > 0


def test_a_sane_model_has_nothing_to_hide(bundle: Bundle, answers: Answers) -> None:
    values = device_checks.sanity_values(bundle, answers)
    assert values["distinct_items"] == len(set(answers.ids[answers.scores > FLOOR]))
    for name in ("nonfinite_answers", "constant_answers", "unknown_items"):
        assert values[name] == 0


def spoilt(answers: Answers, **change: np.ndarray) -> Answers:
    return dataclasses.replace(answers, **change)


def test_insane_answers_are_counted(bundle: Bundle, answers: Answers) -> None:
    def count(name: str, **change: np.ndarray) -> float:
        changed = spoilt(answers, **change)
        return device_checks.sanity_values(bundle, changed)[name]

    scores = answers.scores.copy()
    scores[1, 0] = np.nan
    assert count("nonfinite_answers", scores=scores) == 1
    one = np.where(answers.scores > FLOOR, np.float32(2), answers.scores)
    several = (answers.scores > FLOOR).sum(axis=1) > 1
    assert count("constant_answers", scores=one) == several.sum() > 0
    for index in (0, 1, 99):
        ids = answers.ids.copy()
        ids[0, 0] = index
        assert count("unknown_items", ids=ids) == 1
    same = np.tile(np.array([2, 3, 4], np.int32), (len(answers.ids), 1))
    assert count("distinct_items", ids=same) == 3
    assert count("first_item_share", ids=same) == 1
    halves = same.copy()
    halves[::2, :2] = [3, 2]
    listed = answers.scores > FLOOR
    firsts = [
        int(row[0]) for row, there in zip(halves, listed, strict=True) if there[0]
    ]
    commonest = max(sorted(set(firsts)), key=firsts.count)
    lists = [row[there] for row, there in zip(halves, listed, strict=True)]
    share = firsts.count(commonest) / sum(commonest in row for row in lists)
    assert count("first_item_share", ids=halves) == share < 1
    # Who has had the item gets another one.
    had = same.copy()
    had[0] = [3, 4, 5]
    assert count("first_item_share", ids=had) == 1
    nothing = np.full_like(answers.scores, FLOOR)
    assert count("first_item_share", scores=nothing) == 0


def test_agreement_with_the_same_and_with_other_answers(
    bundle: Bundle, answers: Answers
) -> None:
    def raw(ids: np.ndarray, scores: np.ndarray) -> dict[str, float]:
        pairs = zip(ids[:2], scores[:2], strict=True)
        return {str(11 + i - 2): float(s) for i, s in pairs if s > FLOOR}

    theirs = [raw(*pair) for pair in zip(answers.ids, answers.scores, strict=True)]
    assert device_checks.agreement(bundle, answers, theirs, 2) == (1.0, 0.0)
    apart = [{item: score + 0.5 for item, score in best.items()} for best in theirs]
    overlap, difference = device_checks.agreement(bundle, answers, apart, 2)
    assert (overlap, difference) == (1.0, pytest.approx(0.5))
    others = [dict.fromkeys((*best, "99"), 1.0) for best in theirs]
    shares = [len(best) / (len(best) + 1) for best in theirs]
    overlap, _ = device_checks.agreement(bundle, answers, others, 2)
    assert overlap == pytest.approx(np.mean(shares))


@pytest.mark.parametrize("break_it", ["truncate", "delete"])
def test_a_bundle_that_does_not_run_is_told_in_one_line(
    bundle: Bundle, examples: list[bytes], tmp_path: Path, break_it: str
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(bundle.path, folder)
    broken = dataclasses.replace(bundle, path=folder)
    model = folder / "model.tflite"
    if break_it == "delete":
        model.unlink()
    else:
        model.write_bytes(model.read_bytes()[:100])
    with pytest.raises(UserError, match=r"does not run on a device.*model\.tflite"):
        device_checks.device_answers(broken, examples)


def test_what_no_model_should_do_is_bound_without_a_configuration(
    config: pb.RecommenderConfig,
) -> None:
    limits = device_limits(config, num_items=100, num_examples=20)
    assert limits["self_test"] == Limits(lower_bound=1.0)
    assert limits["distinct_items"] == Limits(lower_bound=20.0)
    assert limits["overlap_2"] == Limits(lower_bound=0.8)
    for name in ("nonfinite_answers", "constant_answers", "unknown_items"):
        assert limits[name] == Limits(upper_bound=0.0)
    assert limits["first_item_share"] == Limits(upper_bound=0.9)
    small = device_limits(config, num_items=5, num_examples=19)
    assert small["distinct_items"].lower_bound == 3
    assert small["first_item_share"] == Limits()


def test_who_gets_nothing_from_both_models_is_no_disagreement(
    bundle: Bundle, answers: Answers
) -> None:
    nothing = spoilt(answers, scores=np.full_like(answers.scores, FLOOR))
    theirs: list[dict[str, float]] = [{} for _ in answers.ids]
    assert device_checks.agreement(bundle, nothing, theirs, 2) == (1.0, 0.0)
    theirs[0] = {"11": 1.0}
    assert device_checks.agreement(bundle, nothing, theirs, 2) == (0.0, 0.0)


@pytest.mark.parametrize("metric", ["distinct_items", "first_item_share", "overlap_2"])
def test_a_bound_leaves_the_other_side_as_it_was(
    config: pb.RecommenderConfig, metric: str
) -> None:
    default = device_limits(config, num_items=100, num_examples=20)[metric]
    changed = pb.RecommenderConfig()
    changed.CopyFrom(config)
    sides = {"lower_bound": 0.25, "upper_bound": 0.75}
    given = "upper_bound" if default.upper_bound is None else "lower_bound"
    changed.eval.bounds.add(metric=metric, **{given: sides[given]})
    limits = device_limits(changed, num_items=100, num_examples=20)[metric]
    assert limits == dataclasses.replace(default, **{given: sides[given]})


def test_the_configuration_binds_more(config: pb.RecommenderConfig) -> None:
    changed = pb.RecommenderConfig()
    changed.CopyFrom(config)
    changed.eval.bounds.add(metric="latency_p99_ms", upper_bound=5)
    changed.eval.bounds.add(metric="latency_p99_ms", upper_bound=3)
    changed.eval.bounds.add(metric="distinct_items", lower_bound=2)
    changed.eval.bounds.add(metric="first_item_share", upper_bound=0.2)
    limits = device_limits(changed, num_items=100, num_examples=20)
    assert limits["first_item_share"] == Limits(upper_bound=0.2)
    assert limits["latency_p99_ms"] == Limits(upper_bound=3.0)
    assert limits["distinct_items"] == Limits(lower_bound=2.0)


@pytest.mark.parametrize(
    ("limits", "value", "blessed"),
    [
        (Limits(), 3.0, None),
        (Limits(upper_bound=3.0), 3.0, True),
        (Limits(upper_bound=3.0), 3.1, False),
        (Limits(lower_bound=3.0), 2.9, False),
        (Limits(lower_bound=3.0), float("nan"), False),
    ],
)
def test_a_value_against_its_bounds(
    limits: Limits, value: float, blessed: bool | None
) -> None:
    assert bound_verdict("memory_bytes", value, limits).blessed is blessed
