"""Columns as scikit-learn's scalers change them, and back. NumPy only: predictors need no scikit-learn."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from autoenc._checks import is_sparse

SCALERS = ("MaxAbsScaler", "MinMaxScaler", "RobustScaler", "StandardScaler")
SCALING = ("AutoencoderOutlierDetector", "AutoencoderImputer")  # estimators that scale columns by themselves
# Parameters that say whether something that was learned is used, in the order of the operations.
FLAGS = {
    "StandardScaler": (("with_mean", "mean_"), ("with_std", "scale_")),
    "RobustScaler": (("with_centering", "center_"), ("with_scaling", "scale_")),
}


class Step(NamedTuple):
    """What one fitted scaler does: ``(x - shift) / scale``, or of MinMaxScaler ``x * scale + shift``; then it clips."""

    kind: str
    shift: NDArray[Any] | None
    scale: NDArray[Any] | None
    clip: tuple[float, float] | None

    @classmethod
    def of(cls, kind: str, parameters: Mapping[str, Any], learned: Mapping[str, Any]) -> Self:
        """From parameters that are not the default, and attributes, of a scaler of that class."""
        clip, shift, scale = None, None, learned["scale_"]
        if kind in FLAGS:  # what the flags say now: they may have been set after the fit
            moves, divides = FLAGS[kind]
            shift = learned[moves[1]] if parameters.get(moves[0], True) else None
            scale = scale if parameters.get(divides[0], True) else None
        elif kind == "MinMaxScaler":
            shift = learned["min_"]
            clip = parameters.get("feature_range", (0, 1))
        else:
            clip = (-1, 1)
        clips = clip is not None and parameters.get("clip", False)
        return cls(kind, shift, scale, (float(clip[0]), float(clip[1])) if clips and clip is not None else None)

    def _cast(self, values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """StandardScaler rounds what it has learned to the type of the rows, the others round each result."""
        return values.astype(dtype) if self.kind == "StandardScaler" else values

    def apply(self, X: NDArray[Any]) -> None:
        """Changes rows in place, in the order of operations of scikit-learn 1.9."""
        if self.kind == "MinMaxScaler":
            X *= self.scale
            X += self.shift
        else:
            if self.shift is not None:
                X -= self._cast(self.shift, X.dtype)
            if self.scale is not None:
                X /= self._cast(self.scale, X.dtype)
        if self.clip is not None:
            np.clip(X, *self.clip, out=X)

    def undo(self, X: NDArray[Any], columns: Any) -> None:
        """Changes rows back in place, of which X has some columns."""
        shift = None if self.shift is None else self.shift[columns]
        scale = None if self.scale is None else self.scale[columns]
        if self.kind == "MinMaxScaler":
            X -= shift
            X /= scale
            return
        if scale is not None:
            X *= self._cast(scale, X.dtype)
        if shift is not None:
            X += self._cast(shift, X.dtype)

    def apply_sparse(self, X: Any) -> None:
        """Changes the stored values of CSR rows in place."""
        if self.shift is not None:
            raise ValueError(
                f"X is sparse, and the model has a {self.kind} that moves columns; allowed are dense rows (X.toarray())"
            )
        if self.scale is not None:
            X.data *= (1.0 / self.scale)[X.indices]
        if self.clip is not None:
            np.clip(X.data, *self.clip, out=X.data)


class Scaling:
    """Several scalers, one after the other."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = list(steps)

    def apply(self, X: Any) -> Any:
        """New rows, of the type of X: float32 or float64."""
        out = X.copy()
        if is_sparse(out):
            for step in self.steps:
                step.apply_sparse(out)
            return out
        with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused, by row and column
            for step in self.steps:
                step.apply(out)
        return out

    def undo(self, X: NDArray[Any], columns: Any = slice(None)) -> NDArray[Any]:
        """New rows in the units of before, of which X has some columns."""
        out = X.copy()
        for step in reversed(self.steps):
            step.undo(out, columns)
        return out
