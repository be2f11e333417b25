/* One training step: the phase by rows (train/rows.c), the phase by weights, and the phases that clipping and max-norm add. */
#include <math.h>
#include <string.h>

#include "train/laps.h"

ae_status train_ask(ae_context *context, ae_trainer *trainer, ae_stop stop, void *stop_argument) {
    ae_asking asking = {stop, stop_argument, trainer->asked};
    const ae_status status = ae_ask(context, &asking);
    trainer->asked = asking.asked;
    return status;
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

/* ---- by weights ---- */

typedef struct weight_phase {
    const ae_trainer *trainer;
    const stage *stage;
    const update *how; /* NULL: gradient only */
    int64_t rows;
    bool accumulate; /* onto the gradient of earlier chunks */
    bool keep;       /* gradient goes to its region, not to scratch */
    bool complete;   /* no chunk follows */
    bool slices;     /* the gradient is there by slices of the minibatch */
    int workers;     /* to whom tiles are dealt out; 1: they are not */
} weight_phase;

/* The pool gives each worker a run of the tasks. Few tiles, which lie by height, are dealt out to these runs, so that they take about
 * as long; where there are many it is worth more that neighbours are done by one worker, and whoever is done first helps. */
#define FEW_TILES 16 /* a worker */

static int64_t dealt(const weight_phase *phase, int64_t task) {
    const int64_t n = phase->stage->n_tiles, workers = phase->workers < n ? phase->workers : n;
    const int64_t each = n / workers, longer = n % workers, first = longer * (each + 1);
    return task < first ? task % (each + 1) * workers + task / (each + 1)
                        : (task - first) % each * workers + longer + (task - first) / each;
}

char *train_at_tile(const ae_trainer *t, char *region, const tile_task *task) {
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
    const ae_rule_draws draws = {t->rounding_key, (uint64_t)step->step * AE_MAX_STAGES + (uint64_t)(s - t->stages),
                                 (uint32_t)(at / AE_PANEL)};
    void *const weights = t->net->parameter_base + (size_t)at * size;
    for (int i = 0; i < t->n_state; i++)
        rounded[i] = t->state[i] + (size_t)at * sizeof(ae_bf16);
    if (t->rounds_state && s->rule->update_rounded &&
        s->rule->update_rounded(&t->options.rule_options, step, n, weights, gradient, rounded, &draws))
        return;
    for (int i = 0; i < t->n_state; i++) {
        if (!t->rounds_state) {
            state[i] = t->state[i] + (size_t)at * size;
            continue;
        }
        state[i] = widened[i];
        t->kernels->widen(n, rounded[i], state[i]);
    }
    s->rule->update(&t->options.rule_options, step, n, weights, gradient, state);
    if (t->rounds_state && t->n_state)
        t->kernels->random_round(draws.key, draws.step, draws.row, n, t->n_state, (const void *const *)state, rounded);
}

static void update_tile(const ae_trainer *t, const stage *s, const tile_task *task, const update *how, const char *gradient) {
    const ae_parameter *p = &t->net->parameters[task->parameter];
    const ae_rule_step *step = p->request.decays ? &how->decaying : &how->plain;
    const int64_t panel = task->tile.panel, first = p->offset + panel * p->request.rows * AE_PANEL;
    /* The transpose and packs in parts lie elsewhere: where they are not in the cache they are asked for while the block that
     * they are made of is updated. */
    const bool asks = p->parts || t->state_is_far;
    const int64_t most = asks || t->rounds_state ? AE_PANEL : AE_TILE_ROWS;
    for (int64_t row = task->tile.row0; row < task->tile.row1; row += most) {
        const int64_t end = task->tile.row1 - row < most ? task->tile.row1 : row + most;
        if (asks)
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
    const tile_task *task = &phase->stage->tiles[dealt(phase, index)];
    char *scratch = t->tile_scratch + (size_t)worker * t->tile_bytes;
    char *gradient = phase->keep ? train_at_tile(t, t->gradient, task) : scratch;
    lap l = lap_begin(t, worker);
    if (phase->slices)
        train_join_slices(t, phase->stage, phase->rows, task, gradient);
    else
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
    memcpy(train_at_tile(t, t->net->parameter_base, task), value,
           (size_t)((task->tile.row1 - task->tile.row0) * AE_PANEL) * t->net->real_size);
    ae_net_pack_tile(t->net, task->parameter, task->tile.panel, task->tile.row0, task->tile.row1);
}

void train_assign(const ae_trainer *t, int stage_index, int64_t rows) {
    const stage *s = &t->stages[stage_index];
    weight_phase by_weights = {.trainer = t, .stage = s, .rows = rows};
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
    const char *gradient = train_at_tile(t, t->gradient, task);
    (void)worker;
    t->tile_sum[task->number] = t->kernels->dot((task->tile.row1 - task->tile.row0) * AE_PANEL, gradient, gradient);
}

static void update_task(void *argument, int64_t index, int worker) {
    const weight_phase *phase = argument;
    const ae_trainer *t = phase->trainer;
    const tile_task *task = &phase->stage->tiles[index];
    lap l = lap_begin(t, worker);
    update_tile(t, phase->stage, task, phase->how, train_at_tile(t, t->gradient, task));
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
    t->kernels->limit_column_norms(p->request.rows, t->options.max_norm, train_at_tile(t, t->net->parameter_base, task));
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
    weight_phase by_weights = {.trainer = t, .stage = s, .how = how, .rows = rows};
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
    const bool slices = how && s->slice, whole = slices || rows <= t->chunk,
               late = how && (isfinite(t->options.clip_norm) || s->n_unit);
    const double flops = t->net->flops_per_row * (double)(rows < t->chunk ? rows : t->chunk);
    const int row_workers = train_workers(t, gradients ? (slices ? 3 : 2) * flops + coupled_flops(t, rows) : flops);
    const int weight_workers = train_workers(t, flops);
    const bool few = !s->by_panels && s->n_tiles <= (int64_t)FEW_TILES * weight_workers;
    ae_status status = AE_OK;
    if (t->profile)
        profile_step(t->profile, gradients && stage_index == 0, row_workers > weight_workers ? row_workers : weight_workers);
    if (gradients && t->bound_stage != stage_index) {
        ae_net_bind_range(t->net, s->desc.first_node, s->desc.last_node, s->desc.groups, s->seeded);
        t->bound_stage = stage_index;
    }
    for (int64_t done = 0; done < rows; done += t->chunk) {
        const chunk c = {from + done, rows - done < t->chunk ? rows - done : t->chunk, done, (double)rows, gradients, slices};
        if (!train_by_rows(t, s, p, &c, row_workers))
            return ae_fail(context, AE_ERR_NONFINITE, "the loss is not finite");
        lap l = lap_begin(t, 0);
        const bool last = done + t->chunk >= rows;
        if (gradients && (last || !slices)) {
            ae_net_order_pairs(t->net, s->desc.first_node, s->desc.last_node, c.rows);
            lap_end(&l, PROFILE_ORDER, 0);
            weight_phase by_weights = {.trainer = t,
                                       .stage = s,
                                       .how = last && !late ? how : NULL,
                                       .rows = slices ? rows : c.rows,
                                       .accumulate = done > 0,
                                       .keep = !whole || late || !how,
                                       .complete = last,
                                       .slices = slices,
                                       .workers = few ? weight_workers : 1};
            ae_pool_run(t->pool, weight_task, &by_weights, s->n_tiles, weight_workers);
        }
        if (t->profile)
            profile_count(t, s, c.rows, gradients, !whole || late || !how, how && done + t->chunk >= rows);
        AE_TRY(train_ask(context, t, stop, stop_argument));
    }
    if (late)
        AE_TRY(update_late(context, t, s, how, rows, weight_workers));
    if (how && (isfinite(t->options.max_norm) || s->n_unit)) {
        weight_phase by_weights = {.trainer = t, .stage = s, .how = how, .rows = rows};
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
