"""A bundle's model in LiteRT."""

from __future__ import annotations

import struct
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from pocketrec_device.bundle import MODEL, SIGNATURE, TOP_IDS, TOP_SCORES, Bundle
from pocketrec_device.json_reader import BundleError

# A flatbuffer starts with the offset of its root table and a name of four letters; the
# smallest table is the offset of its own description.
_HEAD = struct.Struct("<I4s")
_IDENTIFIER = b"TFL3"
_SMALLEST_TABLE = 4


class Model:
    """An interpreter of its own for a bundle's model; threads take turns.

    Args:
      bundle: a loaded one.
      num_threads: for LiteRT.

    Raises:
      BundleError: if LiteRT cannot load the model, or its signature is not the one in
        the manifest.
    """

    def __init__(self, bundle: Bundle, num_threads: int = 1) -> None:
        self._path = bundle.path / MODEL
        self._shape = (bundle.num_predictions,)
        _check_flatbuffer(self._path, bundle.model)
        try:
            self._interpreter = Interpreter(
                model_content=bundle.model, num_threads=num_threads
            )
            # Here, not in the first answer, an operator that LiteRT lacks is found.
            self._interpreter.allocate_tensors()
            self._runner = _checked_runner(bundle, self._interpreter)
        except BundleError:
            raise
        # For a file that is damaged LiteRT has errors of all kinds.
        except Exception as error:
            raise BundleError(
                f"{self._path}: LiteRT cannot load it: {_line(error)}"
            ) from error
        self._lock = threading.Lock()

    def run(
        self, tensors: Mapping[str, np.ndarray[Any, Any]]
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The answer to the inputs ``[1, length]``.

        Returns:
          Indices of items int32 ``[K]`` and their scores float32 ``[K]``.

        Raises:
          BundleError: if LiteRT cannot run the model, or answers something else.
        """
        try:
            with self._lock:
                answer = self._runner(**tensors)
        # As above: of a damaged file some things are found only now.
        except Exception as error:
            raise BundleError(
                f"{self._path}: LiteRT cannot run it: {_line(error)}"
            ) from error
        indices, scores = answer[TOP_IDS], answer[TOP_SCORES]
        if not indices.shape == scores.shape == self._shape:
            raise BundleError(
                f"{self._path}: answered {list(indices.shape)} ids and "
                f"{list(scores.shape)} scores. Expected {list(self._shape)}"
            )
        return indices, scores


def _check_flatbuffer(path: Path, content: bytes) -> None:
    root, identifier = 0, b""
    if len(content) >= _HEAD.size:
        root, identifier = _HEAD.unpack_from(content)
    if identifier != _IDENTIFIER:
        raise BundleError(
            f"{path}: is no LiteRT model: {_IDENTIFIER.decode()} is missing"
        )
    if not _HEAD.size <= root <= len(content) - _SMALLEST_TABLE:
        raise BundleError(
            f"{path}: is no whole LiteRT model: its content should start at byte "
            f"{root}, and it has {len(content)}"
        )


def _checked_runner(bundle: Bundle, interpreter: Interpreter) -> Any:
    path = bundle.path / MODEL
    signatures = list(interpreter.get_signature_list())
    if signatures != [SIGNATURE]:
        raise BundleError(
            f"{path}: has the signatures {signatures}. Expected {SIGNATURE} alone"
        )
    runner = interpreter.get_signature_runner(SIGNATURE)
    _compare(
        path,
        "inputs",
        {
            name: _text(d["dtype"], d["shape"])
            for name, d in runner.get_input_details().items()
        },
        {i.name: _text(i.dtype, (1, i.length)) for i in bundle.inputs},
    )
    _compare(
        path,
        "outputs",
        {
            name: _text(d["dtype"], d["shape"])
            for name, d in runner.get_output_details().items()
        },
        {o.name: _text(o.dtype, (o.length,)) for o in bundle.outputs},
    )
    return runner


def _compare(
    path: Path, what: str, received: Mapping[str, str], expected: Mapping[str, str]
) -> None:
    if received != expected:
        raise BundleError(
            f"{path}: {what} are {_listed(received)}. Expected {_listed(expected)}, as "
            "the manifest says"
        )


def _text(dtype: Any, shape: Sequence[int]) -> str:
    return f"{np.dtype(dtype).name} {[int(size) for size in shape]}"


def _listed(tensors: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {tensors[name]}" for name in sorted(tensors)) or "none"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
