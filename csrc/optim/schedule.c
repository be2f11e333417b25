/* Rates by plain arithmetic and square roots, which IEEE 754 rounds exactly: cos and pow differ in their last bits between
 * C libraries, and a fit would differ with them. */
#include "optim/schedule.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* base^exponent, exponent >= 0, by squaring. */
static double integral_power(double base, int64_t exponent) {
    double power = 1;
    for (; exponent > 0; exponent >>= 1, base *= base)
        if (exponent & 1)
            power *= base;
    return power;
}

/* base^t for t in [0, 1], base >= 0: the product of base^(2^-k) over the bits of t. */
static double fractional_power(double base, double t) {
    if (t >= 1)
        return base;
    double power = 1, root = base;
    for (; t > 0; t -= (int)t) {
        t *= 2;
        root = sqrt(root);
        if (t >= 1)
            power *= root;
    }
    return power;
}

/* cos(pi t) for t in [0, 1]: Taylor's series on an eighth of the circle, cut where it is below 1e-17. */
static double cos_pi(double t) {
    if (t > 0.5)
        return -cos_pi(1 - t);
    const int by_sine = t > 0.25;
    const double y = pi * (by_sine ? 0.5 - t : t), square = y * y;
    double term = by_sine ? y : 1, sum = term;
    for (int k = by_sine ? 2 : 1; k < 20; k += 2) {
        term *= -square / (double)(k * (k + 1));
        sum += term;
    }
    return sum;
}

/* From `from` at t = 0 to `to` at t = 1 along half a cosine. */
static double along_cosine(double from, double to, double t) { return to + (from - to) * 0.5 * (1 + cos_pi(t)); }

double ae_schedule_rate(const ae_schedule *schedule, int64_t step) {
    const int64_t total = schedule->total_steps;
    const double end = schedule->final_ratio;
    if (step > total)
        step = total;
    if (schedule->kind == AE_SCHEDULE_ONE_CYCLE) {
        const double done = (double)step / (double)total, rise = 0.3;
        if (done < rise)
            return schedule->base * along_cosine(1.0 / 25, 1, done / rise);
        return schedule->base * along_cosine(1, end, (done - rise) / (1 - rise));
    }

    const int64_t warmup = schedule->warmup_steps;
    if (step < warmup)
        return schedule->base * ((double)(step + 1) / (double)warmup);
    const int64_t after = step - warmup;
    const double t = total > warmup ? (double)after / (double)(total - warmup) : 1;
    double ratio = 1;
    switch (schedule->kind) {
    case AE_SCHEDULE_STEP:
        ratio = integral_power(schedule->factor, after / schedule->period);
        break;
    case AE_SCHEDULE_EXPONENTIAL:
        ratio = fractional_power(end, t);
        break;
    case AE_SCHEDULE_COSINE:
        ratio = along_cosine(1, end, t);
        break;
    case AE_SCHEDULE_LINEAR:
        ratio = t < 1 ? 1 + (end - 1) * t : end;
        break;
    case AE_SCHEDULE_CONSTANT:
    case AE_SCHEDULE_ONE_CYCLE:
    case AE_SCHEDULE_KINDS:
        break;
    }
    return schedule->base * ratio;
}
