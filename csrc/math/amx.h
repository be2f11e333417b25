/* Whether products of bfloat16 operands (math/bf16.h) go by the tiles of AMX. */
#ifndef AE_MATH_AMX_H
#define AE_MATH_AMX_H

#include <stdbool.h>

/* Of this machine, this process and AUTOENC_ISA: any of its values means without. Found out once, at the first call. */
bool ae_amx_available(void);

/* From CPUID leaf 7 (edx), XCR0, and what the system says when asked (0: yes): asked last, and only where there are tiles. */
bool ae_amx_permitted(unsigned features, unsigned long saved, long (*ask)(void));

#endif
