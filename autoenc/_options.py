"""What checks of parameters say beyond scikit-learn's."""

from numbers import Integral
from typing import Any, Literal

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

# The same names for type checkers, which cannot ask the core; tests/test_typing.py compares them with the checks.
ActivationName = Literal[
    "identity", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "tanh", "logistic", "exp", "softmax"
]
InitializerName = Literal["auto", "glorot", "he", "lecun", "orthogonal", "sparse"]
RuleName = Literal["sgd", "rmsprop", "adagrad", "adam", "adamw"]
ScheduleName = Literal["constant", "step", "exponential", "cosine", "one_cycle", "linear", "plateau"]
PrecisionName = Literal["float32", "float64", "high", "bfloat16"]
LossName = Literal[
    "squared_error", "absolute_error", "huber", "log_cosh", "log_loss", "poisson", "multinomial", "correntropy"
]
ColumnLossName = Literal[LossName, "categorical", "negative_binomial"]
LikelihoodName = Literal["squared_error", "log_loss", "poisson", "multinomial", "negative_binomial"]


class OneOf(StrOptions):
    """Texts that a parameter may have, in messages in the order of the alphabet: a set's is another in each process."""

    def __str__(self) -> str:
        return f"a str among {{{', '.join(map(repr, sorted(self.options)))}}}"


def refuse_booleans(model: Any) -> None:
    """Refuses True and False where a parameter is a number, for which they would count as 1 and 0."""
    for name, allowed in model._parameter_constraints.items():
        value = getattr(model, name)
        if not isinstance(value, (bool, np.bool_)) or "boolean" in allowed or "verbose" in allowed:
            continue
        numbers = [str(one) for one in allowed if isinstance(one, Interval)]
        if Integral in allowed:
            kinds = {Integral: "a whole number", str: "a string", None: "None"}
            numbers += [text for kind, text in kinds.items() if kind in allowed]
        if numbers:
            raise ValueError(
                f"The {name!r} parameter of {type(model).__name__} must be {' or '.join(numbers)}. Got {value!r} "
                "instead."
            )


def check_count(name: str, value: Any, least: int = 1) -> int:
    """An argument of a method; refuses what is no whole number, or too small."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}={value!r}; allowed are whole numbers from {least}")
    return int(value)
