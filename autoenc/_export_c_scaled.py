"""C functions of rows in the units of before some scalers, around those of the estimator behind them."""

import re
from typing import TYPE_CHECKING, Any

from autoenc._scaling import Scaling

if TYPE_CHECKING:
    from autoenc._export_c import Source

_PROTOTYPE = re.compile(r"(?P<kind>[\w ]+[ *]+)@(?P<name>\w+)\((?P<arguments>.*)\)")
_BACK = ("reconstruct", "decode")  # functions whose output is a row


def _apply(source: "Source", scaling: Scaling) -> list[str]:
    """Statements that make of v, of column i, what `Scaling.apply` makes of it."""
    lines = []
    for step in scaling.steps:
        ops = ("* scale", "+ shift") if step.kind == "MinMaxScaler" else ("- shift", "/ scale")
        lines += _operations(source, step, ops, slice(None))
        if step.clip is not None:
            low, high = (source.number(limit, double=True) for limit in step.clip)
            lines += [f"v = v < {low} ? {low} : v;", f"v = v > {high} ? {high} : v;"]
    return lines


def _undo(source: "Source", scaling: Scaling, columns: Any) -> list[str]:
    lines = []
    for step in reversed(scaling.steps):
        ops = ("- shift", "/ scale") if step.kind == "MinMaxScaler" else ("* scale", "+ shift")
        lines += _operations(source, step, ops, columns)
    return lines


def _operations(source: "Source", step: Any, ops: tuple[str, str], columns: Any) -> list[str]:
    lines = []
    for sign, name in (one.split() for one in ops):
        values = getattr(step, name)
        if values is not None:
            lines.append(f"v = v {sign} {source.array(values[columns], name, 'double')}[i];")
    return lines


def behind(source: "Source", scaling: Scaling, columns: Any, prototype: str) -> tuple[str, str, str] | None:
    """Of a public function: that of scaled rows, which is static, and prototype and code of the one around it.

    None: it has nothing to do with rows. `columns`: those that a reconstruction has.
    """
    found = _PROTOTYPE.fullmatch(prototype)
    assert found is not None, prototype
    arguments = found["arguments"].split(", ")
    row = re.fullmatch(r"const (@real|double) \*x", arguments[0])
    back = found["name"] in _BACK
    if row is None and not back:
        return None
    inside = f"static {found['kind']}@scaled_{found['name']}({found['arguments']})"
    sizes = {name: value for name, value, _ in source.macros}
    names = [one.split("*")[-1].split()[-1] for one in arguments]
    code = []
    if row is not None:
        arguments[0], names[0] = "const double *x", "z"
        n = sizes["N_FEATURES"]
        code += [f"{row[1]} z[{n}];", f"for (int i = 0; i < {n}; i++) {{", "    double v = x[i];"]
        code += [*(f"    {line}" for line in _apply(source, scaling)), f"    z[i] = ({row[1]})v;", "}"]
    if back:
        arguments[-1], names[-1] = "double *out", "scaled"
        code.append(f"@real scaled[{sizes['N_OUTPUTS']}];")
    call = f"@scaled_{found['name']}({', '.join(names)});"
    code.append(call if found["kind"].strip() == "void" else f"return {call}")
    if back:
        code += [f"for (int i = 0; i < {sizes['N_OUTPUTS']}; i++) {{", "    double v = (double)scaled[i];"]
        code += [*(f"    {line}" for line in _undo(source, scaling, columns)), "    out[i] = v;", "}"]
    text = "".join(f"    {line}\n" for line in code)
    return inside, f"{found['kind']}@{found['name']}({', '.join(arguments)})", text
