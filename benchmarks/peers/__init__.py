"""The peers of the training benchmarks, by the names that ``--peers`` takes.

A peer is a class with the interface of `Trainer`; its module is imported only in the process that runs it, and an
ImportError there marks the peer as missing.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from numpy.typing import NDArray

from benchmarks.latents import Features, TopK, Variational
from benchmarks.workloads import Network


class Trainer(Protocol):
    """Trains one network on one array, again from the start at every call of `train`.

    The constructor takes the data as a C-contiguous float32 array, or as a float32 CSR array, and does what is done
    once: conversion to the peer's own array type, compilation, choice of the fastest variant. `schedule` is "constant",
    or "cosine" (falls to a hundredth of the rate over the epochs of the call). What a peer cannot train it refuses by
    `NotForPeer`.
    """

    def __init__(
        self,
        network: Network | Variational | TopK,
        X: Features,
        batch_size: int,
        *,
        learning_rate: float = 1e-3,
        schedule: str = "constant",
        seed: int = 0,
    ) -> None: ...

    def train(self, epochs: int, tick: Callable[[], None]) -> None:
        """Fresh parameters, then `epochs` passes with Adam; `tick` is called when the work of an epoch is done."""

    def reconstruct(self, X: Features) -> NDArray[Any]:
        """Reconstruction of the rows of X by the parameters at the end of `train`."""

    @property
    def note(self) -> str:
        """What a reader of the table should know of this peer, or an empty string."""


PEERS = {
    "ours": ("benchmarks.peers.ours", "OursTrainer"),
    "torch": ("benchmarks.peers.torch_peer", "EagerTrainer"),
    "torch-compile": ("benchmarks.peers.torch_peer", "CompiledTrainer"),
    "jax": ("benchmarks.peers.jax_peer", "ScanTrainer"),
    "sklearn": ("benchmarks.peers.sklearn_peer", "MLPTrainer"),
    "ours-high": ("benchmarks.peers.ours", "HighTrainer"),
    "ours-bf16": ("benchmarks.peers.ours", "BFloat16Trainer"),
    "ours-bf16-state": ("benchmarks.peers.ours", "BFloat16StateTrainer"),
    "torch-medium": ("benchmarks.peers.torch_peer", "MediumTrainer"),
    "torch-bf16": ("benchmarks.peers.torch_peer", "AutocastTrainer"),
    "torch-bf16-compile": ("benchmarks.peers.torch_peer", "CompiledAutocastTrainer"),
}
FLOAT32 = ("ours", "torch", "torch-compile", "jax", "sklearn")  # the others round factors of products

# Distributions whose versions go into a report.
DISTRIBUTIONS = ("autoenc", "numpy", "scipy", "scikit-learn", "torch", "onnxruntime", "jax", "jaxlib", "pyod")


def load_trainer(name: str) -> type[Trainer]:
    """Class of a peer; imports what the peer needs."""
    module, attribute = PEERS[name]
    trainer: type[Trainer] = getattr(import_module(module), attribute)
    return trainer
