/* Training: the same bits however the work is cut, programs of several stages, and everything that may go wrong on the way.
 * What is wrong before training begins, and single steps by hand: test_train_steps.c. */
#include <time.h>

#include "slow.h"
#include "trainers.h"

#define ROWS 301
#define COLUMNS 65

static double x64[ROWS * COLUMNS], row_weights[ROWS];
static float x32[ROWS * COLUMNS];

static void fill_data(void) {
    fill(x64, ROWS * COLUMNS, -1, 1);
    fill(row_weights, ROWS, 0, 2);
    row_weights[0] = row_weights[77] = 0;
    for (int i = 0; i < ROWS * COLUMNS; i++)
        x32[i] = (float)x64[i];
}

static ae_data data_of(int bits, int64_t rows, int64_t columns) {
    return bits == 32 ? dense_data(x32, AE_F32, rows, columns) : dense_data(x64, AE_F64, rows, columns);
}

/* A trainer with data for two sources, as wide as the inputs that take them, and weights. */
static ae_trainer *started(const program *p, int64_t rows, const double *row_weight) {
    ae_data data[2];
    for (int i = 0; i < 2; i++) {
        int64_t width = 1;
        for (int n = 0; n < p->net.n; n++)
            if (p->net.node[n].kind == ae_layer_find("input") && p->net.node[n].source == i)
                width = p->net.node[n].width;
        data[i] = data_of(p->options.bits, rows, width);
    }
    return trainer_started(p, data, 2, row_weight);
}

/* Everything that training has changed: weights with their padding, optimiser state, position. */
typedef struct snapshot {
    size_t bytes;
    char *regions;
    int64_t step, epoch;
} snapshot;

static snapshot snapshot_of(ae_trainer *t) {
    const ae_net *net = ae_trainer_net(t);
    const int n = ae_trainer_n_state(t);
    const size_t one = (size_t)net->parameter_reals * net->real_size;
    snapshot s = {.bytes = one * (size_t)(1 + n)};
    s.regions = malloc(s.bytes);
    memcpy(s.regions, net->parameter_base, one);
    for (int i = 0; i < n; i++)
        memcpy(s.regions + one * (size_t)(1 + i), trainer_state_part(t, i).data, one);
    ae_trainer_position(t, &s.step, &s.epoch);
    return s;
}

static bool same(const snapshot *a, const snapshot *b) {
    return a->bytes == b->bytes && !memcmp(a->regions, b->regions, a->bytes) && a->step == b->step && a->epoch == b->epoch;
}

static bool is_at(ae_trainer *t, const snapshot *s) {
    snapshot now = snapshot_of(t);
    const bool equal = same(&now, s);
    free(now.regions);
    return equal;
}

static bool packs_are_right(ae_trainer *t) {
    const ae_net *net = ae_trainer_net(t);
    const size_t bytes = (size_t)net->transposed_reals * net->real_size;
    char *before = malloc(bytes ? bytes : 1);
    memcpy(before, net->transposed_base, bytes);
    ae_net_pack_all(net);
    const bool equal = !memcmp(before, net->transposed_base, bytes);
    free(before);
    return equal;
}

/* Wide enough that eight threads have something to do, with a bit of everything. */
static program busy_program(int bits, const char *rule) {
    program p = {.options = plain_options(bits)};
    int x = network_input(&p.net, COLUMNS, 0), h = network_dropout(&p.net, x, 0.2), skip;
    h = network_dense(&p.net, h, 130, AE_GELU);
    h = skip = network_dense(&p.net, h, 33, AE_TANH);
    h = network_dense(&p.net, h, 130, AE_RELU);
    h = network_dense(&p.net, h, 17, AE_SILU);
    h = network_add(&p.net, "concatenate", NULL, 2, h, skip);
    h = network_dense(&p.net, h, COLUMNS, AE_IDENTITY);
    program_loss(&p, "squared_error", h, x, 1);
    program_loss(&p, "huber", h, x, 0.1);
    program_stage(&p, rule);
    p.options.batch_size = 160;
    p.options.shuffle = true;
    p.options.l2 = 1e-3;
    p.options.rule_options.nesterov = true;
    if (rule) {
        p.options.l1 = 1e-4;
        p.options.max_norm = 1.5;
        p.options.clip_norm = 0.3;
    }
    return p;
}

static void busy_run(const program *p, const char *isa, snapshot *end, double loss[2]) {
    if (isa)
        setenv("AUTOENC_ISA", isa, 1);
    ae_trainer *t = started(p, ROWS, row_weights);
    unsetenv("AUTOENC_ISA");
    *end = (snapshot){0};
    if (!t)
        return;
    trainer_epoch_loss(t);
    loss[0] = trainer_epoch_loss(t);
    loss[1] = trainer_loss(t, ROWS);
    *end = snapshot_of(t);
    CHECK(packs_are_right(t), "transposes");
    ae_trainer_free(t);
}

TEST(the_same_bits_however_it_is_cut) {
    static const char *const rules[] = {"adam", "sgd", NULL};
    for (int r = 0; r < 3; r++)
        for (int bits = SANITIZED && r & 1 ? 64 : 32; bits <= (SANITIZED && !(r & 1) ? 32 : 64); bits += 32) {
            program p = busy_program(bits, rules[r]);
            snapshot one, other;
            double loss[2] = {0}, other_loss[2] = {0};
            busy_run(&p, NULL, &one, loss);
            CHECK(isfinite(loss[0]) && loss[0] > 0 && loss[0] != loss[1], "losses %g and %g", loss[0], loss[1]);
            for (const char *const *isa = usable_isas() + SANITIZED; *isa; isa++) {
                busy_run(&p, *isa, &other, other_loss);
                CHECK(same(&one, &other) && !memcmp(loss, other_loss, sizeof loss), "rule %d f%d: %s", r, bits, *isa);
                free(other.regions);
            }
            static const int threads[] = {2, 3, 8};
            static const int64_t chunks[] = {8, 24, 64, 0};
            for (int i = 0; i < 7; i++) {
                program q = p;
                q.options.n_threads = i < 3 ? threads[i] : 1 + (i & 1);
                q.options.chunk_rows = i < 3 ? 0 : chunks[i - 3];
                q.options.by_panels = i & 1 ? AE_BY_PANELS_NEVER : AE_BY_PANELS_ALWAYS;
                busy_run(&q, NULL, &other, other_loss);
                CHECK(same(&one, &other) && !memcmp(loss, other_loss, sizeof loss), "rule %d f%d: %d threads, chunks of %d", r,
                      bits, q.options.n_threads, (int)q.options.chunk_rows);
                free(other.regions);
            }
            free(one.regions);
        }
}

/* Batches that are no multiple of anything, cut into chunks or not, evaluated in one go or in many. */
TEST(odd_batches_in_chunks) {
    for (int64_t batch = 1; batch < 120; batch += (SLOW ? 40 : 1) + batch / 2) {
        snapshot one = {0}, other;
        double loss[2] = {0}, other_loss[2];
        for (int64_t chunk = 0; chunk <= 24; chunk += 8) {
            program p = busy_program(64, "adam");
            p.options.batch_size = batch;
            p.options.chunk_rows = chunk;
            p.net.node[2].width = p.net.node[4].width = 20;
            p.options.clip_norm = INFINITY;
            ae_trainer *t = started(&p, 130, row_weights);
            if (!t)
                return;
            other_loss[0] = trainer_epoch_loss(t);
            other_loss[1] = trainer_loss(t, 130);
            other = snapshot_of(t);
            if (!chunk) {
                one = other;
                memcpy(loss, other_loss, sizeof loss);
            } else {
                CHECK(same(&one, &other) && !memcmp(loss, other_loss, sizeof loss), "batch %d, chunk %d", (int)batch,
                      (int)chunk);
                free(other.regions);
            }
            ae_trainer_free(t);
        }
        free(one.regions);
    }
}

/* Stage 0 trains encoder and decoder (group 0), stage 1 a head on the code (group 1). across: stage 1 takes the code as
 * stage 0 has left it, before its update; otherwise it runs the encoder anew. only: 0 or 1 makes a program of one stage. */
static program two_stages(bool across, int only) {
    program p = {.options = plain_options(64)};
    int x = network_input(&p.net, 9, 0), y = network_input(&p.net, 4, 1), code = network_dense(&p.net, x, 5, AE_TANH);
    int out = network_dense(&p.net, code, 9, AE_IDENTITY), head = network_dense(&p.net, code, 4, AE_IDENTITY);
    p.net.node[head].group = 1;
    program_loss(&p, "squared_error", out, x, 1);
    program_loss(&p, "log_cosh", head, y, 2);
    if (only != 1)
        p.stage[p.n_stages++] = (ae_stage_desc){0, out, 0, 1, 1, ae_rule_find("adam"), 1.0, 0, 0};
    if (only != 0)
        p.stage[p.n_stages++] = (ae_stage_desc){across ? head : 0, head, 1, 1, 2, ae_rule_find("adam"), 0.5, 0, 0};
    p.options.batch_size = 50;
    return p;
}

static void copy_parameters(ae_trainer *from, ae_trainer *to, int group) {
    double w[64];
    const ae_net *net = ae_trainer_net(from);
    for (int i = 0; i < net->n_parameters; i++)
        if (net->parameters[i].group == group) {
            ae_net_get_parameter(net, i, w);
            ae_net_set_parameter(ae_trainer_net(to), i, w);
        }
}

TEST(two_stages_are_single_steps_in_turn) {
    for (int across = 0; across < 2; across++) {
        program both_p = two_stages(across, -1), first_p = two_stages(false, 0), second_p = two_stages(false, 1);
        ae_trainer *both = started(&both_p, 50, row_weights), *first = started(&first_p, 50, row_weights);
        ae_trainer *second = started(&second_p, 50, row_weights);
        if (!both || !first || !second)
            return;
        CHECK(!memcmp(ae_trainer_net(both)->parameter_base, ae_trainer_net(first)->parameter_base,
                      (size_t)ae_trainer_net(both)->parameter_reals * 8),
              "the same start");
        for (int i = 0; i < 5; i++) {
            double of_second = 0;
            const double before = trainer_loss(both, 50), parts = trainer_loss(first, 50) + trainer_loss(second, 50);
            CHECK(fabs(before - parts) <= 1e-14, "evaluated together %.17g, apart %.17g", before, parts);
            if (across)
                of_second = trainer_epoch_loss(second);
            const double of_first = trainer_epoch_loss(first), of_both = trainer_epoch_loss(both);
            copy_parameters(first, second, 0);
            if (!across)
                of_second = trainer_epoch_loss(second);
            copy_parameters(second, first, 1);
            CHECK(fabs(of_both - of_first - of_second) <= 1e-14, "loss %.17g, not %.17g", of_both, of_first + of_second);
            snapshot a = snapshot_of(both), b = snapshot_of(first), c = snapshot_of(second);
            const size_t one = (size_t)ae_trainer_net(both)->parameter_reals * 8;
            CHECK(!memcmp(a.regions, b.regions, one) && !memcmp(a.regions, c.regions, one), "weights after step %d, across %d",
                  i, across);
            free(a.regions);
            free(b.regions);
            free(c.regions);
        }
        ae_trainer_free(both);
        ae_trainer_free(first);
        ae_trainer_free(second);
    }
}

TEST(fields_of_programs_that_are_refused) {
    static const char *const sentences[] = {"stage 1: reserved is 3; it must be 0", "loss 1: reserved is -1; it must be 0",
                                            "stage 1: rule -3 is not known", "stage 0: rule 77 is not known"};
    for (int i = 0; i < 4; i++) {
        program p = two_stages(false, -1);
        ae_context context = {AE_OK, ""};
        ae_trainer *t;
        if (i == 0)
            p.stage[1].reserved = 3;
        else if (i == 1)
            p.loss[1].reserved = -1;
        else
            p.stage[3 - i].rule = i == 2 ? -3 : 77;
        CHECK(program_trainer(&context, &p, &t) == AE_ERR_VALUE && !t && strstr(context.message, sentences[i]), "'%s'",
              context.message);
    }
}

/* Stages that overlap: what each of them may do to a parameter. */
TEST(overlapping_stages) {
    const int adam = ae_rule_find("adam"), sgd = ae_rule_find("sgd");
    static const struct {
        const char *refused; /* NULL: valid */
        uint32_t groups[2];
        bool same_rule, norm;
    } ways[] = {{NULL, {1, 2}, false, false},
                {NULL, {3, 2}, true, false},
                {NULL, {3, 3}, true, false},
                {"stages 0 and 1 train 'dense2.weight' by adam and by sgd; the rules must be equal", {1, 3}, false, false},
                {NULL, {1, 2}, false, true},
                {NULL, {3, 2}, true, true},
                {"stages 0 and 1 both give 'norm.mean' its new value", {1, 3}, true, true}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        program p = two_stages(false, -1);
        if (ways[i].norm) { /* on the code, for the head too */
            const int norm = network_add(&p.net, "batch_norm", "norm", 1, 2), out = network_dense(&p.net, norm, 4, AE_IDENTITY);
            p.net.node[out].group = 1;
            p.loss[1].prediction = out;
            p.stage[0].last_node = p.stage[1].last_node = out;
        }
        for (int s = 0; s < 2; s++) {
            p.stage[s].groups = ways[i].groups[s];
            p.stage[s].rule = s == 0 || ways[i].same_rule ? adam : sgd;
        }
        if (ways[i].groups[0] == 3)
            p.stage[0].n_losses = 2; /* a loss of both stages: it reaches the head in the first, too */
        ae_context context = {AE_OK, ""};
        ae_trainer *t = NULL;
        p.stage[0].last_node = p.stage[0].n_losses == 2 ? p.net.n - 1 : p.stage[0].last_node;
        const ae_status status = program_trainer(&context, &p, &t);
        CHECK(ways[i].refused ? status == AE_ERR_VALUE && strstr(context.message, ways[i].refused) : status == AE_OK,
              "way %d: '%s'", (int)i, context.message);
        ae_trainer_free(t);
        if (ways[i].refused)
            continue;
        t = started(&p, 50, row_weights);
        CHECK(t && isfinite(trainer_epoch_loss(t)) && packs_are_right(t), "way %d", (int)i);
        ae_trainer_free(t);
    }
}

/* The second stage runs the code's nodes anew, with the weights that the first has left: as a network of its own would. */
TEST(a_parameter_of_two_stages) {
    program both = two_stages(false, -1), apart[2] = {two_stages(false, 0), two_stages(false, 1)};
    both.options.rule_options.momentum = apart[0].options.rule_options.momentum = apart[1].options.rule_options.momentum = 0;
    for (int s = 0; s < 2; s++) {
        both.stage[s].rule = apart[s].stage[0].rule = ae_rule_find("sgd");
        both.stage[s].groups = apart[s].stage[0].groups = 3;
    }
    ae_trainer *t = started(&both, 50, NULL), *turn[2] = {started(&apart[0], 50, NULL), started(&apart[1], 50, NULL)};
    if (!t || !turn[0] || !turn[1])
        return;
    const size_t bytes = (size_t)ae_trainer_net(t)->parameter_reals * 8;
    for (int e = 0; e < 3; e++) {
        double sum = 0;
        const double loss = trainer_epoch_loss(t);
        for (int s = 0; s < 2; s++) {
            sum += trainer_epoch_loss(turn[s]);
            memcpy(ae_trainer_net(turn[!s])->parameter_base, ae_trainer_net(turn[s])->parameter_base, bytes);
            ae_net_pack_all(ae_trainer_net(turn[!s]));
            ae_trainer_commit(turn[!s]);
        }
        CHECK(fabs(loss - sum) <= 1e-14, "loss %.17g, not %.17g", loss, sum);
        CHECK(!memcmp(ae_trainer_net(t)->parameter_base, ae_trainer_net(turn[0])->parameter_base, bytes), "weights, epoch %d",
              e);
    }
    ae_trainer_free(t);
    ae_trainer_free(turn[0]);
    ae_trainer_free(turn[1]);
}

TEST(stages_do_not_depend_on_chunks) {
    for (int across = 0; across < 2; across++) {
        snapshot one = {0};
        double loss[2] = {0};
        for (int64_t chunk = 0; chunk <= 16; chunk += 8) {
            program p = two_stages(across, -1);
            p.options.chunk_rows = chunk;
            ae_trainer *t = started(&p, 120, row_weights);
            if (!t)
                return;
            const double now[2] = {trainer_epoch_loss(t), trainer_loss(t, 120)};
            snapshot end = snapshot_of(t);
            if (!chunk) {
                one = end;
                memcpy(loss, now, sizeof loss);
            } else {
                CHECK(same(&one, &end) && !memcmp(loss, now, sizeof loss), "across %d, chunk %d: %.17g %.17g, not %.17g %.17g",
                      across, (int)chunk, now[0], now[1], loss[0], loss[1]);
                free(end.regions);
            }
            ae_trainer_free(t);
        }
        free(one.regions);
    }
}

TEST(an_epoch_allocates_nothing) {
    static const char *const rules[] = {"adam", NULL};
    for (int r = 0; r < 2; r++) {
        program p = busy_program(32, rules[r]);
        p.options.n_threads = 3;
        p.options.keep_best = true;
        ae_trainer *t = started(&p, ROWS, row_weights);
        if (!t)
            return;
        const int64_t before = ae_alloc_count();
        for (int i = 0; i < 3; i++) {
            trainer_epoch_loss(t);
            trainer_loss(t, ROWS);
            ae_trainer_keep_best(t);
            ae_trainer_restore_best(t);
        }
        CHECK(ae_alloc_count() == before, "%d allocations", (int)(ae_alloc_count() - before));
        ae_trainer_free(t);
    }
}

TEST(no_memory_at_any_place) {
    static const char *const rules[] = {"adam", NULL};
    for (int r = 0; r < 2; r++) {
        program p = r ? busy_program(32, rules[r]) : two_stages(true, -1);
        p.options.n_threads = 2;
        p.options.keep_best = true;
        const int64_t live = ae_alloc_live();
        int n = 0;
        for (bool done = false; !done && n < 100; n++) {
            ae_context context = {AE_OK, ""};
            ae_trainer *t = (ae_trainer *)(uintptr_t)64;
            ae_alloc_fail_after(n);
            const ae_status status = program_trainer(&context, &p, &t);
            ae_alloc_fail_after(-1);
            done = status == AE_OK;
            CHECK(done ? t != NULL : status == AE_ERR_MEMORY && !t && strstr(context.message, "allocate"),
                  "place %d: status %d, '%s'", n, (int)status, context.message);
            if (done)
                ae_trainer_free(t);
            CHECK(ae_alloc_live() == live, "place %d: %d blocks are left", n, (int)(ae_alloc_live() - live));
        }
        CHECK(n > 8 && n < 100, "%d places", n);
    }
    /* Initialising and moments need memory too; without it they leave everything usable. */
    program p = two_stages(false, -1);
    p.net.node[2].initializer = AE_INIT_ORTHOGONAL;
    ae_trainer *t = started(&p, 50, NULL);
    if (!t)
        return;
    const snapshot before = snapshot_of(t);
    const int64_t live = ae_alloc_live();
    ae_context context;
    double mean[9], variance[9];
    for (int n = 0; n < 3; n++) {
        ae_alloc_fail_after(n);
        CHECK(ae_trainer_initialize(&context, t) == AE_ERR_MEMORY && context.message[0], "initialise, place %d", n);
    }
    ae_alloc_fail_after(0);
    CHECK(ae_trainer_moments(&context, t, 0, mean, variance) == AE_ERR_MEMORY && context.message[0], "moments");
    ae_alloc_fail_after(-1);
    CHECK(ae_alloc_live() == live, "nothing is left");
    CHECK(ae_trainer_initialize(&context, t) == AE_OK && is_at(t, &before), "with memory all is well");
    free(before.regions);
    ae_trainer_free(t);
}

typedef struct stopper {
    int asked, say_yes_at;
} stopper;

/* Takes longer than the time between two questions, so each minibatch asks. */
static bool stop(void *argument) {
    stopper *s = argument;
    nanosleep(&(struct timespec){0, 52000000}, NULL);
    return s->asked++ == s->say_yes_at;
}

TEST(an_interruption_costs_an_epoch_at_most) {
    static const char *const rules[] = {"adam", NULL};
    for (int r = 0; r < 2; r++) {
        program p = busy_program(32, rules[r]);
        p.options.batch_size = 60;
        p.options.chunk_rows = 56;
        ae_trainer *whole = started(&p, ROWS, row_weights), *broken = started(&p, ROWS, row_weights);
        if (!whole || !broken)
            return;
        for (int e = 0; e < 2; e++) {
            snapshot before = snapshot_of(broken);
            for (int at = 0; at < 5; at += 4) {
                stopper s = {0, at};
                ae_context context;
                ae_epoch_result result;
                const ae_status status = ae_trainer_epoch(&context, broken, stop, &s, &result);
                CHECK(status == AE_ERR_INTERRUPTED && s.asked == at + 1, "status %d after %d questions", (int)status, s.asked);
                CHECK(is_at(broken, &before) && packs_are_right(broken), "question %d of epoch %d: another state", at, e);
                if (status == AE_OK)
                    break;
            }
            free(before.regions);
            trainer_epoch_loss(whole);
            trainer_epoch_loss(broken);
            /* L-BFGS forgets its pairs, so only its first epoch is the same. */
            snapshot end = snapshot_of(whole);
            CHECK(is_at(broken, &end) || (!rules[r] && e), "epoch %d after interruptions", e);
            free(end.regions);
        }
        ae_trainer_free(whole);
        ae_trainer_free(broken);
    }
    /* Evaluation can be interrupted too. */
    program p = busy_program(32, "sgd");
    p.options.chunk_rows = p.options.batch_size = 32;
    ae_trainer *t = started(&p, ROWS, NULL);
    stopper s = {0, 2};
    ae_context context;
    double loss = 5;
    CHECK(t && ae_trainer_evaluate(&context, t, 0, 0, ROWS, false, stop, &s, &loss) == AE_ERR_INTERRUPTED && loss == 5,
          "evaluate");
    ae_trainer_free(t);
}

TEST(divergence_returns_to_the_last_epoch) {
    for (int bits = 32; bits <= 64; bits += 32) {
        program p = busy_program(bits, "sgd");
        p.options.batch_size = 60;
        p.options.clip_norm = p.options.max_norm = INFINITY;
        p.options.l1 = p.options.l2 = 0;
        ae_trainer *whole = started(&p, ROWS, row_weights), *t = started(&p, ROWS, row_weights);
        if (!t || !whole)
            return;
        ae_context context;
        ae_epoch_result result = {.loss = 7};
        trainer_epoch_loss(whole);
        trainer_epoch_loss(t);
        snapshot before = snapshot_of(t);
        ae_trainer_scale_rate(t, bits == 32 ? 1e30 : 1e200);
        const ae_status status = ae_trainer_epoch(&context, t, NULL, NULL, &result);
        CHECK(status == AE_ERR_NONFINITE && result.loss == 7 && context.message[0], "f%d: status %d", bits, (int)status);
        CHECK(is_at(t, &before) && packs_are_right(t), "f%d: another state", bits);
        ae_trainer_scale_rate(t, 1);
        CHECK(trainer_epoch_loss(whole) == trainer_epoch_loss(t), "going on");
        free(before.regions);
        before = snapshot_of(whole);
        CHECK(is_at(t, &before), "f%d: other weights than without divergence", bits);
        free(before.regions);
        ae_trainer_free(whole);
        ae_trainer_free(t);
        /* One step an epoch: the loss was finite, the weights after it are not. */
        p.options.batch_size = ROWS;
        p.options.schedule.base = bits == 32 ? 3e38 : 1e308;
        p.loss[0].weight = 1e6;
        t = started(&p, ROWS, NULL);
        if (!t)
            return;
        before = snapshot_of(t);
        CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_ERR_NONFINITE && is_at(t, &before),
              "f%d: weights overflow", bits);
        free(before.regions);
        ae_trainer_free(t);
    }
    /* What is not a number in the data is found before a weight has changed, with and without clipping. */
    for (int clips = 0; clips < 2; clips++) {
        program p = busy_program(64, "adam");
        p.options.clip_norm = clips ? 1 : INFINITY;
        ae_trainer *t = started(&p, ROWS, NULL);
        if (!t)
            return;
        ae_context context;
        ae_epoch_result result;
        snapshot before = snapshot_of(t);
        const double kept = x64[170 * COLUMNS + 3];
        x64[170 * COLUMNS + 3] = NAN;
        CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_ERR_NONFINITE && is_at(t, &before), "not a number");
        x64[170 * COLUMNS + 3] = kept;
        trainer_epoch_loss(t);
        free(before.regions);
        ae_trainer_free(t);
    }
}

TEST(training_goes_on_elsewhere) {
    static const char *const rules[] = {"sgd", "adam", "rmsprop"};
    for (int r = 0; r < (SLOW ? 1 : 3); r++) {
        program p = busy_program(32, rules[r]);
        p.options.batch_size = 64;
        p.options.rule_options.amsgrad = true;
        p.options.schedule = (ae_schedule){AE_SCHEDULE_COSINE, 0.01, 0.01, 0, 1, 3, 25};
        ae_trainer *whole = started(&p, ROWS, row_weights), *start = started(&p, ROWS, row_weights),
                   *end = started(&p, ROWS, row_weights);
        if (!whole || !start || !end)
            return;
        for (int i = 0; i < 5; i++)
            trainer_epoch_loss(whole);
        for (int i = 0; i < 3; i++)
            trainer_epoch_loss(start);
        const ae_net *net = ae_trainer_net(start);
        float *w = malloc(130 * 130 * sizeof *w);
        int64_t step, epochs;
        for (int i = 0; i < net->n_parameters; i++) {
            ae_net_get_parameter(net, i, w);
            ae_net_set_parameter(ae_trainer_net(end), i, w);
            for (int k = 0; k < ae_trainer_n_state(start); k++) {
                ae_trainer_get_state(start, k, i, w);
                ae_trainer_set_state(end, k, i, w);
            }
        }
        free(w);
        ae_trainer_position(start, &step, &epochs);
        CHECK(step == 15 && epochs == 3, "step %d, epoch %d", (int)step, (int)epochs);
        ae_trainer_commit(end);
        ae_trainer_seek(end, step, epochs);
        stopper s = {0, 1};
        ae_context context;
        ae_epoch_result result;
        CHECK(ae_trainer_epoch(&context, end, stop, &s, &result) == AE_ERR_INTERRUPTED, "interrupted");
        for (int i = 0; i < 2; i++)
            trainer_epoch_loss(end);
        snapshot want = snapshot_of(whole);
        CHECK(is_at(end, &want), "%s", rules[r]);
        free(want.regions);
        ae_trainer_free(whole);
        ae_trainer_free(start);
        ae_trainer_free(end);
    }
}

TEST(the_best_weights_come_back) {
    program p = busy_program(64, "adam");
    p.options.keep_best = true;
    ae_trainer *t = started(&p, ROWS, row_weights);
    if (!t)
        return;
    trainer_epoch_loss(t);
    const double nothing_kept = trainer_loss(t, ROWS);
    ae_trainer_restore_best(t);
    CHECK(trainer_loss(t, ROWS) == nothing_kept, "nothing was kept, nothing changes");
    ae_trainer_keep_best(t);
    trainer_epoch_loss(t);
    CHECK(trainer_loss(t, ROWS) != nothing_kept, "training goes on");
    ae_trainer_restore_best(t);
    CHECK(trainer_loss(t, ROWS) == nothing_kept && packs_are_right(t), "the best");
    stopper s = {0, 0};
    ae_context context;
    ae_epoch_result result;
    CHECK(ae_trainer_epoch(&context, t, stop, &s, &result) == AE_ERR_INTERRUPTED && trainer_loss(t, ROWS) == nothing_kept,
          "an interruption returns to the best");
    ae_trainer_free(t);
}

/* Data or weights that change beneath L-BFGS: it starts afresh, as a new trainer would. */
TEST(lbfgs_follows_changes) {
    program p = busy_program(64, NULL);
    p.options.keep_best = true;
    for (int change = 0; change < 4; change++) {
        ae_trainer *t = started(&p, ROWS, NULL), *fresh = started(&p, ROWS, NULL);
        if (!t || !fresh)
            return;
        ae_context context;
        const ae_data data[2] = {data_of(64, 100, COLUMNS), data_of(64, 100, 1)};
        ae_net *net = ae_trainer_net(t), *fresh_net = ae_trainer_net(fresh);
        double *w = malloc(130 * 130 * sizeof *w);
        trainer_epoch_loss(t);
        ae_trainer_keep_best(t);
        trainer_epoch_loss(t);
        if (change == 0)
            CHECK(ae_trainer_bind(&context, t, 0, data, 2, NULL) == AE_OK &&
                      ae_trainer_bind(&context, fresh, 0, data, 2, NULL) == AE_OK,
                  "bind");
        else if (change == 1)
            CHECK(ae_trainer_subset(&context, t, 20, 200, false) == AE_OK &&
                      ae_trainer_subset(&context, fresh, 20, 200, false) == AE_OK,
                  "subset");
        else if (change == 2)
            ae_trainer_restore_best(t);
        else
            CHECK(ae_trainer_initialize(&context, t) == AE_OK, "initialise");
        for (int i = 0; i < net->n_parameters; i++) {
            ae_net_get_parameter(net, i, w);
            ae_net_set_parameter(fresh_net, i, w);
        }
        ae_trainer_commit(fresh);
        const double of_t = trainer_epoch_loss(t), of_fresh = trainer_epoch_loss(fresh);
        CHECK(of_t == of_fresh && !memcmp(net->parameter_base, fresh_net->parameter_base, (size_t)net->parameter_reals * 8),
              "change %d: loss %.17g, not %.17g", change, of_t, of_fresh);
        free(w);
        ae_trainer_free(t);
        ae_trainer_free(fresh);
    }
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    fill_data();
    RUN(the_same_bits_however_it_is_cut);
    RUN(odd_batches_in_chunks);
    RUN(two_stages_are_single_steps_in_turn);
    RUN(fields_of_programs_that_are_refused);
    RUN(overlapping_stages);
    RUN(a_parameter_of_two_stages);
    RUN(stages_do_not_depend_on_chunks);
    RUN(an_epoch_allocates_nothing);
    RUN(no_memory_at_any_place);
    RUN(an_interruption_costs_an_epoch_at_most);
    RUN(divergence_returns_to_the_last_epoch);
    RUN(training_goes_on_elsewhere);
    RUN(the_best_weights_come_back);
    RUN(lbfgs_follows_changes);
    return harness_finish("test_train");
}
