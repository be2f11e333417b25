#include "math/kernels.h"

#include "math/variant.h"

#define DECLARE(suffix, bits, isa) extern const ae_kernels ae_kernels_##suffix;
AE_FOR_EACH_VARIANT(DECLARE)

const ae_kernels *ae_kernels_get(int bits, ae_isa isa) {
#define MATCH(suffix, its_bits, its_isa)    \
    if (bits == its_bits && isa == its_isa) \
        return &ae_kernels_##suffix;
    AE_FOR_EACH_VARIANT(MATCH)
#undef MATCH
    return NULL;
}
