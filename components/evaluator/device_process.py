"""What a bundle does on requests, measured in a process without TensorFlow.

``python -m components.evaluator.device_process BUNDLE REQUESTS ANSWERS``: REQUESTS and
ANSWERS are ``.npz`` files, see `components.evaluator.device_checks`.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

from pocketrec_device import Bundle, BundleError, Recommender

_WARM_UP = 10


def measure(bundle: Path, requests: Path, answers: Path) -> None:
    """Runs all requests, one after the other, on one thread.

    Args:
      bundle: its folder.
      requests: by input of the model, int32 or float32 ``[requests, length]``.
      answers: written: ``ids`` int32 ``[requests, K]``, ``scores`` float32
        ``[requests, K]``, ``seconds`` float64 ``[requests]`` of each call,
        ``memory`` int64, bytes that the model takes beside its file's content, and
        ``self_test``, the text of what is wrong with its canary, empty if nothing.

    Raises:
      pocketrec_device.BundleError: if the bundle does not load.
    """
    loaded = Bundle.load(bundle)
    before = _resident()
    recommender = Recommender(loaded)
    with np.load(requests) as columns:
        inputs = {name: columns[name] for name in columns.files}
    count = len(next(iter(inputs.values())))
    rows = [
        {name: values[i : i + 1] for name, values in inputs.items()}
        for i in range(count)
    ]
    for row in rows[:_WARM_UP]:
        recommender.predict(row)
    ids, scores, seconds = [], [], []
    for row in rows:
        start = time.perf_counter()
        found, score = recommender.predict(row)
        seconds.append(time.perf_counter() - start)
        ids.append(found)
        scores.append(score)
    memory = _resident() - before
    np.savez(
        answers,
        ids=np.array(ids),
        scores=np.array(scores),
        seconds=np.array(seconds),
        memory=np.array(memory),
        self_test=np.array(_self_test(recommender)),
    )


def _self_test(recommender: Recommender) -> str:
    try:
        recommender.self_test()
    except BundleError as error:
        return str(error)
    return ""


def _resident() -> int:
    """Bytes of memory that this process holds."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Command line; what is wrong with the bundle is one line on stderr."""
    bundle, requests, answers = map(Path, sys.argv[1:])
    try:
        measure(bundle, requests, answers)
    except BundleError as error:
        print(error, file=sys.stderr)
        return 1
    if "tensorflow" in sys.modules:
        raise AssertionError("TensorFlow was loaded: what was measured is no device")
    return 0


if __name__ == "__main__":
    sys.exit(main())
