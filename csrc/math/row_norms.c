/* Rows of a parameter, which cross its panels: kept at Euclidean norm one. Sums by 32 lanes, each over the panels in order by
 * fma, joined by halves in double. */
#include <float.h>
#include <math.h>

#include "math/blas1.h"
#include "math/lanes.h"

static double row_dot(int64_t rows, int64_t columns, int64_t row, const real *a, const real *b) {
    real lanes[AE_PANEL] = {0};
    for (int64_t q = 0; q < ae_panels(columns); q++)
        for (int j = 0; j < AE_PANEL; j += VL) {
            const int64_t at = (q * rows + row) * AE_PANEL + j;
            v_store(lanes + j, v_fma(v_load(a + at), v_load(b + at), v_load(lanes + j)));
        }
    return AE_V(ae_join_lanes)(lanes);
}

void AE_V(ae_unit_rows)(int64_t rows, int64_t columns, int64_t row0, int64_t row1, real *w) {
    const double close = 64 * (AE_BITS == 32 ? (double)FLT_EPSILON : DBL_EPSILON);
    for (int64_t row = row0; row < row1; row++) {
        const double norm = sqrt(row_dot(rows, columns, row, w, w));
        if (!(fabs(norm - 1.0) > close) || norm == 0.0 || !isfinite(norm))
            continue;
        for (int64_t q = 0; q < ae_panels(columns); q++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                real *at = w + (q * rows + row) * AE_PANEL + j;
                v_store(at, v_div(v_load(at), v_set1((real)norm)));
            }
    }
}

void AE_V(ae_project_rows)(int64_t rows, int64_t columns, int64_t row0, int64_t row1, const real *w, real *g) {
    for (int64_t row = row0; row < row1; row++) {
        const vec along = v_set1((real)row_dot(rows, columns, row, w, g));
        for (int64_t q = 0; q < ae_panels(columns); q++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                const int64_t at = (q * rows + row) * AE_PANEL + j;
                v_store(g + at, v_fnma(along, v_load(w + at), v_load(g + at)));
            }
    }
}
