"""Docstrings against signatures and numpydoc's rules: nothing undocumented, nothing documented that is not there."""

import importlib
import inspect
from collections.abc import Iterator

import pytest

validation = pytest.importorskip("numpydoc.validate")

MODULES = [
    "autoenc",
    "autoenc.callbacks",
    "autoenc.contraction",
    "autoenc.corruption",
    "autoenc.inspection",
    "autoenc.io",
    "autoenc.layers",
    "autoenc.losses",
    "autoenc.onnx",
    "autoenc.penalties",
    "autoenc.plotting",
    "autoenc.sparsity",
]

# What `predictor` of an estimator returns, beside `autoenc.Predictor`; users do not call the constructors.
PREDICTORS = {
    "ClassifierPredictor",
    "HashingPredictor",
    "MarginalizedPredictor",
    "OutlierPredictor",
    "RegressorPredictor",
    "VectorQuantizedPredictor",
}

NO_EXAMPLE = {"DivergenceError", "Predictor"}  # that users do not make

# All other checks of numpydoc hold.
LEFT_OUT = {
    "SA01": "a See Also section everywhere would mostly repeat the list of names in the documentation",
    "ES01": "what one line says in full needs no second paragraph",
    "EX01": "methods have their example in that of their class; tests/test_doctests.py runs those that there are",
    "SS05": "takes any first word that ends in s for a verb: Codes, Reconstructions, Numbers, Whether one has",
}


def in_any_order(thing: object) -> bool:
    """Whether all parameters but the first go by name: their order is no part of a call, and they stand by topic."""
    if not inspect.isclass(thing):
        return False
    rest = list(inspect.signature(thing).parameters.values())[1:]
    return all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in rest)


def methods(cls: type) -> Iterator[str]:
    """Public ones that this package defines; one that says nothing of its own has the words of the base."""
    for name in dir(cls):
        found = inspect.getattr_static(cls, name)
        member = found.fget if isinstance(found, property) else getattr(cls, name, None)
        if (
            name.startswith("_")
            or not callable(member)
            or not str(getattr(member, "__module__", "")).startswith("autoenc")
        ):
            continue
        if getattr(cls, name).__doc__ is not None or inspect.getdoc(getattr(cls, name)) is None:
            yield name


def documented() -> Iterator[str]:
    seen: set[int] = set()  # methods by the class that has them first in the order below: they are inherited unchanged
    for home in MODULES:
        module = importlib.import_module(home)
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing):
                if name not in PREDICTORS:
                    yield f"{home}.{name}"
                for method in methods(thing):
                    found = id(inspect.getattr_static(thing, method))
                    if found not in seen:
                        yield f"{home}.{name}.{method}"
                    seen.add(found)
            elif callable(thing) and id(thing) not in seen:
                yield f"{home}.{name}"
                seen.add(id(thing))


NAMES = list(documented())


def complaints(name: str) -> list[str]:
    result = validation.validate(name)
    thing = validation.Validator._load_obj(name)
    left_out = {*LEFT_OUT, "PR03"} if in_any_order(thing) else set(LEFT_OUT)
    return [f"{code}: {text}" for code, text in result["errors"] if code not in left_out]


@pytest.mark.parametrize("name", NAMES)
def test_docstring_of(name):
    assert complaints(name) == []


@pytest.mark.parametrize("home", MODULES)
def test_each_class_and_function_has_an_example(home):
    module = importlib.import_module(home)
    public = {name: getattr(module, name) for name in module.__all__}
    things = {name: thing for name, thing in public.items() if callable(thing) and name not in NO_EXAMPLE}
    assert things
    for name, thing in things.items():
        assert "\nExamples\n--------\n" in (inspect.getdoc(thing) or ""), name
        assert "\n>>> " in inspect.getdoc(thing), name


def test_the_names_are_those_of_the_package():
    assert len(NAMES) == len(set(NAMES))
    assert {"autoenc.Autoencoder", "autoenc.Autoencoder.fit", "autoenc.load", "autoenc.onnx.convert"} < set(NAMES)
    assert {f"autoenc.io.{name}.predict" for name in ("ClassifierPredictor", "OutlierPredictor")} < set(NAMES)
    assert {"autoenc.AutoencoderClassifier.partial_fit", "autoenc.Predictor.score_samples"} < set(NAMES)


def wrong(X, y, *, third=None):
    """Say something.

    Parameters
    ----------
    y : int
        The second.
    x : int
        Not there.
    third
        Without a type.

    Returns
    -------
    int
        seven
    """
    return 7


def test_a_wrong_docstring_is_found():
    found = {complaint[:4] for complaint in complaints(f"{__name__}.wrong")}
    assert {"PR01", "PR02", "PR04", "RT04", "RT05"} <= found
