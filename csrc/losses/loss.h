/* Losses, which are also likelihoods: one file each, one line in losses/registry.c.
 *
 * A loss compares a prediction with a target of the same width. Its terms are nonnegative unless
 * it says otherwise, one per feature; the loss of a
 * row is their mean over the features (no 1/2 in front of a square); the loss of a minibatch is the mean over its rows.
 * A loss with a link takes the value before the link (logits, log-rate), which is what makes it stable: `link` names the
 * activation that turns the prediction into a reconstruction.
 * For a variational network the same terms are summed instead of averaged: a weight of the width. `likelihood` adds the
 * constants that training does not need.
 * Besides prediction and target a call may have factors of the entries (missing values, emphasis), and a second predicted
 * parameter (a variance, a dispersion). */
#ifndef AE_LOSSES_LOSS_H
#define AE_LOSSES_LOSS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cpu.h"
#include "math/activation.h"
#include "math/pairs.h"

typedef enum ae_loss_target { AE_TARGET_ANY = 0, AE_TARGET_UNIT_INTERVAL, AE_TARGET_NONNEGATIVE } ae_loss_target;

enum {
    AE_LOSS_SECOND = 1,     /* predicts two parameters: `second` is needed, and refused elsewhere */
    AE_LOSS_ROW = 2,        /* its terms hang together by row (a softmax): takes no entry weights */
    AE_LOSS_NO_TARGET = 4,  /* a penalty: a target is refused */
    AE_LOSS_SIGNED = 8,     /* its terms may be negative */
    AE_LOSS_CANONICAL = 32, /* its derivative by the prediction z is c (f(z) - target) with the link f, c = 2 where that is the
                                identity and 1 elsewhere: its second derivative, c f'(z), is never negative */
    /* `rows` takes a target that goes by pairs (math/pairs.h) as these, and then reads no dense one. */
    AE_LOSS_READS_PAIRS = 16,
    /* `rows` may write the gradient over the prediction; one that reads pairs only where it reads those, of their own row each
     * (ae_pairs.spare). */
    AE_LOSS_IN_PLACE = 64
};

/* One block of rows. Pointers to reals of the variant's precision.
 *
 * Rows are rows of the prediction. Where it has k for one row of data (samples), the others may have one for each k: that is
 * their `repeat`, the rows of the prediction that a row of theirs serves (0 means 1). */
typedef struct ae_loss_call {
    const void *prediction, *target;          /* panel matrices (rows, width); target NULL: zeros */
    int64_t prediction_stride, target_stride; /* reals between panels */
    int64_t width;                            /* > 0 */
    int64_t row0, row1;
    double parameter;         /* huber's delta and the like; ignored elsewhere */
    double scale;             /* factor of every row's gradient, e.g. weight of the term / rows of the batch */
    const double *row_weight; /* by row / weight_repeat; NULL: all one */
    double *row_loss;         /* out, by row: mean over features, not weighted by row. May be NULL */
    void *gradient;           /* out: panels of prediction_stride: d(scale * weight * row_loss)/d prediction,
                                                       padding columns zero, rows without weight zero even where their
                                                       loss overflows. NULL: not wanted. May not alias target; the
                                                       prediction only with AE_LOSS_IN_PLACE, and not to be added to */
    bool accumulate;          /* add to gradient instead of writing it */
    int64_t target_repeat, weight_repeat, entry_repeat;
    const void *entry_weight; /* panel matrix: nonnegative factor of each term; where it is zero the term is, whatever the
                                                       prediction. NULL: all one */
    int64_t entry_stride;
    const void *second;    /* shaped like the prediction, same stride: for AE_LOSS_SECOND, else NULL */
    void *second_gradient; /* like gradient */
    bool second_accumulate;
    const ae_pairs *target_pairs; /* or NULL; by row / target_repeat */
} ae_loss_call;

typedef struct ae_loss_ops {
    const char *name;
    ae_activation link;
    ae_loss_target target;
    bool has_parameter; /* parameter > 0 */
    /* Loss and gradient of a block of rows. Row sums: 32 lanes, each over the panels in order, joined as a tree in double.
     * log_loss sums its logarithms as one of a product (losses/elementwise.h), equal to the sum of terms up to rounding. */
    void (*rows)(const ae_loss_call *call);
    /* The terms themselves, per feature, times their entry weights: written to call->gradient's place as a panel matrix of
     * prediction_stride. */
    void (*terms)(const ae_loss_call *call);
    unsigned flags;
    /* row_loss: the negative log-likelihood of a row in nats, the sum over its features (times entry weights) with all
     * constants of the density that the file of the loss states. NULL where the loss is no likelihood. */
    void (*likelihood)(const ae_loss_call *call);
} ae_loss_ops;

/* By position, NULL beyond the last: the numbering that node descriptions use. isa as chosen by ae_isa_select. */
const ae_loss_ops *ae_loss_get(int bits, ae_isa isa, int index);
/* Position by name, or -1. */
int ae_loss_find(const char *name);

#endif
