/* The system's clock that never goes back. */
#ifndef AE_BASE_CLOCK_H
#define AE_BASE_CLOCK_H

#include <stdint.h>

#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

static inline int64_t ae_nanoseconds(void) {
    LARGE_INTEGER ticks, each_second;
    (void)QueryPerformanceCounter(&ticks);
    (void)QueryPerformanceFrequency(&each_second);
    const int64_t whole = ticks.QuadPart / each_second.QuadPart, rest = ticks.QuadPart % each_second.QuadPart;
    return whole * 1000000000 + rest * 1000000000 / each_second.QuadPart;
}

#else

#include <time.h>

static inline int64_t ae_nanoseconds(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

#endif

#endif
