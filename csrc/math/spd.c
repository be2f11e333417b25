#include "math/spd.h"

#include <string.h>

#define BLOCK AE_PANEL

/* Gauss-Jordan elimination of one tile, in double. */
static bool invert_tile(int bits, void *tile) {
    double a[BLOCK][BLOCK];
    for (int i = 0; i < BLOCK; i++)
        for (int j = 0; j < BLOCK; j++)
            a[i][j] = ae_real_at(bits, tile, i * BLOCK + j);
    for (int k = 0; k < BLOCK; k++) {
        if (!(a[k][k] > 0))
            return false;
        const double pivot = 1.0 / a[k][k];
        a[k][k] = 1.0;
        for (int j = 0; j < BLOCK; j++)
            a[k][j] *= pivot;
        for (int i = 0; i < BLOCK; i++) {
            const double factor = a[i][k];
            if (i == k)
                continue;
            a[i][k] = 0.0;
            for (int j = 0; j < BLOCK; j++)
                a[i][j] -= factor * a[k][j];
        }
    }
    for (int i = 0; i < BLOCK; i++)
        for (int j = 0; j < BLOCK; j++)
            ae_real_set(bits, tile, i * BLOCK + j, a[i][j]);
    return true;
}

bool ae_spd_inverse(const ae_kernels *kernels, int bits, int64_t n, void *matrix, void *scratch) {
    const size_t size = (size_t)bits / 8, tile = BLOCK * BLOCK * size, panel = (size_t)n * BLOCK * size;
    const ae_gemm product = {1, BLOCK, BLOCK, NULL, NULL, 0, 0};
    char *const others = scratch, *const inverse = others + panel, *const across = inverse + tile;
    for (int64_t k = 0; k < n / BLOCK; k++) {
        char *const pivots = (char *)matrix + (size_t)k * panel;
        const size_t at = (size_t)k * tile; /* of the block's rows in a panel */
        memcpy(inverse, pivots + at, tile);
        if (!invert_tile(bits, inverse))
            return false;
        /* Minus the block's columns, with zeros in its own rows. */
        memcpy(others, pivots, panel);
        kernels->scale(n * BLOCK, -1.0, others);
        memset(others + at, 0, tile);
        for (int64_t q = 0; q < n / BLOCK; q++) {
            char *const c = (char *)matrix + (size_t)q * panel;
            if (q == k)
                continue;
            kernels->gemm_rows(&product, BLOCK, BLOCK, inverse, c + at, AE_START_ZERO, NULL, across);
            kernels->gemm_rows(&product, n, BLOCK, others, across, AE_START_C, NULL, c);
            memcpy(c + at, across, tile);
        }
        kernels->gemm_rows(&product, n, BLOCK, others, inverse, AE_START_ZERO, NULL, pivots);
        memcpy(pivots + at, inverse, tile);
    }
    return true;
}
