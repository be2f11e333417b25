/* The only door to the heap.
 *
 * Blocks are 64-byte aligned and zeroed. Blocks of 4 MiB and more are aligned to 2 MiB and ask for huge pages where the
 * system has them, because weights and activations are walked panel by panel and would otherwise miss the TLB.
 * Thread safe. */
#ifndef AE_BASE_ALLOC_H
#define AE_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define AE_ALIGNMENT 64

/* Zeroed room for count elements of size bytes into *out. AE_ERR_OVERFLOW where the product does not fit,
 * AE_ERR_MEMORY where there is none; *out is NULL then. count 0 gives a valid block of one alignment unit. */
ae_status ae_alloc(ae_context *context, void **out, size_t count, size_t size);

/* Accepts NULL. */
void ae_free(void *block);

/* Testing: the n-th allocation from now fails (0: the next one); a negative n switches failures off. */
void ae_alloc_fail_after(int64_t n);

/* Testing: allocations made so far, and blocks not yet freed. */
int64_t ae_alloc_count(void);
int64_t ae_alloc_live(void);

/* a * b into *out; false where it does not fit into a size_t (or an int64_t). */
bool ae_mul_size(size_t a, size_t b, size_t *out);
bool ae_mul_i64(int64_t a, int64_t b, int64_t *out);
bool ae_add_i64(int64_t a, int64_t b, int64_t *out);

#endif
