/* One word holds the state of the pool: the number of the phase, how many threads it admits (0: closed) and how many
 * workers are inside. A worker enters by a compare-and-swap that fails if the phase has closed meanwhile, so the caller
 * never waits for a thread that comes too late: it works, closes the phase, and waits only for those inside. What a
 * phase is about (function, argument, counter of tasks) is written while the phase is closed and nobody is inside.
 *
 * Waiting is a short spin, then sleep. Going to sleep is announced before the last look at the state, and the state is
 * changed before looking for announcements, all sequentially consistent, so that one side sees the other; where nobody
 * sleeps a phase costs no system call. If the pool has more threads than the process has processors nobody spins.
 *
 * Each worker has a part of the tasks for its own and begins there; who is done helps the others. So the same worker
 * mostly meets the same task from phase to phase, and finds in its cache what it left there.
 *
 * On a busy machine Linux likes to put a woken thread on the processor of the one that woke it, and leaves it there as
 * long as neither sleeps; a phase then takes longer than without the worker. A worker that finds itself on the caller's
 * processor therefore leaves it, before it takes a task. */
#include "base/pool.h"

#include <stdatomic.h>
#include <stdbool.h>

#if defined(__linux__)
#include <sched.h>
#endif
#if !defined(_WIN32)
#include <unistd.h>
#endif

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fpstate.h"
#include "base/thread.h"

#define ACTIVE_ONE ((uint64_t)1)
#define ACTIVE_MASK ((uint64_t)0xffff)
#define LIMIT_SHIFT 16
#define LIMIT_MASK ((uint64_t)0xffff << LIMIT_SHIFT)
#define LIMIT_STOP ((uint64_t)0xffff) /* the threads are to end */
#define PHASE_SHIFT 32

#define SPIN_NANOSECONDS 40000
#define BETWEEN_MOVES 1000000 /* nanoseconds */
#define PAUSES_A_LOOK 32

#define OWN_LINE _Alignas(AE_ALIGNMENT)

typedef struct worker {
    ae_pool *pool;
    int index;
    ae_thread thread;
    ae_mutex mutex;
    ae_condition wake;
    int64_t moved_at;
    OWN_LINE atomic_int asleep; /* written under the mutex */
} worker;

/* Tasks of one worker that nobody has taken yet: next .. end - 1. */
typedef struct part {
    OWN_LINE atomic_int_least64_t next;
    int64_t end;
} part;

struct ae_pool {
    OWN_LINE atomic_uint_least64_t state;
    OWN_LINE atomic_int caller_cpu; /* -1: not known */
    ae_task task;
    void *argument;
    int n_parts;
    part *parts; /* (size) */
    int size;
    int64_t spin;     /* nanoseconds */
    unsigned process; /* value of `forks` in the process that made the pool */
    int n_started;    /* threads in workers[1 .. n_started] */
    worker **workers; /* (size); entry 0, the caller, is NULL */
    ae_mutex mutex;   /* the caller waiting for the last worker */
    ae_condition all_left;
    OWN_LINE atomic_int caller_asleep;
};

/* How many forks lie between the start of the program and this process: cheaper to ask than getpid. */
static atomic_uint forks;

static void count_fork(void) { atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed); }

unsigned ae_pool_forks(void) { return atomic_load_explicit(&forks, memory_order_relaxed); }

static ae_status watch_forks(ae_context *context) {
    /* Two threads that come here at once may both register the handler: a fork then counts twice, which is no less
     * true. */
    static atomic_bool watching;
    if (atomic_load(&watching))
        return AE_OK;
    if (ae_thread_at_fork(count_fork) != 0)
        return ae_fail(context, AE_ERR_MEMORY, "could not register a fork handler");
    atomic_store(&watching, true);
    return AE_OK;
}

static bool is_own_process(const ae_pool *pool) { return pool->process == ae_pool_forks(); }

static int n_processors(void) {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
#endif
#if defined(_WIN32)
    DWORD_PTR ours, all;
    if (GetProcessAffinityMask(GetCurrentProcess(), &ours, &all) && ours != 0)
        return __builtin_popcountll(ours);
    return AE_POOL_MAX_THREADS;
#else
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online < AE_POOL_MAX_THREADS ? (int)online : AE_POOL_MAX_THREADS;
#endif
}

static inline void pause_a_little(void) {
#if defined(__x86_64__) || defined(_M_X64)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

static int this_cpu(void) {
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

/* Another processor than the caller's, for the moment: the mask is put back at once, so the system stays free to place
 * the thread. Nothing where the pool has more threads than processors. */
static void leave_processor_of_caller(worker *me) {
#if defined(__linux__)
    const int cpu = this_cpu();
    if (me->pool->spin == 0 || cpu < 0 || cpu != atomic_load_explicit(&me->pool->caller_cpu, memory_order_relaxed))
        return;
    const int64_t time = ae_nanoseconds();
    cpu_set_t allowed, others;
    if (time - me->moved_at < BETWEEN_MOVES || sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    me->moved_at = time;
    others = allowed;
    CPU_CLR((size_t)cpu, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0)
        (void)sched_setaffinity(0, sizeof allowed, &allowed);
#else
    (void)me;
#endif
}

/* Whether to go on spinning. *until is 0 at first; the clock is read from the second look on. */
static bool is_spinning(const ae_pool *pool, int64_t *until) {
    if (pool->spin == 0)
        return false;
    if (*until == 0) {
        *until = 1;
        return true;
    }
    const int64_t time = ae_nanoseconds();
    if (*until == 1)
        *until = time + pool->spin;
    return time < *until;
}

static inline uint64_t limit_of(uint64_t state) { return (state & LIMIT_MASK) >> LIMIT_SHIFT; }

/* Whether a worker that last worked in phase `served` has something to do. */
static inline bool is_wanted(uint64_t state, int index, uint64_t served) {
    return limit_of(state) == LIMIT_STOP || (limit_of(state) > (uint64_t)index && state >> PHASE_SHIFT != served);
}

static uint64_t wait_for_work(worker *me, uint64_t served) {
    ae_pool *pool = me->pool;
    for (;;) {
        uint64_t state = atomic_load_explicit(&pool->state, memory_order_acquire);
        if (is_wanted(state, me->index, served))
            return state;
        for (int64_t until = 0; is_spinning(pool, &until);) {
            for (int i = 0; i < PAUSES_A_LOOK; i++) {
                pause_a_little();
                state = atomic_load_explicit(&pool->state, memory_order_acquire);
                if (is_wanted(state, me->index, served))
                    return state;
            }
        }
        /* Woken up too late for the phase it was woken for, the thread spins again: the next one is probably near. */
        ae_mutex_lock(&me->mutex);
        atomic_store(&me->asleep, 1);
        while (atomic_load(&me->asleep) && !is_wanted(atomic_load(&pool->state), me->index, served))
            ae_condition_wait(&me->wake, &me->mutex);
        atomic_store(&me->asleep, 0);
        ae_mutex_unlock(&me->mutex);
    }
}

static void wake_worker(worker *it) {
    if (!atomic_load(&it->asleep))
        return;
    ae_mutex_lock(&it->mutex);
    atomic_store(&it->asleep, 0);
    ae_condition_signal(&it->wake);
    ae_mutex_unlock(&it->mutex);
}

static void work(ae_pool *pool, int index) {
    const ae_task task = pool->task;
    void *const argument = pool->argument;
    const int n_parts = pool->n_parts;
    ae_fpstate saved;
    ae_fpstate_enter(&saved);
    for (int k = 0; k < n_parts; k++) {
        part *const from = &pool->parts[index + k < n_parts ? index + k : index + k - n_parts];
        const int64_t end = from->end;
        /* Looked at before it is written to: most parts of others are empty by then. */
        while (atomic_load_explicit(&from->next, memory_order_relaxed) < end) {
            const int64_t i = atomic_fetch_add_explicit(&from->next, 1, memory_order_relaxed);
            if (i >= end)
                break;
            task(argument, i, index);
        }
    }
    ae_fpstate_leave(&saved);
}

static void leave(ae_pool *pool) {
    uint64_t before = atomic_fetch_sub(&pool->state, ACTIVE_ONE);
    if ((before & ACTIVE_MASK) != 1 || limit_of(before) != 0 || !atomic_load(&pool->caller_asleep))
        return;
    ae_mutex_lock(&pool->mutex);
    ae_condition_signal(&pool->all_left);
    ae_mutex_unlock(&pool->mutex);
}

static AE_THREAD_MAIN worker_main(void *argument) {
    worker *me = argument;
    ae_pool *pool = me->pool;
    uint64_t served = 0;
    for (;;) {
        uint64_t state = wait_for_work(me, served);
        if (limit_of(state) == LIMIT_STOP)
            return 0;
        leave_processor_of_caller(me);
        if (!atomic_compare_exchange_weak_explicit(&pool->state, &state, state + ACTIVE_ONE, memory_order_acq_rel,
                                                   memory_order_relaxed))
            continue;
        served = state >> PHASE_SHIFT;
        work(pool, me->index);
        leave(pool);
    }
}

static ae_status start_thread(ae_context *context, worker *it) {
    const int error = ae_thread_start(&it->thread, worker_main, it);
    if (error != 0)
        return ae_fail(context, AE_ERR_MEMORY, "could not start thread %d of a pool (error %d)", it->index + 1, error);
    return AE_OK;
}

static ae_status add_worker(ae_context *context, ae_pool *pool, int index) {
    void *block;
    ae_status status = ae_alloc(context, &block, 1, sizeof(worker));
    if (status != AE_OK)
        return status;
    worker *it = block;
    it->pool = pool;
    it->index = index;
    ae_mutex_init(&it->mutex);
    ae_condition_init(&it->wake);
    pool->workers[index] = it;
    AE_TRY(start_thread(context, it));
    pool->n_started = index;
cleanup:
    return status;
}

ae_status ae_pool_new(ae_context *context, ae_pool **out, int n_threads) {
    ae_status status;
    ae_pool *pool = NULL;
    void *block;
    *out = NULL;
    if (n_threads < 1 || n_threads > AE_POOL_MAX_THREADS)
        return ae_fail(context, AE_ERR_VALUE, "a pool of %d threads; allowed are 1 to %d", n_threads, AE_POOL_MAX_THREADS);
    AE_TRY(watch_forks(context));
    AE_TRY(ae_alloc(context, &block, 1, sizeof *pool));
    pool = block;
    pool->size = n_threads;
    pool->spin = n_threads <= n_processors() ? SPIN_NANOSECONDS : 0;
    pool->process = ae_pool_forks();
    ae_mutex_init(&pool->mutex);
    ae_condition_init(&pool->all_left);
    AE_TRY(ae_alloc(context, &block, (size_t)n_threads, sizeof *pool->workers));
    pool->workers = block;
    AE_TRY(ae_alloc(context, &block, (size_t)n_threads, sizeof *pool->parts));
    pool->parts = block;
    for (int i = 1; i < n_threads; i++)
        AE_TRY(add_worker(context, pool, i));
    *out = pool;
    pool = NULL;
cleanup:
    ae_pool_free(pool);
    return status;
}

void ae_pool_free(ae_pool *pool) {
    if (pool == NULL)
        return;
    /* In a forked child there is nothing to join, and a mutex may be held by a thread that does not exist. */
    const bool own = is_own_process(pool);
    if (own) {
        (void)atomic_fetch_or(&pool->state, LIMIT_STOP << LIMIT_SHIFT);
        for (int i = 1; i <= pool->n_started; i++)
            wake_worker(pool->workers[i]);
    }
    for (int i = 1; i < pool->size && pool->workers != NULL && pool->workers[i] != NULL; i++) {
        worker *it = pool->workers[i];
        if (own) {
            if (i <= pool->n_started)
                ae_thread_join(it->thread);
            ae_condition_destroy(&it->wake);
            ae_mutex_destroy(&it->mutex);
        }
        ae_free(it);
    }
    if (own) {
        ae_condition_destroy(&pool->all_left);
        ae_mutex_destroy(&pool->mutex);
    }
    ae_free(pool->workers);
    ae_free(pool->parts);
    ae_free(pool);
}

int ae_pool_size(const ae_pool *pool) { return pool->size; }

static void run_in_caller(ae_task task, void *argument, int64_t n_tasks) {
    ae_fpstate saved;
    ae_fpstate_enter(&saved);
    for (int64_t i = 0; i < n_tasks; i++)
        task(argument, i, 0);
    ae_fpstate_leave(&saved);
}

/* Until nobody is inside the closed phase. */
static void wait_for_workers(ae_pool *pool) {
    for (int64_t until = 0; is_spinning(pool, &until);) {
        for (int i = 0; i < PAUSES_A_LOOK; i++) {
            if ((atomic_load_explicit(&pool->state, memory_order_acquire) & ACTIVE_MASK) == 0)
                return;
            pause_a_little();
        }
    }
    ae_mutex_lock(&pool->mutex);
    atomic_store(&pool->caller_asleep, 1);
    while ((atomic_load(&pool->state) & ACTIVE_MASK) != 0)
        ae_condition_wait(&pool->all_left, &pool->mutex);
    atomic_store(&pool->caller_asleep, 0);
    ae_mutex_unlock(&pool->mutex);
}

/* The parts are in place. */
static void run_phase(ae_pool *pool, ae_task task, void *argument, int n_parts) {
    pool->task = task;
    pool->argument = argument;
    pool->n_parts = n_parts;
    atomic_store_explicit(&pool->caller_cpu, this_cpu(), memory_order_relaxed);
    uint64_t phase = (atomic_load_explicit(&pool->state, memory_order_relaxed) >> PHASE_SHIFT) + 1;
    atomic_store(&pool->state, phase << PHASE_SHIFT | (uint64_t)n_parts << LIMIT_SHIFT);
    for (int i = 1; i < n_parts; i++)
        wake_worker(pool->workers[i]);
    work(pool, 0);
    uint64_t before = atomic_fetch_and(&pool->state, ~LIMIT_MASK);
    if ((before & ACTIVE_MASK) != 0)
        wait_for_workers(pool);
}

static void set_part(ae_pool *pool, int index, int64_t first, int64_t end) {
    atomic_store_explicit(&pool->parts[index].next, first, memory_order_relaxed);
    pool->parts[index].end = end;
}

void ae_pool_run(ae_pool *pool, ae_task task, void *argument, int64_t n_tasks, int n_workers) {
    int64_t limit = n_workers > 0 && n_workers < pool->size ? n_workers : pool->size;
    if (limit > n_tasks)
        limit = n_tasks;
    if (limit <= 1 || !is_own_process(pool)) {
        run_in_caller(task, argument, n_tasks);
        return;
    }
    /* Even parts, the longer ones first. */
    const int64_t each = n_tasks / limit, longer = n_tasks % limit;
    for (int64_t i = 0, first = 0, end; i < limit; i++, first = end) {
        end = first + each + (i < longer);
        set_part(pool, (int)i, first, end);
    }
    run_phase(pool, task, argument, (int)limit);
}
