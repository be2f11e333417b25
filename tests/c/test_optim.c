/* Update rules against plain scalar formulas, schedules at the points that define them. L-BFGS: test_lbfgs.c. */
#include <math.h>
#include <stdlib.h>

#include "harness.h"
#include "optim/rule.h"
#include "optim/schedule.h"

#define N_RULES 5
#define N 160
#define STEPS 100
static const char *const names[N_RULES] = {"sgd", "rmsprop", "adagrad", "adam", "adamw"};

/* Every way to use a rule that takes a path of its own. */
typedef struct setting {
    ae_rule_options options;
    ae_rule_step step;
} setting;
#define PLAIN .gradient_scale = 1, .clip_value = INFINITY
static const setting settings[] = {
    {{0, false, 0.9, 0.999, 1e-8, false}, {.rate = 0.01, PLAIN}},
    {{0.9, false, 0.9, 0.999, 1e-8, true}, {.rate = 0.01, PLAIN}},
    {{0.8, true, 0.5, 0.9, 1e-3, false}, {.rate = 0.01, .l2 = 0.3, PLAIN}},
    {{0.8, true, 0, 0.99, 1e-10, true}, {.rate = 0.02, .l1 = 0.05, PLAIN}},
    {{0.9, false, 0.9, 0.999, 1e-8, false}, {.rate = 0.01, .l2 = 0.01, .l1 = 0.02, .gradient_scale = 0.7, .clip_value = 0.4}},
    {{0, false, 0.9, 0.99, 1e-8, true}, {.rate = 0.01, .l2 = 0.02, .l1 = 0, .gradient_scale = 0.5, .clip_value = INFINITY}},
};
#define N_SETTINGS (int)(sizeof settings / sizeof settings[0])

/* One parameter, as the papers and PyTorch's documentation write it. */
static void plain_update(int rule, const setting *by, int64_t t, double *w, double g, double *s) {
    const ae_rule_options *o = &by->options;
    const ae_rule_step *p = &by->step;
    g *= p->gradient_scale;
    g = g > p->clip_value ? p->clip_value : g < -p->clip_value ? -p->clip_value : g;
    g += p->l1 * (*w > 0 ? 1 : *w < 0 ? -1 : 0);
    if (rule == 4)
        *w -= p->rate * p->l2 * *w;
    else
        g += p->l2 * *w;
    switch (rule) {
    case 0:
        s[0] = o->momentum * s[0] + g;
        *w -= p->rate * (o->nesterov ? g + o->momentum * s[0] : s[0]);
        break;
    case 1:
        s[0] = o->beta2 * s[0] + (1 - o->beta2) * g * g;
        s[1] = o->momentum * s[1] + g / (sqrt(s[0]) + o->epsilon);
        *w -= p->rate * s[1];
        break;
    case 2:
        s[0] += g * g;
        *w -= p->rate * g / (sqrt(s[0]) + o->epsilon);
        break;
    default:
        s[0] = o->beta1 * s[0] + (1 - o->beta1) * g;
        s[1] = o->beta2 * s[1] + (1 - o->beta2) * g * g;
        s[2] = s[1] > s[2] ? s[1] : s[2];
        const double v = (o->amsgrad ? s[2] : s[1]) / (1 - pow(o->beta2, (double)t));
        *w -= p->rate * (s[0] / (1 - pow(o->beta1, (double)t))) / (sqrt(v) + o->epsilon);
    }
}

/* Weights and state of one run, in either precision. */
typedef struct run {
    _Alignas(64) char w[N * sizeof(double)];
    char state[AE_RULE_MAX_STATE][N * sizeof(double)];
} run;
static double get(int bits, const char *x, int i) {
    float f;
    double d;
    memcpy(&f, x + (size_t)i * sizeof f, sizeof f);
    if (bits == 32)
        return (double)f;
    memcpy(&d, x + (size_t)i * sizeof d, sizeof d);
    return d;
}
static void set(int bits, char *x, int i, double value) {
    const float f = (float)value;
    if (bits == 32)
        memcpy(x + (size_t)i * sizeof f, &f, sizeof f);
    else
        memcpy(x + (size_t)i * sizeof value, &value, sizeof value);
}

static double start_of(int i) { return i % 7 == 0 ? 0 : sin(i * 1.7); }
static double gradient_of(int i, int64_t step) {
    return i % 5 == 0 ? 0 : cos(i * 0.9 + (double)step * (0.1 + i * 0.001)) * (i % 3 ? 1 : 1e-3);
}

/* Some updates, each made in pieces that end at `cuts` (multiples of 32, the last one N). */
static void run_rule(run *r, const ae_rule_ops *rule, int bits, const setting *by, int64_t steps, const int *cuts) {
    memset(r, 0, sizeof *r);
    for (int i = 0; i < N; i++)
        set(bits, r->w, i, start_of(i));
    for (int64_t step = 1; step <= steps; step++) {
        _Alignas(64) char g[N * sizeof(double)];
        for (int i = 0; i < N; i++)
            set(bits, g, i, gradient_of(i, step));
        ae_rule_step s = by->step;
        s.step = step;
        for (int k = 0, from = 0; from < N; from = cuts[k++]) {
            const size_t at = (size_t)from * (size_t)bits / 8;
            void *const state[AE_RULE_MAX_STATE] = {r->state[0] + at, r->state[1] + at, r->state[2] + at};
            rule->update(&by->options, &s, cuts[k] - from, r->w + at, g + at, state);
        }
    }
}
static const int whole[] = {N}, pieces[] = {32, 96, N};

static const ae_rule_ops *rule_at(int bits, int isa, int index) {
    return ae_cpu_has((ae_isa)isa) ? ae_rule_get(bits, (ae_isa)isa, index) : NULL;
}

TEST(registry_is_the_same_everywhere) {
    for (int i = 0; i < N_RULES; i++) {
        CHECK(ae_rule_find(names[i]) == i, "%s", names[i]);
        for (int bits = 32; bits <= 64; bits += 32)
            for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
                const ae_rule_ops *rule = ae_rule_get(bits, (ae_isa)isa, i);
                CHECK(rule ? !strcmp(rule->name, names[i]) : isa != AE_ISA_REF, "%s", names[i]);
            }
    }
    CHECK(ae_rule_find("no such rule") == -1, "unknown name");
    CHECK(!ae_rule_get(32, AE_ISA_REF, N_RULES) && !ae_rule_get(32, AE_ISA_REF, -1), "beyond the ends");
    const ae_rule_options with = {.momentum = 0.5, .amsgrad = true}, without = {.momentum = 0};
    const int most[N_RULES] = {1, 2, 1, 3, 3}, least[N_RULES] = {0, 1, 1, 2, 2};
    for (int i = 0; i < N_RULES; i++) {
        const ae_rule_ops *rule = ae_rule_get(64, AE_ISA_REF, i);
        CHECK(rule->n_state(&with) == most[i] && rule->n_state(&without) == least[i], "%s: states", names[i]);
    }
}

TEST(rules_agree_with_plain_formulas) {
    for (int i = 0; i < N_RULES; i++)
        for (int k = 0; k < N_SETTINGS; k++)
            for (int bits = 32; bits <= 64; bits += 32) {
                /* In float a penalty on a weight near zero feeds rounding back into normalised steps, which then drift. */
                const int64_t steps = bits == 64 ? STEPS : 5;
                const double close = bits == 64 ? 1e-11 : 1e-5;
                run r;
                run_rule(&r, ae_rule_get(bits, AE_ISA_REF, i), bits, &settings[k], steps, whole);
                for (int j = 0; j < N; j++) {
                    double w = start_of(j), s[3] = {0};
                    for (int64_t t = 1; t <= steps; t++)
                        plain_update(i, &settings[k], t, &w, gradient_of(j, t), s);
                    CHECK(fabs(get(bits, r.w, j) - w) <= close * (1 + fabs(w)),
                          "%s f%d setting %d parameter %d: %.17g, not %.17g", names[i], bits, k, j, get(bits, r.w, j), w);
                }
            }
}

TEST(cuts_and_instruction_sets_give_the_same_bits) {
    for (int i = 0; i < N_RULES; i++)
        for (int k = 0; k < N_SETTINGS; k++)
            for (int bits = 32; bits <= 64; bits += 32) {
                run ref;
                run_rule(&ref, ae_rule_get(bits, AE_ISA_REF, i), bits, &settings[k], STEPS, whole);
                for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
                    const ae_rule_ops *rule = rule_at(bits, isa, i);
                    if (!rule)
                        continue;
                    run r;
                    run_rule(&r, rule, bits, &settings[k], STEPS, pieces);
                    CHECK(!memcmp(&r, &ref, sizeof r), "%s f%d %s setting %d", names[i], bits, ae_isa_name((ae_isa)isa), k);
                }
            }
}

TEST(padding_stays_zero) {
    for (int i = 0; i < N_RULES; i++)
        for (int k = 0; k <= N_SETTINGS; k++)
            for (int bits = 32; bits <= 64; bits += 32)
                for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
                    const ae_rule_ops *rule = rule_at(bits, isa, i);
                    if (!rule)
                        continue;
                    setting by = settings[k < N_SETTINGS ? k : 0];
                    if (k == N_SETTINGS)
                        by.options.epsilon = 0; /* 0 / 0 must not arise */
                    run r, zero;
                    memset(&zero, 0, sizeof zero);
                    memset(&r, 0, sizeof r);
                    for (int64_t step = 1; step <= 3; step++) {
                        _Alignas(64) const char g[N * sizeof(double)] = {0};
                        void *const state[AE_RULE_MAX_STATE] = {r.state[0], r.state[1], r.state[2]};
                        by.step.step = step;
                        rule->update(&by.options, &by.step, N, r.w, g, state);
                    }
                    int clean = 1;
                    for (int j = 0; j < N; j++)
                        clean &= get(bits, r.w, j) == 0 && get(bits, r.state[0], j) == 0 && get(bits, r.state[1], j) == 0;
                    CHECK(clean, "%s f%d setting %d", names[i], bits, k);
                }
}

/* A unit that dies leaves moments that decay; they must come to zero, not to denormals. */
TEST(decaying_state_ends_at_zero) {
    for (int i = 0; i < N_RULES; i++)
        for (int bits = 32; bits <= 64; bits += 32) {
            if (i == 2)
                continue; /* adagrad's sums do not decay */
            const ae_rule_ops *rule = ae_rule_get(bits, AE_ISA_REF, i);
            setting by = {{.momentum = 0.5, .beta1 = 0.5, .beta2 = 0.5, .epsilon = 1e-8}, {.rate = 0.1, PLAIN}};
            const double least = bits == 32 ? 0x1p-126 : 0x1p-1022;
            run r;
            memset(&r, 0, sizeof r);
            for (int64_t step = 1; step <= 1200; step++) {
                _Alignas(64) char g[N * sizeof(double)] = {0};
                for (int j = 0; j < 32 && step == 1; j++)
                    set(bits, g, j, 1);
                void *const state[AE_RULE_MAX_STATE] = {r.state[0], r.state[1], r.state[2]};
                by.step.step = step;
                rule->update(&by.options, &by.step, 32, r.w, g, state);
                for (int k = 0; k < 2; k++) {
                    const double s = get(bits, r.state[k], 7);
                    CHECK(s == 0 || s >= least, "%s f%d: %g at step %d", names[i], bits, s, (int)step);
                }
            }
            CHECK(get(bits, r.w, 7) < 0 && get(bits, r.state[0], 7) == 0 && get(bits, r.state[1], 7) == 0, "%s f%d: %g %g",
                  names[i], bits, get(bits, r.state[0], 7), get(bits, r.state[1], 7));
        }
}

TEST(a_gradient_that_is_not_a_number_shows) {
    for (int i = 0; i < N_RULES; i++)
        for (int k = 0; k < N_SETTINGS; k++)
            for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
                const ae_rule_ops *rule = rule_at(64, isa, i);
                if (!rule)
                    continue;
                run r;
                memset(&r, 0, sizeof r);
                double g[32] = {0};
                g[9] = NAN;
                void *const state[AE_RULE_MAX_STATE] = {r.state[0], r.state[1], r.state[2]};
                ae_rule_step step = settings[k].step;
                step.step = 1;
                rule->update(&settings[k].options, &step, 32, r.w, g, state);
                CHECK(isnan(get(64, r.w, 9)) && get(64, r.w, 8) == 0, "%s setting %d", names[i], k);
            }
}

static int near(double a, double b) { return fabs(a - b) <= 1e-14 * (fabs(a) + fabs(b)); }

TEST(schedules_at_their_defining_points) {
    ae_schedule s = {.kind = AE_SCHEDULE_CONSTANT,
                     .base = 0.5,
                     .final_ratio = 0.01,
                     .factor = 0.1,
                     .period = 30,
                     .warmup_steps = 10,
                     .total_steps = 110};
    for (int kind = 0; kind < AE_SCHEDULE_KINDS; kind++) {
        s.kind = (ae_schedule_kind)kind;
        if (kind == AE_SCHEDULE_ONE_CYCLE)
            continue;
        CHECK(near(ae_schedule_rate(&s, 0), 0.05), "kind %d: first", kind);
        CHECK(near(ae_schedule_rate(&s, 4), 0.25), "kind %d: amid warm-up", kind);
        CHECK(ae_schedule_rate(&s, 9) == 0.5 && ae_schedule_rate(&s, 10) == 0.5, "kind %d: end of warm-up", kind);
        CHECK(ae_schedule_rate(&s, 111) == ae_schedule_rate(&s, 110), "kind %d: beyond", kind);
        CHECK(ae_schedule_rate(&s, INT64_MAX) == ae_schedule_rate(&s, 110), "kind %d: far beyond", kind);
        ae_schedule none = s;
        none.warmup_steps = 0;
        CHECK(ae_schedule_rate(&none, 0) == 0.5, "kind %d: no warm-up", kind);
    }
    /* Half of the way after warm-up is step 60, three quarters step 85, the end step 110. */
    s.kind = AE_SCHEDULE_CONSTANT;
    CHECK(ae_schedule_rate(&s, 60) == 0.5 && ae_schedule_rate(&s, 110) == 0.5, "constant");
    s.kind = AE_SCHEDULE_STEP;
    CHECK(ae_schedule_rate(&s, 39) == 0.5 && near(ae_schedule_rate(&s, 40), 0.05) && near(ae_schedule_rate(&s, 70), 0.005) &&
              near(ae_schedule_rate(&s, 99), 0.005) && near(ae_schedule_rate(&s, 100), 0.0005),
          "step");
    s.kind = AE_SCHEDULE_EXPONENTIAL;
    CHECK(near(ae_schedule_rate(&s, 60), 0.05) && near(ae_schedule_rate(&s, 85), 0.5 * pow(0.01, 0.75)) &&
              near(ae_schedule_rate(&s, 110), 0.005),
          "exponential: %.17g %.17g", ae_schedule_rate(&s, 60), ae_schedule_rate(&s, 85));
    s.kind = AE_SCHEDULE_LINEAR;
    CHECK(near(ae_schedule_rate(&s, 60), 0.5 * 0.505) && near(ae_schedule_rate(&s, 110), 0.005), "linear");
    s.kind = AE_SCHEDULE_COSINE;
    CHECK(near(ae_schedule_rate(&s, 60), 0.5 * 0.505) && near(ae_schedule_rate(&s, 110), 0.005), "cosine");
    const double pi = acos(-1.0);
    for (int64_t step = 10; step <= 110; step++) {
        const double want = 0.5 * (0.01 + 0.99 * 0.5 * (1 + cos(pi * (double)(step - 10) / 100)));
        CHECK(near(ae_schedule_rate(&s, step), want), "cosine at %d: %.17g, not %.17g", (int)step, ae_schedule_rate(&s, step),
              want);
        s.kind = AE_SCHEDULE_EXPONENTIAL;
        CHECK(near(ae_schedule_rate(&s, step), 0.5 * pow(0.01, (double)(step - 10) / 100)), "exponential at %d", (int)step);
        s.kind = AE_SCHEDULE_COSINE;
    }
    s.total_steps = 100;
    s.kind = AE_SCHEDULE_ONE_CYCLE;
    CHECK(near(ae_schedule_rate(&s, 0), 0.02) && near(ae_schedule_rate(&s, 15), 0.5 * 0.52) &&
              ae_schedule_rate(&s, 30) == 0.5 && near(ae_schedule_rate(&s, 65), 0.5 * 0.505) &&
              near(ae_schedule_rate(&s, 100), 0.005) && ae_schedule_rate(&s, 1000) == ae_schedule_rate(&s, 100),
          "one cycle: %.17g %.17g %.17g", ae_schedule_rate(&s, 0), ae_schedule_rate(&s, 15), ae_schedule_rate(&s, 65));
    /* Warm-up to the end and longer: nothing divides by zero. */
    ae_schedule all = {
        .kind = AE_SCHEDULE_COSINE, .base = 1, .final_ratio = 0, .period = 1, .warmup_steps = 5, .total_steps = 5};
    CHECK(ae_schedule_rate(&all, 4) == 1 && ae_schedule_rate(&all, 5) == 0, "all warm-up");
    all.warmup_steps = 10;
    CHECK(near(ae_schedule_rate(&all, 7), 0.6), "warm-up beyond the end");
}

int main(void) {
    RUN(registry_is_the_same_everywhere);
    RUN(rules_agree_with_plain_formulas);
    RUN(cuts_and_instruction_sets_give_the_same_bits);
    RUN(padding_stays_zero);
    RUN(decaying_state_ends_at_zero);
    RUN(a_gradient_that_is_not_a_number_shows);
    RUN(schedules_at_their_defining_points);
    return harness_finish("test_optim");
}
