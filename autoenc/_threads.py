"""How many threads a call may use."""

import multiprocessing
import os
from numbers import Integral
from typing import Any

import joblib
from joblib.parallel import get_active_backend

MAX_THREADS = 1024


def _from_environment() -> int | None:
    """OMP_NUM_THREADS, which may be a list of numbers by nesting level; its first counts."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdigit() and int(first) > 0 else None


def n_threads(n_jobs: Any) -> int:
    """Threads for ``n_jobs``, as joblib counts: -1 is all, -2 all but one.

    None takes the processors that affinity and cgroups leave, no more than OMP_NUM_THREADS (which joblib sets in its
    worker processes), and one inside a nested worker, where the other processors have work already.
    """
    if n_jobs is not None:
        allowed = f"allowed: None, 1 to {MAX_THREADS} threads, or a negative whole number (-1: all processors)"
        if not isinstance(n_jobs, Integral) or isinstance(n_jobs, bool):
            raise ValueError(f"n_jobs={n_jobs!r} is not a whole number; {allowed}")
        asked = int(n_jobs)
        if asked == 0:
            raise ValueError(f"n_jobs=0 has no meaning; {allowed}")
        if asked > MAX_THREADS:
            raise ValueError(f"n_jobs={asked!r} is too large; {allowed}")
        return asked if asked > 0 else max(1, int(joblib.cpu_count()) + 1 + asked)
    limit = _from_environment()
    backend, _ = get_active_backend()
    # In a worker process joblib counts one level, but has told it by OMP_NUM_THREADS what it may use.
    own_process = multiprocessing.parent_process() is not None and limit is not None
    if (getattr(backend, "nesting_level", 0) or 0) > int(own_process):
        return 1
    n_cpus = int(joblib.cpu_count())
    return min(n_cpus, limit or n_cpus)
