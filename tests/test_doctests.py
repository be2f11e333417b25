"""The examples in docstrings. `test` has all packages that they need but MLflow, whose example skips without it."""

import doctest
import importlib
import pkgutil
from importlib import util

import pytest

import autoenc

MODULES = [
    "autoenc",
    *(m.name for m in pkgutil.walk_packages(autoenc.__path__, "autoenc.") if not m.name.endswith("__main__")),
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
ALONE = {"autoenc.callbacks.MLflow": "mlflow"}  # packages that warn when they are imported, in a process of their own
RUN = """
import doctest, importlib, sys
home, _, name = sys.argv[1].rpartition(".")
module = importlib.import_module(home)
(test,) = doctest.DocTestFinder(recurse=False).find(getattr(module, name), name, module)
found = doctest.DocTestRunner(optionflags=int(sys.argv[2])).run(test)
assert found.attempted and not found.failed
"""


def examples(name: str) -> list[doctest.DocTest]:
    found = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name))
    return [test for test in found if test.examples and test.name not in ALONE]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name):
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    report: list[str] = []
    for test in examples(name):
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


@pytest.mark.parametrize(("name", "package"), ALONE.items())
def test_example_with_a_package_of_its_own(name, package, run_python):
    if util.find_spec(package) is None:
        pytest.skip(f"needs {package}")
    done = run_python("-W", "ignore", "-c", RUN, name, str(FLAGS))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_estimator_has_examples():
    documented = {test.name for test in examples("autoenc._autoencoder")}
    assert any(name.endswith(".Autoencoder") for name in documented)
