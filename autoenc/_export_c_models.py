"""What the C file of each estimator has: the functions of its network, and those around it."""

import string
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc._export_c import Body, Functions, Source, check_prefix, copied, evaluate
from autoenc._export_network import of_spec
from autoenc._export_sources import (
    NO_LABEL,
    dtype_of,
    is_imputer,
    layers_of,
    network_of,
    refuse_draws,
    scaling_of,
    source_of,
    whole_classes,
)
from autoenc._marginalized_network import MarginalizedPredictor
from autoenc._outlier_scores import OutlierPredictor
from autoenc._predictor import Predictor, parameters
from autoenc._predictors import (
    HEAD,
    PROBABILITIES,
    ClassifierPredictor,
    HashingPredictor,
    RegressorPredictor,
    VectorQuantizedPredictor,
)

LONGEST = 4095  # bytes of a string constant that every compiler of C99 takes

# ---- networks, with what some estimators add ----


def _network(source: Source, predictor: Predictor) -> None:
    Functions(source, predictor).all()


def _string(source: Source, label: str) -> str:
    """A string constant of C, in UTF-8; what means something in C or here is escaped."""
    if "\0" in label or any("\ud800" <= c <= "\udfff" for c in label):
        raise NotImplementedError(f"the class {label!r} is no string of C: it has a NUL or half of a surrogate pair")
    encoded, plain = label.encode(), string.ascii_letters + string.digits + " _-.,"
    if len(encoded) > LONGEST:
        return source.array(np.frombuffer(encoded + b"\0", np.uint8), "label", "char")
    return '"' + "".join(chr(b) if chr(b) in plain else f"\\{b:03o}" for b in encoded) + '"'


def _classifier(source: Source, predictor: ClassifierPredictor) -> None:
    made, classes = Functions(source, predictor), predictor.classes
    made.all()
    n = len(classes)
    source.macros.append(("N_CLASSES", n, "of labels, in the order of classes_"))
    made.values("predict_proba", PROBABILITIES, "@real *out", lambda f, v: copied(f, v, n, "out"))
    f = Body(source, made.net)
    v = evaluate(f, [HEAD], made.given([HEAD]))[HEAD]
    f.add(
        "int best = 0; /* -1 where there is NaN */",
        f"for (int i = 0; i < {n}; i++)",
        f"    best = best < 0 || ({v})[i] != ({v})[i] ? -1 : ({v})[i] > ({v})[best] ? i : best;",
        "return best;",
    )
    source.function(f"int @predict({made.arguments()})", f.code())
    whole = whole_classes(classes)
    if whole is not None:
        kind, labels = "int64_t", [_whole(int(c)) for c in (*whole, NO_LABEL)]
    else:
        kind, labels = "const char *", [*(_string(source, str(c)) for c in classes), "0"]
    table = "const int64_t " if kind == "int64_t" else "const char *const "
    source.function(
        f"{kind} @label(int number)".replace("* ", "*"),
        f"    static {table}labels[{n + 1}] = {{{', '.join(labels)}}};\n"
        f"    return labels[number < 0 || number > {n} ? {n} : number]; /* the last one: of no class */\n",
    )


def _whole(n: int) -> str:
    return f"INT64_C({n})" if n > -(2**63) else "INT64_MIN"


def _regressor(source: Source, predictor: RegressorPredictor) -> None:
    made, beside = Functions(source, predictor), predictor._beside
    made.all()
    scale, mean = (np.atleast_1d(beside[name]) for name in ("scale", "mean"))
    source.macros.append(("N_TARGETS", len(scale), "numbers that are predicted"))
    a, b = source.array(scale, "scale", "double"), source.array(mean, "mean", "double")

    def finish(f: Body, v: str) -> None:
        f.each(len(scale), f"out[i] = (double)({v})[i] * {a}[i] + {b}[i];")

    made.values("predict", HEAD, "double *out", finish)


def _hashing(source: Source, predictor: HashingPredictor) -> None:
    made, n = Functions(source, predictor), predictor.n_components
    made.all()
    source.macros.append(("N_BYTES", -(-n // 8), "of a packed code"))

    def finish(f: Body, v: str) -> None:
        f.each(-(-n // 8), "bytes[i] = 0;")
        f.each(n, f"bytes[i / 8] = (uint8_t)(bytes[i / 8] | (({v})[i] > R(0.0) ? 128 >> (i % 8) : 0));")
        f.add(f"for (int i = 0; i < {n}; i++)", f"    if (({v})[i] != ({v})[i])", "        return -1;", "return 0;")

    made.values("hash", predictor._spec["code"], "uint8_t *bytes", finish, "int")


def _vector_quantized(source: Source, predictor: VectorQuantizedPredictor) -> None:
    made, n = Functions(source, predictor), len(predictor._codebooks)
    made.all()
    source.macros.append(("N_CODEBOOKS", n, "numbers of a code; -1: it is near to none"))
    node = predictor._spec["kept"][-1]

    def finish(f: Body, v: str) -> None:
        f.each(n, f"numbers[i] = ({v})[i] == ({v})[i] ? (int32_t)({v})[i] : -1;")

    made.values("encode_indices", node, "int32_t *numbers", finish)


# ---- layers in closed form ----


def _marginalized(source: Source, predictor: MarginalizedPredictor) -> None:
    net, last = layers_of(predictor, len(predictor._coefs), "tanh", joined=predictor._joined)
    width, pivots = net.widths()[last], predictor._pivots
    source.columns = pivots
    source.macros += [
        ("N_FEATURES", predictor.n_features_in, "numbers of a row x"),
        ("N_COMPONENTS", width, "of its features"),
        ("N_OUTPUTS", len(pivots), "of its reconstruction"),
    ]
    f = Body(source, net)
    copied(f, evaluate(f, [last], {"x": "x"})[last], width, "code")
    source.function("void @encode(const @real *x, @real *code)", f.code())
    net, last = layers_of(predictor, 1, "identity", joined=False)
    f = Body(source, net)
    copied(f, evaluate(f, [last], {"x": "x"})[last], len(pivots), "out")
    source.function("void @reconstruct(const @real *x, @real *out)", f.code())
    f = Body(source, net)
    at, target = evaluate(f, [last], {"x": "x"})[last], "x"
    if len(pivots) < predictor.n_features_in:
        target = f.room(len(pivots))
        f.each(len(pivots), f"({target})[i] = x[{source.array(pivots, 'pivots', 'int32_t')}[i]];")
    f.add(f"return -@loss_squared_error({at}, {target}, (const @real *)0, {len(pivots)}, R(1.0));")
    source.function("double @score(const @real *x)", f.code())


# ---- outliers ----


def _charbonnier(difference: str, scale: str) -> str:
    return f"sqrt({difference} * {difference} / {scale} + 1.0) - 1.0"


def _outlier(source: Source, predictor: OutlierPredictor) -> None:
    """`OutlierPredictor._block`, in its order of operations."""
    learned, d = predictor._learned, predictor.n_features_in
    masks, landmarks = learned["masks"], learned["landmarks"]
    used = np.arange(d) if learned["used"] is None else learned["used"]
    n, members = len(used), len(predictor._members)
    source.macros += [("N_FEATURES", d, "numbers of a row x"), ("N_MEMBERS", members, "networks")]
    f = Body(source, of_spec(predictor._members[0].spec, parameters(*predictor._members[0])))
    z = f.room(n)
    mean, scale = (source.array(learned[name][used], name, "double") for name in ("mean", "scale"))
    column = "i" if n == d else f"{source.array(used, 'used', 'int32_t')}[i]"
    clip = source.number(learned["clip"], double=True)
    f.add(
        "double each[N];".replace("N", str(n)),
        f"for (int i = 0; i < {d}; i++)",
        "    out[i] = 0.0;",
        f"for (int i = 0; i < {n}; i++) {{",
        f"    double v = (x[{column}] - {mean}[i]) / {scale}[i];",
        f"    v = v > {clip} ? {clip} : v;",
        f"    v = v < -{clip} ? -{clip} : v;",
        f"    ({z})[i] = (@real)v;",
        "    each[i] = 0.0;",
        "}",
    )
    there = ""
    if masks:
        f.add(
            "int there = 0;",
            f"for (int i = 0; i < {n}; i++)",
            f"    there += ({z})[i] == ({z})[i];",
            f"const double share = {n}.0 / (there > 1 ? (double)there : 1.0);",
        )
        there = f"({z})[i] != ({z})[i] ? 0.0 : "
    times = " * share" if masks else ""
    # Landmarks see zero where something is missing.
    row = z
    if masks and landmarks is not None:
        row = f.room(n)
        f.each(n, f"({row})[i] = ({z})[i] == ({z})[i] ? ({z})[i] : R(0.0);")
    for i, member in enumerate(predictor._members):
        f.net = of_spec(member.spec, parameters(*member))
        f.widths = f.net.widths()
        output = member.spec["output"]
        v = evaluate(f, [output], {"x": z})[output]
        error, middle = (source.number(learned[name][i], double=True) for name in ("error", "median"))
        f.add(f"for (int i = 0; i < {n}; i++) {{", f"    const double off = (double)({v})[i] - (double)({z})[i];")
        f.add(f"    double e = ({there}({_charbonnier('off', error)}){times}) / {middle};")
        if landmarks is None:
            f.add("    each[i] += e;", "}")
            f.release(v)
            continue
        f.add("    each_e[i] = e;", "}")
        near = _nearest(f, landmarks, i, row, z, masks, n)
        weight = source.number(learned["neighbors"][i], double=True)
        f.add(
            f"for (int i = 0; i < {n}; i++) {{",
            f"    const double off = (double)({z})[i] - (double){near}[i];",
            f"    each[i] += each_e[i] + ({there}({_charbonnier('off', '1.0')}){times}) * {weight};",
            "}",
        )
        f.release(v)
    center, weight = (source.number(learned[name], double=True) for name in ("center", "weight"))
    f.add(
        f"for (int i = 0; i < {n}; i++) {{",
        f"    const double off = (double)({z})[i];",
        f"    const double far_off = ({there}({_charbonnier('off', '1.0')}){times}) * {center};",
        f"    out[{column}] = (each[i] / {members}.0 + far_off) / {weight};",
        "}",
    )
    text = f.code()
    if landmarks is not None:
        text = text.replace("    double each[", f"    double each_e[{n}];\n    int nearest = 0;\n    double each[", 1)
    source.function("void @contributions(const double *x, double *out)", text)
    source.function(
        "double @score(const double *x)",
        f"    double out[{d}];\n    @contributions(x, out);\n" + _sum(source, used, d),
    )
    offset = source.number(predictor.offset, double=True)
    source.function("double @decision(const double *x)", f"    return @score(x) - {offset};\n")
    source.function(
        "int @predict(const double *x)", "    return @decision(x) >= 0.0 ? 1 : -1; /* NaN is no inlier */\n"
    )


def _sum(source: Source, used: NDArray[Any], d: int) -> str:
    """Minus the sum of the contributions in NumPy's order."""
    if len(used) == d:
        return f"    return -@pairwise(out, {d});\n"
    columns = source.array(used, "used", "int32_t")
    return (
        f"    for (int i = 0; i < {len(used)}; i++)\n        out[i] = out[{columns}[i]];\n"
        f"    return -@pairwise(out, {len(used)});\n"
    )


def _nearest(f: Body, landmarks: Any, group: int, row: str, z: str, masks: bool, n: int) -> str:
    """Writes what finds the nearest landmark of a group; the expression of its row. See `Landmarks._nearest`."""
    _, most, _ = landmarks.rows.shape
    first = group * most
    weight, bias = landmarks.weight[:, first : first + most], landmarks.bias[0, first : first + most]
    single = f.source.array(landmarks.single[group].astype(np.uint8), "single", "unsigned char")
    rows = f.source.array(landmarks.rows[group], "landmarks")
    near = f.room(most)
    f.dense(row, weight, bias, near, "near")
    if masks:
        gone, lacks = f.room(n), f.room(most)
        squares = (0.5 * np.square(weight.astype(np.float64))).astype(weight.dtype)
        f.add(f"if (there < {n}) {{")
        f.each(n, f"({gone})[i] = ({z})[i] == ({z})[i] ? R(0.0) : R(1.0);")
        f.dense(gone, squares, np.zeros_like(bias), lacks, "squares")
        f.each(most, f"({near})[i] += ({lacks})[i];")
        f.add("}")
        f.release(gone)
        f.release(lacks)
    f.add(f"nearest = @nearest_row({near}, {row}, {most}, {n}, {rows}, {single});")
    f.release(near)
    return f"({rows} + nearest * {n})"


# ---- missing values ----


def _imputer(source: Source, imputer: Any) -> None:
    from autoenc._imputer import FARTHEST

    d, used = imputer.n_features_in_, imputer._used()
    refuse_draws(imputer, "C")
    kept = np.arange(d) if imputer.keep_empty_features else used
    marked = np.empty(0, np.intp) if imputer.indicator_ is None else imputer.indicator_.features_
    source.macros += [
        ("N_FEATURES", d, "numbers of a row x"),
        ("N_OUTPUTS", len(kept) + len(marked), "of the filled one, indicators included"),
    ]
    value = None if imputer._by_nan() else source.number(imputer.missing_values, double=True)

    def is_missing(x: str) -> str:
        return f"{x} != {x}" if value is None else f"{x} == {value}"

    lines = []
    if len(used):
        predictor = imputer.autoencoder_.predictor()
        net, node = network_of(predictor), predictor._spec["output"]
        f = Body(source, net)
        z, n = f.room(len(used)), len(used)
        mean, scale, least, largest = (
            source.array(array[used], name, "double")
            for name, array in (
                ("mean", imputer.mean_),
                ("scale", imputer.scale_),
                ("least", imputer.min_),
                ("largest", imputer.max_),
            )
        )
        column = "i" if n == d else f"{source.array(used, 'used', 'int32_t')}[i]"
        limit = source.number(FARTHEST, double=True)
        f.add(
            f"double filled[{d}];",
            f"for (int i = 0; i < {d}; i++)",
            f"    filled[i] = {is_missing('x[i]')} ? 0.0 : x[i];",
            f"for (int i = 0; i < {n}; i++) {{",
            f"    double v = (x[{column}] - {mean}[i]) / {scale}[i];",
            f"    v = v > {limit} ? {limit} : v;",
            f"    v = v < -{limit} ? -{limit} : v;",
            f"    ({z})[i] = {is_missing(f'x[{column}]')} ? (@real)NAN : (@real)v;",
            "}",
        )
        v = evaluate(f, [node], {"x": z})[node]
        f.add(
            f"for (int i = 0; i < {n}; i++) {{",
            f"    double v = (double)({v})[i] * {scale}[i] + {mean}[i];",
            f"    v = v < {least}[i] ? {least}[i] : v;",
            f"    v = v > {largest}[i] ? {largest}[i] : v;",
            f"    if ({is_missing(f'x[{column}]')})",
            f"        filled[{column}] = v;",
            "}",
        )
        lines.append(f.code())
    else:
        lines.append(
            f"    double filled[{d}];\n    for (int i = 0; i < {d}; i++)\n"
            f"        filled[i] = {is_missing('x[i]')} ? 0.0 : x[i];\n"
        )
    if len(kept):
        from_ = "i" if len(kept) == d else f"{source.array(kept, 'used', 'int32_t')}[i]"
        lines.append(f"    for (int i = 0; i < {len(kept)}; i++)\n        out[i] = filled[{from_}];\n")
    if len(marked):
        at = f"x[{source.array(marked, 'marked', 'int32_t')}[i]]"
        lines.append(
            f"    for (int i = 0; i < {len(marked)}; i++)\n"
            f"        out[{len(kept)} + i] = {is_missing(at)} ? 1.0 : 0.0;\n"
        )
    source.function("void @impute(const double *x, double *out)", "".join(lines))


# ---- door ----

# By kind, the more special first.
WRITERS: list[tuple[type, Callable[[Source, Any], None]]] = [
    (ClassifierPredictor, _classifier),
    (RegressorPredictor, _regressor),
    (HashingPredictor, _hashing),
    (VectorQuantizedPredictor, _vector_quantized),
    (Predictor, _network),
    (MarginalizedPredictor, _marginalized),
    (OutlierPredictor, _outlier),
]


def write(model: Any, prefix: str) -> str:
    """A fitted estimator, or a predictor, as the text of a C file."""
    check_prefix(prefix)
    inner, scaling = scaling_of(model)
    found = source_of(inner)
    source = Source(prefix, dtype_of(found), scaling)
    if is_imputer(found):
        _imputer(source, found)
    else:
        next(writer for kind, writer in WRITERS if isinstance(found, kind))(source, found)
    return source.finish(f"A fitted {type(model).__name__}.")
