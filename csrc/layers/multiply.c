/* Element-wise product out = a b of two inputs. b may have one column, which then serves all of a's, and one row for a row of data
 * where a has k, which then serves all samples; a row of b serves `copies` rows of a.
 *
 *     a.gradient = g b        b.gradient = g a, summed over what b served: samples in order, columns by 32 lanes in double */
#include "layers/rows.h"

AE_PLAN(multiply) {
    const ae_shape *a = &plan->in[0], *b = &plan->in[1];
    if ((b->width != a->width && b->width != 1) || (b->multiplicity != a->multiplicity && b->multiplicity != 1))
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': input 1 has %lld features on %lld rows a sample; as many as input 0 (%lld on %lld) or 1 are "
                       "allowed",
                       plan->desc->name, (long long)b->width, (long long)b->multiplicity, (long long)a->width,
                       (long long)a->multiplicity);
    plan->out = *a;
    return AE_OK;
}

typedef struct shapes {
    bool narrow; /* b's one column serves all */
    int64_t copies;
    int64_t panels;
} shapes;

static shapes shapes_of(const ae_binding *binding) {
    const ae_shape *a = &binding->in[0].shape, *b = &binding->in[1].shape;
    return (shapes){b->width != a->width, a->multiplicity / b->multiplicity, ae_panels(a->width)};
}

/* What stands in b for vector j of a panel of a row of a. */
AE_INLINE vec factor_at(const ae_value *b, const shapes *s, int64_t panel, int64_t row, int j) {
    const real *at = (const real *)b->data + row / s->copies * AE_PANEL;
    return s->narrow ? v_set1(*at) : v_load(at + panel * b->stride + j);
}

static void multiply_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *a = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const shapes s = shapes_of(binding);
    for (int64_t p = 0; p < s.panels; p++)
        for (int64_t row = row0; row < row1; row++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                const vec x = v_load((const real *)a->data + p * a->stride + row * AE_PANEL + j);
                v_store((real *)out->data + p * out->stride + row * AE_PANEL + j,
                        v_mul(x, factor_at(&binding->in[1], &s, p, row, j)));
            }
}

static void backward_first(const ae_binding *binding, const ae_block *block, const shapes *s) {
    const ae_value *a = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    for (int64_t p = 0; p < s->panels; p++)
        for (int64_t row = row0; row < row1; row++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                const vec g = v_load((const real *)out->gradient + p * out->stride + row * AE_PANEL + j);
                real *to = (real *)a->gradient + p * a->stride + row * AE_PANEL + j;
                v_store(to, v_fma(g, factor_at(&binding->in[1], s, p, row, j), binding->accumulate[0] ? v_load(to) : v_zero()));
            }
}

/* Row `row` of b, which has as many columns as a. */
static void backward_wide(const ae_binding *binding, const shapes *s, int64_t row) {
    const ae_value *a = &binding->in[0], *b = &binding->in[1], *out = &binding->out;
    for (int64_t p = 0; p < s->panels; p++)
        for (int j = 0; j < AE_PANEL; j += VL) {
            real *to = (real *)b->gradient + p * b->stride + row * AE_PANEL + j;
            vec sum = binding->accumulate[1] ? v_load(to) : v_zero();
            for (int64_t i = row * s->copies; i < (row + 1) * s->copies; i++)
                sum = v_fma(v_load((const real *)out->gradient + p * out->stride + i * AE_PANEL + j),
                            v_load((const real *)a->data + p * a->stride + i * AE_PANEL + j), sum);
            v_store(to, sum);
        }
}

/* Row `row` of b, which has one column. */
static void backward_narrow(const ae_binding *binding, const shapes *s, int64_t row) {
    const ae_value *a = &binding->in[0], *b = &binding->in[1], *out = &binding->out;
    real *to = (real *)b->gradient + row * AE_PANEL;
    double lanes[AE_PANEL] = {0};
    for (int64_t i = row * s->copies; i < (row + 1) * s->copies; i++)
        for (int64_t p = 0; p < s->panels; p++) {
            const real *g = (const real *)out->gradient + p * out->stride + i * AE_PANEL;
            const real *x = (const real *)a->data + p * a->stride + i * AE_PANEL;
            for (int j = 0; j < AE_PANEL; j++)
                lanes[j] += (double)g[j] * (double)x[j];
        }
    if (!binding->accumulate[1])
        memset(to, 0, AE_PANEL * sizeof(real));
    to[0] += (real)AE_V(ae_join_doubles)(lanes);
}

static void multiply_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *b = &binding->in[1];
    const shapes s = shapes_of(binding);
    if (binding->in[0].gradient)
        backward_first(binding, block, &s);
    for (int64_t row = block->row0 * b->shape.multiplicity; b->gradient && row < block->row1 * b->shape.multiplicity; row++)
        (s.narrow ? backward_narrow : backward_wide)(binding, &s, row);
}

const ae_layer_ops AE_V(ae_layer_multiply) = {
    .name = "multiply",
    .min_inputs = 2,
    .max_inputs = 2,
    .plan = AE_PLANNED(multiply),
    .forward = multiply_forward,
    .backward_data = multiply_backward_data,
};
