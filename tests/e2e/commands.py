"""Runs the command line as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample"


# For `tiny_data`: two kinds of features, two encoders, quickly trained.
TINY_CONFIG = """
name: "tiny"
input {
  activity_feature_groups {
    features { feature_name: "context_movie_id" feature_type: INT
               vocab_name: "movie_id" embedding_dim: 8 feature_length: 6 }
    features { feature_name: "context_movie_rating" feature_type: FLOAT
               feature_length: 6 scaling: Z_SCORE }
    encoder_type: BOW
  }
  activity_feature_groups {
    features { feature_name: "context_movie_genre" embedding_dim: 4
               feature_length: 12 }
    encoder_type: CNN
  }
  label_feature { feature_name: "label_movie_id" feature_type: INT
                  vocab_name: "movie_id" embedding_dim: 8 }
}
model { hidden_layer_dims: 16 num_predictions: 20 seen: TIMELINE }
train { num_epochs: 2 batch_size: 64 learning_rate: 0.01 }
eval {
  bounds { metric: "hr_10_test" lower_bound: 0.001 }
  # Hardly trained, it recommends few.
  bounds { metric: "distinct_items" lower_bound: 1 }
}
"""


@dataclass(frozen=True)
class Command:
    """What a command of `pocketrec` printed and how it ended."""

    code: int
    out: str
    err: str


def pocketrec(*arguments: str | Path, cwd: Path | None = None) -> Command:
    """Runs the command line as a user does, in a process of its own.

    Whatever becomes of it, nothing may be left in the folder of temporary files.
    """
    with tempfile.TemporaryDirectory() as temporary:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "TMPDIR": temporary,
        }
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        # TensorFlow 2.21 leaves the bytecode of what AutoGraph makes, some kilobytes.
        left = set(os.listdir(temporary)) - {"__pycache__"}
    assert not left, f"{left} left in the temporary folder"
    return Command(done.returncode, done.stdout, done.stderr)
