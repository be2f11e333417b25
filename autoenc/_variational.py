"""The variational autoencoder."""

from collections.abc import Callable
from dataclasses import field
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from autoenc import _bound, _cache, _columns, _core, _data, _latent, _predictor, _spec
from autoenc._base import MOST, BaseAutoencoder
from autoenc._checks import dense
from autoenc._declare import estimator
from autoenc._fitting import LEARNING_RATES, ROWS_AT_ONCE, FitData, Rows
from autoenc._options import LikelihoodName, OneOf, RuleName, check_count
from autoenc._spec import Graph, Node, Range, Spec
from autoenc._threads import n_threads
from autoenc._training import History
from autoenc._variational_graph import add_divergence, add_likelihood, is_closed, likelihood_parts
from autoenc._warn import warn
from autoenc.losses import ColumnLoss

LIKELIHOODS = ("squared_error", "log_loss", "poisson", "multinomial", "negative_binomial")
ACTIVE = 0.01  # variance of a component's means over the rows, above which it is active (Burda et al. 2016)
MOST_COMPONENTS = 2**16  # of a prior


@estimator
class VariationalAutoencoder(BaseAutoencoder):
    """Variational autoencoder: codes are normal distributions, and new rows can be drawn.

    The encoder gives each row a mean and a variance for each component; the decoder gets a draw from them. Both are
    trained to maximise the evidence lower bound on the rows' likelihood, in nats [1]_ [2]_.

    Parameters
    ----------
    n_components : int, default=2
        Components of the latent space.
    likelihood : str or ColumnLoss, default="squared_error"
        Of a row given its code: normal ("squared_error"), Bernoulli ("log_loss", data in [0, 1]), Poisson ("poisson"),
        "multinomial" or "negative_binomial" (counts).
        For mixed tables an `autoenc.losses.ColumnLoss` gives columns likelihoods of their own.
    noise_variance : float, "shared" or "learned", default="shared"
        Of normal likelihoods. "shared": one for all entries, trained with the weights [12]_. "learned": the decoder
        gives one for each entry. Both stay within e^-10 and e^10. A number above what the codes can explain lets
        the codes die: 1.0 does so on data in [0, 1].
    objective : {"elbo", "iwae", "beta_tc", "factor", "mmd"}, default="elbo"
        "iwae": the importance weighted bound of `n_importance_samples` draws ([3]_, equation 8); of one draw it is
        "elbo", with a warning. "beta_tc": of the three parts of the divergence `beta` weighs the total correlation of
        the components alone ([4]_, equation 4, by minibatch-weighted sampling), so that 1 is "elbo". "factor": the
        whole divergence and `beta` times the total correlation beside it, the gamma of [5]_, which is ``beta - 1`` of
        "beta_tc"; a discriminator of two layers of 128 units estimates it. "mmd": in the place of the divergence
        `beta` times the squared maximum mean discrepancy between the codes of a minibatch and the prior, the lambda of
        [6]_ (algorithm 2): the codes of all rows together are drawn to the prior, those of single rows are not.
    n_importance_samples : int, default=1
        Draws from each row's code in a training step; of "elbo" and "iwae", which are the same where it is 1.
    beta : float, default=1.0
        Weight of the divergence from the prior, in nats, beside the negative log-likelihood, summed over features [7]_.
    beta_schedule : {"linear", "cyclical"}, callable or None, default=None
        Factor of beta by epoch: "linear" rises to 1 over the first half of max_iter, "cyclical" does so in each of four
        cycles [8]_. A callable gets the share of epochs done, from 0 to 1, and answers the factor. Passes of
        `partial_fit` count as epochs; beyond max_iter the share stays 1, and the factor of the names too.
    free_bits : float, default=0.0
        Mean divergence of a component over a minibatch, in nats, below which it costs nothing [9]_. For "elbo" and the
        normal prior.
    prior : {"normal", "mixture", "vamp"}, default="normal"
        Of the codes: standard normal, a mixture of `n_prior_components` normals, or the mixture of the codes of as many
        learned pseudo-rows [10]_.
    n_prior_components : int, default=50
        Components of "mixture" and "vamp".
    <layers>
    <training>

    Attributes
    ----------
    kl_per_component_ : ndarray of shape (n_components,)
        Mean divergence of each component from the standard normal over the training rows, in nats; near zero for one
        that the decoder ignores.
    active_units_ : int
        Components whose means vary over the training rows by more than 0.01 [3]_. Where there is none, a fit warns.
    noise_variance_ : float
        With noise_variance="shared": what was learned.
    <learned>

    Notes
    -----
    Losses are in nats. Those of "poisson" and "multinomial", and of normal likelihoods whose `noise_variance` is a
    number, leave out what does not depend on the network; `elbo`, `log_likelihood` and scores have it. Losses of
    validation rows are taken at the means of the codes. With X_clean the bound is on the likelihood of X_clean, and the
    code is inferred from X. The parameters of a discriminator and of a prior are in `other_parameters_`.

    References
    ----------
    .. [1] Kingma, D. P. and Welling, M. (2014). Auto-encoding variational Bayes. ICLR.
    .. [2] Rezende, D. J., Mohamed, S. and Wierstra, D. (2014). Stochastic backpropagation and approximate inference in
       deep generative models. ICML.
    .. [3] Burda, Y., Grosse, R. and Salakhutdinov, R. (2016). Importance weighted autoencoders. ICLR.
    .. [4] Chen, R. T. Q. et al. (2018). Isolating sources of disentanglement in variational autoencoders. NeurIPS.
    .. [5] Kim, H. and Mnih, A. (2018). Disentangling by factorising. ICML.
    .. [6] Tolstikhin, I. et al. (2018). Wasserstein auto-encoders. ICLR.
    .. [7] Higgins, I. et al. (2017). beta-VAE: learning basic visual concepts with a constrained variational framework.
       ICLR.
    .. [8] Fu, H. et al. (2019). Cyclical annealing schedule: a simple approach to mitigating KL vanishing. NAACL.
    .. [9] Kingma, D. P. et al. (2016). Improved variational inference with inverse autoregressive flow. NeurIPS.
    .. [10] Tomczak, J. M. and Welling, M. (2018). VAE with a VampPrior. AISTATS.
    .. [11] White, T. (2016). Sampling generative networks. arXiv:1609.04468.
    .. [12] Rybkin, O., Daniilidis, K. and Levine, S. (2021). Simple and effective VAE training with calibrated
       decoders. ICML.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from autoenc import VariationalAutoencoder
    >>> X = load_digits().data / 16
    >>> model = VariationalAutoencoder(2, likelihood="log_loss", max_iter=20, random_state=0).fit(X)
    >>> model.transform(X).shape, model.sample(5, random_state=0).shape
    ((1797, 2), (5, 64))
    """

    n_components: int = field(default=2, kw_only=False)
    likelihood: LikelihoodName | ColumnLoss = "squared_error"
    noise_variance: float | Literal["shared", "learned"] = "shared"
    objective: Literal["elbo", "iwae", "beta_tc", "factor", "mmd"] = "elbo"
    n_importance_samples: int = 1
    beta: float = 1.0
    beta_schedule: Literal["linear", "cyclical"] | Callable[[float], float] | None = None
    free_bits: float = 0.0
    prior: Literal["normal", "mixture", "vamp"] = "normal"
    n_prior_components: int = 50
    solver: RuleName = "adamw"

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseAutoencoder._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "likelihood": [OneOf(set(LIKELIHOODS)), ColumnLoss],
        "noise_variance": [Interval(Real, 1e-4, 1e4, closed="both"), OneOf({"shared", "learned"})],
        "objective": [OneOf({"elbo", "iwae", "beta_tc", "factor", "mmd"})],
        "n_importance_samples": [Interval(Integral, 1, MOST, closed="both")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "beta_schedule": [OneOf(set(_latent.SCHEDULES)), callable, None],
        "free_bits": [Interval(Real, 0, None, closed="left")],
        "prior": [OneOf({"normal", "mixture", "vamp"})],
        "n_prior_components": [Interval(Integral, 1, MOST_COMPONENTS, closed="both")],
        "solver": [OneOf(set(LEARNING_RATES) - set(_spec.SOLVERS))],
    }
    _not_tied: ClassVar[tuple[str, ...]] = ("log_variance", "second")
    _present_share: ClassVar[int] = 0  # the likelihood of a row is that of the entries that are there
    _loss_parameter: ClassVar[str] = "likelihood"
    _range_losses: ClassVar[tuple[str, ...]] = (*LIKELIHOODS, "categorical")

    def _settings(self) -> dict[str, Any]:
        names = ("likelihood", "noise_variance", "objective", "prior", "n_prior_components")
        return {**super()._settings(), **{name: getattr(self, name) for name in names}}

    def _check_options(self) -> None:
        super()._check_options()
        plain = self.objective in ("elbo", "iwae")
        for name, value, neutral, goes in (
            ("n_importance_samples", self.n_importance_samples, 1, plain),
            ("prior", self.prior, "normal", plain),
            ("free_bits", self.free_bits, 0.0, is_closed(self)),
        ):
            if value != neutral and not goes:
                raise ValueError(
                    f"{name}={value!r} does not go with objective={self.objective!r}, "
                    f"n_importance_samples={self.n_importance_samples!r} and prior={self.prior!r}; allowed: {neutral!r}"
                )
        if isinstance(self.likelihood, ColumnLoss) and self.likelihood.weights:
            raise ValueError(
                f"likelihood has weights={self.likelihood.weights!r}; allowed: None, since likelihoods of all columns "
                "share a unit, the nat"
            )
        if self.objective == "iwae" and self.n_importance_samples == 1:
            warn(
                "objective='iwae' with n_importance_samples=1 is the evidence lower bound, as objective='elbo'; more "
                "draws make the bound tighter, say n_importance_samples=5 or 50"
            )
        if self.corruption is not None and self.corruption._emphasis() is not None:
            raise ValueError(
                f"corruption={self.corruption!r} with emphasis does not go with a likelihood; allowed: emphasis=None"
            )

    def _batch_size(self, n_rows: int) -> int:
        """Rows of a minibatch: with pseudo-rows at least as many as those, so that each is trained."""
        size = super()._batch_size(n_rows)
        if self.prior != "vamp" or size >= self.n_prior_components:
            return size
        if self.batch_size == "auto" and n_rows >= self.n_prior_components:
            return int(self.n_prior_components)
        raise ValueError(
            f"n_prior_components={self.n_prior_components!r} with prior='vamp' is more than the {size} rows of a "
            "minibatch; allowed are at most as many"
        )

    # ---- the network ----

    def _add_code(self, graph: Graph, node: str) -> tuple[str, str]:
        d = int(self.n_components)
        _spec.check_widths("n_components", [d])
        mean = self._dense(graph, "mean", node, d, "identity")
        log_variance = self._dense(graph, "log_variance", node, d, "identity")
        return mean, graph.add("gaussian_sample", "z", mean, log_variance, multiplicity=int(self.n_importance_samples))

    def _add_condition(self, graph: Graph, condition: str) -> str:
        return graph.add("repeat", "condition_of_z", condition, multiplicity=int(self.n_importance_samples))

    def _add_output(self, graph: Graph, node: str, width: int) -> str:
        """The mean and, of columns whose likelihood has two parameters, the second: log-variance or log theta."""
        n_second = _columns.second_width(likelihood_parts(self, graph, width))
        if n_second:
            self._dense(graph, _columns.SECOND, node, n_second, "identity")
        return self._dense(graph, "reconstruction", node, width, "identity")

    def _add_objective(self, graph: Graph, output: str, target: str, entry_weight: str | None) -> None:
        add_likelihood(self, graph, output, target, entry_weight)
        add_divergence(self, graph)

    def _describe(
        self, n_features: int, n_outputs: int | None, n_conditions: int, ranges: list[Range] | None = None
    ) -> Spec:
        spec = super()._describe(n_features, n_outputs, n_conditions, ranges)
        d = int(self.n_components)
        inputs = ("mean", "log_variance", "posterior_kl")
        spec["score_nodes"] = [
            *spec["score_nodes"],
            Node(kind="gaussian_kl", name="posterior_kl", inputs=inputs[:2], fields={}),
            Node(kind="concatenate", name="posterior", inputs=inputs, fields={"width": 3 * d}),
        ]
        spec["kept"] = ("posterior",)
        return spec

    # ---- fitting ----

    def _description(self, rows: Rows) -> Spec:
        spec = super()._description(rows)
        for node in spec["nodes"]:
            if node["kind"] == "total_correlation":
                node["fields"]["value"] = (float(rows.X.shape[0]),)
        return spec

    def _starts(
        self, spec: Spec, mean: NDArray[np.float64], variance: NDArray[np.float64]
    ) -> dict[str, NDArray[np.float64]]:
        """A shared variance starts at that of the target: where the reconstruction is its mean, none is likelier."""
        starts = super()._starts(spec, mean, variance)
        if self.noise_variance == "shared" and any(node["name"] == "noise" for node in spec["nodes"]):
            columns = _columns.of_loss(spec, "squared_error")
            starts["noise.bias"] = np.array([_latent.log_noise(float(variance[columns].mean()))])
        return starts

    def _starts_at_rows(self, spec: Spec, rows: Rows) -> dict[str, NDArray[Any]]:
        """Pseudo-rows are rows of the data, at equal distances."""
        if self.prior != "vamp":
            return {}
        at = np.linspace(0, rows.X.shape[0] - 1, self.n_prior_components).astype(np.intp)
        parts = [part[at] for part in (rows.X, rows.condition) if part is not None]
        return {"pseudo.inputs": np.nan_to_num(np.hstack([dense(part).astype(np.float64) for part in parts]))}

    def _before_epoch(self, trainer: _core.Trainer, spec: Spec) -> Callable[[int], None] | None:
        schedule = self.beta_schedule
        if schedule is None:
            return None
        i, term = next((i, t) for i, t in enumerate(spec["objective"]) if t["prediction"].startswith("divergence"))
        n = int(self.max_iter)
        before = trainer.position()[1]  # passes of partial_fit

        def change(done: int) -> None:
            done = min(before + done, n)
            factor = schedule(done / n) if callable(schedule) else _latent.SCHEDULES[schedule](done, n)
            if not 0.0 <= factor < np.inf:
                raise ValueError(
                    f"beta_schedule answered {factor!r} at {done} of {n} epochs; it must be finite and not negative"
                )
            trainer.set_loss_weight(i, float(factor) * term["weight"])

        return change

    def _found_after_fit(self) -> str:
        return "kl_per_component_"

    def _after_fit(self, trainer: _core.Trainer, data: FitData) -> None:
        if self.prior == "vamp":
            self._encode_pseudo_rows()
        total: Any = 0.0
        first, weight_sum = None, 0.0
        for at in range(0, data.rows.X.shape[0], ROWS_AT_ONCE):
            part = slice(at, at + ROWS_AT_ONCE)
            condition = None if data.rows.condition is None else data.rows.condition[part]
            mean, _, kl = self._posterior(data.rows.X[part], condition)
            first = mean[0] if first is None else first
            mean = mean - first
            weights = np.ones(len(kl)) if data.weights is None else data.weights[part]
            total = total + (weights[:, np.newaxis] * np.hstack([kl, mean, mean * mean])).sum(axis=0)
            weight_sum += weights.sum()
        kl, mean, square = np.split(total / weight_sum, 3)
        self.kl_per_component_ = kl
        self.active_units_ = int(np.count_nonzero(square - mean * mean > ACTIVE))
        if "noise.bias" in self.other_parameters_:
            self.noise_variance_ = _latent.noise(float(self.other_parameters_["noise.bias"][0, 0]))

    def _report(self, history: History) -> None:
        super()._report(history)
        if getattr(self, "active_units_", 1) == 0:
            warn(f"none of the {self.n_components} components is active: {_latent.remedy(self)}")

    def _encode_pseudo_rows(self) -> None:
        """The prior of the finished network: the codes of its pseudo-rows."""
        rows = self.other_parameters_["pseudo.inputs"]
        n = self._spec["n_features"]
        X, condition = np.ascontiguousarray(rows[:, :n]), np.ascontiguousarray(rows[:, n:])
        mean, log_variance, _ = self._posterior(X, condition if self._spec["n_conditions"] else None)
        dtype = _spec.dtype(self._spec)
        others = dict(self.other_parameters_)
        for name, value in (("means", mean), ("log_variances", log_variance)):
            others[f"divergence.{name}"] = np.ascontiguousarray(value, dtype=dtype)
            _cache.freeze(others[f"divergence.{name}"])
        self.other_parameters_ = others

    # ---- the fitted network ----

    def _posterior(self, X: Any, condition: Any) -> list[NDArray[np.float64]]:
        """Means, log-variances and divergences of checked rows."""
        return np.split(self._run(X, "posterior", condition=condition, dtype=np.float64), 3, axis=1)

    def encode_distribution(self, X: Any, *, condition: Any = None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Codes of rows as normal distributions with independent components.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        means : ndarray of shape (n_samples, n_components)
            The same as `transform` gives.
        standard_deviations : ndarray of shape (n_samples, n_components)
            Of the same rows and components.
        """
        X = self._check(X)
        condition = self._check_condition(condition, X.shape[0])
        means = self._run(X, self._spec["code"], condition=condition)
        _, log_variance, _ = self._posterior(X, condition)
        return means, _latent.deviations(log_variance).astype(means.dtype)

    def _values(self) -> dict[str, NDArray[Any]]:
        """All parameters by name."""
        return _predictor.parameters(self._spec, self.coefs_, self.intercepts_, self.other_parameters_)

    def sample(
        self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None, *, condition: Any = None
    ) -> NDArray[Any]:
        """New rows: codes drawn from the prior, decoded to the mean of the likelihood.

        Parameters
        ----------
        n_samples : int, default=1
            How many.
        random_state : int, RandomState instance or None, default=None
            Determines the codes.
        condition : label, array-like of shape (n_samples,) or (n_samples, n_conditions), sparse matrix, default=None
            What is known about each row, labels or numbers, where the fit had it; a single label is that of all.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
            Without the noise of the likelihood: probabilities for log_loss, categorical and multinomial, means for
            the others.
        """
        check_is_fitted(self)
        n = check_count("n_samples", n_samples)
        components = _bound.mixture(self._spec, self._values())
        shape = n, int(self._spec["n_components"])
        if condition is not None:
            if np.ndim(condition) == 0:  # one label for all
                condition = np.repeat(np.asarray([condition]), n)
            n_conditions = condition.shape[0] if hasattr(condition, "shape") else len(condition)
            if n_conditions != n:
                raise ValueError(
                    f"condition has {n_conditions} rows and n_samples is {n_samples}; they must be as many"
                )
        codes = _latent.draw(check_random_state(random_state), shape, components)
        return self.inverse_transform(codes.astype(_spec.dtype(self._spec)), condition=condition)

    def interpolate(
        self,
        a: Any,
        b: Any,
        steps: int = 10,
        *,
        method: Literal["linear", "spherical"] = "linear",
        condition: Any = None,
    ) -> NDArray[Any]:
        """Rows on the way from one row to another: the path between the means of their codes, decoded.

        Parameters
        ----------
        a, b : array-like of shape (n_features,)
            The rows at its ends.
        steps : int, default=10
            Points of the path, with both ends; at least 2.
        method : {"linear", "spherical"}, default="linear"
            "spherical" turns from one code to the other at a constant angular speed (White 2016, reference [11] of the
            class), which keeps to the distance from the origin at which codes of many components lie.
        condition : label or array-like of shape (n_conditions,), default=None
            What is known about all of them, where the fit had it.

        Returns
        -------
        ndarray of shape (steps, n_outputs)
            The first is the reconstruction of `a`, the last that of `b`.
        """
        if method not in ("linear", "spherical"):
            raise ValueError(f"method is {method!r}; allowed: 'linear', 'spherical'")
        n = check_count("steps", steps, 2)
        rows = condition
        if condition is not None:
            one = np.asarray([condition]) if np.ndim(condition) == 0 else np.atleast_2d(condition)
            rows = np.repeat(one, n, axis=0)
        if np.ndim(a) > 2 or np.ndim(b) > 2 or len(np.atleast_2d(a)) != 1 or len(np.atleast_2d(b)) != 1:
            raise ValueError(f"a has shape {np.shape(a)} and b {np.shape(b)}; each must be one row")
        X = self._check(np.vstack([np.atleast_2d(a), np.atleast_2d(b)]))
        ends = self._run(X, self._spec["code"], condition=self._check_condition(None if rows is None else rows[:2], 2))
        first, last = ends.astype(np.float64)
        codes = _latent.path(first, last, n, spherical=method == "spherical")
        return self.inverse_transform(codes.astype(ends.dtype), condition=rows)

    def _draw(self, X: Any, n_samples: Any, X_clean: Any, condition: Any, *, joined: bool) -> NDArray[np.float64]:
        n = check_count("n_samples", n_samples)
        rows = self._comparison(X, X_clean, condition)
        sources = [_data.source(part) for part in (rows.X, rows.condition, rows.target) if part is not None]
        networks = _bound.predictors(self._spec, self._values(), n, n_threads(self.n_jobs), closed=not joined)
        return _bound.log_likelihood(networks, sources) if joined else _bound.elbo(list(networks), sources)

    def elbo(
        self, X: Any, *, n_samples: int = _bound.DRAWS, X_clean: Any = None, condition: Any = None
    ) -> NDArray[np.float64]:
        """Evidence lower bound of each row, in nats, with beta counting as 1 whatever the objective was.

        The divergence from the normal prior is in closed form, all else the mean over draws of the code. The draws are
        the same in each call and for each row, so a row's bound depends on nothing but the row, and what it is off by
        is no less in a mean over many rows. They are shifted and scaled to mean 0 and variance 1, which leaves few
        hundredths to tenths of a nat; more draws leave less.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        n_samples : int, default=16
            Draws of the code.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_outputs), default=None
            What the likelihood is of. Default: X.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        ndarray of shape (n_samples,)
            In float64, of whatever type X is.
        """
        return self._draw(X, n_samples, X_clean, condition, joined=False)

    def log_likelihood(
        self, X: Any, *, n_samples: int = 5000, X_clean: Any = None, condition: Any = None
    ) -> NDArray[np.float64]:
        """Logarithm of each row's likelihood, in nats, by importance sampling from its code.

        The bound of Burda et al. 2016 (equation 8) with many draws: in expectation below the logarithm of the
        likelihood, to which it rises with their number. They are the same in each call and for each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        n_samples : int, default=5000
            Draws of the code.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_outputs), default=None
            What the likelihood is of. Default: X.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        ndarray of shape (n_samples,)
            In float64, of whatever type X is.
        """
        return self._draw(X, n_samples, X_clean, condition, joined=True)

    def score_samples(self, X: Any, *, X_clean: Any = None, condition: Any = None) -> NDArray[np.float64]:
        """Evidence lower bound of each row: `elbo` with 16 draws. Higher is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_outputs), default=None
            What the likelihood is of. Default: X.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        ndarray of shape (n_samples,)
            In float64, of whatever type X is.
        """
        return self.elbo(X, X_clean=X_clean, condition=condition)

    def score(
        self, X: Any, y: Any = None, *, X_clean: Any = None, condition: Any = None, sample_weight: Any = None
    ) -> float:
        """Mean of `score_samples`: the evidence lower bound of a row, in nats. Higher is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : ignored
            For pipelines, which pass labels to every step.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_outputs), default=None
            What the likelihood is of. Default: X.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the mean.

        Returns
        -------
        float
            A density may be above 1, so it may be positive.
        """
        return super().score(X, X_clean=X_clean, condition=condition, sample_weight=sample_weight)

    def feature_errors(self, X: Any, *, X_clean: Any = None, condition: Any = None) -> NDArray[Any]:
        """Terms of the negative log-likelihood by feature, at the means of the codes.

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
            Squared errors where the likelihood is normal and `noise_variance` a number or "shared". With "learned" a
            term is negative where the density is above 1. For "poisson" and "multinomial" without what does not depend
            on the network.
        """
        return super().feature_errors(X, X_clean=X_clean, condition=condition)
