/* Some rows of one panel after another are short runs far apart, which the hardware does not foresee: those of a few panels ahead are
 * asked for. */
#ifndef AE_MATH_AHEAD_H
#define AE_MATH_AHEAD_H

#include <stdbool.h>

#include "base/alloc.h"
#include "math/panel.h"
#include "math/vec.h"

#define AE_PANELS_AHEAD 4

/* at: the first of `rows` rows in panel `panel` of `panels`, `stride` reals apart. `writes`: they will be written, else read. */
AE_INLINE void ae_ask_ahead(const real *at, int64_t stride, int64_t panel, int64_t panels, int64_t rows, bool writes) {
    if (panel + AE_PANELS_AHEAD >= panels)
        return;
    at += AE_PANELS_AHEAD * stride;
    for (const real *end = at + rows * AE_PANEL; at < end; at += AE_ALIGNMENT / (int)sizeof(real))
        if (writes)
            __builtin_prefetch(at, 1, 2);
        else
            __builtin_prefetch(at, 0, 2);
}

#endif
