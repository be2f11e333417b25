/* The 32 lanes of a row of a panel: which of them hold data, and the one order in which they are added up. */
#ifndef AE_MATH_LANES_H
#define AE_MATH_LANES_H

#include "math/panel.h"
#include "math/vec.h"

/* Of the lanes j .. j + VL - 1 those among the first `columns` columns of the panel. */
AE_INLINE vmask lanes_below(int columns, int j) { return v_lt(v_add(v_iota(), v_set1((real)j)), v_set1((real)columns)); }

/* Sum of 32 lanes: lane i with lane i + 16, then + 8, + 4, + 2, + 1. In double; in double of doubles; in reals. Functions of their
 * own and not inline, or the compiler transposes several rows to add them lane by lane, in kilobytes of shuffles. */
double AE_V(ae_join_lanes)(const real *lanes);
double AE_V(ae_join_doubles)(const double *lanes);
real AE_V(ae_join_reals)(const real *lanes);

#endif
