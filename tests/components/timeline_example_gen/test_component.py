"""The component in TFX, in a pipeline of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.timeline_example_gen.fingerprint import data_fingerprint
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import config_to_text

# Timelines of 5, 4 and 3 activities: 2 + 1 + 0 train examples, one eval and one test
# example each.
LOG = "user_id,item,timestamp\n" + "".join(
    f"{user},i{t},{t}\n" for user, length in (("a", 5), ("b", 4), ("c", 3))
    for t in range(length)
)  # fmt: skip
INPUT = """
activity_feature_groups {
  features { feature_name: "context_item" embedding_dim: 4 feature_length: 2 }
}
label_feature { feature_name: "label_item" embedding_dim: 4 }
"""


def _config(make_config: Callable[..., pb.RecommenderConfig]) -> pb.RecommenderConfig:
    config = make_config(INPUT)
    config.data.files.item_column = "item"
    return config


def test_modules_beside_the_component_do_not_import_tfx() -> None:
    code = (
        "import sys; import components.timeline_example_gen.generate;"
        "assert 'tfx' not in sys.modules and 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=_root())


def _root() -> Path:
    return Path(__file__).resolve().parents[3]


@pytest.mark.e2e
def test_a_pipeline_of_this_component_alone(
    make_config: Callable[..., pb.RecommenderConfig],
    read_split: Callable[[Path, str], list[dict[str, Any]]],
    tmp_path: Path,
) -> None:
    from tfx import v1 as tfx
    from tfx.components.util import examples_utils
    from tfx.orchestration import metadata
    from tfx.types import standard_artifacts

    from components.timeline_example_gen import TimelineExampleGen
    from components.timeline_example_gen.generate import DEFAULT_BEAM_ARGS

    data = tmp_path / "data"
    data.mkdir()
    (data / "activities.csv").write_text(LOG)
    config = _config(make_config)

    def run(fingerprint: str) -> None:
        component = TimelineExampleGen(
            config=config_to_text(config),
            data=str(data),
            fingerprint=fingerprint,
            code_digest="0",
        )
        tfx.orchestration.LocalDagRunner().run(
            tfx.dsl.Pipeline(
                pipeline_name="one",
                pipeline_root=str(tmp_path / "root"),
                components=[component],
                metadata_connection_config=(
                    tfx.orchestration.metadata.sqlite_metadata_connection_config(
                        str(tmp_path / "metadata.db")
                    )
                ),
                enable_cache=True,
                beam_pipeline_args=list(DEFAULT_BEAM_ARGS),
            )
        )

    run(data_fingerprint(config, str(data)))
    root = tmp_path / "root" / "TimelineExampleGen"
    (examples,) = (root / "examples").iterdir()
    counts = {
        name: len(read_split(examples, name))
        for name in ("train", "eval", "test", "catalogue")
    }
    assert counts == {"train": 3, "eval": 3, "test": 3, "catalogue": 5}
    (report,) = (root / "ingestion_report").glob("*/value")
    assert json.loads(report.read_text())["examples"] == counts

    store = metadata.Metadata(
        tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(tmp_path / "metadata.db")
        )
    )
    with store as handler:
        (artifact,) = handler.store.get_artifacts_by_type("Examples")
    assert artifact.properties["span"].int_value == 0
    splits = json.loads(artifact.properties["split_names"].string_value)
    assert splits == ["train", "eval", "test", "catalogue"]
    wrapped = standard_artifacts.Examples()
    wrapped.set_mlmd_artifact(artifact)
    assert examples_utils.get_file_format(wrapped) == "tfrecords_gzip"

    run(data_fingerprint(config, str(data)))
    assert len(list((root / "examples").iterdir())) == 1  # From the cache.
    (data / "activities.csv").write_text(LOG + "c,i3,3\n")
    with pytest.raises(Exception, match="have changed since the run was started"):
        run("of an older state")
    run(data_fingerprint(config, str(data)))
    newest = max((root / "examples").iterdir(), key=lambda path: int(path.name))
    assert len(read_split(newest, "train")) == 4


@pytest.mark.e2e
def test_a_users_mistake_keeps_its_type(
    make_config: Callable[..., pb.RecommenderConfig], tmp_path: Path
) -> None:
    from tfx.types import standard_artifacts

    from components.timeline_example_gen.executor import Executor

    (tmp_path / "activities.csv").write_text(LOG + "d,,9\n")
    examples = standard_artifacts.Examples()
    examples.uri = str(tmp_path / "examples")
    properties = {
        "config": config_to_text(_config(make_config)),
        "data": str(tmp_path),
        "span": "latest",
    }
    with pytest.raises(UserError, match="line 14: item is empty: 'd,,9'"):
        Executor().Do({}, {"examples": [examples]}, properties)
