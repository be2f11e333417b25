"""Rows that go straight into the core give the bits and the errors of the long way, which converts and checks first."""

import copy
import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from autoenc import Autoencoder, AutoencoderClassifier, VariationalAutoencoder, _checks
from autoenc._checks import check_finite

D = 7
FLOAT32_MAX = float(np.finfo(np.float32).max)


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(230, D))


def fitted(X, **parameters):
    return Autoencoder(3, hidden_layer_sizes=(40,), max_iter=2, random_state=0, **parameters).fit(X)


def long_way(predictor):
    """The same predictor, which does not try the short way."""
    other = copy.deepcopy(predictor)
    other._alone = False
    return other


def refused(predictor, X, node, start=-1):
    return predictor._core.values(X, node, 0, start, False) is None


def spoilt(X, row, column, value):
    out = X.copy()
    out[row, column] = value
    return out


class Sub(np.ndarray):
    pass


def layouts(X):
    """One matrix in every layout that the core reads in place."""
    spread = np.zeros((2 * len(X), 3 * D), X.dtype)
    spread[::2, ::3] = X
    unaligned = np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(X.dtype).reshape(X.shape)
    yield X
    yield np.asfortranarray(X)
    yield spread[::2, ::3]
    yield X[::-1].copy()[::-1]
    yield X[:, ::-1].copy()[:, ::-1]
    yield X.view(Sub)
    yield unaligned  # the long way copies it


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_the_short_way_has_the_bits_of_the_long_one(X, precision, dtype):
    data = (20 * np.abs(X)).astype(dtype) if dtype == "uint8" else X.astype(dtype)
    model = fitted(X, precision=precision)
    expected = dtype if dtype != "uint8" else precision
    for n_jobs in (1, 3):
        short = model.predictor(n_jobs=n_jobs)
        long = long_way(short)
        for rows in layouts(data):
            before = rows.copy()
            codes = long(rows)
            assert codes.dtype == expected
            for part in (slice(0), slice(1), slice(2), slice(95), slice(96), slice(97), slice(None)):
                for method, answer in (("transform", codes), ("reconstruct", long.reconstruct(rows))):
                    values = getattr(short, method)(rows[part])
                    assert type(values) is np.ndarray and values.dtype == expected and values.flags.c_contiguous
                    assert_array_equal(values, answer[part])
            assert_array_equal(short(rows[5]), codes[5])
            assert short(rows[5]).shape == (3,)
            assert_array_equal(short.inverse_transform(codes), long.inverse_transform(codes))
            assert_array_equal(short.inverse_transform(codes[1]), long.inverse_transform(codes[1]))
            assert_array_equal(model.transform(rows), codes)
            assert_array_equal(rows, before)


def test_what_is_plain_takes_the_short_way(X):
    predictor = fitted(X).predictor()
    for dtype in (np.float32, np.float64, np.uint8):
        rows = np.abs(X).astype(dtype)
        for plain in (rows, rows[0], rows[:0], rows.T.copy().T, rows.view(Sub)):
            assert not refused(predictor, plain, predictor._code)
    codes = predictor(X)
    assert not refused(predictor, codes, predictor._linked_node, predictor._code)
    for other in (
        X.tolist(),
        X.astype(">f8"),
        X.astype(int),
        X.astype(object),
        X[:, :-1],
        X[0, :-1],
        X[np.newaxis],
        X[0, 0],
        None,
    ):
        assert refused(predictor, other, predictor._code)
    assert refused(predictor, X, predictor._linked_node, predictor._code)


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X[:, :5],
        lambda X: X[3, :5],
        lambda X: X[np.newaxis],
        lambda X: X[0, 0],
        lambda X: X.astype(str),
        lambda X: X.astype(complex),
        lambda X: spoilt(X, 17, 2, np.nan),
        lambda X: spoilt(X, 17, 2, np.inf).astype(np.float32),
        lambda X: spoilt(X, 201, 0, -1e39),
        lambda X: spoilt(X, 0, 6, np.nextafter(FLOAT32_MAX, np.inf)),
        lambda X: spoilt(X, 229, 6, np.nan).T.copy().T,
        lambda X: spoilt(X, 4, 6, np.nan)[4],
    ],
)
def test_errors_are_those_of_the_long_way(X, change):
    rows = change(X)
    for precision in ("float32", "float64"):
        model = fitted(X, precision=precision)
        predictor = model.predictor(n_jobs=2)
        outcomes = []
        for call in (predictor, predictor.reconstruct, long_way(predictor), long_way(predictor).reconstruct):
            try:
                call(rows)
                outcomes.append("fine")
            except (ValueError, TypeError) as error:
                outcomes.append((type(error), str(error)))
        assert len(set(outcomes)) == 1, outcomes
        finite = precision == "float64" and isinstance(rows, np.ndarray) and rows.shape[-1:] == (D,) and rows.ndim < 3
        assert (outcomes[0] == "fine") == (finite and rows.dtype.kind == "f" and bool(np.isfinite(rows).all()))
        if rows.ndim == 2 and rows.shape[1] == D and rows.dtype.kind == "f" and outcomes[0] != "fine":
            for call in (model.transform, model.reconstruct):
                with pytest.raises(ValueError) as caught:
                    call(rows)
                assert str(caught.value) == outcomes[0][1]


def test_no_value_is_overlooked(X):
    """Each place of some rows once, in every layout, in blocks of every worker."""
    model = fitted(X)
    predictor = model.predictor(n_jobs=2)
    places = np.random.default_rng(1).permutation(X.size)[:200]
    for dtype, values in ((np.float32, (np.nan, np.inf, -np.inf)), (np.float64, (np.nan, -np.inf, 1e39))):
        for k, at in enumerate(places):
            rows = X.astype(dtype)
            rows.ravel()[at] = values[k % 3]
            for layout in list(layouts(rows))[k % 6 :: 6]:
                assert refused(predictor, layout, predictor._code)
            with pytest.raises(ValueError) as caught:
                check_finite(rows, "float32", "X")
            for call in (predictor, model.transform):
                with pytest.raises(ValueError, match=f"at row {at // D}, column {at % D}[;,]") as same:
                    call(rows)
                assert str(caught.value) in str(same.value).replace(_checks.ALLOWING, "")


def test_missing_values_pass_where_they_may(X):
    holes = np.where(np.random.default_rng(2).random(X.shape) < 0.2, np.nan, X)
    model = fitted(holes, missing="mask")
    predictor = model.predictor()
    for rows in (holes, holes.astype(np.float32)):
        assert predictor._core.values(rows, predictor._code, 0, -1, True) is not None
        assert_array_equal(predictor(rows), long_way(predictor)(rows))
        assert_array_equal(model.transform(rows), predictor(rows))
    codes = predictor(holes)
    codes[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"NaN at row 3, column 1; every value must be finite\.$"):
        predictor.inverse_transform(codes)
    holes[5, 2] = np.inf
    with pytest.raises(ValueError, match="infinity at row 5, column 2"):
        predictor(holes)


def test_conditions_take_the_long_way(X):
    labels = np.where(X[:, 0] > 0, "a", "b")
    model = VariationalAutoencoder(2, max_iter=1, random_state=0).fit(X, condition=labels)
    predictor = model.predictor()
    assert_array_equal(predictor.transform(X, condition=labels), model.transform(X, condition=labels))
    for call in (predictor.transform, model.transform):
        with pytest.raises(ValueError, match="called without condition"):
            call(X)
    plain = fitted(X)
    for call in (plain.predictor().transform, plain.transform):
        with pytest.raises(ValueError, match="called with condition"):
            call(X, condition=labels)


def test_other_nodes_take_it_too(X):
    model = AutoencoderClassifier(3, unlabeled_label=None, max_iter=2, random_state=0).fit(X, X[:, 0] > 0)
    predictor = model.predictor()
    assert_array_equal(predictor.predict_proba(X), long_way(predictor).predict_proba(X))
    assert_array_equal(model.predict_proba(X), predictor.predict_proba(X))
    for call in (model.predict, predictor.predict):
        with pytest.raises(ValueError, match="NaN at row 100, column 3"):
            call(spoilt(X, 100, 3, np.nan))


def test_the_core_refuses_wrong_calls(X):
    predictor = fitted(X).predictor()
    core, n_nodes = predictor._core, max(predictor._at.values()) + 1
    for arguments in (
        (X, n_nodes, 0, -1, False),
        (X, -1, 0, -1, False),
        (X, 0, 2, -1, False),
        (X, 0, 0, n_nodes, False),
    ):
        with pytest.raises(ValueError, match="nodes are 0 to"):
            core.values(*arguments)
    with pytest.raises(TypeError, match="5 arguments, got 1"):
        core.values(X)
    with pytest.raises(TypeError):
        core.values(X, "0", 0, -1, False)


def test_short_and_long_calls_of_many_threads_take_turns(X):
    """Calls of little work keep the GIL, those of much work let go of it; neither waits for the other in a circle."""
    model = fitted(X)
    predictor = model.predictor(n_jobs=2)
    many = np.tile(X, (40, 1))
    expected = predictor(many)
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(60):
            if rng.random() < 0.3:
                wrong.append(not np.array_equal(predictor(many), expected))
            else:
                at = int(rng.integers(len(many)))
                wrong.append(not np.array_equal(predictor(many[at]), expected[at]))

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert not worker.is_alive()
    assert len(wrong) == 240 and not any(wrong)
