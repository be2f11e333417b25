#include <float.h>
#include <math.h>
#include <string.h>

#include "math/spd.h"
#include "train/kfac_internal.h"
#include "train/laps.h"

/* How often what is done, in steps, and how fast averages follow: sections 6.5, 5 and 8 of the paper, factors more often since rows are
 * few. */
#define FACTOR_STEPS 2
#define INVERSE_STEPS 20
#define DAMPING_STEPS 5
#define FIRST_INVERSES 3          /* steps that invert anew, while the averages are young */
#define MOST_KEPT 0.95            /* of the averages */
#define LEAST_MODELLED 128        /* for the quadratic model: an eighth, at least these */
#define DAMPING_FALL 0.7737809375 /* by which the damping falls or rises: 0.95 a step */
#define FIRST_DAMPING 10.0        /* of the mean curvature of a weight */
#define LEAST_DAMPING 0.05        /* likewise; without it the damping falls until steps fit single minibatches */
#define MOST_TRIES 8              /* inversions, each with four times the damping, before giving up */
#define FIRST_LOOKS 5             /* steps, each looked at: averages are young, and the first step is too long as a rule */
#define MOST_SHORTENINGS 8        /* of a step, before it is taken back */
#define LEAST_SHARE 0.1           /* that is left of a step by one of them */
#define ROWS_OF_BLOCK 64 /* of the roots, of the way back from draws, and of derivatives along steps of narrow layers */
#define ROWS_AT_ONCE 512
/* Of what is read several times, from three or four arrays: they stay in the first level. */
#define ROWS_IN_CACHE 64
_Static_assert(ROWS_IN_CACHE % AE_PANEL == 0 && ROWS_IN_CACHE <= AE_TILE_ROWS,
               "whole blocks, which a worker's tile has room for");

/* ---- curvature ---- */

static const ae_parts nothing = {{NULL, NULL}};

typedef struct kfac_phase {
    const ae_trainer *t;
    ae_kfac *k;
    const pass *pass;
    int workers;
    int64_t rows;      /* of the minibatch */
    int64_t s;         /* of them, those that factors are taken of */
    int64_t model;     /* and those of the quadratic model, no more */
    int64_t rooted;    /* those whose roots this step needs */
    double weight;     /* sum of the weights of the s rows */
    int first_inverse; /* of those that run now, in k->by_size */
    double kept;       /* of the averages */
    double root;       /* of the damping, for both factors */
    double l2;
    int layer;        /* whose derivatives along a change are next */
    bool last;        /* the change is the last step, else the direction */
    bool along_last;  /* both are wanted */
    bool looks_ahead; /* the step may be taken back */
    double a, b;      /* the step: a * direction + b * last */
    double share;     /* that a shortening leaves of it */
} kfac_phase;

static void run(const kfac_phase *f, ae_task function, int64_t n) {
    ae_pool_run(f->t->pool, function, (void *)f, n, f->workers);
}

static int64_t n_blocks(int64_t rows) { return (rows + ROWS_OF_BLOCK - 1) / ROWS_OF_BLOCK; }

/* In loops of one precision: a call for each number took longer than the root. */
static void fill(int bits, int n, double value, void *x) {
    for (int i = 0; bits == 32 && i < n; i++)
        ((float *)x)[i] = (float)value;
    for (int i = 0; bits == 64 && i < n; i++)
        ((double *)x)[i] = value;
}

static void take_roots(int bits, int64_t n, void *x) {
    for (int64_t i = 0; bits == 32 && i < n; i++)
        ((float *)x)[i] = sqrtf(((float *)x)[i]);
    for (int64_t i = 0; bits == 64 && i < n; i++)
        ((double *)x)[i] = sqrt(((double *)x)[i]);
}

/* Roots of the loss's second derivatives by the prediction z, for one row of data and unit scale: of c f'(z) r / width with the link
 * f, the row's weight r and c = 2 for the square, 1 for the others. */
static void root_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const ae_term *term = &t->losses[0];
    const ae_value *z = &t->net->nodes[term->desc.prediction].binding.out;
    const int64_t row0 = index * ROWS_OF_BLOCK, row1 = row0 + ROWS_OF_BLOCK < f->rooted ? row0 + ROWS_OF_BLOCK : f->rooted;
    const ae_activation link = term->ops->link;
    const double factor = (link == AE_IDENTITY ? 2.0 : 1.0) * term->desc.weight / (double)z->shape.width;
    lap p = lap_begin(t, worker);
    for (int64_t q = 0; q < ae_panels(z->shape.width); q++) {
        const int columns = ae_panel_columns(z->shape.width, q);
        char *const to = at(t, f->k->roots, (q * f->k->sampled + row0) * AE_PANEL);
        for (int64_t r = row0; r < row1; r++) {
            char *const row = at(t, to, (r - row0) * AE_PANEL);
            fill(t->net->bits, columns, factor * t->row_weight[r], row);
            fill(t->net->bits, AE_PANEL - columns, 0.0, at(t, row, columns));
        }
        if (link != AE_IDENTITY) {
            /* The derivatives of the last layer lie here otherwise. */
            char *const value = at(t, z->gradient, q * z->stride + row0 * AE_PANEL);
            memcpy(value, at(t, z->data, q * z->stride + row0 * AE_PANEL),
                   (size_t)((row1 - row0) * AE_PANEL) * t->net->real_size);
            t->kernels->activation_forward(link, (row1 - row0) * AE_PANEL, value, NULL);
            t->kernels->activation_backward(link, (row1 - row0) * AE_PANEL, value, NULL, to);
        }
        take_roots(t->net->bits, (row1 - row0) * AE_PANEL, to);
    }
    lap_end(&p, PROFILE_CURVATURE, 0);
}

/* Derivatives by the prediction where targets are drawn from the model: normal draws times the roots have the same covariance. Then
 * back through the network. */
static void sample_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const stage *s = &t->stages[0];
    const int prediction = t->losses[0].desc.prediction;
    const ae_value *z = &t->net->nodes[prediction].binding.out;
    const int64_t row0 = index * ROWS_OF_BLOCK, row1 = row0 + ROWS_OF_BLOCK < f->s ? row0 + ROWS_OF_BLOCK : f->s;
    const ae_key key = ae_key_of(t->options.seed, AE_STREAM_CURVATURE, "");
    const ae_block block = {row0, row1, f->pass->step, 0, true, true, false, NULL, AE_SHARE_ALL, 0, 0};
    lap p = lap_begin(t, worker);
    char *const normal = f->k->normal + (size_t)worker * f->k->normal_bytes;
    const int64_t size = (int64_t)t->net->real_size;
    const ae_rows drawn = {size == 4 ? AE_F32 : AE_F64, normal, 0, size};
    for (int64_t row = row0; row < row1; row++) {
        t->kernels->random_normal(key, f->pass->step, (uint32_t)row, z->shape.width, normal);
        t->kernels->rows_gather(&drawn, NULL, 1, z->shape.width, z->stride, row, z->gradient);
    }
    for (int64_t q = 0; q < ae_panels(z->shape.width); q++)
        t->kernels->multiply((row1 - row0) * AE_PANEL, at(t, f->k->roots, (q * f->k->sampled + row0) * AE_PANEL),
                             at(t, z->gradient, q * z->stride + row0 * AE_PANEL));
    ae_net_backward(t->net, s->desc.first_node, s->desc.last_node, block, worker);
    lap_end(&p, PROFILE_CURVATURE, 0);
}

/* The column sums of the inputs stand in the row of the bias. */
static void bias_row(const kfac_phase *f, const kfac_layer *l, const kfac_task *task, const void *panel, int columns) {
    const ae_trainer *t = f->t;
    const kfac_factor *a = &l->factor[INPUTS];
    double sums[AE_PANEL] = {0}; /* as many bytes as reals of either precision */
    char *const row = at(t, a->average, (task->panel * a->size + l->inputs) * AE_PANEL);
    if (columns)
        t->kernels->column_sums(0, f->s, panel, sums);
    for (int c = 0; c < columns; c++)
        ae_real_set(t->net->bits, row, c,
                    f->kept * ae_real_at(t->net->bits, row, c) + (1 - f->kept) / f->weight * ae_real_at(t->net->bits, sums, c));
    if (l->inputs / AE_PANEL == task->panel)
        ae_real_set(t->net->bits, row, l->inputs % AE_PANEL, 1.0);
}

/* A panel of inputs, each row times its weight or the root of it. */
static const char *weighted(const kfac_phase *f, const char *panel, bool by_roots, int worker) {
    const ae_trainer *t = f->t;
    const size_t row = AE_PANEL * t->net->real_size;
    char *const to = f->k->weighted + (size_t)worker * f->k->weighted_bytes;
    if (!f->pass->data->row_weight)
        return panel;
    memcpy(to, panel, (size_t)f->s * row);
    for (int64_t r = 0; r < f->s; r++)
        t->kernels->scale(AE_PANEL, by_roots ? sqrt(t->row_weight[r]) : t->row_weight[r], to + (size_t)r * row);
    return to;
}

/* In parts, a panel of what averages learn from. */
static void side_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const kfac_task *task = &f->k->side_tasks[index];
    const kfac_layer *l = &f->k->layers[task->layer];
    const kfac_factor *a = &l->factor[task->side];
    const ae_value *value = task->side == INPUTS ? &l->node->binding.in[0] : &l->node->binding.out;
    const char *x = at(t, task->side == INPUTS ? value->data : value->gradient, task->panel * value->stride);
    lap p = lap_begin(t, worker);
    /* Both factors of the product are the same numbers, so that no eigenvalue is below zero. */
    if (task->side == INPUTS)
        x = weighted(f, x, true, worker);
    for (int64_t g = 0; g < ae_panels(f->s); g++) {
        const int rows = ae_panel_columns(f->s, g);
        const ae_parts pairs = ae_parts_at(a->pairs, (task->panel * ae_panels(f->k->sampled) + g) * AE_BF16_BLOCK);
        const ae_parts turned = ae_parts_at(a->turned, g * turned_step(a) + task->panel * AE_BF16_BLOCK);
        t->kernels->bf16_block(at(t, x, g * AE_BF16_BLOCK), rows, f->k->parts, nothing, pairs);
        for (int part = 0; part < f->k->parts; part++)
            t->kernels->bf16_turn_pairs(pairs.part[part], turned.part[part]);
    }
    lap_end(&p, PROFILE_CURVATURE, 0);
}

/* x^T x over the rows that are sampled: rows row0 .. row1 - 1 of a panel. */
static void square(const kfac_phase *f, const kfac_task *task, int64_t row1, const char *along, char *tile) {
    const ae_trainer *t = f->t;
    const kfac_layer *l = &f->k->layers[task->layer];
    const kfac_factor *a = &l->factor[task->side];
    const ae_value *value = task->side == INPUTS ? &l->node->binding.in[0] : &l->node->binding.out;
    const char *x = task->side == INPUTS ? value->data : value->gradient;
    if (f->k->parts) {
        const ae_bf16_gemm over_rows = {ae_panels(f->s), turned_step(a), f->k->parts, 1, 0, 0};
        t->kernels->bf16_product(&over_rows, row1 - task->row0, ae_parts_at(a->turned, task->row0 * AE_PANEL),
                                 ae_parts_at(a->pairs, task->panel * ae_panels(f->k->sampled) * AE_BF16_BLOCK), AE_START_ZERO,
                                 NULL, tile);
        return;
    }
    const int columns = ae_panel_columns(value->shape.width, task->panel);
    for (int64_t from = 0; from < f->s; from += ROWS_AT_ONCE) {
        const int32_t k = (int32_t)(f->s - from < ROWS_AT_ONCE ? f->s - from : ROWS_AT_ONCE);
        const ae_gemm over_rows = {1, k, k, NULL, NULL, 0, 0};
        for (int64_t row = task->row0; row < row1; row += AE_PANEL)
            t->kernels->gemm_columns(&over_rows, (int)(row1 - row < AE_PANEL ? row1 - row : AE_PANEL), columns,
                                     at(t, x, row / AE_PANEL * value->stride + from * AE_PANEL), at(t, along, from * AE_PANEL),
                                     from ? AE_START_C : AE_START_ZERO, at(t, tile, (row - task->row0) * AE_PANEL));
    }
}

/* A tile of an average: kept * average + (1 - kept) * mean over the rows of x^T x; derivatives have the rows' weights already. */
static void factor_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const kfac_task *task = &f->k->factor_tasks[index];
    const kfac_layer *l = &f->k->layers[task->layer];
    const kfac_factor *a = &l->factor[task->side];
    const ae_value *value = task->side == INPUTS ? &l->node->binding.in[0] : &l->node->binding.out;
    const int64_t width = value->shape.width, end = task->row1 < width ? task->row1 : width;
    const int columns = task->panel * AE_PANEL < width ? ae_panel_columns(width, task->panel) : 0;
    const double share = (1 - f->kept) / (task->side == INPUTS ? f->weight : (double)f->s);
    const bool has_bias = task->side == INPUTS && l->bias >= 0 && l->inputs >= task->row0 && l->inputs < task->row1;
    const char *along = at(t, task->side == INPUTS ? value->data : value->gradient, task->panel * value->stride);
    char *const tile = f->k->tiles + (size_t)worker * f->k->tile_bytes;
    lap p = lap_begin(t, worker);
    if (columns && task->side == INPUTS && (has_bias || !f->k->parts))
        along = weighted(f, along, false, worker);
    if (columns && task->row0 < end) {
        square(f, task, end, along, tile);
        /* Padding of activations is not zero. */
        for (int64_t r = 0; columns < AE_PANEL && r < end - task->row0; r++)
            memset(at(t, tile, r * AE_PANEL + columns), 0, (size_t)(AE_PANEL - columns) * t->net->real_size);
        char *const average = at(t, a->average, (task->panel * a->size + task->row0) * AE_PANEL);
        t->kernels->scale((end - task->row0) * AE_PANEL, f->kept, average);
        t->kernels->axpy((end - task->row0) * AE_PANEL, share, tile, average);
    }
    if (has_bias)
        bias_row(f, l, task, along, columns);
    lap_end(&p, PROFILE_CURVATURE, 0);
}

static double trace(const ae_trainer *t, const kfac_factor *a) {
    double sum = 0.0;
    for (int64_t i = 0; i < a->n; i++)
        sum += ae_real_at(t->net->bits, a->average, (i / AE_PANEL * a->size + i) * AE_PANEL + i % AE_PANEL);
    return sum;
}

/* The inverse of average + root * share on the diagonal; the share makes both factors of a layer equally damped beside their mean
 * eigenvalues (section 6.3). */
static void inverse_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const int which = f->k->by_size[f->first_inverse + index], side = which % 2;
    kfac_layer *l = &f->k->layers[which / 2];
    kfac_factor *a = &l->factor[side];
    const double inputs = trace(t, &l->factor[INPUTS]) / (double)l->rows,
                 units = trace(t, &l->factor[UNITS]) / (double)l->units;
    double share = inputs > 0 && units > 0 ? sqrt(inputs / units) : 1.0;
    const int bits = t->net->bits;
    double root = f->root;
    lap p = lap_begin(t, worker);
    share = side == INPUTS ? share : 1.0 / share;
    a->failed = true;
    for (int i = 0; i < MOST_TRIES && a->failed; i++, root *= 4) {
        for (int64_t q = 0; q < a->size / AE_PANEL; q++) {
            const int64_t diagonal = q * (a->size + AE_PANEL) * AE_PANEL;
            char *const to = at(t, a->inverse, diagonal);
            memcpy(to, at(t, a->average, diagonal), (size_t)((a->size - q * AE_PANEL) * AE_PANEL) * t->net->real_size);
            for (int r = 0; r < AE_PANEL; r++)
                for (int c = r + 1; c < AE_PANEL; c++)
                    ae_real_set(bits, to, r * AE_PANEL + c, ae_real_at(bits, to, c * AE_PANEL + r));
        }
        for (int64_t j = 0; j < a->size; j++) {
            const int64_t place = (j / AE_PANEL * a->size + j) * AE_PANEL + j % AE_PANEL;
            ae_real_set(bits, a->inverse, place, j < a->n ? ae_real_at(bits, a->inverse, place) + root * share : 1.0);
        }
        a->failed =
            !ae_spd_inverse(t->kernels, bits, a->size, a->inverse, f->k->scratch + (size_t)worker * f->k->scratch_bytes);
    }
    lap_end(&p, PROFILE_INVERSES, 0);
}

/* Rows of a panel in parts, in either layout or both. */
static void pack_rows(const kfac_phase *f, int64_t rows, const char *from, ae_parts by_rows, ae_parts pairs) {
    for (int64_t row = 0; row < rows; row += AE_PANEL)
        f->t->kernels->bf16_block(at(f->t, from, row * AE_PANEL), (int)(rows - row < AE_PANEL ? rows - row : AE_PANEL),
                                  f->k->parts, ae_parts_at(by_rows, row * AE_PANEL), ae_parts_at(pairs, row * AE_PANEL));
}

/* Rows row0 .. row1 - 1 of a panel of a change of the weight, by pairs; the row of the bias stays out. */
static void pack_change(const kfac_phase *f, const kfac_layer *l, int64_t panel, int64_t row0, int64_t row1, const char *change,
                        ae_parts pairs) {
    row1 = row1 < l->inputs ? row1 : l->inputs;
    pack_rows(f, row1 - row0, at(f->t, change, (panel * l->rows + row0) * AE_PANEL), nothing,
              ae_parts_at(pairs, (panel * padded(l->inputs) + row0) * AE_PANEL));
}

/* An inverse in parts, as the products read it, and where the inputs' is, the last step. */
static void pack_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const kfac_layer *l = &f->k->layers[index / 2];
    const kfac_factor *a = &l->factor[index % 2];
    const int64_t rows = a->size / AE_PANEL * a->size; /* of all panels, which are whole blocks */
    lap p = lap_begin(f->t, worker);
    if (index % 2 == UNITS)
        pack_rows(f, rows, a->inverse, nothing, a->parts);
    else
        pack_rows(f, rows, a->inverse, a->parts, nothing);
    for (int64_t q = 0; index % 2 == INPUTS && q < l->panels; q++)
        pack_change(f, l, q, 0, l->inputs, l->last, l->last_parts);
    lap_end(&p, PROFILE_INVERSES, 0);
}

/* ---- direction and step ---- */

/* Reals of rows from `row` on that are taken at once: with the row of the bias, and without. */
typedef struct kfac_reals {
    int64_t all, weights;
} kfac_reals;

static kfac_reals reals_from(const kfac_layer *l, int64_t row) {
    const int64_t end = row + ROWS_IN_CACHE < l->rows ? row + ROWS_IN_CACHE : l->rows;
    return (kfac_reals){(end - row) * AE_PANEL, ((end < l->inputs ? end : l->inputs) - row) * AE_PANEL};
}

/* Where a row of the weight, and the bias, lie among all parameters. */
static int64_t weight_at(const ae_trainer *t, const kfac_layer *l, int64_t panel, int64_t row) {
    return t->net->parameters[l->weight].offset + (panel * l->inputs + row) * AE_PANEL;
}

static int64_t bias_at(const ae_trainer *t, const kfac_layer *l, int64_t panel) {
    return t->net->parameters[l->bias].offset + panel * AE_PANEL;
}

/* The gradient of a layer as the products read it, the row of the bias behind those of the weight: floats, or parts, made in the
 * worker's memory. */
static void gradient_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const kfac_task *task = &f->k->panel_tasks[index];
    const kfac_layer *l = &f->k->layers[task->layer];
    const int64_t place = task->panel * l->rows;
    lap p = lap_begin(t, worker);
    for (int64_t row = 0; row < l->rows; row += ROWS_IN_CACHE) {
        const kfac_reals rows = reals_from(l, row);
        char *const to =
            f->k->parts ? f->k->tiles + (size_t)worker * f->k->tile_bytes : at(t, l->gradient, (place + row) * AE_PANEL);
        const int64_t from = weight_at(t, l, task->panel, row);
        memcpy(to, at(t, t->gradient, from), (size_t)rows.weights * t->net->real_size);
        if (f->l2 > 0)
            t->kernels->axpy(rows.weights, f->l2, at(t, t->net->parameter_base, from), to);
        if (rows.all > rows.weights)
            memcpy(at(t, to, rows.weights), at(t, t->gradient, bias_at(t, l, task->panel)), AE_PANEL * t->net->real_size);
        if (f->k->parts)
            pack_rows(f, rows.all / AE_PANEL, to, ae_parts_at(l->gradient_parts, (place + row) * AE_PANEL), nothing);
    }
    lap_end(&p, PROFILE_DIRECTION, 0);
}

static ae_gemm product(int64_t summed, int64_t a_stride) {
    const int64_t terms = ae_panels(summed);
    return (ae_gemm){terms, AE_PANEL, ae_panel_columns(summed, terms - 1), NULL, NULL, a_stride, AE_PANEL * AE_PANEL};
}

/* A block of (rows, units) in panels: a b, over `summed` columns of a; panels of a have a_rows rows, those of b b_rows. */
static void multiply(const kfac_phase *f, int64_t index, int worker, int64_t summed, const char *a, int64_t a_rows,
                     const char *b, int64_t b_rows, char *to) {
    const ae_trainer *t = f->t;
    const kfac_task *task = &f->k->product_tasks[index];
    const kfac_layer *l = &f->k->layers[task->layer];
    const ae_gemm gemm = product(summed, a_rows * AE_PANEL);
    lap p = lap_begin(t, worker);
    t->kernels->gemm_rows(&gemm, task->row1 - task->row0, ae_panel_columns(l->units, task->panel),
                          at(t, a, task->row0 * AE_PANEL), at(t, b, task->panel * b_rows * AE_PANEL), AE_START_ZERO, NULL,
                          at(t, to, (task->panel * l->rows + task->row0) * AE_PANEL));
    lap_end(&p, PROFILE_DIRECTION, 0);
}

/* The same of parts: panels of a have a_rows rows, b is by pairs. */
static char *multiply_parts(const kfac_phase *f, const kfac_task *task, int64_t summed, ae_parts a, int64_t a_rows, ae_parts b,
                            char *to) {
    const ae_trainer *t = f->t;
    const ae_bf16_gemm gemm = {ae_panels(summed), a_rows * AE_PANEL, f->k->parts, 1, ae_panels(summed) * AE_BF16_BLOCK, 0};
    char *const c = at(t, to, (task->panel * f->k->layers[task->layer].rows + task->row0) * AE_PANEL);
    t->kernels->bf16_product(&gemm, task->row1 - task->row0, ae_parts_at(a, task->row0 * AE_PANEL),
                             ae_parts_at(b, task->panel * gemm.terms * AE_BF16_BLOCK), AE_START_ZERO, NULL, c);
    return c;
}

static void units_by_parts_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const kfac_task *task = &f->k->product_tasks[index];
    const kfac_layer *l = &f->k->layers[task->layer];
    lap p = lap_begin(f->t, worker);
    const char *c = multiply_parts(f, task, l->units, l->gradient_parts, l->rows, l->factor[UNITS].parts, l->product);
    pack_rows(f, task->row1 - task->row0, c, nothing,
              ae_parts_at(l->product_parts, (task->panel * padded(l->rows) + task->row0) * AE_PANEL));
    lap_end(&p, PROFILE_DIRECTION, 0);
}

static void inputs_by_parts_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const kfac_task *task = &f->k->product_tasks[index];
    const kfac_layer *l = &f->k->layers[task->layer];
    const kfac_factor *inputs = &l->factor[INPUTS];
    lap p = lap_begin(f->t, worker);
    multiply_parts(f, task, l->rows, inputs->parts, inputs->size, l->product_parts, l->direction);
    pack_change(f, l, task->panel, task->row0, task->row1, l->direction, l->direction_parts);
    lap_end(&p, PROFILE_DIRECTION, 0);
}

static void units_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const kfac_layer *l = &f->k->layers[f->k->product_tasks[index].layer];
    const kfac_factor *units = &l->factor[UNITS];
    multiply(f, index, worker, l->units, l->gradient, l->rows, units->inverse, units->size, l->product);
}

static void inputs_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const kfac_layer *l = &f->k->layers[f->k->product_tasks[index].layer];
    const kfac_factor *inputs = &l->factor[INPUTS];
    multiply(f, index, worker, l->rows, inputs->inverse, inputs->size, l->product, l->rows, l->direction);
}

/* x V + x' W of a panel, for rows row0 .. row1 - 1, where V is a change of W and x' the derivative of x; of the first layer x V. */
static void along_panel(const kfac_phase *f, int64_t q, int64_t row0, int64_t row1, char *to) {
    const ae_trainer *t = f->t;
    const kfac_layer *l = &f->k->layers[f->layer];
    const ae_value *in = &l->node->binding.in[0];
    const char *change = at(t, f->last ? l->last : l->direction, q * l->rows * AE_PANEL),
               *bias = at(t, change, l->inputs * AE_PANEL);
    const ae_gemm_start start = l->bias >= 0 ? AE_START_BIAS : AE_START_ZERO;
    if (f->k->parts) {
        const ae_operands *o = &l->node->binding.operands;
        ae_bf16_gemm gemm = {ae_panels(l->inputs), o->step, f->k->parts, 1, ae_panels(l->inputs) * AE_BF16_BLOCK, 0};
        const int64_t panel = q * gemm.terms * AE_BF16_BLOCK, rows = row0 * AE_PANEL;
        t->kernels->bf16_product(&gemm, row1 - row0, ae_parts_at(o->in, rows),
                                 ae_parts_at(f->last ? l->last_parts : l->direction_parts, panel), start, bias, to);
        if (f->layer > 0) {
            const ae_operands *before = &f->k->layers[f->layer - 1].node->binding.operands;
            gemm.a_step = before->step;
            t->kernels->bf16_product(&gemm, row1 - row0, ae_parts_at(before->delta, rows), ae_parts_at(o->weight, panel),
                                     AE_START_C, NULL, to);
        }
        return;
    }
    const int columns = ae_panel_columns(l->units, q);
    const ae_gemm gemm = product(l->inputs, in->stride);
    t->kernels->gemm_rows(&gemm, row1 - row0, columns, at(t, in->data, row0 * AE_PANEL), change, start, bias, to);
    if (f->layer > 0)
        t->kernels->gemm_rows(&gemm, row1 - row0, columns, at(t, in->gradient, row0 * AE_PANEL),
                              at(t, l->node->binding.parameter[0], q * l->inputs * AE_PANEL), AE_START_C, NULL, to);
}

static int64_t along_blocks(const kfac_phase *f) { return f->k->layers[f->layer].panels < f->workers ? n_blocks(f->model) : 1; }

/* A panel of the derivatives of a layer's values along a change of the parameters, where gradients lie otherwise; those of the prediction
 * times the roots. All rows of the model, or a block of them. */
static void along_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const kfac_layer *l = &f->k->layers[f->layer];
    const ae_value *out = &l->node->binding.out;
    const ae_operands *o = &l->node->binding.operands;
    const ae_activation activation = (ae_activation)l->node->desc.activation;
    const int64_t q = index % l->panels, height = along_blocks(f) > 1 ? ROWS_OF_BLOCK : f->model;
    const int64_t row0 = index / l->panels * height, row1 = row0 + height < f->model ? row0 + height : f->model;
    const int64_t place = q * out->stride + row0 * AE_PANEL, roots = (q * f->k->sampled + row0) * AE_PANEL,
                  reals = (row1 - row0) * AE_PANEL;
    const char *slope = l->node->binding.cache;
    char *to = at(t, out->gradient, place);
    lap p = lap_begin(t, worker);
    along_panel(f, q, row0, row1, to);
    if (activation != AE_IDENTITY)
        t->kernels->activation_backward(activation, reals, at(t, out->data, place), slope ? at(t, slope, place) : NULL, to);
    if (f->layer + 1 == f->k->n_layers) {
        t->kernels->multiply(reals, at(t, f->k->roots, roots), to);
        if (!f->last)
            memcpy(at(t, f->k->along, roots), to, (size_t)reals * t->net->real_size);
    } else if (f->k->parts) {
        pack_rows(f, row1 - row0, to, ae_parts_at(o->delta, q * o->step + row0 * AE_PANEL), nothing);
    }
    lap_end(&p, PROFILE_DIRECTION, 0);
}

/* Layer after layer, so that each weight is read by one worker only. */
static void along(kfac_phase *f, bool last) {
    f->last = last;
    for (f->layer = 0; f->layer < f->k->n_layers; f->layer++)
        run(f, along_task, f->k->layers[f->layer].panels * along_blocks(f));
}

/* The direction's products with itself, the last step, the gradient without l2, and the weights; and the last step's. */
static void dots_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const kfac_task *task = &f->k->panel_tasks[index];
    const kfac_layer *l = &f->k->layers[task->layer];
    double *out = f->k->dots + index * DOTS;
    lap timed = lap_begin(t, worker);
    memset(out, 0, DOTS * sizeof *out);
    for (int64_t row = 0; row < l->rows; row += ROWS_IN_CACHE) {
        const kfac_reals rows = reals_from(l, row);
        const int64_t step = (task->panel * l->rows + row) * AE_PANEL, weight = weight_at(t, l, task->panel, row);
        const char *d = at(t, l->direction, step), *p = at(t, l->last, step);
        const char *g = at(t, t->gradient, weight), *w = at(t, t->net->parameter_base, weight);
        const char *d_bias = at(t, d, rows.weights), *p_bias = at(t, p, rows.weights),
                   *g_bias = rows.all > rows.weights ? at(t, t->gradient, bias_at(t, l, task->panel)) : NULL;
        out[DD] += t->kernels->dot(rows.all, d, d);
        out[GD] += t->kernels->dot(rows.weights, g, d) + (g_bias ? t->kernels->dot(AE_PANEL, g_bias, d_bias) : 0.0);
        out[WD] += f->l2 > 0 ? t->kernels->dot(rows.weights, w, d) : 0.0;
        if (f->along_last) {
            out[DP] += t->kernels->dot(rows.all, d, p);
            out[PP] += t->kernels->dot(rows.all, p, p);
            out[GP] += t->kernels->dot(rows.weights, g, p) + (g_bias ? t->kernels->dot(AE_PANEL, g_bias, p_bias) : 0.0);
            out[WP] += f->l2 > 0 ? t->kernels->dot(rows.weights, w, p) : 0.0;
        }
    }
    lap_end(&timed, PROFILE_DIRECTION, 0);
}

/* Sum over entries of two panel matrices of s rows, panels in order. */
static double joined_dot(const kfac_phase *f, const char *x, int64_t x_stride, const char *y, int64_t y_stride) {
    const ae_trainer *t = f->t;
    double sum = 0.0;
    for (int64_t q = 0; q < f->k->layers[f->k->n_layers - 1].panels; q++)
        sum += t->kernels->dot(f->model * AE_PANEL, at(t, x, q * x_stride), at(t, y, q * y_stride));
    return sum;
}

/* Copies a panel of the parameters to where the product was, or back. */
static void exchange(const kfac_phase *f, const kfac_layer *l, int64_t panel, bool back) {
    const ae_trainer *t = f->t;
    const int64_t reals = l->inputs * AE_PANEL;
    char *const kept = at(t, l->product, panel * l->rows * AE_PANEL);
    char *const weight = at(t, t->net->parameter_base, weight_at(t, l, panel, 0));
    memcpy(back ? weight : kept, back ? kept : weight, (size_t)reals * t->net->real_size);
    if (l->bias >= 0) {
        char *const bias = at(t, t->net->parameter_base, bias_at(t, l, panel));
        char *const place = at(t, kept, reals);
        memcpy(back ? bias : place, back ? place : bias, AE_PANEL * t->net->real_size);
    }
}

/* Parameters take rows of a panel of the last step. */
static void take_last(const kfac_phase *f, const kfac_layer *l, int64_t panel, int64_t row) {
    const ae_trainer *t = f->t;
    const kfac_reals rows = reals_from(l, row);
    const int64_t end = row + rows.weights / AE_PANEL;
    const char *const last = at(t, l->last, (panel * l->rows + row) * AE_PANEL);
    t->kernels->axpy(rows.weights, 1.0, last, at(t, t->net->parameter_base, weight_at(t, l, panel, row)));
    ae_net_pack_tile(t->net, l->weight, panel, row, end);
    if (f->k->parts)
        pack_change(f, l, panel, row, end, l->last, l->last_parts);
    if (rows.all > rows.weights)
        t->kernels->axpy(AE_PANEL, 1.0, at(t, last, rows.weights), at(t, t->net->parameter_base, bias_at(t, l, panel)));
}

/* last = a * direction + b * last, which the parameters then take. */
static void move_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const kfac_task *task = &f->k->panel_tasks[index];
    const kfac_layer *l = &f->k->layers[task->layer];
    lap p = lap_begin(t, worker);
    if (f->looks_ahead)
        exchange(f, l, task->panel, false);
    for (int64_t row = 0; row < l->rows; row += ROWS_IN_CACHE) {
        const int64_t reals = reals_from(l, row).all, step = (task->panel * l->rows + row) * AE_PANEL;
        char *const last = at(t, l->last, step);
        if (f->along_last)
            t->kernels->scale(reals, f->b, last);
        else
            memset(last, 0, (size_t)reals * t->net->real_size);
        t->kernels->axpy(reals, f->a, at(t, l->direction, step), last);
        take_last(f, l, task->panel, row);
    }
    lap_end(&p, PROFILE_UPDATE, (int)(l->node - t->net->nodes));
}

/* The same from where the step began, with a share of it. */
static void shorten_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const kfac_task *task = &f->k->panel_tasks[index];
    const kfac_layer *l = &f->k->layers[task->layer];
    lap p = lap_begin(t, worker);
    exchange(f, l, task->panel, true);
    for (int64_t row = 0; row < l->rows; row += ROWS_IN_CACHE) {
        t->kernels->scale(reals_from(l, row).all, f->share, at(t, l->last, (task->panel * l->rows + row) * AE_PANEL));
        take_last(f, l, task->panel, row);
    }
    lap_end(&p, PROFILE_UPDATE, (int)(l->node - t->net->nodes));
}

/* Parameters as they were before the step, and no last step. */
static void back_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const kfac_task *task = &f->k->panel_tasks[index];
    const kfac_layer *l = &f->k->layers[task->layer];
    const size_t real = t->net->real_size;
    (void)worker;
    memset(at(t, l->last, task->panel * l->rows * AE_PANEL), 0, (size_t)(l->rows * AE_PANEL) * real);
    exchange(f, l, task->panel, true);
    ae_net_pack_tile(t->net, l->weight, task->panel, 0, l->inputs);
    if (f->k->parts)
        pack_change(f, l, task->panel, 0, l->inputs, l->last, l->last_parts);
}

static double mean_curvature(const ae_trainer *t, const ae_kfac *k) {
    double sum = 0.0, n = 0.0;
    for (int i = 0; i < k->n_layers; i++) {
        sum += trace(t, &k->layers[i].factor[INPUTS]) * trace(t, &k->layers[i].factor[UNITS]);
        n += (double)k->layers[i].rows * (double)k->layers[i].units;
    }
    return sum / n;
}

static ae_status learn_curvature(ae_context *context, ae_trainer *t, kfac_phase *f, ae_stop stop, void *stop_argument) {
    ae_kfac *k = f->k;
    ae_status status = AE_OK;
    if (k->steps % FACTOR_STEPS == 0 && f->weight > 0) {
        const double young = 1.0 - 1.0 / (double)(k->steps / FACTOR_STEPS + 1);
        f->kept = young < MOST_KEPT ? young : MOST_KEPT;
        run(f, sample_task, n_blocks(f->s));
        run(f, side_task, k->n_side_tasks);
        run(f, factor_task, k->n_factor_tasks);
        AE_TRY(train_ask(context, t, stop, stop_argument));
    }
    if (k->steps == 0) {
        k->damping = FIRST_DAMPING * mean_curvature(t, k);
        if (!isfinite(k->damping))
            return ae_fail(context, AE_ERR_NONFINITE, "the curvature of the loss is %g at the first step", k->damping);
        if (k->damping == 0.0) /* rows without weight: the next minibatch begins */
            return AE_OK;
    }
    if (k->steps % INVERSE_STEPS == 0 || k->steps < FIRST_INVERSES) {
        k->packed = false;
        f->root = sqrt(k->damping + f->l2);
        /* Each may take long; asked between as many as run at once, the largest first. */
        for (f->first_inverse = 0; f->first_inverse < 2 * k->n_layers; f->first_inverse += f->workers) {
            const int left = 2 * k->n_layers - f->first_inverse;
            run(f, inverse_task, left < f->workers ? left : f->workers);
            AE_TRY(train_ask(context, t, stop, stop_argument));
        }
        for (int i = 0; i < k->n_layers; i++)
            if (k->layers[i].factor[INPUTS].failed || k->layers[i].factor[UNITS].failed)
                return ae_fail(context, AE_ERR_NONFINITE, "the curvature of node '%s' cannot be inverted",
                               k->layers[i].node->desc.name);
    }
    if (k->parts && !k->packed) {
        run(f, pack_task, 2 * k->n_layers);
        k->packed = true;
    }
cleanup:
    return status;
}

/* Sets a and b of the step; returns what the quadratic model foretells of the objective. */
static double choose_step(kfac_phase *f, const double *dots) {
    const ae_trainer *t = f->t;
    const ae_kfac *k = f->k;
    const ae_value *z = &k->layers[k->n_layers - 1].node->binding.out;
    const int64_t stride = k->sampled * AE_PANEL;
    const double damping = k->damping + f->l2, rows = (double)f->model;
    const double dd = joined_dot(f, k->along, stride, k->along, stride) / rows + damping * dots[DD];
    f->a = f->b = 0.0;
    if (dd < DBL_MIN) /* no gradient, no step; NaN goes on to be seen */
        return 0.0;
    f->a = -dots[GD] / dd;
    if (f->along_last) {
        const double dp = joined_dot(f, k->along, stride, z->gradient, z->stride) / rows + damping * dots[DP];
        const double pp = joined_dot(f, z->gradient, z->stride, z->gradient, z->stride) / rows + damping * dots[PP];
        const double determinant = dd * pp - dp * dp;
        if (determinant > 1e-12 * dd * pp) {
            f->a = (dp * dots[GP] - pp * dots[GD]) / determinant;
            f->b = (dp * dots[GD] - dd * dots[GP]) / determinant;
        }
        if (!(f->b >= 0 && f->b <= 1)) {
            f->b = f->b > 1 ? 1.0 : 0.0;
            f->a = -(dots[GD] + f->b * dp) / dd;
        }
        f->a *= t->last_rate;
        f->b *= t->last_rate;
        return 0.5 * (f->a * f->a * dd + 2 * f->a * f->b * dp + f->b * f->b * pp) + f->a * dots[GD] + f->b * dots[GP];
    }
    f->a *= t->last_rate;
    return 0.5 * f->a * f->a * dd + f->a * dots[GD];
}

/* What the step has changed of the objective on its own rows; infinite where that is not finite. */
static ae_status look_ahead(ae_context *context, ae_trainer *t, const kfac_phase *f, const double *dots, int64_t from,
                            double before, ae_stop stop, void *stop_argument, double *change) {
    double *const lanes = t->stages[0].lanes, kept[AE_LOSS_LANES];
    memcpy(kept, lanes, sizeof kept);
    train_clear_lanes(t, 0);
    const ae_status status = train_run(context, t, 0, f->pass, from, f->rows, false, NULL, stop, stop_argument);
    const double after = train_loss(t, 0, (double)f->rows);
    memcpy(lanes, kept, sizeof kept);
    /* l2 / 2 (|w + s|^2 - |w|^2), where |s|^2 takes the biases in as well, which are few. */
    const double square = f->a * f->a * dots[DD] + 2 * f->a * f->b * dots[DP] + f->b * f->b * dots[PP];
    const double penalty = f->l2 * (f->a * dots[WD] + f->b * dots[WP] + 0.5 * square);
    *change = status == AE_OK && isfinite(after) ? after - before + penalty : INFINITY;
    return status == AE_ERR_NONFINITE ? AE_OK : status;
}

/* The damping follows the ratio of what the step brought to what was foretold of it. */
static void follow(ae_trainer *t, double change, double foretold) {
    ae_kfac *k = t->kfac;
    const double ratio = isfinite(change) ? change / foretold : -1.0;
    if (ratio > 0.75)
        k->damping *= DAMPING_FALL;
    else if (foretold != 0.0 && !(ratio >= 0.25))
        k->damping /= DAMPING_FALL;
    const double least = LEAST_DAMPING * mean_curvature(t, k);
    k->damping = k->damping < least ? least : k->damping;
}

/* What a loss may rise by since numbers are rounded, of itself: in parts the weights are, anew after each step, and a Poisson loss
 * is a small difference of what comes of them. */
static double rounding_of(const kfac_phase *f) {
    return f->k->parts == 1 ? 0x1p-5 : f->k->parts == 2 ? 0x1p-10 : f->t->net->bits == 32 ? 0x1p-20 : 0x1p-46;
}

/* A step after which the objective is higher, by more than half of what its slope had foretold to fall, is shortened to where the
 * parabola through the objective before, its slope there and the objective after is lowest: a tenth to a third of it is left. */
static ae_status check_step(ae_context *context, ae_trainer *t, kfac_phase *f, const double *dots, int64_t from, double before,
                            double foretold, ae_stop stop, void *stop_argument) {
    const ae_kfac *k = f->k;
    ae_status status = AE_OK;
    for (int shortenings = 0;; shortenings++) {
        const double slope = f->a * dots[GD] + f->b * dots[GP];
        double change;
        AE_TRY(look_ahead(context, t, f, dots, from, before, stop, stop_argument, &change));
        if (shortenings == 0 && k->steps % DAMPING_STEPS == 0)
            follow(t, change, foretold);
        if (isfinite(change) && change <= -0.5 * slope + rounding_of(f) * fabs(before))
            break;
        if (shortenings == MOST_SHORTENINGS) {
            run(f, back_task, k->n_panel_tasks);
            break;
        }
        f->share = fmax(-0.5 * slope / (change - slope), LEAST_SHARE);
        f->a *= f->share;
        f->b *= f->share;
        run(f, shorten_task, k->n_panel_tasks);
    }
cleanup:
    return status;
}

ae_status train_kfac_step(ae_context *context, ae_trainer *t, const pass *p, int64_t from, int64_t rows, ae_stop stop,
                          void *stop_argument) {
    ae_kfac *k = t->kfac;
    const int64_t eighth = rows / 8 > LEAST_MODELLED ? rows / 8 : LEAST_MODELLED;
    kfac_phase f = {.t = t,
                    .k = k,
                    .pass = p,
                    .rows = rows,
                    .s = kfac_sampled(rows),
                    .model = eighth < rows ? eighth : rows,
                    .l2 = t->options.l2,
                    .workers = train_workers(t, 2 * t->net->flops_per_row * (double)rows),
                    .along_last = k->steps > 0,
                    .looks_ahead = k->steps < FIRST_LOOKS || (k->steps + 1) % DAMPING_STEPS == 0 ||
                                   t->losses[0].ops->link == AE_EXP}; /* whose curvature has no bound */
    double dots[DOTS] = {0};
    ae_status status;
    AE_TRY(train_run(context, t, 0, p, from, rows, true, NULL, stop, stop_argument));
    const double before = train_loss(t, 0, (double)rows);
    for (int64_t row = 0; row < f.s; row++)
        f.weight += t->row_weight[row];
    run(&f, gradient_task, k->n_panel_tasks);
    f.rooted = f.weight > 0 && k->steps % FACTOR_STEPS == 0 ? f.s : f.model;
    run(&f, root_task, n_blocks(f.rooted));
    AE_TRY(learn_curvature(context, t, &f, stop, stop_argument));
    if (k->damping == 0.0)
        goto cleanup;
    run(&f, k->parts ? units_by_parts_task : units_task, k->n_product_tasks);
    run(&f, k->parts ? inputs_by_parts_task : inputs_task, k->n_product_tasks);
    AE_TRY(train_ask(context, t, stop, stop_argument));
    along(&f, false);
    if (f.along_last)
        along(&f, true);
    run(&f, dots_task, k->n_panel_tasks);
    for (int64_t i = 0; i < k->n_panel_tasks; i++)
        for (int j = 0; j < DOTS; j++)
            dots[j] += k->dots[i * DOTS + j];
    dots[GD] += f.l2 * dots[WD];
    dots[GP] += f.l2 * dots[WP];
    const double foretold = choose_step(&f, dots);
    if (!isfinite(f.a) || !isfinite(f.b))
        return ae_fail(context, AE_ERR_NONFINITE, "the step is not finite");
    run(&f, move_task, k->n_panel_tasks);
    k->steps++;
    if (f.looks_ahead)
        AE_TRY(check_step(context, t, &f, dots, from, before, foretold, stop, stop_argument));
cleanup:
    return status;
}
