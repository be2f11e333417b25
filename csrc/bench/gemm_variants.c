#include "bench/gemm_variant.h"

#include <stddef.h>

#include "math/variant.h"

#define DECLARE(suffix, bits, isa) extern const gemm_bench gemm_bench_##suffix;
AE_FOR_EACH_VARIANT(DECLARE)

const gemm_bench *gemm_bench_get(int bits, ae_isa isa) {
#define MATCH(suffix, its_bits, its_isa)    \
    if (bits == its_bits && isa == its_isa) \
        return &gemm_bench_##suffix;
    AE_FOR_EACH_VARIANT(MATCH)
    return NULL;
}
