"""What type checkers make of the lines of the README and of the pages in docs/, and of what a file gives."""

import inspect
import re
import subprocess
import sys
from types import UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

import pytest
from sklearn.base import BaseEstimator

import autoenc
from autoenc import _export, contraction, corruption, layers, losses, onnx, penalties, plotting, sparsity
from autoenc._options import OneOf

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LOADED = """
import autoenc
from autoenc import Autoencoder, AutoencoderOutlierDetector, Predictor
from autoenc.io import ClassifierPredictor, ScaledPredictor

reveal_type(autoenc.load("a", Autoencoder))
reveal_type(autoenc.load("a", AutoencoderOutlierDetector).predict)
reveal_type(autoenc.load("a"))
autoenc.load("a", 3)
reveal_type(autoenc.load_predictor("a"))
reveal_type(autoenc.load_predictor("a", n_jobs=2).score_samples([1.0]))
reveal_type(autoenc.load_predictor("a", Predictor)([1.0]))
reveal_type(autoenc.load_predictor("a", ClassifierPredictor, n_jobs=None))
reveal_type(autoenc.load_predictor("a", ScaledPredictor).feature_names_in)
autoenc.load_predictor("a").predict_proba([1.0])
reveal_type(Autoencoder().partial_fit([[1.0]]))
reveal_type(autoenc.AutoencoderImputer().sample([[1.0]]))
autoenc.MarginalizedDenoisingAutoencoder().partial_fit([[1.0]], condition=["a"])
"""
# Without types of their own, or not installed where the tests run.
UNTYPED = ("sklearn", "scipy", "skops", "matplotlib", "pandas", "onnx", "onnxruntime", "skl2onnx", "torch", "keras")
UNTYPED += ("pyod", "mlflow", "safetensors", "tqdm")
# Where scikit-learn's base classes are: read as docs/recipes.md says, but these alone, for all of it takes long.
BASES = ("base", "utils._repr_html.*", "utils._metadata_requests", "utils._set_output")


def classes():
    """All that have parameters, with the names that users import them by."""
    for module in (autoenc, contraction, corruption, layers, losses, penalties, sparsity):
        for name in module.__all__:
            found = getattr(module, name)
            if inspect.isclass(found) and issubclass(found, BaseEstimator):
                yield f"{module.__name__}.{name}", found


def texts(annotation):
    """The texts that an annotation lets through; `str` where it is any."""
    if get_origin(annotation) in (Union, UnionType):
        return set().union(*map(texts, get_args(annotation)))
    return set(get_args(annotation)) if get_origin(annotation) is Literal else {annotation} & {str}


def options():
    """Class, parameter and the texts that its check lets through, of all parameters that may be texts."""
    for name, cls in classes():
        for parameter, allowed in cls._parameter_constraints.items():
            found = {text for one in allowed if isinstance(one, OneOf) for text in one.options}
            found |= {str} & set(allowed)
            if found:
                yield name, cls, parameter, found


def test_annotations_are_the_texts_that_checks_let_through():
    checked = list(options())
    assert len(checked) > 100
    assert {parameter for _, _, parameter, found in checked if str in found} == {"unlabeled_label"}
    for name, cls, parameter, found in checked:
        assert texts(get_type_hints(cls.__init__)[parameter]) == found, (name, parameter)
    known = {(cls, parameter) for _, cls, parameter, _ in checked}
    for name, cls in classes():
        for parameter, annotation in get_type_hints(cls.__init__).items():
            assert not texts(annotation) or (cls, parameter) in known, (name, parameter)


FITTED = autoenc.VariationalAutoencoder(1, max_iter=1, random_state=0)
CHOICES = [
    (autoenc.callbacks.EarlyStopping.__init__, "monitor", autoenc.callbacks.EarlyStopping),
    (autoenc.VariationalAutoencoder.interpolate, "method", lambda **wrong: FITTED.interpolate([0.0], [1.0], **wrong)),
    (plotting.LossCurveDisplay.plot, "scale", plotting.LossCurveDisplay({}).plot),
    (plotting.ErrorDistributionDisplay.plot, "scale", plotting.ErrorDistributionDisplay([1.0]).plot),
    (plotting.FilterDisplay.plot, "scale", plotting.FilterDisplay([[1.0]], image_shape=(1, 1)).plot),
    (plotting.FilterDisplay.from_estimator, "layer", lambda **wrong: plotting.FilterDisplay.from_estimator(0, **wrong)),
]


@pytest.mark.parametrize(("function", "parameter", "call"), CHOICES)
def test_annotations_of_functions_are_the_texts_that_their_errors_name(function, parameter, call):
    known = get_args(get_type_hints(function)[parameter])
    with pytest.raises(ValueError, match=parameter) as error:
        call(**{parameter: "adm"})
    assert set(re.findall(r"'(\w+)'", str(error.value))) - {"adm"} == set(known)


def test_parts_of_onnx_models_are_those_that_estimators_have():
    tables = [*(parts for _, parts in onnx.PARTS), onnx._IMPUTER]
    assert set().union(*tables) == set(get_args(_export.PartName))
    for function in (_export.Exportable.to_onnx, onnx.convert):
        assert get_type_hints(function)["part"] == _export.PartName | None


def check(folder, environment, more=""):
    ignored = f"[mypy-{','.join(f'{name}.*' for name in UNTYPED)}]\nignore_missing_imports = True\n"
    (folder / "mypy.ini").write_text(f"[mypy]\nstrict = True\n{more}\n{ignored}")
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", str(folder / "cache")]
    files = sorted(file.name for file in folder.glob("*.py"))
    return subprocess.run([*command, *files], capture_output=True, text=True, cwd=folder, env=environment).stdout


@pytest.mark.slow
def test_names_are_known_where_those_of_scikit_learn_are(checkout, environment, tmp_path):
    pytest.importorskip("mypy")
    right, wrong = ["import autoenc\n"], ["import autoenc\n"]
    for name, cls in classes():
        if name.startswith("autoenc.") and name.count(".") == 1:
            documented = re.findall(r"^    ((?:\w+_, )*\w+_) :", cls.__doc__, re.M)
            names = {one for one in (*", ".join(documented).split(", "), *dir(cls)) if one[0] != "_"}
            assert len(names) > 15
            by_position = "" if name == "autoenc.MarginalizedDenoisingAutoencoder" else 4
            right += [f"print({name}({by_position}).{one})\n" for one in sorted(names)]
            wrong += [f"{name}().tranform\n"]
    (tmp_path / "right.py").write_text("".join(right))
    (tmp_path / "wrong.py").write_text("".join(wrong))
    recipes = (checkout / "docs" / "recipes.md").read_text(encoding="utf-8")
    (lines_of_the_page,) = re.findall(r"^```ini\n\[mypy\]\n(.*?)^```$", recipes, re.M | re.S)
    followed = ",".join(f"sklearn.{name}" for name in BASES)  # of scikit-learn that is enough, and read sooner
    more = lines_of_the_page.replace("[mypy-sklearn.*]", f"[mypy-{followed}]")
    assert more != lines_of_the_page
    lines = check(tmp_path, {**environment, "MYPYPATH": str(checkout)}, more).splitlines()
    ours = [line for line in lines if re.match(r"\w+\.py:", line)]
    assert [line for line in ours if not line.startswith("wrong.py")] == []
    assert sum('has no attribute "tranform"' in line for line in ours) == len(wrong) - 1


@pytest.mark.slow
def test_pages_and_files_are_typed(checkout, environment, tmp_path):
    pytest.importorskip("mypy")
    pages = [checkout / "README.md", *sorted((checkout / "docs").glob("*.md"))]
    for page in pages:
        found = BLOCK.findall(page.read_text(encoding="utf-8"))
        if found:
            (tmp_path / f"{page.stem}.py").write_text("\n".join(found), encoding="utf-8")
    (tmp_path / "loaded.py").write_text(LOADED)
    environment = {**environment, "MYPYPATH": str(checkout)}
    # Every text that may be given, and in the other file, line by line, one that may not.
    modules = "".join(f"import {name}\n" for name in sorted({name.rpartition(".")[0] for name, *_ in options()}))
    needed = {"autoenc.losses.ColumnLoss": "[], "}
    choices = [
        (f"{name}({needed.get(name, '')}{parameter}=", found)
        for name, _, parameter, found in options()
        if str not in found
    ]
    right = [f"{call}{text!r})\n" for call, found in choices for text in sorted(found)]
    wrong = [f'{call}"adm")\n' for call, _ in choices]
    (tmp_path / "right.py").write_text(modules + "".join(right))
    (tmp_path / "wrong.py").write_text(modules + "".join(wrong))
    lines = check(tmp_path, environment).splitlines()
    refused = [line for line in lines if line.startswith("wrong.py") and "error: Argument " in line]
    assert [line.split(":")[1] for line in refused] == [str(i + modules.count("\n") + 1) for i in range(len(wrong))]
    assert [line for line in lines if "error" in line and not line.startswith(("loaded.py", "wrong.py"))] == lines[-1:]
    loaded = [line.partition(" ")[2] for line in lines if line.startswith("loaded.py")]
    assert loaded[0] == 'note: Revealed type is "autoenc._autoencoder.Autoencoder"'
    assert "def (X: Any) ->" in loaded[1]
    assert "autoenc._base.BaseAutoencoder | autoenc._marginalized." in loaded[2]
    assert loaded[3].startswith("error: No overload variant of")
    loaded = [line for line in loaded if not line.startswith("note: ") or "Revealed" in line]
    for name in ("Predictor", "MarginalizedPredictor", "OutlierPredictor", "ScaledPredictor"):
        assert f".{name}" in loaded[4]
    assert loaded[5] == 'note: Revealed type is "Any"'  # a float of one row, else an array
    assert "numpy.ndarray" in loaded[6]
    assert loaded[7] == 'note: Revealed type is "autoenc._predictors.ClassifierPredictor"'
    assert "numpy.ndarray" in loaded[8] and loaded[8].endswith(' | None"')
    assert loaded[9].startswith('error: Item "Predictor" of') and 'no attribute "predict_proba"' in loaded[9]
    methods = [line for line in loaded[10:] if "has no attribute" not in line]
    assert methods[0] == 'note: Revealed type is "autoenc._autoencoder.Autoencoder"'
    assert "numpy.ndarray" in methods[1]
    assert methods[2].startswith('error: Unexpected keyword argument "condition"')
