"""Parameter objects of contraction and other penalties, and the graphs that they mean, against NumPy."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.base import clone

from autoenc import _core, _spec
from autoenc._dense_layers import Layer, keeps_sum
from autoenc._spec import Graph
from autoenc.contraction import Contraction
from autoenc.penalties import Decorrelation, Orthogonality, PredictiveSparse

FUNCTIONS = {
    "tanh": np.tanh,
    "logistic": lambda a: 1 / (1 + np.exp(-a)),
    "silu": lambda a: a / (1 + np.exp(-a)),
    "identity": lambda a: a,
}


def autoencoder(widths, activations):
    """Nodes x, layer_0 ..., reconstruction of the last layer, the layers as a penalty sees them, the code."""
    graph = Graph()
    layers, source = [], graph.add("input", "x", width=widths[0])
    for i, (inputs, units) in enumerate(pairwise(widths)):
        split = keeps_sum(activations[i])
        name = graph.add("dense", f"layer_{i}", source, width=units, activation="identity" if split else activations[i])
        layers.append(Layer(name, source, inputs, units, activations[i]))
        source = graph.add("activation", f"value_{i}", name, activation=activations[i]) if split else name
    graph.add("dense", "reconstruction", source, width=widths[0], activation="identity")
    return graph, layers, source


def trainer(graph, x):
    """Gradients are kept."""
    stages = np.zeros(1, _spec.STAGE)
    stages["last_node"], stages["n_losses"], stages["groups"] = len(graph.nodes) - 1, len(graph.objective), 1
    stages["rate_factor"], stages["rule"] = 1.0, _core.RULES.index("sgd")
    nodes, losses = _spec.node_array(graph.nodes), _spec.loss_array(graph.objective, graph.nodes)
    made = _core.Trainer(nodes, losses, stages, precision=64, n_threads=1, batch_size=len(x), clip_norm=1e300)
    made.bind(0, [x])
    made.initialize()
    return made


def penalised(graph, x, part, *arguments):
    part._add(graph, *arguments)
    return trainer(graph, x)


def weights(made):
    return {name: made.get(i) for i, (name, _, _) in enumerate(made.parameters())}


def encode(values, layers, x):
    for layer in layers:
        a = x @ values[f"{layer.node}.weight"] + values[f"{layer.node}.bias"]
        x = FUNCTIONS[layer.activation](a)
    return x


def jacobian(values, layers, x, h=1e-5):
    """(rows, inputs, units), by central differences."""
    steps = [
        (encode(values, layers, x + h * e) - encode(values, layers, x - h * e)) / (2 * h) for e in np.eye(x.shape[1])
    ]
    return np.stack(steps, axis=1)


@pytest.fixture
def x():
    return np.random.default_rng(0).uniform(-1, 1, (13, 7))


@pytest.mark.parametrize(
    "activations",
    [
        ("tanh",),
        ("silu",),
        ("tanh", "logistic"),
        ("logistic", "tanh", "silu"),
        ("silu", "tanh", "silu"),
    ],
)
def test_contraction_is_the_squared_norm_of_the_jacobian(x, activations):
    graph, layers, _ = autoencoder((7, 6, 5, 4)[: len(activations) + 1], activations)
    made = penalised(graph, x, Contraction(weight=0.3), layers)
    want = 0.3 * np.mean(np.sum(jacobian(weights(made), layers, x) ** 2, axis=(1, 2)))
    assert made.gradient(0, True)[0] == pytest.approx(want, rel=1e-7)
    assert made.evaluate(0, 0, len(x), False) == pytest.approx(want, rel=1e-7)


@pytest.mark.parametrize("activations", [("tanh",), ("silu",), ("tanh", "logistic"), ("silu", "tanh")])
def test_higher_order_term_is_small_noise_times_the_second_derivative(x, activations):
    """For small noise the mean of |J(x) - J(x + e)|^2 is std^2 times the squared norm of the derivatives of J."""
    graph, layers, _ = autoencoder((7, 6, 5)[: len(activations) + 1], activations)
    std, h = 1e-3, 1e-4
    part = Contraction(weight=0.0, higher_order_weight=2.0, std=std, n_samples=400)
    made = penalised(graph, x, part, layers)
    values = weights(made)
    bend = [(jacobian(values, layers, x + h * e) - jacobian(values, layers, x - h * e)) / (2 * h) for e in np.eye(7)]
    want = 2.0 * std**2 * sum(np.sum(b**2) for b in bend) / len(x)
    assert made.gradient(0, True)[0] == pytest.approx(want, rel=0.1)


def test_random_directions_estimate_the_norm(x):
    graph, layers, _ = autoencoder((7, 6, 5), ("tanh", "tanh"))
    exact = penalised(graph, x, Contraction(), layers).gradient(0, True)[0]
    graph, layers, _ = autoencoder((7, 6, 5), ("tanh", "tanh"))
    few = penalised(graph, x, Contraction(n_directions=1000), layers).gradient(0, True)[0]
    assert few != exact
    assert few == pytest.approx(exact, rel=0.1)


@pytest.mark.parametrize("widths", [(7, 4), (7, 9, 3)])
def test_orthogonality(x, widths):
    graph, layers, _ = autoencoder(widths, ("tanh",) * (len(widths) - 1))
    made = penalised(graph, x, Orthogonality(weight=0.5), layers)
    want = 0.0
    for layer in layers:
        w = weights(made)[f"{layer.node}.weight"]
        w = w if w.shape[0] >= w.shape[1] else w.T
        want += 0.5 * np.sum((w.T @ w - np.eye(w.shape[1])) ** 2)
    assert made.gradient(0, True)[0] == pytest.approx(want, rel=1e-12)


def test_decorrelation(x):
    graph, layers, code = autoencoder((7, 5), ("tanh",))
    made = penalised(graph, x, Decorrelation(weight=3.0), code)
    c = np.cov(encode(weights(made), layers, x).T, bias=True)
    want = 3.0 * 0.5 * (np.sum(c**2) - np.sum(np.diag(c) ** 2))
    assert made.gradient(0, True)[0] == pytest.approx(want, rel=1e-11)
    assert made.evaluate(0, 0, len(x), False) == 0.0


def test_predictive_sparse_decomposition(x):
    """The energy at the code that is found is the loss, and no other code near it has less."""
    graph, layers, code = autoencoder((7, 5), ("tanh",))
    part = PredictiveSparse(0.02, prediction_weight=0.01, n_iterations=2000)
    made = penalised(graph, x, part, "x", code, Layer("reconstruction", code, 5, 7, "identity"))
    values = weights(made)
    prediction = encode(values, layers, x)
    w, b = values["reconstruction.weight"], values["reconstruction.bias"]

    def energy(z):
        return np.mean((x - z @ w - b) ** 2, 1) + 0.02 * np.abs(z).sum(1) + 0.01 * ((z - prediction) ** 2).sum(1)

    # Coordinate descent, by the closed form of one coordinate.
    z = prediction.copy()
    for _ in range(3000):
        for j in range(5):
            rest = x - b - z @ w + np.outer(z[:, j], w[j])
            pull = rest @ w[j] / 7 + 0.01 * prediction[:, j]
            z[:, j] = np.sign(pull) * np.maximum(np.abs(pull) - 0.01, 0) / (w[j] @ w[j] / 7 + 0.01)
    want = np.mean(np.mean((x - z @ w - b) ** 2, 1) + 0.01 * ((z - prediction) ** 2).sum(1))
    assert made.gradient(0, True)[0] == pytest.approx(want, rel=1e-9)
    assert (energy(z) <= energy(prediction)).all()
    assert 0 < np.count_nonzero(z == 0) < z.size


def test_parameters_are_checked():
    for part, names in (
        (Contraction(), {"weight": -1, "higher_order_weight": "a", "std": 0, "n_samples": 0, "n_directions": 0}),
        (Orthogonality(), {"weight": -1}),
        (Decorrelation(), {"weight": None}),
        (PredictiveSparse(), {"sparsity_weight": -1, "prediction_weight": -1, "n_iterations": 0, "positive": "yes"}),
    ):
        assert clone(part).get_params() == part.get_params()
        assert part.validate() is part
        for name, value in names.items():
            with pytest.raises((ValueError, TypeError), match=name):
                clone(part).set_params(**{name: value}).validate()
