/* Losses: values against plain formulas in long double, gradients by central differences, and what the contract promises
 * about blocks, padding, weights and instruction sets. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "harness.h"
#include "losses/loss.h"
#include "math/panel.h"

#define N_LOSSES 12
static const char *const names[N_LOSSES] = {"squared_error",     "absolute_error", "huber", "log_cosh",    "log_loss",
                                            "poisson",           "multinomial",    "sum",   "correntropy", "gaussian",
                                            "negative_binomial", "categorical"};
/* Those of one prediction and a target; test_loss_terms.c has the others. */
static bool is_plain(int i) {
    const unsigned flags = ae_loss_get(64, AE_ISA_REF, i)->flags;
    return !(flags & (AE_LOSS_SECOND | AE_LOSS_NO_TARGET));
}
#define EACH_PLAIN_LOSS(i)             \
    for (int i = 0; i < N_LOSSES; i++) \
        if (is_plain(i))
static const int widths[] = {1, 2, 7, 30, 31, 32, 33, 63, 64, 65, 97, 200, 2500};
#define N_WIDTHS (int)(sizeof widths / sizeof widths[0])

/* A panel matrix of either precision. */
typedef struct matrix {
    int bits;
    int64_t rows, width, stride;
    void *data;
} matrix;

static uint64_t random_state = 1;
static double uniform(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) * 0x1p-53;
}

static size_t matrix_bytes(const matrix *m) { return (size_t)(ae_panels(m->width) * m->stride) * (size_t)m->bits / 8; }
/* Every real is `fill`, padding included. */
static matrix matrix_new(int bits, int64_t rows, int64_t width, double fill) {
    matrix m = {bits, rows, width, ae_panel_stride(rows), NULL};
    m.data = malloc(matrix_bytes(&m));
    for (int64_t i = 0; i < ae_panels(width) * m.stride; i++)
        if (bits == 32)
            ((float *)m.data)[i] = (float)fill;
        else
            ((double *)m.data)[i] = fill;
    return m;
}
static int64_t place(const matrix *m, int64_t row, int64_t column) {
    return column / AE_PANEL * m->stride + row * AE_PANEL + column % AE_PANEL;
}
static double get(const matrix *m, int64_t row, int64_t column) {
    const int64_t at = place(m, row, column);
    return m->bits == 32 ? (double)((float *)m->data)[at] : ((double *)m->data)[at];
}
static void set(matrix *m, int64_t row, int64_t column, double value) {
    const int64_t at = place(m, row, column);
    if (m->bits == 32)
        ((float *)m->data)[at] = (float)value;
    else
        ((double *)m->data)[at] = value;
}

static const ae_loss_ops *loss_at(int bits, ae_isa isa, int index) {
    return ae_cpu_has(isa) ? ae_loss_get(bits, isa, index) : NULL;
}

/* Predictions and targets that the loss allows, some targets at the ends of what is allowed. Padding holds numbers that
 * would show in any sum. */
static void make_data(const ae_loss_ops *loss, int bits, int64_t rows, int64_t width, matrix *prediction, matrix *target) {
    *prediction = matrix_new(bits, rows, width, 7e8);
    *target = matrix_new(bits, rows, width, -3e8);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < width; c++) {
            const double u = uniform();
            double t = 4 * u - 2;
            if (loss->target == AE_TARGET_UNIT_INTERVAL)
                t = u < 0.3 ? 0 : u > 0.7 ? 1 : u;
            if (loss->target == AE_TARGET_NONNEGATIVE)
                t = u < 0.3 ? 0 : floor(5 * u) + (u > 0.8 ? 0.25 : 0);
            set(target, r, c, t);
            set(prediction, r, c, 6 * uniform() - 3);
        }
}

static ae_loss_call make_call(const matrix *prediction, const matrix *target, double *row_loss, matrix *gradient) {
    return (ae_loss_call){.prediction = prediction->data,
                          .target = target->data,
                          .prediction_stride = prediction->stride,
                          .target_stride = target->stride,
                          .width = prediction->width,
                          .row0 = 0,
                          .row1 = prediction->rows,
                          .parameter = 0.75,
                          .scale = 1,
                          .row_loss = row_loss,
                          .gradient = gradient ? gradient->data : NULL};
}

/* Whose terms hang together by a softmax over the row. */
static bool is_softmax(int i) { return ae_loss_get(64, AE_ISA_REF, i)->link == AE_SOFTMAX; }

/* The formulas as a textbook has them. */
static long double plain_term(const char *name, long double p, long double t, long double delta) {
    const long double d = p - t, a = fabsl(d);
    if (!strcmp(name, "squared_error"))
        return d * d;
    if (!strcmp(name, "absolute_error"))
        return a;
    if (!strcmp(name, "huber"))
        return a <= delta ? d * d / 2 : delta * (a - delta / 2);
    if (!strcmp(name, "correntropy"))
        return -2 * delta * delta * expm1l(-d * d / (2 * delta * delta));
    if (!strcmp(name, "log_cosh"))
        return logl(coshl(d));
    if (!strcmp(name, "log_loss"))
        return -t * logl(1 / (1 + expl(-p))) - (1 - t) * logl(1 / (1 + expl(p)));
    return expl(p) - t * p + (t > 0 ? t * logl(t) : 0) - t; /* poisson */
}

TEST(registry_is_the_same_everywhere) {
    for (int i = 0; i < N_LOSSES; i++) {
        CHECK(ae_loss_find(names[i]) == i, "%s", names[i]);
        for (int bits = 32; bits <= 64; bits += 32)
            for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
                const ae_loss_ops *loss = ae_loss_get(bits, (ae_isa)isa, i);
                const ae_loss_ops *ref = ae_loss_get(64, AE_ISA_REF, i);
                CHECK(isa != AE_ISA_REF || loss, "%s in %d bits", names[i], bits);
                if (loss)
                    CHECK(!strcmp(loss->name, names[i]) && loss->link == ref->link && loss->target == ref->target &&
                              loss->has_parameter == ref->has_parameter,
                          "%s", names[i]);
            }
    }
    CHECK(ae_loss_find("no such loss") == -1, "unknown name");
    CHECK(!ae_loss_get(64, AE_ISA_REF, N_LOSSES) && !ae_loss_get(64, AE_ISA_REF, -1), "beyond the ends");
    CHECK(!ae_loss_get(16, AE_ISA_REF, 0), "unknown precision");
    CHECK(ae_loss_get(64, AE_ISA_REF, 4)->link == AE_LOGISTIC && ae_loss_get(64, AE_ISA_REF, 6)->link == AE_SOFTMAX, "link");
}

TEST(values_agree_with_long_double) {
    EACH_PLAIN_LOSS(i)
    for (int bits = 32; bits <= 64; bits += 32)
        for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
            const ae_loss_ops *loss = loss_at(bits, (ae_isa)isa, i);
            if (!loss)
                continue;
            const int64_t rows = 5, width = i % 2 ? 45 : 2345;
            matrix p, t, terms = matrix_new(bits, rows, width, 99);
            make_data(loss, bits, rows, width, &p, &t);
            double row_loss[5];
            ae_loss_call call = make_call(&p, &t, row_loss, NULL);
            loss->rows(&call);
            call.gradient = terms.data;
            loss->terms(&call);
            const long double close = bits == 32 ? 4e-6L : 1e-14L;
            for (int64_t r = 0; r < rows; r++) {
                long double sum = 0, exp_sum = 0, term_sum = 0;
                for (int64_t c = 0; c < width; c++)
                    exp_sum += expl((long double)get(&p, r, c));
                for (int64_t c = 0; c < width; c++) {
                    const long double pv = get(&p, r, c), tv = get(&t, r, c), got = get(&terms, r, c);
                    const long double want =
                        is_softmax(i) ? -tv * logl(expl(pv) / exp_sum) : plain_term(loss->name, pv, tv, 0.75L);
                    CHECK(fabsl(got - want) <= close * (1 + fabsl(want)), "%s f%d %s: term %Lg, not %Lg", loss->name, bits,
                          ae_isa_name((ae_isa)isa), got, want);
                    CHECK(got >= 0, "%s: negative term %Lg", loss->name, got);
                    sum += want;
                    term_sum += got;
                }
                CHECK(fabsl(row_loss[r] - sum / width) <= close * (1 + sum / width), "%s f%d: row %g, not %Lg", loss->name,
                      bits, row_loss[r], sum / width);
                CHECK(fabs(row_loss[r] * (double)width - (double)term_sum) <= (double)(close * (1 + term_sum)),
                      "%s: terms do not add up", loss->name);
                for (int64_t c = width; c < ae_panels(width) * AE_PANEL; c++)
                    CHECK(get(&terms, r, c) == 0, "%s: padding of terms", loss->name);
            }
            free(p.data), free(t.data), free(terms.data);
        }
}

/* log_loss multiplies where the sum asks for logarithms: it must neither overflow nor lose what is tiny. */
TEST(log_loss_of_wide_rows) {
    const int64_t width = 20000;
    for (int bits = 32; bits <= 64; bits += 32)
        for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
            const ae_loss_ops *loss = loss_at(bits, (ae_isa)isa, ae_loss_find("log_loss"));
            if (!loss)
                continue;
            for (int k = 0; k < 3; k++) {
                const double logit = k == 0 ? 0 : k == 1 ? -3 : -30;
                matrix p = matrix_new(bits, 1, width, logit), t = matrix_new(bits, 1, width, 0);
                double row_loss = 0;
                ae_loss_call call = make_call(&p, &t, &row_loss, NULL);
                loss->rows(&call);
                const double want = log1p(exp(logit)), close = bits == 32 ? 1e-5 : 1e-13;
                CHECK(fabs(row_loss - want) <= close * want, "f%d %s at %g: %.9g, not %.9g", bits, ae_isa_name((ae_isa)isa),
                      logit, row_loss, want);
                free(p.data), free(t.data);
            }
        }
}

/* Where textbook formulas cancel. */
TEST(log_cosh_keeps_small_differences) {
    for (int bits = 32; bits <= 64; bits += 32) {
        const ae_loss_ops *loss = ae_loss_get(bits, AE_ISA_REF, 3);
        matrix p = matrix_new(bits, 1, 6, 0), t = matrix_new(bits, 1, 6, 0), terms = matrix_new(bits, 1, 6, 0);
        const double at[6] = {0, 1e-6, 1e-3, 0.1, 0.999, 1.001};
        for (int c = 0; c < 6; c++)
            set(&p, 0, c, at[c]);
        ae_loss_call call = make_call(&p, &t, NULL, &terms);
        loss->terms(&call);
        for (int c = 0; c < 6; c++) {
            /* cosh d - 1 = 2 sinh^2(d / 2) exactly */
            const long double half = sinhl((long double)get(&p, 0, c) / 2), want = log1pl(2 * half * half);
            const long double got = get(&terms, 0, c), close = bits == 32 ? 1e-6L : 2e-15L;
            CHECK(fabsl(got - want) <= close * want, "f%d at %g: %Lg, not %Lg", bits, at[c], got, want);
        }
        free(p.data), free(t.data), free(terms.data);
    }
}

TEST(gradients_agree_with_central_differences) {
    EACH_PLAIN_LOSS(i)
    for (int width = 1; width <= 70; width += 23) {
        const ae_loss_ops *loss = ae_loss_get(64, AE_ISA_REF, i);
        const int64_t rows = 9;
        const double scale = 0.3, weight[9] = {1, 0.5, 2, 0, 1, 3, 1, 1, 0.25};
        matrix p, t, gradient = matrix_new(64, rows, width, 99);
        make_data(loss, 64, rows, width, &p, &t);
        double up[9], down[9], squares = 0, errors = 0;
        ae_loss_call call = make_call(&p, &t, up, &gradient);
        call.scale = scale;
        call.row_weight = weight;
        loss->rows(&call);
        call.gradient = NULL;
        for (int64_t c = 0; c < width; c++) {
            const double h = 1e-5;
            for (int64_t r = 0; r < rows; r++)
                set(&p, r, c, get(&p, r, c) + h);
            call.row_loss = up;
            loss->rows(&call);
            for (int64_t r = 0; r < rows; r++)
                set(&p, r, c, get(&p, r, c) - 2 * h);
            call.row_loss = down;
            loss->rows(&call);
            for (int64_t r = 0; r < rows; r++) {
                set(&p, r, c, get(&p, r, c) + h);
                const double difference = scale * weight[r] * (up[r] - down[r]) / (2 * h);
                const double g = get(&gradient, r, c);
                squares += g * g;
                errors += (g - difference) * (g - difference);
            }
        }
        /* A softmax over one feature is constant: its gradient is zero up to rounding. */
        const double floor_of_rounding = is_softmax(i) && width == 1 ? 1e-15 : 0;
        CHECK(sqrt(errors) < 1e-6 * sqrt(squares) + floor_of_rounding, "%s, width %d: %g of %g", loss->name, width,
              sqrt(errors), sqrt(squares));
        free(p.data), free(t.data), free(gradient.data);
    }
}

TEST(every_instruction_set_gives_the_same_bits) {
    EACH_PLAIN_LOSS(i)
    for (int bits = 32; bits <= 64; bits += 32)
        for (int k = 0; k < N_WIDTHS; k++) {
            const ae_loss_ops *ref = ae_loss_get(bits, AE_ISA_REF, i);
            const int64_t rows = 1 + (k * 5) % 19, width = widths[k];
            matrix p, t, out = matrix_new(bits, rows, width, 0.5), want = matrix_new(bits, rows, width, 0.5);
            make_data(ref, bits, rows, width, &p, &t);
            double weight[20], loss_want[20], loss_got[20];
            for (int r = 0; r < 20; r++)
                weight[r] = uniform();
            for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
                const ae_loss_ops *loss = loss_at(bits, (ae_isa)isa, i);
                for (int kind = 0; loss && kind < 3; kind++) {
                    const matrix *outputs[2] = {&want, &out};
                    for (int which = 0; which < 2; which++) {
                        ae_loss_call call = make_call(&p, &t, which ? loss_got : loss_want, (matrix *)outputs[which]);
                        call.row_weight = weight;
                        call.accumulate = kind == 1;
                        const ae_loss_ops *ops = which ? loss : ref;
                        if (kind == 2)
                            ops->terms(&call);
                        else
                            ops->rows(&call);
                    }
                    CHECK(!memcmp(want.data, out.data, matrix_bytes(&out)) &&
                              !memcmp(loss_want, loss_got, (size_t)rows * sizeof(double)),
                          "%s f%d %s width %d kind %d", ref->name, bits, ae_isa_name((ae_isa)isa), widths[k], kind);
                }
            }
            free(p.data), free(t.data), free(out.data), free(want.data);
        }
}

TEST(a_row_depends_on_itself_only) {
    static const int64_t cuts[] = {0, 5, 6, 14, 21};
    EACH_PLAIN_LOSS(i)
    for (int bits = 32; bits <= 64; bits += 32)
        for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
            const ae_loss_ops *loss = loss_at(bits, (ae_isa)isa, i);
            if (!loss)
                continue;
            const int64_t rows = 21, width = 50;
            matrix p, t, whole = matrix_new(bits, rows, width, 0), parts = matrix_new(bits, rows, width, 0);
            matrix p1 = matrix_new(bits, 1, width, 0), t1 = matrix_new(bits, 1, width, 0), g1 = matrix_new(bits, 1, width, 9);
            make_data(loss, bits, rows, width, &p, &t);
            double loss_whole[21], loss_parts[21], loss_alone;
            ae_loss_call call = make_call(&p, &t, loss_whole, &whole);
            loss->rows(&call);
            call = make_call(&p, &t, loss_parts, &parts);
            for (int k = 0; k < 4; k++) {
                call.row0 = cuts[k];
                call.row1 = cuts[k + 1];
                loss->rows(&call);
            }
            CHECK(!memcmp(whole.data, parts.data, matrix_bytes(&whole)) && !memcmp(loss_whole, loss_parts, sizeof loss_whole),
                  "%s f%d in parts", loss->name, bits);
            for (int64_t c = 0; c < width; c++) {
                set(&p1, 0, c, get(&p, 13, c));
                set(&t1, 0, c, get(&t, 13, c));
            }
            call = make_call(&p1, &t1, &loss_alone, &g1);
            loss->rows(&call);
            int same = loss_alone == loss_whole[13];
            for (int64_t c = 0; c < ae_panels(width) * AE_PANEL; c++)
                same &= get(&g1, 0, c) == get(&whole, 13, c);
            CHECK(same, "%s f%d: a row alone", loss->name, bits);
            free(p.data), free(t.data), free(whole.data), free(parts.data);
            free(p1.data), free(t1.data), free(g1.data);
        }
}

TEST(gradient_padding_weights_and_accumulation) {
    EACH_PLAIN_LOSS(i)
    for (int isa = 0; isa < AE_ISA_COUNT; isa++)
        for (int k = 0; k < N_WIDTHS; k++) {
            const ae_loss_ops *loss = loss_at(64, (ae_isa)isa, i);
            if (!loss)
                continue;
            const int64_t rows = 11, width = widths[k];
            /* Of the parts that make a gradient, which may cancel. */
            const double close = 1e-14;
            const double weight[11] = {1, 2, 0, 0.5, 1, 1, 1, 1, 1, 4, 1};
            matrix p, t, plain = matrix_new(64, rows, width, 99), weighted = matrix_new(64, rows, width, 99);
            make_data(loss, 64, rows, width, &p, &t);
            double loss_plain[11], loss_weighted[11];
            ae_loss_call call = make_call(&p, &t, loss_plain, &plain);
            loss->rows(&call);
            call = make_call(&p, &t, loss_weighted, &weighted);
            call.row_weight = weight;
            call.scale = 0.125;
            loss->rows(&call);
            CHECK(!memcmp(loss_plain, loss_weighted, sizeof loss_plain), "%s: weights change the loss", loss->name);
            /* On top of a gradient, some rows only. */
            for (int64_t r = 0; r < rows; r++)
                for (int64_t c = 0; c < width; c++) {
                    const double g = get(&plain, r, c), w = get(&weighted, r, c), want = 0.125 * weight[r] * g;
                    CHECK(fabs(w - want) <= close * (fabs(want) + 1.0 / (double)width), "%s: weighted gradient", loss->name);
                }
            for (int64_t r = 0; r < rows; r++)
                for (int64_t c = width; c < ae_panels(width) * AE_PANEL; c++)
                    CHECK(get(&plain, r, c) == 0 && get(&weighted, r, c) == 0, "%s: padding", loss->name);
            matrix both = matrix_new(64, rows, width, 0);
            memcpy(both.data, plain.data, matrix_bytes(&plain));
            call.gradient = both.data;
            call.accumulate = true;
            call.row0 = 2;
            call.row1 = 10;
            loss->rows(&call);
            for (int64_t r = 0; r < rows; r++)
                for (int64_t c = 0; c < ae_panels(width) * AE_PANEL; c++) {
                    const double before = get(&plain, r, c), added = r >= 2 && r < 10 ? get(&weighted, r, c) : 0;
                    const double got = get(&both, r, c), size = fabs(before) + fabs(added);
                    CHECK(added == 0 ? got == before : fabs(got - before - added) <= close * (size + 1.0 / (double)width),
                          "%s: accumulated %g, not %g", loss->name, got, before + added);
                }
            free(p.data), free(t.data), free(plain.data), free(weighted.data), free(both.data);
        }
}

TEST(extreme_logits_stay_finite) {
    EACH_PLAIN_LOSS(i)
    if (is_softmax(i) || ae_loss_get(64, AE_ISA_REF, i)->link == AE_LOGISTIC)
        for (int bits = 32; bits <= 64; bits += 32)
            for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
                const ae_loss_ops *loss = loss_at(bits, (ae_isa)isa, i);
                if (!loss)
                    continue;
                const double largest = bits == 32 ? (double)FLT_MAX : DBL_MAX, sizes[] = {100, 800, 1e4, 1e30, largest};
                for (int k = 0; k < 5; k++)
                    for (int one = 0; one < 2; one++) {
                        matrix p = matrix_new(bits, 1, 2, 0), t = matrix_new(bits, 1, 2, 0), g = matrix_new(bits, 1, 2, 0);
                        matrix terms = matrix_new(bits, 1, 2, 0);
                        set(&p, 0, 0, sizes[k]);
                        set(&p, 0, 1, -sizes[k]);
                        set(&t, 0, one, 1);
                        ae_loss_call call = make_call(&p, &t, NULL, &g);
                        loss->rows(&call);
                        call.gradient = terms.data;
                        loss->terms(&call);
                        for (int c = 0; c < 2; c++) {
                            CHECK(isfinite(get(&terms, 0, c)) && get(&terms, 0, c) >= 0, "%s f%d term %g at %g", loss->name,
                                  bits, get(&terms, 0, c), get(&p, 0, c));
                            CHECK(fabs(get(&g, 0, c)) <= 0.5, "%s f%d gradient", loss->name, bits);
                        }
                        /* Right with certainty costs nothing, wrong with certainty costs much. */
                        const double cost = get(&terms, 0, 0) + get(&terms, 0, 1);
                        CHECK(one ? cost >= sizes[k] : cost <= 1e-40 + 2 * exp(-sizes[k]), "%s: cost %g at %g", loss->name,
                              cost, sizes[k]);
                        free(p.data), free(t.data), free(g.data), free(terms.data);
                    }
            }
}

/* Divergence is found by the row losses, so none may hide it. */
TEST(what_is_not_finite_shows) {
    EACH_PLAIN_LOSS(i)
    for (int bits = 32; bits <= 64; bits += 32)
        for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
            const ae_loss_ops *loss = loss_at(bits, (ae_isa)isa, i);
            if (!loss)
                continue;
            for (int column = 0; column < 40; column += 13)
                for (int infinite = 0; infinite < 2; infinite++) {
                    matrix p, t;
                    make_data(loss, bits, 3, 40, &p, &t);
                    set(&p, 1, column, infinite ? (double)INFINITY : (double)NAN);
                    double row_loss[3];
                    ae_loss_call call = make_call(&p, &t, row_loss, NULL);
                    loss->rows(&call);
                    CHECK(isfinite(row_loss[0]) && !isfinite(row_loss[1]) && isfinite(row_loss[2]), "%s f%d %s: %g", loss->name,
                          bits, ae_isa_name((ae_isa)isa), row_loss[1]);
                    free(p.data), free(t.data);
                }
        }
}

/* The nonzero entries of a target as pairs; rows 1, 4, 7 ... have none. */
static ae_pairs pairs_of(matrix *target, int64_t most) {
    ae_pairs pairs = {.most = most,
                      .count = calloc((size_t)target->rows, sizeof(int32_t)),
                      .column = malloc((size_t)(target->rows * most) * sizeof(int32_t)),
                      .value = malloc((size_t)(target->rows * most) * (size_t)target->bits / 8)};
    for (int64_t r = 0; r < target->rows; r++)
        for (int64_t c = 0; c < target->width; c++) {
            if (r % 3 == 1 || uniform() < 0.5)
                set(target, r, c, 0);
            const double t = get(target, r, c);
            if (t == 0)
                continue;
            const int64_t at = r * most + pairs.count[r]++;
            pairs.column[at] = (int32_t)c;
            if (target->bits == 32)
                ((float *)pairs.value)[at] = (float)t;
            else
                ((double *)pairs.value)[at] = t;
        }
    return pairs;
}

/* Losses that read pairs: the bits of the dense target, which is then not read, with and without a gradient, added or written,
 * for several rows of the prediction to one of the target; and a logit that is no number shows in a row without pairs too. */
TEST(pairs_give_the_bits_of_the_dense_target) {
    int reading = 0;
    EACH_PLAIN_LOSS(i)
    for (int bits = 32; bits <= 64; bits += 32)
        for (int k = 0; k < N_WIDTHS; k++)
            for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
                const ae_loss_ops *loss = loss_at(bits, (ae_isa)isa, i);
                if (!loss || !(loss->flags & AE_LOSS_READS_PAIRS))
                    continue;
                reading++;
                const int64_t rows = 18, width = widths[k];
                for (int64_t repeat = 1; repeat <= 3; repeat++) {
                    matrix p, t, unused, out[2] = {matrix_new(bits, rows, width, 0.5), matrix_new(bits, rows, width, 0.5)};
                    make_data(loss, bits, rows, width, &p, &unused);
                    free(unused.data);
                    make_data(loss, bits, rows / repeat, width, &unused, &t);
                    free(unused.data);
                    ae_pairs pairs = pairs_of(&t, width);
                    double weight[18], row_loss[2][18];
                    for (int r = 0; r < 18; r++)
                        weight[r] = r == 5 ? 0 : uniform();
                    for (int kind = 0; kind < 4; kind++) {
                        if (kind == 3)
                            set(&p, 1, width / 2, (double)NAN);
                        for (int by_pairs = 0; by_pairs < 2; by_pairs++) {
                            ae_loss_call call = make_call(&p, &t, row_loss[by_pairs], kind ? &out[by_pairs] : NULL);
                            call.row_weight = weight;
                            call.accumulate = kind == 2;
                            call.target_repeat = repeat;
                            if (by_pairs) {
                                call.target = NULL;
                                call.target_pairs = &pairs;
                            }
                            loss->rows(&call);
                        }
                        if (kind == 3)
                            CHECK(isnan(row_loss[0][1]) && isnan(row_loss[1][1]) && isfinite(row_loss[1][0]), "%s f%d %s: %g",
                                  loss->name, bits, ae_isa_name((ae_isa)isa), row_loss[1][1]);
                        else
                            CHECK(!memcmp(out[0].data, out[1].data, matrix_bytes(&out[0])) &&
                                      !memcmp(row_loss[0], row_loss[1], sizeof row_loss[0]),
                                  "%s f%d %s width %d repeat %d kind %d", loss->name, bits, ae_isa_name((ae_isa)isa), widths[k],
                                  (int)repeat, kind);
                    }
                    free(p.data), free(t.data), free(out[0].data), free(out[1].data);
                    free(pairs.count), free(pairs.column), free(pairs.value);
                }
            }
    CHECK(reading >= 2 * 2 * N_WIDTHS, "%d", reading); /* multinomial and categorical, in both precisions */
}

int main(void) {
    RUN(registry_is_the_same_everywhere);
    RUN(values_agree_with_long_double);
    RUN(log_loss_of_wide_rows);
    RUN(log_cosh_keeps_small_differences);
    RUN(gradients_agree_with_central_differences);
    RUN(every_instruction_set_gives_the_same_bits);
    RUN(a_row_depends_on_itself_only);
    RUN(gradient_padding_weights_and_accumulation);
    RUN(extreme_logits_stay_finite);
    RUN(what_is_not_finite_shows);
    RUN(pairs_give_the_bits_of_the_dense_target);
    return harness_finish("test_losses");
}
