#include "math/lanes.h"

/* Lengths that the compiler knows, so that every halving is a vector operation between registers. */
#define JOIN(type)                                                     \
    type eight[8], four[4];                                            \
    for (int i = 0; i < 8; i++) {                                      \
        const type first = (type)lanes[i] + (type)lanes[i + 16];       \
        eight[i] = first + ((type)lanes[i + 8] + (type)lanes[i + 24]); \
    }                                                                  \
    for (int i = 0; i < 4; i++)                                        \
        four[i] = eight[i] + eight[i + 4];                             \
    return (four[0] + four[2]) + (four[1] + four[3]);

double AE_V(ae_join_lanes)(const real *lanes) { JOIN(double) }

double AE_V(ae_join_doubles)(const double *lanes){JOIN(double)}

real AE_V(ae_join_reals)(const real *lanes) {
    JOIN(real)
}
