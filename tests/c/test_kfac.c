/* K-FAC: the whole method against loops in double written from the paper, the same bits for any number of threads and any
 * instruction set, and what it refuses. Its inverse: test_spd.c. */
#include "math/spd.h"
#include "math/random.h"
#include "slow.h"
#include "trainers.h"

/* ---- the method by plain loops ---- */

enum {
    ROWS = 300,
    SAMPLED = 256,
    MODELLED = 128,
    MOST_COLUMNS = 64,
    MOST_HIDDEN = 70,
    CODE = 3,
    LAYERS = 3,
    STEPS = SANITIZED ? 41 : 120,
    WIDEST = MOST_HIDDEN + 1
};

static int widths[LAYERS + 1] = {37, 34, CODE, 37};
static double data[ROWS * MOST_COLUMNS], weights[ROWS];

typedef struct matrices {
    double of[LAYERS][WIDEST][WIDEST]; /* weights, the bias as the last row */
} matrices;

static double values[LAYERS + 1][ROWS][WIDEST], deltas[LAYERS + 1][ROWS][WIDEST], changes[2][LAYERS + 1][ROWS][WIDEST];
static matrices w, gradient, direction, last, factor_in, factor_out, inverse_in, inverse_out;

static bool logistic; /* in place of tanh: then the padding of hidden values is not zero */

static double hidden(double x) { return logistic ? 1 / (1 + exp(-x)) : tanh(x); }
static double slope(int layer, double y) { return layer ? 1.0 : logistic ? y * (1 - y) : 1 - y * y; }

static double forward(const matrices *at, int loss) {
    double total = 0;
    for (int r = 0; r < ROWS; r++) {
        for (int c = 0; c < widths[0]; c++)
            values[0][r][c] = data[r * widths[0] + c];
        for (int l = 0; l < LAYERS; l++)
            for (int j = 0; j < widths[l + 1]; j++) {
                double sum = at->of[l][widths[l]][j];
                for (int i = 0; i < widths[l]; i++)
                    sum += values[l][r][i] * at->of[l][i][j];
                values[l + 1][r][j] = l == 0 ? hidden(sum) : sum;
            }
        for (int c = 0; c < widths[0]; c++) {
            const double z = values[LAYERS][r][c], t = data[r * widths[0] + c];
            const double term = loss == 0   ? (z - t) * (z - t)
                                : loss == 1 ? fmax(z, 0) - t * z + log1p(exp(-fabs(z)))
                                            : exp(z) - t * z + (t > 0 ? t * log(t) - t : 0);
            total += weights[r] * term / widths[0] / ROWS;
        }
    }
    return total;
}

static void backward(void) {
    for (int r = 0; r < ROWS; r++)
        for (int l = LAYERS - 1; l >= 0; l--) {
            for (int j = 0; j < widths[l + 1]; j++)
                deltas[l + 1][r][j] *= slope(l, values[l + 1][r][j]);
            for (int i = 0; i < widths[l]; i++) {
                deltas[l][r][i] = 0;
                for (int j = 0; j < widths[l + 1]; j++)
                    deltas[l][r][i] += deltas[l + 1][r][j] * w.of[l][i][j];
            }
        }
}

static double input_of(int l, int r, int i) { return i == widths[l] ? 1.0 : values[l][r][i]; }

static double root_of(int loss, int r, int c) {
    const double z = values[LAYERS][r][c], p = 1 / (1 + exp(-z));
    return sqrt((loss == 0 ? 2.0 : loss == 1 ? p * (1 - p) : exp(z)) * weights[r] / widths[0]);
}

/* Gauss-Jordan with pivots, of a + diagonal. */
static void invert(int n, double (*a)[WIDEST], double diagonal, double (*out)[WIDEST]) {
    double b[WIDEST][2 * WIDEST] = {{0}};
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++)
            b[i][j] = a[i][j];
        b[i][i] += diagonal;
        b[i][n + i] = 1;
    }
    for (int k = 0; k < n; k++) {
        int best = k;
        for (int i = k; i < n; i++)
            best = fabs(b[i][k]) > fabs(b[best][k]) ? i : best;
        for (int j = 0; j < 2 * n; j++) {
            const double kept = b[k][j];
            b[k][j] = b[best][j];
            b[best][j] = kept;
        }
        for (int i = 0; i < n; i++)
            if (i != k) {
                const double f = b[i][k] / b[k][k];
                for (int j = k; j < 2 * n; j++)
                    b[i][j] -= f * b[k][j];
            }
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            out[i][j] = b[i][n + j] / b[i][i];
}

static double dot(const matrices *a, const matrices *b, bool biases) {
    double sum = 0;
    for (int l = 0; l < LAYERS; l++)
        for (int i = 0; i < widths[l] + biases; i++)
            for (int j = 0; j < widths[l + 1]; j++)
                sum += a->of[l][i][j] * b->of[l][i][j];
    return sum;
}

static double mean_diagonal(double (*a)[WIDEST], int n) {
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i][i];
    return sum / n;
}

static void along(const matrices *v, double (*change)[ROWS][WIDEST]) {
    for (int r = 0; r < MODELLED; r++)
        for (int l = 0; l < LAYERS; l++)
            for (int j = 0; j < widths[l + 1]; j++) {
                double sum = 0;
                for (int i = 0; i <= widths[l]; i++)
                    sum += input_of(l, r, i) * v->of[l][i][j];
                for (int i = 0; l > 0 && i < widths[l]; i++)
                    sum += change[l][r][i] * w.of[l][i][j];
                change[l + 1][r][j] = sum * slope(l, values[l + 1][r][j]);
            }
}

static double curved(int loss, int a, int b) {
    double sum = 0;
    for (int r = 0; r < MODELLED; r++)
        for (int c = 0; c < widths[0]; c++) {
            const double root = root_of(loss, r, c);
            sum += root * root * changes[a][LAYERS][r][c] * changes[b][LAYERS][r][c] / MODELLED;
        }
    return sum;
}

static double damping;

static double mean_curvature(void) {
    double sum = 0, n = 0;
    for (int l = 0; l < LAYERS; l++) {
        const double size = (widths[l] + 1.0) * widths[l + 1];
        sum += size * mean_diagonal(factor_in.of[l], widths[l] + 1) * mean_diagonal(factor_out.of[l], widths[l + 1]);
        n += size;
    }
    return sum / n;
}

/* The quadratic model in the plane of direction and last step, and its minimum. */
static struct { double dd, dp, pp, gd, gp, a, b; } model;

/* One step of the method, as the head of train/kfac.h has it, up to the length; the draws are the core's. The loss before it. */
static double choose_by_hand(int step, int loss, double l2, const ae_kernels *kernels, uint64_t seed) {
    const double before = forward(&w, loss);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < widths[0]; c++) {
            const double z = values[LAYERS][r][c], t = data[r * widths[0] + c];
            const double slope_of_loss = loss == 0 ? 2 * (z - t) : loss == 1 ? 1 / (1 + exp(-z)) - t : exp(z) - t;
            deltas[LAYERS][r][c] = weights[r] * slope_of_loss / widths[0] / ROWS;
        }
    backward();
    for (int l = 0; l < LAYERS; l++)
        for (int i = 0; i <= widths[l]; i++)
            for (int j = 0; j < widths[l + 1]; j++) {
                double sum = i < widths[l] ? l2 * w.of[l][i][j] : 0.0;
                for (int r = 0; r < ROWS; r++)
                    sum += input_of(l, r, i) * deltas[l + 1][r][j];
                gradient.of[l][i][j] = sum;
            }
    if (step % 2 == 0) {
        const double kept = fmin(1 - 1.0 / (step / 2 + 1), 0.95);
        double normal[64];
        for (int r = 0; r < SAMPLED; r++) {
            kernels->random_normal(ae_key_of(seed, AE_STREAM_CURVATURE, ""), (uint64_t)step * AE_MAX_STAGES, (uint32_t)r,
                                   widths[0], normal);
            for (int c = 0; c < widths[0]; c++)
                deltas[LAYERS][r][c] = root_of(loss, r, c) * normal[c];
        }
        backward();
        for (int l = 0; l < LAYERS; l++) {
            for (int i = 0; i <= widths[l]; i++)
                for (int j = 0; j <= widths[l]; j++) {
                    double sum = 0, all = 0;
                    for (int r = 0; r < SAMPLED; r++, all += weights[r - 1])
                        sum += weights[r] * input_of(l, r, i) * input_of(l, r, j);
                    sum /= all;
                    factor_in.of[l][i][j] = kept * factor_in.of[l][i][j] + (1 - kept) * sum;
                }
            for (int i = 0; i < widths[l + 1]; i++)
                for (int j = 0; j < widths[l + 1]; j++) {
                    double sum = 0;
                    for (int r = 0; r < SAMPLED; r++)
                        sum += deltas[l + 1][r][i] * deltas[l + 1][r][j] / SAMPLED;
                    factor_out.of[l][i][j] = kept * factor_out.of[l][i][j] + (1 - kept) * sum;
                }
        }
    }
    if (step == 0)
        damping = 10 * mean_curvature();
    for (int l = 0; l < LAYERS; l++) {
        if (step % 20 == 0 || step < 3) {
            const double share =
                sqrt(mean_diagonal(factor_in.of[l], widths[l] + 1) / mean_diagonal(factor_out.of[l], widths[l + 1]));
            invert(widths[l] + 1, factor_in.of[l], sqrt(damping + l2) * share, inverse_in.of[l]);
            invert(widths[l + 1], factor_out.of[l], sqrt(damping + l2) / share, inverse_out.of[l]);
        }
        double half[WIDEST][WIDEST];
        for (int i = 0; i <= widths[l]; i++)
            for (int j = 0; j < widths[l + 1]; j++) {
                half[i][j] = 0;
                for (int k = 0; k < widths[l + 1]; k++)
                    half[i][j] += gradient.of[l][i][k] * inverse_out.of[l][k][j];
            }
        for (int i = 0; i <= widths[l]; i++)
            for (int j = 0; j < widths[l + 1]; j++) {
                direction.of[l][i][j] = 0;
                for (int k = 0; k <= widths[l]; k++)
                    direction.of[l][i][j] += inverse_in.of[l][i][k] * half[k][j];
            }
    }
    along(&direction, changes[0]);
    along(&last, changes[1]);
    const double all = damping + l2;
    model.dd = curved(loss, 0, 0) + all * dot(&direction, &direction, true);
    model.dp = curved(loss, 0, 1) + all * dot(&direction, &last, true);
    model.pp = curved(loss, 1, 1) + all * dot(&last, &last, true);
    model.gd = dot(&gradient, &direction, true);
    model.gp = dot(&gradient, &last, true);
    model.b = 0;
    if (step > 0) {
        model.b = (model.dp * model.gd - model.dd * model.gp) / (model.dd * model.pp - model.dp * model.dp);
        model.b = model.b < 0 ? 0 : model.b > 1 ? 1 : model.b;
    }
    model.a = -(model.gd + model.b * model.dp) / model.dd;
    return before;
}

static double ratio; /* of what the last move brought to what was foretold of it */

static void move_by_hand(double rate, double before, int loss, double l2) {
    const double a = rate * model.a, b = rate * model.b, square = dot(&w, &w, false);
    const double foretold = (a * a * model.dd + 2 * a * b * model.dp + b * b * model.pp) / 2 + a * model.gd + b * model.gp;
    for (int l = 0; l < LAYERS; l++)
        for (int i = 0; i <= widths[l]; i++)
            for (int j = 0; j < widths[l + 1]; j++) {
                last.of[l][i][j] = a * direction.of[l][i][j] + b * last.of[l][i][j];
                w.of[l][i][j] += last.of[l][i][j];
            }
    /* With the squares of the steps of biases, which are few. */
    const double of_biases = dot(&last, &last, true) - dot(&last, &last, false);
    ratio = (forward(&w, loss) - before + l2 / 2 * (dot(&w, &w, false) - square + of_biases)) / foretold;
}

static void follow_by_hand(void) {
    const double factor = pow(0.95, 5);
    damping *= ratio > 0.75 ? factor : ratio < 0.25 ? 1 / factor : 1.0;
    damping = fmax(damping, 0.05 * mean_curvature());
}

static double step_by_hand(int step, int loss, double l2, double rate, const ae_kernels *kernels, uint64_t seed) {
    const double before = choose_by_hand(step, loss, l2, kernels, seed);
    move_by_hand(rate, before, loss, l2);
    if ((step + 1) % 5 == 0)
        follow_by_hand();
    return before;
}

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

static void follow_steps(int first_loss, int n_losses, int steps) {
    for (int loss = first_loss; loss < first_loss + n_losses; loss++) {
        program p = chain(64, losses[loss]);
        logistic = loss == 1;
        p.net.node[1].activation = logistic ? AE_LOGISTIC : AE_TANH;
        p.options.l2 = loss == 0 ? 1e-3 : 0.0;
        ae_trainer *t = started(&p);
        if (!t)
            return;
        const ae_net *net = ae_trainer_net(t);
        begin_by_hand(net);
        /* Long enough for the damping to fall to its least; of the weights rounding grows on the way, since a linear code leaves
         * directions without curvature. */
        for (int step = 0; step < steps; step++) {
            const double value = trainer_epoch_loss(t);
            const double expected = step_by_hand(step, loss, p.options.l2, 0.8, ae_kernels_get(64, net->isa), p.options.seed);
            /* Rounding grows from step to step: most in the squared error, whose linear code has directions without curvature. */
            CHECK(fabs(value - expected) < (step < 80 ? 1e-9 : 1e-6), "%s, step %d: loss %.15g, by hand %.15g", losses[loss],
                  step, value, expected);
            if (step != 40)
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
}

TEST(steps_by_hand) { follow_steps(0, 3, STEPS); }

/* Passes over steps take 64 rows at once: here the row of a bias is a block of its own, and one ends a second block. */
TEST(steps_of_wider_layers_by_hand) {
    const int kept[LAYERS + 1] = {widths[0], widths[1], widths[2], widths[3]};
    widths[0] = widths[3] = MOST_COLUMNS;
    widths[1] = MOST_HIDDEN;
    follow_steps(0, 2, 41);
    memcpy(widths, kept, sizeof kept);
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
TEST(steps_of_wider_layers_by_parts) {
    const int kept[LAYERS + 1] = {widths[0], widths[1], widths[2], widths[3]};
    const double bound[] = {0, 2e-2, 1e-4};
    double losses_of[3][12];
    widths[0] = widths[3] = MOST_COLUMNS;
    widths[1] = MOST_HIDDEN;
    for (int parts = 0; parts < 3; parts++) {
        program p = in_parts(chain(32, "log_loss"), parts);
        p.options.l2 = 1e-3;
        ae_trainer *t = started(&p);
        if (!t)
            break;
        for (int step = 0; step < 12; step++) {
            losses_of[parts][step] = trainer_epoch_loss(t);
            CHECK(fabs(losses_of[parts][step] / losses_of[0][step] - 1) <= bound[parts],
                  "%d parts, step %d: loss %g, of floats %g", parts, step, losses_of[parts][step], losses_of[0][step]);
        }
        CHECK(losses_of[parts][11] < 0.999 * losses_of[parts][0], "%d parts: loss %g, at first %g", parts, losses_of[parts][11],
              losses_of[parts][0]);
        ae_trainer_free(t);
    }
    memcpy(widths, kept, sizeof kept);
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
    move_by_hand(rate, before, 0, l2);
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

/* Where the curvature of a trainer's state has what, in reals; see part_place of train/kfac_memory.c. */
static int64_t first_of(int part) {
    int64_t inputs = 0, units = 0;
    for (int l = 0; l < LAYERS; l++) {
        inputs += (int64_t)pow((double)ae_panels(widths[l] + 1) * AE_PANEL, 2);
        units += (int64_t)pow((double)ae_panels(widths[l + 1]) * AE_PANEL, 2);
    }
    return part < 2 ? part * inputs : 2 * inputs + (part - 2) * units;
}

static double *curvature_of(ae_trainer *t) {
    ae_trainer_part parts[AE_TRAINER_PARTS];
    const int n = ae_trainer_parts(t, parts);
    CHECK(!strcmp(parts[n - 1].name, "curvature"), "%s", parts[n - 1].name);
    return (double *)parts[n - 1].data;
}

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
        double *const inputs = curvature_of(t), *const inverted = inputs + first_of(1), *const units = inputs + first_of(2);
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
        curvature_of(t)[first_of(1)] = which ? INFINITY : NAN; /* of an inverse, which the fourth step does not make anew */
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
    fill(data, ROWS * MOST_COLUMNS, 0, 1);
    fill(weights, ROWS, 0.5, 1.5);
    double sum = 0;
    for (int i = 0; i < ROWS; i++)
        sum += weights[i];
    for (int i = 0; i < ROWS; i++)
        weights[i] *= ROWS / sum;
    RUN(steps_by_hand);
    RUN(steps_of_wider_layers_by_hand);
    RUN(steps_of_wider_layers_by_parts);
    RUN(bits_of_threads_and_instruction_sets);
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
