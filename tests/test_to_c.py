"""Exported C files: compiled without warnings, run on real tables, compared with the estimators bit by bit."""

import ctypes
import platform
import re
import shutil
import subprocess
import warnings

import numpy as np
import pytest
from exported import (
    CANCER,
    COUNTS,
    DIGITS,
    LABELS,
    NAN_ROWS,
    NETWORKS,
    PRECISIONS,
    SCALED,
    seldom_assigned,
    small,
    unchecked,
)
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import autoenc
from autoenc import _core, _export_functions, _spec, losses, sparsity
from autoenc.layers import BatchNorm, Dense, LayerNorm, Residual

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # of fits as short as these
    pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc"),
]

WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror"]
# The machine's own fma where it has one, the C library's elsewhere: the bits are the same.
EXACT = "-O2 -mfma -mavx2" if _core.isa() in ("avx2", "avx512") else "-O2 -DMODEL_EXACT"


class Compiled:
    """A C file as a library; calls are for many rows."""

    def __init__(self, folder, model, flags=EXACT, compiler="gcc"):
        self.model = model
        self.text = model.to_c(folder / "model.c")
        target = folder / f"{compiler}{abs(hash(flags))}.so"
        command = [compiler, *WARNINGS, *flags.split(), "-shared", "-fPIC", "-o", target, folder / "model.c", "-lm"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        self.library = ctypes.CDLL(str(target))

    def size(self, name):
        return int(re.search(rf"#define MODEL_{name} (\d+)", self.text)[1])

    def call(self, name, *inputs, out=None, dtype=None, returns=None):
        """Rows of `out` numbers each, or what the function returns."""
        function = getattr(self.library, f"model_{name}")
        function.restype = returns
        n = len(inputs[0])
        inputs = [np.ascontiguousarray(one) for one in inputs]
        rows = [[one.ctypes.data + i * one.strides[0] for one in inputs] for i in range(n)]
        if out is None:
            return np.array([function(*map(ctypes.c_void_p, row)) for row in rows])
        result = np.full((n, out), 99, dtype)
        for i, row in enumerate(rows):
            function(*map(ctypes.c_void_p, row), ctypes.c_void_p(result.ctypes.data + i * result.strides[0]))
        return result


def same(found, expected):
    expected = np.asarray(expected)
    assert np.ptp(expected[~np.isnan(expected)]) > 0
    np.testing.assert_array_equal(found, expected)


def same_in_all_functions(folder, model, X, condition=None, **options):
    dtype = np.dtype(model.precision)
    X = X.astype(dtype)
    condition = None if condition is None else condition.astype(dtype)
    rest = [] if condition is None else [condition]
    named = {} if condition is None else {"condition": condition}
    made = Compiled(folder, model, **options)
    code = model.transform(X, **named)
    same(made.call("encode", X, *rest, out=code.shape[1], dtype=dtype), code)
    restored = model.inverse_transform(code, **named)
    same(made.call("decode", code, *rest, out=restored.shape[1], dtype=dtype), restored)
    same(made.call("reconstruct", X, *rest, out=restored.shape[1], dtype=dtype), model.reconstruct(X, **named))
    same(made.call("score", X, *rest, returns=ctypes.c_double), model.score_samples(X, **named))
    return made


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("activation", _core.ACTIVATIONS)
def test_activations(tmp_path, activation, precision):
    options = small(precision=precision)
    X = SCALED / 10  # "exp" of more overflows
    model = autoenc.Autoencoder(5, activation=activation, latent_activation=activation, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X[:400])
    same_in_all_functions(tmp_path, model, X[400:])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("loss", _spec.PLAIN_LOSSES)
def test_losses(tmp_path, loss, precision):
    model = autoenc.Autoencoder(5, loss=loss, **small(precision=precision)).fit(DIGITS[:1000])
    same_in_all_functions(tmp_path, model, DIGITS[1000:])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(tmp_path, name, precision):
    model = clone(NETWORKS[name]).set_params(precision=precision).fit(DIGITS[:1000])
    same_in_all_functions(tmp_path, model, DIGITS[1000:])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_wide_rows(tmp_path, precision):
    """More columns than 64 panels of 32, where sums of logarithms are settled in between."""
    X = np.tile(DIGITS[:40], 36)
    model = autoenc.Autoencoder(3, loss="log_loss", **small(precision=precision)).fit(X)
    same_in_all_functions(tmp_path, model, X)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_conditions_and_missing_values(tmp_path, precision):
    holes = np.where(np.random.default_rng(0).random(DIGITS.shape) < 0.2, np.nan, DIGITS)
    model = autoenc.Autoencoder(8, missing="mask", **small(precision=precision))
    same_in_all_functions(tmp_path, model.fit(holes[:1000]), holes[1000:])
    condition = np.eye(10)[LABELS]
    model.set_params(loss="log_loss").fit(holes[:1000], condition=condition[:1000])
    folder = tmp_path / "condition"
    folder.mkdir()
    made = same_in_all_functions(folder, model, holes[1000:], condition[1000:])
    assert made.size("N_CONDITIONS") == 10


def test_pairs(tmp_path):
    clean, noisy = DIGITS[:, :20].astype("float32"), DIGITS[:, 20:].astype("float32")
    model = autoenc.Autoencoder(8, **small()).fit(noisy[:1000], X_clean=clean[:1000])
    made = Compiled(tmp_path, model)
    assert (made.size("N_FEATURES"), made.size("N_OUTPUTS")) == (44, 20)
    same(made.call("score", noisy, clean, returns=ctypes.c_double), model.score_samples(noisy, X_clean=clean))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_classifier(tmp_path, precision):
    X = DIGITS.astype(precision)
    for name, classes, kind in (
        ("whole", np.arange(10) - 3, ctypes.c_int64),
        ("of a table with gaps", np.arange(10) - 3.0, ctypes.c_int64),
        ("text", np.array(["a", "b@c", "R(1.0)", '"', "é", "\\n", "%s", "??/", "", "0"]), ctypes.c_char_p),
    ):
        folder = tmp_path / name
        folder.mkdir()
        options = small(precision=precision, fine_tune_max_iter=3, unlabeled_label=None)
        model = autoenc.AutoencoderClassifier(8, **options).fit(X[:1000], classes[LABELS[:1000]])
        made = same_in_all_functions(folder, model, X[1000:])
        same(made.call("predict_proba", X[1000:], out=10, dtype=precision), model.predict_proba(X[1000:]))
        label = made.library.model_label
        label.restype = kind
        found = [label(int(i)) for i in made.call("predict", X[1000:], returns=ctypes.c_int)]
        found = [one.decode() if isinstance(one, bytes) else one for one in found]
        assert found == model.predict(X[1000:]).tolist()
        assert len(set(found)) > 3
        assert made.size("N_CLASSES") == 10


def test_labels_longer_than_a_string_constant_may_be(tmp_path):
    classes = np.array(["a" * 4095, "b" * 4096, "é@\\" * 3000])
    model = autoenc.AutoencoderClassifier(4, unlabeled_label=None, **small(fine_tune_max_iter=2))
    model.fit(DIGITS, classes[LABELS % 3])
    made = Compiled(tmp_path, model)
    made.library.model_label.restype = ctypes.c_char_p
    assert [made.library.model_label(i).decode() for i in range(3)] == classes.tolist()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_regressor_hashes_and_indices(tmp_path, precision):
    X, y = DIGITS.astype(precision), 5.0 * DIGITS[:, 3:6] + 2.0
    for i, (model, target) in enumerate(
        (
            (autoenc.AutoencoderRegressor(8, fine_tune_max_iter=3, **small(precision=precision)), y),
            (autoenc.AutoencoderRegressor(8, fine_tune_max_iter=3, **small(precision=precision)), y[:, 0]),
            (autoenc.HashingAutoencoder(20, **small(precision=precision)), None),
            (autoenc.VectorQuantizedAutoencoder(8, n_codes=16, n_codebooks=2, **small(precision=precision)), None),
        )
    ):
        folder = tmp_path / str(i)
        folder.mkdir()
        model.fit(X[:1000], target if target is None else target[:1000])
        made = Compiled(folder, model)
        if target is not None:
            n = made.size("N_TARGETS")
            found = made.call("predict", X[1000:], out=n, dtype="float64")
            known = model.predict(X[1000:])  # in the precision of the rows; the C function gives double
            same((found if target.ndim == 2 else found[:, 0]).astype(known.dtype), known)
        elif hasattr(model, "hash"):
            same(made.call("hash", X, out=made.size("N_BYTES"), dtype="uint8"), model.hash(X))
        else:
            same(made.call("encode_indices", X, out=2, dtype="int32"), model.encode_indices(X))


@pytest.mark.parametrize("none", [False, True])
@pytest.mark.parametrize("quantizer", ["product", "residual"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_codes_that_nothing_was_assigned_to(tmp_path, precision, quantizer, none):
    model, X = seldom_assigned(quantizer, precision, none=none)
    made = Compiled(tmp_path, model)
    with np.errstate(invalid="ignore"):
        code, restored, score = unchecked(model, X)
    same(made.call("encode", X, out=8, dtype=precision), code)
    same(made.call("reconstruct", X, out=64, dtype=precision), restored)
    same(made.call("score", X, returns=ctypes.c_double), score)
    found = made.call("encode_indices", X, out=2, dtype="int32")
    np.testing.assert_array_equal(found[[0, 3]], model.encode_indices(X[[0, 3]]))
    assert (np.delete(found, [0, 3], axis=0)[:, not none] < 0).all()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("parameters", [{}, {"n_pivots": 20, "concatenate": False}])
def test_marginalized(tmp_path, parameters, precision):
    X = DIGITS.astype(precision)
    model = autoenc.MarginalizedDenoisingAutoencoder(precision=precision, **parameters).fit(X[:1000])
    made = Compiled(tmp_path, model)
    same(made.call("encode", X, out=made.size("N_COMPONENTS"), dtype=precision), model.transform(X))
    same(made.call("reconstruct", X, out=made.size("N_OUTPUTS"), dtype=precision), model.reconstruct(X))
    same(made.call("score", X, returns=ctypes.c_double), model.score_samples(X))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("missing", ["error", "mask"])
@pytest.mark.parametrize("neighbor_weight", [0.0, 1.0])
def test_outlier_detector(tmp_path, neighbor_weight, missing, precision):
    X = CANCER.copy()
    if missing == "mask":
        X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
        X[:, 3] = np.nan
        X[5] = np.nan
    options = {"neighbor_weight": neighbor_weight, "missing": missing, "precision": precision}
    model = autoenc.AutoencoderOutlierDetector(n_estimators=3, max_iter=5, random_state=0, **options).fit(X[:400])
    made = Compiled(tmp_path, model)
    same(made.call("contributions", X, out=X.shape[1], dtype="float64"), model.feature_contributions(X))
    same(made.call("score", X, returns=ctypes.c_double), model.score_samples(X))  # training rows too
    same(made.call("decision", X, returns=ctypes.c_double), model.decision_function(X))
    same(made.call("predict", X, returns=ctypes.c_int), model.predict(X))


def test_outlier_detector_of_wide_rows(tmp_path):
    X = np.tile(DIGITS[:200], 3)
    model = autoenc.AutoencoderOutlierDetector(n_estimators=2, max_iter=2, random_state=0).fit(X)
    same(Compiled(tmp_path, model).call("score", X, returns=ctypes.c_double), model.score_samples(X))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "parameters", [{}, {"keep_empty_features": True}, {"add_indicator": True}, {"missing_values": -1}]
)
def test_imputer(tmp_path, parameters, precision):
    holes = np.random.default_rng(0).random(CANCER.shape) < 0.2
    holes[:, 3] = True
    X = np.where(holes, parameters.get("missing_values", np.nan), CANCER)
    model = autoenc.AutoencoderImputer(8, precision=precision, **small(**parameters)).fit(X[:400])
    filled = model.transform(X)
    made = Compiled(tmp_path, model)
    assert made.size("N_OUTPUTS") == filled.shape[1]
    same(made.call("impute", X, out=filled.shape[1], dtype="float64"), filled)


def test_imputer_fills_only_what_stands_for_a_missing_value(tmp_path):
    """Python refuses NaN then; here it stays, and for the other entries it is one that is missing."""
    X = np.where(np.random.default_rng(0).random(CANCER.shape) < 0.2, -1, CANCER)
    model = autoenc.AutoencoderImputer(8, **small(missing_values=-1)).fit(X)
    row, gap = X[:1].copy(), X[:1].copy()
    row[0, 5], gap[0, 5] = np.nan, -1
    expected = model.transform(gap)
    expected[0, 5] = np.nan
    same(Compiled(tmp_path, model).call("impute", row, out=30, dtype="float64"), expected)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"noise_variance": "learned"},
        {"noise_variance": 0.1, "missing": "mask"},
        {"prior": "mixture", "n_prior_components": 40},
        {"prior": "vamp"},
        {"likelihood": "log_loss"},
        {"likelihood": "log_loss", "missing": "mask"},
        {"likelihood": "poisson"},
        {"likelihood": "multinomial"},
        {"likelihood": "negative_binomial"},
        {"likelihood": losses.ColumnLoss([("class", "categorical", range(3))], remainder="squared_error")},
    ],
    ids=str,
)
def test_variational(tmp_path, parameters, precision):
    """Codes are means; scores are bounds by the draws of the estimator."""
    likelihood = parameters.get("likelihood", "squared_error")
    X = COUNTS if likelihood in ("poisson", "multinomial", "negative_binomial") else DIGITS
    if not isinstance(likelihood, str):
        X = np.hstack([np.eye(3)[LABELS % 3], X[:, 3:]])
    if "missing" in parameters:
        X = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
    model = autoenc.VariationalAutoencoder(4, **small(precision=precision, learning_rate_init=1e-3, **parameters))
    same_in_all_functions(tmp_path, model.fit(X[:1000]), X[1000:1200])


def test_variational_with_condition(tmp_path):
    model = autoenc.VariationalAutoencoder(4, **small())
    condition = np.eye(10)[LABELS]
    model.fit(DIGITS[:1000], condition=condition[:1000])
    same_in_all_functions(tmp_path, model, DIGITS[1000:1200], condition[1000:1200])


# ---- compilers ----

EVERYTHING = (
    lambda: autoenc.Autoencoder(40, sparsity=sparsity.TopK(5), missing="mask", **small()).fit(DIGITS),
    lambda: autoenc.Autoencoder(8, loss="log_loss", precision="float64", **small()).fit(DIGITS),
    lambda: clone(NETWORKS["layers"]).fit(DIGITS),
    lambda: clone(NETWORKS["product"]).fit(DIGITS),
    lambda: autoenc.AutoencoderOutlierDetector(n_estimators=2, max_iter=2, missing="mask", random_state=0).fit(CANCER),
    lambda: autoenc.VariationalAutoencoder(4, likelihood="log_loss", missing="mask", **small()).fit(DIGITS),
    lambda: autoenc.AutoencoderClassifier(4, unlabeled_label=None, **small(fine_tune_max_iter=2)).fit(DIGITS, LABELS),
    lambda: autoenc.VectorQuantizedAutoencoder(8, n_codes=16, quantizer="residual", **small()).fit(DIGITS),
    lambda: autoenc.MarginalizedDenoisingAutoencoder(n_pivots=20).fit(DIGITS),
    lambda: autoenc.AutoencoderImputer(8, **small()).fit(np.where(SCALED > 2, np.nan, SCALED)),
)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("flags", ["-O0", "-O2", "-O3", "-Os", "-O3 -DMODEL_EXACT", EXACT])
def test_compilers(tmp_path, compiler, flags):
    """Without fused operations results differ by rounding alone; with them not at all."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    exact = flags == EXACT or "EXACT" in flags or platform.machine() == "aarch64"
    for precision, epsilon in (("float32", 2.0**-23), ("float64", 2.0**-52)):
        folder = tmp_path / precision
        folder.mkdir()
        model = autoenc.Autoencoder(8, loss="log_loss", **small(precision=precision)).fit(DIGITS[:1000])
        if exact:
            same_in_all_functions(folder, model, DIGITS[1000:1200], flags=flags, compiler=compiler)
            continue
        X = DIGITS[1000:].astype(precision)
        made = Compiled(folder, model, flags=flags, compiler=compiler)
        code, score = made.call("encode", X, out=8, dtype=precision), made.call("score", X, returns=ctypes.c_double)
        expected = model.transform(X)
        np.testing.assert_allclose(code, expected, rtol=0, atol=16 * epsilon * np.abs(expected).max())
        np.testing.assert_allclose(score, model.score_samples(X), rtol=16 * epsilon)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_aarch64(tmp_path, precision):
    """Cross-built, where that compiler and the emulator are: its fused operations give the bits of here."""
    compiler, emulator = "aarch64-linux-gnu-gcc", "qemu-aarch64"
    if shutil.which(compiler) is None or shutil.which(emulator) is None:
        pytest.skip(f"needs {compiler} and {emulator}")
    model = autoenc.Autoencoder(8, loss="log_loss", **small(precision=precision)).fit(DIGITS[:1000])
    X = DIGITS[1000:1100].astype(precision)
    model.to_c(tmp_path / "model.c")
    X.tofile(tmp_path / "rows")
    (tmp_path / "main.c").write_text("""
#include <stdio.h>
#include "model.c"
int main(void) {
    static model_real x[MODEL_N_FEATURES], code[MODEL_N_COMPONENTS], out[MODEL_N_OUTPUTS];
    while (fread(x, sizeof x, 1, stdin) == 1) {
        const double score = model_score(x);
        model_encode(x, code);
        model_reconstruct(x, out);
        fwrite(code, sizeof code, 1, stdout);
        fwrite(out, sizeof out, 1, stdout);
        fwrite(&score, sizeof score, 1, stdout);
    }
    return 0;
}
""")
    command = [compiler, *WARNINGS, "-O2", "-o", "program", "main.c", "-lm"]
    subprocess.run(command, check=True, cwd=tmp_path)
    with (tmp_path / "rows").open("rb") as rows:
        done = subprocess.run(
            [emulator, "-L", "/usr/aarch64-linux-gnu", "program"], stdin=rows, capture_output=True, cwd=tmp_path
        )
    assert (done.returncode, done.stderr) == (0, b"")
    row = np.dtype([("code", precision, 8), ("out", precision, 64), ("score", "f8")])
    found = np.frombuffer(done.stdout, row)
    same(found["code"], model.transform(X))
    same(found["out"], model.reconstruct(X))
    same(found["score"], model.score_samples(X))


# What an object file may ask for: operations that compilers call where they have no instruction, on any flags.
ASKED = {"copysign", "copysignf", "fma", "fmaf", "memcpy", "memset", "sqrt", "sqrtf"}


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm")
@pytest.mark.parametrize("number", range(len(EVERYTHING)))
def test_nothing_is_allocated_and_no_library_but_that_of_mathematics_called(tmp_path, number):
    EVERYTHING[number]().to_c(tmp_path / "model.c")
    for flags in ("-O0", "-O3 -DMODEL_EXACT"):  # arrays of a length that is not constant would be allocated, too
        command = ["gcc", *WARNINGS, *flags.split(), "-Wvla", "-Walloca", "-fno-stack-protector", "-c", "model.c"]
        subprocess.run(command, check=True, cwd=tmp_path)
        done = subprocess.run(["nm", "-u", "model.o"], check=True, capture_output=True, text=True, cwd=tmp_path)
        assert {line.split()[-1] for line in done.stdout.splitlines()} <= ASKED


@pytest.mark.parametrize("number", range(len(EVERYTHING)))
def test_sanitizers(tmp_path, number):
    """A program of its own, because a sanitizer must be in the process from the start; it prints a sum of results."""
    model = EVERYTHING[number]()
    text = model.to_c(tmp_path / "model.c")
    rows = {64: DIGITS, 30: CANCER}[int(re.search(r"N_FEATURES (\d+)", text)[1])][:50]
    if "impute" in text or getattr(model, "missing", "") == "mask":
        rows = np.where(np.random.default_rng(0).random(rows.shape) < 0.2, np.nan, rows)
    kind = "double" if "const double *x" in text or "typedef double" in text else "float"
    values = ", ".join(f"{x!r}" if np.isfinite(x) else "NAN" for x in rows.reshape(-1).tolist())
    calls, declared = [], []
    for result, name, arguments in re.findall(r"^(double|int|void) model_(\w+)\((.*)\);$", text, re.MULTILINE):
        if name == "decode":
            continue
        if result != "void":
            calls.append(f"sum += (double)model_{name}(x + i * {rows.shape[1]});")
            continue
        ctype = arguments.split(",")[-1].split("*")[0].strip()
        declared.append(f"static {ctype} out_{name}[4096];")
        calls.append(f"model_{name}(x + i * {rows.shape[1]}, out_{name}); sum += (double)out_{name}[0];")
        if name == "encode" and "model_decode" in text:
            declared.append(f"static {ctype} out_decode[4096];")
            calls.append("model_decode(out_encode, out_decode); sum += (double)out_decode[0];")
    assert len(calls) >= 1
    (tmp_path / "program.c").write_text(
        f'#include <stdio.h>\n#include <math.h>\n#define MODEL_ONLY_DECLARED\n#include "model.c"\n'
        f"static const {kind} x[] = {{{values}}};\n" + "\n".join(declared) + "\nint main(void) {\n"
        f"  double sum = 0.0;\n  for (int i = 0; i < {len(rows)}; i++) {{ {' '.join(calls)} }}\n"
        '  printf("%.17g\\n", sum);\n  return 0;\n}\n'
    )
    flags = ["-std=c99", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = ["gcc", *flags, "-o", tmp_path / "program", tmp_path / "program.c", tmp_path / "model.c", "-lm"]
    subprocess.run(command, check=True, capture_output=True)
    done = subprocess.run([tmp_path / "program"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert np.isfinite(float(done.stdout))
    assert float(done.stdout) != 0.0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("-O2 -ffast-math", "gives wrong numbers under -ffast-math"),
        ("-Ofast", "gives wrong numbers under -ffast-math"),
        ("-O2 -funsafe-math-optimizations", "gives wrong numbers under -ffast-math"),
        ("-O2 -ffinite-math-only", "gives wrong numbers under -ffast-math"),
        pytest.param(
            "-O2 -mfpmath=387",
            "needs float and double arithmetic of their own precision",
            marks=pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="x87 is x86's"),
        ),
    ],
)
def test_flags_that_would_give_wrong_numbers_are_refused(tmp_path, flags, message):
    model = autoenc.Autoencoder(2, max_iter=1, random_state=0).fit(np.random.default_rng(0).random((30, 4)))
    model.to_c(tmp_path / "model.c")
    done = subprocess.run(
        ["gcc", "-std=c99", *flags.split(), "-c", "-o", tmp_path / "model.o", tmp_path / "model.c"],
        capture_output=True,
        text=True,
    )
    assert done.returncode and message in done.stderr


@pytest.mark.skipif(shutil.which("clang") is None, reason="needs clang, which has no macro for these flags")
def test_clang_does_not_regroup_sums(tmp_path):
    model = autoenc.Autoencoder(2, activation="gelu", max_iter=1, random_state=0).fit(CANCER)
    model.to_c(tmp_path / "model.c")
    flags = ("", "-fassociative-math -fno-signed-zeros -fno-trapping-math")
    for number, more in enumerate(flags):
        command = ["clang", "-std=c99", "-O3", "-march=native", *more.split(), "-c", "model.c", "-o", f"{number}.o"]
        subprocess.run(command, check=True, cwd=tmp_path)
    (tmp_path / "main.c").write_text(
        '#define MODEL_ONLY_DECLARED\n#include "model.c"\n#include <stdio.h>\n'
        "int main(void) {\n    model_real x[MODEL_N_FEATURES];\n"
        "    for (int i = 0; i < MODEL_N_FEATURES; i++) x[i] = (model_real)(i * i % 7) / 3;\n"
        '    printf("%.17g\\n", model_score(x));\n    return 0;\n}\n'
    )
    found = []
    for number in range(len(flags)):
        subprocess.run(["clang", "-o", "main", "main.c", f"{number}.o", "-lm"], check=True, cwd=tmp_path)
        found.append(subprocess.run(["./main"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    assert found[0] == found[1]


def test_a_row_of_nan_is_no_inlier(tmp_path):
    rng = np.random.default_rng(0)
    model = autoenc.AutoencoderOutlierDetector(2, max_iter=2, random_state=0).fit(rng.random((60, 4)))
    X = np.vstack([rng.random((3, 4)), np.full((1, 4), np.nan)])
    assert Compiled(tmp_path, model).call("predict", X, returns=ctypes.c_int)[-1] == -1


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_of_nan_are_as_in_the_core(tmp_path, name):
    model = clone(NETWORKS[name]).fit(DIGITS[:1000])
    X = NAN_ROWS.astype("float32")
    code, restored, score = unchecked(model, X)
    assert np.isnan(score).tolist() == [False, True, True, False]
    made = Compiled(tmp_path, model)
    same(made.call("encode", X, out=code.shape[1], dtype="float32"), code)
    same(made.call("reconstruct", X, out=64, dtype="float32"), restored)
    same(made.call("score", X, returns=ctypes.c_double), score)
    if hasattr(model, "hash"):
        expected = np.packbits(code > 0, axis=1)
        same(made.call("hash", X, out=made.size("N_BYTES"), dtype="uint8"), expected)
        made.library.model_hash.restype = ctypes.c_int
        room = ctypes.create_string_buffer(made.size("N_BYTES"))
        assert [made.library.model_hash(ctypes.c_void_p(row.ctypes.data), room) for row in X] == [0, -1, -1, 0]
    if hasattr(model, "encode_indices"):
        found = made.call("encode_indices", X, out=len(model.codebooks_), dtype="int32")
        assert (found < 0).any(axis=1).tolist() == [False, True, True, False]
        same(found[[0, 3]], model.encode_indices(X[[0, 3]]))


@pytest.mark.parametrize(("classes", "none"), [(np.arange(10), -(2**63)), (np.array(list("abcdefghij")), None)])
def test_a_row_of_nan_has_no_class(tmp_path, classes, none):
    model = autoenc.AutoencoderClassifier(8, unlabeled_label=None, **small(fine_tune_max_iter=3))
    made = Compiled(tmp_path, model.fit(DIGITS[:1000], classes[LABELS[:1000]]))
    X = NAN_ROWS.astype("float32")
    numbers = made.call("predict", X, returns=ctypes.c_int)
    assert (numbers == -1).tolist() == [False, True, True, False]
    label = made.library.model_label
    label.restype = ctypes.c_int64 if none else ctypes.c_char_p
    assert [label(n) for n in (-1, 10)] == [none, none]
    proba = made.call("predict_proba", X, out=10, dtype="float32")
    assert np.isnan(proba).any(axis=1).tolist() == [False, True, True, False]
    np.testing.assert_array_equal(classes[numbers[[0, 3]]], model.predict(X[[0, 3]]))


PAINTED = """
#include <stdio.h>
#define MODEL_ONLY_DECLARED
#include "model.c"
enum { ROOM = 1 << 19 };
static model_real reals[2][1 << 14];
static double doubles[2][1 << 14];
__attribute__((noinline)) static void paint(void) {
    volatile unsigned char room[ROOM];
    for (int i = 0; i < ROOM; i++)
        room[i] = 90;
}
__attribute__((noinline)) static void show(const char *name) {
    volatile unsigned char room[ROOM];
    int i = 0;
    while (i < ROOM && room[i] == 90)
        i++;
    printf("%s %d\\n", name, ROOM - i);
}
int main(void) {
    for (int i = 0; i < 1 << 14; i++)
        reals[0][i] = (model_real)(doubles[0][i] = i % 7 ? 0.25 : 0.5);
CALLS
    return 0;
}
"""


def stack_of_calls(folder, text, compiler, flags):
    """Bytes below the caller that each public function writes to, the second time it is called, by name."""
    calls = []
    for name, arguments in re.findall(r"^(?:double|int|void) model_(\w+)\((.*)\);$", text, re.MULTILINE):
        if name == "label":
            continue
        pointers = []
        for one in arguments.split(", "):
            array = "doubles" if "double" in one else "reals"
            pointers.append(f"({one.rpartition('*')[0]}*){array}[{int(not one.startswith('const'))}]")
        call = f"model_{name}({', '.join(pointers)});"
        calls.append(f'    {call} paint(); {call} show("{name}");')
    (folder / "program.c").write_text(PAINTED.replace("CALLS", "\n".join(calls)))
    for command in (
        [compiler, "-std=c99", *flags.split(), "-c", "model.c"],
        ["gcc", "-std=c99", "-O1", "-w", "-Wl,-z,now", "-o", "program", "program.c", "model.o", "-lm"],
    ):
        subprocess.run(command, check=True, cwd=folder)
    done = subprocess.run(["./program"], cwd=folder, capture_output=True, text=True, check=True)
    return {name: int(n) for name, n in map(str.split, done.stdout.splitlines())}


STACKS = (
    lambda: autoenc.AutoencoderOutlierDetector(3, max_iter=2, missing="mask", random_state=0).fit(CANCER),
    lambda: autoenc.AutoencoderOutlierDetector(n_estimators=2, max_iter=2, random_state=0).fit(
        np.tile(DIGITS[:100], 4)
    ),
    lambda: autoenc.VariationalAutoencoder(4, likelihood="log_loss", missing="mask", **small()).fit(DIGITS),
    lambda: autoenc.VariationalAutoencoder(
        4, likelihood="negative_binomial", **small(precision="float64", learning_rate_init=1e-3)
    ).fit(COUNTS),
    lambda: clone(NETWORKS["columns"]).fit(DIGITS),
    lambda: clone(NETWORKS["layers"]).fit(DIGITS),
    lambda: autoenc.Autoencoder(1, hidden_layer_sizes=(2,), max_iter=1, random_state=0).fit(DIGITS[:, :3]),
    lambda: make_pipeline(StandardScaler(), autoenc.Autoencoder(4, **small())).fit(CANCER),
    lambda: autoenc.AutoencoderOutlierDetector(n_estimators=30, missing="mask", max_iter=1, random_state=0).fit(CANCER),
    lambda: autoenc.Autoencoder(
        3,
        encoder=[Dense(16), BatchNorm(), Residual([Dense(16), LayerNorm()])] * 15,
        max_iter=1,
        random_state=0,
    ).fit(CANCER),
)


@pytest.mark.parametrize("number", range(len(STACKS)))
def test_stack_is_at_most_what_is_stated(tmp_path, number):
    """Registers that are stored between, addresses of callers and functions of the C library included."""
    model = STACKS[number]()
    if hasattr(model, "steps"):
        autoenc.save(model, tmp_path / "model.safetensors")
        model = autoenc.load_predictor(tmp_path / "model.safetensors")
    text = model.to_c(tmp_path / "model.c")
    stated = int(re.search(r"STACK_BYTES (\d+)", text)[1])
    most = []
    for compiler in filter(shutil.which, ("gcc", "clang")):
        for flags in ("-O0", "-O2", "-O3", "-O3 -march=native"):
            used = stack_of_calls(tmp_path, text, compiler, flags)
            assert len(used) >= 4
            assert max(used.values()) <= stated, (compiler, flags, used)
            most.append(max(used.values()))
    assert max(most) > 0.25 * stated


def test_two_files_in_one_program_and_cplusplus(tmp_path):
    model = autoenc.Autoencoder(3, **small()).fit(SCALED)
    for prefix in ("first", "second"):
        model.to_c(tmp_path / f"{prefix}.c", prefix=prefix)
    (tmp_path / "both.c").write_text('#include "first.c"\n#include "second.c"\n')
    subprocess.run(["gcc", *WARNINGS, "-O1", "-c", "both.c"], check=True, cwd=tmp_path)
    (tmp_path / "program.cpp").write_text(
        '#define FIRST_ONLY_DECLARED\n#include "first.c"\n'
        "int main() { first_real x[FIRST_N_FEATURES] = {1}; return first_score(x) < 0 ? 0 : 1; }\n"
    )
    subprocess.run("gcc -O1 -c first.c && g++ program.cpp first.o -o program -lm", shell=True, check=True, cwd=tmp_path)
    assert subprocess.run([tmp_path / "program"]).returncode == 0


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_the_file_is_cplusplus_too(tmp_path, compiler):
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    detector = autoenc.AutoencoderOutlierDetector(n_estimators=2, max_iter=1, random_state=0).fit(CANCER)
    text = autoenc.Autoencoder(3, **small()).fit(SCALED).to_c(tmp_path / "net.c", prefix="net")
    detector.to_c(tmp_path / "monitor.c", prefix="monitor")
    assert "*net_restrict " in text
    (tmp_path / "program.cpp").write_text(
        '#include "net.c"\n#include "monitor.c"\n'
        "int main() { net_real x[NET_N_FEATURES] = {1}; return net_score(x) < 0 ? 0 : 1; }\n"
    )
    # Numbers are in hexadecimal, which C++ knows since 2017.
    warned = ["-std=c++17", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror"]
    subprocess.run([compiler, *warned, "-O1", "program.cpp", "-o", "program"], check=True, cwd=tmp_path)
    assert subprocess.run([tmp_path / "program"]).returncode == 0


def test_prefixes_that_differ_by_case_alone_are_refused_where_they_meet(tmp_path):
    model = autoenc.Autoencoder(3, **small()).fit(SCALED)
    for prefix in ("iris", "Iris"):
        model.to_c(tmp_path / f"{prefix} of {prefix[0]}.c", prefix=prefix)
    model.to_c(tmp_path / "only.c", prefix="iris_only")
    (tmp_path / "all.c").write_text('#include "only.c"\n#include "iris of i.c"\nint unused = IRIS_N_FEATURES;\n')
    subprocess.run(["gcc", *WARNINGS, "-c", "all.c"], check=True, cwd=tmp_path)
    symbols = subprocess.run(["nm", "all.o"], check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert re.search(" T iris_encode$", symbols, re.MULTILINE) and re.search(
        " T iris_only_encode$", symbols, re.MULTILINE
    )
    for first, second in (("iris of i", "Iris of I"), ("Iris of I", "iris of i"), ("iris of i", "iris of i")):
        define = "#define IRIS_ONLY_DECLARED\n"
        (tmp_path / "both.c").write_text(f'{define}#include "{first}.c"\n#include "{second}.c"\nint unused;\n')
        done = subprocess.run(["gcc", *WARNINGS, "-c", "both.c"], capture_output=True, text=True, cwd=tmp_path)
        assert (done.returncode == 0) == (first == second), done.stderr
        assert ("two models have prefixes whose macros begin with IRIS_" in done.stderr) == (first != second)


def test_a_predictor_gives_the_same_file():
    model = autoenc.Autoencoder(3, **small()).fit(SCALED)
    title = "A fitted Autoencoder."
    assert title in model.to_c()
    assert model.predictor().to_c() == model.to_c().replace(title, "A fitted Predictor.")


def test_what_is_refused():
    with pytest.raises(NotFittedError):
        autoenc.Autoencoder(3).to_c()
    with pytest.raises(NotFittedError):
        autoenc.AutoencoderImputer().to_c()
    model = autoenc.Autoencoder(3, **small()).fit(SCALED)
    for prefix in ("", "2d", "a-b", "int", "double", None, "x;"):
        with pytest.raises(ValueError, match=rf"prefix is {prefix!r}; allowed are names of C: .*; no keyword$"):
            model.to_c(prefix=prefix)
    drawing = autoenc.AutoencoderImputer(3, sample_posterior=True, **small()).fit(np.where(SCALED > 2, np.nan, SCALED))
    with pytest.raises(NotImplementedError, match="sample_posterior=False"):
        drawing.to_c()
    for label in ("a\0b", "\ud800"):
        y = np.array(["plain", label], dtype=object)[np.arange(len(SCALED)) % 2]
        classifier = autoenc.AutoencoderClassifier(2, **small(max_iter=1, fine_tune_max_iter=1)).fit(SCALED, y)
        with pytest.raises(NotImplementedError, match=r"the class .* is no string of C: it has a NUL or half"):
            classifier.to_c()
    from autoenc._export_c import Body, Source, evaluate
    from autoenc._export_c_models import write
    from autoenc._export_network import Network

    with pytest.raises(TypeError, match="fitted estimators of autoenc"):
        write(LogisticRegression(), "model")
    nodes = [
        _spec.Node(kind="input", name="x", inputs=(), fields={"width": 3, "source": 0}),
        _spec.Node(kind="convolution", name="c", inputs=("x",), fields={}),
    ]
    net = Network(nodes, {}, np.dtype(np.float32))
    with pytest.raises(NotImplementedError, match="kind 'convolution', 'c', which cannot be written as C"):
        evaluate(Body(Source("model", np.float32), net), ["c"], {"x": "x"})


def test_numbers_are_those_of_the_core(checkout):
    text = (checkout / "csrc" / "math" / "coefficients.h").read_text(encoding="utf-8")
    for bits, part in zip((32, 64), text.split("#else"), strict=True):
        for name, found in _export_functions.COEFFICIENTS[bits].items():
            if name in ("ln2_high", "ln2_low", "tail_centre"):
                expected = re.search(rf"#define VF_{name.upper()} \(\(real\)(.*?)\)", part)[1].split()
            elif name == "stirling":
                source = (checkout / "csrc" / "math" / "gamma.h").read_text(encoding="utf-8")
                series = re.search(r"vf_stirling_rest.*?c\[\] = \{(.*?)\};", source, re.DOTALL)[1]
                fractions = re.findall(r"\(real\)\((\S+) / (\S+)\)", series)
                assert len(fractions) == 8
                numbers = [float(a) / float(b) for a, b in fractions]
                real = np.float32 if bits == 32 else np.float64
                expected = [float(real(one)).hex() for one in numbers[: bits // 8]]
            else:
                body = re.search(rf"vf_{name}_c\[\] = \{{(.*?)\}};", part, re.DOTALL)[1]
                expected = re.findall(r"\(real\)(\S+),", body)
            assert [float.fromhex(c) for c in found.split()] == [float.fromhex(c) for c in expected]
