/* Vectorised fills from counter-based streams (base/rng.h): the same numbers as one draw at a time. */
#ifndef AE_MATH_RANDOM_H
#define AE_MATH_RANDOM_H

#include <stdint.h>

#include "base/rng.h"

/* Of the reals that are rounded at once: a block of 32 rows of a panel. */
#define AE_ROUNDED_MOST 1024
#define AE_ROUNDED_ARRAYS 3

#if defined(AE_BITS)
#include "math/variant.h"

/* Each fills `columns` draws of row `row` at step `step`, columns 0 .. columns - 1; out has room for columns rounded up
 * to 32. Column c of a fill is the same whatever `columns` is. */

/* (0, 1), from word c of the row. */
void AE_V(ae_random_uniform)(ae_key key, uint64_t step, uint32_t row, int64_t columns, real *out);
/* Standard normal by Box-Muller: columns 2j and 2j + 1 from words 2j and 2j + 1 of the row. */
void AE_V(ae_random_normal)(ae_key key, uint64_t step, uint32_t row, int64_t columns, real *out);
/* Words first .. first + columns - 1 of the row themselves, the same in both precisions; first: a multiple of 4. out has room for
 * columns rounded up to 32. */
void AE_V(ae_random_words)(ae_key key, uint64_t step, uint32_t row, int64_t first, int64_t columns, uint32_t *out);
/* `kept` where word c >= threshold, else 0: a mask with P(0) = threshold / 2^32. */
void AE_V(ae_random_mask)(ae_key key, uint64_t step, uint32_t row, int64_t columns, uint64_t threshold, real kept, real *out);

#if AE_BITS == 32
/* Rounds numbers to bfloat16, up or down at random, such that the mean over all draws is the number itself: what is a bfloat16
 * number, and what is not finite, stays as it is. from[i], n reals, becomes to[i], for `count` <= AE_ROUNDED_ARRAYS arrays;
 * n <= AE_ROUNDED_MOST is a multiple of 32. Of each 32 numbers word j of 16 holds number j in its lower half and number 16 + j in
 * its upper half. The draws are those of `row`; arrays have different ones. */
void AE_V(ae_random_round)(ae_key key, uint64_t step, uint32_t row, int64_t n, int count, const real *const *from,
                           uint32_t *const *to);
/* The numbers back from such words. */
void AE_V(ae_widen)(int64_t n, const uint32_t *from, real *to);
#endif

#endif
#endif
