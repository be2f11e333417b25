/* Initial values of parameters, drawn from the parameter's own stream. */
#include <math.h>

#include "base/alloc.h"
#include "base/permutation.h"
#include "layers/layer.h"
#include "math/blas1.h"
#include "math/random.h"
#include "math/variant.h"

/* Orthogonalisation works in double whatever the precision. */
#define IN_DOUBLE(name) AE_GLUE(name, f64, AE_TARGET)
double IN_DOUBLE(ae_dot)(int64_t n, const double *x, const double *y);
void IN_DOUBLE(ae_axpy)(int64_t n, double a, const double *x, double *y);
void IN_DOUBLE(ae_scale)(int64_t n, double a, double *x);
void IN_DOUBLE(ae_random_normal)(ae_key key, uint64_t step, uint32_t row, int64_t columns, double *out);

#define SPARSE_INPUTS 15
#define ROWS_UNASKED 64 /* between looks at the clock */

static real *element(real *panels, int64_t rows, int64_t row, int64_t column) {
    return panels + column / AE_PANEL * rows * AE_PANEL + row * AE_PANEL + column % AE_PANEL;
}

/* Gram-Schmidt, each vector against those before it, twice ("twice is enough", Giraud et al. 2005). */
static ae_status orthonormalise(ae_context *context, int64_t count, int64_t length, ae_asking *asking, double *vectors) {
    for (int64_t i = 0; i < count; i++) {
        double *v = vectors + i * length;
        const ae_status status = ae_ask(context, asking);
        if (status != AE_OK)
            return status;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t j = 0; j < i; j++)
                IN_DOUBLE(ae_axpy)(length, -IN_DOUBLE(ae_dot)(length, vectors + j * length, v), vectors + j * length, v);
        double norm = sqrt(IN_DOUBLE(ae_dot)(length, v, v));
        IN_DOUBLE(ae_scale)(length, norm > 0 ? 1.0 / norm : 0.0, v);
    }
    return AE_OK;
}

static ae_status fill_orthogonal(ae_context *context, const ae_parameter_request *request, ae_key key, ae_asking *asking,
                                 real *panels) {
    const int64_t rows = request->rows, columns = request->columns;
    const int64_t count = rows < columns ? rows : columns, length = rows < columns ? columns : rows;
    /* A fill writes up to the next multiple of a panel; the room behind the last vector takes that overhang. */
    const int64_t room = ae_panels(length) * AE_PANEL;
    void *block = NULL;
    int64_t size;
    if (!ae_mul_i64(count, length, &size) || !ae_add_i64(size, room, &size))
        return ae_fail(context, AE_ERR_OVERFLOW, "orthogonal start: %lld x %lld does not fit", (long long)rows,
                       (long long)columns);
    ae_status status = ae_alloc(context, &block, (size_t)size, sizeof(double));
    if (status != AE_OK)
        return status;
    double *vectors = block;
    for (int64_t i = 0; i < count; i++)
        IN_DOUBLE(ae_random_normal)(key, 0, (uint32_t)i, length, vectors + i * length);
    status = orthonormalise(context, count, length, asking, vectors);
    for (int64_t i = 0; i < count && status == AE_OK; i++)
        for (int64_t j = 0; j < length; j++)
            *element(panels, rows, rows < columns ? i : j, rows < columns ? j : i) = (real)vectors[i * length + j];
    ae_free(block);
    return status;
}

/* Each unit gets a few inputs, chosen and weighted from its own row of the stream. */
static ae_status fill_sparse(ae_context *context, const ae_parameter_request *request, ae_key key, ae_asking *asking,
                             real *panels) {
    real weight[AE_PANEL];
    for (int64_t column = 0; column < request->columns; column++) {
        ae_permutation order;
        const ae_status status = column % ROWS_UNASKED ? AE_OK : ae_ask(context, asking);
        if (status != AE_OK)
            return status;
        ae_permutation_init(&order, (uint64_t)request->rows, key, (uint64_t)column);
        AE_V(ae_random_normal)(key, 0, (uint32_t)column, SPARSE_INPUTS, weight);
        for (uint64_t i = 0; i < SPARSE_INPUTS && i < order.n; i++)
            *element(panels, request->rows, (int64_t)ae_permutation_at(&order, i), column) = weight[i];
    }
    return AE_OK;
}

ae_status AE_V(ae_initialize)(ae_context *context, const ae_parameter_request *request, ae_key key, ae_asking *asking,
                              void *panels);

ae_status AE_V(ae_initialize)(ae_context *context, const ae_parameter_request *request, ae_key key, ae_asking *asking,
                              void *panels) {
    const ae_initializer kind = request->initializer;
    if (kind == AE_INIT_ZERO)
        return AE_OK;
    if (kind == AE_INIT_ONE) {
        for (int64_t row = 0; row < request->rows; row++)
            for (int64_t column = 0; column < request->columns; column++)
                *element(panels, request->rows, row, column) = 1;
        return AE_OK;
    }
    if (kind == AE_INIT_ORTHOGONAL)
        return fill_orthogonal(context, request, key, asking, panels);
    if (kind == AE_INIT_SPARSE)
        return fill_sparse(context, request, key, asking, panels);
    void *draws = NULL;
    ae_status status = ae_alloc(context, &draws, (size_t)(ae_panels(request->columns) * AE_PANEL), sizeof(real));
    if (status != AE_OK)
        return status;
    real *draw = draws;
    const double in = (double)request->fan_in, out = (double)request->fan_out;
    const real limit = (real)sqrt(6.0 / (in + out));
    const real deviation = (real)sqrt((kind == AE_INIT_HE ? 2.0 : 1.0) / in);
    for (int64_t row = 0; row < request->rows && status == AE_OK; row++) {
        if (row % ROWS_UNASKED == 0)
            status = ae_ask(context, asking);
        if (kind == AE_INIT_GLOROT)
            AE_V(ae_random_uniform)(key, 0, (uint32_t)row, request->columns, draw);
        else
            AE_V(ae_random_normal)(key, 0, (uint32_t)row, request->columns, draw);
        for (int64_t column = 0; column < request->columns; column++)
            *element(panels, request->rows, row, column) =
                kind == AE_INIT_GLOROT ? (2 * draw[column] - 1) * limit : draw[column] * deviation;
    }
    ae_free(draws);
    return status;
}
