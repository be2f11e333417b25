/* The one layout of matrices inside the core.
 *
 * A matrix (rows, width) is cut into panels of AE_PANEL columns. Within a panel rows follow each other, AE_PANEL reals
 * each, so element (r, c) is at (c / AE_PANEL) * stride + r * AE_PANEL + c % AE_PANEL, where stride counts reals from one
 * panel to the next. Weights (inputs, units) and activations (rows, features) are both kept so. It serves all three
 * products of a layer without packing: an operand that is broadcast reads a few rows that lie together, an operand that
 * is streamed reads whole cache lines in order, and elementwise work runs over contiguous memory. Columns beyond width
 * are padding: zero in weights and gradients, finite in activations, never read as the summed index of a product of reals
 * (those of bfloat16 parts read it, against zeros).
 * For activations the stride is padded so that it is no multiple of a large power of two (cache sets). */
#ifndef AE_MATH_PANEL_H
#define AE_MATH_PANEL_H

#include <stdint.h>

#define AE_PANEL 32

static inline int64_t ae_panels(int64_t width) { return (width + AE_PANEL - 1) / AE_PANEL; }

/* Reals from one panel to the next for activations of `rows` rows: at least rows * AE_PANEL, and an odd number of
 * 4-row groups. */
static inline int64_t ae_panel_stride(int64_t rows) {
    int64_t groups = (rows + 3) / 4;
    return (groups | 1) * 4 * AE_PANEL;
}

/* Columns of panel p that hold data. */
static inline int ae_panel_columns(int64_t width, int64_t panel) {
    int64_t left = width - panel * AE_PANEL;
    return left < AE_PANEL ? (int)left : AE_PANEL;
}

#endif
