"""Which checkpoints are kept, and what fits."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from components.trainer.checkpoints import (
    CheckpointFolder,
    load_checkpoint,
    model_digest,
)
from configs import recommender_pb2 as pb
from configs.errors import UserError


def model(width: int = 3) -> keras.Model:
    result = keras.Sequential([keras.layers.Dense(width)])
    result.build((1, 2))
    return result


def config(**train: object) -> pb.RecommenderConfig:
    result = pb.RecommenderConfig(name="tiny", train=pb.TrainConfig(**train))
    result.model.lstm_num_units = 8
    return result


def test_newest_and_best_are_kept(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "deep" / "er", config(max_checkpoints=2))
    weights = model()
    for epoch in range(1, 12):
        folder.save_epoch(weights, epoch)
        if epoch == 3:
            folder.save_best(weights)
    digest = model_digest(config())
    assert sorted(p.name for p in (tmp_path / "deep" / "er").iterdir()) == [
        f"tiny-{digest}-best.weights.h5",
        f"tiny-{digest}-epoch-0010.weights.h5",
        f"tiny-{digest}-epoch-0011.weights.h5",
    ]


def test_an_earlier_training_is_left_alone(tmp_path: Path) -> None:
    old = CheckpointFolder(tmp_path, config(max_checkpoints=1))
    kept = old.save_epoch(model(), 9)
    new = CheckpointFolder(tmp_path, config(max_checkpoints=1))
    for epoch in (1, 2):
        path = new.save_epoch(model(), epoch)
    assert sorted(tmp_path.iterdir()) == [path, kept]


def test_weights_come_back(tmp_path: Path) -> None:
    one, other = model(), model()
    path = CheckpointFolder(tmp_path, config()).save_best(one)
    load_checkpoint(other, path)
    for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_digest_tells_models_apart_but_not_trainings() -> None:
    other = config()
    other.model.lstm_num_units = 9
    assert model_digest(config()) == model_digest(config(learning_rate=0.5))
    assert model_digest(config()) != model_digest(other)
    # Its head has weights of its own.
    assert model_digest(config()) != model_digest(config(value_loss_weight=0.1))


def test_checkpoint_of_another_model(tmp_path: Path) -> None:
    path = CheckpointFolder(tmp_path, config()).save_best(model(3))
    with pytest.raises(UserError, match="does not fit the configuration"):
        load_checkpoint(model(4), path)


@pytest.mark.parametrize("name", ["a.weights.h5", "a.txt"])
def test_file_that_is_no_checkpoint(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="no checkpoint"):
        load_checkpoint(model(), tmp_path / name)
    (tmp_path / name).write_text("no weights")
    with pytest.raises(UserError, match=r"a\.(weights|txt)"):
        load_checkpoint(model(), tmp_path / name)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"train\.checkpoint_path"):
        CheckpointFolder(tmp_path / "file" / "folder", config())
