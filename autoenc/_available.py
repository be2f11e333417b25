"""Methods that are there only with some values of the parameters."""

from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any, TypeVar, cast

Method = TypeVar("Method", bound=Callable[..., Any])


class NotWithTheseParameters(AttributeError, ValueError):
    """A method cannot work: an AttributeError, so that `hasattr` says so, and a ValueError, because of a parameter."""


class _AvailableIf:
    def __init__(self, check: Callable[[Any], None], method: Callable[..., Any]) -> None:
        self._check = check
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self._method
        self._check(instance)
        return MethodType(self._method, instance)


def available_if(check: Callable[[Any], None]) -> Callable[[Method], Method]:
    """A method that is there only where a check passes; the check's own exception tells why it is not."""
    return cast(Callable[[Method], Method], partial(_AvailableIf, check))
