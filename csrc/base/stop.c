#include "base/stop.h"

#include "base/clock.h"

#define ASK_EVERY 0.05 /* seconds */

double ae_clock(void) { return 1e-9 * (double)ae_nanoseconds(); }

ae_status ae_ask(ae_context *context, ae_asking *asking) {
    if (!asking || !asking->stop)
        return AE_OK;
    const double time = ae_clock();
    if (time - asking->asked < ASK_EVERY)
        return AE_OK;
    asking->asked = time;
    return asking->stop(asking->argument) ? ae_fail(context, AE_ERR_INTERRUPTED, "interrupted") : AE_OK;
}
