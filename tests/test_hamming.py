"""Hamming neighbours against brute force in NumPy."""

import threading
import time

import numpy as np
import pytest

from autoenc import _core


def brute_force(codes, queries, k):
    bits = np.unpackbits(codes, axis=1).astype(np.int32)
    asked = np.unpackbits(queries, axis=1).astype(np.int32)
    distances = asked.sum(axis=1)[:, None] + bits.sum(axis=1) - 2 * asked @ bits.T
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, axis=1), order


def draw(rows, n_bytes, seed):
    return np.random.default_rng(seed).integers(0, 256, (rows, n_bytes), dtype=np.uint8)


@pytest.mark.parametrize("n_bytes", [1, 3, 4, 7, 8, 9, 16, 24, 32, 65, 300])
def test_equals_brute_force(n_bytes):
    codes, queries = draw(1500, n_bytes, 1), draw(37, n_bytes, 2)
    for k in (1, 2, 10, 1499, 1500):
        distances, indices = _core.hamming_neighbors(codes, queries, k, 2)
        assert distances.dtype == np.int32
        assert indices.dtype == np.int64
        expected = brute_force(codes, queries, k)
        np.testing.assert_array_equal(distances, expected[0])
        np.testing.assert_array_equal(indices, expected[1])


def test_ties_go_to_the_lower_index():
    codes = np.zeros((3000, 2), np.uint8)
    codes[::3] = 0xFF
    distances, indices = _core.hamming_neighbors(codes, codes[:2], 5, 1)
    np.testing.assert_array_equal(indices, [[0, 3, 6, 9, 12], [1, 2, 4, 5, 7]])
    assert not distances.any()
    distances, indices = _core.hamming_neighbors(codes, np.full((1, 2), 0xFF, np.uint8), 1003, 1)
    np.testing.assert_array_equal(distances[0, 999:], [0, 16, 16, 16])
    np.testing.assert_array_equal(indices[0, 999:], [2997, 1, 2, 4])


def test_threads_do_not_show():
    codes, queries = draw(5000, 5, 3), draw(301, 5, 4)
    first = _core.hamming_neighbors(codes, queries, 20, 1)
    for n_threads in (2, 3, 8):
        other = _core.hamming_neighbors(codes, queries, 20, n_threads)
        np.testing.assert_array_equal(first[0], other[0])
        np.testing.assert_array_equal(first[1], other[1])


def test_instruction_sets_agree(monkeypatch):
    codes, queries = draw(700, 33, 3), draw(20, 33, 4)
    expected = brute_force(codes, queries, 9)
    monkeypatch.setenv("AUTOENC_ISA", "ref")
    distances, indices = _core.hamming_neighbors(codes, queries, 9, 1)
    np.testing.assert_array_equal(distances, expected[0])
    np.testing.assert_array_equal(indices, expected[1])


def test_any_layout_and_nothing_modified():
    codes, queries = draw(400, 16, 5), draw(20, 16, 6)
    expected = brute_force(codes, queries, 7)
    wide = np.zeros((801, 33), np.uint8)
    wide[1::2, 1::2] = codes
    shifted = np.frombuffer(b"x" + codes.tobytes(), np.uint8)[1:].reshape(codes.shape)
    for layout in (np.asfortranarray(codes), wide[1::2, 1::2], shifted):
        before = layout.copy()
        distances, indices = _core.hamming_neighbors(layout, np.asfortranarray(queries), 7, 2)
        np.testing.assert_array_equal(distances, expected[0])
        np.testing.assert_array_equal(indices, expected[1])
        np.testing.assert_array_equal(layout, before)


def test_no_queries():
    distances, indices = _core.hamming_neighbors(draw(5, 2, 0), np.empty((0, 2), np.uint8), 3, 1)
    assert distances.shape == indices.shape == (0, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros((3, 2), np.uint8), np.zeros((1, 2), np.uint8), 0, 1), ValueError, "k is 0"),
        ((np.zeros((3, 2), np.uint8), np.zeros((1, 2), np.uint8), 4, 1), ValueError, "k is 4.*codes, 3"),
        (
            (np.zeros((3, 2), np.uint8), np.zeros((1, 3), np.uint8), 1, 1),
            ValueError,
            "queries have 3 bytes and codes 2",
        ),
        ((np.zeros((3, 0), np.uint8), np.zeros((1, 0), np.uint8), 1, 1), ValueError, "codes of 0 bytes"),
        ((np.zeros((0, 2), np.uint8), np.zeros((1, 2), np.uint8), 1, 1), ValueError, "k is 1"),
        ((np.zeros((3, 2), np.int8), np.zeros((1, 2), np.uint8), 1, 1), TypeError, "codes must be .* uint8"),
        ((np.zeros((3, 2), np.uint8), np.zeros(2, np.uint8), 1, 1), TypeError, "queries must be .* uint8"),
        (([[1]], np.zeros((1, 2), np.uint8), 1, 1), TypeError, "codes must be"),
        ((np.zeros((3, 2), np.uint8), np.zeros((1, 2), np.uint8), 1, 0), ValueError, "thread"),
    ],
)
def test_what_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        _core.hamming_neighbors(*arguments)


def test_other_python_threads_run():
    codes = draw(200_000, 8, 7)
    done = threading.Event()
    ticks = []

    def tick():
        while not done.is_set():
            ticks.append(1)
            time.sleep(0.001)

    ticker = threading.Thread(target=tick)
    ticker.start()
    before = len(ticks)
    _core.hamming_neighbors(codes, codes[:300], 10, 1)
    during = len(ticks) - before
    done.set()
    ticker.join()
    assert during > 1
