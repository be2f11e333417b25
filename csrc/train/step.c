/* One training step: the phase by rows, the phase by weights, and the phases that clipping and max-norm add. */
#include <math.h>
#include <time.h>

#include "train/internal.h"

static double clock_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#define ASK_EVERY 0.05 /* seconds */

ae_status train_ask(ae_context *context, ae_trainer *trainer, ae_stop stop, void *stop_argument) {
    if (!stop)
        return AE_OK;
    const double time = clock_seconds();
    if (time - trainer->asked < ASK_EVERY)
        return AE_OK;
    trainer->asked = time;
    return stop(stop_argument) ? ae_fail(context, AE_ERR_INTERRUPTED, "training was interrupted") : AE_OK;
}

/* ---- by rows ---- */

typedef struct row_phase {
    const ae_trainer *trainer;
    const stage *stage;
    const pass *pass;
    int64_t from, rows, block; /* rows from .. from + rows - 1 of the pass; rows of a block */
    int64_t first_row;         /* position of the chunk in the minibatch */
    double denominator;
    bool gradients;
} row_phase;

/* The row of the data that stands at a row of the chunk. */
static int64_t data_row(const row_phase *phase, int64_t row) {
    const pass *p = phase->pass;
    const uint64_t position = ae_permutation_at(&p->shuffle, (uint64_t)(phase->from + row));
    return (int64_t)ae_permutation_at(&p->split, (uint64_t)p->first + position);
}

/* Shuffled rows lie anywhere: each is asked for while the ones before it are copied. */
#define ROWS_AHEAD 8

static void gather_rows(const row_phase *phase, int64_t row0, int64_t row1) {
    const ae_trainer *t = phase->trainer;
    const pass *p = phase->pass;
    int64_t ahead[ROWS_AHEAD] = {0};
    for (int64_t row = row0; row < row1 + ROWS_AHEAD; row++) {
        int64_t *next = &ahead[row % ROWS_AHEAD];
        const int64_t index = *next;
        if (row < row1) {
            const int64_t coming = data_row(phase, row);
            for (int i = 0; i < p->data->n_sources; i++)
                ae_data_prefetch(&p->data->sources[i], coming);
            *next = coming;
        }
        if (row < row0 + ROWS_AHEAD)
            continue;
        for (int i = phase->stage->desc.first_node; i <= phase->stage->desc.last_node; i++) {
            const ae_node *node = &t->net->nodes[i];
            if (node->ops->flags & AE_LAYER_SOURCE)
                ae_data_gather(&p->data->sources[node->desc.source], t->kernels, index, node->binding.out.stride,
                               row - ROWS_AHEAD, node->binding.out.data);
        }
        t->row_weight[row - ROWS_AHEAD] = p->data->row_weight ? p->data->row_weight[index] * p->weight_scale : 1.0;
    }
}

static void row_task(void *argument, int64_t task, int worker) {
    const row_phase *phase = argument;
    const ae_trainer *t = phase->trainer;
    const stage *s = phase->stage;
    const int64_t row0 = task * phase->block;
    const int64_t row1 = row0 + phase->block < phase->rows ? row0 + phase->block : phase->rows;
    const ae_block block = {row0, row1, phase->pass->step, phase->first_row, phase->pass->training, phase->gradients, NULL};
    gather_rows(phase, row0, row1);
    ae_net_forward(t->net, s->desc.first_node, s->desc.last_node, block, worker);
    for (int i = 0; i < s->desc.n_losses; i++) {
        const int l = s->desc.first_loss + i;
        const loss_term *term = &t->losses[l];
        const ae_value *prediction = &t->net->nodes[term->desc.prediction].binding.out;
        const ae_value *target = &t->net->nodes[term->desc.target].binding.out;
        bool accumulate = false;
        for (int j = s->desc.first_loss; j < l; j++)
            accumulate |= t->losses[j].desc.prediction == term->desc.prediction;
        term->ops->rows(&(ae_loss_call){
            .prediction = prediction->data,
            .target = target->data,
            .prediction_stride = prediction->stride,
            .target_stride = target->stride,
            .width = prediction->shape.width,
            .row0 = row0,
            .row1 = row1,
            .parameter = term->desc.parameter,
            .scale = term->desc.weight / phase->denominator,
            .row_weight = t->row_weight,
            .row_loss = t->row_loss + (int64_t)l * t->chunk,
            .gradient = phase->gradients ? prediction->gradient : NULL,
            .accumulate = accumulate,
        });
    }
    if (phase->gradients)
        ae_net_backward(t->net, s->desc.first_node, s->desc.last_node, block, worker);
}

/* Rows of a block: values of a small network stay in the second-level cache from forward to backward; of a wide one the
 * input of one layer does, because its weights stream anyway. Equal parts for the workers. */
static int64_t block_rows(const ae_trainer *t, int64_t rows, int workers) {
    const int64_t l2 = ae_cpu_l2_bytes();
    int64_t widest = 1;
    for (int i = 0; i < t->net->n_nodes; i++) {
        const ae_shape *shape = &t->net->nodes[i].plan.out;
        widest = shape->width * shape->multiplicity > widest ? shape->width * shape->multiplicity : widest;
    }
    const int64_t all = l2 / 2 / (t->net->value_reals_per_row * (int64_t)t->net->real_size);
    int64_t one = l2 * 6 / 10 / (widest * (int64_t)t->net->real_size);
    one = one < 12 ? 12 : one > 128 ? 128 : one;
    const int64_t best = all > one ? all : one;
    const int64_t parts = (rows + best * workers - 1) / (best * workers) * workers;
    return ((rows + parts - 1) / parts + 3) / 4 * 4;
}

/* Below this a worker costs more than it gives: some tens of microseconds of arithmetic. */
#define FLOPS_PER_WORKER 2e6

static int workers_for(const ae_trainer *t, double flops) {
    const int most = ae_pool_size(t->pool);
    const double wanted = flops / FLOPS_PER_WORKER;
    return wanted < 1.0 ? 1 : wanted < most ? (int)wanted : most;
}

/* Sums the losses of a chunk. Lanes go by position in the pass, so the cut into chunks does not show. False where one is not finite. */
static bool add_losses(const row_phase *phase, loss_sum *sum) {
    const ae_trainer *t = phase->trainer;
    double check = 0.0;
    for (int l = phase->stage->desc.first_loss; l < phase->stage->desc.first_loss + phase->stage->desc.n_losses; l++) {
        const double *loss = t->row_loss + (int64_t)l * t->chunk;
        double *lane = sum->lane[l];
        for (int64_t row = 0; row < phase->rows; row++)
            /* A row without weight has no say, whatever it holds. */
            lane[(phase->from + row) % AE_LOSS_LANES] += t->row_weight[row] == 0.0 ? 0.0 : t->row_weight[row] * loss[row];
        for (int i = 0; i < AE_LOSS_LANES; i++)
            check += lane[i] * 0.0;
    }
    return check == 0.0;
}

/* ---- by weights ---- */

typedef struct weight_phase {
    const ae_trainer *trainer;
    const stage *stage;
    const update *how; /* NULL: gradient only */
    int64_t rows;
    bool accumulate;   /* onto the gradient of earlier chunks */
    bool keep;         /* gradient goes to its region, not to scratch */
} weight_phase;

static char *at_tile(const ae_trainer *t, char *region, const tile_task *task) {
    const ae_parameter *p = &t->net->parameters[task->parameter];
    const int64_t reals = p->offset + (task->tile.panel * p->request.rows + task->tile.row0) * AE_PANEL;
    return region + (size_t)reals * t->net->real_size;
}

static void update_tile(const ae_trainer *t, const stage *s, const tile_task *task, const update *how, const char *gradient) {
    const ae_parameter *p = &t->net->parameters[task->parameter];
    void *state[AE_RULE_MAX_STATE] = {NULL};
    for (int i = 0; i < t->n_state; i++)
        state[i] = at_tile(t, t->state[i], task);
    s->rule->update(&t->options.rule_options, p->request.decays ? &how->decaying : &how->plain,
                    (task->tile.row1 - task->tile.row0) * AE_PANEL, at_tile(t, t->net->parameter_base, task), gradient, state);
    ae_net_pack_tile(t->net, task->parameter, task->tile.panel, task->tile.row0, task->tile.row1);
}

static void weight_task(void *argument, int64_t index, int worker) {
    const weight_phase *phase = argument;
    const ae_trainer *t = phase->trainer;
    const tile_task *task = &phase->stage->tiles[index];
    const ae_node *node = &t->net->nodes[t->net->parameters[task->parameter].use.node];
    char *gradient = phase->keep ? at_tile(t, t->gradient, task)
                                 : t->tile_scratch + (size_t)worker * AE_TILE_ROWS * AE_PANEL * t->net->real_size;
    node->ops->backward_weights(&node->binding, &task->tile, phase->rows * node->binding.out.shape.multiplicity,
                                phase->accumulate, gradient);
    if (phase->how)
        update_tile(t, phase->stage, task, phase->how, gradient);
}

static void norm_task(void *argument, int64_t index, int worker) {
    const weight_phase *phase = argument;
    const ae_trainer *t = phase->trainer;
    const tile_task *task = &phase->stage->tiles[index];
    const char *gradient = at_tile(t, t->gradient, task);
    (void)worker;
    t->tile_sum[index] = t->kernels->dot((task->tile.row1 - task->tile.row0) * AE_PANEL, gradient, gradient);
}

static void update_task(void *argument, int64_t index, int worker) {
    const weight_phase *phase = argument;
    const tile_task *task = &phase->stage->tiles[index];
    (void)worker;
    update_tile(phase->trainer, phase->stage, task, phase->how, at_tile(phase->trainer, phase->trainer->gradient, task));
}

/* Max-norm (Srebro and Shraibman 2005): each unit's incoming weights are drawn back onto the ball. By panel, because a
 * unit is a column: the tile with row0 = 0 does its whole panel. */
static void max_norm_task(void *argument, int64_t index, int worker) {
    const weight_phase *phase = argument;
    const ae_trainer *t = phase->trainer;
    const tile_task *task = &phase->stage->tiles[index];
    const ae_parameter *p = &t->net->parameters[task->parameter];
    (void)worker;
    if (task->tile.row0 || !p->request.decays)
        return;
    t->kernels->limit_column_norms(p->request.rows, t->options.max_norm, at_tile(t, t->net->parameter_base, task));
    ae_net_pack_tile(t->net, task->parameter, task->tile.panel, 0, p->request.rows);
}

/* Sum of the squares by tile in order, in double. */
static double clipping_scale(const ae_trainer *t, const stage *s) {
    double sum = 0.0;
    for (int64_t i = 0; i < s->n_tiles; i++)
        sum += t->tile_sum[i];
    const double norm = sqrt(sum);
    return norm > t->options.clip_norm ? t->options.clip_norm / norm : norm <= t->options.clip_norm ? 1.0 : NAN;
}

ae_status train_run(ae_context *context, ae_trainer *t, int stage_index, const pass *p, int64_t from, int64_t rows,
                    bool gradients, const update *how, loss_sum *sum, ae_stop stop, void *stop_argument) {
    const stage *s = &t->stages[stage_index];
    const bool whole = rows <= t->chunk, clips = how && isfinite(t->options.clip_norm);
    const double flops = t->net->flops_per_row * (double)(rows < t->chunk ? rows : t->chunk);
    const int row_workers = workers_for(t, flops * (gradients ? 2 : 1)), weight_workers = workers_for(t, flops);
    ae_status status = AE_OK;
    if (gradients && t->bound_stage != stage_index) {
        ae_net_bind_range(t->net, s->desc.first_node, s->desc.last_node, s->desc.groups, s->seeded);
        t->bound_stage = stage_index;
    }
    for (int64_t done = 0; done < rows; done += t->chunk) {
        row_phase by_rows = {t, s, p, from + done, rows - done < t->chunk ? rows - done : t->chunk, 0, done, (double)rows, gradients};
        by_rows.block = block_rows(t, by_rows.rows, row_workers);
        ae_pool_run(t->pool, row_task, &by_rows, (by_rows.rows + by_rows.block - 1) / by_rows.block, row_workers);
        if (!add_losses(&by_rows, sum))
            return ae_fail(context, AE_ERR_NONFINITE, "the loss is not finite");
        if (gradients) {
            const bool last = done + t->chunk >= rows;
            weight_phase by_weights = {t, s, last && !clips ? how : NULL, by_rows.rows, done > 0, !whole || clips || !how};
            ae_pool_run(t->pool, weight_task, &by_weights, s->n_tiles, weight_workers);
        }
        AE_TRY(train_ask(context, t, stop, stop_argument));
    }
    if (clips) {
        weight_phase by_weights = {t, s, how, rows, false, true};
        ae_pool_run(t->pool, norm_task, &by_weights, s->n_tiles, weight_workers);
        update scaled = *how;
        scaled.decaying.gradient_scale = scaled.plain.gradient_scale = clipping_scale(t, s);
        if (isnan(scaled.plain.gradient_scale))
            return ae_fail(context, AE_ERR_NONFINITE, "the norm of the gradient is not finite");
        by_weights.how = &scaled;
        ae_pool_run(t->pool, update_task, &by_weights, s->n_tiles, weight_workers);
    }
    if (how && isfinite(t->options.max_norm)) {
        weight_phase by_weights = {t, s, how, rows, false, false};
        ae_pool_run(t->pool, max_norm_task, &by_weights, s->n_tiles, weight_workers);
    }
cleanup:
    return status;
}

double train_loss(const ae_trainer *t, int stage_index, const loss_sum *sum, double count) {
    const stage *s = &t->stages[stage_index];
    double total = 0.0;
    for (int l = s->desc.first_loss; l < s->desc.first_loss + s->desc.n_losses; l++) {
        const double *v = sum->lane[l];
        total += t->losses[l].desc.weight * (((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7])));
    }
    return total / count;
}
