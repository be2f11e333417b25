"""The autoencoder of dense layers."""

from collections.abc import Iterable, Mapping, Sequence, Set
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.utils._param_validation import StrOptions

from autoenc import _core, _spec
from autoenc._base import BaseAutoencoder
from autoenc._training import type_callback


def _widths(name: str, sizes: Any) -> list[int]:
    """A tuple of widths from what a user may write: a sequence or one number."""
    ordered = isinstance(sizes, Iterable) and not isinstance(sizes, (Set, Mapping)) and getattr(sizes, "ndim", 1) > 0
    values = list(sizes) if ordered else [sizes]
    for value in values:
        if not isinstance(value, Integral) or isinstance(value, (bool, np.bool_)) or value < 1:
            raise ValueError(
                f"{name} is {sizes!r}; allowed are positive whole numbers, one for each hidden layer, or ()"
            )
    return [int(value) for value in values]


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
    hidden_layer_sizes : int or array-like of int, default=(128,)
        Units of the encoder's hidden layers, from input to code. ``()`` is allowed.
    decoder_hidden_layer_sizes : int, array-like of int or None, default=None
        The same for the decoder, from code to output. None mirrors the encoder.
    activation : str, default="gelu"
        Of the hidden layers: "identity", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "tanh",
        "logistic", "exp" or "softmax".
    latent_activation : str, default="identity"
        Of the code; the same names.
    output_activation : str, default="auto"
        Of the reconstruction. "auto" is the link of the loss: logistic for log_loss, exp for poisson, softmax for
        multinomial, identity for the others. A loss with a link allows no other.
    loss : {"squared_error", "absolute_error", "huber", "log_cosh", "log_loss", "poisson", "multinomial"}, \
default="squared_error"
        What is minimised: mean over features and rows, without a factor 1/2. log_loss needs data in [0, 1], poisson and
        multinomial nonnegative data.
    huber_delta : float, default=1.0
        Error from which huber grows linearly.
    dropout : float, default=0.0
        Probability with which an output of a hidden layer is zero in a training step.
    init : {"auto", "glorot", "he", "lecun", "orthogonal", "sparse"}, default="auto"
        First weights. "auto" goes by activation: he for relu and leaky_relu, lecun for selu, glorot for the rest.
        Biases start at zero, those of the output at the feature means.
    alpha : float, default=1e-4
        Strength of the penalty on weights, never on biases. For adamw decoupled weight decay, for the others the
        gradient of ``alpha * (l1_ratio * |w| + (1 - l1_ratio) / 2 * w ** 2)``.
    l1_ratio : float, default=0.0
        Share of the L1 penalty, 0 to 1.
    max_norm : float or None, default=None
        Largest norm of a unit's incoming weights, imposed after each step.
    clip_value, clip_norm : float or None, default=None
        Limits of each entry of the gradient, and of the norm of the whole.
    solver : {"sgd", "rmsprop", "adagrad", "adam", "adamw", "lbfgs"}, default="adamw"
        Optimiser. "lbfgs" takes all rows at once, one iteration an epoch, until it cannot improve; it excludes dropout,
        l1_ratio, max_norm and clipping, and ignores batch_size and learning rates. Up to 65,536 rows it works on a copy
        in which equal rows are merged, so that weights are the same as repetitions (see `fit`).
    learning_rate_init : float or None, default=None
        The highest learning rate. None: adamw and adam 3e-3, rmsprop 1e-3, adagrad 3e-2, sgd 5e-2.
    learning_rate : {"constant", "step", "exponential", "cosine", "one_cycle", "linear", "plateau"}, default="cosine"
        Course over the max_iter epochs. "plateau" halves the rate when the loss (on validation rows, where there are
        some) has not fallen for ``n_iter_no_change // 2`` epochs.
    final_learning_rate_ratio : float, default=0.01
        Last rate over the highest (not for "constant" and "step"; the lowest for "plateau").
    step_size : int or None, default=None
        Epochs between the falls of "step". None: a third of max_iter.
    step_factor : float, default=0.1
        What "step" multiplies the rate by.
    warmup_fraction : float, default=0.05
        Share of all steps in which the rate rises linearly to the highest (not for "one_cycle", which has its own).
    momentum : float, default=0.9
        Of sgd.
    nesterovs_momentum : bool, default=True
        Whether sgd looks ahead.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay of the averages of gradients and their squares: adam and adamw both, rmsprop beta_2.
    epsilon : float, default=1e-8
        Added to the denominators of rmsprop, adagrad, adam and adamw.
    amsgrad : bool, default=False
        Whether adam and adamw keep the largest second average.
    batch_size : int or "auto", default="auto"
        Rows of a step. "auto": the power of two nearest n_samples / 16, within 16 and 256.
    max_iter : int, default=200
        Epochs.
    tol : float or None, default=None
        Stop when for `n_iter_no_change` epochs the loss (on validation rows, where there are some) has not fallen below
        ``best * (1 - tol)``. None: go on to max_iter, but for early stopping.
    n_iter_no_change : int, default=10
        Patience of `tol`, of early stopping and, halved, of "plateau".
    early_stopping : bool, default=False
        Hold out `validation_fraction` of the rows (unless `fit` gets X_val) and stop when their loss has not improved
        for `n_iter_no_change` epochs. Wherever there are validation rows, the weights of the best epoch are kept.
    validation_fraction : float, default=0.1
        Share of the rows held out.
    shuffle : bool, default=True
        Whether rows pass in another order in each epoch.
    random_state : int, RandomState instance or None, default=None
        Determines first weights, order, split and dropout. One integer is drawn from it by each fit.
    warm_start : bool, default=False
        Whether `fit` goes on with the weights of the last one.
    verbose : int, default=0
        0: silent. 1: progress, as a bar in a terminal or notebook where tqdm is installed, else as lines. 2: a line an
        epoch.
    precision : {"float32", "float64"}, default="float32"
        Of weights and arithmetic.
    n_jobs : int or None, default=None
        Threads; -1 is all processors. None: those that affinity, cgroups, OMP_NUM_THREADS and joblib leave. The result
        does not depend on it.
    callbacks : callable, list of callables or None, default=None
        Called after each epoch with a state that has the attributes ``estimator``, ``epoch``, ``n_epochs``, ``loss``,
        ``validation_loss`` and ``learning_rate``. One that returns True ends the fit; other values do not.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (n_in, n_out)
        Weights from input to output. Read-only; replace an array to change it.
    intercepts_ : list of ndarray of shape (n_out,)
        Biases.
    n_parameters_ : int
        Number of weights and biases.
    n_iter_ : int
        Epochs done.
    loss_curve_ : list of float
        Mean loss of each epoch's rows at the weights of the moment, without penalties.
    validation_loss_curve_ : list of float
        Mean loss of the validation rows after each epoch. Only where there are some.
    best_loss_ : float
        Lowest of the validation losses, or of `loss_curve_`.
    components_ : ndarray of shape (min(n_components, n_outputs), n_outputs)
        Linear networks only (identity activations, squared_error): principal axes of the reconstructions, by falling
        variance, the largest loading of each positive; PCA's, where the fit has converged.
    explained_variance_ratio_ : ndarray of shape (min(n_components, n_outputs),)
        Linear networks only: share of the data's variance that each of them restores.
    n_features_in_ : int
        Features of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X has strings for column names.

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

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseAutoencoder._parameter_constraints,
        "hidden_layer_sizes": ["array-like", Integral],
        "decoder_hidden_layer_sizes": ["array-like", Integral, None],
        "activation": [StrOptions(set(_core.ACTIVATIONS))],
        "latent_activation": [StrOptions(set(_core.ACTIVATIONS))],
        "output_activation": [StrOptions({"auto", *_core.ACTIVATIONS})],
    }

    def __init__(
        self,
        n_components: int = 2,
        *,
        hidden_layer_sizes: Sequence[int] | int = (128,),
        decoder_hidden_layer_sizes: Sequence[int] | int | None = None,
        activation: str = "gelu",
        latent_activation: str = "identity",
        output_activation: str = "auto",
        loss: str = "squared_error",
        huber_delta: float = 1.0,
        dropout: float = 0.0,
        init: str = "auto",
        alpha: float = 1e-4,
        l1_ratio: float = 0.0,
        max_norm: float | None = None,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        solver: str = "adamw",
        learning_rate_init: float | None = None,
        learning_rate: str = "cosine",
        final_learning_rate_ratio: float = 0.01,
        step_size: int | None = None,
        step_factor: float = 0.1,
        warmup_fraction: float = 0.05,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        amsgrad: bool = False,
        batch_size: int | Literal["auto"] = "auto",
        max_iter: int = 200,
        tol: float | None = None,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        precision: str = "float32",
        n_jobs: int | None = None,
        callbacks: type_callback | Sequence[type_callback] | None = None,
    ) -> None:
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.decoder_hidden_layer_sizes = decoder_hidden_layer_sizes
        self.activation = activation
        self.latent_activation = latent_activation
        self.output_activation = output_activation
        self.loss = loss
        self.huber_delta = huber_delta
        self.dropout = dropout
        self.init = init
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.max_norm = max_norm
        self.clip_value = clip_value
        self.clip_norm = clip_norm
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.final_learning_rate_ratio = final_learning_rate_ratio
        self.step_size = step_size
        self.step_factor = step_factor
        self.warmup_fraction = warmup_fraction
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.shuffle = shuffle
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.precision = precision
        self.n_jobs = n_jobs
        self.callbacks = callbacks

    def _describe(self, n_features: int, n_outputs: int | None) -> _spec.Spec:
        decoder = self.decoder_hidden_layer_sizes
        return _spec.describe(
            n_features=n_features,
            n_outputs=n_outputs,
            n_components=self.n_components,
            encoder=_widths("hidden_layer_sizes", self.hidden_layer_sizes),
            decoder=None if decoder is None else _widths("decoder_hidden_layer_sizes", decoder),
            activation=self.activation,
            latent_activation=self.latent_activation,
            output_activation=self.output_activation,
            loss=self.loss,
            loss_parameter=float(self.huber_delta) if self.loss == "huber" else 1.0,
            precision=self.precision,
        )
