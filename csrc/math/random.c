#include "math/random.h"

#include <string.h>

#include "math/functions.h"
#include "math/panel.h"
#include "math/rounding.h"

/* Columns that one call of Philox in every lane gives. */
#define CHUNK (4 * VL)

/* Runs the body, which stores CHUNK draws of the words w to `to`, over the columns rounded up to panels. */
#define FILL(...)                                                      \
    int64_t room = ae_panels(columns) * AE_PANEL;                      \
    for (int64_t c = 0; c < room; c += CHUNK) {                        \
        real spare[CHUNK], *to = c + CHUNK <= room ? out + c : spare;  \
        uvec w[4];                                                     \
        philox(key, (uint32_t)(c / 4), row, step, w);                  \
        __VA_ARGS__;                                                   \
        if (to == spare)                                               \
            memcpy(out + c, spare, (size_t)(room - c) * sizeof(real)); \
    }

void AE_V(ae_random_uniform)(ae_key key, uint64_t step, uint32_t row, int64_t columns, real *out) {
    FILL(v_store4(to, u_to_unit(w[0]), u_to_unit(w[1]), u_to_unit(w[2]), u_to_unit(w[3])));
}

/* Box and Muller 1958: sqrt(-2 ln u) (cos 2 pi v, sin 2 pi v). */
AE_INLINE void box_muller(uvec word_u, uvec word_v, vec *even, vec *odd) {
    vec radius = v_sqrt(v_mul(v_set1(-2), vf_log_normal(u_to_unit(word_u)))), sine, cosine;
    vf_sincos_2pi(u_to_unit(word_v), &sine, &cosine);
    *even = v_mul(radius, cosine);
    *odd = v_mul(radius, sine);
}

void AE_V(ae_random_normal)(ae_key key, uint64_t step, uint32_t row, int64_t columns, real *out) {
    FILL(vec z[4]; box_muller(w[0], w[1], &z[0], &z[1]); box_muller(w[2], w[3], &z[2], &z[3]);
         v_store4(to, z[0], z[1], z[2], z[3]));
}

void AE_V(ae_random_mask)(ae_key key, uint64_t step, uint32_t row, int64_t columns, uint64_t threshold, real kept, real *out) {
    if (threshold > UINT32_MAX) {
        memset(out, 0, (size_t)(ae_panels(columns) * AE_PANEL) * sizeof(real));
        return;
    }
    uvec bound = u_set1((uint32_t)threshold);
    vec one = v_set1(kept), none = v_zero();
    FILL(v_store4(to, v_select(u_lt(w[0], bound), none, one), v_select(u_lt(w[1], bound), none, one),
                  v_select(u_lt(w[2], bound), none, one), v_select(u_lt(w[3], bound), none, one)));
}

void AE_V(ae_random_words)(ae_key key, uint64_t step, uint32_t row, int64_t first, int64_t columns, uint32_t *out) {
    const int64_t room = ae_panels(columns) * AE_PANEL;
    for (int64_t c = 0; c < room; c += CHUNK) {
        uint32_t lanes[4][WL], drawn[CHUNK];
        uvec w[4];
        philox(key, (uint32_t)((first + c) / 4), row, step, w);
        for (int k = 0; k < 4; k++)
            u_store(lanes[k], w[k]);
        for (int i = 0; i < WL; i++)
            for (int k = 0; k < 4; k++)
                drawn[4 * i + k] = lanes[k][i];
        memcpy(out + c, drawn, (size_t)(room - c < CHUNK ? room - c : CHUNK) * sizeof *out);
    }
}

#if AE_BITS == 32

AE_INLINE void round_rows(ae_key key, uint64_t step, uint32_t row, int64_t n, const int count, const real *const *from,
                          uint32_t *const *to) {
    for (int lane = 0; lane < AE_PANEL / 2; lane += WL) {
        uvec w[4];
        philox(key, (uint32_t)lane, row, step, w);
        for (int64_t at = 0; at < n; at += AE_PANEL) {
            uvec *const both = w + at / AE_PANEL % 2 * 2;
            for (int k = 0; k < count; k++) {
                const real *x = from[k] + at + lane;
                u_store(to[k] + at / 2 + lane, rounded_pair(both, k, v_load(x), v_load(x + AE_PANEL / 2)));
                __builtin_prefetch(to[k] + (n + at) / 2 + lane, 1, 3);
            }
            rounding_next(both);
        }
    }
}

void AE_V(ae_random_round)(ae_key key, uint64_t step, uint32_t row, int64_t n, int count, const real *const *from,
                           uint32_t *const *to) {
    if (count == 1)
        round_rows(key, step, row, n, 1, from, to);
    else if (count == 2)
        round_rows(key, step, row, n, 2, from, to);
    else
        round_rows(key, step, row, n, AE_ROUNDED_ARRAYS, from, to);
}

void AE_V(ae_widen)(int64_t n, const uint32_t *from, real *to) {
    for (int64_t i = 0; i < n; i += AE_PANEL)
        for (int lane = 0; lane < AE_PANEL / 2; lane += WL) {
            const uvec w = u_load(from + i / 2 + lane);
            v_store(to + i + lane, u_low_bf16(w));
            v_store(to + i + AE_PANEL / 2 + lane, u_high_bf16(w));
        }
}

#endif
