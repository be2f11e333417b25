/* Making, taking apart and storing what K-FAC knows. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "math/spd.h"
#include "train/kfac_internal.h"

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

/* Panels of values and of their gradients, or their number. */
static int64_t list_sides(const ae_kfac *k, kfac_task *out) {
    int64_t n = 0;
    for (int l = 0; l < k->n_layers && k->parts; l++)
        for (int side = INPUTS; side <= UNITS; side++)
            for (int64_t q = 0; q < ae_panels(side == INPUTS ? k->layers[l].inputs : k->layers[l].units); q++, n++)
                if (out)
                    out[n] = (kfac_task){l, side, q, 0, 0};
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

/* A region of every layer, in its turn: five of what is known between steps, then what is not. */
enum { STATE_PARTS = 5, LAYER_PARTS = 8 };

static int64_t part_reals(const ae_kfac *k, const kfac_layer *l, int part) {
    const int64_t inputs = padded(l->rows), units = padded(l->units), step = l->rows * units;
    const int64_t reals[LAYER_PARTS] = {inputs * inputs,    inputs * inputs, units * units, units * units, step, step, step,
                                        k->parts ? 0 : step};
    return reals[part];
}

static char **part_place(kfac_layer *l, int part) {
    char **places[LAYER_PARTS] = {&l->factor[INPUTS].average,
                                  &l->factor[INPUTS].inverse,
                                  &l->factor[UNITS].average,
                                  &l->factor[UNITS].inverse,
                                  &l->last,
                                  &l->product,
                                  &l->direction,
                                  &l->gradient};
    return places[part];
}

/* Gives parts their places from `base` on, where there is one; the numbers of bfloat16 needed. */
static int64_t place_parts(ae_kfac *k, ae_bf16 *base) {
    int64_t n = 0;
    for (int i = 0; i < k->n_layers && k->parts; i++) {
        kfac_layer *l = &k->layers[i];
        kfac_factor *const in = &l->factor[INPUTS], *const out = &l->factor[UNITS];
        ae_parts *const parts[] = {&in->parts,     &out->parts, &l->gradient_parts, &l->product_parts, &l->direction_parts,
                                   &l->last_parts, &in->turned, &in->pairs,         &out->turned,      &out->pairs};
        const int64_t rows = padded(l->rows), units = padded(l->units), weight = padded(l->inputs) * units;
        const int64_t blocks = ae_panels(k->sampled), in_sums = blocks * turned_step(in), out_sums = blocks * turned_step(out);
        const int64_t numbers[] = {rows * rows, units * units, l->rows * units, rows * units, weight,
                                   weight,      in_sums,       in_sums,         out_sums,     out_sums};
        for (size_t j = 0; j < sizeof parts / sizeof *parts; j++)
            for (int p = 0; p < k->parts; p++, n += numbers[j])
                parts[j]->part[p] = base ? base + n : NULL;
    }
    return n;
}

static void order_by_size(ae_kfac *k) {
    for (int i = 0; i < 2 * k->n_layers; i++) {
        int at = i;
        for (; at > 0; at--) {
            const int before = k->by_size[at - 1];
            if (k->layers[before / 2].factor[before % 2].size >= k->layers[i / 2].factor[i % 2].size)
                break;
            k->by_size[at] = before;
        }
        k->by_size[at] = i;
    }
}

static ae_status reserve_memory(ae_context *context, ae_trainer *t, ae_kfac *k) {
    const size_t real = t->net->real_size, workers = (size_t)ae_pool_size(t->pool);
    ae_status status = AE_OK;
    int64_t widest = 0;
    size_t offset, state_end = 0, dots, roots, along, normal, tiles, scratch, weighted, tasks, parts, by_size;
    void *block;
    AE_TRY(ae_alloc(context, &block, (size_t)k->n_layers * LAYER_PARTS, sizeof offset));
    size_t *const offsets = block;
    for (int part = 0; part < LAYER_PARTS; part++) {
        for (int i = 0; i < k->n_layers && status == AE_OK; i++)
            status = ae_arena_reserve(&k->memory, context, (size_t)part_reals(k, &k->layers[i], part), real,
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
        status = ae_arena_reserve(&k->memory, context,
                                  (size_t)(k->n_factor_tasks + k->n_product_tasks + k->n_panel_tasks + k->n_side_tasks),
                                  sizeof(kfac_task), &tasks);
    if (status == AE_OK)
        status = ae_arena_reserve(&k->memory, context, (size_t)place_parts(k, NULL), sizeof(ae_bf16), &parts);
    if (status == AE_OK)
        status = ae_arena_reserve(&k->memory, context, 2 * (size_t)k->n_layers, sizeof *k->by_size, &by_size);
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
    k->by_size = ae_arena_at(&k->memory, by_size);
    order_by_size(k);
    k->dots = ae_arena_at(&k->memory, dots);
    k->roots = ae_arena_at(&k->memory, roots);
    k->along = ae_arena_at(&k->memory, along);
    k->normal = ae_arena_at(&k->memory, normal);
    k->tiles = ae_arena_at(&k->memory, tiles);
    k->scratch = ae_arena_at(&k->memory, scratch);
    k->weighted = ae_arena_at(&k->memory, weighted);
    place_parts(k, ae_arena_at(&k->memory, parts));
    k->factor_tasks = ae_arena_at(&k->memory, tasks);
    k->product_tasks = k->factor_tasks + k->n_factor_tasks;
    k->panel_tasks = k->product_tasks + k->n_product_tasks;
    k->side_tasks = k->panel_tasks + k->n_panel_tasks;
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
        k->parts = i == 0 || l->node->plan.parts == k->parts ? l->node->plan.parts : 0;
    }
    k->sampled = kfac_sampled(t->chunk);
    k->n_factor_tasks = list_factors(k, NULL);
    k->n_product_tasks = list_blocks(k, ROWS_OF_TASK, NULL);
    k->n_panel_tasks = list_blocks(k, 0, NULL);
    k->n_side_tasks = list_sides(k, NULL);
    AE_TRY(reserve_memory(context, t, k));
    list_factors(k, k->factor_tasks);
    list_blocks(k, ROWS_OF_TASK, k->product_tasks);
    list_blocks(k, 0, k->panel_tasks);
    list_sides(k, k->side_tasks);
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
    k->packed = false;
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
    k->packed = false;
}
