/* The state of a trainer between two epochs: another trainer goes on from it to the same bits, and refuses what is none. */
#include <stdlib.h>

#include "trainers.h"

#define ROWS 50
#define COLUMNS 33

static double x[ROWS * COLUMNS];

/* columns - hidden - columns, with dropout where there are minibatches. */
static ae_trainer *started_with(int bits, int state_bits, const char *rule, bool keep_best) {
    program p = {.options = plain_options(bits)};
    int in = network_input(&p.net, COLUMNS, 0), h = network_dense(&p.net, in, 9, AE_TANH);
    if (rule)
        h = network_dropout(&p.net, h, 0.3);
    h = network_dense(&p.net, h, COLUMNS, AE_IDENTITY);
    program_loss(&p, "squared_error", h, in, 1);
    program_stage(&p, rule);
    p.options.batch_size = rule ? 16 : ROWS;
    p.options.shuffle = true;
    p.options.keep_best = keep_best;
    p.options.rule_options.momentum = 0.9;
    p.options.rule_options.amsgrad = true;
    p.options.state_bits = state_bits;
    const ae_data source = dense_data(x, AE_F64, ROWS, COLUMNS);
    return trainer_started(&p, &source, 1, NULL);
}

static ae_trainer *started(int bits, const char *rule, bool keep_best) { return started_with(bits, 0, rule, keep_best); }

typedef struct state {
    int n;
    char *data[AE_TRAINER_PARTS];
    size_t bytes[AE_TRAINER_PARTS];
    double numbers[AE_TRAINER_NUMBERS];
} state;

static state copied(ae_trainer *t) {
    ae_trainer_part parts[AE_TRAINER_PARTS];
    state s = {.n = ae_trainer_parts(t, parts)};
    for (int i = 0; i < s.n; i++) {
        s.bytes[i] = parts[i].count * parts[i].size;
        s.data[i] = malloc(s.bytes[i]);
        if (s.data[i])
            memcpy(s.data[i], parts[i].data, s.bytes[i]);
    }
    ae_trainer_numbers(t, s.numbers);
    return s;
}

static void dropped(state *s) {
    for (int i = 0; i < s->n; i++)
        free(s->data[i]);
}

static bool same(const state *a, const state *b) {
    bool equal = a->n == b->n && !memcmp(a->numbers, b->numbers, sizeof a->numbers);
    for (int i = 0; equal && i < a->n; i++)
        equal = a->bytes[i] == b->bytes[i] && !memcmp(a->data[i], b->data[i], a->bytes[i]);
    return equal;
}

static ae_status restored(ae_trainer *t, const state *s, const double *numbers) {
    ae_context context;
    return ae_trainer_restore(&context, t, (const void *const *)s->data, numbers);
}

TEST(another_trainer_goes_on_to_the_same_bits) {
    static const char *const rules[] = {"adamw", "adam", "sgd", "rmsprop", "adagrad", NULL};
    for (int way = 0; way < 3; way++)
        for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
            for (int before = 0; before < 8; before += 3) {
                const int bits = way == 1 ? 64 : 32, state_bits = way == 2 ? 16 : 0;
                if (state_bits && !rules[r])
                    continue;
                ae_trainer *t = started_with(bits, state_bits, rules[r], r % 2),
                           *other = started_with(bits, state_bits, rules[r], r % 2);
                if (!t || !other)
                    return;
                for (int e = 0; e < before; e++) {
                    trainer_epoch(t);
                    if (e == 1)
                        ae_trainer_keep_best(t);
                }
                trainer_epoch(other); /* elsewhere */
                ae_trainer_scale_rate(t, 0.5);
                state s = copied(t);
                CHECK(restored(other, &s, s.numbers) == AE_OK, "%s: refused", rules[r] ? rules[r] : "lbfgs");
                for (int e = 0; e < 4; e++) {
                    const double a = trainer_epoch(t).loss, b = trainer_epoch(other).loss;
                    CHECK(!memcmp(&a, &b, sizeof a), "%s after %d epochs, %d later: %.17g and %.17g",
                          rules[r] ? rules[r] : "lbfgs", before, e, a, b);
                }
                ae_trainer_restore_best(t);
                ae_trainer_restore_best(other);
                state one = copied(t), two = copied(other);
                CHECK(same(&one, &two), "%s: other states", rules[r] ? rules[r] : "lbfgs");
                dropped(&s);
                dropped(&one);
                dropped(&two);
                ae_trainer_free(t);
                ae_trainer_free(other);
            }
}

TEST(numbers_that_cannot_be_are_refused) {
    static const struct {
        int at;
        double value;
    } wrong[] = {{0, -1},  {0, 0.5}, {0, NAN}, {1, 1e300}, {2, 0},   {2, INFINITY}, {5, 1},  {7, 2},
                 {7, 0.5}, {8, 11},  {8, -1},  {9, 10},    {9, NAN}, {14, 1e9},     {15, 1}, {16, 1}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ae_trainer *t = started(32, NULL, false);
        if (!t)
            return;
        trainer_epoch(t);
        trainer_epoch(t);
        state s = copied(t);
        double numbers[AE_TRAINER_NUMBERS];
        memcpy(numbers, s.numbers, sizeof numbers);
        numbers[wrong[i].at] = wrong[i].value;
        memset(s.data[0], 0, s.bytes[0]);
        state before = copied(t);
        CHECK(restored(t, &s, numbers) == AE_ERR_VALUE, "number %d: %g is taken", wrong[i].at, wrong[i].value);
        state after = copied(t);
        CHECK(same(&before, &after), "number %d: something has changed", wrong[i].at);
        dropped(&s);
        dropped(&before);
        dropped(&after);
        ae_trainer_free(t);
    }
    /* L-BFGS has not started where there is none. */
    ae_trainer *t = started(32, "adam", false);
    if (!t)
        return;
    state s = copied(t);
    s.numbers[6] = 1;
    CHECK(restored(t, &s, s.numbers) == AE_ERR_VALUE, "L-BFGS has started");
    dropped(&s);
    ae_trainer_free(t);
}

int main(void) {
    fill(x, ROWS * COLUMNS, -1, 1);
    RUN(another_trainer_goes_on_to_the_same_bits);
    RUN(numbers_that_cannot_be_are_refused);
    return harness_finish("test_trainer_state");
}
