/* The state of a rule in bfloat16, rounded at random: the rounding, training with it, and what is refused. */
#include <stdlib.h>

#include "math/kernels.h"
#include "math/random.h"
#include "optim/rule.h"
#include "slow.h"
#include "trainers.h"

/* ---- rounding ---- */

enum { MOST = AE_ROUNDED_MOST, WORDS = MOST / 2 };

static float x[AE_ROUNDED_ARRAYS][MOST];
static uint32_t rounded[AE_ROUNDED_ARRAYS][WORDS + 1];
static const ae_key key = {{11, 12}};

static void round_all(const ae_kernels *kernels, uint64_t step, uint32_t row, int64_t n, int count,
                      uint32_t to[AE_ROUNDED_ARRAYS][WORDS + 1]) {
    const void *from[AE_ROUNDED_ARRAYS];
    void *words[AE_ROUNDED_ARRAYS];
    for (int k = 0; k < AE_ROUNDED_ARRAYS; k++) {
        from[k] = x[k];
        words[k] = to[k];
        for (int i = 0; i <= WORDS; i++)
            to[k][i] = 77;
    }
    kernels->random_round(key, step, row, n, count, from, words);
}

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Number i of an array as the layout has it. */
static uint32_t upper_half(const uint32_t *words, int i) {
    const uint32_t word = words[i / 32 * 16 + i % 16];
    return i % 32 < 16 ? word << 16 : word & 0xffff0000u;
}

/* The definition: the bits below are words of 16 counters {number, row, step}, and from the third row of 32 on those that follow
 * them. */
static uint32_t expected(uint64_t step, uint32_t row, int i, int array) {
    const uint32_t counter[4] = {(uint32_t)(i % 16), row, (uint32_t)step, (uint32_t)(step >> 32)};
    uint32_t words[4];
    ae_philox(key, counter, words);
    uint32_t word = words[i % 64 / 16];
    for (int k = 0; k < i / 64; k++) {
        word ^= word << 13;
        word ^= word >> 17;
        word ^= word << 5;
    }
    const uint32_t below = array == 0 ? word & 0xffff : array == 1 ? word >> 16 : word * 0x9E3779B9u >> 16;
    const uint32_t bits = bits_of(x[array][i]);
    return ((bits & 0x7fffffffu) > 0x7f800000u ? bits | 0x00400000u : bits + below) & 0xffff0000u;
}

TEST(rounding_is_that_of_its_definition_in_every_set) {
    for (int k = 0; k < AE_ROUNDED_ARRAYS; k++)
        for (int i = 0; i < MOST; i++)
            x[k][i] = (float)((network_unit() - 0.5) * pow(2, 60 * network_unit() - 30));
    static const float special[] = {0, -0.0f, INFINITY, -INFINITY, NAN, 0x1p-149f, -0x1p-130f, 1.5f, 0x1.fffffep127f};
    memcpy(x[1], special, sizeof special);
    const uint32_t loud[] = {0x7f800001u, 0xffffffffu};
    memcpy(x[2], loud, sizeof loud);
    for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
        const ae_kernels *kernels = ae_cpu_has((ae_isa)isa) ? ae_kernels_get(32, (ae_isa)isa) : NULL;
        for (int n = 32; kernels && n <= MOST; n += n < 160 ? 32 : 288)
            for (int count = 1; count <= AE_ROUNDED_ARRAYS; count++) {
                const uint64_t step = 0x300000000u + (uint64_t)n;
                round_all(kernels, step, 0xfffffff0u, n, count, rounded);
                for (int k = 0; k < AE_ROUNDED_ARRAYS; k++) {
                    int wrong = 0;
                    for (int i = 0; k < count && i < n; i++)
                        wrong += upper_half(rounded[k], i) != expected(step, 0xfffffff0u, i, k);
                    for (int i = k < count ? n / 2 : 0; i <= WORDS; i++)
                        wrong += rounded[k][i] != 77;
                    CHECK(!wrong, "set %d, %d numbers, array %d of %d: %d are wrong", isa, n, k, count, wrong);
                }
                float wide[MOST];
                kernels->widen(n, rounded[0], wide);
                int wrong = 0;
                for (int i = 0; i < n; i++)
                    wrong += bits_of(wide[i]) != upper_half(rounded[0], i);
                CHECK(!wrong, "set %d: %d of %d numbers come back wrong", isa, wrong, n);
            }
    }
}

TEST(what_needs_no_rounding_stays) {
    const ae_kernels *kernels = ae_kernels_get(32, AE_ISA_REF);
    for (int i = 0; i < MOST; i++) {
        const uint32_t bits = (uint32_t)network_draw() << 16;
        memcpy(&x[0][i], &bits, sizeof bits);
    }
    round_all(kernels, 1, 2, MOST, 1, rounded);
    for (int i = 0; i < MOST; i++)
        CHECK(upper_half(rounded[0], i) == (isnan(x[0][i]) ? bits_of(x[0][i]) | 0x00400000u : bits_of(x[0][i])), "%a",
              (double)x[0][i]);
}

/* Of n draws the mean of what comes out has a standard deviation of at most half a step of the format by the root of n. */
TEST(the_mean_over_draws_is_the_number) {
    const ae_kernels *kernels = ae_kernels_get(32, AE_ISA_REF);
    enum { DRAWS = SANITIZED ? 400 : 4000, N = 64 };
    static double sum[AE_ROUNDED_ARRAYS][N];
    memset(sum, 0, sizeof sum);
    for (int i = 0; i < N; i++) /* from one number of the format to the next */
        x[0][i] = x[1][i] = x[2][i] = (i % 2 ? -1.0f : 1.0f) * (1 + 0x1p-7f * (float)i / N);
    int together = 0;
    for (int d = 0; d < DRAWS; d++) {
        round_all(kernels, (uint64_t)d / 2, (uint32_t)d % 2, N, AE_ROUNDED_ARRAYS, rounded);
        for (int k = 0; k < AE_ROUNDED_ARRAYS; k++)
            for (int i = 0; i < N; i++) {
                const uint32_t bits = upper_half(rounded[k], i);
                float value;
                memcpy(&value, &bits, sizeof bits);
                sum[k][i] += (double)value;
            }
        together += upper_half(rounded[0], 32) == upper_half(rounded[1], 32);
    }
    for (int k = 0; k < AE_ROUNDED_ARRAYS; k++)
        for (int i = 0; i < N; i++) {
            const double off = (sum[k][i] / DRAWS - (double)x[k][i]) / (0x1p-8 / sqrt(DRAWS));
            CHECK(fabs(off) < 5, "array %d, number %d: the mean is %g deviations off", k, i, off);
        }
    CHECK(fabs(together - DRAWS / 2.0) < 5 * sqrt(DRAWS) / 2, "arrays have the same draws: %d of %d are equal", together,
          DRAWS);
}

/* A rule's own pass over words against widening, update and rounding; where it has none, that is said and nothing is done. */
TEST(one_pass_gives_what_three_give) {
    static const char *const names[] = {"adam", "adamw"};
    static float w[2][MOST + 1], g[MOST];
    static uint32_t state[2][2][WORDS + 1];
    int passes = 0;
    for (int k = 0; k < 2 * 2 * AE_ISA_COUNT; k++) {
        const ae_isa isa = (ae_isa)(k / 4);
        const ae_kernels *kernels = ae_cpu_has(isa) ? ae_kernels_get(32, isa) : NULL;
        const ae_rule_ops *rule = ae_rule_get(32, isa, ae_rule_find(names[k & 1]));
        if (!kernels)
            continue;
        CHECK(!rule->update_rounded == (isa == AE_ISA_REF) && !ae_rule_get(64, isa, ae_rule_find(names[k & 1]))->update_rounded,
              "set %d, %s: who has a pass of its own", (int)isa, names[k & 1]);
        if (!rule->update_rounded)
            continue;
        const bool decoupled = k & 1;
        ae_rule_options options = {.beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8};
        ae_rule_step step = {0.01, 7, decoupled ? 0.1 : 0, 0, 1, INFINITY};
        const ae_rule_draws draws = {key, 0x500000000u + (uint64_t)k, 0xfffffff0u};
        for (int n = 32; n <= MOST; n += n < 160 ? 32 : 288) {
            for (int i = 0; i <= MOST; i++) {
                w[0][i] = w[1][i] = (float)(network_unit() - 0.5);
                if (i < MOST)
                    g[i] = (float)((network_unit() - 0.5) * pow(2, 40 * network_unit() - 30));
            }
            static const float special[] = {0, -0.0f, INFINITY, -INFINITY, NAN, 0x1p-149f, 1e-20f, 0x1.fffffep127f};
            if (n > 96)
                memcpy(g + 28, special, sizeof special);
            for (int i = 0; i <= WORDS; i++)
                for (int a = 0; a < 2; a++) { /* second moments are not negative; some of both are nothing yet */
                    const uint32_t word = i % 5 ? (uint32_t)network_draw() & (a ? 0x3fff3fffu : 0xbfffbfffu) : 0;
                    state[0][a][i] = state[1][a][i] = word;
                }
            if (k & 2) { /* what the pass leaves to the others */
                options.amsgrad = n % 64 == 0;
                step.clip_value = options.amsgrad ? INFINITY : 1.0;
            }
            void *const words[AE_RULE_MAX_STATE] = {state[1][0], state[1][1], NULL};
            const bool done = rule->update_rounded(&options, &step, n, w[1], g, words, &draws);
            CHECK(done == !(k & 2), "set %d, %s: done %d", (int)isa, names[k & 1], done);
            if (done) {
                void *const floats[AE_RULE_MAX_STATE] = {x[0], x[1], NULL}, *const to[] = {state[0][0], state[0][1]};
                for (int a = 0; a < 2; a++)
                    kernels->widen(n, state[0][a], x[a]);
                rule->update(&options, &step, n, w[0], g, floats);
                kernels->random_round(draws.key, draws.step, draws.row, n, 2, (const void *const *)floats, to);
                passes++;
            }
            int wrong = 0;
            for (int i = 0; i <= MOST; i++)
                wrong += bits_of(w[0][i]) != bits_of(w[1][i]) && !(isnan(w[0][i]) && isnan(w[1][i]));
            for (int i = 0; i < 2 * MOST; i++) {
                const uint32_t one = upper_half(state[0][i / MOST], i % MOST), other = upper_half(state[1][i / MOST], i % MOST);
                wrong += one != other && !((one & 0x7fffffffu) > 0x7f800000u && (other & 0x7fffffffu) > 0x7f800000u);
            }
            CHECK(!wrong && state[1][0][WORDS] == state[0][0][WORDS] && state[1][1][WORDS] == state[0][1][WORDS],
                  "set %d, %s, %d weights: %d are wrong", (int)isa, names[k & 1], n, wrong);
        }
    }
    CHECK(passes || !usable_isas()[1], "no set has a pass of its own");
}

/* ---- training ---- */

#define ROWS 165
#define WIDTH 75

static double data[ROWS * WIDTH];

static program program_of(const char *rule, int parts, int state_bits) {
    program p = {.options = plain_options(32)};
    p.options.batch_size = 64;
    p.options.state_bits = state_bits;
    p.options.rule_options.amsgrad = parts == 1;
    p.options.rule_options.nesterov = true;
    p.options.l2 = 1e-3;
    const int in = network_input(&p.net, WIDTH, 0), h = network_dense(&p.net, in, 45, AE_TANH);
    const int code = network_dense(&p.net, h, 7, AE_IDENTITY), back = network_dense(&p.net, code, 210, AE_RELU);
    const int out = network_dense(&p.net, back, WIDTH, AE_IDENTITY);
    for (int i = 0; i < p.net.n; i++)
        if (p.net.node[i].kind == ae_layer_find("dense"))
            p.net.node[i].size[3] = parts;
    program_loss(&p, "squared_error", out, in, 1);
    program_stage(&p, rule);
    return p;
}

static ae_trainer *started(const program *p) {
    const ae_data source = dense_data(data, AE_F64, ROWS, WIDTH);
    return trainer_started(p, &source, 1, NULL);
}

static double *trained(const program *p, int epochs, double *loss, int64_t *n) {
    ae_trainer *t = started(p);
    if (!t)
        return NULL;
    for (int e = 0; e < epochs; e++)
        trainer_epoch(t);
    *loss = trainer_loss(t, ROWS);
    double *weights = copy_weights(ae_trainer_net(t), NULL, n);
    ae_trainer_free(t);
    return weights;
}

static const char *const rules[] = {"adam", "adamw", "sgd", "rmsprop", "adagrad"};

/* Instruction sets, threads, chunks; late updates are those of the global norm. */
TEST(every_way_has_the_same_bits) {
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        for (int parts = 0; parts <= (SANITIZED ? 0 : 2); parts++) {
            double wanted_loss = 0, loss = 0;
            int64_t n = 0, count = 0;
            setenv("AUTOENC_ISA", usable_isas()[SANITIZED], 1);
            program p = program_of(rules[r], parts, 16);
            p.options.clip_norm = r % 2 ? 0.3 : INFINITY;
            double *wanted = trained(&p, 3, &wanted_loss, &n);
            for (const char *const *isa = usable_isas() + SANITIZED; *isa; isa++)
                for (int way = 0; way < 3; way++) {
                    setenv("AUTOENC_ISA", *isa, 1);
                    p.options.n_threads = way == 1 ? 3 : 1;
                    p.options.chunk_rows = way == 2 ? 32 : 0;
                    double *got = trained(&p, 3, &loss, &count);
                    bool same = wanted && got && count == n && loss == wanted_loss && isfinite(loss);
                    for (int64_t i = 0; same && i < n; i++)
                        same = got[i] == wanted[i];
                    CHECK(same, "%s by %s, %d parts, way %d: other bits", rules[r], *isa, parts, way);
                    free(got);
                }
            free(wanted);
        }
    unsetenv("AUTOENC_ISA");
}

/* State begins at zero, so that the first step is that of float state, and what it leaves is rounded to a neighbour. */
TEST(the_first_step_is_that_of_float_state) {
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        program p = program_of(rules[r], 1, 0), q = program_of(rules[r], 1, 16);
        p.options.batch_size = q.options.batch_size = ROWS;
        ae_trainer *a = started(&p), *b = started(&q);
        if (!a || !b)
            return;
        trainer_epoch(a);
        trainer_epoch(b);
        int64_t n, m, wrong = 0, rounded_ones = 0;
        double *one = copy_weights(ae_trainer_net(a), NULL, &n), *other = copy_weights(ae_trainer_net(b), NULL, &m);
        CHECK(n == m && !memcmp(one, other, (size_t)n * sizeof *one), "%s: weights", rules[r]);
        CHECK(ae_trainer_n_state(a) == ae_trainer_n_state(b), "%s: numbers of states", rules[r]);
        const ae_net *net = ae_trainer_net(a);
        static float exact[WIDTH * 210], near[WIDTH * 210];
        for (int i = 0; i < net->n_parameters; i++)
            for (int k = 0; k < ae_trainer_n_state(a); k++) {
                ae_trainer_get_state(a, k, i, exact);
                ae_trainer_get_state(b, k, i, near);
                for (int64_t j = 0; j < net->parameters[i].request.rows * net->parameters[i].request.columns; j++) {
                    const uint32_t have = bits_of(near[j]), want = bits_of(exact[j]);
                    wrong += have & 0xffff || (have != (want & 0xffff0000u) && have != (want & 0xffff0000u) + 0x10000u);
                    rounded_ones += have != want;
                }
            }
        CHECK(!wrong && rounded_ones, "%s: %d states are no neighbours, %d are rounded", rules[r], (int)wrong,
              (int)rounded_ones);
        free(one);
        free(other);
        ae_trainer_free(a);
        ae_trainer_free(b);
    }
}

/* By several seeds, whose losses differ among themselves by several percent. */
TEST(it_learns_what_float_state_learns) {
    const int epochs = SANITIZED ? 20 : 100, seeds = SANITIZED ? 2 : 8;
    for (size_t r = 0; r < 2; r++) {
        double mean[2] = {0, 0};
        for (int k = 0; k < 2; k++)
            for (int seed = 0; seed < seeds; seed++) {
                program p = program_of(rules[r], 0, 16 * k);
                p.options.seed = (uint64_t)seed;
                double loss = NAN;
                int64_t n;
                free(trained(&p, epochs, &loss, &n));
                mean[k] += loss / seeds;
            }
        CHECK(mean[1] != mean[0] && fabs(mean[1] - mean[0]) < (SANITIZED ? 0.1 : 0.05) * mean[0], "%s: %g and %g", rules[r],
              mean[0], mean[1]);
    }
}

TEST(state_that_is_set_comes_back_and_is_rounded_to_nearest) {
    const program p = program_of("adam", 0, 16);
    ae_trainer *t = started(&p);
    if (!t)
        return;
    static float in[WIDTH * 210], out[WIDTH * 210];
    const ae_net *net = ae_trainer_net(t);
    for (int i = 0; i < net->n_parameters; i++)
        for (int k = 0; k < ae_trainer_n_state(t); k++) {
            const int64_t n = net->parameters[i].request.rows * net->parameters[i].request.columns;
            for (int64_t j = 0; j < n; j++)
                in[j] = (float)network_unit();
            in[0] = 1 + 0x1p-8f; /* ties go to the even one */
            in[n / 2] = INFINITY;
            ae_trainer_set_state(t, k, i, in);
            ae_trainer_get_state(t, k, i, out);
            int wrong = 0;
            for (int64_t j = 1; j < n; j++)
                wrong += in[j] < INFINITY ? !(fabs((double)out[j] - (double)in[j]) <= (double)in[j] * 0x1p-8) : out[j] != in[j];
            wrong += n > 1 && out[0] != 1;
            ae_trainer_set_state(t, k, i, out);
            ae_trainer_get_state(t, k, i, in);
            CHECK(!wrong && !memcmp(in, out, (size_t)n * sizeof *in), "%s, state %d", net->parameters[i].name, k);
        }
    ae_trainer_free(t);
}

/* Two layers alike, each with a stage of its own. In float they stay alike; rounded they do not, and the first one's are what they
 * are in a program without the second. */
static program program_of_stages(int stages, int state_bits) {
    program p = {.options = plain_options(32)};
    p.options.batch_size = 64;
    p.options.state_bits = state_bits;
    const int in = network_input(&p.net, WIDTH, 0);
    for (int i = 0; i < stages; i++) {
        const int out = network_dense(&p.net, in, WIDTH, AE_TANH);
        p.net.node[out].group = i;
        program_loss(&p, "squared_error", out, in, 1);
        program_stage(&p, "adam");
        p.stage[i].first_loss = i;
        p.stage[i].n_losses = 1;
        p.stage[i].groups = 1u << i;
    }
    return p;
}

TEST(a_stage_rounds_what_it_updates_and_no_more) {
    static float weight[WIDTH * WIDTH], one[WIDTH * WIDTH], other[WIDTH * WIDTH];
    for (int i = 0; i < WIDTH * WIDTH; i++)
        weight[i] = (float)(network_unit() - 0.5) / 8;
    for (int state_bits = 0; state_bits <= 16; state_bits += 16)
        for (int threads = 1; threads <= 3; threads += 2) {
            program p = program_of_stages(2, state_bits), q = program_of_stages(1, state_bits);
            p.options.n_threads = threads;
            ae_trainer *t = started(&p), *alone = started(&q);
            if (!t || !alone)
                return;
            ae_net *net = ae_trainer_net(t);
            ae_net_set_parameter(net, 0, weight); /* weight, bias, weight, bias */
            ae_net_set_parameter(net, 2, weight);
            ae_net_set_parameter(ae_trainer_net(alone), 0, weight);
            for (int e = 0; e < 3; e++) {
                trainer_epoch(t);
                trainer_epoch(alone);
            }
            ae_net_get_parameter(net, 0, one);
            ae_net_get_parameter(net, 2, other);
            CHECK(!memcmp(one, other, sizeof one) == !state_bits, "%d bits, %d threads: weights of the stages", state_bits,
                  threads);
            ae_net_get_parameter(ae_trainer_net(alone), 0, other);
            CHECK(!memcmp(one, other, sizeof one), "%d bits, %d threads: the first stage differs beside another", state_bits,
                  threads);
            ae_trainer_free(t);
            ae_trainer_free(alone);
        }
}

static bool at_once(void *argument) { return ++*(int *)argument > 0; }

/* The epoch has updated weights and averages by the time it is asked to stop, or has diverged. */
TEST(an_epoch_that_ends_early_leaves_those_of_the_last) {
    for (int way = 0; way < 2; way++) {
        program p = program_of("adam", 1, 16);
        p.options.clip_norm = INFINITY;
        ae_trainer *t = started(&p);
        ae_context context;
        ae_epoch_result result;
        int asked = 0;
        if (!t)
            return;
        trainer_epoch(t);
        ae_trainer_part parts[AE_TRAINER_PARTS];
        const int n = 1 + ae_trainer_n_state(t); /* parameters come first */
        ae_trainer_parts(t, parts);
        char *before[1 + AE_RULE_MAX_STATE];
        for (int i = 0; i < n; i++) {
            before[i] = malloc(parts[i].count * parts[i].size);
            memcpy(before[i], parts[i].data, parts[i].count * parts[i].size);
        }
        ae_trainer_scale_rate(t, way ? 1e38 : 1);
        const ae_status status = ae_trainer_epoch(&context, t, way ? NULL : at_once, &asked, &result);
        CHECK(status == (way ? AE_ERR_NONFINITE : AE_ERR_INTERRUPTED), "way %d: status %d", way, status);
        for (int i = 0; i < n; i++) {
            CHECK(!memcmp(before[i], parts[i].data, parts[i].count * parts[i].size), "way %d: '%s' has changed", way,
                  parts[i].name);
            free(before[i]);
        }
        ae_trainer_free(t);
    }
}

TEST(it_takes_half_the_room) {
    const program p = program_of("adam", 0, 0), q = program_of("adam", 0, 16);
    ae_trainer *a = started(&p), *b = started(&q);
    if (a && b) {
        const ae_trainer_part one = trainer_state_part(a, 1), other = trainer_state_part(b, 1);
        CHECK(one.count == other.count && one.size == 4 && other.size == 2, "%zu bytes and %zu", one.size, other.size);
    }
    ae_trainer_free(a);
    ae_trainer_free(b);
}

TEST(what_cannot_be_is_refused) {
    static const struct {
        const char *rule, *says;
        int bits, state_bits;
    } wrong[] = {{"adam", "state_bits is 8", 32, 8},
                 {"adam", "state_bits is 32", 32, 32},
                 {"adam", "parameters of 32 bits, not 64", 64, 16},
                 {NULL, "L-BFGS has no state of 16 bits", 32, 16},
                 {"kfac", "K-FAC has no state of 16 bits", 32, 16}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const bool kfac = wrong[i].rule && !strcmp(wrong[i].rule, "kfac");
        program p = program_of(kfac ? "adam" : wrong[i].rule, 0, wrong[i].state_bits);
        p.options.bits = wrong[i].bits;
        if (kfac)
            p.stage[0].rule = AE_KFAC;
        ae_context context = {AE_OK, ""};
        ae_trainer *t;
        CHECK(program_trainer(&context, &p, &t) == AE_ERR_VALUE && strstr(context.message, wrong[i].says), "%s",
              context.message);
        ae_trainer_free(t);
    }
}

int main(void) {
    fill(data, ROWS * WIDTH, -1, 1);
    RUN(rounding_is_that_of_its_definition_in_every_set);
    RUN(what_needs_no_rounding_stays);
    RUN(the_mean_over_draws_is_the_number);
    RUN(one_pass_gives_what_three_give);
    RUN(every_way_has_the_same_bits);
    RUN(the_first_step_is_that_of_float_state);
    RUN(it_learns_what_float_state_learns);
    RUN(a_stage_rounds_what_it_updates_and_no_more);
    RUN(state_that_is_set_comes_back_and_is_rounded_to_nearest);
    RUN(an_epoch_that_ends_early_leaves_those_of_the_last);
    RUN(it_takes_half_the_room);
    RUN(what_cannot_be_is_refused);
    return harness_finish("test_rounded_state");
}
