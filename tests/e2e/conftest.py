"""Small data that the runs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.synthesize import synthesize
from data.synthetic_world import WorldSize


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 users and 80 items in MovieLens-1M's format."""
    folder = tmp_path_factory.mktemp("tiny") / "data"
    synthesize(WorldSize(users=60, items=80, ratings=2400, seed=7), "ml-1m", folder)
    return folder
