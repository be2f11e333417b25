/* What this processor and its operating system can do. */
#ifndef AE_BASE_CPU_H
#define AE_BASE_CPU_H

#include <stdbool.h>

#include "base/status.h"

typedef enum ae_isa {
    AE_ISA_REF = 0, /* plain C with fma() */
    AE_ISA_AVX2,    /* AVX2 and FMA */
    AE_ISA_AVX512,  /* AVX-512 F, DQ, BW, VL */
    AE_ISA_NEON,    /* 64-bit Arm */
    AE_ISA_COUNT
} ae_isa;

/* "ref", "avx2", "avx512", "neon". */
const char *ae_isa_name(ae_isa isa);

/* By CPUID and XGETBV (the system must save the registers). AE_ISA_REF always. Thread safe. */
bool ae_cpu_has(ae_isa isa);

/* Beside AE_ISA_AVX512, instructions that make bfloat16 numbers of floats (AVX512_BF16). Not where AUTOENC_ISA names an instruction
 * set when a feature is first asked for: that is to be it and no more. */
bool ae_cpu_converts_bf16(void);

/* The best instruction set of this machine that this build contains, or the one that the environment variable
 * AUTOENC_ISA names. AE_ERR_VALUE where the name is unknown, AE_ERR_UNAVAILABLE where the machine or the build lacks
 * it. */
ae_status ae_isa_select(ae_context *context, ae_isa *out);

/* Bytes of level-2 cache of one core (a guess of 1 MiB where the system does not tell). */
long ae_cpu_l2_bytes(void);

#endif
