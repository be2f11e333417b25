/* The user's data as the trainer and the predictor see it: never copied whole, never modified. */
#ifndef AE_NET_DATA_H
#define AE_NET_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/permutation.h"
#include "base/status.h"
#include "math/kernels.h"

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

/* First row and column of a value outside [low, high], or row = -1. NaN counts as outside. */
void ae_data_find_outside(const ae_data *data, double low, double high, int64_t *row, int64_t *column, double *value);

/* Row `index` of the data into row `row` of a panel matrix of data->columns columns. */
void ae_data_gather(const ae_data *data, const ae_kernels *kernels, int64_t index, int64_t stride, int64_t row, void *panels);

/* A subset of rows in some order: position i stands for row order(first + i). Split and shuffle compose, so that neither
 * needs an array of indices. */
typedef struct ae_subset {
    ae_permutation order;
    int64_t first, count;
} ae_subset;

static inline int64_t ae_subset_row(const ae_subset *subset, int64_t i) {
    return (int64_t)ae_permutation_at(&subset->order, (uint64_t)(subset->first + i));
}

#endif
