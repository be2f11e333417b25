#include <math.h>

#include "math/blas1.h"
#include "math/panel.h"
#include "math/vec.h"

/* With the largest finite number taken this much smaller the squares of any column fit; what overflows without is large enough
 * that its squares do not vanish with it. */
#define SHRINK ((real)(AE_BITS == 32 ? 0x1p-96 : 0x1p-768))

AE_INLINE vec norms(int64_t rows, const real *column, const real shrink) {
    vec squares = v_zero();
    for (int64_t r = 0; r < rows; r++) {
        vec w = v_load(column + r * AE_PANEL);
        if (shrink != 1)
            w = v_mul(w, v_set1(shrink));
        squares = v_fma(w, w, squares);
    }
    return v_sqrt(squares);
}

void AE_V(ae_limit_column_norms)(int64_t rows, real limit, real *panel) {
    for (int j = 0; j < AE_PANEL; j += VL) {
        real *column = panel + j;
        vec norm = norms(rows, column, 1), shrink = v_set1(1);
        vmask above = v_lt(v_set1(limit), norm);
        if (!m_any(above))
            continue;
        /* Where the squares overflow, limit / norm would be zero and hide weights that have run away: those columns are taken
         * smaller by a power of two. What is infinite becomes NaN (infinity times zero), which shows. */
        const vmask over = v_eq(norm, v_set1((real)INFINITY));
        if (m_any(over)) {
            norm = v_select(over, norms(rows, column, SHRINK), norm);
            shrink = v_select(over, v_set1(SHRINK), shrink);
            above = v_lt(v_mul(v_set1(limit), shrink), norm);
            shrink = v_select(above, shrink, v_set1(1));
        }
        const vec factor = v_select(above, v_div(v_set1(limit), norm), v_set1(1));
        for (int64_t r = 0; r < rows; r++) {
            real *at = column + r * AE_PANEL;
            v_store(at, v_mul(v_mul(v_load(at), shrink), factor));
        }
    }
}
