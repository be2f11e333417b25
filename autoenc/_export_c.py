"""Fitted estimators as C99 source: weights included, no allocation, nothing but <math.h> and <stdint.h>.

A `Source` collects constants and functions of one file; a `Body` writes one function, whose values lie in an array on
the stack. What a kind of layer becomes is in the table `KINDS`, as in ``autoenc/_onnx_nodes.py``. The order of every
sum is that of the core (``csrc/README.md``, section 2), so that with fused multiply-adds the bits are the same.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc import __version__, _bound
from autoenc import _export_functions as functions
from autoenc._export_c_scaled import behind
from autoenc._export_network import Network, compared, input_name, link, no_handler, size, taking_part, value
from autoenc._export_sources import network_of
from autoenc._predictor import Predictor
from autoenc._scaling import Scaling
from autoenc._spec import Node, Spec, Term

PANELS = {32: (64, 32, 16, 8), 64: (32, 16, 8)}  # widths of dense layers' panels, by bits of a real
NUMBERS_A_LINE = 12
# Bytes of stack beside arrays: of each function, of each of its statements, and of all together.
FRAME, STATEMENT, SPILLED = 96, 4, 1024
_NAME = re.compile(r"@(\w+)")
_LOCAL = re.compile(r"^ +(@real|double) (.*)$", re.MULTILINE)
_KEYWORDS = frozenset(
    {
        "auto",
        "break",
        "case",
        "char",
        "const",
        "continue",
        "default",
        "do",
        "double",
        "else",
        "enum",
        "extern",
        "float",
        "for",
        "goto",
        "if",
        "inline",
        "int",
        "long",
        "main",
        "register",
        "restrict",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "struct",
        "switch",
        "typedef",
        "union",
        "unsigned",
        "void",
        "volatile",
        "while",
    }
)
# Of the preamble: not functions to be looked up.
_GIVEN = frozenset({"real", "bits", "fma", "mac", "fabs", "copysign", "apart"})


def check_prefix(prefix: Any) -> str:
    """Refuses what names of C cannot begin with."""
    if not isinstance(prefix, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", prefix) or prefix in _KEYWORDS:
        raise ValueError(
            f"prefix is {prefix!r}; allowed are names of C: letters, digits and _, with a letter in front; no keyword"
        )
    return prefix


class Source:
    """A C file in the making."""

    def __init__(self, prefix: str, dtype: Any, scaling: Scaling | None = None) -> None:
        self.prefix = prefix
        self.scaling = scaling  # of rows; they are of doubles where there is one
        self.columns: Any = slice(None)  # of a row: those that a reconstruction has
        self.dtype = np.dtype(dtype)
        self.bits = 8 * self.dtype.itemsize
        self.macros: list[tuple[str, int | str, str]] = []  # name, value, comment
        self.prototypes: list[str] = []
        self._constants: list[str] = []
        self._arrays: dict[tuple[Any, ...], str] = {}
        self._functions: list[str] = []  # in the order in which they need each other
        self._used: set[str] = set()
        self._bodies: list[str] = []
        self._inside: list[str] = []  # names of functions that others go around

    # ---- text ----

    def number(self, x: Any, *, double: bool = False) -> str:
        """A constant with all of its digits."""
        kind = np.float64 if double or self.bits == 64 else np.float32
        with np.errstate(over="ignore"):
            found = kind(x)
        if not np.isfinite(found):
            name = "NAN" if np.isnan(found) else "INFINITY"
            return f"{'-' if found < 0 else ''}({'double' if kind is np.float64 else '@real'}){name}"
        return f"{found}{'' if kind is np.float64 else 'f'}"

    def array(self, values: NDArray[Any], stem: str, ctype: str = "@real") -> str:
        """The name of a constant array."""
        flat = np.ascontiguousarray(values).reshape(-1)
        if ctype == "@real":
            flat = flat.astype(self.dtype)
        elif ctype == "double":
            flat = flat.astype(np.float64)
        key = (ctype, flat.dtype.str, flat.tobytes())
        if key not in self._arrays:
            name = f"@{stem}_{len(self._arrays)}"
            if flat.dtype.kind == "f":
                suffix = "f" if flat.dtype == np.float32 else ""
                whole = np.isfinite(flat).all()
                items = (
                    [f"{x}{suffix}" for x in flat.astype(str)]
                    if whole
                    else [self.number(x, double=ctype == "double") for x in flat]
                )
            else:
                items = [f"'\\{x:03o}'" if ctype == "char" else str(int(x)) for x in flat]
            lines = [", ".join(items[i : i + NUMBERS_A_LINE]) for i in range(0, len(items), NUMBERS_A_LINE)]
            body = ",\n    ".join(lines)
            self._constants.append(f"static const {ctype} {name}[{len(items)}] = {{\n    {body}}};")
            self._arrays[key] = name
        return self._arrays[key]

    def text(self, code: str) -> str:
        """Code of this file: functions that it names are added, and constants are written out."""
        table = functions.COEFFICIENTS[self.bits]
        code = re.sub(r"\bL\((\w+)\)", lambda m: f"R({functions.LIMITS[self.bits][m[1]]})", code)
        code = re.sub(r"\bI\((\w+)\)", lambda m: functions.BITS[self.bits][m[1]], code)
        code = re.sub(r"\bC\((\w+)\)", lambda m: f"R({table[m[1]]})", code)
        code = re.sub(r"\bR\((-?)([^()]*)\)", lambda m: m[1] + self._constant(m[2]), code)
        for name in _NAME.findall(code):
            self.use(name)
        return code

    def _constant(self, text: str) -> str:
        exact = float.fromhex(text) if "0x" in text else float(text)
        if self.bits == 32 and "0x" not in text:
            return self.number(np.float32(exact))
        if self.bits == 32 and float(np.float32(exact)) != exact:
            return self.number(np.float32(exact))
        return text + ("f" if self.bits == 32 else "")

    def use(self, name: str) -> None:
        """Adds a function, and first those that it needs."""
        if name in self._used or name in _GIVEN:
            return
        made = self._find(name)
        if made is not None:
            self._used.add(name)
            self._functions.append(self.text(re.sub(r"^static (?!inline)", "static @apart ", made, flags=re.MULTILINE)))

    def _find(self, name: str) -> str | None:
        kind, _, rest = name.partition("_")
        if name == "log_reduced":
            return functions.log_reduced(self.bits)
        if name in functions.FUNCTIONS:
            return functions.FUNCTIONS[name]
        if kind == "poly":
            return self._poly(rest)
        if kind == "each":
            return functions.each(rest)
        if kind == "panel":
            return functions.panel(int(rest))
        if kind == "loss":
            return functions.loss(rest)
        if kind == "nll":
            return functions.likelihood(rest)
        return None

    def _poly(self, name: str) -> str:
        """Two chains, of even and of odd powers, as ``vf_poly`` has them."""
        c = [f"R({one})" for one in functions.COEFFICIENTS[self.bits][name].split()]
        n = len(c)
        top, other = c[-1], c[-2]
        for i in range(n - 3, -1, -2):
            top = f"@fma({top}, s, {c[i]})"
            if i > 0:
                other = f"@fma({other}, s, {c[i - 1]})"
        even, odd = (top, other) if n % 2 else (other, top)
        return (
            f"\nstatic inline @real @poly_{name}(@real x) {{\n    const @real s = x * x;\n"
            f"    return @fma({odd}, x, {even});\n}}"
        )

    def function(self, prototype: str, code: str) -> None:
        """Adds a public function."""
        if self.scaling is not None:
            for name in self._inside:  # of scaled rows, as they are here
                code = code.replace(f"@{name}(", f"@scaled_{name}(")
            found = behind(self, self.scaling, self.columns, prototype)
            if found is not None:
                inside, outside, around = found
                self._bodies.append(self.text(f"\n{inside} {{\n{code}}}"))
                self._inside.append(outside.partition("@")[2].partition("(")[0])
                prototype, code = outside, around
        self.prototypes.append(prototype)
        self._bodies.append(self.text(f"\n{prototype} {{\n{code}}}"))

    def _stack(self) -> int:
        """Bytes of the deepest calls: of each function its arrays, and what compilers put beside them."""
        size = {"@real": self.dtype.itemsize, "double": 8}
        depth: dict[str, int] = {}
        for text in (*self._functions, *self._bodies):  # who is called stands in front
            name, *called = re.findall(r"@(\w+)\(", text)
            lengths = [(kind, n) for kind, line in _LOCAL.findall(text) for n in re.findall(r"\w\[(\d+)\]", line)]
            own = FRAME + STATEMENT * text.count(";") + sum(size[kind] * int(n) for kind, n in lengths)
            if name in called:  # of halves of what is longer than 128
                own *= max(int(n) for _, n, _ in self.macros).bit_length()
            depth[name] = own + max((depth.get(one, 0) for one in called), default=0)
        return SPILLED + max(depth.values())

    def finish(self, title: str) -> str:
        """The whole file."""
        upper = self.prefix.upper()
        macros = [*self.macros, ("STACK_BYTES", self._stack(), "of one call, see above")]
        lines = [
            f"/* {title}",
            f" * Written by autoenc {__version__}. {PREAMBLE.format(upper=upper).strip()} */",
            f"#ifndef {upper}_DECLARED_",  # a prefix may end in _ONLY
            f"#define {upper}_DECLARED_",
            "#define @declared",
            "#include <float.h>",
            "#include <math.h>",
            "#include <stdint.h>",
            "",
            *(f"#define {upper}_{name} {what} /* {comment} */" for name, what, comment in macros),
            f"typedef {'float' if self.bits == 32 else 'double'} @real;",
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            *(f"{prototype};" for prototype in self.prototypes),
            "#ifdef __cplusplus",
            "}",
            "#endif",
            "#elif !defined @declared",
            f'#error "two models have prefixes whose macros begin with {upper}_"',
            "#endif",
            "",
            f"#ifndef {upper}_ONLY_DECLARED",
            GIVEN.replace("@UPPER", upper)
            .replace("@SUFFIX", "f" if self.bits == 32 else "")
            .replace("@FAST", "F" if self.bits == 32 else "")
            .replace("@SOFT", SOFT[self.bits])
            .replace("@UINT", functions.BITS[self.bits]["UINT"]),
            *self._constants,
            *self._functions,
            *self._bodies,
            "#endif",
            "",
        ]
        return _NAME.sub(lambda m: f"{self.prefix}_{m[1]}", "\n".join(lines))


PREAMBLE = """
 *
 * C99, without allocation; every function may be called by several threads at once. Its arrays lie on the stack:
 * {upper}_STACK_BYTES counts them and leaves room for what compilers add (ask yours, by -fstack-usage, where it must
 * hold). Outputs must not overlap inputs. Other files see the declarations by `#define {upper}_ONLY_DECLARED` before
 * they include this one. Compile with optimisation (-O3) and for a processor
 * with fused multiply-adds (-mfma, -march=native; AArch64 has them always): then results have the bits of the
 * estimator's. Without them products are rounded before they are added, unless {upper}_EXACT is defined, which calls
 * fma of the C library.
"""

GIVEN = """
/* Rounding to whole numbers by adding and subtracting a large one needs sums that are rounded as written. */
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || __FINITE_MATH_ONLY__ + 0 || defined(_M_FP_FAST)
#error "this file gives wrong numbers under -ffast-math, parts of it, -Ofast or /fp:fast: compile it without"
#elif FLT_EVAL_METHOD == 1 || FLT_EVAL_METHOD == 2 || FLT_EVAL_METHOD < 0
#error "this file needs float and double arithmetic of their own precision (32-bit x86: -msse2 -mfpmath=sse)"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#if __clang_major__ >= 12 && !defined(__apple_build_version__)
#pragma clang fp reassociate(off)
#endif
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off", "no-trapping-math", "no-math-errno")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

/* Inlined, what functions keep on the stack would add up. */
#if defined(__GNUC__)
#define @apart __attribute__((noinline))
#elif defined(_MSC_VER)
#define @apart __declspec(noinline)
#else
#define @apart
#endif
#if defined(__cplusplus)
#define @restrict /* C++ has none */
#else
#define @restrict restrict
#endif

typedef union {
    @real r;
    @UINT i;
} @bits;

#define @fabs fabs@SUFFIX
#define @copysign copysign@SUFFIX
#if defined(@UPPER_EXACT) || defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__aarch64__) || \\
    defined(FP_FAST_FMA@FAST)
#define @fma(a, b, c) fma@SUFFIX(a, b, c)
#define @mac(a, b, c) fma@SUFFIX(a, b, c)
#else
#define @fma(a, b, c) @SOFT
#define @mac(a, b, c) ((a) * (b) + (c))
#endif
"""
# Where there is no fast one: functions rely on products that are not rounded.
SOFT = {32: "((float)((double)(a) * (double)(b) + (double)(c)))", 64: "fma(a, b, c)"}


class Body:
    """A function in the making: lines, and places of values in its array `s`."""

    def __init__(self, source: Source, net: Network) -> None:
        self.source = source
        self.net = net
        self.widths = net.widths()
        self.lines: list[str] = []
        self.size = 0  # reals of the array
        self._free: list[tuple[int, int]] = []
        self._places: dict[str, tuple[int, int]] = {}

    def add(self, *lines: str) -> None:
        self.lines.extend(f"    {line}" for line in lines)

    def room(self, width: int) -> str:
        """A place for some reals."""
        width = -(-width // 8) * 8
        for i, (at, free) in enumerate(self._free):
            if free >= width:
                self._free[i : i + 1] = [(at + width, free - width)] if free > width else []
                break
        else:
            at = self.size
            self.size += width
        name = f"s + {at}"
        self._places[name] = (at, width)
        return name

    def release(self, name: str) -> None:
        if name in self._places:
            self._free.append(self._places.pop(name))

    def each(self, n: int, line: str) -> None:
        self.add(f"for (int i = 0; i < {n}; i++)", f"    {line}")

    def array(self, values: NDArray[Any], stem: str) -> str:
        return self.source.array(values, stem)

    def dense(self, x: str, weight: NDArray[Any], start: NDArray[Any], y: str, stem: str) -> None:
        """y = start + x W, by panels."""
        n, columns = weight.shape
        packed: list[NDArray[Any]] = []
        bias: list[NDArray[Any]] = []
        calls, at = [], 0
        while at < columns:
            left = columns - at
            panel = next((p for p in PANELS[self.source.bits] if p <= left), PANELS[self.source.bits][-1])
            used = min(panel, left)
            block, begin = np.zeros((n, panel), weight.dtype), np.zeros(panel, weight.dtype)
            block[:, :used], begin[:used] = weight[:, at : at + used], start[at : at + used]
            calls.append((panel, sum(b.size for b in packed), sum(b.size for b in bias), used, at))
            packed.append(block.reshape(-1))
            bias.append(begin)
            at += used
        weights = self.array(np.concatenate(packed), f"{stem}_weight")
        starts = self.array(np.concatenate(bias), f"{stem}_start")
        for panel, w, b, used, at in calls:
            self.add(f"@panel_{panel}({x}, {n}, {weights} + {w}, {starts} + {b}, {used}, {y} + {at});")

    def activate(self, name: str, y: str, n: int) -> None:
        """In place."""
        if name not in ACTIVATIONS:
            no_handler("the activation", name, "C", ACTIVATIONS)
        if name == "softmax":
            self.add(f"@softmax({y}, {n});")
        elif name != "identity":
            self.add(f"@each_{name}({y}, {n});")

    def code(self) -> str:
        """The lines, with the array in front."""
        return (f"    @real s[{self.size}];\n" if self.size else "") + "".join(f"{line}\n" for line in self.lines)


ACTIVATIONS = frozenset(
    ("identity", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "tanh", "logistic", "exp", "softmax")
)

# ---- kinds of nodes: (body, node, where its inputs are) -> where its value is ----


def _safe(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _dense(f: Body, node: Node, x: list[str]) -> str:
    weight, n = f.net.parameter(node, "weight"), f.widths[node["name"]]
    start = np.zeros(n, weight.dtype) if size(node, 0) else f.net.parameter(node, "bias")[0]
    y = f.room(n)
    f.dense(x[0], weight, start, y, _safe(node["name"]))
    f.activate(node["fields"].get("activation", "identity"), y, n)
    return y


def _activation(f: Body, node: Node, x: list[str]) -> str:
    n = f.widths[node["name"]]
    y = _each(f, node, f"({x[0]})[i]")
    f.activate(node["fields"].get("activation", "identity"), y, n)
    return y


def _each(f: Body, node: Node, expression: str) -> str:
    """A value of which entry i is an expression."""
    n = f.widths[node["name"]]
    y = f.room(n)
    f.each(n, f"({y})[i] = {expression};")
    return y


def _add(f: Body, node: Node, x: list[str]) -> str:
    terms = f"-({x[0]})[i]" if size(node, 0) else f"({x[0]})[i]"
    for i, other in enumerate(x[1:], 1):
        terms = f"{terms} {'-' if size(node, i) else '+'} ({other})[i]"
    return _each(f, node, terms)


def _multiply(f: Body, node: Node, x: list[str]) -> str:
    narrow = f.widths[node["inputs"][1]] != f.widths[node["inputs"][0]]
    return _each(f, node, f"({x[0]})[i] * ({x[1]})[{'0' if narrow else 'i'}]")


def _concatenate(f: Body, node: Node, x: list[str]) -> str:
    y, at = f.room(f.widths[node["name"]]), 0
    for one, name in zip(x, node["inputs"], strict=True):
        f.each(f.widths[name], f"({y} + {at})[i] = ({one})[i];")
        at += f.widths[name]
    return y


def _slice(f: Body, node: Node, x: list[str]) -> str:
    return _each(f, node, f"({x[0]} + {size(node, 0)})[i]")


def _batch_norm(f: Body, node: Node, x: list[str]) -> str:
    mean, variance, gamma, beta = (f.net.parameter(node, role)[0] for role in ("mean", "variance", "gamma", "beta"))
    factor = 1.0 / np.sqrt(variance.astype(np.float64) + value(node, 1, 1e-5))
    m, g, a, b = (f.array(one, "norm") for one in (mean, gamma, factor, beta))
    return _each(f, node, f"@fma((({x[0]})[i] - {m}[i]) * {a}[i], {g}[i], {b}[i])")


def _layer_norm(f: Body, node: Node, x: list[str]) -> str:
    gain, bias = (f.array(f.net.parameter(node, role)[0], "norm") for role in ("gain", "bias"))
    y, n = f.room(f.widths[node["name"]]), f.widths[node["name"]]
    epsilon = f.source.number(value(node, 0, 1e-5), double=True)
    f.add(f"@layer_norm({x[0]}, {n}, {epsilon}, {gain}, {bias}, {y});")
    return y


def _no_auxiliary(node: Node) -> None:
    if size(node, 2):
        no_handler("the auxiliary selection", node["name"], "C", KINDS)


def _top_k(f: Body, node: Node, x: list[str]) -> str:
    _no_auxiliary(node)
    n = f.widths[node["name"]]
    k = min(size(node, 0), n)
    y, kept = f.room(n), f.room(k)
    f.add(f"@top_k({x[0]}, {n}, {k}, {size(node, 1)}, {kept}, {y});")
    f.release(kept)
    return y


def _batch_top_k(f: Body, node: Node, x: list[str]) -> str:
    _no_auxiliary(node)
    threshold = f.source.number(f.net.parameter(node, "threshold")[0, 0])
    return _each(f, node, f"({x[0]})[i] <= {threshold} || ({x[0]})[i] <= R(0.0) ? R(0.0) : ({x[0]})[i]")


def _jump_relu(f: Body, node: Node, x: list[str]) -> str:
    """The thresholds are computed by the functions of the file, whose bits are the core's."""
    start = f.source.number(value(node, 1, 0.001))
    threshold = f"{start} * @exp({f.array(f.net.parameter(node, 'log_threshold')[0], 'log_threshold')}[i])"
    jumped = "R(1.0)" if size(node, 0) else f"({x[0]})[i]"
    return _each(f, node, f"({x[0]})[i] <= {threshold} ? R(0.0) : {jumped}")


def _gated(f: Body, node: Node, x: list[str]) -> str:
    gate, scale, bias = (
        f.array(f.net.parameter(node, role)[0], "gate") for role in ("gate_bias", "magnitude_scale", "magnitude_bias")
    )
    opened = f"({x[0]})[i] + {gate}[i]"
    if size(node, 0):
        return _each(f, node, f"{opened} <= R(0.0) ? R(0.0) : {opened}")
    y = _each(f, node, f"@fma(@exp({scale}[i]), ({x[0]})[i], {bias}[i])")
    f.each(f.widths[node["name"]], f"({y})[i] = {opened} <= R(0.0) || ({y})[i] <= R(0.0) ? R(0.0) : ({y})[i];")
    return y


def _vector_quantize(f: Body, node: Node, x: list[str]) -> str:
    codes, counts = f.net.parameter(node, "codes").T, f.net.parameter(node, "counts")
    n, each, numbers = len(codes), codes.shape[1] // len(counts), size(node, 2)
    y = f.room(f.widths[node["name"]])
    for book, count in enumerate(counts):
        rows = f.array(codes[:, book * each : (book + 1) * each], "codes")
        taken = f.source.array(taking_part(count).astype(np.uint8), "taken", "unsigned char")
        f.add(
            "{",
            f"    const int found = @nearest_code({x[0]} + {book * each}, {each}, {n}, {rows}, {taken});",
        )
        if numbers:
            f.add(f"    ({y})[{book}] = found < 0 ? (@real)NAN : (@real)found;", "}")
        else:
            f.add(
                f"    for (int i = 0; i < {each}; i++)",
                f"        ({y} + {book * each})[i] = found < 0 ? (@real)NAN : {rows}[found * {each} + i];",
                "}",
            )
    return y


def _present(f: Body, node: Node, x: list[str]) -> str:
    if not size(node, 0):
        return _each(f, node, f"({x[0]})[i] == ({x[0]})[i] ? R(1.0) : R(0.0)")
    n, y = f.widths[node["name"]], f.room(f.widths[node["name"]])
    f.add(
        "{",
        "    int count = 0;",
        f"    for (int i = 0; i < {n}; i++)",
        f"        count += ({x[0]})[i] == ({x[0]})[i];",
        f"    const @real share = count ? (@real)({n}.0 / (double)count) : R(0.0);",
        f"    for (int i = 0; i < {n}; i++)",
        f"        ({y})[i] = ({x[0]})[i] == ({x[0]})[i] ? share : R(0.0);",
        "}",
    )
    return y


def _observed(f: Body, node: Node, x: list[str]) -> str:
    return _each(f, node, f"({x[0]})[i] == ({x[0]})[i] ? ({x[0]})[i] : {f.source.number(value(node, 0))}")


def _emphasis(f: Body, node: Node, x: list[str]) -> str:
    a, b = (f"({one})[i]" for one in x)
    equal = f"{a} == {b} || ({a} != {a} && {b} != {b})"
    return _each(f, node, f"{equal} ? {f.source.number(value(node, 1))} : {f.source.number(value(node, 0))}")


KINDS: dict[str, Callable[[Body, Node, list[str]], str]] = {
    "dense": _dense,
    "activation": _activation,
    "add": _add,
    "subtract": lambda f, node, x: _each(f, node, f"({x[0]})[i] - ({x[1]})[i]"),
    "multiply": _multiply,
    "scale": lambda f, node, x: _each(f, node, f"{f.source.number(value(node, 0))} * ({x[0]})[i]"),
    "concatenate": _concatenate,
    "slice": _slice,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "top_k": _top_k,
    "batch_top_k": _batch_top_k,
    "jump_relu": _jump_relu,
    "gated": _gated,
    "binary": lambda f, node, x: _each(
        f, node, f"({x[0]})[i] != ({x[0]})[i] ? ({x[0]})[i] : R(0.0) < ({x[0]})[i] ? R(1.0) : R(0.0)"
    ),
    "vector_quantize": _vector_quantize,
    "observed": _observed,
    "present": _present,
    "emphasis": _emphasis,
}


def evaluate(
    f: Body,
    targets: Sequence[str],
    given: dict[str, str],
    kinds: dict[str, Callable[[Body, Node, list[str]], str]] = KINDS,
) -> dict[str, str]:
    """Writes what computes some nodes; where their values are. Places of values that nobody reads again are reused."""
    at, nodes = dict(given), f.net.needed(targets, list(given))
    last = {name: i for i, node in enumerate(nodes) for name in node["inputs"]}
    for i, node in enumerate(nodes):
        if node["kind"] not in kinds:
            no_handler(f"a layer of kind {node['kind']!r},", node["name"], "C", kinds)
        at[node["name"]] = kinds[node["kind"]](f, node, [at[name] for name in node["inputs"]])
        for name in set(node["inputs"]):
            if last[name] == i and name not in targets and name not in given:
                f.release(at[name])
    return at


# ---- losses ----


def losses(f: Body, terms: Sequence[Term], at: dict[str, str]) -> None:
    """Adds the loss of the row to `total`."""
    for term in terms:
        name = "multinomial" if term["loss"] == "categorical" else term["loss"]
        if (name != "multinomial" and name not in functions.TERMS) or term["target"] is None:
            no_handler("the loss", term["loss"], "C", (*functions.TERMS, "multinomial", "categorical"))
        weight = term.get("entry_weight")
        entry = "(const @real *)0" if weight is None else at[weight]
        arguments = f"{at[term['prediction']]}, {at[term['target']]}, {entry}, {f.widths[term['prediction']]}"
        factor = f.source.number(term["weight"], double=True)
        f.add(f"total += {factor} * @loss_{name}({arguments}, {f.source.number(term['parameter'])});")


# ---- networks ----


def copied(f: Body, value: str, n: int, to: str, ctype: str = "") -> None:
    f.each(n, f"{to}[i] = {f'({ctype})' if ctype else ''}({value})[i];")


class Functions:
    """Writes the functions of a network."""

    def __init__(self, source: Source, predictor: Predictor) -> None:
        self.source = source
        self.predictor = predictor
        self.spec: Spec = predictor._spec
        self.net = network_of(predictor)
        n = self.spec["n_conditions"]
        source.macros += [
            ("N_FEATURES", self.spec["n_features"], "numbers of a row x"),
            ("N_COMPONENTS", self.spec["n_components"], "of its code"),
            ("N_OUTPUTS", self.spec["n_outputs"], "of its reconstruction"),
        ]
        if n:
            source.macros.append(("N_CONDITIONS", n, "of what is known about it: numbers, or labels one-hot"))

    def given(self, targets: Sequence[str], known: Sequence[str] = (), net: Network | None = None) -> dict[str, str]:
        """Where the inputs of some nodes are: parameters of the function."""
        at = {}
        for node in (self.net if net is None else net).needed(targets, known):
            if node["kind"] == "input":
                name = input_name(self.spec, node["fields"].get("source", 0))
                at[node["name"]] = "x" if name == "x_clean" and not self.spec["clean"] else name
        return at

    def arguments(self, first: str = "x", *more: str) -> str:
        condition = ["condition"] if self.spec["n_conditions"] else []
        return ", ".join(f"const @real *{name}" for name in (first, *condition, *more))

    def values(
        self, name: str, targets: str, out: str, finish: Callable[[Body, str], None], kind: str = "void"
    ) -> None:
        """A function from a row to what `finish` makes of the value of a node; `out` its output parameter."""
        f = Body(self.source, self.net)
        finish(f, evaluate(f, [targets], self.given([targets]))[targets])
        self.source.function(f"{kind} @{name}({self.arguments()}, {out})", f.code())

    def encode(self) -> None:
        n = self.spec["n_components"]
        self.values("encode", self.spec["code"], "@real *code", lambda f, v: copied(f, v, n, "code"))

    def reconstruct(self) -> None:
        node, activation = link(self.spec)

        def finish(f: Body, v: str) -> None:
            copied(f, v, self.spec["n_outputs"], "out")
            f.activate(activation, "out", self.spec["n_outputs"])

        self.values("reconstruct", node, "@real *out", finish)

    def decode(self) -> None:
        node, activation = link(self.spec)
        f, code = Body(self.source, self.net), self.spec["code"]
        given = {code: "code", **self.given([node], [code])}
        if "x" in given.values():
            raise ValueError("the decoder of this network reads the row beside the code, so there is no decode for C")
        copied(f, evaluate(f, [node], given)[node], self.spec["n_outputs"], "out")
        f.activate(activation, "out", self.spec["n_outputs"])
        self.source.function(f"void @decode({self.arguments('code')}, @real *out)", f.code())

    def score(self) -> None:
        f, clean = Body(self.source, self.net), ("x_clean",) if self.spec["clean"] else ()
        if _bound.is_variational(self.spec):
            from autoenc._export_c_bound import bound

            bound(f, self.predictor, self.given)
        else:
            targets = compared(self.spec["scores"])
            at = evaluate(f, targets, self.given(targets))
            f.add("double total = 0.0;")
            losses(f, self.spec["scores"], at)
        f.add("return -total;")
        self.source.function(f"double @score({self.arguments('x', *clean)})", f.code())

    def all(self) -> None:
        self.encode()
        self.decode()
        self.reconstruct()
        self.score()
