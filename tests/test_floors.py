"""The floors of csrc/: who may include whom, who may allocate, print or stop, who may name Python or BLAS."""

import re
from pathlib import Path

import pytest

# What each floor may include directly besides itself. Layers and losses do not know each other; update rules see
# parameters, never layers.
ALLOWED = {
    "base": set(),
    "math": {"base"},
    "layers": {"base", "math"},
    "losses": {"base", "math"},
    "net": {"base", "math", "layers", "losses"},
    "optim": {"base", "math", "net"},
    "train": {"base", "math", "layers", "losses", "net", "optim"},
    "python": {"base", "math", "layers", "losses", "net", "optim", "train"},
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)
COMMENT_OR_STRING = re.compile(r"/\*.*?\*/|//[^\n]*|(\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')", re.DOTALL)
ALLOCATION = re.compile(r"(?<![\w.>])(malloc|calloc|realloc|free|aligned_alloc|posix_memalign|strdup|alloca)\s*\(")
STOP_OR_PRINT = re.compile(r"(?<![\w.>])(abort|_?exit|_Exit|quick_exit|assert|v?f?printf|f?puts|putchar|perror)\s*\(")
BLAS = re.compile(
    r"(?<!\w)(cblas_\w+|LAPACKE_\w+|[sd](gemm|gemv|symv|ger|syrk|trsm|trmm|axpy|dot|nrm2|asum|scal|gesv|getrf|getrs|gesdd"
    r"|gesvd|syevd?|syevr|geqrf|orgqr|potrf|potrs|posv|stevd))_?(?!\w)"
)


def without_comments(text: str, *, strings: bool) -> str:
    """The text with comments blanked, and with string and character literals blanked too unless ``strings``."""

    def blank(match: re.Match[str]) -> str:
        literal = match.group(1)
        if literal is not None:
            return literal if strings else '""'
        return re.sub(r"[^\n]", " ", match.group(0))

    return COMMENT_OR_STRING.sub(blank, text)


def wrong_include(csrc: Path, floor: str, kind: str, name: str) -> str:
    """What is wrong with one include directive in a file of ``floor``; empty where nothing is."""
    target = name.split("/")[0]
    if name in ("Python.h", "structmember.h") or target == "numpy":
        return "" if floor == "python" else f"includes {name}; only csrc/python may"
    if target in ALLOWED and "/" in name:
        if not (csrc / name).is_file():
            return f"includes {name}, which does not exist"
        allowed = ALLOWED[floor] | {floor}
        return "" if target in allowed else f"includes {name}; {floor} may include {', '.join(sorted(allowed))}"
    return f'includes "{name}"; write it as "floor/file.h"' if kind == '"' else ""


def violations(csrc: Path) -> list[str]:
    """Every break of the rules in a tree of floors, as "file:line: what"."""
    found = []
    for path in sorted([*csrc.rglob("*.c"), *csrc.rglob("*.h")]):
        where = path.relative_to(csrc).as_posix()
        floor = where.split("/")[0]
        if floor == "bench":
            continue
        if floor not in ALLOWED or where.count("/") != 1:
            found.append(f"{where}:1: not on a floor ({', '.join(ALLOWED)})")
            continue
        text = path.read_text(encoding="utf-8")
        with_strings = without_comments(text, strings=True)
        code = without_comments(text, strings=False)
        broken = []
        for match in INCLUDE.finditer(with_strings):
            if message := wrong_include(csrc, floor, *match.groups()):
                broken.append((with_strings, match, message))
        if floor != "python":
            broken += [(code, m, f"calls {m[1]}; return a status") for m in STOP_OR_PRINT.finditer(code)]
        if where != "base/alloc.c":
            broken += [(code, m, f"calls {m[1]}; see base/alloc.h") for m in ALLOCATION.finditer(code)]
        if where != "math/linalg.c":
            what = "only math/linalg.c may name BLAS or LAPACK"
            broken += [(with_strings, m, f"names {m[1]}; {what}") for m in BLAS.finditer(with_strings)]
        for seen, match, message in broken:
            line = seen.count("\n", 0, match.start()) + 1
            found.append(f"{where}:{line}: {message}")
    return found


def test_tree_keeps_its_floors(checkout):
    csrc = checkout / "csrc"
    assert {p.name for p in csrc.iterdir() if p.is_dir()} - {"bench", "__pycache__"} == set(ALLOWED)
    assert len([*csrc.rglob("*.c")]) > 20, "the check must see the sources"
    assert violations(csrc) == []


CLEAN = {
    "base/status.h": "int ae_status;\n",
    "math/gemm.h": '#include "base/status.h"\n/* unlike sgemm( it sums in order; never malloc(1) or "../layers" */\n',
    "layers/layer.h": '#include "math/gemm.h"\n#include <string.h>\n',
    "losses/loss.h": '#include "math/gemm.h"\n',
    "net/net.h": '#include "layers/layer.h"\n#include "losses/loss.h"\n',
    "optim/rule.h": '#include "net/net.h"\nstatic const char *text = "exit(1) is not called";\n',
    "train/trainer.h": '#include "optim/rule.h"\n#include "net/net.h"\n',
    "python/module.c": "#include <Python.h>\n#include <numpy/arrayobject.h>\n",
    "base/alloc.c": "void *f(void) { return malloc(8); }\n",
    "math/linalg.c": "void dgesdd_(void);\n",
}


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in {**CLEAN, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_clean_tree_has_no_violation(tmp_path):
    assert violations(plant(tmp_path, {})) == []


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("base/upward.c", '#include "math/gemm.h"\n', "base/upward.c:1: includes math/gemm.h; base may include base"),
        ("layers/sideways.c", '\n#include "losses/loss.h"\n', "layers/sideways.c:2: includes losses/loss.h"),
        ("losses/sideways.c", '#  include "layers/layer.h"\n', "losses/sideways.c:1: includes layers/layer.h"),
        ("optim/nosy.c", '#include "layers/layer.h"\n', "optim/nosy.c:1: includes layers/layer.h"),
        ("net/upward.c", '#include "optim/rule.h"\n', "net/upward.c:1: includes optim/rule.h"),
        ("train/angle.c", "#include <python/module.h>\n", "train/angle.c:1: includes python/module.h"),
        ("math/relative.c", '#include "gemm.h"\n', 'math/relative.c:1: includes "gemm.h"; write it as'),
        ("math/dots.c", '#include "../layers/layer.h"\n', 'math/dots.c:1: includes "../layers/layer.h"; write it as'),
        ("train/binding.c", "#include <Python.h>\n", "train/binding.c:1: includes Python.h; only csrc/python may"),
        ("base/array.h", "#include <numpy/arrayobject.h>\n", "base/array.h:1: includes numpy/arrayobject.h"),
        ("math/heap.c", "int a;\nvoid *b(void) { return malloc(8); }\n", "math/heap.c:2: calls malloc"),
        ("python/heap.c", "void b(void *p) { free (p); }\n", "python/heap.c:1: calls free"),
        ("net/talk.c", 'void t(void) { fprintf(stderr, "x"); }\n', "net/talk.c:1: calls fprintf; return a status"),
        ("net/stop.c", "/* a\n b */ void t(void) { abort(); }\n", "net/stop.c:2: calls abort"),
        ("train/sure.c", "void t(int i) { assert(i > 0); }\n", "train/sure.c:1: calls assert"),
        ("optim/product.c", "void t(void) { cblas_dgemm(0); }\n", "optim/product.c:1: names cblas_dgemm"),
        ("python/door.c", 'const char *n = "dgesdd";\n', "python/door.c:1: names dgesdd"),
        ("extra/new.c", "int a;\n", "extra/new.c:1: not on a floor"),
    ],
)
def test_each_rule_can_fail(tmp_path, name, text, expected):
    (found,) = violations(plant(tmp_path, {name: text}))
    assert found.startswith(expected)
