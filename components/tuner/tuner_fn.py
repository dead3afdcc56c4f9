"""Entry point of TFX's Tuner: trials are the Trainer's trainings, without an export."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras_tuner
from keras_tuner import oracles

from components.trainer.run_fn import catalogue_patterns, matching_files
from components.trainer.trainer import train_model
from components.trainer.training import stopping_metric
from components.tuner.space import keep_in_range, search_space
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import parse_config
from configs.tuned import tuned_config

# So many trials that fail from the first on: the others would fail as well.
_HOPELESS = 3


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
        self._mistake: UserError | None = None
        kinds = {
            pb.RANDOM_SEARCH: oracles.RandomSearchOracle,
            pb.BAYESIAN_OPTIMIZATION: oracles.BayesianOptimizationOracle,
        }
        num_trials = int(config.tune.num_trials)
        oracle = kinds[config.tune.strategy](
            objective=keras_tuner.Objective(self._metric, "max"),
            max_trials=num_trials,
            # Several in a row may fail by chance; what has been found is not lost.
            max_consecutive_failed_trials=num_trials + 1,
            hyperparameters=search_space(config),
            tune_new_entries=False,
            allow_new_entries=False,
            # With 0 KerasTuner draws a seed of its own.
            seed=int(config.tune.seed) % 2**31 or 2**31,
        )
        super().__init__(oracle, directory=directory, project_name="tuning")

    def run_trial(self, trial: Any, *_: Any, **__: Any) -> dict[str, float]:
        """Trains with the trial's values.

        Returns:
          The metric; NaN, by which KerasTuner knows that the trial failed, if training
          ended with a mistake of the user, such as a learning rate that is too high.
        """
        keep_in_range(trial.hyperparameters)
        values = trial.hyperparameters.values
        self._mistake = None
        place = f"{_number(trial)}/{self._config.tune.num_trials}"
        try:
            config = tuned_config(self._config, values)
            # The user's folder is for checkpoints of the run's own model.
            config.train.ClearField("checkpoint_path")
            config.train.max_checkpoints = 1
            result = train_model(
                config,
                **self._files,
                serving_model_dir="",
                model_run_dir=self.get_trial_dir(trial.trial_id),
                report=lambda line: None,
                export=False,
            )
        except UserError as error:
            self._mistake = error
            print(f"trial {place}  {_text(values)}: failed: {error}")
            return {self._metric: math.nan}
        best = result.fit.best
        value = best.metrics[self._metric]
        print(
            f"trial {place}  {_text(values)}: {self._metric} {value:.4f} in epoch "
            f"{best.number}"
        )
        return {self._metric: value}

    def on_trial_end(self, trial: Any) -> None:
        """Ends the search if none of the first trials was of use."""
        super().on_trial_end(trial)
        if len(self.oracle.trials) == _HOPELESS:
            self._expect_success()

    def search(self, *fit_args: Any, **fit_kwargs: Any) -> None:
        """Runs the trials.

        Raises:
          UserError: if all failed, or all of the first ones.
        """
        super().search(*fit_args, **fit_kwargs)
        self._expect_success()

    def search_space_summary(self, extended: bool = False) -> None:
        """Tells what is tuned, in a line."""
        fields = ", ".join(tuned.field for tuned in self._config.tune.fields)
        print(f"tuning {fields} in at most {self._config.tune.num_trials} trials")

    def results_summary(self, num_trials: int = 1) -> None:
        """Tells how many trials ran, and which were the best, in a line each."""
        ran, failed = self._counts()
        print(f"{ran} of {self._config.tune.num_trials} trials ran, {failed} failed")
        for trial in self.oracle.get_best_trials(min(num_trials, ran - failed)):
            values = _text(trial.hyperparameters.values)
            print(f"best trial {_number(trial)}  {values}: {trial.score:.4f}")

    def _counts(self) -> tuple[int, int]:
        statuses = [trial.status for trial in self.oracle.trials.values()]
        return len(statuses), statuses.count("FAILED")

    def _expect_success(self) -> None:
        ran, failed = self._counts()
        if failed == ran:
            last = self._mistake or "the error above"
            planned = self._config.tune.num_trials
            raise UserError(
                f"tune: all trials failed ({ran} of {planned} ran), the last with: "
                f"{last}"
            )


def _number(trial: Any) -> int:
    """From 1; KerasTuner counts from 0."""
    return int(trial.trial_id) + 1


def _text(values: dict[str, Any]) -> str:
    return "  ".join(
        f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in values.items()
    )
