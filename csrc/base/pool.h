/* A persistent pool of threads for parallel phases.
 *
 * A phase is `n_tasks` independent calls of a function that cannot fail. The caller works too, so a pool of size 1 has
 * no threads at all and runs everything in order. Tasks are dealt to the workers in parts, and who is done takes from the
 * others: which worker runs which task is not defined, and nothing may depend on it, but the same one mostly runs the
 * same. Between phases workers spin briefly, then sleep. A pool belongs to one
 * fit: only one thread may call ae_pool_run at a time. It knows its process: after a fork the child has none of the
 * threads, and ae_pool_run there does all tasks in the calling thread. */
#ifndef AE_BASE_POOL_H
#define AE_BASE_POOL_H

#include <stdint.h>

#include "base/status.h"

typedef struct ae_pool ae_pool;

/* Runs in some thread. worker: 0 .. ae_pool_size - 1, distinct among calls that run at the same time (for scratch). */
typedef void (*ae_task)(void *argument, int64_t task, int worker);

#define AE_POOL_MAX_THREADS 1024

/* n_threads in 1 .. AE_POOL_MAX_THREADS; on failure *out is NULL and no thread is left behind. */
ae_status ae_pool_new(ae_context *context, ae_pool **out, int n_threads);

/* Joins the threads (in the process that made them) and frees. Accepts NULL. */
void ae_pool_free(ae_pool *pool);

int ae_pool_size(const ae_pool *pool);

/* How many forks lie between the first pool and this process: whether it is another process than before, for less than
 * the system call that getpid is. */
unsigned ae_pool_forks(void);

/* Calls task(argument, i, worker) for each i in 0 .. n_tasks - 1 and returns when all have returned. At most n_workers
 * of the pool's threads take part (0: all). Each worker has the floating-point state of base/fpstate.h during the
 * phase. */
void ae_pool_run(ae_pool *pool, ae_task task, void *argument, int64_t n_tasks, int n_workers);

#endif
