"""missing="mask": NaN in X is left out of the input and of the loss."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from autoenc import Autoencoder, DenoisingAutoencoder
from autoenc._spec import PLAIN_LOSSES
from autoenc.corruption import Gaussian, Masking, SaltAndPepper, SwapNoise
from autoenc.layers import BatchNorm, Dense, LayerNorm
from autoenc.sparsity import Matryoshka, TopK

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # short runs of lbfgs

N, D = 150, 9


@pytest.fixture(scope="module")
def whole():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(N, 2))
    return np.tanh(hidden @ rng.normal(size=(2, D))).astype(np.float32) + rng.normal(size=(N, D), scale=0.1).astype(
        "f4"
    )


@pytest.fixture(scope="module")
def holes(whole):
    X = whole.copy()
    X[np.random.default_rng(1).random((N, D)) < 0.3] = np.nan
    X[3] = 1.0
    X[5, :] = np.nan
    X[5, 2] = 0.5
    return X


def fit(X, *, X_clean=None, X_val=None, sample_weight=None, **parameters):
    parameters = {"missing": "mask", "max_iter": 5, "hidden_layer_sizes": (6,), "random_state": 0, **parameters}
    return Autoencoder(3, **parameters).fit(X, X_clean=X_clean, X_val=X_val, sample_weight=sample_weight)


def assert_same(a, b):
    for left, right in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        assert_array_equal(left, right)
    for name, value in a.other_parameters_.items():
        assert_array_equal(value, b.other_parameters_[name])
    assert a.loss_curve_ == b.loss_curve_


OBJECTIVES = [
    {},
    {"solver": "lbfgs", "precision": "float64"},
    {"solver": "sgd", "momentum": 0.5, "clip_norm": 1.0},
    {"early_stopping": True},
    {"tied_weights": True, "dropout": 0.2},
    {"corruption": Masking(0.3, emphasis=(1.0, 0.5))},
    {"corruption": Gaussian(0.3)},
    {"corruption": SwapNoise(0.2)},
    {"encoder": [Dense(6), BatchNorm(), Dense(5), LayerNorm()], "hidden_layer_sizes": (128,)},
    {"sparsity": TopK(2, aux_k=1), "hidden_layer_sizes": ()},
    {"sparsity": Matryoshka((1, 3))},
    {"pretrain": "layerwise", "pretrain_max_iter": 2},
]


@pytest.mark.parametrize("parameters", OBJECTIVES, ids=str)
@pytest.mark.parametrize("sparse", [False, True])
def test_a_mask_without_nan_is_the_plain_fit(whole, parameters, sparse):
    X = sp.csr_matrix(np.where(np.abs(whole) < 0.3, 0, whole)) if sparse else whole
    weights = np.random.default_rng(2).integers(0, 3, N)
    plain = fit(X, missing="error", sample_weight=weights, **parameters)
    masked = fit(X, sample_weight=weights, **parameters)
    assert_same(plain, masked)
    for method in ("transform", "reconstruct", "score_samples", "feature_errors"):
        assert_array_equal(getattr(plain, method)(X), getattr(masked, method)(X))


@pytest.mark.parametrize("loss", [loss for loss in PLAIN_LOSSES if loss != "multinomial"])
def test_a_mask_without_nan_is_the_plain_fit_for_every_loss(whole, loss):
    X = np.clip(np.abs(whole), 0, 1)
    plain, masked = fit(X, missing="error", loss=loss), fit(X, loss=loss)
    assert_same(plain, masked)
    assert_array_equal(plain.score_samples(X), masked.score_samples(X))


def test_a_mask_without_nan_is_the_plain_fit_with_targets(whole):
    target = whole[:, ::-1][:, :4].copy()
    X_val = (whole[:20], target[:20])
    plain, masked = (fit(whole, missing=m, X_clean=target, X_val=X_val) for m in ("error", "mask"))
    assert_same(plain, masked)
    assert plain.validation_loss_curve_ == masked.validation_loss_curve_
    assert_array_equal(plain.score_samples(whole, X_clean=target), masked.score_samples(whole, X_clean=target))


def stored_nan(X):
    """CSR in which NaN is stored and zeros are absent."""
    X = sp.csr_matrix(X)
    X.sort_indices()
    return X


def as_dense(X):
    return X.toarray() if sp.issparse(X) else np.asarray(X, dtype=np.float64)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_values_count_not_the_container(holes, precision):
    X = holes.copy()
    X[np.random.default_rng(4).random(X.shape) < 0.2] = 0.0
    X = X.astype("f2").astype("f4")  # exact in every type below
    reference = fit(X, precision=precision)
    assert np.isfinite(reference.loss_curve_).all()
    forms = [X.astype(t) for t in ("f8", "f2", ">f4", ">f8", "longdouble", "O")]
    forms += [np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], X.tolist()]
    forms += [stored_nan(X), stored_nan(X.astype("f8")), sp.csc_matrix(X), sp.coo_array(X)]
    for form in forms:
        before = np.array(as_dense(form))
        model = fit(form, precision=precision)
        assert_same(model, reference)
        for method in ("transform", "reconstruct", "score_samples", "feature_errors"):
            out, expected = getattr(model, method)(form), getattr(reference, method)(X)
            assert_allclose(out, expected, rtol=2e-7)
            if getattr(form, "dtype", None) == X.dtype or method == "score_samples":
                assert_array_equal(out, expected)
        assert_array_equal(as_dense(form), before)
    dense, sparse = fit(X), fit(stored_nan(X))
    assert_array_equal(dense.transform(stored_nan(X)), sparse.transform(X))


def test_frames_with_missing_values(holes):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(holes).astype("Float64")
    assert frame.isna().to_numpy().any()
    assert_same(fit(frame.set_axis([f"c{i}" for i in range(D)], axis=1)), fit(holes.astype(np.float64)))


def test_absent_entries_of_csr_are_observed_zeros(whole):
    X = np.where(np.abs(whole) < 0.5, 0, whole).astype("f4")
    assert_same(fit(sp.csr_matrix(X)), fit(X))
    missing = np.where(X == 0, np.nan, X)
    assert fit(missing).loss_curve_ != fit(X).loss_curve_


def test_every_method_is_finite_and_says_the_same(holes):
    model = fit(holes, max_iter=20)
    codes, rebuilt = model.transform(holes), model.reconstruct(holes)
    assert np.isfinite(codes).all()
    assert np.isfinite(rebuilt).all()
    errors, scores = model.feature_errors(holes), model.score_samples(holes)
    missing = np.isnan(holes)
    assert (errors[missing] == 0).all()
    # The loss is the mean over the observed entries of a row.
    squares = np.where(missing, 0, (rebuilt - np.nan_to_num(holes)) ** 2)
    assert_allclose(-scores, squares.sum(axis=1) / (~missing).sum(axis=1), rtol=1e-4)
    assert_allclose(errors.mean(axis=1), -scores, rtol=1e-5)
    assert_allclose(model.score(holes), scores.mean())
    assert_array_equal(fit(holes, max_iter=20).fit_transform(holes), codes)
    # A missing entry is a zero to the network.
    assert_array_equal(model.transform(np.nan_to_num(holes)), codes)
    assert_array_equal(model.inverse_transform(codes), rebuilt)


def test_rows_are_independent(holes):
    model = fit(holes)
    order = np.random.default_rng(0).permutation(N)
    for method in ("transform", "reconstruct", "score_samples", "feature_errors"):
        out = getattr(model, method)(holes)
        assert_array_equal(getattr(model, method)(holes[order]), out[order])
        assert_array_equal(np.concatenate([getattr(model, method)(part) for part in np.split(holes, 3)]), out)


def test_threads_do_not_matter(holes):
    for parameters in ({}, {"corruption": Masking(0.3, emphasis=(1.0, 0.5))}, {"solver": "lbfgs"}):
        reference = fit(holes, n_jobs=1, **parameters)
        for n_jobs in (2, 3, 8):
            assert_same(fit(holes, n_jobs=n_jobs, **parameters), reference)


def test_the_predictor_has_the_same_bits(holes):
    model = fit(holes)
    predictor = pickle.loads(pickle.dumps(model.predictor()))
    for X in (holes, stored_nan(holes)):
        assert_array_equal(predictor(X), model.transform(X))
        assert_array_equal(predictor.reconstruct(X), model.reconstruct(X))
        assert_array_equal(predictor.score_samples(X), model.score_samples(X))
    assert_array_equal(predictor(holes[0]), model.transform(holes[:1])[0])
    assert predictor.score_samples(holes[7]) == model.score_samples(holes[7:8])[0]
    clean = holes[::-1].copy()
    assert_array_equal(predictor.score_samples(holes, X_clean=clean), model.score_samples(holes, X_clean=clean))
    codes = predictor(holes)
    codes[2, 1] = np.nan
    for decode in (predictor.inverse_transform, model.inverse_transform):
        with pytest.raises(ValueError, match=r"NaN at row 2, column 1; every value must be finite\.$"):
            decode(codes)
    X = holes.copy()
    X[2, 1] = -np.inf
    with pytest.raises(ValueError, match="infinity at row 2, column 1"):
        predictor(X)
    plain = fit(np.nan_to_num(holes), missing="error").predictor()
    with pytest.raises(ValueError, match=r"NaN at row \d+, column \d+"):
        plain(holes)


def by_hand(model, X, weights=None):
    """Mean loss of rows, entry by entry, from the reconstructions."""
    present = ~np.isnan(X)
    squares = np.where(present, (model.reconstruct(X).astype("f8") - np.nan_to_num(X)) ** 2, 0).sum(axis=1)
    return np.average(squares / np.maximum(present.sum(axis=1), 1), weights=weights)


def test_validation_rows_are_masked_too(holes):
    model = fit(holes[:100], X_val=holes[100:], max_iter=12)
    assert_allclose(model.best_loss_, by_hand(model, holes[100:]), rtol=1e-5)
    held_out = fit(holes, early_stopping=True, max_iter=30)
    assert np.isfinite(held_out.validation_loss_curve_).all()
    assert held_out.best_loss_ == min(held_out.validation_loss_curve_)


def test_the_gradient_knows_the_mask(holes):
    """One step of gradient descent against differences of the loss, weighted rows and all."""
    weights = np.random.default_rng(3).integers(0, 4, N).astype(float)
    options = {"solver": "sgd", "momentum": 0.0, "batch_size": N, "alpha": 0.0, "learning_rate": "constant"}
    options |= {"precision": "float64", "warmup_fraction": 0.0, "max_iter": 1, "hidden_layer_sizes": (), "tol": None}
    X = holes.astype("f8")
    start = fit(X, sample_weight=weights, learning_rate_init=1e-300, **options)
    after = fit(X, sample_weight=weights, learning_rate_init=1.0, **options)
    assert_allclose(start.loss_curve_[0], by_hand(start, X, weights), rtol=1e-12)
    step = 1e-6
    for layer, at in ((0, (2, 1)), (0, (8, 0)), (1, (1, 4)), (1, (2, 7))):
        losses = []
        for sign in (1, -1):
            moved = pickle.loads(pickle.dumps(start))
            matrix = moved.coefs_[layer].copy()
            matrix[at] += sign * step
            moved.coefs_[layer] = matrix
            losses.append(by_hand(moved, X, weights))
        gradient = start.coefs_[layer][at] - after.coefs_[layer][at]
        assert_allclose((losses[0] - losses[1]) / (2 * step), gradient, rtol=1e-6, atol=1e-9)


def test_the_output_starts_at_the_means_of_what_is_there(holes):
    X = holes.copy()
    X[:, 4] = np.nan
    weights = np.random.default_rng(3).integers(0, 4, N).astype(float)
    with pytest.warns(UserWarning, match="X has no observed value in the columns 4: "):
        model = fit(X, sample_weight=weights, learning_rate_init=1e-30, max_iter=1, precision="float64", alpha=0.0)
    present = ~np.isnan(X)
    total = (present * weights[:, None]).sum(axis=0)
    means = (np.nan_to_num(X.astype("f8")) * weights[:, None]).sum(axis=0) / np.maximum(total, 1)
    assert means[4] == 0
    assert_allclose(model.intercepts_[-1], means, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("parameters", [{}, {"batch_size": 16}, {"solver": "lbfgs", "alpha": 0.0}], ids=str)
def test_a_column_that_is_always_missing_changes_nothing_in_the_others(whole, parameters):
    """From the same weights of the other columns they learn the same, up to the rounding of the means.

    The first weights are drawn by place and scaled by the number of columns, so that they are set here. With lbfgs the
    penalty on the column's own weights is part of the one objective, so it is left out.
    """
    rng = np.random.default_rng(6)
    X = whole.astype("f8")
    X[rng.random(X.shape) < 0.2] = np.nan
    at = 4
    with_column = np.insert(X, at, np.nan, axis=1)
    options = {"precision": "float64", "warm_start": True, "max_iter": 8, **parameters}
    with pytest.warns(UserWarning, match=f"X has no observed value in the columns {at}: "):
        big = fit(with_column, **options)
    small = fit(X, **options)
    big.coefs_ = [rng.normal(size=w.shape, scale=0.3) for w in big.coefs_]
    others = np.delete(np.arange(D + 1), at)
    small.coefs_ = [big.coefs_[0][others], *big.coefs_[1:-1], big.coefs_[-1][:, others]]
    small.intercepts_ = [*big.intercepts_[:-1], big.intercepts_[-1][others]]
    unused = big.coefs_[0][at].copy(), big.coefs_[-1][:, at].copy()
    big.fit(with_column)
    small.fit(X)
    assert_allclose(big.loss_curve_, small.loss_curve_, rtol=1e-9)
    assert_allclose(big.transform(with_column), small.transform(X), rtol=1e-7, atol=1e-9)
    assert_allclose(big.reconstruct(with_column)[:, others], small.reconstruct(X), rtol=1e-7, atol=1e-9)
    assert_allclose(big.score_samples(with_column), small.score_samples(X), rtol=1e-7)
    # Its own weights have no gradient: they only decay.
    for was, now in zip(unused, (big.coefs_[0][at], big.coefs_[-1][:, at]), strict=True):
        ratio = now / was
        assert_allclose(ratio, ratio[0], rtol=1e-12)
        assert 0.9 < ratio[0] <= 1.0


def test_a_row_without_anything(holes):
    X = holes.copy()
    X[7] = np.nan
    model = fit(X, max_iter=20)
    assert np.isfinite(model.loss_curve_).all()
    assert model.score_samples(X)[7] == 0
    assert (model.feature_errors(X)[7] == 0).all()
    assert_array_equal(model.transform(X)[7], model.transform(np.zeros((1, D), "f4"))[0])
    # It has no gradient; it only counts in the number of rows that the mean is over.
    full = {"solver": "sgd", "momentum": 0.0, "batch_size": N, "learning_rate": "constant", "warmup_fraction": 0.0}
    full |= {"precision": "float64", "max_iter": 8, "alpha": 0.0}
    few = fit(np.delete(X, 7, axis=0), learning_rate_init=0.1, **full)
    more = fit(X, learning_rate_init=0.1 * N / (N - 1), **full)
    assert_allclose(np.array(more.loss_curve_) * N / (N - 1), few.loss_curve_, rtol=1e-9)
    assert_allclose(more.coefs_[0], few.coefs_[0], rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("convert", [np.asarray, stored_nan], ids=["dense", "sparse"])
def test_columns_and_tables_without_any_value(whole, convert):
    nothing = np.full((N, D), np.nan, dtype="f4")
    for given in ({}, {"sample_weight": np.arange(N)}, {"precision": "float64"}):
        with pytest.raises(ValueError, match="X has no value at all: every entry is missing"):
            fit(convert(nothing), **given)
        with pytest.raises(ValueError, match="X_clean has no value at all: every entry is missing"):
            Autoencoder(2, missing="mask", max_iter=1).fit(whole, X_clean=convert(nothing))
    X = whole.copy()
    X[:, [1, 4]] = np.nan
    X[:, 2] = 0  # there, and has the moments of nothing
    with pytest.warns(UserWarning) as caught:
        fit(convert(X))
    assert [str(one.message).split(":")[0] for one in caught] == ["X has no observed value in the columns 1, 4"]
    X[3, 1] = X[-1, 4] = 0.0
    fit(convert(X))
    with pytest.warns(UserWarning, match="X_clean has no observed value in the columns 0: "):
        Autoencoder(2, missing="mask", max_iter=1).fit(whole, X_clean=np.where(np.arange(D) == 0, np.nan, whole))


def test_equal_rows_are_merged_whatever_the_bits_of_their_nan(holes):
    X = holes.astype("f8")
    options = {"solver": "lbfgs", "precision": "float64", "max_iter": 10}
    twice = np.concatenate([X, X])
    other = twice.copy()
    other[N:][np.isnan(X)] = -np.frombuffer(np.uint64(0x7FF8000000000123).tobytes(), "f8")[0]
    reference = fit(X, sample_weight=np.full(N, 2.0), **options)
    assert_same(fit(twice, **options), reference)
    assert_same(fit(other, **options), reference)
    assert_same(fit(stored_nan(other), **options), reference)


def test_weights_are_repetitions(holes):
    weights = np.random.default_rng(3).integers(0, 4, N)
    options = {"solver": "lbfgs", "precision": "float64", "max_iter": 10}
    assert_same(fit(holes, sample_weight=weights, **options), fit(np.repeat(holes, weights, axis=0), **options))


@pytest.mark.parametrize(
    "corruption", [Masking(0.4, emphasis=(2.0, 0.5)), Gaussian(0.2), SwapNoise(0.3), SaltAndPepper(0.2, low=-1.0)]
)
def test_corruption_and_emphasis(holes, corruption):
    model = fit(holes, corruption=corruption, max_iter=20)
    assert np.isfinite(model.loss_curve_).all()
    assert_array_equal(model.transform(holes), model.transform(np.nan_to_num(holes)))


@pytest.mark.parametrize("corruption", [Gaussian(1.0), Masking(0.3), SaltAndPepper(0.5), SwapNoise(0.5)])
@pytest.mark.parametrize("sparse", [False, True])
def test_corruption_leaves_missing_entries_zero(whole, corruption, sparse):
    """A missing entry is zero to the encoder in training too, so the weights of its column get no gradient from it."""
    X = np.array(whole, dtype=float)
    X[: len(X) // 2, 2] = np.nan
    # Rows with the entry have no weight, and are there for the others to swap with.
    weight = np.r_[np.ones(len(X) // 2), np.zeros(len(X) - len(X) // 2)]
    rows = sp.csr_array(X) if sparse else X
    parameters = dict(corruption=corruption, missing="mask", solver="sgd", alpha=0, random_state=0)
    parameters |= dict(learning_rate="constant", warmup_fraction=0)
    first = [
        DenoisingAutoencoder(3, max_iter=n, **parameters).fit(rows, sample_weight=weight).coefs_[0] for n in (1, 4)
    ]
    others = np.arange(X.shape[1]) != 2
    assert (first[0][others] != first[1][others]).any()
    # Of entries that are there SwapNoise makes zeros, never the other way round.
    assert_array_equal(first[0][2], first[1][2])


def test_masked_entries_count_in_the_loss_and_missing_ones_do_not(whole):
    """With emphasis on what was masked alone, a column is learned only where it was there."""
    X = whole.copy()
    X[:, 0] = np.nan
    X[:20, 0] = 3.0
    model = DenoisingAutoencoder(
        4,
        noise="masking",
        corruption_level=None,
        corruption=Masking(0.5, emphasis=(1.0, 0.0)),
        missing="mask",
        max_iter=300,
        hidden_layer_sizes=(16,),
        random_state=0,
    ).fit(X)
    # Every value seen in column 0 is 3: neither the missing (zero to the network) nor the masked pull at it.
    assert_allclose(model.reconstruct(X)[:, 0], 3.0, atol=0.5)


def test_filling_restores_more_than_the_mean(whole):
    rng = np.random.default_rng(8)
    missing = rng.random(whole.shape) < 0.2
    X = np.where(missing, np.nan, whole - whole.mean(axis=0)).astype("f4")
    model = fit(X, max_iter=150, corruption=Masking(0.2), hidden_layer_sizes=(32,))
    rebuilt = model.reconstruct(X) + whole.mean(axis=0)
    error = ((rebuilt - whole)[missing] ** 2).mean()
    assert error < 0.5 * (((whole - whole.mean(axis=0))[missing]) ** 2).mean()


def test_targets_with_missing_values(holes, whole):
    target = holes[:, ::-1][:, :4].copy()
    model = fit(whole, X_clean=target, max_iter=10)
    errors = model.feature_errors(whole, X_clean=target)
    assert (errors[np.isnan(target)] == 0).all()
    present = ~np.isnan(target)
    squares = np.where(present, (model.reconstruct(whole) - np.nan_to_num(target)) ** 2, 0)
    expected = squares.sum(axis=1) / np.maximum(present.sum(axis=1), 1)
    assert_allclose(-model.score_samples(whole, X_clean=target), expected, rtol=1e-4, atol=1e-7)
    assert_allclose(model.intercepts_[-1].shape, (4,))
    with pytest.raises(ValueError, match="X_clean contains NaN"):
        fit(whole, X_clean=target, missing="error")


def test_a_condition_may_not_miss(holes, whole):
    condition = whole[:, :2].copy()
    fitted = Autoencoder(2, missing="mask", max_iter=2).fit(holes, condition=condition)
    assert np.isfinite(fitted.transform(holes, condition=condition)).all()
    condition[4, 1] = np.nan
    message = r"condition contains NaN at row 4, column 1; every value must be finite\.$"
    with pytest.raises(ValueError, match=message):
        Autoencoder(2, missing="mask", max_iter=2).fit(holes, condition=condition)
    with pytest.raises(ValueError, match=message):
        fitted.predictor()(holes, condition=condition)


def test_partial_fit_and_warm_start(holes):
    parameters = {"missing": "mask", "hidden_layer_sizes": (6,), "random_state": 0}
    model = Autoencoder(3, **parameters)
    for _ in range(3):
        model.partial_fit(holes)
    assert model.n_iter_ == 3
    assert model.loss_curve_[2] < model.loss_curve_[0]
    sparse = Autoencoder(3, **parameters)
    for _ in range(3):
        sparse.partial_fit(stored_nan(holes))
    assert_same(model, sparse)
    warm = Autoencoder(3, warm_start=True, max_iter=4, **parameters).fit(holes)
    first = warm.loss_curve_[-1]
    assert warm.fit(holes).loss_curve_[-1] < first
    with pytest.raises(ValueError, match="missing from 'mask' to 'error'"):
        warm.set_params(missing="error").fit(np.nan_to_num(holes))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("sparse", [False, True])
def test_what_is_refused(holes, dtype, sparse):
    convert = stored_nan if sparse else np.asarray
    X = np.nan_to_num(holes).astype(dtype)
    model = fit(X)
    X[11, 6] = np.nan
    with pytest.raises(ValueError, match=r"Input X contains NaN at row 11, column 6.*missing='mask' allows NaN"):
        fit(convert(X), missing="error")
    plain = fit(np.nan_to_num(holes), missing="error")
    for method in (plain.transform, plain.reconstruct, plain.score_samples, plain.feature_errors):
        with pytest.raises(ValueError, match="Input X contains NaN at row 11, column 6"):
            method(convert(X))
    X[12, 1] = np.inf
    for method in (fit, model.transform, model.reconstruct, model.score_samples, model.feature_errors):
        with pytest.raises(ValueError, match="Input X contains infinity at row 12, column 1"):
            method(convert(X))
    if dtype == "f8":
        X[12, 1] = 1e39
        with pytest.raises(ValueError, match="infinity in float32"):
            fit(convert(X))
    X[12, 1] = -0.5
    with pytest.raises(ValueError, match=r"log_loss.*-0\.5 at row|log_loss.*at row"):
        fit(convert(X), loss="log_loss")


def test_losses_of_whole_rows_have_no_weights_of_entries(whole):
    X = np.abs(whole)
    with pytest.raises(ValueError, match="loss='multinomial' does not go with missing='mask'"):
        fit(X, loss="multinomial")
    with pytest.raises(ValueError, match=r"loss='multinomial' does not go with corruption=Masking.* with emphasis"):
        fit(X, loss="multinomial", missing="error", corruption=Masking(0.2, emphasis=(1.0, 0.5)))
    assert fit(X, loss="multinomial", missing="error", corruption=Masking(0.2)).n_iter_ == 5


def test_what_is_missing_has_no_part_in_the_auxiliary_loss(whole):
    """A column that is there once only: TopK's revival of dead latents must not learn zeros for the rest."""
    X = whole.astype("f8")
    X[:, 0] = np.nan
    options = {"sparsity": TopK(1, aux_k=2, dead_after=1, aux_weight=1.0), "hidden_layer_sizes": (), "alpha": 0.0}
    with pytest.warns(UserWarning, match="X has no observed value in the columns 0: "):
        model = fit(X, precision="float64", max_iter=1, learning_rate_init=1e-30, **options)
    start = model.coefs_[-1][:, 0].copy()
    model.set_params(warm_start=True, max_iter=10, learning_rate_init=1e-2).fit(X)
    assert_array_equal(model.coefs_[-1][:, 0], start)


def test_the_tag():
    assert Autoencoder(missing="mask").__sklearn_tags__().input_tags.allow_nan
    assert not Autoencoder().__sklearn_tags__().input_tags.allow_nan
