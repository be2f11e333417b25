/* Swap noise: with probability `rate` an entry becomes what the same column holds in another row of the minibatch, drawn
 * uniformly and afresh at each presentation. Columns keep their distribution, so it suits tables of mixed columns (Jahrer 2017,
 * first place of Porto Seguro's contest; Yoon et al. 2020, "VIME", permute each column instead). With k rows for a row of
 * data all rows of the value are candidates. Rests when not training, and a minibatch of one row stays as it is.
 *
 * One word of 32 bits decides about an entry and names the row: below T = rate * 2^32 the entry is replaced, by row number
 * floor(word (rows - 1) / T) of the others (in double), each of them as likely as the next up to (rows - 1) / T.
 *
 * Rows read each other, so all must have been gathered: `couple` is the barrier, and tells how many there are. Gradients go to
 * the rows that the entries came from, which are summed in order of the rows they went to, panel by panel, in
 * `couple_backward`, from the same draws again. */
#include "layers/rows.h"
#include "math/random.h"

typedef struct shared {
    int64_t rows;  /* of the value, in the minibatch */
    uint64_t step; /* of the draws of forward */
} shared;

AE_PLAN(swap_noise) {
    const double rate = plan->desc->rate;
    if (!(rate >= 0.0 && rate < 1.0))
        return ae_fail(context, AE_ERR_VALUE, "node '%s': rate is %g; it must be at least 0 and below 1", plan->desc->name,
                       rate);
    plan->out = plan->in[0];
    plan->scratch_reals = ae_panels(plan->in[0].width) * AE_PANEL;
    plan->coupling_reals = (int64_t)((sizeof(shared) + sizeof(real) - 1) / sizeof(real));
    plan->coupling_parts = ae_panels(plan->in[0].width);
    plan->flops_per_row = 20.0 * (double)plan->in[0].width;
    return AE_OK;
}

static void swap_noise_couple(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    (void)training;
    if (part == 0)
        ((shared *)binding->coupling)->rows = rows;
}

/* How a value's entries find their rows: words below the threshold go to row word * others of the other ones. */
typedef struct lottery {
    uint32_t threshold;
    double
        others; /* (rows - 1) / threshold; word * others stays below rows - 1, since 1 / threshold is far above an error of rounding */
} lottery;

static lottery lottery_of(const ae_binding *binding, int64_t rows) {
    const uint32_t threshold = rows < 2 ? 0 : rows_threshold(binding->desc->rate);
    return (lottery){threshold, threshold ? (double)(rows - 1) / (double)threshold : 0.0};
}

/* The rows that the entries of `row` in one panel come from. */
AE_INLINE void draw_sources(const lottery *l, const uint32_t *words, int32_t row, int32_t *source) {
    for (int j = 0; j < AE_PANEL; j++) {
        const uint32_t word = words[j] < l->threshold ? words[j] : 0;
        const int32_t other = (int32_t)((double)word * l->others);
        source[j] = words[j] < l->threshold ? other + (other >= row) : row;
    }
}

static void swap_noise_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    shared *common = binding->coupling;
    uint32_t *words = block->scratch;
    if (!block->training || !block->keep) {
        rows_pass(out, block, in->data, out->data, false);
        return;
    }
    if (block->row0 == 0)
        common->step = block->step;
    const lottery l = lottery_of(binding, common->rows);
    for (int64_t row = row0; row < row1; row++) {
        AE_V(ae_random_words)(binding->key, block->step, rows_number(out, block, row), 0, out->shape.width, words);
        for (int64_t p = 0; p < ae_panels(out->shape.width); p++) {
            const real *x = (const real *)in->data + p * in->stride;
            real *y = (real *)out->data + p * out->stride + row * AE_PANEL;
            int32_t source[AE_PANEL];
            draw_sources(&l, words + p * AE_PANEL, (int32_t)row, source);
            for (int j = 0; j < AE_PANEL; j++)
                y[j] = x[(int64_t)source[j] * AE_PANEL + j];
        }
    }
}

static void swap_noise_couple_backward(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const lottery l = lottery_of(binding, training ? rows : 1);
    const shared *common = binding->coupling;
    const real *g = (const real *)out->gradient + part * out->stride;
    uint32_t words[AE_PANEL];
    int32_t source[AE_PANEL];
    if (!in->gradient)
        return;
    real *to = (real *)in->gradient + part * in->stride;
    if (!binding->accumulate[0])
        memset(to, 0, (size_t)(rows * AE_PANEL) * sizeof(real));
    for (int64_t row = 0; row < rows; row++) {
        AE_V(ae_random_words)(binding->key, common->step, (uint32_t)row, part * AE_PANEL, AE_PANEL, words);
        draw_sources(&l, words, (int32_t)row, source);
        for (int j = 0; j < AE_PANEL; j++)
            to[(int64_t)source[j] * AE_PANEL + j] += g[row * AE_PANEL + j];
    }
}

const ae_layer_ops AE_V(ae_layer_swap_noise) = {
    .name = "swap_noise",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_STOCHASTIC | AE_LAYER_COUPLES_ROWS,
    .plan = AE_PLANNED(swap_noise),
    .forward = swap_noise_forward,
    .couple = swap_noise_couple,
    .couple_backward = swap_noise_couple_backward,
};
