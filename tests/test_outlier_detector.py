"""Outliers: scores, thresholds, p-values, and that nothing depends on how the rows come."""

import pickle
import signal
import sys
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from scipy import stats
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.utils.estimator_checks import parametrize_with_checks

from autoenc import AutoencoderOutlierDetector, _row_blocks, _row_statistics
from autoenc._landmarks import Landmarks
from autoenc._outlier_members import draw_landmarks

SMALL = dict(n_estimators=4, max_iter=6, max_samples=64, random_state=0)


def table(n, seed=0, d=8):
    """Rows near a curved surface of two dimensions, in very different units."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(2, d))
    X = np.tanh(rng.normal(size=(n, 2)) @ mixing) + 0.1 * rng.normal(size=(n, d))
    return X * 10.0 ** np.arange(-4, d - 4) + 3.0


@pytest.fixture(scope="module")
def fitted():
    return AutoencoderOutlierDetector(**SMALL).fit(table(300))


REASON = "bags and minibatches are drawn from the rows there are: repeated rows make other ones than weighted ones"
CHECKS = parametrize_with_checks(
    [
        AutoencoderOutlierDetector(),
        AutoencoderOutlierDetector(n_components=[1, 3], n_estimators=3, trim=0.0, precision="float64", max_samples=0.5),
        AutoencoderOutlierDetector(n_estimators=3, missing="mask"),
    ],
    expected_failed_checks=lambda _: {
        "check_sample_weight_equivalence_on_dense_data": REASON,
        "check_sample_weight_equivalence_on_sparse_data": REASON,
    },
).mark
CHECKS = (CHECKS.args[0], list(CHECKS.args[1]), CHECKS.kwargs)  # scikit-learn 1.6 gives an iterator


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(CHECKS[0], CHECKS[1], **CHECKS[2])
def test_scikit_learn_check(estimator, check):
    check(estimator)


# ---- what it finds ----


def test_breaks_of_the_structure_are_found_and_their_feature_is_named():
    X = table(400)
    detector = AutoencoderOutlierDetector(random_state=0).fit(X)
    fresh = table(200, seed=1)
    broken = fresh.copy()
    column = np.arange(200) % 8
    broken[np.arange(200), column] = fresh[np.random.default_rng(2).permutation(200), column]
    changed = np.abs(broken - fresh)[np.arange(200), column] > X.std(axis=0)[column]
    assert changed.sum() > 50
    scores = np.r_[detector.score_samples(fresh), detector.score_samples(broken[changed])]
    assert roc_auc_score(np.r_[np.ones(200), np.zeros(changed.sum())], scores) > 0.95
    named = detector.feature_contributions(broken[changed]).argmax(axis=1)
    assert (named == column[changed]).mean() > 0.8


def test_outliers_among_the_training_rows_are_found():
    X = table(500)
    X[:25] = X.mean(axis=0) + np.random.default_rng(3).normal(size=(25, 8)) * 2 * X.std(axis=0)
    detector = AutoencoderOutlierDetector(contamination=0.05, random_state=0).fit(X)
    truth = np.arange(500) < 25
    assert roc_auc_score(truth, -detector.score_samples(X)) > 0.98
    assert ((detector.predict(X) == -1) & truth).sum() >= 20


def test_defaults_keep_their_quality_on_real_sets(data_folder):
    """Guessing gives 0.5, the defaults more than 0.95."""
    for name, least in (("42_WBC", 0.9), ("18_Ionosphere", 0.9), ("4_breastw", 0.9)):
        path = data_folder / "adbench" / f"{name}.npz"
        if not path.is_file():
            pytest.skip(f"no {path}")
        with np.load(path) as file:
            X, y = file["X"], file["y"]
        normal = np.flatnonzero(y == 0)
        detector = AutoencoderOutlierDetector(random_state=0).fit(X[normal[::2]])
        rest = np.r_[normal[1::2], np.flatnonzero(y)]
        assert roc_auc_score(y[rest], -detector.score_samples(X[rest])) > least, name


# ---- scores ----


def test_contributions_are_nonnegative_and_add_up_to_the_score(fitted):
    X = np.vstack([table(200, seed=1), 1e6 * table(5, seed=2)])
    contributions = fitted.feature_contributions(X)
    assert contributions.shape == X.shape
    assert (contributions >= 0).all()
    np.testing.assert_array_equal(contributions.sum(axis=1), -fitted.score_samples(X))


def test_contributions_are_what_is_documented(fitted):
    X = table(50, seed=1)
    Z = np.clip((X - fitted.mean_) / fitted.scale_, -4, 4).astype(np.float32)
    expected = np.zeros(X.shape)
    for network, error, median in zip(fitted.estimators_, fitted.error_, fitted.median_, strict=True):
        squares = (network.reconstruct(Z).astype(np.float64) - Z) ** 2
        expected += (np.sqrt(1 + squares / error) - 1) / median / len(fitted.estimators_)
    for landmarks, median in zip(fitted._landmarks.rows, fitted.neighbor_median_, strict=True):
        differences = Z[:, np.newaxis].astype(np.float64) - landmarks
        nearest = np.square(differences).sum(axis=2).argmin(axis=1)
        squares = differences[np.arange(len(X)), nearest] ** 2
        expected += fitted.neighbor_weight * (np.sqrt(1 + squares) - 1) / median / len(fitted.estimators_)
    expected += fitted.center_weight * (np.sqrt(1 + Z.astype(np.float64) ** 2) - 1) / fitted.center_median_
    expected /= 1 + fitted.center_weight + fitted.neighbor_weight
    np.testing.assert_allclose(fitted.feature_contributions(X), expected, rtol=1e-12)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_same_bits_for_any_number_of_threads(precision):
    X, fresh = table(700), table(9000, seed=1)  # scored in several blocks
    results = []
    for n_jobs in (1, 2, 3, 8):
        detector = AutoencoderOutlierDetector(**SMALL, precision=precision, n_jobs=n_jobs).fit(X)
        results.append((detector.score_samples(fresh), detector.oob_scores_, detector.offset_, detector.p_values(X)))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_row_scores_the_same_in_any_company(fitted, monkeypatch):
    X = table(150, seed=1)
    scores = fitted.score_samples(X)
    np.testing.assert_array_equal(fitted.score_samples(X), scores)
    np.testing.assert_array_equal(
        np.concatenate([fitted.score_samples(row[np.newaxis]) for row in X[:20]]), scores[:20]
    )
    order = np.random.default_rng(0).permutation(150)
    np.testing.assert_array_equal(fitted.score_samples(X[order]), scores[order])
    monkeypatch.setattr(_row_blocks, "ROWS_AT_ONCE", 7)
    np.testing.assert_array_equal(fitted.score_samples(X), scores)


def test_layout_and_type_do_not_matter_and_input_is_left_alone():
    X = np.round(table(200), 3).astype(np.float32)
    X[:, :2] = np.round(X[:, :2])
    kept = X.copy()
    reference = AutoencoderOutlierDetector(**SMALL).fit(X)
    wide = np.asfortranarray(X.astype(np.float64))
    other = AutoencoderOutlierDetector(**SMALL).fit(wide)
    np.testing.assert_array_equal(reference.training_scores_, other.training_scores_)
    np.testing.assert_array_equal(X, kept)


def test_a_training_row_is_compared_with_the_others_and_not_with_itself():
    Z = np.float32([[0, 0], [3, 0], [3, 0], [0, 1], [4, 4]])
    landmarks = Landmarks([Z, Z[:1]])  # groups of four rows and of one, which are compared with it all the same
    # The row that is there twice is its own neighbour; one that is there once has the nearest of the others.
    expected = np.float32([[0, 1], [3, 0], [3, 0], [0, 0], [3, 0]])
    for these in (landmarks, pickle.loads(pickle.dumps(landmarks))):
        np.testing.assert_array_equal(these.nearest(Z), np.stack([expected, np.zeros_like(Z)], axis=1))
    np.testing.assert_array_equal(landmarks.nearest(np.float32([[0, 1.5]]))[:, 0], [[0, 1]])


def test_what_is_missing_has_no_part_in_who_is_nearest():
    rng = np.random.default_rng(0)
    Z, rows = rng.normal(size=(2, 60, 5))
    Z[rng.random(Z.shape) < 0.4], rows[rng.random(rows.shape) < 0.2] = np.nan, np.nan
    filled = np.nan_to_num(rows)
    expected = filled[np.nansum(np.square(Z[:, np.newaxis] - filled), axis=2).argmin(axis=1)]
    known = ~np.isnan(Z).all(axis=1)
    np.testing.assert_array_equal(Landmarks([rows]).nearest(Z, np.isnan(Z))[known, 0], expected[known])
    # A row is itself with the same gaps, not where it agrees in what it has.
    rows = np.array([[1.0, np.nan], [1.0, 2.0], [5.0, 5.0]])
    nearest = Landmarks([rows]).nearest(rows, np.isnan(rows))[:, 0]
    np.testing.assert_array_equal(nearest, [[1, 2], [1, 0], [1, 2]])


def test_landmarks_are_drawn_by_weight_and_by_what_is_there():
    Z = np.arange(1000.0)[:, np.newaxis] * np.ones(4)
    draw = lambda Z, weights: draw_landmarks(Z, weights, np.random.RandomState(0))  # noqa: E731
    same = draw(Z, None)
    assert len(same) == len(np.unique(same[:, 0])) == 192
    np.testing.assert_array_equal(draw(Z, np.full(1000, 3.0)), same)
    np.testing.assert_array_equal(np.sort(draw(Z[:100], None)[:, 0]), np.arange(100))
    weights = np.where(Z[:, 0] < 500, 1.0, 9.0)
    heavy = draw(Z, weights)[:, 0] >= 500
    assert 150 < len(heavy) <= 192
    assert heavy.mean() == pytest.approx(0.9, abs=0.05)
    assert len(draw(Z, np.where(Z[:, 0] == 7, 1.0, 1e-300))) == 1
    gaps = Z.copy()
    gaps[:500, :3], gaps[0] = np.nan, np.nan
    drawn = draw(gaps, None)
    assert np.isnan(drawn).any(axis=1).mean() == pytest.approx(0.2, abs=0.06)
    assert not np.isnan(drawn).all(axis=1).any()
    assert len(draw(np.full((5, 2), np.nan), None)) == 1


def test_rows_between_what_is_common_are_found():
    """Two distant groups: what lies between them is restored well and near the mean, but has no neighbours."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 6)) * 0.1 + np.where(rng.random((400, 1)) < 0.5, -2.0, 2.0)
    between = rng.normal(size=(50, 6)) * 0.1
    scores = []
    for weight in (0.0, 1.0):
        detector = AutoencoderOutlierDetector(neighbor_weight=weight, random_state=0).fit(X[:300])
        own = detector.score_samples(np.r_[X[300:], between])
        scores.append(roc_auc_score(np.r_[np.ones(100), np.zeros(50)], own))
    assert scores[1] > 0.99
    assert scores[0] < scores[1]


# ---- data ----


def test_sparse_rows_give_the_bits_of_dense_ones():
    rng = np.random.default_rng(0)
    X = np.where(rng.random((300, 30)) < 0.2, rng.poisson(3.0, (300, 30)), 0).astype(np.float64)
    X[:, 7] = 0.0
    dense = AutoencoderOutlierDetector(**SMALL).fit(X)
    sparse = AutoencoderOutlierDetector(**SMALL).fit(sp.csr_array(X))
    np.testing.assert_array_equal(dense.mean_, sparse.mean_)
    np.testing.assert_array_equal(dense.scale_, sparse.scale_)
    np.testing.assert_array_equal(dense.training_scores_, sparse.training_scores_)
    np.testing.assert_array_equal(dense.feature_contributions(X), sparse.feature_contributions(sp.csc_array(X)))


def test_one_column_sparse_and_dense():
    X = np.where(np.arange(500) % 3 == 0, 0.0, np.random.default_rng(0).normal(size=500))[:, np.newaxis]
    dense, sparse = (AutoencoderOutlierDetector(**SMALL).fit(data) for data in (X, sp.csr_array(X)))
    np.testing.assert_array_equal(dense.training_scores_, sparse.training_scores_)


def test_a_sparse_matrix_is_not_made_dense():
    import tracemalloc

    X = sp.random_array((6_000, 2_000), density=1e-3, rng=np.random.default_rng(0), format="csr")
    detector = AutoencoderOutlierDetector(n_estimators=2, max_iter=1, max_samples=32, random_state=0, n_jobs=1)
    tracemalloc.start()
    try:
        detector.fit(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6_000 * 2_000 * 8 / 5


def test_moments_equal_numpy():
    X = table(1000) * np.where(np.random.default_rng(0).random((1000, 8)) < 0.3, 0, 1)
    for data in (X, sp.csr_array(X)):
        mean, std = _row_statistics.moments(data)
        np.testing.assert_allclose(mean, X.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(std, X.std(axis=0), rtol=1e-13)


def test_columns_of_every_kind():
    """Constant, one-hot, heavy-tailed, huge and tiny columns: finite scores, no warning (which would be an error)."""
    rng = np.random.default_rng(0)
    n = 400
    X = np.column_stack(
        [
            np.full(n, 3.0),
            np.zeros(n),
            np.full(n, 0.1),
            np.full(n, 1e17),
            np.eye(4)[rng.integers(4, size=n)],
            np.arange(n) == 17,
            rng.standard_cauchy(n) ** 3,
            rng.normal(size=n) * 1e300,
            rng.normal(size=n) * 1e-300,
            rng.normal(size=n),
        ]
    )
    detector = AutoencoderOutlierDetector(**SMALL).fit(X)
    assert np.isfinite(detector.training_scores_).all()
    changed = X[:2].copy()
    changed[0, 0] = 5.0
    changed[1, -1] = -1.7e308
    assert detector.feature_contributions(changed).argmax(axis=1).tolist() == [0, X.shape[1] - 1]
    assert (detector.score_samples(changed) < detector.score_samples(X[:2])).all()


@pytest.mark.parametrize("n", [2, 3, 10])
@pytest.mark.filterwarnings("ignore:X has . samples:UserWarning")
def test_few_rows(n):
    X = table(n, d=3)
    detector = AutoencoderOutlierDetector(random_state=0, contamination=0.5).fit(X)
    assert np.isfinite(detector.training_scores_).all()
    assert (detector.predict(X) == -1).sum() == {2: 1, 3: 2, 10: 5}[n]


def test_equal_rows():
    detector = AutoencoderOutlierDetector(**SMALL).fit(np.ones((50, 3)))
    assert (detector.predict(np.ones((5, 3))) == 1).all()
    assert (detector.predict(np.full((1, 3), 9.0)) == -1).all()


def test_very_many_rows():
    X = np.random.default_rng(0).normal(size=(300_000, 4)).astype(np.float32)
    detector = AutoencoderOutlierDetector(n_estimators=2, max_iter=2, contamination=0.001, random_state=0).fit(X)
    assert (detector.predict(X) == -1).sum() == 300
    assert all(len(rows) == 512 for rows in detector.estimators_samples_)


# ---- thresholds ----


@pytest.mark.parametrize("contamination", [1e-4, 0.003, 0.01, 0.07, 0.1, 1 / 3, 0.5])
def test_contamination_is_the_count_of_training_rows(contamination):
    X = table(211)
    detector = AutoencoderOutlierDetector(**{**SMALL, "contamination": contamination}).fit(X)
    expected = int(np.floor(contamination * 211 + 0.5))
    assert (detector.predict(X) == -1).sum() == expected
    assert (detector.decision_function(X) < 0).sum() == expected


def test_neighbouring_scores_are_told_apart():
    low = 1.0
    scores = np.array([low, np.nextafter(low, 2), 3.0])
    assert (scores < _row_statistics.offset(scores, 1 / 3)).sum() == 1


def test_auto_flags_few_ordinary_rows_and_all_wild_ones(fitted):
    assert (fitted.predict(table(1000, seed=5)) == -1).mean() < 0.1
    low, high = np.quantile(fitted.oob_scores_[~np.isnan(fitted.oob_scores_)], (0.25, 0.75))
    assert fitted.offset_ == low - 1.5 * (high - low)


def test_calibrate_moves_the_offset_only():
    X = table(200)
    detector = AutoencoderOutlierDetector(**SMALL).fit(X)
    before = pickle.dumps({k: v for k, v in vars(detector).items() if k != "offset_"})
    automatic = detector.offset_
    assert detector.calibrate(contamination=0.1) is detector
    assert (detector.predict(X) == -1).sum() == 20
    fresh = table(400, seed=1)
    detector.calibrate(fresh, contamination=0.25)
    assert (detector.predict(fresh) == -1).sum() == 100
    detector.calibrate()
    assert detector.offset_ == automatic
    assert pickle.dumps({k: v for k, v in vars(detector).items() if k != "offset_"}) == before
    with pytest.raises(ValueError, match=r"contamination.*0\.7"):
        detector.calibrate(contamination=0.7)


# ---- p-values ----


def test_out_of_bag_scores_come_from_members_that_have_not_seen_the_row(fitted):
    X = table(300)
    total, count = np.zeros(300), np.zeros(300)
    for i, rows in enumerate(fitted.estimators_samples_):
        alone = clone(fitted)
        alone.__dict__.update(vars(fitted))
        alone.estimators_, alone._landmarks = [fitted.estimators_[i]], Landmarks([fitted._landmarks.rows[i]])
        alone.error_, alone.median_ = fitted.error_[[i]], fitted.median_[[i]]
        alone._neighbors = fitted._neighbors[[i]]
        others = np.setdiff1d(np.arange(300), rows)
        total[others] += alone.score_samples(X[others])
        count[others] += 1
    np.testing.assert_allclose(fitted.oob_scores_[count > 0], total[count > 0] / count[count > 0], rtol=1e-12)
    assert np.isnan(fitted.oob_scores_[count == 0]).all()


def test_p_values_of_fresh_ordinary_rows_are_uniform():
    """The largest gap of two samples' distributions, at a level of one in a thousand; p-values are ranks in another
    sample, so the test is that of two samples."""
    detector = AutoencoderOutlierDetector(random_state=0).fit(table(1000))
    fresh, other = table(1500, seed=1), table(700, seed=2)
    for n, p in ((1000, detector.p_values(fresh)), (700, detector.p_values(fresh, other))):
        gap = stats.kstest(p, "uniform").statistic
        assert gap < 1.95 * np.sqrt(1 / 1500 + 1 / n)
        assert p.min() >= 1 / (n + 1)
        assert p.max() <= 1
    assert np.median(detector.p_values(fresh * np.linspace(0.5, 1.5, 8))) < 0.02


def test_p_values_of_training_scores_would_not_be_uniform():
    """That the test above can fail: bags learned by heart make the rows' own scores useless for comparison."""
    X = table(60)
    detector = AutoencoderOutlierDetector(n_components=7, max_iter=600, max_samples=0.9, trim=0, random_state=0).fit(X)
    fresh = table(1500, seed=1)
    own = (1 + np.searchsorted(np.sort(detector.training_scores_), detector.score_samples(fresh), side="right")) / 61
    critical = 1.95 * np.sqrt(1 / 1500 + 1 / 60)
    assert stats.kstest(own, "uniform").statistic > critical
    assert stats.kstest(detector.p_values(fresh), "uniform").statistic < critical


def test_p_values_without_out_of_bag_rows():
    X = table(40)
    detector = AutoencoderOutlierDetector(**{**SMALL, "max_samples": 1.0}).fit(X)
    with pytest.raises(ValueError, match=r"max_samples=1\.0.*X_calibration"):
        detector.p_values(X)
    assert detector.p_values(X, table(30, seed=1)).shape == (40,)
    with pytest.raises(ValueError, match="X_calibration"):
        detector.p_values(X, table(30, d=5))


# ---- as an estimator ----


def test_pyod_names_and_signs(fitted):
    pyod = fitted.as_pyod()
    X = table(300)
    np.testing.assert_array_equal(pyod.decision_scores_, -fitted.score_samples(X))
    np.testing.assert_array_equal(pyod.decision_function(X), pyod.decision_scores_)
    np.testing.assert_array_equal(pyod.labels_, (fitted.predict(X) == -1).astype(int))
    np.testing.assert_array_equal(pyod.predict(X), pyod.labels_)
    assert pyod.threshold_ == -fitted.offset_
    unfitted = AutoencoderOutlierDetector(**SMALL).as_pyod()
    assert not hasattr(unfitted, "labels_")
    assert unfitted.fit(X).labels_.shape == (300,)


def test_copies_and_pickles_score_the_same(fitted):
    X = table(50, seed=1)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.score_samples(X), fitted.score_samples(X))
    np.testing.assert_array_equal(clone(fitted).fit(table(300)).score_samples(X), fitted.score_samples(X))


def test_a_failed_fit_leaves_the_estimator_as_it_was():
    detector = AutoencoderOutlierDetector(**SMALL).fit(table(100))
    detector.hidden_layer_sizes = (0,)
    before = pickle.dumps(vars(detector))
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        detector.fit(table(100, d=5))
    assert pickle.dumps(vars(detector)) == before


def test_grid_search_over_members():
    X = table(120)
    y = np.ones(120)
    y[:10] = -1
    X[:10] += 5 * X.std(axis=0)
    search = GridSearchCV(
        AutoencoderOutlierDetector(**SMALL), {"n_components": [1, [1, 4]]}, scoring="roc_auc", cv=StratifiedKFold(2)
    )
    assert search.fit(X, y).best_score_ > 0.9


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("n_components", 0),
        ("n_components", []),
        ("n_components", [2, 0]),
        ("n_components", "all"),
        ("n_estimators", 0),
        ("max_samples", 0),
        ("max_samples", 1.5),
        ("trim", 1.0),
        ("clip", 0.0),
        ("center_weight", -1.0),
        ("neighbor_weight", -1.0),
        ("contamination", 0.0),
        ("contamination", 0.6),
        ("n_jobs", 0),
    ],
)
def test_wrong_parameters_are_named(parameter, value):
    with pytest.raises(ValueError, match=parameter):
        AutoencoderOutlierDetector(**{**SMALL, parameter: value}).fit(table(30))


def test_filters_of_warnings_are_as_before():
    before = list(warnings.filters)
    AutoencoderOutlierDetector(**{**SMALL, "n_estimators": 20}, n_jobs=8).fit(table(100))
    assert warnings.filters == before


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_a_fit_and_leaves_nothing_behind():
    detector = AutoencoderOutlierDetector(n_estimators=3_000, random_state=0, n_jobs=1)
    old = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        # Again after five seconds: Python drops an exception that is raised while it runs a finaliser.
        signal.setitimer(signal.ITIMER_REAL, 0.5, 5.0)
        with pytest.raises(KeyboardInterrupt):
            detector.fit(table(200))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert not hasattr(detector, "estimators_")
    assert not hasattr(detector, "n_features_in_")


def test_wide_tables_take_fewer_epochs():
    rng = np.random.default_rng(0)
    for d, epochs in ((8, 40), (128, 40), (512, 20), (3000, 10)):
        X = rng.normal(size=(12, d))
        detector = AutoencoderOutlierDetector(n_estimators=1, hidden_layer_sizes=(2,), random_state=0).fit(X)
        assert detector.n_iter_ == detector.estimators_[0].n_iter_ == epochs
        given = clone(detector).set_params(max_iter=epochs).fit(X)
        assert_array_equal(given.training_scores_, detector.training_scores_)
    with pytest.raises(ValueError, match=r"'max_iter' parameter of AutoencoderOutlierDetector must be .*'auto'"):
        AutoencoderOutlierDetector(max_iter="few").fit(X)
