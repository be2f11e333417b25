/* The typed functions of each variant wrapped, because calling them through another pointer type is not C. */
#include "optim/flat.h"

#include <math.h>
#include <stddef.h>

#include "math/blas1.h"
#include "math/variant.h"

typedef float real32;
typedef double real64;

/* A maximum needs no fixed order. x - x is zero for finite x only. */
#define LARGEST(real)                                           \
    static double largest_##real(int64_t n, const void *data) { \
        const real *x = data;                                   \
        real largest = 0, bad = 0;                              \
        for (int64_t i = 0; i < n; i++) {                       \
            const real size = x[i] < 0 ? -x[i] : x[i];          \
            largest = size > largest ? size : largest;          \
            bad = x[i] - x[i] == 0 ? bad : 1;                   \
        }                                                       \
        return bad > 0 ? (double)INFINITY : (double)largest;    \
    }
LARGEST(real32)
LARGEST(real64)

#define WRAP(suffix, bits, isa)                                                                                          \
    double ae_dot_##suffix(int64_t n, const real##bits *x, const real##bits *y);                                         \
    void ae_axpy_##suffix(int64_t n, real##bits a, const real##bits *x, real##bits *y);                                  \
    void ae_scale_##suffix(int64_t n, real##bits a, real##bits *x);                                                      \
    static double dot_##suffix(int64_t n, const void *x, const void *y) { return ae_dot_##suffix(n, x, y); }             \
    static void axpy_##suffix(int64_t n, double a, const void *x, void *y) { ae_axpy_##suffix(n, (real##bits)a, x, y); } \
    static void scale_##suffix(int64_t n, double a, void *x) { ae_scale_##suffix(n, (real##bits)a, x); }
AE_FOR_EACH_VARIANT(WRAP)

#define ENTRY(suffix, bits, isa) {bits, isa, dot_##suffix, axpy_##suffix, scale_##suffix, largest_real##bits},
static const ae_flat_ops table[] = {AE_FOR_EACH_VARIANT(ENTRY)};

const ae_flat_ops *ae_flat_get(int bits, ae_isa isa) {
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].bits == bits && table[i].isa == isa)
            return &table[i];
    return NULL;
}
