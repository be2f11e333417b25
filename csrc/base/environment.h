/* Environment variables of the process. Only sources that ask for one include this. */
#ifndef AE_BASE_ENVIRONMENT_H
#define AE_BASE_ENVIRONMENT_H

#define AE_ENVIRONMENT_ROOM 128

#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

/* Windows' own copy: each C library there has another, and Python changes only that of the library it was built with. */
static inline const char *ae_environment(const char *name, char room[AE_ENVIRONMENT_ROOM]) {
    const DWORD length = GetEnvironmentVariableA(name, room, AE_ENVIRONMENT_ROOM);
    if (length >= AE_ENVIRONMENT_ROOM)
        return "(a value of more than 127 characters)"; /* no setting is as long: it is refused as any other unknown one */
    return length > 0 ? room : NULL;
}

#else

#include <stdlib.h>

/* NULL where it is not set. The value may be put into `room`, or not. */
static inline const char *ae_environment(const char *name, char room[AE_ENVIRONMENT_ROOM]) {
    (void)room;
    return getenv(name);
}

#endif

#endif
