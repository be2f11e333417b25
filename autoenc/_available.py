"""Methods that are there only with some values of the parameters."""

from collections.abc import Callable
from types import MethodType
from typing import Any


class NotWithTheseParameters(AttributeError, ValueError):
    """A method cannot work: an AttributeError, so that `hasattr` says so, and a ValueError, because of a parameter."""


class AvailableIf:
    """A method that is there only where a check passes; the check's own exception tells why it is not."""

    def __init__(self, method: Callable[..., Any], check: Callable[[Any], None]) -> None:
        self._method = method
        self._check = check
        self.__doc__ = method.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self._method
        self._check(instance)
        return MethodType(self._method, instance)
