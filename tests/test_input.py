"""Every kind of data that may come in, without copies where none is needed, and never modified."""

import importlib
import tracemalloc
from importlib.util import find_spec

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from autoenc import Autoencoder, AutoencoderImputer, AutoencoderOutlierDetector, MarginalizedDenoisingAutoencoder

N, D = 90, 7


@pytest.fixture(scope="module")
def small():
    """Whole numbers 0 to 9, which every dtype holds exactly."""
    return np.random.default_rng(0).integers(0, 10, (N, D))


def fit(X, precision="float32", **parameters):
    return Autoencoder(2, hidden_layer_sizes=(5,), max_iter=3, random_state=0, precision=precision, **parameters).fit(X)


def assert_same(a, b):
    for left, right in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        assert_array_equal(left, right)
    assert a.loss_curve_ == b.loss_curve_


DTYPES = ["f4", "f8", "f2", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", ">f4", ">f8", ">f2", ">i4", "longdouble"]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_value_counts_not_the_dtype(small, dtype, precision):
    X = small.astype(dtype)
    kept = X.copy()
    reference = fit(small.astype(precision), precision)
    estimator = fit(X, precision)
    assert_same(estimator, reference)
    codes = estimator.transform(X)
    assert_array_equal(codes, reference.transform(small.astype(precision)).astype(codes.dtype))
    native = np.dtype(dtype).newbyteorder("=")
    assert codes.dtype == (native if native in (np.float32, np.float64) else np.dtype(precision))
    assert estimator.reconstruct(X).dtype == estimator.inverse_transform(codes).dtype == codes.dtype
    assert estimator.score_samples(X).dtype == np.float64
    assert_array_equal(X, kept)


def test_bool(small):
    assert_same(fit(small > 4), fit((small > 4).astype(np.float32)))


def layouts(X):
    wide = np.zeros((2 * N, 3 * D), X.dtype)
    wide[::2, ::3] = X
    readonly = X.copy()
    readonly.flags.writeable = False
    unaligned = np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(X.dtype).reshape(X.shape)
    backwards = np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1]
    return {
        "fortran": np.asfortranarray(X),
        "strided": wide[::2, ::3],
        "backwards": backwards,
        "readonly": readonly,
        "unaligned": unaligned,
        "transposed": np.ascontiguousarray(X.T).T,
    }


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1"])
@pytest.mark.parametrize("layout", ["fortran", "strided", "backwards", "readonly", "unaligned", "transposed"])
def test_order_and_strides_do_not_matter(small, dtype, layout):
    X = small.astype(dtype)
    other = layouts(X)[layout]
    assert_array_equal(X, other)
    a, b = fit(X), fit(other)
    assert_same(a, b)
    assert_array_equal(a.transform(X), b.transform(other))
    assert_array_equal(a.score_samples(X), b.score_samples(other))
    assert_array_equal(a.inverse_transform(a.transform(X)), b.inverse_transform(np.asfortranarray(b.transform(other))))


def test_memory_map(small, tmp_path):
    for dtype in ("f4", "f8", "u1"):
        np.save(tmp_path / "X.npy", small.astype(dtype))
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
        assert_same(fit(X), fit(small.astype("f4")))


def test_lists_and_frames(small):
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    reference = fit(small.astype(np.float32))
    columns = [f"c{i}" for i in range(D)]
    for X in (
        small.tolist(),
        small.astype(object),
        pandas.DataFrame(small, columns=columns),
        pandas.DataFrame(small, columns=columns).astype({"c0": "float32", "c1": "uint8", "c2": "Int64"}),
        polars.DataFrame(small, schema=columns),
        polars.DataFrame(small, schema=columns).cast(polars.Float32),
    ):
        estimator = fit(X)
        assert_same(estimator, reference)
        assert_array_equal(estimator.transform(X).astype(np.float32), reference.transform(small.astype(np.float32)))


def frames(pandas, X):
    """Frames of pandas whose columns are not NumPy's, with the type that they are read as."""
    given = pandas.DataFrame(X, columns=[f"c{i}" for i in range(X.shape[1])])
    whole = given.fillna(1).round().astype(int)
    return [
        (given.astype("Float64"), "f8"),
        (given.astype("Float32"), "f4"),
        (given.astype({"c0": "Float32"}), "f8"),
        (whole.astype("Int64").mask(given.isna()), "f4"),
        (whole.astype({"c0": "UInt8", "c1": "boolean"}), "f4"),
        (given.astype(pandas.SparseDtype(float, 0.0)), "f8"),
        (given.astype(object).where(given.notna(), None), "f8"),
    ]


@pytest.mark.parametrize("kind", range(7))
def test_frames_with_types_of_their_own(small, kind):
    pandas = pytest.importorskip("pandas")
    X = small / 8
    X[::7, 2] = np.nan
    frame, dtype = frames(pandas, X)[kind]
    plain = frame.astype("float64").to_numpy(float)
    model = fit(plain, missing="mask")
    assert_same(fit(frame, missing="mask"), model)
    detector = AutoencoderOutlierDetector(n_estimators=1, missing="mask", random_state=0).fit(plain)
    closed = MarginalizedDenoisingAutoencoder().fit(X[:, 3:])
    calls = [(model.transform, model.predictor()), (model.score_samples, model.predictor().score_samples)]
    for call, predictor in (*calls, (detector.score_samples, detector.predictor().score_samples)):
        with pytest.warns(UserWarning, match="X has feature names"):
            found = call(frame)
        assert_array_equal(found, predictor(plain.astype(dtype)))
        assert_array_equal(found, predictor(frame))
        assert found.dtype == predictor(frame).dtype
        assert_array_equal(predictor(frame.iloc[0]), found[0])
    if frame.isna().any(axis=None):
        with pytest.raises(ValueError, match="Input X contains NaN at row 0, column 2"):
            fit(small).predictor()(frame)
    assert_array_equal(closed.predictor()(frame.iloc[:, 3:]), closed.transform(plain[:, 3:].astype(dtype)))


def test_dates_in_frames(small):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(small, columns=[f"c{i}" for i in range(D)])
    days = pandas.Series(pandas.date_range("2020-01-01", periods=N))
    predictor = fit(small).predictor()
    for dates in (days, days.dt.tz_localize("UTC"), days - days[0], days.dt.to_period("D")):
        given = [frame.assign(c1=dates), frame.assign(**{f"c{i}": dates for i in range(D)})]
        if dates is days and find_spec("polars"):
            given += map(importlib.import_module("polars").from_pandas, given.copy())
        for one in given:
            for call in (fit, predictor, AutoencoderImputer().fit, AutoencoderOutlierDetector().fit):
                with pytest.raises(ValueError, match=r"X has dates or times \([DdTtp].*; allowed are numbers"):
                    call(one)
            with pytest.raises(ValueError, match="X_clean has dates or times"):
                Autoencoder().fit(small, X_clean=one)


def test_a_column_is_no_table():
    pandas = pytest.importorskip("pandas")
    for dtype in ("float64", "Float64", "Int8"):
        with pytest.raises(ValueError, match="Expected a 2-dimensional container"):
            fit(pandas.Series([1, 2, 3], dtype=dtype))


def sparse_kinds(X):
    csr = sp.csr_array(X)
    long = sp.csr_array(X)
    long.indices, long.indptr = long.indices.astype(np.int64), long.indptr.astype(np.int64)
    rng = np.random.default_rng(1)
    unsorted = csr.copy()
    for row in range(N):
        part = slice(unsorted.indptr[row], unsorted.indptr[row + 1])
        order = rng.permutation(part.stop - part.start)
        unsorted.indices[part], unsorted.data[part] = unsorted.indices[part][order], unsorted.data[part][order]
    unsorted.has_sorted_indices = False
    # Every value in two halves.
    twice = sp.csr_array((np.repeat(csr.data, 2) / 2, np.repeat(csr.indices, 2), 2 * csr.indptr), shape=X.shape)
    zeros = sp.csr_array((np.append(csr.data, 0).astype(X.dtype), np.append(csr.indices, 0), csr.indptr), shape=X.shape)
    zeros = csr.copy()
    zeros.data[0] = 0
    return {
        "csr": csr,
        "csr_matrix": sp.csr_matrix(X),
        "int64": long,
        "unsorted": unsorted,
        "twice": twice,
        "csc": sp.csc_array(X),
        "csc_matrix": sp.csc_matrix(X),
        "coo": sp.coo_array(X),
        "lil": sp.lil_array(X),
        "bsr": sp.bsr_array(X),
    }


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "kind", ["csr", "csr_matrix", "int64", "unsorted", "twice", "csc", "csc_matrix", "coo", "lil", "bsr"]
)
def test_sparse_equals_dense_to_the_bit(small, dtype, kind):
    dense = np.where(small > 6, small, 0).astype(dtype)
    dense[3] = 0  # an empty row
    X = sparse_kinds(dense)[kind]
    kept = X.copy()
    a, b = fit(dense), fit(X)
    assert_same(a, b)
    assert_array_equal(a.transform(dense), b.transform(X))
    assert_array_equal(a.score_samples(dense), b.score_samples(X))
    assert_array_equal(a.feature_errors(dense), b.feature_errors(X))
    assert b.transform(X).dtype == np.dtype(dtype)
    if kind.startswith(("csr", "csc", "int64", "unsorted", "twice")):
        for name in ("data", "indices", "indptr"):
            assert_array_equal(getattr(X, name), getattr(kept, name))
            assert getattr(X, name).dtype == getattr(kept, name).dtype
    predictor = b.predictor()
    if kind in ("csr", "csr_matrix", "int64"):
        assert_array_equal(predictor(X), a.transform(dense))


@pytest.mark.parametrize("dtype", ["u1", "i8", "bool"])
def test_sparse_of_other_types(small, dtype):
    dense = (small > 6).astype(dtype)
    assert_same(fit(dense), fit(sp.csr_array(dense)))


def test_sparse_losses_and_targets(small):
    dense = (small > 6).astype(np.float32)
    for loss in ("log_loss", "poisson", "multinomial"):
        assert_same(fit(dense, loss=loss), fit(sp.csr_array(dense), loss=loss))
    a = Autoencoder(2, max_iter=2, random_state=0).fit(dense, X_clean=dense[:, :3])
    b = Autoencoder(2, max_iter=2, random_state=0).fit(sp.csr_array(dense), X_clean=sp.csc_array(dense[:, :3]))
    assert_same(a, b)


def peak_of(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["float32", "float64", "uint8", "csr", "csr64"])
def test_no_copy(kind):
    """NumPy's allocations are traced; those of the core do not depend on the rows (test_memory)."""
    if kind.startswith("csr"):
        X = sp.random_array((20_000, 200), density=0.1, format="csr", dtype=np.float32, rng=np.random.default_rng(0))
        if kind == "csr64":
            X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
        size = X.data.nbytes
    else:
        X = np.random.default_rng(0).random((20_000, 200 if kind != "uint8" else 800)).astype(kind)
        size = X.nbytes
    estimator = Autoencoder(2, hidden_layer_sizes=(4,), max_iter=1, random_state=0)
    estimator.fit(X[:50])  # imports and caches
    # Codes take 160 kB, differences of the row starts 160 kB.
    assert peak_of(lambda: estimator.fit(X)) < size / 4
    assert peak_of(lambda: estimator.transform(X)) < size / 4
    assert peak_of(lambda: estimator.score(X)) < size / 4


def test_a_copy_would_be_seen():
    X = np.random.default_rng(0).random((20_000, 200), dtype=np.float32)
    assert peak_of(lambda: X.astype(np.float64)) > X.nbytes
    assert peak_of(lambda: Autoencoder(2, hidden_layer_sizes=(4,), max_iter=1).fit(X.astype(np.float16))) > X.nbytes


def test_uint8_is_trained_as_it_is(small):
    X = (small * 25).astype(np.uint8)
    estimator = fit(X)
    assert_same(estimator, fit(X.astype(np.float32)))
    assert estimator.transform(X).dtype == np.float32
    assert fit(X, "float64").transform(X).dtype == np.float64


def test_float64_in_float64_out():
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    X = np.random.default_rng(0).random((N, D))
    estimator = fit(X)
    codes = estimator.transform(X)
    names = [f"c{i}" for i in range(D)]
    frames = (pandas.DataFrame(X).astype("Float64"), polars.DataFrame(X, schema=names))
    for data in (X.tolist(), X.astype(object), *frames):
        other = fit(data)
        assert_same(other, estimator)
        assert other.transform(data).dtype == np.float64
        assert_array_equal(other.transform(data), codes)
    single = polars.DataFrame(X.astype(np.float32), schema=names)
    assert fit(single).transform(single).dtype == np.float32


@pytest.mark.filterwarnings("ignore:lbfgs has not converged")
def test_one_row_one_column_and_no_variance():
    rng = np.random.default_rng(0)
    for X in (rng.normal(size=(1, 4)), rng.normal(size=(30, 1)), np.ones((30, 4)), np.zeros((1, 1))):
        for solver in ("adamw", "lbfgs"):
            estimator = Autoencoder(2, solver=solver, max_iter=5, random_state=0).fit(X)
            assert estimator.transform(X).shape == (len(X), 2)
            assert np.isfinite(estimator.reconstruct(X)).all()
            assert np.isfinite(estimator.score(X))


def test_more_components_than_features():
    X = np.random.default_rng(0).normal(size=(40, 3))
    estimator = Autoencoder(5, hidden_layer_sizes=(), max_iter=5).fit(X)
    assert estimator.transform(X).shape == (40, 5)
    assert estimator.components_.shape == (3, 3)
