"""The item catalogue of a bundle: what the device knows about each item."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError

TITLE = "item_title"


@dataclass(frozen=True)
class Item:
    """One item.

    Attributes:
      index: its id inside the model; 1 if a capped vocabulary left it out.
      id: as the logs have it.
      title: for people; its id if none is known.
      features: raw values by field, each a list.
    """

    index: int
    id: str
    title: str
    features: dict[str, list[Any]] = field(default_factory=dict)


def catalogue_items(
    config: pb.RecommenderConfig,
    examples: Iterable[bytes],
    item_fields: Sequence[str],
    terms: Sequence[bytes] | None,
) -> list[Item]:
    """Items by ascending index, those out of vocabulary first, by id.

    Args:
      config: the configuration.
      examples: serialized tf.Examples of the split ``catalogue``.
      item_fields: item features to keep, e.g. ``movie_genre``.
      terms: the item vocabulary; None where the raw ids are the indices.

    Raises:
      UserError: if an id without a vocabulary is no row of the item's table.
    """
    index_of = None
    if terms is not None:
        index_of = {t.decode(): i + features.FIRST_TERM_ID for i, t in enumerate(terms)}
    items: dict[str, Item] = {}
    for serialized in examples:
        item = _item(config, tf.train.Example.FromString(serialized), item_fields)
        index = _index(config, item.id, index_of)
        items[item.id] = Item(index, item.id, item.title, item.features)
    # Items of the logs that the item table does not have.
    for term, index in (index_of or {}).items():
        items.setdefault(term, Item(index, term, term))
    return sorted(items.values(), key=lambda item: (item.index, item.id))


def items_to_json_lines(items: Iterable[Item]) -> bytes:
    """The bundle's ``items.jsonl``: an object a line, UTF-8."""
    lines = (
        json.dumps(
            {
                "index": item.index,
                "id": item.id,
                "title": item.title,
                "features": item.features,
            },
            ensure_ascii=False,
        )
        for item in items
    )
    return "".join(f"{line}\n" for line in lines).encode()


def _index(
    config: pb.RecommenderConfig, item_id: str, index_of: Mapping[str, int] | None
) -> int:
    if index_of is not None:
        return index_of.get(item_id, features.OOV_ID)
    size = config.input.label_feature.vocab_size
    if not 1 <= int(item_id) < size:
        raise UserError(
            f"{config.input.label_feature.feature_name}: the catalogue holds "
            f"{item_id}, expected 1 to {size - 1} (vocab_size {size})"
        )
    return int(item_id)


def _item(
    config: pb.RecommenderConfig, example: tf.train.Example, item_fields: Sequence[str]
) -> Item:
    item_id = str(_values(example, config.input.label_feature.feature_name)[0])
    title = _values(example, TITLE)
    values = {name: _field_values(example, name) for name in item_fields}
    return Item(0, item_id, str(title[0]) if title else item_id, values)


def _field_values(example: tf.train.Example, name: str) -> list[Any]:
    column = f"{features.LABEL}{name}"
    values = _values(example, column)
    length = features.length_column(column)
    if length in example.features.feature:
        return values[: _values(example, length)[0]]
    return values


def _values(example: tf.train.Example, column: str) -> list[Any]:
    feature = example.features.feature[column]
    kind = feature.WhichOneof("kind")
    if kind is None:
        return []
    values = list(getattr(feature, kind).value)
    return [v.decode() for v in values] if kind == "bytes_list" else values
