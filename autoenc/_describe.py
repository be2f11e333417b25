"""Values as JSON that tells them from others: the same in all processes where they are equal, without addresses.

Data is written out. A function goes by its name and a digest of its code, its defaults, and the values that it reads
from around it; any other object by its name and a digest of what pickle would keep, or by its name alone.
"""

import copyreg
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dis import get_instructions
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc._row_blocks import row_blocks

FEW = 500  # entries of an array that are written out
DEEPEST = 60  # values within each other


def digest(*arrays: NDArray[Any]) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype.str} {array.shape} ".encode())
        # Of another order by blocks: a copy of all may be more than there is memory for.
        for rows in row_blocks(array) if array.ndim > 1 and not array.flags.c_contiguous else [...]:
            found.update(np.ascontiguousarray(array[rows]).data)
    return found.hexdigest()[:32]


def digest_of(said: Any) -> str:
    """Of JSON."""
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def described(value: Any, known: dict[int, tuple[Any, Any]] | None = None, depth: int = 0) -> Any:
    """JSON of a value: a tuple as a list, NumPy's numbers as Python's, 1.0 as 1, a dict in any order.

    `known` are descriptions of those that were met before, by their ids; `depth` is how deep within others this one is.
    """
    if isinstance(value, np.generic) or (
        isinstance(value, np.ndarray) and (value.size <= FEW or value.dtype.kind not in "biufc")
    ):
        value = value.tolist()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return f"bytes {hashlib.sha256(value).hexdigest()[:32]}"
    if isinstance(value, np.ndarray):
        return f"{value.shape} of {value.dtype} {digest(value)}"
    known = {} if known is None else known
    if id(value) not in known:
        name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or type(value).__qualname__
        name = f"{getattr(value, '__module__', '')}.{name}"
        if depth > DEEPEST:
            return name
        known[id(value)] = value, name  # which it goes by within itself
        known[id(value)] = value, _composed(value, name, lambda parts: [described(x, known, depth + 1) for x in parts])
    return known[id(value)][1]


def _composed(value: Any, name: str, each: Callable[[Iterable[Any]], list[Any]]) -> Any:
    """The description of what others make up, which `each` describes."""
    from autoenc._stored_estimators import part

    if isinstance(value, list | tuple):
        return each(value)
    if isinstance(value, set | frozenset):
        return {"set": sorted(each(value), key=json.dumps)}
    if isinstance(value, dict):
        return {"dict": sorted(map(each, value.items()), key=json.dumps)}
    if (found := part(value)) is not None:
        return {"object": found[0], "parameters": sorted(map(each, found[1].items()))}
    inside = _inside(value)
    return name if inside is None else f"{name} {digest_of(each(inside))}"


def _inside(value: Any) -> Sequence[Any] | None:
    """What an object is made of; None where there is nothing to be seen."""
    if isinstance(value, type | ModuleType):
        return None
    if isinstance(value, CodeType):
        # 1.0 is not 1 there, nor -0.0 zero.
        constants = [repr(one) if isinstance(one, float) else one for one in value.co_consts]
        return value.co_code, constants, value.co_names
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if cell != CellType()]
        return value.__code__, value.__defaults__, value.__kwdefaults__, cells, _globals(value)
    if isinstance(value, MethodType):
        return value.__func__, value.__self__
    try:
        reduce = copyreg.dispatch_table.get(type(value))
        reduced = value.__reduce_ex__(4) if reduce is None else reduce(value)
    except Exception:  # each class has its own for what cannot be pickled
        return None
    if isinstance(reduced, str):
        return (reduced, value.__wrapped__) if hasattr(value, "__wrapped__") else None
    return [*reduced[:3], *(list(more) for more in reduced[3:5] if more is not None)]


def _globals(function: FunctionType) -> dict[str, Any]:
    """The globals that a function reads, in those within it too; functions of other modules by their names."""
    codes, found = [function.__code__], dict[str, Any]()
    for code in codes:
        codes += [one for one in code.co_consts if isinstance(one, CodeType)]  # looked at in their turn
        for name in {one.argval for one in get_instructions(code) if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")}:
            value = function.__globals__.get(name)
            if isinstance(value, FunctionType) and value.__module__ != function.__module__:
                value = value.__module__, value.__qualname__
            found[name] = value
    return found
