"""Many requests: in order, in threads, with little in memory."""

from __future__ import annotations

import threading
import time

import pytest

from pocketrec_device import Bundle, BundleError, History, Recommender, RequestError
from pocketrec_device.in_order import apply

HISTORIES = (["50"], ["172", "181"], ["7", "9", "50"], [])


def requests(number):
    return [
        History(items=HISTORIES[i % len(HISTORIES)], user={"age": i})
        for i in range(number)
    ]


@pytest.mark.parametrize("num_workers", [1, 3])
def test_many_are_answered_as_one_by_one(bundle, num_workers):
    recommender = Recommender(bundle)
    answers = recommender.recommend_many(requests(100), num_workers, top_k=3)
    assert list(answers) == [
        recommender.recommend(r.items, user=r.user, top_k=3) for r in requests(100)
    ]


def test_no_requests_no_answers(bundle):
    assert list(Recommender(bundle).recommend_many([], num_workers=2, top_k=1)) == []


@pytest.mark.parametrize("num_workers", [1, 3])
def test_an_error_names_the_request_after_the_answers_before_it(bundle, num_workers):
    wrong = [*requests(6), History(items=["50"]), *requests(20)]
    answers = Recommender(bundle).recommend_many(wrong, num_workers, top_k=1)
    for _ in range(6):
        assert len(next(answers)) == 1
    with pytest.raises(RequestError, match="request 7: user: age is missing"):
        next(answers)


def test_an_error_of_the_bundle_names_the_request(
    write_bundle, rewrite_manifest, tiny_model
):
    folder = write_bundle(tiny_model)
    lines = (folder / "items.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "items.jsonl").write_bytes(b"".join(lines[:-1]))
    rewrite_manifest(folder)
    with pytest.raises(BundleError, match=r"request 1: .*answered index 6, which no"):
        list(Recommender(folder).recommend_many(requests(1), top_k=1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_workers": 0, "top_k": 1}, "num_workers: 0 is not allowed"),
        ({"top_k": 5}, "top_k: 5 is not allowed. Expected 1 to 4"),
    ],
)
def test_arguments_are_checked_before_the_first_answer(bundle, arguments, message):
    with pytest.raises(RequestError, match=message):
        Recommender(bundle).recommend_many([], **arguments)


def test_what_is_no_history_is_refused(bundle):
    with pytest.raises(RequestError, match=r"request 1: is \['50'\]. Expected a Hist"):
        list(Recommender(bundle).recommend_many([["50"]], top_k=1))


def test_workers_share_the_bundle(bundle, monkeypatch):
    recommender = Recommender(bundle)
    monkeypatch.setattr(Bundle, "load", None)
    assert len(list(recommender.recommend_many(requests(9), 4, top_k=1))) == 9


@pytest.mark.parametrize("num_tools", [1, 3])
def test_few_values_are_taken_ahead(num_tools):
    taken = []

    def values():
        for i in range(1000):
            taken.append(i)
            yield i

    results = apply(lambda tool, value: value, range(num_tools), values())
    for i in range(200):
        assert next(results) == i
        assert len(taken) <= i + 20
    results.close()
    assert len(taken) < 250


def test_results_keep_the_order_and_tools_are_never_shared():
    busy = [threading.Lock() for _ in range(3)]

    def slow_when_odd(lock, value):
        assert lock.acquire(blocking=False)
        time.sleep(0.003 if value % 2 else 0)
        lock.release()
        return value

    assert list(apply(slow_when_odd, busy, range(60))) == list(range(60))


def test_an_error_of_the_values_passes_and_no_thread_is_left():
    before = threading.active_count()

    def values():
        yield from range(30)
        raise KeyError("end of the log")

    with pytest.raises(KeyError, match="end of the log"):
        list(apply(lambda tool, value: value, range(3), values()))
    assert threading.active_count() == before
