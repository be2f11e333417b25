"""Weights and means of several losses, and predictors of several terms, by way of the core."""

import numpy as np
import pytest

from autoenc import _core, _spec

ROWS, WIDTH = 60, 5


def graph():
    made = _spec.Graph()
    made.add("input", "x", width=WIDTH, source=0)
    made.add("dense", "code", "x", width=2, activation="tanh")
    made.add("dense", "reconstruction", "code", width=WIDTH, activation="identity")
    made.term("squared_error", "reconstruction", "x")
    made.term("absolute_error", "code", weight=0.25)
    return _spec.node_array(made.nodes), _spec.loss_array(made.objective, made.nodes)


def trainer(**changes):
    nodes, losses = graph()
    stages = np.zeros(1, _spec.STAGE)
    stages["last_node"], stages["n_losses"], stages["groups"] = len(nodes) - 1, len(losses), 1
    stages["rule"], stages["rate_factor"] = _core.RULES.index("adam"), 1.0
    for name, value in changes.items():
        losses[name] = value
    made = _core.Trainer(nodes, losses, stages, precision=64, n_threads=1, batch_size=16, rate=0.02)
    made.initialize()
    return made


def data():
    return np.random.default_rng(3).normal(size=(ROWS, WIDTH))


def test_term_losses_add_up_and_follow_the_weights():
    made = trainer()
    made.bind(0, (data(),))
    assert np.isnan(made.term_losses()).all()
    for weight in (0.25, 2.0, 0.0):
        made.set_loss_weight(1, weight)
        loss = made.epoch()[0]
        terms = made.term_losses()
        assert terms.shape == (2,) and terms.dtype == np.float64 and (terms > 0).all()
        assert loss == pytest.approx(terms[0] + weight * terms[1], rel=1e-13)


def test_weights_change_what_is_learnt():
    codes = []
    for weight in (0.0, 5.0):
        made = trainer()
        made.bind(0, (data(),))
        made.set_loss_weight(1, weight)
        for _ in range(30):
            made.epoch()
        codes.append(made.term_losses()[1])
    assert codes[1] < 0.5 * codes[0]


@pytest.mark.parametrize(
    ("index", "weight", "match"),
    [(2, 1.0, "there are 2"), (-1, 1.0, "there are 2"), (0, -1.0, "weight is -1"), (0, np.nan, "weight is nan")],
)
def test_wrong_weights_are_refused(index, weight, match):
    with pytest.raises(ValueError, match=match):
        trainer().set_loss_weight(index, weight)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"second": 1}, "predicts one parameter"),
        ({"entry_weight": 7}, "entry_weight is 7"),
        ({"loss": _core.LOSSES.index("sum"), "target": 0}, "takes none"),
        ({"loss": _core.LOSSES.index("gaussian")}, "needs the node of the second"),
    ],
)
def test_wrong_terms_are_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        trainer(**changes)


def test_predictor_of_two_terms():
    nodes, losses = graph()
    made = trainer()
    weights = [made.get(i) for i in range(len(made.parameters()))]
    predictor = _core.Predictor(nodes, weights, precision=64, losses=losses)
    X = data()
    code, output = predictor.run((X,), 1), predictor.run((X,), 2)
    terms = predictor.run((X,), -1, _core.TERMS)
    assert terms.shape == (ROWS, WIDTH + 2)
    np.testing.assert_allclose(terms[:, :WIDTH], (output - X) ** 2, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(terms[:, WIDTH:], np.abs(code), rtol=1e-12)
    expected = terms[:, :WIDTH].mean(1) + 0.25 * terms[:, WIDTH:].mean(1)
    np.testing.assert_allclose(predictor.run((X,), -1, _core.LOSS), expected, rtol=1e-12)
    # Normal with variance 1/2 for the reconstruction, Laplace's for the code, in nats.
    nll = (terms[:, :WIDTH] + 0.5 * np.log(np.pi)).sum(1) + 0.25 * (terms[:, WIDTH:] + np.log(2.0)).sum(1)
    np.testing.assert_allclose(predictor.run((X,), -1, _core.NLL), nll, rtol=1e-12)
    without = _core.Predictor(nodes, weights, precision=64)
    with pytest.raises(ValueError, match="made without one"):
        without.run((X,), -1, _core.LOSS)
    np.testing.assert_array_equal(without.run((X,), 1), code)


def test_flags_of_losses():
    flags = {
        name: (second, target, entries)
        for name, second, target, entries in zip(
            _core.LOSSES, _core.LOSS_HAS_SECOND, _core.LOSS_HAS_TARGET, _core.LOSS_WEIGHS_ENTRIES, strict=True
        )
    }
    assert flags["squared_error"] == (False, True, True)
    assert flags["multinomial"] == (False, True, False)
    assert flags["sum"] == (False, False, True)
    assert flags["gaussian"] == flags["negative_binomial"] == (True, True, True)
    assert set(_spec.PLAIN_LOSSES).isdisjoint({"sum", "gaussian", "negative_binomial"})
