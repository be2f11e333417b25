"""Step by step the same as PyTorch: same network, same start, same batches, same optimiser."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose

from autoenc import Autoencoder, _core, _spec

torch = pytest.importorskip("torch")

N, D, BATCH = 320, 11, 32


@pytest.fixture(autouse=True, scope="module")
def one_thread_there():
    """Threads of PyTorch cost more than they give here."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


RATE = {
    "sgd": 0.01,
    "momentum": 0.01,
    "nesterov": 0.01,
    "adam": 3e-3,
    "amsgrad": 3e-3,
    "adamw": 3e-3,
    "rmsprop": 1e-3,
    "adagrad": 1e-2,
}


def optimizer(rule, parameters):
    rate = RATE[rule]
    match rule:
        case "sgd":
            return torch.optim.SGD(parameters, rate)
        case "momentum":
            return torch.optim.SGD(parameters, rate, momentum=0.9)
        case "nesterov":
            return torch.optim.SGD(parameters, rate, momentum=0.9, nesterov=True)
        case "adam":
            return torch.optim.Adam(parameters, rate)
        case "amsgrad":
            return torch.optim.Adam(parameters, rate, amsgrad=True)
        case "adamw":
            return torch.optim.AdamW(parameters, rate, weight_decay=0.01)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, rate, alpha=0.99)
        case "adagrad":
            return torch.optim.Adagrad(parameters, rate)


def trainer_of(rule, graph, spec, precision, clip_norm=np.inf, clip_value=np.inf):
    kind = {"momentum": "sgd", "nesterov": "sgd", "amsgrad": "adam"}.get(rule, rule)
    return _core.Trainer(
        graph,
        _spec.loss_array(spec["objective"], spec["nodes"]),
        _spec.stage_array(spec, kind),
        precision=precision,
        n_threads=2,
        batch_size=BATCH,
        shuffle=False,
        momentum=0.9 if rule in ("momentum", "nesterov") else 0.0,
        nesterov=rule == "nesterov",
        beta_2=0.99 if rule == "rmsprop" else 0.999,
        epsilon=1e-10 if rule == "adagrad" else 1e-8,
        amsgrad=rule == "amsgrad",
        rate=RATE[rule],
        l2=0.01 if rule == "adamw" else 0.0,
        clip_norm=clip_norm,
        clip_value=clip_value,
    )


ACTIVATIONS = {
    "relu": torch.nn.ReLU,
    "gelu": torch.nn.GELU,
    "tanh": torch.nn.Tanh,
    "silu": torch.nn.SiLU,
    "logistic": torch.nn.Sigmoid,
}
LOSSES = {
    "squared_error": torch.nn.MSELoss(),
    "log_loss": torch.nn.BCEWithLogitsLoss(),
    "absolute_error": torch.nn.L1Loss(),
    "huber": torch.nn.HuberLoss(delta=0.5),
}


def losses_of_steps(rule, precision, steps, activation="gelu", loss="squared_error", clip=None):
    """Losses of both, by step."""
    rng = np.random.default_rng(0)
    X = rng.random((N, D)).astype(f"float{precision}")
    spec = Autoencoder(
        3,
        hidden_layer_sizes=(16, 8),
        activation=activation,
        loss=loss,
        huber_delta=0.5,
        precision=f"float{precision}",
    )._describe(D, None, 0)
    graph = _spec.node_array(spec["nodes"])
    trainer = trainer_of(rule, graph, spec, precision, **(clip or {}))
    shapes = list(pairwise((D, 16, 8, 3, 8, 16, D)))
    layers = []
    for i, (n_in, n_out) in enumerate(shapes):
        weight = (rng.normal(size=(n_in, n_out)) * np.sqrt(1.5 / n_in)).astype(f"float{precision}")
        bias = (0.1 * rng.normal(size=n_out)).astype(f"float{precision}")
        trainer.set(2 * i, weight)
        trainer.set(2 * i + 1, bias[np.newaxis])
        layer = torch.nn.Linear(n_in, n_out, dtype=getattr(torch, f"float{precision}"))
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight.T.copy()))
            layer.bias.copy_(torch.from_numpy(bias))
        layers.append(layer)
        if i not in (2, 5):
            layers.append(ACTIVATIONS[activation]())
    model = torch.nn.Sequential(*layers)

    # Decay does not touch biases here: two groups there.
    weights = [p for p in model.parameters() if p.ndim == 2]
    biases = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": weights}, {"params": biases, "weight_decay": 0.0}] if rule == "adamw" else model.parameters()
    rule_there = optimizer(rule, groups)
    theirs = []
    for step in range(steps):
        batch = torch.from_numpy(X[step % (N // BATCH) * BATCH :][:BATCH])
        rule_there.zero_grad()
        value = LOSSES[loss](model(batch), batch)
        value.backward()
        if clip and "clip_norm" in clip:
            # torch.nn.utils.clip_grad_norm_ adds 1e-6 to the norm.
            norm = torch.sqrt(sum((p.grad**2).sum() for p in model.parameters()))
            for p in model.parameters():
                p.grad *= min(1.0, clip["clip_norm"] / norm.item())
        if clip and "clip_value" in clip:
            torch.nn.utils.clip_grad_value_(model.parameters(), clip["clip_value"])
        rule_there.step()
        theirs.append(value.item())

    # One batch is one epoch here, so that every step has its loss.
    ours = []
    for step in range(steps):
        trainer.bind(0, [X[step % (N // BATCH) * BATCH :][:BATCH]])
        ours.append(trainer.epoch()[0])
    return np.array(ours), np.array(theirs)


@pytest.mark.parametrize("rule", sorted(RATE))
def test_hundred_steps_in_float64(rule):
    ours, theirs = losses_of_steps(rule, 64, 100)
    assert ours[-1] < 0.9 * ours[0]
    assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize("rule", sorted(RATE))
def test_twenty_steps_in_float32(rule):
    assert_allclose(*losses_of_steps(rule, 32, 20), rtol=1e-4)


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activations_and_losses(activation, loss):
    assert_allclose(*losses_of_steps("adam", 64, 100, activation, loss), rtol=1e-9)


@pytest.mark.parametrize("clip", [{"clip_norm": 0.05}, {"clip_value": 0.005}])
def test_clipping(clip):
    ours, theirs = losses_of_steps("momentum", 64, 100, clip=clip)
    free, _ = losses_of_steps("momentum", 64, 100)
    assert not np.allclose(ours, free, rtol=1e-6)
    assert_allclose(ours, theirs, rtol=1e-9)


def test_the_estimator_trains_by_these_steps():
    """Estimator with PyTorch's options against PyTorch, from the estimator's own start."""
    X = np.random.default_rng(0).random((N, D))
    settings = dict(
        n_components=3,
        hidden_layer_sizes=(8,),
        activation="tanh",
        solver="adam",
        alpha=0.0,
        learning_rate="constant",
        learning_rate_init=3e-3,
        warmup_fraction=0.0,
        shuffle=False,
        batch_size=BATCH,
        precision="float64",
        random_state=0,
    )
    estimator = Autoencoder(max_iter=10, **settings).fit(X)
    start = Autoencoder(max_iter=1, **{**settings, "solver": "sgd", "learning_rate_init": 1e-300}).fit(X)
    layers = []
    for i, (weight, bias) in enumerate(zip(start.coefs_, start.intercepts_, strict=True)):
        layer = torch.nn.Linear(*weight.shape, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight.T.copy()))
            layer.bias.copy_(torch.from_numpy(bias.copy()))
        layers += [layer] if i in (1, 3) else [layer, torch.nn.Tanh()]
    model = torch.nn.Sequential(*layers)
    rule = torch.optim.Adam(model.parameters(), 3e-3)
    curve = []
    for _ in range(10):
        total = 0.0
        for batch in torch.from_numpy(X).split(BATCH):
            rule.zero_grad()
            value = ((model(batch) - batch) ** 2).mean()
            value.backward()
            rule.step()
            total += value.item() * len(batch) / N
        curve.append(total)
    assert_allclose(estimator.loss_curve_, curve, rtol=1e-9)
