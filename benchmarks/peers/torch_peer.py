"""PyTorch, eager and compiled."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.workloads import Network


class EagerTrainer:
    """A plain training loop: rows gathered by a permutation, gradients set to None, the faster variant of Adam."""

    compiled = False

    def __init__(
        self,
        network: Network,
        X: NDArray[np.float32],
        batch_size: int,
        *,
        learning_rate: float = 1e-3,
        schedule: str = "constant",
        seed: int = 0,
    ) -> None:
        torch.set_num_threads(2)
        torch.manual_seed(seed)
        self._x = torch.from_numpy(X)
        self._batch_size = batch_size
        self._rate = learning_rate
        self._cosine = schedule == "cosine"
        layers: list[nn.Module] = []
        for (d_in, d_out), activation in zip(pairwise(network.widths), (*network.activations, "identity"), strict=True):
            layers.append(nn.Linear(d_in, d_out))
            if activation == "relu":
                layers.append(nn.ReLU())
        self._model = nn.Sequential(*layers)
        self._linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
        self._start = [
            (torch.from_numpy(W.T.copy()), torch.from_numpy(b)) for W, b in network.initial_parameters(X, seed)
        ]
        self._logits = network.loss == "log_loss"
        criterion = nn.functional.binary_cross_entropy_with_logits if self._logits else nn.functional.mse_loss

        def objective(x: torch.Tensor) -> torch.Tensor:
            return criterion(self._model(x), x)

        self._objective = torch.compile(objective) if self.compiled else objective
        self._adam = self._fastest_adam()

    def _reset(self) -> None:
        with torch.no_grad():
            for layer, (W, b) in zip(self._linear, self._start, strict=True):
                layer.weight.copy_(W)
                layer.bias.copy_(b)

    def _step(self, x: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        self._objective(x).backward()
        optimizer.step()

    def _fastest_adam(self) -> dict[str, Any]:
        """The faster of the fused and the multi-tensor update, by the best of three short trials each."""
        variants: dict[str, dict[str, Any]] = {"fused": {"fused": True}, "foreach": {"foreach": True}}
        best = dict.fromkeys(variants, math.inf)
        x = self._x[: self._batch_size].clone()
        optimizers = {name: torch.optim.Adam(self._model.parameters(), **variants[name]) for name in variants}
        for _ in range(4):  # the first trial compiles and warms up
            for name, optimizer in optimizers.items():
                start = time.perf_counter()
                for _ in range(10):
                    self._step(x, optimizer)
                best[name] = min(best[name], time.perf_counter() - start)
        self._variant = min(best, key=best.__getitem__)
        return variants[self._variant]

    def train(self, epochs: int, tick: Callable[[], None]) -> None:
        self._reset()
        optimizer = torch.optim.Adam(self._model.parameters(), lr=self._rate, **self._adam)
        x, rows, size = self._x, len(self._x), self._batch_size
        total, step = epochs * math.ceil(rows / size), 0
        for _ in range(epochs):
            order = torch.randperm(rows)
            for i in range(0, rows, size):
                if self._cosine:
                    cosine = (1 + math.cos(math.pi * step / total)) / 2
                    optimizer.param_groups[0]["lr"] = self._rate * (0.01 + 0.99 * cosine)
                    step += 1
                self._step(x[order[i : i + size]], optimizer)
            tick()

    def reconstruct(self, X: NDArray[np.float32]) -> NDArray[Any]:
        with torch.inference_mode():
            output = self._model(torch.from_numpy(X))
            reconstruction: NDArray[Any] = (output.sigmoid() if self._logits else output).numpy()
        return reconstruction

    @property
    def note(self) -> str:
        return f"Adam {self._variant}"


class CompiledTrainer(EagerTrainer):
    """The same loop; network and loss, forward and backward, go through ``torch.compile``."""

    compiled = True
