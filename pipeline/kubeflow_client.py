"""Runs and recurring runs of a compiled pipeline, through Kubeflow's own client."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp_server_api
import urllib3
import yaml
from kfp import client as kfp_client

from components.text_table import table_lines
from configs.errors import UserError

# What the backend puts in place of it: the date (UTC) that a run is scheduled for.
SCHEDULED_DATE = "[[ScheduledTime.2006-01-02]]"
SPAN = "span"

_PAGE = 100
_INTEGER = "NUMBER_INTEGER"
# Of content that has another shape.
_WRONG = (TypeError, AttributeError)


@dataclass(frozen=True)
class Parameter:
    """What a run may choose.

    Attributes:
      kind: ``parameterType``, e.g. ``NUMBER_INTEGER``.
      default: its value unless chosen.
    """

    kind: str
    default: Any


@dataclass(frozen=True)
class Package:
    """A compiled pipeline.

    Attributes:
      path: of the YAML file.
      name: of the pipeline.
      parameters: by name.
    """

    path: Path
    name: str
    parameters: Mapping[str, Parameter]


def read_package(path: Path) -> Package:
    """Reads what ``pocketrec kubeflow compile`` wrote.

    Raises:
      UserError: if the file is something else.
    """
    try:
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))
        name = spec["pipelineInfo"]["name"]
        declared = spec["root"]["inputDefinitions"]["parameters"]
        parameters = {
            key: Parameter(one["parameterType"], one.get("defaultValue"))
            for key, one in declared.items()
        }
        return Package(path, str(name), parameters)
    except (OSError, ValueError, yaml.YAMLError, LookupError, *_WRONG) as error:
        raise UserError(
            f"{path}: is no compiled pipeline. Expected what `pocketrec kubeflow "
            "compile` wrote"
        ) from error


def parameter_values(package: Package, given: Sequence[str]) -> dict[str, Any]:
    """Values of parameters from ``NAME=VALUE``, of the types that the package declares.

    Raises:
      UserError: naming the parameter, the value and what is allowed.
    """
    values: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in package.parameters:
            known = ", ".join(
                f"{known} (by default {parameter.default!r})"
                for known, parameter in sorted(package.parameters.items())
            )
            raise UserError(f"--param {text}: expected NAME=VALUE, of {known}")
        if package.parameters[name].kind != _INTEGER:
            values[name] = value
            continue
        try:
            values[name] = int(value)
        except ValueError:
            raise UserError(
                f"--param {name}: {value!r} is not allowed. Expected a whole number"
            ) from None
    return values


def six_fields(cron: str) -> str:
    """A cron expression as Kubeflow reads it, with seconds before the minutes.

    Raises:
      UserError: unless it has five fields, or six.
    """
    fields = cron.split()
    if len(fields) == 5:
        fields.insert(0, "0")
    if len(fields) != 6:
        raise UserError(
            f"--cron: {cron!r} is not allowed. Expected five fields, e.g. '0 3 * * *', "
            "or six with seconds before them"
        )
    return " ".join(fields)


class Backend:
    """Kubeflow Pipelines' API server.

    Args:
      host: its address; None: as the environment or the cluster's tell.
      namespace: of a multi-user deployment.
      token_file: holds a bearer token.
      experiment: that runs are filed under; it is made if there is none.

    Raises:
      UserError: if it cannot be reached.
    """

    def __init__(
        self,
        host: str | None,
        namespace: str | None,
        token_file: Path | None,
        experiment: str,
    ) -> None:
        token = token_file.read_text().strip() if token_file else None
        self._namespace = namespace
        self._experiment = experiment
        with _told(host):
            self._client = kfp_client.Client(
                host=host,
                existing_token=token,
            )
            # The client retries for long, and then says it in many lines.
            self._client.get_kfp_healthz(sleep_duration=1)
        self._host = host

    def submit(
        self,
        package: Package,
        parameters: Mapping[str, Any],
        name: str,
        service_account: str | None,
    ) -> str:
        """Starts a run; returns its id."""
        with _told(self._host):
            run = self._client.create_run_from_pipeline_package(
                str(package.path),
                arguments=dict(parameters),
                run_name=name,
                experiment_name=self._experiment,
                namespace=self._namespace,
                enable_caching=False,
                service_account=service_account,
            )
        return str(run.run_id)

    def schedule(
        self,
        package: Package,
        parameters: Mapping[str, Any],
        name: str,
        cron: str,
        service_account: str | None,
    ) -> tuple[str, int]:
        """Creates a recurring run in place of those of the same name.

        At most one of its runs goes at a time, and those that were missed are not made
        up for. Where the data comes in spans, the date that a run is scheduled for is
        its span, unless `parameters` says otherwise.

        Returns:
          Its id, and how many it has replaced.
        """
        params = dict(parameters)
        if SPAN in package.parameters:
            params.setdefault(SPAN, SCHEDULED_DATE)
        with _told(self._host):
            experiment = self._client.create_experiment(
                self._experiment, namespace=self._namespace
            )
            number = str(experiment.experiment_id)
            before = [r for r in self._recurring(number) if r.display_name == name]
            created = self._client.create_recurring_run(
                number,
                name,
                cron_expression=six_fields(cron),
                max_concurrency=1,
                no_catchup=True,
                params=params,
                pipeline_package_path=str(package.path),
                enable_caching=False,
                service_account=service_account,
            )
            # Last: whatever fails before, there is one that goes on.
            for run in before:
                self._client.delete_recurring_run(run.recurring_run_id)
        return str(created.recurring_run_id), len(before)

    def delete(self, name: str) -> int:
        """Deletes the recurring runs of a name; returns how many there were.

        Raises:
          UserError: if there is none, naming those that there are.
        """
        with _told(self._host):
            found = self._recurring(self._find_experiment())
            named = [run for run in found if run.display_name == name]
            for run in named:
                self._client.delete_recurring_run(run.recurring_run_id)
        if not named:
            names = ", ".join(sorted({run.display_name for run in found})) or "none"
            raise UserError(
                f"{name}: there is no such recurring run. There are: {names}"
            )
        return len(named)

    def lines(self, num_runs: int) -> list[str]:
        """Recurring runs and the newest runs, as tables."""
        with _told(self._host):
            experiment = self._find_experiment()
            recurring = [
                (
                    run.display_name,
                    run.trigger.cron_schedule.cron
                    if run.trigger and run.trigger.cron_schedule
                    else "",
                    _word(run.status),
                    run.recurring_run_id,
                )
                for run in self._recurring(experiment)
            ]
            found = experiment and self._client.list_runs(
                page_size=num_runs,
                sort_by="created_at desc",
                namespace=self._namespace,
                experiment_id=experiment,
            )
            runs = [
                (
                    run.display_name,
                    f"{run.created_at:%Y-%m-%d %H:%M}" if run.created_at else "",
                    _word(run.state),
                    run.run_id,
                )
                for run in (found and found.runs) or []
            ]
        return [
            *_table(("recurring run", "cron", "status", "id"), recurring),
            "",
            *_table(("run", "created", "state", "id"), runs),
        ]

    def _find_experiment(self) -> str | None:
        """Its id, None where there is none yet; others' runs are none of ours."""
        try:
            found = self._client.get_experiment(
                experiment_name=self._experiment, namespace=self._namespace
            )
        except ValueError as error:
            if str(error).startswith("No experiment is found"):
                return None
            raise
        return str(found.experiment_id)

    def _recurring(self, experiment: str | None) -> list[Any]:
        found: list[Any] = []
        token = ""
        while experiment is not None:
            page = self._client.list_recurring_runs(
                page_token=token,
                page_size=_PAGE,
                namespace=self._namespace,
                experiment_id=experiment,
            )
            found += page.recurring_runs or []
            token = page.next_page_token
            if not token:
                break
        return found


@contextlib.contextmanager
def _told(host: str | None) -> Iterator[None]:
    """Makes one line of what the client raises, and keeps it from printing links."""
    where = host or "Kubeflow Pipelines"
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except kfp_server_api.ApiException as error:
        raise UserError(f"{where}: {error.status}: {_reason(error)}") from error
    except (urllib3.exceptions.HTTPError, TimeoutError, OSError) as error:
        raise UserError(f"{where}: cannot be reached: {error}") from error


def _reason(error: kfp_server_api.ApiException) -> str:
    try:
        content = json.loads(error.body)
        text = content.get("error") or content.get("message")
    except (TypeError, ValueError, AttributeError):
        text = error.body
    return " ".join(str(text or error.reason).split())[:300]


def _word(value: Any) -> str:
    return "" if value is None else str(value).lower()


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return table_lines([header, *rows]) if rows else [f"no {header[0]}"]
