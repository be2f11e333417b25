/* Whole vectors of parameters for the methods that see them at once (L-BFGS), by precision and instruction set: the
 * functions of math/blas1.h behind pointers to void. Constant tables, thread safe. */
#ifndef AE_OPTIM_FLAT_H
#define AE_OPTIM_FLAT_H

#include <stdint.h>

#include "base/cpu.h"

typedef struct ae_flat_ops {
    int bits;
    ae_isa isa;
    double (*dot)(int64_t n, const void *x, const void *y);
    void (*axpy)(int64_t n, double a, const void *x, void *y); /* y += a x, a rounded to the precision */
    void (*scale)(int64_t n, double a, void *x);
    /* Largest |x[i]|; infinity if any is not finite. */
    double (*largest)(int64_t n, const void *x);
} ae_flat_ops;

/* NULL where the build lacks the variant. */
const ae_flat_ops *ae_flat_get(int bits, ae_isa isa);

#endif
