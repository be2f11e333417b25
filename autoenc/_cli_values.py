"""Parameters on the command line: numbers, strings, tuples, and parts such as ``Masking(0.3)``. Nothing is run."""

import argparse
import ast
from collections.abc import Hashable
from typing import Any


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} given; a whole number is needed") from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} given; at least 1 is needed")
    return value


def parse(text: str) -> Any:
    """The value of a text; a bare word is a string.

    Raises
    ------
    ValueError
        Where it is something else.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text  # such as a name with a hyphen
    return _value(tree, text)


def _value(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Constant) and not isinstance(node.value, (bytes, complex, type(...))):
        return node.value
    if isinstance(node, ast.Name):
        return {"nan": float("nan"), "inf": float("inf")}.get(node.id, node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand, text)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return -value
    if isinstance(node, ast.Tuple):
        return tuple(_value(entry, text) for entry in node.elts)
    if isinstance(node, ast.List):
        return [_value(entry, text) for entry in node.elts]
    if isinstance(node, ast.Dict) and all(key is not None for key in node.keys):
        keys = [_value(key, text) for key in node.keys if key is not None]
        if not all(isinstance(key, Hashable) and not isinstance(key, tuple) for key in keys):
            raise ValueError(f"{text!r} has a key that is none; allowed are numbers and strings")
        return {key: _value(value, text) for key, value in zip(keys, node.values, strict=True)}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and all(one.arg for one in node.keywords):
        from autoenc._stored_estimators import parts

        made = {name.rpartition(".")[2]: cls for name, cls in parts().items()}
        if node.func.id not in made:
            raise ValueError(f"{node.func.id!r} is no part; there are {', '.join(sorted(made))}")
        arguments = [_value(one, text) for one in node.args]
        try:
            return made[node.func.id](*arguments, **{str(one.arg): _value(one.value, text) for one in node.keywords})
        except TypeError as error:
            raise ValueError(str(error)) from error
    raise ValueError(
        f"{text!r} is no value; allowed are numbers, strings, tuples, lists and parts such as Masking(0.3)"
    )
