"""Entry point of TFX's Trainer."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from components.trainer.executor import CHOSEN
from components.trainer.trainer import train_model
from configs.loader import apply_override, parse_config, validate_training
from configs.tuned import tuned_config

CATALOGUE_SPLIT = "Split-catalogue"


def run_fn(fn_args: Any) -> None:
    """Trains and exports.

    Args:
      fn_args: TFX's ``FnArgs``. ``custom_config["config"]`` is the configuration as
        text, of which ``custom_config["chosen"]`` overrides fields of `train`; the
        catalogue's examples lie beside those of train.
        ``hyperparameters`` are the Tuner's, where there is one; ``base_model`` is the
        current version's training, from CurrentModel.
    """
    config = parse_config(fn_args.custom_config["config"])
    for name, value in fn_args.custom_config.get(CHOSEN, {}).items():
        apply_override(config, f"train.{name}={value}")
        validate_training(config)
    if fn_args.hyperparameters:
        # What the Tuner chose.
        config = tuned_config(config, fn_args.hyperparameters["values"])
    with contextlib.ExitStack() as stack:
        # Checkpoints are written and read as local files.
        run_dir = base_model = ""
        if is_remote := "://" in fn_args.model_run_dir:
            run_dir = stack.enter_context(tempfile.TemporaryDirectory())
        if fn_args.base_model and "://" in fn_args.base_model:
            base_model = stack.enter_context(tempfile.TemporaryDirectory())
            copy_tree(fn_args.base_model, base_model)
        train_model(
            config,
            train_files=matching_files(fn_args.train_files),
            eval_files=matching_files(fn_args.eval_files),
            catalogue_files=matching_files(catalogue_patterns(fn_args.train_files)),
            transform_output=fn_args.transform_output,
            serving_model_dir=fn_args.serving_model_dir,
            model_run_dir=run_dir or fn_args.model_run_dir,
            base_model=base_model or fn_args.base_model,
        )
        if is_remote:
            copy_tree(run_dir, fn_args.model_run_dir)


def copy_tree(source: str, target: str) -> None:
    """Copies a folder's files, from and to any file system of TensorFlow's.

    A folder that is not there is one without files.
    """
    for folder, _, files in tf.io.gfile.walk(source):
        below = os.path.relpath(folder, source)
        place = target if below == "." else os.path.join(target, below)
        tf.io.gfile.makedirs(place)
        for name in files:
            tf.io.gfile.copy(
                os.path.join(folder, name), os.path.join(place, name), overwrite=True
            )


def matching_files(patterns: Iterable[str]) -> list[str]:
    """Files that match any of the patterns, in one order."""
    return sorted(file for pattern in patterns for file in tf.io.gfile.glob(pattern))


def catalogue_patterns(train_patterns: Iterable[str]) -> list[str]:
    """``<uri>/Split-train/*`` to ``<uri>/Split-catalogue/*``."""
    patterns = []
    for pattern in train_patterns:
        folder, name = os.path.split(pattern)
        patterns.append(os.path.join(os.path.dirname(folder), CATALOGUE_SPLIT, name))
    return patterns
