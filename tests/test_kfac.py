"""solver="kfac" from Python. The method itself is followed step by step in tests/c/test_kfac.c."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

import autoenc
from autoenc import (
    Autoencoder,
    AutoencoderClassifier,
    DenoisingAutoencoder,
    HashingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
    VectorQuantizedAutoencoder,
)

COMMON = {"hidden_layer_sizes": (60,), "solver": "kfac", "max_iter": 12, "random_state": 0}


@pytest.fixture(scope="module")
def X():
    return (load_digits().data / 16).astype(np.float32)


@pytest.mark.parametrize("loss", ["squared_error", "log_loss", "poisson"])
def test_is_ahead_of_first_order_steps_after_as_many_epochs(X, loss):
    model = Autoencoder(8, loss=loss, **COMMON).fit(X)
    assert all(late < early for early, late in zip(model.loss_curve_[::3], model.loss_curve_[3::3], strict=False))
    for solver in ("adamw", "adam", "sgd"):
        other = Autoencoder(8, loss=loss, **{**COMMON, "solver": solver}).fit(X)
        assert model.score(X) > other.score(X), solver


def test_a_linear_network_is_at_its_optimum_soon(X):
    """The error of as many principal components cannot be beaten by a linear code."""
    from sklearn.decomposition import PCA

    pca = PCA(6).fit(X)
    best = np.square(X - pca.inverse_transform(pca.transform(X))).mean()
    settings = {"hidden_layer_sizes": (), "precision": "float64", "alpha": 0.0, "max_iter": 60}
    model = Autoencoder(6, **{**COMMON, **settings}).fit(X)
    assert best * (1 - 1e-6) < -model.score(X) < 1.001 * best


def test_scale_of_data_and_loss_does_not_matter(X):
    """No number of the method is in the unit of the loss: rows a hundred times as large give errors 1e4 times."""
    model = Autoencoder(8, alpha=0.0, activation="relu", precision="float64", **COMMON)
    small, large = model.fit(X).score(X), model.fit(100 * X).score(100 * X)
    assert large == pytest.approx(1e4 * small, rel=0.3)


@pytest.mark.parametrize("seed", [196113219, 262558628, 678254914, 1092032120, 1902685063, 2058006468])
def test_long_steps_of_an_exponential_link_are_shortened(seed):
    """From these seeds training diverged in epochs 3 to 19 when only each fifth step was looked at."""
    counts = np.array([[i, j] for i in range(3) for j in range(4)], dtype=float)
    model = DenoisingAutoencoder(loss="poisson", solver="kfac", precision="float64", max_iter=20, random_state=seed)
    losses = model.fit(counts).loss_curve_
    assert max(losses[:5]) < 1.2 * losses[0]
    assert max(losses) < 3 * losses[0]  # each epoch corrupts other entries
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rounding_is_not_taken_for_a_step_too_long():
    """Else steps of an exponential link shrink to nothing in bfloat16, here at 1.8 times the loss of float32."""
    counts = np.array([[i, j] for i in range(3) for j in range(4)], dtype=float)
    settings = {"hidden_layer_sizes": (16,), "max_iter": 400, "tol": 0.0, "n_iter_no_change": 10**6}
    low = Autoencoder(1, loss="poisson", precision="bfloat16", **{**COMMON, **settings}).fit(counts).loss_curve_
    high = Autoencoder(1, loss="poisson", **{**COMMON, **settings}).fit(counts).loss_curve_
    assert low[-1] < 1.7 * high[-1]
    assert low[-1] < low[199]


def test_steps_many_times_too_long_are_shortened(X):
    """The first five of them, one an epoch here."""
    model = Autoencoder(8, batch_size=len(X), learning_rate="constant", learning_rate_init=1000.0, alpha=0.0, **COMMON)
    losses = model.set_params(max_iter=5).fit(X).loss_curve_
    assert all(late < early for early, late in pairwise(losses))


@pytest.mark.parametrize("kind", ["csr", "float64", "uint8", "pairs", "weights", "validation", "corrupted"])
def test_goes_with_what_fits_take(X, kind):
    model, data, arguments = Autoencoder(8, **COMMON), X, {}
    if kind == "csr":
        data = sp.csr_array(X)
    elif kind == "float64":
        data = X.astype(np.float64)
    elif kind == "uint8":
        data = load_digits().data.astype(np.uint8)
    elif kind == "pairs":
        arguments = {"X_clean": X[:, ::2]}
    elif kind == "weights":
        arguments = {"sample_weight": np.r_[np.zeros(500), np.ones(len(X) - 500)]}
    elif kind == "validation":
        model.set_params(early_stopping=True)
    else:
        model = DenoisingAutoencoder(8, corruption_level=0.2, **COMMON)
    model.fit(data, **arguments)
    assert model.loss_curve_[-1] < 0.5 * model.loss_curve_[0]
    if kind == "csr":
        assert_array_equal(model.transform(X), Autoencoder(8, **COMMON).fit(X).transform(X))


def test_batch_size_auto(X):
    """1024 rows at most where others take 256, and never more than there are."""
    rows = np.tile(X, (20, 1))
    steps = []
    Autoencoder(8, **{**COMMON, "max_iter": 1}, callbacks=lambda state: steps.append(state.epoch)).fit(rows)
    model = Autoencoder(8, **COMMON)
    assert model._batch_size(len(rows)) == 1024
    assert model.set_params(solver="adamw")._batch_size(len(rows)) == 256
    assert model.set_params(solver="kfac")._batch_size(5) == 5
    assert steps == [1]


def test_rate_is_a_factor_of_the_step(X):
    """At a rate of next to nothing nothing moves."""
    still = Autoencoder(8, **COMMON, learning_rate="constant", learning_rate_init=1e-9).fit(X)
    assert still.loss_curve_[-1] == pytest.approx(still.loss_curve_[0], rel=1e-4)


def test_saved_and_warm_started(X, tmp_path):
    model = Autoencoder(8, **COMMON).fit(X)
    model.save(tmp_path / "model.safetensors")
    again = autoenc.load(tmp_path / "model.safetensors")
    assert_array_equal(again.transform(X), model.transform(X))
    before = model.score(X)
    model.set_params(warm_start=True, max_iter=8).fit(X)
    assert model.score(X) > before


def test_one_row_and_constant_columns():
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        for rows in (np.ones((1, 3)), np.zeros((40, 3)), np.c_[np.ones(40), np.arange(40) % 5, np.zeros(40)]):
            model = Autoencoder(2, **COMMON).fit(rows)
            assert np.isfinite(model.reconstruct(rows)).all()


@pytest.mark.parametrize(
    ("rows", "parameters"),
    [
        (np.zeros((40, 3)), {}),
        (np.ones((40, 3)), {"max_iter": 60}),
        (np.ones((40, 3)), {"loss": "log_loss"}),
        (np.ones((1, 3)), {"max_iter": 300, "precision": "float64"}),
        (np.outer(np.arange(50) / 50, [1, 2, 3]), {"hidden_layer_sizes": (), "max_iter": 150}),
    ],
    ids=["zeros", "ones", "logits", "one row", "rank one"],
)
def test_where_nothing_is_left_to_learn_no_step_is_made(rows, parameters):
    model = Autoencoder(2, **{**COMMON, "alpha": 0.0, **parameters}).fit(rows)
    assert np.isfinite(model.loss_curve_).all()
    assert len(model.loss_curve_) == model.max_iter
    assert model.loss_curve_[-1] <= model.loss_curve_[0]


@pytest.mark.parametrize("alpha", [0.0, 1e-4])
@pytest.mark.parametrize("without", [slice(0, 200), slice(800, 1000), slice(1, None)], ids=["first", "amid", "most"])
def test_minibatches_without_weight(X, alpha, without):
    weights = np.ones(len(X))
    weights[without] = 0
    model = Autoencoder(8, **{**COMMON, "batch_size": 100, "shuffle": False, "alpha": alpha, "max_iter": 4})
    model.fit(X, sample_weight=weights)
    assert model.loss_curve_[-1] < model.loss_curve_[0]


@pytest.mark.parametrize("value", [3, 100, 1e15])
def test_rows_without_weight_have_no_say(X, value):
    """Whatever they hold: the fit is as good as one that has zeros there."""
    rows, zeros = X.copy(), X.copy()
    rows[:300], zeros[:300] = value, 0
    weights = np.r_[np.zeros(300), np.ones(len(X) - 300)]
    model, other = (Autoencoder(8, **COMMON).fit(Z, sample_weight=weights) for Z in (rows, zeros))
    assert model.loss_curve_[-1] == pytest.approx(other.loss_curve_[-1], rel=0.02)


def test_weights_of_whole_numbers_are_much_like_repetitions(X):
    """In one minibatch; derivatives are drawn by row, so that the two differ by their noise."""
    weights = 1 + np.arange(200) % 3
    settings = {**COMMON, "shuffle": False, "batch_size": 1000, "max_iter": 30, "alpha": 0.0}
    one = Autoencoder(4, **settings).fit(X[:200], sample_weight=weights)
    other = Autoencoder(4, **settings).fit(np.repeat(X[:200], weights, axis=0))
    assert one.loss_curve_[0] == pytest.approx(other.loss_curve_[0], rel=1e-5)
    assert one.loss_curve_[-1] == pytest.approx(other.loss_curve_[-1], rel=0.1)


def test_wide_sparse_rows_give_the_bits_of_dense_ones():
    rows = sp.random_array((300, 900), density=0.01, format="csr", dtype=np.float32, rng=np.random.default_rng(0))
    settings = {**COMMON, "hidden_layer_sizes": (), "max_iter": 3}
    sparse, dense = (Autoencoder(4, **settings).fit(data) for data in (rows, rows.toarray()))
    assert_array_equal(sparse.coefs_[0], dense.coefs_[0])


def test_widths_beyond_memory_are_refused_at_once():
    with pytest.raises(MemoryError):
        Autoencoder(2, **{**COMMON, "hidden_layer_sizes": (2**23,)}).fit(np.ones((5, 2)))


def test_the_remedy_of_a_divergence_is_one_that_goes_with_it(X):
    with pytest.raises(autoenc.DivergenceError, match=r"Lower learning_rate_init .now 1e.30., or scale the features"):
        Autoencoder(8, **COMMON, learning_rate_init=1e30).fit(X)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (VariationalAutoencoder, "solver"),
        (AutoencoderClassifier, "solver"),
        (VectorQuantizedAutoencoder, "solver='kfac' does not go with"),
        (HashingAutoencoder, "solver='kfac' does not go with"),
        (SparseAutoencoder, "sparsity=.* does not go with solver='kfac'"),
    ],
)
def test_refused_by_networks_of_other_kinds(X, kind, words):
    y = load_digits().target
    with pytest.raises(ValueError, match=words):
        kind(solver="kfac", max_iter=1).fit(X, y)


def test_conditions_are_refused(X):
    with pytest.raises(ValueError, match=r"solver='kfac' does not go with this network: .*allowed: the other solvers"):
        Autoencoder(8, **COMMON).fit(X, condition=load_digits().target)


def test_states_that_cannot_be_are_refused(X):
    """Of a checkpoint: numbers that no step leaves; curvature that is not finite ends a fit in words."""
    model = Autoencoder(8, **{**COMMON, "max_iter": 2}).fit(X)

    def trainer():
        made = model._trainer(model._spec, len(X), 0, n_epochs=9, keep_best=True)
        made.bind(0, [X])
        made.initialize()
        made.epoch()
        return made

    one, other = trainer(), trainer()
    state = one.snapshot()
    damping, steps = state["numbers"][-2:]
    assert damping > 0 and steps == 15
    for bad in (
        (0, steps),
        (-damping, steps),
        (np.nan, steps),
        (np.inf, steps),
        (damping, 0),
        (damping, 0.5),
        (damping, -1),
    ):
        with pytest.raises(ValueError, match="numbers of a trainer's state"):
            other.restore({**state, "numbers": np.r_[state["numbers"][:-2], bad]})
    assert other.epoch() == one.epoch()
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(autoenc._core.DivergenceError):
            other.restore({**state, "curvature": np.full_like(state["curvature"], value)})
            for _ in range(3):
                other.epoch()
    other.restore(state)
    one.restore(state)
    assert other.epoch() == one.epoch()
