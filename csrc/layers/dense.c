/* Dense layer with bias and activation: out = f(in W + b), W (inputs, units).
 *
 * forward          out     = f(in W + b)          rows of in against panels of W
 * backward_data    delta   = out.gradient * f'    in place
 *                  in.gradient = delta W^T        rows of delta against panels of the transpose
 * backward_weights W.gradient  = in^T delta       columns of in against panels of delta
 *                  b.gradient  = column sums of delta
 *
 * Where the input, or the gradient, is pairs (math/pairs.h) these are sums over them, of the same bits.
 *
 * size[0] = 1: without bias: this use starts its sums at zero; a bias of its own stays as it is drawn, zero.
 * size[1] = 1: this use gives its parameters no gradient (a copy of another node's, frozen while that one is trained).
 * size[2] = 1: the rows of W (of a decoder: a latent's vector) are kept at norm one.
 * size[3] = 1, 2: the products are of bfloat16 operands in so many parts (math/bf16.h), float precision only; sums over pairs and
 * the bias stay as they are.
 * size[4] = 1: of floats after all where the layer is narrow. */
#include <string.h>

#include "base/alloc.h"
#include "layers/layer.h"
#include "math/blas1.h"
#include "math/gemm.h"
#include "math/pairs.h"
#include "math/variant.h"

enum { WEIGHT, BIAS };

typedef struct dense_table {
    ae_gemm forward, backward_data;
} dense_table;

/* Taking values and weights apart grows with the sum of the widths, what it saves with their product: where their harmonic mean is below
 * this, products of floats take less time than those of two parts. */
#define NARROW 96

AE_PLAN(dense) {
    const ae_node_desc *desc = plan->desc;
    int64_t inputs = plan->in[0].width, units = desc->width;
    if (units < 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': width is %lld; it must be at least 1", desc->name, (long long)units);
    for (int i = 0; i < 5; i++) {
        const int most = i == 3 ? (AE_BITS == 32 ? 2 : 0) : 1;
        if (desc->size[i] < 0 || desc->size[i] > most)
            return ae_fail(context, AE_ERR_VALUE, "node '%s': size[%d] is %d; it must be 0 to %d (of float%d)", desc->name, i,
                           (int)desc->size[i], most, AE_BITS);
    }
    plan->parts = desc->size[4] && 2.0 * (double)inputs * (double)units < NARROW * (double)(inputs + units) ? 0 : desc->size[3];
    ae_initializer initializer = ae_initializer_resolve((ae_initializer)desc->initializer, (ae_activation)desc->activation);
    plan->out = (ae_shape){units, plan->in[0].multiplicity};
    plan->n_parameters = 2;
    plan->parameter[WEIGHT] =
        (ae_parameter_request){"weight", inputs, units, inputs, units, initializer, true, true, AE_UPDATE_RULE};
    plan->parameter[BIAS] = (ae_parameter_request){"bias", 1, units, inputs, units, AE_INIT_ZERO, false, false, AE_UPDATE_RULE};
    if (desc->size[0])
        plan->parameter[BIAS].update = AE_UPDATE_NEVER;
    plan->constraint[WEIGHT] = desc->size[2] ? AE_CONSTRAINT_UNIT_ROWS : AE_CONSTRAINT_NONE;
    plan->cache_width = ae_activation_keeps_slope((ae_activation)desc->activation) ? units : 0;
    plan->by_panels = desc->activation != AE_SOFTMAX;
    plan->by_slices = !plan->parts;
    plan->forgets_value = desc->activation == AE_IDENTITY;
    plan->table_bytes = sizeof(dense_table);
    plan->flops_per_row = 2.0 * (double)inputs * (double)units;
    return AE_OK;
}

static ae_gemm product(int64_t summed, int64_t a_stride) {
    int64_t terms = ae_panels(summed);
    return (ae_gemm){terms, AE_PANEL, ae_panel_columns(summed, terms - 1), NULL, NULL, a_stride, AE_PANEL * AE_PANEL};
}

/* Sums of more terms than this are cut: a part of the rows of A then stays in the second-level cache while the same part of each
 * panel of B passes by, and so does C. Uncut, all of A would come from further away for each panel of C. */
#define TERMS_AT_ONCE 8
#define IS_LONG(gemm) ((gemm)->terms > 4 * TERMS_AT_ONCE)

/* Panels of one matrix. */
typedef struct panels {
    int64_t from, to;
} panels;

static panels all_panels(int64_t width) { return (panels){0, ae_panels(width)}; }

static panels of_share(const ae_block *block, int64_t width) {
    return block->share == AE_SHARE_ALL ? all_panels(width) : (panels){block->panel0, block->panel1};
}

/* Panels q_of of C (m, n), the first of them at c, = start + A B, term after term; b_panel: reals from one panel of B to the next. */
static AE_NOINLINE void long_product(const ae_gemm *whole, int64_t m, int64_t n, panels q_of, const real *a, const real *b,
                                     int64_t b_panel, ae_gemm_start start, const real *bias, real *c, int64_t c_panel) {
    for (int64_t term = 0; term < whole->terms; term += TERMS_AT_ONCE) {
        ae_gemm part = *whole;
        if (whole->terms - term > TERMS_AT_ONCE) {
            part.terms = TERMS_AT_ONCE;
            part.k_last = whole->k;
        } else {
            part.terms = whole->terms - term;
        }
        for (int64_t q = q_of.from; q < q_of.to; q++)
            AE_V(ae_gemm_rows)
        (&part, m, ae_panel_columns(n, q), a + term * whole->a_step, b + q * b_panel + term * whole->b_step,
         term ? AE_START_C : start, bias ? bias + q * AE_PANEL : NULL, c + (q - q_of.from) * c_panel);
    }
}

static void dense_prepare(const ae_binding *binding) {
    dense_table *table = binding->table;
    table->forward = product(binding->in[0].shape.width, binding->in[0].stride);
    table->backward_data = product(binding->out.shape.width, binding->out.stride);
}

/* ---- products of bfloat16 operands ---- */

#if AE_BITS == 32
#define IN_PARTS(binding) ((binding)->operands.parts > 0)

/* A block of up to 32 rows of panel p, from `row` (a multiple of 32) on, as operands: for sums over columns (or `by_rows` NULL), and
 * for sums over rows (or `sums` NULL). */
static void take_apart(const ae_operands *o, const real *block, int height, int64_t panels_across, int64_t p, int64_t row,
                       const ae_parts *by_rows, const ae_parts *sums, bool on_left) {
    _Alignas(AE_ALIGNMENT) ae_bf16 turned[2][AE_BF16_BLOCK];
    const int64_t g = row / AE_PANEL;
    ae_parts pairs = {{NULL, NULL}};
    if (sums && on_left)
        pairs = (ae_parts){{turned[0], o->parts > 1 ? turned[1] : NULL}};
    else if (sums)
        pairs = ae_parts_at(*sums, (p * o->blocks + g) * AE_BF16_BLOCK);
    AE_V(ae_bf16_block)
    (block, height, o->parts,
     by_rows ? ae_parts_at(*by_rows, p % o->at_once * o->step + row * AE_PANEL) : (ae_parts){{NULL, NULL}}, pairs);
    for (int i = 0; sums && on_left && i < o->parts; i++)
        AE_V(ae_bf16_turn_pairs)(turned[i], sums->part[i] + (g * panels_across + p) * AE_BF16_BLOCK);
}

static int block_height(int64_t row, int64_t row1) { return row1 - row < AE_PANEL ? (int)(row1 - row) : AE_PANEL; }

/* Panels p_of of `a`, of `across` that are summed, against panels q_of of a weight in parts, the first of which goes to c. */
static void products_of_parts(const ae_operands *o, int64_t row0, int64_t row1, panels p_of, int64_t across, panels q_of,
                              ae_parts a, ae_parts b, ae_gemm_start start, const real *bias, real *c, int64_t c_panel) {
    const int64_t b_panel = across * AE_BF16_BLOCK;
    const ae_bf16_gemm gemm = {p_of.to - p_of.from, o->step, o->parts, q_of.to - q_of.from, b_panel, c_panel};
    AE_V(ae_bf16_product)
    (&gemm, row1 - row0, ae_parts_at(a, row0 * AE_PANEL), ae_parts_at(b, q_of.from * b_panel + p_of.from * AE_BF16_BLOCK),
     p_of.from ? AE_START_C : start, bias ? bias + q_of.from * AE_PANEL : NULL, c + row0 * AE_PANEL);
}

/* What is read goes in runs of panels that have room by rows: these are still in the second-level cache when their products come. */
static panels run_of(const ae_operands *o, int64_t first, int64_t to) {
    return (panels){first, to - first > o->at_once ? first + o->at_once : to};
}

static void forward_of_parts(const ae_binding *binding, const ae_block *block, int64_t row0, int64_t row1,
                             ae_gemm_start start) {
    const ae_operands *o = &binding->operands;
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t across = ae_panels(in->shape.width);
    const panels p_of = block->share == AE_SHARE_READ ? of_share(block, in->shape.width) : all_panels(in->shape.width);
    const panels q_of = of_share(block, out->shape.width);
    for (panels run = run_of(o, p_of.from, p_of.to); run.from < run.to; run = run_of(o, run.to, p_of.to)) {
        for (int64_t p = run.from; block->share != AE_SHARE_WRITTEN && p < run.to; p++)
            for (int64_t row = row0; row < row1; row += AE_PANEL)
                take_apart(o, (const real *)in->data + p * in->stride + row * AE_PANEL, block_height(row, row1), across, p, row,
                           &o->in, block->keep ? &o->in_sums : NULL, !o->delta_on_left);
        if (block->share != AE_SHARE_READ)
            products_of_parts(o, row0, row1, run, across, q_of, o->in, o->weight, start, binding->parameter[BIAS],
                              (real *)out->data + ae_panel_at(out, q_of.from), out->stride);
    }
}

/* The gradient of the value, before `activation` unless that is the identity, becomes that of the sums while its blocks are in the
 * first level of cache. */
static void delta_of_parts(const ae_binding *binding, int64_t p, int64_t row0, int64_t row1, ae_activation activation) {
    const ae_operands *o = &binding->operands;
    const ae_value *out = &binding->out;
    for (int64_t row = row0; row < row1; row += AE_PANEL) {
        const int64_t at = p * out->stride + row * AE_PANEL;
        const int height = block_height(row, row1);
        real *delta = (real *)out->gradient + at,
             *totals = (real *)o->delta_totals + (p * o->blocks + row / AE_PANEL) * AE_PANEL;
        if (activation != AE_IDENTITY)
            AE_V(ae_activation_backward)
        (activation, (int64_t)height * AE_PANEL, (const real *)out->data + at,
         binding->cache ? (const real *)binding->cache + at : NULL, delta);
        memset(totals, 0, AE_PANEL * sizeof(real));
        AE_V(ae_column_sums)(0, height, delta, totals);
        take_apart(o, delta, height, ae_panels(out->shape.width), p, row, binding->in[0].gradient ? &o->delta : NULL,
                   &o->delta_sums, o->delta_on_left);
    }
}

static void backward_of_parts(const ae_binding *binding, const ae_block *block, int64_t row0, int64_t row1,
                              ae_gemm_start start) {
    const ae_operands *o = &binding->operands;
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const ae_activation activation = (ae_activation)binding->desc->activation;
    const int64_t across = ae_panels(out->shape.width);
    const panels q_of = block->share == AE_SHARE_READ ? of_share(block, out->shape.width) : all_panels(out->shape.width);
    if (activation == AE_SOFTMAX)
        AE_V(ae_softmax_backward)(row0, row1, out->shape.width, out->stride, out->data, out->gradient);
    for (panels run = run_of(o, q_of.from, q_of.to); run.from < run.to; run = run_of(o, run.to, q_of.to)) {
        for (int64_t q = run.from; block->share != AE_SHARE_WRITTEN && q < run.to; q++)
            delta_of_parts(binding, q, row0, row1, activation == AE_SOFTMAX ? AE_IDENTITY : activation);
        if (block->share != AE_SHARE_READ && in->gradient) {
            const panels p_of = of_share(block, in->shape.width);
            products_of_parts(o, row0, row1, run, across, p_of, o->delta, o->transposed, start, NULL,
                              (real *)in->gradient + p_of.from * in->stride, in->stride);
        }
    }
}

/* A tile of W, over the rows: its rows are columns of the factor on the left. */
static void weight_tile_of_parts(const ae_operands *o, const ae_tile *tile, int64_t rows, int64_t left_width, bool accumulate,
                                 real *gradient) {
    const ae_parts *left = o->delta_on_left ? &o->delta_sums : &o->in_sums;
    const ae_parts *right = o->delta_on_left ? &o->in_sums : &o->delta_sums;
    const ae_bf16_gemm gemm = {
        ae_panels(rows), ae_panels(left_width) * AE_BF16_BLOCK, o->parts, 1, o->blocks * AE_BF16_BLOCK, 0};
    AE_V(ae_bf16_product)
    (&gemm, tile->row1 - tile->row0, ae_parts_at(*left, tile->row0 * AE_PANEL),
     ae_parts_at(*right, tile->panel * o->blocks * AE_BF16_BLOCK), accumulate ? AE_START_C : AE_START_ZERO, NULL, gradient);
}
#else
#define IN_PARTS(binding) ((void)(binding), false)
#define forward_of_parts(binding, block, row0, row1, start) ((void)0)
#define backward_of_parts(binding, block, row0, row1, start) ((void)0)
#define weight_tile_of_parts(operands, tile, rows, left_width, accumulate, gradient) ((void)0)
#endif

/* ---- the layer ---- */

static void dense_forward(const ae_binding *binding, const ae_block *block) {
    const dense_table *table = binding->table;
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const ae_activation activation = (ae_activation)binding->desc->activation;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const real *x = (const real *)in->data + row0 * AE_PANEL;
    const real *weight = binding->parameter[WEIGHT], *bias = binding->parameter[BIAS];
    real *slope = block->keep ? binding->cache : NULL;
    const ae_gemm_start start = binding->desc->size[0] ? AE_START_ZERO : AE_START_BIAS;
    if (in->pairs)
        AE_V(ae_pairs_product)
    (in->pairs, in->pairs->value, row0, row1, out->shape.width, weight, in->shape.width * AE_PANEL, start, bias, out->data,
     out->stride);
    else if (IN_PARTS(binding)) forward_of_parts(binding, block, row0, row1, start);
    if (block->share == AE_SHARE_READ)
        return;
    const panels q_of = of_share(block, out->shape.width);
    if (!in->pairs && !IN_PARTS(binding) && IS_LONG(&table->forward))
        long_product(&table->forward, row1 - row0, out->shape.width, q_of, x, weight, in->shape.width * AE_PANEL, start, bias,
                     (real *)out->data + ae_panel_at(out, q_of.from) + row0 * AE_PANEL, out->stride);
    for (int64_t q = q_of.from; q < q_of.to; q++) {
        const int64_t at = ae_panel_at(out, q) + row0 * AE_PANEL;
        real *y = (real *)out->data + at;
        if (!in->pairs && !IN_PARTS(binding) && !IS_LONG(&table->forward))
            AE_V(ae_gemm_rows)
        (&table->forward, row1 - row0, ae_panel_columns(out->shape.width, q), x, weight + q * in->shape.width * AE_PANEL, start,
         bias + q * AE_PANEL, y);
        if (activation != AE_SOFTMAX && activation != AE_IDENTITY)
            AE_V(ae_activation_forward)(activation, (row1 - row0) * AE_PANEL, y, slope ? slope + at : NULL);
    }
    if (activation == AE_SOFTMAX)
        AE_V(ae_softmax_forward)(row0, row1, out->shape.width, out->stride, out->data);
}

static void dense_backward_data(const ae_binding *binding, const ae_block *block) {
    const dense_table *table = binding->table;
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const ae_activation activation = (ae_activation)binding->desc->activation;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    real *delta = out->gradient;
    const ae_gemm_start start = binding->accumulate[0] ? AE_START_C : AE_START_ZERO;
    if (out->gradient_pairs) { /* the activation is the identity then */
        if (in->gradient)
            AE_V(ae_pairs_product)
        (out->gradient_pairs, out->gradient_pairs->gradient, row0, row1, in->shape.width, binding->transposed[WEIGHT],
         out->shape.width * AE_PANEL, start, NULL, in->gradient, in->stride);
        return;
    }
    if (IN_PARTS(binding)) {
        backward_of_parts(binding, block, row0, row1, start);
        return;
    }
    if (activation == AE_SOFTMAX)
        AE_V(ae_softmax_backward)(row0, row1, out->shape.width, out->stride, out->data, delta);
    else if (activation != AE_IDENTITY && block->share != AE_SHARE_WRITTEN) {
        const panels q_of = of_share(block, out->shape.width);
        for (int64_t q = q_of.from; q < q_of.to; q++) {
            const int64_t at = q * out->stride + row0 * AE_PANEL;
            const real *slope = binding->cache ? (const real *)binding->cache + at : NULL;
            AE_V(ae_activation_backward)(activation, (row1 - row0) * AE_PANEL, (const real *)out->data + at, slope, delta + at);
        }
    }
    if (!in->gradient || block->share == AE_SHARE_READ)
        return;
    if (in->pairs) {
        AE_V(ae_pairs_products_at)
        (in->pairs, row0, row1, out->shape.width, delta, out->stride, binding->parameter[WEIGHT], in->shape.width * AE_PANEL,
         binding->accumulate[0]);
        return;
    }
    const real *transposed = binding->transposed[WEIGHT];
    const panels p_of = of_share(block, in->shape.width);
    if (IS_LONG(&table->backward_data)) {
        long_product(&table->backward_data, row1 - row0, in->shape.width, p_of, delta + row0 * AE_PANEL, transposed,
                     out->shape.width * AE_PANEL, start, NULL, (real *)in->gradient + p_of.from * in->stride + row0 * AE_PANEL,
                     in->stride);
        return;
    }
    for (int64_t p = p_of.from; p < p_of.to; p++) {
        const real *panel = transposed + p * out->shape.width * AE_PANEL;
        real *g = (real *)in->gradient + p * in->stride + row0 * AE_PANEL;
        AE_V(ae_gemm_rows)
        (&table->backward_data, row1 - row0, ae_panel_columns(in->shape.width, p), delta + row0 * AE_PANEL, panel, start, NULL,
         g);
    }
}

/* Rows of a minibatch that a tile takes at once: their part of one panel stays in the second-level cache while panels of the
 * other operand pass by. */
#define ROWS_AT_ONCE 512

/* to (height, 32) = or += A^T B over rows: columns of A, from a on in panels of a_stride, against one panel B. */
static void products_of_columns(int64_t rows, int64_t height, int columns, const real *a, int64_t a_stride, const real *b,
                                bool accumulate, real *to) {
    for (int64_t from = 0; from < rows; from += ROWS_AT_ONCE) {
        const int32_t k = (int32_t)(rows - from < ROWS_AT_ONCE ? rows - from : ROWS_AT_ONCE);
        const ae_gemm over_rows = {1, k, k, NULL, NULL, 0, 0};
        for (int64_t row = 0; row < height; row += AE_PANEL)
            AE_V(ae_gemm_columns)
        (&over_rows, (int)(height - row < AE_PANEL ? height - row : AE_PANEL), columns,
         a + row / AE_PANEL * a_stride + from * AE_PANEL, b + from * AE_PANEL, accumulate || from ? AE_START_C : AE_START_ZERO,
         to + row * AE_PANEL);
    }
}

/* A tile of W, or of the transpose of W as the layer that shares it has its weight: rows are units there and columns inputs, so
 * the two operands change places. */
static void weight_tile(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate, real *gradient) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const bool swap = tile->transposed;
    /* Of the tile's rows and of its columns. */
    const real *across = swap ? out->gradient : in->data, *along = swap ? in->data : out->gradient;
    const int64_t across_step = swap ? out->stride : in->stride, along_step = swap ? in->stride : out->stride;
    const ae_pairs *across_pairs = swap ? out->gradient_pairs : in->pairs,
                   *along_pairs = swap ? in->pairs : out->gradient_pairs;
    const int64_t width = swap ? in->shape.width : out->shape.width;
    const int columns = ae_panel_columns(width, tile->panel);
    if (along_pairs) {
        AE_V(ae_pairs_columns)
        (along_pairs, swap ? along_pairs->value : along_pairs->gradient, width, tile->panel, across, across_step, tile->row0,
         tile->row1, accumulate, gradient);
        return;
    }
    along += tile->panel * along_step;
    if (IN_PARTS(binding) && !across_pairs)
        weight_tile_of_parts(&binding->operands, tile, rows, swap ? out->shape.width : in->shape.width, accumulate, gradient);
    else if (across_pairs)
        AE_V(ae_pairs_rows)
    (across_pairs, swap ? across_pairs->gradient : across_pairs->value, tile->row0, tile->row1, along, accumulate, gradient);
    else products_of_columns(rows, tile->row1 - tile->row0, columns,
                             across + tile->row0 / AE_PANEL * across_step + tile->first * AE_PANEL, across_step,
                             along + tile->first * AE_PANEL, accumulate, gradient);
    /* The padding of activations is not zero, that of a gradient is. */
    if (swap && columns < AE_PANEL)
        for (int64_t row = 0; row < tile->row1 - tile->row0; row++)
            memset(gradient + row * AE_PANEL + columns, 0, (size_t)(AE_PANEL - columns) * sizeof(real));
}

static void dense_backward_weights(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate,
                                   void *gradient) {
    const ae_value *out = &binding->out;
    if (binding->desc->size[1] || (tile->parameter == BIAS && binding->desc->size[0])) {
        if (!accumulate)
            memset(gradient, 0, (size_t)((tile->row1 - tile->row0) * AE_PANEL) * sizeof(real));
    } else if (tile->parameter == WEIGHT) {
        weight_tile(binding, tile, rows, accumulate, gradient);
    } else if (out->gradient_pairs) {
        AE_V(ae_pairs_sums)
        (out->gradient_pairs, out->gradient_pairs->gradient, out->shape.width, tile->panel, accumulate, gradient);
    } else {
        const ae_operands *o = &binding->operands;
        if (!accumulate)
            memset(gradient, 0, AE_PANEL * sizeof(real));
        if (IN_PARTS(binding))
            AE_V(ae_column_sums)
        (0, ae_panels(rows), (const real *)o->delta_totals + tile->panel * o->blocks * AE_PANEL, gradient);
        else AE_V(ae_column_sums)(tile->first, tile->first + rows, (const real *)out->gradient + tile->panel * out->stride,
                                  gradient);
    }
}

const ae_layer_ops AE_V(ae_layer_dense) = {
    .name = "dense",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_TRANSPOSES | AE_LAYER_READS_PAIRS,
    .plan = AE_PLANNED(dense),
    .prepare = dense_prepare,
    .forward = dense_forward,
    .backward_data = dense_backward_data,
    .backward_weights = dense_backward_weights,
};
