"""Which variant is taken, and what is told of the others."""

from __future__ import annotations

import pytest

from components.evaluator.variants import Variant, choose, variant_of
from components.evaluator.verdict import MetricVerdict, Verdict
from configs import recommender_pb2 as pb
from configs.errors import UserError


def variant(name: str, size: int, blessed: bool = True, **metrics: float) -> Variant:
    return Variant(name, "00", size, blessed, metrics, "" if blessed else "too dull")


def test_the_smallest_blessed_one_is_taken() -> None:
    tried = [
        variant("FLOAT32", 400),
        variant("FLOAT16", 200),
        variant("DYNAMIC_RANGE", 100),
        variant("INT8", 50, blessed=False),
    ]
    found = choose(tried)
    assert found.chosen.quantization == "DYNAMIC_RANGE"
    assert [entry["fate"] for entry in found.as_dicts()] == [
        "not smaller than DYNAMIC_RANGE",
        "not smaller than DYNAMIC_RANGE",
        "taken, the smallest",
        "refused",
    ]
    assert found.table()[-1][-1] == "refused: too dull"


def test_quantizing_that_makes_the_file_larger_is_not_taken() -> None:
    """As it does where the catalogue is tiny."""
    found = choose([variant("FLOAT32", 100), variant("INT8", 130)])
    assert found.chosen.quantization == "FLOAT32"
    assert found.table()[2][-1] == "not smaller than FLOAT32"


def test_of_equal_sizes_the_one_with_the_most_bits_is_taken() -> None:
    tried = [variant("FLOAT32", 100), variant("FLOAT16", 100)]
    assert choose(tried).chosen.quantization == "FLOAT32"


def test_none_blessed() -> None:
    tried = [
        Variant("FLOAT32", failure="it hung"),
        variant("FLOAT16", 9, blessed=False),
        variant("INT8", 5, blessed=False),
    ]
    assert choose(tried).chosen.quantization == "FLOAT16"


def test_none_judged() -> None:
    tried = [
        Variant(name, failure=why)
        for name, why in [("FLOAT32", "a"), ("FLOAT16", "b"), ("INT8", "a")]
    ]
    with pytest.raises(UserError, match=r"^a; b$"):
        choose(tried)


def test_a_single_variant() -> None:
    found = choose([variant("FLOAT16", 1234, hr_10_test=0.25)])
    assert found.table() == [
        ("variant", "bytes", "hr_10_test", ""),
        ("FLOAT16", "1,234", "0.2500", "taken"),
    ]


def test_the_table_has_gaps_where_nothing_was_measured() -> None:
    found = choose(
        [Variant("FLOAT32", failure="it hung"), variant("FLOAT16", 9, hr_10_test=0.5)]
    )
    assert found.table()[1] == ("FLOAT32", "", "", "refused: it hung")


def test_what_a_machine_measures_stays_out_of_the_manifest() -> None:
    found = choose([variant("FLOAT16", 9, latency_p50_ms=0.3, hr_10_test=0.5)])
    assert found.as_dicts() == [
        {
            "quantization": "FLOAT16",
            "size": 9,
            "metrics": {"hr_10_test": 0.5},
            "fate": "taken",
        }
    ]


def test_a_variant_by_its_verdict() -> None:
    rows = (
        MetricVerdict("hr_5_test", 0.1),
        MetricVerdict("hr_10_test", 0.2, lower_bound=0.3, blessed=False),
        MetricVerdict("hr_10_test", 0.9, slice="history_length=1-4"),
        MetricVerdict("overlap_10", 0.95),
        MetricVerdict("latency_p50_ms", 0.4),
    )
    verdict = Verdict("TFLITE", False, 7, False, rows, ())
    found = variant_of("INT8", b"model", b"{}", pb.RecommenderConfig(), verdict)
    assert (found.size, found.blessed) == (5, False)
    assert found.metrics == {
        "latency_p50_ms": 0.4,
        "hr_10_test": 0.2,
        "overlap_10": 0.95,
    }
    assert found.failure == "hr_10_test = 0.2000 (at least 0.3): failed"
