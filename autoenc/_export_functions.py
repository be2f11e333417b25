"""What exported C files compute with: numbers of the core's functions, and the functions, in plain C99. Pure data.

The polynomials are those of ``csrc/math/coefficients.h`` and the functions those of ``csrc/math/functions_impl.h``, one
number at a time, in the same order of operations, so that the bits are the same. A test compares the numbers.
"""

import re

# By bits of a real: coefficients from the lowest power on, and constants. "stirling" is the series of math/gamma.h.
COEFFICIENTS: dict[int, dict[str, str]] = {
    32: {
        "ln2_high": "0x1.62e43p-1",
        "ln2_low": "-0x1.05c61p-29",
        "tail_centre": "0x1.0f876cp+2",
        "exp": ("0x1.fffffcp-2 0x1.555492p-3 0x1.5558f2p-5 0x1.1239d2p-7 0x1.6a243cp-10"),
        "expm1": ("0x1p-1 0x1.555554p-3 0x1.5554b2p-5 0x1.11118ap-7 0x1.6d71e2p-10 0x1.a0311ap-13"),
        "log": (
            "0x1.555554p-2 -0x1.000226p-2 0x1.99a006p-3 -0x1.54724cp-3 0x1.22da5p-3 -0x1.0d853ep-3 "
            "0x1.055a56p-3 -0x1.38b32ap-4"
        ),
        "tanh": ("-0x1.55554ap-2 0x1.110ceep-3 -0x1.b91e7ep-5 0x1.58e518p-6 -0x1.9921a2p-8"),
        "tail": (
            "0x1.6e9828p-4 -0x1.4e102cp-3 0x1.f6ff2p-4 -0x1.336fe8p-4 0x1.258b22p-5 -0x1.8facb8p-7 "
            "0x1.17c176p-9 0x1.7725dep-12 -0x1.37a1cep-12 0x1.eb583ap-17 0x1.d685a8p-16"
        ),
        "stirling": ("0x1.5555560000000p-4 -0x1.6c16c20000000p-9 0x1.a01a020000000p-11 -0x1.3813820000000p-11"),
    },
    64: {
        "ln2_high": "0x1.62e42fefa39efp-1",
        "ln2_low": "0x1.abc9e3b39803fp-56",
        "tail_centre": "0x1.6a09e667f3bcdp+2",
        "exp": (
            "0x1.000000000000ap-1 0x1.55555555554fap-3 0x1.5555555550892p-5 0x1.1111111127bap-7 "
            "0x1.6c16c18425275p-10 0x1.a01a012a5d90ap-13 0x1.a0199a1a4ec75p-16 0x1.71df2564ece04p-19 "
            "0x1.28ad657880d23p-22 0x1.ad7f258039d23p-26"
        ),
        "expm1": (
            "0x1p-1 0x1.5555555555559p-3 0x1.555555555553fp-5 0x1.111111110f6e2p-7 0x1.6c16c16c1eff3p-10 "
            "0x1.a01a01afd0813p-13 0x1.a01a017bf2acfp-16 0x1.71ddf887a6aa5p-19 0x1.27e535cc7cf54p-22 "
            "0x1.af5e64ae0e305p-26 0x1.1ee918d964ff1p-29"
        ),
        "log": (
            "0x1.5555555555592p-1 0x1.999999997fed7p-2 0x1.24924941e77f1p-2 0x1.c71c520dc38ep-3 "
            "0x1.74663e87ab088p-3 0x1.39a1b9b92d8bcp-3 0x1.2f05c78d2584fp-3"
        ),
        "tanh": (
            "-0x1.555555555549ep-2 0x1.11111111029b6p-3 -0x1.ba1ba1ad73e13p-5 0x1.664f45c33e015p-6 "
            "-0x1.226ddd519278ep-7 0x1.d6c61ed54ba4fp-9 -0x1.7cf3c84f3dfe3p-10 0x1.2fa2c68671565p-11 "
            "-0x1.b90b417de1ecbp-13 0x1.ac052bf0e5e7p-15"
        ),
        "tail": (
            "0x1.18932bf08e154p-4 -0x1.094922737431ap-3 0x1.bff01a5f90864p-4 -0x1.506666f69e509p-4 "
            "0x1.be502c36582fap-5 -0x1.027d5744b779fp-5 0x1.0066e10499feap-6 -0x1.a4ded413b896fp-8 "
            "0x1.0a17eb790f53cp-9 -0x1.a2f8fc65febc2p-12 -0x1.6d19d89639441p-17 0x1.4b4791fd09f9p-15 "
            "-0x1.7a6d94fec505fp-17 -0x1.fee80e2210d1dp-21 0x1.8b390e5b1d664p-20 -0x1.b6c3dac0ec01bp-23 "
            "-0x1.313b597cab0d9p-23 0x1.9cc176c0a2df5p-25 0x1.b7502bece7cefp-27 -0x1.04d167d53bd35p-27 "
            "-0x1.56f7bde5e775cp-30 0x1.f53c32dfa192dp-31 0x1.1732d202750a4p-33 -0x1.9ebde1f8a91c2p-35"
        ),
        "stirling": (
            "0x1.5555555555555p-4 "
            "-0x1.6c16c16c16c17p-9 "
            "0x1.a01a01a01a01ap-11 "
            "-0x1.3813813813814p-11 "
            "0x1.b951e2b18ff23p-11 "
            "-0x1.f6ab0d9993c7dp-10 "
            "0x1.a41a41a41a41ap-8 "
            "-0x1.e4286cb0f5398p-6"
        ),
    },
}
# Where a function has reached its limit, or a trick of its bits lies; by bits of a real.
LIMITS: dict[int, dict[str, str]] = {
    32: {
        "ROUNDING": "0x1.8p23",
        "EXP_HIGH": "89.0",
        "EXP_LOW": "-104.0",
        "EXPM1_LOW": "-18.0",
        "MAX_EXPONENT": "128.0",
        "TANH_LIMIT": "20.0",
        "GELU_LIMIT": "15.0",
        "SILU_LIMIT": "128.0",
        "MIN_NORMAL": "0x1p-126",
        "DENORMAL_SHIFT": "25.0",
        "DENORMAL_SCALE": "0x1p25",
        "POW2": "12583039.0",  # 1.5 2^23 + 127
        "LOWEST": "-0x1.fffffep127",
    },
    64: {
        "ROUNDING": "0x1.8p52",
        "EXP_HIGH": "710.0",
        "EXP_LOW": "-746.0",
        "EXPM1_LOW": "-38.0",
        "MAX_EXPONENT": "1024.0",
        "TANH_LIMIT": "40.0",
        "GELU_LIMIT": "39.0",
        "SILU_LIMIT": "800.0",
        "MIN_NORMAL": "0x1p-1022",
        "DENORMAL_SHIFT": "54.0",
        "DENORMAL_SCALE": "0x1p54",
        "POW2": "6755399441056767.0",  # 1.5 2^52 + 1023
        "LOWEST": "-0x1.fffffffffffffp1023",
    },
}
# In integers: mantissa bits, bias of the exponent, largest fraction, type.
BITS: dict[int, dict[str, str]] = {
    32: {"MANTISSA": "23", "BIAS": "126", "FRACTION": "0x7fffffu", "HALF": "0x3f000000u", "UINT": "uint32_t"},
    64: {
        "MANTISSA": "52",
        "BIAS": "1022",
        "FRACTION": "UINT64_C(0xfffffffffffff)",
        "HALF": "UINT64_C(0x3fe0000000000000)",
        "UINT": "uint64_t",
    },
}
TAIL_COEFFICIENTS = tuple(float.fromhex(c) for c in COEFFICIENTS[64]["tail"].split())
TAIL_CENTRE = float.fromhex(COEFFICIENTS[64]["tail_centre"])

# Functions by name. `@name` is a name of this file with the prefix of the user, and means that the function is needed;
# R(x) is a constant of the real type, L(NAME) one of LIMITS, I(NAME) one of BITS, C(name) one of COEFFICIENTS.
# `@poly_name` are made of COEFFICIENTS. max and min are conditions because of which operand they give when one is NaN.
FUNCTIONS: dict[str, str] = {
    "pow2": """
static inline @real @pow2(@real n) {
    @bits u;
    u.r = n + L(POW2);
    u.i <<= I(MANTISSA);
    return u.r;
}""",
    "scale": """
static inline @real @scale(@real a, @real n) {
    const @real half = (n * R(0.5) + L(ROUNDING)) - L(ROUNDING);
    return a * @pow2(half) * @pow2(n - half);
}""",
    "exp_reduce": """
/* x = n ln 2 + r */
static inline @real @exp_reduce(@real x, @real *n) {
    *n = @fma(x, R(0x1.71547652b82fep+0), L(ROUNDING)) - L(ROUNDING);
    return @fma(-*n, C(ln2_low), @fma(-*n, C(ln2_high), x));
}""",
    "exp_reduced": """
static inline @real @exp_reduced(@real r) { return R(1.0) + @fma(r * r, @poly_exp(r), r); }""",
    "exp_bounded": """
static inline @real @exp_bounded(@real x) {
    @real n;
    const @real r = @exp_reduce(x, &n);
    return @scale(@exp_reduced(r), n);
}""",
    "exp": """
static inline @real @exp(@real x) {
    x = L(EXP_LOW) > x ? L(EXP_LOW) : x;
    x = L(EXP_HIGH) < x ? L(EXP_HIGH) : x;
    return @exp_bounded(x);
}""",
    "exp_minus_abs": """
static inline @real @exp_minus_abs(@real x) {
    const @real a = -@fabs(x);
    return @exp_bounded(L(EXP_LOW) > a ? L(EXP_LOW) : a);
}""",
    "expm1": """
static inline @real @expm1(@real x) {
    @real b = L(EXPM1_LOW) > x ? L(EXPM1_LOW) : x, n;
    b = L(EXP_HIGH) < b ? L(EXP_HIGH) : b;
    const @real r = @exp_reduce(b, &n);
    const @real lost = @fma(-n, C(ln2_low), @fma(-n, C(ln2_high), b) - r);
    const @real s = @pow2(n < L(MAX_EXPONENT) - R(1.0) ? n : L(MAX_EXPONENT) - R(1.0));
    const @real rest = @fma(r * r, @poly_expm1(r), lost);
    const @real y = @fma(s, rest, @fma(s, r, s - R(1.0)));
    return @copysign(n == L(MAX_EXPONENT) ? y + y : y, x);
}""",
    "tanh": """
static inline @real @tanh(@real x) {
    const @real a = @fabs(x), z = x * x, near = @fma(x * z, @poly_tanh(z), x);
    const @real doubled = a + a;
    @real n;
    const @real r = @exp_reduce(L(TANH_LIMIT) < doubled ? L(TANH_LIMIT) : doubled, &n);
    const @real far_off = R(1.0) - R(2.0) / @fma(@exp_reduced(r), @pow2(n), R(1.0));
    return @copysign(a < R(0.55) ? near : far_off, x);
}""",
    "logistic": """
static inline @real @logistic(@real x) {
    const @real e = @exp_minus_abs(x);
    return (x < R(0.0) ? e : R(1.0)) / (R(1.0) + e);
}""",
    "log_split": """
/* x = m 2^e with m from sqrt(1/2) to sqrt(2) */
static inline @real @log_split(@real x, @real *e) {
    @bits u;
    u.r = x;
    const @real n = (@real)((int32_t)(u.i >> I(MANTISSA)) - I(BIAS));
    u.i = (u.i & I(FRACTION)) | I(HALF);
    const int low = u.r < R(0x1.6a09e667f3bcdp-1);
    *e = low ? n - R(1.0) : n;
    return low ? u.r + u.r : u.r;
}""",
    "log": """
static inline @real @log(@real x) {
    const int small = x < L(MIN_NORMAL);
    @real e, m = @log_split(small ? x * L(DENORMAL_SCALE) : x, &e);
    e = small ? e - L(DENORMAL_SHIFT) : e;
    @real y = @log_reduced(e, m - R(1.0));
    y = x < (@real)INFINITY ? y : x;
    y = x < R(0.0) ? (@real)NAN : y;
    return x == R(0.0) ? -(@real)INFINITY : y;
}""",
    "log1p": """
/* For 0 <= x < 2^100, and for -1 < x. */
static inline @real @log1p(@real x) {
    @real e;
    (void)@log_split(R(1.0) + x, &e);
    const @real s = @pow2(-e);
    return @copysign(@log_reduced(e, @fma(x, s, s - R(1.0))), x);
}""",
    "log1p_unit": """
static inline @real @log1p_unit(@real u) {
    const int high = R(0x1.a827999fcef32p-2) < u;
    return @log_reduced(high ? R(1.0) : R(0.0), high ? @fma(u, R(0.5), R(-0.5)) : u);
}""",
    "relu": """
static inline @real @relu(@real x) { return R(0.0) > x ? R(0.0) : x; }""",
    "leaky_relu": """
static inline @real @leaky_relu(@real x) { return x < R(0.0) ? x * R(0.01) : x; }""",
    "elu": """
static inline @real @elu(@real x) {
    const @real y = @expm1(x);
    return R(0.0) < x ? x : y;
}""",
    "selu": """
static inline @real @selu(@real x) {
    const @real y = @expm1(x) * R(1.7580993408473768599402175208123);
    return R(0.0) < x ? x * R(1.0507009873554804934193349852946) : y;
}""",
    "gelu": """
static inline @real @gelu(@real x) {
    @real a = @fabs(x);
    a = L(GELU_LIMIT) < a ? L(GELU_LIMIT) : a;
    const @real square = a * a, lost = @fma(a, a, -square);
    @real e = @exp_bounded(R(-0.5) * square);
    e = @fma(-(R(0.5) * lost), e, e);
    const @real tail = e * @poly_tail((a - C(tail_centre)) / (a + C(tail_centre)));
    const int negative = x < R(0.0);
    return (negative ? -a : x) * (negative ? tail : R(1.0) - tail);
}""",
    "silu": """
static inline @real @silu(@real x) {
    const @real e = @exp_minus_abs(x), r = R(1.0) / (R(1.0) + e);
    const int negative = x < R(0.0);
    const @real bounded = -L(SILU_LIMIT) > x ? -L(SILU_LIMIT) : x;
    return (negative ? bounded : x) * (negative ? e * r : r);
}""",
    "softplus": """
static inline @real @softplus(@real x) { return (R(0.0) > x ? R(0.0) : x) + @log1p_unit(@exp_minus_abs(x)); }""",
    "join": """
/* The sum of 32 lanes, as a tree. */
static inline double @join(const @real *lanes) {
    double sum[16];
    for (int i = 0; i < 16; i++)
        sum[i] = (double)lanes[i] + (double)lanes[i + 16];
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            sum[i] += sum[i + half];
    return sum[0];
}""",
    "join_doubles": """
static inline double @join_doubles(const double *lanes) {
    double sum[16];
    for (int i = 0; i < 16; i++)
        sum[i] = lanes[i] + lanes[i + 16];
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            sum[i] += sum[i + half];
    return sum[0];
}""",
    "softmax": """
static void @softmax(@real *y, int n) {
    @real sum[32] = {R(0.0)}, top = -(@real)INFINITY;
    for (int i = 0; i < n; i++)
        top = top > y[i] ? top : y[i];
    for (int i = 0; i < n; i++) {
        y[i] = @exp(y[i] - top);
        sum[i % 32] += y[i];
    }
    for (int half = 16; half; half /= 2)
        for (int i = 0; i < half; i++)
            sum[i] += sum[i + half];
    const @real inverse = R(1.0) / sum[0];
    for (int i = 0; i < n; i++)
        y[i] *= inverse;
}""",
    "layer_norm": """
static void @layer_norm(const @real *x, int n, double epsilon, const @real *gain, const @real *bias, @real *y) {
    double sum[32] = {0.0}, square[32] = {0.0};
    for (int i = 0; i < n; i++)
        sum[i % 32] += (double)x[i];
    const double mean = @join_doubles(sum) / (double)n;
    for (int i = 0; i < n; i++) {
        const double off = (double)x[i] - mean;
        square[i % 32] += off * off;
    }
    const @real m = (@real)mean, factor = (@real)(1.0 / sqrt(@join_doubles(square) / (double)n + epsilon));
    for (int i = 0; i < n; i++)
        y[i] = @fma((x[i] - m) * factor, gain[i], bias[i]);
}""",
    "select_key": """
/* NaN counts as infinite, so that it shows in the result. */
static inline @real @select_key(@real x) {
    const @real number = (x > L(LOWEST) ? x : L(LOWEST)) + R(0.0);
    return x != x ? (@real)INFINITY : number;
}""",
    "top_k": """
/* The k largest of x, zero elsewhere; of equal ones the first. kept: k reals of room. */
static void @top_k(const @real *x, int n, int k, int positive, @real *kept, @real *y) {
    int count = 0, equal = 0;
    for (int i = 0; i < n; i++) {
        const @real key = @select_key(x[i]);
        if (count == k && !(key > kept[k - 1]))
            continue;
        int at = count < k ? count++ : k - 1;
        for (; at > 0 && kept[at - 1] < key; at--)
            kept[at] = kept[at - 1];
        kept[at] = key;
    }
    for (int i = 0; i < count; i++)
        equal += kept[i] == kept[count - 1];
    for (int i = 0; i < n; i++) {
        const @real key = @select_key(x[i]);
        int chosen = key > kept[count - 1];
        if (key == kept[count - 1] && equal > 0) {
            chosen = 1;
            equal--;
        }
        y[i] = !chosen || (positive && x[i] <= R(0.0)) ? R(0.0) : x[i];
    }
}""",
    "nearest_code": """
/* Number of the code nearest to x, of n; -1: none. taken: zero for codes that take no part. */
static int @nearest_code(const @real *x, int width, int n, const @real *codes, const unsigned char *taken) {
    @real best = (@real)INFINITY;
    int number = -1;
    for (int code = 0; code < n; code++) {
        @real sum = R(0.0);
        for (int i = 0; i < width; i++) {
            const @real off = x[i] - codes[code * width + i];
            sum = @mac(off, off, sum);
        }
        if (sum < best && taken[code]) {
            best = sum;
            number = code;
        }
    }
    return number;
}""",
}
FUNCTIONS["log_reduced"] = """
/* e ln 2 + ln(1 + f) */
static inline @real @log_reduced(@real e, @real f) {"""


def log_reduced(bits: int) -> str:
    """The one function that differs by precision: ``vf_log_reduced``."""
    if bits == 32:
        body = """
    const @real square = f * f;
    @real rest = @fma(square * f, @poly_log(f), e * C(ln2_low));
    rest = @fma(R(-0.5), square, rest);"""
    else:
        body = """
    const @real s = f / (R(2.0) + f), z = s * s, half_square = R(0.5) * f * f;
    @real rest = @fma(s, @fma(z, @poly_log(z), half_square), e * C(ln2_low));
    rest = rest - half_square;"""
    return (
        FUNCTIONS["log_reduced"]
        + body
        + """
    return @fma(e, C(ln2_high), f + rest);
}"""
    )


def each(name: str) -> str:
    """An activation in place."""
    return f"""
static void @each_{name}(@real *y, int n) {{
    for (int i = 0; i < n; i++)
        y[i] = @{name}(y[i]);
}}"""


def panel(width: int) -> str:
    """Some columns of a dense layer: each sum in the order of the inputs, by fused operations where there are such."""
    return f"""
static void @panel_{width}(const @real *@restrict x, int n, const @real *@restrict w, const @real *@restrict start,
        int columns, @real *@restrict y) {{
    @real sum[{width}];
    for (int j = 0; j < {width}; j++)
        sum[j] = start[j];
    for (int i = 0; i < n; i++, w += {width}) {{
        const @real a = x[i];
        for (int j = 0; j < {width}; j++)
            sum[j] = @mac(a, w[j], sum[j]);
    }}
    for (int j = 0; j < columns; j++)
        y[j] = sum[j];
}}"""


# Terms of losses, as expressions of prediction p, target t and parameter c, less log1p of the second expression.
TERMS: dict[str, tuple[str, str]] = {
    "squared_error": ("(p - t) * (p - t)", ""),
    "absolute_error": ("@fabs(p - t)", ""),
    "huber": ("@huber(p - t, c)", ""),
    "log_cosh": ("@log_cosh(p - t)", ""),
    "correntropy": ("@correntropy(p - t, c)", ""),
    "log_loss": ("@fma(-t, p, R(0.0) > p ? R(0.0) : p)", "@exp_minus_abs(p)"),
    "poisson": ("@poisson(p, t)", ""),
}
FUNCTIONS |= {
    "huber": """
static inline @real @huber(@real d, @real delta) {
    const @real low = delta < d ? delta : d, clipped = -delta > low ? -delta : low;
    return clipped * @fma(R(-0.5), clipped, d);
}""",
    "log_cosh": """
static inline @real @log_cosh(@real d) {
    const @real a = @fabs(d), q = @expm1(R(-2.0) * a), t = -q / (R(2.0) + q);
    const int near = a < R(1.0);
    const @real logarithm = @log1p(near ? -(t * t) : q + R(1.0));
    return near ? R(-0.5) * logarithm : (a - R(0.69314718055994530942)) + logarithm;
}""",
    "correntropy": """
static inline @real @correntropy(@real d, @real width) {
    const @real ratio = d / width, exponent = R(-0.5) * (ratio * ratio);
    return @fabs(d) == (@real)INFINITY ? @fabs(d) : (R(-2.0) * (width * width)) * @expm1(exponent);
}""",
    "poisson": """
static inline @real @poisson(@real log_rate, @real t) {
    const @real log_target = @log(t == R(0.0) ? R(1.0) : t);
    const @real value = @fma(t, (log_target - log_rate) - R(1.0), @exp(log_rate));
    return R(0.0) > value ? R(0.0) : value;
}""",
    "loss_multinomial": """
static double @loss_multinomial(const @real *prediction, const @real *target, const @real *entry, int n, @real c) {
    @real sum[32] = {R(0.0)}, top = -(@real)INFINITY;
    (void)entry, (void)c;
    for (int i = 0; i < n; i++)
        top = prediction[i] > top ? prediction[i] : top;
    for (int i = 0; i < n; i++)
        sum[i % 32] += @exp(prediction[i] - top);
    const @real log_sum = @log((@real)@join(sum));
    for (int i = 0; i < 32; i++)
        sum[i] = R(0.0);
    for (int i = 0; i < n; i++) {
        const @real above = prediction[i] - top;
        sum[i % 32] += target[i] * (log_sum - (L(LOWEST) > above ? L(LOWEST) : above));
    }
    return @join(sum) / (double)n;
}""",
}


def loss(name: str) -> str:
    """The loss of a row: 32 lanes over the features, then a tree; logarithms of the excess as one of a product."""
    term, excess = TERMS[name]
    lines = [
        "",
        f"static double @loss_{name}(",
        "        const @real *prediction, const @real *target, const @real *entry, int n, @real c) {",
        f"    @real sum[32] = {{R(0.0)}}{', product[32] = {R(0.0)}' if excess else ''};",
        "    (void)c;",
        "    for (int at = 0; at < n; at += 32) {",
        "        const int some = n - at < 32 ? n - at : 32;",
        "        for (int j = 0; j < some; j++) {",
        "            const @real p = prediction[at + j], t = target[at + j];",
        f"            @real value = {term};",
    ]
    if excess:
        lines += [
            f"            const @real excess = {excess};",
            "            if (entry)",
            "                value += @log1p(excess);",
            "            else",
            "                product[j] = @fma(product[j], excess, product[j] + excess);",
        ]
    lines += [
        "            if (entry)",
        "                value = entry[at + j] == R(0.0) ? R(0.0) : entry[at + j] * value;",
        "            sum[j] += value;",
        "        }",
    ]
    settle = [
        "for (int j = 0; j < 32; j++) {",
        "    sum[j] += @log1p(product[j]);",
        "    product[j] = R(0.0);",
        "}",
    ]
    if excess:
        lines += ["        if (at / 32 % 64 == 63) {", *("            " + line for line in settle), "        }"]
    lines += [
        "    }",
        *(("    " + line for line in settle) if excess else ()),
        "    return @join(sum) / (double)n;",
        "}",
    ]
    return "\n".join(lines)


FUNCTIONS |= {
    "pairwise": """
/* The sum of n numbers in the order of NumPy: eight at a time, in halves beyond 128. */
static double @pairwise(const double *a, int n) {
    double r[8], sum = 0.0;
    int i = 8;
    if (n > 128) {
        const int half = n / 2 - n / 2 % 8;
        return @pairwise(a, half) + @pairwise(a + half, n - half);
    }
    if (n < 8) {
        for (i = 0; i < n; i++)
            sum += a[i];
        return sum;
    }
    for (int j = 0; j < 8; j++)
        r[j] = a[j];
    for (; i < n - n % 8; i += 8)
        for (int j = 0; j < 8; j++)
            r[j] += a[i + j];
    sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    for (; i < n; i++)
        sum += a[i];
    return sum;
}""",
    "nearest_row": """
/* The row, of n, that is largest in `near`, the first of equal ones; not one that equals z and occurred once. */
static int @nearest_row(
        const @real *near, const @real *z, int n, int width, const @real *rows, const unsigned char *single) {
    int best = 0, equal = 1, other;
    for (int i = 1; i < n; i++)
        best = near[i] > near[best] ? i : best;
    for (int i = 0; i < width; i++)
        equal &= rows[best * width + i] == z[i];
    if (!equal || !single[best])
        return best;
    other = best == 0 ? 1 : 0;
    for (int i = other + 1; i < n; i++)
        if (i != best && near[i] > near[other])
            other = i;
    return n > 1 ? other : best;
}""",
}


# What scores of variational networks need: negative log-likelihoods by row, with all constants (csrc/losses/*.c).
FUNCTIONS |= {
    "within": """
static inline @real @within(@real x, @real limit) {
    const @real low = limit < x ? limit : x;
    return -limit > low ? -limit : low;
}""",
    "divergence": """
/* KL(N(m, e^v) || N(0, 1)); beyond the bounds of v as its tangent. */
static inline @real @divergence(@real m, @real v) {
    const @real inside = @within(v, R(20.0)), grown = @expm1(inside);
    return @fma(v - inside, R(0.5) * grown, R(0.5) * @fma(m, m, grown - inside));
}""",
    "sum": """
static double @sum(const @real *x, int n) {
    @real sum[32] = {R(0.0)};
    for (int i = 0; i < n; i++)
        sum[i % 32] += x[i];
    return @join(sum) / (double)n;
}""",
    "stirling_rest": """
static inline @real @stirling_rest(@real y) {
    const @real inverse = R(1.0) / y;
    return inverse * @poly_stirling(inverse * inverse);
}""",
    "lgamma": """
static @real @lgamma(@real x) {
    const int small = x < R(8.0);
    const @real y = small ? x + R(8.0) : x;
    @real product = small ? x : R(1.0);
    for (int i = 1; i < 8; i++)
        product *= (small ? x : R(1.0)) + (@real)i;
    const @real base = @fma(y - R(0.5), @log(y) - R(1.0), R(0.41893853320467274178));
    return (base + @stirling_rest(y)) - (small ? @log(product) : R(0.0));
}""",
    "lgamma_rise": """
/* log gamma(a + t) - log gamma(a) */
static @real @lgamma_rise(@real a, @real t) {
    const int small = a < R(8.0);
    const @real start = small ? R(8.0) : a, end = small ? R(8.0) + t : a + t;
    const @real growth = @log1p(t / start);
    const @real rise = @fma(end - R(0.5), growth, t * (@log(start) - R(1.0)));
    if (small)
        return @lgamma(a + t) - @lgamma(a);
    return rise + (@stirling_rest(end) - @stirling_rest(start));
}""",
    "gaussian": """
static inline @real @gaussian(@real mean, @real log_variance, @real t) {
    const @real v = @within(log_variance, R(10.0)), off = mean - t;
    return @fma(R(0.5), v + off * off * @exp(-v), R(0.91893853320467274178));
}""",
    "negative_binomial": """
static @real @negative_binomial(@real log_mean, @real log_dispersion, @real t) {
    const @real s = @within(log_dispersion, R(10.0)), q = @exp(s), u = log_mean - s;
    const @real above = @softplus(u), below = @softplus(-u), rise = @lgamma_rise(q, t);
    const @real odds = t == R(0.0) ? R(0.0) : t * below;
    const @real value = (@lgamma(t + R(1.0)) - rise) + @fma(q, above, odds);
    return R(0.0) > value ? R(0.0) : value;
}""",
    "poisson_constant": """
static @real @poisson_constant(@real t) {
    const @real power = t * (@log(t == R(0.0) ? R(1.0) : t) - R(1.0));
    return @lgamma(t + R(1.0)) - (t == R(0.0) ? R(0.0) : power);
}""",
    "mixture_log_ratio": """
/* log q(z|x) - log p(z), p a mixture of k normal densities; share: k reals of room. */
static @real @mixture_log_ratio(const @real *z, const @real *mean, const @real *log_variance, int n, int k,
        const @real *means, const @real *log_variances, const @real *logits, @real *share) {
    @real sum[32] = {R(0.0)}, highest = logits[0], highest_share = -(@real)INFINITY;
    for (int i = 0; i < n; i++) {
        const @real off = z[i] - mean[i], square = off * (off * @exp(-@within(log_variance[i], R(20.0))));
        sum[i % 32] += R(-0.5) * ((R(20.0) < log_variance[i] ? R(20.0) : log_variance[i]) + square);
    }
    const double log_q = @join(sum);
    for (int c = 1; c < k; c++)
        highest = logits[c] > highest ? logits[c] : highest;
    for (int i = 0; i < 32; i++)
        sum[i] = R(0.0);
    for (int c = 0; c < k; c++)
        sum[c % 32] += @exp(logits[c] - highest);
    const @real log_total = @log((@real)@join(sum));
    for (int c = 0; c < k; c++) {
        @real square[32] = {R(0.0)}, spread[32] = {R(0.0)};
        for (int i = 0; i < n; i++) {
            const @real s = @within(log_variances[c * n + i], R(20.0)), off = z[i] - means[c * n + i];
            spread[i % 32] += s;
            square[i % 32] = @fma(off * @exp(-s), off, square[i % 32]);
        }
        const double log_weight = (double)logits[c] - (double)highest - (double)log_total;
        const @real normalizer = (@real)(log_weight - 0.5 * @join(spread));
        share[c] = (@real)((double)normalizer - 0.5 * @join(square));
        highest_share = share[c] > highest_share ? share[c] : highest_share;
    }
    for (int i = 0; i < 32; i++)
        sum[i] = R(0.0);
    for (int c = 0; c < k; c++)
        sum[c % 32] += @exp(share[c] - highest_share);
    return (@real)(log_q - ((double)highest_share + (double)@log((@real)@join(sum))));
}""",
    "nll_multinomial": """
static double @nll_multinomial(
        const @real *prediction, const @real *second, const @real *target, const @real *entry, int n) {
    @real sum[32] = {R(0.0)}, count[32] = {R(0.0)}, top = -(@real)INFINITY;
    (void)second, (void)entry;
    for (int i = 0; i < n; i++)
        top = prediction[i] > top ? prediction[i] : top;
    for (int i = 0; i < n; i++) {
        sum[i % 32] += @exp(prediction[i] - top);
        count[i % 32] += target[i];
    }
    const @real log_sum = @log((@real)@join(sum)), whole = @lgamma((@real)@join(count) + R(1.0));
    for (int i = 0; i < 32; i++)
        sum[i] = R(0.0);
    for (int i = 0; i < n; i++) {
        const @real above = prediction[i] - top, far_off = L(LOWEST) > above ? L(LOWEST) : above;
        sum[i % 32] += target[i] * (log_sum - far_off) + @lgamma(target[i] + R(1.0));
    }
    return @join(sum) - (double)whole;
}""",
}
# As expressions of prediction p, second parameter s and target t.
LIKELIHOODS: dict[str, str] = {
    "gaussian": "@gaussian(p, s, t)",
    "negative_binomial": "@negative_binomial(p, s, t)",
    "poisson": "@poisson(p, t) + @poisson_constant(t)",
}


def likelihood(name: str) -> str:
    """The negative log-likelihood of a row; entries without weight have no term."""
    term = LIKELIHOODS[name]
    given = "second[i]" if re.search(r"\bs\b", term) else "R(0.0)"
    return f"""
static double @nll_{name}(
        const @real *prediction, const @real *second, const @real *target, const @real *entry, int n) {{
    @real sum[32] = {{R(0.0)}};
    (void)second;
    for (int i = 0; i < n; i++) {{
        const @real p = prediction[i], s = {given}, t = target[i];
        const @real value = {term};
        (void)s;
        sum[i % 32] += !entry ? value : entry[i] == R(0.0) ? R(0.0) : entry[i] * value;
    }}
    return @join(sum);
}}"""
