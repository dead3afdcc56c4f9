"""What a bundle is like on a device: size, time, memory, agreement, sanity.

The bundle answers real examples of eval in a process without TensorFlow, through the
device's client. Its answers are compared with those of the SavedModel that it was
converted from.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from components.child_process import run_python
from components.evaluator.bounds import Limits, device_limits
from components.evaluator.tflite_extractor import recommendable_items
from components.evaluator.verdict import MetricVerdict, bound_verdict
from components.tflite_converter.raw_examples import example_tensors
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError
from pocketrec_device import Bundle
from pocketrec_device.bundle import MODEL
from pocketrec_device.recommender import FLOOR

# More examples tell nothing new.
MOST_EXAMPLES = 1000

_TIMEOUT_SECONDS = 600
_SERVING_BATCH = 128


@dataclass(frozen=True)
class Answers:
    """What a bundle answered.

    Attributes:
      ids: int32 ``[examples, K]``, indices of items, best first.
      scores: float32 ``[examples, K]``; of items that are left out `FLOOR`.
      seconds: float64 ``[examples]``, of each call.
      memory: bytes of the process that hold the model beside its file's content.
      self_test: what is wrong with the canary's answer; empty if nothing.
    """

    ids: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray
    memory: int
    self_test: str


def check_device(
    bundle_path: str,
    saved_model: str,
    examples: Sequence[bytes],
    config: pb.RecommenderConfig,
) -> list[MetricVerdict]:
    """Measures a bundle and holds it to its bounds.

    Args:
      bundle_path: a local folder.
      saved_model: what it was converted from, with the signature ``serving_default``.
      examples: serialized raw tf.Examples of eval, at least one.
      config: the configuration.

    Raises:
      UserError: if the bundle does not load in a process of its own, or takes too long.
    """
    bundle = Bundle.load(bundle_path)
    examples = examples[:MOST_EXAMPLES]
    answers = device_answers(bundle, examples)
    values = {
        "model_bytes": float(bundle.files[MODEL].size),
        **resource_values(answers),
        **sanity_values(bundle, answers),
    }
    k = features.overlap_k(config)
    theirs = saved_model_answers(saved_model, examples, k)
    overlap, difference = agreement(bundle, answers, theirs, k)
    values |= {f"overlap_{k}": overlap, "score_difference": difference}
    _, num_lists = first_item_share(answers)
    limits = device_limits(config, len(recommendable_items(bundle)), num_lists)
    rows = [
        bound_verdict(name, value, limits.get(name, Limits()))
        for name, value in values.items()
    ]
    if not answers.self_test:
        return rows
    return [
        dataclasses.replace(row, note=answers.self_test)
        if row.metric == "self_test"
        else row
        for row in rows
    ]


def device_answers(bundle: Bundle, examples: Sequence[bytes]) -> Answers:
    """Runs a bundle on examples in a process of its own.

    Raises:
      UserError: if it does not load there, or takes too long.
    """
    columns = example_tensors(bundle, examples)
    with tempfile.TemporaryDirectory() as folder:
        requests, answers = (
            os.path.join(folder, name) for name in ("requests.npz", "answers.npz")
        )
        np.savez(requests, **columns)
        module = ("-m", "components.evaluator.device_process")
        try:
            done = run_python(
                [*module, str(bundle.path), requests, answers],
                _TIMEOUT_SECONDS,
                capture_output=True,
            )
        except subprocess.TimeoutExpired as error:
            raise UserError(
                f"the .tflite gate: {bundle.path / MODEL} took longer than "
                f"{_TIMEOUT_SECONDS} s for {len(examples)} requests"
            ) from error
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["it said nothing"]
            how = f"signal {-done.returncode}" if done.returncode < 0 else "an error"
            raise UserError(
                f"the .tflite gate: the bundle does not run on a device, {how}: "
                f"{lines[-1]}"
            )
        with np.load(answers) as found:
            return Answers(
                found["ids"],
                found["scores"],
                found["seconds"],
                int(found["memory"]),
                str(found["self_test"]),
            )


def saved_model_answers(
    saved_model: str, examples: Sequence[bytes], k: int
) -> list[dict[str, float]]:
    """The best items of a SavedModel for each example: raw ids with their scores."""
    serve = tf.saved_model.load(saved_model).signatures["serving_default"]
    result = []
    for start in range(0, len(examples), _SERVING_BATCH):
        found = serve(examples=tf.constant(examples[start : start + _SERVING_BATCH]))
        items = found["top_prediction_items"].numpy()[:, :k]
        scores = found["top_prediction_scores"].numpy()[:, :k]
        for ids, values in zip(items, scores, strict=True):
            pairs = zip(ids, values, strict=True)
            result.append({i.decode(): float(v) for i, v in pairs if v > FLOOR})
    return result


def resource_values(answers: Answers) -> dict[str, float]:
    """Milliseconds of a call, median and 99th percentile, and bytes of memory."""
    milliseconds = 1000.0 * answers.seconds
    return {
        "latency_p50_ms": float(np.percentile(milliseconds, 50)),
        "latency_p99_ms": float(np.percentile(milliseconds, 99)),
        "memory_bytes": float(answers.memory),
    }


def sanity_values(bundle: Bundle, answers: Answers) -> dict[str, float]:
    """How many answers no model should give, and how alike the answers are.

    Returns:
      Counts, and ``first_item_share``, see `first_item_share`.
    """
    scores = answers.scores
    listed = scores > FLOOR
    known = np.array(sorted(recommendable_items(bundle).values()))
    lowest = np.min(scores, axis=1, where=listed, initial=np.inf)
    highest = np.max(scores, axis=1, where=listed, initial=-np.inf)
    several = listed.sum(axis=1) > 1
    top = answers.ids[:, :10][listed[:, :10]]
    return {
        "self_test": float(not answers.self_test),
        "nonfinite_answers": float((~np.isfinite(scores)).any(axis=1).sum()),
        "constant_answers": float((several & (lowest == highest)).sum()),
        "unknown_items": float((~np.isin(answers.ids[listed], known)).sum()),
        "distinct_items": float(np.unique(top).size),
        "first_item_share": first_item_share(answers)[0],
    }


def first_item_share(answers: Answers) -> tuple[float, int]:
    """How often the commonest of the best items comes first where it comes at all.

    Those who have had an item do not get it; to all others, a model that has the same
    to say to everybody says it first.

    Returns:
      The share, 0 if there is no answer, and the number of answers that it is of.
    """
    listed = answers.scores > FLOOR
    best, counts = np.unique(answers.ids[listed[:, 0], 0], return_counts=True)
    if not best.size:
        return 0.0, 0
    with_it = int(((answers.ids == best[counts.argmax()]) & listed).any(axis=1).sum())
    return float(counts.max() / with_it), with_it


def agreement(
    bundle: Bundle, answers: Answers, theirs: Sequence[Mapping[str, float]], k: int
) -> tuple[float, float]:
    """How much the best K of both have in common, and how far their scores differ.

    Returns:
      The mean share of the SavedModel's items that the bundle names too, and the
      largest difference of the scores of one item.
    """
    raw = {index: item for item, index in recommendable_items(bundle).items()}
    shares, differences = [], [0.0]
    for ids, scores, expected in zip(answers.ids, answers.scores, theirs, strict=True):
        best = zip(ids[:k], scores[:k], strict=True)
        ours = {raw.get(int(i), ""): float(s) for i, s in best if s > FLOOR}
        common = ours.keys() & expected.keys()
        # To somebody who has had all items both have nothing to say.
        if ours or expected:
            shares.append(len(common) / max(len(expected), 1))
        differences += [abs(ours[item] - expected[item]) for item in common]
    return float(np.mean(shares or 1.0)), float(np.max(differences))
