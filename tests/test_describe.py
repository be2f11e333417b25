"""Descriptions of values: apart where values are, the same where they are equal, in this process and in others."""

import datetime
import functools
import json
import logging
import math
import operator
import re
import threading

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_selector

from autoenc._describe import FEW, described
from autoenc.losses import ColumnLoss
from autoenc.sparsity import KL

FACTOR = 1.0


class Schedule:
    def __init__(self, factor, **more):
        self.factor = factor
        vars(self).update(more)

    def __call__(self, t):
        return self.factor * t

    def half(self, t):
        return self.factor * t / 2


class Slots:
    __slots__ = ("factor",)

    def __init__(self, factor):
        self.factor = factor


def scaled(factor, t):
    return factor * t


def closure(factor):
    def schedule(t):
        return factor * t

    return schedule


def nested(factor):
    return lambda t: [factor * one for one in t]


def reads_global(t):
    return [FACTOR * one for one in [t]]


def recursive():
    def schedule(t):
        return schedule(t / 2) if t > 1 else t

    return schedule


def cyclic(factor):
    one = Schedule(factor)
    one.itself = [one]
    return one


MANY = np.arange(FEW + 1.0)
# Values that differ, made twice: those of one place are equal.
APART = {
    "numbers": lambda: [
        None,
        True,
        0,
        1,
        1.5,
        math.nan,
        "1",
        b"1",
        1j,
        2j,
        range(3),
        range(4),
        slice(3),
        slice(4),
        ...,
    ],
    "containers": lambda: [[1, 2], {1, 2}, {1: 2}, {1: 3}, {2: 1}, {"a": {1}}, {"a": {2}}],
    "arrays": lambda: [MANY, MANY + 1, MANY[:9], MANY.astype("f4"), np.array([b"1"]), np.array([object, 1]), MANY * 1j],
    "lambdas": lambda: [
        lambda t: t,
        lambda t: 2 * t,
        lambda t: 3 * t,
        lambda t: -t,
        lambda t: t.real,
        lambda t: t.imag,
    ],
    "defaults": lambda: [lambda t=1: t, lambda t=2: t, lambda *, t=1: t, lambda *, t=2: t],
    "within": lambda: [
        lambda t: [1 + x for x in t],
        lambda t: [2 + x for x in t],
        lambda t: lambda: 3,
        lambda t: {4, 5},
    ],
    "closures": lambda: [make(x) for make in (closure, nested) for x in (0.0, 5.0)] + [recursive()],
    "partials": lambda: [functools.partial(scaled, x) for x in (0, 5, MANY)] + [functools.partial(scaled, factor=5)],
    "instances": lambda: [
        Schedule(0),
        Schedule(MANY),
        Schedule([MANY + 1]),
        Schedule(closure(2)),
        Schedule(Schedule(0)),
    ],
    "methods": lambda: [
        Schedule(0).half,
        Schedule(1).half,
        Schedule(1).__call__,
        [0, 1].__getitem__,
        [0, 2].__getitem__,
    ],
    "cycles": lambda: [cyclic(1), cyclic(2)],
    "slots": lambda: [Slots(1), Slots(2)],
    "names": lambda: [math.sin, math.cos, np.sin, np.cos, Schedule, Slots, np, math, len, str.upper, np.float32],
    "wrapped": lambda: [functools.lru_cache(closure(x)) for x in (1, 2)],
    "selectors": lambda: [make_column_selector(pattern="a"), make_column_selector(pattern="b"), operator.itemgetter(1)],
    "frames": lambda: [pd.DataFrame({"a": [x], "b": ["c"]}) for x in (1, 2)] + [pd.DataFrame({"a": [1], "b": ["d"]})],
    "states": lambda: [np.random.RandomState(0), np.random.RandomState(1), np.random.default_rng(0)],
    "others": lambda: [re.compile("a"), re.compile("b"), datetime.date(2020, 1, 2), datetime.date(2020, 1, 3)],
    "objects of ours": lambda: [
        KL(0.1),
        KL(0.2),
        ColumnLoss([("n", "huber", 0)]),
        ColumnLoss([("n", "huber", closure(1))]),
    ],
}


@pytest.mark.parametrize("values", APART.values(), ids=APART)
def test_values_that_differ_are_apart_and_equal_ones_are_not(values):
    first, second = ([json.dumps(described(value)) for value in values()] for _ in range(2))
    assert first == second
    assert len(set(first)) == len(first)
    assert not any("0x" in said for said in first)
    assert max(map(len, first)) < 500


def test_what_is_equal_is_the_same():
    equal = [
        (1, 1.0, np.int8(1), np.float32(1), np.array(1)),
        ((1, 2), [1, 2], np.array([1, 2]), np.array([1.0, 2.0])),
        (np.True_, True),
        ({1: 2, 3: 4, "a": (5,)}, {"a": [5], 3: 4.0, 1: 2}),
        ({"abc", "b", "c", (1, 2)}, frozenset([(1, 2), "c", "b", "abc"])),
        (np.asfortranarray(MANY[1:].reshape(-1, 2)), MANY[1:].reshape(-1, 2)),
        (KL(0.25), KL(np.float64(0.25))),
    ]
    for values in equal:
        assert len({json.dumps(described(value)) for value in values}) == 1, values


def test_globals_that_a_function_reads_count(monkeypatch):
    """Data by its values; functions of other modules by their names."""
    before = described(reads_global), described(closure(reads_global))
    monkeypatch.setitem(globals(), "FACTOR", 2.0)
    assert described(reads_global) != before[0] and described(closure(reads_global)) != before[1]
    other = closure(1)
    other.__module__ = "elsewhere"
    monkeypatch.setitem(globals(), "FACTOR", other)
    said = described(reads_global)
    another = closure(2)
    another.__module__ = "elsewhere"
    monkeypatch.setitem(globals(), "FACTOR", another)
    assert described(reads_global) == said
    another.__qualname__ = "another"
    assert described(reads_global) != said


def test_functions_that_have_run_or_cannot_run_yet():
    """Python changes the code of those that run often; those before a name has its value are described, too."""
    before = described(reads_global)
    for _ in range(1000):
        reads_global(2.0)
    assert described(reads_global) == before

    def reads_later():
        return later

    before = described(reads_later)
    later = 1
    assert described(reads_later) != before


def test_what_cannot_be_seen_goes_by_its_name():
    class Refuses:
        def __reduce_ex__(self, protocol):
            raise RuntimeError("not to be pickled")

    with_log = Schedule(1, log=logging.getLogger("a"), lock=threading.Lock())
    said = described(with_log)
    with_log.log.isEnabledFor(10)  # is noted in the logger
    assert described(with_log) == said
    assert described(Refuses()) == described(Refuses()) != described(Slots(0))
    assert described(threading.Lock()).endswith("lock")


def test_shared_objects_are_as_if_they_were_two():
    one = Schedule(MANY)
    assert described([one, one]) == described([one, Schedule(MANY)])
    many = one
    for _ in range(200):  # a graph of 2 ** 200 paths
        many = Schedule(many, again=many)
    assert len(described(many)) < 100


SCRIPT = """
import functools
import numpy as np
from joblib import Parallel, delayed
from sklearn.compose import make_column_selector
from autoenc._describe import described

class Schedule:
    def __init__(self, names):
        self.names = names
    def __call__(self, t):
        return t

FACTOR = {"a", "b", "c"}
def read(t):
    return len(FACTOR) * t * np.mean(t)
def made(values):
    return [
        lambda t: t in {"x", "y", "z"} and read(t) and values,
        functools.partial(read, **{"t": values}),
        Schedule(values),
        Schedule(values).__call__,
        make_column_selector(pattern="a"),
    ]
values = made({"some", "names", "of", "columns"})
found = [described(value) for value in values]
assert Parallel(n_jobs=2)(delayed(described)(value) for value in values) == found
assert len(set(found)) == 5
"""


def test_other_processes_describe_the_same(run_python, environment):
    """Workers of joblib, where strings have other hashes and objects other addresses."""
    environment.pop("PYTHONHASHSEED", None)
    done = run_python("-c", SCRIPT)
    assert done.returncode == 0, done.stderr


def test_constants_of_code_are_told_apart_as_floats_and_whole_numbers():
    pairs = [(lambda e: e * 1.0, lambda e: e * 1), (lambda e: e * -0.0, lambda e: e * 0.0)]
    for one, other in pairs:
        other.__qualname__ = one.__qualname__
        assert described(one) != described(other)


def test_a_global_that_is_named_like_an_attribute_does_not_count(monkeypatch):
    def reads(e):
        return e.BASE

    before = described(reads)
    monkeypatch.setitem(globals(), "BASE", 17)
    assert described(reads) == before
