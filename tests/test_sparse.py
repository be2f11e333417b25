"""Sparse codes: each kind is as sparse as it says, dead latents are counted and revived, the parts go together."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from autoenc import Autoencoder, SparseAutoencoder
from autoenc.losses import ColumnLoss
from autoenc.sparsity import KL, L1, BatchTopK, Gated, JumpReLU, Matryoshka, TopK

KINDS = {
    "L1": (L1(0.01), "relu"),
    "KL": (KL(0.05), "logistic"),
    "KL running": (KL(0.05, running=True), "logistic"),
    "TopK": (TopK(4), "identity"),
    "BatchTopK": (BatchTopK(4), "identity"),
    "JumpReLU": (JumpReLU(0.003, bandwidth=0.1, threshold=0.1), "identity"),
    "Gated": (Gated(0.003), "identity"),
    "Matryoshka": (Matryoshka((8, 16)), "relu"),
    "Matryoshka of TopK": (Matryoshka((8, 16), sparsity=TopK(4)), "identity"),
}


@pytest.fixture(scope="module")
def X():
    return (load_digits().data[:600] / 16).astype(np.float32)


def model(sparsity, activation="identity", **parameters):
    defaults = {"hidden_layer_sizes": (), "max_iter": 20, "random_state": 0}
    return Autoencoder(32, sparsity=sparsity, latent_activation=activation, **{**defaults, **parameters})


def active(codes):
    return (codes != 0).sum(axis=1)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_learns(X, kind):
    fitted = model(*KINDS[kind], max_iter=40).fit(X)
    mean = ((X - X.mean(axis=0)) ** 2).mean()
    assert -fitted.score(X) < 0.6 * mean
    assert fitted.transform(X).shape == (600, 32)
    assert_array_equal(fitted.inverse_transform(fitted.transform(X)), fitted.reconstruct(X))
    assert isinstance(fitted.dead_latents_, np.ndarray)


def test_top_k_keeps_k(X):
    codes = model(TopK(4)).fit(X).transform(X)
    assert active(codes).max() == 4
    assert (codes >= 0).all()
    signed = model(TopK(4, relu=False)).fit(X).transform(X)
    assert set(active(signed)) == {4}


def test_batch_top_k_keeps_k_in_the_mean(X):
    codes = model(BatchTopK(4, momentum=0.05)).fit(X).transform(X)
    assert active(codes).mean() == pytest.approx(4, rel=0.15)
    assert len(set(active(codes))) > 1


def test_the_penalty_of_l1_shrinks_the_sum_of_the_code(X):
    sums = [np.abs(model(L1(weight), "relu").fit(X).transform(X)).sum(axis=1).mean() for weight in (0.0, 1e-3, 1e-2)]
    assert sums[0] > sums[1] > sums[2]


def test_the_penalty_of_kl_moves_the_mean_activity(X):
    free = model(KL(0.1, 0.0), "logistic", max_iter=60).fit(X).transform(X).mean()
    held = model(KL(0.1, 1.0), "logistic", max_iter=60).fit(X).transform(X).mean(axis=0)
    assert abs(free - 0.1) > 0.1
    assert_allclose(held, 0.1, atol=0.03)


@pytest.mark.parametrize("kind", [JumpReLU, Gated])
def test_a_larger_weight_leaves_fewer_latents(X, kind):
    more = {"bandwidth": 0.1, "threshold": 0.1} if kind is JumpReLU else {}
    counts = [active(model(kind(weight, **more), max_iter=60).fit(X).transform(X)).mean() for weight in (1e-4, 1e-2)]
    assert 0 < counts[1] < 0.7 * counts[0]


def test_prefixes_of_a_matryoshka_reconstruct(X):
    def error_of_prefix(fitted, n):
        codes = fitted.transform(X).copy()
        codes[:, n:] = 0
        return ((fitted.inverse_transform(codes) - X) ** 2).mean()

    nested = model(Matryoshka((4, 8)), max_iter=60).fit(X)
    plain = model(None, max_iter=60).fit(X)
    for n in (4, 8):
        assert error_of_prefix(nested, n) < 0.6 * error_of_prefix(plain, n)
    assert error_of_prefix(nested, 4) > error_of_prefix(nested, 8) > error_of_prefix(nested, 32)


def test_top_k_of_all_is_no_sparsity(X):
    for precision in ("float32", "float64"):
        plain = model(None, precision=precision).fit(X)
        for k in (32, 1000):
            full = model(TopK(k, relu=False), precision=precision).fit(X)
            for a, b in zip((*plain.coefs_, *plain.intercepts_), (*full.coefs_, *full.intercepts_), strict=True):
                assert_array_equal(a, b)
            assert_array_equal(plain.transform(X), full.transform(X))


def test_dead_latents_are_counted_and_revived(X):
    wide = {"n_components": 256, "max_iter": 60}
    left = model(TopK(2, dead_after=1200)).set_params(**wide).fit(X)
    helped = model(TopK(2, aux_k=64, dead_after=1200)).set_params(**wide).fit(X)
    assert len(helped.dead_latents_) < 0.9 * len(left.dead_latents_)
    assert helped.score(X) > left.score(X)
    # Those that are named dead are never active.
    assert not left.transform(X)[:, left.dead_latents_].any()
    # The counters are state that pickles and warm starts keep; a counter is of training rows.
    since = left.other_parameters_["code_selected.since"]
    assert_array_equal(left.dead_latents_, np.flatnonzero(since[0] >= 1200))
    assert since.max() <= 60 * 600


@pytest.mark.parametrize(
    ("kind", "loss"), [(TopK, "squared_error"), (BatchTopK, "squared_error"), (TopK, "log_loss"), (TopK, "poisson")]
)
def test_the_auxiliary_loss_is_that_of_numpy(X, kind, loss):
    """One step of plain gradient descent on all rows, with dead latents, by hand."""
    rows, rate, k, aux_k, aux_weight, dead_after = X[:150].astype(float), 0.5, 3, 5, 0.7, 150
    fitted = model(
        kind(k, aux_k=aux_k, aux_weight=aux_weight, dead_after=dead_after),
        loss=loss,
        precision="float64",
        solver="sgd",
        momentum=0.0,
        learning_rate="constant",
        learning_rate_init=rate,
        warmup_fraction=0.0,
        alpha=0.0,
        batch_size=150,
        max_iter=1,
        warm_start=True,
    ).fit(rows)  # what this first step leaves unused is dead in the second
    (encoder, decoder), (bias, output_bias) = fitted.coefs_, fitted.intercepts_
    before = [part.copy() for part in (encoder, decoder, bias, output_bias)]
    dead = fitted.other_parameters_["code_selected.since"][0] >= dead_after
    assert aux_k < dead.sum() < 30

    pre = rows @ encoder + bias
    ranked = pre if kind is TopK else pre.ravel()
    least = np.partition(ranked, -k if kind is TopK else -k * len(rows), axis=-1)
    least = least[:, -k, np.newaxis] if kind is TopK else least[-k * len(rows)]
    kept = (pre >= least) & (pre > 0)
    among = np.where(dead, pre, -np.inf)
    revived = (among >= np.partition(among, -aux_k, axis=1)[:, -aux_k, np.newaxis]) & (pre > 0)
    assert revived.any()
    code, auxiliary = pre * kept, pre * revived
    link = {"squared_error": lambda a: a, "log_loss": expit, "poisson": np.exp}[loss]
    residual = rows - link(code @ decoder + output_bias)
    of_output = -(2 if loss == "squared_error" else 1) / rows.size * residual
    of_auxiliary = 2 / rows.size * aux_weight * (auxiliary @ decoder - residual)
    of_pre = (of_output @ decoder.T) * kept + (of_auxiliary @ decoder.T) * revived
    gradients = (
        rows.T @ of_pre,
        code.T @ of_output + auxiliary.T @ of_auxiliary,
        of_pre.sum(axis=0),
        of_output.sum(axis=0),
    )

    fitted.fit(rows)
    after = (*fitted.coefs_, *fitted.intercepts_)
    for old, new, gradient in zip(before, after, gradients, strict=True):
        assert_allclose(old - new, rate * gradient, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("tied", [False, True])
def test_centred_columns_leave_fewer_latents_unused(X, tied):
    wide = {"n_components": 128, "tied_weights": tied}
    plain, centred = (model(TopK(8, dead_after=600)).set_params(**wide).fit(rows) for rows in (X, X - X.mean(axis=0)))
    assert len(centred.dead_latents_) < 0.5 * len(plain.dead_latents_)
    assert centred.score(X - X.mean(axis=0)) > plain.score(X)


def test_dead_latents_of_penalties(X):
    fitted = model(L1(0.3), "relu", max_iter=40).fit(X)
    assert_array_equal(fitted.dead_latents_, np.flatnonzero(~fitted.transform(X).any(axis=0)))


@pytest.mark.parametrize("sparsity", [L1(0.01), TopK(4), Gated(0.003)])
def test_tied_weights(X, sparsity):
    fitted = model(sparsity, tied_weights=True).fit(X)
    assert len(fitted.coefs_) == 1
    by_hand = fitted.transform(X).astype(float) @ fitted.coefs_[0].T.astype(float) + fitted.intercepts_[-1]
    assert_allclose(fitted.reconstruct(X), by_hand, atol=1e-5)


def test_unit_norm_decoder(X):
    for parameters in ({}, {"hidden_layer_sizes": (20,)}, {"sparsity": Gated(0.003)}, {"sparsity": TopK(4, aux_k=8)}):
        fitted = model(**{"sparsity": L1(0.01), "unit_norm_decoder": True, **parameters}).fit(X)
        decoder = fitted.coefs_[len(fitted.coefs_) // 2]
        assert_allclose(np.linalg.norm(decoder, axis=1), 1.0, rtol=1e-5)
    free = model(L1(0.01)).fit(X)
    assert np.abs(np.linalg.norm(free.coefs_[1], axis=1) - 1).max() > 0.01


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"unit_norm_decoder": True, "tied_weights": True}, "unit_norm_decoder=True does not go with tied_weights"),
        ({"unit_norm_decoder": True, "max_norm": 1.0}, "unit_norm_decoder=True does not go with max_norm"),
        ({"unit_norm_decoder": True, "solver": "lbfgs"}, "unit_norm_decoder=True does not go with solver='lbfgs'"),
        ({"sparsity": TopK(3), "solver": "lbfgs"}, r"sparsity=TopK\(k=3\) does not go with solver='lbfgs'"),
        ({"sparsity": TopK(0)}, "'k' parameter of TopK"),
        ({"sparsity": TopK(3), "latent_activation": "relu"}, "latent_activation='relu' does not go with sparsity"),
        ({"sparsity": KL()}, "latent_activation='identity' does not go with sparsity"),
        ({"sparsity": TopK(3, aux_k=3), "hidden_layer_sizes": (5,)}, "with aux_k needs a decoder of one linear layer"),
        ({"sparsity": Matryoshka((2,), sparsity=TopK(3, aux_k=3))}, "with aux_k does not go with Matryoshka"),
        ({"sparsity": TopK(3, aux_k=3), "loss": "multinomial"}, "does not go with the loss of 'multinomial'"),
        (
            {"sparsity": TopK(3, aux_k=3), "loss": ColumnLoss([("a", "log_loss", [0])])},
            "does not go with the loss of 'log_loss', 'squared_error'",
        ),
        ({"sparsity": 3}, "'sparsity' parameter of Autoencoder"),
    ],
)
def test_errors_name_the_parameter(X, parameters, message):
    with pytest.raises(ValueError, match=message):
        Autoencoder(8, **{"hidden_layer_sizes": (), **parameters}).fit(X)


def test_a_condition_has_no_norm(X):
    with pytest.raises(ValueError, match="unit_norm_decoder=True does not go with condition"):
        Autoencoder(4, unit_norm_decoder=True).fit(X, condition=X[:, :2])


def test_the_named_estimator(X):
    fitted = SparseAutoencoder(48, k=5, max_iter=20, random_state=0).fit(X)
    assert active(fitted.transform(X)).max() == 5
    assert SparseAutoencoder(48, k=None, sparsity=L1(), max_iter=2).fit(X).dead_latents_.size == 0
    hidden = SparseAutoencoder(48, k=5, hidden_layer_sizes=(20,), max_iter=2, random_state=0).fit(X)
    # The auxiliary loss is there where it can be.
    for parameters, revives in (
        ({}, True),
        ({"loss": "log_loss"}, True),
        ({"loss": "poisson", "output_activation": "exp"}, True),
        ({"loss": "multinomial"}, False),
        ({"output_activation": "logistic"}, False),
        ({"loss": ColumnLoss([("a", "log_loss", [0])])}, False),
        ({"loss": ColumnLoss([("a", "huber", [0])])}, True),
    ):
        names = [node["name"] for node in SparseAutoencoder(8, k=2, max_iter=1, **parameters).fit(X)._spec["nodes"]]
        assert ("aux_reconstruction" in names) == revives, parameters
    assert active(hidden.transform(X)).max() <= 5
    with pytest.raises(ValueError, match=r"k=5 and sparsity=L1\(\) both say what is kept.* k=None for sparsity"):
        SparseAutoencoder(k=5, sparsity=L1()).fit(X)


def test_a_part_takes_the_place_of_the_default(X):
    part = SparseAutoencoder(48, sparsity=TopK(3), max_iter=3, random_state=0)
    said = clone(part).set_params(k=None)
    assert_array_equal(part.fit(X).coefs_[0], said.fit(X).coefs_[0])
    assert active(part.transform(X)).max() == 3
    search = GridSearchCV(part.set_params(max_iter=15), {"sparsity__k": [1, 8]}, cv=2).fit(X)
    assert search.best_params_ == {"sparsity__k": 8}
    assert active(search.transform(X)).max() == 8


@pytest.mark.parametrize("sparsity", [None, TopK(3), BatchTopK(3), Matryoshka((4,), sparsity=TopK(3))])
def test_the_widest_choice(X, sparsity):
    with pytest.raises(ValueError, match=r"n_components=16777217 does not .*allowed: 1 to 16777216"):
        SparseAutoencoder(2**24 + 1, sparsity=sparsity).fit(X)


def test_the_default_is_that_of_the_class(X):
    class Sparser(SparseAutoencoder):
        def __init__(self, n_components=48, *, k=2, sparsity=None, max_iter=1):
            super().__init__(n_components, k=k, sparsity=sparsity, max_iter=max_iter)

    assert active(Sparser(sparsity=TopK(3)).fit(X).transform(X)).max() == 3
    with pytest.raises(ValueError, match="k=16 and sparsity"):
        Sparser(k=16, sparsity=TopK(3)).fit(X)


def test_parameters_of_parts_are_searched(X):
    search = GridSearchCV(model(TopK(1)), {"sparsity__k": [1, 8]}, cv=2).fit(X)
    assert search.best_params_ == {"sparsity__k": 8}
    assert active(search.transform(X)).max() == 8
    search = GridSearchCV(model(None), {"sparsity": [TopK(1), TopK(8)]}, cv=2).fit(X)
    assert search.best_params_["sparsity"].k == 8
    one = model(TopK(1))
    assert clone(one).set_params(sparsity__k=3).sparsity.k == 3
    assert one.sparsity.k == 1
