"""scikit-learn's decorators of methods, which have no types, with types: a decorated method keeps its own signature."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from sklearn.base import _fit_context
from sklearn.utils import _param_validation

Method = TypeVar("Method", bound=Callable[..., Any])


class _FitContext(Protocol):
    def __call__(self, *, prefer_skip_nested_validation: bool) -> Callable[[Method], Method]: ...


class _ValidateParams(Protocol):
    def __call__(
        self, parameter_constraints: dict[str, Any], *, prefer_skip_nested_validation: bool
    ) -> Callable[[Method], Method]: ...


fit_context: _FitContext = _fit_context
validate_params: _ValidateParams = _param_validation.validate_params
