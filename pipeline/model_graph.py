"""A model as boxes and arrows, from its configuration.

`model_graph` says what there is, `positions` where it stands, `draw_graph` draws it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from components.trainer.context_encoder import encoding_width
from configs import features
from configs import recommender_pb2 as pb

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Position = tuple[float, float]

# Of a box, in the units of `positions`: a column is 1 wide, a row 1 high.
_BOX_WIDTH = 0.92
_BOX_HEIGHT = 0.58
_COLUMN_INCHES = 1.62
_ROW_INCHES = 0.86
_GAP_BETWEEN_GROUPS = 0.15
_GAP_BETWEEN_SIDES = 0.35
# A node that is nearly below one that it comes from stands below it.
_STRAIGHT_WITHIN = 0.3
_LINE_COLOR = "#607d8b"
_COLORS = {
    "feature": "#eceff1",
    "embedding": "#cfe3f5",
    "encoder": "#cdeccf",
    "merge": "#fff3c4",
    "dense": "#fbdcc4",
    "output": "#e3d3f0",
}


class Side(Enum):
    """Of the two towers: what is known of the user, and the item; or both."""

    CONTEXT = "context"
    ITEM = "item"
    BOTH = "both"


@dataclass(frozen=True)
class Node:
    """A box.

    Attributes:
      key: unlike any other's; a feature's is its name.
      kind: ``feature``, ``embedding``, ``encoder``, ``merge``, ``dense`` or ``output``.
      side: which tower it is part of.
      title: what it is.
      detail: its type or its shape without the batch, e.g. ``10 x 32``.
    """

    key: str
    kind: str
    side: Side
    title: str
    detail: str


@dataclass(frozen=True)
class Graph:
    """What a model is made of.

    Attributes:
      name: of the configuration.
      nodes: a node comes after those that it gets its values from.
      edges: from the key of one to the key of another.
      groups: keys of the features that go through one encoder.
    """

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]
    groups: tuple[tuple[str, ...], ...]

    @property
    def features(self) -> list[str]:
        """Names of the features, those of the context first."""
        return [node.key for node in self.nodes if node.kind == "feature"]

    def inputs(self, key: str) -> list[str]:
        """Keys of the nodes that a node gets its values from."""
        return [begin for begin, end in self.edges if end == key]


class _Builder:
    """Collects nodes with the edges that lead to them."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.edges: list[tuple[str, str]] = []
        self.groups: list[tuple[str, ...]] = []

    def add(self, node: Node, inputs: Sequence[str] = ()) -> str:
        self.nodes.append(node)
        self.edges += [(key, node.key) for key in inputs]
        return node.key


def model_graph(config: pb.RecommenderConfig) -> Graph:
    """The graph of `RecommendationModel`, without dropout, which is not there in use.

    Args:
      config: a valid configuration.

    Returns:
      Features, embeddings, an encoder per group, what joins them, the item's side and
      what is made of the two.
    """
    builder = _Builder()
    context = _context_side(builder, config)
    item = _item_side(builder, config)
    scores = builder.add(
        Node("similarity", "output", Side.BOTH, "dot product", "score of each item"),
        [context, item],
    )
    if config.model.ranking_num_candidates:
        dims = " → ".join(map(str, features.ranking_layer_dims(config)))
        number = config.model.ranking_num_candidates
        builder.add(
            Node(
                *("ranking_head", "output", Side.BOTH),
                *("ranking head", f"best {number}: {dims} → 1"),
            ),
            [scores],
        )
    return Graph(
        config.name,
        tuple(builder.nodes),
        tuple(builder.edges),
        tuple(builder.groups),
    )


def _context_side(builder: _Builder, config: pb.RecommenderConfig) -> str:
    """Adds the context's nodes and returns the key of the last."""
    model = config.model
    encodings, width = [], 0
    for index, group in enumerate(features.feature_groups(config)):
        builder.groups.append(tuple(f.feature_name for f in group.features))
        embedded = [_embed(builder, f, Side.CONTEXT, config) for f in group.features]
        group_width = encoding_width(
            group.encoder_type, sum(map(_vector_width, group.features)), model
        )
        encodings.append(
            builder.add(
                Node(
                    *(f"group_{index}", "encoder", Side.CONTEXT),
                    *(_encoder_title(group, model), str(group_width)),
                ),
                embedded,
            )
        )
        width += group_width
    last = encodings[0]
    if len(encodings) > 1:
        last = builder.add(
            Node("concatenation", "merge", Side.CONTEXT, "concatenation", str(width)),
            encodings,
        )
    for index in range(model.cross_num_layers):
        last = builder.add(
            Node(f"cross_{index}", "dense", Side.CONTEXT, "cross layer", str(width)),
            [last],
        )
    for index, units in enumerate(model.hidden_layer_dims):
        last = builder.add(
            Node(f"hidden_{index}", "dense", Side.CONTEXT, "Dense, ReLU", str(units)),
            [last],
        )
    width = config.input.label_feature.embedding_dim
    return builder.add(
        Node("projection", "dense", Side.CONTEXT, "projection", str(width)), [last]
    )


def _item_side(builder: _Builder, config: pb.RecommenderConfig) -> str:
    """Adds the item's nodes and returns the key of the last."""
    label = config.input.label_feature
    width = str(label.embedding_dim)
    vectors = []
    if config.input.label_id_embedding:
        vectors.append(_embed(builder, label, Side.ITEM, config))
    encodings = []
    for feature in config.input.label_item_features:
        name = feature.feature_name
        encodings.append(
            builder.add(
                Node(
                    *(f"{name}_mean", "encoder", Side.ITEM),
                    *("mean", str(_vector_width(feature))),
                ),
                [_embed(builder, feature, Side.ITEM, config)],
            )
        )
    if len(encodings) > 1:
        joined = sum(map(_vector_width, config.input.label_item_features))
        key = "item_concatenation"
        encodings = [
            builder.add(
                Node(key, "merge", Side.ITEM, "concatenation", str(joined)), encodings
            )
        ]
    if encodings:
        key = "item_projection"
        vectors.append(
            builder.add(Node(key, "dense", Side.ITEM, "projection", width), encodings)
        )
    if len(vectors) == 1:
        return vectors[0]
    return builder.add(Node("item_sum", "merge", Side.ITEM, "sum", width), vectors)


def _embed(
    builder: _Builder, feature: pb.Feature, side: Side, config: pb.RecommenderConfig
) -> str:
    """Adds a feature and what makes vectors of its values; returns the latter's key."""
    name = feature.feature_name
    kind = pb.FeatureType.Name(feature.feature_type)
    values = features.num_values(feature)
    noun = "value" if values == 1 else "values"
    source = builder.add(Node(name, "feature", side, name, f"{kind}, {values} {noun}"))
    shape = f"{feature.feature_length} x {_vector_width(feature)}"
    title = _embedding_title(feature, config)
    return builder.add(
        Node(f"{name}_embedding", "embedding", side, title, shape), [source]
    )


def _embedding_title(feature: pb.Feature, config: pb.RecommenderConfig) -> str:
    if features.is_bucketed(feature):
        return "bucket embedding"
    if not features.is_categorical(feature):
        return {
            pb.NONE: "as it is",
            pb.Z_SCORE: "z-score",
            pb.MIN_MAX: "min-max scaling",
        }[feature.scaling]
    shared = (
        features.item_feature_name(config),
        config.input.label_feature.feature_name,
    )
    if config.input.tie_item_embeddings and feature.feature_name in shared:
        return "shared embedding"
    if feature.values_per_step:
        return "mean of embeddings"
    return "embedding"


def _encoder_title(group: pb.FeatureGroup, model: pb.ModelConfig) -> str:
    kind = pb.EncoderType.Name(group.encoder_type)
    layers = {
        pb.LSTM: model.lstm_num_layers,
        pb.GRU: model.gru_num_layers,
        pb.TRANSFORMER: model.transformer_num_layers,
    }.get(group.encoder_type, 1)
    title = {"BOW": "BOW (mean)", "TRANSFORMER": "Transformer"}.get(kind, kind)
    if layers > 1:
        title = f"{layers} x {title}"
    return f"{title}, norm" if model.layer_norm else title


def _vector_width(feature: pb.Feature) -> int:
    """Width of the vector that a feature's value becomes."""
    if features.is_categorical(feature) or features.is_bucketed(feature):
        return int(feature.embedding_dim)
    return 1


def positions(graph: Graph) -> dict[str, Position]:
    """Where the middles of the boxes are, by key: column and row.

    Features stand side by side in row 0, those of a group closer together; every other
    node stands below the lowest, and about in the middle, of those that it comes from.
    """
    columns = dict(_feature_columns(graph))
    result: dict[str, Position] = {}
    for node in graph.nodes:
        before = [result[key] for key in graph.inputs(node.key)]
        if before:
            middle = sum(x for x, _ in before) / len(before)
            nearest = min((x for x, _ in before), key=lambda x: abs(x - middle))
            straight = abs(nearest - middle) < _STRAIGHT_WITHIN
            row = max(y for _, y in before) + 1
            result[node.key] = (nearest if straight else middle, row)
        else:
            result[node.key] = (columns[node.key], 0.0)
    return result


def _feature_columns(graph: Graph) -> Iterator[tuple[str, float]]:
    group_of = {key: index for index, keys in enumerate(graph.groups) for key in keys}
    sides = {node.key: node.side for node in graph.nodes}
    column, before = 0.0, ""
    for key in graph.features:
        if before:
            column += 1.0
            if sides[before] != sides[key]:
                column += _GAP_BETWEEN_SIDES
            elif group_of.get(before) != group_of.get(key):
                column += _GAP_BETWEEN_GROUPS
        yield key, column
        before = key


def draw_graph(graph: Graph) -> Figure:
    """Draws a graph, from the features on top to the scores at the bottom."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    places = positions(graph)
    right = max(x for x, _ in places.values())
    bottom = max(y for _, y in places.values())
    width, height = right + 1.1, bottom + 1.75
    figure = Figure(figsize=(width * _COLUMN_INCHES, height * _ROW_INCHES), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(-0.55, right + 0.55), ylim=(bottom + 0.45, -1.3))
    left = -_BOX_WIDTH / 2
    axes.text(left, -1, graph.name, fontsize=12, fontweight="bold", va="center")
    for side in (Side.CONTEXT, Side.ITEM):
        _draw_heading(axes, graph, places, side)
    for begin, end in graph.edges:
        _draw_edge(axes, places[begin], places[end])
    for node in graph.nodes:
        _draw_node(axes, node, places[node.key])
    return figure


def _draw_heading(
    axes: Axes, graph: Graph, places: Mapping[str, Position], side: Side
) -> None:
    columns = [
        places[node.key][0]
        for node in graph.nodes
        if node.kind == "feature" and node.side == side
    ]
    begin, end = min(columns) - _BOX_WIDTH / 2, max(columns) + _BOX_WIDTH / 2
    axes.plot([begin, end], [-0.42, -0.42], color="#90a4ae", linewidth=1)
    axes.text(begin, -0.57, side.value, fontsize=10, color="#546e7a", va="center")


def _draw_edge(axes: Axes, begin: Position, end: Position) -> None:
    """Down, across just above the box that it leads to, and into it."""
    top = end[1] - _BOX_HEIGHT / 2
    turn = top - (1 - _BOX_HEIGHT) * 0.6
    line: dict[str, Any] = {"color": _LINE_COLOR, "linewidth": 1.2}
    if begin[0] != end[0]:
        axes.plot(
            [begin[0], begin[0], end[0]],
            [begin[1] + _BOX_HEIGHT / 2, turn, turn],
            **line,
            solid_joinstyle="round",
        )
        start = turn
    else:
        start = begin[1] + _BOX_HEIGHT / 2
    axes.annotate(
        "",
        xy=(end[0], top),
        xytext=(end[0], start),
        arrowprops={"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, **line},
    )


def _draw_node(axes: Axes, node: Node, place: Position) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y = place
    axes.add_patch(
        FancyBboxPatch(
            (x - _BOX_WIDTH / 2, y - _BOX_HEIGHT / 2),
            _BOX_WIDTH,
            _BOX_HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=_COLORS[node.kind],
            edgecolor=_LINE_COLOR,
            linewidth=1,
            zorder=2,
        )
    )
    text: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 3}
    size = 9 if len(node.title) <= 20 else 9 * 20 / len(node.title)
    axes.text(x, y - 0.12, node.title, fontsize=size, **text)
    axes.text(x, y + 0.14, node.detail, fontsize=8.5, color="#455a64", **text)
