/* Transposes a BLOCK by BLOCK piece of a matrix of reals, or of words of their size, through registers. from_row, to_row: reals
 * from one row to the next. For sources with variants. */
#ifndef AE_MATH_BLOCK_TRANSPOSE_H
#define AE_MATH_BLOCK_TRANSPOSE_H

#include <string.h>

#include "math/vec.h"

#if defined(AE_TARGET_AVX512) && AE_BITS == 32
#define BLOCK 16
/* 16 x 16: pairs of rows interleaved by 1, 2, 4 and 8 elements. */
AE_INLINE void block_transpose(const real *from, const int from_row, real *to, const int to_row) {
    __m512 r[16], t[16];
    for (int i = 0; i < 16; i++)
        r[i] = _mm512_loadu_ps(from + i * from_row);
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 4; i++) {
        __m512d t0 = _mm512_castps_pd(t[4 * i]), t1 = _mm512_castps_pd(t[4 * i + 1]);
        __m512d t2 = _mm512_castps_pd(t[4 * i + 2]), t3 = _mm512_castps_pd(t[4 * i + 3]);
        r[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(t0, t2));
        r[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(t0, t2));
        r[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(t1, t3));
        r[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(t1, t3));
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_f32x4(r[i], r[4 + i], 0x88);
        t[4 + i] = _mm512_shuffle_f32x4(r[i], r[4 + i], 0xdd);
        t[8 + i] = _mm512_shuffle_f32x4(r[8 + i], r[12 + i], 0x88);
        t[12 + i] = _mm512_shuffle_f32x4(r[8 + i], r[12 + i], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        _mm512_storeu_ps(to + i * to_row, _mm512_shuffle_f32x4(t[i], t[8 + i], 0x88));
        _mm512_storeu_ps(to + (4 + i) * to_row, _mm512_shuffle_f32x4(t[4 + i], t[12 + i], 0x88));
        _mm512_storeu_ps(to + (8 + i) * to_row, _mm512_shuffle_f32x4(t[i], t[8 + i], 0xdd));
        _mm512_storeu_ps(to + (12 + i) * to_row, _mm512_shuffle_f32x4(t[4 + i], t[12 + i], 0xdd));
    }
}
#elif defined(AE_TARGET_AVX512) || (defined(AE_TARGET_AVX2) && AE_BITS == 32)
#define BLOCK 8
#if AE_BITS == 32
AE_INLINE void block_transpose(const real *from, const int from_row, real *to, const int to_row) {
    __m256 r[8], t[8];
    for (int i = 0; i < 8; i++)
        r[i] = _mm256_loadu_ps(from + i * from_row);
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        r[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
        r[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
        r[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
        r[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(to + i * to_row, _mm256_permute2f128_ps(r[i], r[4 + i], 0x20));
        _mm256_storeu_ps(to + (4 + i) * to_row, _mm256_permute2f128_ps(r[i], r[4 + i], 0x31));
    }
}
#else
AE_INLINE void block_transpose(const real *from, const int from_row, real *to, const int to_row) {
    __m512d r[8], t[8];
    for (int i = 0; i < 8; i++)
        r[i] = _mm512_loadu_pd(from + i * from_row);
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm512_unpacklo_pd(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_pd(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        r[i] = _mm512_shuffle_f64x2(t[i], t[2 + i], 0x88);
        r[2 + i] = _mm512_shuffle_f64x2(t[i], t[2 + i], 0xdd);
        r[4 + i] = _mm512_shuffle_f64x2(t[4 + i], t[6 + i], 0x88);
        r[6 + i] = _mm512_shuffle_f64x2(t[4 + i], t[6 + i], 0xdd);
    }
    for (int i = 0; i < 2; i++) {
        _mm512_storeu_pd(to + i * to_row, _mm512_shuffle_f64x2(r[i], r[4 + i], 0x88));
        _mm512_storeu_pd(to + (2 + i) * to_row, _mm512_shuffle_f64x2(r[2 + i], r[6 + i], 0x88));
        _mm512_storeu_pd(to + (4 + i) * to_row, _mm512_shuffle_f64x2(r[i], r[4 + i], 0xdd));
        _mm512_storeu_pd(to + (6 + i) * to_row, _mm512_shuffle_f64x2(r[2 + i], r[6 + i], 0xdd));
    }
}
#endif
#else
#define BLOCK 4
AE_INLINE void block_transpose(const real *from, const int from_row, real *to, const int to_row) {
    for (int r = 0; r < BLOCK; r++)
        for (int c = 0; c < BLOCK; c++)
            memcpy(&to[c * to_row + r], &from[r * from_row + c], sizeof(real));
}
#endif

#endif
