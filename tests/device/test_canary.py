"""A bundle's canary: read strictly, and answered as it should be or not at all."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pocketrec_device import Bundle, BundleError, History, Recommender, RequestError
from pocketrec_device.canary import Canary, difference
from pocketrec_device.model import Model


def test_a_bundle_without_a_canary_has_none(write_bundle):
    assert Bundle.load(write_bundle()).canary is None


def test_a_canary_is_read(write_bundle, canary):
    assert Bundle.load(write_bundle()).canary == Canary(
        History(items=["50"], ratings=[4.5], user={"age": 30}),
        indices=(6, 5, 4, 3),
        scores=(101.5, 91.5, 81.5, 71.5),
    )


def test_all_that_a_request_may_have_is_read(write_bundle, canary):
    canary["request"] = {
        "history": [50, "172"],
        "ratings": [1, None],
        "timestamps": [None, 1_700_000_000],
        "user": {"age": None, "tags": ["a", None], "height": 1.8},
        "activities": {"device": ["tv", None], "floor": [2, 3]},
    }
    assert Bundle.load(write_bundle()).canary.request == History(
        items=[50, "172"],
        ratings=[1, None],
        timestamps=[None, 1_700_000_000],
        user={"age": None, "tags": ["a", None], "height": 1.8},
        activities={"device": ["tv", None], "floor": [2, 3]},
    )


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("canary", [], r" is \[\]. Expected a value of type dict"),
        ("indices", [6, 5, 4], "scores is .* Expected one for each of the 3 indices"),
        ("indices", [6, 5, 4, 4], r"indices is .* Expected each once"),
        ("indices", [6, 5, 4, True], r"indices is .* Expected a list of whole numbers"),
        ("indices", [6, 5, 4, 2**31], "Expected a list of whole numbers, 0 to 2147483"),
        ("scores", [4, 3, 2, "1"], "scores is .* Expected a list of finite numbers"),
        ("scores", [4, 3, 2, 10**400], "scores is .* Expected a list of finite"),
        ("scores", [1, 2, 3, 4], "scores is .* Expected the best first"),
        ("request", None, "request is None. Expected a value of type dict"),
        ("tolerance", 1, "tolerance is 1. Expected none but request, indices, scores"),
        ("request.history", None, "history is None. Expected a value of type list"),
        ("request.history", [None], "Expected a list of ids, texts or whole numbers"),
        ("request.ratings", ["5"], "ratings is .* Expected a list of numbers or null"),
        ("request.timestamps", [1.5], "Expected a list of seconds or null"),
        ("request.user", ["age"], "user is .* Expected a value of type dict"),
        ("request.user", {"age": {}}, r"user.age is {}. Expected a value, a list of"),
        ("request.user", {"age": [[]]}, "user.age is .* Expected a list of values or"),
        ("request.activities", {"device": "tv"}, "device is 'tv'. Expected a value of"),
        ("request.seen", [], "request.seen is .* Expected none but history, ratings"),
    ],
)
def test_what_is_no_canary_is_refused(
    write_bundle, manifest, canary, key, value, message
):
    if key == "canary":
        manifest[key] = value
    elif key.startswith("request."):
        canary["request"][key.partition(".")[2]] = value
    else:
        canary[key] = value
    with pytest.raises(BundleError, match=rf"manifest.json: canary.*{message}"):
        Bundle.load(write_bundle())


EXPECTED = Canary(History(items=[]), indices=(7, 8, 9), scores=(2.0, 1.0005, 1.0))


@pytest.mark.parametrize(
    ("indices", "scores"),
    [
        ([7, 8, 9], [2.0, 1.0005, 1.0]),
        ([7, 8, 9], [2.0029, 1.0, 0.999]),
        ([7, 9, 8], [2.0, 1.0005, 1.0]),  # 8 and 9 are as good as each other
        ([7, 8, 5], [2.0, 1.0005, 1.0]),  # and 5 as 9, which was cut off
        ([7, 4, 5], [2.0, 1.0005, 1.0]),
    ],
)
def test_an_answer_that_is_close_enough(indices, scores):
    assert difference(EXPECTED, indices, scores, full=True) is None


@pytest.mark.parametrize(
    ("indices", "scores", "message"),
    [
        ([8, 7, 9], [2.0, 1.0005, 1.0], "8 with the score 2 in place 1. Expected 7"),
        ([7, 8, 9], [2.0, 1.0005, 0.99], "9 with the score 0.99 in place 3. Expected"),
        ([7, 8, 9], [2.0, 1.0005, np.nan], "9 with the score nan in place 3"),
        ([5, 8, 9], [2.0, 1.0005, 1.0], "5 with the score 2 in place 1. Expected 7"),
        ([7, 8, 8], [2.0, 1.0005, 1.0], "an item more than once"),
        ([7, 8], [2.0, 1.0005], "2 items. Expected 3"),
        ([], [], "0 items. Expected 3"),
    ],
)
def test_an_answer_that_is_another(indices, scores, message):
    assert message in difference(EXPECTED, indices, scores, full=True)


def test_nothing_is_cut_off_from_an_answer_that_is_not_full():
    answer = [7, 8, 5], [2.0, 1.0005, 1.0]
    assert "5 with the score 1 in place 3" in difference(EXPECTED, *answer, full=False)


def test_an_item_that_is_missing_must_have_been_near_the_cut():
    # Each place has the score that it should have: the first two hold the same item's.
    expected = Canary(History(items=[]), (7, 8, 9, 6), (3.0, 2.998, 2.997, 1.0))
    answer = [8, 9, 5, 6], [3.0, 2.998, 2.997, 1.0]
    assert difference(expected, *answer, full=True) is not None
    answer = [7, 8, 9, 5], [3.0, 2.998, 2.997, 1.0]
    assert difference(expected, *answer, full=True) is None


def test_what_the_exporter_writes_is_what_the_self_test_reads(
    write_bundle, rewrite_manifest, manifest, tiny_model
):
    folder = write_bundle(tiny_model)
    request = History(items=["50", 172], ratings=[None, 3], user={"age": 1})
    made = Recommender(folder).make_canary(request)
    assert made.indices == (6, 5, 4)  # the fourth and fifth are left out
    manifest["canary"] = json.loads(json.dumps(made.to_json()))
    rewrite_manifest(folder)
    recommender = Recommender(folder)
    assert recommender.bundle.canary == made
    recommender.self_test()


def test_a_canary_takes_no_items_to_leave_out(bundle):
    with pytest.raises(RequestError, match=r"seen: .* a canary leaves out its own"):
        Recommender(bundle).make_canary(History(items=["50"], seen=["50"]))


def test_the_answer_is_all_above_the_floor(bundle):
    request = History(items=["50", "9"], user={"age": 0}, seen=["9", "7"])
    indices, scores = Recommender(bundle).answer(request)
    assert (indices.dtype, scores.dtype) == (np.int32, np.float32)
    assert indices.tolist() == [4, 3, 2]
    assert scores.tolist() == [53.0, 43.0, 33.0]


def test_a_bundle_without_a_canary_cannot_be_tested(bundle):
    with pytest.raises(BundleError, match=r"manifest.json: has no canary to test it"):
        Recommender(bundle).self_test()


def test_a_model_that_answers_otherwise_is_found(
    write_bundle, tiny_model, canary, monkeypatch
):
    recommender = Recommender(write_bundle(tiny_model))
    recommender.self_test()
    run = Model.run

    def drifted(model, tensors):
        indices, scores = run(model, tensors)
        return indices, scores * np.float32(1.01)

    monkeypatch.setattr(Model, "run", drifted)
    with pytest.raises(
        BundleError,
        match=r"model.tflite: does not answer the canary as it should: 6 with the "
        r"score 102.515 in place 1. Expected 6 with 101.5",
    ):
        recommender.self_test()


def test_other_vocabularies_are_found(
    write_bundle, rewrite_manifest, tiny_model, canary
):
    folder = write_bundle(tiny_model)
    path = folder / "vocabularies" / "movie_id.txt"
    path.write_text("172\n50\n181\n7\n9\n")
    rewrite_manifest(folder)
    with pytest.raises(BundleError, match="does not answer the canary as it should"):
        Recommender(folder).self_test()


def test_a_request_that_does_not_fit_the_bundle_is_the_bundles_fault(
    write_bundle, tiny_model, canary
):
    canary["request"]["user"] = {}
    with pytest.raises(
        BundleError, match=r"canary.request does not fit: user: age is missing"
    ):
        Recommender(write_bundle(tiny_model)).self_test()
