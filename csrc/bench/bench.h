/* How the benchmarks take the time. */
#ifndef AE_BENCH_BENCH_H
#define AE_BENCH_BENCH_H

#include <math.h>
#include <time.h>

static inline double bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

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
