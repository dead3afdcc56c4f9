"""Answers of a bundle whose model can be worked out by hand (see conftest.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import pocketrec_device
from pocketrec_device import (
    Bundle,
    BundleError,
    Recommendation,
    Recommender,
    RequestError,
)
from pocketrec_device.model import Model
from pocketrec_device.recommender import FLOOR


class _FourAtATime(Recommender):
    """The tiny model answers four items."""

    def recommend(self, *args, top_k=4, **kwargs):
        return super().recommend(*args, top_k=top_k, **kwargs)


@pytest.fixture
def recommender(bundle):
    return _FourAtATime(bundle)


def test_the_best_items_with_titles_and_scores(recommender):
    # Item 50 is row 2 with genres 2 and 3; 2 + 4.5 + (2 + 3) + 30 = 41.5, and the rows
    # score 10 a row more: 2 is left out, 6 is the best.
    answer = recommender.recommend([50], [4.5], user={"age": 30})
    assert answer == [
        Recommendation("9", "Été (1995)", 101.5, 6),
        Recommendation("7", "Twelve Monkeys (1995)", 91.5, 5),
        Recommendation("181", "Return of the Jedi (1983)", 81.5, 4),
        Recommendation("172", "Empire Strikes Back, The (1980)", 71.5, 3),
    ]


def test_top_k_cuts_the_answer(recommender):
    user = {"age": 0}
    assert [r.id for r in recommender.recommend(["50"], user=user, top_k=2)] == [
        "9",
        "7",
    ]


@pytest.mark.parametrize("top_k", [0, -1, 5])
def test_top_k_beyond_the_models_is_refused(recommender, top_k):
    with pytest.raises(RequestError, match=f"top_k: {top_k} .* Expected 1 to 4"):
        recommender.recommend(["50"], user={"age": 0}, top_k=top_k)


def test_left_out_items_are_not_returned(recommender):
    user = {"age": 0}
    history = ["50", "9", "7"]
    ids = [r.id for r in recommender.recommend(history, user=user)]
    assert ids == ["181", "172"]
    ids = [r.id for r in recommender.recommend(history, user=user, seen=[9])]
    assert ids == ["7", "181", "172", "50"]
    everything = ["50", "172", "181", "7", "9"]
    assert recommender.recommend(history, user=user, seen=everything) == []


def test_the_whole_history_is_left_out_not_only_the_context(recommender):
    history = ["9", "50", "172", "181"]
    answer = recommender.recommend(history, user={"age": 0})
    assert [r.id for r in answer] == ["7"]


def test_an_unknown_item_is_out_of_vocabulary(recommender):
    tensors = recommender.tensors(["50", "4711"], user={"age": 1})
    assert tensors["context_movie_id"].tolist() == [[2, 1, 0]]
    assert recommender.unknown_items(["50", "4711", 172, 99]) == ["4711", 99]
    best = recommender.recommend(["4711"], user={"age": 1})[0]
    assert (best.id, best.score) == ("9", 62.0)  # 60 for the row, 1 unknown, 1 of age


def test_all_inputs_reach_the_model_under_their_names(recommender):
    # Swapped, ids would be read as ratings: these answers differ by 100 and by 1.
    user = {"age": 0}
    base = recommender.recommend(["9"], user=user)[0].score
    rated = recommender.recommend(["9"], ratings=[100], user=user)[0].score
    aged = recommender.recommend(["9"], user={"age": 1})[0].score
    assert (rated - base, aged - base) == (100.0, 1.0)


def test_activities_and_hours_reach_the_model(write_bundle, manifest, tiny_model):
    # The floor is one of the ids 2 to 6, and takes the place of the item's.
    floor, hour = manifest["signature"]["inputs"][:2]
    floor.update(source="activity", field="floor")
    hour.update(source="hour", timezone="Europe/Berlin")
    recommender = _FourAtATime(write_bundle(tiny_model))
    history = ["9", "4711"]
    told = {
        "timestamps": [1_700_000_000, 1_700_006_400],  # 23:13 and 1:00 in Berlin
        "activities": {"floor": [172, None], "place": 5},
        "user": {"age": 0},
    }
    tensors = recommender.tensors(history, **told)
    assert tensors["context_movie_id"].tolist() == [[3, 1, 0]]
    assert tensors["context_movie_rating"].tolist() == [[23.0, 1.0, 0.0]]
    # Item 7 is row 5: 50 for the row, 3 and 1 for the floors, 23 and 1 for the hours.
    best = recommender.recommend(history, **told)[0]
    assert (best.id, best.score) == ("7", 78.0)
    with pytest.raises(RequestError, match="activities: floor is missing"):
        recommender.recommend(history, timestamps=[0, 0], user={"age": 0})


def test_predict_gives_left_out_items_at_the_end(recommender):
    tensors = recommender.tensors(["9"], user={"age": 0}, seen=["9", "7"])
    indices, scores = recommender.predict(tensors)
    assert indices.dtype == np.int32
    assert indices[:3].tolist() == [4, 3, 2]
    assert scores.tolist() == [46.0, 36.0, 26.0, FLOOR]


def test_missing_user_features_are_named(recommender):
    with pytest.raises(RequestError, match="user: age is missing"):
        recommender.recommend(["50"])


def test_one_call_leaves_nothing_for_the_next(recommender):
    user = {"age": 0}
    first = recommender.recommend(["50"], user=user)
    recommender.recommend(["172", "181", "7"], ratings=[1, 2, 3], user={"age": 9})
    assert recommender.recommend(["50"], user=user) == first


def test_threads_may_share_a_recommender(recommender):
    histories = [["50"], ["172", "181"], ["7", "9", "50"], []]
    expected = [recommender.recommend(h, user={"age": 5}) for h in histories]
    wrong = []

    def ask(number: int) -> None:
        for i in range(50):
            which = (number + i) % len(histories)
            answer = recommender.recommend(histories[which], user={"age": 5})
            if answer != expected[which]:
                wrong.append((number, i))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_more_threads_inside_give_the_same(bundle, recommender):
    other = _FourAtATime(bundle, num_threads=2)
    assert other.recommend(["50"], user={"age": 5}) == recommender.recommend(
        ["50"], user={"age": 5}
    )


def test_a_loaded_bundle_and_its_path_are_the_same(bundle):
    loaded = _FourAtATime(Bundle.load(bundle)).recommend(["50"], user={"age": 5})
    assert loaded == _FourAtATime(str(bundle)).recommend(["50"], user={"age": 5})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (b"", "is no LiteRT model: TFL3 is missing"),
        (b"no model", "is no LiteRT model: TFL3 is missing"),
        (b"\x1c\0\0\0TFL3", "should start at byte 28, and it has 8"),
        (b"\x08\0\0\0TFL3" + b"\xff" * 99, "LiteRT cannot load it: "),
    ],
)
def test_a_model_of_garbage_is_refused(write_bundle, model, message):
    with pytest.raises(BundleError, match=f"model.tflite: .*{message}"):
        Recommender(write_bundle(model))


def test_a_truncated_model_is_refused(write_bundle, tiny_model):
    with pytest.raises(BundleError, match=r"model.tflite"):
        Recommender(write_bundle(tiny_model[:100]))


def test_an_input_that_the_model_does_not_have_is_refused(
    write_bundle, manifest, tiny_model
):
    manifest["signature"]["inputs"][3]["name"] = "user_weight"
    with pytest.raises(BundleError, match=r"inputs are .*user_age.* Expected .*weight"):
        Recommender(write_bundle(tiny_model))


def test_an_input_of_another_length_is_refused(write_bundle, manifest, tiny_model):
    manifest["signature"]["inputs"][0]["length"] = 4
    with pytest.raises(BundleError, match=r"movie_id int32 \[1, 4\]"):
        Recommender(write_bundle(tiny_model))


def test_outputs_of_another_length_are_refused(write_bundle, manifest, tiny_model):
    for output in manifest["signature"]["outputs"]:
        output["length"] = 3
    manifest["num_predictions"] = 3
    with pytest.raises(BundleError, match=r"outputs are .*_ids int32 \[4\]"):
        Recommender(write_bundle(tiny_model))


def test_an_index_without_an_item_is_refused(
    write_bundle, rewrite_manifest, tiny_model
):
    folder = write_bundle(tiny_model)
    lines = (folder / "items.jsonl").read_text(encoding="utf-8").splitlines()
    text = "".join(f"{line}\n" for line in lines[:-1])
    (folder / "items.jsonl").write_text(text, encoding="utf-8")
    rewrite_manifest(folder)
    with pytest.raises(BundleError, match="answered index 6, which no item"):
        _FourAtATime(folder).recommend(["50"], user={"age": 0})


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(recommender, monkeypatch, score):
    # A diverged model's: the tiny one turns numbers into numbers.
    run = Model.run

    def diverged(model, tensors):
        indices, scores = run(model, tensors)
        return indices, np.where(indices == 4, np.float32(score), scores)

    monkeypatch.setattr(Model, "run", diverged)
    with pytest.raises(BundleError, match="answered a score that is not finite"):
        recommender.recommend(["50"], user={"age": 3})


@pytest.mark.parametrize("mode", ["KEPT", "CONTEXT"])
def test_a_seen_list_for_a_model_without_one_is_refused(
    write_bundle, manifest, tiny_model, mode
):
    manifest["seen"] = mode
    recommender = _FourAtATime(write_bundle(tiny_model))
    with pytest.raises(RequestError, match=f"seen: is not allowed. .* seen is {mode}"):
        recommender.recommend(["50"], user={"age": 0}, seen=["50"])


def test_it_imports_neither_tensorflow_nor_what_else_is_ours(bundle):
    program = (
        "import json, sys\n"
        "from pocketrec_device import Recommender\n"
        "Recommender(sys.argv[1]).recommend(['50'], user={'age': 1}, top_k=1)\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program, str(bundle)],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(pocketrec_device.__file__).parents[1]),
        },
        stdout=subprocess.PIPE,
        check=True,
    )
    modules = set(json.loads(finished.stdout.splitlines()[-1]))
    assert {"pocketrec_device", "numpy", "ai_edge_litert"} <= modules
    forbidden = {"tensorflow", "tfx", "tf_keras", "keras", "apache_beam"}
    ours = {"configs", "components", "pipeline", "benchmarks", "data"}
    assert not modules & (forbidden | ours)
