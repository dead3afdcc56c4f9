"""The picture of a model shows what the model has."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from components.trainer.recommendation_model import ModelInputs
from components.trainer.trainer import build_model
from configs import features
from configs import recommender_pb2 as pb
from configs.loader import (
    apply_override,
    load_config,
    parse_config,
    validate_config,
)
from pipeline.cli import main
from pipeline.model_graph import Graph, draw_graph, model_graph, positions

ROOT = Path(__file__).parents[2]
READY = sorted((ROOT / "configs").glob("*.pbtxt"))
PNG = b"\x89PNG\r\n\x1a\n"

IDS = """
name: "ids"
input {
  activity_feature_groups {
    features { feature_name: "context_movie_id" feature_type: INT
               vocab_name: "movie_id" embedding_dim: 32 feature_length: 10 }
    encoder_type: LSTM
  }
  label_feature { feature_name: "label_movie_id" feature_type: INT
                  vocab_name: "movie_id" embedding_dim: 32 }
}
model { lstm_num_units: 64 }
eval { bounds { metric: "hr_10_test" lower_bound: 0.05 } }
"""
FEATURES = """
name: "features"
input {
  global_feature_groups {
    features { feature_name: "user_gender" embedding_dim: 4 }
    features { feature_name: "user_occupation" embedding_dim: 4 }
    encoder_type: BOW
  }
  activity_feature_groups {
    features { feature_name: "context_movie_id" feature_type: INT
               vocab_name: "movie_id" embedding_dim: 32 feature_length: 10 }
    features { feature_name: "context_movie_rating" feature_type: FLOAT
               feature_length: 10 scaling: Z_SCORE }
    encoder_type: LSTM
  }
  activity_feature_groups {
    features { feature_name: "context_movie_genre" embedding_dim: 8
               feature_length: 30 }
    encoder_type: BOW
  }
  label_feature { feature_name: "label_movie_id" feature_type: INT
                  vocab_name: "movie_id" embedding_dim: 32 }
  label_item_features { feature_name: "label_movie_genre" embedding_dim: 8
                        feature_length: 6 }
}
model { lstm_num_units: 64 }
eval { bounds { metric: "hr_10_test" lower_bound: 0.05 } }
"""
# Each changes the model with features in another way.
VARIANTS = {
    "hidden layers": ("model.hidden_layer_dims=48,24",),
    "cross layers": ("model.cross_num_layers=2", "model.hidden_layer_dims=16"),
    "CNN": ("input.activity_feature_groups.0.encoder_type=CNN",),
    "GRU": (
        "input.activity_feature_groups.0.encoder_type=GRU",
        "model.layer_norm=true",
    ),
    "Transformer": ("input.activity_feature_groups.0.encoder_type=TRANSFORMER",),
    "BOW with layers": ("model.bow_layer_dims=12,6",),
    "features alone": ("input.label_id_embedding=false",),
    "tied": ("input.tie_item_embeddings=true",),
    "ranking": ("model.ranking_num_candidates=200",),
}


def config_of(text: str, *overrides: str) -> pb.RecommenderConfig:
    config = parse_config(text)
    for override in overrides:
        apply_override(config, override)
    validate_config(config)
    return config


def graph_of(*overrides: str) -> Graph:
    return model_graph(config_of(FEATURES, *overrides))


def details(graph: Graph) -> dict[str, str]:
    return {node.key: node.detail for node in graph.nodes}


def test_there_are_ready_configurations() -> None:
    assert len(READY) >= 8


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_the_features_are_those_of_the_configuration(path: Path) -> None:
    config = load_config(path)
    graph = model_graph(config)
    expected = [*features.context_features(config), *features.label_features(config)]
    assert graph.features == [feature.feature_name for feature in expected]
    assert graph.groups == tuple(
        tuple(feature.feature_name for feature in group.features)
        for group in features.feature_groups(config)
    )
    assert graph.name == config.name


def test_the_nodes_of_a_model_with_ids_alone() -> None:
    graph = model_graph(config_of(IDS))
    assert [(node.title, node.detail) for node in graph.nodes] == [
        ("context_movie_id", "INT, 10 values"),
        ("embedding", "10 x 32"),
        ("LSTM", "64"),
        ("projection", "32"),
        ("label_movie_id", "INT, 1 value"),
        ("embedding", "1 x 32"),
        ("dot product", "score of each item"),
    ]
    assert graph.edges == (
        ("context_movie_id", "context_movie_id_embedding"),
        ("context_movie_id_embedding", "group_0"),
        ("group_0", "projection"),
        ("label_movie_id", "label_movie_id_embedding"),
        ("projection", "similarity"),
        ("label_movie_id_embedding", "similarity"),
    )


@pytest.mark.parametrize("overrides", VARIANTS.values(), ids=VARIANTS)
def test_the_widths_are_those_of_the_model(overrides: tuple[str, ...]) -> None:
    config = config_of(FEATURES, *overrides)
    rows = 9
    model = build_model(
        config,
        ModelInputs(
            rows={f.feature_name: rows for f in features.all_features(config)},
            candidates=np.arange(rows) > 1,
            item_values={
                f.feature_name: np.zeros((rows, f.feature_length), np.int32)
                for f in config.input.label_item_features
            },
        ),
    )
    shapes = {
        weight.path.split("context_encoder/")[-1]: weight.shape
        for weight in model.context_encoder.weights
    }
    shown = details(model_graph(config))
    dense = [key for key in shown if key.startswith("hidden_")] + ["projection"]
    width = int(shown["concatenation"])
    for index in range(config.model.cross_num_layers):
        assert shown[f"cross_{index}"] == shown["concatenation"]
    for key in dense:
        assert shapes[f"{key}/kernel"] == (width, int(shown[key])), key
        width = int(shown[key])
    assert width == model.label_encoder.catalogue().shape[1]
    assert ("ranking_head" in shown) == (model.ranking_head is not None)


def test_what_the_boxes_say() -> None:
    graph = graph_of(
        *VARIANTS["tied"],
        *VARIANTS["ranking"],
        *VARIANTS["GRU"],
        "model.gru_num_layers=2",
    )
    titles = {node.key: node.title for node in graph.nodes}
    assert titles["context_movie_id_embedding"] == "shared embedding"
    assert titles["label_movie_id_embedding"] == "shared embedding"
    assert titles["label_movie_genre_embedding"] == "embedding"
    assert titles["context_movie_rating_embedding"] == "z-score"
    assert titles["group_0"] == "BOW (mean), norm"
    assert titles["group_1"] == "2 x GRU, norm"
    assert details(graph)["context_movie_rating_embedding"] == "10 x 1"
    assert details(graph)["ranking_head"] == "best 200: 64 → 32 → 1"


def test_buckets_and_aligned_features() -> None:
    config = config_of(FEATURES)
    _, genres = config.input.activity_feature_groups
    genres.features[0].values_per_step = 3
    rating = config.input.activity_feature_groups[0].features[1]
    rating.ClearField("scaling")
    rating.num_buckets, rating.embedding_dim = 4, 5
    graph = model_graph(config)
    titles = {node.key: node.title for node in graph.nodes}
    assert titles["context_movie_rating_embedding"] == "bucket embedding"
    assert titles["context_movie_genre_embedding"] == "mean of embeddings"
    assert details(graph)["context_movie_rating_embedding"] == "10 x 5"
    assert details(graph)["context_movie_genre"] == "STRING, 90 values"
    assert details(graph)["context_movie_genre_embedding"] == "30 x 8"


def test_an_item_without_an_id_and_with_several_features() -> None:
    config = config_of(FEATURES, *VARIANTS["features alone"])
    config.input.label_item_features.add(
        feature_name="label_movie_year",
        feature_type=pb.INT,
        vocab_name="year",
        embedding_dim=4,
    )
    graph = model_graph(config)
    assert "label_movie_id" not in graph.features
    assert graph.inputs("item_concatenation") == [
        "label_movie_genre_mean",
        "label_movie_year_mean",
    ]
    assert details(graph)["item_concatenation"] == "12"
    assert graph.inputs("similarity") == ["projection", "item_projection"]


@pytest.mark.parametrize(
    "graph",
    [
        *(model_graph(load_config(path)) for path in READY),
        *(graph_of(*overrides) for overrides in VARIANTS.values()),
    ],
    ids=[*(path.stem for path in READY), *VARIANTS],
)
def test_no_boxes_overlap_and_arrows_lead_down(graph: Graph) -> None:
    places = positions(graph)
    assert set(places) == {node.key for node in graph.nodes}
    for begin, end in graph.edges:
        assert places[begin][1] < places[end][1]
    rows: dict[float, list[float]] = {}
    for x, y in places.values():
        rows.setdefault(y, []).append(x)
    for columns in rows.values():
        assert all(b - a > 0.99 for a, b in pairwise(sorted(columns)))
    # What goes past a row on its way down does not go through a box of that row.
    for begin, end in graph.edges:
        x, top = places[begin]
        for other_x, y in places.values():
            if top < y < places[end][1]:
                assert abs(other_x - x) > 0.5


def test_texts_fit_into_their_boxes() -> None:
    """Every text lies within one box or above them all, and no two overlap."""
    figure = draw_graph(graph_of(*VARIANTS["hidden layers"], *VARIANTS["ranking"]))
    figure.canvas.draw()
    [axes] = figure.axes
    boxes = [patch.get_window_extent() for patch in axes.patches]
    headings = {"features", "context", "item"}
    extents = []
    for text in axes.texts:
        if not text.get_text():
            continue
        extent = text.get_window_extent()
        assert not any(extent.overlaps(other) for other in extents), text.get_text()
        extents.append(extent)
        if text.get_text() not in headings:
            assert any(
                box.x0 <= extent.x0
                and extent.x1 <= box.x1
                and box.y0 <= extent.y0
                and extent.y1 <= box.y1
                for box in boxes
            ), text.get_text()
    assert len(extents) == 2 * len(boxes) + len(headings)


def test_the_command_writes_a_picture(tmp_path: Path) -> None:
    config = tmp_path / "config.pbtxt"
    config.write_text(FEATURES)
    output = tmp_path / "new" / "model.png"
    command = ["graph", "--config", str(config), "--output", str(output), "--verbose"]
    for _ in range(2):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        assert done.output == f"{output}: 7 features, 23 boxes of features\n"
        assert output.read_bytes().startswith(PNG)
        assert [path.name for path in output.parent.iterdir()] == ["model.png"]


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ("model.svg", "is not allowed. Expected a name that ends in .png"),
        ("folder.png", "is a folder, expected a file"),
        ("file.txt/model.png", "is a file, expected a folder that can be written"),
    ],
)
def test_a_wrong_output_is_told_in_one_line(
    tmp_path: Path, output: str, problem: str
) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file.txt").touch()
    path = tmp_path / output
    command = ["graph", "--config", str(READY[0]), "--output", str(path), "--verbose"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1
    [line] = done.output.splitlines()
    assert line.startswith("Error: ")
    assert str(path) in line or str(path.parent) in line
    assert line.endswith(problem)
    assert {p.name for p in tmp_path.iterdir()} == {"folder.png", "file.txt"}


def test_a_missing_matplotlib_names_the_remedy() -> None:
    from configs.errors import UserError
    from pipeline.graph_command import require_matplotlib

    require_matplotlib()
    with pytest.raises(UserError, match="pip install matplotlib"):
        require_matplotlib("no_such_package")
