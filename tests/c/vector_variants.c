#include "vector_variants.h"

#include <stddef.h>

#include "math/variant.h"

#define DECLARE(suffix, bits, isa) extern const vector_variant vector_variant_##suffix;
AE_FOR_EACH_VARIANT(DECLARE)

const vector_variant *const *vector_variants_of(int bits) {
    static const vector_variant *found[2][AE_ISA_COUNT + 1];
    const vector_variant **out = found[bits == 64];
    int count = 0;
#define ADD(suffix, its_bits, isa)           \
    if (bits == its_bits && ae_cpu_has(isa)) \
        out[count++] = &vector_variant_##suffix;
    AE_FOR_EACH_VARIANT(ADD)
#undef ADD
    out[count] = NULL;
    return out;
}
