#include "product_variants.h"

#include <stddef.h>

#include "math/variant.h"

#define DECLARE(suffix, bits, isa) extern const product_variant product_variant_##suffix;
AE_FOR_EACH_VARIANT(DECLARE)

const product_variant *const *product_variants_of(int bits) {
    static const product_variant *found[2][AE_ISA_COUNT + 1];
    const product_variant **out = found[bits == 64];
    int count = 0;
#define ADD(suffix, its_bits, isa)           \
    if (bits == its_bits && ae_cpu_has(isa)) \
        out[count++] = &product_variant_##suffix;
    AE_FOR_EACH_VARIANT(ADD)
#undef ADD
    out[count] = NULL;
    return out;
}
