/* Where the time of a fit goes: by phase and by node, loss or matter, beside the operations and bytes counted from the shapes.
 *
 * Taken where the environment variable AUTOENC_PROFILE is 1 when a trainer is made; elsewhere a phase pays for one comparison.
 * Each worker reads the clock before and behind what it does of a row, so rows that run in one task have times of their own.
 * It changes no result. One thread at a time, like the trainer. */
#ifndef AE_TRAIN_PROFILE_H
#define AE_TRAIN_PROFILE_H

#include "train/trainer.h"

typedef struct ae_profile_row {
    const char *phase, *subject; /* subject: name of a node or a loss, or "". Owned by the trainer */
    int64_t calls;               /* tasks of a phase: blocks of rows, tiles of weights */
    double seconds;              /* mean over the threads of the total */
    /* Operations: those that layers state in their plans, as many in reverse, and the weight gradient like forward; products
     * with pairs count the pairs. Losses, updates and copies state none. */
    double flops;
    double bytes; /* each operand read once and each result written once a chunk of a minibatch, wherever it lies */
} ae_profile_row;

typedef struct ae_profile_total {
    int64_t steps;  /* gradients of minibatches; L-BFGS: evaluations */
    int threads;    /* most that a phase has used */
    double seconds; /* of epochs and evaluations. What the rows leave of it is waiting at barriers, and the rest */
    double roof;    /* operations a second of a product in the first level of cache, one thread */
} ae_profile_total;

/* False where no profile is taken. */
bool ae_trainer_profile(const ae_trainer *trainer, ae_profile_total *total);
/* Row `index`, from 0, in the order of a step; rows that never ran have no calls. False behind the last one. */
bool ae_trainer_profile_row(const ae_trainer *trainer, int index, ae_profile_row *row);

#endif
