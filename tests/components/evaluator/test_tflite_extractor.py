"""The gate of the .tflite file, on models whose ranks are known."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from components.evaluator.tflite_extractor import (
    check_columns,
    check_top_k,
    load_ranker,
    recommendable_items,
)
from components.evaluator.variants import read_variants
from components.evaluator.verdict import Verdict, read_verdict
from components.tflite_converter.variants import write_failure
from configs import recommender_pb2 as pb
from configs.errors import UserError
from pocketrec_device import Bundle

pytestmark = pytest.mark.slow

POPULARITY = {11: 4.0, 12: 3.0, 13: 2.0, 14: 1.0}
VARIANT = "FLOAT32/Format-Serving"


@dataclass(frozen=True)
class Gates:
    """Runs the gate of the .tflite file on bundles by their names."""

    folder: Path
    config: pb.RecommenderConfig
    run: Callable[..., Any]

    def __call__(
        self, model: str, baseline: str | None = None, **bound: float | str
    ) -> tuple[Verdict, Any]:
        config = pb.RecommenderConfig()
        config.CopyFrom(self.config)
        if bound:
            del config.eval.bounds[:]
            config.eval.bounds.add(**bound)
        current = self.folder / (f"{baseline}/FLOAT32" if baseline else "nothing")
        gate = self.run(self.folder, config, pb.TFLITE, self.folder / model, current)
        return read_verdict(gate.evaluation, config, pb.TFLITE), gate


@pytest.fixture(scope="module")
def gates(
    tmp_path_factory: pytest.TempPathFactory,
    config: pb.RecommenderConfig,
    write_examples: Any,
    make_bundles: Any,
    bundle_spec: Any,
    run_gate: Any,
    rows: Any,
) -> Gates:
    folder = tmp_path_factory.mktemp("gates")
    write_examples(folder / "examples", rows)
    grown = POPULARITY | {item: 0.5 for item in range(20, 90)}
    specs = {
        "popular": bundle_spec(POPULARITY),
        "constant": bundle_spec(dict.fromkeys(POPULARITY, 0.5)),
        "nan": bundle_spec(dict.fromkeys(POPULARITY, math.nan)),
        "old": bundle_spec({30: 3.0, 11: 2.0, 31: 1.0, 32: 0.5}),
        "grown": bundle_spec(grown, num_predictions=10),
        "short": bundle_spec(POPULARITY, num_predictions=1),
        "leaves-out": bundle_spec(POPULARITY, seen=True),
    }
    # Baselines are read from the folder of the one variant.
    make_bundles({folder / k / VARIANT: v for k, v in specs.items()})
    return Gates(folder, config, run_gate)


def test_metrics_equal_those_by_hand(gates: Gates) -> None:
    verdict, gate = gates("popular")
    assert gate.blessed
    assert gate.files == {"BLESSED"}
    assert not verdict.compared
    # Ranks 1, 2, 3, 1 and beyond the three exported; the metrics end at 2.
    assert {row.metric: row.value for row in verdict.rows} == pytest.approx(
        {
            "hr_1_test": 2 / 5,
            "hr_2_test": 3 / 5,
            "ndcg_1_test": 2 / 5,
            "ndcg_2_test": (2 + 1 / math.log2(3)) / 5,
            "mrr_2_test": (1 + 1 / 2 + 1) / 5,
        }
    )
    assert [(s.value, s.examples) for s in verdict.slices] == [
        ("1-4", 3),
        ("5-9", 2),
    ]


@pytest.fixture(scope="module")
def variants(gates: Gates) -> tuple[Verdict, Any]:
    """One is no good, one could not be made, two are alike."""
    for name, bundle in {
        "FLOAT32": "popular",
        "FLOAT16": "popular",
        "DYNAMIC_RANGE": "constant",
    }.items():
        place = gates.folder / "several" / name / "Format-Serving"
        shutil.copytree(gates.folder / bundle / VARIANT, place)
    write_failure(str(gates.folder / "several"), "INT8", "the converter was tired")
    return gates("several")


def test_one_good_variant_is_enough(variants: tuple[Verdict, Any]) -> None:
    verdict, gate = variants
    assert gate.blessed and verdict.blessed
    assert "BLESSED" in gate.files
    assert verdict.rows[0].value == pytest.approx(2 / 5)
    found = read_variants(gate.evaluation)
    assert found.chosen.quantization == "FLOAT32"
    path = Path(gate.properties["model"]) / VARIANT / "model.tflite"
    assert found.chosen.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.chosen.size == path.stat().st_size


def test_each_variant_is_told_of(variants: tuple[Verdict, Any]) -> None:
    _, gate = variants
    header, *rows = read_variants(gate.evaluation).table()
    assert header == ("variant", "bytes", "hr_2_test", "")
    fates = {row[0]: row[-1] for row in rows}
    assert list(fates) == ["FLOAT32", "FLOAT16", "DYNAMIC_RANGE", "INT8"]
    assert fates["FLOAT32"] == "taken, the smallest"
    assert fates["FLOAT16"] == "not smaller than FLOAT32"
    assert fates["DYNAMIC_RANGE"].startswith("refused: hr_2_test = 0.0000 (at least")
    assert fates["INT8"] == "refused: the converter was tired"


def test_without_a_good_variant_the_first_tells_why(gates: Gates) -> None:
    for name, bundle in {"FLOAT32": "nan", "INT8": "constant"}.items():
        place = gates.folder / "all-bad" / name / "Format-Serving"
        shutil.copytree(gates.folder / bundle / VARIANT, place)
    _, gate = gates("all-bad")
    assert not gate.blessed
    assert "NOT_BLESSED" in gate.files
    assert read_variants(gate.evaluation).chosen.quantization == "FLOAT32"


def test_without_any_variant_the_gate_stops(gates: Gates) -> None:
    for name in ("FLOAT16", "INT8"):
        write_failure(str(gates.folder / "none"), name, "the converter was tired")
    with pytest.raises(UserError, match=r"^the converter was tired$"):
        gates("none")


def test_slices_by_popularity_and_genre(gates: Gates) -> None:
    config = pb.RecommenderConfig()
    config.CopyFrom(gates.config)
    config.eval.slice_features.extend(["label_popularity", "label_movie_genre"])
    gate = gates.run(
        gates.folder,
        config,
        pb.TFLITE,
        gates.folder / "popular",
        gates.folder / "old" / "FLOAT32",
        report={"popularity": {"head": ["11"], "middle": ["12"]}},
    )
    verdict = read_verdict(gate.evaluation, config, pb.TFLITE)
    assert verdict.compared
    found = [(s.value, s.examples, s.metrics["hr_1_test"]) for s in verdict.slices]
    assert found[2:] == [
        ("head", 2, 1.0),
        ("middle", 1, 0.0),
        ("tail", 2, 0.0),
        ("Drama", 3, pytest.approx(1 / 3)),
        ("War", 2, 0.0),
    ]


@pytest.mark.parametrize("model", ["constant", "nan"])
def test_a_model_that_tells_no_item_from_another_has_no_hit(
    gates: Gates, model: str
) -> None:
    verdict, gate = gates(model)
    assert not gate.blessed
    assert gate.files == {"NOT_BLESSED"}
    assert {row.value for row in verdict.rows} == {0.0}


def test_a_smaller_old_catalogue_is_judged_in_its_own_ids(gates: Gates) -> None:
    verdict, gate = gates(
        "grown", "old", metric="hr_2_test", lower_bound=0.1, max_regression=0.0
    )
    row = next(r for r in verdict.rows if r.metric == "hr_2_test")
    # The old model knows 11 alone and has it second.
    assert (row.value, row.baseline) == (pytest.approx(0.6), pytest.approx(0.4))
    assert gate.blessed


def test_a_larger_old_catalogue_is_judged_in_its_own_ids(gates: Gates) -> None:
    verdict, gate = gates(
        "old", "grown", metric="hr_2_test", lower_bound=0.1, max_regression=0.1
    )
    assert not gate.blessed
    assert verdict.summary() == (
        "TFLITE: NOT_BLESSED, hr_2_test = 0.4000 (at least 0.1, at most 0.1 worse than "
        "the current model's 0.6000): failed"
    )


def test_a_k_above_the_exported_one_is_refused(gates: Gates) -> None:
    with pytest.raises(UserError, match=r"eval_top_k: 2 is not allowed.*at most 1"):
        gates("short")


def test_a_broken_bundle_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"format_version": 99}))
    with pytest.raises(UserError, match=r"the \.tflite gate: .*format_version is 99"):
        load_ranker(str(tmp_path))


def test_a_baseline_that_is_broken_stops_the_gate(gates: Gates, tmp_path: Path) -> None:
    folder = tmp_path / "current" / VARIANT
    shutil.copytree(gates.folder / "old" / VARIANT, folder)
    with (folder / "model.tflite").open("r+b") as file:
        file.write(b"\0\0\0\0")
    with pytest.raises(UserError, match=r"model\.tflite: was altered"):
        gates("popular", str(tmp_path / "current"))


def test_a_baseline_of_an_older_format_stops_the_gate(
    gates: Gates, tmp_path: Path
) -> None:
    folder = tmp_path / "current" / VARIANT
    shutil.copytree(gates.folder / "old" / VARIANT, folder)
    manifest = folder / "manifest.json"
    older = manifest.read_text().replace('"format_version": 1', '"format_version": 0')
    manifest.write_text(older)
    message = rf"the \.tflite gate: {folder}.*format_version is 0\. Expected 1"
    with pytest.raises(UserError, match=message):
        gates("popular", str(tmp_path / "current"))


@pytest.fixture
def popular(gates: Gates) -> Bundle:
    return load_ranker(str(gates.folder / "popular" / VARIANT)).bundle


def test_a_column_that_the_model_needs_is_missed(popular: Bundle) -> None:
    columns = ["context_length", "context_movie_id", "label_movie_id"]
    check_columns(popular, columns)
    for name in columns:
        others = [column for column in columns if column != name]
        with pytest.raises(UserError, match=f"no column {name}, which the model in"):
            check_columns(popular, others)
    (spec,) = popular.inputs
    several = replace(popular, inputs=(replace(spec, multi_valued=True),))
    with pytest.raises(UserError, match="no column context_movie_id_length"):
        check_columns(several, columns)


def test_a_k_may_exceed_a_catalogue_that_is_exported_whole(popular: Bundle) -> None:
    items = {item.id: item for item in list(popular.items.values())[:3]}
    check_top_k(replace(popular, items=items), 4)
    with pytest.raises(UserError, match=r"4 is not allowed\. Expected at most 3"):
        check_top_k(popular, 4)


def test_a_label_that_was_seen_is_not_left_out(gates: Gates) -> None:
    ranker = load_ranker(str(gates.folder / "leaves-out" / VARIANT))
    columns = {
        "context_movie_id": [12, 0, 0],
        "context_length": [1],
        "label_movie_id": [12],
        "seen_movie_id": [11, 12],
    }
    # 11 is left out, 12 would be, too.
    assert ranker.rank(columns) == 1
    # As many as fit: the newest are left out.
    assert ranker.rank(columns | {"seen_movie_id": [11, 13, 13, 13, 13]}) == 2
    assert ranker.rank(columns | {"label_movie_id": [99]}) == math.inf


def test_an_item_out_of_vocabulary_is_never_the_label(popular: Bundle) -> None:
    items = dict(popular.items)
    items["11"] = replace(items["11"], index=1)
    bundle = replace(popular, items=items)
    assert recommendable_items(bundle) == {"12": 3, "13": 4, "14": 5}


def test_raw_ids_start_at_one(popular: Bundle) -> None:
    item = popular.items["11"]
    items = {i: replace(item, id=i, index=int(i)) for i in ("1", "3")}
    assert recommendable_items(replace(popular, items=items)) == {"1": 1, "3": 3}
