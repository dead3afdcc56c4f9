"""A shard, all activities of some users: from batches of rows to files of examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.timeline_example_gen import hashing, splits, storage, timelines
from components.timeline_example_gen.columns import Plan
from components.timeline_example_gen.example_encoder import encode_examples
from components.timeline_example_gen.examples import Activities, ExampleColumns
from components.timeline_example_gen.lookups import Lookup
from components.timeline_example_gen.tfrecord import TFRecordWriter, file_name
from configs import recommender_pb2 as pb

Ints = npt.NDArray[np.int64]

# Values in a batch of examples that is encoded at once; some tens of megabytes.
_VALUES_PER_BATCH = 2_000_000
_LATEST = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class ShardTask:
    """What every shard needs to know.

    Attributes:
      plan: the examples' columns.
      items: the item table.
      users: the user table.
      min_timeline_length: users with fewer activities are left out.
      split: ``pb.Split``.
      train_fraction: of RANDOM.
      seed: of the order within a second, and of RANDOM.
      num_shards: how many files each split has.
    """

    plan: Plan
    items: Lookup
    users: Lookup
    min_timeline_length: int
    split: int
    train_fraction: float
    seed: int
    num_shards: int


@dataclass(frozen=True)
class SplitCount:
    """Examples of a split; the timestamps, those of the labels, are 0 without any."""

    examples: int = 0
    users: int = 0
    first_timestamp: int = 0
    last_timestamp: int = 0

    def __add__(self, other: SplitCount) -> SplitCount:
        """Counts of two sets of users."""
        if not self.examples or not other.examples:
            return self if self.examples else other
        return SplitCount(
            self.examples + other.examples,
            self.users + other.users,
            min(self.first_timestamp, other.first_timestamp),
            max(self.last_timestamp, other.last_timestamp),
        )


@dataclass(frozen=True)
class ShardReport:
    """What became of a shard's activities.

    Attributes:
      users, activities: that are in timelines.
      short_users, short_activities: left out by min_timeline_length.
      users_without_row: users in timelines that the user table does not know.
      first_timestamp, last_timestamp: of the activities in timelines.
      splits: by split.
      items: one row per item in timelines: ``item``, ``in_train`` (whether a train
        example holds it, in context or as label), ``eval`` and ``test`` (how often it
        is a label there).
    """

    users: int
    activities: int
    short_users: int
    short_activities: int
    users_without_row: int
    first_timestamp: int
    last_timestamp: int
    splits: dict[str, SplitCount]
    items: pa.Table


def partition(
    activities: pa.RecordBatch, num_shards: int
) -> Iterator[tuple[int, bytes]]:
    """Sends each activity to the shard of its user.

    Args:
      activities: columns ``user``, ``item``, ``timestamp`` and perhaps ``value``.
      num_shards: how many shards there are.

    Yields:
      Shards' numbers and their activities, in Arrow's stream format.
    """
    users = activities["user"].dictionary_encode()
    hashes = hash_terms(as_text(users.dictionary))
    shard = hashing.piece(hashes, num_shards)[users.indices.to_numpy()]
    order = np.argsort(shard, kind="stable")
    ends = np.cumsum(np.bincount(shard, minlength=num_shards))
    table = activities.take(pa.array(order)) if num_shards > 1 else activities
    start = 0
    for number, end in enumerate(ends.tolist()):
        if end > start:
            yield number, _to_bytes(table.slice(start, end - start))
        start = end


def timestamps(stream: bytes) -> Ints:
    """The timestamps of activities in Arrow's stream format."""
    return _from_bytes(stream)["timestamp"].to_numpy()


def write_shard(
    task: ShardTask,
    number: int,
    streams: Iterable[bytes],
    cuts: splits.Cuts | None,
    folder: str,
) -> ShardReport:
    """Writes the files of one shard, one per split, also where there is no example.

    Args:
      task: what every shard needs to know.
      number: of the shard.
      streams: its activities in any order, as `partition` gives them.
      cuts: of TEMPORAL.
      folder: gets ``Split-<name>/data_tfrecord-<shard>-of-<shards>.gz``.
    """
    batches = [_from_bytes(stream) for stream in streams]
    unsorted = pa.Table.from_batches(batches) if batches else None
    activities, short_users, short = _timelines(task, unsorted)
    split = _assign(task, activities, cuts)
    make_columns = ExampleColumns(task.plan, activities, task.items, task.users)
    for index, name in enumerate(splits.LABELLED_SPLITS):
        rows = np.flatnonzero(split == index)
        file = file_name(number, task.num_shards)
        path = storage.join(folder, f"Split-{name}", file)
        with_seen = name != "train"
        with TFRecordWriter(path) as writer:
            cost = _cost(task.plan, activities.position[rows], with_seen)
            for part in timelines.chunks(cost, _VALUES_PER_BATCH):
                writer.write(encode_examples(make_columns(rows[part], with_seen)))
    return _report(task, activities, split, short_users, short)


def hash_terms(terms: pa.LargeBinaryArray) -> hashing.Hashes:
    """The hash of each text, uint64."""
    if not len(terms):
        return np.zeros(0, np.uint64)
    _, offset_buffer, data_buffer = terms.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)
    offsets = offsets[terms.offset : terms.offset + len(terms) + 1]
    return hashing.hash_bytes(np.frombuffer(data_buffer or b"", np.uint8), offsets)


def as_text(ids: pa.Array) -> pa.LargeBinaryArray:
    """Ids as UTF-8 text, integers in decimal."""
    if pa.types.is_integer(ids.type):
        return ids.cast(pa.large_string()).cast(pa.large_binary())
    return ids


def _timelines(
    task: ShardTask, unsorted: pa.Table | None
) -> tuple[Activities, int, int]:
    """Sorted activities of users with enough of them; users and activities left out."""
    if unsorted is None or not unsorted.num_rows:
        return _no_activities(task), 0, 0
    user, user_ids = _codes(unsorted["user"])
    user_terms = as_text(user_ids)
    # Users in the order of their hashes: shards are ranges of these, so that the order
    # of all examples does not depend on how many shards there are.
    user_hash = hash_terms(user_terms)
    by_hash = np.argsort(user_hash, kind="stable")
    rank = np.empty_like(by_hash)
    rank[by_hash] = np.arange(len(by_hash))
    item, item_terms = _codes(unsorted["item"])
    timestamp = unsorted["timestamp"].to_numpy()
    value = None
    if "value" in unsorted.column_names:
        value = unsorted["value"].to_numpy()
    sorted_ = timelines.sort_timelines(
        rank[user],
        timestamp,
        item,
        user_hash[by_hash],
        hash_terms(as_text(item_terms)),
        value,
        task.seed,
    )
    long = sorted_.length >= task.min_timeline_length
    order = sorted_.order[long]
    first_of_short = ~long & (sorted_.position == 0)
    activities = Activities(
        user=rank[user][order],
        user_terms=user_terms.take(pa.array(by_hash)),
        item=item[order],
        item_terms=item_terms,
        timestamp=timestamp[order],
        value=None if value is None else value[order],
        position=sorted_.position[long],
        length=sorted_.length[long],
    )
    return activities, int(first_of_short.sum()), int((~long).sum())


def _no_activities(task: ShardTask) -> Activities:
    nothing = np.zeros(0, np.int64)
    kind = pa.int64() if task.plan.item_type == pb.INT else pa.large_binary()
    return Activities(
        user=nothing,
        user_terms=pa.array([], pa.large_binary()),
        item=nothing,
        item_terms=pa.array([], kind),
        timestamp=nothing,
        value=np.zeros(0),
        position=nothing,
        length=nothing,
    )


def _codes(ids: pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """Indices into the distinct ids, which are in ascending order."""
    encoded = ids.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    order = pc.array_sort_indices(encoded.dictionary).to_numpy().astype(np.int64)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    indices = encoded.indices.to_numpy()
    return rank[indices], encoded.dictionary.take(pa.array(order))


def _assign(
    task: ShardTask, activities: Activities, cuts: splits.Cuts | None
) -> splits.Splits:
    position, timestamp = activities.position, activities.timestamp
    if task.split == pb.LEAVE_ONE_OUT:
        return splits.leave_one_out(position, activities.length)
    if task.split == pb.TEMPORAL:
        assert cuts is not None
        return splits.temporal(position, timestamp, cuts)
    return splits.random(
        position,
        timestamp,
        hash_terms(activities.user_terms)[activities.user],
        hash_terms(as_text(activities.item_terms))[activities.item],
        task.train_fraction,
        task.seed,
    )


def _cost(plan: Plan, position: Ints, with_seen: bool) -> Ints:
    """About how many values each example has."""
    fixed = plan.max_context_length + sum(spec.length for spec in plan.specs)
    return fixed + (position if with_seen else np.zeros_like(position))


def _report(
    task: ShardTask,
    activities: Activities,
    split: splits.Splits,
    short_users: int,
    short_activities: int,
) -> ShardReport:
    first = activities.position == 0
    users = activities.user[first]
    unknown = task.users.rows(activities.user_terms)[users] == len(task.users.keys)
    counts, labels = {}, {}
    for index, name in enumerate(splits.LABELLED_SPLITS):
        rows = np.flatnonzero(split == index)
        times = activities.timestamp[rows]
        counts[name] = SplitCount(
            examples=len(rows),
            users=len(np.unique(activities.user[rows])),
            first_timestamp=int(times.min()) if len(rows) else 0,
            last_timestamp=int(times.max(initial=0)),
        )
        labels[name] = np.bincount(
            activities.item[rows], minlength=len(activities.item_terms)
        )
    used = np.bincount(activities.item, minlength=len(activities.item_terms)) > 0
    items = pa.table(
        {
            "item": activities.item_terms,
            "in_train": pa.array(_in_train(task, activities, split)),
            "eval": pa.array(labels["eval"]),
            "test": pa.array(labels["test"]),
        }
    ).filter(pa.array(used))
    return ShardReport(
        users=len(users),
        activities=len(activities.user),
        short_users=short_users,
        short_activities=short_activities,
        users_without_row=int(unknown.sum()),
        first_timestamp=int(activities.timestamp.min(initial=_LATEST)),
        last_timestamp=int(activities.timestamp.max(initial=0)),
        splits=counts,
        items=items,
    )


def _in_train(
    task: ShardTask, activities: Activities, split: splits.Splits
) -> npt.NDArray[np.bool_]:
    """Which items a train example holds, in its context or as its label."""
    rows = np.flatnonzero(split == splits.TRAIN)
    back = np.minimum(activities.position[rows], task.plan.max_context_length)
    # +1 where a window begins and -1 behind its end: sums tell the rows inside one.
    depth = np.zeros(len(activities.user) + 1, np.int64)
    np.add.at(depth, rows - back, 1)
    np.add.at(depth, rows + 1, -1)
    inside = np.cumsum(depth[:-1]) > 0
    held = np.zeros(len(activities.item_terms), np.bool_)
    held[activities.item[inside]] = True
    return held


def _to_bytes(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _from_bytes(stream: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(stream) as reader:
        return reader.read_next_batch()
