/* Asking a caller, by the clock, whether to go on: for work that may take long outside of training steps. */
#ifndef AE_BASE_STOP_H
#define AE_BASE_STOP_H

#include <stdbool.h>

#include "base/status.h"

typedef struct ae_asking {
    bool (*stop)(void *argument); /* true ends the work; NULL: nobody is asked */
    void *argument;
    double asked; /* clock of the last question, 0 at first */
} ae_asking;

/* Seconds of a clock that only goes forward. */
double ae_clock(void);

/* Asks where the last question is about 50 ms ago. AE_ERR_INTERRUPTED if the answer is to stop. asking NULL: AE_OK. Not
 * inside a parallel phase. */
ae_status ae_ask(ae_context *context, ae_asking *asking);

#endif
