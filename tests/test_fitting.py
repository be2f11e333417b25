"""How a fit goes: rates, penalties, validation, callbacks, what ends it, and what goes on from it."""

import copy
import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
import scipy.special
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.validation import check_is_fitted

from autoenc import Autoencoder, DivergenceError, _core


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).random((90, 6))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", lambda t: np.ones_like(t)),
        ("linear", lambda t: 1 + t * (0.01 - 1)),
        ("exponential", lambda t: 0.01**t),
        ("cosine", lambda t: 0.01 + 0.99 * (1 + np.cos(np.pi * t)) / 2),
    ],
)
def test_learning_rate_courses(X, schedule, expected):
    rates = []
    Autoencoder(
        2,
        learning_rate=schedule,
        learning_rate_init=0.02,
        warmup_fraction=0,
        batch_size=90,
        max_iter=50,
        callbacks=lambda state: rates.append(state.learning_rate),
    ).fit(X)
    # The course reaches its end at the last step or one step behind it.
    step = np.arange(50)
    close = [np.allclose(rates, 0.02 * expected(step / n), rtol=1e-9) for n in (49, 50)]
    assert any(close), rates


def test_step_one_cycle_and_warm_up(X):
    rates = {}

    def fit(name, **parameters):
        rates[name] = []
        Autoencoder(
            2,
            learning_rate_init=0.02,
            batch_size=90,
            max_iter=40,
            callbacks=lambda s: rates[name].append(s.learning_rate),
            **parameters,
        ).fit(X)

    fit("step", learning_rate="step", step_size=10, step_factor=0.5, warmup_fraction=0)
    assert_allclose(rates["step"], 0.02 * 0.5 ** (np.arange(40) // 10))
    fit("cycle", learning_rate="one_cycle")
    assert_allclose(max(rates["cycle"]), 0.02, rtol=0.05)
    assert 5 < np.argmax(rates["cycle"]) < 20
    assert rates["cycle"][-1] < 0.02 / 50
    fit("warm", learning_rate="constant", warmup_fraction=0.25)
    assert_allclose(rates["warm"][:10], 0.02 * np.arange(1, 11) / 10)
    assert_allclose(rates["warm"][10:], 0.02)


def test_plateau_halves_the_rate_down_to_its_floor():
    X = np.random.default_rng(0).normal(size=(50, 3))
    rates = []
    Autoencoder(
        1,
        hidden_layer_sizes=(),
        learning_rate="plateau",
        learning_rate_init=0.05,
        final_learning_rate_ratio=0.1,
        n_iter_no_change=4,
        warmup_fraction=0,
        max_iter=150,
        random_state=0,
        callbacks=lambda state: rates.append(state.learning_rate),
    ).fit(X)
    assert_allclose(sorted(set(rates), reverse=True), 0.05 * np.array([1, 0.5, 0.25, 0.125, 0.1]))
    assert rates == sorted(rates, reverse=True)


@pytest.mark.filterwarnings("ignore:lbfgs has not converged")
def test_alpha_shrinks_weights_and_leaves_biases(X):
    for solver in ("adamw", "adam", "sgd", "lbfgs"):
        norms = []
        for alpha in (0.0, 0.05):
            estimator = Autoencoder(2, alpha=alpha, solver=solver, max_iter=30, random_state=0).fit(X)
            norms.append(sum(float((w**2).sum()) for w in estimator.coefs_))
        assert norms[1] < norms[0]
    # All weights of a strong penalty vanish, the output's bias stays at the mean.
    estimator = Autoencoder(2, alpha=10.0, solver="lbfgs", max_iter=50, precision="float64").fit(X)
    assert_allclose(estimator.reconstruct(X), np.broadcast_to(X.mean(axis=0), X.shape), atol=1e-5)


def test_l1_makes_small_weights():
    X = np.random.default_rng(0).normal(size=(60, 5))
    small = []
    for l1_ratio in (0.0, 1.0):
        estimator = Autoencoder(2, alpha=0.05, l1_ratio=l1_ratio, solver="adam", max_iter=100, random_state=0).fit(X)
        small.append(np.mean(np.abs(np.concatenate([w.ravel() for w in estimator.coefs_])) < 1e-2))
    assert small[1] > small[0] + 0.3


def test_max_norm_and_clipping(X):
    estimator = Autoencoder(2, max_norm=0.5, max_iter=5, random_state=0).fit(X)
    assert max(np.linalg.norm(w, axis=0).max() for w in estimator.coefs_) < 0.5 + 1e-6
    start = Autoencoder(2, solver="sgd", learning_rate_init=1e-30, alpha=0, max_iter=1, random_state=0).fit(X)
    moved = {}
    for name, value in (("clip_value", 1e-3), ("clip_norm", 1e-2)):
        estimator = Autoencoder(
            2,
            solver="sgd",
            learning_rate="constant",
            warmup_fraction=0,
            learning_rate_init=1.0,
            momentum=0,
            nesterovs_momentum=False,
            alpha=0,
            batch_size=90,
            max_iter=1,
            random_state=0,
            **{name: value},
        ).fit(X)
        moved[name] = np.concatenate([(a - b).ravel() for a, b in zip(estimator.coefs_, start.coefs_, strict=True)])
        biases = [(a - b).ravel() for a, b in zip(estimator.intercepts_, start.intercepts_, strict=True)]
        moved[name] = np.concatenate([moved[name], *biases])
    assert_allclose(np.abs(moved["clip_value"]).max(), 1e-3, rtol=1e-3)
    assert_allclose(np.linalg.norm(moved["clip_norm"]), 1e-2, rtol=1e-3)


def test_early_stopping_keeps_the_best_epoch():
    X = np.random.default_rng(0).normal(size=(60, 20))
    parameters = dict(hidden_layer_sizes=(100,), learning_rate_init=0.02, alpha=0, random_state=0, max_iter=300)
    estimator = Autoencoder(5, early_stopping=True, validation_fraction=0.3, **parameters).fit(X)
    curve = estimator.validation_loss_curve_
    assert len(curve) == len(estimator.loss_curve_) == estimator.n_iter_ < 300
    best = int(np.argmin(curve))
    assert estimator.best_loss_ == curve[best]
    assert estimator.n_iter_ == best + 1 + 10  # n_iter_no_change
    # The same split and draws, ended at the best epoch.
    ended = Autoencoder(5, early_stopping=True, validation_fraction=0.3, **parameters)
    ended.set_params(callbacks=lambda state: state.epoch == best + 1).fit(X)
    for a, b in zip(estimator.coefs_ + estimator.intercepts_, ended.coefs_ + ended.intercepts_, strict=True):
        assert_array_equal(a, b)


def test_validation_rows_of_the_users_choice():
    rng = np.random.default_rng(0)
    X, X_val = rng.normal(size=(60, 20)), rng.normal(size=(30, 20))
    estimator = Autoencoder(5, learning_rate_init=0.02, alpha=0, random_state=0, max_iter=80).fit(X, X_val=X_val)
    assert len(estimator.validation_loss_curve_) == 80
    assert np.argmin(estimator.validation_loss_curve_) < 70
    assert_allclose(-estimator.score(X_val), estimator.best_loss_, rtol=1e-5)
    # Rows that are only looked at do not change what is learned from the others.
    plain = Autoencoder(5, learning_rate_init=0.02, alpha=0, random_state=0, max_iter=80).fit(X)
    assert plain.loss_curve_ == estimator.loss_curve_
    assert not hasattr(plain.fit(X), "validation_loss_curve_")


def test_validation_loss_is_that_of_the_held_out_rows():
    """With all rows equal but for their number of validation rows, the curve is the loss itself."""
    X = np.tile(np.random.default_rng(0).normal(size=(1, 4)), (40, 1))
    weight = np.full(40, 3.0)
    estimator = Autoencoder(1, early_stopping=True, max_iter=4, random_state=0).fit(X, sample_weight=weight)
    assert_allclose(estimator.best_loss_, -estimator.score(X), rtol=1e-5)


def test_tol_stops_and_none_does_not(X):
    estimator = Autoencoder(2, tol=0.05, n_iter_no_change=3, max_iter=500, random_state=0).fit(X)
    assert estimator.n_iter_ < 200
    curve = estimator.loss_curve_
    assert all(later > 0.95 * min(curve[:-3]) for later in curve[-3:])
    assert Autoencoder(2, max_iter=30, random_state=0).fit(np.zeros((20, 3))).n_iter_ == 30
    with pytest.warns(ConvergenceWarning, match="max_iter=3"):
        Autoencoder(2, tol=1e-3, max_iter=3, random_state=0).fit(X)


def test_lbfgs_stops_when_it_cannot_improve():
    X = np.random.default_rng(0).normal(size=(30, 3))
    estimator = Autoencoder(
        3, hidden_layer_sizes=(), solver="lbfgs", precision="float64", alpha=0, max_iter=5000, random_state=0
    ).fit(X)
    assert estimator.n_iter_ < 5000
    assert estimator.best_loss_ < 1e-12


def test_callbacks_see_the_state_and_can_stop(X):
    seen, calls = [], []

    def stop(state):
        seen.append((state.epoch, state.n_epochs, state.loss, state.validation_loss))
        return state.epoch == 4

    estimator = Autoencoder(
        2, max_iter=9, random_state=0, callbacks=[stop, lambda state: calls.append(state.estimator)]
    )
    estimator.fit(X)
    assert estimator.n_iter_ == 4
    assert [epoch for epoch, *_ in seen] == [1, 2, 3, 4]
    assert [loss for _, _, loss, _ in seen] == estimator.loss_curve_
    assert all(n == 9 and validation is None for _, n, _, validation in seen)
    assert calls == [estimator] * 4  # also after the other has said stop


def test_an_exception_of_a_callback_leaves_the_estimator_as_it_was(X):
    def fail(state):
        raise KeyError("mine")

    estimator = Autoencoder(2, max_iter=3, random_state=0, callbacks=fail)
    with pytest.raises(KeyError):
        estimator.fit(X)
    assert not hasattr(estimator, "coefs_") and not hasattr(estimator, "n_features_in_")
    estimator.set_params(callbacks=None).fit(X)
    before = dict(vars(estimator))
    estimator.set_params(callbacks=fail)
    with pytest.raises(KeyError):
        estimator.fit(X[:, :3])
    assert {**vars(estimator), "callbacks": None} == before


def test_divergence_names_epoch_and_remedies_and_keeps_the_last_complete_epoch(X):
    estimator = Autoencoder(2, solver="sgd", learning_rate_init=1e30, max_iter=5, random_state=0)
    with pytest.raises(
        DivergenceError, match=r"epoch 1.*learning_rate_init \(now 1e\+30\).*clip_norm.*scale"
    ) as caught:
        estimator.fit(X)
    assert caught.value.epoch == 1
    assert isinstance(caught.value, FloatingPointError) and isinstance(caught.value, _core.DivergenceError)
    assert not hasattr(estimator, "coefs_")

    # Warm-up makes the rate grow until it is too high.
    parameters = dict(
        solver="sgd", learning_rate="constant", learning_rate_init=100.0, warmup_fraction=0.99, random_state=0
    )
    estimator = Autoencoder(2, max_iter=400, **parameters)
    with pytest.raises(DivergenceError, match="last complete epoch are kept") as caught:
        estimator.fit(X)
    done = estimator.n_iter_
    assert done == caught.value.epoch - 1 == len(estimator.loss_curve_) > 1
    assert np.isfinite(estimator.transform(X)).all()
    ended = Autoencoder(2, max_iter=400, callbacks=lambda state: state.epoch == done, **parameters).fit(X)
    assert_array_equal(estimator.coefs_[0], ended.coefs_[0])


def test_one_integer_is_drawn_by_a_fit(X):
    state = np.random.RandomState(3)
    Autoencoder(2, max_iter=1, random_state=state).fit(X)
    other = np.random.RandomState(3)
    other.randint(2**31 - 1)
    assert state.randint(1000) == other.randint(1000)
    drawn = int(np.random.RandomState(3).randint(2**31 - 1))
    a = Autoencoder(2, max_iter=1, random_state=3).fit(X)
    b = Autoencoder(2, max_iter=1, random_state=np.random.RandomState(3)).fit(X)
    assert_array_equal(a.coefs_[0], b.coefs_[0])
    trainer = b._trainer(b._spec, 90, drawn, n_epochs=1)
    trainer.initialize()
    assert_allclose(trainer.get(0), a.coefs_[0], atol=0.05)


def test_warm_start_goes_on(X):
    estimator = Autoencoder(2, max_iter=20, warm_start=True, random_state=0).fit(X)
    first = estimator.best_loss_
    estimator.fit(X)
    assert estimator.loss_curve_[0] < 1.5 * first
    cold = clone(estimator).fit(X)
    assert cold.loss_curve_[0] > estimator.loss_curve_[0]
    with pytest.raises(ValueError, match=r"hidden_layer_sizes from \(128,\) to \(3,\)"):
        estimator.set_params(hidden_layer_sizes=(3,)).fit(X)
    assert estimator.coefs_[0].shape == (6, 128)


@pytest.mark.parametrize("solver", ["sgd", "adam", "adamw", "rmsprop", "adagrad"])
def test_partial_fit_passes_add_up_to_one_fit(X, solver):
    """Passes with kept optimiser state are the epochs of a fit at a constant rate, to the bit."""
    parameters = dict(solver=solver, dropout=0.2, random_state=0, learning_rate="constant", warmup_fraction=0)
    whole = Autoencoder(2, max_iter=4, **parameters).fit(X)
    parts = Autoencoder(2, **parameters)
    for _ in range(2):
        parts.partial_fit(X)
    parts = copy.deepcopy(parts)  # state is in plain arrays
    for _ in range(2):
        parts.partial_fit(X)
    assert parts.loss_curve_ == whole.loss_curve_
    assert parts.n_iter_ == 4
    for a, b in zip(whole.coefs_ + whole.intercepts_, parts.coefs_ + parts.intercepts_, strict=True):
        assert_array_equal(a, b)


def test_partial_fit_over_chunks_learns_and_goes_on_after_fit(X):
    estimator = Autoencoder(2, random_state=0)
    for _ in range(30):
        for part in np.array_split(X, 3):
            estimator.partial_fit(part)
    assert -estimator.score(X) < X.var(axis=0).mean()
    assert estimator.n_iter_ == 90
    fitted = Autoencoder(2, max_iter=30, random_state=0).fit(X)
    score = fitted.score(X)
    fitted.partial_fit(X)
    assert fitted.score(X) > 2 * score
    assert fitted.n_iter_ == len(fitted.loss_curve_) == 1
    fitted.fit(X)
    assert not any(name.startswith("_optim") for name in vars(fitted))


def test_partial_fit_says_what_cannot_work(X):
    for name, value in (("solver", "lbfgs"), ("solver", "kfac"), ("early_stopping", True)):
        estimator = Autoencoder(2, **{name: value})
        assert not hasattr(estimator, "partial_fit")
        with pytest.raises(ValueError, match=name):
            estimator.partial_fit(X)
    estimator = Autoencoder(2, max_iter=1).fit(X, X_clean=X)
    with pytest.raises(ValueError, match="X_clean"):
        estimator.partial_fit(X)
    with pytest.raises(ValueError, match="activation from 'gelu' to 'relu', loss from 'squared_error' to 'huber'"):
        Autoencoder(2).partial_fit(X).set_params(activation="relu", loss="huber").partial_fit(X)
    with pytest.raises(ValueError, match="n_components from 2 to 3"):
        Autoencoder(2).partial_fit(X).set_params(n_components=3).partial_fit(X)


def test_progress_in_lines_and_silence(X, capsys):
    Autoencoder(2, max_iter=40).fit(X)
    assert capsys.readouterr() == ("", "")
    Autoencoder(2, max_iter=40, verbose=1, early_stopping=True).fit(X)
    out = capsys.readouterr().out.splitlines()
    assert 5 <= len(out) <= 25
    assert out[0].startswith("[Autoencoder] epoch 1/40, loss ") and "validation loss" in out[0]
    Autoencoder(2, max_iter=40, verbose=2).fit(X)
    assert len(capsys.readouterr().out.splitlines()) == 40


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_as_a_bar_where_tqdm_is(X, monkeypatch, capsys, tmp_path):
    calls = []

    class Bar:
        def __init__(self, total, initial, desc, unit):
            calls.append((total, desc) if initial == 0 else (initial, total, desc))

        def set_postfix(self, shown, refresh):
            calls.append(sorted(shown))

        def update(self):
            calls.append("update")

        def close(self):
            calls.append("close")

    monkeypatch.setitem(sys.modules, "tqdm", SimpleNamespace(auto=SimpleNamespace(tqdm=Bar)))
    monkeypatch.setitem(sys.modules, "tqdm.auto", SimpleNamespace(tqdm=Bar))
    monkeypatch.setattr(sys, "stderr", Terminal())
    Autoencoder(2, max_iter=2, verbose=1).fit(X)
    assert calls == [(2, "Autoencoder"), ["loss"], "update", ["loss"], "update", "close"]

    def stop(state):
        if state.epoch == 3:
            raise RuntimeError

    model, path = Autoencoder(2, max_iter=5, random_state=0), tmp_path / "state"
    with pytest.raises(RuntimeError):
        clone(model).set_params(callbacks=stop).fit(X, checkpoint=path, checkpoint_every=2)
    calls.clear()
    model.set_params(verbose=1).fit(X, checkpoint=path, resume=True)
    assert calls == [(2, 5, "Autoencoder"), *(["loss"], "update") * 3, "close"]
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    Autoencoder(2, max_iter=2, verbose=1).fit(X)
    assert "epoch 2/2" in capsys.readouterr().out


def test_auto_batch_size_is_a_power_of_two_near_a_sixteenth():
    sizes = {n: Autoencoder()._batch_size(n) for n in (1, 10, 100, 300, 500, 1000, 3000, 10**6)}
    assert sizes == {1: 1, 10: 10, 100: 16, 300: 16, 500: 32, 1000: 64, 3000: 256, 10**6: 256}


MERGED = dict(solver="lbfgs", precision="float64", max_iter=40, random_state=0)


@pytest.mark.filterwarnings("ignore:lbfgs has not converged")
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("clean", [False, True])
def test_lbfgs_repeated_rows_are_weighted_rows_to_the_bit(X, clean, early_stopping):
    rng = np.random.default_rng(1)
    X = np.where(X < 0.2, 0.0, X)
    count = rng.integers(0, 4, len(X))
    order = rng.permutation(count.sum())
    repeated = np.repeat(X, count, axis=0)[order]
    repeated[0, repeated[0] == 0] = -0.0
    kept = repeated.copy()
    target = X[:, :3] ** 2
    fits = []
    for data, weight, times in ((X, count, np.ones(len(X), int)), (repeated, None, count)):
        for convert in (np.asarray, scipy.sparse.csr_array):
            pairs = np.repeat(target, times, axis=0)
            X_clean = (pairs[order] if weight is None else pairs) if clean else None
            estimator = Autoencoder(2, early_stopping=early_stopping, **MERGED)
            fits.append(estimator.fit(convert(data), sample_weight=weight, X_clean=X_clean))
    assert_array_equal(repeated, kept)
    assert np.signbit(repeated[0]).any() == np.signbit(kept[0]).any()
    for other in fits[1:]:
        assert other.loss_curve_ == fits[0].loss_curve_
        for a, b in zip(fits[0].coefs_ + fits[0].intercepts_, other.coefs_ + other.intercepts_, strict=True):
            assert_array_equal(a, b)
    codes = Autoencoder(2, **MERGED).fit_transform(repeated)
    assert codes.shape == (len(repeated), 2)


def test_lbfgs_without_convergence_is_warned_of_at_the_users_line(X):
    with pytest.warns(ConvergenceWarning, match="max_iter=2 iterations") as caught:
        Autoencoder(2, solver="lbfgs", max_iter=2).fit(X)
    assert caught[0].filename == __file__


def test_a_fit_shows_nothing_new_until_it_is_learned(X):
    seen = []

    def look(state):
        try:
            check_is_fitted(state.estimator)
            seen.append(state.estimator.n_features_in_)
        except NotFittedError:
            seen.append(None)

    estimator = Autoencoder(2, max_iter=1, callbacks=look).fit(X)
    estimator.fit(X[:, :4])
    assert seen == [None, 6]
    assert estimator.n_features_in_ == 4


def test_only_true_ends_a_fit(X):
    for answer, n_iter in ((1, 5), ("yes", 5), (np.float64(1), 5), (True, 1), (np.True_, 1)):
        assert Autoencoder(2, max_iter=5, callbacks=lambda state, answer=answer: answer).fit(X).n_iter_ == n_iter


def interrupt(*_):
    raise KeyboardInterrupt


def test_interrupted_pass_that_is_complete_is_kept(X):
    estimator = Autoencoder(2, random_state=0).partial_fit(X).set_params(callbacks=interrupt)
    with pytest.raises(KeyboardInterrupt):
        estimator.partial_fit(X)
    estimator.set_params(callbacks=None).partial_fit(X)
    plain = Autoencoder(2, random_state=0).partial_fit(X).partial_fit(X).partial_fit(X)
    assert estimator.loss_curve_ == plain.loss_curve_
    assert_array_equal(estimator.coefs_[0], plain.coefs_[0])


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_training_outlives_what_happens_to_the_components(X, monkeypatch, error):
    def fail(*_):
        raise error

    estimator = Autoencoder(2, hidden_layer_sizes=(), max_iter=3, random_state=0)
    plain = clone(estimator).fit(X)
    monkeypatch.setattr(Autoencoder, "_find_components", fail)
    if error is KeyboardInterrupt:
        with pytest.warns(UserWarning, match="no components_"):
            estimator.fit(X)
    else:
        with pytest.raises(MemoryError):
            estimator.fit(X)
    assert_array_equal(estimator.coefs_[0], plain.coefs_[0])
    assert not hasattr(estimator, "components_")


def test_interruption_names_the_best_epoch(X):
    def stop(state):
        if state.epoch == 3:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match=r"after 3 complete epochs.*weights of epoch [123], the best"):
        Autoencoder(2, max_iter=9, callbacks=stop, early_stopping=True).fit(X)
