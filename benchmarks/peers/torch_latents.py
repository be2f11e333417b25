"""PyTorch modules of the networks in `benchmarks.latents`, as a user of PyTorch writes them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn

from benchmarks.latents import Features, TopK, Variational


class VariationalModule(nn.Module):
    """Encoder, two heads, one draw, decoder; the bound with the divergence in closed form, the mean over the rows."""

    def __init__(self, network: Variational, X: Features) -> None:
        super().__init__()
        if network.activation != "tanh":
            raise ValueError(f"activation must be 'tanh'; got {network.activation!r}")
        hidden, d = network.widths[:-1], network.widths[-1]
        encoder: list[nn.Module] = []
        for a, b in pairwise(hidden):
            encoder += [nn.Linear(a, b), nn.Tanh()]
        decoder: list[nn.Module] = []
        for a, b in pairwise((d, *hidden[:0:-1])):
            decoder += [nn.Linear(a, b), nn.Tanh()]
        output = nn.Linear(hidden[1], hidden[0])
        self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder, output)
        self.mean, self.log_variance = nn.Linear(hidden[-1], d), nn.Linear(hidden[-1], d)
        self._multinomial = network.likelihood == "multinomial"
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        with torch.no_grad():
            output.bias.copy_(torch.from_numpy(network.start_logits(X)))

    def objective(self, x: torch.Tensor) -> torch.Tensor:
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        logits = self.decoder(z)
        if self._multinomial:
            loss = -(nn.functional.log_softmax(logits, dim=1) * x).sum(dim=1).mean()
        else:
            loss = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum") / x.shape[0]
        divergence = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum(dim=1).mean()
        total: torch.Tensor = loss + divergence
        return total

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.decoder(self.mean(self.encoder(x)))
        return logits.softmax(dim=1) if self._multinomial else logits.sigmoid()


class TopKModule(nn.Module):
    """Dense encoder, topk, scatter, dense decoder."""

    def __init__(self, network: TopK, X: Any) -> None:
        super().__init__()
        self.encoder = nn.Linear(network.width, network.n_components)
        self.decoder = nn.Linear(network.n_components, network.width)
        self._k = network.k
        for layer in (self.encoder, self.decoder):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.decoder.bias.copy_(torch.from_numpy(X.mean(axis=0)))

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        pre = self.encoder(x)
        values, indices = pre.topk(self._k, dim=1)
        code = torch.zeros_like(pre).scatter(1, indices, values.relu())
        output: torch.Tensor = self.decoder(code)
        return output

    def objective(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.mse_loss(self.reconstruct(x), x)


def model_of(network: Variational | TopK, X: Features) -> Any:
    """Module of a network, with its start."""
    return VariationalModule(network, X) if isinstance(network, Variational) else TopKModule(network, X)
