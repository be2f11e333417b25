"""Every estimator of the package: which inputs it takes, alone and together, and that bits depend on nothing else.

`TAKES` is the table of ``docs/inputs.md``.
"""

import inspect
import itertools
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_digits

import autoenc

N, D = 48, 6
ARGUMENTS = ("sample_weight", "condition", "X_clean", "X_val", "NaN", "CSR")
QUICK = {"max_iter": 3, "hidden_layer_sizes": (8,), "random_state": 0}
ALL, NO_PAIRS = set(ARGUMENTS), {"sample_weight", "NaN", "CSR"}
TAKES = {
    "Autoencoder": ALL,
    "SparseAutoencoder": ALL,
    "DenoisingAutoencoder": ALL,
    "ContractiveAutoencoder": ALL,
    "VariationalAutoencoder": ALL,
    "VectorQuantizedAutoencoder": ALL,
    "HashingAutoencoder": ALL,
    "MarginalizedDenoisingAutoencoder": {"sample_weight", "CSR"},
    "AutoencoderClassifier": ALL,
    "AutoencoderRegressor": ALL,
    "AutoencoderImputer": NO_PAIRS,
    "AutoencoderOutlierDetector": NO_PAIRS,
}
PARAMETERS = {
    "SparseAutoencoder": {"n_components": 10, "k": 3},
    "ContractiveAutoencoder": {"n_components": 3, "tied_weights": False},
    "VectorQuantizedAutoencoder": {"n_components": 4, "n_codes": 6, "n_codebooks": 2},
    "HashingAutoencoder": {"n_bits": 12},
    "AutoencoderClassifier": {"n_components": 4, "fine_tune_max_iter": 3},
    "AutoencoderRegressor": {"n_components": 4, "fine_tune_max_iter": 3},
    "AutoencoderImputer": {"n_components": 4},
    "AutoencoderOutlierDetector": {"n_estimators": 3},
}
# What a row alone answers for, where an estimator has it.
METHODS = (
    "transform",
    "reconstruct",
    "score_samples",
    "feature_errors",
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "feature_contributions",
    "p_values",
    "hash",
    "encode_indices",
    "elbo",
)
ESTIMATORS = pytest.mark.parametrize("name", sorted(TAKES))


def takers(argument):
    return pytest.mark.parametrize("name", sorted(name for name, takes in TAKES.items() if argument in takes))


def make(name, **parameters):
    kind = getattr(autoenc, name)
    known = inspect.signature(kind).parameters
    parameters = {**QUICK, "n_components": 2, **PARAMETERS.get(name, {}), **parameters}
    return kind(**{key: value for key, value in parameters.items() if key in known})


def outputs(model, X, *, clean=None, methods=METHODS, **condition):
    """Answers of every method by its name."""
    out = {}
    for method in methods:
        if not hasattr(model, method):
            continue
        compares = method in ("score_samples", "feature_errors", "elbo") and clean is not None
        values = getattr(model, method)(X, **condition, **({"X_clean": clean} if compares else {}))
        out[method] = values.toarray() if sp.issparse(values) else values
    assert out
    return out


def assert_same(a, b):
    assert a.keys() == b.keys()
    for method, values in a.items():
        assert_array_equal(values, b[method], err_msg=method)


def assert_finite(model, answers):
    for method, values in answers.items():
        # Variances and entries that are learned may be anything, but numbers.
        assert np.isfinite(values).all(), (type(model).__name__, method)


@pytest.fixture(scope="module")
def X():
    """Whole numbers, which every type holds, a third of them zero."""
    rng = np.random.default_rng(0)
    return np.where(rng.random((N, D)) < 0.33, 0, rng.integers(0, 10, (N, D))).astype(np.float32)


@pytest.fixture(scope="module")
def y():
    return np.random.default_rng(1).integers(0, 2, N)


def sparse_of(X):
    rows, columns = np.nonzero((X != 0) | np.isnan(X))
    return sp.csr_array((X[rows, columns], (rows, columns)), shape=X.shape)


def test_the_table_has_every_estimator():
    public = {
        name
        for name in autoenc.__all__
        if inspect.isclass(getattr(autoenc, name)) and issubclass(getattr(autoenc, name), BaseEstimator)
    }
    assert public == set(TAKES)


def test_the_table_of_the_documentation(checkout):
    lines = (checkout / "docs" / "inputs.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    head, body = rows[0], rows[2:]
    found = {row[0].strip("`"): dict(zip(head[1:], row[1:], strict=True)) for row in body}
    assert set(found) == set(TAKES)
    for name, cells in found.items():
        taken = {
            argument
            for argument in ARGUMENTS
            if cells[f"`{argument}`" if "_" in argument or argument == "condition" else argument].startswith("yes")
        }
        assert taken == TAKES[name], name
        model = make(name, n_layers=1)
        assert (cells["`partial_fit`"] == "yes") == hasattr(model, "partial_fit"), name
        assert (cells["`predictor()`"] != "no") == hasattr(model, "predictor"), name


# ---- arguments ----


@ESTIMATORS
def test_arguments_together(name, X, y):
    """Every subset of what it takes: it can be fitted and asked, and sparse rows have the bits of dense ones."""
    rng = np.random.default_rng(2)
    weight, labels, clean = rng.random(N) + 0.1, np.array(["a", "b", "c"])[rng.integers(0, 3, N)], X[:, :3] / 2
    holes = np.where(rng.random(X.shape) < 0.2, np.nan, X)
    takes = sorted(TAKES[name] - {"CSR"})
    for size in range(len(takes) + 1):
        for chosen in itertools.combinations(takes, size):
            model = make(name, **({"missing": "mask"} if "NaN" in chosen else {}))
            rows = holes if "NaN" in chosen else X
            condition = {"condition": labels} if "condition" in chosen else {}
            target = clean if "X_clean" in chosen else None
            answers = []
            for kind in (np.asarray, sparse_of):
                given = dict(condition)
                if "sample_weight" in chosen:
                    given["sample_weight"] = weight
                if target is not None:
                    given["X_clean"] = target
                if "X_val" in chosen:
                    parts = (
                        kind(rows)[:9],
                        *([target[:9]] if target is not None else []),
                        *([labels[:9]] if condition else []),
                    )
                    given["X_val"] = parts if len(parts) > 1 else parts[0]
                fitted = clone(model).fit(kind(rows), y, **given)
                answers.append(outputs(fitted, kind(rows), clean=target, **condition))
                assert hasattr(fitted, "validation_loss_curve_") == ("X_val" in chosen)
                assert hasattr(fitted, "condition_categories_") == ("condition" in chosen)
                if target is not None:
                    assert fitted.reconstruct(kind(rows), **condition).shape == target.shape
            assert_finite(model, answers[0])
            assert_same(*answers)


@ESTIMATORS
def test_arguments_that_have_no_place_are_refused_with_the_reason(name, X, y):
    given = {"sample_weight": np.ones(N), "condition": X[:, :2], "X_clean": X, "X_val": X[:5]}
    model = make(name)
    for argument in given.keys() - TAKES[name]:
        with pytest.raises(TypeError, match=rf"{name}\.fit\(\) takes no {argument}: \w+ \w+"):
            model.fit(X, y, **{argument: given[argument]})
        model.fit(X, y, **{argument: None})
    with pytest.raises(TypeError, match="unexpected keyword argument 'weights'"):
        model.fit(X, y, weights=np.ones(N))
    if "NaN" not in TAKES[name]:
        with pytest.raises(ValueError, match="X contains NaN at row 0, column 0; every value must be finite"):
            model.fit(np.where(X[0, 0] == X, np.nan, X), y)


@ESTIMATORS
def test_equal_weights_are_none_and_others_are_felt(name, X, y):
    plain = make(name).fit(X, y)
    for weight in (np.ones(N), np.full(N, 2.0)):
        if name == "MarginalizedDenoisingAutoencoder" and weight[0] != 1.0:
            continue  # a weight of two is a row that is there twice, and alpha stays
        assert_same(
            outputs(plain, X, methods=("transform", "predict", "score_samples")),
            outputs(make(name).fit(X, y, sample_weight=weight), X, methods=("transform", "predict", "score_samples")),
        )
    heavy = make(name).fit(X, y, sample_weight=np.where(np.arange(N) < 10, 50.0, 0.1))
    method = "score_samples" if hasattr(heavy, "score_samples") else "transform"
    rows = X if method == "score_samples" else np.where(np.arange(D) == 1, np.nan, X)
    assert (getattr(heavy, method)(rows) != getattr(plain, method)(rows)).any()
    for bad in (np.zeros(N), -np.ones(N), np.full(N, np.nan), np.ones(N - 1)):
        with pytest.raises(ValueError, match=r"[Ww]eight"):
            make(name).fit(X, y, sample_weight=bad)


@pytest.mark.parametrize(
    "name", sorted(TAKES.keys() - {"AutoencoderImputer", "HashingAutoencoder", "VectorQuantizedAutoencoder"})
)
def test_rows_of_weight_are_restored_better(name):
    """Two kinds of rows that a code of one number cannot both hold (the imputer's test is in test_imputer.py)."""
    rng = np.random.default_rng(0)
    kinds = [rng.normal(size=(100, 1)) * rng.normal(size=(1, D)) for _ in range(2)]
    X, first = np.vstack(kinds).astype(np.float32), np.arange(200) < 100
    more = {"n_components": 1, "max_iter": 40, "hidden_layer_sizes": (), "fine_tune_max_iter": 1}
    more |= {"k": 1, "reconstruction_weight": 1.0} | ({"n_layers": 1} if "Marginalized" in name else {})
    if name == "AutoencoderOutlierDetector":
        more["hidden_layer_sizes"] = (8,)
    gaps = []
    for heavy in (first, ~first):
        model = make(name, **more).fit(X, first, sample_weight=np.where(heavy, 1.0, 1e-3))
        scores = model.score_samples(X)
        gaps.append(scores[first].mean() - scores[~first].mean())
    assert gaps[0] > gaps[1]


@takers("condition")
def test_a_condition_changes_what_comes_out(name, X, y):
    labels = np.array(["a", "b"])[np.arange(N) % 2]
    model = make(name, max_iter=30).fit(X, y, condition=labels)
    for method in METHODS:
        if not hasattr(model, method) or method == "p_values":
            continue
        one, other = (getattr(model, method)(X, condition=c) for c in (labels, labels[::-1]))
        if method not in ("predict", "hash", "encode_indices", "transform"):  # these may be the same for all rows
            assert (one != other).any(), method
        with pytest.raises(ValueError, match="called without condition"):
            getattr(model, method)(X)
    with pytest.raises(ValueError, match="called with condition, but the fit had none"):
        make(name).fit(X, y).transform(X, condition=labels)


@takers("X_val")
def test_validation_rows_choose_the_epoch(name, X, y):
    model = make(name, max_iter=8).fit(X, y, X_val=X[:9])
    assert len(model.validation_loss_curve_) == 8
    assert model.best_loss_ == min(model.validation_loss_curve_)


@takers("NaN")
def test_missing_values(name, X, y):
    holes = np.where(np.random.default_rng(3).random(X.shape) < 0.2, np.nan, X)
    imputes = name == "AutoencoderImputer"
    if not imputes:
        with pytest.raises(ValueError, match=r"X contains NaN at row \d, column \d; .*missing='mask' allows NaN"):
            make(name).fit(holes, y)
        plain, masked = make(name).fit(X, y), make(name, missing="mask").fit(X, y)
        assert_same(outputs(plain, X), outputs(masked, X))
        assert not plain.__sklearn_tags__().input_tags.allow_nan
    model = make(name, missing="mask").fit(holes, y)
    assert model.__sklearn_tags__().input_tags.allow_nan
    assert_finite(model, outputs(model, holes))
    # What stands where a value is missing does not matter: another NaN is the same.
    other = holes.copy()
    other[np.isnan(other)] = np.frombuffer(np.uint32(0xFFC00123).tobytes(), np.float32)[0]
    assert_same(outputs(model, holes), outputs(model, other))


# ---- data of every kind ----


def kinds_of_data(X, folder):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    np.save(folder / "X.npy", X)
    readonly = X.copy()
    readonly.flags.writeable = False
    strided = np.zeros((2 * N, 3 * D), X.dtype)
    strided[::2, ::3] = X
    names = [f"c{i}" for i in range(D)]
    return {
        "float64": X.astype(np.float64),
        "uint8": X.astype(np.uint8),
        "int64": X.astype(np.int64),
        "float16": X.astype(np.float16),
        "big-endian": X.astype(">f4"),
        "fortran": np.asfortranarray(X),
        "strided": strided[::2, ::3],
        "read-only": readonly,
        "memory map": np.load(folder / "X.npy", mmap_mode="r"),
        "list": X.tolist(),
        "pandas": pandas.DataFrame(X, columns=names),
        "polars": polars.DataFrame(X, schema=names),
        "csr": sp.csr_array(X),
        "csr64": sp.csr_matrix((X[X != 0], np.nonzero(X)[1].astype(np.int64), np.r_[0, (X != 0).sum(1).cumsum()])),
        "csc": sp.csc_matrix(X),
    }


@ESTIMATORS
def test_data_of_every_kind(name, X, y, tmp_path):
    reference = outputs(make(name).fit(X, y), X)
    before = X.copy()
    for kind, data in kinds_of_data(X, tmp_path).items():
        found = outputs(make(name).fit(data, y), data)
        for method, values in found.items():
            # Answers have the type of the data, and logarithms of float64 are those of the float64 logits.
            close = assert_allclose if method == "predict_log_proba" else assert_array_equal
            single = values.astype(np.float32), reference[method].astype(np.float32)
            close(*single, err_msg=f"{kind} {method}", **({"rtol": 1e-6} if close is assert_allclose else {}))
    assert_array_equal(X, before)


# ---- bits ----


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X[:300] / 16).astype(np.float32), y[:300]


def large(name, **parameters):
    """Wide enough for several threads."""
    return make(name, hidden_layer_sizes=(96,), batch_size=50, **parameters)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@ESTIMATORS
def test_same_bits_for_any_number_of_threads(name, precision, digits):
    X, y = digits
    answers = []
    for n_jobs in (1, 2, 3, 8):
        model = large(name, n_jobs=n_jobs, precision=precision).fit(X, y)
        learned = {key: value for key, value in vars(model).items() if key in ("coefs_", "intercepts_", "loss_curve_")}
        answers.append((outputs(model, X), learned))
    for other, learned in answers[1:]:
        assert_same(answers[0][0], other)
        assert pickle.dumps(learned) == pickle.dumps(answers[0][1])


@pytest.mark.parametrize(
    ("name", "missing"),
    [(name, missing) for name in sorted(TAKES) for missing in (False, True)[: 1 + ("NaN" in TAKES[name])]],
)
def test_a_row_is_alone_in_any_company(name, missing, digits):
    """The same on every call, in any batch split, in any order of rows, after a pickle, and by the predictor."""
    X, y = digits
    if missing:
        X = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X).astype(np.float32)
    model = large(name, **({"missing": "mask"} if missing else {})).fit(X, y)
    whole = outputs(model, X)
    order = np.random.default_rng(1).permutation(len(X))
    back = np.argsort(order)
    for method, values in whole.items():
        call = getattr(model, method)
        assert_array_equal(call(X), values, err_msg=method)
        assert_array_equal(call(X[order])[back], values, err_msg=method)
        assert_array_equal(getattr(pickle.loads(pickle.dumps(model)), method)(X), values, err_msg=method)
        for size in (1, 7, 97):
            last = 40 if size == 1 else len(X)
            parts = [call(X[i : i + size]) for i in range(0, last, size)]
            assert_array_equal(np.concatenate(parts), values[:last], err_msg=f"{method} by {size}")
    if not hasattr(model, "predictor"):
        return
    predictor = pickle.loads(pickle.dumps(model.predictor()))
    for method in whole.keys() & set(dir(predictor)):
        call = getattr(predictor, method)
        assert_array_equal(call(X), whole[method], err_msg=method)
        assert_array_equal([call(row) for row in X[:20]], whole[method][:20], err_msg=method)
