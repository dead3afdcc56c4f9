"""Weights on disk: the newest epochs and the best one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import keras

from configs import recommender_pb2 as pb
from configs.errors import UserError

SUFFIX = ".weights.h5"


class CheckpointFolder:
    """Writes ``<name>-<digest>-epoch-0003.weights.h5`` and ``...-best.weights.h5``.

    The digest tells models apart whose weights would not fit into each other: it is
    that of the configuration's input and model. Files of an earlier training are left
    alone, save those of the same name.
    """

    def __init__(self, folder: str | Path, config: pb.RecommenderConfig) -> None:
        """Makes the folder if there is none.

        Raises:
          UserError: if it cannot be made.
        """
        self._folder = Path(folder)
        self._prefix = f"{config.name}-{model_digest(config)}"
        self._keep = int(config.train.max_checkpoints)
        self._written: list[Path] = []
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"train.checkpoint_path: cannot make the folder {folder}: "
                f"{error.strerror}"
            ) from error

    @property
    def best_path(self) -> Path:
        """Where the best epoch's weights are."""
        return self._folder / f"{self._prefix}-best{SUFFIX}"

    def save_epoch(self, model: keras.Model, epoch: int) -> Path:
        """Saves an epoch's weights; of its own, the newest ``max_checkpoints`` stay.

        Args:
          model: with weights.
          epoch: from 1.
        """
        path = self._folder / f"{self._prefix}-epoch-{epoch:04d}{SUFFIX}"
        _save(model, path)
        self._written.append(path)
        for old in self._written[: -self._keep]:
            old.unlink(missing_ok=True)
        self._written = self._written[-self._keep :]
        return path

    def save_best(self, model: keras.Model) -> Path:
        """Saves the best weights in place of the former best."""
        _save(model, self.best_path)
        return self.best_path


def _save(model: keras.Model, path: Path) -> None:
    # Beside its place first: a run that is ended meanwhile leaves no half of a file.
    partial = path.with_name(f".partial-{path.name}")
    model.save_weights(partial, overwrite=True)
    partial.replace(path)


def model_digest(config: pb.RecommenderConfig) -> str:
    """Eight hexadecimal digits of what decides the shapes of the weights."""
    text = config.input.SerializeToString(deterministic=True)
    text += config.model.SerializeToString(deterministic=True)
    if config.train.value_loss_weight:
        text += b"value head"
    return hashlib.sha256(text).hexdigest()[:8]


def load_checkpoint(model: keras.Model, path: str | Path) -> None:
    """Reads weights into a model that has been called once.

    Raises:
      UserError: if the file is missing, is none of ours or is of another model.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no checkpoint {path}: expected a file *{SUFFIX}")
    if not path.name.endswith(SUFFIX):
        raise UserError(f"{path} is no checkpoint: expected a file *{SUFFIX}")
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"checkpoint {path} does not fit the configuration: "
            f"{' '.join(str(error).split())[:300]}"
        ) from error
