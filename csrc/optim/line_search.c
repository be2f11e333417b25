/* Interpolation is cubic through both ends of an interval with their slopes (Nocedal and Wright 2006, equation 3.59),
 * kept away from the ends; where an end is not finite the interval is cut instead.
 *
 * Near a minimum the sufficient decrease drowns in the rounding of the value. There the condition on slopes of Hager and
 * Zhang (2005, "A new conjugate gradient method with guaranteed descent and an efficient line search", equation 4.1)
 * takes its place, for values that are no higher than the start's by more than their rounding error. */
#include "optim/line_search.h"

#include <math.h>

static const double sufficient_decrease = 1e-4, curvature = 0.9;

void ae_line_search_start(ae_line_search *search, double value, double slope, double first_step, double precision,
                          int max_evaluations) {
    const ae_search_point start = {0, value, slope};
    *search = (ae_line_search){.start = start,
                               .low = start,
                               .high = start,
                               .step = first_step,
                               .noise = precision * fabs(value),
                               .max_evaluations = max_evaluations};
}

/* Where the cubic through a and b has its minimum; not finite where it has none. */
static double cubic_minimum(ae_search_point a, ae_search_point b) {
    const double d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.step - b.step);
    const double square = d1 * d1 - a.slope * b.slope;
    const double d2 = copysign(sqrt(square), b.step - a.step);
    return b.step - (b.step - a.step) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2));
}

/* x within [low, high] in either order; `otherwise` where x is not a number. */
static double kept_within(double x, double end1, double end2, double otherwise) {
    const double low = fmin(end1, end2), high = fmax(end1, end2);
    if (!isfinite(x))
        return otherwise;
    return x < low ? low : x > high ? high : x;
}

/* A step inside the bracket. */
static double zoom_step(const ae_line_search *search) {
    const ae_search_point low = search->low, high = search->high;
    const double width = high.step - low.step;
    /* An end without a value says only that the function stops somewhere: shrink fast. */
    if (!isfinite(high.value) || !isfinite(high.slope))
        return low.step + 0.2 * width;
    return kept_within(cubic_minimum(low, high), low.step + 0.1 * width, high.step - 0.1 * width, low.step + 0.5 * width);
}

static bool is_low_enough(const ae_line_search *search, ae_search_point at) {
    const ae_search_point start = search->start;
    if (at.value <= start.value + sufficient_decrease * at.step * start.slope)
        return true;
    return at.value <= start.value + search->noise && at.slope <= (2 * sufficient_decrease - 1) * start.slope;
}

ae_search_verdict ae_line_search_advance(ae_line_search *search, double value, double slope) {
    const ae_search_point at = {search->step, value, slope}, before = search->low;
    const bool finite = isfinite(value) && isfinite(slope);
    search->evaluations++;
    search->low_is_new = false;

    if (!finite || !is_low_enough(search, at) || (before.step > 0 && at.value > before.value + search->noise)) {
        search->high = at;
        if (!finite)
            search->high.value = INFINITY;
        search->bracketed = true;
    } else {
        if (fabs(slope) <= -curvature * search->start.slope)
            return AE_SEARCH_ACCEPT;
        /* Uphill away from the old low end: the minimum lies between the two. */
        if (search->bracketed ? slope * (search->high.step - before.step) >= 0 : slope >= 0) {
            search->high = before;
            search->bracketed = true;
        }
        search->low = at;
        search->low_is_new = true;
    }
    if (search->evaluations >= search->max_evaluations)
        return search->low.step > 0 ? AE_SEARCH_FALL_BACK : AE_SEARCH_FAILED;

    if (search->bracketed) {
        search->step = zoom_step(search);
    } else {
        /* Still downhill. A cubic without a minimum ahead falls for ever. */
        const double guess = cubic_minimum(before, at);
        search->step = guess > at.step ? kept_within(guess, 1.1 * at.step, 10 * at.step, 10 * at.step) : 10 * at.step;
    }
    return AE_SEARCH_GO_ON;
}
