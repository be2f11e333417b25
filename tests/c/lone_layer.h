/* One layer bound to memory by hand, for tests of what it does to a minibatch: values go in and come out row-major in double. */
#ifndef AE_TEST_LONE_LAYER_H
#define AE_TEST_LONE_LAYER_H

#include <float.h>

#include "harness.h"
#include "math/spd.h"
#include "networks.h"

typedef struct lone_layer {
    ae_node_desc desc;
    ae_layer_plan plan;
    ae_binding binding;
    const ae_layer_ops *ops;
    int bits;
    int64_t rows; /* of data */
    void *memory[16];
    int n_memory;
    void *scratch;
    ae_context context;
} lone_layer;

static inline void *lone_memory(lone_layer *l, int64_t reals, double filled_with) {
    void *block = malloc((size_t)(reals > 0 ? reals : 1) * 8);
    for (int64_t i = 0; i < reals; i++)
        ae_real_set(l->bits, block, i, filled_with);
    return l->memory[l->n_memory++] = block;
}

/* False where the plan refuses; the sentence is in context. What is not written is NaN, padding of the input is 3e30. */
static inline bool lone_new(lone_layer *l, const char *kind, int bits, ae_isa isa, int64_t rows, int64_t width,
                            const ae_node_desc *numbers) {
    memset(l, 0, sizeof *l);
    l->desc = *numbers;
    l->bits = bits;
    l->rows = rows;
    l->ops = ae_layer_get(bits, isa, ae_layer_find(kind));
    snprintf(l->desc.name, sizeof l->desc.name, "it");
    l->plan.desc = &l->desc;
    l->plan.in[0] = (ae_shape){width, 1};
    if (l->ops->plan(&l->context, &l->plan) != AE_OK)
        return false;
    ae_binding *b = &l->binding;
    b->desc = &l->desc;
    b->in[0].shape = l->plan.in[0], b->out.shape = l->plan.out;
    b->in[0].stride = ae_panel_stride(rows), b->out.stride = ae_panel_stride(rows * l->plan.out.multiplicity);
    const int64_t in = ae_panels(width) * b->in[0].stride, out = ae_panels(l->plan.out.width) * b->out.stride;
    b->in[0].data = lone_memory(l, in, 3e30);
    b->in[0].gradient = lone_memory(l, in, NAN);
    b->out.data = lone_memory(l, out, NAN);
    b->out.gradient = lone_memory(l, out, 0);
    b->cache = lone_memory(l, ae_panels(l->plan.cache_width) * b->out.stride, NAN);
    b->coupling = lone_memory(l, l->plan.coupling_reals, NAN);
    l->scratch = lone_memory(l, l->plan.scratch_reals, NAN);
    for (int i = 0; i < l->plan.n_parameters; i++)
        b->parameter[i] = lone_memory(l, ae_panels(l->plan.parameter[i].columns) * AE_PANEL, 0);
    return true;
}

static inline void lone_free(lone_layer *l) {
    for (int i = 0; i < l->n_memory; i++)
        free(l->memory[i]);
}

/* Row-major (rows * multiplicity, width) to panels and back. */
static inline void lone_write(const lone_layer *l, const ae_value *value, void *panels, const double *from) {
    for (int64_t r = 0; r < l->rows * value->shape.multiplicity; r++)
        for (int64_t c = 0; c < value->shape.width; c++)
            ae_real_set(l->bits, panels, c / AE_PANEL * value->stride + r * AE_PANEL + c % AE_PANEL,
                        from[r * value->shape.width + c]);
}
static inline void lone_read(const lone_layer *l, const ae_value *value, const void *panels, double *to) {
    for (int64_t r = 0; r < l->rows * value->shape.multiplicity; r++)
        for (int64_t c = 0; c < value->shape.width; c++)
            to[r * value->shape.width + c] =
                ae_real_at(l->bits, panels, c / AE_PANEL * value->stride + r * AE_PANEL + c % AE_PANEL);
}

/* Forward in blocks of `block` rows, `couple` before it where backward follows; x and out row-major. */
static inline void lone_forward(lone_layer *l, const double *x, bool keep, int64_t block, double *out) {
    lone_write(l, &l->binding.in[0], l->binding.in[0].data, x);
    for (int64_t part = 0; keep && l->ops->couple && part < l->plan.coupling_parts; part++)
        l->ops->couple(&l->binding, l->rows * l->plan.out.multiplicity, part, true);
    for (int64_t row = 0; row < l->rows; row += block) {
        const int64_t end = row + block < l->rows ? row + block : l->rows;
        const ae_block b = {row, end, 0, 0, true, keep, false, l->scratch, AE_SHARE_ALL, 0, 0};
        l->ops->forward(&l->binding, &b);
    }
    lone_read(l, &l->binding.out, l->binding.out.data, out);
}

/* Gradient of the input from that of the output; the padding of both must be zero. */
static inline void lone_backward(lone_layer *l, const double *d, bool accumulate, int64_t block, double *gradient) {
    const ae_value *in = &l->binding.in[0];
    lone_write(l, &l->binding.out, l->binding.out.gradient, d);
    l->binding.accumulate[0] = accumulate;
    for (int64_t part = 0; l->ops->couple_backward && part < l->plan.coupling_parts; part++)
        l->ops->couple_backward(&l->binding, l->rows * l->plan.out.multiplicity, part, true);
    for (int64_t row = 0; row < l->rows; row += block) {
        const int64_t end = row + block < l->rows ? row + block : l->rows;
        const ae_block b = {row, end, 0, 0, true, true, false, l->scratch, AE_SHARE_ALL, 0, 0};
        l->ops->backward_data(&l->binding, &b);
    }
    lone_read(l, in, in->gradient, gradient);
    double padding = 0;
    for (int64_t r = 0; r < l->rows; r++)
        for (int64_t c = in->shape.width; c < ae_panels(in->shape.width) * AE_PANEL; c++)
            padding += fabs(ae_real_at(l->bits, in->gradient, c / AE_PANEL * in->stride + r * AE_PANEL + c % AE_PANEL));
    CHECK(padding == 0, "%s: padding of the gradient is not zero", l->ops->name);
}

/* Gradient or new value of parameter `slot`, of width `columns`; padding must be zero. */
static inline void lone_weights(lone_layer *l, int slot, double *to) {
    const int64_t columns = l->plan.parameter[slot].columns;
    double panel[AE_PANEL];
    for (int64_t p = 0; p < ae_panels(columns); p++) {
        const ae_tile tile = {slot, false, p, 0, 1, 0};
        l->ops->backward_weights(&l->binding, &tile, l->rows * l->plan.out.multiplicity, false, panel);
        for (int j = 0; j < AE_PANEL; j++) {
            const double value = ae_real_at(l->bits, panel, j);
            if (p * AE_PANEL + j < columns)
                to[p * AE_PANEL + j] = value;
            else
                CHECK(value == 0, "%s: padding of parameter %d is %g", l->ops->name, slot, value);
        }
    }
}
static inline void lone_assign(lone_layer *l, int slot, const double *from) {
    for (int64_t c = 0; c < l->plan.parameter[slot].columns; c++)
        ae_real_set(l->bits, l->binding.parameter[slot], c, from[c]);
}

static inline int lone_isas(ae_isa *isas) {
    int n = 0;
    for (int isa = 0; isa < AE_ISA_COUNT; isa++)
        if (ae_cpu_has((ae_isa)isa) && ae_kernels_get(32, (ae_isa)isa))
            isas[n++] = (ae_isa)isa;
    return n;
}

#endif
