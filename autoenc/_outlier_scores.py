"""How an outlier detector scores rows, and its predictor. NumPy and the extension only."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoenc import _core, _spec
from autoenc._checks import dense, read_rows
from autoenc._export import Exportable
from autoenc._landmarks import Landmarks
from autoenc._names import Names, Rebuilt, learned_names
from autoenc._predictor import NETWORK, build, parameters
from autoenc._row_blocks import row_blocks
from autoenc._spec import Node, Spec

_FAN_IN = _spec.NODE["inputs"].shape[0]
_VALUES_AT_ONCE = 2**18  # of what the joined network says: errors of all members, and of landmarks
_LEARNED = ("mean_", "scale_", "_clip", "_used", "_masks", "error_", "median_", "_neighbors", "_center", "_weight")


def learned_of(detector: Mapping[str, Any]) -> dict[str, Any]:
    """What scores are made of, beside the members, from the attributes of a detector."""
    learned = {name.strip("_"): detector[name] for name in _LEARNED}
    learned["landmarks"] = detector["_landmarks"] if learned["neighbors"].any() else None
    return learned


def charbonnier(
    difference: NDArray[np.float64], scale: Any, missing: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """``sqrt(1 + difference ** 2 / scale) - 1``, in place: a square up to the scale, the absolute value beyond.

    What is missing has no term, and the others of the row (the last axis) share its weight.

    Nothing but operations that round exactly, so the bits are the same on every instruction set, where NumPy's
    logarithms differ.
    """
    np.square(difference, out=difference)
    difference /= scale
    difference += 1.0
    np.sqrt(difference, out=difference)
    difference -= 1.0
    if missing is not None:
        np.copyto(difference, 0.0, where=missing)
        n = missing.shape[-1]
        there = n - np.count_nonzero(missing, axis=-1, keepdims=True)
        difference *= n / np.maximum(there, 1)
    return difference


def standardised(
    X: Any,
    used: NDArray[np.intp] | None,
    mean: NDArray[np.float64],
    scale: NDArray[np.float64],
    clip: float,
    dtype: Any,
) -> NDArray[Any]:
    """Rows as the members read them; `used` are the columns they know, None: all."""
    rows = dense(X)
    if used is not None:
        rows, mean, scale = rows[:, used], mean[used], scale[used]
    with np.errstate(over="ignore"):  # beyond the largest number is beyond the clip
        Z = (rows.astype(np.float64) - mean) / scale
    np.minimum(Z, clip, out=Z)
    np.maximum(Z, -clip, out=Z)
    return np.ascontiguousarray(Z, dtype=dtype)


def widened(contributions: NDArray[np.float64], used: NDArray[np.intp] | None, width: int) -> NDArray[np.float64]:
    """Contributions of all columns: those that the members do not know have none."""
    if used is None:
        return contributions
    out = np.zeros((len(contributions), width))
    out[:, used] = contributions
    return out


def by_member(
    Z: NDArray[Any],
    members: Sequence[Callable[[NDArray[Any]], NDArray[Any]]],
    learned: Mapping[str, Any],
    unseen: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Contributions of standardised rows, and their scores by the members that have not seen them.

    `members` give reconstructions, one after the other: for many rows the fastest way.
    """
    missing = np.isnan(Z) if learned["masks"] else None
    total = np.zeros(Z.shape)
    sums, count = np.zeros(len(Z)), np.zeros(len(Z))
    nearest = None if learned["landmarks"] is None else learned["landmarks"].nearest(Z, missing)
    for i, restored in enumerate(members):
        errors = restored(Z).astype(np.float64)
        errors -= Z
        charbonnier(errors, learned["error"][i], missing)
        errors /= learned["median"][i]
        if nearest is not None:
            distances = charbonnier(np.subtract(Z, nearest[:, i], dtype=np.float64), 1.0, missing)
            distances *= learned["neighbors"][i]
            errors += distances
        total += errors
        if unseen is not None:
            sums += np.where(unseen[i], errors.sum(axis=1), 0.0)
            count += unseen[i]
    center = charbonnier(Z.astype(np.float64), 1.0, missing)
    center *= learned["center"]
    total /= len(members)
    total += center
    total /= learned["weight"]
    with np.errstate(invalid="ignore"):
        return total, -(sums / count + center.sum(axis=1)) / learned["weight"]


def joined(specs: Sequence[Spec], landmarks: Landmarks | None, masks: bool) -> tuple[list[Node], list[tuple[int, str]]]:
    """Fitted networks of the same rows side by side, as one: its nodes, and its parameters by network and name.

    The last node has the reconstructions of all of them, one after the other, and then what the layer of `landmarks`
    says, whose parameters come after the others. `masks` is whether values may be missing.
    """
    width = specs[0]["n_features"]
    nodes = [Node(kind="input", name="x", inputs=(), fields={"width": width, "source": 0})]
    owned: list[tuple[int, str]] = []
    outputs: list[str] = []
    for i, spec in enumerate(specs):
        own = _spec.wanted(_spec.inference_nodes(spec), (spec["output"],))
        names = {node["name"]: "x" if node["kind"] == "input" else f"{i}_{node['name']}" for node in own}
        owned.extend((i, name) for name, _, _ in _spec.owned(spec, own))
        for node in own:
            if node["kind"] == "input":
                continue
            fields = dict(node["fields"])
            if "shares" in fields:
                fields["shares"] = names[fields["shares"]]
            inputs = tuple(names[name] for name in node["inputs"])
            nodes.append(Node(kind=node["kind"], name=names[node["name"]], inputs=inputs, fields=fields))
        outputs.append(names[spec["output"]])
    sizes = dict.fromkeys(outputs, width)
    if landmarks is not None:
        if masks:
            nodes.append(Node(kind="observed", name="x_observed", inputs=("x",), fields={}))
        nodes.append(landmarks.layer("near", "x_observed" if masks else "x"))
        outputs.append("near")
        sizes["near"] = landmarks.bias.size
    while len(outputs) > 1:
        level: list[str] = []
        for first in range(0, len(outputs), _FAN_IN):
            parts = outputs[first : first + _FAN_IN]
            if len(parts) == 1:
                level.extend(parts)
                continue
            name = f"side_by_side_{len(nodes)}"
            sizes[name] = sum(sizes[part] for part in parts)
            nodes.append(Node(kind="concatenate", name=name, inputs=tuple(parts), fields={"width": sizes[name]}))
            level.append(name)
        outputs = level
    return nodes, owned


def _restored(core: _core.Predictor, node: int, Z: NDArray[Any]) -> NDArray[Any]:
    return core.run((Z,), node)


class Fitted(NamedTuple):
    """A fitted network, with its parameters as an estimator has them."""

    spec: Spec
    coefs: list[NDArray[Any]]
    intercepts: list[NDArray[Any]]
    others: dict[str, NDArray[Any]]

    @classmethod
    def of(cls, learned: Mapping[str, Any]) -> Self:
        """From the attributes of an estimator."""
        return cls(*(learned[name] for name in NETWORK))


class OutlierPredictor(Rebuilt, Exportable):
    """A fitted `AutoencoderOutlierDetector` without scikit-learn and SciPy, with little overhead for one row.

    Made by ``detector.predictor()``. It holds a copy of what was learned, so that later changes of the detector, those
    of `offset_` by `calibrate` too, do not reach it; its results have the detector's bits. For few rows all members
    run as one network. It can be pickled, and used by several threads at once. Columns of a frame must have the names
    and the order of the fit, where that had names.

    Attributes
    ----------
    n_features_in : int
        Features of a row.
    offset : float
        ``decision_function = score_samples - offset``.
    feature_names_in : ndarray of shape (n_features_in,) or None
        Names of the columns of X in the fit.

    Examples
    --------
    >>> import numpy as np
    >>> from autoenc import AutoencoderOutlierDetector
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> detector = AutoencoderOutlierDetector(random_state=0).fit(X)
    >>> predictor = detector.predictor()
    >>> predictor.predict([9.0, -9.0, 9.0, -9.0])
    -1
    >>> bool(predictor.score_samples(X[0]) == detector.score_samples(X[:1])[0])
    True
    """

    _format = 3
    _kept = ("_members", "_learned", "_n_threads")

    def __init__(
        self, members: Sequence[Fitted], learned: Mapping[str, Any], n_threads: int, names: Names | None = None
    ) -> None:
        self._members = [
            Fitted(
                one.spec,
                [np.array(array) for array in one.coefs],
                [np.array(array) for array in one.intercepts],
                {name: np.array(array) for name, array in one.others.items()},
            )
            for one in members
        ]
        self._learned: dict[str, Any] = {
            name: value.copy() if isinstance(value, np.ndarray) else value for name, value in learned.items()
        }
        self._n_threads = n_threads
        self._learn_names(names)
        self._start()

    @classmethod
    def _of_learned(cls, learned: Mapping[str, Any], n_threads: int) -> Self:
        """From the attributes of a detector, which has them or a file."""
        members = [Fitted.of(one if isinstance(one, Mapping) else vars(one)) for one in learned["estimators_"]]
        return cls(members, {**learned_of(learned), "offset": learned["offset_"]}, n_threads, learned_names(learned))

    def _start(self) -> None:
        self._single: list[Callable[[NDArray[Any]], NDArray[Any]]] | None = None
        learned = self._learned
        self.n_features_in = len(learned["mean"])
        self.offset = learned["offset"]
        specs = [member.spec for member in self._members]
        values = [parameters(*member) for member in self._members]
        landmarks: Landmarks | None = learned["landmarks"]
        nodes, owned = joined(specs, landmarks, learned["masks"])
        own = [] if landmarks is None else [landmarks.weight, landmarks.bias]
        self._last = len(nodes) - 1
        self._dtype = _spec.dtype(specs[0])
        self._core = _core.Predictor(
            _spec.node_array(nodes),
            [*(values[i][name] for i, name in owned), *own],
            precision=_spec.bits(specs[0]),
            n_threads=self._n_threads,
        )
        self._error = learned["error"][:, np.newaxis]
        self._median = learned["median"][:, np.newaxis]
        self._neighbors = learned["neighbors"][:, np.newaxis]
        self._n_restored = len(specs) * specs[0]["n_features"]
        self._width = self._n_restored + (0 if landmarks is None else landmarks.bias.size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_features_in} features, {len(self._members)} members)"

    def _block(self, X: Any) -> NDArray[np.float64]:
        """Contributions of some checked rows, as the detector adds them up."""
        learned = self._learned
        Z = standardised(X, learned["used"], learned["mean"], learned["scale"], learned["clip"], self._dtype)
        missing = np.isnan(Z) if learned["masks"] else None
        missing_of_each = None if missing is None else missing[:, np.newaxis]
        found = self._core.run((Z,), self._last, _core.VALUES, dtype=self._dtype)
        errors = found[:, : self._n_restored].astype(np.float64).reshape(len(Z), len(self._members), -1)
        errors -= Z[:, np.newaxis]
        charbonnier(errors, self._error, missing_of_each)
        errors /= self._median
        if learned["landmarks"] is not None:
            nearest = learned["landmarks"].nearest(Z, missing, found[:, self._n_restored :])
            distances = np.subtract(Z[:, np.newaxis], nearest, dtype=np.float64)
            charbonnier(distances, 1.0, missing_of_each)
            distances *= self._neighbors
            errors += distances
        total = np.add.accumulate(errors, axis=1, out=errors)[:, -1]  # one after the other, as the detector does
        center = charbonnier(Z.astype(np.float64), 1.0, missing)
        center *= learned["center"]
        total /= len(self._members)
        total += center
        total /= learned["weight"]
        return total

    def _restoring(self) -> list[Callable[[NDArray[Any]], NDArray[Any]]]:
        """The members one by one, made at first use: only calls of many rows want them."""
        if self._single is None:
            found: list[Callable[[NDArray[Any]], NDArray[Any]]] = []
            for member in self._members:
                core, at = build(*member, 1), _spec.positions(_spec.inference_nodes(member.spec))
                found.append(partial(_restored, core, at[member.spec["output"]]))
            self._single = found
        return self._single

    def _contributions(self, X: Any) -> tuple[NDArray[np.float64], bool]:
        learned = self._learned
        self._check_names(X)
        rows, single, _ = read_rows(X, self.n_features_in, precision="float64", allow_nan=learned["masks"])
        if rows.shape[0] <= max(1, _VALUES_AT_ONCE // self._width):
            return self._block(rows), single
        members = self._restoring()

        def contributions(block: slice) -> NDArray[np.float64]:
            part = rows[block]
            Z = standardised(part, learned["used"], learned["mean"], learned["scale"], learned["clip"], self._dtype)
            return by_member(Z, members, learned)[0]

        blocks = list(row_blocks(rows))
        if min(len(blocks), self._n_threads) == 1:
            return np.concatenate(list(map(contributions, blocks))), single
        with ThreadPoolExecutor(min(len(blocks), self._n_threads)) as pool:
            return np.concatenate(list(pool.map(contributions, blocks))), single

    def feature_contributions(self, X: ArrayLike) -> NDArray[np.float64]:
        """What each feature has to do with the score of a row.

        Parameters
        ----------
        X : array-like of shape (n_features,) or (n_samples, n_features), or sparse matrix
            One row or many.

        Returns
        -------
        ndarray of shape (n_features,) or (n_samples, n_features), float64
            They add up to ``-score_samples``.
        """
        contributions, single = self._contributions(X)
        out = widened(contributions, self._learned["used"], self.n_features_in)
        return out[0] if single else out

    def score_samples(self, X: ArrayLike) -> Any:
        """Scores, higher for ordinary rows.

        Parameters
        ----------
        X : array-like of shape (n_features,) or (n_samples, n_features), or sparse matrix
            One row or many.

        Returns
        -------
        float or ndarray of shape (n_samples,), float64
            Of one row a float.
        """
        contributions, single = self._contributions(X)
        scores = -contributions.sum(axis=1)
        return float(scores[0]) if single else scores

    def decision_function(self, X: ArrayLike) -> Any:
        """Scores less `offset`: negative for outliers.

        Parameters
        ----------
        X : array-like of shape (n_features,) or (n_samples, n_features), or sparse matrix
            One row or many.

        Returns
        -------
        float or ndarray of shape (n_samples,), float64
            Of one row a float.
        """
        return self.score_samples(X) - self.offset

    def predict(self, X: ArrayLike) -> Any:
        """-1 for outliers, 1 for the others.

        Parameters
        ----------
        X : array-like of shape (n_features,) or (n_samples, n_features), or sparse matrix
            One row or many.

        Returns
        -------
        int or ndarray of shape (n_samples,), int64
            Of one row an int.
        """
        decision = self.decision_function(X)
        if isinstance(decision, float):
            return -1 if decision < 0 else 1
        return np.where(decision < 0, -1, 1)
