#include "math/blas1.h"
#include "math/panel.h"
#include "math/vec.h"

void AE_V(ae_limit_column_norms)(int64_t rows, real limit, real *panel) {
    for (int j = 0; j < AE_PANEL; j += VL) {
        vec squares = v_zero();
        for (int64_t r = 0; r < rows; r++) {
            vec w = v_load(panel + r * AE_PANEL + j);
            squares = v_fma(w, w, squares);
        }
        const vec norm = v_sqrt(squares);
        const vmask above = v_lt(v_set1(limit), norm);
        if (!m_any(above))
            continue;
        const vec factor = v_select(above, v_div(v_set1(limit), norm), v_set1(1));
        for (int64_t r = 0; r < rows; r++)
            v_store(panel + r * AE_PANEL + j, v_mul(v_load(panel + r * AE_PANEL + j), factor));
    }
}
