#include "math/log_mean_exp.h"

#include "math/functions.h"

typedef vec (*function)(vec x);

/* f of x[0 .. n - 1] in place; a rest goes through a buffer. */
AE_INLINE void along(int64_t n, real *x, function f) {
    for (int64_t i = 0; i < n; i += VL) {
        const int64_t count = n - i < VL ? n - i : VL;
        real part[VL] = {0};
        for (int64_t j = 0; j < count; j++)
            part[j] = x[i + j];
        v_store(part, f(v_load(part)));
        for (int64_t j = 0; j < count; j++)
            x[i + j] = part[j];
    }
}

real AE_V(ae_log_mean_exp)(int64_t k, const real *t, real *share) {
    real least = t[0], sum = 0;
    for (int64_t s = 1; s < k; s++)
        least = t[s] < least ? t[s] : least;
    for (int64_t s = 0; s < k; s++)
        share[s] = t[s] == least ? 0 : least - t[s]; /* an infinity less itself would be no number */
    along(k, share, vf_exp);
    for (int64_t s = 0; s < k; s++)
        sum += share[s];
    real logarithm = sum / (real)k;
    along(1, &logarithm, vf_log);
    for (int64_t s = 0; s < k; s++)
        share[s] /= sum;
    return least - logarithm;
}
