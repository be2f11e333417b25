/* The instructions of AMX for bfloat16, by their description in Intel's "Software Developer's Manual", volume 2. */
#ifndef AE_TEST_TILES_H
#define AE_TEST_TILES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "math/bf16.h"

typedef struct tile {
    int rows, bytes;
    unsigned char data[16][64];
} tile;

static tile tiles[8];
static int tile_faults, tile_releases;

/* Other arithmetic that a processor might have. */
enum { AS_DESCRIBED, KEEPS_DENORMAL, ONE_CHAIN, FROM_C_ON };
static int arithmetic;

static inline float flushed(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x; }
static inline float made(float x) { return arithmetic == KEEPS_DENORMAL ? x : flushed(x); }
static inline float wide(ae_bf16 x) {
    const uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return flushed(f);
}

static inline void model_shape(const void *from) {
    const unsigned char *p = from;
    tile_faults += p[0] != 1;
    for (int i = 1; i < 64; i++) /* first row, what is reserved, and tiles that there are not */
        tile_faults += (i < 16 || (i >= 32 && i < 48) || i >= 56) && p[i];
    for (int i = 0; i < 8; i++) {
        uint16_t bytes;
        memcpy(&bytes, p + 16 + 2 * i, 2);
        tiles[i] = (tile){.rows = p[48 + i], .bytes = bytes};
        tile_faults += tiles[i].rows > 16 || bytes > 64 || (bytes == 0) != (tiles[i].rows == 0);
    }
}
static inline void model_load(int t, const void *from, int64_t stride) {
    tile_faults += !tiles[t].rows;
    for (int r = 0; r < tiles[t].rows; r++)
        memcpy(tiles[t].data[r], (const char *)from + r * stride, (size_t)tiles[t].bytes);
}
static inline void model_store(int t, void *to, int64_t stride) {
    tile_faults += !tiles[t].rows;
    for (int r = 0; r < tiles[t].rows; r++)
        memcpy((char *)to + r * stride, tiles[t].data[r], (size_t)tiles[t].bytes);
}
static inline void model_zero(int t) {
    tile_faults += !tiles[t].rows;
    memset(tiles[t].data, 0, sizeof tiles[t].data);
}
static inline void model_product(int c, int a, int b) {
    tile_faults += tiles[c].rows != tiles[a].rows || tiles[a].bytes / 4 != tiles[b].rows || tiles[c].bytes != tiles[b].bytes;
    for (int m = 0; m < tiles[c].rows; m++)
        for (int n = 0; n < tiles[c].bytes / 4; n++) {
            float even = 0, odd = 0, sum;
            memcpy(&sum, tiles[c].data[m] + 4 * n, 4);
            if (arithmetic == FROM_C_ON)
                even = sum;
            for (int k = 0; k < tiles[a].bytes / 4; k++) {
                ae_bf16 x[2], y[2];
                memcpy(x, tiles[a].data[m] + 4 * k, 4);
                memcpy(y, tiles[b].data[k] + 4 * n, 4);
                even = made(fmaf(wide(x[0]), wide(y[0]), even));
                if (arithmetic == ONE_CHAIN)
                    even = made(fmaf(wide(x[1]), wide(y[1]), even));
                else
                    odd = made(fmaf(wide(x[1]), wide(y[1]), odd));
            }
            sum = arithmetic == FROM_C_ON ? made(even + odd) : made(made(sum) + made(even + odd));
            memcpy(tiles[c].data[m] + 4 * n, &sum, 4);
        }
}
static inline void model_release(void) {
    tile_releases++;
    memset(tiles, 0, sizeof tiles);
}

#endif
