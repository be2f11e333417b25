/* Limited-memory BFGS (Nocedal and Wright 2006, algorithms 7.4 and 7.5) with a strong-Wolfe line search (algorithms 3.5 and
 * 3.6), on one flat vector of parameters. Reverse communication: the caller evaluates, so the state machine knows nothing
 * of networks and one iteration can be interrupted and resumed. All dot products by the fixed tree (math/blas1.h ae_dot),
 * all scalars in double. */
#ifndef AE_OPTIM_LBFGS_H
#define AE_OPTIM_LBFGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/status.h"

typedef struct ae_lbfgs ae_lbfgs;

typedef enum ae_lbfgs_request {
    AE_LBFGS_EVALUATE, /* compute f and gradient at x, then call ae_lbfgs_advance */
    AE_LBFGS_ITERATED, /* x, f, g are those of a new iterate; call again (same f, g) to start the next iteration */
    AE_LBFGS_CONVERGED /* gradient below gtol, or no step improves f; x, f, g are the best found */
} ae_lbfgs_request;

/* n reals (multiple of 32), `memory` >= 1 pairs, at most max_evaluations a line search. All memory is taken here. */
ae_status ae_lbfgs_new(ae_context *context, ae_lbfgs **out, int bits, ae_isa isa, int64_t n, int memory, int max_evaluations,
                       double gtol);
void ae_lbfgs_free(ae_lbfgs *lbfgs);
/* Forget the past: the next advance treats (x, f, g) as a fresh start. */
void ae_lbfgs_reset(ae_lbfgs *lbfgs);

/* Called with the value f (may be infinite or not a number: the step is then shortened) and gradient g at x. Writes the
 * next point to evaluate into x. gtol: on the largest absolute gradient entry. The first call after new/reset takes f and g
 * at the starting point. */
ae_lbfgs_request ae_lbfgs_advance(ae_lbfgs *lbfgs, void *x, double *f, void *g);

/* What is known between two iterations: regions of memory that belong to the object, and numbers. Another one of the same size that
 * takes both goes on to the same bits. */
typedef struct ae_lbfgs_region {
    const char *name;
    char *data;
    size_t count, size; /* numbers, and bytes of one */
} ae_lbfgs_region;
#define AE_LBFGS_REGIONS 3
#define AE_LBFGS_NUMBERS 8

void ae_lbfgs_regions(ae_lbfgs *lbfgs, ae_lbfgs_region *regions);
void ae_lbfgs_numbers(const ae_lbfgs *lbfgs, double *numbers);
/* Whether numbers are such as ae_lbfgs_numbers gives, outside of a search. */
bool ae_lbfgs_accepts(const ae_lbfgs *lbfgs, const double *numbers);
/* Of numbers that are accepted; the regions have been written before. */
void ae_lbfgs_take(ae_lbfgs *lbfgs, const double *numbers);

#endif
