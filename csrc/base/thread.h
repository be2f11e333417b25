/* Threads, mutexes and condition variables as the pool needs them: those of POSIX, or Windows' own, so that a module for
 * Windows needs no library of threads beside it. Only sources of this floor include this. A mutex or a condition that is
 * initialised cannot fail here. */
#ifndef AE_BASE_THREAD_H
#define AE_BASE_THREAD_H

#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <errno.h>
#include <process.h>
#include <stdint.h>
#include <windows.h>

typedef HANDLE ae_thread;
typedef SRWLOCK ae_mutex;
typedef CONDITION_VARIABLE ae_condition;

/* `static AE_THREAD_MAIN name(void *argument)` returns 0. */
#define AE_THREAD_MAIN unsigned __stdcall

static inline void ae_mutex_init(ae_mutex *mutex) { InitializeSRWLock(mutex); }
static inline void ae_mutex_destroy(ae_mutex *mutex) { (void)mutex; }
static inline void ae_mutex_lock(ae_mutex *mutex) { AcquireSRWLockExclusive(mutex); }
static inline void ae_mutex_unlock(ae_mutex *mutex) { ReleaseSRWLockExclusive(mutex); }
static inline void ae_condition_init(ae_condition *condition) { InitializeConditionVariable(condition); }
static inline void ae_condition_destroy(ae_condition *condition) { (void)condition; }
static inline void ae_condition_signal(ae_condition *condition) { WakeConditionVariable(condition); }

/* May return without a signal. */
static inline void ae_condition_wait(ae_condition *condition, ae_mutex *mutex) {
    (void)SleepConditionVariableSRW(condition, mutex, INFINITE, 0);
}

/* 0, or the number of an error. */
static inline int ae_thread_start(ae_thread *out, unsigned(__stdcall *function)(void *), void *argument) {
    const uintptr_t handle = _beginthreadex(NULL, 0, function, argument, 0, NULL);
    *out = (HANDLE)handle;
    return handle == 0 ? errno : 0;
}

static inline void ae_thread_join(ae_thread thread) {
    (void)WaitForSingleObject(thread, INFINITE);
    (void)CloseHandle(thread);
}

/* There is no fork here. */
static inline int ae_thread_at_fork(void (*in_child)(void)) {
    (void)in_child;
    return 0;
}

#else

#include <pthread.h>
#include <signal.h>

typedef pthread_t ae_thread;
typedef pthread_mutex_t ae_mutex;
typedef pthread_cond_t ae_condition;

#define AE_THREAD_MAIN void *

static inline void ae_mutex_init(ae_mutex *mutex) { (void)pthread_mutex_init(mutex, NULL); }
static inline void ae_mutex_destroy(ae_mutex *mutex) { (void)pthread_mutex_destroy(mutex); }
static inline void ae_mutex_lock(ae_mutex *mutex) { (void)pthread_mutex_lock(mutex); }
static inline void ae_mutex_unlock(ae_mutex *mutex) { (void)pthread_mutex_unlock(mutex); }
static inline void ae_condition_init(ae_condition *condition) { (void)pthread_cond_init(condition, NULL); }
static inline void ae_condition_destroy(ae_condition *condition) { (void)pthread_cond_destroy(condition); }
static inline void ae_condition_signal(ae_condition *condition) { (void)pthread_cond_signal(condition); }
static inline void ae_condition_wait(ae_condition *condition, ae_mutex *mutex) { (void)pthread_cond_wait(condition, mutex); }

static inline int ae_thread_start(ae_thread *out, void *(*function)(void *), void *argument) {
    /* Signals stay with the threads of the host program: Python handles Ctrl-C in its main thread. */
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(out, NULL, function, argument);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static inline void ae_thread_join(ae_thread thread) { (void)pthread_join(thread, NULL); }

/* Has the function called in each process that a fork makes. */
static inline int ae_thread_at_fork(void (*in_child)(void)) { return pthread_atfork(NULL, NULL, in_child); }

#endif

#endif
