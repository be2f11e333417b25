/* Vector quantisation (van den Oord et al. 2017): x (rows, d) -> the nearest code (rows, d), by Euclidean distance, ties to the
 * lower number. The gradient passes straight through. The codes are moving averages of the rows assigned to them (appendix A.1
 * there), no gradient moves them.
 *
 * size[0]: K, codes of a codebook, 1 .. 2^24. size[1]: C, codebooks (0: one): x is cut into C equal runs of columns, each with a
 * codebook of its own (product quantisation). size[2]: 1: the output is the numbers of the codes instead, (rows, C), without
 * gradient. value[0]: decay g of the averages, 0 < g < 1 (0: 0.99). value[1]: a code whose count falls below this part of an
 * even share, rows of the minibatch / K, is dead and starts anew; 0: never.
 *
 * Parameters, both assigned: "codes" (d, K), a code is a column; "counts" (C, K), moving averages of the rows that a step assigns.
 * With n rows x_i assigned to code c of count N,
 *
 *     N' = g N + (1 - g) n,    c' = c + (1 - g) / N' sum (x_i - c),
 *
 * which is the paper's ratio of averaged sums and counts, written so that it holds no small differences.
 *
 * Codes begin in the data: a code without count takes a row of the minibatch before the rows are quantised, the first such code
 * the first row and so on as far as rows go, with the count of an even share. A minibatch is shuffled, so its first rows are any
 * rows. While training dead codes are revived in the same way (Dhariwal et al. 2020, Zeghidour et al. 2021). Without a
 * minibatch codes without count take no part; where there are no others the output is zero.
 *
 * A run of columns that is not finite, or so far out that its squared distance from every code is not, is near to no code: it is
 * assigned to none, and the output is NaN, also as a number of a code, so that the loss finds it.
 *
 * Residual quantisation is several such nodes, each on what `subtract` leaves of the one before. */
#include <math.h>
#include <string.h>

#include "layers/latent.h"

enum { CODES, COUNTS };
enum { ROWS_AT_ONCE = 4 }; /* share a code's loads; of no influence on results */

static int64_t codes_of(const ae_node_desc *desc) { return desc->size[0]; }
static int64_t books_of(const ae_node_desc *desc) { return desc->size[1] == 0 ? 1 : desc->size[1]; }
static double decay_of(const ae_node_desc *desc) { return desc->value[0] == 0.0 ? 0.99 : desc->value[0]; }

AE_PLAN(vector_quantize) {
    const ae_node_desc *desc = plan->desc;
    const int64_t width = plan->in[0].width, codes = codes_of(desc), books = books_of(desc);
    if (codes < 1 || codes > 1 << 24)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': a codebook of %lld codes; 1 to %d are allowed", desc->name,
                       (long long)codes, 1 << 24);
    if (books < 1 || width % books)
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': %lld codebooks for %lld features; the number of codebooks must divide the features",
                       desc->name, (long long)books, (long long)width);
    if (desc->size[2] < 0 || desc->size[2] > 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': size[2] is %d; it must be 0 (codes) or 1 (their numbers)", desc->name,
                       desc->size[2]);
    if (!(decay_of(desc) > 0.0 && decay_of(desc) < 1.0) || !(desc->value[1] >= 0.0 && desc->value[1] < 1.0))
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': decay is %g and the threshold of dead codes %g; 0 < decay < 1 and 0 <= threshold < 1 are "
                       "allowed",
                       desc->name, decay_of(desc), desc->value[1]);
    plan->out = (ae_shape){desc->size[2] ? books : width, plan->in[0].multiplicity};
    plan->n_parameters = 2;
    plan->parameter[CODES] = (ae_parameter_request){"codes", width, codes, 1, 1, AE_INIT_ZERO, false, false, AE_UPDATE_ASSIGN};
    plan->parameter[COUNTS] =
        (ae_parameter_request){"counts", books, codes, 1, 1, AE_INIT_ZERO, false, false, AE_UPDATE_ASSIGN};
    plan->cache_width = books; /* numbers of the codes */
    plan->coupling_parts = ae_panels(codes);
    /* The codes and counts of the step, as the parameters lie, but panel by panel together. */
    if (__builtin_mul_overflow(plan->coupling_parts * AE_PANEL, width + books, &plan->coupling_reals))
        return ae_fail(context, AE_ERR_OVERFLOW, "node '%s': %lld codes of %lld features do not fit into memory", desc->name,
                       (long long)codes, (long long)width);
    plan->flops_per_row = 3.0 * (double)width * (double)codes;
    return AE_OK;
}

/* Where the codes and the counts of one panel of codes lie: rows of 32. */
typedef struct code_panel {
    const real *codes, *counts;
} code_panel;

static code_panel step_panel(const ae_binding *binding, int64_t panel) {
    const int64_t width = binding->in[0].shape.width, books = books_of(binding->desc);
    const real *at = (const real *)binding->coupling + panel * AE_PANEL * (width + books);
    return (code_panel){at, at + width * AE_PANEL};
}

static code_panel kept_panel(const ae_binding *binding, int64_t panel) {
    const int64_t width = binding->in[0].shape.width, books = books_of(binding->desc);
    return (code_panel){(const real *)binding->parameter[CODES] + panel * AE_PANEL * width,
                        (const real *)binding->parameter[COUNTS] + panel * AE_PANEL * books};
}

static real input_at(const ae_binding *binding, int64_t row, int64_t column) {
    const ae_value *in = &binding->in[0];
    return latent_at(in->data, in->stride, column / AE_PANEL, row)[column % AE_PANEL];
}

/* One panel of codes: copies them, and gives rows to those that need one. Every part counts the needy ones before its own. */
static void vector_quantize_couple(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    const ae_node_desc *desc = binding->desc;
    const int64_t width = binding->in[0].shape.width, books = books_of(desc), codes = codes_of(desc), each = width / books;
    const double share = (double)rows / (double)codes, least = training ? desc->value[1] * share : 0.0;
    const code_panel from = kept_panel(binding, part), to = step_panel(binding, part);
    real *new_codes = (real *)(uintptr_t)to.codes, *new_counts = (real *)(uintptr_t)to.counts;
    memcpy(new_codes, from.codes, (size_t)(width * AE_PANEL) * sizeof(real));
    memcpy(new_counts, from.counts, (size_t)(books * AE_PANEL) * sizeof(real));
    for (int64_t book = 0; book < books; book++) {
        int64_t row = 0;
        for (int64_t code = 0; code < (part + 1) * AE_PANEL && code < codes && row < rows; code++) {
            const double count = (double)kept_panel(binding, code / AE_PANEL).counts[book * AE_PANEL + code % AE_PANEL];
            if (count > 0.0 && count >= least)
                continue;
            for (int64_t c = book * each; code / AE_PANEL == part && c < (book + 1) * each; c++)
                new_codes[c * AE_PANEL + code % AE_PANEL] = input_at(binding, row, c);
            if (code / AE_PANEL == part)
                new_counts[book * AE_PANEL + code % AE_PANEL] = (real)share;
            row++;
        }
    }
}

/* Squared distances of rows from the 32 codes of a panel, over the columns of a codebook in order. */
AE_INLINE void panel_distances(const ae_binding *binding, const int64_t *row, const real *codes, int64_t first, int64_t last,
                               real distance[ROWS_AT_ONCE][AE_PANEL]) {
    for (int j = 0; j < AE_PANEL; j += VL) {
        vec sum[ROWS_AT_ONCE];
        for (int r = 0; r < ROWS_AT_ONCE; r++)
            sum[r] = v_zero();
        for (int64_t c = first; c < last; c++) {
            const vec code = v_load(codes + c * AE_PANEL + j);
            for (int r = 0; r < ROWS_AT_ONCE; r++) {
                const vec off = v_sub(v_set1(input_at(binding, row[r], c)), code);
                sum[r] = v_fma(off, off, sum[r]);
            }
        }
        for (int r = 0; r < ROWS_AT_ONCE; r++)
            v_store(distance[r] + j, sum[r]);
    }
}

/* Numbers of the nearest codes of ROWS_AT_ONCE rows, -1 where none is near: by lane over the panels, then over the lanes. */
static void nearest_codes(const ae_binding *binding, bool keep, int64_t book, const int64_t *row, int64_t out[ROWS_AT_ONCE]) {
    const int64_t width = binding->in[0].shape.width, each = width / books_of(binding->desc);
    real best[ROWS_AT_ONCE][AE_PANEL], number[ROWS_AT_ONCE][AE_PANEL], distance[ROWS_AT_ONCE][AE_PANEL];
    for (int r = 0; r < ROWS_AT_ONCE; r++)
        for (int j = 0; j < AE_PANEL; j++)
            best[r][j] = (real)INFINITY, number[r][j] = -1;
    for (int64_t p = 0; p < ae_panels(codes_of(binding->desc)); p++) {
        const code_panel panel = keep ? step_panel(binding, p) : kept_panel(binding, p);
        panel_distances(binding, row, panel.codes, book * each, (book + 1) * each, distance);
        for (int r = 0; r < ROWS_AT_ONCE; r++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                const vec d = v_load(distance[r] + j), least = v_load(best[r] + j);
                const vec its = v_add(v_iota(), v_set1((real)(p * AE_PANEL + j)));
                const vmask nearer = m_and(v_lt(d, least), v_lt(v_zero(), v_load(panel.counts + book * AE_PANEL + j)));
                v_store(best[r] + j, v_select(nearer, d, least));
                v_store(number[r] + j, v_select(nearer, its, v_load(number[r] + j)));
            }
    }
    for (int r = 0; r < ROWS_AT_ONCE; r++) {
        int lane = 0;
        for (int j = 1; j < AE_PANEL; j++)
            if (best[r][j] < best[r][lane] || (best[r][j] == best[r][lane] && number[r][j] < number[r][lane]))
                lane = j;
        out[r] = (int64_t)number[r][lane];
    }
}

/* Whether a row that no code is near to has an excuse: a number in each column, and no code that takes part. */
static bool has_no_codes(const ae_binding *binding, bool keep, int64_t book, int64_t row) {
    const int64_t each = binding->in[0].shape.width / books_of(binding->desc);
    bool finite = true, any = false;
    for (int64_t c = book * each; c < (book + 1) * each; c++)
        finite &= isfinite(input_at(binding, row, c)) != 0;
    for (int64_t code = 0; code < codes_of(binding->desc); code++)
        any |= (keep ? step_panel(binding, code / AE_PANEL) : kept_panel(binding, code / AE_PANEL))
                   .counts[book * AE_PANEL + code % AE_PANEL] > 0;
    return finite && !any;
}

static void give_code(const ae_binding *binding, bool keep, int64_t book, int64_t row, int64_t number) {
    const ae_value *out = &binding->out;
    const int64_t width = binding->in[0].shape.width, each = width / books_of(binding->desc);
    const bool lost = number < 0 && !has_no_codes(binding, keep, book, row);
    number = number < 0 ? 0 : number; /* a code that has never taken part is zero */
    const real *codes = (keep ? step_panel(binding, number / AE_PANEL) : kept_panel(binding, number / AE_PANEL)).codes;
    if (keep)
        latent_at(binding->cache, out->stride, book / AE_PANEL, row)[book % AE_PANEL] = lost ? -1 : (real)number;
    if (binding->desc->size[2]) {
        latent_at(out->data, out->stride, book / AE_PANEL, row)[book % AE_PANEL] = lost ? (real)NAN : (real)number;
        return;
    }
    for (int64_t c = book * each; c < (book + 1) * each; c++)
        latent_at(out->data, out->stride, c / AE_PANEL, row)[c % AE_PANEL] =
            lost ? (real)NAN : codes[c * AE_PANEL + number % AE_PANEL];
}

static void vector_quantize_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const int64_t last_panel = ae_panels(out->shape.width) - 1;
    for (int64_t row = row0; row < row1; row++) /* padding, which codes do not reach */
        memset(latent_at(out->data, out->stride, last_panel, row), 0, AE_PANEL * sizeof(real));
    for (int64_t book = 0; book < books_of(binding->desc); book++)
        for (int64_t row = row0; row < row1; row += ROWS_AT_ONCE) {
            int64_t number[ROWS_AT_ONCE], group[ROWS_AT_ONCE];
            for (int r = 0; r < ROWS_AT_ONCE; r++) /* the last group may hold a row twice */
                group[r] = row + r < row1 ? row + r : row1 - 1;
            nearest_codes(binding, block->keep, book, group, number);
            for (int64_t r = row; r < row1 && r < row + ROWS_AT_ONCE; r++)
                give_code(binding, block->keep, book, r, number[r - row]);
        }
}

static void vector_quantize_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * in->shape.multiplicity, row1 = block->row1 * in->shape.multiplicity;
    if (!in->gradient)
        return;
    for (int64_t p = 0; p < ae_panels(in->shape.width); p++)
        for (int64_t i = row0 * AE_PANEL; i < row1 * AE_PANEL; i += VL)
            latent_give((real *)in->gradient + p * in->stride + i,
                        binding->desc->size[2] ? v_zero() : v_load((const real *)out->gradient + p * out->stride + i),
                        binding->accumulate[0]);
}

/* The number, within the panel of the tile, of the code that a row has from a codebook; -1: one of another panel, or none. */
static int64_t assigned_lane(const ae_binding *binding, const ae_tile *tile, int64_t row, int64_t book) {
    const real number = latent_at(binding->cache, binding->out.stride, book / AE_PANEL, row)[book % AE_PANEL];
    const int64_t lane = (int64_t)number - tile->panel * AE_PANEL;
    return lane >= 0 && lane < AE_PANEL ? lane : -1;
}

static void new_counts(const ae_binding *binding, const ae_tile *tile, int64_t book, int64_t rows, double count[AE_PANEL]) {
    const double decay = decay_of(binding->desc);
    const real *before = step_panel(binding, tile->panel).counts + book * AE_PANEL;
    double n[AE_PANEL] = {0};
    for (int64_t row = 0; row < rows; row++) {
        const int64_t lane = assigned_lane(binding, tile, row, book);
        if (lane >= 0)
            n[lane] += 1.0;
    }
    for (int j = 0; j < AE_PANEL; j++)
        count[j] = decay * (double)before[j] + (1.0 - decay) * n[j];
}

/* New codes in columns first .. last - 1 of x, all of one codebook. */
static void new_codes(const ae_binding *binding, const ae_tile *tile, int64_t rows, int64_t first, int64_t last, real *to) {
    const int64_t book = first / (binding->in[0].shape.width / books_of(binding->desc));
    const real *codes = step_panel(binding, tile->panel).codes;
    double count[AE_PANEL];
    new_counts(binding, tile, book, rows, count);
    memset(to, 0, (size_t)((last - first) * AE_PANEL) * sizeof(real));
    for (int64_t row = 0; row < rows; row++) {
        const int64_t lane = assigned_lane(binding, tile, row, book);
        for (int64_t c = first; lane >= 0 && c < last; c++)
            to[(c - first) * AE_PANEL + lane] += input_at(binding, row, c) - codes[c * AE_PANEL + lane];
    }
    for (int64_t c = first; c < last; c++)
        for (int j = 0; j < AE_PANEL; j++) {
            const double factor = count[j] > 0.0 ? (1.0 - decay_of(binding->desc)) / count[j] : 0.0;
            real *code = &to[(c - first) * AE_PANEL + j];
            *code = (real)((double)codes[c * AE_PANEL + j] + factor * (double)*code);
        }
}

static void vector_quantize_backward_weights(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate,
                                             void *gradient) {
    const int64_t each = binding->in[0].shape.width / books_of(binding->desc);
    real *to = gradient;
    (void)accumulate; /* there are no chunks */
    if (tile->parameter == COUNTS) {
        for (int64_t book = tile->row0; book < tile->row1; book++) {
            double count[AE_PANEL];
            new_counts(binding, tile, book, rows, count);
            for (int j = 0; j < AE_PANEL; j++)
                to[(book - tile->row0) * AE_PANEL + j] = (real)count[j];
        }
        return;
    }
    for (int64_t c = tile->row0; c < tile->row1;) {
        const int64_t end = c / each * each + each < tile->row1 ? c / each * each + each : tile->row1;
        new_codes(binding, tile, rows, c, end, to + (c - tile->row0) * AE_PANEL);
        c = end;
    }
}

const ae_layer_ops AE_V(ae_layer_vector_quantize) = {
    .name = "vector_quantize",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_COUPLES_ROWS,
    .plan = AE_PLANNED(vector_quantize),
    .forward = vector_quantize_forward,
    .backward_data = vector_quantize_backward_data,
    .backward_weights = vector_quantize_backward_weights,
    .couple = vector_quantize_couple,
};
