/* Activations, elementwise and softmax, with their derivatives, over panels.
 *
 * Where the derivative follows from the output (relu, tanh, ...) nothing is kept. Where it does not (gelu, silu) forward
 * writes it into `slope`, a buffer shaped like the output. */
#ifndef AE_MATH_ACTIVATION_H
#define AE_MATH_ACTIVATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef enum ae_activation {
    AE_IDENTITY = 0,
    AE_RELU,
    AE_LEAKY_RELU, /* slope 0.01 below zero */
    AE_ELU,        /* alpha = 1 (Clevert et al. 2016) */
    AE_SELU,       /* constants of Klambauer et al. 2017 */
    AE_GELU,       /* x Phi(x), exact by erf (Hendrycks and Gimpel 2016) */
    AE_SILU,       /* x logistic(x) */
    AE_SOFTPLUS,
    AE_TANH,
    AE_LOGISTIC,
    AE_EXP,     /* the inverse link of a log-rate */
    AE_SOFTMAX, /* over the features of a row */
    AE_ACTIVATION_COUNT
} ae_activation;

/* "identity", "relu", ...; -1 where the name is unknown. */
const char *ae_activation_name(ae_activation activation);
int ae_activation_find(const char *name);

/* True for gelu and silu: forward needs `slope` when gradients are wanted. */
bool ae_activation_keeps_slope(ae_activation activation);

#if defined(AE_BITS)
#include "math/variant.h"

/* y[i] = f(y[i]) for n reals (n a multiple of 32); slope may be NULL. Not for softmax. */
void AE_V(ae_activation_forward)(ae_activation activation, int64_t n, real *y, real *slope);

/* g[i] *= f'(.) with y the output of forward; slope as forward left it where ae_activation_keeps_slope. */
void AE_V(ae_activation_backward)(ae_activation activation, int64_t n, const real *y, const real *slope, real *g);

/* Rows row0 .. row1 - 1 of a panel matrix (rows, width) in place. Padding columns become zero. */
void AE_V(ae_softmax_forward)(int64_t row0, int64_t row1, int64_t width, int64_t stride, real *y);
/* g = y * (g - sum of g * y) by row, in place. */
void AE_V(ae_softmax_backward)(int64_t row0, int64_t row1, int64_t width, int64_t stride, const real *y, real *g);

#endif
#endif
