"""PyTorch, eager and compiled."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.latents import Features, TopK, Variational
from benchmarks.peers.torch_latents import model_of
from benchmarks.workloads import Network


class _Plain(nn.Module):
    """Linear layers and relu, from the given start."""

    def __init__(self, network: Network, X: NDArray[np.float32], seed: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for (d_in, d_out), activation in zip(pairwise(network.widths), (*network.activations, "identity"), strict=True):
            layers.append(nn.Linear(d_in, d_out))
            if activation == "relu":
                layers.append(nn.ReLU())
        linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
        self.layers = nn.Sequential(*layers)
        self._logits = network.loss == "log_loss"
        self._criterion = nn.functional.binary_cross_entropy_with_logits if self._logits else nn.functional.mse_loss
        with torch.no_grad():
            for layer, (W, b) in zip(linear, network.initial_parameters(X, seed), strict=True):
                layer.weight.copy_(torch.from_numpy(W.T.copy()))
                layer.bias.copy_(torch.from_numpy(b))

    def objective(self, x: torch.Tensor) -> torch.Tensor:
        return self._criterion(self.layers(x), x)

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.layers(x)
        return output.sigmoid() if self._logits else output


class EagerTrainer:
    """A plain training loop: rows gathered by a permutation, gradients set to None, the faster variant of Adam."""

    compiled = False
    matmul_precision = "highest"
    autocast = False

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
        torch.set_num_threads(2)
        torch.set_float32_matmul_precision(self.matmul_precision)
        torch.manual_seed(seed)
        self._x = X if sp.issparse(X) else torch.from_numpy(X)
        self._batch_size = batch_size
        self._rate = learning_rate
        self._cosine = schedule == "cosine"
        self._model = _Plain(network, X, seed) if isinstance(network, Network) else model_of(network, X)
        self._start = {name: value.clone() for name, value in self._model.state_dict().items()}
        objective = self._model.objective
        self._objective = torch.compile(objective) if self.compiled else objective
        self._adam = self._fastest_adam()

    def _rows(self, order: torch.Tensor) -> torch.Tensor:
        """Rows of a minibatch; those of a sparse matrix made dense, as is usual."""
        return torch.from_numpy(self._x[order.numpy()].toarray()) if sp.issparse(self._x) else self._x[order]

    def _step(self, x: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            objective = self._objective(x)
        objective.backward()
        optimizer.step()

    def _fastest_adam(self) -> dict[str, Any]:
        """The faster of the fused and the multi-tensor update, by the best of three short trials each."""
        variants: dict[str, dict[str, Any]] = {"fused": {"fused": True}, "foreach": {"foreach": True}}
        best = dict.fromkeys(variants, math.inf)
        x = self._rows(torch.arange(self._batch_size))
        optimizers = {name: torch.optim.Adam(self._model.parameters(), **variants[name]) for name in variants}
        for _ in range(4):  # the first trial compiles and warms up
            for name, optimizer in optimizers.items():
                start, steps = time.perf_counter(), 0
                while steps == 0 or time.perf_counter() - start < 0.05:
                    self._step(x, optimizer)
                    steps += 1
                best[name] = min(best[name], (time.perf_counter() - start) / steps)
        self._variant = min(best, key=best.__getitem__)
        return variants[self._variant]

    def train(self, epochs: int, tick: Callable[[], None]) -> None:
        self._model.load_state_dict(self._start)
        optimizer = torch.optim.Adam(self._model.parameters(), lr=self._rate, **self._adam)
        rows, size = self._x.shape[0], self._batch_size
        total, step = epochs * math.ceil(rows / size), 0
        for _ in range(epochs):
            order = torch.randperm(rows)
            for i in range(0, rows, size):
                if self._cosine:
                    cosine = (1 + math.cos(math.pi * step / total)) / 2
                    optimizer.param_groups[0]["lr"] = self._rate * (0.01 + 0.99 * cosine)
                    step += 1
                self._step(self._rows(order[i : i + size]), optimizer)
            tick()

    def reconstruct(self, X: Features) -> NDArray[Any]:
        parts = []
        with torch.inference_mode():
            for start in range(0, X.shape[0], 1024):
                block = X[start : start + 1024]
                parts.append(
                    self._model.reconstruct(torch.from_numpy(block.toarray() if sp.issparse(block) else block)).numpy()
                )
        return np.concatenate(parts)

    @property
    def note(self) -> str:
        return f"Adam {self._variant}"


class CompiledTrainer(EagerTrainer):
    """The same loop; network and loss, forward and backward, go through ``torch.compile``."""

    compiled = True


class MediumTrainer(EagerTrainer):
    """Products by bfloat16 factors, where the machine has instructions for them."""

    matmul_precision = "medium"


class AutocastTrainer(EagerTrainer):
    """Layers in bfloat16, parameters and the update in float32."""

    autocast = True


class CompiledAutocastTrainer(AutocastTrainer):
    """The same with ``torch.compile``."""

    compiled = True
