#define _POSIX_C_SOURCE 199309L
#include "base/stop.h"

#include <time.h>

#define ASK_EVERY 0.05 /* seconds */

ae_status ae_ask(ae_context *context, ae_asking *asking) {
    struct timespec now;
    if (!asking || !asking->stop)
        return AE_OK;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const double time = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    if (time - asking->asked < ASK_EVERY)
        return AE_OK;
    asking->asked = time;
    return asking->stop(asking->argument) ? ae_fail(context, AE_ERR_INTERRUPTED, "interrupted") : AE_OK;
}
