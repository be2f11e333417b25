/* Status codes and the message that goes with them.
 *
 * Every function that can fail returns ae_status and writes one sentence into the caller's context. Nothing in the core
 * aborts, exits or prints. A function that owns something has one `cleanup` label; AE_TRY jumps there.
 * A context belongs to one thread at a time. */
#ifndef AE_BASE_STATUS_H
#define AE_BASE_STATUS_H

typedef enum ae_status {
    AE_OK = 0,
    AE_ERR_MEMORY,      /* an allocation failed */
    AE_ERR_VALUE,       /* an argument is not allowed; the message names it, its value and what is allowed */
    AE_ERR_OVERFLOW,    /* a product of sizes does not fit */
    AE_ERR_NONFINITE,   /* training diverged: a loss is infinite or not a number */
    AE_ERR_INTERRUPTED, /* the caller's stop function said so */
    AE_ERR_STATE,       /* called out of order */
    AE_ERR_UNAVAILABLE  /* something that this build or this machine lacks */
} ae_status;

typedef struct ae_context {
    ae_status status;
    char message[320];
} ae_context;

#if defined(__MINGW32__)
#include <stdio.h> /* which of two kinds of printf there is in this build for Windows */
#define AE_PRINTF(format_at, args_at) __attribute__((format(__MINGW_PRINTF_FORMAT, format_at, args_at)))
#else
#define AE_PRINTF(format_at, args_at) __attribute__((format(printf, format_at, args_at)))
#endif

/* Records status and message in context (which may be NULL) and returns status: `return ae_fail(context, ...)`. */
ae_status ae_fail(ae_context *context, ae_status status, const char *format, ...) AE_PRINTF(3, 4);

/* Inside a function with `ae_status status` and a `cleanup` label. */
#define AE_TRY(call)         \
    do {                     \
        status = (call);     \
        if (status != AE_OK) \
            goto cleanup;    \
    } while (0)

#endif
