"""Names of operators that the quantizer knows the device's model by."""

from __future__ import annotations

CANDIDATE_SCORES = "scores"
RANKING_HEAD = "ranking_head"

# What the folder of a base model holds, from which a warm start begins.
BASE_CONFIG = "config.pbtxt"
BASE_TRANSFORM = "transform"
BASE_WEIGHTS = "best.weights.h5"
