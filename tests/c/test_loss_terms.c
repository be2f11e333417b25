/* What a term of an objective may have beside prediction and target: a second parameter, factors of entries, samples, joined
 * samples; and likelihoods, whose densities add up to one. */
#include "harness.h"
#include "networks.h"
#include "slow.h"

#include "math/kernels.h"

#define BATCH 40
#define SAMPLES 3

typedef struct matrix {
    int64_t rows, width, stride;
    int bits;
    void *data;
} matrix;

static matrix matrix_new(int bits, int64_t rows, int64_t width, double fill) {
    matrix m = {rows, width, ae_panel_stride(rows), bits, NULL};
    const int64_t n = ae_panels(width) * m.stride;
    m.data = malloc((size_t)n * 8);
    for (int64_t i = 0; i < n; i++)
        if (bits == 32)
            ((float *)m.data)[i] = (float)fill;
        else
            ((double *)m.data)[i] = fill;
    return m;
}
static size_t bytes_of(const matrix *m) { return (size_t)(ae_panels(m->width) * m->stride) * (size_t)m->bits / 8; }
static int64_t place(const matrix *m, int64_t r, int64_t c) { return c / AE_PANEL * m->stride + r * AE_PANEL + c % AE_PANEL; }
static double get(const matrix *m, int64_t r, int64_t c) {
    return m->bits == 32 ? (double)((float *)m->data)[place(m, r, c)] : ((double *)m->data)[place(m, r, c)];
}
static void set(matrix *m, int64_t r, int64_t c, double value) {
    if (m->bits == 32)
        ((float *)m->data)[place(m, r, c)] = (float)value;
    else
        ((double *)m->data)[place(m, r, c)] = value;
}
/* Rows in which each row of `from` stands `repeat` times. */
static matrix repeated(const matrix *from, int64_t repeat) {
    matrix m = matrix_new(from->bits, from->rows * repeat, from->width, 3);
    for (int64_t r = 0; r < m.rows; r++)
        for (int64_t c = 0; c < m.width; c++)
            set(&m, r, c, get(from, r / repeat, c));
    return m;
}

/* A call with everything: k rows of prediction for one of target, entry weights and row weights. */
typedef struct sample_call {
    matrix prediction, target, second, entry, gradient, second_gradient;
    double row_weight[64], row_loss[64];
    ae_loss_call call;
} sample_call;

static void make(sample_call *s, const ae_loss_ops *loss, int bits, int64_t rows, int64_t k, int64_t width) {
    s->prediction = matrix_new(bits, rows * k, width, 7e8), s->second = matrix_new(bits, rows * k, width, -9e7);
    s->target = matrix_new(bits, rows, width, -3e8), s->entry = matrix_new(bits, rows, width, 5e6);
    s->gradient = matrix_new(bits, rows * k, width, 99), s->second_gradient = matrix_new(bits, rows * k, width, 98);
    for (int64_t r = 0; r < rows * k; r++)
        for (int64_t c = 0; c < width; c++) {
            set(&s->prediction, r, c, 4 * network_unit() - 2);
            set(&s->second, r, c, 5 * network_unit() - 2);
        }
    for (int64_t r = 0; r < rows; r++) {
        s->row_weight[r] = r == 2 ? 0 : 0.5 + network_unit();
        for (int64_t c = 0; c < width; c++) {
            const double u = network_unit();
            set(&s->target, r, c,
                loss->target == AE_TARGET_UNIT_INTERVAL ? u
                : loss->target == AE_TARGET_NONNEGATIVE ? floor(6 * u)
                                                        : 4 * u - 2);
            set(&s->entry, r, c, network_draw() % 4 ? 2 * network_unit() : 0);
        }
    }
    s->call = (ae_loss_call){.prediction = s->prediction.data,
                             .prediction_stride = s->prediction.stride,
                             .width = width,
                             .row1 = rows * k,
                             .parameter = 0.75,
                             .scale = 0.3,
                             .row_weight = s->row_weight,
                             .weight_repeat = k,
                             .row_loss = s->row_loss,
                             .gradient = s->gradient.data};
    if (!(loss->flags & AE_LOSS_NO_TARGET)) {
        s->call.target = s->target.data;
        s->call.target_stride = s->target.stride;
        s->call.target_repeat = k;
    }
    if (!(loss->flags & AE_LOSS_ROW)) {
        s->call.entry_weight = s->entry.data;
        s->call.entry_stride = s->entry.stride;
        s->call.entry_repeat = k;
    }
    if (loss->flags & AE_LOSS_SECOND) {
        s->call.second = s->second.data;
        s->call.second_gradient = s->second_gradient.data;
    }
}
static void drop(sample_call *s) {
    free(s->prediction.data), free(s->target.data), free(s->second.data);
    free(s->entry.data), free(s->gradient.data), free(s->second_gradient.data);
}

static const int64_t widths[] = {1, 31, 33, 70};

#define EACH_CASE(i, w, k)                               \
    for (int i = 0; ae_loss_get(64, AE_ISA_REF, i); i++) \
        for (int w = 0; w < 4; w++)                      \
            for (int64_t k = 1; k <= SAMPLES; k += SAMPLES - 1)

TEST(gradients_of_calls_with_everything) {
    EACH_CASE(i, w, k) {
        const ae_loss_ops *loss = ae_loss_get(64, AE_ISA_REF, i);
        const int64_t rows = 5, width = widths[w];
        sample_call s;
        make(&s, loss, 64, rows, k, width);
        loss->rows(&s.call);
        ae_loss_call value = s.call;
        value.gradient = value.second_gradient = NULL;
        double up[64], down[64];
        for (int which = 0; which < (loss->flags & AE_LOSS_SECOND ? 2 : 1); which++) {
            matrix *at = which ? &s.second : &s.prediction, *g = which ? &s.second_gradient : &s.gradient;
            double error = 0, norm = 0;
            for (int64_t c = 0; c < width; c++) {
                const double h = 1e-5;
                for (int side = 0; side < 2; side++) {
                    for (int64_t r = 0; r < rows * k; r++)
                        set(at, r, c, get(at, r, c) + (side ? -2 * h : h));
                    value.row_loss = side ? down : up;
                    loss->rows(&value);
                }
                for (int64_t r = 0; r < rows * k; r++) {
                    set(at, r, c, get(at, r, c) + h);
                    const double numeric = 0.3 * s.row_weight[r / k] * (up[r] - down[r]) / (2 * h), got = get(g, r, c);
                    error += (numeric - got) * (numeric - got);
                    norm += numeric * numeric;
                }
            }
            CHECK(sqrt(error) <= 1e-6 * sqrt(norm) + 1e-9, "%s, width %d, %d samples, %d: off by %g of %g", loss->name,
                  (int)width, (int)k, which, sqrt(error), sqrt(norm));
            for (int64_t r = 0; r < rows * k; r++)
                for (int64_t c = 0; c < ae_panels(width) * AE_PANEL; c++)
                    CHECK((c < width && r / k != 2) || get(g, r, c) == 0, "%s: padding or a row without weight", loss->name);
        }
        drop(&s);
    }
}

TEST(instruction_sets_cuts_and_repeats_give_the_same_bits) {
    EACH_CASE(i, w, k) for (int bits = 32; bits <= 64; bits += 32) {
        const ae_loss_ops *ref = ae_loss_get(bits, AE_ISA_REF, i);
        const int64_t rows = 9, width = widths[w];
        sample_call s;
        make(&s, ref, bits, rows, k, width);
        ref->rows(&s.call);
        matrix g = matrix_new(bits, rows * k, width, 99), h = matrix_new(bits, rows * k, width, 98);
        double loss[64], whole[64], nll[64];
        if (ref->likelihood) {
            ae_loss_call call = s.call;
            call.row_loss = whole;
            ref->likelihood(&call);
        }
        for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
            const ae_loss_ops *ops = ae_cpu_has((ae_isa)isa) ? ae_loss_get(bits, (ae_isa)isa, i) : NULL;
            if (!ops)
                continue;
            ae_loss_call call = s.call;
            call.row_loss = loss;
            call.gradient = g.data;
            call.second_gradient = call.second ? h.data : NULL;
            for (int64_t cut = 0; cut < rows * k; cut += 4) {
                call.row0 = cut;
                call.row1 = cut + 4 < rows * k ? cut + 4 : rows * k;
                ops->rows(&call);
            }
            bool same = !memcmp(loss, s.row_loss, (size_t)(rows * k) * 8) && !memcmp(g.data, s.gradient.data, bytes_of(&g)) &&
                        !memcmp(h.data, s.second_gradient.data, bytes_of(&h));
            CHECK(same, "%s f%d %s width %d", ref->name, bits, ae_isa_name((ae_isa)isa), (int)width);
            call.row0 = 0;
            call.row_loss = nll;
            if (ops->likelihood) {
                ops->likelihood(&call);
                CHECK(!memcmp(nll, whole, (size_t)(rows * k) * 8), "%s f%d %s: likelihood", ref->name, bits,
                      ae_isa_name((ae_isa)isa));
            }
        }
        /* Written out, the repeated rows are rows. */
        matrix target = repeated(&s.target, k), entry = repeated(&s.entry, k);
        ae_loss_call call = s.call;
        call.target = call.target ? target.data : NULL;
        call.entry_weight = call.entry_weight ? entry.data : NULL;
        call.target_stride = call.entry_stride = target.stride;
        call.target_repeat = call.entry_repeat = 1;
        call.row_loss = loss;
        call.gradient = g.data;
        ref->rows(&call);
        CHECK(!memcmp(loss, s.row_loss, (size_t)(rows * k) * 8) && !memcmp(g.data, s.gradient.data, bytes_of(&g)),
              "%s f%d: repeated rows", ref->name, bits);
        free(target.data), free(entry.data), free(g.data), free(h.data);
        drop(&s);
    }
}

TEST(entry_weights_are_factors) {
    EACH_CASE(i, w, k) {
        const ae_loss_ops *loss = ae_loss_get(64, AE_ISA_REF, i);
        const int64_t rows = 5, width = widths[w];
        sample_call s;
        if (loss->flags & AE_LOSS_ROW)
            continue;
        make(&s, loss, 64, rows, k, width);
        /* Where the weight is zero nothing is read into the result. */
        for (int64_t r = 0; r < rows * k; r++)
            for (int64_t c = 0; c < width; c++)
                if (get(&s.entry, r / k, c) == 0)
                    set(&s.prediction, r, c, NAN);
        ae_loss_call call = s.call;
        loss->rows(&call);
        matrix plain = matrix_new(64, rows * k, width, 1), weighted = matrix_new(64, rows * k, width, 1);
        call.gradient = weighted.data;
        loss->terms(&call);
        call.gradient = plain.data;
        call.entry_weight = NULL;
        loss->terms(&call);
        for (int64_t r = 0; r < rows * k; r++) {
            double sum = 0;
            for (int64_t c = 0; c < width; c++) {
                const double e = get(&s.entry, r / k, c), want = e == 0 ? 0 : e * get(&plain, r, c);
                CHECK(get(&weighted, r, c) == want, "%s: a term", loss->name);
                CHECK(isfinite(get(&s.gradient, r, c)) && (e != 0 || get(&s.gradient, r, c) == 0), "%s: gradient", loss->name);
                sum += want;
            }
            CHECK(fabs(s.row_loss[r] * (double)width - sum) < 1e-12 * (1 + fabs(sum) + (double)width),
                  "%s: mean over the width", loss->name);
        }
        free(plain.data), free(weighted.data);
        drop(&s);
    }
}

TEST(no_target_is_a_target_of_zeros) {
    EACH_CASE(i, w, k) {
        const ae_loss_ops *loss = ae_loss_get(32, AE_ISA_REF, i);
        sample_call s;
        make(&s, loss, 32, 5, k, widths[w]);
        matrix zeros = matrix_new(32, 5, widths[w], 0), g = matrix_new(32, 5 * k, widths[w], 99);
        double row_loss[64];
        ae_loss_call call = s.call;
        call.target = NULL;
        loss->rows(&call);
        call.target = zeros.data;
        call.target_stride = zeros.stride;
        call.row_loss = row_loss;
        call.gradient = g.data;
        loss->rows(&call);
        CHECK(!memcmp(row_loss, s.row_loss, (size_t)(5 * k) * 8), "%s", loss->name);
        CHECK(!memcmp(g.data, s.gradient.data, bytes_of(&g)), "%s: gradient", loss->name);
        free(zeros.data), free(g.data);
        drop(&s);
    }
}

/* e^-nll adds up to one over all targets: constants and all. */
TEST(densities_integrate_to_one) {
    static const struct {
        const char *loss;
        double low, step;
        int n;
        double prediction, second;
    } cases[] = {{"squared_error", -20, 1.0 / 64, 2560, 0.3, 0},
                 {"absolute_error", -40, 1.0 / 64, 5120, 0.3125, 0},
                 {"huber", -60, 1.0 / 64, 7680, -1.1, 0},
                 {"log_cosh", -40, 1.0 / 64, 5120, 0.3, 0},
                 {"gaussian", -30, 1.0 / 64, 3840, 1.7, -1},
                 {"gaussian", -60, 1.0 / 64, 7680, -2, 2.5},
                 {"poisson", 0, 1, 400, 3, 0},
                 {"log_loss", 0, 1, 2, 0.7, 0},
                 {"negative_binomial", 0, 1, 4000, 2, -1},
                 {"negative_binomial", 0, 1, 4000, 3, 2.5},
                 {"negative_binomial", 0, 1, 400, 2, 9},
                 {"negative_binomial", 0, 1, 4000, -3, -7}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int bits = 32; bits <= 64; bits += 32) {
            const ae_loss_ops *loss = ae_loss_get(bits, AE_ISA_REF, ae_loss_find(cases[i].loss));
            const int n = cases[i].n;
            matrix p = matrix_new(bits, n, 1, 0), t = matrix_new(bits, n, 1, 0), q = matrix_new(bits, n, 1, 0);
            double *nll = malloc((size_t)n * 8), sum = 0, mean = 0;
            for (int r = 0; r < n; r++) {
                set(&p, r, 0, cases[i].prediction);
                set(&q, r, 0, cases[i].second);
                set(&t, r, 0, cases[i].low + cases[i].step * r);
            }
            loss->likelihood(&(ae_loss_call){.prediction = p.data,
                                             .target = t.data,
                                             .second = q.data,
                                             .prediction_stride = p.stride,
                                             .target_stride = t.stride,
                                             .width = 1,
                                             .row1 = n,
                                             .parameter = 0.75,
                                             .row_loss = nll});
            for (int r = 0; r < n; r++) {
                sum += exp(-nll[r]) * cases[i].step;
                mean += exp(-nll[r]) * cases[i].step * (cases[i].low + cases[i].step * r);
            }
            /* The kink of absolute_error costs the rule of rectangles 1e-5. */
            const double close = bits == 32 ? 2e-4 : cases[i].loss[0] == 'a' ? 1e-4 : 1e-6;
            const double want = loss->link == AE_EXP        ? exp(cases[i].prediction)
                                : loss->link == AE_LOGISTIC ? 1 / (1 + exp(-cases[i].prediction))
                                                            : cases[i].prediction;
            CHECK(fabs(sum - 1) < close, "%s %d f%d: %.9g", cases[i].loss, (int)i, bits, sum);
            CHECK(fabs(mean - want) < 10 * close * (1 + fabs(want)), "%s %d f%d: mean %g, not %g", cases[i].loss, (int)i, bits,
                  mean, want);
            free(p.data), free(t.data), free(q.data), free(nll);
        }
}

TEST(multinomial_counts_add_up_to_one) {
    const ae_loss_ops *loss = ae_loss_get(64, AE_ISA_REF, ae_loss_find("multinomial"));
    double sum = 0, nll;
    matrix p = matrix_new(64, 1, 3, 9), t = matrix_new(64, 1, 3, 9);
    set(&p, 0, 0, 0.2), set(&p, 0, 1, -1), set(&p, 0, 2, 1.5);
    for (int a = 0; a <= 6; a++)
        for (int b = 0; a + b <= 6; b++) {
            set(&t, 0, 0, a), set(&t, 0, 1, b), set(&t, 0, 2, 6 - a - b);
            loss->likelihood(&(ae_loss_call){.prediction = p.data,
                                             .target = t.data,
                                             .prediction_stride = p.stride,
                                             .target_stride = t.stride,
                                             .width = 3,
                                             .row1 = 1,
                                             .row_loss = &nll});
            sum += exp(-nll);
        }
    CHECK(fabs(sum - 1) < 1e-13, "%.17g", sum);
    free(p.data), free(t.data);
}

/* Where the logarithms of two gamma functions cancel. */
TEST(negative_binomial_with_large_dispersion) {
    for (int bits = 32; bits <= 64; bits += 32) {
        const ae_loss_ops *loss = ae_loss_get(bits, AE_ISA_REF, ae_loss_find("negative_binomial"));
        for (int i = 0; i < 60; i++) {
            const double s = -10 + i / 3.0, z = 6 * network_unit() - 1;
            matrix p = matrix_new(bits, 1, 1, z), q = matrix_new(bits, 1, 1, s),
                   t = matrix_new(bits, 1, 1, floor(40 * network_unit()));
            const long double sz = get(&p, 0, 0), ss = get(&q, 0, 0), k = get(&t, 0, 0), theta = expl(ss);
            const long double want = lgammal(k + 1) - lgammal(k + theta) + lgammal(theta) + theta * log1pl(expl(sz - ss)) +
                                     k * log1pl(expl(ss - sz));
            double got;
            loss->likelihood(&(ae_loss_call){.prediction = p.data,
                                             .target = t.data,
                                             .second = q.data,
                                             .prediction_stride = p.stride,
                                             .target_stride = t.stride,
                                             .width = 1,
                                             .row1 = 1,
                                             .row_loss = &got});
            CHECK(fabsl(got - want) < (bits == 32 ? 1e-4L : 1e-12L) * (1 + fabsl(want)),
                  "f%d s = %g z = %g t = %g: %.9g, not %.9Lg", bits, s, z, (double)k, got, want);
            free(p.data), free(q.data), free(t.data);
        }
    }
}

/* ---- in a trainer ---- */

static double x[BATCH * 7], y[BATCH * 5], e[BATCH * 5], weights[BATCH];

/* Code with SAMPLES rows each, a decoder over them with two heads, terms of both kinds: factors of entries, a penalty without
 * target, a node predicted here and a target there. */
static program samples_program(int combine) {
    program p = {.options = plain_options(64)};
    p.options.batch_size = BATCH;
    p.options.clip_norm = 1e6; /* keeps the gradient */
    network *n = &p.net;
    const int in = network_input(n, 7, 0), target = network_input(n, 5, 1), entry = network_input(n, 5, 2);
    const int h = network_dense(n, in, 4 * SAMPLES, AE_TANH);
    const int z = network_add(n, "split_rows", NULL, 1, h);
    n->node[z].multiplicity = SAMPLES;
    const int mean = network_dense(n, z, 5, AE_IDENTITY), spread = network_dense(n, z, 5, AE_TANH);
    const int plain = network_dense(n, in, 5, AE_TANH);
    program_loss(&p, "gaussian", mean, target, 5);
    p.loss[0].second = spread;
    p.loss[0].entry_weight = entry;
    program_loss(&p, "squared_error", mean, plain, 0.7);
    program_loss(&p, "sum", spread, -1, 1.3);
    program_loss(&p, "absolute_error", z, -1, 0.4);
    program_loss(&p, "squared_error", plain, target, 0.9);
    program_loss(&p, "sum", mean, -1, 0.2);
    program_stage(&p, "adam");
    p.stage[0].combine = combine;
    return p;
}

static ae_trainer *bound(const program *p) {
    ae_context context;
    ae_trainer *t = NULL;
    const ae_data sources[3] = {dense_data(x, AE_F64, BATCH, 7), dense_data(y, AE_F64, BATCH, 5),
                                dense_data(e, AE_F64, BATCH, 5)};
    if (program_trainer(&context, p, &t) != AE_OK || ae_trainer_bind(&context, t, 0, sources, 3, weights) != AE_OK ||
        ae_trainer_initialize(&context, t) != AE_OK)
        CHECK(0, "%s", context.message);
    return t;
}

static double objective(ae_trainer *t, const void **gradient) {
    ae_context context;
    double loss = NAN;
    CHECK(ae_trainer_gradient(&context, t, 0, true, &loss, gradient) == AE_OK, "%s", context.message);
    return loss;
}

TEST(gradients_of_samples) {
    for (int combine = 0; combine < 2; combine++) {
        program p = samples_program(combine);
        ae_context context;
        /* Differences would see what flows into a target; joined terms cannot be told apart for the check below. */
        p.loss[1].target = combine ? 1 : p.loss[1].target;
        ae_trainer *t = bound(&p);
        if (!t)
            return;
        ae_net *net = ae_trainer_net(t);
        const void *region;
        double error = 0, norm = 0;
        for (int i = 0; i < net->n_parameters; i++) {
            const int64_t n = net->parameters[i].request.rows * net->parameters[i].request.columns;
            double *w = malloc((size_t)n * 8), *g = malloc((size_t)n * 8);
            CHECK(ae_trainer_set_loss_weight(&context, t, 1, p.loss[1].weight) == AE_OK, "%s", context.message);
            objective(t, &region);
            ae_net_unpack(net, i, region, g);
            ae_net_get_parameter(net, i, w);
            /* Nothing flows into a node as a target: its gradient is that without the term. */
            const bool target = net->parameters[i].use[0].node == p.loss[1].target;
            CHECK(ae_trainer_set_loss_weight(&context, t, 1, target ? 0 : p.loss[1].weight) == AE_OK, "%s", context.message);
            for (int64_t j = 0; j < n; j += FEWER * (1 + n / 12)) {
                const double at = w[j], h = 1e-5;
                w[j] = at + h, ae_net_set_parameter(net, i, w);
                const double up = objective(t, &region);
                w[j] = at - h, ae_net_set_parameter(net, i, w);
                const double down = objective(t, &region), numeric = (up - down) / (2 * h);
                w[j] = at, ae_net_set_parameter(net, i, w);
                error += (numeric - g[j]) * (numeric - g[j]);
                norm += numeric * numeric;
                CHECK(fabs(numeric - g[j]) < 1e-6 * (fabs(numeric) + 0.05), "combine %d: %s %d: %.10g, not %.10g", combine,
                      net->parameters[i].name, (int)j, g[j], numeric);
            }
            free(w), free(g);
        }
        CHECK(norm > 1e-3 && sqrt(error) < 1e-6 * sqrt(norm), "combine %d: off by %g of %g", combine, sqrt(error), sqrt(norm));
        ae_trainer_free(t);
    }
}

TEST(joined_samples_by_their_formula) {
    program p = samples_program(1);
    ae_context context;
    ae_trainer *t = bound(&p);
    ae_predictor *predictor;
    const void *region;
    double rows[BATCH], mean[BATCH], terms[BATCH * 29];
    if (!t)
        return;
    const double loss = objective(t, &region);
    CHECK(ae_predictor_new(&context, &predictor, 64, p.net.node, p.net.n, p.loss, p.n_losses, 2) == AE_OK, "%s",
          context.message);
    ae_net *net = ae_trainer_net(t), *other = ae_predictor_net(predictor);
    memcpy(other->parameter_base, net->parameter_base, (size_t)net->parameter_reals * 8);
    ae_net_pack_all(other);
    const ae_data sources[3] = {dense_data(x, AE_F64, BATCH, 7), dense_data(y, AE_F64, BATCH, 5),
                                dense_data(e, AE_F64, BATCH, 5)};
    ae_predict_call call = {sources, 3, -1, -1, AE_PREDICT_LOSS, 1, AE_F64, .out = (char *)rows};
    CHECK(ae_predictor_run(&context, predictor, &call, NULL, NULL) == AE_OK, "%s", context.message);
    call.combine = 0;
    call.out = (char *)mean;
    CHECK(ae_predictor_run(&context, predictor, &call, NULL, NULL) == AE_OK, "%s", context.message);
    call.what = AE_PREDICT_TERMS;
    call.out = (char *)terms;
    CHECK(ae_predictor_term_width(predictor) == 29 && ae_predictor_run(&context, predictor, &call, NULL, NULL) == AE_OK, "%s",
          context.message);
    double total = 0, weight = 0;
    for (int r = 0; r < BATCH; r++) {
        total += weights[r] * rows[r], weight += weights[r];
        /* Jensen: the bound with samples joined is below. */
        CHECK(rows[r] < mean[r], "row %d: %g, %g", r, rows[r], mean[r]);
        static const int start[7] = {0, 5, 10, 15, 19, 24, 29};
        double by_terms = 0;
        for (int l = 0; l < 6; l++)
            for (int c = start[l]; c < start[l + 1]; c++)
                by_terms += p.loss[l].weight * terms[r * 29 + c] / (start[l + 1] - start[l]);
        CHECK(fabs(by_terms - mean[r]) < 1e-12 * (1 + fabs(mean[r])), "row %d: terms %.15g, mean %.15g", r, by_terms, mean[r]);
    }
    CHECK(fabs(total / weight - loss) < 1e-12 * (1 + fabs(loss)), "trainer %.15g, predictor %.15g", loss, total / weight);
    ae_predictor_free(predictor);
    ae_trainer_free(t);
}

TEST(log_mean_exp_is_stable) {
    const ae_kernels *kernels = ae_kernels_get(64, AE_ISA_REF);
    double share[5], t[5] = {1000, 1001, 999.5, 1e5, 1000};
    long double sum = 0;
    for (int i = 0; i < 5; i++)
        sum += expl(-(long double)t[i]);
    const double got = kernels->log_mean_exp(5, t, share);
    CHECK(fabs(got + (double)logl(sum / 5)) < 1e-12 * got, "%.17g", got);
    double all = 0;
    for (int i = 0; i < 5; i++)
        all += share[i];
    CHECK(fabs(all - 1) < 1e-15 && share[2] > share[0] && share[3] == 0, "shares");
    t[1] = NAN;
    CHECK(isnan(kernels->log_mean_exp(5, t, share)), "NaN shows");
}

/* Every choice of five numbers from infinities, a NaN and three finite ones, against the formula: expl and logl know infinities. */
TEST(log_mean_exp_of_infinities) {
    static const double from[] = {-INFINITY, INFINITY, NAN, -700, 3, 40.5};
    for (int choice = 0; choice < 6 * 6 * 6 * 6 * 6; choice++) {
        double t[5];
        int n_low = 0, n_missing = 0;
        long double sum = 0;
        for (int i = 0, rest = choice; i < 5; i++, rest /= 6) {
            t[i] = from[rest % 6];
            n_low += t[i] == -INFINITY;
            n_missing += isnan(t[i]) != 0;
            sum += expl(-(long double)t[i]);
        }
        const double want = (double)-logl(sum / 5);
        for (int bits = 32; bits <= 64; bits += 32) {
            const ae_kernels *kernels = ae_kernels_get(bits, AE_ISA_REF);
            float narrow[5], narrow_share[5];
            double share[5];
            for (int i = 0; i < 5; i++)
                narrow[i] = (float)t[i];
            const double got = bits == 32 ? kernels->log_mean_exp(5, narrow, narrow_share) : kernels->log_mean_exp(5, t, share);
            CHECK(isnan(want)   ? isnan(got)
                  : isinf(want) ? got == want
                                : fabs(got - want) <= (bits == 32 ? 1e-6 : 1e-14) * (1 + fabs(want)),
                  "f%d of %g %g %g %g %g: %.17g, not %.17g", bits, t[0], t[1], t[2], t[3], t[4], got, want);
            for (int i = 0; i < 5 && !n_missing; i++) {
                const double is = bits == 32 ? (double)narrow_share[i] : share[i];
                const long double of = want == INFINITY ? 0.2L
                                       : n_low          ? (t[i] == -INFINITY ? 1.0L / n_low : 0.0L)
                                                        : expl(-(long double)t[i]) / sum;
                CHECK(fabs(is - (double)of) <= (bits == 32 ? 1e-6 : 1e-14), "f%d: share %d is %g, not %g", bits, i, is,
                      (double)of);
            }
        }
    }
}

TEST(chunks_and_threads_do_not_show) {
    for (int combine = 0; combine < 2; combine++) {
        double *first = NULL;
        for (int way = 0; way < 4; way++) {
            program p = samples_program(combine);
            p.options.chunk_rows = way & 1 ? 8 : 0;
            p.options.n_threads = way & 2 ? 3 : 1;
            p.options.by_panels = way & 2 ? AE_BY_PANELS_ALWAYS : AE_BY_PANELS_CHOSEN;
            ae_trainer *t = bound(&p);
            ae_context context;
            ae_epoch_result result;
            int64_t n;
            if (!t)
                return;
            for (int epoch = 0; epoch < 3; epoch++)
                CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK, "%s", context.message);
            double *w = copy_weights(ae_trainer_net(t), NULL, &n);
            CHECK(!first || !memcmp(first, w, (size_t)n * 8), "combine %d, way %d", combine, way);
            if (first)
                free(w);
            else
                first = w;
            ae_trainer_free(t);
        }
        free(first);
    }
}

TEST(weights_of_losses_and_their_means) {
    program p = samples_program(0);
    p.options.schedule.base = 1e-12; /* weights stand still */
    ae_trainer *t = bound(&p);
    ae_context context;
    ae_epoch_result result;
    double before[6], after[6];
    if (!t)
        return;
    ae_trainer_term_losses(t, before);
    CHECK(ae_trainer_n_losses(t) == 6 && isnan(before[0]) && isnan(before[5]), "before an epoch");
    CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK, "%s", context.message);
    ae_trainer_term_losses(t, before);
    double total = 0;
    for (int l = 0; l < 6; l++)
        total += p.loss[l].weight * before[l];
    CHECK(fabs(total - result.loss) < 1e-13 * (1 + fabs(total)), "%.15g, %.15g", total, result.loss);
    const double was = result.loss;
    CHECK(ae_trainer_set_loss_weight(&context, t, 1, 2.7) == AE_OK, "%s", context.message);
    CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK, "%s", context.message);
    ae_trainer_term_losses(t, after);
    CHECK(fabs(result.loss - was - 2 * before[1]) < 1e-8 && fabs(after[1] - before[1]) < 1e-8, "%g", result.loss - was);
    CHECK(ae_trainer_set_loss_weight(&context, t, 6, 1) == AE_ERR_VALUE && strstr(context.message, "there are 6"), "index");
    CHECK(ae_trainer_set_loss_weight(&context, t, 0, -1) == AE_ERR_VALUE && strstr(context.message, "-1"), "weight");
    ae_trainer_free(t);
    /* L-BFGS: the terms are those of the iterate. */
    p = samples_program(0);
    p.options.clip_norm = INFINITY;
    p.stage[0].rule = -1;
    t = bound(&p);
    for (int epoch = 0; t && epoch < 8; epoch++) {
        CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK, "%s", context.message);
        ae_trainer_term_losses(t, after);
        total = 0;
        for (int l = 0; l < 6; l++)
            total += p.loss[l].weight * after[l];
        CHECK(fabs(total - result.loss) < 1e-12 * (1 + fabs(total)), "%.15g, %.15g", total, result.loss);
    }
    ae_trainer_free(t);
}

TEST(wrong_terms_are_refused) {
#define REFUSED(change, word)                                                                                                \
    do {                                                                                                                     \
        program p = samples_program(1);                                                                                      \
        ae_context context;                                                                                                  \
        ae_trainer *t = NULL;                                                                                                \
        change;                                                                                                              \
        CHECK(program_trainer(&context, &p, &t) == AE_ERR_VALUE && !t && strstr(context.message, word), "%s: '%s'", #change, \
              context.message);                                                                                              \
    } while (0)
    REFUSED(p.loss[0].second = -1, "second is -1");
    REFUSED(p.loss[1].second = 7, "second is 7");
    REFUSED(p.loss[0].second = p.loss[0].prediction, "another node");
    REFUSED(p.loss[0].target = 0, "they must be equal");
    REFUSED(p.loss[0].target = 99, "target is 99");
    REFUSED(p.loss[2].target = 1, "takes none");
    REFUSED(p.loss[0].entry_weight = -2, "entry_weight is -2");
    REFUSED(p.loss[4].target = p.loss[0].prediction, "rows a sample");
    REFUSED((p.loss[1].loss = ae_loss_find("multinomial"), p.loss[1].entry_weight = 2), "weights of entries");
    REFUSED(p.stage[0].combine = 2, "combine is 2");
    REFUSED(p.loss[3].weight = -1, "weight -1");
}

int main(void) {
    fill(x, BATCH * 7, -1, 1);
    fill(y, BATCH * 5, -1, 1);
    for (int i = 0; i < BATCH * 5; i++)
        e[i] = network_draw() % 3 ? 1.5 * network_unit() : 0;
    for (int i = 0; i < BATCH; i++)
        weights[i] = i == 11 ? 0 : 0.5 + network_unit();
    RUN(gradients_of_calls_with_everything);
    RUN(instruction_sets_cuts_and_repeats_give_the_same_bits);
    RUN(entry_weights_are_factors);
    RUN(no_target_is_a_target_of_zeros);
    RUN(densities_integrate_to_one);
    RUN(multinomial_counts_add_up_to_one);
    RUN(negative_binomial_with_large_dispersion);
    RUN(gradients_of_samples);
    RUN(joined_samples_by_their_formula);
    RUN(log_mean_exp_is_stable);
    RUN(log_mean_exp_of_infinities);
    RUN(chunks_and_threads_do_not_show);
    RUN(weights_of_losses_and_their_means);
    RUN(wrong_terms_are_refused);
    return harness_finish("test_loss_terms");
}
