"""Names of operators that the quantizer knows the device's model by."""

from __future__ import annotations

CANDIDATE_SCORES = "scores"
RANKING_HEAD = "ranking_head"
