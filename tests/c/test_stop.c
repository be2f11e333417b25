/* Questions by the clock outside of training steps: initialising and moments end when the answer is to stop, and leave the
 * trainer as it was. */
#include <time.h>

#include "trainers.h"

#define ROWS 301
#define COLUMNS 40

static double x[ROWS * COLUMNS];

typedef struct stopper {
    int asked, say_yes_at;
} stopper;

/* Takes longer than the time between two questions, so that every look at the clock asks. */
static bool stop(void *argument) {
    stopper *s = argument;
    nanosleep(&(struct timespec){0, 52000000}, NULL);
    return s->asked++ == s->say_yes_at;
}

static program wide(int bits, ae_initializer initializer) {
    program p = {.options = plain_options(bits)};
    int in = network_input(&p.net, COLUMNS, 0), h = network_dense(&p.net, in, 70, AE_TANH);
    p.net.node[h].initializer = (int32_t)initializer;
    h = network_dense(&p.net, h, COLUMNS, AE_IDENTITY);
    program_loss(&p, "squared_error", h, in, 1);
    program_stage(&p, "adam");
    p.options.chunk_rows = 32;
    return p;
}

static ae_trainer *started(const program *p) {
    const ae_data data = dense_data(x, AE_F64, ROWS, COLUMNS);
    return trainer_started(p, &data, 1, NULL);
}

static bool same_weights(const ae_net *net, const double *before, int64_t n) {
    int64_t m;
    double *now = copy_weights(net, NULL, &m);
    const bool same = m == n && !memcmp(now, before, (size_t)n * sizeof *now);
    free(now);
    return same;
}

TEST(nobody_is_asked_where_nobody_was_named) {
    ae_asking nobody = {NULL, NULL, 0};
    CHECK(ae_ask(NULL, NULL) == AE_OK && ae_ask(NULL, &nobody) == AE_OK && nobody.asked == 0, "no question");
}

TEST(questions_are_asked_by_the_clock) {
    ae_context context = {AE_OK, ""};
    stopper s = {0, -1};
    ae_asking asking = {stop, &s, 0};
    CHECK(ae_ask(&context, &asking) == AE_OK && s.asked == 1, "the first look asks");
    asking.asked += 1000; /* a question that is yet to come: the last was not 50 ms ago */
    CHECK(ae_ask(&context, &asking) == AE_OK && s.asked == 1, "too early");
    asking.asked = 0;
    s.say_yes_at = 1;
    CHECK(ae_ask(&context, &asking) == AE_ERR_INTERRUPTED && s.asked == 2 && context.message[0], "stopped");
}

/* Orthogonal: a question for each of 40 vectors; the others: one for each 64 rows (sparse: columns), 70 units here. */
TEST(initialising_stops_and_leaves_the_weights) {
    static const struct {
        ae_initializer initializer;
        int last; /* number of a question within the first weight */
    } starts[] = {{AE_INIT_ORTHOGONAL, 5}, {AE_INIT_SPARSE, 1}, {AE_INIT_GLOROT, 1}, {AE_INIT_HE, 0}};
    for (int bits = 32; bits <= 64; bits += 32)
        for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
            program p = wide(bits, starts[i].initializer);
            ae_trainer *t = started(&p);
            if (!t)
                return;
            trainer_epoch(t);
            const double loss = trainer_loss(t, ROWS);
            int64_t n;
            double *before = copy_weights(ae_trainer_net(t), NULL, &n);
            for (int at = 0; at <= starts[i].last; at += starts[i].last ? starts[i].last : 1) {
                ae_context context = {AE_OK, ""};
                stopper s = {0, at};
                ae_trainer_ask(t, stop, &s);
                const ae_status status = ae_trainer_initialize(&context, t);
                CHECK(status == AE_ERR_INTERRUPTED && s.asked == at + 1 && context.message[0],
                      "start %zu: status %d after %d questions", i, (int)status, s.asked);
                CHECK(same_weights(ae_trainer_net(t), before, n) && trainer_loss(t, ROWS) == loss, "start %zu: other weights",
                      i);
            }
            /* Nobody who stops it: the weights of the seed. */
            ae_context context = {AE_OK, ""};
            ae_trainer_ask(t, NULL, NULL);
            ae_trainer *fresh = started(&p);
            CHECK(ae_trainer_initialize(&context, t) == AE_OK && fresh, "%s", context.message);
            free(before);
            before = copy_weights(ae_trainer_net(fresh), NULL, &n);
            CHECK(same_weights(ae_trainer_net(t), before, n), "start %zu: drawn again", i);
            free(before);
            ae_trainer_free(fresh);
            ae_trainer_free(t);
        }
}

TEST(moments_stop_between_chunks) {
    program p = wide(64, AE_INIT_GLOROT);
    ae_trainer *t = started(&p);
    if (!t)
        return;
    ae_context context = {AE_OK, ""};
    double mean[COLUMNS] = {5}, variance[COLUMNS] = {5}, expected[COLUMNS], spread[COLUMNS];
    CHECK(ae_trainer_moments(&context, t, 0, expected, spread) == AE_OK, "%s", context.message);
    for (int at = 0; at < 9; at += 4) { /* 301 rows are ten chunks of 32 */
        stopper s = {0, at};
        ae_trainer_ask(t, stop, &s);
        CHECK(ae_trainer_moments(&context, t, 0, mean, variance) == AE_ERR_INTERRUPTED && s.asked == at + 1 && mean[0] == 5,
              "%d questions", s.asked);
    }
    stopper never = {0, -1};
    ae_trainer_ask(t, stop, &never);
    CHECK(ae_trainer_moments(&context, t, 0, mean, variance) == AE_OK && never.asked == 10, "%d questions", never.asked);
    CHECK(!memcmp(mean, expected, sizeof mean) && !memcmp(variance, spread, sizeof mean), "the same numbers");
    ae_trainer_free(t);
}

int main(void) {
    fill(x, ROWS * COLUMNS, -1, 1);
    RUN(nobody_is_asked_where_nobody_was_named);
    RUN(questions_are_asked_by_the_clock);
    RUN(initialising_stops_and_leaves_the_weights);
    RUN(moments_stop_between_chunks);
    return harness_finish("test_stop");
}
