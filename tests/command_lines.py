"""Calls of the command line within the process, and a table for them."""

import importlib.abc
import json
import sys

import numpy as np

from autoenc.__main__ import main

NAMES = ["height", "width", "depth", "weight"]
KIND = np.array(["a", "b", "c"])[np.arange(60) % 3]
ROWS = np.random.default_rng(0).normal(size=(60, 3))
QUICK = ("--n-components", "2", "--param", "max_iter=3", "--param", "hidden_layer_sizes=(6,)")


class _Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name=name)


def without_pandas(monkeypatch):
    """As where it is not installed. None in sys.modules is what scikit-learn 1.6 takes for the module."""
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    monkeypatch.setattr(sys, "meta_path", [_Absent(), *sys.meta_path])


def write_csv(path, X):
    """60 rows of numbers under their names, and a column of texts."""
    lines = [",".join([*NAMES, "kind"])]
    lines += [",".join([*map(repr, row.tolist()), kind]) for row, kind in zip(X, KIND, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_rows(path, y, header="a,b,c,y"):
    """The same rows as ROWS with a last column y."""
    lines = [",".join(map(str, (*row, one))) for row, one in zip(ROWS, y, strict=True)]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def call(*arguments):
    return main([str(argument) for argument in arguments])


def answer(capsys, *arguments, status=0):
    """What a command says by --json."""
    capsys.readouterr()
    assert call(*arguments, "--json", "--quiet") == status
    return json.loads(capsys.readouterr().out)
