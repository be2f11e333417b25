#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

ae_status ae_fail(ae_context *context, ae_status status, const char *format, ...) {
    if (context != NULL) {
        va_list arguments;
        va_start(arguments, format);
        context->status = status;
        if (vsnprintf(context->message, sizeof context->message, format, arguments) < 0)
            context->message[0] = '\0';
        va_end(arguments);
    }
    return status;
}
