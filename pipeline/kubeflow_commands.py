"""Commands for Kubeflow Pipelines. They need the optional package kfp."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import click

from pipeline.options import CONFIG, SET, VERBOSE
from pipeline.paths import expect_writable

# The Pythons for which kfp and TFX can be installed together.
PYTHONS = ((3, 10), (3, 11))


def require_kfp(
    python: tuple[int, ...] = sys.version_info[:2], name: str = "kfp"
) -> None:
    """Refuses to go on without kfp, and says how to get it.

    Args:
      python: version of the interpreter.
      name: of the package that is looked for.

    Raises:
      UserError: if it is not installed.
    """
    from configs.errors import UserError

    if importlib.util.find_spec(name) is not None:
        return
    if tuple(python[:2]) in PYTHONS:
        remedy = 'Run: pip install "pocketrec[kfp]" (in a checkout: make setup)'
    else:
        remedy = (
            f"This is Python {python[0]}.{python[1]}, and kfp can be installed beside "
            "TFX on Python 3.11 alone (or on 3.10, with TFX 1.16). Make an environment "
            'with Python 3.11 and run there: pip install "pocketrec[kfp]" (in a '
            "checkout: make setup PYTHON=3.11 VENV=.venv-kubeflow)"
        )
    raise UserError(f"kfp, Kubeflow's compiler, is not installed. {remedy}")


@click.group(short_help="Compile the pipeline for Kubeflow Pipelines.")
def kubeflow() -> None:
    """Compile the pipeline for Kubeflow Pipelines 2.

    \b
    Example:
      pocketrec kubeflow compile --config configs/sample.pbtxt \\
          --data gs://recommender/data --pipeline-root gs://recommender/runs \\
          --push-destination gs://recommender/push \\
          --image registry.example/pocketrec:1 --output pipeline.yaml

    It needs the extra kfp: pip install "pocketrec[kfp]".
    """


@kubeflow.command("compile", short_help="Write the pipeline's YAML.")
@CONFIG
@SET
@click.option(
    "--data",
    required=True,
    metavar="URI",
    help="Folder of the activities, items and users, as the tasks see it.",
)
@click.option(
    "--pipeline-root",
    required=True,
    metavar="URI",
    help="Folder of the artifacts, gs://...",
)
@click.option(
    "--push-destination",
    metavar="URI",
    help="Folder of the pushed versions; overrides push.push_destination.",
)
@click.option(
    "--image",
    required=True,
    help="Container image in which pocketrec[kfp] is installed.",
)
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write, e.g. pipeline.yaml.",
)
@VERBOSE
def compile_command(
    config_path: Path,
    overrides: tuple[str, ...],
    data: str,
    pipeline_root: str,
    push_destination: str | None,
    image: str,
    output: Path,
    verbose: bool,
) -> None:
    """Write the pipeline as Kubeflow's intermediate representation (YAML, schema 2.1).

    It needs neither a cluster nor a network. The file is uploaded to Kubeflow Pipelines
    as it is.

    \b
    Example:
      pocketrec kubeflow compile --config configs/sample.pbtxt \\
          --data gs://recommender/data --pipeline-root gs://recommender/runs \\
          --push-destination gs://recommender/push \\
          --image registry.example/pocketrec:1 --output pipeline.yaml
    """
    from configs.errors import UserError
    from configs.loader import load_config
    from pipeline.quiet import quiet

    require_kfp()
    config = load_config(config_path, overrides)
    destination = push_destination or config.push.push_destination
    if not destination:
        raise UserError(
            "push destination: none given. Expected --push-destination URI, or the "
            "field push.push_destination"
        )
    expect_writable(output.absolute().parent)
    if not verbose:
        click.get_current_context().with_resource(quiet())
    import yaml

    from pipeline.kubeflow_runner import check_reachable, compile_pipeline

    check_reachable("data", data)
    check_reachable("pipeline root", pipeline_root)
    check_reachable("push destination", destination)
    spec = compile_pipeline(config, data, pipeline_root, destination, image)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f"{output.name}.partial")
    partial.write_text(yaml.safe_dump(spec, sort_keys=True))
    partial.replace(output)
    tasks = len(spec["root"]["dag"]["tasks"])
    click.echo(f"{output}: {spec['pipelineInfo']['name']}, {tasks} tasks")
