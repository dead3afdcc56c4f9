"""The notebook runs as it stands, and what is stored in it is of a real run."""

from __future__ import annotations

import base64
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

from scripts import notebook
from tests.checkout import ROOT

pytestmark = pytest.mark.e2e

PATH = ROOT / "examples" / "on_device_recommendation.ipynb"
# A path from the root of a file system, of two parts at least.
ABSOLUTE = re.compile(r"(?<![\w.:/])/[A-Za-z_][\w.-]*/\w|[A-Z]:\\\\|file://")
PNG = b"\x89PNG\r\n\x1a\n"
# By the id of a cell.
PICTURES = {"graph-ids", "graph-features", "curves", "bars"}


@dataclass(frozen=True)
class Run:
    """A notebook that was run, and what was beside the checkout's files after it."""

    notebook: nbformat.NotebookNode
    added: set[Path]
    temporary: set[str]


@pytest.fixture(scope="module")
def stored() -> nbformat.NotebookNode:
    return notebook.read(PATH)


@pytest.fixture(scope="module")
def run(stored: nbformat.NotebookNode) -> Run:
    folders = (ROOT, PATH.parent)
    before = {path for folder in folders for path in folder.iterdir()}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        executed = notebook.execute(stored, PATH.parent)
        # TensorFlow 2.21 leaves the bytecode of what AutoGraph makes.
        temporary = set(os.listdir(folder)) - {"__pycache__"}
    after = {path for folder in folders for path in folder.iterdir()}
    return Run(executed, after - before, temporary)


def code_cells(node: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in node.cells if cell.cell_type == "code"]


def kinds(cell: nbformat.NotebookNode) -> list[str]:
    """Of the outputs of a cell: the stream's name, or the formats."""
    return [
        output.get("name") or " ".join(sorted(output.get("data", ["error"])))
        for output in cell.outputs
    ]


def texts(node: nbformat.NotebookNode) -> Iterator[str]:
    """All that the cells have put out as text."""
    for cell in code_cells(node):
        for output in cell.outputs:
            yield output.get("text", "")
            yield from (
                value
                for kind, value in output.get("data", {}).items()
                if not kind.startswith("image/")
            )


def pictures(node: nbformat.NotebookNode) -> dict[str, bytes]:
    return {
        cell.id: base64.b64decode(output.data["image/png"])
        for cell in code_cells(node)
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    }


def accuracies(node: nbformat.NotebookNode) -> dict[str, float]:
    """HR@10 on test, by the name of a model."""
    [cell] = [cell for cell in node.cells if cell.id == "evaluate"]
    rows = re.findall(r"^(\S+) +(\d\.\d+) +\d\.\d+$", cell.outputs[0].text, re.M)
    return {name: float(value) for name, value in rows}


def test_the_file_is_normalized(stored: nbformat.NotebookNode) -> None:
    assert PATH.read_text(encoding="utf-8") == notebook.text_of(stored)
    normalized = nbformat.from_dict(stored)
    notebook.normalize(normalized)
    assert normalized == stored
    assert stored.metadata.kernelspec.name == "python3"
    ids = [cell.id for cell in stored.cells]
    assert len(ids) == len(set(ids))


def test_the_stored_output_is_of_this_code(stored: nbformat.NotebookNode) -> None:
    """Else: ``python -m scripts.notebook examples/on_device_recommendation.ipynb``."""
    assert stored.metadata[notebook.DIGEST] == notebook.code_digest(stored)
    counts = [cell.execution_count for cell in code_cells(stored)]
    assert counts == list(range(1, len(counts) + 1))


def test_the_stored_output_shows_the_result(stored: nbformat.NotebookNode) -> None:
    shown = pictures(stored)
    assert set(shown) == PICTURES
    assert all(picture.startswith(PNG) for picture in shown.values())
    assert {kind for cell in code_cells(stored) for kind in kinds(cell)} == {
        "stdout",
        "image/png text/plain",
    }
    silent = {cell.id for cell in code_cells(stored) if not cell.outputs}
    assert silent == {"root", "setup", "imports"}


@pytest.mark.parametrize("which", ["stored", "run"])
def test_the_output_names_no_place(which: str, request: pytest.FixtureRequest) -> None:
    node = request.getfixturevalue(which)
    for text in texts(node if which == "stored" else node.notebook):
        assert ABSOLUTE.search(text) is None, text
        assert str(Path.home()) not in text
        assert tempfile.gettempdir() not in text


@pytest.mark.parametrize(
    ("text", "is_place"),
    [
        ("Written: /tmp/tmp1/examples", True),
        ("at '/home/ann/x.py'", True),
        ("(/usr/lib/python3)", True),
        ("vocabularies/movie_id.txt", False),
        ("epoch 1/6  loss 6.1", False),
        ("runs/sample/push", False),
        ("3 / 4", False),
    ],
)
def test_what_counts_as_a_place(text: str, is_place: bool) -> None:
    assert bool(ABSOLUTE.search(text)) == is_place


def test_it_runs_without_an_error_or_a_warning(run: Run) -> None:
    for cell in code_cells(run.notebook):
        assert not {"stderr", "error"} & set(kinds(cell)), cell.outputs


def test_it_puts_out_what_is_stored(run: Run, stored: nbformat.NotebookNode) -> None:
    """The same kinds of output from the same code; numbers may differ by machine."""
    pairs = zip(code_cells(run.notebook), code_cells(stored), strict=True)
    for executed, expected in pairs:
        assert executed.source == expected.source
        assert kinds(executed) == kinds(expected), executed.id
    assert set(pictures(run.notebook)) == PICTURES


@pytest.mark.parametrize("which", ["stored", "run"])
def test_both_models_beat_popularity(
    which: str, request: pytest.FixtureRequest
) -> None:
    node = request.getfixturevalue(which)
    found = accuracies(node if which == "stored" else node.notebook)
    assert {"popularity", "markov_5", "id-based", "feature-based"} <= set(found)
    for name in ("id-based", "feature-based"):
        assert found[name] > 1.5 * found["popularity"]


def test_it_leaves_nothing_behind(run: Run) -> None:
    assert run.added == set()
    assert run.temporary == set()
