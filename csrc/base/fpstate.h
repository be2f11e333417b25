/* The floating-point state that the same bits rest on: round to nearest even, denormals kept, exceptions masked.
 * Other libraries in the process change it (flush-to-zero above all), so each phase sets it and puts it back. */
#ifndef AE_BASE_FPSTATE_H
#define AE_BASE_FPSTATE_H

#include <stdint.h>

typedef struct ae_fpstate {
    uint64_t control;
} ae_fpstate;

/* Saves the state of the calling thread into *saved and sets ours. */
void ae_fpstate_enter(ae_fpstate *saved);
void ae_fpstate_leave(const ae_fpstate *saved);

#endif
