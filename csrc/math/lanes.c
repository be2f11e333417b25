#include "math/lanes.h"

#define JOIN(type)                                               \
    type sum[AE_PANEL / 2];                                      \
    for (int i = 0; i < AE_PANEL / 2; i++)                       \
        sum[i] = (type)lanes[i] + (type)lanes[i + AE_PANEL / 2]; \
    for (int half = AE_PANEL / 4; half; half /= 2)               \
        for (int i = 0; i < half; i++)                           \
            sum[i] += sum[i + half];                             \
    return sum[0];

double AE_V(ae_join_lanes)(const real *lanes) { JOIN(double) }

double AE_V(ae_join_doubles)(const double *lanes){JOIN(double)}

real AE_V(ae_join_reals)(const real *lanes) {
    JOIN(real)
}
