#include "base/fpstate.h"

#if defined(__x86_64__) || defined(_M_X64)

#include <xmmintrin.h>

/* MXCSR: all exceptions masked, round to nearest, neither flush-to-zero nor denormals-are-zero. Its six lowest bits are
 * sticky flags, which do not change a result. Writing the register is slow, so it is written only where it differs. */
#define MXCSR_OURS 0x1f80u
#define MXCSR_FLAGS 0x3fu

void ae_fpstate_enter(ae_fpstate *saved) {
    unsigned control = _mm_getcsr();
    saved->control = control;
    if ((control & ~MXCSR_FLAGS) != MXCSR_OURS)
        _mm_setcsr(MXCSR_OURS);
}

void ae_fpstate_leave(const ae_fpstate *saved) {
    if (_mm_getcsr() != (unsigned)saved->control)
        _mm_setcsr((unsigned)saved->control);
}

#elif defined(__aarch64__)

/* FPCR: zero means round to nearest, denormals kept, no default NaN, no traps. */
void ae_fpstate_enter(ae_fpstate *saved) {
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    saved->control = control;
    if (control != 0)
        __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0) : "memory");
}

void ae_fpstate_leave(const ae_fpstate *saved) {
    if (saved->control != 0)
        __asm__ volatile("msr fpcr, %0" : : "r"(saved->control) : "memory");
}

#else

#include <fenv.h>

void ae_fpstate_enter(ae_fpstate *saved) {
    saved->control = (uint64_t)(unsigned)fegetround();
    (void)fesetround(FE_TONEAREST);
}

void ae_fpstate_leave(const ae_fpstate *saved) { (void)fesetround((int)saved->control); }

#endif
