"""Fits the polynomials of math/functions_impl.h and prints csrc/math/coefficients.h.

Each is the minimax polynomial of a smooth function under a weight that makes the error relative to the result it serves
(Remez exchange on a Chebyshev grid, 50 digits). Coefficients are rounded to the format one after another, from the one
that matters most; where possible those still free are fitted again after each rounding and take up its error.

    python csrc/math/coefficients.py > csrc/math/coefficients.h       (needs mpmath; half a minute)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np

mp.mp.dps = 50
Function = Callable[[Any], Any]
GRID = 240


def exchange(
    xs: list[Any], target: list[Any], weight: list[Any], powers: list[int], reference: list[int]
) -> tuple[list[Any], list[int]]:
    """Minimax coefficients of the given powers on a grid, and the points where the error is extreme."""
    n = len(powers)
    solution: list[Any] = []
    for _ in range(40):
        matrix, right = mp.matrix(n + 1, n + 1), mp.matrix(n + 1, 1)
        for row, i in enumerate(reference):
            for column, power in enumerate(powers):
                matrix[row, column] = xs[i] ** power
            matrix[row, n] = (-1) ** row / weight[i]
            right[row] = target[i]
        solved = mp.lu_solve(matrix, right)
        solution = [solved[j] for j in range(n)]
        error = [
            w * (f - sum(c * x**p for c, p in zip(solution, powers, strict=True)))
            for x, f, w in zip(xs, target, weight, strict=True)
        ]
        extremes: list[int] = []
        for i, e in enumerate(error):
            if extremes and (error[extremes[-1]] > 0) == (e > 0):
                if abs(e) > abs(error[extremes[-1]]):
                    extremes[-1] = i
            else:
                extremes.append(i)
        while len(extremes) > n + 1:
            extremes.pop(0 if abs(error[extremes[0]]) < abs(error[extremes[-1]]) else -1)
        if len(extremes) < n + 1 or max(map(abs, error)) <= abs(solved[n]) * mp.mpf("1.005"):
            break
        reference = extremes
    return solution, reference


def rounded(value: Any, bits: int) -> float:
    return float(np.float32(float(value))) if bits == 32 else float(value)


def fit(f: Function, w: Function, low: Any, high: Any, count: int, bits: int) -> tuple[list[float], float]:
    """Coefficients of x^0 .. x^(count - 1), rounded, and log2 of the largest weighted error. Fitting again
    needs powers without a common zero inside the range; elsewhere all are rounded at once."""
    low, high = mp.mpf(low), mp.mpf(high)
    xs = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * (k + mp.mpf("0.5")) / GRID) for k in range(GRID)]
    weight = [w(x) for x in xs]
    rest, powers, out = [f(x) for x in xs], list(range(count)), []
    while powers:
        spread = [round((GRID - 1) * k / len(powers)) for k in range(len(powers) + 1)]
        solution, _ = exchange(xs, rest, weight, powers, spread)
        for coefficient in solution if low < 0 < high else solution[:1]:
            out.append(rounded(coefficient, bits))
            power = powers.pop(0)
            rest = [r - mp.mpf(out[-1]) * x**power for r, x in zip(rest, xs, strict=True)]
    return out, float(mp.log(max(abs(v * r) for v, r in zip(weight, rest, strict=True)), 2))


def table(name: str, comment: str, result: tuple[list[float], float]) -> None:
    coefficients, error = result
    print(f"/* {comment}; {len(coefficients)} coefficients, error 2^{error:.1f}. */")
    print(f"static const real {name}[] = {{")
    for c in coefficients:
        print(f"    (real){c.hex()},")
    print("};")


def erfcx(t: Any) -> Any:
    return mp.exp(t * t) * mp.erfc(t)


def split(name: str, value: Any, bits: int) -> None:
    high = rounded(value, bits)
    print(f"#define {name}_HIGH ((real){high.hex()})")
    print(f"#define {name}_LOW ((real){rounded(value - mp.mpf(high), bits).hex()})")


def tables(bits: int) -> None:
    single = bits == 32
    half = mp.log(2) / 2
    split("VF_LN2", mp.log(2), bits)
    split("VF_TWO_PI", 2 * mp.pi, bits)

    def exp_rest(r: Any) -> Any:
        return (mp.expm1(r) - r) / r**2

    table("vf_exp_c", "e^r = 1 + r + r^2 P(r), |r| <= ln(2)/2, relative to e^r",
          fit(exp_rest, lambda r: r**2 / mp.exp(r), -half, half, 5 if single else 10, bits))  # fmt: skip
    table("vf_expm1_c", "e^r - 1 = r + r^2 P(r), |r| <= ln(2)/2, relative to e^r - 1",
          fit(exp_rest, lambda r: r**2 / abs(mp.expm1(r)), -half, half, 6 if single else 11, bits))  # fmt: skip
    if single:
        table("vf_log_c", "ln(1 + f) = f - f^2/2 + f^3 P(f), sqrt(1/2) <= 1 + f <= sqrt(2), relative",
              fit(lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3, lambda f: abs(f**3 / mp.log1p(f)),
                  mp.sqrt(0.5) - 1, mp.sqrt(2) - 1, 8, bits))  # fmt: skip
    else:
        table("vf_log_c", "ln(1 + f) = 2 s + s z P(z), s = f / (2 + f), z = s^2, |s| <= 0.1716, relative",
              fit(lambda z: (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z, lambda z: z / 2,
                  "1e-9", mp.mpf("0.1716") ** 2, 7, bits))  # fmt: skip
    table("vf_tanh_c", "tanh(x) = x + x z P(z), z = x^2, |x| <= 0.55, relative",
          fit(lambda z: (mp.tanh(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, lambda z: z * mp.sqrt(z) / mp.tanh(mp.sqrt(z)),
              "1e-9", mp.mpf("0.55") ** 2, 5 if single else 10, bits))  # fmt: skip
    table("vf_erf_c", "erf(x) = x + x P(x^2), |x| <= 1, relative",
          fit(lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1, lambda z: mp.sqrt(z) / mp.erf(mp.sqrt(z)),
              "1e-9", 1, 7 if single else 12, bits))  # fmt: skip
    table("vf_erfc_c", f"-ln erfc(1 + d) = P(d), 0 <= d <= {3 if single else 5}, error of 1 - e^-P",
          fit(lambda d: -mp.log(mp.erfc(1 + d)), lambda d: mp.erfc(1 + d), 0, 3 if single else 5,
              7 if single else 18, bits))  # fmt: skip
    centre, top = (3, mp.mpf(15)) if single else (4, mp.mpf(39))

    def back(y: Any) -> Any:
        return centre * (1 + y) / (1 - y)

    top /= mp.sqrt(2)
    print(f"#define VF_TAIL_CENTRE ((real){rounded(centre * mp.sqrt(2), bits).hex()})")
    table("vf_tail_c", f"Phi(-a) = e^(-a^2/2) P(y), y = (a - k)/(a + k), k = {centre} sqrt(2), a >= 0, relative",
          fit(lambda y: erfcx(back(y)) / 2, lambda y: 2 / erfcx(back(y)), -1, (top - centre) / (top + centre),
              11 if single else 24, bits))  # fmt: skip
    tiny, eighth = "1e-9", mp.mpf(1) / 64
    table("vf_sin_c", "sin(2 pi r) = 2 pi r + r z P(z), z = r^2, |r| <= 1/8, relative",
          fit(lambda z: (mp.sin(2 * mp.pi * mp.sqrt(z)) / mp.sqrt(z) - 2 * mp.pi) / z,
              lambda z: z * mp.sqrt(z) / mp.sin(2 * mp.pi * mp.sqrt(z)),
              tiny, eighth, 3 if single else 6, bits))  # fmt: skip
    table("vf_cos_c", "cos(2 pi r) = 1 + z P(z), z = r^2, |r| <= 1/8, relative",
          fit(lambda z: (mp.cos(2 * mp.pi * mp.sqrt(z)) - 1) / z, lambda z: z / mp.cos(2 * mp.pi * mp.sqrt(z)),
              tiny, eighth, 4 if single else 7, bits))  # fmt: skip


def main() -> None:
    print("/* Printed by csrc/math/coefficients.py; not edited by hand. */")
    print("#ifndef AE_MATH_COEFFICIENTS_H\n#define AE_MATH_COEFFICIENTS_H\n")
    print('#include "math/variant.h"\n\n/* clang-format off */\n#if AE_BITS == 32\n')
    tables(32)
    print("\n#else\n")
    tables(64)
    print("\n#endif\n/* clang-format on */\n\n#endif")


if __name__ == "__main__":
    main()
