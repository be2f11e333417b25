"""Classifier and regressor: labels for some rows, features from all."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import scale

from autoenc import Autoencoder, AutoencoderClassifier, AutoencoderRegressor
from autoenc.contraction import Contraction
from autoenc.sparsity import TopK


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y, np.where(np.arange(len(y)) % 10 == 0, y, -1)


def classifier(**parameters):
    return AutoencoderClassifier(16, **{"max_iter": 10, "fine_tune_max_iter": 20, "random_state": 0, **parameters})


def test_classes_of_partly_labelled_rows(digits):
    X, y, few = digits
    model = classifier(max_iter=30, fine_tune_max_iter=50).fit(X, few)
    assert_array_equal(model.classes_, np.arange(10))
    assert model.score(X, y) > 0.85
    probabilities = model.predict_proba(X)
    assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    assert_array_equal(model.classes_[probabilities.argmax(axis=1)], model.predict(X))
    logarithms = model.predict_log_proba(X)
    assert_allclose(np.exp(logarithms), probabilities, rtol=1e-4, atol=1e-30)
    assert np.isfinite(logarithms).all()
    # Rows without a label do not count in the score.
    assert model.score(X, few) == np.mean(model.predict(X)[few >= 0] == few[few >= 0])
    assert len(model.loss_curve_) == 30 and len(model.fine_tune_loss_curve_) == 50
    assert model.fine_tune_loss_curve_[-1] < 0.2 * model.fine_tune_loss_curve_[0]
    assert model.transform(X).shape == (len(X), 16)
    assert model.reconstruct(X).shape == X.shape


def test_interrupted_fine_tuning_counts_its_own_epochs(digits):
    def stop(state):
        if state.training == "fine_tune" and state.epoch == 2:
            raise KeyboardInterrupt

    X, _, few = digits
    with pytest.warns(UserWarning, match="is as after 2 complete epochs"):
        model = classifier(max_iter=5, callbacks=stop).fit(X, few)
    assert len(model.fine_tune_loss_curve_) == 2 and model.n_iter_ == 5


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_logarithms_take_one_pass(digits, precision, monkeypatch):
    """They agree to the last digit with the logarithms of probabilities above a half, whatever the types."""
    X, _, few = digits
    model = classifier(max_iter=2, precision=precision).fit(X, few)
    starts, run = [], AutoencoderClassifier._run

    def seen(*given, **options):
        starts.append(options.get("start"))
        return run(*given, **options)

    monkeypatch.setattr(AutoencoderClassifier, "_run", seen)
    for dtype in ("float32", "float64"):
        rows = X[:50].astype(dtype)
        probabilities = model.predict_proba(rows)
        starts.clear()
        logarithms = model.predict_log_proba(rows)
        assert starts == [None, "head"]
        assert logarithms.dtype == dtype
        likely = probabilities > 0.5
        assert likely.any()
        assert_array_equal(logarithms[likely], np.log(probabilities[likely]))
        assert_array_equal(model.predictor().predict_log_proba(rows), logarithms)
        assert_array_equal(model.predictor().predict_log_proba(rows[3]), logarithms[3])


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_predictions_have_the_type_of_the_rows(digits, precision, flat):
    """As those of MLPRegressor, where float32 rows meet weights of float32."""
    X, y, _ = digits
    y = 100.0 * (y if flat else np.stack([y, -y], axis=1))
    model = AutoencoderRegressor(4, max_iter=2, fine_tune_max_iter=2, precision=precision, random_state=0).fit(X, y)
    whole = model.predict(X.astype("float64"))
    for given, expected in ((X, "float32"), (X.astype("f8"), "float64"), ((16 * X).astype(int), precision)):
        predicted = model.predict(given)
        assert predicted.dtype == expected
        assert predicted.shape == y.shape
        assert_array_equal(model.predictor().predict(given), predicted)
        assert model.predictor().predict(given[0]).dtype == expected
    assert_allclose(model.predict(X), whole, rtol=1e-5)


def test_rows_without_labels_teach(digits):
    """The pretraining sees them: without them another network comes out, and a worse one."""
    X, y, few = digits
    labelled = np.flatnonzero(few >= 0)[:60]
    sparse_labels = np.full(len(y), -1)
    sparse_labels[labelled] = y[labelled]
    with_all = classifier(max_iter=60, fine_tune_max_iter=100).fit(X, sparse_labels).score(X, y)
    alone = classifier(max_iter=60, fine_tune_max_iter=100).fit(X[labelled], y[labelled]).score(X, y)
    assert with_all > alone


def test_reconstruction_beside_the_labels(digits):
    X, _, few = digits
    kept = classifier(reconstruction_weight=1.0).fit(X, few)
    dropped = classifier().fit(X, few)
    assert np.mean((kept.reconstruct(X) - X) ** 2) < np.mean((dropped.reconstruct(X) - X) ** 2)


def test_names_of_classes_and_no_unlabelled(digits):
    X, y, few = digits
    names = np.array([f"digit {i}" for i in range(10)])
    model = classifier(unlabeled_label="?").fit(X, np.where(few >= 0, names[few], "?"))
    assert_array_equal(model.classes_, names)
    assert_array_equal(model.predict(X), names[classifier().fit(X, few).predict(X)])
    signs = np.where(y > 4, 1, -1)
    with pytest.raises(ValueError, match="unlabeled_label=None"):
        classifier().fit(X, signs)
    model = classifier(unlabeled_label=None).fit(X, signs)
    assert_array_equal(model.classes_, [-1, 1])
    assert model.score(X, signs) > 0.8


@pytest.mark.parametrize("value", [True, False])
def test_no_label_is_no_boolean(digits, value):
    X, y, _ = digits
    with pytest.raises(
        ValueError, match=f"unlabeled_label.* must be a whole number or a string or None. Got {value} instead"
    ):
        classifier(unlabeled_label=value).fit(X, y)
    with pytest.raises(ValueError, match="unlabeled_label"):
        classifier(unlabeled_label=value).fit(X, y > 4)


@pytest.mark.parametrize("class_weight", [{0: -1.0}, dict.fromkeys(range(10), 0.0), {3: np.nan}, {3: np.inf}])
def test_class_weight_is_checked(digits, class_weight):
    X, y, _ = digits
    model = classifier(class_weight=class_weight, max_iter=1)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=r"class_weight=.*not all of them 0"):
        model.fit(X[:200], y[:200])
    assert vars(model) == before


def test_class_weight(digits):
    X, y, _ = digits
    few_nines = np.where((y == 9) & (np.arange(len(y)) % 10 > 0), -1, y)
    plain = classifier().fit(X, few_nines).predict_proba(X)[:, 9].mean()
    heavy = classifier(class_weight={9: 20.0}).fit(X, few_nines).predict_proba(X)[:, 9].mean()
    balanced = classifier(class_weight="balanced").fit(X, few_nines).predict_proba(X)[:, 9].mean()
    assert plain < balanced < heavy


@pytest.mark.parametrize("make", [AutoencoderClassifier, AutoencoderRegressor])
def test_same_bits_for_any_number_of_threads(digits, make):
    X, y, few = digits
    target = few if make is AutoencoderClassifier else np.where(few >= 0, y.astype(float), np.nan)
    models = [
        make(8, max_iter=3, fine_tune_max_iter=3, random_state=0, n_jobs=n).fit(X[:500], target[:500])
        for n in (1, 2, 3, 8)
    ]
    for model in models[1:]:
        for one, other in zip(models[0].coefs_, model.coefs_, strict=True):
            assert_array_equal(one, other)
    assert_array_equal(models[0].predict(X[:500]), pickle.loads(pickle.dumps(models[0])).predict(X[:500]))
    order = np.random.default_rng(0).permutation(500)
    assert_array_equal(models[0].predict(X[order]), models[0].predict(X)[order])


def test_sparse_rows_and_missing_values(digits):
    X, y, few = digits
    dense, sparse = classifier().fit(X, few), classifier().fit(sp.csr_matrix(X), few)
    assert_array_equal(dense.predict_proba(X), sparse.predict_proba(sp.csr_matrix(X)))


def test_regressor_with_unknown_targets():
    X, y = load_diabetes(return_X_y=True)
    X = scale(X)
    known = np.where(np.arange(len(y)) % 2 == 0, y, np.nan)
    model = AutoencoderRegressor(16, max_iter=20, fine_tune_max_iter=20, random_state=0).fit(X, known)
    assert model.predict(X).shape == y.shape
    assert model.score(X, y) > 0.3
    assert abs(model.predict(X).mean() - y.mean()) < 0.2 * y.std()
    both = clone(model).fit(X, np.column_stack([known, -2.0 * y]))
    assert both.predict(X).shape == (len(y), 2)
    assert np.corrcoef(both.predict(X).T)[0, 1] < -0.8
    assert_array_equal(model.predict(X[:1]), model.predict(X)[:1])


def test_cross_validation(digits):
    X, y, _ = digits
    assert cross_val_score(classifier(), X[:600], y[:600], cv=3).mean() > 0.7


def test_errors(digits):
    X, y, few = digits
    with pytest.raises(ValueError, match="no row of y has a label: all are unlabeled_label=-1"):
        classifier().fit(X, np.full(len(y), -1))
    with pytest.raises(ValueError, match="y has 5 entries and X has 1797 rows"):
        classifier().fit(X, y[:5])
    with pytest.raises(ValueError, match="a column of y has no value"):
        AutoencoderRegressor().fit(X, np.full(len(y), np.nan))
    with pytest.raises(ValueError, match="infinity"):
        AutoencoderRegressor().fit(X, np.full(len(y), np.inf))
    with pytest.raises(ValueError, match="reconstruction_weight"):
        classifier(reconstruction_weight=-1.0).fit(X, few)
    with pytest.raises(NotFittedError):
        classifier().predict(X)
    assert not hasattr(classifier(), "partial_fit")
    # What fails leaves a fitted model as it was.
    model = classifier().fit(X, few)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(X, np.nan), few)
    assert_array_equal(model.predict_proba(X), before)


def test_ctrl_c_in_the_pretraining_leaves_it_as_it_was(digits):
    X, _, few = digits

    def interrupt(state):
        if state.epoch == 2:
            raise KeyboardInterrupt

    model = classifier(callbacks=interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, few)
    assert not hasattr(model, "classes_") and not hasattr(model, "coefs_")


def test_parts_of_the_autoencoder(digits):
    X, y, few = digits
    common = {"hidden_layer_sizes": (24,), "max_iter": 5, "fine_tune_max_iter": 20}
    tied = classifier(tied_weights=True, **common).fit(X, few)
    assert [w.shape for w in tied.coefs_] == [(64, 24), (24, 16), (16, 10)]
    sparse = classifier(sparsity=TopK(3), **common).fit(X, few)
    assert (sparse.transform(X) != 0).sum(axis=1).max() == 3
    contracted = classifier(contraction=Contraction(0.001), reconstruction_weight=0.5, **common).fit(X, few)
    assert contracted.score(X, y) > 0.5


def test_a_row_without_weight_has_no_say_in_the_scale_of_y():
    X, _ = load_diabetes(return_X_y=True)
    X = scale(X)
    y = X[:, 0].copy()
    y[200:] = 1e4
    weight = np.r_[np.ones(200), np.zeros(len(y) - 200)]
    model = AutoencoderRegressor(16, max_iter=20, fine_tune_max_iter=100, random_state=0).fit(
        X, y, sample_weight=weight
    )
    assert model.score(X[:200], y[:200]) > 0.9


@pytest.mark.filterwarnings("ignore:lbfgs has not converged")
@pytest.mark.parametrize("make", [AutoencoderClassifier, AutoencoderRegressor])
def test_weights_are_repetitions_for_lbfgs(digits, make):
    X, y, _ = digits
    X, y = X[:80], (y[:80] % 3) * (1 if make is AutoencoderClassifier else 1.5)
    times = np.random.default_rng(0).integers(0, 3, len(y))
    parameters = {
        "solver": "lbfgs",
        "precision": "float64",
        "max_iter": 15,
        "fine_tune_max_iter": 15,
    }
    one = make(6, random_state=0, **parameters).fit(X, y, sample_weight=times)
    other = make(6, random_state=0, **parameters).fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    assert_allclose(one.transform(X), other.transform(X), rtol=1e-9)


def test_what_a_fit_meant_stays_meant(digits):
    X, y, few = digits
    model = classifier(sparsity=TopK(4)).fit(X, few)
    assert model.dead_latents_.dtype.kind == "i"
    assert model.score(X, y[:, np.newaxis]) == model.score(X, y)
    before = model.score(X, few)
    assert model.set_params(unlabeled_label=0).score(X, few) == before
    with pytest.raises(ValueError, match="NaN"):
        model.set_params(missing="mask").predict(np.full_like(X[:1], np.nan))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.score(X, y[:5])
    with pytest.raises(ValueError, match="classes of the fit before"):
        classifier(warm_start=True).fit(X, few).fit(X, np.where(few == 2, 20, few))
    with pytest.raises(ValueError, match="Complex"):
        AutoencoderRegressor().fit(X, y + 1j)


@pytest.fixture(params=[AutoencoderClassifier, AutoencoderRegressor])
def make(request):
    parameters = {"max_iter": 6, "fine_tune_max_iter": 12, "hidden_layer_sizes": (24,), "random_state": 0}
    return lambda n_components=8, **more: request.param(n_components, **{**parameters, **more})


@pytest.fixture(scope="module")
def toy():
    """Whether the sum is positive, turned round by a condition that X does not tell."""
    rng = np.random.default_rng(0)
    X, side = rng.normal(size=(500, 5)).astype(np.float32), rng.integers(0, 2, 500)
    return X, np.array(["left", "right"])[side], (X.sum(axis=1) > 0).astype(int) ^ side


def test_a_condition_tells_what_the_rows_do_not(make, toy):
    X, side, y = toy
    blind = make(fine_tune_max_iter=100).fit(X, y)
    told = make(fine_tune_max_iter=100).fit(X, y, condition=side)
    assert blind.score(X, y) < 0.65
    assert told.score(X, y, condition=side) > blind.score(X, y) + 0.3
    assert_array_equal(told.fit_transform(X, y, condition=side), told.transform(X, condition=side))
    for call in (told.predict, told.transform, told.reconstruct):
        with pytest.raises(ValueError, match="called without condition"):
            call(X)
    with pytest.raises(ValueError, match="called with condition"):
        blind.predict(X, condition=side)


def test_targets_of_the_reconstruction(make, toy):
    X, side, y = toy
    clean = np.abs(X[:, :3])
    plain = make().fit(X, y, X_clean=clean)
    assert plain.reconstruct(X).shape == clean.shape
    with pytest.raises(ValueError, match="X_clean is needed"):
        plain.score_samples(X)
    both = make(reconstruction_weight=1.0, fine_tune_max_iter=100).fit(X, y, X_clean=clean, condition=side)
    assert both.score(X, y, condition=side) > 0.5
    error = -both.score_samples(X, X_clean=clean, condition=side).mean()
    assert error < 0.5 * clean.var(axis=0).mean()


def test_validation_of_both_trainings(make, toy):
    X, side, y = toy
    few = np.where(np.arange(500) < 400, y, -1)
    if isinstance(make(), AutoencoderRegressor):
        few = np.where(few < 0, np.nan, few)
    model = make().fit(X, few, X_val=X[400:])
    assert len(model.validation_loss_curve_) == 6
    assert not hasattr(model, "fine_tune_validation_loss_curve_")
    for weight in (0.0, 0.3):
        model = make(reconstruction_weight=weight, fine_tune_max_iter=40, fine_tune_learning_rate_init=0.03)
        model.fit(X, few, condition=side, X_val=(X[400:], side[400:]), y_val=y[400:])
        curve = model.fine_tune_validation_loss_curve_
        assert len(curve) == 40
        # The network is that of the epoch with the lowest loss on the validation rows.
        if weight == 0.0 and isinstance(model, AutoencoderClassifier):
            log_proba = model.predict_log_proba(X[400:], condition=side[400:])
            assert_allclose(-log_proba[np.arange(100), y[400:]].mean(), min(curve), rtol=1e-4)
        elif weight == 0.0:
            errors = (model.predict(X[400:], condition=side[400:]) - y[400:]) / np.nanstd(few)
            assert_allclose((errors**2).mean(), min(curve), rtol=1e-4)
    assert not hasattr(model.fit(X, few), "fine_tune_validation_loss_curve_")
    held_out = make(early_stopping=True).fit(X, few, X_val=X[400:])
    assert len(held_out.fine_tune_validation_loss_curve_) == len(held_out.fine_tune_loss_curve_)


def test_rows_of_validation_without_a_label_do_not_count(make, toy):
    X, _, y = toy
    none = -1 if isinstance(make(), AutoencoderClassifier) else np.nan
    y_val = np.where(np.arange(100) < 50, y[400:], none)
    part = make().fit(X[:400], y[:400], X_val=X[400:], y_val=y_val)
    whole = make().fit(X[:400], y[:400], X_val=X[400:], y_val=y[400:])
    other = make().fit(X[:400], y[:400], X_val=X[400:450], y_val=y[400:450])
    assert part.fine_tune_validation_loss_curve_ != whole.fine_tune_validation_loss_curve_
    assert part.validation_loss_curve_ == whole.validation_loss_curve_ != other.validation_loss_curve_


@pytest.mark.parametrize(
    ("rows", "y_val", "message"),
    [
        (None, [0, 1], "y_val is given without X_val"),
        (2, [0, 1, 1], "y_val has"),
        (2, [np.inf, 1], "y_val"),
    ],
)
def test_wrong_validation_labels(make, toy, rows, y_val, message):
    X, _, y = toy
    with pytest.raises(ValueError, match=message):
        make().fit(X, y, X_val=None if rows is None else X[:rows], y_val=y_val)


def test_validation_labels_of_other_classes(toy):
    X, _, y = toy
    model = classifier(max_iter=1)
    with pytest.raises(ValueError, match=r"y_val has labels that y has not: 3, 7; allowed are 0, 1"):
        model.fit(X, y, X_val=X[:3], y_val=[7, 1, 3])
    with pytest.raises(ValueError, match="y_val is of type <U4 and y of int64"):
        model.fit(X, y, X_val=X[:1], y_val=["left"])
    with pytest.raises(ValueError, match="no row of y_val has a label"):
        model.fit(X, y, X_val=X[:2], y_val=[-1, -1])
    assert not hasattr(model, "classes_")


def test_rows_with_labels_need_weight(toy):
    X, _, y = toy
    few = np.where(np.arange(500) < 50, y, -1)
    with pytest.raises(ValueError, match="sample_weight is zero for every row with a label"):
        classifier(max_iter=1).fit(X, few, sample_weight=(few < 0).astype(float))


def test_a_linear_network_with_a_head_has_no_components(toy):
    X, _, y = toy
    model = AutoencoderRegressor(2, hidden_layer_sizes=(), max_iter=3, fine_tune_max_iter=3).fit(
        X, np.where(np.arange(500) % 2, np.nan, y)
    )
    assert model.predict(X).shape == (500,)
    assert not hasattr(model, "components_")


def test_balanced_classes_by_weight_are_balanced_by_repetition():
    X, y = make_classification(60, n_features=6, n_informative=4, weights=[0.7], random_state=0)
    times = np.random.default_rng(1).integers(1, 4, len(y))
    model = AutoencoderClassifier(
        2,
        class_weight="balanced",
        solver="lbfgs",
        precision="float64",
        max_iter=20,
        fine_tune_max_iter=20,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        weighted = clone(model).fit(X, y, sample_weight=times)
        repeated = clone(model).fit(np.repeat(X, times, axis=0), np.repeat(y, times))
        plain = clone(model).fit(X, y)
    assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-9)
    assert not np.allclose(weighted.predict_proba(X), plain.predict_proba(X), rtol=1e-3)


def test_scores_need_labels():
    X, y = make_classification(40, n_features=5, random_state=0)
    classifier = AutoencoderClassifier(2, max_iter=2, fine_tune_max_iter=2, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="no row of y has a label: all are unlabeled_label=-1"):
        classifier.score(X, np.full(len(y), -1))
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        classifier.score(X, y, sample_weight=-np.ones(len(y)))
    regressor = AutoencoderRegressor(2, max_iter=2, fine_tune_max_iter=2, random_state=0).fit(X, y.astype(float))
    with pytest.raises(ValueError, match="no row of y has all its values"):
        regressor.score(X, np.full(len(y), np.nan))


@pytest.mark.parametrize("kind", [AutoencoderClassifier, AutoencoderRegressor])
def test_there_is_no_request_for_what_is_not_there(kind):
    model = kind()
    assert not hasattr(model, "partial_fit")
    assert not hasattr(model, "set_partial_fit_request")
    assert hasattr(model, "set_fit_request")
    assert hasattr(Autoencoder(), "set_partial_fit_request")
