/* The harness of the C tests: one program per file, `TEST(name) { ... }`, `RUN(name)` in main, CHECK that reports and goes on.
 * Exit status 1 if any check failed, or if no check ran at all. */
#ifndef AE_TEST_HARNESS_H
#define AE_TEST_HARNESS_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#if defined(_WIN32)
#include <stdlib.h>

static inline int setenv(const char *name, const char *value, int overwrite) {
    return overwrite || !getenv(name) ? _putenv_s(name, value) : 0;
}
static inline int unsetenv(const char *name) { return _putenv_s(name, ""); }
#endif

static long harness_checks, harness_failures;

#define TEST(name) static void name(void)

#define RUN(name)                                                                     \
    do {                                                                              \
        long before_ = harness_failures, checks_ = harness_checks;                    \
        name();                                                                       \
        if (harness_checks == checks_) {                                              \
            harness_failures++;                                                       \
            printf("  %s: checked nothing\n", #name);                                 \
        }                                                                             \
        printf("  %-52s %s\n", #name, harness_failures == before_ ? "ok" : "FAILED"); \
        fflush(stdout);                                                               \
    } while (0)

/* CHECK(condition, "format", ...): at most 20 failures are printed for a program. */
#define CHECK(condition, ...)                                          \
    do {                                                               \
        harness_checks++;                                              \
        if (!(condition)) {                                            \
            if (harness_failures++ < 20) {                             \
                printf("%s:%d: %s: ", __FILE__, __LINE__, #condition); \
                printf(__VA_ARGS__);                                   \
                printf("\n");                                          \
            }                                                          \
        }                                                              \
    } while (0)

static inline int harness_finish(const char *program) {
    printf("%s: %ld checks, %ld failed\n", program, harness_checks, harness_failures);
    return harness_failures || !harness_checks ? 1 : 0;
}

#endif
