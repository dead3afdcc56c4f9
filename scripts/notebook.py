"""Runs the cells of a notebook and stores it with what they have put out.

    python -m scripts.notebook examples/on_device_recommendation.ipynb

What is stored depends on the cells and their output alone: no times of execution, no
version of the interpreter. A digest of the code that has run tells later whether the
output is still that of the code.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import nbclient
import nbformat

# Of one cell; the slowest take half a minute on two quiet cores.
TIMEOUT_SECONDS = 900
DIGEST = "code_digest"


def read(path: Path) -> nbformat.NotebookNode:
    """A notebook of version 4.

    Raises:
      ValidationError: if it is none.
    """
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def execute(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """A copy of a notebook with what its cells put out when they are run in order.

    Args:
      notebook: it stays as it is.
      folder: what its cells find as the current one.

    Raises:
      CellExecutionError: if a cell fails.
    """
    result = nbformat.from_dict(notebook)
    client = nbclient.NotebookClient(
        result,
        timeout=TIMEOUT_SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    normalize(result)
    return result


def normalize(notebook: nbformat.NotebookNode) -> None:
    """Leaves nothing in the metadata that another machine or run would change."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {
                "display_name": "Python 3",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
            DIGEST: code_digest(notebook),
        }
    )
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        for output in cell.get("outputs", []):
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
    nbformat.validate(notebook)


def code_digest(notebook: nbformat.NotebookNode) -> str:
    """Of the sources of the code cells, in order."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def text_of(notebook: nbformat.NotebookNode) -> str:
    """A notebook as the file has it."""
    return nbformat.writes(notebook) + "\n"


def main(paths: list[str]) -> None:
    """Runs notebooks and stores them."""
    for path in map(Path, paths):
        notebook = execute(read(path), path.parent)
        path.write_text(text_of(notebook), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
