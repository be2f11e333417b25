"""The hashing autoencoder: codes of bits, and neighbours by them."""

from dataclasses import field
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from autoenc import _cache, _core, _spec
from autoenc._autoencoder import Autoencoder
from autoenc._declare import estimator
from autoenc._fitting import ROWS_AT_ONCE, FitData
from autoenc._options import OneOf
from autoenc._predictors import HashingPredictor
from autoenc._spec import Graph
from autoenc._threads import n_threads

METHODS = {"noise": 0, "bernoulli": 1, "straight_through": 2}  # numbers of the layer "binary"
LOGITS, CODE = "logits", "code"
_NOT_HERE = ("n_components", "latent_activation", "sparsity", "contraction")


class _Absent:
    """An attribute of the base class that is not there, so that nobody sets it in vain."""

    def __init__(self, instead: str) -> None:
        self._instead = instead

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:  # documentation tools go through dir(C)
            return self
        raise AttributeError(f"{owner.__name__} has no n_components; allowed: {self._instead}")


@estimator
class HashingAutoencoder(Autoencoder):
    """Autoencoder whose code is bits, so that rows alike have codes that differ in few bits.

    A row's code, packed, is a few bytes (`hash`); `kneighbors` finds the rows of the fit with the nearest codes by
    comparing all. With word counts, as CSR, and ``loss="multinomial"`` it is semantic hashing [1]_.

    Parameters
    ----------
    n_bits : int, default=32
        Bits of the code.
    method : {"noise", "bernoulli", "straight_through"}, default="noise"
        How bits are trained, since a step has no gradient. "noise": in training a bit is a logistic unit whose input
        has normal noise, through which only units far from the middle carry information [1]_ (there each row keeps its
        noise, here it is drawn anew at each step). "bernoulli": a bit drawn with the unit's probability.
        "straight_through": the bit itself. Both of the latter pass the gradient as if the unit had given its
        probability ([2]_, section 4, there for drawn bits). Fitted codes are bits with each.
    noise_std : float, default=4.0
        Standard deviation of the noise of "noise".
    balance_weight : float, default=1e-3
        Weight, in the unit of the loss, of a penalty on bits that are mostly 0 or mostly 1: the sum over bits of the
        Kullback-Leibler divergence ``-log(4 m (1 - m)) / 2`` of the mean m of the bit's probability over the minibatch
        from a half.
    <reconstruction>
    <penalties>
    <layers>
    <training>

    Attributes
    ----------
    hashes_ : ndarray of uint8 of shape (n_indexed, ceil(n_bits / 8))
        Packed codes of the rows among which `kneighbors` looks: those of the last `fit`, `partial_fit` or `index`.
    <learned>

    See Also
    --------
    VectorQuantizedAutoencoder : Codes of whole numbers.
    sklearn.neighbors.NearestNeighbors : Neighbours by the rows themselves.

    Notes
    -----
    The solver "lbfgs" is not allowed: the bits are not smooth.

    References
    ----------
    .. [1] Salakhutdinov, R. and Hinton, G. (2009). Semantic hashing. International Journal of Approximate Reasoning 50,
       969-978.
    .. [2] Bengio, Y., Leonard, N. and Courville, A. (2013). Estimating or propagating gradients through stochastic
       neurons for conditional computation. arXiv:1308.3432.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from autoenc import HashingAutoencoder
    >>> X, y = load_digits(return_X_y=True)
    >>> model = HashingAutoencoder(32, max_iter=30, random_state=0).fit(X / 16)
    >>> model.hash(X[:2] / 16).shape
    (2, 4)
    >>> distances, indices = model.kneighbors(n_neighbors=10)
    >>> bool((y[indices] == y[:, None]).mean() > 0.7)
    True
    """

    n_bits: int = field(default=32, kw_only=False)
    method: Literal["noise", "bernoulli", "straight_through"] = "noise"
    noise_std: float = 4.0
    balance_weight: float = 1e-3
    # Not parameters here: the code is n_bits bits.
    n_components: ClassVar[Any] = _Absent("n_bits")  # type: ignore[misc]
    latent_activation: ClassVar[Literal["identity"]] = "identity"  # type: ignore[misc]
    sparsity: ClassVar[None] = None  # type: ignore[misc]
    contraction: ClassVar[None] = None  # type: ignore[misc]

    _dense_of_code: ClassVar[str] = LOGITS
    _jumps: ClassVar[str | None] = "codes of bits, which are"

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **{name: kinds for name, kinds in Autoencoder._parameter_constraints.items() if name not in _NOT_HERE},
        "n_bits": [Interval(Integral, 1, None, closed="left")],
        "method": [OneOf(set(METHODS))],
        "noise_std": [Interval(Real, 0, None, closed="left")],
        "balance_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in _NOT_HERE]

    def _code_width(self) -> int:
        return int(self.n_bits)

    # ---- the network ----

    def _add_code(self, graph: Graph, node: str) -> tuple[str, str]:
        _spec.check_widths("n_bits", [self.n_bits])
        logits = self._dense(graph, LOGITS, node, int(self.n_bits), "identity")
        how = METHODS[self.method]
        graph.code = graph.add("binary", CODE, logits, size=(how,), value=(float(self.noise_std) * (how == 0),))
        return graph.code, graph.code

    def _add_objective(self, graph: Graph, output: str, target: str, entry_weight: str | None) -> None:
        super()._add_objective(graph, output, target, entry_weight)
        if self.balance_weight > 0.0:
            # Of probabilities: bits are often all the same in a minibatch, where the penalty is steep without end.
            probabilities = graph.add("activation", "probabilities", LOGITS, activation="logistic")
            node = graph.add("kl_sparsity", "balance", probabilities, width=1, size=(0,), value=(0.5, 0.0))
            graph.term("sum", node, weight=self.balance_weight)

    # ---- the fitted network ----

    def _forget(self) -> None:
        super()._forget()
        self.__dict__.pop("hashes_", None)

    def _found_after_fit(self) -> str:
        return "hashes_"

    def _after_fit(self, trainer: _core.Trainer, data: FitData) -> None:
        super()._after_fit(trainer, data)
        self._index(data.rows.X, data.rows.condition)

    def _index(self, X: Any, condition: Any) -> None:
        hashes = self._hash(X, condition)
        _cache.freeze(hashes)
        self.hashes_ = hashes

    def _hash(self, X: Any, condition: Any) -> NDArray[np.uint8]:
        """Packed codes of checked rows, in blocks: the codes as numbers would be up to 64 times as large."""
        n, n_bits = X.shape[0], self._spec["n_components"]
        out = np.empty((n, -(-n_bits // 8)), dtype=np.uint8)
        for at in range(0, n, ROWS_AT_ONCE):
            part = slice(at, at + ROWS_AT_ONCE)
            bits = self._run(X[part], self._spec["code"], condition=None if condition is None else condition[part])
            out[part] = np.packbits(bits > 0, axis=1)
        return out

    def hash(self, X: Any, *, condition: Any = None) -> NDArray[np.uint8]:
        """Packed codes of rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        ndarray of uint8 of shape (n_samples, ceil(n_bits / 8))
            ``numpy.packbits(transform(X) > 0, axis=1)``: the first bit is the highest of the first byte; behind the
            last one are zeros.
        """
        X = self._check(X)
        return self._hash(X, self._check_condition(condition, X.shape[0]))

    def predictor(self, *, n_jobs: int | None = 1) -> HashingPredictor:
        """The fitted network as an object that needs neither scikit-learn nor SciPy, with little overhead for one row.

        Parameters
        ----------
        n_jobs : int or None, default=1
            Threads of a call, as the parameter of the same name.

        Returns
        -------
        HashingPredictor
            Also with `hash`.
        """
        return self._predictor_of(HashingPredictor, n_jobs)

    def index(self, X: Any, *, condition: Any = None) -> Self:
        """Has `kneighbors` look among other rows than those of the fit. The network stays as it is.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_indexed, n_features)
            Rows. Their packed codes alone are kept.
        condition : {array-like, sparse matrix} of shape (n_indexed,) or (n_indexed, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        self
            The estimator itself, with other `hashes_`.
        """
        X = self._check(X)
        self._index(X, self._check_condition(condition, X.shape[0]))
        return self

    def kneighbors(
        self, X: Any = None, n_neighbors: int = 5, return_distance: bool = True, *, condition: Any = None
    ) -> Any:
        """The indexed rows whose codes are nearest, by the number of different bits.

        All codes are compared, in blocks, on `n_jobs` threads; ties go to the lower index. Beside the result, of 12
        bytes for each neighbour of each row, memory is needed for a few blocks of codes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_queries, n_features) or None, default=None
            Rows. None: the indexed rows themselves, of which none is its own neighbour.
        n_neighbors : int, default=5
            Neighbours of each row, at most the indexed rows (the others, where X is None).
        return_distance : bool, default=True
            Whether distances are returned too.
        condition : {array-like, sparse matrix} of shape (n_queries,) or (n_queries, n_conditions), default=None
            What is known about each row of X, where the fit had it.

        Returns
        -------
        distances : ndarray of int32 of shape (n_queries, n_neighbors)
            Different bits, ascending. Only with `return_distance`.
        indices : ndarray of int64 of shape (n_queries, n_neighbors)
            Positions of the neighbours among the indexed rows.
        """
        check_is_fitted(self, "hashes_")
        own = X is None
        most = len(self.hashes_) - own
        if most < 1:
            raise ValueError(f"X is None and {len(self.hashes_)} row is indexed, which has no other beside it; give X")
        if not isinstance(n_neighbors, Integral) or isinstance(n_neighbors, bool) or not 1 <= n_neighbors <= most:
            raise ValueError(
                f"n_neighbors is {n_neighbors!r}; allowed are 1 to {most}, the number of indexed rows"
                f"{' beside the row itself' if own else ''}"
            )
        k = int(n_neighbors)
        if not own:
            found = _core.hamming_neighbors(self.hashes_, self.hash(X, condition=condition), k, n_threads(self.n_jobs))
        elif condition is None:
            found = self._neighbors_of_the_index(k)
        else:
            raise ValueError("condition is given without X; the indexed rows have theirs in their codes")
        return found if return_distance else found[1]

    def _neighbors_of_the_index(self, k: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The k nearest other rows of each indexed one: the k + 1 nearest without itself.

        Where equal codes of lower index have crowded it out of those, the last one goes instead.
        """
        codes, n = self.hashes_, len(self.hashes_)
        distances, indices = np.empty((n, k), np.int32), np.empty((n, k), np.int64)
        for at in range(0, n, ROWS_AT_ONCE):
            part = slice(at, at + ROWS_AT_ONCE)
            near, which = _core.hamming_neighbors(codes, codes[part], k + 1, n_threads(self.n_jobs))
            own = which == at + np.arange(len(which))[:, np.newaxis]
            own[~own.any(axis=1), -1] = True
            distances[part] = near[~own].reshape(-1, k)
            indices[part] = which[~own].reshape(-1, k)
        return distances, indices
