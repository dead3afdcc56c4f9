"""Entry point of TFX's Tuner: trials are the Trainer's trainings, without an export."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras_tuner
from keras_tuner import errors, oracles

from components.trainer.run_fn import catalogue_patterns, matching_files
from components.trainer.trainer import train_model
from components.trainer.training import stopping_metric
from components.tuner.space import search_space
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import parse_config
from configs.tuned import tuned_config


class TunerFnResult(NamedTuple):
    """What TFX's Tuner asks for."""

    tuner: keras_tuner.engine.base_tuner.BaseTuner
    fit_kwargs: dict[str, Any]


def tuner_fn(fn_args: Any) -> TunerFnResult:
    """The search that the configuration asks for.

    Args:
      fn_args: TFX's ``FnArgs``. ``custom_config["config"]`` is the configuration as
        text; the catalogue's examples lie beside those of train.
    """
    config = parse_config(fn_args.custom_config["config"])
    files = {
        "train_files": matching_files(fn_args.train_files),
        "eval_files": matching_files(fn_args.eval_files),
        "catalogue_files": matching_files(catalogue_patterns(fn_args.train_files)),
        "transform_output": fn_args.transform_graph_path,
    }
    # Without verbose=0 KerasTuner clears the terminal before each trial.
    return TunerFnResult(
        TrainingTuner(config, files, fn_args.working_dir), {"verbose": 0}
    )


class TrainingTuner(keras_tuner.engine.base_tuner.BaseTuner):
    """Trains a model for each trial; its result is the best epoch's on eval."""

    def __init__(
        self, config: pb.RecommenderConfig, files: dict[str, Any], directory: str
    ) -> None:
        """Takes what all trials share.

        Args:
          config: the configuration, with its fields to tune.
          files: arguments of `train_model` that name the data.
          directory: for the trials' logs and checkpoints.
        """
        self._config = config
        self._files = files
        self._metric = stopping_metric(config)
        self._failure: UserError | None = None
        kinds = {
            pb.RANDOM_SEARCH: oracles.RandomSearchOracle,
            pb.BAYESIAN_OPTIMIZATION: oracles.BayesianOptimizationOracle,
        }
        oracle = kinds[config.tune.strategy](
            objective=keras_tuner.Objective(self._metric, "max"),
            max_trials=int(config.tune.num_trials),
            hyperparameters=search_space(config),
            tune_new_entries=False,
            allow_new_entries=False,
            seed=int(config.tune.seed) % 2**31,
        )
        super().__init__(oracle, directory=directory, project_name="tuning")

    def run_trial(self, trial: Any, *_: Any, **__: Any) -> dict[str, float]:
        """Trains with the trial's values.

        Raises:
          FailedTrialError: if training ends with a mistake of the user, such as a
            learning rate that is too high; the search goes on without the trial.
        """
        values = trial.hyperparameters.values
        try:
            result = train_model(
                tuned_config(self._config, values),
                **self._files,
                serving_model_dir="",
                model_run_dir=self.get_trial_dir(trial.trial_id),
                report=lambda line: None,
                export=False,
            )
        except UserError as error:
            self._failure = error
            print(f"trial {trial.trial_id}  {_text(values)}: {error}")
            raise errors.FailedTrialError(str(error)) from error
        metrics = result.fit.best.metrics
        print(
            f"trial {trial.trial_id}/{self._config.tune.num_trials}  {_text(values)}: "
            f"{self._metric} {metrics[self._metric]:.4f} in epoch "
            f"{result.fit.best.number}"
        )
        return {self._metric: metrics[self._metric]}

    def search(self, *fit_args: Any, **fit_kwargs: Any) -> None:
        """Runs all trials.

        Raises:
          UserError: if too many trials in a row failed, with the last one's mistake.
        """
        try:
            super().search(*fit_args, **fit_kwargs)
        except RuntimeError as error:
            if self._failure is None:
                raise
            raise UserError(
                f"tune: too many trials in a row failed, the last with: {self._failure}"
            ) from error

    def search_space_summary(self, extended: bool = False) -> None:
        """Tells what is tuned, in a line."""
        fields = ", ".join(tuned.field for tuned in self._config.tune.fields)
        print(f"tuning {fields} in {self._config.tune.num_trials} trials")

    def results_summary(self, num_trials: int = 1) -> None:
        """Tells which trials were the best, in a line each."""
        for trial in self.oracle.get_best_trials(num_trials):
            values = _text(trial.hyperparameters.values)
            print(f"best trial {trial.trial_id}  {values}: {trial.score:.4f}")


def _text(values: dict[str, Any]) -> str:
    return "  ".join(
        f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in values.items()
    )
