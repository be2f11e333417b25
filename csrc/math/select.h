/* The k largest of many reals, without sorting them.
 *
 * The k-th largest is found by bisection over the order of the bit patterns, which is the order of the numbers: each step
 * counts the keys from a pivot on, one pass of compares. What makes it few passes over few keys is a bound from below: of
 * G >= 4 k groups the largest keys are taken, in one pass of maxima, and the k-th largest of those G has at least k keys
 * at or above it, and of keys in no special order hardly more. Only these are bisected. */
#ifndef AE_MATH_SELECT_H
#define AE_MATH_SELECT_H

#include <stdint.h>

#if defined(AE_BITS)
#include "math/variant.h"

/* Keys in `runs` pieces of `length` (a multiple of 32), `stride` apart; position i is key i % length of run i / length.
 * No key is NaN or -0. -infinity stands for no key at all. */
typedef struct ae_keys {
    const real *at;
    int64_t runs, length, stride;
} ae_keys;

/* Chosen are the keys above `value`, and those equal to it at positions up to `last`: of equal ones the first. */
typedef struct ae_selection {
    real value;
    int64_t last; /* -1: none */
} ae_selection;

/* The k largest; floor is above -infinity, and at least k keys are not below it. work: 9 k reals and more make it fast, and
 * fewer do not make it wrong. */
ae_selection AE_V(ae_select_largest)(const ae_keys *keys, int64_t k, real floor, real *work, int64_t work_reals);

/* k to `enough` of them, the largest, of few keys; k where equal ones leave no such number. There are at least k from `low` on, and none
 * above `high`. */
ae_selection AE_V(ae_select_about)(const ae_keys *keys, int64_t k, int64_t enough, real low, real high);

/* Keys above `value`. */
int64_t AE_V(ae_count_above)(const ae_keys *keys, real value);

#endif
#endif
