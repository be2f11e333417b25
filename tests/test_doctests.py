"""The examples in docstrings."""

import doctest
import importlib
import pkgutil

import pytest

import autoenc

MODULES = [
    "autoenc",
    *(m.name for m in pkgutil.walk_packages(autoenc.__path__, "autoenc.") if not m.name.endswith("__main__")),
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples(name: str) -> list[doctest.DocTest]:
    found = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name))
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name):
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    report: list[str] = []
    for test in examples(name):
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


def test_the_estimator_has_examples():
    documented = {test.name for test in examples("autoenc._autoencoder")}
    assert any(name.endswith(".Autoencoder") for name in documented)
