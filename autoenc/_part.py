"""Base of the parameter objects: sparsity, corruption, contraction, penalties."""

from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator

from autoenc._options import refuse_booleans


class Part(BaseEstimator):
    """A parameter of an estimator that has parameters of its own, and no weights; not for direct use."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    def validate(self) -> Self:
        """Checks the parameters.

        Returns
        -------
        self
            The object itself.

        Raises
        ------
        sklearn.utils._param_validation.InvalidParameterError
            A ValueError and TypeError that names the parameter, its value and what is allowed.
        """
        self._validate_params()
        refuse_booleans(self)
        return self
