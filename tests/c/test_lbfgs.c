/* L-BFGS on functions whose minimum is known, and its conduct where there is none to be had. */
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "harness.h"
#include "optim/lbfgs.h"

#define N_MAX 256

/* Value and gradient in double. */
typedef double (*function)(const double *x, double *g, int n);

static double rosenbrock(const double *x, double *g, int n) {
    double f = 0;
    memset(g, 0, (size_t)n * sizeof *g);
    for (int i = 0; i + 1 < n; i++) {
        const double a = x[i + 1] - x[i] * x[i], b = 1 - x[i];
        f += 100 * a * a + b * b;
        g[i + 1] += 200 * a;
        g[i] += -400 * a * x[i] - 2 * b;
    }
    return f;
}

/* Curvatures from 1 to 1e6, mixed by a reflection so that no axis is special. Minimum 0. */
static double quadratic(const double *x, double *g, int n) {
    double along = 0, z[N_MAX], f = 0, back = 0;
    for (int i = 0; i < n; i++)
        along += x[i] - 1;
    for (int i = 0; i < n; i++) {
        z[i] = x[i] - 1 - 2 * along / n;
        const double curvature = pow(10, 6.0 * i / (n - 1));
        f += curvature * z[i] * z[i] / 2;
        z[i] *= curvature;
        back += z[i];
    }
    for (int i = 0; i < n; i++)
        g[i] = z[i] - 2 * back / n;
    return f;
}

/* sum of x - log x: not a number below zero, infinite at zero. */
static double barrier(const double *x, double *g, int n) {
    double f = 0;
    for (int i = 0; i < n; i++) {
        f += x[i] == 0 ? (double)INFINITY : x[i] < 0 ? (double)NAN : x[i] - log(x[i]);
        g[i] = 1 - 1 / x[i];
    }
    return f;
}

/* Flat and falling up to a wall where it overflows: long steps, then infinity. */
static double steep(const double *x, double *g, int n) {
    double f = 0;
    for (int i = 0; i < n; i++) {
        const double e = exp(200 * (x[i] - 0.3 * (i % 3)));
        f += e - 200 * x[i];
        g[i] = 200 * e - 200;
    }
    return f;
}

/* The gradient points the wrong way, so nothing lowers f. */
static double liar(const double *x, double *g, int n) {
    double f = 0;
    for (int i = 0; i < n; i++) {
        f += x[i] * x[i];
        g[i] = -2 * x[i] - 1;
    }
    return f;
}

/* A linear autoencoder D-K-D on centred data with independent columns of variance v: mean over the D features of the
 * expected squared error, tr((I - W2 W1) V (I - W2 W1)') / D. Minimum: the sum of all but the K largest variances, over D
 * (Eckart and Young). */
#define D 64
#define K 2
static double variance_of(int i) { return 12.0 / (1 + i) / (1 + 0.2 * i); }
static double autoencoder(const double *x, double *g, int n) {
    const double *w1 = x, *w2 = x + K * D; /* w1: (K, D), w2: (D, K) */
    static double rest[D][D];
    double f = 0;
    memset(g, 0, (size_t)n * sizeof *g);
    for (int i = 0; i < D; i++)
        for (int j = 0; j < D; j++) {
            double r = i == j;
            for (int k = 0; k < K; k++)
                r -= w2[i * K + k] * w1[k * D + j];
            f += r * r * variance_of(j) / D;
            rest[i][j] = -2 * r * variance_of(j) / D;
        }
    for (int i = 0; i < D; i++)
        for (int j = 0; j < D; j++)
            for (int k = 0; k < K; k++) {
                g[k * D + j] += rest[i][j] * w2[i * K + k];
                g[K * D + i * K + k] += rest[i][j] * w1[k * D + j];
            }
    return f;
}

typedef struct outcome {
    double f, x[N_MAX], start_f, highest_rise;
    int iterations, evaluations, infinities;
    bool converged;
} outcome;

typedef struct problem {
    function function;
    int n, memory, max_evaluations, max_iterations;
    double gtol;
    double (*start)(int i);
} problem;

static double evaluate(const problem *p, int bits, const void *x, void *g) {
    double x64[N_MAX], g64[N_MAX];
    for (int i = 0; i < p->n; i++)
        x64[i] = bits == 32 ? (double)((const float *)x)[i] : ((const double *)x)[i];
    const double f = p->function(x64, g64, p->n);
    for (int i = 0; i < p->n; i++)
        if (bits == 32)
            ((float *)g)[i] = (float)g64[i];
        else
            ((double *)g)[i] = g64[i];
    return f;
}

/* With `interrupted` the caller goes away after each request: it keeps x only, evaluates again, in other memory. */
static outcome minimise(const problem *p, int bits, ae_isa isa, bool interrupted) {
    outcome o = {.converged = false};
    const size_t bytes = (size_t)p->n * (size_t)bits / 8;
    char *x = malloc(bytes), *g = malloc(bytes);
    ae_lbfgs *l = NULL;
    ae_context context;
    const ae_status status = ae_lbfgs_new(&context, &l, bits, isa, p->n, p->memory, p->max_evaluations, p->gtol);
    CHECK(status == AE_OK && l, "ae_lbfgs_new");
    for (int i = 0; i < p->n; i++)
        if (bits == 32)
            ((float *)x)[i] = (float)p->start(i);
        else
            ((double *)x)[i] = p->start(i);
    double f = evaluate(p, bits, x, g), before = f;
    o.start_f = f;
    while (l && o.iterations < p->max_iterations && !o.converged) {
        if (interrupted) {
            char *other_x = malloc(bytes), *other_g = malloc(bytes);
            memcpy(other_x, x, bytes);
            memset(x, 0x55, bytes);
            free(x), free(g);
            x = other_x;
            g = other_g;
            f = evaluate(p, bits, x, g);
        }
        switch (ae_lbfgs_advance(l, x, &f, g)) {
        case AE_LBFGS_EVALUATE:
            o.evaluations++;
            f = evaluate(p, bits, x, g);
            o.infinities += !isfinite(f);
            break;
        case AE_LBFGS_ITERATED:
            o.iterations++;
            o.highest_rise = fmax(o.highest_rise, (f - before) / (fabs(before) + 1e-300));
            before = f;
            break;
        case AE_LBFGS_CONVERGED:
            o.converged = true;
        }
    }
    o.f = f;
    for (int i = 0; i < p->n; i++)
        o.x[i] = bits == 32 ? (double)((float *)x)[i] : ((double *)x)[i];
    char *again = malloc(bytes);
    CHECK(o.evaluations == 0 || !isfinite(f) || f == evaluate(p, bits, x, again), "f is not that of x");
    free(again), free(x), free(g);
    ae_lbfgs_free(l);
    return o;
}

static double classic_start(int i) { return i % 2 ? 1 : -1.2; }
static double zero_start(int i) { return i * 0.0; }
static double near_wall(int i) { return 0.01 + 0.001 * i; }
static double low_start(int i) { return -5 - 0.1 * i; }
static double far_start(int i) { return 3 + i % 5; }
static double small_weights(int i) { return 0.1 * sin(1 + 1.37 * i + 0.11 * i * i); }

static const problem rosenbrock_problem = {rosenbrock, 32, 10, 20, 400, 1e-9, classic_start};
static const problem quadratic_problem = {quadratic, 64, 10, 20, 3000, 1e-6, zero_start};
static const problem autoencoder_problem = {autoencoder, 2 * D *K, 10, 20, 100, 1e-8, small_weights};

TEST(rosenbrock_in_32_dimensions) {
    const outcome o = minimise(&rosenbrock_problem, 64, AE_ISA_REF, false);
    CHECK(o.converged && o.f < 1e-16, "f = %g after %d iterations, %d evaluations", o.f, o.iterations, o.evaluations);
    for (int i = 0; i < 32; i++)
        CHECK(fabs(o.x[i] - 1) < 1e-7, "x[%d] = %.12g", i, o.x[i]);
    CHECK(o.evaluations < 2 * o.iterations, "%d evaluations for %d iterations", o.evaluations, o.iterations);
    CHECK(o.highest_rise <= 1e-15, "f rose by %g", o.highest_rise);
    problem single = rosenbrock_problem;
    single.gtol = 1e-3;
    const outcome s = minimise(&single, 32, AE_ISA_REF, false);
    CHECK(s.f < 1e-5, "float: f = %g after %d iterations", s.f, s.iterations);
}

TEST(quadratic_of_condition_1e6) {
    const outcome o = minimise(&quadratic_problem, 64, AE_ISA_REF, false);
    CHECK(o.f < 1e-9 * o.start_f, "f = %g of %g after %d iterations", o.f, o.start_f, o.iterations);
    CHECK(o.highest_rise <= 1e-15, "f rose by %g", o.highest_rise);
    /* With room for every direction it is BFGS, and much faster. */
    problem roomy = quadratic_problem;
    roomy.memory = 200;
    roomy.max_iterations = 400;
    const outcome r = minimise(&roomy, 64, AE_ISA_REF, false);
    CHECK(r.f < 1e-12 * r.start_f, "f = %g of %g after %d iterations", r.f, r.start_f, r.iterations);
}

TEST(linear_autoencoder_reaches_the_optimum) {
    double optimum = 0;
    for (int i = K; i < D; i++)
        optimum += variance_of(i) / D;
    for (int bits = 32; bits <= 64; bits += 32) {
        const outcome o = minimise(&autoencoder_problem, bits, AE_ISA_REF, false);
        CHECK(o.f < optimum * (1 + 1e-4) && o.f > optimum * (1 - 1e-6),
              "f%d: %.10g, optimum %.10g, %d iterations, %d evaluations", bits, o.f, optimum, o.iterations, o.evaluations);
    }
}

TEST(steps_out_of_the_domain_are_shortened) {
    const problem wall = {barrier, 32, 5, 25, 200, 1e-9, near_wall}, far = {barrier, 32, 5, 25, 200, 1e-9, far_start};
    const problem cliff = {steep, 32, 5, 25, 300, 1e-7, low_start};
    const outcome a = minimise(&wall, 64, AE_ISA_REF, false), b = minimise(&far, 64, AE_ISA_REF, false);
    CHECK(a.converged && fabs(a.f - 32) < 1e-12, "from the wall: %.15g, %d iterations", a.f, a.iterations);
    CHECK(b.converged && fabs(b.f - 32) < 1e-12, "from afar: %.15g, %d iterations", b.f, b.iterations);
    const outcome c = minimise(&cliff, 64, AE_ISA_REF, false);
    double want = 0;
    for (int i = 0; i < 32; i++)
        want += 1 - 200 * 0.3 * (i % 3);
    CHECK(a.infinities + b.infinities > 0 && c.infinities > 0, "the domain was never left");
    CHECK(c.converged && fabs(c.f - want) < 1e-8, "steep: %.15g, not %.15g, %d iterations", c.f, want, c.iterations);
}

TEST(a_failed_search_leaves_the_best_point) {
    const problem p = {liar, 32, 5, 10, 100, 1e-9, far_start};
    const outcome o = minimise(&p, 64, AE_ISA_REF, false);
    CHECK(o.converged && o.iterations == 0 && o.f == o.start_f, "f = %g of %g", o.f, o.start_f);
    for (int i = 0; i < 32; i++)
        CHECK(o.x[i] == far_start(i), "x[%d] moved", i);
    /* Too few evaluations to satisfy both conditions: what lowers f is taken. */
    problem hasty = rosenbrock_problem;
    hasty.max_evaluations = 2;
    hasty.max_iterations = 1000;
    const outcome h = minimise(&hasty, 64, AE_ISA_REF, false);
    CHECK(h.f < 1e-3 * h.start_f && h.highest_rise <= 1e-15, "hasty: f = %g of %g, rise %g", h.f, h.start_f, h.highest_rise);
}

TEST(a_start_without_a_value_ends_at_once) {
    ae_lbfgs *l = NULL;
    CHECK(ae_lbfgs_new(NULL, &l, 64, AE_ISA_REF, 32, 3, 10, 1e-8) == AE_OK, "new");
    double x[32] = {0}, g[32] = {0}, f = NAN;
    CHECK(ae_lbfgs_advance(l, x, &f, g) == AE_LBFGS_CONVERGED && isnan(f), "f is not a number");
    ae_lbfgs_reset(l);
    f = 1;
    CHECK(ae_lbfgs_advance(l, x, &f, g) == AE_LBFGS_CONVERGED && f == 1, "gradient zero");
    ae_lbfgs_reset(l);
    g[3] = INFINITY;
    CHECK(ae_lbfgs_advance(l, x, &f, g) == AE_LBFGS_CONVERGED, "gradient infinite");
    ae_lbfgs_reset(l);
    g[3] = 1;
    CHECK(ae_lbfgs_advance(l, x, &f, g) == AE_LBFGS_EVALUATE && x[3] < 0 && x[2] == 0, "after reset");
    ae_lbfgs_free(l);
    ae_lbfgs_free(NULL);
}

TEST(interruption_changes_nothing) {
    const problem *problems[] = {&rosenbrock_problem, &autoencoder_problem};
    for (int k = 0; k < 2; k++) {
        problem p = *problems[k];
        p.max_iterations = 60;
        const outcome a = minimise(&p, 64, AE_ISA_REF, false), b = minimise(&p, 64, AE_ISA_REF, true);
        CHECK(a.iterations > 10 && a.iterations == b.iterations && a.evaluations == b.evaluations && a.f == b.f &&
                  !memcmp(a.x, b.x, sizeof a.x),
              "problem %d: %.17g and %.17g", k, a.f, b.f);
    }
}

TEST(every_instruction_set_takes_the_same_path) {
    for (int bits = 32; bits <= 64; bits += 32)
        for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
            ae_lbfgs *l = NULL;
            if (ae_lbfgs_new(NULL, &l, bits, (ae_isa)isa, 32, 3, 5, 0) != AE_OK || !ae_cpu_has((ae_isa)isa)) {
                ae_lbfgs_free(l);
                continue;
            }
            ae_lbfgs_free(l);
            const outcome a = minimise(&rosenbrock_problem, bits, AE_ISA_REF, false);
            const outcome b = minimise(&rosenbrock_problem, bits, (ae_isa)isa, false);
            CHECK(a.iterations == b.iterations && a.f == b.f && !memcmp(a.x, b.x, sizeof a.x), "f%d %s", bits,
                  ae_isa_name((ae_isa)isa));
        }
}

TEST(what_cannot_be_made_is_refused) {
    ae_context context;
    const int64_t live = ae_alloc_live();
    ae_lbfgs *l = NULL;
    for (int k = 0; k < 3; k++) {
        ae_alloc_fail_after(k);
        CHECK(ae_lbfgs_new(&context, &l, 64, AE_ISA_REF, 64, 4, 10, 0) == AE_ERR_MEMORY && !l, "allocation %d", k);
    }
    ae_alloc_fail_after(-1);
    CHECK(ae_lbfgs_new(&context, &l, 64, AE_ISA_REF, INT64_MAX / 2, 4, 10, 0) == AE_ERR_OVERFLOW && !l, "size");
    CHECK(ae_lbfgs_new(&context, &l, 64, AE_ISA_REF, 32, 0, 10, 0) == AE_ERR_VALUE && !l, "memory");
    CHECK(ae_lbfgs_new(&context, &l, 16, AE_ISA_REF, 32, 4, 10, 0) == AE_ERR_UNAVAILABLE && !l, "precision");
    CHECK(ae_alloc_live() == live, "%d blocks left", (int)(ae_alloc_live() - live));
}

int main(void) {
    RUN(rosenbrock_in_32_dimensions);
    RUN(quadratic_of_condition_1e6);
    RUN(linear_autoencoder_reaches_the_optimum);
    RUN(steps_out_of_the_domain_are_shortened);
    RUN(a_failed_search_leaves_the_best_point);
    RUN(a_start_without_a_value_ends_at_once);
    RUN(interruption_changes_nothing);
    RUN(every_instruction_set_takes_the_same_path);
    RUN(what_cannot_be_made_is_refused);
    return harness_finish("test_lbfgs");
}
