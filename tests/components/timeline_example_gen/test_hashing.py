from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.timeline_example_gen import hashing


def _hash(*texts: bytes) -> np.ndarray:
    data = np.frombuffer(b"".join(texts), np.uint8)
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    return hashing.hash_bytes(data, offsets)


def _plain_mix(word: int) -> int:
    word = (word + 0x9E3779B97F4A7C15) % 2**64
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
    return word ^ (word >> 31)


def _plain_hash(text: bytes) -> int:
    word = 0
    for position, byte in enumerate(text):
        word ^= _plain_mix(256 * position + byte)
    return _plain_mix(word ^ _plain_mix(len(text)))


def test_mix_is_splitmix64() -> None:
    # The generator's first and second number from seed 0.
    states = np.array([0, 0x9E3779B97F4A7C15], np.uint64)
    assert hashing.mix(states).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


@given(st.lists(st.binary(max_size=40)))
def test_hashes_equal_those_of_plain_integers(texts: list[bytes]) -> None:
    assert _hash(*texts).tolist() == [_plain_hash(text) for text in texts]


def test_a_text_has_one_hash_wherever_it_stands() -> None:
    first = _hash(b"a", b"", b"bcd")
    second = _hash(b"bcd", b"a", b"")
    assert first[[2, 0, 1]].tolist() == second.tolist()
    data = np.frombuffer(b"xxbcd", np.uint8)
    assert hashing.hash_bytes(data, np.array([2, 5])).tolist() == [first[2]]


def test_texts_that_are_alike_have_different_hashes() -> None:
    texts = [
        b"",
        b"\0",
        b"\0\0",
        b"ab",
        b"ba",
        b"aab",
        b"aba",
        *(b"%d" % i for i in range(10**4)),
    ]
    assert len(set(_hash(*texts).tolist())) == len(texts)


def test_pieces_are_ranges_of_the_hashes() -> None:
    hashes = np.sort(_hash(*(b"%d" % i for i in range(5000))))
    pieces = hashing.piece(hashes, 7)
    assert (np.diff(pieces) >= 0).all()
    share = np.bincount(pieces) / len(hashes)
    np.testing.assert_allclose(share, np.full(7, 1 / 7), atol=0.03)
    limits = np.array([0, 2**64 - 1], np.uint64)
    assert hashing.piece(limits, 100_000).tolist() == [0, 99_999]


def test_fractions_are_below_one() -> None:
    limits = np.array([0, 2**63, 2**64 - 1], np.uint64)
    zero, half, almost = hashing.fraction(limits).tolist()
    assert (zero, half) == (0.0, 0.5)
    assert 0.999999 < almost < 1.0


def test_another_seed_gives_unrelated_hashes() -> None:
    hashes = _hash(*(b"%d" % i for i in range(4000)))
    one, two = hashing.seeded(hashes, 1), hashing.seeded(hashes, 2)
    differing = np.unpackbits((one ^ two).view(np.uint8)).mean()
    assert abs(differing - 0.5) < 0.01


def test_the_order_within_a_pair_matters() -> None:
    a, b = _hash(b"1", b"2")[:, None]
    assert hashing.combine(a, b) != hashing.combine(b, a)
