"""Push destinations with the files that CurrentModel looks at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from components.checksums import files_below, sha256, sums_text
from components.tflite_converter.manifest import FORMAT_VERSION, write_manifest


@pytest.fixture
def push() -> Callable[..., None]:
    """Lays out a version as a push does and makes it the current one."""

    def write(destination: Path, version: int, without: str = "nothing") -> None:
        folder = destination / "versions" / str(version)
        files = {
            "bundle/model.tflite": f"tflite {version}",
            "bundle/items.jsonl": "{}\n",
            "bundle/vocabularies/movie_id.txt": "50\n",
            "training/saved_model/saved_model.pb": f"model {version}",
            "training/saved_model/variables/variables.index": "",
            "training/examples/Split-test/part.gz": f"examples {version}",
            "training/config.pbtxt": f"config {version}",
            "training/transform/saved_model.pb": f"graph {version}",
            "training/model_run/checkpoints/a-1-epoch-0001.weights.h5": "",
            "training/model_run/checkpoints/a-1-best.weights.h5": f"weights {version}",
        }
        for name, content in files.items():
            if without not in name:
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
        manifest = {"format_version": FORMAT_VERSION, "version": version}
        write_manifest(folder / "bundle", manifest)
        training = str(folder / "training")
        sums = {n: sha256(f"{training}/{n}") for n in files_below(training)}
        (folder / "training.sha256").write_text(sums_text(sums))
        (destination / "CURRENT").write_text(f"{version}\n")

    return write
