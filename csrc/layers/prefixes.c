/* Prefixes of a code (Bussmann et al. 2025, "Learning multi-level features with Matryoshka sparse autoencoders", after Kusupati et al.
 * 2022): (B, n) -> (B P, n), where row r P + p keeps the first size[p] components of row r and has zeros behind. The decoder
 * then sees P rows for one, and each of them is to be reconstructed.
 *
 * multiplicity: P, 1 to 8 (0 means 1). size[0] < size[1] < ... < size[P - 1] <= n; size[P - 1] = 0 means n. */
#include "layers/layer.h"
#include "math/lanes.h"

static int64_t prefixes_of(const ae_node_desc *desc) { return desc->multiplicity ? desc->multiplicity : 1; }

static int64_t prefix_at(const ae_binding *binding, int64_t p) {
    return binding->desc->size[p] ? binding->desc->size[p] : binding->out.shape.width;
}

AE_PLAN(prefixes) {
    const ae_node_desc *desc = plan->desc;
    const int64_t count = prefixes_of(desc), width = plan->in[0].width;
    if (count < 1 || count > 8)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': %lld prefixes; 1 to 8 are allowed", desc->name, (long long)count);
    for (int64_t p = 0; p < count; p++) {
        const int64_t size = p == count - 1 && !desc->size[p] ? width : desc->size[p], before = p ? desc->size[p - 1] : 0;
        if (size <= before || size > width)
            return ae_fail(context, AE_ERR_VALUE,
                           "node '%s': prefix %lld is %lld; prefixes must increase, from 1 to at most the %lld components",
                           desc->name, (long long)p, (long long)size, (long long)width);
    }
    plan->out = plan->in[0];
    if (__builtin_mul_overflow(plan->in[0].multiplicity, count, &plan->out.multiplicity))
        return ae_fail(context, AE_ERR_OVERFLOW, "node '%s': the rows of a value do not fit", desc->name);
    return AE_OK;
}

AE_INLINE vmask inside(int64_t prefix, int64_t panel, int j) {
    const int64_t left = prefix - panel * AE_PANEL;
    return lanes_below(left < 0 ? 0 : left < AE_PANEL ? (int)left : AE_PANEL, j);
}

static void prefixes_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * in->shape.multiplicity, row1 = block->row1 * in->shape.multiplicity;
    const int64_t count = prefixes_of(binding->desc);
    for (int64_t panel = 0; panel < ae_panels(out->shape.width); panel++)
        for (int64_t p = 0; p < count; p++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                const vmask kept = inside(prefix_at(binding, p), panel, j);
                for (int64_t row = row0; row < row1; row++)
                    v_store((real *)out->data + panel * out->stride + (row * count + p) * AE_PANEL + j,
                            v_select(kept, v_load((const real *)in->data + panel * in->stride + row * AE_PANEL + j), v_zero()));
            }
}

/* Sums over the prefixes in order. */
static void prefixes_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * in->shape.multiplicity, row1 = block->row1 * in->shape.multiplicity;
    const int64_t count = prefixes_of(binding->desc);
    if (!in->gradient)
        return;
    for (int64_t panel = 0; panel < ae_panels(out->shape.width); panel++)
        for (int64_t row = row0; row < row1; row++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                real *to = (real *)in->gradient + panel * in->stride + row * AE_PANEL + j;
                vec sum = binding->accumulate[0] ? v_load(to) : v_zero();
                for (int64_t p = 0; p < count; p++) {
                    const real *d = (const real *)out->gradient + panel * out->stride + (row * count + p) * AE_PANEL + j;
                    sum = v_add(sum, v_select(inside(prefix_at(binding, p), panel, j), v_load(d), v_zero()));
                }
                v_store(to, sum);
            }
}

const ae_layer_ops AE_V(ae_layer_prefixes) = {
    .name = "prefixes",
    .min_inputs = 1,
    .max_inputs = 1,
    .plan = AE_PLANNED(prefixes),
    .forward = prefixes_forward,
    .backward_data = prefixes_backward_data,
};
