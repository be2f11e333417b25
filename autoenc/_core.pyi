"""The C core. Internal: arrays in, arrays out, everything validated once more, nothing about scikit-learn.

A *source* is the user's data: a two-dimensional float32, float64 or uint8 array of any strides, or CSR as a tuple
``(data, indices, indptr, (n_rows, n_columns))`` with int32 or int64 indices. It is read in place, never copied or
modified. Node, loss and stage descriptions are structured arrays of ``autoenc._spec`` (the structures of
``csrc/layers/layer.h`` and ``csrc/train/trainer.h``).
"""

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

type _Source = NDArray[Any] | tuple[NDArray[Any], NDArray[Any], NDArray[Any], tuple[int, int]]

class DivergenceError(ArithmeticError):
    """A loss became infinite or not a number. Weights are those of the last complete epoch."""

# Names in the order of the numbers that descriptions carry.
LAYERS: tuple[str, ...]
ACTIVATIONS: tuple[str, ...]
INITIALIZERS: tuple[str, ...]
RULES: tuple[str, ...]
SCHEDULES: tuple[str, ...]
LOSSES: tuple[str, ...]
# By loss: name of its link activation; "any", "unit_interval" or "nonnegative"; whether it has a parameter.
LOSS_LINKS: tuple[str, ...]
LOSS_TARGETS: tuple[str, ...]
LOSS_HAS_PARAMETER: tuple[bool, ...]
LOSS_HAS_SECOND: tuple[bool, ...]  # predicts two parameters
LOSS_HAS_TARGET: tuple[bool, ...]
LOSS_WEIGHS_ENTRIES: tuple[bool, ...]  # takes an entry_weight
LOSS_IS_LIKELIHOOD: tuple[bool, ...]  # NLL has its constants
# sizeof of ae_node_desc, ae_loss_desc, ae_stage_desc.
STRUCT_SIZES: tuple[int, int, int]
# What Predictor.run returns.
VALUES: int
LINKED: int
LOSS: int
TERMS: int
NLL: int

def isa() -> str:
    """Instruction set in use: "avx512", "avx2", "neon" or "ref" (environment variable AUTOENC_ISA lowers it)."""

def find_nonfinite(source: _Source, /, *, allow_nan: bool = False) -> tuple[int, int, float] | None:
    """First (row, column, value) that is infinite or, unless allow_nan, NaN. Checks CSR first (ValueError)."""

def find_outside(
    source: _Source, low: float, high: float, /, *, allow_nan: bool = False
) -> tuple[int, int, float] | None:
    """First (row, column, value) outside [low, high] or, unless allow_nan, NaN; of CSR, stored values only."""

def svd(a: NDArray[np.float64], /) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Thin SVD (u, s, vt) by LAPACK, with SciPy's library or the system's."""

def hamming_neighbors(
    codes: NDArray[np.uint8], queries: NDArray[np.uint8], k: int, n_threads: int, /
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """(distances, indices) of the k nearest codes of each query, both (n_queries, k), ties by lower index.

    A row is a code of packed bits (``numpy.packbits``). Exact, by comparing all with all; the result does not depend on
    n_threads. Releases the GIL.
    """

@final
class Trainer:
    """One fit: network, optimiser, threads. See ``csrc/train/trainer.h``."""

    def __new__(
        cls,
        nodes: NDArray[np.void],
        losses: NDArray[np.void],
        stages: NDArray[np.void],
        *,
        precision: int,  # 32 or 64
        n_threads: int,
        batch_size: int,
        seed: int = 0,  # 0 .. 2**64 - 1
        shuffle: bool = True,
        keep_best: bool = False,
        chunk_rows: int = 0,
        momentum: float = 0.9,
        nesterov: bool = False,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        amsgrad: bool = False,
        schedule: int = 0,
        rate: float = 1e-3,
        final_ratio: float = 0.0,
        factor: float = 0.1,
        period: int = 1,
        warmup_steps: int = 0,
        total_steps: int = 1,
        l1: float = 0.0,
        l2: float = 0.0,
        max_norm: float = ...,  # infinity: none
        clip_value: float = ...,
        clip_norm: float = ...,
        lbfgs_memory: int = 10,
        lbfgs_max_evaluations: int = 25,
        lbfgs_gtol: float = 0.0,
        state_bits: int = 0,  # 16: the optimiser's state in bfloat16
    ) -> Trainer: ...
    def initialize(self) -> None:
        """Draws all weights from the seed."""
    def parameters(self) -> list[tuple[str, int, int]]:
        """(name, rows, columns); names are "<node>.weight", "<node>.bias"."""
    def get(self, index: int, /) -> NDArray[Any]:
        """A copy, (rows, columns), of the precision."""
    def set(self, index: int, value: NDArray[Any], /) -> None:
        """value: C-contiguous, of the precision and shape. Becomes what an interruption returns to."""
    @property
    def n_state(self) -> int: ...
    def get_state(self, which: int, index: int, /) -> NDArray[Any]: ...
    def set_state(self, which: int, index: int, value: NDArray[Any], /) -> None: ...
    def bind(self, slot: int, sources: Sequence[_Source], row_weight: NDArray[np.float64] | None = None, /) -> None:
        """slot 0: training data, 1: validation data. Keeps references."""
    def subset(self, first: int, count: int, split: bool, /) -> None: ...
    def moments(self, source: int, /) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weighted mean and variance of the columns over the training subset.

        NaN is missing; a column without any value has zeros."""
    def epoch(self) -> tuple[float, float, int, bool]:
        """(loss, rate, steps, converged). KeyboardInterrupt and DivergenceError leave the last complete epoch."""
    def evaluate(self, slot: int, first: int, count: int, split: bool, /) -> float: ...
    def keep_best(self) -> None: ...
    def restore_best(self) -> None: ...
    def set_loss_weight(self, index: int, weight: float, /) -> None: ...
    def term_losses(self) -> NDArray[np.float64]:
        """Mean of each loss over the last complete epoch, without its weight; NaN before one."""
    def scale_rate(self, factor: float, /) -> None: ...
    def position(self) -> tuple[int, int]:
        """(steps, epochs) done."""
    def seek(self, step: int, epoch: int, /) -> None: ...
    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All that is known between two epochs, by name, one-dimensional; parameters as the core lays them out."""
    def restore(self, state: dict[str, NDArray[Any]], /) -> None:
        """Goes on from the snapshot of a trainer of the same descriptions and options, after bind and subset."""
    def gradient(self, stage: int = 0, training: bool = False) -> tuple[float, list[NDArray[Any]]]:
        """Data loss and gradient by parameter, without update (needs L-BFGS, clip_norm, or more rows than a chunk)."""
    def profile(self) -> tuple[int, int, float, float, list[tuple[str, str, int, float, float, float]]] | None:
        """(steps, threads, seconds, roof, [(phase, subject, calls, seconds, flops, bytes)]) of epochs and evaluations.

        None unless the environment variable AUTOENC_PROFILE was 1 when the trainer was made."""

@final
class Predictor:
    """Weights and a graph, ready to run. Does not keep references to the arrays."""

    def __new__(
        cls,
        nodes: NDArray[np.void],
        parameters: Sequence[NDArray[Any]],
        *,
        precision: int,
        losses: NDArray[np.void] | None = None,
        n_threads: int = 1,
    ) -> Predictor:
        """parameters: ordered as by Trainer.parameters, two-dimensional, of the precision, finite."""
    def run(
        self,
        sources: Sequence[_Source],
        last_node: int,
        what: int = 0,
        *,
        from_node: int = -1,
        combine: int = 0,  # samples of a row: 0 mean, 1 log-mean-exp
        dtype: Any = None,  # numpy float32 or float64; None: that of the precision
        sampling: bool = False,  # whether layers that sample draw, the same for each row, instead of resting
    ) -> NDArray[Any]:
        """VALUES, LINKED: (rows, width of last_node); TERMS: (rows, widths of the losses in order); LOSS, NLL: (rows,)
        float64, sums over the losses by weight. These three evaluate what they need; last_node is for the first two.
        from_node >= 0: sources[0] is the value of that node. Releases the GIL except for very little work; concurrent
        calls take turns."""
    def values(
        self, X: Any, last_node: int, what: int, from_node: int, allow_nan: bool, /
    ) -> NDArray[np.float32] | NDArray[np.float64] | None:
        """VALUES or LINKED of the rows of X alone, (rows, width) or, of a one-dimensional X, (width,); of X's type, or
        of the precision for uint8. The rows are looked through on the way. None where X is not an array of float32,
        float64 or uint8 as the core reads them, has not the right number of columns or holds a value that is not
        finite in the precision (but for NaN with allow_nan), and where last_node has several rows a sample."""
