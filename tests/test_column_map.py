"""ColumnLoss as users write it: columns by name, position, mask and callable, and every error by name."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from autoenc import Autoencoder, VariationalAutoencoder
from autoenc.corruption import Masking
from autoenc.losses import ColumnLoss
from autoenc.penalties import PredictiveSparse

NAMES = ["age", "height", "smoker", "red", "blue", "green", "visits", "claims"]
COMMON = {"max_iter": 2, "random_state": 0, "hidden_layer_sizes": (8,)}


def table(n=40):
    rng = np.random.default_rng(0)
    numbers, colours = rng.normal(size=(n, 2)), np.eye(3)[rng.integers(3, size=n)]
    return np.column_stack([numbers, rng.integers(2, size=n), colours, rng.poisson(2.0, size=(n, 2))])


@pytest.fixture
def X():
    return table()


@pytest.fixture
def frame(X):
    return pd.DataFrame(X, columns=NAMES)


def fit(X, losses, **settings):
    options = {key: settings.pop(key) for key in ("remainder", "weights") if key in settings}
    return Autoencoder(2, loss=ColumnLoss(losses, **options), **{**COMMON, **settings}).fit(X)


def ranges(model):
    return {r["name"]: (r["loss"], r["columns"]) for r in model._spec["ranges"]}


EXPECTED = {
    "smoker": ("log_loss", [2]),
    "colour": ("categorical", [3, 4, 5]),
    "counts": ("poisson", [6, 7]),
    "remainder": ("squared_error", [0, 1]),
}


@pytest.mark.parametrize(
    ("smoker", "colour", "counts"),
    [
        (2, [3, 4, 5], [6, 7]),
        (-6, (5, 4, 3), [-1, -2]),
        ([2], slice(3, 6), slice(6, None)),
        (np.array([2]), np.arange(3, 6), np.arange(8) >= 6),
        ([i == 2 for i in range(8)], range(3, 6), lambda X: [X.shape[1] - 1, 6]),
        (np.int64(2), slice(-5, -2), slice(-2, None)),
        (np.array(2), {3, 4, 5}, pd.Series([False] * 6 + [True] * 2)),
    ],
)
def test_columns_by_position(X, frame, smoker, colour, counts):
    losses = [("smoker", "log_loss", smoker), ("colour", "categorical", colour), ("counts", "poisson", counts)]
    models = [fit(data, losses) for data in (X, frame, X.tolist(), sp.csr_matrix(X), sp.csc_matrix(X))]
    for model in models:
        assert ranges(model) == EXPECTED
        assert_array_equal(model.coefs_[0], models[0].coefs_[0])
        assert_array_equal(model.score_samples(X) if model is not models[1] else model.score_samples(frame),
                           models[0].score_samples(X))  # fmt: skip


@pytest.mark.parametrize(
    ("smoker", "colour", "counts"),
    [
        ("smoker", ["red", "blue", "green"], ["visits", "claims"]),
        (["smoker"], slice("red", "green"), slice("visits", None)),
        (
            make_column_selector("^smoker$"),
            make_column_selector("red|blue|green"),
            lambda X: [name for name in X.columns if name in ("visits", "claims")],
        ),
        (np.array(["smoker"]), pd.Index(["green", "red", "blue"]), ("claims", "visits")),
    ],
)
def test_columns_by_name(frame, smoker, colour, counts):
    losses = [("smoker", "log_loss", smoker), ("colour", "categorical", colour), ("counts", "poisson", counts)]
    assert ranges(fit(frame, losses)) == EXPECTED
    # Conditions and targets of their own: the names are those of the target.
    pairs = Autoencoder(2, loss=ColumnLoss(losses), **COMMON).fit(frame.to_numpy()[:, :3], X_clean=frame)
    assert ranges(pairs) == EXPECTED


def test_types_and_pipelines():
    rng = np.random.default_rng(0)
    raw = pd.DataFrame({"size": rng.normal(size=60), "colour": rng.choice(["red", "blue"], size=60)})
    encode = ColumnTransformer(
        [("numbers", StandardScaler(), ["size"]), ("kinds", OneHotEncoder(sparse_output=False), ["colour"])]
    ).set_output(transform="pandas")
    loss = ColumnLoss([("colour", "categorical", make_column_selector("^kinds__"))])
    pipe = make_pipeline(encode, Autoencoder(2, loss=loss, **COMMON)).fit(raw)
    assert ranges(pipe[-1]) == {"colour": ("categorical", [1, 2]), "remainder": ("squared_error", [0])}
    assert np.isfinite(pipe.score(raw))
    frame = pd.DataFrame({"a": rng.normal(size=60), "n": rng.poisson(2.0, size=60)})
    by_type = fit(frame, [("counts", "poisson", make_column_selector(dtype_include=int))])
    assert ranges(by_type)["counts"] == ("poisson", [1])


def test_an_empty_range_is_none(X):
    model = fit(X, [("nothing", "poisson", []), ("all", "huber", slice(None))])
    assert ranges(model) == {"all": ("huber", list(range(8)))}
    assert ranges(fit(X, [])) == {"remainder": ("squared_error", list(range(8)))}
    assert ranges(fit(X, [], remainder="log_cosh")) == {"remainder": ("log_cosh", list(range(8)))}


def test_parameters():
    losses = [("counts", "poisson", [6, 7])]
    loss = ColumnLoss(losses, remainder="huber", weights={"counts": 2.0})
    assert loss.get_params() == {"losses": losses, "remainder": "huber", "weights": {"counts": 2.0}}
    assert loss.losses is losses and loss.validate() is loss
    copy = clone(loss)
    assert copy is not loss and copy.get_params() == loss.get_params()
    model = Autoencoder(loss=loss)
    assert model.get_params()["loss__remainder"] == "huber"
    assert clone(model.set_params(loss__remainder=None)).loss.remainder is None
    assert repr(ColumnLoss([])) == "ColumnLoss(losses=[])"
    assert not Autoencoder(loss=ColumnLoss([])).__sklearn_tags__().input_tags.positive_only
    assert model.__sklearn_tags__().input_tags.positive_only
    assert not Autoencoder(loss=ColumnLoss("nonsense", remainder=3)).__sklearn_tags__().input_tags.positive_only


@pytest.mark.parametrize(
    ("losses", "options", "message"),
    [
        ("kind", {}, r"'losses' parameter of ColumnLoss must be an instance of 'list'"),
        ([], {"remainder": 3}, "'remainder' parameter of ColumnLoss"),
        ([], {"weights": 3}, "'weights' parameter of ColumnLoss"),
        ([("a", "huber")], {}, r"losses\[0\] is \('a', 'huber'\); allowed: a tuple"),
        ([(1, "huber", [0])], {}, r"losses\[0\] has the name 1; allowed: different texts"),
        ([("a", "huber", 0), ("a", "huber", 1)], {}, r"losses\[1\] has the name 'a'"),
        ([("remainder", "huber", 0)], {}, r"losses\[0\] has the name 'remainder'"),
        ([("a", "gaussian", 0)], {}, "the loss of 'a' is 'gaussian'; allowed: 'squared_error'"),
        ([("a", "sum", 0)], {}, "the loss of 'a' is 'sum'"),
        ([("a", ["huber"], 0)], {}, r"the loss of 'a' is \['huber'\]"),
        (
            [],
            {"remainder": "drop"},
            r"'remainder' parameter of ColumnLoss must be a str among \{'absolute_error', .*\} or None. Got 'drop'",
        ),
        ([], {"remainder": "None"}, "'remainder' parameter of ColumnLoss .* Got 'None'"),
        ([("a", "huber", 0)], {"weights": {"b": 1.0}}, "weights has 'b'; allowed: 'a', 'remainder'"),
        ([("a", "huber", 0)], {"weights": {"a": 0.0}}, r"weights\['a'\] is 0.0; allowed: finite numbers above 0"),
        ([("a", "huber", 0)], {"weights": {"a": np.inf}}, r"weights\['a'\] is inf"),
        ([("a", "huber", 0)], {"weights": {"a": True}}, r"weights\['a'\] is True"),
    ],
)
def test_what_is_wrong_without_data(X, losses, options, message):
    with pytest.raises(ValueError, match=message):
        ColumnLoss(losses, **options).validate()
    with pytest.raises(ValueError, match=message):
        fit(X, losses, **options)


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        (
            [("a", "huber", [0, 1]), ("b", "poisson", [6, 1])],
            "loss: column 1 is in 'a' and in 'b'; allowed: each column",
        ),
        ([("a", "huber", [0, 1, 0])], "the columns of 'a' have column 0 twice"),
        ([("a", "huber", [0, -8])], "the columns of 'a' have column 0 twice"),
        ([("a", "huber", 8)], "the columns of 'a' have 8; allowed are -8 to 7"),
        ([("a", "huber", [0, -9])], "the columns of 'a' have -9; allowed are -8 to 7"),
        ([("a", "huber", [True, False])], "the columns of 'a' are a mask of 2 entries; there are 8"),
        ([("a", "huber", "age")], "the columns of 'a' are 'age': .* only supported for dataframes"),
        ([("a", "huber", 0.5)], "the columns of 'a' are 0.5"),
        ([("a", "huber", None)], "the columns of 'a' are None"),
        ([("a", "huber", [0, "age"])], "the columns of 'a' are"),
        ([("a", "huber", lambda X: X.columns)], "has no attribute 'columns'"),
    ],
)
def test_columns_that_do_not_fit(X, losses, message):
    with pytest.raises((ValueError, AttributeError), match=message):
        fit(X, losses)


def test_names_that_do_not_fit(X, frame):
    with pytest.raises(
        ValueError, match=r"the columns of 'a' are 'weight': Some column names are not columns .*weight"
    ):
        fit(frame, [("a", "huber", "weight")])
    with pytest.raises(ValueError, match="column 'age' is in 'a' and in 'b'"):
        fit(frame, [("a", "huber", "age"), ("b", "squared_error", slice("age", "height"))])
    with pytest.raises(
        ValueError, match=r"no range has column 'height' \(2 of 8 columns are in none\), and remainder=None"
    ):
        fit(frame, [("a", "huber", NAMES[:1] + NAMES[2:7])], remainder=None)
    model = fit(frame, [("a", "huber", "age")])
    # The names of the fit before stand; that the rows have none is warned of, as in all methods.
    with (
        pytest.warns(UserWarning, match="does not have valid feature names"),
        pytest.raises(ValueError, match="only supported for dataframes"),
    ):
        model.set_params(warm_start=True).fit(X)


def spoiled(X, row, column, value):
    out = X.copy()
    out[row, column] = value
    return out


BAD = [
    (2, 1.5, r"the loss 'log_loss' of 'smoker' needs targets in \[0, 1\], but {} has 1.5 at row 33, column {}; scale"),
    (2, -0.5, "Negative values in data: the loss 'log_loss' of 'smoker'"),
    (7, -2.0, r"Negative values in data: the loss 'poisson' of 'counts' needs targets in \[0, inf\), but {} has -2.0"),
    (4, 2.0, "the loss 'categorical' of 'colour' needs targets in"),
    (4, 0.5, r"the columns of 'colour' \({}\) add up to (0|1).5 in row 33 of {}; the loss 'categorical' needs one"),
]
MAP = [("smoker", "log_loss", 2), ("colour", "categorical", [3, 4, 5]), ("counts", "poisson", [6, 7])]


@pytest.mark.parametrize("to", [np.float32, np.float64, sp.csr_matrix])
@pytest.mark.parametrize(("column", "value", "message"), BAD)
def test_values_that_a_loss_does_not_take(X, column, value, message, to):
    bad = to(spoiled(X, 33, column, value))
    good = to(X)

    def expect(name):
        wanted = message.format("3, 4, 5", name) if "add up" in message else message.format(name, column)
        return pytest.raises(ValueError, match=wanted)

    with expect("X"):
        fit(bad, MAP)
    model = fit(good, MAP)
    for who in (model, model.predictor()):
        with expect("X"):
            who.score_samples(bad)
        with expect("X_clean"):
            who.score_samples(good, X_clean=bad)
    with expect("X"):
        model.feature_errors(bad)
    with expect("X"):
        model.partial_fit(bad)
    with expect("X_clean"):
        clone(model).fit(good, X_clean=bad)
    with expect("X_val"):
        clone(model).fit(good, X_val=bad)
    assert np.isfinite(model.reconstruct(bad)).all()  # as an input it may be anything


def test_values_are_named_by_their_columns(X, frame):
    bad = pd.DataFrame(spoiled(X, 3, 6, -1.0), columns=NAMES)
    with pytest.raises(ValueError, match=r"'poisson' of 'counts' .* -1.0 at row 3, column 'visits'"):
        fit(bad, MAP)
    with pytest.raises(ValueError, match=r"the columns of 'colour' \('red', 'blue', 'green'\) add up to [23].0"):
        fit(pd.DataFrame(spoiled(X, 3, [3, 4, 5], 1.0), columns=NAMES), MAP)
    # Bytes, rows beyond the first block, scattered columns.
    long = np.tile(np.abs(X).round().astype(np.uint8), (40, 1))
    long[1500, 5] = long[1500, 3] = 1
    long[1500, 4] = 0
    with pytest.raises(ValueError, match=r"'b' \(3, 5\) add up to 2.0 in row 1500 of X"):
        fit(long, [("b", "categorical", [5, 3])])


@pytest.mark.parametrize("to", [np.array, sp.csr_matrix])
def test_softmaxes_are_missing_as_a_whole(X, to):
    part, whole = spoiled(X, 7, 4, np.nan), spoiled(X, 7, [3, 4, 5], np.nan)
    with pytest.raises(
        ValueError, match=r"'colour' \(3, 4, 5\) are missing in part in row 7 of X; .*all of them or none"
    ):
        fit(to(part), MAP, missing="mask")
    assert np.isfinite(fit(to(whole), MAP, missing="mask").score_samples(to(whole))).all()
    with pytest.raises(ValueError, match="NaN"):
        fit(to(whole), MAP)


def test_what_does_not_go_together(X):
    with pytest.raises(
        ValueError, match=r"output_activation='tanh' does not go with losses by column.*allowed: 'auto'"
    ):
        fit(X, MAP, output_activation="tanh")
    assert fit(X, [("a", "huber", 0)], output_activation="tanh").n_iter_ == 2
    assert fit(X[:, 2:6], [("a", "log_loss", [0, 3])], remainder="log_loss", output_activation="logistic").n_iter_ == 2
    sparse = PredictiveSparse(n_iterations=5)
    with pytest.raises(ValueError, match="losses by column; allowed: loss='squared_error'"):
        fit(X, MAP, penalties=sparse, hidden_layer_sizes=())
    fit(X, [], penalties=sparse, hidden_layer_sizes=(), unit_norm_decoder=True)
    variational = VariationalAutoencoder(2, **COMMON)
    with pytest.raises(
        ValueError, match="likelihood: the loss of 'a' is 'huber'; allowed: 'squared_error', 'log_loss'"
    ):
        variational.set_params(likelihood=ColumnLoss([("a", "huber", 0)])).fit(X)
    with pytest.raises(ValueError, match=r"likelihood has weights=\{'remainder': 2.0\}; allowed: None"):
        variational.set_params(likelihood=ColumnLoss(MAP, weights={"remainder": 2.0})).fit(X)
    with pytest.raises(ValueError, match="emphasis does not go with a likelihood"):
        variational.set_params(likelihood=ColumnLoss(MAP), corruption=Masking(0.1, emphasis=(1.0, 0.5))).fit(X)


def test_one_range_keeps_what_a_linear_network_has(X):
    plain = Autoencoder(2, hidden_layer_sizes=(), max_iter=5, random_state=0).fit(X)
    mapped = clone(plain).set_params(loss=ColumnLoss([])).fit(X)
    assert_array_equal(plain.components_, mapped.components_)
    assert not hasattr(clone(plain).set_params(loss=ColumnLoss(MAP)).fit(X), "components_")


def test_scales_are_those_of_columns_that_have_one(X):
    small = X.copy()
    small[:, :2] *= 1e-4
    with pytest.warns(UserWarning, match="StandardScaler"):
        fit(small, [])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(small, MAP)
    far = X[:, [2, 6, 1]]
    far[:, 2] += 1e5
    with pytest.warns(UserWarning, match="column 2 of X has a mean"):
        fit(far, [("a", "log_loss", 0), ("c", "poisson", 1)], learning_rate_init=1e-9)


def test_many_runs():
    """Alternating losses are one term for each column; more of them than the core has room for are refused."""
    rng = np.random.default_rng(0)
    X = rng.random((50, 400))
    alternating = ColumnLoss([("a", "log_loss", slice(0, None, 2))])
    model = Autoencoder(2, loss=alternating, **COMMON).fit(X)
    order = np.r_[0:400:2, 1:400:2]
    side_by_side = Autoencoder(2, loss=ColumnLoss([("a", "log_loss", slice(200))]), **COMMON).fit(X[:, order])
    assert abs(model.score(X) - side_by_side.score(X[:, order])) < 0.05 * abs(model.score(X))
    with pytest.raises(
        ValueError, match=r"fall into 2000 runs of one loss, .*order the columns so that those of one loss"
    ):
        Autoencoder(2, loss=alternating, **COMMON).fit(rng.random((50, 2000)))


def test_tags_of_a_loss_that_is_none():
    """The error belongs to fit, which names the parameter."""
    model = Autoencoder(2, loss=None)
    assert not model.__sklearn_tags__().input_tags.positive_only
    with pytest.raises(ValueError, match="'loss' parameter of Autoencoder"):
        model.fit(np.zeros((4, 2)))
