/* One training step: the phase by rows, the phase by weights, and the phases that clipping and max-norm add. */
#include <math.h>
#include <string.h>

#include "train/laps.h"

ae_status train_ask(ae_context *context, ae_trainer *trainer, ae_stop stop, void *stop_argument) {
    ae_asking asking = {stop, stop_argument, trainer->asked};
    const ae_status status = ae_ask(context, &asking);
    trainer->asked = asking.asked;
    return status;
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
    /* What of the way forward and back is in this phase: all of it, unless layers couple rows. */
    int first, last;           /* nodes forward; none where last < first */
    int back_first, back_last; /* nodes in reverse */
    bool begins;               /* gathers the rows */
    bool turns;                /* reaches the losses */
} row_phase;

/* The rows of the data that the pass visits from position `first` on. */
static void find_rows(const pass *p, int64_t first, int64_t count, uint64_t *index) {
    ae_permutation_range(&p->shuffle, (uint64_t)first, count, index);
    for (int64_t i = 0; i < count; i++)
        index[i] += (uint64_t)p->first;
    for (int64_t i = 0; p->split.right_bits && i < count; i++)
        index[i] = ae_permutation_at(&p->split, index[i]);
}

/* Shuffled rows lie anywhere. Of short ones the processor has many on their way by itself, and asking takes longer than it
 * saves; each long one is asked for while the ones before it are copied. */
#define ROWS_AHEAD 8
#define LONG_ROW 512 /* bytes */

static void gather_source(const ae_data *source, const ae_node *node, const ae_trainer *t, int64_t row0, int64_t row1) {
    const uint64_t *const index = t->row_index;
    const ae_value *const out = &node->binding.out;
    /* Of data by columns a row lies in as many places as it has columns. */
    if (source->column_bytes > (int64_t)sizeof(double) || source->columns * source->column_bytes < LONG_ROW) {
        ae_data_gather(source, t->kernels, 0, index + row0, row1 - row0, out->stride, row0, out->data);
        return;
    }
    for (int64_t row = row0 - ROWS_AHEAD; row < row1; row++) {
        if (row + ROWS_AHEAD < row1)
            ae_data_prefetch(source, (int64_t)index[row + ROWS_AHEAD]);
        if (row >= row0)
            ae_data_gather(source, t->kernels, (int64_t)index[row], NULL, 1, out->stride, row, out->data);
    }
}

static void gather_rows(const row_phase *phase, int64_t row0, int64_t row1) {
    const ae_trainer *t = phase->trainer;
    const pass *p = phase->pass;
    uint64_t *const index = t->row_index;
    find_rows(p, phase->from + row0, row1 - row0, index + row0);
    for (int i = phase->stage->desc.first_node; i <= phase->stage->desc.last_node; i++) {
        const ae_node *node = &t->net->nodes[i];
        if (!(node->ops->flags & AE_LAYER_SOURCE))
            continue;
        const ae_data *source = &p->data->sources[node->desc.source];
        for (int64_t row = row0; node->by_pairs && row < row1; row++)
            ae_data_gather_pairs(source, t->net->bits, (int64_t)index[row], row, &node->pairs);
        if (!node->by_pairs || node->beside_pairs)
            gather_source(source, node, t, row0, row1);
    }
    for (int64_t row = row0; row < row1; row++)
        t->row_weight[row] = p->data->row_weight ? p->data->row_weight[index[row]] * p->weight_scale : 1.0;
}

/* A term for a block of rows of data: the loss of each row, and gradients where asked. share: by sample, the factors of the
 * gradients of joined samples (row weights included), or NULL. */
static void run_term(const row_phase *phase, int i, int64_t row0, int64_t row1, bool gradients, const double *share) {
    const ae_trainer *t = phase->trainer;
    const stage *s = phase->stage;
    const ae_term *term = &t->losses[s->desc.first_loss + i];
    const int64_t k = term->multiplicity;
    double *loss = t->row_loss + (s->desc.first_loss + (int64_t)i) * t->chunk;
    /* Rows of a block stay in the block's own part of the memory by sample, whatever the number of samples of a term. */
    double *sample = k > 1 ? t->sample + row0 * (t->samples - k) : loss;
    ae_loss_call call = ae_term_call(t->net, term, row0, row1);
    const bool shared = share && k > 1;
    call.scale = term->desc.weight / phase->denominator / (shared ? 1.0 : (double)k);
    call.row_weight = shared ? share : t->row_weight;
    call.weight_repeat = shared ? 1 : k;
    call.row_loss = sample;
    if (gradients) {
        call.gradient = t->net->nodes[term->desc.prediction].binding.out.gradient;
        call.accumulate = s->adds[2 * i];
    }
    if (gradients && term->desc.second >= 0) {
        call.second_gradient = t->net->nodes[term->desc.second].binding.out.gradient;
        call.second_accumulate = s->adds[2 * i + 1];
    }
    term->ops->rows(&call);
    for (int64_t row = row0; k > 1 && row < row1; row++) {
        double sum = 0.0;
        for (int64_t j = row * k; j < (row + 1) * k; j++)
            sum += sample[j];
        loss[row] = sum / (double)k;
    }
}

/* Joins the samples of each row (Burda et al. 2016): values of all terms first, then the share of each sample, by which its
 * gradients count. */
static void join_samples(const row_phase *phase, int64_t row0, int64_t row1) {
    const ae_trainer *t = phase->trainer;
    const stage *s = phase->stage;
    const int64_t k = t->samples;
    double *sample = t->sample, *total = sample + t->chunk * k, *share = total + t->chunk * k;
    double *joined = t->row_loss + (int64_t)t->n_losses * t->chunk;
    for (int64_t j = row0 * k; j < row1 * k; j++)
        total[j] = 0.0;
    for (int i = 0; i < s->desc.n_losses; i++) {
        const int l = s->desc.first_loss + i;
        const ae_term *term = &t->losses[l];
        run_term(phase, i, row0, row1, false, NULL);
        for (int64_t row = row0; row < row1; row++)
            for (int64_t j = 0; j < s->samples; j++)
                total[row * k + j] +=
                    term->desc.weight * (term->multiplicity > 1 ? sample[row0 * (k - s->samples) + row * s->samples + j]
                                                                : t->row_loss[(int64_t)l * t->chunk + row]);
    }
    /* By sample of the stage from here on, in the block's own part. */
    share += row0 * (k - s->samples);
    for (int64_t row = row0; row < row1; row++) {
        double *of_row = share + row * s->samples;
        joined[row] = t->exact->log_mean_exp(s->samples, total + row * k, of_row);
        for (int64_t j = 0; j < s->samples; j++)
            of_row[j] = t->row_weight[row] == 0.0 ? 0.0 : t->row_weight[row] * of_row[j];
    }
    for (int i = 0; phase->gradients && i < s->desc.n_losses; i++)
        run_term(phase, i, row0, row1, true, share);
}

static void run_losses(const row_phase *phase, int64_t row0, int64_t row1, lap *l) {
    const stage *s = phase->stage;
    if (s->joins) {
        join_samples(phase, row0, row1);
        lap_end(l, PROFILE_LOSS, s->desc.first_loss); /* all of them */
        return;
    }
    for (int i = 0; i < s->desc.n_losses; i++) {
        run_term(phase, i, row0, row1, phase->gradients, NULL);
        lap_end(l, PROFILE_LOSS, s->desc.first_loss + i);
    }
}

/* Node by node where each has a time of its own. */
static void run_forward(const row_phase *phase, const ae_block *block, int worker, lap *l) {
    const int step = l->profile ? 1 : phase->last - phase->first + 1;
    for (int i = phase->first; i <= phase->last; i += step) {
        ae_net_forward(phase->trainer->net, i, i + step - 1, *block, worker);
        lap_end(l, PROFILE_FORWARD, i);
    }
}

static void run_backward(const row_phase *phase, const ae_block *block, int worker, lap *l) {
    const int step = l->profile ? 1 : phase->back_last - phase->back_first + 1;
    for (int i = phase->back_last; i >= phase->back_first; i -= step) {
        ae_net_backward(phase->trainer->net, i - step + 1, i, *block, worker);
        lap_end(l, PROFILE_BACKWARD, i);
    }
}

static void row_task(void *argument, int64_t task, int worker) {
    const row_phase *phase = argument;
    const ae_trainer *t = phase->trainer;
    const int64_t row0 = task * phase->block;
    const int64_t row1 = row0 + phase->block < phase->rows ? row0 + phase->block : phase->rows;
    const ae_block block = {row0,  row1, phase->pass->step, phase->first_row, phase->pass->training, phase->gradients,
                            false, NULL};
    lap l = lap_begin(t, worker);
    if (phase->begins) {
        gather_rows(phase, row0, row1);
        lap_end(&l, PROFILE_GATHER, 0);
    }
    run_forward(phase, &block, worker, &l);
    if (phase->turns)
        run_losses(phase, row0, row1, &l);
    if (phase->gradients)
        run_backward(phase, &block, worker, &l);
}

/* Rows of a block: values of a small network stay in the second-level cache from forward to backward; of a wide one hardly
 * more than the input of one layer fits, because its weights stream anyway, once for each block, and the product asks for
 * rows in time. Equal parts for the workers. */
static int64_t block_rows(const ae_trainer *t, int64_t rows, int workers) {
    const int64_t l2 = ae_cpu_l2_bytes();
    int64_t widest = 1, samples = 1;
    for (int i = 0; i < t->net->n_nodes; i++) {
        const ae_shape *shape = &t->net->nodes[i].plan.out;
        samples = shape->multiplicity > samples ? shape->multiplicity : samples;
        widest = shape->width * shape->multiplicity > widest ? shape->width * shape->multiplicity : widest;
    }
    const int64_t all = l2 / 2 / (t->net->value_reals_per_row * (int64_t)t->net->real_size);
    int64_t one = l2 * 12 / 10 / (widest * (int64_t)t->net->real_size);
    /* A tile of the products is 12 rows high; of weights that come from memory each block wants more use. */
    const bool far = t->net->parameter_reals * (int64_t)t->net->real_size > 16 * l2;
    const int64_t least = ((far ? 128 : 12) + samples - 1) / samples;
    /* Products of parts take a weight faster than it comes, so that each block wants more use of it. */
    const int64_t most = t->net->part_numbers ? 256 : 128;
    one = one < least ? least : one > most ? most : one;
    const int64_t best = all > one ? all : one;
    const int64_t parts = (rows + best * workers - 1) / (best * workers) * workers;
    /* What sums over rows read in blocks of 32 has one writer for each. */
    const int64_t multiple = t->net->part_numbers ? AE_PANEL : 4;
    return ((rows + parts - 1) / parts + multiple - 1) / multiple * multiple;
}

/* Below this a worker costs more than it gives: some tens of microseconds of arithmetic. */
#define FLOPS_PER_WORKER 2e6

int train_workers(const ae_trainer *t, double flops) {
    const int most = ae_pool_size(t->pool);
    const double wanted = flops / FLOPS_PER_WORKER;
    return wanted < 1.0 ? 1 : wanted < most ? (int)wanted : most;
}

/* Forward and backward of what grows with the square of the rows, or not with them. */
static double coupled_flops(const ae_trainer *t, int64_t rows) {
    return 2 * (t->net->flops_per_pair * (double)rows * (double)rows + t->net->flops_per_minibatch);
}

/* ---- layers that couple rows ---- */

typedef struct couple_phase {
    const ae_node *node;
    int64_t rows;
    bool training, backward;
} couple_phase;

static void couple_task(void *argument, int64_t part, int worker) {
    const couple_phase *phase = argument;
    const ae_layer_ops *ops = phase->node->ops;
    (void)worker;
    (phase->backward ? ops->couple_backward : ops->couple)(&phase->node->binding, phase->rows, part, phase->training);
}

static void couple(const row_phase *phase, int node, bool backward, int workers) {
    const ae_node *n = &phase->trainer->net->nodes[node];
    couple_phase c = {n, phase->rows * n->plan.out.multiplicity, phase->pass->training, backward};
    lap l = lap_begin(phase->trainer, 0);
    ae_pool_run(phase->trainer->pool, couple_task, &c, n->plan.coupling_parts, workers);
    lap_end(&l, PROFILE_COUPLE, node);
}

static void run_rows(row_phase *phase, int workers) {
    ae_pool_run(phase->trainer->pool, row_task, phase, (phase->rows + phase->block - 1) / phase->block, workers);
}

/* The phase by rows: in one piece, or where backward follows and layers couple rows, cut before the forward and before the
 * backward of each such layer. */
static void run_by_rows(row_phase *phase, int workers) {
    const stage *s = phase->stage;
    const ae_node *nodes = phase->trainer->net->nodes;
    const int first = s->desc.first_node, last = s->desc.last_node;
    int forward = first, back = last;
    phase->begins = true;
    for (int i = first; s->couples && phase->gradients && i <= last; i++) {
        if (!nodes[i].ops->couple)
            continue;
        phase->first = forward, phase->last = i - 1;
        phase->back_first = 0, phase->back_last = -1;
        run_rows(phase, workers);
        couple(phase, i, false, workers);
        phase->begins = false;
        forward = i;
    }
    phase->first = forward, phase->last = last;
    phase->turns = true;
    for (int i = last; s->couples && phase->gradients && i >= first; i--) {
        if (!nodes[i].active || !nodes[i].ops->couple_backward)
            continue;
        phase->back_first = i + 1, phase->back_last = back;
        run_rows(phase, workers);
        couple(phase, i, true, workers);
        phase->first = 0, phase->last = -1;
        phase->turns = false;
        back = i;
    }
    phase->back_first = first, phase->back_last = back;
    run_rows(phase, workers);
}

/* Sums the losses of a chunk. Lanes go by position in the pass, so the cut into chunks does not show. False where one is not finite. */
static bool add_losses(const row_phase *phase) {
    const ae_trainer *t = phase->trainer;
    const stage *s = phase->stage;
    double check = 0.0;
    for (int i = 0; i < s->desc.n_losses + (s->joins ? 1 : 0); i++) {
        const int64_t l = i < s->desc.n_losses ? s->desc.first_loss + i : t->n_losses;
        const double *loss = t->row_loss + l * t->chunk;
        double *lane = s->lanes + (int64_t)i * AE_LOSS_LANES;
        for (int64_t row = 0; row < phase->rows; row++)
            /* A row without weight has no say, whatever it holds. */
            lane[(phase->from + row) % AE_LOSS_LANES] += t->row_weight[row] == 0.0 ? 0.0 : t->row_weight[row] * loss[row];
        for (int j = 0; j < AE_LOSS_LANES; j++)
            check += lane[j] * 0.0;
    }
    return check == 0.0;
}

/* ---- by weights ---- */

typedef struct weight_phase {
    const ae_trainer *trainer;
    const stage *stage;
    const update *how; /* NULL: gradient only */
    int64_t rows;
    bool accumulate; /* onto the gradient of earlier chunks */
    bool keep;       /* gradient goes to its region, not to scratch */
    bool complete;   /* no chunk follows */
} weight_phase;

static char *at_tile(const ae_trainer *t, char *region, const tile_task *task) {
    const ae_parameter *p = &t->net->parameters[task->parameter];
    const int64_t reals = p->offset + (task->tile.panel * p->request.rows + task->tile.row0) * AE_PANEL;
    return region + (size_t)reals * t->net->real_size;
}

_Static_assert(AE_RULE_MAX_STATE <= AE_ROUNDED_ARRAYS, "all states of a weight are rounded at once");

/* By the rule: n reals of a parameter from real `at` of the regions on, no more than 32 rows where the state is in bfloat16. */
static void update_run(const ae_trainer *t, const stage *s, const ae_rule_step *step, int64_t at, int64_t n,
                       const void *gradient) {
    _Alignas(AE_ALIGNMENT) float widened[AE_RULE_MAX_STATE][AE_ROUNDED_MOST];
    void *state[AE_RULE_MAX_STATE] = {NULL}, *rounded[AE_RULE_MAX_STATE];
    const size_t size = t->net->real_size;
    for (int i = 0; i < t->n_state; i++) {
        if (!t->rounds_state) {
            state[i] = t->state[i] + (size_t)at * size;
            continue;
        }
        rounded[i] = t->state[i] + (size_t)at * sizeof(ae_bf16);
        state[i] = widened[i];
        t->kernels->widen(n, rounded[i], state[i]);
    }
    s->rule->update(&t->options.rule_options, step, n, t->net->parameter_base + (size_t)at * size, gradient, state);
    if (t->rounds_state && t->n_state)
        t->kernels->random_round(t->rounding_key, (uint64_t)step->step * AE_MAX_STAGES + (uint64_t)(s - t->stages),
                                 (uint32_t)(at / AE_PANEL), n, t->n_state, (const void *const *)state, rounded);
}

static void update_tile(const ae_trainer *t, const stage *s, const tile_task *task, const update *how, const char *gradient) {
    const ae_parameter *p = &t->net->parameters[task->parameter];
    const ae_rule_step *step = p->request.decays ? &how->decaying : &how->plain;
    const int64_t panel = task->tile.panel, first = p->offset + panel * p->request.rows * AE_PANEL;
    /* Packs in parts lie in many places: they are asked for while the block that they are made of is updated. */
    const int64_t most = p->parts || t->rounds_state ? AE_PANEL : AE_TILE_ROWS;
    for (int64_t row = task->tile.row0; row < task->tile.row1; row += most) {
        const int64_t end = task->tile.row1 - row < most ? task->tile.row1 : row + most;
        if (p->parts)
            ae_net_prefetch_packs(t->net, task->parameter, panel, row);
        update_run(t, s, step, first + row * AE_PANEL, (end - row) * AE_PANEL,
                   gradient + (size_t)((row - task->tile.row0) * AE_PANEL) * t->net->real_size);
        ae_net_pack_tile(t->net, task->parameter, panel, row, end);
    }
}

static void backward_use(const weight_phase *phase, const ae_use *use, const tile_task *task, bool accumulate, char *gradient) {
    const ae_node *node = &phase->trainer->net->nodes[use->node];
    ae_tile tile = task->tile;
    tile.parameter = use->slot;
    tile.transposed = use->transposed;
    node->ops->backward_weights(&node->binding, &tile, phase->rows * node->binding.out.shape.multiplicity, accumulate,
                                gradient);
}

/* The gradient of a tile. Each use has a sum of its own over all rows, which are then added in order, so that the cut of the
 * rows into chunks does not show. */
static void sum_uses(const weight_phase *phase, const tile_task *task, char *gradient, char *scratch) {
    const ae_trainer *t = phase->trainer;
    const ae_parameter *p = &t->net->parameters[task->parameter];
    bool first = true;
    for (int i = 0; i < p->n_uses; i++) {
        if (!t->net->nodes[p->use[i].node].active)
            continue;
        char *further = scratch;
        if (i > 0 && phase->keep)
            further = t->further + (size_t)(p->further_offset + (i - 1) * p->size +
                                            (task->tile.panel * p->request.rows + task->tile.row0) * AE_PANEL) *
                                       t->net->real_size;
        backward_use(phase, &p->use[i], task, phase->accumulate, first ? gradient : further);
        if (!first && phase->complete)
            t->kernels->axpy((task->tile.row1 - task->tile.row0) * AE_PANEL, 1.0, further, gradient);
        first = false;
    }
}

/* The node that a parameter is named after. */
static int owner(const ae_trainer *t, const tile_task *task) { return t->net->parameters[task->parameter].use[0].node; }

static void weight_task(void *argument, int64_t index, int worker) {
    const weight_phase *phase = argument;
    const ae_trainer *t = phase->trainer;
    const tile_task *task = &phase->stage->tiles[index];
    char *scratch = t->tile_scratch + (size_t)worker * t->tile_bytes;
    char *gradient = phase->keep ? at_tile(t, t->gradient, task) : scratch;
    lap l = lap_begin(t, worker);
    sum_uses(phase, task, gradient, scratch + t->tile_bytes / 2);
    lap_end(&l, PROFILE_WEIGHTS, owner(t, task));
    if (phase->how) {
        update_tile(t, phase->stage, task, phase->how, gradient);
        lap_end(&l, PROFILE_UPDATE, owner(t, task));
    }
}

/* The layer's own new value, read off by the first use in the stage, then in its place. */
static void assign_task(void *argument, int64_t index, int worker) {
    const weight_phase *phase = argument;
    const ae_trainer *t = phase->trainer;
    const stage *s = phase->stage;
    const tile_task *task = &s->tiles[s->n_tiles + index];
    const ae_parameter *p = &t->net->parameters[task->parameter];
    char *value = t->tile_scratch + (size_t)worker * t->tile_bytes;
    int use = 0;
    while (p->use[use].node < s->desc.first_node || p->use[use].node > s->desc.last_node)
        use++;
    backward_use(phase, &p->use[use], task, false, value);
    memcpy(at_tile(t, t->net->parameter_base, task), value,
           (size_t)((task->tile.row1 - task->tile.row0) * AE_PANEL) * t->net->real_size);
    ae_net_pack_tile(t->net, task->parameter, task->tile.panel, task->tile.row0, task->tile.row1);
}

void train_assign(const ae_trainer *t, int stage_index, int64_t rows) {
    const stage *s = &t->stages[stage_index];
    weight_phase by_weights = {t, s, NULL, rows, false, false, true};
    lap l = lap_begin(t, 0);
    if (s->n_assigned) {
        ae_pool_run(t->pool, assign_task, &by_weights, s->n_assigned, 0);
        lap_end(&l, PROFILE_ASSIGN, 0);
    }
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
    const ae_trainer *t = phase->trainer;
    const tile_task *task = &phase->stage->tiles[index];
    lap l = lap_begin(t, worker);
    update_tile(t, phase->stage, task, phase->how, at_tile(t, t->gradient, task));
    lap_end(&l, PROFILE_UPDATE, owner(t, task));
}

/* Max-norm (Srebro and Shraibman 2005): each unit's incoming weights are drawn back onto the ball. By panel, because a
 * unit is a column: the tile with row0 = 0 does its whole panel. */
static void max_norm_task(void *argument, int64_t index, int worker) {
    const weight_phase *phase = argument;
    const ae_trainer *t = phase->trainer;
    const tile_task *task = &phase->stage->tiles[index];
    const ae_parameter *p = &t->net->parameters[task->parameter];
    (void)worker;
    if (task->tile.row0 || !p->request.decays || p->constraint)
        return;
    t->kernels->limit_column_norms(p->request.rows, t->options.max_norm, at_tile(t, t->net->parameter_base, task));
    ae_net_pack_tile(t->net, task->parameter, task->tile.panel, 0, p->request.rows);
}

static char *whole_parameter(const ae_trainer *t, char *region, int parameter) {
    return region + (size_t)t->net->parameters[parameter].offset * t->net->real_size;
}

static void project_task(void *argument, int64_t index, int worker) {
    const weight_phase *phase = argument;
    const ae_trainer *t = phase->trainer;
    const tile_task *task = &phase->stage->tiles[phase->stage->n_tiles + phase->stage->n_assigned + index];
    const ae_parameter *p = &t->net->parameters[task->parameter];
    (void)worker;
    t->kernels->project_rows(p->request.rows, p->request.columns, task->tile.row0, task->tile.row1,
                             whole_parameter(t, t->net->parameter_base, task->parameter),
                             whole_parameter(t, t->gradient, task->parameter));
}

static void unit_task(void *argument, int64_t index, int worker) {
    const weight_phase *phase = argument;
    const ae_trainer *t = phase->trainer;
    const tile_task *task = &phase->stage->tiles[phase->stage->n_tiles + phase->stage->n_assigned + index];
    const ae_parameter *p = &t->net->parameters[task->parameter];
    (void)worker;
    t->kernels->unit_rows(p->request.rows, p->request.columns, task->tile.row0, task->tile.row1,
                          whole_parameter(t, t->net->parameter_base, task->parameter));
    for (int64_t q = 0; q < ae_panels(p->request.columns); q++)
        ae_net_pack_tile(t->net, task->parameter, q, task->tile.row0, task->tile.row1);
}

/* Sum of the squares by tile in order, in double. */
static double clipping_scale(const ae_trainer *t, const stage *s) {
    double sum = 0.0;
    for (int64_t i = 0; i < s->n_tiles; i++)
        sum += t->tile_sum[i];
    const double norm = sqrt(sum);
    return norm > t->options.clip_norm ? t->options.clip_norm / norm : norm <= t->options.clip_norm ? 1.0 : NAN;
}

/* Updates that wait for the whole gradient: rows of norm one lose the part along them, then the global norm is limited. */
static ae_status update_late(ae_context *context, ae_trainer *t, const stage *s, const update *how, int64_t rows, int workers) {
    weight_phase by_weights = {t, s, how, rows, false, true, true};
    update scaled = *how;
    lap l = lap_begin(t, 0);
    if (s->n_unit)
        ae_pool_run(t->pool, project_task, &by_weights, s->n_unit, workers);
    if (isfinite(t->options.clip_norm)) {
        ae_pool_run(t->pool, norm_task, &by_weights, s->n_tiles, workers);
        scaled.decaying.gradient_scale = scaled.plain.gradient_scale = clipping_scale(t, s);
        if (isnan(scaled.plain.gradient_scale))
            return ae_fail(context, AE_ERR_NONFINITE, "the norm of the gradient is not finite");
    }
    by_weights.how = &scaled;
    lap_end(&l, PROFILE_LIMITS, 0);
    ae_pool_run(t->pool, update_task, &by_weights, s->n_tiles, workers);
    return AE_OK;
}

ae_status train_run(ae_context *context, ae_trainer *t, int stage_index, const pass *p, int64_t from, int64_t rows,
                    bool gradients, const update *how, ae_stop stop, void *stop_argument) {
    const stage *s = &t->stages[stage_index];
    const bool whole = rows <= t->chunk, late = how && (isfinite(t->options.clip_norm) || s->n_unit);
    const double flops = t->net->flops_per_row * (double)(rows < t->chunk ? rows : t->chunk);
    const int row_workers = train_workers(t, gradients ? 2 * flops + coupled_flops(t, rows) : flops);
    const int weight_workers = train_workers(t, flops);
    ae_status status = AE_OK;
    if (t->profile)
        profile_step(t->profile, gradients && stage_index == 0, row_workers > weight_workers ? row_workers : weight_workers);
    if (gradients && t->bound_stage != stage_index) {
        ae_net_bind_range(t->net, s->desc.first_node, s->desc.last_node, s->desc.groups, s->seeded);
        t->bound_stage = stage_index;
    }
    for (int64_t done = 0; done < rows; done += t->chunk) {
        row_phase by_rows = {
            t, s, p,     from + done, rows - done < t->chunk ? rows - done : t->chunk, 0, done, (double)rows, gradients, 0, 0,
            0, 0, false, false};
        by_rows.block = block_rows(t, by_rows.rows, row_workers);
        run_by_rows(&by_rows, row_workers);
        lap l = lap_begin(t, 0);
        if (!add_losses(&by_rows))
            return ae_fail(context, AE_ERR_NONFINITE, "the loss is not finite");
        lap_end(&l, PROFILE_SUMS, 0);
        if (gradients) {
            ae_net_order_pairs(t->net, s->desc.first_node, s->desc.last_node, by_rows.rows);
            lap_end(&l, PROFILE_ORDER, 0);
            const bool last = done + t->chunk >= rows;
            weight_phase by_weights = {t, s, last && !late ? how : NULL, by_rows.rows, done > 0, !whole || late || !how, last};
            ae_pool_run(t->pool, weight_task, &by_weights, s->n_tiles, weight_workers);
        }
        if (t->profile)
            profile_count(t, s, by_rows.rows, gradients, !whole || late || !how, how && done + t->chunk >= rows);
        AE_TRY(train_ask(context, t, stop, stop_argument));
    }
    if (late)
        AE_TRY(update_late(context, t, s, how, rows, weight_workers));
    if (how && (isfinite(t->options.max_norm) || s->n_unit)) {
        weight_phase by_weights = {t, s, how, rows, false, false, true};
        lap l = lap_begin(t, 0);
        if (isfinite(t->options.max_norm))
            ae_pool_run(t->pool, max_norm_task, &by_weights, s->n_tiles, weight_workers);
        if (s->n_unit)
            ae_pool_run(t->pool, unit_task, &by_weights, s->n_unit, weight_workers);
        lap_end(&l, PROFILE_LIMITS, 0);
    }
    if (how)
        train_assign(t, stage_index, rows);
cleanup:
    return status;
}

void train_clear_lanes(const ae_trainer *t, int stage_index) {
    const stage *s = &t->stages[stage_index];
    memset(s->lanes, 0, (size_t)(s->desc.n_losses + 1) * AE_LOSS_LANES * sizeof *s->lanes);
}

static double join_lanes(const double *v) { return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7])); }

void train_add_terms(ae_trainer *t, int stage_index) {
    const stage *s = &t->stages[stage_index];
    for (int i = 0; i < s->desc.n_losses; i++)
        t->term_sum[s->desc.first_loss + i] += join_lanes(s->lanes + (int64_t)i * AE_LOSS_LANES);
}

double train_loss(const ae_trainer *t, int stage_index, double count) {
    const stage *s = &t->stages[stage_index];
    double total = 0.0;
    if (s->joins)
        return join_lanes(s->lanes + (int64_t)s->desc.n_losses * AE_LOSS_LANES) / count;
    for (int i = 0; i < s->desc.n_losses; i++)
        total += t->losses[s->desc.first_loss + i].desc.weight * join_lanes(s->lanes + (int64_t)i * AE_LOSS_LANES);
    return total / count;
}
