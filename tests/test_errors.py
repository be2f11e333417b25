"""Errors name the parameter, the value and what is allowed, and leave the estimator as it was."""

import re
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import autoenc
from autoenc import (
    Autoencoder,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    DivergenceError,
    MarginalizedDenoisingAutoencoder,
    VectorQuantizedAutoencoder,
    _stored_estimators,
)
from autoenc.contraction import Contraction
from autoenc.corruption import Masking
from autoenc.layers import BatchNorm, Dense, Dropout
from autoenc.penalties import Orthogonality
from autoenc.sparsity import L1, TopK


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).random((30, 4))


def fails(match, X, **parameters):
    fit_parameters = {k: parameters.pop(k) for k in list(parameters) if k in ("X_clean", "X_val", "sample_weight")}
    estimator = Autoencoder(**{"max_iter": 1, **parameters})
    with pytest.raises(ValueError, match=match):
        estimator.fit(X, **fit_parameters)
    assert vars(estimator) == estimator.get_params(deep=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_components", 0),
        ("n_components", 1.5),
        ("activation", "sine"),
        ("latent_activation", None),
        ("output_activation", "sine"),
        ("loss", "mse"),
        ("huber_delta", 0),
        ("dropout", 1),
        ("init", "zero"),
        ("alpha", -1),
        ("l1_ratio", 2),
        ("max_norm", 0),
        ("clip_value", -1.0),
        ("clip_norm", 0),
        ("solver", "newton"),
        ("learning_rate_init", 0),
        ("learning_rate", "adaptive"),
        ("final_learning_rate_ratio", 1.5),
        ("step_size", 0),
        ("step_factor", 0),
        ("warmup_fraction", 1),
        ("momentum", 1),
        ("beta_1", 1),
        ("beta_2", -0.1),
        ("epsilon", 0),
        ("batch_size", 0),
        ("max_iter", 0),
        ("tol", 1.0),
        ("n_iter_no_change", 0),
        ("validation_fraction", 1.0),
        ("precision", "float16"),
        ("n_jobs", 1.5),
        ("max_iter", 2**31),
        ("batch_size", 2**31),
        ("step_size", 2**31),
        ("callbacks", "print"),
        ("hidden_layer_sizes", "many"),
    ],
)
def test_constructor_parameters(X, name, value):
    fails(f"The '{name}' parameter of Autoencoder must be .* Got {value!r} instead", X, **{name: value})


def test_allowed_texts_are_in_order(X):
    for name, value in (("activation", "sine"), ("solver", "newton"), ("loss", "mse")):
        with pytest.raises(ValueError, match="must be a str among") as error:
            Autoencoder(**{name: value}).fit(X)
        allowed = re.findall(r"'(\w+)'", str(error.value).partition("{")[2].partition("}")[0])
        assert len(allowed) > 5
        assert allowed == sorted(allowed)


@pytest.mark.parametrize("value", [True, False, np.True_])
@pytest.mark.parametrize("name", ["n_components", "alpha", "batch_size", "tol", "clip_norm"])
def test_booleans_are_no_numbers(X, name, value):
    match = f"The '{name}' parameter of Autoencoder must be .*Got {value!r} instead".replace("(", "\\(")
    fails(match, X, **{name: value})


def test_booleans_of_others_and_of_parts(X):
    for model in (
        AutoencoderImputer(n_components=True),
        AutoencoderOutlierDetector(n_components=True),
        AutoencoderOutlierDetector(n_estimators=True),
        MarginalizedDenoisingAutoencoder(n_layers=True),
        VectorQuantizedAutoencoder(n_codes=True),
        Autoencoder(sparsity=TopK(True)),
        Autoencoder(sparsity=L1(True)),
        Autoencoder(encoder=[Dense(True)]),
    ):
        with pytest.raises(ValueError, match=r"n_components|n_estimators|n_layers|n_codes|'k'|weight|units"):
            model.fit(X)
    for allowed in ({"verbose": False}, {"shuffle": True}, {"shuffle": np.False_}, {"random_state": True}):
        Autoencoder(2, max_iter=1, **allowed).fit(X)


@pytest.mark.parametrize("value", [(8, 0), (8, 2.5), (-3,), 0, ("8",), (True,), {8}, np.array(8)])
@pytest.mark.parametrize("name", ["hidden_layer_sizes", "decoder_hidden_layer_sizes"])
def test_widths(X, name, value):
    fails(f"{name} is .*positive whole numbers", X, **{name: value})


def test_n_jobs_zero(X):
    fails("n_jobs=0 has no meaning; allowed", X, n_jobs=0)


@pytest.mark.parametrize(
    ("loss", "allowed"), [("log_loss", "logistic"), ("poisson", "exp"), ("multinomial", "softmax")]
)
def test_output_activation_against_the_link(X, loss, allowed):
    fails(
        f"output_activation='relu' does not go with loss='{loss}'.*allowed: 'auto', '{allowed}'",
        X,
        loss=loss,
        output_activation="relu",
    )
    Autoencoder(loss=loss, output_activation=allowed, max_iter=1).fit(X)


@pytest.mark.parametrize(
    ("name", "value"),
    [("l1_ratio", 0.5), ("dropout", 0.1), ("max_norm", 1.0), ("clip_value", 1.0), ("clip_norm", 1.0)],
)
def test_what_lbfgs_excludes(X, name, value):
    fails(f"{name}={value} does not go with solver='lbfgs'.*allowed", X, solver="lbfgs", **{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("l1_ratio", 0.5),
        ("dropout", 0.1),
        ("max_norm", 1.0),
        ("clip_value", 1.0),
        ("clip_norm", 1.0),
        ("missing", "mask"),
        ("loss", "huber"),
        ("sparsity", TopK(1)),
        ("contraction", Contraction(0.1)),
        ("penalties", Orthogonality(0.1)),
        ("corruption", Masking(0.3, emphasis=(1.0, 0.5))),
        ("unit_norm_decoder", True),
        ("tied_weights", True),
    ],
)
def test_what_kfac_excludes(X, name, value):
    fails(
        re.escape(f"{name}={value!r} does not go with solver='kfac'") + ".*allowed", X, solver="kfac", **{name: value}
    )


@pytest.mark.parametrize(
    ("parameters", "what"),
    [
        ({"encoder": [Dense(4), BatchNorm()]}, "batch_norm"),
        ({"encoder": [Dense(4), Dropout(0.2)]}, "dropout"),
        ({"activation": "softmax"}, "elementwise activations"),
    ],
)
def test_networks_that_kfac_cannot_train(X, parameters, what):
    fails(
        f"solver='kfac' does not go with this network: .*{what}.*allowed: the other solvers",
        X,
        solver="kfac",
        **parameters,
    )


def test_callbacks_that_are_not_callable(X):
    fails("callbacks has 3, which is not callable", X, callbacks=[print, 3])


@pytest.mark.parametrize(
    ("bad", "name"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity"), (1e39, "infinity in float32")]
)
@pytest.mark.parametrize("kind", ["float64", "float32", "fortran", "csr", "csc"])
def test_values_that_are_not_finite(X, bad, name, kind):
    if kind == "float32" and bad == 1e39:
        pytest.skip("float32 does not hold it")
    spoilt = X.copy()
    spoilt[17, 2] = bad
    spoilt[20, 0] = bad
    convert = {
        "float64": np.asarray,
        "float32": np.float32,
        "fortran": np.asfortranarray,
        "csr": sp.csr_array,
        "csc": sp.csc_array,
    }[kind]
    match = f"{name}.*row 17, column 2|row 17, column 2.*{name}"
    fails(match, convert(spoilt))
    estimator = Autoencoder(max_iter=1).fit(X)
    for method in (estimator.transform, estimator.reconstruct, estimator.score_samples, estimator.feature_errors):
        with pytest.raises(ValueError, match=match):
            method(convert(spoilt))
    with pytest.raises(ValueError, match="row 1, column 0"):
        estimator.inverse_transform([[0, 0], [np.nan, 0]])
    if bad != 1e39:
        fails("X_clean.*row 17, column 2", X, X_clean=convert(spoilt))
        fails("X_val.*row 17, column 2", X, X_val=convert(spoilt))


def test_large_values_are_fine_in_float64(X):
    spoilt = X.copy()
    spoilt[17, 2] = 1e39
    estimator = Autoencoder(max_iter=1, precision="float64", learning_rate_init=1e-50).fit(X)
    assert np.isfinite(estimator.transform(spoilt)).all()


def test_means_whose_squares_overflow(X):
    """What cannot be trained is said so, without NumPy's warnings on the way."""
    spoilt = X.copy()
    spoilt[17, 2] = 1e300
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.filterwarnings("ignore", "column 2 of X has a mean")
        with pytest.raises(DivergenceError, match=r"diverged in epoch 1.*scale the features"):
            Autoencoder(precision="float64").fit(spoilt)


@pytest.mark.parametrize(
    ("loss", "bad", "allowed"),
    [
        ("log_loss", 1.5, r"\[0, 1\]"),
        ("log_loss", -0.5, r"\[0, 1\]"),
        ("poisson", -2.0, r"\[0, inf\)"),
        ("multinomial", -2.0, r"\[0, inf\)"),
    ],
)
@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
def test_targets_outside_of_the_loss(X, loss, bad, allowed, convert):
    spoilt = X.copy()
    spoilt[17, 2] = bad
    match = rf"loss='{loss}' needs targets in {allowed}, but X(_clean)? has {bad} at row 17, column 2"
    fails(match, convert(spoilt), loss=loss)
    fails(match, X, loss=loss, X_clean=convert(spoilt))
    fails("X_val has", X, loss=loss, X_val=convert(spoilt))
    # Inputs may be anything where they are not the target.
    estimator = Autoencoder(loss=loss, max_iter=1).fit(convert(spoilt), X_clean=X)
    estimator.transform(convert(spoilt))
    with pytest.raises(ValueError, match=match):
        estimator.score(convert(spoilt))
    with pytest.raises(ValueError, match=match):
        estimator.score(X, X_clean=convert(spoilt))
    assert np.isfinite(estimator.score(convert(spoilt), X_clean=X))


def test_uint8_beyond_the_range_of_the_loss():
    fails(r"log_loss.*\[0, 1\].*255", np.full((5, 2), 255, np.uint8), loss="log_loss")


def test_shapes(X):
    fails("0 sample", np.empty((0, 4)))
    fails("0 feature", np.empty((4, 0)))
    fails("1D array", X[0])
    fails("dim 3", X[np.newaxis])
    fails("X_clean has 7 rows and X has 30", X, X_clean=X[:7])
    fails("X_val has 3 features, but Autoencoder is expecting 4", X, X_val=X[:, :3])
    fails("X_val: .*0 sample", X, X_val=X[:0])
    fails("X_val is a tuple.*X_clean", X, X_val=(X, X))
    estimator = Autoencoder(max_iter=1).fit(X)
    with pytest.raises(ValueError, match="X has 3 features, but Autoencoder is expecting 4"):
        estimator.transform(X[:, :3])
    with pytest.raises(ValueError, match="X has 3 columns; a code has 2"):
        estimator.inverse_transform(np.ones((5, 3)))
    with pytest.raises(ValueError, match="X_clean has 3 columns; the reconstruction has 4"):
        estimator.score(X, X_clean=X[:, :3])


def test_not_numbers(X):
    for texts in (np.array([["a", "b"], ["c", "d"]]), np.array([["1", "2.5"], ["3", "4"]]), np.array([[b"1"], [b"2"]])):
        match = f"X is an array of type {texts.dtype}; allowed are numbers: convert texts of numbers explicitly"
        for given in (texts, texts.tolist()):
            fails(match, given)
            fails(r"X_clean is an array of type .*; allowed are numbers", X[: len(texts)], X_clean=given)
            fails(r"X_val is an array of type .*; allowed are numbers", X, X_val=given)
            for model in (AutoencoderImputer(), AutoencoderOutlierDetector(), MarginalizedDenoisingAutoencoder()):
                with pytest.raises(ValueError, match=match):
                    model.fit(given)
    days = np.arange(20).reshape(10, 2)
    for dates in (days.astype("datetime64[D]"), days.astype("timedelta64[h]")):
        fails(r"X is an array of dates or times \((datetime64\[D\]|timedelta64\[h\])\); allowed are numbers", dates)
    model = Autoencoder(max_iter=1).fit(X)
    for call in (model.transform, model.predictor(), model.predictor().score_samples):
        with pytest.raises(ValueError, match=r"X is an array of type <U.*; allowed are numbers"):
            call(X.astype(str))
    # Objects are what they hold, as in scikit-learn.
    np.testing.assert_array_equal(model.transform(X.astype(object)), model.transform(X))
    fails("Complex data not supported", X + 1j)


def test_a_text_among_numbers_is_named(X):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    other = frame.astype(object)
    other.iloc[7, 1] = "low"
    kinds = frame.assign(b=pandas.Categorical(["low"] * len(X)))
    model = Autoencoder(2, max_iter=1).fit(frame)
    for given, row, label in (
        (frame.assign(b="low"), 0, r" \('b'\)"),
        (kinds, 0, r" \('b'\)"),
        (other, 7, r" \('b'\)"),
        (other.to_numpy(), 7, ""),
    ):
        match = f"could not convert string to float: 'low' at row {row}, column 1{label}; allowed are numbers"
        for one in (model, AutoencoderImputer(), AutoencoderOutlierDetector(), MarginalizedDenoisingAutoencoder()):
            with pytest.raises(ValueError, match=f"^X: {match}"):
                clone(one).fit(given)
        fails(f"^X_clean: {match}", X, X_clean=given)
        for call in (model.predictor(), model.transform if label else model.predictor()):
            with pytest.raises(ValueError, match=f"^X: {match}"):
                call(given)


def test_a_text_in_a_frame_of_polars_is_named(X):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(X, schema=list("abcd")).with_columns(polars.lit("low").alias("c"))
    fails("could not convert string to float: 'low' at row 0, column 2 \\('c'\\)", frame)


@pytest.mark.parametrize("kind", ["table", "record_batch"])
def test_a_text_in_a_table_of_arrow_is_named(kind, X):
    pyarrow = pytest.importorskip("pyarrow")
    columns = dict(zip("abcd", X.T, strict=True))
    model = Autoencoder(2, max_iter=1).fit(pyarrow.table(columns))
    for row in (0, len(X) - 1):
        texts = ["1.0"] * row + ["low"] * (len(X) - row)
        given = getattr(pyarrow, kind)({**columns, "c": texts})
        match = f"could not convert string to float: 'low' at row {row}, column 2 \\('c'\\); allowed are numbers"
        for call in (model.fit, model.predictor()):
            with pytest.raises(ValueError, match=f"^X: {match}"):
                call(given)
        fails(f"^X_clean: {match}", X, X_clean=given)


def test_a_text_in_a_list_is_named(X):
    match = "could not convert string to float: 'a' at row 1, column 0; allowed are numbers"
    model = Autoencoder(1, max_iter=1).fit(X[:, :2])
    for given in ([[1.0, None], ["a", 3.0]], ((1.0, None), ("a", 3.0)), [[1.0, 2.0], ["a", 3.0]], ((1, 2), ("a", "3"))):
        for call in (clone(model).fit, model.transform, model.predictor()):
            with pytest.raises(ValueError, match=f"^X: {match}"):
                call(given)
    with pytest.raises(ValueError, match=r"^X is an array of type <U1; allowed are numbers: convert texts of numbers"):
        clone(model).fit([["1", "2"], ["3", "4"]])
    many = [[1.0, None]] * 3000
    with pytest.raises(ValueError, match=r"^X: could not convert string to float: 'b' at row 3000, column 1;"):
        clone(model).fit([*many, [2.0, "b"]])


def test_what_is_no_number_and_no_text_is_named(X):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": X[:, 0], "b": pandas.Series([*X[:-1, 1], pandas.NA], dtype=object)})
    model = Autoencoder(1, max_iter=1).fit(frame[["a"]].assign(b=0.0))
    kind = "float() argument must be a string or a real number, not"
    for given, label, name in (
        (frame, " ('b')", "NAType"),
        (frame.to_numpy(), "", "NAType"),
        ([[0.5, {}]], "", "dict"),
    ):
        row = 0 if name == "dict" else len(X) - 1
        match = re.escape(f"X: {kind} '{name}' at row {row}, column 1{label}; allowed are numbers, and NaN for")
        for call in (clone(model).fit, model.predictor()):
            with pytest.raises(TypeError, match=f"^{match}"):
                call(given)
    text_first = pandas.DataFrame({"a": [1.0] * 20, "b": pandas.Series(["low", pandas.NA] * 10, dtype=object)})
    with pytest.raises(ValueError, match=r"^X: could not convert string to float: 'low' at row 0, column 1 \('b'\)"):
        clone(model).fit(text_first)


@pytest.mark.parametrize(
    ("weight", "match"),
    [
        (np.zeros(30), "sample_weight is zero for every row; at least one weight must be positive"),
        (0, "sample_weight is zero for every row"),
        (np.where(np.arange(30) < 7, 1.0, -2.5), "sample_weight: it is -2.5 at row 7; allowed are nonnegative"),
        (np.full(30, np.nan), "sample_weight contains NaN"),
        (np.full(30, np.inf), "sample_weight contains infinity"),
        (np.full(30, -5e-324), "sample_weight: it is -5e-324 at row 0"),
        (np.ones(29), "sample_weight.shape"),
        (np.ones((30, 1)), "sample_weight: .*1D"),
        ("heavy", "sample_weight: could not convert"),
        (["1"] * 30, "sample_weight is an array of type <U1; allowed are numbers: convert texts of numbers"),
        ([1.0] * 29 + ["2"], "sample_weight is an array of type .*; allowed are numbers"),
        (np.array(["1"] * 30, object), "sample_weight is an array of type <U1; allowed are numbers"),
        (np.full(30, 1, "m8[s]"), "sample_weight .* of dates or times"),
    ],
)
def test_sample_weights(X, weight, match):
    fails(match, X, sample_weight=weight)
    estimator = Autoencoder(max_iter=1).fit(X)
    with pytest.raises(ValueError, match=match):
        estimator.score(X, sample_weight=weight)


@pytest.mark.parametrize("weight", [{}, {1.0}, [object()] * 30])
def test_sample_weights_that_are_no_numbers(X, weight):
    with pytest.raises(TypeError, match="sample_weight: float"):
        Autoencoder(max_iter=1).fit(X, sample_weight=weight)


@pytest.mark.parametrize("size", [5e-324, 1e-320, 1e-200, 1e200, 1.7e308])
def test_only_ratios_of_weights_count(X, size):
    weight = np.where(np.arange(30) < 20, size, 0.0)
    plain = Autoencoder(max_iter=2, random_state=0).fit(X, sample_weight=weight > 0)
    scaled = Autoencoder(max_iter=2, random_state=0).fit(X, sample_weight=weight)
    np.testing.assert_allclose(scaled.loss_curve_, plain.loss_curve_, rtol=1e-6)
    np.testing.assert_allclose(scaled.score(X, sample_weight=weight), scaled.score(X[:20]), rtol=1e-12)


def test_held_out_rows_without_weight(X):
    weight = np.zeros(30)
    weight[:3] = 1
    seeds = range(20)
    failed = 0
    for seed in seeds:
        try:
            Autoencoder(max_iter=1, early_stopping=True, random_state=seed).fit(X, sample_weight=weight)
        except ValueError as error:
            failed += 1
            assert "early_stopping with validation_fraction=0.1" in str(error) and "X_val" in str(error)
    assert failed


def test_early_stopping_without_training_rows(X):
    fails("n_samples = 1", X[:1], early_stopping=True)
    fails("validation_fraction=0.99", X, early_stopping=True, validation_fraction=0.99)


def broken(kind):
    X = sp.random_array((30, 4), density=0.5, format=kind, rng=np.random.default_rng(0))
    n = X.indptr.size

    def high(Z):
        Z.indices[3] = 10_000

    def negative(Z):
        Z.indices[3] = -1

    def falling(Z):
        Z.indptr[n // 2] = Z.indptr[-1] + 5

    def late(Z):
        Z.indptr[0] = 1

    def short(Z):
        Z.indptr[-1] -= 1

    def uneven(Z):
        Z.data = Z.data[:-1]

    def missing(Z):
        Z.indptr = Z.indptr[:-1]

    for change in (high, negative, falling, late, short, uneven, missing):
        Z = X.copy()
        change(Z)
        yield change.__name__, Z


@pytest.mark.parametrize("kind", ["csr", "csc"])
def test_malformed_sparse(X, kind):
    estimator = Autoencoder(max_iter=1).fit(X)
    for name, Z in broken(kind):
        fails(f"malformed {kind.upper()} in X", Z)
        with pytest.raises(ValueError, match=f"malformed {kind.upper()}"):
            estimator.transform(Z)
        assert name


def test_malformed_coordinates_and_blocks(X):
    """SciPy's conversion to CSR writes where these say, or crashes."""

    def coordinates(name, value):
        Z = sp.coo_array(X)
        getattr(Z, name)[5] = value
        return Z

    def longer(name):
        Z = sp.bsr_array(X, blocksize=(2, 2))
        Z.indices, Z.indptr = Z.indices.copy(), Z.indptr.copy()
        getattr(Z, name)[3] = 10**8
        return Z

    short = sp.coo_array(X)
    short.data = short.data[:-1]
    flat = sp.bsr_array(X, blocksize=(2, 2))
    flat.data = flat.data[:, 0]
    estimator = Autoencoder(max_iter=1).fit(X)
    assert_array_equal(estimator.transform(sp.bsr_array(X, blocksize=(2, 2))), estimator.transform(X))
    for Z, match in (
        (coordinates("row", 10**8), r"malformed COO in X: row\[5\] is 100000000; allowed are 0 to 29"),
        (coordinates("col", -1), r"malformed COO in X: col\[5\] is -1; allowed are 0 to 3"),
        (short, r"malformed COO in X: row has 120 entries and data 119"),
        (longer("indices"), r"malformed BSR in X: indices\[3\] is 100000000; allowed are 0 to 1"),
        (longer("indptr"), r"malformed BSR in X: indptr must rise from 0 to 30"),
        (flat, r"malformed BSR in X: data has shape"),
    ):
        fails(match, Z)
        for call in (estimator.transform, estimator.predictor()):
            with pytest.raises(ValueError, match=match):
                call(Z)


def test_index_arrays_put_in_later(X):
    """SciPy's constructors make them alike and contiguous; who replaces one may leave them otherwise."""
    expected = Autoencoder(max_iter=1, random_state=0).fit(X).transform(X)
    estimator = Autoencoder(max_iter=1, random_state=0)
    for name, change in (
        ("indices", lambda a: a.astype(np.int64)),
        ("indptr", lambda a: a.astype(np.int64)),
        ("indices", lambda a: a.astype(np.uint8)),
        ("data", lambda a: np.repeat(a, 2)[::2]),
        ("indices", lambda a: np.repeat(a, 2)[::2]),
        ("indptr", lambda a: np.repeat(a, 2)[::2]),
    ):
        Z = sp.csr_array(X)
        setattr(Z, name, change(getattr(Z, name)))
        assert_array_equal(estimator.fit(Z).transform(Z), expected)
        assert_array_equal(estimator.predictor()(Z), expected)
    for name in ("indices", "indptr"):
        for dtype in (float, bool, object):
            Z = sp.csr_array(X)
            setattr(Z, name, getattr(Z, name).astype(dtype))
            fails(f"malformed CSR in X: {name} is of type {np.dtype(dtype)}; allowed are whole numbers", Z)


def test_malformed_diagonals(X):
    """SciPy's conversion to CSR reads where these say, and crashes."""
    Z = sp.dia_array(X)
    Z.offsets = Z.offsets[:2]
    fails("malformed DIA in X: offsets has shape", Z)


def test_unsorted_indices_that_claim_to_be_sorted(X):
    Z = sp.csr_array(X)
    Z.indices[:2] = Z.indices[:2][::-1]
    Z.has_canonical_format = True
    fails("row 0", Z)


def test_sizes_whose_product_overflows(X):
    fails(
        "n_components=2147483647 and hidden_layer_sizes=.* weights; at most",
        X,
        n_components=2**31 - 1,
        hidden_layer_sizes=(2**31 - 1,),
    )
    fails("n_components has a layer of 18446744073709551616 units", X, n_components=2**64)
    fails("hidden_layer_sizes has a layer of 2147483648 units", X, hidden_layer_sizes=(2**31,))
    fails("n_jobs=1000000 is too large; allowed: None, 1 to 1024", X, n_jobs=10**6)
    estimator = Autoencoder(max_iter=1).fit(X)
    for n_jobs in (10**6, "two", 1.5, 0):
        with pytest.raises(ValueError, match=f"n_jobs={n_jobs!r} .*allowed"):
            estimator.predictor(n_jobs=n_jobs)


def test_unfitted(X):
    estimator = Autoencoder()
    for name in ("transform", "inverse_transform", "reconstruct", "score_samples", "feature_errors", "score"):
        with pytest.raises(NotFittedError):
            getattr(estimator, name)(X)
    for call in (estimator.predictor, estimator.get_feature_names_out):
        with pytest.raises(NotFittedError):
            call()


@pytest.mark.parametrize("name", _stored_estimators.OUTER)
def test_no_estimator_is_exported_unfitted(name):
    for method in ("predictor", "to_c"):
        estimator = getattr(autoenc, name)()
        if hasattr(estimator, method):
            with pytest.raises(NotFittedError):
                getattr(estimator, method)()


def test_a_failed_fit_keeps_the_earlier_one(X):
    estimator = Autoencoder(max_iter=1).fit(X)
    before = dict(vars(estimator))
    spoilt = X[:, :3].copy()
    spoilt[0, 0] = np.nan
    for bad, keywords in ((spoilt, {}), (X[:, :3], {"sample_weight": np.zeros(30)}), (X[:0], {})):
        with pytest.raises(ValueError):
            estimator.fit(bad, **keywords)
        assert vars(estimator) == before
        with pytest.raises(ValueError):
            estimator.partial_fit(bad, **keywords)
        assert vars(estimator) == before


def test_too_many_layers(X):
    fails("hidden_layer_sizes has 5000 layers; at most 1000", X, hidden_layer_sizes=(2,) * 5000)


@pytest.mark.parametrize(
    "model",
    [Autoencoder(2), AutoencoderImputer(2), AutoencoderOutlierDetector()],
    ids=lambda model: type(model).__name__,
)
def test_a_diverging_fit_names_parameters_that_the_estimator_has(model, X):
    with pytest.raises(DivergenceError, match=r"Lower learning_rate_init \(now 1e\+30\)") as caught:
        clone(model).set_params(learning_rate_init=1e30).fit(X)
    assert ("clip_norm" in str(caught.value)) == ("clip_norm" in model.get_params())
    scales = not isinstance(model, Autoencoder)  # by itself
    assert ("StandardScaler" in str(caught.value)) != scales and ("values far from" in str(caught.value)) == scales
