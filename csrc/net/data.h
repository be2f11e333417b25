/* The user's data as the trainer and the predictor see it: never copied whole, never modified. */
#ifndef AE_NET_DATA_H
#define AE_NET_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/permutation.h"
#include "base/status.h"
#include "math/kernels.h"
#include "math/pairs.h"

typedef struct ae_data {
    int64_t rows, columns;
    ae_dtype dtype;
    bool sparse;
    /* dense: element (r, c) at base + r * row_bytes + c * column_bytes; any strides, also negative */
    const char *base;
    int64_t row_bytes, column_bytes;
    /* CSR: values at base, contiguous; row_start[r] .. row_start[r + 1] - 1 index them. index_bits 32 or 64 for both */
    const char *row_start, *column_index;
    int index_bits;
    int64_t n_stored;
} ae_data;

/* CSR: row starts rise from 0 to n_stored, columns lie inside and rise within a row: duplicates and unsorted rows are refused,
 * though ae_row_gather_csr would take both (sorted indices are what scikit-learn's validation gives). Dense: nothing to check. The message names row and value. */
ae_status ae_data_check(ae_context *context, const ae_data *data, const char *name);

/* First row and column of a value that is infinite or not a number, or row = -1. In row order. */
void ae_data_find_nonfinite(const ae_data *data, int64_t *row, int64_t *column, double *value);

/* The same of a value that is infinite; NaN, a missing value, passes. */
void ae_data_find_infinite(const ae_data *data, int64_t *row, int64_t *column, double *value);

/* First row and column of a value outside [low, high], or row = -1. NaN counts as outside unless allow_nan. */
void ae_data_find_outside(const ae_data *data, double low, double high, bool allow_nan, int64_t *row, int64_t *column,
                          double *value);

/* Whether all values of rows first .. first + n - 1 of dense data are finite, and stay so as reals of `bits`; NaN, a missing
 * value, passes where allow_nan. */
bool ae_data_are_finite(const ae_data *data, int bits, bool allow_nan, int64_t first, int64_t n);

/* Rows first + index[0 .. n - 1] of the data, or where index is NULL rows first .. first + n - 1, into rows row .. row + n - 1 of a
 * panel matrix of data->columns columns. */
void ae_data_gather(const ae_data *data, const ae_kernels *kernels, int64_t first, const uint64_t *index, int64_t n,
                    int64_t stride, int64_t row, void *panels);

/* Row `index` of CSR data as the pairs of row `row`, in reals of `bits`: as many as there is room for, and only columns that exist
 * (the data was checked when it was bound; what its owner makes of it meanwhile must not lead outside). */
void ae_data_gather_pairs(const ae_data *data, int bits, int64_t index, int64_t row, const ae_pairs *pairs);

/* Most stored values of a row; all columns of dense data. */
int64_t ae_data_most_stored(const ae_data *data);

/* Asks for the first lines of a dense row, into the second-level cache. */
static inline void ae_data_prefetch(const ae_data *data, int64_t index) {
    const int64_t bytes = data->column_bytes * data->columns, most = 64 * AE_ALIGNMENT;
    const char *row = data->base + index * data->row_bytes;
    for (int64_t at = 0; !data->sparse && at < bytes && at < most; at += AE_ALIGNMENT)
        __builtin_prefetch(row + at, 0, 2);
    /* Rows begin anywhere in a line, so that the last one may be left over. */
    if (!data->sparse && bytes > 0 && bytes <= most)
        __builtin_prefetch(row + bytes - 1, 0, 2);
}

#endif
