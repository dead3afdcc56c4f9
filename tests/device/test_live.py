"""A push destination that changes under a recommender in use."""

from __future__ import annotations

import copy
import json
import logging
import os
import shutil
import threading
import time

import pytest

from pocketrec_device import BundleError, LiveRecommender, Recommender, live
from tests.device.conftest import (
    CANARY,
    MANIFEST,
    write_files,
    write_manifest,
    write_manifest_file,
)

USER = {"age": 30}
NEVER = 3600.0  # between two looks of the thread: the tests ask for theirs
SOON = 0.01


class Destination:
    """A push destination whose versions call their best item by their number."""

    def __init__(self, path, model):
        self.path = path
        self.model = model

    def bundle(self, number):
        return self.path / "versions" / str(number) / "bundle"

    def add(self, number, **changes):
        folder = self.bundle(number)
        write_files(folder, self.model)
        items = (folder / "items.jsonl").read_text(encoding="utf-8")
        items = items.replace("Été", f"Version {number}")
        (folder / "items.jsonl").write_text(items, encoding="utf-8")
        write_manifest(
            folder, {**MANIFEST, "version": number, "canary": CANARY, **changes}
        )

    def make_current(self, number):
        written = self.path / ".CURRENT"
        written.write_text(f"{number}\n")
        os.replace(written, self.path / "CURRENT")


@pytest.fixture
def destination(tmp_path, tiny_model):
    """With version 1 in use."""
    result = Destination(tmp_path / "pushed", tiny_model)
    result.add(1)
    result.make_current(1)
    return result


@pytest.fixture
def errors():
    return []


@pytest.fixture
def recommender(destination, errors):
    with LiveRecommender(destination.path, NEVER, errors.append) as result:
        yield result


def answered(recommender):
    return recommender.recommend(["50"], [4.5], user=USER, top_k=1)[0].title


def until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(SOON)


def test_a_push_takes_over_and_a_rollback_too(destination, recommender, errors):
    assert answered(recommender) == "Version 1 (1995)"
    assert not recommender.check()
    destination.add(2)
    assert not recommender.check()
    destination.make_current(2)
    assert recommender.check()
    assert answered(recommender) == "Version 2 (1995)"
    assert recommender.bundle.version == 2
    destination.make_current(1)
    assert recommender.check()
    assert answered(recommender) == "Version 1 (1995)"
    assert errors == []


def test_the_thread_sees_it_by_itself(destination):
    destination.add(2)
    with LiveRecommender(destination.path, SOON) as recommender:
        assert answered(recommender) == "Version 1 (1995)"
        destination.make_current(2)
        until(lambda: recommender.bundle.version == 2)
        assert answered(recommender) == "Version 2 (1995)"


def test_who_holds_the_old_one_keeps_it(destination, recommender):
    held = recommender.recommender
    destination.add(2)
    destination.make_current(2)
    assert recommender.check()
    shutil.rmtree(destination.bundle(1))
    assert answered(held) == "Version 1 (1995)"
    assert answered(recommender) == "Version 2 (1995)"
    assert recommender.unknown_items([50, 51]) == [51]


def _break_model(destination):
    path = destination.bundle(2) / "model.tflite"
    path.write_bytes(path.read_bytes()[:-1])


def _break_canary(destination):
    canary = copy.deepcopy(CANARY)
    canary["scores"][0] += 1
    shutil.rmtree(destination.bundle(2))
    destination.add(2, canary=canary)


def _break_manifest(destination):
    (destination.bundle(2) / "manifest.json").write_text("{")


def _break_all(destination):
    shutil.rmtree(destination.bundle(2))


BROKEN = {
    _break_model: "model.tflite: has .* bytes. Expected",
    _break_canary: "does not answer the canary as it should",
    _break_manifest: "manifest.json: is no JSON",
    _break_all: "names version 2, but .* holds no manifest",
}


@pytest.mark.parametrize(("damage", "message"), BROKEN.items())
def test_a_broken_version_is_refused_until_it_is_mended(
    destination, recommender, errors, damage, message
):
    destination.add(2)
    damage(destination)
    destination.make_current(2)
    for _ in range(5):
        assert not recommender.check()
        assert answered(recommender) == "Version 1 (1995)"
    (error,) = errors
    assert isinstance(error, BundleError)
    with pytest.raises(BundleError, match=message):
        raise error
    shutil.rmtree(destination.bundle(2), ignore_errors=True)
    destination.add(2)
    assert recommender.check()
    assert answered(recommender) == "Version 2 (1995)"
    assert len(errors) == 1


def test_a_file_that_is_mended_under_its_manifest_is_seen(
    destination, recommender, errors
):
    destination.add(2)
    path = destination.bundle(2) / "model.tflite"
    path.write_bytes(bytes(len(destination.model)))
    destination.make_current(2)
    assert not recommender.check()
    assert len(errors) == 1
    path.write_bytes(destination.model)
    os.utime(path, (1, 1))  # Another time, whatever the clock's steps are.
    assert recommender.check()


def test_a_broken_version_is_not_loaded_again_and_again(destination, monkeypatch):
    loads = []

    def load(path, num_threads):
        loads.append(path)
        return Recommender(path, num_threads)

    monkeypatch.setattr(live, "Recommender", load)
    errors = []
    with LiveRecommender(destination.path, SOON, errors.append) as recommender:
        destination.add(2)
        _break_manifest(destination)
        destination.make_current(2)
        until(lambda: errors)
        time.sleep(20 * SOON)
        assert (len(loads), len(errors)) == (2, 1)
        destination.add(3)
        destination.make_current(3)
        until(lambda: recommender.bundle.version == 3)


def test_going_back_from_a_broken_version_loads_nothing(
    destination, recommender, errors
):
    held = recommender.recommender
    destination.make_current(2)
    assert not recommender.check()
    destination.make_current(1)
    assert not recommender.check()
    assert recommender.recommender is held
    destination.make_current(2)
    assert not recommender.check()
    assert len(errors) == 2


def test_a_destination_that_vanishes_for_a_while(destination, recommender, errors):
    away = destination.path.with_name("away")
    destination.path.rename(away)
    assert not recommender.check()
    assert answered(recommender) == "Version 1 (1995)"
    assert "no such folder" in str(errors[0])
    away.rename(destination.path)
    assert not recommender.check()
    assert len(errors) == 1


def test_a_bundle_without_a_canary_takes_over_untested(destination, recommender):
    destination.add(2, canary=None)
    destination.make_current(2)
    assert recommender.check()


def test_without_a_callback_a_warning_is_logged(destination, caplog):
    with (
        LiveRecommender(destination.path, NEVER) as recommender,
        caplog.at_level(logging.WARNING),
    ):
        (destination.path / "CURRENT").write_text("two")
        assert not recommender.check()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "'two' names no version" in record.message
    assert record.message.endswith("; version 1 stays in use")


def test_a_callback_that_fails_does_not_end_the_watch(destination, caplog):
    def fail(error):
        raise KeyError("callback")

    with LiveRecommender(destination.path, SOON, fail) as recommender:
        destination.make_current(9)
        until(lambda: "on_error failed" in caplog.text)
        destination.add(2)
        destination.make_current(2)
        until(lambda: recommender.bundle.version == 2)


def test_any_error_of_a_load_is_reported(destination, recommender, errors, monkeypatch):
    def fail(*arguments):
        raise MemoryError("too large")

    monkeypatch.setattr(live, "Recommender", fail)
    destination.add(2)
    destination.make_current(2)
    assert not recommender.check()
    assert isinstance(errors[0], MemoryError)
    assert answered(recommender) == "Version 1 (1995)"


def test_a_current_version_that_is_broken_at_the_start_is_an_error(destination):
    before = threading.active_count()
    destination.add(2)
    _break_canary(destination)
    destination.make_current(2)
    with pytest.raises(BundleError, match="does not answer the canary"):
        LiveRecommender(destination.path)
    assert threading.active_count() == before


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_an_interval_that_is_none_is_refused(destination, seconds):
    with pytest.raises(ValueError, match=r"interval_seconds: .* is not allowed"):
        LiveRecommender(destination.path, interval_seconds=seconds)


def test_close_ends_the_thread_and_leaves_the_recommender(destination):
    recommender = LiveRecommender(destination.path, SOON)
    thread = next(t for t in threading.enumerate() if t.name == "pocketrec-live")
    assert thread.daemon
    recommender.close()
    recommender.close()
    assert not thread.is_alive()
    assert answered(recommender) == "Version 1 (1995)"


def test_close_may_be_called_by_the_callback(destination):
    closed = threading.Event()

    def close(error):
        recommender.close()
        closed.set()

    recommender = LiveRecommender(destination.path, SOON, close)
    destination.make_current(9)
    assert closed.wait(30)
    recommender.close()


def test_requests_never_fail_while_versions_change(destination):
    for number in range(2, 5):
        destination.add(number)
    _break_manifest(destination)  # of version 2
    failures, titles, stop = [], set(), threading.Event()
    with LiveRecommender(destination.path, SOON, lambda error: None) as recommender:

        def ask():
            try:
                while not stop.is_set():
                    titles.add(answered(recommender))
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in (3, 2, 4, 1, 2, 3):
            destination.make_current(number)
            if number != 2:
                until(lambda n=number: recommender.bundle.version == n)
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert titles <= {f"Version {n} (1995)" for n in (1, 3, 4)}
    assert len(titles) > 1


def test_the_state_is_that_of_a_bundles_own_folder_too(destination):
    folder = destination.bundle(1)
    with LiveRecommender(folder, NEVER) as recommender:
        content = json.loads((folder / "manifest.json").read_bytes())
        content["name"] = "renamed"
        write_manifest_file(folder, json.dumps(content).encode())
        assert recommender.check()
        assert recommender.bundle.name == "renamed"
