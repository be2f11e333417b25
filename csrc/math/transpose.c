/* Tiles of weights into the panel of the transpose, through registers. */
#include <string.h>

#include "math/block_transpose.h"
#include "math/gemm.h"

void AE_V(ae_tile_transpose)(const real *from, int rows, real *to) {
    real padded[BLOCK * AE_PANEL];
    for (int r = 0; r < AE_PANEL; r += BLOCK) {
        const real *source = padded;
        if (r + BLOCK <= rows) {
            source = from + r * AE_PANEL;
        } else {
            memset(padded, 0, sizeof padded);
            if (r < rows)
                memcpy(padded, from + r * AE_PANEL, (size_t)(rows - r) * AE_PANEL * sizeof(real));
        }
        for (int c = 0; c < AE_PANEL; c += BLOCK)
            block_transpose(source + c, AE_PANEL, to + c * AE_PANEL + r, AE_PANEL);
    }
}
