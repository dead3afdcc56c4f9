"""Push destinations with the files that CurrentModel looks at."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def push() -> Callable[[Path, int], None]:
    """Lays out a version as a push does and makes it the current one."""

    def write(destination: Path, version: int) -> None:
        folder = destination / "versions" / str(version)
        files = {
            "bundle/model.tflite": f"tflite {version}",
            "bundle/items.jsonl": "{}\n",
            "bundle/vocabularies/movie_id.txt": "50\n",
            "bundle/manifest.json": json.dumps({"version": version}),
            "training/saved_model/saved_model.pb": f"model {version}",
            "training/saved_model/variables/variables.index": "",
            "training/examples/Split-test/part.gz": f"examples {version}",
            "training/config.pbtxt": f"config {version}",
            "training/transform/saved_model.pb": f"graph {version}",
            "training/model_run/checkpoints/a-1-epoch-0001.weights.h5": "",
            "training/model_run/checkpoints/a-1-best.weights.h5": f"weights {version}",
        }
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        (destination / "CURRENT").write_text(f"{version}\n")

    return write
