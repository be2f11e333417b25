#include "base/cpu.h"

#include <stdatomic.h>
#include <string.h>

#if !defined(_WIN32)
#include <unistd.h>
#endif

#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>
#endif

#include "base/environment.h"

#define MASK(isa) (1u << (isa))
#define CONVERTS_BF16 (1u << 30)
#define KNOWN (1u << 31)

/* The instruction sets of this build, as in math/variant.h, best first. */
static const ae_isa in_build[] = {
#if (defined(__x86_64__) || defined(_M_X64)) && !defined(AE_WITHOUT_AVX512)
    AE_ISA_AVX512,
#endif
#if defined(__x86_64__) || defined(_M_X64)
    AE_ISA_AVX2,
#elif defined(__aarch64__) || defined(_M_ARM64)
    AE_ISA_NEON,
#endif
    AE_ISA_REF};

const char *ae_isa_name(ae_isa isa) {
    switch (isa) {
    case AE_ISA_REF:
        return "ref";
    case AE_ISA_AVX2:
        return "avx2";
    case AE_ISA_AVX512:
        return "avx512";
    case AE_ISA_NEON:
        return "neon";
    case AE_ISA_COUNT:
        break;
    }
    return "unknown";
}

#if defined(__x86_64__) || defined(_M_X64)

/* Intel, "Software Developer's Manual", volume 1, sections 14.3 and 15.2: the feature bits count only where the system
 * saves the registers (XCR0: 2 and 4 for ymm; 0x20, 0x40, 0x80 for masks and zmm). */
static unsigned detect(void) {
    unsigned a, b, c, d, low, high;
    unsigned found = MASK(AE_ISA_REF);
    const unsigned fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & (fma | osxsave | avx)) != (fma | osxsave | avx))
        return found;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return found;
    const unsigned avx2 = 1u << 5, f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;
    if (!(b & avx2))
        return found;
    found |= MASK(AE_ISA_AVX2);
    if ((low & 0xe0) != 0xe0 || (b & (f | dq | bw | vl)) != (f | dq | bw | vl))
        return found;
    found |= MASK(AE_ISA_AVX512);
    const unsigned bf16 = 1u << 5;
    char room[AE_ENVIRONMENT_ROOM];
    const char *wish = ae_environment("AUTOENC_ISA", room);
    if (!(wish && wish[0]) && a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & bf16))
        found |= CONVERTS_BF16;
    return found;
}

#elif defined(__aarch64__) || defined(_M_ARM64)
static unsigned detect(void) { return MASK(AE_ISA_REF) | MASK(AE_ISA_NEON); }
#else
static unsigned detect(void) { return MASK(AE_ISA_REF); }
#endif

static unsigned features(void) {
    /* Under a hypervisor CPUID traps and takes microseconds; racing threads store the same value. */
    static atomic_uint cache;
    unsigned found = atomic_load_explicit(&cache, memory_order_relaxed);
    if (!(found & KNOWN)) {
        found = detect() | KNOWN;
        atomic_store_explicit(&cache, found, memory_order_relaxed);
    }
    return found;
}

bool ae_cpu_has(ae_isa isa) { return (unsigned)isa < AE_ISA_COUNT && (features() & MASK(isa)) != 0; }

bool ae_cpu_converts_bf16(void) { return (features() & CONVERTS_BF16) != 0; }

ae_status ae_isa_select(ae_context *context, ae_isa *out) {
    const size_t n_build = sizeof in_build / sizeof in_build[0];
    char room[AE_ENVIRONMENT_ROOM];
    const char *wish = ae_environment("AUTOENC_ISA", room);
    *out = AE_ISA_REF;
    if (wish == NULL || wish[0] == '\0') {
        for (size_t i = 0; i < n_build; i++) {
            if (ae_cpu_has(in_build[i])) {
                *out = in_build[i];
                break;
            }
        }
        return AE_OK;
    }
    for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
        if (strcmp(wish, ae_isa_name((ae_isa)isa)) != 0)
            continue;
        for (size_t i = 0; i < n_build; i++) {
            if (in_build[i] != (ae_isa)isa)
                continue;
            if (!ae_cpu_has(in_build[i]))
                return ae_fail(context, AE_ERR_UNAVAILABLE, "AUTOENC_ISA=%s: this machine does not have it", wish);
            *out = in_build[i];
            return AE_OK;
        }
        return ae_fail(context, AE_ERR_UNAVAILABLE, "AUTOENC_ISA=%s: this build does not contain it", wish);
    }
    return ae_fail(context, AE_ERR_VALUE, "AUTOENC_ISA='%.40s' is not known; use 'ref', 'avx2', 'avx512' or 'neon'", wish);
}

#if defined(_WIN32)

static long ask_l2_bytes(void) {
    SYSTEM_LOGICAL_PROCESSOR_INFORMATION all[512]; /* a few for each of the 64 processors of a group */
    DWORD bytes = sizeof all;
    if (GetLogicalProcessorInformation(all, &bytes)) {
        for (size_t i = 0; i < bytes / sizeof all[0]; i++) {
            if (all[i].Relationship == RelationCache && all[i].Cache.Level == 2 && all[i].Cache.Size > 0)
                return (long)all[i].Cache.Size;
        }
    }
    return 1L << 20;
}

/* The system lists all processors for it, and it is asked for each step: kept. Racing threads store the same value. */
long ae_cpu_l2_bytes(void) {
    static atomic_long kept;
    long bytes = atomic_load_explicit(&kept, memory_order_relaxed);
    if (bytes == 0) {
        bytes = ask_l2_bytes();
        atomic_store_explicit(&kept, bytes, memory_order_relaxed);
    }
    return bytes;
}

#else

long ae_cpu_l2_bytes(void) {
#if defined(_SC_LEVEL2_CACHE_SIZE)
    long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (bytes > 0)
        return bytes;
#endif
    return 1L << 20;
}

#endif
