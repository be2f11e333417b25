/* The thread pool: each task once, workers apart, no thread and no block left behind, forks, floating-point state. */
#include <fenv.h>
#include <float.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if !defined(_WIN32)
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif
#if defined(__linux__)
#include <dirent.h>
#endif
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "base/alloc.h"
#include "base/pool.h"
#include "harness.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#elif __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif

enum { MOST_TASKS = 5000, MOST_WORKERS = 16 };

typedef struct record {
    int done[MOST_TASKS]; /* plain: written by one worker, read after the phase, as real phases do */
    int64_t by_worker[MOST_WORKERS];
    atomic_int inside[MOST_WORKERS];
    atomic_int wrong;
    int limit;
} record;

static record shared_record;

static void note(void *argument, int64_t task, int worker) {
    record *r = argument;
    if (worker < 0 || worker >= r->limit || task < 0 || task >= MOST_TASKS) {
        atomic_fetch_add(&r->wrong, 1);
        return;
    }
    if (atomic_fetch_add(&r->inside[worker], 1) != 0)
        atomic_fetch_add(&r->wrong, 1);
    r->done[task]++;
    r->by_worker[worker]++; /* a race, if two threads had one number: ThreadSanitizer looks */
    atomic_fetch_sub(&r->inside[worker], 1);
}

static void run_and_check(ae_pool *pool, int64_t n_tasks, int n_workers) {
    record *r = &shared_record;
    const int size = ae_pool_size(pool);
    memset(r->done, 0, sizeof r->done);
    memset(r->by_worker, 0, sizeof r->by_worker);
    r->limit = n_workers > 0 && n_workers < size ? n_workers : size;
    ae_pool_run(pool, note, r, n_tasks, n_workers);
    int64_t once = 0, sum = 0;
    for (int i = 0; i < MOST_TASKS; i++)
        once += r->done[i] == (i < n_tasks);
    for (int i = 0; i < MOST_WORKERS; i++)
        sum += r->by_worker[i];
    CHECK(once == MOST_TASKS, "%d threads, %lld tasks, %d workers: %lld wrong counts", size, (long long)n_tasks, n_workers,
          (long long)(MOST_TASKS - once));
    CHECK(sum == n_tasks, "%lld tasks noted", (long long)sum);
    CHECK(atomic_load(&r->wrong) == 0, "%d threads, %lld tasks, %d workers: %d wrong workers", size, (long long)n_tasks,
          n_workers, atomic_load(&r->wrong));
}

TEST(each_task_once) {
    static const int threads[] = {1, 2, 3, 4, 8, 16};
    static const int64_t tasks[] = {0, 1, 2, 3, 7, 16, 17, 100, 1000, 5000};
    for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
        ae_pool *pool;
        CHECK(ae_pool_new(NULL, &pool, threads[t]) == AE_OK, "%d threads", threads[t]);
        CHECK(ae_pool_size(pool) == threads[t], "size %d", ae_pool_size(pool));
        for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++) {
            for (int n_workers = 0; n_workers <= 20; n_workers += n_workers < 4 ? 1 : 8)
                run_and_check(pool, tasks[i], n_workers);
        }
        ae_pool_free(pool);
    }
}

static void add_one(void *argument, int64_t task, int worker) {
    int64_t *sums = argument;
    sums[task * 8]++;
    (void)worker;
}

/* Thousands of phases back to back and, now and then, after a rest long enough to fall asleep; each reads what the one
 * before wrote, mostly in another thread. */
TEST(many_phases) {
    enum { N_PHASES = 20000, N_TASKS = 3 };
    static int64_t sums[N_TASKS * 8];
    for (int threads = 2; threads <= 3; threads++) {
        ae_pool *pool;
        memset(sums, 0, sizeof sums);
        CHECK(ae_pool_new(NULL, &pool, threads) == AE_OK, "pool");
        const int phases = threads == 2 ? N_PHASES : N_PHASES / 10;
        for (int i = 0; i < phases; i++) {
            ae_pool_run(pool, add_one, sums, N_TASKS, 0);
            if (i % 500 == 0)
                nanosleep(&(struct timespec){0, 300000}, NULL);
        }
        for (int i = 0; i < N_TASKS; i++)
            CHECK(sums[i * 8] == phases, "%d threads, task %d: %lld", threads, i, (long long)sums[i * 8]);
        ae_pool_free(pool);
    }
}

typedef struct meeting {
    atomic_int present;
    int wanted;
    atomic_int missed;
} meeting;

static void meet(void *argument, int64_t task, int worker) {
    meeting *m = argument;
    struct timespec start, time;
    (void)task;
    (void)worker;
    atomic_fetch_add(&m->present, 1);
    clock_gettime(CLOCK_MONOTONIC, &start);
    while (atomic_load(&m->present) < m->wanted) {
        clock_gettime(CLOCK_MONOTONIC, &time);
        if (time.tv_sec - start.tv_sec > 20) {
            atomic_fetch_add(&m->missed, 1);
            return;
        }
        nanosleep(&(struct timespec){0, 100000}, NULL);
    }
}

/* Tasks that wait for each other: only if all threads take part, woken from sleep too, do they end. */
TEST(threads_run_at_the_same_time) {
    ae_pool *pool;
    CHECK(ae_pool_new(NULL, &pool, 6) == AE_OK, "pool");
    for (int i = 0; i < 8; i++) {
        meeting m = {0, i % 2 ? 6 : 3, 0};
        nanosleep(&(struct timespec){0, 2000000}, NULL);
        ae_pool_run(pool, meet, &m, m.wanted, m.wanted);
        CHECK(atomic_load(&m.missed) == 0, "only %d of %d threads came", atomic_load(&m.present), m.wanted);
    }
    ae_pool_free(pool);
}

static void sleep_a_little(void *argument, int64_t task, int worker) {
    atomic_int *finished = argument;
    nanosleep(&(struct timespec){0, worker == 0 ? 1000 : 3000000}, NULL);
    atomic_fetch_add(finished, 1);
    (void)task;
}

/* The caller's share ends first, so it must fall asleep and be woken by the last worker. */
TEST(caller_waits_for_slow_workers) {
    ae_pool *pool;
    CHECK(ae_pool_new(NULL, &pool, 2) == AE_OK, "pool");
    for (int i = 0; i < 20; i++) {
        atomic_int finished = 0;
        ae_pool_run(pool, sleep_a_little, &finished, 40, 0);
        CHECK(atomic_load(&finished) == 40, "returned after %d of 40", atomic_load(&finished));
    }
    ae_pool_free(pool);
}

static void use_a_pool(void *argument, int64_t task, int worker) {
    atomic_int *good = argument;
    int64_t sums[4 * 8] = {0};
    ae_pool *inner;
    (void)worker;
    if (ae_pool_new(NULL, &inner, 1 + (int)(task % 3)) != AE_OK)
        return;
    ae_pool_run(inner, add_one, sums, 4, 0);
    ae_pool_free(inner);
    atomic_fetch_add(good, sums[0] == 1 && sums[8] == 1 && sums[16] == 1 && sums[24] == 1);
}

TEST(pools_within_pools) {
    ae_pool *outer;
    atomic_int good = 0;
    const int64_t live = ae_alloc_live();
    CHECK(ae_pool_new(NULL, &outer, 3) == AE_OK, "pool");
    ae_pool_run(outer, use_a_pool, &good, 30, 0);
    CHECK(atomic_load(&good) == 30, "%d of 30", atomic_load(&good));
    ae_pool_free(outer);
    CHECK(ae_alloc_live() == live, "%lld blocks left", (long long)(ae_alloc_live() - live));
}

static int n_threads_now(void) {
    int n = 0;
#if defined(__linux__)
    DIR *directory = opendir("/proc/self/task");
    if (directory != NULL) {
        for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
            n += entry->d_name[0] != '.';
        closedir(directory);
    }
#endif
    return n;
}

/* A joined thread can be listed for a moment after the join. */
static bool threads_come_down_to(int wanted) {
    for (int i = 0; i < 2000; i++) {
        if (n_threads_now() <= wanted)
            return true;
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    return false;
}

TEST(failures_leave_nothing) {
    ae_context context;
    ae_pool *pool;
    const int64_t live = ae_alloc_live();
    const int threads = n_threads_now();
    static const int wrong[] = {0, -1, AE_POOL_MAX_THREADS + 1};
    for (int i = 0; i < 3; i++) {
        pool = (ae_pool *)&context;
        CHECK(ae_pool_new(&context, &pool, wrong[i]) == AE_ERR_VALUE && pool == NULL, "%d threads", wrong[i]);
    }
    int failed = 0;
    for (int64_t n = 0;; n++) {
        pool = (ae_pool *)&context;
        ae_alloc_fail_after(n);
        ae_status status = ae_pool_new(&context, &pool, 5);
        ae_alloc_fail_after(-1);
        if (status == AE_OK)
            break;
        failed++;
        CHECK(status == AE_ERR_MEMORY && pool == NULL, "failure %lld: status %d", (long long)n, (int)status);
        CHECK(ae_alloc_live() == live, "failure %lld: %lld blocks left", (long long)n, (long long)(ae_alloc_live() - live));
        CHECK(threads_come_down_to(threads), "failure %lld: %d threads left", (long long)n, n_threads_now() - threads);
    }
    CHECK(failed >= 2, "only %d points of failure", failed);
    run_and_check(pool, 100, 0);
    ae_pool_free(pool);
    ae_pool_free(NULL);
    CHECK(ae_alloc_live() == live, "%lld blocks left", (long long)(ae_alloc_live() - live));
    CHECK(threads_come_down_to(threads), "%d threads left", n_threads_now() - threads);
}

#if !defined(_WIN32) /* what POSIX has and Windows has not: fork, limits, signals to threads */

/* Exit status of a child that runs the function; -1 if it did not end by itself within 20 s. */
static int in_child(int (*function)(void *), void *argument) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(function(argument));
    for (int i = 0; i < 20000; i++) {
        int status;
        pid_t ended = waitpid(child, &status, WNOHANG);
        if (ended == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return -1;
}

#if defined(__linux__) && !defined(WITH_ASAN) && !defined(WITH_TSAN)
/* Room for the stacks of a few threads only. */
static int pool_without_room(void *argument) {
    (void)argument;
    ae_context context;
    ae_pool *pool = NULL;
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld", &pages) != 1)
        return 10;
    fclose(file);
    const int64_t live = ae_alloc_live();
    struct rlimit limit = {(rlim_t)(pages * sysconf(_SC_PAGESIZE)) + (30 << 20), RLIM_INFINITY};
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        return 11;
    if (mmap(NULL, (size_t)60 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        return 0; /* an emulator that does not honour the limit */
    ae_status status = ae_pool_new(&context, &pool, 256);
    if (status != AE_ERR_MEMORY || pool != NULL)
        return 12;
    if (strstr(context.message, "thread") == NULL)
        return 13;
    if (ae_alloc_live() != live)
        return 14;
    return threads_come_down_to(1) ? 0 : 15;
}
#endif

TEST(no_room_for_threads) {
#if defined(__linux__) && !defined(WITH_ASAN) && !defined(WITH_TSAN)
    int code = in_child(pool_without_room, NULL);
    CHECK(code == 0, "child ended with %d", code);
#else
    CHECK(1, "a limit of the address space stops the sanitizers themselves");
#endif
}

static void note_thread(void *argument, int64_t task, int worker) {
    pthread_t *threads = argument;
    threads[task] = pthread_self();
    (void)worker;
}

#if !defined(WITH_TSAN)
static void *nothing(void *argument) { return argument; }

/* ThreadSanitizer and emulators of user space end a process that starts a thread after it was forked from several. */
static int start_a_thread(void *argument) {
    pthread_t thread;
    (void)argument;
    return pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0;
}
#endif

static bool threads_after_fork;

static int use_after_fork(void *argument) {
    ae_pool *pool = argument;
    pthread_t threads[50];
    int64_t sums[50 * 8] = {0};
    ae_pool_run(pool, note_thread, threads, 50, 0);
    ae_pool_run(pool, add_one, sums, 50, 0);
    for (int i = 0; i < 50; i++) {
        if (!pthread_equal(threads[i], pthread_self()) || sums[i * 8] != 1)
            return 10;
    }
    const int64_t live = ae_alloc_live();
    ae_pool_free(pool);
    if (ae_alloc_live() >= live)
        return 11;
    if (!threads_after_fork)
        return 0;
    ae_pool *fresh;
    if (ae_pool_new(NULL, &fresh, 3) != AE_OK)
        return 12;
    meeting m = {0, 3, 0};
    ae_pool_run(fresh, meet, &m, 3, 0);
    ae_pool_free(fresh);
    return atomic_load(&m.missed) ? 13 : 0;
}

TEST(fork_leaves_a_serial_pool) {
    ae_pool *pool;
    CHECK(ae_pool_new(NULL, &pool, 4) == AE_OK, "pool");
#if !defined(WITH_TSAN)
    threads_after_fork = in_child(start_a_thread, NULL) == 0;
#endif
    for (int i = 0; i < 6; i++) {
        run_and_check(pool, 100, 0);
        if (i % 2)
            nanosleep(&(struct timespec){0, 2000000}, NULL); /* forked with threads asleep, and spinning */
        int code = in_child(use_after_fork, pool);
        CHECK(code == 0, "child ended with %d", code);
        run_and_check(pool, 1000, 0); /* the parent goes on in parallel */
        meeting m = {0, 4, 0};
        ae_pool_run(pool, meet, &m, 4, 0);
        CHECK(atomic_load(&m.missed) == 0, "the parent lost its threads");
    }
    ae_pool_free(pool);
}

#endif

typedef struct arithmetic {
    volatile double one, tiny, smallest, half;
    atomic_int wrong;
    atomic_int present;
} arithmetic;

static void compute(void *argument, int64_t task, int worker) {
    arithmetic *a = argument;
    (void)task;
    (void)worker;
    if (a->one + a->tiny != a->one || a->smallest * a->half == 0)
        atomic_fetch_add(&a->wrong, 1);
    /* wait a little for company, so that other threads take tasks too */
    atomic_fetch_add(&a->present, 1);
    for (int i = 0; i < 200 && atomic_load(&a->present) < 2; i++)
        nanosleep(&(struct timespec){0, 20000}, NULL);
}

TEST(floating_point_state_in_phases) {
    for (int threads = 1; threads <= 3; threads++) {
        arithmetic a = {1, 0x1p-60, DBL_MIN, 0.5, 0, 0};
        ae_pool *pool;
        fesetround(FE_UPWARD);
#if defined(__x86_64__)
        const unsigned before = _mm_getcsr();
        _mm_setcsr(before | 0x8040u); /* flush to zero, denormals are zero: threads started now inherit it */
        CHECK(a.smallest * a.half == 0, "flush to zero does nothing here");
#endif
        CHECK(a.one + a.tiny > a.one, "rounding up does nothing here");
        CHECK(ae_pool_new(NULL, &pool, threads) == AE_OK, "pool");
        ae_pool_run(pool, compute, &a, 1, 0);
        ae_pool_run(pool, compute, &a, 30, 1);
        ae_pool_run(pool, compute, &a, 30, 0);
        CHECK(atomic_load(&a.wrong) == 0, "%d threads: %d tasks in a foreign state", threads, atomic_load(&a.wrong));
        CHECK(a.one + a.tiny > a.one, "%d threads: the caller's state is lost", threads);
#if defined(__x86_64__)
        CHECK(a.smallest * a.half == 0, "%d threads: the caller's state is lost", threads);
        _mm_setcsr(before);
#endif
        fesetround(FE_TONEAREST);
        ae_pool_free(pool);
    }
}

#if !defined(_WIN32)

static pthread_t handled_by;
static volatile sig_atomic_t n_handled;

static void on_signal(int number) {
    (void)number;
    handled_by = pthread_self();
    n_handled++;
}

TEST(signals_stay_with_the_caller) {
    struct sigaction action, old;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigset_t one, mask_before, mask_after;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    sigaction(SIGUSR1, &action, &old);
    ae_pool *pool;
    pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
    CHECK(ae_pool_new(NULL, &pool, 4) == AE_OK, "pool");
    pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
    CHECK(sigismember(&mask_before, SIGUSR1) == sigismember(&mask_after, SIGUSR1), "the caller's mask changed");
    /* With the signal blocked here any thread that let it through would take it at once. */
    pthread_sigmask(SIG_BLOCK, &one, NULL);
    kill(getpid(), SIGUSR1);
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    CHECK(n_handled == 0, "a worker handled the signal");
    pthread_sigmask(SIG_UNBLOCK, &one, NULL);
    for (int i = 0; i < 1000 && n_handled == 0; i++)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    CHECK(n_handled == 1 && pthread_equal(handled_by, pthread_self()), "handled %d times", (int)n_handled);
    ae_pool_free(pool);
    sigaction(SIGUSR1, &old, NULL);
}

#endif

int main(void) {
    RUN(each_task_once);
    RUN(many_phases);
    RUN(threads_run_at_the_same_time);
    RUN(caller_waits_for_slow_workers);
    RUN(pools_within_pools);
    RUN(failures_leave_nothing);
    RUN(floating_point_state_in_phases);
#if defined(_WIN32)
    printf("  skipped: no_room_for_threads, fork_leaves_a_serial_pool, signals_stay_with_the_caller: Windows has neither\n");
#else
    RUN(no_room_for_threads);
    RUN(fork_leaves_a_serial_pool);
    RUN(signals_stay_with_the_caller);
#endif
    return harness_finish("test_pool");
}
