#include <float.h>
#include <math.h>
#include <string.h>

#include "train/kfac_internal.h"
#include "train/laps.h"

#define DAMPING_STEPS 5           /* between looks at how well the model foretold: section 6.5 of the paper */
#define LEAST_MODELLED 128        /* rows for the quadratic model: an eighth, at least these */
#define DAMPING_FALL 0.7737809375 /* by which the damping falls or rises: 0.95 a step */
#define LEAST_DAMPING 0.05        /* of the mean curvature; without it the damping falls until steps fit single minibatches */
#define FIRST_LOOKS 5             /* steps, each looked at: averages are young, and the first step is too long as a rule */
#define MOST_SHORTENINGS 8        /* of a step, before it is taken back */
#define LEAST_SHARE 0.1           /* that is left of a step by one of them */

/* Of what is read several times, from three or four arrays: they stay in the first level. */
#define ROWS_IN_CACHE 64
_Static_assert(ROWS_IN_CACHE % AE_PANEL == 0 && ROWS_IN_CACHE <= AE_TILE_ROWS,
               "whole blocks, which a worker's tile has room for");

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
            kfac_pack_rows(f, rows.all / AE_PANEL, to, ae_parts_at(l->gradient_parts, (place + row) * AE_PANEL), kfac_nothing);
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
    kfac_pack_rows(f, task->row1 - task->row0, c, kfac_nothing,
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
    kfac_pack_change(f, l, task->panel, task->row0, task->row1, l->direction, l->direction_parts);
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

static int64_t along_blocks(const kfac_phase *f) {
    return f->k->layers[f->layer].panels < f->workers ? kfac_blocks(f->model) : 1;
}

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
        kfac_pack_rows(f, row1 - row0, to, ae_parts_at(o->delta, q * o->step + row0 * AE_PANEL), kfac_nothing);
    }
    lap_end(&p, PROFILE_DIRECTION, 0);
}

/* Layer after layer, so that each weight is read by one worker only. */
static void along(kfac_phase *f, bool last) {
    f->last = last;
    for (f->layer = 0; f->layer < f->k->n_layers; f->layer++)
        kfac_run(f, along_task, f->k->layers[f->layer].panels * along_blocks(f));
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
        kfac_pack_change(f, l, panel, row, end, l->last, l->last_parts);
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
        kfac_pack_change(f, l, task->panel, 0, l->inputs, l->last, l->last_parts);
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
    const double least = LEAST_DAMPING * kfac_mean_curvature(t, k);
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
            kfac_run(f, back_task, k->n_panel_tasks);
            break;
        }
        f->share = fmax(-0.5 * slope / (change - slope), LEAST_SHARE);
        f->a *= f->share;
        f->b *= f->share;
        kfac_run(f, shorten_task, k->n_panel_tasks);
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
    kfac_run(&f, gradient_task, k->n_panel_tasks);
    AE_TRY(kfac_learn_curvature(context, t, &f, stop, stop_argument));
    if (k->damping == 0.0)
        goto cleanup;
    kfac_run(&f, k->parts ? units_by_parts_task : units_task, k->n_product_tasks);
    kfac_run(&f, k->parts ? inputs_by_parts_task : inputs_task, k->n_product_tasks);
    AE_TRY(train_ask(context, t, stop, stop_argument));
    along(&f, false);
    if (f.along_last)
        along(&f, true);
    kfac_run(&f, dots_task, k->n_panel_tasks);
    for (int64_t i = 0; i < k->n_panel_tasks; i++)
        for (int j = 0; j < DOTS; j++)
            dots[j] += k->dots[i * DOTS + j];
    dots[GD] += f.l2 * dots[WD];
    dots[GP] += f.l2 * dots[WP];
    const double foretold = choose_step(&f, dots);
    if (!isfinite(f.a) || !isfinite(f.b))
        return ae_fail(context, AE_ERR_NONFINITE, "the step is not finite");
    kfac_run(&f, move_task, k->n_panel_tasks);
    k->steps++;
    if (f.looks_ahead)
        AE_TRY(check_step(context, t, &f, dots, from, before, foretold, stop, stop_argument));
cleanup:
    return status;
}
