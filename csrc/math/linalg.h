/* The door to LAPACK and BLAS, for work outside training steps: closed forms, SVD, Cholesky, eigenvalues.
 *
 * math/linalg.c is the only file that names a symbol of either. By default the routines are those that SciPy ships,
 * handed over as pointers at first use (scipy.linalg.cython_lapack capsules, found by the Python floor); built with
 * AE_BLAS_OPENBLAS they are the system's. Row-major double matrices; results of LAPACK are not promised to the bit.
 * Each solver gives AE_ERR_UNAVAILABLE where the routines are missing, AE_ERR_OVERFLOW where LAPACK's 32-bit integers
 * do not suffice, and AE_ERR_VALUE for a NaN or an infinity in the input and where LAPACK does not converge. Sizes may
 * be 0. */
#ifndef AE_MATH_LINALG_H
#define AE_MATH_LINALG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* Names of the routines wanted, in the order of the pointers that ae_linalg_provide takes; NULL ends the list. */
extern const char *const ae_linalg_names[];
/* The arguments of each: c, i and d for pointers to char, int and double. What provides the pointers checks them. */
extern const char *const ae_linalg_arguments[];

/* Hands over the routines (Fortran calling convention, 32-bit integers). Thread safe if all callers pass the same
 * pointers. */
void ae_linalg_provide(void *const pointers[]);
/* True where the routines are there (always with AE_BLAS_OPENBLAS). */
bool ae_linalg_ready(void);

/* Thin SVD a (m, n) = u diag(s) vt with r = min(m, n): u (m, r), s (r) descending, vt (r, n). a is overwritten. */
ae_status ae_linalg_svd(ae_context *context, int64_t m, int64_t n, double *a, double *u, double *s, double *vt);
/* Symmetric a (n, n): eigenvalues ascending into w, eigenvectors into the rows of a. */
ae_status ae_linalg_eigh(ae_context *context, int64_t n, double *a, double *w);
/* Solves a x = b for symmetric positive definite a (n, n), b (n, m) in place. AE_ERR_VALUE where a is not. a is
 * overwritten. */
ae_status ae_linalg_solve_positive(ae_context *context, int64_t n, int64_t m, double *a, double *b);

#endif
