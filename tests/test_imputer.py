"""AutoencoderImputer: what is observed stays, what is missing is filled, like scikit-learn's imputers."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from autoenc import AutoencoderImputer, DivergenceError


@pytest.fixture(scope="module")
def whole():
    return load_wine().data


@pytest.fixture(scope="module")
def missing(whole):
    return np.random.default_rng(0).random(whole.shape) < 0.25


@pytest.fixture(scope="module")
def holes(whole, missing):
    return np.where(missing, np.nan, whole)


def quick(n_components=8, **parameters):
    parameters = {"max_iter": 4, "hidden_layer_sizes": (16,), "random_state": 0, **parameters}
    return AutoencoderImputer(n_components, **parameters)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_what_is_observed_comes_back_as_it_is(holes, missing, dtype, precision):
    X = holes.astype(dtype)
    X[3, 2], missing = -0.0, missing.copy()
    missing[3, 2] = False
    before = X.tobytes()
    model = quick(precision=precision).fit(X)
    filled = model.transform(X)
    assert filled.dtype == X.dtype
    assert filled[~missing].tobytes() == X[~missing].tobytes()
    assert np.isfinite(filled).all()
    assert X.tobytes() == before
    assert (filled >= np.nanmin(X, axis=0)).all()
    assert (filled <= np.nanmax(X, axis=0)).all()
    assert_array_equal(clone(model).fit_transform(X), filled)
    # A table without holes comes back whole, and rows may be asked for one by one.
    assert_array_equal(model.transform(filled), filled)
    assert_array_equal(np.concatenate([model.transform(X[i : i + 1]) for i in range(9)]), filled[:9])
    order = np.random.default_rng(1).permutation(len(X))
    assert_array_equal(model.transform(X[order]), filled[order])


@pytest.mark.parametrize("load", [load_iris, load_wine])
def test_it_is_better_than_the_mean_and_the_neighbours(load):
    X = load().data
    missing = np.random.default_rng(2).random(X.shape) < 0.3
    holes = np.where(missing, np.nan, X)
    errors = [
        np.sqrt((((model.fit_transform(holes) - X) / X.std(axis=0))[missing] ** 2).mean())
        for model in (AutoencoderImputer(random_state=0), KNNImputer(), SimpleImputer())
    ]
    assert errors[0] < 0.97 * errors[1]
    assert errors[0] < 0.8 * errors[2]


def test_new_rows_are_filled_by_what_was_learned(whole, holes, missing):
    model = AutoencoderImputer(random_state=0, max_iter=100).fit(holes[::2])
    filled = model.transform(holes[1::2])
    gaps = missing[1::2]
    scaled = lambda X: ((X - whole[1::2]) / whole.std(axis=0))[gaps]  # noqa: E731
    mean = np.broadcast_to(np.nanmean(holes[::2], axis=0), filled.shape)
    assert (scaled(filled) ** 2).mean() < 0.8 * (scaled(mean) ** 2).mean()
    # Where nothing is known the filling is near the means.
    nothing = model.transform(np.full((1, whole.shape[1]), np.nan))
    assert np.abs((nothing - model.mean_) / model.scale_).max() < 1.5


def test_threads_do_not_matter(holes):
    reference = quick(n_jobs=1).fit_transform(holes)
    for n_jobs in (2, 3, 8):
        assert_array_equal(quick(n_jobs=n_jobs).fit_transform(holes), reference)


def test_a_fit_without_missing_values_can_fill_later_ones(whole, holes):
    filled = quick().fit(whole).transform(holes)
    assert np.isfinite(filled).all()


def test_other_signs_of_missing_values(holes, missing):
    reference = quick().fit_transform(holes)
    coded = np.where(missing, -999.0, holes)
    assert_array_equal(quick(missing_values=-999).fit_transform(coded), reference)
    assert (coded[missing] == -999).all()
    with pytest.raises(ValueError, match="NaN"):
        quick(missing_values=-999).fit(holes)
    whole_numbers = np.where(missing, -1, np.nan_to_num(holes).astype(int))
    filled = quick(missing_values=-1).fit_transform(whole_numbers)
    assert filled.dtype == np.float64
    assert_array_equal(filled[~missing], whole_numbers[~missing])
    assert not quick(missing_values=-1).__sklearn_tags__().input_tags.allow_nan
    assert quick().__sklearn_tags__().input_tags.allow_nan


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_infinity_is_refused(holes, bad):
    X = holes.copy()
    X[4, 5] = bad
    with pytest.raises(ValueError, match="infinity at row 4, column 5"):
        quick().fit(X)
    with pytest.raises(ValueError, match="infinity at row 4, column 5"):
        quick().fit(holes).transform(X)
    with pytest.raises(ValueError, match="infinity at row 4, column 5"):
        quick().fit(sp.csc_array(X))
    with pytest.raises(ValueError, match=r"NaN at row .*; every value must be finite\.$"):
        quick(missing_values=0).fit(holes)


def test_an_empty_column_changes_nothing_in_the_others(holes):
    """To the bit, since it is not part of the network."""
    reference = quick().fit_transform(holes)
    X = np.insert(holes, 4, np.nan, axis=1)
    others = np.delete(np.arange(X.shape[1]), 4)
    dropped, kept = quick().fit(X), quick(keep_empty_features=True).fit(X)
    assert_array_equal(dropped.transform(X), reference)
    filled = kept.transform(X)
    assert_array_equal(filled[:, others], reference)
    assert (filled[:, 4] == 0).all()
    assert np.isnan(dropped.mean_[4])
    # A value that turns up later has no part either; where the column is kept, so is the value.
    later = X.copy()
    later[0, 4] = 7.0
    assert_array_equal(dropped.transform(later), reference)
    assert kept.transform(later)[0, 4] == 7.0
    assert_array_equal(kept.transform(later)[:, others], reference)
    names = [f"x{i}" for i in range(X.shape[1])]
    assert list(dropped.get_feature_names_out()) == names[:4] + names[5:]
    assert list(kept.get_feature_names_out()) == names


def test_nothing_but_empty_columns():
    X = np.full((6, 2), np.nan)
    model = quick().fit(X)
    assert model.transform(X).shape == (6, 0)
    assert model.autoencoder_ is None
    assert_array_equal(quick(keep_empty_features=True).fit_transform(X), np.zeros((6, 2)))


@pytest.mark.filterwarnings("ignore:Skipping features")
def test_the_indicator_is_that_of_scikit_learn(holes):
    X = holes.copy()
    X[:, [1, 6]] = 1.5
    for keep in (False, True):
        Y = np.insert(X, 3, np.nan, axis=1)
        ours = quick(add_indicator=True, keep_empty_features=keep).fit(Y)
        theirs = SimpleImputer(add_indicator=True, keep_empty_features=keep).fit(Y)
        out, expected = ours.transform(Y), theirs.transform(Y)
        assert out.shape == expected.shape
        n = Y.shape[1] - (not keep)
        assert_array_equal(out[:, n:], expected[:, n:])
        assert list(ours.get_feature_names_out()) == list(theirs.get_feature_names_out())
        assert_array_equal(out[:, :n], clone(ours).set_params(add_indicator=False).fit_transform(Y))
    assert quick(add_indicator=True).fit_transform(X.astype("f4")).dtype == np.float32


def test_frames_and_their_names(holes):
    pd = pytest.importorskip("pandas")
    names = [f"c{i}" for i in range(holes.shape[1])]
    frame = pd.DataFrame(holes, columns=names).assign(empty=np.nan)
    model = quick(add_indicator=True).set_output(transform="pandas").fit(frame)
    out = model.transform(frame)
    marks = [f"missingindicator_{name}" for name in [*names, "empty"]]
    assert list(out.columns) == list(model.get_feature_names_out()) == [*names, *marks]
    assert_array_equal(out[names].to_numpy(), quick().fit_transform(holes))
    assert_array_equal(quick().fit_transform(frame.astype("Float64")), quick().fit_transform(holes))
    assert list(model.feature_names_in_) == [*names, "empty"]


@pytest.mark.parametrize("factor", [1e-300, 1e-20, 1e20, 1e300])
def test_scales_do_not_matter(holes, factor):
    """Multiplication by a power of two, or nearly so, changes nothing but the scale of the result."""
    factor = 2.0 ** round(np.log2(factor))
    X = holes / holes[~np.isnan(holes)].max()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_array_equal(quick().fit_transform(X * factor), quick().fit_transform(X) * factor)


def test_constant_columns_and_far_values(holes):
    X = holes.copy()
    X[:, 2] = np.where(np.isnan(X[:, 2]), np.nan, 0.1)
    X[:, 3] = np.where(np.isnan(X[:, 3]), np.nan, 0.0)
    model = quick().fit(X)
    filled = model.transform(X)
    assert (filled[:, 2] == 0.1).all()
    assert (filled[:, 3] == 0.0).all()
    far = np.full((2, X.shape[1]), np.nan)
    far[:, 0] = 1.7e308, -1.7e308
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(model.transform(far)).all()


@pytest.mark.parametrize("shape", [(1, 3), (2, 1), (5, 2), (3, 40)])
def test_small_tables(shape):
    X = np.random.default_rng(0).normal(size=shape)
    X[0, 0] = np.nan
    filled = quick().fit_transform(X)
    assert np.isfinite(filled).all()
    assert filled.shape == (shape[0], shape[1] - (shape[0] == 1))


def test_masked_entries_count_in_the_loss(whole):
    """Two equal columns: to fill one from the other is learned only by masking what is there."""
    X = np.repeat(whole[:, :1], 2, axis=1)
    gaps = np.zeros(X.shape, dtype=bool)
    gaps[::4, 1] = True
    holes = np.where(gaps, np.nan, X)
    options = {"max_iter": 150, "random_state": 0}
    masked = AutoencoderImputer(**options).fit_transform(holes)
    assert np.abs(masked - X)[gaps].max() < 0.25 * X.std()
    assert np.abs(masked - X)[gaps].mean() < 0.05 * X.std()


def sparse_of(X, kind=sp.csr_array):
    """What is not zero is stored, and every NaN."""
    rows, columns = np.nonzero((X != 0) | np.isnan(X))
    return kind(sp.coo_array((X[rows, columns], (rows, columns)), shape=X.shape))


@pytest.mark.parametrize("kind", [sp.csr_array, sp.csr_matrix, sp.csc_array, sp.coo_array])
@pytest.mark.parametrize("options", [{}, {"sample_posterior": True}, {"precision": "float64"}])
def test_sparse_rows_are_filled_with_the_bits_of_dense_ones(holes, kind, options):
    X = np.where(np.random.default_rng(3).random(holes.shape) < 0.5, 0.0, holes)
    X[:, 2] = np.nan
    sparse = sparse_of(X, kind)
    before = sparse.copy()
    for keep in (False, True):
        parameters = {"keep_empty_features": keep, "add_indicator": True, **options}
        a, b = quick(**parameters).fit(X), quick(**parameters).fit(sparse)
        for name in ("mean_", "scale_", "min_", "max_"):
            assert_array_equal(getattr(a, name), getattr(b, name))
        filled = b.transform(sparse)
        assert sp.issparse(filled) and filled.format == "csr"
        assert_array_equal(filled.toarray(), a.transform(X))
        assert_array_equal(b.transform(X), a.transform(X))
        # Zeros stay zeros that are not stored.
        assert filled.nnz < 0.75 * np.prod(filled.shape)
        assert filled.dtype == np.float64
        if options.get("sample_posterior"):
            assert_array_equal(b.sample(sparse, 2, random_state=0), a.sample(X, 2, random_state=0))
    assert_array_equal(sparse.toarray(), before.toarray())
    single = quick().fit_transform(sparse_of(X.astype(np.float32), kind))
    assert single.dtype == np.float32
    assert_array_equal(single.toarray(), quick().fit_transform(X.astype(np.float32)))


def test_sparse_rows_are_filled_in_blocks(holes, monkeypatch):
    from autoenc import _row_blocks

    X = sparse_of(np.where(np.arange(len(holes))[:, None] % 5 == 0, 0.0, holes))
    expected = quick().fit(X)
    monkeypatch.setattr(_row_blocks, "ROWS_AT_ONCE", 7)
    model = quick().fit(X)
    for name in ("mean_", "scale_", "min_", "max_"):
        assert_array_equal(getattr(model, name), getattr(expected, name))
    assert_array_equal(model.transform(X).toarray(), quick().fit_transform(X.toarray()))


def test_other_signs_of_missing_values_in_sparse_rows(holes, missing):
    coded = sparse_of(np.where(missing, -999.0, holes))
    assert_array_equal(quick(missing_values=-999).fit_transform(coded).toarray(), quick().fit_transform(holes))
    with pytest.raises(ValueError, match="missing_values=0 does not go with sparse X"):
        quick(missing_values=0).fit(coded)
    with pytest.raises(ValueError, match="malformed CSR"):
        bad = coded.copy()
        bad.indices[0] = 99
        quick().fit(bad)


# ---- weights ----


def test_equal_weights_are_none(holes):
    assert_array_equal(
        quick().fit(holes, sample_weight=np.ones(len(holes))).transform(holes), quick().fit_transform(holes)
    )


def test_a_row_without_weight_is_not_there(holes):
    X = np.vstack([holes, 1e6 + holes[:30]])
    X[-1, 4] = 1e9
    weight = np.r_[np.ones(len(holes)), np.zeros(30)]
    a, b = quick(add_indicator=True).fit(holes), quick(add_indicator=True).fit(X, sample_weight=weight)
    for name in ("mean_", "scale_", "min_", "max_"):
        assert_array_equal(getattr(a, name), getattr(b, name))
    assert_array_equal(a.transform(holes), b.transform(holes))
    # A column whose only values have no weight is empty.
    X[: len(holes), 2] = np.nan
    assert 2 not in quick().fit(X, sample_weight=weight)._used()


def test_weights_are_repetitions_in_means_and_deviations(holes):
    times = np.random.default_rng(0).integers(0, 4, len(holes))
    a = quick().fit(holes, sample_weight=times)
    b = quick().fit(np.repeat(holes, times, axis=0))
    assert_allclose(a.mean_, b.mean_, rtol=1e-12)
    assert_allclose(a.scale_, b.scale_, rtol=1e-12)


def test_what_has_weight_is_learned():
    """Two rules of how columns hang together: the one with the weight fills."""
    x = np.random.default_rng(0).normal(size=400)
    sign = np.where(np.arange(400) < 200, 1.0, -1.0)
    X = np.column_stack([x, sign * x])
    asked = np.column_stack([np.linspace(-1.5, 1.5, 40), np.full(40, np.nan)])
    for heavy in (1.0, -1.0):
        weight = np.where(sign == heavy, 1.0, 1e-3)
        filled = AutoencoderImputer(8, random_state=0, max_iter=60).fit(X, sample_weight=weight).transform(asked)
        assert np.corrcoef(filled[:, 0], filled[:, 1])[0, 1] * heavy > 0.9


def test_weights_are_checked(holes):
    with pytest.raises(ValueError, match="weight"):
        quick().fit(holes, sample_weight=np.zeros(len(holes)))


# ---- like KNNImputer ----


@pytest.mark.filterwarnings("ignore:Skipping features")
@pytest.mark.parametrize("add_indicator", [False, True])
@pytest.mark.parametrize("keep_empty_features", [False, True])
@pytest.mark.parametrize("missing_values", [np.nan, -1, 0])
@pytest.mark.parametrize("where", ["fit", "transform", "both", "neither"])
def test_shapes_names_and_indicators_are_those_of_knn(whole, add_indicator, keep_empty_features, missing_values, where):
    rng = np.random.default_rng(4)
    table = whole + 1.0  # nothing that stands for a missing value
    gaps = rng.random(table.shape) < 0.3
    gaps[:, 5:8] = False
    first = np.where(gaps & (where in ("fit", "both")), missing_values, table)
    later = np.where(np.roll(gaps, 2, axis=1) & (where in ("transform", "both")), missing_values, table)
    if where in ("fit", "both"):
        first[:, 4] = missing_values  # an empty column, which has values later
    options = dict(missing_values=missing_values, add_indicator=add_indicator, keep_empty_features=keep_empty_features)
    ours, theirs = quick(max_iter=1, **options).fit(first), KNNImputer(**options).fit(first)
    assert (ours.indicator_ is None) == (theirs.indicator_ is None)
    for X in (first, later, later[:1]):
        a, b = ours.transform(X), theirs.transform(X)
        assert a.shape == b.shape
        n = table.shape[1] - (where in ("fit", "both") and not keep_empty_features)
        if add_indicator:
            assert_array_equal(ours.indicator_.features_, theirs.indicator_.features_)
            assert_array_equal(a[:, n:], b[:, n:])
        kept = np.arange(table.shape[1]) if n == table.shape[1] else np.delete(np.arange(table.shape[1]), 4)
        observed = (missing_values != X) & ~np.isnan(X)
        observed[:, 4] &= n == table.shape[1] and where not in ("fit", "both")
        assert_array_equal(a[:, :n][observed[:, kept]], X[:, kept][observed[:, kept]])
        assert_array_equal(a[:, :n][observed[:, kept]], b[:, :n][observed[:, kept]])
    # KNNImputer's names leave out a kept empty column that its result has; SimpleImputer's do not.
    like = SimpleImputer(**options).fit(first) if keep_empty_features else theirs
    assert list(ours.get_feature_names_out()) == list(like.get_feature_names_out())
    assert len(ours.get_feature_names_out()) == ours.transform(first).shape[1]


def test_parameters_are_those_of_knn():
    shared = ("missing_values", "add_indicator", "keep_empty_features")
    for name in shared:
        ours, theirs = getattr(AutoencoderImputer(), name), getattr(KNNImputer(), name)
        assert ours is theirs or ours == theirs


def test_copies(holes):
    model = quick(add_indicator=True).fit(holes)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.transform(holes), model.transform(holes))
    assert clone(model).get_params() == model.get_params() or np.isnan(model.missing_values)


def test_in_a_pipeline(holes):
    y = load_wine().target
    search = GridSearchCV(
        make_pipeline(quick(), LogisticRegression(max_iter=50)),
        {"autoencoderimputer__corruption_level": [0.0, 0.3]},
        cv=2,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert search.fit(holes, y).best_score_ > 0.5


@pytest.mark.parametrize(
    ("name", "value"),
    [("corruption_level", 1.0), ("dropout", -0.1), ("n_components", 0), ("missing_values", "?"), ("max_iter", 0)],
)
def test_parameters_are_checked(holes, name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter of AutoencoderImputer"):
        quick(**{name: value}).fit(holes)


def test_a_failed_fit_leaves_the_imputer_as_it_was(holes):
    model = quick().fit(holes)
    filled = model.transform(holes)
    with pytest.raises(DivergenceError):
        model.set_params(learning_rate_init=1e30).fit(holes[:, :5])
    assert model.n_features_in_ == holes.shape[1]
    assert_array_equal(model.transform(holes), filled)


def test_attributes(whole, holes):
    model = quick().fit(holes)
    assert_allclose(model.mean_, np.nanmean(holes, axis=0))
    assert_allclose(model.scale_, np.nanstd(holes, axis=0))
    assert_array_equal(model.min_, np.nanmin(holes, axis=0))
    assert_array_equal(model.max_, np.nanmax(holes, axis=0))
    assert model.n_iter_ == model.autoencoder_.n_iter_ == 4
    assert model.autoencoder_.missing == "mask"
    # The encoder sees the row, and which of its entries are known.
    assert model.autoencoder_.coefs_[0].shape == (2 * whole.shape[1], 16)


def variational(**parameters):
    return quick(4, sample_posterior=True, **parameters)


def test_a_variational_network_fills_alike_in_each_call(holes, missing):
    model = variational(keep_empty_features=True).fit(holes)
    filled = model.transform(holes)
    assert_array_equal(filled[~missing], holes[~missing])
    assert np.isfinite(filled).all()
    assert_array_equal(model.transform(holes), filled)
    assert_array_equal(np.concatenate([model.transform(holes[i : i + 1]) for i in range(9)]), filled[:9])
    assert_array_equal(variational(n_jobs=3).fit_transform(holes), filled)


def test_several_imputations(holes, missing):
    model = variational(add_indicator=True).fit(holes)
    tables = model.sample(holes, 6, random_state=1)
    assert tables.shape == (6, *holes.shape)
    for table in tables:
        assert_array_equal(table[~missing], holes[~missing])
    assert (tables.std(axis=0)[missing] > 0).mean() > 0.95
    assert (tables >= model.min_).all()
    assert (tables <= model.max_).all()
    assert_array_equal(model.sample(holes, 6, random_state=1), tables)
    assert (model.sample(holes, 6, random_state=2) != tables).any()
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.sample(holes, 6, random_state=1), tables)
    whole_rows = np.nan_to_num(holes)
    assert_array_equal(model.sample(whole_rows, 2), [whole_rows] * 2)
    for n in (0, 1.5, True):
        with pytest.raises(ValueError, match="n_imputations"):
            model.sample(holes, n)


def test_imputations_need_a_variational_network(holes):
    model = quick().fit(holes)
    assert not hasattr(model, "sample")
    assert hasattr(variational(), "sample")
    with pytest.raises(ValueError, match="sample_posterior=True"):
        model.sample(holes)


def test_imputations_spread_as_what_is_missing_does():
    """Two correlated normal columns: given one, the other has a known mean and deviation."""
    rng = np.random.default_rng(0)
    X = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=1500)
    X[::4, 1] = np.nan
    X[1::4, 0] = np.nan
    model = AutoencoderImputer(2, sample_posterior=True, max_iter=60, random_state=0).fit(X)
    rows = np.repeat([[-1.0, np.nan], [0.0, np.nan], [1.0, np.nan]], 400, axis=0)
    drawn = model.sample(rows, 3, random_state=0)[:, :, 1].reshape(3, 3, 400)
    means, deviations = drawn.mean(axis=(0, 2)), drawn.std(axis=(0, 2))
    assert_allclose(means, [-0.8, 0.0, 0.8], atol=0.2)
    assert_allclose(deviations, 0.6, rtol=0.2)
    assert_allclose(model.transform(rows)[::400, 1], [-0.8, 0.0, 0.8], atol=0.25)


def test_weights_of_draws_are_those_of_importance_sampling(holes):
    """Their mean is the likelihood of what is observed that the network itself gives, in the same nats."""
    model = variational(precision="float64", max_iter=20).fit(holes)
    network, Z = model.autoencoder_, model._standardised(holes[:6])
    log_weight, _, _ = network._weighted(Z, np.random.default_rng(0).standard_normal((6, 20000, 4)))
    largest = log_weight.max(axis=1)
    mean = largest + np.log(np.exp(log_weight - largest[:, None]).mean(axis=1))
    assert_allclose(mean, network.log_likelihood(Z, n_samples=20000), atol=0.05)


def test_missing_values_of_pandas():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"a": [1, None, 3, 4, 5], "b": [2, 3, None, 5, 6]}, dtype="Int64")
    imputer = AutoencoderImputer(missing_values=pd.NA, max_iter=3, random_state=0)
    assert imputer.__sklearn_tags__().input_tags.allow_nan
    filled = imputer.fit_transform(X)
    assert np.isfinite(filled).all() and (filled[0] == [1, 2]).all()


@pytest.mark.parametrize("sample_posterior", [False, True])
def test_progress_has_the_name_of_the_imputer(holes, capsys, sample_posterior):
    AutoencoderImputer(max_iter=1, verbose=1, sample_posterior=sample_posterior).fit(holes)
    assert capsys.readouterr().out.startswith("[AutoencoderImputer] epoch 1/1, loss")
