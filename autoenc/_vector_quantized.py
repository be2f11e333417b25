"""The vector-quantised autoencoder."""

import math
from dataclasses import field
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from autoenc import _cache, _core, _spec
from autoenc._autoencoder import Autoencoder
from autoenc._declare import estimator
from autoenc._fitting import ROWS_AT_ONCE, FitData
from autoenc._options import OneOf
from autoenc._predictors import VectorQuantizedPredictor, codebooks, codes_of
from autoenc._spec import Graph, Node, Range, Spec

MOST_CODES = 2**24  # of a codebook: numbers that float32 holds exactly
MOST_CODEBOOKS = 64
_NOT_HERE = ("sparsity", "contraction")
EMBEDDING, CODE, INDICES = "embedding", "code", "indices"


@estimator
class VectorQuantizedAutoencoder(Autoencoder):
    """Autoencoder whose code is one of a finite number of vectors, or one of each of several codebooks.

    The encoder's output, the embedding, is replaced by the nearest vector of a codebook [1]_. The decoder sees that
    vector alone; its gradient passes to the encoder as if nothing had been replaced. The vectors are moving averages of
    the embeddings assigned to them ([1]_, appendix A.1); those that hardly any row uses start anew at an embedding
    of the minibatch [2]_. A row is then a few whole numbers (`encode_indices`), and can be restored from them
    (`decode_indices`).

    Parameters
    ----------
    n_components : int, default=16
        Features of the embedding.
    n_codes : int, default=256
        Vectors of a codebook, at most 2**24.
    n_codebooks : int, default=1
        Codebooks, at most 64. A row has one number for each, so there are ``n_codes ** n_codebooks`` different codes.
    quantizer : {"product", "residual"}, default="product"
        What several codebooks are for. "product": each quantises an equal run of the embedding's features, so that
        `n_codebooks` must divide `n_components` [3]_. "residual": each quantises what those before it have left, and
        the code is the sum of their vectors [4]_.
    commitment_weight : float, default=0.25
        Weight of the squared distance between embedding and code, which keeps the encoder near the codes. It is a mean
        over features like the loss, without a factor 1/2; with "residual" the sum over the partial sums of codes
        [4]_.
    decay : float, default=0.99
        Of the moving averages, for a step.
    dead_code_threshold : float, default=0.1
        A vector starts anew when the moving average of the rows assigned to it in a step is below this part of an even
        share (rows of the minibatch / `n_codes`), below 1. 0: never.
    <latent_activation>
    <reconstruction>
    <penalties>
    <layers>
    <training>

    Attributes
    ----------
    code_usage_ : ndarray of shape (n_codebooks, n_codes)
        Share of the fit's rows (by their weights) that have each code.
    perplexity_ : ndarray of shape (n_codebooks,)
        Number of equally used codes with the entropy of `code_usage_`, ``exp(-sum p log p)``: 1 where all rows have one
        code, `n_codes` where all codes are used alike.
    <learned>

    See Also
    --------
    HashingAutoencoder : Codes of bits.
    sklearn.cluster.KMeans : Vectors of the rows themselves.

    Notes
    -----
    The solver "lbfgs" is not allowed: the codes jump from one vector to another.

    References
    ----------
    .. [1] van den Oord, A., Vinyals, O. and Kavukcuoglu, K. (2017). Neural discrete representation learning. NIPS.
    .. [2] Dhariwal, P. et al. (2020). Jukebox: a generative model for music. arXiv:2005.00341.
    .. [3] Jegou, H., Douze, M. and Schmid, C. (2011). Product quantization for nearest neighbor search. IEEE TPAMI 33,
       117-128.
    .. [4] Lee, D., Kim, C., Kim, S., Cho, M. and Han, W.-S. (2022). Autoregressive image generation using residual
       quantization. CVPR.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from autoenc import VectorQuantizedAutoencoder
    >>> X = load_digits().data / 16
    >>> model = VectorQuantizedAutoencoder(8, n_codes=32, n_codebooks=4, max_iter=20, random_state=0).fit(X)
    >>> indices = model.encode_indices(X)
    >>> indices.shape, model.codebooks_.shape
    ((1797, 4), (4, 32, 2))
    >>> bool(np.allclose(model.decode_indices(indices), model.reconstruct(X)))
    True
    """

    n_components: int = field(default=16, kw_only=False)
    n_codes: int = 256
    n_codebooks: int = 1
    quantizer: Literal["product", "residual"] = "product"
    commitment_weight: float = 0.25
    decay: float = 0.99
    dead_code_threshold: float = 0.1
    # Not parameters here: the code is a vector of a codebook.
    sparsity: ClassVar[None] = None  # type: ignore[misc]
    contraction: ClassVar[None] = None  # type: ignore[misc]

    _dense_of_code: ClassVar[str] = EMBEDDING
    _jumps: ClassVar[str | None] = "vector quantisation, which is"

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **{name: kinds for name, kinds in Autoencoder._parameter_constraints.items() if name not in _NOT_HERE},
        "n_codes": [Interval(Integral, 1, MOST_CODES, closed="both")],
        "n_codebooks": [Interval(Integral, 1, MOST_CODEBOOKS, closed="both")],
        "quantizer": [OneOf({"product", "residual"})],
        "commitment_weight": [Interval(Real, 0, None, closed="left")],
        "decay": [Interval(Real, 0, 1, closed="neither")],
        "dead_code_threshold": [Interval(Real, 0, 1, closed="left")],
    }

    def _settings(self) -> dict[str, Any]:
        names = ("n_codes", "n_codebooks", "quantizer")
        return {**super()._settings(), **{name: getattr(self, name) for name in names}}

    # ---- the network ----

    def _fields(self, n_codebooks: int) -> dict[str, Any]:
        value = (float(self.decay), float(self.dead_code_threshold))
        return {"size": (int(self.n_codes), n_codebooks, 0), "value": value}

    def _add_code(self, graph: Graph, node: str) -> tuple[str, str]:
        _spec.check_widths("n_components", [self.n_components])
        n = int(self.n_codebooks)
        embedding = self._dense(graph, EMBEDDING, node, int(self.n_components), self.latent_activation)
        graph.code = embedding  # what penalties are about
        if self.quantizer == "product":
            if self.n_components % n:
                raise ValueError(
                    f"n_codebooks={self.n_codebooks!r} does not divide n_components={self.n_components!r}, as "
                    "quantizer='product' needs; allowed: its divisors"
                )
            return (graph.add("vector_quantize", CODE, embedding, **self._fields(n)),) * 2
        left, code = embedding, ""
        for i in range(n):
            part = graph.add("vector_quantize", f"{CODE}_{i}", left, **self._fields(1))
            code = graph.add("add", f"{CODE}_sum_{i}", code, part) if i else part
            if i + 1 < n:
                left = graph.add("subtract", f"{EMBEDDING}_left_{i}", left, part)
        return code, code

    def _add_objective(self, graph: Graph, output: str, target: str, entry_weight: str | None) -> None:
        super()._add_objective(graph, output, target, entry_weight)
        sums = [CODE]
        if self.quantizer == "residual":
            sums = [f"{CODE}_0", *(f"{CODE}_sum_{i}" for i in range(1, int(self.n_codebooks)))]
        for code in sums if self.commitment_weight > 0 else ():
            graph.term("squared_error", EMBEDDING, code, weight=self.commitment_weight)

    def _describe(
        self, n_features: int, n_outputs: int | None, n_conditions: int, ranges: list[Range] | None = None
    ) -> Spec:
        spec = super()._describe(n_features, n_outputs, n_conditions, ranges)
        # The numbers of the codes, for the fitted network: each quantiser once more, with the same parameters.
        nodes, indices = spec["score_nodes"], ""
        for i, node in enumerate([node for node in spec["nodes"] if node["kind"] == "vector_quantize"]):
            k, n, _ = node["fields"]["size"]
            fields = {**node["fields"], "size": (k, n, 1), "width": n, "shares": node["name"]}
            name = node["name"].replace(CODE, INDICES)
            nodes.append(Node(kind="vector_quantize", name=name, inputs=node["inputs"], fields=fields))
            if i > 0:
                joined = f"{name}_joined"
                nodes.append(Node(kind="concatenate", name=joined, inputs=(indices, name), fields={"width": i + 1}))
                name = joined
            indices = name
        spec["kept"] = (*spec["kept"], indices)
        return spec

    # ---- the fitted network ----

    def _forget(self) -> None:
        super()._forget()
        for name in ("code_usage_", "perplexity_"):
            self.__dict__.pop(name, None)

    def _found_after_fit(self) -> str:
        return "code_usage_ and perplexity_"

    def _after_fit(self, trainer: _core.Trainer, data: FitData) -> None:
        super()._after_fit(trainer, data)
        n = data.rows.X.shape[0]
        total = np.zeros((int(self.n_codebooks), int(self.n_codes)))
        for at in range(0, n, ROWS_AT_ONCE):
            part = slice(at, at + ROWS_AT_ONCE)
            condition = None if data.rows.condition is None else data.rows.condition[part]
            indices = self._run(data.rows.X[part], self._spec["kept"][-1], condition=condition).astype(np.int64)
            weights = None if data.weights is None else data.weights[part]
            for book, numbers in enumerate(indices.T):
                total[book] += np.bincount(numbers, weights, minlength=int(self.n_codes))
        usage = total / total.sum(axis=1, keepdims=True)
        # By the C library's functions: NumPy's give other bits on processors with AVX-512.
        self.perplexity_ = np.array(
            [math.exp(-math.fsum(share * math.log(share) for share in book if share > 0.0)) for book in usage.tolist()]
        )
        self.code_usage_ = usage

    @property
    def codebooks_(self) -> NDArray[Any]:
        """The vectors: ndarray of shape (n_codebooks, n_codes, width of a vector)."""
        check_is_fitted(self)
        vectors = codebooks(self._spec, self.other_parameters_)
        _cache.freeze(vectors)
        return vectors

    def encode_indices(self, X: Any, *, condition: Any = None) -> NDArray[np.int32]:
        """Numbers of the codes of rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        ndarray of int32 of shape (n_samples, n_codebooks)
            From 0 to ``n_codes - 1``.
        """
        X = self._check(X)
        condition = self._check_condition(condition, X.shape[0])
        return self._run(X, self._spec["kept"][-1], condition=condition).astype(np.int32)

    def decode_indices(self, indices: ArrayLike, *, condition: Any = None) -> NDArray[Any]:
        """Reconstructions from numbers of codes: what `reconstruct` gives for rows that have them.

        Parameters
        ----------
        indices : array-like of int of shape (n_samples, n_codebooks)
            As `encode_indices` gives them.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
            Of type `precision`.

        Raises
        ------
        ValueError
            Where indices is not of that shape, not of whole numbers, or has one that no code has.
        """
        codes = codes_of(self.codebooks_, np.asarray(indices), self._spec["settings"]["quantizer"])
        return self.inverse_transform(codes, condition=condition)

    def predictor(self, *, n_jobs: int | None = 1) -> VectorQuantizedPredictor:
        """The fitted network as an object that needs neither scikit-learn nor SciPy, with little overhead for one row.

        Parameters
        ----------
        n_jobs : int or None, default=1
            Threads of a call, as the parameter of the same name.

        Returns
        -------
        VectorQuantizedPredictor
            Also with `encode_indices` and `decode_indices`.
        """
        return self._predictor_of(VectorQuantizedPredictor, n_jobs)
