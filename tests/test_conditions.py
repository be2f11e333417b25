"""Labels as conditions: the same as one-hot columns by hand, in every method, with the categories of the fit."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

import autoenc
from autoenc import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderRegressor,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    HashingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
    VectorQuantizedAutoencoder,
)
from autoenc.sparsity import BatchTopK, Matryoshka, TopK

N, D = 60, 6
NAMES = np.array(["red", "green", "blue"])
COMMON = {"max_iter": 3, "hidden_layer_sizes": (8,), "random_state": 0}
MODELS = [
    Autoencoder(2, **COMMON),
    Autoencoder(2, solver="lbfgs", precision="float64", **COMMON),
    SparseAutoencoder(6, k=2, **COMMON),
    SparseAutoencoder(6, max_iter=3, random_state=0),  # dead latents are revived
    SparseAutoencoder(6, sparsity=BatchTopK(2, aux_k=3), max_iter=3, random_state=0),
    SparseAutoencoder(6, sparsity=Matryoshka((2, 4), sparsity=TopK(2)), **COMMON),
    DenoisingAutoencoder(2, **COMMON),
    ContractiveAutoencoder(2, tied_weights=False, **COMMON),
    VariationalAutoencoder(2, **COMMON),
    VariationalAutoencoder(2, prior="vamp", n_prior_components=4, **COMMON),
    VectorQuantizedAutoencoder(4, n_codes=8, **COMMON),
    HashingAutoencoder(8, **COMMON),
    AutoencoderClassifier(4, fine_tune_max_iter=3, **COMMON),
    AutoencoderRegressor(4, fine_tune_max_iter=3, **COMMON),
]
pytestmark = pytest.mark.filterwarnings("ignore:lbfgs has not converged")


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).random((N, D)).astype(np.float32)


@pytest.fixture(scope="module")
def at():
    return np.random.default_rng(1).integers(0, 3, N)


@pytest.fixture(scope="module")
def y():
    return np.random.default_rng(2).integers(0, 2, N)


def small(**parameters):
    return Autoencoder(2, **{**COMMON, **parameters})


def methods(model, X, y):
    """Each method that takes a condition, as a function of it."""
    out = {
        name: lambda c, name=name: getattr(model, name)(X, condition=c)
        for name in (
            "transform",
            "reconstruct",
            "score_samples",
            "feature_errors",
            "predict",
            "predict_proba",
            "predict_log_proba",
            "hash",
            "encode_indices",
            "encode_distribution",
            "elbo",
        )
        if hasattr(model, name)
    }
    codes = model.transform(X, condition=np.eye(3)[np.zeros(N, int)])
    out["inverse_transform"] = lambda c: model.inverse_transform(codes, condition=c)
    out["score"] = lambda c: model.score(X, y, condition=c)
    out["predictor"] = lambda c: model.predictor()(X, condition=c)
    out["predictor's scores"] = lambda c: model.predictor().score_samples(X, condition=c)
    if hasattr(model, "sample"):
        out["sample"] = lambda c: model.sample(N, 0, condition=c)
        out["log_likelihood"] = lambda c: model.log_likelihood(X, n_samples=3, condition=c)
    if hasattr(model, "kneighbors"):
        out["kneighbors"] = lambda c: model.kneighbors(X, 3, condition=c)
        out["index"] = lambda c: model.index(X, condition=c).hashes_
    return out


def test_samples_have_a_condition_each_or_one_for_all(X, at):
    model = VariationalAutoencoder(2, hidden_layer_sizes=(8,), max_iter=2, random_state=0).fit(X, condition=NAMES[at])
    assert_array_equal(model.sample(4, 0, condition="red"), model.sample(4, 0, condition=["red"] * 4))
    for wrong in (["red"] * 3, NAMES[at][:3], np.eye(3)):
        with pytest.raises(ValueError, match="condition has 3 rows and n_samples is 4; they must be as many"):
            model.sample(4, 0, condition=wrong)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_labels_are_one_hot_columns(model, X, y, at):
    columns = (NAMES[at][:, None] == np.sort(NAMES)).astype(np.float32)
    by_label = clone(model).fit(X, y, condition=NAMES[at])
    by_hand = clone(model).fit(X, y, condition=columns)
    assert_array_equal(by_label.condition_categories_, np.sort(NAMES))
    assert not hasattr(by_hand, "condition_categories_")
    for one, other in zip(by_label.coefs_, by_hand.coefs_, strict=True):
        assert_array_equal(one, other)
    fresh = NAMES[np.roll(at, 1)]
    by_name, by_column = methods(by_label, X, y), methods(by_hand, X, y)
    assert len(by_name) >= 8
    for name, method in by_name.items():
        columns = (fresh[:, None] == np.sort(NAMES)).astype(np.float64)
        assert_array_equal(method(fresh), by_column[name](columns), err_msg=name)
        assert_array_equal(method(columns), by_column[name](columns), err_msg=name)
        with pytest.raises(ValueError, match="labels that the fit had not: 'violet'; allowed are 'blue', 'green',"):
            method(np.where(np.arange(N) == 7, "violet", fresh))
        with pytest.raises(ValueError, match="has labels, and the fit had none"):
            by_column[name](fresh)
    assert_array_equal(
        clone(model).fit_transform(X, y, condition=NAMES[at]), by_label.transform(X, condition=NAMES[at])
    )


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_validation_rows_have_labels_too(model, X, y, at):
    labels, numbers = NAMES[at], (NAMES[at][:, None] == np.sort(NAMES)).astype(float)
    one = clone(model).fit(X, y, condition=labels, X_val=(X[:9], labels[:9]))
    other = clone(model).fit(X, y, condition=numbers, X_val=(X[:9], numbers[:9]))
    assert_array_equal(one.validation_loss_curve_, other.validation_loss_curve_)
    with pytest.raises(ValueError, match="the condition of X_val has labels that the fit had not: 'violet'"):
        clone(model).fit(X, y, condition=labels, X_val=(X[:2], ["red", "violet"]))


@pytest.mark.parametrize(
    "make",
    [
        lambda at: at,
        lambda at: at.astype(np.uint8),
        lambda at: at.astype(object),
        lambda at: at.tolist(),
        lambda at: NAMES[at],
        lambda at: NAMES[at].tolist(),
        lambda at: NAMES[at].astype(object),
        lambda at: NAMES[at].astype("S"),
        lambda at: at > 0,
        lambda at: pytest.importorskip("pandas").Series(NAMES[at]),
        lambda at: pytest.importorskip("pandas").Series(NAMES[at], dtype="string"),
        lambda at: pytest.importorskip("pandas").Series(at, dtype="Int64"),
        lambda at: pytest.importorskip("pandas").Categorical(NAMES[at]),
        lambda at: pytest.importorskip("polars").Series(NAMES[at].tolist()),
    ],
)
def test_labels_of_every_type(X, at, make):
    labels = make(at)
    model = small().fit(X, condition=labels)
    values = np.asarray(labels)
    found = np.unique(values.astype(object))
    assert model.condition_categories_.tolist() == found.tolist()
    assert model.condition_categories_.dtype.kind in "iUS"
    columns = (values[:, None] == found[None, :]).astype(float)
    assert_array_equal(model.transform(X, condition=labels), model.transform(X, condition=columns))
    assert_array_equal(model.predictor()(X, condition=labels), model.transform(X, condition=labels))
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.transform(X, condition=labels), model.transform(X, condition=labels))


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (np.arange(N) / 2, r"condition has one dimension and is of type float64.*reshape\(-1, 1\)"),
        ([0.5] * N, "condition has one dimension and is of type float64"),
        (np.full(N, 1j), "of type complex128"),
        (np.zeros(N, "M8[s]"), "of type datetime64"),
        (["red"] * (N - 1) + [None], "labels of type NoneType, str"),
        (["red"] * (N - 1) + [np.nan], "labels of type float, str"),
        (["red"] * (N - 1) + [3], "labels of type int, str"),
        (np.full(N, 2**64 - 1, np.uint64), "allowed are whole numbers that int64 holds"),
        (["red"] * 5, "condition has 5 rows and X has 60"),
        ("red", "condition is 'red', which has no rows"),
    ],
)
def test_what_is_no_label_is_refused(X, condition, message):
    with pytest.raises(ValueError, match=message):
        small().fit(X, condition=condition)
    model = small().fit(X, condition=["red", "blue"] * (N // 2))
    with pytest.raises(ValueError, match=message):
        model.transform(X, condition=condition)
    with pytest.raises(ValueError, match=message):
        model.predictor()(X, condition=condition)


def test_strings_are_not_numbers(X):
    model = small().fit(X, condition=["1", "2"] * (N // 2))
    for call in (model.transform, model.predictor()):
        with pytest.raises(ValueError, match="labels that are whole numbers; those of the fit were strings"):
            call(X, condition=[1, 2] * (N // 2))


def test_one_row_of_a_predictor_has_one_label(X, at):
    model = small().fit(X, condition=NAMES[at])
    predictor = pickle.loads(pickle.dumps(model.predictor()))
    codes, scores = model.transform(X, condition=NAMES[at]), model.score_samples(X, condition=NAMES[at])
    for i in range(5):
        assert_array_equal(predictor(X[i], condition=NAMES[at][i]), codes[i])
        assert predictor.score_samples(X[i], condition=str(NAMES[at][i])) == scores[i]
        assert_array_equal(predictor(X[i], condition=(np.sort(NAMES) == NAMES[at][i]).astype(float)), codes[i])
    with pytest.raises(ValueError, match="'violet'"):
        predictor(X[0], condition="violet")


def test_a_path_has_one_label(X, at):
    model = VariationalAutoencoder(2, **COMMON).fit(X, condition=NAMES[at])
    path = model.interpolate(X[0], X[1], 4, condition="red")
    assert_array_equal(path, model.interpolate(X[0], X[1], 4, condition=[0, 0, 1]))
    assert (path != model.interpolate(X[0], X[1], 4, condition="blue")).any()


def test_categories_stay_while_training_goes_on(X, at):
    passes = small().partial_fit(X, condition=NAMES[at]).partial_fit(X[:2], condition=["red", "red"])
    assert passes.condition_categories_.tolist() == ["blue", "green", "red"]
    with pytest.raises(ValueError, match="'violet'"):
        passes.partial_fit(X[:1], condition=["violet"])
    warm = small(warm_start=True).fit(X, condition=NAMES[at]).fit(X[:4], condition=["red", "red", "green", "red"])
    assert warm.condition_categories_.tolist() == ["blue", "green", "red"]
    with pytest.raises(ValueError, match="'violet'"):
        warm.fit(X[:1], condition=["violet"])
    assert warm.condition_categories_.tolist() == ["blue", "green", "red"]
    with pytest.raises(ValueError, match="has labels, and the fit had none"):
        small(warm_start=True).fit(X).fit(X, condition=NAMES[at])
    # A new fit knows nothing of the one before.
    model = small().fit(X, condition=NAMES[at]).fit(X, condition=at)
    assert model.condition_categories_.tolist() == [0, 1, 2]
    assert not hasattr(model.fit(X), "condition_categories_")


def test_a_failed_fit_keeps_the_categories(X, at):
    model = small().fit(X, condition=NAMES[at])
    with pytest.raises(ValueError, match="infinity"):
        model.fit(np.full_like(X, np.inf), condition=at)
    with pytest.raises(ValueError, match="weight"):
        model.fit(X, condition=at, sample_weight=np.zeros(N))
    assert model.condition_categories_.tolist() == ["blue", "green", "red"]
    model.transform(X, condition=NAMES[at])


# ---- declared categories, names of columns ----


def test_declared_categories_need_not_be_seen(X, at):
    first, second = np.arange(N) < 30, np.arange(N) >= 30
    some = np.where(at == 2, 0, at)  # no "blue" in the first half
    declared = small(condition_categories=["red", "blue", "green"])
    model = clone(declared).partial_fit(X[first], condition=NAMES[some[first]])
    assert model.condition_categories_.tolist() == ["blue", "green", "red"]
    model.partial_fit(X[second], condition=NAMES[at[second]])
    columns = small().partial_fit(X[first], condition=(NAMES[some[first]][:, None] == np.sort(NAMES)).astype("f4"))
    columns.partial_fit(X[second], condition=(NAMES[at[second]][:, None] == np.sort(NAMES)).astype("f4"))
    assert_array_equal(model.coefs_[0], columns.coefs_[0])
    predictor = model.predictor()
    assert_array_equal(predictor(X, condition=NAMES[at]), model.transform(X, condition=NAMES[at]))
    # The same as a fit that has seen them all.
    assert_array_equal(
        clone(declared).fit(X, condition=NAMES[at]).coefs_[0], small().fit(X, condition=NAMES[at]).coefs_[0]
    )
    with pytest.raises(
        ValueError, match="labels that condition_categories had not: 'violet'; allowed are 'blue', 'green"
    ):
        clone(declared).fit(X, condition=["violet"] * N)
    with pytest.raises(ValueError, match="labels that are whole numbers; those of condition_categories were strings"):
        clone(declared).fit(X, condition=at)


@pytest.mark.parametrize("categories", [np.array([2, 0, 1]), (0, 1, 2), [0, 1, 2, 7]])
def test_declared_categories_of_numbers(X, at, categories):
    model = small(condition_categories=categories).fit(X[:5], condition=at[:5])
    assert model.condition_categories_.tolist() == sorted(int(one) for one in categories)


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([], "condition_categories.*"),
        ("red", "condition_categories"),
        (["red", "red", "blue"], "condition_categories has 'red' twice; allowed: each label once"),
        (["red", 1], "condition_categories has labels of type int, str"),
        ([0.5, 1.5], "condition_categories has one dimension and is of type float64"),
        ([["red"]], r"condition_categories is \[\['red'\]\]; allowed are labels, in one dimension"),
    ],
)
def test_declarations_that_say_nothing(X, at, categories, message):
    model = small(condition_categories=categories)
    with pytest.raises(ValueError, match=message):
        model.fit(X, condition=NAMES[at])
    assert not hasattr(model, "condition_categories_")


def test_declarations_against_what_is_given(X, at):
    declared = small(condition_categories=["red", "green", "blue"])
    with pytest.raises(ValueError, match="condition_categories says that condition has labels, and it has columns"):
        declared.fit(X, condition=np.eye(3)[at])
    with pytest.raises(ValueError, match=r"condition_categories=\[.*\] is given, and condition is not"):
        declared.fit(X)
    model = small(warm_start=True).fit(X, condition=NAMES[at])
    model.set_params(condition_categories=["red", "green", "blue"]).fit(X, condition=NAMES[at])
    with pytest.raises(
        ValueError, match="condition_categories has 'red', and the fit that goes on had 'blue', 'green',"
    ):
        model.set_params(condition_categories=["red"]).fit(X, condition=["red"] * N)
    with pytest.raises(ValueError, match="the fit that goes on had none"):
        small(warm_start=True).fit(X).set_params(condition_categories=["red"]).fit(X, condition=["red"] * N)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_names_of_columns_are_those_of_the_fit(X, at, library, tmp_path):
    DataFrame = pytest.importorskip(library).DataFrame
    frame = DataFrame({"age": np.arange(N) / N, "income": at / 2})
    values = np.column_stack([np.arange(N) / N, at / 2])
    model = small().fit(X, condition=frame)
    assert model.condition_names_in_.tolist() == ["age", "income"]
    assert_array_equal(
        model.transform(X, condition=frame), small().fit(X, condition=values).transform(X, condition=values)
    )
    swapped = frame[["income", "age"]]
    match = "of condition, the order is another: column 0 is 'income', and in the fit it was 'age'"
    for call in (model.transform, model.score_samples, model.partial_fit):
        with pytest.raises(ValueError, match=match):
            call(X, condition=swapped)
    with pytest.raises(ValueError, match="of the condition of X_val, the order is another: column 0"):
        small().fit(X, condition=frame, X_val=(X, swapped))
    with pytest.warns(UserWarning, match="condition has no names of columns, and that of the fit had some"):
        model.transform(X, condition=values)
    model.save(tmp_path / "model")
    for again in (pickle.loads(pickle.dumps(model)), autoenc.load(tmp_path / "model")):
        assert again.condition_names_in_.tolist() == ["age", "income"]
        assert_array_equal(again.transform(X, condition=frame), model.transform(X, condition=frame))
    for predictor in (model.predictor(), autoenc.load_predictor(tmp_path / "model")):
        assert_array_equal(predictor.transform(X, condition=frame), model.transform(X, condition=frame))
        assert_array_equal(predictor.transform(X, condition=values), model.transform(X, condition=frame))
        match = "of condition, the order is another: column 0 is 'income', and in the fit it was 'age'"
        for call in (predictor.transform, predictor.score_samples, predictor.reconstruct):
            with pytest.raises(ValueError, match=match):
                call(X, condition=swapped)
    with pytest.warns(UserWarning, match="condition has names of columns, and that of the fit had none"):
        small().fit(X, condition=values).transform(X, condition=frame)
    assert not hasattr(model.fit(X, condition=NAMES[at]), "condition_names_in_")


def test_errors_of_columns_name_the_condition(X, at):
    pandas = pytest.importorskip("pandas")
    allowed = "allowed are labels .* in one dimension, or numbers in two"
    texts = pandas.DataFrame({"age": np.arange(N), "city": NAMES[at], "street": NAMES[at].astype(object)})
    for condition, columns in (
        (texts, "'city', 'street'"),
        (texts.to_numpy(), "'1', '2'"),
        (NAMES[at].reshape(-1, 1), "'0'"),
        (NAMES[at].reshape(-1, 1).tolist(), "'0'"),
    ):
        with pytest.raises(
            ValueError, match=f"condition has two dimensions and texts in the columns {columns}; {allowed}"
        ):
            small().fit(X, condition=condition)
        if isinstance(condition, np.ndarray) or columns == "'0'":
            model = small().fit(X, condition=np.zeros((N, np.shape(condition)[1])))
            with pytest.raises(ValueError, match=r"condition(: could not convert| is an array of type)"):
                model.predictor()(X, condition=condition)
