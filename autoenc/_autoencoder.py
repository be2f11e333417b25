"""The autoencoder of dense layers."""

from collections.abc import Sequence
from dataclasses import field
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from autoenc import _add_penalties, _columns, _core, _dense_layers, _spec
from autoenc._base import MOST, BaseAutoencoder, shown
from autoenc._declare import estimator
from autoenc._fitting import LEARNING_RATES, ROWS_AT_ONCE, FitData
from autoenc._options import ActivationName, LossName, OneOf
from autoenc._pretraining import layerwise
from autoenc._sparse_code import CODE, Place, Reconstruction, add_code, add_terms
from autoenc._spec import Graph
from autoenc.contraction import Contraction
from autoenc.losses import ColumnLoss
from autoenc.penalties import Penalty, PredictiveSparse
from autoenc.sparsity import KL, BatchTopK, Matryoshka, Sparsity, TopK

# Of which solver="kfac" knows the curvature.
KFAC_LOSSES = ("squared_error", "log_loss", "poisson")


@estimator
class Autoencoder(BaseAutoencoder):
    """Autoencoder of dense layers: learns to squeeze rows into a few numbers, the code, and to restore them.

    An encoder ``n_features -> hidden_layer_sizes -> n_components`` and a decoder of the mirrored shape are trained
    together to make the reconstruction close to the row [1]_ [2]_. Without hidden layers and with identity activations
    the code spans the same subspace as PCA's.

    Features are taken as they are: scale them first, for instance by StandardScaler in a pipeline. A fit has the same
    bits for any number of threads and any instruction set; a row's code does not depend on other rows.

    Parameters
    ----------
    n_components : int, default=2
        Features of the code.
    <latent_activation>
    <reconstruction>
    <sparsity>
    <contraction>
    <penalties>
    <layers>
    <training>

    Attributes
    ----------
    <learned>
    dead_latents_ : ndarray of int
        With `sparsity` only: features of the code that no row has used lately, as in `SparseAutoencoder`.
    components_ : ndarray of shape (min(n_components, n_outputs), n_outputs)
        Linear networks only (identity activations, squared_error): principal axes of the reconstructions, by falling
        variance, the largest loading of each positive; PCA's, where the fit has converged.
    explained_variance_ratio_ : ndarray of shape (min(n_components, n_outputs),)
        Linear networks only: share of the data's variance that each of them restores.

    See Also
    --------
    sklearn.decomposition.PCA : The linear case in closed form.
    sklearn.neural_network.MLPRegressor : Supervised networks.

    References
    ----------
    .. [1] Hinton, G. E. and Salakhutdinov, R. R. (2006). Reducing the dimensionality of data with neural networks.
       Science 313, 504-507.
    .. [2] Bourlard, H. and Kamp, Y. (1988). Auto-association by multilayer perceptrons and singular value
       decomposition. Biological Cybernetics 59, 291-294.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from autoenc import Autoencoder
    >>> X = load_iris().data
    >>> model = make_pipeline(StandardScaler(), Autoencoder(n_components=2, random_state=0)).fit(X)
    >>> model.transform(X).shape
    (150, 2)
    >>> model[-1].score(model[0].transform(X)) > -0.05
    True
    """

    n_components: int = field(default=2, kw_only=False)
    latent_activation: ActivationName = "identity"
    output_activation: ActivationName | Literal["auto"] = "auto"
    loss: LossName | ColumnLoss = "squared_error"
    huber_delta: float = 1.0
    correntropy_sigma: float = 1.0
    sparsity: Sparsity | None = None
    contraction: Contraction | None = None
    penalties: Penalty | Sequence[Penalty] | None = None
    unit_norm_decoder: bool = False
    pretrain: Literal["layerwise"] | None = None
    pretrain_max_iter: int = 30

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseAutoencoder._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "latent_activation": [OneOf(set(_core.ACTIVATIONS))],
        "output_activation": [OneOf({"auto", *_core.ACTIVATIONS})],
        "loss": [OneOf(set(_spec.PLAIN_LOSSES)), ColumnLoss],
        "huber_delta": [Interval(Real, 0, None, closed="neither")],
        "correntropy_sigma": [Interval(Real, 0, None, closed="neither")],
        "sparsity": [Sparsity, None],
        "contraction": [Contraction, None],
        "penalties": [Penalty, list, tuple, None],
        "unit_norm_decoder": ["boolean"],
        "pretrain": [OneOf({"layerwise"}), None],
        "pretrain_max_iter": [Interval(Integral, 1, MOST, closed="both")],
    }

    def _initial(self, data: FitData, seed: int) -> dict[str, NDArray[Any]] | None:
        return None if self.pretrain is None else layerwise(Autoencoder, self, data, seed)

    # The dense layer that the code is, or is made of.
    _dense_of_code: ClassVar[str] = CODE
    # What solvers that need a smooth objective do not go with, in the words of a message, where it is the kind of the
    # code.
    _jumps: ClassVar[str | None] = None

    def _code_width(self) -> int:
        return int(self.n_components)

    def _sparsity(self) -> Sparsity | None:
        """What makes the code sparse."""
        return self.sparsity

    def _contraction(self) -> Contraction | None:
        """How the Jacobian of the code is penalised."""
        return self.contraction

    def _check_options(self) -> None:
        super()._check_options()
        if self.solver not in _spec.SOLVERS:
            return
        if self._jumps is not None:
            others = ", ".join(repr(name) for name in LEARNING_RATES if name not in _spec.SOLVERS)
            raise ValueError(f"solver={self.solver!r} does not go with {self._jumps} not smooth; allowed: {others}")
        if self.solver == "kfac":
            self._check_kfac()
            return
        sparsity, contraction = self._sparsity(), self._contraction()
        if isinstance(sparsity, Matryoshka):
            sparsity = sparsity.sparsity
        corruption = self._corruption()
        refused = {
            f"corruption={corruption!r}": corruption is not None,
            f"sparsity={sparsity!r}": sparsity is not None and not (isinstance(sparsity, KL) and not sparsity.running),
            f"contraction={contraction!r}": contraction is not None
            and (contraction.higher_order_weight > 0 or contraction.n_directions is not None),
            f"penalties={self.penalties!r}": any(
                isinstance(penalty, PredictiveSparse) for penalty in _add_penalties.check(self.penalties)
            ),
            "unit_norm_decoder=True": self.unit_norm_decoder,
        }
        for what, applies in refused.items():
            if applies:
                raise ValueError(
                    f"{what} does not go with solver='lbfgs', which needs a smooth objective without randomness or "
                    "constraints; allowed: the other solvers"
                )

    def _check_kfac(self) -> None:
        corruption = self._corruption()
        refused = {
            f"loss={self._target_loss()!r}": self._target_loss() not in KFAC_LOSSES,
            f"corruption={corruption!r}": getattr(corruption, "emphasis", None) is not None,
            f"sparsity={self._sparsity()!r}": self._sparsity() is not None,
            f"contraction={self._contraction()!r}": self._contraction() is not None,
            f"penalties={self.penalties!r}": bool(_add_penalties.check(self.penalties)),
            "unit_norm_decoder=True": self.unit_norm_decoder,
            "tied_weights=True": self.tied_weights,
        }
        for what, applies in refused.items():
            if applies:
                raise ValueError(
                    f"{what} does not go with solver='kfac', which trains one chain of dense layers by one of the "
                    f"losses {', '.join(KFAC_LOSSES)} alone; allowed: the other solvers"
                )

    def _settings(self) -> dict[str, Any]:
        names = ("latent_activation", "output_activation", "loss", "huber_delta", "correntropy_sigma")
        own = {name: getattr(self, name) for name in names}
        objects = {
            "sparsity": shown(self._sparsity()),
            "contraction": shown(self._contraction()),
            "penalties": shown(self.penalties),
        }
        return {**super()._settings(), **own, **objects, "unit_norm_decoder": bool(self.unit_norm_decoder)}

    def _add_condition(self, graph: Graph, condition: str) -> str:
        sparsity = self._sparsity()
        if not isinstance(sparsity, Matryoshka):
            return condition
        return graph.add(
            "repeat", "condition_of_prefixes", condition, multiplicity=len(sparsity.lengths(self.n_components))
        )

    def _add_code(self, graph: Graph, node: str) -> tuple[str, str]:
        _spec.check_widths("n_components", [self.n_components])
        width = int(self.n_components)
        sparsity = self._sparsity()
        if sparsity is not None:
            sparsity.validate()
            code, decoded = add_code(sparsity, graph, Place(width, self.latent_activation, self.init), node)
        else:
            code = decoded = self._dense(graph, CODE, node, width, self.latent_activation)
        contraction = self._contraction()
        if contraction is not None:
            contraction.validate()
            values = _dense_layers.split_activations(graph, code, f"contraction={contraction!r}")
            code, decoded = values.get(code, code), values.get(decoded, decoded)
        graph.code = code
        return code, decoded

    def _after_fit(self, trainer: _core.Trainer, data: FitData) -> None:
        super()._after_fit(trainer, data)
        sparsity = self._sparsity()
        if sparsity is not None:
            self.dead_latents_ = np.flatnonzero(self._dead(sparsity, data))

    def _dead(self, sparsity: Sparsity, data: FitData) -> NDArray[np.bool_]:
        """Which latents no row has used lately."""
        inner = sparsity.sparsity if isinstance(sparsity, Matryoshka) else sparsity
        if isinstance(inner, (TopK, BatchTopK)):
            return np.asarray(self.other_parameters_[f"{self._spec['code']}.since"][0] >= inner.dead_after)
        X, dead = data.rows.X, np.ones(self._spec["n_components"], dtype=bool)
        for at in range(0, X.shape[0], ROWS_AT_ONCE):
            condition = data.rows.condition
            codes = self._run(
                X[at : at + ROWS_AT_ONCE],
                self._spec["code"],
                condition=None if condition is None else condition[at : at + ROWS_AT_ONCE],
            )
            dead &= ~codes.any(axis=0)
        return dead

    def _add_output(self, graph: Graph, node: str, width: int) -> str:
        found = _columns.parts(graph.ranges, self.loss, width)
        links = {_spec.loss_link(part.loss) for part in found}
        allowed = _spec.output_activations(links)
        if self.output_activation not in allowed:
            what = f"loss={self.loss!r}, which is" if isinstance(self.loss, str) else "losses by column, which are"
            raise ValueError(
                f"output_activation={self.output_activation!r} does not go with {what} computed before the link; "
                f"allowed: {', '.join(map(repr, allowed))}"
            )
        plain = self.output_activation == "auto" or links != {"identity"}
        output = self._dense(graph, "reconstruction", node, width, "identity" if plain else self.output_activation)
        n_second = _columns.second_width(found)
        if n_second:
            self._dense(graph, _columns.SECOND, node, n_second, "identity")
        if self.unit_norm_decoder:
            self._keep_norms(graph)
        return output

    def _keep_norms(self, graph: Graph) -> None:
        """Rows of norm one in the first layer of the decoder."""
        first_layer = next(
            node
            for node in graph.nodes
            if graph.decoded in node["inputs"] and node["name"].startswith(("decoder_", "reconstruction"))
        )
        for reason, applies in {
            "tied_weights=True; allowed: False": self.tied_weights,
            "condition, whose vectors are not the code's": graph.decoded == "code_and_condition",
            f"max_norm={self.max_norm!r}; allowed: None": self.max_norm is not None,
            f"a decoder that begins with a {first_layer['kind']}; allowed: Dense": first_layer["kind"] != "dense",
        }.items():
            if applies:
                raise ValueError(f"unit_norm_decoder=True does not go with {reason}")
        first_layer["fields"]["size"] = (0, 0, 1)

    def _add_objective(self, graph: Graph, output: str, target: str, entry_weight: str | None) -> None:
        # The core takes the mean over the columns of a term; this is the one over all.
        width = graph.widths[output]
        found = _columns.parts(graph.ranges, self.loss, width)
        weights = [part.weight * (len(part.columns) / width) for part in found]
        parameters = {"huber": self.huber_delta, "correntropy": self.correntropy_sigma}
        terms = _columns.add_terms(graph, output, target, entry_weight, found, weights, parameters)
        reconstruction = Reconstruction(graph.decoded, output, target, entry_weight, terms)
        sparsity, contraction = self._sparsity(), self._contraction()
        if sparsity is not None:
            add_terms(sparsity, graph, reconstruction)
        if contraction is not None:
            contraction._add(graph, _dense_layers.encoder(graph, graph.code, f"contraction={contraction!r}"))
        for penalty in _add_penalties.check(self.penalties):
            _add_penalties.add(penalty, graph, reconstruction)
