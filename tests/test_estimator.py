"""What the estimator learns, and what its methods and parameters do."""

import copy
import warnings

import numpy as np
import pytest
import scipy.sparse
import scipy.special
from numpy.testing import assert_allclose, assert_array_equal

from autoenc import Autoencoder, _core, _spec

LOSSES = ("squared_error", "absolute_error", "huber", "log_cosh", "log_loss", "poisson", "multinomial")
FUNCTIONS = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: (
        1.0507009873554804934193349852946 * np.where(x > 0, x, 1.6732632423543772848170429916717 * np.expm1(x))
    ),
    "gelu": lambda x: x * scipy.special.ndtr(x),
    "silu": lambda x: x * scipy.special.expit(x),
    "softplus": lambda x: np.logaddexp(x, 0),
    "tanh": np.tanh,
    "logistic": scipy.special.expit,
    "exp": np.exp,
    "softmax": lambda x: scipy.special.softmax(x, axis=1),
}
TERMS = {
    "squared_error": lambda z, x: (z - x) ** 2,
    "absolute_error": lambda z, x: np.abs(z - x),
    "huber": lambda z, x: np.where(np.abs(z - x) <= 0.5, 0.5 * (z - x) ** 2, 0.5 * (np.abs(z - x) - 0.25)),
    "log_cosh": lambda z, x: np.log(np.cosh(z - x)),
    "log_loss": lambda z, x: np.logaddexp(z, 0) - x * z,
    "multinomial": lambda z, x: -x * scipy.special.log_softmax(z, axis=1),
}


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).random((90, 6))


def forward(estimator, X):
    """The network in NumPy: code and value before the loss's link."""
    n_encoder = len(estimator.hidden_layer_sizes)
    value, code = X, None
    for i, (weight, bias) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True)):
        value = value @ weight.astype(np.float64) + bias
        if i == n_encoder:
            value = code = FUNCTIONS[estimator.latent_activation](value)
        elif i < len(estimator.coefs_) - 1:
            value = FUNCTIONS[estimator.activation](value)
    return code, value


@pytest.mark.parametrize("activation", sorted(set(FUNCTIONS) - {"exp"}))
def test_the_network_is_what_it_says(X, activation):
    estimator = Autoencoder(
        3,
        hidden_layer_sizes=(7, 5),
        decoder_hidden_layer_sizes=(4,),
        activation=activation,
        latent_activation="tanh",
        output_activation=activation,
        max_iter=5,
        precision="float64",
        random_state=0,
    ).fit(X)
    code, value = forward(estimator, X)
    assert [w.shape for w in estimator.coefs_] == [(6, 7), (7, 5), (5, 3), (3, 4), (4, 6)]
    assert_allclose(estimator.transform(X), code, rtol=1e-10, atol=1e-12)
    assert_allclose(estimator.reconstruct(X), FUNCTIONS[activation](value), rtol=1e-10, atol=1e-12)
    assert estimator.n_parameters_ == sum(a.size for a in estimator.coefs_ + estimator.intercepts_)


@pytest.mark.parametrize("loss", LOSSES)
def test_terms_scores_and_curve_agree(X, loss):
    estimator = Autoencoder(2, loss=loss, huber_delta=0.5, max_iter=3, precision="float64", random_state=0).fit(X)
    _, value = forward(estimator, X)
    errors = estimator.feature_errors(X)
    assert (errors >= -1e-12).all()
    assert_allclose(estimator.score_samples(X), -errors.mean(axis=1), rtol=1e-12)
    assert_allclose(estimator.score(X), estimator.score_samples(X).mean(), rtol=1e-14)
    link = _core.LOSS_LINKS[_core.LOSSES.index(loss)]
    assert_allclose(estimator.reconstruct(X), FUNCTIONS[link](value), rtol=1e-10, atol=1e-12)
    if loss in TERMS:
        # Terms may differ from the plain formula by what does not depend on the prediction.
        plain = TERMS[loss](value, X)
        other = TERMS[loss](value + 0.25 * np.arange(6), X)
        moved = copy.deepcopy(estimator)
        moved.intercepts_[-1] = estimator.intercepts_[-1] + 0.25 * np.arange(6)
        assert_allclose(moved.feature_errors(X) - errors, other - plain, rtol=1e-9, atol=1e-10)


def test_squared_error_is_the_mean_without_a_half(X):
    estimator = Autoencoder(2, max_iter=2, precision="float64", random_state=0).fit(X)
    assert_allclose(estimator.score(X), -np.mean((estimator.reconstruct(X) - X) ** 2), rtol=1e-12)


def test_loss_curve_is_the_loss_at_the_weights_of_the_moment(X):
    losses = []
    for max_iter in (1, 2):
        estimator = Autoencoder(
            2,
            solver="sgd",
            learning_rate="constant",
            learning_rate_init=1e-3,
            warmup_fraction=0,
            batch_size=90,
            max_iter=max_iter,
            random_state=0,
        ).fit(X)
        losses.append(-estimator.score(X))
    assert len(estimator.loss_curve_) == estimator.n_iter_ == 2
    assert_allclose(estimator.loss_curve_[1], losses[0], rtol=1e-6)
    assert losses[1] < losses[0]
    assert estimator.best_loss_ == min(estimator.loss_curve_)


@pytest.mark.parametrize(
    ("loss", "output", "inverse"),
    [
        ("squared_error", "auto", lambda m: m),
        ("squared_error", "logistic", scipy.special.logit),
        ("absolute_error", "tanh", np.arctanh),
        ("huber", "softplus", lambda m: np.log(np.expm1(m))),
        ("squared_error", "exp", np.log),
        ("squared_error", "relu", np.zeros_like),
        ("log_loss", "auto", scipy.special.logit),
        ("poisson", "auto", np.log),
        ("multinomial", "softmax", lambda m: np.log(m / m.sum())),
    ],
)
def test_output_starts_at_the_weighted_means(X, loss, output, inverse):
    weight = np.random.default_rng(1).random(len(X))
    # A rate that moves nothing that a double holds.
    estimator = Autoencoder(
        2,
        loss=loss,
        output_activation=output,
        max_iter=1,
        solver="sgd",
        learning_rate_init=1e-300,
        alpha=0,
        precision="float64",
        random_state=0,
    ).fit(X, sample_weight=weight)
    assert_allclose(estimator.intercepts_[-1], inverse(np.average(X, axis=0, weights=weight)), rtol=1e-9, atol=1e-12)
    for bias in estimator.intercepts_[:-1]:
        assert_allclose(bias, 0, atol=1e-200)


def test_start_of_constant_columns_is_finite():
    X = np.zeros((40, 4))
    X[:, 1] = 1.0
    for loss in LOSSES:
        estimator = Autoencoder(1, loss=loss, max_iter=3, random_state=0).fit(X)
        assert np.isfinite(estimator.score(X))


def test_parameters_are_taken_as_given_and_only_assigned():
    parameters = {name: object() for name in Autoencoder._get_param_names()}
    estimator = Autoencoder(parameters.pop("n_components"), **parameters)
    for name, value in parameters.items():
        assert getattr(estimator, name) is value
    with pytest.raises(TypeError):
        Autoencoder(2, (3,))


def test_decoder_mirrors_the_encoder_unless_given(X):
    def widths(**parameters):
        return [w.shape[1] for w in Autoencoder(2, max_iter=1, **parameters).fit(X).coefs_]

    assert widths(hidden_layer_sizes=(9, 4)) == [9, 4, 2, 4, 9, 6]
    assert widths(hidden_layer_sizes=()) == [2, 6]
    assert widths(hidden_layer_sizes=5) == [5, 2, 5, 6]
    assert widths(hidden_layer_sizes=(9, 4), decoder_hidden_layer_sizes=()) == [9, 4, 2, 6]
    assert widths(hidden_layer_sizes=(), decoder_hidden_layer_sizes=[3]) == [2, 3, 6]


@pytest.mark.filterwarnings("ignore:lbfgs has not converged")
@pytest.mark.parametrize("solver", ["sgd", "rmsprop", "adagrad", "adam", "adamw", "lbfgs", "kfac"])
def test_every_solver_learns(X, solver):
    estimator = Autoencoder(3, solver=solver, max_iter=60, random_state=0).fit(X)
    assert estimator.loss_curve_[-1] < 0.6 * X.var(axis=0).mean()


@pytest.mark.parametrize("init", ["auto", "glorot", "he", "lecun", "orthogonal", "sparse"])
def test_first_weights_have_the_scale_of_their_scheme(init):
    X = np.random.default_rng(0).normal(size=(20, 200))
    estimator = Autoencoder(
        10,
        hidden_layer_sizes=(100,),
        activation="relu",
        init=init,
        max_iter=1,
        learning_rate_init=1e-30,
        alpha=0,
        solver="sgd",
    ).fit(X)
    weight = estimator.coefs_[0]
    expected = {
        "auto": 2 / 200,
        "glorot": 2 / 300,
        "he": 2 / 200,
        "lecun": 1 / 200,
        "orthogonal": 1 / 200,
        "sparse": 15 / 200,
    }
    assert_allclose(np.mean(weight.astype(np.float64) ** 2), expected[init], rtol=0.1)
    if init == "orthogonal":
        assert_allclose(weight.T @ weight, np.eye(100), atol=1e-5)
    if init == "sparse":
        assert_array_equal((np.abs(weight) > 1e-20).sum(axis=0), np.full(100, 15))


def test_dropout_acts_in_training_only(X):
    plain = Autoencoder(2, max_iter=5, random_state=0).fit(X)
    dropped = Autoencoder(2, dropout=0.5, max_iter=5, random_state=0).fit(X)
    assert dropped.loss_curve_[-1] > plain.loss_curve_[-1]
    assert_array_equal(dropped.transform(X), dropped.transform(X))
    code, value = forward(dropped, X)
    assert_allclose(dropped.transform(X), code, rtol=1e-4, atol=1e-5)
    assert_allclose(dropped.reconstruct(X), value, rtol=1e-4, atol=1e-5)


def test_clean_targets(X):
    rng = np.random.default_rng(0)
    noisy = X + 0.1 * rng.normal(size=X.shape)
    estimator = Autoencoder(4, max_iter=100, random_state=0).fit(noisy, X_clean=X)
    assert_allclose(-estimator.score(noisy, X_clean=X), np.mean((estimator.reconstruct(noisy) - X) ** 2), rtol=1e-5)
    assert_allclose(
        estimator.feature_errors(noisy, X_clean=X), (estimator.reconstruct(noisy) - X) ** 2, rtol=1e-4, atol=1e-7
    )
    # A target of another width.
    target = X @ rng.normal(size=(6, 9))
    estimator = Autoencoder(4, max_iter=200, random_state=0).fit(X, X_clean=target, X_val=(X[:9], target[:9]))
    assert estimator.reconstruct(X).shape == (90, 9)
    assert -estimator.score(X, X_clean=target) < 0.2 * target.var(axis=0).mean()
    assert_allclose(-estimator.score(X[:9], X_clean=target[:9]), estimator.best_loss_, rtol=1e-4)
    assert_allclose(
        estimator.predictor().score_samples(X, X_clean=target), estimator.score_samples(X, X_clean=target), rtol=0
    )
    with pytest.raises(ValueError, match="X_clean is needed"):
        estimator.score(X)
    with pytest.raises(ValueError, match="tuple of two"):
        estimator.fit(X, X_clean=target, X_val=X)
    with pytest.raises(ValueError, match="X_clean has 5 rows and X has 90"):
        estimator.fit(X, X_clean=target[:5])


def test_sample_weights_in_fit_and_score(X):
    # Rows without weight have no say.
    weight = np.ones(90)
    weight[45:] = 0
    spoilt = X.copy()
    spoilt[45:] = 0.5
    parameters = dict(max_iter=10, random_state=0, shuffle=False, batch_size=45)
    a = Autoencoder(2, **parameters).fit(X, sample_weight=weight)
    b = Autoencoder(2, **parameters).fit(spoilt, sample_weight=weight)
    assert_array_equal(a.coefs_[0], b.coefs_[0])
    assert_allclose(a.score(X, sample_weight=weight), a.score(X[:45]), rtol=1e-12)
    c = Autoencoder(2, **parameters).fit(X, sample_weight=weight * 2.0)
    assert_array_equal(a.coefs_[0], c.coefs_[0])


def test_scales_are_warned_of_and_only_then(X):
    wide = X * np.array([1, 1, 1, 1, 1, 1e5])
    with pytest.warns(UserWarning, match="StandardScaler"):
        Autoencoder(2, max_iter=1).fit(wide)
    with pytest.warns(UserWarning, match="column 1 of X has a mean of 2e.04.*StandardScaler") as caught:
        Autoencoder(2, max_iter=1).fit(X + [0, 2e4, 0, 0, 0, 0])
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(UserWarning, match="reach from") as caught:  # both apply, and one remedy mends both
        Autoencoder(2, max_iter=1).fit(wide + [0, 2e8, 0, 0, 0, 0])
    assert len(caught) == 1
    constant = X.copy()
    for value in (1e6, -1e12):
        constant[:, 0] = value
        with pytest.warns(UserWarning, match=rf"column 0 of X has a mean of {value:.3g}".replace("+", r"\+")):
            Autoencoder(2, max_iter=1, learning_rate_init=1e-9, clip_norm=1.0).fit(constant)
    with pytest.warns(UserWarning, match="column 3 of X has a mean of 1e.08"):
        Autoencoder(2, max_iter=1, precision="float64", learning_rate_init=1e-9).fit(X + [0, 0, 0, 1e8, 0, 0])
    with pytest.warns(UserWarning, match="mean of 1e.08, and no column varies by a millionth of its mean"):
        Autoencoder(2, max_iter=1, precision="float64", learning_rate_init=1e-9).fit(X + 1e8)
    constant[:, 0] = 100.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Autoencoder(2, max_iter=1, learning_rate_init=1e-6).fit(constant)
        Autoencoder(2, loss="poisson", max_iter=1, learning_rate_init=1e-6).fit(X * [1, 1, 1, 1, 1, 1e-4])


@pytest.mark.parametrize("sparse", [False, True])
def test_columns_of_one_range_are_left_as_they_are(sparse):
    def fit(X, **given):
        Autoencoder(2, max_iter=1, random_state=0, **given).fit(scipy.sparse.csr_array(X) if sparse else X)

    pixels = np.random.default_rng(0).integers(0, 256, size=(2000, 5), dtype=np.uint8)
    pixels[:, 1] = 0
    pixels[7, 1] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(pixels)
        fit(pixels / 255.0)
        if not sparse:
            fit(np.where(pixels == 9, np.nan, pixels / 255.0), missing="mask")
    for other in (pixels.astype(float), pixels / 256.0 - 0.1, pixels / 512.0):
        with pytest.warns(UserWarning, match="reach from"):
            fit(other)


def test_components_only_of_linear_networks(X):
    linear = Autoencoder(2, hidden_layer_sizes=(5,), activation="identity", max_iter=2).fit(X)
    assert linear.components_.shape == (2, 6)
    assert linear.explained_variance_ratio_.shape == (2,)
    assert not hasattr(linear.set_params(activation="tanh").fit(X), "components_")
    assert not hasattr(Autoencoder(2, hidden_layer_sizes=(), loss="huber", max_iter=2).fit(X), "components_")
    assert not hasattr(
        Autoencoder(2, hidden_layer_sizes=(), output_activation="relu", max_iter=2).fit(X), "components_"
    )


def test_components_are_the_axes_of_the_reconstructions():
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(9000, 5)) + 3, rng.random(9000)
    estimator = Autoencoder(
        2, hidden_layer_sizes=(), max_iter=1, learning_rate_init=1e-2, precision="float64", random_state=0
    ).fit(X, sample_weight=weight)
    restored = estimator.reconstruct(X)
    centred = (restored - np.average(restored, axis=0, weights=weight)) * np.sqrt(weight / weight.sum())[:, np.newaxis]
    _, s, axes = np.linalg.svd(centred, full_matrices=False)
    assert_allclose(np.abs((estimator.components_ * axes[:2]).sum(axis=1)), 1, rtol=1e-9)
    loadings = estimator.components_[np.arange(2), np.abs(estimator.components_).argmax(axis=1)]
    assert (loadings > 0).all()
    variance = np.average((X - np.average(X, axis=0, weights=weight)) ** 2, axis=0, weights=weight).sum()
    assert_allclose(estimator.explained_variance_ratio_, s[:2] ** 2 / variance, rtol=1e-9)


def test_nothing_hidden_in_the_state_and_no_change_by_use(X):
    estimator = Autoencoder(2, max_iter=2, random_state=0).fit(X)
    before = {name: id(value) for name, value in vars(estimator).items()}
    (
        estimator.transform(X),
        estimator.inverse_transform(estimator.transform(X)),
        estimator.score(X),
        estimator.predictor(),
    )
    assert {name: id(value) for name, value in vars(estimator).items()} == before
    plain = (type(None), bool, int, float, str, np.ndarray, dict)
    for value in vars(estimator).values():
        items = value if isinstance(value, (list, tuple)) else [value]
        assert all(isinstance(item, plain) for item in items)


def test_replaced_and_changed_weights_are_seen(X):
    estimator = Autoencoder(2, hidden_layer_sizes=(), max_iter=2, random_state=0).fit(X)
    codes = estimator.transform(X)
    with pytest.raises(ValueError, match="read-only"):
        estimator.coefs_[0][:] = 0
    estimator.coefs_[0] = estimator.coefs_[0] * 2
    estimator.intercepts_[0] = estimator.intercepts_[0] * 2
    assert_array_equal(estimator.transform(X), 2 * codes)
    estimator.coefs_[0][:] = 0  # writable now: nothing may be remembered
    estimator.intercepts_[0][:] = 7
    assert_array_equal(estimator.transform(X), np.full((90, 2), 7.0))
    # Protection lifted, also from an array that was remembered.
    estimator = Autoencoder(2, hidden_layer_sizes=(), max_iter=2, random_state=0).fit(X)
    estimator.transform(X)
    estimator.coefs_[0].flags.writeable = True
    estimator.coefs_[0][:] = 0
    assert_array_equal(estimator.transform(X), np.broadcast_to(estimator.intercepts_[0], (90, 2)))
    # A read-only view of memory that somebody else may write to.
    owner = np.ones((6, 2), np.float32)
    view = owner[:]
    view.flags.writeable = False
    estimator.coefs_[0] = view
    estimator.intercepts_[0] = np.zeros(2)
    assert_allclose(estimator.transform(X)[:, 0], X.sum(axis=1), rtol=1e-5)
    owner[:] = 0
    assert_array_equal(estimator.transform(X), np.zeros((90, 2)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_named(X, bad):
    estimator = Autoencoder(2, max_iter=1, warm_start=True, random_state=0).fit(X)
    estimator.coefs_[1] = estimator.coefs_[1].copy()
    estimator.coefs_[1][3, 1] = bad
    for call in (estimator.transform, estimator.fit, estimator.partial_fit, lambda X: estimator.predictor()):
        with pytest.raises(ValueError, match=r"coefs_\[1\].*\[3, 1\]"):
            call(X)
    estimator.fit = None
    estimator.coefs_[1] = np.ones((2, 2))
    with pytest.raises(ValueError, match=r"coefs_\[1\] has shape \(2, 2\); the network needs \(128, 2\)"):
        estimator.transform(X)


def test_parameters_set_after_fit_do_not_change_the_fitted_network(X):
    estimator = Autoencoder(2, max_iter=2, random_state=0).fit(X)
    codes = estimator.transform(X)
    estimator.set_params(
        activation="relu", hidden_layer_sizes=(3,), precision="float64", loss="log_loss", n_components=5
    )
    assert_array_equal(estimator.transform(X), codes)
    assert len(estimator.get_feature_names_out()) == 2


def test_predictor_has_the_estimators_bits(X):
    import pickle

    for precision in ("float32", "float64"):
        estimator = Autoencoder(2, loss="log_loss", max_iter=3, precision=precision, random_state=0).fit(X)
        predictor = pickle.loads(pickle.dumps(estimator.predictor()))
        for data in (
            X,
            X.astype(np.float32),
            X.astype(np.float16),
            X.astype(">f8"),
            (X > 0.5),
            (X > 0.5).astype(np.uint8),
        ):
            codes = estimator.transform(data)
            assert predictor(data).dtype == codes.dtype
            assert_array_equal(predictor(data), codes)
            assert_array_equal(predictor(data[4]), codes[4])
            assert_array_equal(predictor.inverse_transform(codes), estimator.inverse_transform(codes))
            assert_array_equal(predictor.reconstruct(data), estimator.reconstruct(data))
            assert_array_equal(predictor.score_samples(data), estimator.score_samples(data))
            assert predictor.score_samples(data[4]) == estimator.score_samples(data)[4]
    with pytest.raises(ValueError, match="X has 5 features, but 6 are expected"):
        predictor(X[:, :5])
    with pytest.raises(ValueError, match="NaN at row 0, column 1"):
        predictor([0, np.nan, 0, 0, 0, 0])


def test_structures_match_the_core():
    assert (_spec.NODE.itemsize, _spec.LOSS.itemsize, _spec.STAGE.itemsize) == _core.STRUCT_SIZES


def test_predictor_checks_like_the_estimator(X):
    sparse = scipy.sparse
    X = np.where(X < 0.5, 0.0, X)
    estimator = Autoencoder(2, loss="log_loss", max_iter=1, random_state=0).fit(X)
    predictor = estimator.predictor()
    unsorted = sparse.csr_array(X)
    start, stop = unsorted.indptr[:2]
    unsorted.indices[start:stop] = unsorted.indices[start:stop][::-1].copy()
    unsorted.data[start:stop] = unsorted.data[start:stop][::-1].copy()
    unsorted.has_sorted_indices = unsorted.has_canonical_format = False
    whole = sparse.csr_array((X > 0.7).astype(int))
    for data in (sparse.csc_array(X), sparse.coo_array(X), sparse.lil_array(X), unsorted, whole, X.astype(object)):
        codes = estimator.transform(data)
        assert predictor(data).dtype == codes.dtype
        assert_array_equal(predictor(data), codes)
    big = X.copy()
    big[3, 2] = 1e39
    for call in (predictor, estimator.transform):
        with pytest.raises(ValueError, match="row 3, column 2, which is infinity in float32"):
            call(big)
    for call in (predictor.score_samples, estimator.score_samples):
        with pytest.raises(ValueError, match="loss='log_loss' needs targets in"):
            call(2 * X)


def test_copies_and_comparable_subclasses(X):
    class Comparable(Autoencoder):
        def __eq__(self, other):
            return isinstance(other, Autoencoder)

    estimator = Comparable(2, hidden_layer_sizes=(), max_iter=1, random_state=0).fit(X)
    assert_array_equal(
        estimator.transform(X), Comparable(2, hidden_layer_sizes=(), max_iter=1, random_state=0).fit(X).transform(X)
    )
    assert estimator._network()[0] is estimator._network()[0]
    own = np.ones((6, 2), np.float32)
    estimator.coefs_[0] = own
    copy.copy(estimator).transform(X)
    own[:] = 0
    assert_array_equal(estimator.transform(X), np.broadcast_to(estimator.intercepts_[0], (90, 2)))
    buffer = bytearray(np.ones(12, np.float32).tobytes())
    estimator.coefs_[0] = np.frombuffer(buffer, np.float32).reshape(6, 2)
    estimator.coefs_[0].flags.writeable = False
    first = estimator.transform(X)
    buffer[:] = bytes(len(buffer))
    assert (first != estimator.transform(X)).all()
