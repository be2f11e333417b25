#include <string.h>

#include "math/pairs.h"

void ae_pairs_order(const ae_pairs *pairs, int64_t rows, int64_t width) {
    int32_t *const start = pairs->start;
    memset(start, 0, (size_t)(width + 1) * sizeof *start);
    for (int64_t row = 0; row < rows; row++)
        for (int32_t i = 0; i < pairs->count[row]; i++)
            start[pairs->column[row * pairs->most + i] + 1]++;
    for (int64_t c = 0; c < width; c++)
        start[c + 1] += start[c];
    /* start[c] moves on while column c is filled, to where the next one begins. */
    for (int64_t row = 0; row < rows; row++)
        for (int32_t i = 0; i < pairs->count[row]; i++) {
            const int32_t at = (int32_t)(row * pairs->most) + i, to = start[pairs->column[at]]++;
            pairs->entry[to] = at;
            pairs->row_of[to] = (int32_t)row;
        }
    memmove(start + 1, start, (size_t)width * sizeof *start);
    start[0] = 0;
}
