/* One source, several builds.
 *
 * The floors that compute (math/kernels, layers, losses, optim/rules) are compiled once per variant: a precision (f32, f64) and an
 * instruction set (ref, avx2, avx512, neon). The build passes AE_BITS=32|64 and one of AE_TARGET_REF, AE_TARGET_AVX2,
 * AE_TARGET_AVX512, AE_TARGET_NEON, together with the compiler's flags for that set. Inside such a source `real` is the
 * element type and every symbol that leaves the file is written AE_V(ae_something), which becomes
 * ae_something_f32_avx512 and so on. Sources above (net, train, python) are compiled once; they see tables of functions,
 * one table per variant, chosen when a network is planned. */
#ifndef AE_MATH_VARIANT_H
#define AE_MATH_VARIANT_H

#include "base/cpu.h"

/* X(suffix, bits, isa) for every variant in this build. AE_WITHOUT_AVX512: a build for this machine alone, which has none. */
#if (defined(__x86_64__) || defined(_M_X64)) && defined(AE_WITHOUT_AVX512)
#define AE_FOR_EACH_VARIANT(X)   \
    X(f32_ref, 32, AE_ISA_REF)   \
    X(f64_ref, 64, AE_ISA_REF)   \
    X(f32_avx2, 32, AE_ISA_AVX2) \
    X(f64_avx2, 64, AE_ISA_AVX2)
#elif defined(__x86_64__) || defined(_M_X64)
#define AE_FOR_EACH_VARIANT(X)       \
    X(f32_ref, 32, AE_ISA_REF)       \
    X(f64_ref, 64, AE_ISA_REF)       \
    X(f32_avx2, 32, AE_ISA_AVX2)     \
    X(f64_avx2, 64, AE_ISA_AVX2)     \
    X(f32_avx512, 32, AE_ISA_AVX512) \
    X(f64_avx512, 64, AE_ISA_AVX512)
#elif defined(__aarch64__) || defined(_M_ARM64)
#define AE_FOR_EACH_VARIANT(X)   \
    X(f32_ref, 32, AE_ISA_REF)   \
    X(f64_ref, 64, AE_ISA_REF)   \
    X(f32_neon, 32, AE_ISA_NEON) \
    X(f64_neon, 64, AE_ISA_NEON)
#else
#define AE_FOR_EACH_VARIANT(X) \
    X(f32_ref, 32, AE_ISA_REF) \
    X(f64_ref, 64, AE_ISA_REF)
#endif

#if defined(AE_BITS)

#if AE_BITS == 32
typedef float real;
#define AE_PRECISION f32
#elif AE_BITS == 64
typedef double real;
#define AE_PRECISION f64
#else
#error "AE_BITS is 32 or 64"
#endif

#if defined(AE_TARGET_REF)
#define AE_TARGET ref
#elif defined(AE_TARGET_AVX2)
#define AE_TARGET avx2
#elif defined(AE_TARGET_AVX512)
#define AE_TARGET avx512
#elif defined(AE_TARGET_NEON)
#define AE_TARGET neon
#else
#error "no AE_TARGET_* given"
#endif

#define AE_GLUE_(a, b, c) a##_##b##_##c
#define AE_GLUE(a, b, c) AE_GLUE_(a, b, c)
#define AE_V(name) AE_GLUE(name, AE_PRECISION, AE_TARGET)
#define AE_P_(name, precision) name##_##precision
#define AE_PASTE(name, precision) AE_P_(name, precision)
#define AE_P(name) AE_PASTE(name, AE_PRECISION) /* what is the same for all instruction sets */

/* Plain C that is compiled for size keeps one copy of a vector function in each object. */
#define AE_ALWAYS_INLINE static inline __attribute__((always_inline))
#if defined(AE_TARGET_REF) && defined(__OPTIMIZE_SIZE__)
#define AE_INLINE static inline
#else
#define AE_INLINE AE_ALWAYS_INLINE
#endif
#define AE_NOINLINE __attribute__((noinline))

#endif /* AE_BITS */

#endif
