"""The examples in csrc/README.md: they compile without a warning and do what the text says."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

CSRC = Path(__file__).resolve().parent.parent / "csrc"
pytestmark = pytest.mark.skipif(not CSRC.is_dir(), reason="tested away from the tree: there are no sources here")
FLAGS = ["-std=c11", "-O1", "-D_GNU_SOURCE", "-ffp-contract=off", "-DAE_TARGET_REF", f"-I{CSRC}"]
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-unused-function", "-Werror"]

# The layer on 5 rows of 40 features, values in panels; prints output, gradient of the input, gradient of the weight.
RUN_GAIN = r"""
#include <stdio.h>
#include "gain.c"

enum { ROWS = 5, WIDTH = 40, PANELS = 2, STRIDE = 256 };

static real x[PANELS * STRIDE], y[PANELS * STRIDE], dx[PANELS * STRIDE], dy[PANELS * STRIDE], w[PANELS * 32], dw[2][32];

static void print(const real *panels, int rows, int stride) {
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < WIDTH; c++)
            printf("%.17g ", (double)panels[c / 32 * stride + r * 32 + c % 32]);
    printf("\n");
}

int main(void) {
    ae_node_desc desc = {.name = "gain"};
    ae_layer_plan plan = {.desc = &desc, .in = {{WIDTH, 1}}};
    const ae_layer_ops *ops = &AE_V(ae_layer_gain);
    if (ops->plan(NULL, &plan) || plan.out.width != WIDTH || plan.parameter[0].columns != WIDTH)
        return 1;
    for (int c = 0; c < WIDTH; c++) {
        w[c] = (real)0.25 * (real)(c % 7);
        for (int r = 0; r < ROWS; r++) {
            x[c / 32 * STRIDE + r * 32 + c % 32] = (real)(r + 1) + (real)0.5 * (real)c;
            dy[c / 32 * STRIDE + r * 32 + c % 32] = (real)(r - 2) * (real)(c % 3);
        }
    }
    const ae_shape shape = {WIDTH, 1};
    const ae_value in = {.data = x, .gradient = dx, .shape = shape, .stride = STRIDE};
    const ae_value out = {.data = y, .gradient = dy, .shape = shape, .stride = STRIDE};
    const ae_binding b = {.desc = &desc, .in = {in}, .out = out, .parameter = {w}};
    for (int64_t row = 0; row < ROWS; row += 2) {
        const ae_block block = {.row0 = row, .row1 = row + 2 < ROWS ? row + 2 : ROWS, .keep = true};
        ops->forward(&b, &block);
        ops->backward_data(&b, &block);
    }
    for (int p = 0; p < PANELS; p++) {
        const ae_tile tile = {0, false, p, 0, 1, 0};
        ops->backward_weights(&b, &tile, ROWS, false, dw[p]);
    }
    for (int c = 8; c < 32; c++)
        if (dw[1][c] != 0)
            return 2;
    print(y, ROWS, STRIDE);
    print(dx, ROWS, STRIDE);
    print(dw[0], 1, 32);
    return 0;
}
"""


def example(containing: str) -> str:
    """The one block of C in the document that holds a string."""
    blocks = re.findall(r"```c\n(.*?)```", (CSRC / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (found,) = (block for block in blocks if containing in block)
    return found


@pytest.fixture(scope="module")
def cc() -> str:
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is None:
        pytest.skip("no C compiler")
    return found


@pytest.mark.parametrize("bits", [32, 64])
def test_example_of_a_layer(cc, bits, tmp_path):
    (tmp_path / "gain.c").write_text(example("ae_layer_gain"), encoding="utf-8")
    (tmp_path / "run.c").write_text(RUN_GAIN, encoding="utf-8")
    flags = [*FLAGS, f"-DAE_BITS={bits}", *WARNINGS]
    subprocess.run([cc, *flags, "-fsyntax-only", str(tmp_path / "gain.c")], check=True)
    subprocess.run([cc, *flags, str(tmp_path / "run.c"), "-o", str(tmp_path / "run"), "-lm"], check=True)
    printed = subprocess.run([str(tmp_path / "run")], check=True, capture_output=True, text=True).stdout.splitlines()
    out, d_in, d_w = (np.array(line.split(), dtype=float).reshape(-1, 40) for line in printed)
    row, column = np.arange(5.0)[:, None], np.arange(40.0)
    x, w, d = row + 1 + 0.5 * column, 0.25 * (column % 7), (row - 2) * (column % 3)
    np.testing.assert_array_equal(out, x * (1 + w))
    np.testing.assert_array_equal(d_in, d * (1 + w))
    np.testing.assert_array_equal(d_w[0], (x * d).sum(axis=0))


@pytest.mark.parametrize("bits", [32, 64])
def test_example_of_a_loss(cc, bits, tmp_path):
    (tmp_path / "cauchy.c").write_text(example("ae_loss_cauchy"), encoding="utf-8")
    subprocess.run(
        [cc, *FLAGS, f"-DAE_BITS={bits}", *WARNINGS, "-fsyntax-only", str(tmp_path / "cauchy.c")], check=True
    )


def test_files_that_are_named_exist():
    text = (CSRC / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)*\w+\.(?:c|h|py))`", text))
    examples = {"gain.c", "cauchy.c"}
    root = CSRC.parent
    there = {
        p.name
        for p in (*CSRC.rglob("*.*"), *(root / "tests").rglob("*.*"), *(root / "autoenc").glob("*"), *root.glob("*"))
    }
    assert len(named) > 30
    assert {n for n in named if Path(n).name not in there | examples} == set()
