"""Targets and what is left out for each, against loops over timelines."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.trainer.targets import (
    Targets,
    had_before,
    label_targets,
    num_distinct_targets,
    position_targets,
)

ROWS = 9
LENGTH = 4


def test_every_position_by_hand() -> None:
    contexts = tf.constant([[5, 6, 7, 0], [8, 0, 0, 0], [2, 3, 4, 5]])
    targets = position_targets(contexts, tf.constant([9, 4, 1]))
    np.testing.assert_array_equal(targets.labels, [6, 7, 9, 4, 3, 4, 5, 1])
    np.testing.assert_array_equal(targets.example, [0, 0, 0, 1, 2, 2, 2, 2])
    np.testing.assert_array_equal(targets.step, [0, 1, 2, 0, 0, 1, 2, 3])


def test_labels_by_hand() -> None:
    targets = label_targets(tf.constant([9, 4]))
    np.testing.assert_array_equal(targets.labels, [9, 4])
    np.testing.assert_array_equal(targets.example, [0, 1])
    assert (targets.step.numpy() >= 10_000).all()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 12), st.integers(0, 4)),
        unique_by=lambda window: window[:2],
        min_size=1,
    )
)
def test_a_target_of_several_windows_counts_once(
    windows: list[tuple[int, int, int]],
) -> None:
    """All windows are as long as they can be, or of one length."""
    length = windows[0][2]
    windows = [(user, label, min(label, length)) for user, label, _ in windows]
    shown = {
        (user, target)
        for user, label, steps in windows
        for target in range(label - steps + 1, label + 1)
    }
    assert num_distinct_targets(*np.array(windows).T) == len(shown)


histories = st.lists(
    st.lists(st.integers(1, ROWS - 1), min_size=2, max_size=9), min_size=1, max_size=4
)


@settings(max_examples=150, deadline=None)
@given(histories, st.booleans(), st.booleans(), st.permutations(range(ROWS)))
def test_left_out_is_what_came_before_each_target(
    timelines: list[list[int]], whole: bool, every: bool, order: list[int]
) -> None:
    """The last item of each timeline is the label, those before it the history."""
    contexts = np.zeros((len(timelines), LENGTH), np.int32)
    longest = max(len(line) - 1 for line in timelines)
    earlier = np.zeros((len(timelines), longest), np.int32)
    for row, line in enumerate(timelines):
        *history, _ = line
        contexts[row, : len(history[-LENGTH:])] = history[-LENGTH:]
        earlier[row, longest - len(history) :] = history
    labels = tf.constant([line[-1] for line in timelines])
    # Some items have no column, the others come in any order.
    columns = np.full(ROWS, -1, np.int32)
    columns[order[: ROWS - 2]] = np.arange(ROWS - 2)
    targets = (
        position_targets(tf.constant(contexts), labels)
        if every
        else label_targets(labels)
    )
    found = had_before(
        targets,
        tf.constant(contexts),
        tf.constant(earlier) if whole else None,
        tf.constant(columns),
        ROWS - 2,
    ).numpy()
    for index, (row, step) in enumerate(
        zip(targets.example.numpy(), targets.step.numpy(), strict=True)
    ):
        *history, _ = timelines[row]
        context = history[-LENGTH:]
        before = context[: int(step) + 1]
        if whole:
            before = history[: len(history) - len(context)] + before
        expected = {columns[item] for item in before} - {-1}
        assert set(np.flatnonzero(found[index])) == expected


@pytest.mark.parametrize("items", [[[0, 0, 0]], [[ROWS, ROWS + 5, -2]]])
def test_padding_and_ids_without_a_row_leave_nothing_out(items: list) -> None:
    targets = Targets(tf.constant([3]), tf.constant([0]), tf.constant([2]))
    found = had_before(targets, tf.constant(items), None, tf.range(ROWS), ROWS).numpy()
    assert not found.any()


def test_contexts_in_another_order_tell_their_own_steps() -> None:
    """As training has them where activities of a moment change places."""
    contexts = tf.constant([[7, 5, 6]])
    targets = position_targets(contexts, tf.constant([8]))
    found = had_before(
        targets, contexts, tf.constant([[2, 5, 6, 7]]), tf.range(ROWS), ROWS
    ).numpy()
    sets = [set(np.flatnonzero(row)) for row in found]
    assert sets == [{2, 7}, {2, 7, 5}, {2, 7, 5, 6}]


@pytest.mark.parametrize("length", [1, 3])
def test_a_context_of_any_length_leaves_out_no_more_than_it_holds(length: int) -> None:
    contexts = tf.constant([[5, 6, 0][:length]])
    found = had_before(
        label_targets(tf.constant([8])), contexts, None, tf.range(ROWS), ROWS
    ).numpy()
    assert set(np.flatnonzero(found[0])) == {5, 6} & set(contexts.numpy()[0])
