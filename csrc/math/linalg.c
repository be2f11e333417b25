/* Row-major against LAPACK's column-major: a row-major (m, n) matrix is the transpose, (n, m), of the same memory read
 * by columns. The thin SVD and the eigenvectors need no copy for it (said at each); only right-hand sides are
 * transposed. */
#include "math/linalg.h"

#include <math.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fpstate.h"

enum { ROUTINE_SVD, ROUTINE_EIGH, ROUTINE_CHOLESKY, ROUTINE_CHOLESKY_SOLVE, N_ROUTINES };

const char *const ae_linalg_names[] = {"dgesdd", "dsyevd", "dpotrf", "dpotrs", NULL};

const char *const ae_linalg_arguments[] = {"ciididdididiii", "ccididdiiii", "cidii", "ciididii", NULL};

_Static_assert(sizeof ae_linalg_names / sizeof ae_linalg_names[0] == N_ROUTINES + 1, "one name a routine");

/* Fortran passes the length of each CHARACTER argument behind all others; the capsules of SciPy are C and have none. */
#if defined(AE_BLAS_OPENBLAS)
#define LENGTH_TYPES_1 , size_t
#define LENGTH_TYPES_2 , size_t, size_t
#define LENGTHS_1 , (size_t)1
#define LENGTHS_2 , (size_t)1, (size_t)1
#else
#define LENGTH_TYPES_1
#define LENGTH_TYPES_2
#define LENGTHS_1
#define LENGTHS_2
#endif

typedef void svd_routine(char *jobz, int *m, int *n, double *a, int *lda, double *s, double *u, int *ldu, double *vt, int *ldvt,
                         double *work, int *lwork, int *iwork, int *info LENGTH_TYPES_1);
typedef void eigh_routine(char *jobz, char *uplo, int *n, double *a, int *lda, double *w, double *work, int *lwork, int *iwork,
                          int *liwork, int *info LENGTH_TYPES_2);
typedef void cholesky_routine(char *uplo, int *n, double *a, int *lda, int *info LENGTH_TYPES_1);
typedef void cholesky_solve_routine(char *uplo, int *n, int *nrhs, double *a, int *lda, double *b, int *ldb,
                                    int *info LENGTH_TYPES_1);

#if defined(AE_BLAS_OPENBLAS)

extern svd_routine dgesdd_;
extern eigh_routine dsyevd_;
extern cholesky_routine dpotrf_;
extern cholesky_solve_routine dpotrs_;

#define ROUTINE(type, index, symbol) (&symbol)

void ae_linalg_provide(void *const pointers[]) { (void)pointers; }

bool ae_linalg_ready(void) { return true; }

#else

static _Atomic(void *) routines[N_ROUTINES];

#define ROUTINE(type, index, symbol) ((type *)atomic_load_explicit(&routines[index], memory_order_acquire))

void ae_linalg_provide(void *const pointers[]) {
    for (int i = 0; i < N_ROUTINES; i++)
        atomic_store_explicit(&routines[i], pointers[i], memory_order_release);
}

bool ae_linalg_ready(void) {
    for (int i = 0; i < N_ROUTINES; i++) {
        if (atomic_load_explicit(&routines[i], memory_order_acquire) == NULL)
            return false;
    }
    return true;
}

#endif

static ae_status check_matrix(ae_context *context, const char *what, int64_t rows, int64_t columns, const double *matrix) {
    if (rows < 0 || columns < 0)
        return ae_fail(context, AE_ERR_VALUE, "%s: a matrix of %lld rows and %lld columns", what, (long long)rows,
                       (long long)columns);
    if (rows > INT32_MAX || columns > INT32_MAX)
        return ae_fail(context, AE_ERR_OVERFLOW, "%s: %lld rows and %lld columns do not fit into LAPACK's 32-bit integers",
                       what, (long long)rows, (long long)columns);
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) {
            if (!isfinite(matrix[i * columns + j]))
                return ae_fail(context, AE_ERR_VALUE, "%s: NaN or infinity in row %lld, column %lld", what, (long long)i,
                               (long long)j);
        }
    }
    return AE_OK;
}

static ae_status check_ready(ae_context *context, const char *what) {
    if (ae_linalg_ready())
        return AE_OK;
    return ae_fail(context, AE_ERR_UNAVAILABLE,
                   "%s: no LAPACK; its routines come from SciPy (scipy.linalg.cython_lapack), which was not loaded", what);
}

/* LAPACK computes the size of its work space in its own integers, so what is too large must be found before it is
 * asked. */
static ae_status check_work(ae_context *context, const char *what, int64_t n, int64_t squares, int64_t lines) {
    if (n > 32768 || squares * n * n + lines * n > INT32_MAX)
        return ae_fail(context, AE_ERR_OVERFLOW, "%s: the work space for order %lld does not fit into LAPACK's 32-bit integers",
                       what, (long long)n);
    return AE_OK;
}

/* The size that a work space query answered with; rounded up, since above 2^24 older LAPACKs answer in float precision.
 */
static ae_status work_size(ae_context *context, const char *what, double answer, int *size) {
    double wanted = ceil(answer * (1 + 0x1p-23));
    if (!(wanted < INT32_MAX))
        return ae_fail(context, AE_ERR_OVERFLOW, "%s: a work space of %.0f numbers does not fit into LAPACK's 32-bit integers",
                       what, answer);
    *size = wanted < 1 ? 1 : (int)wanted;
    return AE_OK;
}

/* Read by columns, row-major a is a^T (n, m) = v diag(s) u^T: LAPACK's first factor (n, r) is row-major vt, its second
 * (r, m) is row-major u. */
ae_status ae_linalg_svd(ae_context *context, int64_t m, int64_t n, double *a, double *u, double *s, double *vt) {
    const char *const what = "singular value decomposition";
    ae_status status;
    void *work = NULL, *integers = NULL;
    ae_fpstate saved;
    ae_fpstate_enter(&saved);
    AE_TRY(check_ready(context, what));
    AE_TRY(check_matrix(context, what, m, n, a));
    const int64_t r = m < n ? m : n;
    if (r == 0)
        goto cleanup;
    /* dgesdd with JOBZ = 'S': 4 r^2 + 7 r, and blocks of up to 64 columns where it first reduces to triangular form. */
    AE_TRY(check_work(context, what, r, 5, 7 + 4 * 64));
    svd_routine *const routine = ROUTINE(svd_routine, ROUTINE_SVD, dgesdd_);
    int rows = (int)n, columns = (int)m, thin = (int)r, lwork = -1, info = 0, unused;
    double answer = 0;
    routine("S", &rows, &columns, a, &rows, s, vt, &rows, u, &thin, &answer, &lwork, &unused, &info LENGTHS_1);
    if (info == 0) {
        AE_TRY(work_size(context, what, answer, &lwork));
        AE_TRY(ae_alloc(context, &work, (size_t)lwork, sizeof(double)));
        AE_TRY(ae_alloc(context, &integers, 8 * (size_t)r, sizeof(int)));
        routine("S", &rows, &columns, a, &rows, s, vt, &rows, u, &thin, work, &lwork, integers, &info LENGTHS_1);
    }
    if (info != 0)
        status = ae_fail(context, AE_ERR_VALUE, "%s of a matrix of %lld rows and %lld columns failed (LAPACK dgesdd: %d)", what,
                         (long long)m, (long long)n, info);
cleanup:
    ae_free(work);
    ae_free(integers);
    ae_fpstate_leave(&saved);
    return status;
}

/* a is its own transpose, and LAPACK's eigenvectors by columns are rows to us. */
ae_status ae_linalg_eigh(ae_context *context, int64_t n, double *a, double *w) {
    const char *const what = "symmetric eigenvalues";
    ae_status status;
    void *work = NULL, *integers = NULL;
    ae_fpstate saved;
    ae_fpstate_enter(&saved);
    AE_TRY(check_ready(context, what));
    AE_TRY(check_matrix(context, what, n, n, a));
    if (n == 0)
        goto cleanup;
    /* dsyevd with JOBZ = 'V': 1 + 6 n + 2 n^2, and blocks of up to 64 columns in the reduction. */
    AE_TRY(check_work(context, what, n, 2, 7 + 64));
    eigh_routine *const routine = ROUTINE(eigh_routine, ROUTINE_EIGH, dsyevd_);
    int order = (int)n, lwork = -1, liwork = -1, integers_wanted = 0, info = 0;
    double answer = 0;
    routine("V", "L", &order, a, &order, w, &answer, &lwork, &integers_wanted, &liwork, &info LENGTHS_2);
    if (info == 0) {
        AE_TRY(work_size(context, what, answer, &lwork));
        liwork = integers_wanted > 1 ? integers_wanted : 1;
        AE_TRY(ae_alloc(context, &work, (size_t)lwork, sizeof(double)));
        AE_TRY(ae_alloc(context, &integers, (size_t)liwork, sizeof(int)));
        routine("V", "L", &order, a, &order, w, work, &lwork, integers, &liwork, &info LENGTHS_2);
    }
    if (info != 0)
        status =
            ae_fail(context, AE_ERR_VALUE, "%s of a matrix of order %lld failed (LAPACK dsyevd: %d)", what, (long long)n, info);
cleanup:
    ae_free(work);
    ae_free(integers);
    ae_fpstate_leave(&saved);
    return status;
}

/* to (columns, rows) = transpose of from (rows, columns), both row-major, in tiles that fit the first-level cache. */
static void transpose(int64_t rows, int64_t columns, const double *from, double *to) {
    const int64_t tile = 32;
    for (int64_t i = 0; i < rows; i += tile) {
        const int64_t i_end = i + tile < rows ? i + tile : rows;
        for (int64_t j = 0; j < columns; j += tile) {
            const int64_t j_end = j + tile < columns ? j + tile : columns;
            for (int64_t y = i; y < i_end; y++) {
                for (int64_t x = j; x < j_end; x++)
                    to[x * rows + y] = from[y * columns + x];
            }
        }
    }
}

ae_status ae_linalg_solve_positive(ae_context *context, int64_t n, int64_t m, double *a, double *b) {
    const char *const what = "positive definite system";
    ae_status status;
    void *turned = NULL;
    size_t count;
    ae_fpstate saved;
    ae_fpstate_enter(&saved);
    AE_TRY(check_ready(context, what));
    AE_TRY(check_matrix(context, what, n, n, a));
    AE_TRY(check_matrix(context, what, n, m, b));
    if (n == 0)
        goto cleanup;
    int order = (int)n, n_right = (int)m, info = 0;
    ROUTINE(cholesky_routine, ROUTINE_CHOLESKY, dpotrf_)("L", &order, a, &order, &info LENGTHS_1);
    if (info != 0) {
        status = ae_fail(context, AE_ERR_VALUE, "%s: the matrix of order %lld is not positive definite (leading minor %d)",
                         what, (long long)n, info);
        goto cleanup;
    }
    if (m == 0)
        goto cleanup;
    if (!ae_mul_size((size_t)n, (size_t)m, &count)) {
        status =
            ae_fail(context, AE_ERR_OVERFLOW, "%s: %lld right-hand sides of %lld numbers", what, (long long)m, (long long)n);
        goto cleanup;
    }
    double *columns = b;
    if (m > 1) {
        AE_TRY(ae_alloc(context, &turned, count, sizeof(double)));
        columns = turned;
        transpose(n, m, b, columns);
    }
    ROUTINE(cholesky_solve_routine, ROUTINE_CHOLESKY_SOLVE, dpotrs_)
    ("L", &order, &n_right, a, &order, columns, &order, &info LENGTHS_1);
    if (info != 0)
        status = ae_fail(context, AE_ERR_VALUE, "%s of order %lld failed (LAPACK dpotrs: %d)", what, (long long)n, info);
    else if (m > 1)
        transpose(m, n, columns, b);
cleanup:
    ae_free(turned);
    ae_fpstate_leave(&saved);
    return status;
}
