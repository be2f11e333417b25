"""What a detector takes beside plain rows, weights and missing values, and its predictor."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import roc_auc_score

from autoenc import AutoencoderOutlierDetector
from autoenc._row_statistics import fence, median, moments, offset

SMALL = dict(n_estimators=4, max_iter=6, max_samples=64, random_state=0)


def table(n, seed=0, d=8):
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(2, d))
    X = np.tanh(rng.normal(size=(n, 2)) @ mixing) + 0.1 * rng.normal(size=(n, d))
    return X * 10.0 ** np.arange(-4, d - 4) + 3.0


def fit(X, sample_weight=None, **parameters):
    return AutoencoderOutlierDetector(**{**SMALL, **parameters}).fit(X, sample_weight=sample_weight)


def with_holes(X, share=0.2, seed=5):
    return np.where(np.random.default_rng(seed).random(X.shape) < share, np.nan, X)


@pytest.fixture(scope="module")
def X():
    return table(300)


@pytest.fixture(scope="module")
def holes(X):
    out = with_holes(X)
    out[3] = np.nan
    return out


# ---- missing values ----


def test_without_nan_missing_changes_nothing(X):
    plain, masked = fit(X), fit(X, missing="mask")
    assert_array_equal(plain.training_scores_, masked.training_scores_)
    assert_array_equal(plain.oob_scores_, masked.oob_scores_)
    assert plain.offset_ == masked.offset_


def test_nan_is_refused_where_nothing_says_that_it_may_be_there(X, holes):
    with pytest.raises(
        ValueError, match=r"X contains NaN at row 0, column \d; .*missing='mask' allows NaN, and an imputer"
    ):
        fit(holes)
    plain = fit(X).set_params(missing="mask")
    with pytest.raises(ValueError, match="NaN"):
        plain.score_samples(holes)  # it was fitted otherwise
    masked = fit(holes, missing="mask").set_params(missing="error")
    assert np.isfinite(masked.score_samples(holes)).all()
    for bad in (np.inf, -np.inf):
        with pytest.raises(ValueError, match="infinity"):
            masked.score_samples(np.where(np.isnan(holes), bad, holes))


def test_what_is_missing_contributes_nothing_and_the_rest_adds_up(holes):
    detector = fit(holes, missing="mask")
    contributions = detector.feature_contributions(holes)
    missing = np.isnan(holes)
    assert (contributions[missing] == 0).all()
    assert (contributions[~missing] >= 0).all()
    assert (contributions[~missing] > 0).mean() > 0.99
    assert_array_equal(contributions.sum(axis=1), -detector.score_samples(holes))
    assert detector.score_samples(holes)[3] == 0  # nothing is known of it
    assert_array_equal(detector.score_samples(holes), detector.training_scores_)


def test_contributions_are_what_is_documented(holes):
    detector = fit(holes, missing="mask")
    Z = np.clip((holes - detector.mean_) / detector.scale_, -4, 4).astype(np.float32)
    expected = np.zeros(holes.shape)
    for network, error, middle in zip(detector.estimators_, detector.error_, detector.median_, strict=True):
        squares = (network.reconstruct(Z).astype(np.float64) - Z) ** 2
        expected += (np.sqrt(1 + squares / error) - 1) / middle / len(detector.estimators_)
    for landmarks, middle in zip(detector._landmarks.rows, detector.neighbor_median_, strict=True):
        landmarks = landmarks[landmarks.any(axis=1)]  # not what makes groups equally large
        differences = Z[:, np.newaxis].astype(np.float64) - landmarks
        squares = np.nan_to_num(np.square(differences))
        itself = (np.nan_to_num(Z)[:, np.newaxis] == landmarks).all(axis=2)
        nearest = np.where(itself, np.inf, squares.sum(axis=2)).argmin(axis=1)
        own = squares[np.arange(len(Z)), nearest]
        expected += detector.neighbor_weight * (np.sqrt(1 + own) - 1) / middle / len(detector.estimators_)
    expected += detector.center_weight * (np.sqrt(1 + Z.astype(np.float64) ** 2) - 1) / detector.center_median_
    expected /= 1 + detector.center_weight + detector.neighbor_weight
    there = ~np.isnan(holes)
    expected = np.where(there, expected * 8 / np.maximum(there.sum(axis=1, keepdims=True), 1), 0.0)
    assert_allclose(detector.feature_contributions(holes), expected, rtol=1e-12)


def test_rows_with_few_and_with_many_entries_compare():
    """Outliers are found among rows of which some miss half of their entries, and ordinary rows with gaps are none."""
    rng = np.random.default_rng(0)
    X, fresh, strange = table(600), table(300, seed=1), table(300, seed=2)
    at = np.arange(300), rng.integers(0, 8, 300)
    strange[at] = X.mean(axis=0)[at[1]] + 4 * X.std(axis=0)[at[1]]
    detector = AutoencoderOutlierDetector(random_state=0, missing="mask", max_iter=40).fit(with_holes(X))
    gaps = rng.random((300, 8)) < rng.choice([0.0, 0.5], size=(300, 1))
    fresh[gaps] = np.nan
    keep = strange[at].copy()
    strange[gaps] = np.nan
    strange[at] = keep
    scores = detector.score_samples(np.vstack([fresh, strange]))
    assert roc_auc_score(np.arange(600) < 300, scores) > 0.9
    full, part = scores[:300][~gaps.any(axis=1)], scores[:300][gaps.sum(axis=1) >= 3]
    assert 0.4 < np.median(part) / np.median(full) < 2.5


def test_a_column_that_is_always_missing_changes_nothing(holes):
    reference = fit(holes, missing="mask")
    X = np.insert(holes, 2, np.nan, axis=1)
    detector = fit(X, missing="mask")
    assert_array_equal(detector.training_scores_, reference.training_scores_)
    assert np.isnan(detector.mean_[2])
    X[:, 2] = np.arange(len(X))  # values that turn up later have no part either
    assert_array_equal(detector.score_samples(X), reference.training_scores_)
    contributions = detector.feature_contributions(X)
    assert (contributions[:, 2] == 0).all()
    assert_array_equal(np.delete(contributions, 2, axis=1), reference.feature_contributions(holes))
    predictor = detector.predictor()
    assert_array_equal(predictor.feature_contributions(X), contributions)
    with pytest.raises(ValueError, match="every entry is missing"):
        fit(np.full((20, 3), np.nan), missing="mask")


def test_sparse_rows_with_missing_values_give_the_bits_of_dense_ones():
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((300, 20)) < 0.3, rng.poisson(3.0, (300, 20)), 0).astype(np.float64)
    dense[rng.random(dense.shape) < 0.1] = np.nan
    weights = rng.integers(0, 4, 300)
    rows, columns = np.nonzero((dense != 0) | np.isnan(dense))
    sparse = sp.csr_array((dense[rows, columns], (rows, columns)), shape=dense.shape)
    assert np.isnan(sparse.data).any()
    for kind in (sparse, sp.csc_array(sparse)):
        a, b = fit(dense, weights, missing="mask"), fit(kind, weights, missing="mask")
        assert_array_equal(a.mean_, b.mean_)
        assert_array_equal(a.scale_, b.scale_)
        assert_array_equal(a.training_scores_, b.training_scores_)
        assert_array_equal(a.feature_contributions(dense), b.feature_contributions(kind))
        assert_array_equal(b.predictor().score_samples(kind), a.score_samples(dense))


def test_moments_of_what_is_there(X):
    rng = np.random.default_rng(0)
    weights = rng.integers(1, 5, 300).astype(float)
    values = np.where(rng.random(X.shape) < 0.3, 0.0, with_holes(X))
    values[:, 3] = 7.25  # constant, whatever the weights
    repeated = np.repeat(values, weights.astype(int), axis=0)
    mean, deviation = moments(values, weights)
    assert_allclose(mean, np.nanmean(repeated, axis=0), rtol=1e-12)
    assert_allclose(deviation, np.nanstd(repeated, axis=0), rtol=1e-12, atol=1e-14)
    for one, other in zip(moments(sp.csr_array(np.nan_to_num(X)), weights), moments(X, weights), strict=True):
        assert_array_equal(one, other)


# ---- weights ----


def test_equal_weights_are_none(X):
    plain, weighted, thrice = fit(X), fit(X, np.ones(300)), fit(X, np.full(300, 3.0))
    assert_array_equal(plain.training_scores_, weighted.training_scores_)
    assert plain.offset_ == weighted.offset_
    assert_allclose(plain.training_scores_, thrice.training_scores_, rtol=1e-6)
    assert_array_equal(weighted.p_values(X), plain.p_values(X))


def test_a_row_without_weight_is_not_there_and_has_a_score(X):
    wild = np.vstack([X, 1e3 * X[:40]])
    weights = np.r_[np.ones(300), np.zeros(40)]
    alone, beside = fit(X), fit(wild, weights)
    assert_array_equal(beside.mean_, alone.mean_)
    assert_array_equal(beside.training_scores_[:300], alone.training_scores_)
    assert beside.offset_ == alone.offset_
    assert beside.calibrate(contamination=0.1).offset_ == alone.calibrate(contamination=0.1).offset_
    beside.calibrate(), alone.calibrate()
    assert_array_equal(beside.predict(wild[300:]), -1)
    assert_array_equal(beside.p_values(table(50, seed=1)), alone.p_values(table(50, seed=1)))
    assert max(rows.max() for rows in beside.estimators_samples_) < 300
    assert_array_equal(beside._landmarks.rows, alone._landmarks.rows)
    # The same where their values are missing.
    wild[300:] = np.nan
    assert_array_equal(
        fit(wild, weights, missing="mask").training_scores_[:300],
        fit(X, missing="mask").training_scores_,
    )


def test_heavy_rows_are_the_ordinary_ones():
    """Two kinds of rows: whichever has the weight is learned."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(200, 1)) * np.ones(6) + 0.1 * rng.normal(size=(200, 6))
    b = rng.normal(size=(200, 1)) * np.array([1, -1, 1, -1, 1, -1]) + 0.1 * rng.normal(size=(200, 6))
    X, first = np.vstack([a, b]), np.arange(400) < 200
    for heavy in (first, ~first):
        weights = np.where(heavy, 1.0, 0.01)
        detector = AutoencoderOutlierDetector(1, random_state=0, contamination=0.01, max_iter=40).fit(
            X, sample_weight=weights
        )
        assert roc_auc_score(heavy, detector.training_scores_) > 0.85
        flagged = detector.predict(X) == -1
        assert weights[flagged].sum() / weights.sum() == pytest.approx(0.01, abs=0.005)
        assert flagged[~heavy].sum() > 50


def test_order_statistics_are_those_of_repeated_values():
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 10, 41):
        values, times = rng.normal(size=n), rng.integers(1, 6, n)
        repeated = np.repeat(values, times)
        weights = times.astype(float)
        assert median(values, weights) == np.median(repeated)
        how = "linear" if len(set(times)) == 1 else "inverted_cdf"
        low, high = np.quantile(repeated if how != "linear" else values, (0.25, 0.75), method=how)
        assert fence(values, weights) == low - 1.5 * (high - low)
        for share in (0.01, 0.1, 0.3, 0.5):
            below = (repeated < offset(values, share, weights)).sum()
            # No cut between distinct values comes nearer.
            counts = np.concatenate([[0], np.cumsum(times[np.argsort(values)])])[:-1]
            assert abs(below - share * len(repeated)) == np.abs(counts - share * len(repeated)).min()
            assert offset(values, share, np.ones(n)) == offset(values, share)


def test_weights_are_checked(X):
    with pytest.raises(ValueError, match="weight"):
        fit(X, np.zeros(300))
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        fit(X, np.full(300, -1.0))
    with pytest.raises(ValueError, match=r"sample_weight.shape|inconsistent|shape"):
        fit(X, np.ones(5))


# ---- the predictor ----


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("n_estimators", [1, 4, 5, 21])
def test_predictors_have_the_bits_of_the_detector(X, precision, n_estimators):
    detector = fit(X, n_estimators=n_estimators, precision=precision, max_iter=2)
    predictor = pickle.loads(pickle.dumps(detector.predictor()))
    fresh = np.vstack([table(100, seed=1), 100 * table(5, seed=2)])
    for name in ("score_samples", "decision_function", "predict", "feature_contributions"):
        ours, theirs = getattr(predictor, name), getattr(detector, name)(fresh)
        assert_array_equal(ours(fresh), theirs)
        assert ours(fresh).dtype == theirs.dtype
        for i in range(0, 105, 13):
            assert_array_equal(ours(fresh[i]), theirs[i])
            assert_array_equal(ours(fresh[i].tolist()), theirs[i])
        assert_array_equal(ours(fresh[::-1]), theirs[::-1])
        assert_array_equal(ours(sp.csr_array(fresh)), theirs)
        assert_array_equal(ours(np.asfortranarray(fresh)), theirs)
    assert isinstance(predictor.score_samples(fresh[0]), float)
    assert isinstance(predictor.predict(fresh[0]), int)
    assert_array_equal(detector.predictor(n_jobs=3).score_samples(fresh), detector.score_samples(fresh))
    assert repr(predictor) == f"OutlierPredictor(8 features, {n_estimators} members)"


def test_predictors_score_in_blocks(X, monkeypatch):
    from autoenc import _outlier_scores

    detector = fit(X)
    expected = detector.score_samples(X)
    monkeypatch.setattr(_outlier_scores, "_VALUES_AT_ONCE", 4 * 8 * 7)
    assert_array_equal(detector.predictor().score_samples(X), expected)


@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("neighbor_weight", [0.0, 1.0])
def test_predictors_take_many_rows_as_the_detector_does(X, holes, monkeypatch, n_jobs, neighbor_weight):
    """One network of all members for few rows, one of each for many."""
    from autoenc import _outlier_scores, _row_blocks

    detector = fit(holes, missing="mask", neighbor_weight=neighbor_weight)
    expected = detector.feature_contributions(holes)
    few = detector.predictor(n_jobs=n_jobs)
    assert_array_equal(few.feature_contributions(holes), expected)
    assert few._single is None
    monkeypatch.setattr(_outlier_scores, "_VALUES_AT_ONCE", 1)
    monkeypatch.setattr(_row_blocks, "ROWS_AT_ONCE", 70)
    many = detector.predictor(n_jobs=n_jobs)
    for kind in (holes, sp.csr_array(np.where(holes == 0, 0, holes))):
        assert_array_equal(many.feature_contributions(kind), expected)
    assert len(many._single) == len(detector.estimators_)
    assert_array_equal(pickle.loads(pickle.dumps(many)).feature_contributions(holes), expected)


def test_predictors_of_incomplete_rows(holes):
    detector = fit(holes, missing="mask")
    predictor = detector.predictor()
    assert_array_equal(predictor.score_samples(holes), detector.score_samples(holes))
    assert_array_equal(predictor.feature_contributions(holes[5]), detector.feature_contributions(holes)[5])
    assert predictor.score_samples(holes[3]) == 0


def test_a_predictor_is_of_the_moment(X):
    detector = fit(X)
    predictor = detector.predictor()
    before = predictor.offset
    detector.calibrate(contamination=0.3)
    assert predictor.offset == before != detector.offset_
    assert detector.predictor().offset == detector.offset_


def test_errors_of_predictors(X, holes):
    predictor = fit(X).predictor()
    with pytest.raises(ValueError, match="X has 3 features, but 8 are expected"):
        predictor.score_samples(X[:, :3])
    with pytest.raises(ValueError, match="NaN at row 0"):
        predictor.score_samples(holes)
    with pytest.raises(ValueError, match="infinity"):
        predictor.predict(np.full(8, np.inf))
    with pytest.raises(ValueError, match="format 99"):
        type(predictor).__new__(type(predictor)).__setstate__({"format": 99})


def test_moments_do_not_depend_on_blocks(X, monkeypatch):
    from autoenc import _row_blocks

    weights = np.random.default_rng(0).random(300)
    sparse = sp.csr_array(np.where(X.mean(axis=0) < X, X, 0.0))
    whole = [moments(data, w) for data in (X, with_holes(X), sparse) for w in (None, weights)]
    monkeypatch.setattr(_row_blocks, "ROWS_AT_ONCE", 7)
    parts = [moments(data, w) for data in (X, with_holes(X), sparse) for w in (None, weights)]
    for one, other in zip(whole, parts, strict=True):
        assert_array_equal(one, other)


def test_fit_predict(X):
    weights = np.random.default_rng(0).random(300)
    for given in ({}, {"sample_weight": weights}):
        detector = AutoencoderOutlierDetector(**SMALL, contamination=0.1)
        assert_array_equal(detector.fit_predict(X, **given), detector.predict(X))
        assert (detector.predict(X) == -1).any()


def test_few_rows_are_refused_or_warned_of():
    X, weight = np.random.default_rng(0).normal(size=(10, 3)), np.zeros(10)
    detector = AutoencoderOutlierDetector(n_estimators=2, max_iter=1, random_state=0)
    with pytest.raises(ValueError, match="X has 1 sample, which is compared with nothing"):
        detector.fit(X[:1])
    weight[:1] = 1.0
    with pytest.raises(ValueError, match="X has 1 sample of positive weight"):
        detector.fit(X, sample_weight=weight)
    with pytest.warns(UserWarning, match="X has 9 samples: scores, and the threshold offset_, mean little"):
        detector.fit(X[:9])
    weight[:2] = 1.0
    with pytest.warns(UserWarning, match="X has 2 samples of positive weight"):
        detector.fit(X, sample_weight=weight)
    detector.fit(X)  # without a word
