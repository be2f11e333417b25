/* How the benchmarks take the time. */
#ifndef AE_BENCH_BENCH_H
#define AE_BENCH_BENCH_H

#include <math.h>

#include "base/clock.h"

static inline double bench_now(void) { return 1e-9 * (double)ae_nanoseconds(); }

/* Seconds of one call of work(argument): the best of `rounds` timings, each over as many calls as fill `least` seconds, one or
 * more. The best, since others on the machine can only take away; short rounds find a moment in which nobody does. */
static inline double bench_best(void (*work)(const void *argument), const void *argument, int rounds, double least) {
    double best = INFINITY;
    for (int round = 0; round < rounds; round++) {
        long calls = 0;
        double spent;
        const double start = bench_now();
        do {
            work(argument);
            calls++;
            spent = bench_now() - start;
        } while (spent < least);
        best = fmin(best, spent / (double)calls);
    }
    return best;
}

#endif
