#include "net/data.h"

#include <float.h>
#include <string.h>

static int64_t index_at(const ae_data *data, const char *indices, int64_t i) {
    if (data->index_bits == 32) {
        int32_t value;
        memcpy(&value, indices + i * 4, sizeof value);
        return value;
    }
    int64_t value;
    memcpy(&value, indices + i * 8, sizeof value);
    return value;
}

static int64_t value_size(ae_dtype dtype) { return dtype == AE_F32 ? 4 : dtype == AE_F64 ? 8 : 1; }

/* The stored values of a row. The check was at binding; a matrix that its owner changes meanwhile must not lead outside. */
static void stored_range(const ae_data *data, int64_t row, int64_t *from, int64_t *to) {
    *from = index_at(data, data->row_start, row);
    *to = index_at(data, data->row_start, row + 1);
    if (*from < 0 || *to < *from || *to > data->n_stored)
        *from = *to = 0;
}

static double value_at(ae_dtype dtype, const char *at) {
    float f32;
    double f64;
    switch (dtype) {
    case AE_F32:
        memcpy(&f32, at, sizeof f32);
        return f32;
    case AE_F64:
        memcpy(&f64, at, sizeof f64);
        return f64;
    default:
        return *(const unsigned char *)at;
    }
}

ae_status ae_data_check(ae_context *context, const ae_data *data, const char *name) {
    if (!data->sparse)
        return AE_OK;
    int64_t start = index_at(data, data->row_start, 0);
    if (start != 0)
        return ae_fail(context, AE_ERR_VALUE, "%s: malformed CSR: indptr[0] is %lld; it must be 0", name, (long long)start);
    for (int64_t row = 0; row < data->rows; row++) {
        int64_t end = index_at(data, data->row_start, row + 1);
        if (end < start || end > data->n_stored)
            return ae_fail(context, AE_ERR_VALUE, "%s: malformed CSR: indptr[%lld] is %lld; it must be from %lld to %lld", name,
                           (long long)row + 1, (long long)end, (long long)start, (long long)data->n_stored);
        int64_t before = -1;
        for (int64_t i = start; i < end; i++) {
            int64_t column = index_at(data, data->column_index, i);
            if (column < 0 || column >= data->columns)
                return ae_fail(context, AE_ERR_VALUE,
                               "%s: malformed CSR: row %lld has column index %lld; it must be from 0 to %lld", name,
                               (long long)row, (long long)column, (long long)data->columns - 1);
            if (column <= before)
                return ae_fail(context, AE_ERR_VALUE,
                               "%s: malformed CSR: row %lld has column %lld after %lld; indices must be sorted without repeats",
                               name, (long long)row, (long long)column, (long long)before);
            before = column;
        }
        start = end;
    }
    return AE_OK;
}

/* Calls of this scan are outside training; what matters is that nothing is copied. */
static void find(const ae_data *data, double low, double high, bool allow_nan, int64_t *row, int64_t *column, double *value) {
    const int64_t size = value_size(data->dtype);
    for (int64_t r = 0; r < data->rows; r++) {
        int64_t from = 0, to = data->columns;
        if (data->sparse)
            stored_range(data, r, &from, &to);
        for (int64_t i = from; i < to; i++) {
            const char *at = data->sparse ? data->base + i * size : data->base + r * data->row_bytes + i * data->column_bytes;
            const double v = value_at(data->dtype, at);
            if ((v >= low && v <= high) || (allow_nan && v != v))
                continue;
            *row = r;
            *column = data->sparse ? index_at(data, data->column_index, i) : i;
            *value = v;
            return;
        }
    }
    *row = *column = -1;
}

/* Nonzero if any of n contiguous values has all exponent bits set (allow_nan: and no other). Branchless, so that it runs at the
 * speed of memory. */
static int any_nonfinite(ae_dtype dtype, const char *at, int64_t n, bool allow_nan) {
    const uint32_t mask32 = allow_nan ? 0x7fffffffu : 0x7f800000u;
    const uint64_t mask64 = allow_nan ? 0x7fffffffffffffffu : 0x7ff0000000000000u;
    int found = 0;
    if (dtype == AE_F32) {
        for (int64_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, at + i * 4, sizeof bits);
            found |= (bits & mask32) == 0x7f800000u;
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            uint64_t bits;
            memcpy(&bits, at + i * 8, sizeof bits);
            found |= (bits & mask64) == 0x7ff0000000000000u;
        }
    }
    return found;
}

/* Nonzero if any of n contiguous values is outside [low, high], branchless like the above. NaN is no value between them. */
static int any_outside(ae_dtype dtype, const char *at, int64_t n, double low, double high, bool allow_nan) {
    int64_t found = 0;
    if (dtype == AE_F64) {
        for (int64_t i = 0; i < n; i++) {
            double v;
            memcpy(&v, at + i * 8, sizeof v);
            found |= allow_nan ? (v < low) | (v > high) : !(v >= low) | !(v <= high);
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            const double v = value_at(dtype, at + i * value_size(dtype));
            found |= allow_nan ? (v < low) | (v > high) : !(v >= low) | !(v <= high);
        }
    }
    return found != 0;
}

static void find_nonfinite(const ae_data *data, bool allow_nan, int64_t *row, int64_t *column, double *value) {
    *row = *column = -1;
    if (data->dtype == AE_U8 || data->rows == 0)
        return;
    if (data->sparse) {
        if (!any_nonfinite(data->dtype, data->base, data->n_stored, allow_nan))
            return;
    } else if (data->column_bytes == value_size(data->dtype)) {
        int found = 0;
        for (int64_t r = 0; r < data->rows && !found; r++)
            found = any_nonfinite(data->dtype, data->base + r * data->row_bytes, data->columns, allow_nan);
        if (!found)
            return;
    }
    find(data, -DBL_MAX, DBL_MAX, allow_nan, row, column, value);
}

void ae_data_find_nonfinite(const ae_data *data, int64_t *row, int64_t *column, double *value) {
    find_nonfinite(data, false, row, column, value);
}

void ae_data_find_infinite(const ae_data *data, int64_t *row, int64_t *column, double *value) {
    find_nonfinite(data, true, row, column, value);
}

void ae_data_find_outside(const ae_data *data, double low, double high, bool allow_nan, int64_t *row, int64_t *column,
                          double *value) {
    if (!data->sparse && data->column_bytes == value_size(data->dtype)) {
        int found = 0;
        for (int64_t r = 0; r < data->rows && !found; r++)
            found = any_outside(data->dtype, data->base + r * data->row_bytes, data->columns, low, high, allow_nan);
        *row = *column = -1;
        if (!found)
            return;
    }
    find(data, low, high, allow_nan, row, column, value);
}

bool ae_data_are_finite(const ae_data *data, int bits, bool allow_nan, int64_t first, int64_t n) {
    const int64_t size = value_size(data->dtype), columns = data->columns;
    const char *at = data->base + first * data->row_bytes;
    const double most = data->dtype == AE_F64 && bits == 64 ? DBL_MAX : FLT_MAX;
    if (data->dtype == AE_U8)
        return true;
    if (data->column_bytes != size) {
        ae_data part = *data;
        int64_t row, column;
        double value;
        part.base = at;
        part.rows = n;
        find(&part, -most, most, allow_nan, &row, &column, &value);
        return row < 0;
    }
    const bool joined = data->row_bytes == columns * size;
    const int64_t pieces = joined ? 1 : n, length = joined ? n * columns : columns;
    int found = 0;
    for (int64_t i = 0; i < pieces; i++, at += data->row_bytes)
        found |= data->dtype == AE_F64 && bits == 32 ? any_outside(AE_F64, at, length, -most, most, allow_nan)
                                                     : any_nonfinite(data->dtype, at, length, allow_nan);
    return !found;
}

void ae_data_gather(const ae_data *data, const ae_kernels *kernels, int64_t first, const uint64_t *index, int64_t n,
                    int64_t stride, int64_t row, void *panels) {
    const int64_t size = value_size(data->dtype), index_size = data->index_bits / 8;
    const ae_rows source = {data->dtype, data->base + first * data->row_bytes, data->row_bytes, data->column_bytes};
    if (!data->sparse) {
        kernels->rows_gather(&source, index, n, data->columns, stride, row, panels);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t from, to;
        stored_range(data, first + (index ? (int64_t)index[i] : i), &from, &to);
        kernels->row_gather_csr(data->dtype, data->base + from * size, data->index_bits, data->column_index + from * index_size,
                                to - from, data->columns, stride, row + i, panels);
    }
}

void ae_data_gather_pairs(const ae_data *data, int bits, int64_t index, int64_t row, const ae_pairs *pairs) {
    const int64_t size = value_size(data->dtype), first = row * pairs->most;
    int64_t from, to, n = 0;
    stored_range(data, index, &from, &to);
    for (int64_t i = from; i < to && n < pairs->most; i++) {
        const int64_t column = index_at(data, data->column_index, i);
        const double value = value_at(data->dtype, data->base + i * size);
        if (column < 0 || column >= data->columns)
            continue;
        pairs->column[first + n] = (int32_t)column;
        if (bits == 32)
            ((float *)pairs->value)[first + n] = (float)value;
        else
            ((double *)pairs->value)[first + n] = value;
        n++;
    }
    pairs->count[row] = (int32_t)n;
}

int64_t ae_data_most_stored(const ae_data *data) {
    int64_t most = 0;
    for (int64_t row = 0, from, to; data->sparse && row < data->rows; row++) {
        stored_range(data, row, &from, &to);
        most = to - from > most ? to - from : most;
    }
    return data->sparse ? most : data->columns;
}
