"""Predictors that can do more than `Predictor`, and what they share with their estimators. They need NumPy alone."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoenc import _core, _spec
from autoenc._checks import source
from autoenc._predictor import Predictor
from autoenc._spec import Spec

HEAD = "head"  # nodes of supervised networks
PROBABILITIES = "probabilities"


def log_probabilities(logits: NDArray[Any], probabilities: NDArray[Any]) -> NDArray[Any]:
    """Logarithms of the softmax of rows of logits, exact where probabilities are tiny, of their type."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exact = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    likely = probabilities > 0.5
    # Near one the logarithm is that of the rounded probability, so that the two methods agree to the last digit.
    return np.where(likely, np.log(np.where(likely, probabilities, 1.0)), exact).astype(probabilities.dtype)


def of_standardised(values: NDArray[Any], mean: NDArray[Any], scale: NDArray[Any], flat: bool) -> Any:
    """Predictions in the units of y, of the type of the standardised ones; `flat`: y had one dimension."""
    out = (values * scale + mean).astype(values.dtype)
    return out[..., 0][()] if flat else out


class ClassifierPredictor(Predictor):
    """A fitted `AutoencoderClassifier` without scikit-learn: what `Predictor` has, and classes.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Labels, sorted.

    Examples
    --------
    >>> import numpy as np
    >>> from autoenc import AutoencoderClassifier
    >>> X = np.random.default_rng(0).normal(size=(200, 5))
    >>> y = np.where(X[:, 0] > 0, "high", "low")
    >>> predictor = AutoencoderClassifier(3, unlabeled_label=None, max_iter=20, random_state=0).fit(X, y).predictor()
    >>> print(predictor.predict([3.0, 0.0, 0.0, 0.0, 0.0]))
    high
    """

    _attributes: ClassVar[dict[str, str]] = {"classes": "classes_"}

    def _start(self) -> None:
        super()._start()
        self.classes = self._beside["classes"]
        self._head, self._probabilities = self._at[HEAD], self._at[PROBABILITIES]

    def predict(self, X: ArrayLike, *, condition: ArrayLike | None = None) -> Any:
        """The most probable class.

        Parameters
        ----------
        X : array-like of shape (n_features,) or (n_samples, n_features), or sparse matrix
            One row or many.
        condition : label, array-like of shape (n_samples,), (n_conditions,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it; of one row its label or its numbers.

        Returns
        -------
        label or ndarray of shape (n_samples,)
            Of one row its label.
        """
        return self.classes[self._values(X, condition, self._head, _core.VALUES).argmax(axis=-1)]

    def predict_proba(self, X: ArrayLike, *, condition: ArrayLike | None = None) -> NDArray[Any]:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_features,) or (n_samples, n_features), or sparse matrix
            One row or many.
        condition : label, array-like of shape (n_samples,), (n_conditions,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it; of one row its label or its numbers.

        Returns
        -------
        ndarray of shape (n_classes,) or (n_samples, n_classes)
            In the order of `classes`.
        """
        return self._values(X, condition, self._probabilities, _core.VALUES)

    def predict_log_proba(self, X: ArrayLike, *, condition: ArrayLike | None = None) -> NDArray[Any]:
        """Logarithms of `predict_proba`, exact where those are tiny.

        Parameters
        ----------
        X : array-like of shape (n_features,) or (n_samples, n_features), or sparse matrix
            One row or many.
        condition : label, array-like of shape (n_samples,), (n_conditions,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it; of one row its label or its numbers.

        Returns
        -------
        ndarray of shape (n_classes,) or (n_samples, n_classes)
            In the order of `classes`.
        """
        rows, single, out = self._features(X)
        sources = (source(rows), *self._conditions(condition, rows.shape[0], single))
        logits = self._run(sources, self._head, _core.VALUES, dtype=_spec.dtype(self._spec))
        found = self._run((logits,), self._probabilities, _core.VALUES, from_node=self._head, dtype=out)
        values = log_probabilities(logits, found)
        return values[0] if single else values


class RegressorPredictor(Predictor):
    """A fitted `AutoencoderRegressor` without scikit-learn: what `Predictor` has, and numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from autoenc import AutoencoderRegressor
    >>> X = np.random.default_rng(0).normal(size=(200, 5))
    >>> model = AutoencoderRegressor(3, max_iter=20, random_state=0).fit(X, X[:, 0])
    >>> bool(model.predictor().predict(X[0]) == model.predict(X[:1])[0])
    True
    """

    _attributes: ClassVar[dict[str, str]] = {"mean": "_y_mean", "scale": "_y_scale", "flat": "_flat"}

    def predict(self, X: ArrayLike, *, condition: ArrayLike | None = None) -> Any:
        """Numbers for rows.

        Parameters
        ----------
        X : array-like of shape (n_features,) or (n_samples, n_features), or sparse matrix
            One row or many.
        condition : label, array-like of shape (n_samples,), (n_conditions,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it; of one row its label or its numbers.

        Returns
        -------
        float or ndarray of shape (n_targets,), (n_samples,) or (n_samples, n_targets)
            As y was in the fit; of one row a float or its targets. Of X's type where that is float32 or float64,
            else of `precision`.
        """
        out = self._values(X, condition, self._at[HEAD], _core.VALUES)
        return of_standardised(out, self._beside["mean"], self._beside["scale"], self._beside["flat"])


class HashingPredictor(Predictor):
    """A fitted `HashingAutoencoder` without scikit-learn: what `Predictor` has, and packed codes.

    Examples
    --------
    >>> import numpy as np
    >>> from autoenc import HashingAutoencoder
    >>> X = np.random.default_rng(0).random((200, 5))
    >>> model = HashingAutoencoder(16, max_iter=5, random_state=0).fit(X)
    >>> model.predictor().hash(X[0]).shape
    (2,)
    """

    def hash(self, X: ArrayLike, *, condition: ArrayLike | None = None) -> NDArray[np.uint8]:
        """Packed codes, eight bits a byte.

        Parameters
        ----------
        X : array-like of shape (n_features,) or (n_samples, n_features), or sparse matrix
            One row or many.
        condition : label, array-like of shape (n_samples,), (n_conditions,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it; of one row its label or its numbers.

        Returns
        -------
        ndarray of shape (ceil(n_bits / 8),) or (n_samples, ceil(n_bits / 8)), uint8
            The first bit of a byte is its highest, as of ``numpy.packbits``.
        """
        return np.packbits(self.transform(X, condition=condition) > 0, axis=-1)


class VectorQuantizedPredictor(Predictor):
    """A fitted `VectorQuantizedAutoencoder` without scikit-learn: what `Predictor` has, and numbers of codes.

    Examples
    --------
    >>> import numpy as np
    >>> from autoenc import VectorQuantizedAutoencoder
    >>> X = np.random.default_rng(0).random((200, 5))
    >>> model = VectorQuantizedAutoencoder(4, n_codes=8, n_codebooks=2, max_iter=5, random_state=0).fit(X)
    >>> predictor = model.predictor()
    >>> indices = predictor.encode_indices(X[0])
    >>> bool((predictor.decode_indices(indices) == predictor.reconstruct(X[0].astype(np.float32))).all())
    True
    """

    def _start(self) -> None:
        super()._start()
        self._indices = self._at[self._spec["kept"][-1]]
        self._codebooks = codebooks(self._spec, self._others)

    def encode_indices(self, X: ArrayLike, *, condition: ArrayLike | None = None) -> NDArray[np.int32]:
        """Numbers of the codes.

        Parameters
        ----------
        X : array-like of shape (n_features,) or (n_samples, n_features), or sparse matrix
            One row or many.
        condition : label, array-like of shape (n_samples,), (n_conditions,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it; of one row its label or its numbers.

        Returns
        -------
        ndarray of shape (n_codebooks,) or (n_samples, n_codebooks), int32
            From 0 to ``n_codes - 1``.
        """
        return self._values(X, condition, self._indices, _core.VALUES).astype(np.int32)

    def decode_indices(self, indices: ArrayLike, *, condition: ArrayLike | None = None) -> NDArray[Any]:
        """Reconstructions from numbers of codes.

        Parameters
        ----------
        indices : array-like of shape (n_codebooks,) or (n_samples, n_codebooks)
            As `encode_indices` gives them.
        condition : label, array-like of shape (n_samples,), (n_conditions,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it; of one row its label or its numbers.

        Returns
        -------
        ndarray of shape (n_outputs,) or (n_samples, n_outputs)
            Of type `precision`.

        Raises
        ------
        ValueError
            Where they are not of this shape, not whole, or one is that of no code.
        """
        numbers = np.asarray(indices)
        codes = codes_of(self._codebooks, np.atleast_2d(numbers), self._spec["settings"]["quantizer"])
        return self.inverse_transform(codes[0] if numbers.ndim == 1 else codes, condition=condition)


def codebooks(spec: Spec, others: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The vectors of a vector-quantised network: (n_codebooks, n_codes, width of a vector)."""
    names = [name for name, _, _ in spec["parameters"] if name.endswith(".codes")]
    codes = np.stack([others[name] for name in names])
    n_codes = codes.shape[2]
    if len(names) == 1:
        n = next(node["fields"]["size"][1] for node in spec["nodes"] if node["kind"] == "vector_quantize")
        codes = codes.reshape(n, -1, n_codes)
    return np.ascontiguousarray(codes.transpose(0, 2, 1))


def codes_of(vectors: NDArray[Any], numbers: NDArray[Any], quantizer: str) -> NDArray[Any]:
    """Codes from their numbers, (n_samples, n_components).

    Raises
    ------
    ValueError
        Where numbers are not of shape (n_samples, n_codebooks), not whole, or one is that of no code.
    """
    n_codebooks, n_codes, _ = vectors.shape
    if numbers.ndim != 2 or numbers.shape[1] != n_codebooks or numbers.dtype.kind not in "iu":
        raise ValueError(
            f"indices has type {numbers.dtype} and shape {numbers.shape}; allowed are whole numbers of shape "
            f"(n_samples, {n_codebooks})"
        )
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < n_codes):
        raise ValueError(f"indices has numbers from {numbers.min()} to {numbers.max()}; allowed are 0 to {n_codes - 1}")
    parts = [book[column] for book, column in zip(vectors, numbers.T, strict=True)]
    if quantizer == "product":
        return np.hstack(parts)
    code: NDArray[Any] = parts[0]
    for part in parts[1:]:  # in the order of the network, whose bits these are
        code = code + part
    return code
