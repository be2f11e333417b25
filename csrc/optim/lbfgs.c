/* Two-loop recursion with the scaling s'y / y'y of the latest pair (Nocedal and Wright 2006, algorithm 7.4 and equation
 * 7.20). A pair whose curvature s'y is not clearly positive is skipped, so the matrix stays positive definite.
 *
 * Between two calls everything is in the structure and in the caller's x: the iterate that the search started from, the
 * direction, and the gradient at the search's low end, where it may have to come back to. */
#include "optim/lbfgs.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/alloc.h"
#include "optim/flat.h"
#include "optim/line_search.h"

/* Iterations in which neither the value nor the largest gradient entry reaches a new low, before we call it converged. */
#define PATIENCE 20

typedef enum lbfgs_phase {
    PHASE_FRESH,    /* x, f, g are a starting point */
    PHASE_ITERATED, /* they are the iterate that was just reported */
    PHASE_SEARCH,   /* they are a trial point */
    PHASE_DONE
} lbfgs_phase;

struct ae_lbfgs {
    const ae_flat_ops *flat;
    int64_t n;
    size_t bytes; /* of one vector */
    int memory, max_evaluations;
    double gtol, precision;

    lbfgs_phase phase;
    ae_line_search search;
    int pairs, newest; /* ring of pairs */
    bool steepest;     /* the direction is the plain negative gradient */
    double f;          /* at x */
    double lowest_f, lowest_g;
    int without_progress;

    char *block;
    char *x, *g; /* the iterate and its gradient */
    char *direction;
    char *low_g;       /* gradient at search.low */
    char *s, *y;       /* `memory` vectors each */
    double *curvature; /* s'y by pair */
    double *weight;    /* scratch of the recursion, by pair */
};

static char *pair_vector(const ae_lbfgs *l, char *ring, int pair) { return ring + (size_t)pair * l->bytes; }

ae_status ae_lbfgs_new(ae_context *context, ae_lbfgs **out, int bits, ae_isa isa, int64_t n, int memory, int max_evaluations,
                       double gtol) {
    ae_status status = AE_OK;
    ae_lbfgs *l = NULL;
    void *block = NULL;
    size_t vectors = 0;
    *out = NULL;
    const ae_flat_ops *flat = ae_flat_get(bits, isa);
    if (!flat)
        return ae_fail(context, AE_ERR_UNAVAILABLE, "L-BFGS: this build has no float%d on %s", bits, ae_isa_name(isa));
    if (n < 1 || memory < 1 || max_evaluations < 1)
        return ae_fail(context, AE_ERR_VALUE,
                       "L-BFGS: parameters %lld, memory %d and max_evaluations %d must all be at least 1", (long long)n, memory,
                       max_evaluations);

    AE_TRY(ae_alloc(context, &block, 1, sizeof *l));
    l = block;
    *l = (ae_lbfgs){.flat = flat, .n = n, .memory = memory, .max_evaluations = max_evaluations, .gtol = gtol};
    l->precision = bits == 32 ? 6e-8 : 2e-16;
    if (!ae_mul_size((size_t)n, (size_t)bits / 8, &l->bytes) || !ae_mul_size((size_t)memory, 2, &vectors)) {
        status = ae_fail(context, AE_ERR_OVERFLOW, "L-BFGS: %lld parameters times %d pairs do not fit", (long long)n, memory);
        goto cleanup;
    }
    AE_TRY(ae_alloc(context, &block, vectors + 4, l->bytes));
    l->block = block;
    l->x = l->block;
    l->g = l->x + l->bytes;
    l->direction = l->g + l->bytes;
    l->low_g = l->direction + l->bytes;
    l->s = l->low_g + l->bytes;
    l->y = l->s + (size_t)memory * l->bytes;
    AE_TRY(ae_alloc(context, &block, vectors, sizeof(double)));
    l->curvature = block;
    l->weight = l->curvature + memory;
    ae_lbfgs_reset(l);
    *out = l;
    return AE_OK;

cleanup:
    ae_lbfgs_free(l);
    return status;
}

void ae_lbfgs_free(ae_lbfgs *lbfgs) {
    if (!lbfgs)
        return;
    ae_free(lbfgs->block);
    ae_free(lbfgs->curvature);
    ae_free(lbfgs);
}

void ae_lbfgs_reset(ae_lbfgs *lbfgs) {
    lbfgs->phase = PHASE_FRESH;
    lbfgs->pairs = 0;
    lbfgs->newest = lbfgs->memory - 1;
    lbfgs->without_progress = 0;
    lbfgs->lowest_f = lbfgs->lowest_g = INFINITY;
}

/* direction = -H g. */
static void find_direction(ae_lbfgs *l) {
    const ae_flat_ops *flat = l->flat;
    memcpy(l->direction, l->g, l->bytes);
    int pair = l->newest;
    for (int i = 0; i < l->pairs; i++, pair = pair ? pair - 1 : l->memory - 1) {
        l->weight[pair] = flat->dot(l->n, pair_vector(l, l->s, pair), l->direction) / l->curvature[pair];
        flat->axpy(l->n, -l->weight[pair], pair_vector(l, l->y, pair), l->direction);
    }
    double scaling = -1;
    if (l->pairs) {
        const char *y = pair_vector(l, l->y, l->newest);
        scaling = -l->curvature[l->newest] / flat->dot(l->n, y, y);
    }
    flat->scale(l->n, scaling, l->direction);
    /* From the oldest pair on; the direction has changed its sign, and so has the correction. */
    for (int i = 0; i < l->pairs; i++) {
        pair = pair + 1 < l->memory ? pair + 1 : 0;
        const double beta = flat->dot(l->n, pair_vector(l, l->y, pair), l->direction) / l->curvature[pair];
        flat->axpy(l->n, -l->weight[pair] - beta, pair_vector(l, l->s, pair), l->direction);
    }
    l->steepest = l->pairs == 0;
}

/* Appends the step from the old iterate to (x, g), unless its curvature is too small to be believed. */
static void remember_pair(ae_lbfgs *l, const void *x, const void *g) {
    const ae_flat_ops *flat = l->flat;
    const int pair = l->newest + 1 < l->memory ? l->newest + 1 : 0;
    char *s = pair_vector(l, l->s, pair), *y = pair_vector(l, l->y, pair);
    /* With a full ring this overwrites the oldest pair; if the new one is skipped that pair is gone. */
    if (l->pairs == l->memory)
        l->pairs--;
    memcpy(s, x, l->bytes);
    flat->axpy(l->n, -1, l->x, s);
    memcpy(y, g, l->bytes);
    flat->axpy(l->n, -1, l->g, y);
    const double sy = flat->dot(l->n, s, y);
    if (!(sy > 1e-10 * sqrt(flat->dot(l->n, s, s)) * sqrt(flat->dot(l->n, y, y))))
        return;
    l->curvature[pair] = sy;
    l->newest = pair;
    l->pairs++;
}

/* x = iterate + search.step direction. */
static ae_lbfgs_request ask(ae_lbfgs *l, void *x) {
    memcpy(x, l->x, l->bytes);
    l->flat->axpy(l->n, l->search.step, l->direction, x);
    l->phase = PHASE_SEARCH;
    return AE_LBFGS_EVALUATE;
}

static ae_lbfgs_request give_iterate(ae_lbfgs *l, void *x, double *f, void *g) {
    memcpy(x, l->x, l->bytes);
    memcpy(g, l->g, l->bytes);
    *f = l->f;
    l->phase = PHASE_DONE;
    return AE_LBFGS_CONVERGED;
}

/* A direction and the first step along it, from the iterate. */
static ae_lbfgs_request begin_search(ae_lbfgs *l, void *x, double *f, void *g) {
    find_direction(l);
    double slope = l->flat->dot(l->n, l->g, l->direction);
    if (!(slope < 0) || !isfinite(l->flat->largest(l->n, l->direction))) {
        l->pairs = 0;
        find_direction(l);
        slope = l->flat->dot(l->n, l->g, l->direction);
        if (!(slope < 0) || !isfinite(slope))
            return give_iterate(l, x, f, g);
    }
    /* The gradient has no length scale, so its first step is one of length one or less; L-BFGS steps have theirs. */
    const double first_step = l->steepest ? fmin(1, 1 / sqrt(-slope)) : 1;
    ae_line_search_start(&l->search, l->f, slope, first_step, l->precision, l->max_evaluations);
    memcpy(l->low_g, l->g, l->bytes);
    return ask(l, x);
}

/* x, f, g become the iterate. */
static ae_lbfgs_request accept(ae_lbfgs *l, const void *x, double f, const void *g) {
    remember_pair(l, x, g);
    memcpy(l->x, x, l->bytes);
    memcpy(l->g, g, l->bytes);
    l->f = f;
    l->phase = PHASE_ITERATED;
    return AE_LBFGS_ITERATED;
}

static ae_lbfgs_request go_on_searching(ae_lbfgs *l, void *x, double *f, void *g) {
    const bool finite = isfinite(*f) && isfinite(l->flat->largest(l->n, g));
    const double slope = finite ? l->flat->dot(l->n, g, l->direction) : (double)NAN;
    switch (ae_line_search_advance(&l->search, *f, slope)) {
    case AE_SEARCH_GO_ON:
        if (l->search.low_is_new)
            memcpy(l->low_g, g, l->bytes);
        return ask(l, x);
    case AE_SEARCH_ACCEPT:
        return accept(l, x, *f, g);
    case AE_SEARCH_FALL_BACK:
        if (!l->search.low_is_new) {
            l->search.step = l->search.low.step;
            ask(l, x);
            memcpy(g, l->low_g, l->bytes);
            *f = l->search.low.value;
        }
        return accept(l, x, *f, g);
    case AE_SEARCH_FAILED:
        break;
    }
    if (l->steepest)
        return give_iterate(l, x, f, g);
    l->pairs = 0;
    return begin_search(l, x, f, g);
}

ae_lbfgs_request ae_lbfgs_advance(ae_lbfgs *lbfgs, void *x, double *f, void *g) {
    ae_lbfgs *l = lbfgs;
    if (l->phase == PHASE_SEARCH)
        return go_on_searching(l, x, f, g);
    if (l->phase == PHASE_DONE)
        return AE_LBFGS_CONVERGED;
    if (l->phase == PHASE_FRESH) {
        memcpy(l->x, x, l->bytes);
        memcpy(l->g, g, l->bytes);
        l->f = *f;
    }
    const double largest = l->flat->largest(l->n, l->g);
    if (l->f < l->lowest_f || largest < l->lowest_g)
        l->without_progress = 0;
    else
        l->without_progress++;
    l->lowest_f = fmin(l->lowest_f, l->f);
    l->lowest_g = fmin(l->lowest_g, largest);
    /* Without a finite start there is nothing to go down from; the caller sees it in f and g. */
    if (!isfinite(l->f) || !isfinite(largest) || largest <= l->gtol || l->without_progress > PATIENCE)
        return give_iterate(l, x, f, g);
    return begin_search(l, x, f, g);
}

/* ---- the state between two iterations ---- */

void ae_lbfgs_regions(ae_lbfgs *l, ae_lbfgs_region *regions) {
    const size_t n = (size_t)l->n, memory = (size_t)l->memory, real = l->bytes / n;
    regions[0] = (ae_lbfgs_region){"lbfgs_iterate", l->x, 2 * n, real};        /* x, then g */
    regions[1] = (ae_lbfgs_region){"lbfgs_pairs", l->s, 2 * memory * n, real}; /* s, then y */
    regions[2] = (ae_lbfgs_region){"lbfgs_curvature", (char *)l->curvature, memory, sizeof(double)};
}

void ae_lbfgs_numbers(const ae_lbfgs *l, double *numbers) {
    const double values[AE_LBFGS_NUMBERS] = {l->phase, l->pairs,    l->newest,   l->steepest,
                                             l->f,     l->lowest_f, l->lowest_g, l->without_progress};
    memcpy(numbers, values, sizeof values);
}

bool ae_lbfgs_accepts(const ae_lbfgs *l, const double *numbers) {
    const bool whole = numbers[1] == floor(numbers[1]) && numbers[2] == floor(numbers[2]) && numbers[7] == floor(numbers[7]);
    const bool between = numbers[0] == PHASE_FRESH || numbers[0] == PHASE_ITERATED || numbers[0] == PHASE_DONE;
    return whole && between && numbers[1] >= 0 && numbers[1] <= l->memory && numbers[2] >= 0 && numbers[2] < l->memory &&
           numbers[7] >= 0 && numbers[7] <= PATIENCE + 1;
}

void ae_lbfgs_take(ae_lbfgs *l, const double *numbers) {
    l->phase = (lbfgs_phase)numbers[0];
    l->pairs = (int)numbers[1];
    l->newest = (int)numbers[2];
    l->steepest = numbers[3] != 0;
    l->f = numbers[4];
    l->lowest_f = numbers[5];
    l->lowest_g = numbers[6];
    l->without_progress = (int)numbers[7];
}
