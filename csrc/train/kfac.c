#include "train/kfac.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "math/spd.h"
#include "train/laps.h"

/* How often what is done, in steps, and how fast averages follow: sections 6.5, 5 and 8 of the paper, factors more often since rows are
 * few. */
#define FACTOR_STEPS 2
#define INVERSE_STEPS 20
#define DAMPING_STEPS 5
#define FIRST_INVERSES 3          /* steps that invert anew, while the averages are young */
#define MOST_KEPT 0.95            /* of the averages */
#define LEAST_SAMPLED 256         /* rows for the factors: a quarter of the minibatch, at least these */
#define LEAST_MODELLED 128        /* for the quadratic model: an eighth, at least these */
#define DAMPING_FALL 0.7737809375 /* by which the damping falls or rises: 0.95 a step */
#define FIRST_DAMPING 10.0        /* of the mean curvature of a weight */
#define LEAST_DAMPING 0.05        /* likewise; without it the damping falls until steps fit single minibatches */
#define MOST_TRIES 8              /* inversions, each with four times the damping, before giving up */
#define ROWS_OF_TASK 96  /* of the products between inverses: 96 rows of a thousand columns stay in the second-level cache */
#define ROWS_OF_BLOCK 64 /* of the derivatives along directions */
#define ROWS_AT_ONCE 512

enum { INPUTS, UNITS };
enum { DD, DP, PP, GD, GP, WD, WP, DOTS };

/* One factor of a layer's curvature. */
typedef struct kfac_factor {
    int64_t n, size; /* rows; padded to panels */
    char *average;   /* panels, [panel][size][32]; only tiles at and below the diagonal */
    char *inverse;   /* of the damped average; whole */
    bool failed;
} kfac_factor;

typedef struct kfac_layer {
    const ae_node *node;
    int weight, bias;                    /* parameters; bias -1: none */
    int64_t inputs, units, rows, panels; /* rows: inputs, and one for the bias */
    kfac_factor factor[2];
    /* (rows, units) in panels: gradient, product with one inverse (scratch), direction, last step. */
    char *gradient, *product, *direction, *last;
} kfac_layer;

typedef struct kfac_task {
    int layer, side;
    int64_t panel, row0, row1;
} kfac_task;

struct ae_kfac {
    ae_arena memory;
    kfac_layer *layers;
    int n_layers;
    kfac_task *factor_tasks, *product_tasks, *panel_tasks; /* tiles of averages; blocks of rows by panel; panels */
    int64_t n_factor_tasks, n_product_tasks, n_panel_tasks;
    double *dots;          /* [panel task][DOTS] */
    char *roots, *along;   /* [panel][sampled][32]: roots of the loss's curvature; derivatives along the direction */
    char *normal;          /* [worker][width]: draws of a row */
    char *tiles, *scratch; /* by worker: a tile of an average, memory of inversion */
    char *weighted;        /* likewise: a panel of inputs by the rows' weights */
    size_t tile_bytes, scratch_bytes, normal_bytes, weighted_bytes;
    int64_t sampled; /* most rows of the factors and the quadratic model */
    char *state;
    size_t state_reals, real_size;
    double damping; /* 0: not chosen yet */
    int64_t steps;
};

static int64_t padded(int64_t n) { return ae_panels(n) * AE_PANEL; }

static char *at(const ae_trainer *t, const char *base, int64_t reals) {
    return (char *)base + (size_t)reals * t->net->real_size;
}

/* ---- made and taken apart ---- */

/* The chain of dense layers that ends in a node. */
static ae_status find_layers(ae_context *context, const ae_trainer *t, ae_kfac *k, int output) {
    const ae_net *net = t->net;
    int n = 0, node = output;
    for (int i = 0; i < net->n_nodes; i++)
        n += net->nodes[i].depends_on_parameters;
    for (int i = n - 1; i >= 0; i--) {
        const ae_node *a = &net->nodes[node];
        if (!a->depends_on_parameters)
            break;
        if (strcmp(a->ops->name, "dense") != 0 || a->desc.shares || a->desc.size[1] || a->desc.activation == AE_SOFTMAX ||
            a->plan.out.multiplicity != 1 || net->nodes[a->desc.inputs[0]].by_pairs)
            return ae_fail(context, AE_ERR_VALUE,
                           "K-FAC trains chains of dense layers with weights of their own, elementwise activations and dense "
                           "rows; node '%s' (%s) is none",
                           a->desc.name, a->ops->name);
        k->n_layers++;
        kfac_layer *l = &k->layers[i];
        l->node = a;
        l->weight = a->parameter[0];
        l->bias = a->desc.size[0] ? -1 : a->parameter[1];
        l->inputs = a->plan.in[0].width;
        l->units = a->plan.out.width;
        l->rows = l->inputs + (l->bias >= 0);
        l->panels = ae_panels(l->units);
        node = a->desc.inputs[0];
    }
    if (k->n_layers != n || net->nodes[node].depends_on_parameters)
        return ae_fail(context, AE_ERR_VALUE,
                       "K-FAC trains one chain of dense layers that ends in the reconstruction; node '%s' "
                       "is beside it",
                       net->nodes[node].desc.name);
    return AE_OK;
}

static ae_status check_loss(ae_context *context, const ae_trainer *t) {
    const ae_term *term = &t->losses[0];
    if (t->n_stages != 1 || t->n_losses != 1 || term->desc.entry_weight >= 0 || term->desc.second >= 0 ||
        term->multiplicity != 1)
        return ae_fail(context, AE_ERR_VALUE,
                       "K-FAC is for programs of one stage with one loss, without penalties, samples or "
                       "factors of the entries");
    if (!(term->ops->flags & AE_LOSS_CANONICAL))
        return ae_fail(context, AE_ERR_VALUE,
                       "K-FAC needs the curvature of the loss, which '%s' has not: allowed are "
                       "squared_error, log_loss and poisson",
                       term->ops->name);
    return AE_OK;
}

/* Tiles of averages, or their number. */
static int64_t list_factors(const ae_kfac *k, kfac_task *out) {
    int64_t n = 0;
    for (int l = 0; l < k->n_layers; l++)
        for (int side = INPUTS; side <= UNITS; side++) {
            const int64_t size = k->layers[l].factor[side].size;
            for (int64_t q = 0; q < size / AE_PANEL; q++) {
                const int64_t tiles = (size - q * AE_PANEL + AE_TILE_ROWS - 1) / AE_TILE_ROWS;
                for (int64_t i = 0; out && i < tiles; i++) {
                    const int64_t row = q * AE_PANEL + i * AE_TILE_ROWS;
                    out[n + i] = (kfac_task){l, side, q, row, row + AE_TILE_ROWS < size ? row + AE_TILE_ROWS : size};
                }
                n += tiles;
            }
        }
    return n;
}

/* Blocks of `most` rows of (rows, units), panel after panel. */
static int64_t list_blocks(const ae_kfac *k, int64_t most, kfac_task *out) {
    int64_t n = 0;
    for (int l = 0; l < k->n_layers; l++) {
        const int64_t rows = k->layers[l].rows, step = most ? most : rows, panels = k->layers[l].panels;
        for (int64_t i = 0; out && i < (rows + step - 1) / step * panels; i++) {
            const int64_t row = i / panels * step;
            out[n + i] = (kfac_task){l, 0, i % panels, row, row + step < rows ? row + step : rows};
        }
        n += (rows + step - 1) / step * panels;
    }
    return n;
}

/* A region of every layer, in its turn: four of what is known between steps, then what is not. */
enum { STATE_PARTS = 5, LAYER_PARTS = 8 };

static int64_t part_reals(const kfac_layer *l, int part) {
    const int64_t inputs = padded(l->rows), units = padded(l->units), step = l->rows * units;
    const int64_t reals[LAYER_PARTS] = {inputs * inputs, inputs * inputs, units * units, units * units, step, step, step, step};
    return reals[part];
}

static char **part_place(kfac_layer *l, int part) {
    char **places[LAYER_PARTS] = {&l->factor[INPUTS].average,
                                  &l->factor[INPUTS].inverse,
                                  &l->factor[UNITS].average,
                                  &l->factor[UNITS].inverse,
                                  &l->last,
                                  &l->gradient,
                                  &l->product,
                                  &l->direction};
    return places[part];
}

static ae_status reserve_memory(ae_context *context, ae_trainer *t, ae_kfac *k) {
    const size_t real = t->net->real_size, workers = (size_t)ae_pool_size(t->pool);
    ae_status status = AE_OK;
    int64_t widest = 0;
    size_t offset, state_end = 0, dots, roots, along, normal, tiles, scratch, weighted, tasks;
    void *block;
    AE_TRY(ae_alloc(context, &block, (size_t)k->n_layers * LAYER_PARTS, sizeof offset));
    size_t *const offsets = block;
    for (int part = 0; part < LAYER_PARTS; part++) {
        for (int i = 0; i < k->n_layers && status == AE_OK; i++)
            status = ae_arena_reserve(&k->memory, context, (size_t)part_reals(&k->layers[i], part), real,
                                      &offsets[part * k->n_layers + i]);
        if (part + 1 == STATE_PARTS)
            state_end = k->memory.size;
    }
    for (int i = 0; i < k->n_layers; i++)
        for (int side = INPUTS; side <= UNITS; side++)
            widest = k->layers[i].factor[side].size > widest ? k->layers[i].factor[side].size : widest;
    const int64_t out = padded(k->layers[k->n_layers - 1].units);
    k->tile_bytes = AE_TILE_ROWS * AE_PANEL * real;
    k->scratch_bytes = (size_t)AE_SPD_SCRATCH(widest) * real;
    k->normal_bytes = (size_t)out * real;
    k->weighted_bytes = (size_t)(k->sampled * AE_PANEL) * real;
    if (status == AE_OK)
        status = ae_arena_reserve(&k->memory, context, (size_t)k->n_panel_tasks, DOTS * sizeof(double), &dots);
    if (status == AE_OK)
        status = ae_arena_reserve(&k->memory, context, (size_t)(out * k->sampled), real, &roots);
    if (status == AE_OK)
        status = ae_arena_reserve(&k->memory, context, (size_t)(out * k->sampled), real, &along);
    if (status == AE_OK)
        status = ae_arena_reserve(&k->memory, context, workers, k->normal_bytes, &normal);
    if (status == AE_OK)
        status = ae_arena_reserve(&k->memory, context, workers, k->tile_bytes, &tiles);
    if (status == AE_OK)
        status = ae_arena_reserve(&k->memory, context, workers, k->scratch_bytes, &scratch);
    if (status == AE_OK)
        status = ae_arena_reserve(&k->memory, context, workers, k->weighted_bytes, &weighted);
    if (status == AE_OK)
        status = ae_arena_reserve(&k->memory, context, (size_t)(k->n_factor_tasks + k->n_product_tasks + k->n_panel_tasks),
                                  sizeof(kfac_task), &tasks);
    if (status == AE_OK)
        status = ae_arena_commit(&k->memory, context);
    for (int i = 0; i < k->n_layers * LAYER_PARTS && status == AE_OK; i++)
        *part_place(&k->layers[i % k->n_layers], i / k->n_layers) = ae_arena_at(&k->memory, offsets[i]);
    ae_free(offsets);
    if (status != AE_OK)
        goto cleanup;
    k->state = k->memory.base;
    k->state_reals = state_end / real;
    k->real_size = real;
    k->dots = ae_arena_at(&k->memory, dots);
    k->roots = ae_arena_at(&k->memory, roots);
    k->along = ae_arena_at(&k->memory, along);
    k->normal = ae_arena_at(&k->memory, normal);
    k->tiles = ae_arena_at(&k->memory, tiles);
    k->scratch = ae_arena_at(&k->memory, scratch);
    k->weighted = ae_arena_at(&k->memory, weighted);
    k->factor_tasks = ae_arena_at(&k->memory, tasks);
    k->product_tasks = k->factor_tasks + k->n_factor_tasks;
    k->panel_tasks = k->product_tasks + k->n_product_tasks;
cleanup:
    return status;
}

ae_status train_kfac_new(ae_context *context, ae_trainer *t) {
    ae_status status;
    void *block;
    AE_TRY(check_loss(context, t));
    AE_TRY(ae_alloc(context, &block, 1, sizeof *t->kfac));
    ae_kfac *k = t->kfac = block;
    ae_arena_init(&k->memory);
    AE_TRY(ae_alloc(context, &block, (size_t)t->net->n_nodes, sizeof *k->layers));
    k->layers = block;
    AE_TRY(find_layers(context, t, k, t->losses[0].desc.prediction));
    for (int i = 0; i < k->n_layers; i++) {
        kfac_layer *l = &k->layers[i];
        l->factor[INPUTS] = (kfac_factor){.n = l->rows, .size = padded(l->rows)};
        l->factor[UNITS] = (kfac_factor){.n = l->units, .size = padded(l->units)};
    }
    const int64_t quarter = t->chunk / 4 > LEAST_SAMPLED ? t->chunk / 4 : LEAST_SAMPLED;
    k->sampled = quarter < t->chunk ? quarter : t->chunk;
    k->n_factor_tasks = list_factors(k, NULL);
    k->n_product_tasks = list_blocks(k, ROWS_OF_TASK, NULL);
    k->n_panel_tasks = list_blocks(k, 0, NULL);
    AE_TRY(reserve_memory(context, t, k));
    list_factors(k, k->factor_tasks);
    list_blocks(k, ROWS_OF_TASK, k->product_tasks);
    list_blocks(k, 0, k->panel_tasks);
cleanup:
    return status;
}

void train_kfac_free(ae_kfac *k) {
    if (!k)
        return;
    ae_arena_destroy(&k->memory);
    ae_free(k->layers);
    ae_free(k);
}

void train_kfac_reset(ae_kfac *k) {
    for (int i = 0; i < k->n_layers; i++)
        k->layers[i].factor[INPUTS].failed = k->layers[i].factor[UNITS].failed = false;
    memset(k->state, 0, k->state_reals * k->real_size); /* nothing that is not finite stays */
    k->damping = 0.0;
    k->steps = 0;
}

char *train_kfac_state(const ae_kfac *k, size_t *reals) {
    *reals = k->state_reals;
    return k->state;
}

void train_kfac_numbers(const ae_kfac *k, double *numbers) {
    numbers[0] = k->damping;
    numbers[1] = (double)k->steps;
}

bool train_kfac_accepts(const double *numbers) {
    return numbers[0] >= 0 && isfinite(numbers[0]) && numbers[1] >= 0 && numbers[1] <= 0x1p53 &&
           numbers[1] == floor(numbers[1]) && (numbers[0] > 0) == (numbers[1] > 0);
}

void train_kfac_take(ae_kfac *k, const double *numbers) {
    k->damping = numbers[0];
    k->steps = (int64_t)numbers[1];
}

/* ---- curvature ---- */

typedef struct kfac_phase {
    const ae_trainer *t;
    ae_kfac *k;
    const pass *pass;
    int workers;
    int64_t rows;      /* of the minibatch */
    int64_t s;         /* of them, those that factors are taken of */
    int64_t model;     /* and those of the quadratic model, no more */
    double weight;     /* sum of the weights of the s rows */
    int first_inverse; /* of those that run now */
    double kept;       /* of the averages */
    double root;       /* of the damping, for both factors */
    double l2;
    bool along_last;  /* derivatives along the last step too */
    bool looks_ahead; /* the step may be taken back */
    double a, b;      /* the step: a * direction + b * last */
} kfac_phase;

static void run(const kfac_phase *f, ae_task function, int64_t n) {
    ae_pool_run(f->t->pool, function, (void *)f, n, f->workers);
}

static int64_t n_blocks(int64_t rows) { return (rows + ROWS_OF_BLOCK - 1) / ROWS_OF_BLOCK; }

/* Roots of the loss's second derivatives by the prediction z, for one row of data and unit scale: of c f'(z) r / width with the link
 * f, the row's weight r and c = 2 for the square, 1 for the others. */
static void root_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const ae_term *term = &t->losses[0];
    const ae_value *z = &t->net->nodes[term->desc.prediction].binding.out;
    const int64_t row0 = index * ROWS_OF_BLOCK, row1 = row0 + ROWS_OF_BLOCK < f->s ? row0 + ROWS_OF_BLOCK : f->s;
    const ae_activation link = term->ops->link;
    const double factor = (link == AE_IDENTITY ? 2.0 : 1.0) * term->desc.weight / (double)z->shape.width;
    (void)worker;
    for (int64_t q = 0; q < ae_panels(z->shape.width); q++) {
        const int columns = ae_panel_columns(z->shape.width, q);
        char *const to = at(t, f->k->roots, (q * f->k->sampled + row0) * AE_PANEL);
        for (int64_t r = row0; r < row1; r++)
            for (int c = 0; c < AE_PANEL; c++)
                ae_real_set(t->net->bits, to, (r - row0) * AE_PANEL + c, c < columns ? factor * t->row_weight[r] : 0.0);
        if (link != AE_IDENTITY) {
            /* The derivatives of the last layer lie here otherwise. */
            char *const value = at(t, z->gradient, q * z->stride + row0 * AE_PANEL);
            memcpy(value, at(t, z->data, q * z->stride + row0 * AE_PANEL),
                   (size_t)((row1 - row0) * AE_PANEL) * t->net->real_size);
            t->kernels->activation_forward(link, (row1 - row0) * AE_PANEL, value, NULL);
            t->kernels->activation_backward(link, (row1 - row0) * AE_PANEL, value, NULL, to);
        }
        for (int64_t i = 0; i < (row1 - row0) * AE_PANEL; i++)
            ae_real_set(t->net->bits, to, i, sqrt(ae_real_at(t->net->bits, to, i)));
    }
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
    const ae_block block = {row0, row1, f->pass->step, 0, true, true, false, NULL};
    char *const normal = f->k->normal + (size_t)worker * f->k->normal_bytes;
    for (int64_t row = row0; row < row1; row++) {
        t->kernels->random_normal(key, f->pass->step, (uint32_t)row, z->shape.width, normal);
        t->kernels->row_gather(t->net->bits == 32 ? AE_F32 : AE_F64, normal, (int64_t)t->net->real_size, z->shape.width,
                               z->stride, row, z->gradient);
    }
    for (int64_t q = 0; q < ae_panels(z->shape.width); q++)
        t->kernels->multiply((row1 - row0) * AE_PANEL, at(t, f->k->roots, (q * f->k->sampled + row0) * AE_PANEL),
                             at(t, z->gradient, q * z->stride + row0 * AE_PANEL));
    ae_net_backward(t->net, s->desc.first_node, s->desc.last_node, block, worker);
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

/* A panel of inputs, each row times its weight. A row without weight has no say, whatever it holds. */
static const char *weighted(const kfac_phase *f, const char *panel, int worker) {
    const ae_trainer *t = f->t;
    const size_t row = AE_PANEL * t->net->real_size;
    char *const to = f->k->weighted + (size_t)worker * f->k->weighted_bytes;
    if (!f->pass->data->row_weight)
        return panel;
    memcpy(to, panel, (size_t)f->s * row);
    for (int64_t r = 0; r < f->s; r++)
        t->kernels->scale(AE_PANEL, t->row_weight[r], to + (size_t)r * row);
    return to;
}

/* A tile of an average: kept * average + (1 - kept) * mean over the rows of x^T x; derivatives have the rows' weights already. */
static void factor_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const kfac_task *task = &f->k->factor_tasks[index];
    const kfac_layer *l = &f->k->layers[task->layer];
    const kfac_factor *a = &l->factor[task->side];
    const ae_value *value = task->side == INPUTS ? &l->node->binding.in[0] : &l->node->binding.out;
    const char *x = task->side == INPUTS ? value->data : value->gradient;
    const int64_t width = value->shape.width, end = task->row1 < width ? task->row1 : width;
    const int columns = task->panel * AE_PANEL < width ? ae_panel_columns(width, task->panel) : 0;
    const char *along = at(t, x, task->panel * value->stride);
    const double share = (1 - f->kept) / (task->side == INPUTS ? f->weight : (double)f->s);
    char *const tile = f->k->tiles + (size_t)worker * f->k->tile_bytes;
    lap p = lap_begin(t, worker);
    if (columns && task->side == INPUTS)
        along = weighted(f, along, worker);
    if (columns && task->row0 < end) {
        for (int64_t from = 0; from < f->s; from += ROWS_AT_ONCE) {
            const int32_t k = (int32_t)(f->s - from < ROWS_AT_ONCE ? f->s - from : ROWS_AT_ONCE);
            const ae_gemm over_rows = {1, k, k, NULL, NULL, 0, 0};
            for (int64_t row = task->row0; row < end; row += AE_PANEL)
                t->kernels->gemm_columns(&over_rows, (int)(end - row < AE_PANEL ? end - row : AE_PANEL), columns,
                                         at(t, x, row / AE_PANEL * value->stride + from * AE_PANEL),
                                         at(t, along, from * AE_PANEL), from ? AE_START_C : AE_START_ZERO,
                                         at(t, tile, (row - task->row0) * AE_PANEL));
        }
        /* Padding of activations is not zero. */
        for (int64_t r = 0; columns < AE_PANEL && r < end - task->row0; r++)
            memset(at(t, tile, r * AE_PANEL + columns), 0, (size_t)(AE_PANEL - columns) * t->net->real_size);
        char *const average = at(t, a->average, (task->panel * a->size + task->row0) * AE_PANEL);
        t->kernels->scale((end - task->row0) * AE_PANEL, f->kept, average);
        t->kernels->axpy((end - task->row0) * AE_PANEL, share, tile, average);
    }
    if (task->side == INPUTS && l->bias >= 0 && l->inputs >= task->row0 && l->inputs < task->row1)
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
    kfac_layer *l = &f->k->layers[(f->first_inverse + index) / 2];
    kfac_factor *a = &l->factor[(f->first_inverse + index) % 2];
    const double inputs = trace(t, &l->factor[INPUTS]) / (double)l->rows,
                 units = trace(t, &l->factor[UNITS]) / (double)l->units;
    double share = inputs > 0 && units > 0 ? sqrt(inputs / units) : 1.0;
    const int bits = t->net->bits;
    double root = f->root;
    lap p = lap_begin(t, worker);
    share = (f->first_inverse + index) % 2 == INPUTS ? share : 1.0 / share;
    a->failed = true;
    for (int i = 0; i < MOST_TRIES && a->failed; i++, root *= 4) {
        for (int64_t q = 0; q < a->size / AE_PANEL; q++) {
            for (int64_t row = q; row < a->size / AE_PANEL; row++) {
                const char *from = at(t, a->average, (q * a->size + row * AE_PANEL) * AE_PANEL);
                char *to = at(t, a->inverse, (q * a->size + row * AE_PANEL) * AE_PANEL);
                memcpy(to, from, AE_PANEL * AE_PANEL * t->net->real_size);
                if (row > q)
                    t->kernels->tile_transpose(to, AE_PANEL, at(t, a->inverse, (row * a->size + q * AE_PANEL) * AE_PANEL));
                for (int r = 0; row == q && r < AE_PANEL; r++)
                    for (int c = r + 1; c < AE_PANEL; c++)
                        ae_real_set(bits, to, r * AE_PANEL + c, ae_real_at(bits, to, c * AE_PANEL + r));
            }
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

/* ---- direction and step ---- */

/* Gradients by layer, the row of the bias behind those of the weight. */
static void gradient_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const kfac_task *task = &f->k->panel_tasks[index];
    const kfac_layer *l = &f->k->layers[task->layer];
    const ae_parameter *w = &t->net->parameters[l->weight];
    const int64_t reals = l->inputs * AE_PANEL, from = w->offset + task->panel * reals;
    char *to = at(t, l->gradient, task->panel * l->rows * AE_PANEL);
    (void)worker;
    memcpy(to, at(t, t->gradient, from), (size_t)reals * t->net->real_size);
    if (f->l2 > 0)
        t->kernels->axpy(reals, f->l2, at(t, t->net->parameter_base, from), to);
    if (l->bias >= 0)
        memcpy(at(t, to, reals), at(t, t->gradient, t->net->parameters[l->bias].offset + task->panel * AE_PANEL),
               AE_PANEL * t->net->real_size);
}

static ae_gemm product(int64_t summed, int64_t a_stride) {
    const int64_t terms = ae_panels(summed);
    return (ae_gemm){terms, AE_PANEL, ae_panel_columns(summed, terms - 1), NULL, NULL, a_stride, AE_PANEL * AE_PANEL};
}

static void units_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const kfac_task *task = &f->k->product_tasks[index];
    const kfac_layer *l = &f->k->layers[task->layer];
    const ae_gemm gemm = product(l->units, l->rows * AE_PANEL);
    lap p = lap_begin(t, worker);
    t->kernels->gemm_rows(&gemm, task->row1 - task->row0, ae_panel_columns(l->units, task->panel),
                          at(t, l->gradient, task->row0 * AE_PANEL),
                          at(t, l->factor[UNITS].inverse, task->panel * l->factor[UNITS].size * AE_PANEL), AE_START_ZERO, NULL,
                          at(t, l->product, (task->panel * l->rows + task->row0) * AE_PANEL));
    lap_end(&p, PROFILE_DIRECTION, 0);
}

static void inputs_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const kfac_task *task = &f->k->product_tasks[index];
    const kfac_layer *l = &f->k->layers[task->layer];
    const ae_gemm gemm = product(l->rows, l->factor[INPUTS].size * AE_PANEL);
    lap p = lap_begin(t, worker);
    t->kernels->gemm_rows(&gemm, task->row1 - task->row0, ae_panel_columns(l->units, task->panel),
                          at(t, l->factor[INPUTS].inverse, task->row0 * AE_PANEL),
                          at(t, l->product, task->panel * l->rows * AE_PANEL), AE_START_ZERO, NULL,
                          at(t, l->direction, (task->panel * l->rows + task->row0) * AE_PANEL));
    lap_end(&p, PROFILE_DIRECTION, 0);
}

/* Derivatives of all values along a change v of the parameters, for rows row0 .. row1 - 1, where gradients lie otherwise. */
static void along(const kfac_phase *f, const ae_trainer *t, bool last, int64_t row0, int64_t row1) {
    for (int i = 0; i < f->k->n_layers; i++) {
        const kfac_layer *l = &f->k->layers[i];
        const ae_value *in = &l->node->binding.in[0], *out = &l->node->binding.out;
        const ae_gemm by_change = product(l->inputs, in->stride), by_input = product(l->inputs, in->stride);
        const ae_activation activation = (ae_activation)l->node->desc.activation;
        const char *change = last ? l->last : l->direction, *slope = l->node->binding.cache;
        for (int64_t q = 0; q < l->panels; q++) {
            const int columns = ae_panel_columns(l->units, q);
            const char *v = at(t, change, q * l->rows * AE_PANEL);
            const int64_t place = q * out->stride + row0 * AE_PANEL;
            char *to = at(t, out->gradient, place);
            t->kernels->gemm_rows(&by_change, row1 - row0, columns, at(t, in->data, row0 * AE_PANEL), v,
                                  l->bias >= 0 ? AE_START_BIAS : AE_START_ZERO, at(t, v, l->inputs * AE_PANEL), to);
            if (i > 0)
                t->kernels->gemm_rows(&by_input, row1 - row0, columns, at(t, in->gradient, row0 * AE_PANEL),
                                      at(t, l->node->binding.parameter[0], q * l->inputs * AE_PANEL), AE_START_C, NULL, to);
            if (activation != AE_IDENTITY)
                t->kernels->activation_backward(activation, (row1 - row0) * AE_PANEL, at(t, out->data, place),
                                                slope ? at(t, slope, place) : NULL, to);
        }
    }
    const ae_value *z = &f->k->layers[f->k->n_layers - 1].node->binding.out;
    for (int64_t q = 0; q < f->k->layers[f->k->n_layers - 1].panels; q++)
        t->kernels->multiply((row1 - row0) * AE_PANEL, at(t, f->k->roots, (q * f->k->sampled + row0) * AE_PANEL),
                             at(t, z->gradient, q * z->stride + row0 * AE_PANEL));
}

static void along_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const kfac_layer *output = &f->k->layers[f->k->n_layers - 1];
    const ae_value *z = &output->node->binding.out;
    const int64_t row0 = index * ROWS_OF_BLOCK, row1 = row0 + ROWS_OF_BLOCK < f->model ? row0 + ROWS_OF_BLOCK : f->model;
    lap p = lap_begin(t, worker);
    along(f, t, false, row0, row1);
    for (int64_t q = 0; q < output->panels; q++)
        memcpy(at(t, f->k->along, (q * f->k->sampled + row0) * AE_PANEL), at(t, z->gradient, q * z->stride + row0 * AE_PANEL),
               (size_t)((row1 - row0) * AE_PANEL) * t->net->real_size);
    if (f->along_last)
        along(f, t, true, row0, row1);
    lap_end(&p, PROFILE_DIRECTION, 0);
}

static void dots_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const kfac_task *task = &f->k->panel_tasks[index];
    const kfac_layer *l = &f->k->layers[task->layer];
    const int64_t n = l->rows * AE_PANEL, place = task->panel * n, reals = l->inputs * AE_PANEL;
    const char *d = at(t, l->direction, place), *p = at(t, l->last, place), *g = at(t, l->gradient, place);
    const char *w = at(t, t->net->parameter_base, t->net->parameters[l->weight].offset + task->panel * reals);
    double *out = f->k->dots + index * DOTS;
    (void)worker;
    out[DD] = t->kernels->dot(n, d, d);
    out[GD] = t->kernels->dot(n, g, d);
    out[DP] = out[PP] = out[GP] = out[WD] = out[WP] = 0.0;
    if (f->along_last) {
        out[DP] = t->kernels->dot(n, d, p);
        out[PP] = t->kernels->dot(n, p, p);
        out[GP] = t->kernels->dot(n, g, p);
    }
    if (f->l2 > 0) {
        out[WD] = t->kernels->dot(reals, w, d);
        out[WP] = f->along_last ? t->kernels->dot(reals, w, p) : 0.0;
    }
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
    char *const weight = at(t, t->net->parameter_base, t->net->parameters[l->weight].offset + panel * reals);
    memcpy(back ? weight : kept, back ? kept : weight, (size_t)reals * t->net->real_size);
    if (l->bias >= 0) {
        char *const bias = at(t, t->net->parameter_base, t->net->parameters[l->bias].offset + panel * AE_PANEL);
        char *const place = at(t, kept, reals);
        memcpy(back ? bias : place, back ? place : bias, AE_PANEL * t->net->real_size);
    }
}

/* last = a * direction + b * last, which the parameters then take. */
static void move_task(void *argument, int64_t index, int worker) {
    const kfac_phase *f = argument;
    const ae_trainer *t = f->t;
    const kfac_task *task = &f->k->panel_tasks[index];
    const kfac_layer *l = &f->k->layers[task->layer];
    const int64_t n = l->rows * AE_PANEL, place = task->panel * n, reals = l->inputs * AE_PANEL;
    char *last = at(t, l->last, place);
    lap p = lap_begin(t, worker);
    if (f->looks_ahead)
        exchange(f, l, task->panel, false);
    if (f->along_last)
        t->kernels->scale(n, f->b, last);
    else
        memset(last, 0, (size_t)n * t->net->real_size);
    t->kernels->axpy(n, f->a, at(t, l->direction, place), last);
    t->kernels->axpy(reals, 1.0, last,
                     at(t, t->net->parameter_base, t->net->parameters[l->weight].offset + task->panel * reals));
    if (l->bias >= 0)
        t->kernels->axpy(AE_PANEL, 1.0, at(t, last, reals),
                         at(t, t->net->parameter_base, t->net->parameters[l->bias].offset + task->panel * AE_PANEL));
    ae_net_pack_tile(t->net, l->weight, task->panel, 0, l->inputs);
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
        f->root = sqrt(k->damping + f->l2);
        /* Each may take long; asked between as many as run at once. */
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

/* The damping follows the ratio of what the step brought to what was foretold of it. */
static ae_status follow(ae_context *context, ae_trainer *t, const kfac_phase *f, int64_t from, double before, double penalty,
                        double foretold, ae_stop stop, void *stop_argument) {
    double *const lanes = t->stages[0].lanes, kept[AE_LOSS_LANES];
    ae_kfac *k = f->k;
    memcpy(kept, lanes, sizeof kept);
    train_clear_lanes(t, 0);
    ae_status status = train_run(context, t, 0, f->pass, from, f->rows, false, NULL, stop, stop_argument);
    const double change = train_loss(t, 0, (double)f->rows) - before + penalty;
    memcpy(lanes, kept, sizeof kept);
    if (status != AE_OK && status != AE_ERR_NONFINITE)
        return status;
    const double ratio = status == AE_OK ? change / foretold : -1.0;
    if (ratio > 0.75)
        k->damping *= DAMPING_FALL;
    else if (foretold != 0.0 && !(ratio >= 0.25))
        k->damping /= DAMPING_FALL;
    const double least = LEAST_DAMPING * mean_curvature(t, k);
    k->damping = k->damping < least ? least : k->damping;
    if (status == AE_ERR_NONFINITE)
        run(f, back_task, k->n_panel_tasks);
    return AE_OK;
}

ae_status train_kfac_step(ae_context *context, ae_trainer *t, const pass *p, int64_t from, int64_t rows, ae_stop stop,
                          void *stop_argument) {
    ae_kfac *k = t->kfac;
    const int64_t quarter = rows / 4 > LEAST_SAMPLED ? rows / 4 : LEAST_SAMPLED;
    const int64_t eighth = rows / 8 > LEAST_MODELLED ? rows / 8 : LEAST_MODELLED;
    kfac_phase f = {.t = t,
                    .k = k,
                    .pass = p,
                    .rows = rows,
                    .s = quarter < rows ? quarter : rows,
                    .model = eighth < rows ? eighth : rows,
                    .l2 = t->options.l2,
                    .workers = train_workers(t, 2 * t->net->flops_per_row * (double)rows),
                    .along_last = k->steps > 0,
                    .looks_ahead = (k->steps + 1) % DAMPING_STEPS == 0};
    double dots[DOTS] = {0};
    ae_status status;
    AE_TRY(train_run(context, t, 0, p, from, rows, true, NULL, stop, stop_argument));
    const double before = train_loss(t, 0, (double)rows);
    for (int64_t row = 0; row < f.s; row++)
        f.weight += t->row_weight[row];
    run(&f, gradient_task, k->n_panel_tasks);
    run(&f, root_task, n_blocks(f.s));
    AE_TRY(learn_curvature(context, t, &f, stop, stop_argument));
    if (k->damping == 0.0)
        goto cleanup;
    run(&f, units_task, k->n_product_tasks);
    run(&f, inputs_task, k->n_product_tasks);
    AE_TRY(train_ask(context, t, stop, stop_argument));
    run(&f, along_task, n_blocks(f.model));
    run(&f, dots_task, k->n_panel_tasks);
    for (int64_t i = 0; i < k->n_panel_tasks; i++)
        for (int j = 0; j < DOTS; j++)
            dots[j] += k->dots[i * DOTS + j];
    const double foretold = choose_step(&f, dots);
    if (!isfinite(f.a) || !isfinite(f.b))
        return ae_fail(context, AE_ERR_NONFINITE, "the step is not finite");
    run(&f, move_task, k->n_panel_tasks);
    k->steps++;
    if (f.looks_ahead) {
        /* l2 / 2 (|w + s|^2 - |w|^2), where |s|^2 takes the biases in as well, which are few. */
        const double square = f.a * f.a * dots[DD] + 2 * f.a * f.b * dots[DP] + f.b * f.b * dots[PP];
        const double penalty = f.l2 * (f.a * dots[WD] + f.b * dots[WP] + 0.5 * square);
        AE_TRY(follow(context, t, &f, from, before, penalty, foretold, stop, stop_argument));
    }
cleanup:
    return status;
}
