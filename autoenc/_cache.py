"""Core predictors of fitted estimators, kept outside of their state so that it stays plain arrays.

An entry holds while the very same arrays are in place and nobody can have written to them: weights are read-only, and
one that is replaced or writable makes the next call build anew.
"""

import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoenc import _core, _predictor, _spec
from autoenc._spec import Spec
from autoenc._threads import n_threads


class _Entry(NamedTuple):
    estimator: "weakref.ref[Any]"
    core: _core.Predictor
    positions: dict[str, int]
    spec: Spec
    n_jobs: int | None
    arrays: tuple[NDArray[Any], ...]


# By id, because an estimator may define what equal means, and is then perhaps not hashable.
_entries: dict[int, _Entry] = {}
_lock = threading.Lock()


def _after_fork() -> None:
    """Another thread of the parent may have held the lock, or have been inside a predictor."""
    global _entries, _lock
    _entries, _lock = {}, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def freeze(array: Any) -> None:
    if isinstance(array, np.ndarray):
        array.flags.writeable = False


def _frozen(array: Any) -> bool:
    """Whether an array and all arrays whose memory it shows are read-only."""
    if not isinstance(array, np.ndarray):
        return False
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        base = base.base
    if base is None:
        return True
    try:
        with memoryview(base) as view:
            return view.readonly
    except TypeError:  # memory of somebody who does not say
        return False


def network(
    estimator: Any,
    spec: Spec,
    coefs: Sequence[NDArray[Any]],
    intercepts: Sequence[NDArray[Any]],
    others: Mapping[str, NDArray[Any]],
) -> tuple[_core.Predictor, dict[str, int]]:
    """The core's predictor of an estimator's present weights, and where its nodes are."""
    arrays = (*coefs, *intercepts, *others.values())
    key = id(estimator)
    n_jobs = estimator.n_jobs
    entry = _entries.get(key)
    if (
        entry is not None
        and entry.estimator() is estimator
        and entry.spec is spec
        and entry.n_jobs == n_jobs
        and len(entry.arrays) == len(arrays)
        and all(a is b for a, b in zip(entry.arrays, arrays, strict=True))
        and all(map(_frozen, arrays))
    ):
        return entry.core, entry.positions
    core = _predictor.build(spec, coefs, intercepts, others, n_threads(n_jobs))
    positions = _spec.positions(_spec.inference_nodes(spec))
    if all(map(_frozen, arrays)):
        with _lock:
            # Called as `_entries.pop(key, reference)`: no line of Python, within which Ctrl-C would raise an exception
            # that is lost. The key is another estimator's only after this one's memory is freed, which is later.
            reference = weakref.ref(estimator, partial(_entries.pop, key))
            _entries[key] = _Entry(reference, core, positions, spec, n_jobs, arrays)
    return core, positions
