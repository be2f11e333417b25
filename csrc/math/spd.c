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

/* At any time the matrix equals its transpose, with the sign changed where just one of row and column has been a pivot: tiles at and
 * below the diagonal are all that is kept, for half the arithmetic. */
bool ae_spd_inverse(const ae_kernels *kernels, int bits, int64_t n, void *matrix, void *scratch) {
    const size_t size = (size_t)bits / 8, tile = BLOCK * BLOCK * size, panel = (size_t)n * BLOCK * size;
    const ae_gemm product = {1, BLOCK, BLOCK, NULL, NULL, 0, 0};
    const int64_t blocks = n / BLOCK;
    char *const all = matrix, *const others = scratch, *const inverse = others + panel, *const across = inverse + tile,
                *const turned = across + tile;
    for (int64_t k = 0; k < blocks; k++) {
        char *const pivots = all + (size_t)k * panel;
        const size_t at = (size_t)k * tile, below = at + tile; /* of the block's rows in a panel, and of those that follow */
        memcpy(inverse, pivots + at, tile);
        if (!invert_tile(bits, inverse))
            return false;
        /* Minus the block's columns, with zeros in its own rows. */
        for (int64_t i = 0; i < k; i++)
            kernels->tile_transpose(all + (size_t)i * panel + at, BLOCK, others + (size_t)i * tile);
        memset(others + at, 0, tile);
        memcpy(others + below, pivots + below, panel - below);
        kernels->scale((n - (k + 1) * BLOCK) * BLOCK, -1.0, others + below);
        for (int64_t q = 0; q < blocks; q++) {
            char *const c = all + (size_t)q * panel;
            const size_t from = (size_t)q * tile;
            if (q == k)
                continue;
            if (q > k)
                kernels->tile_transpose(pivots + from, BLOCK, turned);
            kernels->gemm_rows(&product, BLOCK, BLOCK, inverse, q > k ? turned : c + at, AE_START_ZERO, NULL, across);
            kernels->gemm_rows(&product, n - q * BLOCK, BLOCK, others + from, across, AE_START_C, NULL, c + from);
            if (q < k)
                memcpy(c + at, across, tile);
        }
        kernels->gemm_rows(&product, n - (k + 1) * BLOCK, BLOCK, others + below, inverse, AE_START_ZERO, NULL, pivots + below);
        memcpy(pivots + at, inverse, tile);
    }
    for (int64_t q = 0; q < blocks; q++)
        for (int64_t i = q + 1; i < blocks; i++)
            kernels->tile_transpose(all + (size_t)q * panel + (size_t)i * tile, BLOCK,
                                    all + (size_t)i * panel + (size_t)q * tile);
    return true;
}
