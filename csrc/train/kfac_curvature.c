/* The curvature of K-FAC: the roots of the loss's, both factors of each layer, their averages and inverses. */
#include <math.h>
#include <string.h>

#include "math/spd.h"
#include "train/kfac_internal.h"
#include "train/laps.h"

/* How often what is done, in steps, and how fast averages follow: sections 5 and 8 of the paper, factors more often since rows are
 * few. */
#define FACTOR_STEPS 2
#define INVERSE_STEPS 20
#define FIRST_INVERSES 3   /* steps that invert anew, while the averages are young */
#define MOST_KEPT 0.95     /* of the averages */
#define FIRST_DAMPING 10.0 /* of the mean curvature of a weight */
#define MOST_TRIES 8       /* inversions, each with four times the damping, before giving up */
#define ROWS_AT_ONCE 512

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
        t->kernels->bf16_block(at(t, x, g * AE_BF16_BLOCK), rows, f->k->parts, kfac_nothing, pairs);
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

void kfac_pack_rows(const kfac_phase *f, int64_t rows, const char *from, ae_parts by_rows, ae_parts pairs) {
    for (int64_t row = 0; row < rows; row += AE_PANEL)
        f->t->kernels->bf16_block(at(f->t, from, row * AE_PANEL), (int)(rows - row < AE_PANEL ? rows - row : AE_PANEL),
                                  f->k->parts, ae_parts_at(by_rows, row * AE_PANEL), ae_parts_at(pairs, row * AE_PANEL));
}

void kfac_pack_change(const kfac_phase *f, const kfac_layer *l, int64_t panel, int64_t row0, int64_t row1, const char *change,
                      ae_parts pairs) {
    row1 = row1 < l->inputs ? row1 : l->inputs;
    kfac_pack_rows(f, row1 - row0, at(f->t, change, (panel * l->rows + row0) * AE_PANEL), kfac_nothing,
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
        kfac_pack_rows(f, rows, a->inverse, kfac_nothing, a->parts);
    else
        kfac_pack_rows(f, rows, a->inverse, a->parts, kfac_nothing);
    for (int64_t q = 0; index % 2 == INPUTS && q < l->panels; q++)
        kfac_pack_change(f, l, q, 0, l->inputs, l->last, l->last_parts);
    lap_end(&p, PROFILE_INVERSES, 0);
}

double kfac_mean_curvature(const ae_trainer *t, const ae_kfac *k) {
    double sum = 0.0, n = 0.0;
    for (int i = 0; i < k->n_layers; i++) {
        sum += trace(t, &k->layers[i].factor[INPUTS]) * trace(t, &k->layers[i].factor[UNITS]);
        n += (double)k->layers[i].rows * (double)k->layers[i].units;
    }
    return sum / n;
}

ae_status kfac_learn_curvature(ae_context *context, ae_trainer *t, kfac_phase *f, ae_stop stop, void *stop_argument) {
    ae_kfac *k = f->k;
    ae_status status = AE_OK;
    const bool learns = k->steps % FACTOR_STEPS == 0 && f->weight > 0;
    f->rooted = learns ? f->s : f->model;
    kfac_run(f, root_task, kfac_blocks(f->rooted));
    if (learns) {
        const double young = 1.0 - 1.0 / (double)(k->steps / FACTOR_STEPS + 1);
        f->kept = young < MOST_KEPT ? young : MOST_KEPT;
        kfac_run(f, sample_task, kfac_blocks(f->s));
        kfac_run(f, side_task, k->n_side_tasks);
        kfac_run(f, factor_task, k->n_factor_tasks);
        AE_TRY(train_ask(context, t, stop, stop_argument));
    }
    if (k->steps == 0) {
        k->damping = FIRST_DAMPING * kfac_mean_curvature(t, k);
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
            kfac_run(f, inverse_task, left < f->workers ? left : f->workers);
            AE_TRY(train_ask(context, t, stop, stop_argument));
        }
        for (int i = 0; i < k->n_layers; i++)
            if (k->layers[i].factor[INPUTS].failed || k->layers[i].factor[UNITS].failed)
                return ae_fail(context, AE_ERR_NONFINITE, "the curvature of node '%s' cannot be inverted",
                               k->layers[i].node->desc.name);
    }
    if (k->parts && !k->packed) {
        kfac_run(f, pack_task, 2 * k->n_layers);
        k->packed = true;
    }
cleanup:
    return status;
}
