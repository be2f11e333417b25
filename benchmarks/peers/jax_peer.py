"""JAX: one compiled call an epoch, the steps in ``lax.scan``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from benchmarks.latents import Features, NotForPeer, TopK, Variational
from benchmarks.workloads import Network

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


class ScanTrainer:
    """Adam (Kingma and Ba 2015) written out over the parameter tree; batches are gathered inside the scan."""

    def __init__(
        self,
        network: Network | Variational | TopK,
        X: Features,
        batch_size: int,
        *,
        learning_rate: float = 1e-3,
        schedule: str = "constant",
        seed: int = 0,
    ) -> None:
        if not isinstance(network, Network):
            raise NotForPeer(f"the JAX peer has no {type(network).__name__} network")
        self._network = network
        self._x = jnp.asarray(X)
        self._batch_size = batch_size
        self._rng = np.random.default_rng(seed)
        self._start = network.initial_parameters(X, seed)
        self._cosine = schedule == "cosine"
        self._rate = learning_rate
        self._parameters: Any = None

        def forward(parameters: Any, x: jax.Array) -> jax.Array:
            for (W, b), activation in zip(parameters, (*network.activations, "identity"), strict=True):
                x = x @ W + b
                if activation == "relu":
                    x = jax.nn.relu(x)
            return x

        def objective(parameters: Any, x: jax.Array) -> jax.Array:
            output = forward(parameters, x)
            if network.loss == "log_loss":
                return jnp.mean(jnp.maximum(output, 0) - output * x + jnp.log1p(jnp.exp(-jnp.abs(output))))
            return jnp.mean((output - x) ** 2)

        def epoch(state: Any, X: jax.Array, batches: jax.Array, rates: jax.Array) -> Any:
            def step(state: Any, inputs: Any) -> tuple[Any, None]:
                parameters, m, v, t = state
                rows, rate = inputs
                gradient = jax.grad(objective)(parameters, X[rows])
                t = t + 1
                m = jax.tree.map(lambda m, g: _BETA1 * m + (1 - _BETA1) * g, m, gradient)
                v = jax.tree.map(lambda v, g: _BETA2 * v + (1 - _BETA2) * g * g, v, gradient)
                fast = rate / (1 - _BETA1**t)
                slow = 1 / jnp.sqrt(1 - _BETA2**t)
                parameters = jax.tree.map(
                    lambda p, m, v: p - fast * m / (jnp.sqrt(v) * slow + _EPSILON), parameters, m, v
                )
                return (parameters, m, v, t), None

            return lax.scan(step, state, (batches, rates))[0]

        self._epoch = jax.jit(epoch, donate_argnums=0)
        self._forward = jax.jit(forward)

    def train(self, epochs: int, tick: Callable[[], None]) -> None:
        parameters = [(jnp.array(W), jnp.array(b)) for W, b in self._start]
        zeros = jax.tree.map(jnp.zeros_like, parameters)
        state: Any = (parameters, zeros, jax.tree.map(jnp.copy, zeros), jnp.float32(0))
        steps = len(self._x) // self._batch_size
        for e in range(epochs):
            order = self._rng.permutation(len(self._x)).astype(np.int32)[: steps * self._batch_size]
            progress = np.arange(e * steps, (e + 1) * steps) / (epochs * steps)
            scale = 0.01 + 0.99 * (1 + np.cos(np.pi * progress)) / 2 if self._cosine else np.ones(steps)
            rates = (self._rate * scale).astype(np.float32)
            state = self._epoch(state, self._x, jnp.asarray(order.reshape(steps, self._batch_size)), jnp.asarray(rates))
            jax.block_until_ready(state)
            tick()
        self._parameters = state[0]

    def reconstruct(self, X: NDArray[np.float32]) -> NDArray[Any]:
        output = self._forward(self._parameters, jnp.asarray(X))
        return np.asarray(jax.nn.sigmoid(output) if self._network.loss == "log_loss" else output)

    @property
    def note(self) -> str:
        return ""
