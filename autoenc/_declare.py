"""How estimators declare their parameters: as fields of a dataclass, with the descriptions of shared ones in one place.

scikit-learn reads an estimator's parameters off the signature of its constructor, which may only assign. A dataclass
writes exactly that constructor, and inherits fields, so that a parameter is declared once for the whole family.
"""

import inspect
import re
from dataclasses import dataclass, field
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
def estimator(cls: type[T]) -> type[T]:
    """Gives a class its constructor and fills in the descriptions of shared parameters.

    The parameter that may be given by position is a `field` with ``kw_only=False`` in the class itself: type checkers
    do not look for it behind a function.

    A line ``    <name>`` in the docstring, alone between angle brackets, stands for the text of that name in `SHARED`.
    """
    made = dataclass(repr=False, eq=False, kw_only=True)(cls)
    if made.__doc__ is not None:
        made.__doc__ = re.sub(r"^    <(\w+)>$", lambda match: SHARED[match[1]].strip("\n"), made.__doc__, flags=re.M)
    return made


def default(model: object, name: str) -> Any:
    """What a parameter is where the user says nothing: by the constructor of the object's own class."""
    parameters = inspect.signature(type(model)).parameters
    return parameters[name].default if name in parameters else getattr(type(model), name)


SHARED = {
    "latent_activation": """
    latent_activation : str, default="identity"
        Of the code; the names of `activation`.
""",
    "reconstruction": """
    output_activation : str, default="auto"
        Of the reconstruction. "auto" is the link of the loss: logistic for log_loss, exp for poisson, softmax for
        multinomial, identity for the others. A loss with a link allows no other, several links only "auto".
    loss : str or ColumnLoss, default="squared_error"
        What is minimised, as a mean over features and rows. Of the error d of an entry: "squared_error" ``d ** 2``
        (without a factor 1/2), "absolute_error" ``|d|``, "huber" ``d ** 2 / 2`` up to ``|d| = huber_delta`` and
        ``huber_delta * (|d| - huber_delta / 2)`` beyond, "log_cosh" ``log(cosh(d))``, "correntropy"
        ``2 s ** 2 * (1 - exp(-d ** 2 / (2 s ** 2)))`` with s `correntropy_sigma`. Of an entry x and what is restored,
        r: "log_loss" ``-x log r - (1 - x) log(1 - r)`` for x in [0, 1], "poisson" ``r - x + x log(x / r)``, half the
        deviance, and "multinomial" ``-x log r`` with r a softmax over the row, both for x of at least 0. Logarithms are
        natural. For mixed tables an `autoenc.losses.ColumnLoss` gives columns losses of their own.
    huber_delta : float, default=1.0
        Error from which huber grows linearly.
    correntropy_sigma : float, default=1.0
        Width of correntropy's kernel: errors far beyond it hardly count.
""",
    "sparsity": """
    sparsity : object of `autoenc.sparsity` or None, default=None
        What makes the code sparse: a penalty on it or a choice among its features.
""",
    "contraction": """
    contraction : Contraction or None, default=None
        Penalty on the Jacobian of the code, an object of `autoenc.contraction`; for encoders of dense layers.
""",
    "penalties": """
    penalties : object of `autoenc.penalties`, list of them or None, default=None
        On weights and codes: orthogonality, decorrelation, predictive sparse decomposition.
    unit_norm_decoder : bool, default=False
        Whether each feature of the code keeps a vector of norm one in the first layer of the decoder, so that the code
        alone says how much of it there is (Bricken et al. 2023, Towards monosemanticity).
    pretrain : {"layerwise"} or None, default=None
        "layerwise": each hidden layer is first trained as the code of a shallow autoencoder of the layer before it,
        with the same corruption; then all are trained together (Bengio et al. 2007, Greedy layer-wise training of deep
        networks; Vincent et al. 2010, Stacked denoising autoencoders). For deep networks.
    pretrain_max_iter : int, default=30
        Epochs of each shallow autoencoder.
""",
    "layers": """
    hidden_layer_sizes : int or array-like of int, default=(128,)
        Units of the encoder's hidden layers, from input to code. ``()`` is allowed.
    decoder_hidden_layer_sizes : int, array-like of int or None, default=None
        The same for the decoder, from code to output. None mirrors the encoder.
    encoder, decoder : list of layers of `autoenc.layers` or None, default=None
        Layers in the place of the hidden layers above, from input to output. Where only `encoder` is given, its blocks
        (a dense layer and what follows it) are mirrored. Beside them `hidden_layer_sizes` and
        `decoder_hidden_layer_sizes` must be left at their defaults. The code and the reconstruction are always
        appended.
    activation : str, default="gelu"
        Of the hidden layers: "identity", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "tanh",
        "logistic", "exp" or "softmax".
    tied_weights : bool, default=False
        Whether the decoder's weights are those of the encoder, transposed; biases stay free. Needs a mirrored decoder.
    dropout : float, default=0.0
        Probability with which an output of a hidden layer is zero in a training step.
    corruption : part of `autoenc.corruption` or None, default=None
        What is done to the rows that the encoder sees in training, anew at each presentation; the target stays clean.
    missing : {"error", "mask"}, default="error"
        "mask" allows NaN in X: missing entries are zero to the encoder (so centre the columns first, for instance by
        StandardScaler, which skips NaN) and have no part in the loss, which is then the mean over a row's observed
        entries; a row without any has the loss zero. A corruption leaves them zero; `SwapNoise` may bring zeros from
        rows that miss the entry. In sparse X a stored NaN is missing, an absent entry an observed zero. Not for a loss
        of whole rows (multinomial), unless it is one of a range of columns.
    condition_categories : array-like of labels or None, default=None
        Labels that conditions may have, where `fit` (or the first `partial_fit`) need not see them all. None: those
        that it sees.
    init : {"auto", "glorot", "he", "lecun", "orthogonal", "sparse"}, default="auto"
        First weights. "auto" goes by activation: he for relu and leaky_relu, lecun for selu, glorot for the rest.
        Biases start at zero, those of the output at the feature means.
""",
    "training": """
    alpha : float, default=1e-4
        Strength of the penalty on weights, never on biases. For adamw decoupled weight decay, for the others the
        gradient of ``alpha * (l1_ratio * |w| + (1 - l1_ratio) / 2 * w ** 2)``.
    l1_ratio : float, default=0.0
        Share of the L1 penalty, 0 to 1.
    max_norm : float or None, default=None
        Largest norm of a unit's incoming weights, imposed after each step.
    clip_value, clip_norm : float or None, default=None
        Limits of each entry of the gradient, and of the norm of the whole.
    solver : {"sgd", "rmsprop", "adagrad", "adam", "adamw", "kfac", "lbfgs"}, default="adamw"
        Optimiser. "kfac" takes natural-gradient steps by Kronecker-factored curvature, whose length it finds itself
        (Martens and Grosse 2015, algorithm 2): a few epochs of large minibatches where "adamw" needs many. It trains
        chains of dense layers by squared_error, log_loss or poisson, without dropout, tied weights, penalties other
        than alpha, max_norm, clipping, conditions and missing entries. It keeps four further copies of the weights and
        two square matrices for each layer's inputs and units, whose inverses take time by the cube of their widths:
        for layers and tables of up to some thousand columns. "lbfgs" takes all rows at once, one iteration an epoch,
        until it cannot improve; it excludes what is random or not smooth (dropout, corruption, l1_ratio, max_norm,
        clipping), and ignores batch_size and learning rates. Up to 65,536 rows it works on a copy in which equal rows
        are merged, so that weights are the same as repetitions (see `fit`).
    learning_rate_init : float or None, default=None
        The highest learning rate. None: adamw and adam 3e-3, rmsprop 1e-3, adagrad 3e-2, sgd 5e-2, and for kfac 1, a
        factor of the steps that it finds.
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
    state_precision : "bfloat16" or None, default=None
        Of what the solver keeps for each weight: momentum, averages. None: that of the weights. "bfloat16" takes half
        the room of float32 and is rounded up or down at random, so that small changes of an average are not lost. Not
        with precision "float64", nor with kfac and lbfgs.
    batch_size : int or "auto", default="auto"
        Rows of a step. "auto": the power of two nearest n_samples / 16, within 16 and 256; for kfac within 16 and
        1024.
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
        Determines first weights, order, split and draws. One integer is drawn from it by each fit.
    warm_start : bool, default=False
        Whether `fit` goes on with the weights of the last one. Columns of a frame must then be those of before.
    verbose : int, default=0
        0: silent. 1: progress, as a bar in a terminal or notebook where tqdm is installed, else as lines. 2: a line an
        epoch.
    precision : {"float32", "float64", "high", "bfloat16"}, default="float32"
        Of weights and arithmetic. "high" and "bfloat16" keep weights and sums in float32 and let two or one bfloat16
        numbers stand for a factor in the products of dense layers, which changes a product of two numbers (not too near
        the ends of float32's range) by at most 5e-5 or 8e-3 of itself. "high" leaves narrow layers to float32, where
        two numbers would take longer, except with solver="kfac". Meant for processors with AMX tiles; slower than
        "float32" on others, with the same result on all.
    n_jobs : int or None, default=None
        Threads; -1 is all processors. None: those that affinity, cgroups, OMP_NUM_THREADS and joblib leave. The result
        does not depend on it.
    callbacks : callable, list of callables or None, default=None
        Called after each epoch with an `autoenc.callbacks.EpochState`, which has ``estimator``, ``epoch``,
        ``n_epochs``, ``loss``, ``validation_loss``, ``learning_rate`` and ``training``. One that returns True ends the
        fit; other values do not. Ready ones are in `autoenc.callbacks`.
""",
    "learned": """
    coefs_ : list of ndarray of shape (n_in, n_out)
        Weights of the dense layers from input to output; of tied ones the encoder's only. Read-only; replace an array
        to change it.
    intercepts_ : list of ndarray of shape (n_out,)
        Their biases.
    other_parameters_ : dict of str to ndarray
        Whatever else is learned, by the name ``layer.role``: gains and running statistics of normalisations, codebooks,
        thresholds. Empty for plain networks.
    n_parameters_ : int
        Number of all learned values.
    n_iter_ : int
        Epochs done.
    loss_curve_ : list of float
        Mean loss of each epoch's rows at the weights of the moment, without penalties on weights.
    validation_loss_curve_ : list of float
        Mean loss of the validation rows after each epoch. Only where there are some.
    best_loss_ : float
        Lowest of the validation losses, or of `loss_curve_`.
    n_features_in_ : int
        Features of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where X has strings for column names.
    condition_categories_ : ndarray of shape (n_categories,)
        Labels of the condition, sorted. Only where `fit` got labels.
    condition_names_in_ : ndarray of shape (n_conditions,)
        Names of its columns. Only where `fit` got a frame with strings for column names.
""",
}
