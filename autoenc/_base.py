"""What every estimator over flat data shares: parameters, data in, codes and scores out, state."""

from collections.abc import Iterable, Mapping, Sequence, Set
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from autoenc import _cache, _checkpoint, _columns, _core, _data, _predictor, _spec
from autoenc import layers as _layers
from autoenc._available import available_if
from autoenc._conditioned import Conditioned
from autoenc._declare import default, estimator
from autoenc._decorators import fit_context
from autoenc._export import Exportable
from autoenc._fitting import LEARNING_RATES, SCHEDULES, Fitting, Rows, can_fit_partially
from autoenc._notebook import Shown
from autoenc._options import ActivationName, InitializerName, OneOf, PrecisionName, RuleName, ScheduleName
from autoenc._spec import Graph, Range, Spec
from autoenc._threads import n_threads
from autoenc._training import type_callback
from autoenc._versioned import Versioned
from autoenc.corruption import Corruption

P = TypeVar("P", bound=_predictor.Predictor)

MOST = 2**31 - 1  # of what is counted: epochs, rows of a batch


def widths(name: str, sizes: Any) -> list[int]:
    """A list of widths from what a user may write: a sequence or one number."""
    ordered = isinstance(sizes, Iterable) and not isinstance(sizes, (Set, Mapping)) and getattr(sizes, "ndim", 1) > 0
    values = list(sizes) if ordered else [sizes]
    for value in values:
        if not isinstance(value, Integral) or isinstance(value, (bool, np.bool_)) or value < 1:
            raise ValueError(
                f"{name} is {sizes!r}; allowed are positive whole numbers, one for each hidden layer, or ()"
            )
    values = [int(value) for value in values]
    _spec.check_widths(name, values)
    return values


@estimator
class BaseAutoencoder(
    Shown, Conditioned, Fitting, Versioned, Exportable, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Base of the estimators: an encoder, a code and a decoder, trained together.

    A subclass declares its parameters as fields and says by `_add_code`, `_add_output` and `_add_objective` what it
    puts between encoder and decoder, behind the decoder, and what it minimises.
    """

    hidden_layer_sizes: Sequence[int] | int = (128,)
    decoder_hidden_layer_sizes: Sequence[int] | int | None = None
    encoder: Sequence[_layers.Layer] | None = None
    decoder: Sequence[_layers.Layer] | None = None
    activation: ActivationName = "gelu"
    tied_weights: bool = False
    dropout: float = 0.0
    corruption: Corruption | None = None
    missing: Literal["error", "mask"] = "error"
    condition_categories: Any = None
    init: InitializerName = "auto"
    alpha: float = 1e-4
    l1_ratio: float = 0.0
    max_norm: float | None = None
    clip_value: float | None = None
    clip_norm: float | None = None
    solver: RuleName | Literal["kfac", "lbfgs"] = "adamw"
    learning_rate_init: float | None = None
    learning_rate: ScheduleName = "cosine"
    final_learning_rate_ratio: float = 0.01
    step_size: int | None = None
    step_factor: float = 0.1
    warmup_fraction: float = 0.05
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    amsgrad: bool = False
    state_precision: Literal["bfloat16"] | None = None
    batch_size: int | Literal["auto"] = "auto"
    max_iter: int = 200
    tol: float | None = None
    n_iter_no_change: int = 10
    early_stopping: bool = False
    validation_fraction: float = 0.1
    shuffle: bool = True
    random_state: int | np.random.RandomState | None = None
    warm_start: bool = False
    verbose: int = 0
    precision: PrecisionName = "float32"
    n_jobs: int | None = None
    callbacks: type_callback | Sequence[type_callback] | None = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_layer_sizes": ["array-like", Integral],
        "decoder_hidden_layer_sizes": ["array-like", Integral, None],
        "encoder": "no_validation",
        "decoder": "no_validation",
        "activation": [OneOf(set(_core.ACTIVATIONS))],
        "tied_weights": ["boolean"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "corruption": [Corruption, None],
        "missing": [OneOf({"error", "mask"})],
        "condition_categories": ["array-like", None],
        "init": [OneOf(set(_core.INITIALIZERS) - {"zero"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "max_norm": [Interval(Real, 0, None, closed="neither"), None],
        "clip_value": [Interval(Real, 0, None, closed="neither"), None],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "solver": [OneOf(set(LEARNING_RATES))],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither"), None],
        "learning_rate": [OneOf(set(SCHEDULES))],
        "final_learning_rate_ratio": [Interval(Real, 0, 1, closed="both")],
        "step_size": [Interval(Integral, 1, MOST, closed="both"), None],
        "step_factor": [Interval(Real, 0, 1, closed="right")],
        "warmup_fraction": [Interval(Real, 0, 1, closed="left")],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "amsgrad": ["boolean"],
        "state_precision": [OneOf({"bfloat16"}), None],
        "batch_size": [OneOf({"auto"}), Interval(Integral, 1, MOST, closed="both")],
        "max_iter": [Interval(Integral, 1, MOST, closed="both")],
        "tol": [Interval(Real, 0, 1, closed="left"), None],
        "n_iter_no_change": [Interval(Integral, 1, MOST, closed="both")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "precision": [OneOf(set(_spec.PRECISIONS))],
        "n_jobs": [Integral, None],
        "callbacks": [callable, list, tuple, None],
    }

    # Dense layers that have no counterpart on the other side, for tied weights.
    _not_tied: ClassVar[tuple[str, ...]] = ()
    # Of the layer `present`: whether the entries of a row that are there share the weight of all, or weigh 1 each.
    _present_share: ClassVar[int] = 1

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = _columns.restricts(self._target_loss())
        return tags

    # ---- state ----

    def __sklearn_is_fitted__(self) -> bool:
        return "coefs_" in vars(self)

    def __copy__(self) -> Self:
        # Not by __setstate__, which makes arrays read-only that are the user's own where they have been put in.
        new = type(self).__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        others = state.get("other_parameters_", {}).values()
        for array in (*state.get("coefs_", ()), *state.get("intercepts_", ()), *others):
            _cache.freeze(array)

    @property
    def _n_features_out(self) -> int:
        return self._spec["n_components"]

    # ---- the network ----

    def _settings(self) -> dict[str, Any]:
        """Parameters that the fitted network follows from: training goes on only where they are what they were."""
        return {name: getattr(self, name) for name in ("activation", "tied_weights", "missing")}

    def _add_code(self, graph: Graph, node: str) -> tuple[str, str]:
        """Adds the code behind the encoder; names of what `transform` gives and of what the decoder gets."""
        raise NotImplementedError(f"{type(self).__name__} must say what its code is")

    def _add_output(self, graph: Graph, node: str, width: int) -> str:
        """Adds the reconstruction behind the decoder, before the link of the loss."""
        raise NotImplementedError(f"{type(self).__name__} must say what its output is")

    def _add_objective(self, graph: Graph, output: str, target: str, entry_weight: str | None) -> None:
        """Adds the terms of loss and score."""
        raise NotImplementedError(f"{type(self).__name__} must say what it minimises")

    def _add_condition(self, graph: Graph, condition: str) -> str:
        """The condition beside the code, with as many rows."""
        return condition

    def _corruption(self) -> Corruption | None:
        """What is done to the rows that the encoder sees in training."""
        return self.corruption

    def _add_seen(self, graph: Graph, x: str, seen: str) -> str:
        """Adds what else the encoder gets beside the row, which is `seen`, of `x` corrupted where that is wanted."""
        return seen

    def _hidden_layers(self) -> tuple[list[_layers.Layer], list[_layers.Layer]]:
        """Hidden layers of encoder and decoder."""
        sides: list[list[_layers.Layer]] = []
        for own, sizes in (("encoder", "hidden_layer_sizes"), ("decoder", "decoder_hidden_layer_sizes")):
            given, plain = getattr(self, own), getattr(self, sizes)
            if given is not None:
                usual = default(self, sizes)
                if plain is not usual and (
                    plain is None or usual is None or widths(sizes, plain) != widths(sizes, usual)
                ):
                    raise ValueError(
                        f"{sizes}={plain!r} and {own}={given!r} both say what the hidden layers are; allowed: one of "
                        f"them, with {sizes}={usual!r}, the default, for {own}"
                    )
                sides.append(_layers.check(own, given))
            elif plain is not None:
                dropout = [_layers.Dropout(float(self.dropout))] if self.dropout > 0.0 else []
                sides.append([part for units in widths(sizes, plain) for part in (_layers.Dense(units), *dropout)])
            else:
                sides.append(_layers.mirrored(sides[0]))
        return sides[0], sides[1]

    def _add_layers(self, graph: Graph, side: str, hidden: Sequence[_layers.Layer], node: str) -> str:
        defaults = _layers.Defaults(self.activation, self.init)
        n = 0
        for layer in hidden:
            if isinstance(layer, _layers.Dropout) and n > 0:
                node = layer._add(graph, _unique(graph, f"{node}_dropout"), node, defaults)
            else:
                node = layer._add(graph, f"{side}_{n}", node, defaults)
                n += 1
        return node

    def _dense(self, graph: Graph, name: str, node: str, width: int, activation: str) -> str:
        return graph.add("dense", name, node, width=width, activation=activation, initializer=self.init)

    def _describe(
        self, n_features: int, n_outputs: int | None, n_conditions: int, ranges: list[Range] | None = None
    ) -> Spec:
        graph = Graph()
        graph.ranges = ranges
        clean = n_outputs is not None
        n_outputs = n_features if n_outputs is None else n_outputs
        x = seen = graph.add("input", "x", width=n_features, source=0)
        if self.missing == "mask":
            x = seen = graph.add("observed", "x_observed", "x")
        corruption = self._corruption()
        if corruption is not None:
            corruption.validate()
            seen = corruption._add(graph, x)
            if corruption._is_target:
                x = seen
        seen = self._add_seen(graph, x, seen)
        condition = []
        if n_conditions:
            condition = [graph.add("input", "condition", width=n_conditions, source=1)]
            seen = graph.add(
                "concatenate", "x_and_condition", seen, *condition, width=graph.widths[seen] + n_conditions
            )
        graph.encoded = seen
        encoder, decoder = self._hidden_layers()
        code, decoded = self._add_code(graph, self._add_layers(graph, "encoder", encoder, seen))
        n_components = graph.widths[code]
        if condition:
            width = graph.widths[decoded] + n_conditions
            decoded = graph.add(
                "concatenate", "code_and_condition", decoded, self._add_condition(graph, *condition), width=width
            )
        graph.decoded = decoded
        output = self._add_output(graph, self._add_layers(graph, "decoder", decoder, decoded), n_outputs)
        if self.tied_weights:
            self._tie(graph, output)
        n_trained = len(graph.nodes)
        target, entry_weight = self._add_target(graph, n_outputs, 2 if condition else 1)
        score_nodes = [] if clean else graph.cut(n_trained)
        if clean:
            self._add_objective(graph, output, target, entry_weight)
        else:
            same = {x: target}
            present = None
            if self.missing == "mask":
                present = graph.add("present", "x_present", "x", size=(self._present_share,))
                same[present] = str(entry_weight)
            self._add_objective(graph, output, x, present)
            copies, graph.scores = _spec.compared(graph.nodes, graph.scores, same)
            score_nodes += copies
            entry_weight = present
        if corruption is not None:
            self._emphasise(graph, x, entry_weight, clean, corruption._emphasis())
        _columns.check_entry_weights(graph, self)
        n_trained = len(graph.nodes)
        linked = _columns.add_links(graph, output)
        score_nodes += graph.cut(n_trained)
        _columns.check_size(graph, len(score_nodes))
        # The products of K-FAC with its inverses are like the network's, and of one kind.
        _spec.take_apart([*graph.nodes, *score_nodes], self.precision, everywhere=self.solver == "kfac")
        return Spec(
            precision=_spec.real_type(self.precision),
            n_features=n_features,
            n_outputs=n_outputs,
            n_components=n_components,
            clean=clean,
            n_conditions=n_conditions,
            categories=None,
            nodes=graph.nodes,
            objective=graph.objective,
            stages=graph.stages,
            scores=graph.scores,
            code=code,
            output=output,
            settings={
                "n_features": n_features,
                "n_outputs": n_outputs,
                "columns of condition": n_conditions,
                "n_components": n_components,
                "hidden_layer_sizes": _plain(encoder),
                "decoder_hidden_layer_sizes": _plain(decoder),
                **self._settings(),
                **({} if ranges is None else {self._loss_parameter: _columns.shown(ranges)}),
            },
            parameters=[],
            kept=graph.kept,
            score_nodes=score_nodes,
            ranges=ranges,
            linked=linked,
        )

    def _add_target(self, graph: Graph, width: int, source: int) -> tuple[str, str | None]:
        """Nodes of targets that are data of their own, and of the weights of their entries."""
        target = graph.add("input", "x_clean", width=width, source=source)
        if self.missing == "error":
            return target, None
        entry_weight = graph.add("present", "x_clean_present", target, size=(self._present_share,))
        return graph.add("observed", "x_clean_observed", target), entry_weight

    def _tie(self, graph: Graph, output: str) -> None:
        """Makes the decoder's dense layers use the encoder's weights, the last the first's and so on."""
        dense = [
            node
            for node in _spec.wanted(graph.nodes, (output,))
            if node["kind"] == "dense" and node["name"] not in self._not_tied
        ]
        before, after = dense[: len(dense) // 2], dense[len(dense) // 2 :]
        for node, other in zip(after, reversed(before), strict=False):
            shapes = [(graph.widths[n["inputs"][0]], graph.widths[n["name"]]) for n in (node, other)]
            if len(dense) % 2 or shapes[0] != shapes[1][::-1]:
                raise ValueError(
                    f"tied_weights=True needs a decoder that mirrors the encoder; layer {node['name']!r} would be of "
                    f"shape {shapes[0]} and {other['name']!r} is of shape {shapes[1]}; a condition stands beside the "
                    "input and beside the code, and X_clean of another width behind them: allowed is tied_weights=False"
                )
            node["fields"].update(shares=other["name"], shares_transposed=1)

    def _emphasise(
        self,
        graph: Graph,
        x: str,
        entry_weight: str | None,
        clean: bool,
        emphasis: tuple[float, float] | None,
    ) -> None:
        """Weighs entries that the corruption has changed differently; in the objective, not in the score."""
        if emphasis is None:
            return
        if clean:
            raise ValueError(
                f"corruption={self.corruption!r} with emphasis does not go with X_clean, whose entries are not those "
                "of X; allowed: emphasis=None"
            )
        weight = graph.add("emphasis", "emphasis", x, "x_corrupted", value=emphasis)
        if entry_weight is not None:
            weight = graph.add("multiply", "entry_weight", weight, entry_weight)
        graph.objective = [
            _columns.weighed(graph, term, x, weight, i) if term["prediction"] in graph.parts else term
            for i, term in enumerate(graph.objective)
        ]

    # ---- fitting ----

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        X_clean: Any = None,
        condition: Any = None,
        X_val: Any = None,
        sample_weight: Any = None,
        checkpoint: _checkpoint.File | None = None,
        checkpoint_every: int = _checkpoint.EVERY,
        resume: bool = False,
    ) -> Self:
        """Fit the network to rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows. float32, float64 and uint8 arrays and CSR matrices are read in place, never copied or
            changed; only ``solver="lbfgs"`` copies up to 65,536 rows (see Notes).
        y : ignored
            For pipelines, which pass labels to every step.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_outputs), default=None
            What each row is to be turned into, for instance the row without its noise. It may have another number of
            columns. Default: X.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row and not to be restored. Encoder and decoder get it beside row and code; every
            later method wants it too. In one dimension: labels, strings or whole numbers (not floats), which become a
            column of zeros and ones for each of `condition_categories_`; a later label that is none of these is an
            error. In two dimensions: numbers; the names of a frame's columns are looked at later, as those of X.
        X_val : {array-like, sparse matrix} of shape (n_validation, n_features), default=None
            Rows to validate on; they take the place of `validation_fraction`. With X_clean or condition a tuple: the
            rows, their clean targets, their conditions, in this order.
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights of the rows in loss and means. Only their ratios count.
        checkpoint : str, path-like or None, default=None
            A file to which the state of the fit is written, whole or not at all (with the extra `io`), or a folder, in
            which each fit has a file of its own: one that is there, or a text that ends with a separator, as "folder/".
        checkpoint_every : int, default=10
            Epochs between two such states; the end of the training is written too.
        resume : bool, default=False
            Whether the fit goes on from the file of `checkpoint`, where there is one; where there is none it starts.
            After a kill at any moment the same call with ``resume=True`` ends as if there had been none, to the bit. It
            must have the same parameters, data and, with `warm_start`, weights to start from.

        Returns
        -------
        self
            The fitted estimator itself.

        Raises
        ------
        ValueError
            Where a parameter or the data is not allowed; the message names it, its value and what is allowed.
        DivergenceError
            Where the loss became infinite or NaN. The estimator keeps the last complete epoch.

        Notes
        -----
        Ctrl-C ends the fit with a warning and leaves the estimator as of the last complete epoch; before the end of the
        first, and in layerwise pretraining, KeyboardInterrupt is raised and the estimator is as it was. Where rows are
        held out the best epoch counts, not the last.

        With ``solver="lbfgs"`` and up to 65,536 rows, rows without weight are left out and equal rows (with equal rows
        of X_clean and condition) are merged into one of their summed weights, in an order that depends on the rows
        alone; rows are held out among the merged ones. A repeated row is then the same as a weighted one to the bit:
        the objective is the same anyway, but rounding differences grow with the iterations. With more rows they are
        read in place, and the two agree up to rounding. The other solvers draw minibatches from the rows as they are.
        """
        with _checkpoint.checkpointing(self, checkpoint, checkpoint_every, resume):
            self._fit(X, y, X_clean, condition, X_val, sample_weight)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(
        self,
        X: Any,
        y: Any = None,
        *,
        X_clean: Any = None,
        condition: Any = None,
        X_val: Any = None,
        sample_weight: Any = None,
        checkpoint: _checkpoint.File | None = None,
        checkpoint_every: int = _checkpoint.EVERY,
        resume: bool = False,
    ) -> NDArray[Any]:
        """Fit to X and return its codes: the same as ``fit(X, ...).transform(X)``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : ignored
            For pipelines, which pass labels to every step.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_outputs), default=None
            What each row is to be turned into. Default: X.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row.
        X_val : {array-like, sparse matrix} of shape (n_validation, n_features), default=None
            Rows to validate on; with X_clean or condition a tuple, as in `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights of the rows.
        checkpoint, checkpoint_every, resume : str, path-like or None, int, bool, default=None, 10, False
            A file to go on from after a kill, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            As `transform` gives them.
        """
        with _checkpoint.checkpointing(self, checkpoint, checkpoint_every, resume):
            rows = self._fit(X, y, X_clean, condition, X_val, sample_weight).rows
        return self._run(rows.X, self._spec["code"], condition=rows.condition)

    @available_if(can_fit_partially)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, *, condition: Any = None, sample_weight: Any = None) -> Self:
        """One pass over X at a constant rate of `learning_rate_init`, going on from where the last call stopped.

        The first call draws the weights and starts the output at the means of X. After `fit` it goes on with its
        weights and a fresh optimiser. `n_iter_` and `loss_curve_` count passes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of this pass.
        y : ignored
            For pipelines, which pass labels to every step.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row.
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights of the rows.

        Returns
        -------
        self
            The fitted estimator itself.

        Raises
        ------
        ValueError
            With ``solver="lbfgs"``, ``early_stopping=True``, after a fit with X_clean, or where parameters that
            describe the network have changed.
        KeyboardInterrupt
            By Ctrl-C. A pass that was complete is kept; within a pass the estimator stays as it was.
        """
        before = dict(vars(self))
        try:
            trainer, data, interrupted = self._fit_one_pass(X, condition, sample_weight, before)
        except BaseException:
            self.__dict__ = before
            raise
        if interrupted:
            raise KeyboardInterrupt
        self._after_fit(trainer, data)
        return self

    # ---- the fitted network ----

    def _network(self) -> tuple[_core.Predictor, dict[str, int]]:
        """The fitted network in the core, and the numbers of its nodes."""
        return _cache.network(self, self._spec, self.coefs_, self.intercepts_, self.other_parameters_)

    def _run(
        self,
        X: Any,
        node: str,
        what: int = _core.VALUES,
        *,
        start: str | None = None,
        target: Any = None,
        condition: Any = None,
        dtype: Any = None,
    ) -> NDArray[Any]:
        """Runs checked rows through the network."""
        if dtype is None:
            dtype = X.dtype if X.dtype.kind == "f" else _spec.dtype(self._spec)
        sources = [_data.source(part) for part in (X, condition, target) if part is not None]
        core, at = self._network()
        return core.run(
            sources,
            at[node],
            what,
            from_node=-1 if start is None else at[start],
            dtype=dtype,
        )

    @property
    def _masks(self) -> bool:
        """Whether the fitted network leaves out what is missing, whatever the parameter says by now."""
        return bool(self._spec["settings"]["missing"] == "mask")

    def _check(self, X: Any, *, finite: bool = True) -> Any:
        if not hasattr(self, "coefs_"):  # check_is_fitted asks for all tags first, which takes longer than one row
            check_is_fitted(self)
        return _data.check_features(
            self, X, reset=False, precision=self._spec["precision"], allow_nan=self._masks, finite=finite
        )

    def _of_rows(self, X: Any, condition: Any, node: str, what: int = _core.VALUES) -> NDArray[Any]:
        """What rows checked but for `finite` give; the core looks through them on its way where it needs no others."""
        if condition is None and not self._spec["n_conditions"]:
            core, at = self._network()
            values = core.values(X, at[node], what, -1, self._masks)
            if values is not None:
                return values
        names = getattr(self, "feature_names_in_", None)
        _data.check_finite(X, self._spec["precision"], "X", allow_nan=self._masks, names=names)
        return self._run(X, node, what, condition=self._check_condition(condition, X.shape[0]))

    def transform(self, X: Any, *, condition: Any = None) -> NDArray[Any]:
        """Codes of rows.

        A row's code does not depend on the other rows of the call, on their order or on the number of threads, to the
        bit.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            Of X's type where that is float32 or float64, else of `precision`.
        """
        X = self._check(X, finite=False)
        return self._of_rows(X, condition, self._spec["code"])

    def inverse_transform(self, X: Any, *, condition: Any = None) -> NDArray[Any]:
        """Reconstructions from codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes, as `transform` gives them.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
            Of the codes' type where that is float32 or float64, else of `precision`.
        """
        check_is_fitted(self)
        spec = self._spec
        X = _data.check_other(X, precision=spec["precision"], name="X", n_columns=spec["n_components"], of="a code")
        condition = self._check_condition(condition, X.shape[0])
        return self._run(X, *_spec.reconstruction(spec), start=spec["code"], condition=condition)

    def reconstruct(self, X: Any, *, condition: Any = None) -> NDArray[Any]:
        """Reconstructions of rows: `transform`, then `inverse_transform`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
            On the scale of the data: after the loss's link, where it has one.
        """
        X = self._check(X, finite=False)
        return self._of_rows(X, condition, *_spec.reconstruction(self._spec))

    def _comparison(self, X: Any, X_clean: Any, condition: Any) -> Rows:
        """Checked rows, with what their reconstructions are compared with."""
        X = self._check(X)
        spec, clean = self._spec, None
        allow_nan = self._masks
        if X_clean is not None:
            clean = _data.check_other(
                X_clean,
                precision=spec["precision"],
                name="X_clean",
                n_rows=X.shape[0],
                n_columns=spec["n_outputs"],
                of="the reconstruction",
                allow_nan=allow_nan,
            )
        elif spec["n_outputs"] != spec["n_features"]:
            raise ValueError(
                f"X_clean is needed: the reconstruction has {spec['n_outputs']} features and X {spec['n_features']}"
            )
        name = "X" if clean is None else "X_clean"
        target = X if clean is None else clean
        _data.check_target(target, spec["scores"][0]["loss"], name, ranges=spec.get("ranges"), allow_nan=allow_nan)
        return Rows(X, target, self._check_condition(condition, X.shape[0]))

    def _compare(self, X: Any, X_clean: Any, condition: Any, what: int) -> NDArray[Any]:
        rows = self._comparison(X, X_clean, condition)
        return self._run(rows.X, self._spec["output"], what, target=rows.target, condition=rows.condition)

    def score_samples(self, X: Any, *, X_clean: Any = None, condition: Any = None) -> NDArray[np.float64]:
        """Minus the loss of each row: the mean of its `feature_errors`, negated. Higher is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_outputs), default=None
            What the reconstruction is compared with. Default: X.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        ndarray of shape (n_samples,)
            In float64, of whatever type X is.
        """
        return -self._compare(X, X_clean, condition, _core.LOSS)

    def feature_errors(self, X: Any, *, X_clean: Any = None, condition: Any = None) -> NDArray[Any]:
        """The nonnegative terms of the loss, by feature.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_outputs), default=None
            What the reconstruction is compared with. Default: X.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
            Of X's type where that is float32 or float64, else of `precision`.
        """
        terms = self._compare(X, X_clean, condition, _core.TERMS)
        return _columns.by_feature(self._spec, terms)

    def score(
        self, X: Any, y: Any = None, *, X_clean: Any = None, condition: Any = None, sample_weight: Any = None
    ) -> float:
        """Mean of `score_samples`: minus the loss, without penalties, corruption and dropout. Higher is better.

        It is in the unit of the loss, so that estimators of different losses cannot be compared by it: a grid search
        over those needs a scorer of its own.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : ignored
            For pipelines, which pass labels to every step.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_outputs), default=None
            What the reconstruction is compared with. Default: X.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the mean.

        Returns
        -------
        float
            At most 0, since the terms of losses are nonnegative.
        """
        scores = self.score_samples(X, X_clean=X_clean, condition=condition)
        return float(np.average(scores, weights=_data.check_weights(sample_weight, scores)))

    def predictor(self, *, n_jobs: int | None = 1) -> _predictor.Predictor:
        """The fitted network as an object that needs neither scikit-learn nor SciPy, with little overhead for one row.

        Parameters
        ----------
        n_jobs : int or None, default=1
            Threads of a call, as the parameter of the same name.

        Returns
        -------
        Predictor
            Callable on one row or many; its codes have the bits of `transform`.
        """
        return self._predictor_of(_predictor.Predictor, n_jobs)

    def _predictor_of(self, kind: type[P], n_jobs: Any) -> P:
        check_is_fitted(self)
        return kind._of_learned(vars(self), n_threads(n_jobs))


def _unique(graph: Graph, name: str) -> str:
    n = 1
    candidate = name
    while candidate in graph.widths:
        n += 1
        candidate = f"{name}_{n}"
    return candidate


def _plain(hidden: Sequence[_layers.Layer]) -> tuple[Any, ...]:
    """Layers as they show in messages: units where there is nothing else to say."""
    return tuple(
        layer.units if isinstance(layer, _layers.Dense) and layer.activation is None else shown(layer)
        for layer in hidden
        if not isinstance(layer, _layers.Dropout)
    )


def shown(part: Any) -> str:
    """A part as text that does not depend on how scikit-learn is told to print."""
    with sklearn.config_context(print_changed_only=True):
        return repr(part)
