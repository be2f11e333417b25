/* K-FAC by plain loops in double, written from the paper (Martens and Grosse 2015): a chain of three dense layers, every step from the
 * weights and what was learnt before. */
#ifndef AE_TEST_KFAC_BY_HAND_H
#define AE_TEST_KFAC_BY_HAND_H

#include "harness.h"
#include "math/random.h"
#include "networks.h"

enum {
    ROWS = 300,
    SAMPLED = 256,
    MODELLED = 128,
    MOST_COLUMNS = 64,
    MOST_HIDDEN = 70,
    CODE = 3,
    LAYERS = 3,
    WIDEST = MOST_HIDDEN + 1
};

static int widths[LAYERS + 1]; /* columns, hidden units, code, columns */
static double data[ROWS * MOST_COLUMNS], weights[ROWS];

static void set_widths(int columns, int hidden_units) {
    widths[0] = widths[3] = columns;
    widths[1] = hidden_units;
    widths[2] = CODE;
}

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

static double ratio; /* of what the last move, before it was shortened, brought to what was foretold of it */
static int shortenings;

/* With the squares of the steps of biases in the penalty, which are few. */
static double change_by_hand(const matrices *from, double before, int loss, double l2) {
    const double of_biases = dot(&last, &last, true) - dot(&last, &last, false);
    return forward(&w, loss) - before + l2 / 2 * (dot(&w, &w, false) - dot(from, from, false) + of_biases);
}

/* The step, which is shortened where it is looked at. */
static void move_by_hand(double rate, double before, int loss, double l2, bool looks) {
    static matrices from;
    const double a = rate * model.a, b = rate * model.b;
    const double foretold = (a * a * model.dd + 2 * a * b * model.dp + b * b * model.pp) / 2 + a * model.gd + b * model.gp;
    double slope = a * model.gd + b * model.gp, change, share = 1;
    from = w;
    for (int l = 0; l < LAYERS; l++)
        for (int i = 0; i <= widths[l]; i++)
            for (int j = 0; j < widths[l + 1]; j++)
                last.of[l][i][j] = a * direction.of[l][i][j] + b * last.of[l][i][j];
    for (shortenings = 0;; shortenings++) {
        for (int l = 0; l < LAYERS; l++)
            for (int i = 0; i <= widths[l]; i++)
                for (int j = 0; j < widths[l + 1]; j++)
                    w.of[l][i][j] = from.of[l][i][j] + (last.of[l][i][j] *= share);
        change = change_by_hand(&from, before, loss, l2);
        if (!shortenings)
            ratio = change / foretold;
        if (!looks || change <= -slope / 2)
            return;
        share = fmax(-slope / 2 / (change - slope), 0.1);
        slope *= share;
    }
}

static void follow_by_hand(void) {
    const double factor = pow(0.95, 5);
    damping *= ratio > 0.75 ? factor : ratio < 0.25 ? 1 / factor : 1.0;
    damping = fmax(damping, 0.05 * mean_curvature());
}

static double step_by_hand(int step, int loss, double l2, double rate, const ae_kernels *kernels, uint64_t seed) {
    const double before = choose_by_hand(step, loss, l2, kernels, seed);
    const bool follows = (step + 1) % 5 == 0;
    move_by_hand(rate, before, loss, l2, follows || step < 5 || loss == 2);
    if (follows)
        follow_by_hand();
    return before;
}

#endif
