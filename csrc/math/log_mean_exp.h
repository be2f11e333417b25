/* Samples of one row joined: -log of the mean of e^-t. */
#ifndef AE_MATH_LOG_MEAN_EXP_H
#define AE_MATH_LOG_MEAN_EXP_H

#include <stdint.h>

#include "math/variant.h"

/* -log(mean of e^-t[s]) over s = 0 .. k - 1, and the share of each in the sum, softmax(-t), into share[k]. Stable for any size
 * of t; sums in order. A t of +infinity counts as zero; where all are, the result is +infinity and the shares are equal. Where one
 * is -infinity, so is the result, and the shares are those of all that are. Not a number where a t is none. */
real AE_V(ae_log_mean_exp)(int64_t k, const real *t, real *share);

#endif
