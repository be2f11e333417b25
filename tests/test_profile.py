"""``AUTOENC_PROFILE=1``: the account of a fit adds up, counts what the shapes say, and changes nothing."""

import re
import time

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from autoenc import Autoencoder, VariationalAutoencoder, _profile
from autoenc.layers import BatchNorm, Dense
from autoenc.sparsity import TopK

pytestmark = pytest.mark.filterwarnings("ignore:lbfgs has not converged")
ROWS, FEATURES = 96, 40
COMMON = {"n_components": 5, "max_iter": 3, "batch_size": 32, "random_state": 0, "n_jobs": 1}
CASES = {
    "dense": (Autoencoder, {"hidden_layer_sizes": (24,), "early_stopping": True, "validation_fraction": 0.25}),
    "late": (Autoencoder, {"encoder": [Dense(24), BatchNorm()], "clip_norm": 0.1, "max_norm": 1.0}),
    "lbfgs": (Autoencoder, {"hidden_layer_sizes": (24,), "solver": "lbfgs"}),
    "kfac": (Autoencoder, {"hidden_layer_sizes": (24,), "solver": "kfac"}),
    "top_k": (Autoencoder, {"n_components": 64, "hidden_layer_sizes": (), "sparsity": TopK(4)}),
    "iwae": (VariationalAutoencoder, {"hidden_layer_sizes": (16,), "objective": "iwae", "n_importance_samples": 4}),
    "csr": (Autoencoder, {"hidden_layer_sizes": (24,), "loss": "multinomial"}),
}


def rows_of(case):
    rng = np.random.default_rng(0)
    if case != "csr":
        return rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
    return sp.csr_array(rng.poisson(0.15, size=(ROWS, FEATURES)).astype(np.float32))


def fitted(case, **parameters):
    kind, own = CASES[case]
    return kind(**{**COMMON, **own, **parameters}).fit(rows_of(case))


@pytest.fixture
def taken(monkeypatch):
    """What each training has told, in place of the table."""
    monkeypatch.setenv("AUTOENC_PROFILE", "1")
    accounts = []
    monkeypatch.setattr(_profile, "show", lambda account, label: accounts.append(account))
    return accounts


def row(account, phase, subject=""):
    (found,) = [r for r in account[4] if r[:2] == (phase, subject)]
    return found


@pytest.mark.parametrize("value", [None, "0", ""])
def test_silent_unless_asked(value, monkeypatch, capfd):
    monkeypatch.delenv("AUTOENC_PROFILE", raising=False)
    if value is not None:
        monkeypatch.setenv("AUTOENC_PROFILE", value)
    fitted("dense")
    assert capfd.readouterr() == ("", "")


def test_table_on_standard_error_adds_up(monkeypatch, capsys):
    monkeypatch.setenv("AUTOENC_PROFILE", "1")
    fitted("dense", max_iter=20)
    out, err = capsys.readouterr()
    assert out == ""
    head, titles, *lines = err.splitlines()
    whole = (
        r"\[Autoencoder\] profile: [\d.]+ s, (\d+) steps of ([\d.]+) ms, 1 thread, products at most [\d.]+ GFLOP/s each"
    )
    steps, step = re.fullmatch(whole, head).groups()
    assert int(steps) == 20 * 3  # 72 rows by 32
    assert re.split("  +", titles) == ["stage", "calls", "ms/step", "share", "GFLOP/s", "GB/s", "of roof"]
    stages = {re.split("  +", line)[0]: re.split("  +", line)[1:] for line in lines}
    named = {
        "gather",
        "forward code",
        "backward code",
        "weights code",
        "update code",
        "loss squared_error",
        "evaluation",
    }
    assert named <= set(stages)
    assert sum(float(columns[1]) for columns in stages.values()) == pytest.approx(float(step), abs=1e-4 * len(stages))
    assert sum(float(columns[2].rstrip("%")) for columns in stages.values()) == pytest.approx(
        100, abs=0.06 * len(stages)
    )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_times_are_within_the_fit(case, threads, taken):
    start = time.perf_counter()
    fitted(case, n_jobs=threads)
    wall = time.perf_counter() - start
    (account,) = taken
    steps, used, seconds, roof, rows = account
    assert steps > 0 and 1 <= used <= threads and roof > 0
    assert all(r[2] > 0 and r[3] >= 0 for r in rows)
    known = sum(r[3] for r in rows)
    assert 0 < known <= seconds * (1 + 1e-6) <= wall


# Panels of 32 columns of each node with weights, and what is called otherwise, in 9 steps of three epochs.
NETWORK = {"encoder_0": 1, "code": 1, "decoder_0": 1, "reconstruction": 2}
CALLS = {
    "dense": (NETWORK, {"loss squared_error": 9, "evaluation": 3}),
    "late": (
        {**NETWORK, "encoder_1": 1, "decoder_1": 1},
        {
            "loss squared_error": 9,
            "coupling encoder_1": 18,
            "coupling decoder_1": 18,
            "norms, limits": 18,
            "assigned": 9,
        },
    ),
    "top_k": (
        {"code": 2, "reconstruction": 2},
        {"loss squared_error": 9, "forward code_selected": 9, "backward code_selected": 9, "assigned": 9},
    ),
    "csr": (NETWORK, {"loss multinomial": 9}),
    # The loss is looked at again after each of the first five steps. Ten tiles of averages and a block of derivatives
    # for them in every other step, a block of roots in each; four pairs of inverses in each of the first three; in all
    # steps two products of five panels, the gradients and sums of five panels, and the derivatives of five panels along
    # the direction and, but for the first step, along the step before.
    "kfac": (
        NETWORK,
        {
            **dict.fromkeys(("gather", "loss squared_error", "sums of losses"), 14),
            **{f"forward {node}": 14 for node in NETWORK},
            **{f"update {node}": 9 * panels for node, panels in NETWORK.items()},
            **{"curvature": 5 * (10 + 1) + 9, "inverses": 3 * 8, "direction": 9 * (2 * 5 + 2 * 5) + (9 + 8) * 5},
        },
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_every_stage_is_called_as_often_as_there_is_work_for_it(case, taken):
    fitted(case)
    (account,) = taken
    nodes, others = CALLS[case]
    calls = {"gather": 9, "sums of losses": 9, "pairs by column": 9, "snapshot": 3}
    for node, panels in nodes.items():
        # Weights and biases are tasks of their own, panel by panel.
        calls |= {f"forward {node}": 9, f"backward {node}": 9}
        calls |= {f"weights {node}": 9 * 2 * panels, f"update {node}": 9 * 2 * panels}
    assert {f"{r[0]} {r[1]}".strip(): r[2] for r in account[4]} == calls | others


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_same_bits(case, threads, monkeypatch, capsys):
    monkeypatch.delenv("AUTOENC_PROFILE", raising=False)
    plain = fitted(case, n_jobs=threads)
    monkeypatch.setenv("AUTOENC_PROFILE", "1")
    profiled = fitted(case, n_jobs=threads)
    assert "profile" in capsys.readouterr().err
    assert plain.loss_curve_ == profiled.loss_curve_
    for a, b in zip(plain.coefs_ + plain.intercepts_, profiled.coefs_ + profiled.intercepts_, strict=True):
        assert_array_equal(a, b)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_counts_are_those_of_the_shapes(precision, taken):
    size = {"float32": 4, "float64": 8}[precision]
    fitted("dense", early_stopping=False, precision=precision, solver="adam")
    (account,) = taken
    passed = 3 * ROWS
    product = 2 * FEATURES * 24
    (hidden,) = {r[1] for r in account[4] if r[0] == "forward" and r[4] == passed * product} - {"reconstruction"}
    for phase in ("forward", "weights"):
        assert row(account, phase, hidden)[4] == passed * product
        assert row(account, phase, "code")[4] == passed * 2 * 24 * 5
    assert row(account, "backward", hidden)[4] == 0  # nobody wants the gradient of the data
    assert row(account, "backward", "code")[4] == passed * 2 * 24 * 5
    steps = 9
    assert account[0] == steps
    # Input and output once, the weights once a minibatch.
    values, weights = passed * (FEATURES + 24), FEATURES * 24 + 24
    assert row(account, "forward", hidden)[5] == size * (values + steps * weights)
    assert row(account, "loss", "squared_error")[5] == size * 3 * passed * FEATURES
    # Whole panels of 32: parameter and two moments, read and written, and the transpose, which the first layer has not.
    assert row(account, "update", hidden)[5] == size * steps * 6 * 32 * (FEATURES + 1)
    assert row(account, "update", "code")[5] == size * steps * 32 * (7 * 24 + 6)


def test_counts_of_pairs_are_those_of_the_nonzeros(taken):
    fitted("csr", hidden_layer_sizes=())
    (account,) = taken
    X = rows_of("csr")
    assert row(account, "forward", "code")[4] == pytest.approx(2 * 3 * X.nnz * 5)
    assert row(account, "weights", "code")[4] == pytest.approx(2 * 3 * X.nnz * 5)
    assert row(account, "weights", "reconstruction")[4] == 2 * 3 * ROWS * 5 * FEATURES
