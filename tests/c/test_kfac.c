/* K-FAC: the whole method against kfac_by_hand.h, the same bits for any number of threads and any
 * instruction set, and what it refuses. Its inverse: test_spd.c. */
#include "math/spd.h"

#include "kfac_by_hand.h"
#include "slow.h"
#include "trainers.h"

enum { STEPS = SANITIZED ? 41 : 120 };

static const char *const losses[] = {"squared_error", "log_loss", "poisson"};

static program chain(int bits, const char *loss) {
    program p = {.options = plain_options(bits)};
    const int in = network_input(&p.net, widths[0], 0);
    int h = network_dense(&p.net, in, widths[1], AE_TANH);
    h = network_dense(&p.net, h, CODE, AE_IDENTITY);
    h = network_dense(&p.net, h, widths[0], AE_IDENTITY);
    program_loss(&p, loss, h, in, 1);
    program_stage(&p, NULL);
    p.stage[0].rule = AE_KFAC;
    p.options.batch_size = ROWS;
    p.options.schedule.base = 0.8;
    return p;
}

static ae_trainer *started(const program *p) {
    const ae_data source = dense_data(data, AE_F64, ROWS, widths[0]);
    return trainer_started(p, &source, 1, weights);
}

/* From the weights of a network. */
static void begin_by_hand(const ae_net *net) {
    int64_t n;
    double *now = copy_weights(net, NULL, &n);
    memset(&factor_in, 0, sizeof factor_in);
    memset(&factor_out, 0, sizeof factor_out);
    memset(&last, 0, sizeof last);
    for (int l = 0, at = 0; l < LAYERS; l++)
        for (int i = 0; i <= widths[l]; i++)
            for (int j = 0; j < widths[l + 1]; j++)
                w.of[l][i][j] = now[at++];
    free(now);
}

/* Returns how often steps were shortened. */
static int follow_steps(int first_loss, int n_losses, int steps, double rate) {
    int shortened = 0;
    for (int loss = first_loss; loss < first_loss + n_losses; loss++) {
        program p = chain(64, losses[loss]);
        logistic = loss == 1;
        p.net.node[1].activation = logistic ? AE_LOGISTIC : AE_TANH;
        p.options.l2 = loss == 0 ? 1e-3 : 0.0;
        p.options.schedule.base = rate;
        ae_trainer *t = started(&p);
        if (!t)
            return 0;
        const ae_net *net = ae_trainer_net(t);
        begin_by_hand(net);
        /* Long enough for the damping to fall to its least; of the weights rounding grows on the way, since a linear code leaves
         * directions without curvature. */
        for (int step = 0; step < steps; step++) {
            const double value = trainer_epoch_loss(t);
            const double expected = step_by_hand(step, loss, p.options.l2, rate, ae_kernels_get(64, net->isa), p.options.seed);
            shortened += shortenings;
            /* Rounding grows from step to step: most in the squared error, whose linear code has directions without curvature. */
            CHECK(fabs(value - expected) < (step < 80 ? 1e-9 : 1e-6), "%s, step %d: loss %.15g, by hand %.15g", losses[loss],
                  step, value, expected);
            if (step != (steps < 41 ? steps - 1 : 40))
                continue;
            double worst = 0;
            int64_t n;
            double *now = copy_weights(net, NULL, &n);
            for (int l = 0, at = 0; l < LAYERS; l++)
                for (int i = 0; i <= widths[l]; i++)
                    for (int j = 0; j < widths[l + 1]; j++, at++)
                        worst = fmax(worst, fabs(now[at] - w.of[l][i][j]));
            CHECK(worst < 1e-8, "%s: weights differ by %g", losses[loss], worst);
            free(now);
        }
        CHECK(steps <= 41 || damping <= 0.0525 * mean_curvature(), "%s: damping %g of the curvature", losses[loss],
              damping / mean_curvature());
        ae_trainer_free(t);
    }
    return shortened;
}

TEST(steps_by_hand) { CHECK(follow_steps(0, 3, STEPS, 0.8) == 0, "steps were shortened"); }

/* Each of the first five steps is many times too long; those of an exponential link are looked at after that, too. */
TEST(steps_too_long_by_hand) {
    const int shortened = follow_steps(0, 2, 5, 300);
    CHECK(shortened > 10, "shortened %d times", shortened);
    const int later = follow_steps(2, 1, 9, 300);
    CHECK(later > 9, "shortened %d times", later);
}

/* Passes over steps take 64 rows at once: here the row of a bias is a block of its own, and one ends a second block. */
TEST(steps_of_wider_layers_by_hand) {
    set_widths(MOST_COLUMNS, MOST_HIDDEN);
    follow_steps(0, 2, 41, 0.8);
    set_widths(37, 34);
}

static program in_parts(program p, int parts) {
    for (int i = 0; i < p.net.n; i++)
        if (p.net.node[i].kind == ae_layer_find("dense"))
            p.net.node[i].size[3] = parts;
    return p;
}

TEST(bits_of_threads_and_instruction_sets) {
    for (int way = 0; way < 4; way++) {
        const int bits = way == 3 ? 64 : 32, parts = way % 3;
        double *reference = NULL;
        int64_t n;
        for (const char *const *isa = usable_isas() + SANITIZED; *isa; isa++)
            for (int threads = 1; threads <= 3; threads++) {
                program p = in_parts(chain(bits, "log_loss"), parts);
                p.options.n_threads = threads;
                p.options.batch_size = 130;
                p.options.shuffle = true;
                setenv("AUTOENC_ISA", *isa, 1);
                ae_trainer *t = started(&p);
                unsetenv("AUTOENC_ISA");
                if (!t)
                    return;
                for (int e = 0; e < 8; e++)
                    trainer_epoch_loss(t);
                double *now = copy_weights(ae_trainer_net(t), NULL, &n);
                CHECK(!reference || !memcmp(reference, now, (size_t)n * sizeof *now),
                      "%s, %d threads, %d bits, %d parts: other bits", *isa, threads, bits, parts);
                if (reference)
                    free(now);
                else
                    reference = now;
                ae_trainer_free(t);
            }
        free(reference);
    }
}

/* Parts of wider layers, whose gradients and steps are taken apart in several blocks, beside floats. */
static void follow_parts(double rate, int steps, int batch_size) {
    const double bound[] = {0, 1e-4, 2e-7};
    double of_floats[12];
    set_widths(MOST_COLUMNS, MOST_HIDDEN);
    for (int parts = 0; parts < 3; parts++) {
        program p = in_parts(chain(32, "log_loss"), parts);
        p.options.l2 = 1e-3;
        p.options.schedule.base = rate;
        p.options.batch_size = batch_size;
        ae_trainer *t = started(&p);
        double worst = 0, loss = 0;
        for (int step = 0; t && step < steps; step++) {
            loss = trainer_epoch_loss(t);
            if (!parts)
                of_floats[step] = loss;
            worst = fmax(worst, fabs(loss / of_floats[step] - 1));
        }
        /* In one part a rise may be rounding: other steps are shortened than in floats. */
        CHECK(worst <= bound[parts] || (parts == 1 && rate > 1), "rate %g, %d parts: losses differ by %g", rate, parts, worst);
        CHECK(loss < (parts == 1 && rate > 1 ? 1.04 : 0.999) * of_floats[0], "rate %g, %d parts: loss %g, at first %g", rate,
              parts, loss, of_floats[0]);
        ae_trainer_free(t);
    }
    set_widths(37, 34);
}

TEST(steps_of_wider_layers_by_parts) {
    follow_parts(0.8, 12, ROWS);
    follow_parts(0.8, 3, 130);  /* factors of rows that are no whole blocks */
    follow_parts(100, 5, ROWS); /* steps are shortened */
}

/* Where the curvature of a trainer's state has what, in reals; see part_place of train/kfac_memory.c. */
static int64_t first_of(int part) {
    int64_t inputs = 0, units = 0;
    for (int l = 0; l < LAYERS; l++) {
        inputs += (int64_t)pow((double)ae_panels(widths[l] + 1) * AE_PANEL, 2);
        units += (int64_t)pow((double)ae_panels(widths[l + 1]) * AE_PANEL, 2);
    }
    return part < 2 ? part * inputs : 2 * inputs + (part - 2) * units;
}

static void *curvature_of(ae_trainer *t) {
    ae_trainer_part parts[AE_TRAINER_PARTS];
    const int n = ae_trainer_parts(t, parts);
    CHECK(!strcmp(parts[n - 1].name, "curvature"), "%s", parts[n - 1].name);
    return (void *)parts[n - 1].data;
}

/* Of averages, relative to the roots of what stands on the diagonal. Layer after layer, at and below the diagonal. */
static double factors_differ(const float *a, const float *b) {
    double worst = 0;
    for (int side = 0; side < 2; side++) {
        int64_t from = first_of(2 * side);
        for (int l = 0; l < LAYERS; l++) {
            const int n = side ? widths[l + 1] : widths[l] + 1, size = (int)ae_panels(n) * AE_PANEL;
            for (int i = 0; i < n; i++)
                for (int j = 0; j <= i; j++) {
                    const int64_t at = from + in_panels(size, i, j);
                    const double scale = sqrt(b[from + in_panels(size, i, i)] * b[from + in_panels(size, j, j)]);
                    worst = fmax(worst, fabs(a[at] - b[at]) / (scale + 1e-30));
                }
            from += (int64_t)size * size;
        }
    }
    return worst;
}

TEST(factors_by_parts) {
    static const struct { int columns, hidden, batch; } cases[] = {{37, 34, ROWS}, {32, 33, 130}, {33, 32, 31}, {64, 64, 288}};
    for (int i = 0; i < 4; i++) {
        set_widths(cases[i].columns, cases[i].hidden);
        ae_trainer *t[3];
        for (int parts = 0; parts < 3; parts++) {
            program p = in_parts(chain(32, "log_loss"), parts);
            p.options.batch_size = cases[i].batch;
            if (!(t[parts] = started(&p)))
                return;
            trainer_epoch_loss(t[parts]);
        }
        for (int parts = 1; parts < 3; parts++) {
            const double worst = factors_differ(curvature_of(t[parts]), curvature_of(t[0]));
            CHECK(worst < (parts == 1 ? 0.02 : 4e-5), "case %d, %d parts: factors differ by %g", i, parts, worst);
        }
        for (int parts = 0; parts < 3; parts++)
            ae_trainer_free(t[parts]);
    }
    set_widths(37, 34);
}

static void refused(const program *p, const char *words) {
    ae_context context = {AE_OK, ""};
    ae_trainer *t = NULL;
    const int64_t live = ae_alloc_live();
    CHECK(program_trainer(&context, p, &t) == AE_ERR_VALUE, "%s", words);
    CHECK(strstr(context.message, words) != NULL, "'%s' is not in '%s'", words, context.message);
    CHECK(ae_alloc_live() == live, "memory left");
}

TEST(refuses_what_it_cannot_train) {
    program p = chain(32, "huber");
    refused(&p, "'huber'");
    p = chain(32, "squared_error");
    p.net.node[1].activation = AE_SOFTMAX;
    refused(&p, "dense1");
    p = chain(32, "squared_error");
    p.net.node[2].shares = 2;
    refused(&p, "shares");
    p = chain(32, "squared_error");
    p.options.clip_norm = 1;
    refused(&p, "K-FAC needs a smooth objective and its exact gradient; it does not go with clip_norm");
    p = chain(32, "squared_error");
    p.net.node[3].inputs[0] = 1; /* beside the chain */
    refused(&p, "one chain");
    p = (program){.options = plain_options(32)};
    const int in = network_input(&p.net, 8, 0);
    int h = network_dropout(&p.net, network_dense(&p.net, in, 4, AE_TANH), 0.5);
    h = network_dense(&p.net, h, 8, AE_IDENTITY);
    program_loss(&p, "squared_error", h, in, 1);
    program_stage(&p, NULL);
    p.stage[0].rule = AE_KFAC;
    refused(&p, "(dropout)");
    p = chain(32, "squared_error");
    program_loss(&p, "squared_error", 3, 0, 1);
    p.stage[0].n_losses = 2;
    refused(&p, "one loss");
}

static void allocations_may_fail(int parts) {
    const program p = in_parts(chain(32, "squared_error"), parts);
    const int64_t live = ae_alloc_live();
    ae_context context;
    ae_trainer *t = NULL;
    int failures = 0;
    for (;; failures++) {
        ae_alloc_fail_after(failures);
        const ae_status status = program_trainer(&context, &p, &t);
        ae_alloc_fail_after(-1);
        if (status == AE_OK)
            break;
        CHECK(status == AE_ERR_MEMORY && !t && ae_alloc_live() == live, "allocation %d", failures);
    }
    CHECK(failures > 8, "only %d allocations", failures);
    ae_trainer_free(t);
}

TEST(every_allocation_may_fail) {
    allocations_may_fail(0);
    allocations_may_fail(2);
}

static bool at_once(void *argument) { return ++*(int *)argument > 0; }

/* Weights are those of before, and the curvature is learnt afresh: two epochs after that are two epochs of a new trainer. */
static void interrupted_at_once(int parts) {
    const program p = in_parts(chain(parts ? 32 : 64, "squared_error"), parts);
    ae_trainer *t = started(&p), *other = started(&p);
    ae_context context;
    ae_epoch_result result;
    int asked = 0;
    int64_t n;
    if (!t || !other)
        return;
    double *before = copy_weights(ae_trainer_net(t), NULL, &n);
    CHECK(ae_trainer_epoch(&context, t, at_once, &asked, &result) == AE_ERR_INTERRUPTED && asked > 0, "not interrupted");
    double *now = copy_weights(ae_trainer_net(t), NULL, &n);
    CHECK(!memcmp(before, now, (size_t)n * sizeof *now), "weights have moved");
    for (int e = 0; e < 2; e++)
        CHECK(trainer_epoch_loss(t) == trainer_epoch_loss(other), "epoch %d", e);
    free(before);
    free(now);
    ae_trainer_free(t);
    ae_trainer_free(other);
}

TEST(interrupted_steps_leave_nothing) {
    for (int parts = 0; parts < 3; parts++)
        interrupted_at_once(parts);
}

/* What was learnt is forgotten with an epoch that ends early: what follows is what a trainer does that begins there. */
static void interrupted_after_seven(int parts) {
    const program p = in_parts(chain(parts ? 32 : 64, "log_loss"), parts);
    ae_trainer *t = started(&p), *other = started(&p);
    ae_context context;
    ae_epoch_result result;
    int asked = 0;
    if (!t || !other)
        return;
    for (int e = 0; e < 7; e++)
        trainer_epoch_loss(t);
    CHECK(ae_trainer_epoch(&context, t, at_once, &asked, &result) == AE_ERR_INTERRUPTED, "not interrupted");
    const ae_net *net = ae_trainer_net(t);
    memcpy(ae_trainer_net(other)->parameter_base, net->parameter_base, (size_t)net->parameter_reals * net->real_size);
    ae_net_pack_all(ae_trainer_net(other));
    ae_trainer_seek(other, 7, 7);
    ae_trainer_commit(other);
    for (int e = 0; e < 7; e++)
        CHECK(trainer_epoch_loss(t) == trainer_epoch_loss(other), "epoch %d", e);
    ae_trainer_free(t);
    ae_trainer_free(other);
}

TEST(interrupted_later) {
    for (int parts = 0; parts < 3; parts++)
        interrupted_after_seven(parts);
}

/* To another trainer. */
static void copy_state(ae_trainer *from, ae_trainer *to) {
    ae_trainer_part parts[AE_TRAINER_PARTS];
    const void *regions[AE_TRAINER_PARTS];
    double numbers[AE_TRAINER_NUMBERS];
    ae_context context = {AE_OK, ""};
    const int n = ae_trainer_parts(from, parts);
    for (int i = 0; i < n; i++)
        regions[i] = parts[i].data;
    ae_trainer_numbers(from, numbers);
    CHECK(ae_trainer_restore(&context, to, regions, numbers) == AE_OK, "%s", context.message);
}

/* The fifth step, after which the loss is looked at, is made far too long by the schedule. What follows at a rate as before is
 * what a trainer does that begins from the same state. */
TEST(a_step_out_of_the_numbers_is_taken_back) {
    for (int way = 0; way < 4; way++) {
        const int bits = way == 3 ? 64 : 32, parts = way % 3;
        const double factor = bits == 32 ? 0x1p100 : 0x1p800;
        program p = in_parts(chain(bits, "squared_error"), parts);
        p.options.schedule =
            (ae_schedule){.kind = AE_SCHEDULE_STEP, .base = 1, .total_steps = 6, .period = 4, .factor = factor};
        ae_trainer *t = started(&p), *other = started(&p);
        int64_t n;
        if (!t || !other)
            return;
        for (int e = 0; e < 4; e++)
            trainer_epoch_loss(t);
        double *before = copy_weights(ae_trainer_net(t), NULL, &n);
        trainer_epoch_loss(t);
        double *after = copy_weights(ae_trainer_net(t), NULL, &n);
        CHECK(!memcmp(before, after, (size_t)n * sizeof *after), "%d bits, %d parts: weights have moved", bits, parts);
        ae_trainer_scale_rate(t, 1 / factor);
        trainer_epoch_loss(other); /* elsewhere */
        copy_state(t, other);
        for (int e = 0; e < 3; e++) {
            const double one = trainer_epoch_loss(t), two = trainer_epoch_loss(other);
            CHECK(isfinite(one) && one == two, "%d bits, %d parts, epoch %d: %g and %g", bits, parts, e, one, two);
        }
        free(before);
        free(after);
        ae_trainer_free(t);
        ae_trainer_free(other);
    }
}

/* ---- damping ---- */

enum { DAMPING = AE_TRAINER_NUMBERS - 2 }; /* among the numbers of a trainer's state */

static void set_damping(ae_trainer *t, double value) {
    ae_trainer_part parts[AE_TRAINER_PARTS];
    double numbers[AE_TRAINER_NUMBERS];
    void *data_of[AE_TRAINER_PARTS];
    ae_context context = {AE_OK, ""};
    const int n = ae_trainer_parts(t, parts);
    for (int i = 0; i < n; i++) {
        data_of[i] = malloc(parts[i].count * parts[i].size);
        memcpy(data_of[i], parts[i].data, parts[i].count * parts[i].size);
    }
    ae_trainer_numbers(t, numbers);
    numbers[DAMPING] = value;
    CHECK(ae_trainer_restore(&context, t, (const void *const *)data_of, numbers) == AE_OK, "%s", context.message);
    for (int i = 0; i < n; i++)
        free(data_of[i]);
}

/* The ratio if the fifth step were made at a rate; `from` is where it begins. */
static double ratio_at(double rate, const matrices *from, const matrices *step, double before, double l2) {
    w = *from;
    last = *step;
    move_by_hand(rate, before, 0, l2, false);
    return ratio;
}

/* The rate of the fifth step is sought so that the ratio lies on this side or that of a limit: at twice the best rate nothing is
 * foretold, and just beyond it the ratio climbs from far below zero. With a penalty, both parts of it are much of the change. */
TEST(damping_rises_and_falls_at_the_limits_of_the_ratio) {
    static const struct {
        double ratio, factor;
    } cases[] = {{0.74, 1}, {0.76, 0.7737809375}, {0.24, 1 / 0.7737809375}, {0.26, 1}};
    static matrices from, step;
    logistic = false;
    for (int i = 0; i < 8; i += SANITIZED ? 7 : 1) {
        const double aim = cases[i % 4].ratio, l2 = i < 4 ? 0.0 : 0.005;
        program p = chain(64, "squared_error");
        p.options.schedule.base = 0.4;
        p.options.l2 = l2;
        ae_trainer *t = started(&p);
        if (!t)
            return;
        const ae_kernels *kernels = ae_kernels_get(64, ae_trainer_net(t)->isa);
        begin_by_hand(ae_trainer_net(t));
        for (int s = 0; s < 4; s++) {
            trainer_epoch_loss(t);
            step_by_hand(s, 0, l2, 0.4, kernels, p.options.seed);
        }
        damping = 5 * mean_curvature();
        set_damping(t, damping);
        const double before = choose_by_hand(4, 0, l2, kernels, p.options.seed), kept = damping;
        from = w;
        step = last;
        double low = 2.05, high = low;
        CHECK(model.b > 0.1 && ratio_at(low, &from, &step, before, l2) < aim, "b %g, ratio %g", model.b, ratio);
        while (high < 8 && ratio_at(high, &from, &step, before, l2) < aim)
            high += 0.1;
        for (int halving = 0; halving < 14; halving++) {
            const double middle = (low + high) / 2;
            *(ratio_at(middle, &from, &step, before, l2) < aim ? &low : &high) = middle;
        }
        CHECK(fabs(ratio_at(low, &from, &step, before, l2) - aim) < 0.004, "rate %g: ratio %g", low, ratio);
        ae_trainer_scale_rate(t, low / 0.4);
        trainer_epoch_loss(t);
        double numbers[AE_TRAINER_NUMBERS];
        ae_trainer_numbers(t, numbers);
        CHECK(fabs(numbers[DAMPING] / kept - cases[i % 4].factor) < 1e-6, "l2 %g, ratio %g at rate %g: damping times %g", l2,
              ratio, low, numbers[DAMPING] / kept);
        ae_trainer_free(t);
    }
}

/* ---- out of the ordinary ---- */

/* The first factor gets one negative eigenvalue, which so many times four the root of the damping makes positive. */
TEST(inversions_are_tried_again_with_four_times_the_damping) {
    enum { SIZE = 64, UNITS_SIZE = 64 };
    const double negative = -0.3, share = sqrt((widths[0] + negative) / (widths[0] + 1));
    const program p = chain(64, "squared_error");
    for (int tries = 1; tries <= 9; tries++) {
        ae_trainer *t = started(&p);
        ae_context context = {AE_OK, ""};
        ae_epoch_result result;
        if (!t)
            return;
        trainer_epoch_loss(t);
        double *const inputs = (double *)curvature_of(t), *const inverted = inputs + first_of(1),
                      *const units = inputs + first_of(2);
        memset(inputs, 0, SIZE * SIZE * sizeof *inputs);
        memset(units, 0, UNITS_SIZE * UNITS_SIZE * sizeof *units);
        for (int i = 0; i <= widths[0]; i++)
            inputs[in_panels(SIZE, i, i)] = i ? 1 : negative;
        for (int i = 0; i < widths[1]; i++)
            units[in_panels(UNITS_SIZE, i, i)] = 1;
        const double root = -2 * negative / share / pow(4, tries - 1);
        set_damping(t, root * root);
        const ae_status status = ae_trainer_epoch(&context, t, NULL, NULL, &result);
        if (tries == 9) {
            CHECK(status == AE_ERR_NONFINITE && !strcmp(context.message, "the curvature of node 'dense1' cannot be inverted"),
                  "status %d: %s", (int)status, context.message);
        } else {
            CHECK(status == AE_OK, "%d tries: %s", tries, context.message);
            for (int i = 0; i < 2; i++) {
                const double expected = 1 / ((i ? 1 : negative) - 2 * negative);
                CHECK(fabs(inverted[in_panels(SIZE, i, i)] / expected - 1) < 1e-12, "%d tries: %g, by hand %g", tries,
                      inverted[in_panels(SIZE, i, i)], expected);
            }
        }
        ae_trainer_free(t);
    }
}

TEST(a_step_that_is_no_number_is_refused) {
    const program p = chain(64, "squared_error");
    for (int which = 0; which < 2; which++) {
        ae_trainer *t = started(&p);
        ae_context context = {AE_OK, ""};
        ae_epoch_result result;
        int64_t n;
        if (!t)
            return;
        for (int s = 0; s < 3; s++)
            trainer_epoch_loss(t);
        double *before = copy_weights(ae_trainer_net(t), NULL, &n);
        ((double *)curvature_of(t))[first_of(1)] =
            which ? INFINITY : NAN; /* of an inverse, which the fourth step does not make anew */
        CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_ERR_NONFINITE, "no error");
        CHECK(!strcmp(context.message, "the step is not finite"), "%s", context.message);
        double *after = copy_weights(ae_trainer_net(t), NULL, &n);
        CHECK(!memcmp(before, after, (size_t)n * sizeof *after), "weights have moved");
        free(before);
        free(after);
        ae_trainer_free(t);
    }
}

/* Of a single weight direction and last step are the same line, and the quadratic model along both has no one minimum. */
TEST(one_weight_goes_straight_to_its_minimum) {
    program p = {.options = plain_options(64)};
    const int in = network_input(&p.net, 1, 0), out = network_dense(&p.net, in, 1, AE_IDENTITY);
    const ae_data source = dense_data(data, AE_F64, ROWS, 1);
    double curvature = 0, slope_of_loss = 0;
    p.net.node[out].size[0] = 1; /* no bias */
    program_loss(&p, "squared_error", out, in, 1);
    program_stage(&p, NULL);
    p.stage[0].rule = AE_KFAC;
    p.options.batch_size = ROWS;
    p.options.schedule.base = 1;
    ae_trainer *t = trainer_started(&p, &source, 1, NULL);
    if (!t)
        return;
    for (int r = 0; r < ROWS; r++) {
        slope_of_loss += 2 * data[r] * data[r] / ROWS;
        curvature += r < MODELLED ? 2 * data[r] * data[r] / MODELLED : 0.0;
    }
    trainer_epoch_loss(t);
    for (int s = 1; s < 60; s++) {
        double numbers[AE_TRAINER_NUMBERS];
        int64_t n;
        ae_trainer_numbers(t, numbers);
        double *before = copy_weights(ae_trainer_net(t), NULL, &n);
        trainer_epoch_loss(t);
        double *after = copy_weights(ae_trainer_net(t), NULL, &n);
        const double expected = -(*before - 1) * slope_of_loss / (curvature + numbers[DAMPING]);
        CHECK(fabs(*after - *before - expected) < 1e-6 * fabs(expected) + 1e-15, "step %d: %g, by hand %g", s, *after - *before,
              expected);
        free(before);
        free(after);
    }
    ae_trainer_free(t);
}

int main(void) {
    set_widths(37, 34);
    fill(data, ROWS * MOST_COLUMNS, 0, 1);
    fill(weights, ROWS, 0.5, 1.5);
    double sum = 0;
    for (int i = 0; i < ROWS; i++)
        sum += weights[i];
    for (int i = 0; i < ROWS; i++)
        weights[i] *= ROWS / sum;
    RUN(steps_by_hand);
    RUN(steps_too_long_by_hand);
    RUN(steps_of_wider_layers_by_hand);
    RUN(steps_of_wider_layers_by_parts);
    RUN(bits_of_threads_and_instruction_sets);
    RUN(factors_by_parts);
    RUN(refuses_what_it_cannot_train);
    RUN(every_allocation_may_fail);
    RUN(interrupted_steps_leave_nothing);
    RUN(interrupted_later);
    RUN(a_step_out_of_the_numbers_is_taken_back);
    RUN(damping_rises_and_falls_at_the_limits_of_the_ratio);
    RUN(inversions_are_tried_again_with_four_times_the_damping);
    RUN(a_step_that_is_no_number_is_refused);
    RUN(one_weight_goes_straight_to_its_minimum);
    return harness_finish("test_kfac");
}
