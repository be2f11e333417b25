/* Making, binding and taking apart a trainer. Everything that can fail is here or in the planner. */
#include "train/trainer.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/copy.h"
#include "base/fpstate.h"
#include "train/kfac.h"
#include "train/laps.h"

/* Bytes of values that a chunk of a minibatch may take. */
#define CHUNK_BYTES (32ll << 20)

static ae_status check_options(ae_context *context, const ae_train_options *o) {
    if (o->batch_size < 1)
        return ae_fail(context, AE_ERR_VALUE, "batch_size is %lld; it must be at least 1", (long long)o->batch_size);
    if (o->chunk_rows < 0 || o->chunk_rows % AE_LOSS_LANES)
        return ae_fail(context, AE_ERR_VALUE, "chunk_rows is %lld; it must be a multiple of %d", (long long)o->chunk_rows,
                       AE_LOSS_LANES);
    if ((unsigned)o->by_panels > AE_BY_PANELS_NEVER)
        return ae_fail(context, AE_ERR_VALUE, "by_panels is %d; it must be 0 to %d", (int)o->by_panels, AE_BY_PANELS_NEVER);
    if ((unsigned)o->schedule.kind >= AE_SCHEDULE_KINDS || !(o->schedule.base > 0) || o->schedule.total_steps < 1 ||
        (o->schedule.kind == AE_SCHEDULE_STEP && o->schedule.period < 1))
        return ae_fail(context, AE_ERR_VALUE,
                       "the schedule needs a known kind, a positive rate, at least one step and a period of at least one");
    if (!isfinite(o->schedule.base) || !(o->schedule.final_ratio >= 0) ||
        (o->schedule.kind == AE_SCHEDULE_STEP && !(o->schedule.factor > 0)) || o->schedule.warmup_steps < 0)
        return ae_fail(
            context, AE_ERR_VALUE,
            "the schedule needs a finite rate, a final_ratio and warmup_steps that are not negative, and a positive factor");
    const ae_rule_options *rule = &o->rule_options;
    if (!(rule->momentum >= 0 && rule->momentum < 1) || !(rule->beta1 >= 0 && rule->beta1 < 1) ||
        !(rule->beta2 >= 0 && rule->beta2 < 1) || !(rule->epsilon >= 0 && isfinite(rule->epsilon)))
        return ae_fail(context, AE_ERR_VALUE,
                       "momentum %g, beta1 %g and beta2 %g must be at least 0 and below 1, epsilon %g finite and not negative",
                       rule->momentum, rule->beta1, rule->beta2, rule->epsilon);
    if (o->state_bits != 0 && (o->state_bits != 16 || o->bits != 32))
        return ae_fail(context, AE_ERR_VALUE, "state_bits is %d; it must be 0, or 16 with parameters of 32 bits, not %d",
                       o->state_bits, o->bits);
    if (!(o->l1 >= 0) || !(o->l2 >= 0) || !isfinite(o->l1) || !isfinite(o->l2))
        return ae_fail(context, AE_ERR_VALUE, "l1 is %g and l2 is %g; both must be finite and not negative", o->l1, o->l2);
    if (!(o->max_norm > 0) || !(o->clip_value > 0) || !(o->clip_norm > 0))
        return ae_fail(context, AE_ERR_VALUE, "max_norm, clip_value and clip_norm must be positive (infinity: none)");
    return AE_OK;
}

static ae_status check_losses(ae_context *context, ae_trainer *t, const ae_loss_desc *losses, int n_losses) {
    ae_status status;
    void *block;
    if (n_losses < 1 || n_losses > AE_MAX_LOSSES)
        return ae_fail(context, AE_ERR_VALUE, "%d losses; 1 to %d are allowed", n_losses, AE_MAX_LOSSES);
    AE_TRY(ae_alloc(context, &block, (size_t)n_losses, sizeof *t->losses));
    t->losses = block;
    t->samples = 1;
    for (int i = 0; i < n_losses; i++) {
        AE_TRY(ae_term_init(context, t->net, i, &losses[i], &t->losses[i]));
        t->samples = t->losses[i].multiplicity > t->samples ? t->losses[i].multiplicity : t->samples;
    }
    t->n_losses = n_losses;
cleanup:
    return status;
}

static ae_status check_stage(ae_context *context, ae_trainer *t, int i, const ae_stage_desc *d, int n_stages) {
    if (d->first_node < 0 || d->last_node < d->first_node || d->last_node >= t->net->n_nodes)
        return ae_fail(context, AE_ERR_VALUE, "stage %d: nodes %d to %d; they must rise within 0 to %d", i, d->first_node,
                       d->last_node, t->net->n_nodes - 1);
    if (d->first_loss < 0 || d->n_losses < 1 || d->n_losses > t->n_losses - d->first_loss)
        return ae_fail(context, AE_ERR_VALUE, "stage %d: %d losses from loss %d on; there are %d", i, d->n_losses,
                       d->first_loss, t->n_losses);
    for (int l = d->first_loss; l < d->first_loss + d->n_losses; l++) {
        const int32_t predicted[2] = {t->losses[l].desc.prediction, t->losses[l].desc.second};
        for (int k = 0; k < (predicted[1] < 0 ? 1 : 2); k++)
            if (predicted[k] < d->first_node || predicted[k] > d->last_node)
                return ae_fail(context, AE_ERR_VALUE, "stage %d: the %s of loss %d is node %d, outside its range %d to %d", i,
                               k ? "second" : "prediction", l, predicted[k], d->first_node, d->last_node);
    }
    if (!(d->rate_factor > 0) || !isfinite(d->rate_factor))
        return ae_fail(context, AE_ERR_VALUE, "stage %d: rate_factor is %g; it must be positive", i, d->rate_factor);
    if (d->reserved)
        return ae_fail(context, AE_ERR_VALUE, "stage %d: reserved is %d; it must be 0", i, d->reserved);
    const char *const solver = d->rule == AE_KFAC ? "K-FAC" : "L-BFGS";
    if (d->rule != AE_LBFGS && d->rule != AE_KFAC && !ae_rule_get(t->net->bits, t->net->isa, d->rule))
        return ae_fail(context, AE_ERR_VALUE, "stage %d: rule %d is not known", i, d->rule);
    if (d->rule < 0 && n_stages > 1)
        return ae_fail(context, AE_ERR_VALUE, "stage %d: %s is for programs of one stage", i, solver);
    const ae_train_options *o = &t->options;
    if (d->rule < 0 && o->state_bits)
        return ae_fail(context, AE_ERR_VALUE, "stage %d: %s has no state of %d bits", i, solver, o->state_bits);
    if (d->rule < 0 && (o->l1 > 0 || isfinite(o->max_norm) || isfinite(o->clip_value) || isfinite(o->clip_norm)))
        return ae_fail(context, AE_ERR_VALUE,
                       "stage %d: %s needs a smooth objective and its exact gradient; it does not go with %s", i, solver,
                       o->l1 > 0                 ? "l1"
                       : isfinite(o->max_norm)   ? "max_norm"
                       : isfinite(o->clip_value) ? "clip_value"
                                                 : "clip_norm");
    return AE_OK;
}

/* A value that stage i reads: from its own range, or from that of an earlier stage. */
static ae_status check_read(ae_context *context, ae_trainer *t, const ae_stage_desc *stages, int i, int node) {
    if (node >= stages[i].first_node && node <= stages[i].last_node)
        return AE_OK;
    t->stages[i].reads_across = true;
    for (int j = 0; j < i; j++)
        if (node >= stages[j].first_node && node <= stages[j].last_node)
            return AE_OK;
    return ae_fail(context, AE_ERR_VALUE, "stage %d reads node %d, which neither it nor an earlier stage computes", i, node);
}

static ae_status check_stages(ae_context *context, ae_trainer *t, const ae_stage_desc *stages, int n_stages) {
    ae_status status = AE_OK;
    for (int i = 0; i < n_stages; i++) {
        AE_TRY(check_stage(context, t, i, &stages[i], n_stages));
        for (int n = stages[i].first_node; n <= stages[i].last_node; n++)
            for (int k = 0; k < t->net->nodes[n].desc.n_inputs; k++)
                AE_TRY(check_read(context, t, stages, i, t->net->nodes[n].desc.inputs[k]));
        for (int l = stages[i].first_loss; l < stages[i].first_loss + stages[i].n_losses; l++)
            for (int k = 0; k < 2; k++) {
                const int32_t node = k ? t->losses[l].desc.entry_weight : t->losses[l].desc.target;
                if (node >= 0)
                    AE_TRY(check_read(context, t, stages, i, node));
            }
    }
cleanup:
    return status;
}

/* Whether a stage has something for a parameter: gradient flows to a use, or a use assigns. */
static bool is_used(const ae_trainer *t, const stage *s, const ae_parameter *p) {
    bool used = false;
    for (int i = 0; i < p->n_uses; i++) {
        const int node = p->use[i].node;
        used |= p->request.update == AE_UPDATE_RULE ? t->net->nodes[node].active
                                                    : node >= s->desc.first_node && node <= s->desc.last_node;
    }
    return used;
}

/* Tiles of the parameters that a stage updates in one way. */
static int64_t list_tiles(const ae_trainer *t, const stage *s, ae_update kind, tile_task *out) {
    int64_t n = 0;
    for (int i = 0; i < t->net->n_parameters; i++) {
        const ae_parameter *p = &t->net->parameters[i];
        if (!(s->desc.groups >> p->group & 1u) || p->request.update != kind || !is_used(t, s, p))
            continue;
        for (int64_t q = 0; q < ae_panels(p->request.columns); q++)
            for (int64_t row = 0; row < p->request.rows; row += AE_TILE_ROWS, n++)
                if (out) {
                    const int64_t end = p->request.rows - row < AE_TILE_ROWS ? p->request.rows : row + AE_TILE_ROWS;
                    out[n] = (tile_task){i, 0, 0, {p->use[0].slot, false, q, row, end, 0}};
                }
    }
    return n;
}

/* Blocks of rows of the parameters that a stage updates and whose rows have norm one. */
static int64_t list_unit_rows(const ae_trainer *t, const stage *s, tile_task *out) {
    int64_t n = 0;
    for (int i = 0; i < t->net->n_parameters; i++) {
        const ae_parameter *p = &t->net->parameters[i];
        if (!(s->desc.groups >> p->group & 1u) || p->constraint != AE_CONSTRAINT_UNIT_ROWS || !is_used(t, s, p))
            continue;
        for (int64_t row = 0; row < p->request.rows; row += AE_UNIT_ROWS, n++)
            if (out) {
                const int64_t end = p->request.rows - row < AE_UNIT_ROWS ? p->request.rows : row + AE_UNIT_ROWS;
                out[n] = (tile_task){i, 0, 0, {p->use[0].slot, false, 0, row, end, 0}};
            }
    }
    return n;
}

/* Tall tiles first, so that the last worker to finish finishes with a small one. Of one weight those of the same rows follow
 * each other: what their products need of the layer's input stays in the second-level cache while its gradient passes by. */
static int by_height(const void *one, const void *other) {
    const tile_task *a = one, *b = other;
    const int64_t height = (b->tile.row1 - b->tile.row0) - (a->tile.row1 - a->tile.row0);
    if (height)
        return height > 0 ? 1 : -1;
    if (a->parameter != b->parameter)
        return a->parameter - b->parameter;
    if (a->tile.row0 != b->tile.row0)
        return a->tile.row0 > b->tile.row0 ? 1 : -1;
    return a->tile.panel > b->tile.panel ? 1 : -1;
}

/* Those of one worker together. */
static int by_worker(const void *one, const void *other) {
    const tile_task *a = one, *b = other;
    if (a->worker != b->worker)
        return a->worker - b->worker;
    return a->number > b->number ? 1 : -1;
}

/* Each worker gets the panels whose products it has made, one after the other. */
static void give_panels(const ae_trainer *t, stage *s) {
    for (int64_t k = 0; k < s->n_tiles; k++) {
        const int64_t panels = ae_panels(t->net->parameters[s->tiles[k].parameter].request.columns);
        s->tiles[k].worker = (int)(s->tiles[k].tile.panel * ae_pool_size(t->pool) / panels);
    }
    qsort(s->tiles, (size_t)s->n_tiles, sizeof *s->tiles, by_worker);
}

/* A parameter that several stages change: by one rule, whose state it has; and one of them assigns it, once a step. */
static ae_status check_changed(ae_context *context, ae_trainer *t, int i) {
    const stage *s = &t->stages[i];
    for (int64_t k = 0; k < s->n_tiles + s->n_assigned; k++) {
        const int parameter = s->tiles[k].parameter, before = t->changed_by[parameter] - 1;
        const char *name = t->net->parameters[parameter].name;
        t->changed_by[parameter] = i + 1;
        if (before < 0 || before == i)
            continue;
        if (k >= s->n_tiles)
            return ae_fail(context, AE_ERR_VALUE,
                           "stages %d and %d both give '%s' its new value; one of them may (node ranges, groups)", before, i,
                           name);
        if (t->stages[before].rule != s->rule)
            return ae_fail(context, AE_ERR_VALUE, "stages %d and %d train '%s' by %s and by %s; the rules must be equal",
                           before, i, name, t->stages[before].rule->name, s->rule->name);
    }
    return AE_OK;
}

static bool couples_rows(const ae_trainer *t, const ae_stage_desc *s) {
    bool couples = false;
    for (int i = s->first_node; i <= s->last_node; i++)
        couples |= t->net->nodes[i].ops->couple != NULL;
    return couples;
}

/* Products go by panels where a worker has no more rows than this (in parts a quarter: these read half the bytes) and its second
 * level of cache holds a value of all rows (sums of more than 32 panels are cut by the layer), where there are so many weights
 * for each column of values, which are then what workers read of each other, and so many operations of a layer: a phase of
 * its own costs a microsecond or two. */
#define ROWS_BY_PANELS 256
#define SUMMED_BY_PANELS (32 * AE_PANEL)
#define WEIGHTS_BY_PANELS 128.0
#define FLOPS_BY_PANELS 4e6

static bool choose_panels(const ae_trainer *t, const ae_stage_desc *s) {
    if (couples_rows(t, s) || t->options.by_panels == AE_BY_PANELS_NEVER)
        return false;
    if (t->options.by_panels == AE_BY_PANELS_ALWAYS)
        return true;
    const int64_t most = (int64_t)ae_pool_size(t->pool) * ROWS_BY_PANELS / (t->net->part_numbers ? 4 : 1);
    double weights = 0, columns = 0, layers = 0;
    int64_t widest = 1;
    for (int i = s->first_node; i <= s->last_node; i++) {
        const ae_layer_plan *plan = &t->net->nodes[i].plan;
        const int64_t width[] = {plan->in[0].width, plan->out.width};
        if (!plan->by_panels)
            continue;
        for (int k = 0; k < 2; k++)
            if (width[k] > widest && width[k] <= SUMMED_BY_PANELS)
                widest = width[k];
        weights += (double)width[0] * (double)width[1];
        columns += 0.5 * (double)(width[0] + width[1]);
        layers++;
    }
    return layers > 0 && ae_pool_size(t->pool) > 1 && t->chunk <= most &&
           t->chunk * widest * (int64_t)t->net->real_size <= ae_cpu_l2_bytes() / 4 * 3 &&
           weights >= WEIGHTS_BY_PANELS * columns && 2 * weights * (double)t->chunk >= FLOPS_BY_PANELS * layers;
}

static ae_status new_stage(ae_context *context, ae_trainer *t, const ae_stage_desc *desc) {
    const int i = t->n_stages;
    stage *s = &t->stages[i];
    ae_status status;
    void *block;
    s->desc = *desc;
    s->rule = desc->rule < 0 ? NULL : ae_rule_get(t->net->bits, t->net->isa, desc->rule);
    AE_TRY(ae_alloc(context, &block, (size_t)t->net->n_nodes, sizeof *s->seeded));
    s->seeded = block;
    t->n_stages++;
    AE_TRY(ae_alloc(context, &block, (size_t)desc->n_losses, 2 * sizeof *s->adds));
    s->adds = block;
    for (int k = 0; k < 2 * desc->n_losses; k++) {
        const ae_loss_desc *d = &t->losses[desc->first_loss + k / 2].desc;
        const int32_t node = k % 2 ? d->second : d->prediction;
        if (node < 0)
            continue;
        s->adds[k] = s->seeded[node];
        s->seeded[node] = true;
    }
    AE_TRY(ae_terms_samples(context, t->losses + desc->first_loss, desc->n_losses, desc->combine, &s->samples));
    s->joins = desc->combine == AE_COMBINE_LOG_MEAN_EXP && s->samples > 1;
    ae_net_bind_range(t->net, desc->first_node, desc->last_node, desc->groups, s->seeded);
    s->couples = couples_rows(t, desc);
    s->n_tiles = list_tiles(t, s, AE_UPDATE_RULE, NULL);
    s->n_assigned = list_tiles(t, s, AE_UPDATE_ASSIGN, NULL);
    s->n_unit = list_unit_rows(t, s, NULL);
    if (!s->rule && s->n_unit)
        return ae_fail(context, AE_ERR_VALUE, "stage %d: %s does not go with weights whose rows are kept at norm one", i,
                       desc->rule == AE_KFAC ? "K-FAC" : "L-BFGS");
    if (!s->n_tiles)
        return ae_fail(context, AE_ERR_VALUE, "stage %d has no parameters to train", i);
    AE_TRY(ae_alloc(context, &block, (size_t)(s->n_tiles + s->n_assigned + s->n_unit), sizeof *s->tiles));
    s->tiles = block;
    list_tiles(t, s, AE_UPDATE_RULE, s->tiles);
    s->slice = train_slice_rows(t, s);
    s->by_panels = !s->slice && choose_panels(t, desc);
    qsort(s->tiles, (size_t)s->n_tiles, sizeof *s->tiles, by_height);
    for (int64_t k = 0; k < s->n_tiles; k++)
        s->tiles[k].number = k;
    if (s->by_panels)
        give_panels(t, s);
    list_tiles(t, s, AE_UPDATE_ASSIGN, s->tiles + s->n_tiles);
    list_unit_rows(t, s, s->tiles + s->n_tiles + s->n_assigned);
    AE_TRY(check_changed(context, t, i));
    if (s->rule && s->rule->n_state(&t->options.rule_options) > t->n_state)
        t->n_state = s->rule->n_state(&t->options.rule_options);
cleanup:
    return status;
}

static ae_status reserve(ae_context *context, ae_trainer *t) {
    const size_t reals = (size_t)t->net->parameter_reals, size = t->net->real_size, state_size = t->rounds_state ? 2 : size;
    bool keeps_gradient = !t->stages[0].rule || t->options.batch_size > t->chunk || isfinite(t->options.clip_norm);
    ae_status status;
    size_t gradient = 0, further = 0, state[AE_RULE_MAX_STATE] = {0}, last, best = 0, scratch, row_loss, row_weight, row_index,
           tile_sum, sample = 0, slices = 0, terms, lanes[AE_MAX_STAGES];
    int64_t most_tiles = 0, most_slices = 0;
    for (int i = 0; i < t->n_stages; i++) {
        const int64_t n = train_slices(t, &t->stages[i]);
        most_slices = n > most_slices ? n : most_slices;
        most_tiles = t->stages[i].n_tiles > most_tiles ? t->stages[i].n_tiles : most_tiles;
    }
    for (int i = 0; i < t->n_stages; i++)
        keeps_gradient |= t->stages[i].n_unit > 0;
    if (keeps_gradient)
        AE_TRY(ae_arena_reserve(&t->memory, context, reals, size, &gradient));
    if (keeps_gradient && t->net->further_reals)
        AE_TRY(ae_arena_reserve(&t->memory, context, (size_t)t->net->further_reals, size, &further));
    if (most_slices)
        AE_TRY(ae_arena_reserve(&t->memory, context, reals * (size_t)most_slices, size, &slices));
    for (int i = 0; i < t->n_state; i++)
        AE_TRY(ae_arena_reserve(&t->memory, context, reals, state_size, &state[i]));
    AE_TRY(ae_arena_reserve(&t->memory, context, reals, size + state_size * (size_t)t->n_state, &last));
    if (t->options.keep_best)
        AE_TRY(ae_arena_reserve(&t->memory, context, reals, size, &best));
    t->tile_bytes = AE_TILE_ROWS * AE_PANEL * size * (t->net->further_reals ? 2 : 1);
    AE_TRY(ae_arena_reserve(&t->memory, context, (size_t)ae_pool_size(t->pool), t->tile_bytes, &scratch));
    AE_TRY(ae_arena_reserve(&t->memory, context, ((size_t)t->n_losses + 1) * (size_t)t->chunk, sizeof(double), &row_loss));
    if (t->samples > 1)
        AE_TRY(ae_arena_reserve(&t->memory, context, (size_t)t->chunk * (size_t)t->samples, 3 * sizeof(double), &sample));
    AE_TRY(ae_arena_reserve(&t->memory, context, (size_t)t->n_losses, 2 * sizeof(double), &terms));
    for (int i = 0; i < t->n_stages; i++)
        AE_TRY(ae_arena_reserve(&t->memory, context, (size_t)(t->stages[i].desc.n_losses + 1), AE_LOSS_LANES * sizeof(double),
                                &lanes[i]));
    AE_TRY(ae_arena_reserve(&t->memory, context, (size_t)t->chunk, sizeof(double), &row_weight));
    AE_TRY(ae_arena_reserve(&t->memory, context, (size_t)t->chunk, sizeof *t->row_index, &row_index));
    AE_TRY(ae_arena_reserve(&t->memory, context, (size_t)most_tiles, sizeof(double), &tile_sum));
    AE_TRY(ae_arena_commit(&t->memory, context));
    t->gradient = keeps_gradient ? ae_arena_at(&t->memory, gradient) : NULL;
    t->slices = most_slices ? ae_arena_at(&t->memory, slices) : NULL;
    t->further = keeps_gradient && t->net->further_reals ? ae_arena_at(&t->memory, further) : NULL;
    for (int i = 0; i < t->n_state; i++)
        t->state[i] = ae_arena_at(&t->memory, state[i]);
    t->last = ae_arena_at(&t->memory, last);
    t->best = t->options.keep_best ? ae_arena_at(&t->memory, best) : NULL;
    t->tile_scratch = ae_arena_at(&t->memory, scratch);
    t->row_loss = ae_arena_at(&t->memory, row_loss);
    t->row_weight = ae_arena_at(&t->memory, row_weight);
    t->sample = t->samples > 1 ? ae_arena_at(&t->memory, sample) : NULL;
    t->term_sum = ae_arena_at(&t->memory, terms);
    t->term_loss = t->term_sum + t->n_losses;
    for (int l = 0; l < t->n_losses; l++)
        t->term_loss[l] = NAN;
    for (int i = 0; i < t->n_stages; i++)
        t->stages[i].lanes = ae_arena_at(&t->memory, lanes[i]);
    t->row_index = ae_arena_at(&t->memory, row_index);
    t->tile_sum = ae_arena_at(&t->memory, tile_sum);
cleanup:
    return status;
}

/* By node, whether losses read its value or write its gradient; to be freed. */
static ae_status find_outside(ae_context *context, const ae_trainer *t, bool **outside) {
    void *block;
    const ae_status status = ae_alloc(context, &block, (size_t)t->net->n_nodes, sizeof **outside);
    if (status != AE_OK)
        return status;
    *outside = block;
    for (int i = 0; i < t->n_losses; i++) {
        const ae_loss_desc *d = &t->losses[i].desc;
        const bool target = !(t->losses[i].ops->flags & AE_LOSS_READS_PAIRS);
        const int32_t read[] = {d->prediction, target ? d->target : -1, d->entry_weight, d->second};
        for (int k = 0; k < 4; k++)
            if (read[k] >= 0)
                (*outside)[read[k]] = true;
    }
    return AE_OK;
}

/* Gradients that may lie where the prediction does: it is read by one loss and nothing else. */
static void choose_places(ae_trainer *t) {
    for (int i = 0; i < t->n_losses; i++) {
        const ae_loss_desc *one = &t->losses[i].desc;
        const ae_node *const target = one->target >= 0 ? &t->net->nodes[one->target] : NULL;
        const unsigned flags = t->losses[i].ops->flags;
        bool alone = flags & AE_LOSS_IN_PLACE;
        for (int k = 0; k < t->n_losses; k++) {
            const ae_loss_desc *d = &t->losses[k].desc;
            alone &= (k == i || d->prediction != one->prediction) && d->target != one->prediction &&
                     d->entry_weight != one->prediction && d->second != one->prediction;
        }
        if (flags & AE_LOSS_READS_PAIRS)
            alone &=
                target && target->by_pairs && !target->depends_on_parameters && t->losses[i].multiplicity == 1; /* has spare */
        if (alone)
            ae_net_write_in_place(t->net, one->prediction);
    }
}

/* Layers that couple rows, and those that give new values of parameters. */
static bool needs_all_rows(const ae_net *net) {
    bool needs = false;
    for (int i = 0; i < net->n_nodes; i++)
        needs |= (net->nodes[i].ops->flags & AE_LAYER_COUPLES_ROWS) != 0;
    for (int i = 0; i < net->n_parameters; i++)
        needs |= net->parameters[i].request.update == AE_UPDATE_ASSIGN;
    return needs;
}

/* Whether the gradient is kept whole however the rows pass. */
static bool wants_gradient(const ae_trainer *t, bool by_rule) {
    bool wants = !by_rule || isfinite(t->options.clip_norm);
    for (int i = 0; i < t->net->n_parameters; i++)
        wants |= t->net->parameters[i].constraint == AE_CONSTRAINT_UNIT_ROWS;
    return wants;
}

/* Of the rows of a chunk, so that sums do not show it: lanes of losses, blocks of products in parts. */
static int64_t row_multiple(const ae_net *net) { return net->part_numbers ? AE_PANEL : AE_LOSS_LANES; }

/* Rows that pass at once: the minibatch, or as many as the budget holds. Some layers need them all, and so does a stage that
 * reads values which an earlier one left. */
static int64_t choose_chunk(const ae_trainer *t, const ae_stage_desc *stages, int n_stages, int64_t bytes_per_row) {
    const double gradient = (double)(t->net->parameter_reals + t->net->further_reals) * (double)t->net->real_size;
    const int64_t batch = t->options.batch_size;
    if (t->whole_only)
        return batch;
    for (int i = 0; i < n_stages; i++)
        if (t->stages[i].reads_across)
            return batch;
    /* In chunks a minibatch keeps a gradient as large as the weights, which each chunk reads and writes: more rows may be less. */
    if (!t->options.chunk_rows && !wants_gradient(t, stages[0].rule >= 0) &&
        (double)batch * (double)bytes_per_row < gradient + CHUNK_BYTES)
        return batch;
    int64_t rows = t->options.chunk_rows ? t->options.chunk_rows : CHUNK_BYTES / bytes_per_row;
    rows -= rows % row_multiple(t->net);
    rows = rows < 64 && !t->options.chunk_rows ? 64 : rows;
    return rows < batch ? rows : batch;
}

ae_status ae_trainer_new(ae_context *context, ae_trainer **out, const ae_node_desc *nodes, int n_nodes,
                         const ae_loss_desc *losses, int n_losses, const ae_stage_desc *stages, int n_stages,
                         const ae_train_options *options) {
    ae_status status;
    ae_trainer *t = NULL;
    ae_isa isa;
    void *block;
    bool *outside = NULL;
    *out = NULL;
    AE_TRY(check_options(context, options));
    if (n_stages < 1 || n_stages > AE_MAX_STAGES)
        return ae_fail(context, AE_ERR_VALUE, "%d stages; 1 to %d are allowed", n_stages, AE_MAX_STAGES);
    AE_TRY(ae_isa_select(context, &isa));
    AE_TRY(ae_alloc(context, &block, 1, sizeof *t));
    t = block;
    ae_arena_init(&t->memory);
    t->options = *options;
    t->rate_scale = 1.0;
    t->bound_stage = -1;
    t->rounds_state = options->state_bits == 16;
    t->rounding_key = ae_key_of(options->seed, AE_STREAM_ROUNDING, "");
    t->kernels = ae_kernels_get(options->bits, isa);
    t->exact = ae_kernels_get(64, isa);
    AE_TRY(ae_net_new(context, &t->net, options->bits, isa, nodes, n_nodes));
    if (options->chunk_rows % row_multiple(t->net))
        AE_TRY(ae_fail(context, AE_ERR_VALUE, "chunk_rows is %lld; products in parts need a multiple of %d",
                       (long long)options->chunk_rows, AE_PANEL));
    AE_TRY(ae_pool_new(context, &t->pool, options->n_threads));
    AE_TRY(check_losses(context, t, losses, n_losses));
    AE_TRY(check_stages(context, t, stages, n_stages));
    AE_TRY(find_outside(context, t, &outside));
    /* Values may go as pairs where no term reads them, or reads them so. K-FAC reads them as they are, and after the pass. */
    if (stages[0].rule != AE_KFAC) {
        ae_net_use_pairs(t->net, outside);
        choose_places(t);
    }
    for (int i = 0; i < n_stages; i++)
        ae_net_keep_whole(t->net, stages[i].first_node);
    /* Planned for one row first: it tells the bytes of a row, which tell the chunk. */
    AE_TRY(ae_net_plan_rows(context, t->net, 1, true, 1));
    t->whole_only = needs_all_rows(t->net) || stages[0].rule == AE_KFAC;
    /* Copies in parts do not count: products of parts are so fast that a gradient read and written once more costs them more. */
    const int64_t reals_per_row = t->net->value_reals_per_row - t->net->operand_reals_per_row;
    t->chunk = choose_chunk(t, stages, n_stages, reals_per_row * (int64_t)t->net->real_size);
    bool reuses = stages[0].rule != AE_KFAC;
    for (int i = 0; i < n_stages; i++)
        reuses &= !choose_panels(t, &stages[i]);
    if (reuses)
        ae_net_reuse_memory(t->net, outside);
    AE_TRY(ae_net_plan_rows(context, t->net, t->chunk, true, options->n_threads));
    AE_TRY(ae_alloc(context, &block, (size_t)t->net->n_parameters + 1, sizeof *t->changed_by));
    t->changed_by = block;
    for (int i = 0; i < n_stages; i++)
        AE_TRY(new_stage(context, t, &stages[i]));
    t->state_is_far = (t->net->parameter_reals * (1 + t->n_state) + t->net->transposed_reals) * (int64_t)t->net->real_size >
                      ae_cpu_l2_bytes() * ae_pool_size(t->pool);
    AE_TRY(reserve(context, t));
    if (stages[0].rule == AE_KFAC)
        AE_TRY(train_kfac_new(context, t));
    if (stages[0].rule == AE_LBFGS)
        AE_TRY(ae_lbfgs_new(context, &t->lbfgs, options->bits, isa, t->net->trained_reals, options->lbfgs_memory,
                            options->lbfgs_max_evaluations, options->lbfgs_gtol));
    ae_net_seed(t->net, options->seed);
    AE_TRY(profile_new(context, t));
    *out = t;
    t = NULL;
cleanup:
    ae_free(outside);
    ae_trainer_free(t);
    return status;
}

void ae_trainer_free(ae_trainer *t) {
    if (!t)
        return;
    for (int i = 0; i < AE_MAX_STAGES; i++) {
        ae_free(t->stages[i].tiles);
        ae_free(t->stages[i].seeded);
        ae_free(t->stages[i].adds);
    }
    ae_free(t->changed_by);
    profile_free(t->profile);
    ae_free(t->losses);
    ae_lbfgs_free(t->lbfgs);
    train_kfac_free(t->kfac);
    ae_arena_destroy(&t->memory);
    ae_net_free(t->net);
    ae_pool_free(t->pool);
    ae_free(t);
}

ae_net *ae_trainer_net(ae_trainer *t) { return t->net; }

/* What L-BFGS and K-FAC know is of other weights or other data. */
static void forget_iterates(ae_trainer *t) {
    if (t->lbfgs)
        ae_lbfgs_reset(t->lbfgs);
    t->lbfgs_started = false;
    if (t->kfac)
        train_kfac_reset(t->kfac);
}

/* Pairs by halves, so that the error grows with the logarithm of the rows. */
static double weight_sum(const pass *p, int64_t from, int64_t count) {
    if (count > 64)
        return weight_sum(p, from, count / 2) + weight_sum(p, from + count / 2, count - count / 2);
    double sum = 0.0;
    for (int64_t i = from; i < from + count; i++)
        sum += p->data->row_weight[ae_permutation_at(&p->split, (uint64_t)(p->first + i))];
    return sum;
}

static pass pass_of(const ae_trainer *t, const slot *data, int64_t first, int64_t count, bool split) {
    pass p = {.data = data, .first = first, .count = count, .weight_scale = data->weight_scale};
    ae_permutation_identity(&p.shuffle, (uint64_t)count);
    if (split)
        ae_permutation_init(&p.split, (uint64_t)p.data->rows, ae_key_of(t->options.seed, AE_STREAM_SPLIT, ""), 0);
    else
        ae_permutation_identity(&p.split, (uint64_t)p.data->rows);
    return p;
}

pass train_pass(const ae_trainer *t, int which, int64_t first, int64_t count, bool split) {
    return pass_of(t, &t->slots[which], first, count, split);
}

ae_status train_weigh(ae_context *context, pass *p) {
    p->weight_scale = 1.0;
    if (!p->data->row_weight)
        return AE_OK;
    const double sum = weight_sum(p, 0, p->count);
    if (!(sum > 0) || !isfinite(sum) || !isfinite((double)p->count / sum))
        return ae_fail(context, AE_ERR_VALUE,
                       "the sample weights of the %lld rows %s add up to %g; the sum must be positive and not vanishing",
                       (long long)p->count, p->training ? "trained on" : "evaluated", sum);
    p->weight_scale = (double)p->count / sum;
    return AE_OK;
}

static ae_status scale_weights(ae_context *context, const ae_trainer *t, slot *s, int64_t first, int64_t count, bool split) {
    pass p = pass_of(t, s, first, count, split);
    ae_fpstate saved;
    p.training = true;
    ae_fpstate_enter(&saved);
    const ae_status status = train_weigh(context, &p);
    ae_fpstate_leave(&saved);
    if (status == AE_OK)
        s->weight_scale = p.weight_scale;
    return status;
}

static void use_rows(ae_trainer *t, int64_t first, int64_t count, bool split) {
    t->first = first;
    t->count = count;
    t->split = split;
    forget_iterates(t);
}

ae_status ae_trainer_bind(ae_context *context, ae_trainer *t, int which, const ae_data *sources, int n_sources,
                          const double *row_weight) {
    ae_status status = AE_OK;
    if (which < 0 || which > 1 || n_sources < 1 || n_sources > AE_MAX_SOURCES)
        return ae_fail(context, AE_ERR_VALUE, "slot %d with %d sources; slots are 0 and 1, sources 1 to %d", which, n_sources,
                       AE_MAX_SOURCES);
    for (int i = 0; i < n_sources; i++) {
        if (sources[i].rows != sources[0].rows || sources[i].rows < 1)
            return ae_fail(context, AE_ERR_VALUE,
                           "source %d has %lld rows and source 0 has %lld; they must be equal and at least 1", i,
                           (long long)sources[i].rows, (long long)sources[0].rows);
        AE_TRY(ae_data_check(context, &sources[i], i ? "source" : "X"));
    }
    for (int i = 0; i < t->net->n_nodes; i++) {
        const ae_node_desc *d = &t->net->nodes[i].desc;
        if (!(t->net->nodes[i].ops->flags & AE_LAYER_SOURCE))
            continue;
        if (d->source < 0 || d->source >= n_sources || sources[d->source].columns != d->width)
            return ae_fail(context, AE_ERR_VALUE, "node '%s' takes %lld features from source %d, which is not bound so",
                           d->name, (long long)d->width, d->source);
        const ae_data *source = &sources[d->source];
        if (t->net->nodes[i].by_pairs && (!source->sparse || ae_data_most_stored(source) > d->size[0]))
            return ae_fail(context, AE_ERR_VALUE, "node '%s' takes CSR rows of at most %d stored values; source %d %s of %lld",
                           d->name, d->size[0], d->source, source->sparse ? "has one" : "is dense, with rows",
                           (long long)ae_data_most_stored(source));
    }
    slot bound = {.n_sources = n_sources, .rows = sources[0].rows, .row_weight = row_weight, .weight_scale = 1.0};
    memcpy(bound.sources, sources, (size_t)n_sources * sizeof *sources);
    if (which == 0)
        AE_TRY(scale_weights(context, t, &bound, 0, bound.rows, false));
    t->slots[which] = bound;
    if (which == 0)
        use_rows(t, 0, bound.rows, false);
cleanup:
    return status;
}

ae_status ae_trainer_subset(ae_context *context, ae_trainer *t, int64_t first, int64_t count, bool split) {
    slot *s = &t->slots[0];
    if (first < 0 || count < 1 || first > s->rows - count)
        return ae_fail(context, AE_ERR_VALUE, "%lld rows from row %lld on; there are %lld", (long long)count, (long long)first,
                       (long long)s->rows);
    const ae_status status = scale_weights(context, t, s, first, count, split);
    if (status == AE_OK)
        use_rows(t, first, count, split);
    return status;
}

void ae_trainer_ask(ae_trainer *t, ae_stop stop, void *stop_argument) {
    t->asking = (ae_asking){stop, stop_argument, t->asking.asked};
}

ae_status ae_trainer_initialize(ae_context *context, ae_trainer *t) {
    ae_fpstate saved;
    ae_fpstate_enter(&saved);
    const ae_status status = ae_net_initialize_asking(context, t->net, t->options.seed, &t->asking);
    ae_fpstate_leave(&saved);
    if (status != AE_OK && t->committed)
        train_roll_back(t);
    else
        ae_trainer_commit(t);
    return status;
}

ae_status ae_trainer_set_loss_weight(ae_context *context, ae_trainer *t, int index, double weight) {
    if (index < 0 || index >= t->n_losses)
        return ae_fail(context, AE_ERR_VALUE, "loss %d; there are %d", index, t->n_losses);
    if (!(weight >= 0) || !isfinite(weight))
        return ae_fail(context, AE_ERR_VALUE, "loss %d: weight is %g; it must be finite and not negative", index, weight);
    t->losses[index].desc.weight = weight;
    forget_iterates(t);
    return AE_OK;
}

int ae_trainer_n_losses(const ae_trainer *t) { return t->n_losses; }

void ae_trainer_term_losses(const ae_trainer *t, double *losses) {
    memcpy(losses, t->term_loss, (size_t)t->n_losses * sizeof *losses);
}

void ae_trainer_scale_rate(ae_trainer *t, double factor) { t->rate_scale = factor; }

void ae_trainer_position(const ae_trainer *t, int64_t *step, int64_t *epoch) {
    *step = t->step;
    *epoch = t->epoch;
}

void ae_trainer_seek(ae_trainer *t, int64_t step, int64_t epoch) {
    t->step = t->last_step = step;
    t->epoch = t->last_epoch = epoch;
}

static size_t region_bytes(const ae_trainer *t) { return (size_t)t->net->parameter_reals * t->net->real_size; }

size_t train_state_bytes(const ae_trainer *t) {
    return t->rounds_state ? (size_t)t->net->parameter_reals * sizeof(ae_bf16) : region_bytes(t);
}

/* Whole regions pass by all workers, a slice each: memory gives one of them half of what it gives two. */
#define SLICE_BYTES ((size_t)1 << 20)

typedef struct region_slices {
    const ae_trainer *trainer;
    char *to; /* NULL: what is there must be finite */
    const char *from;
    size_t bytes;
    bool away; /* what is copied is for later */
    atomic_bool broken;
} region_slices;

static void slice_task(void *argument, int64_t index, int worker) {
    region_slices *s = argument;
    const size_t at = (size_t)index * SLICE_BYTES, bytes = s->bytes - at < SLICE_BYTES ? s->bytes - at : SLICE_BYTES;
    const ae_trainer *t = s->trainer;
    (void)worker;
    if (s->to && s->away && s->bytes > SLICE_BYTES)
        ae_copy_away(s->to + at, s->from + at, bytes);
    else if (s->to)
        memcpy(s->to + at, s->from + at, bytes);
    else if (!t->kernels->all_below((int64_t)(bytes / t->net->real_size), INFINITY, s->from + at))
        atomic_store_explicit(&s->broken, true, memory_order_relaxed);
}

static bool pass_over(const ae_trainer *t, char *to, const char *from, size_t bytes, bool away) {
    region_slices s = {.trainer = t, .to = to, .from = from, .bytes = bytes, .away = away};
    ae_pool_run(t->pool, slice_task, &s, (int64_t)((bytes + SLICE_BYTES - 1) / SLICE_BYTES), 0);
    return !s.broken;
}

bool train_weights_are_finite(const ae_trainer *t) {
    return pass_over(t, NULL, t->net->parameter_base, region_bytes(t), false);
}

void ae_trainer_keep_best(ae_trainer *t) {
    if (!t->best)
        return;
    pass_over(t, t->best, t->net->parameter_base, region_bytes(t), true);
    t->has_best = true;
}

void ae_trainer_restore_best(ae_trainer *t) {
    if (!t->has_best)
        return;
    pass_over(t, t->net->parameter_base, t->best, region_bytes(t), false);
    ae_net_pack_all(t->net);
    ae_trainer_commit(t);
}

void train_keep_last(ae_trainer *t) {
    pass_over(t, t->last, t->net->parameter_base, region_bytes(t), true);
    for (int i = 0; i < t->n_state; i++)
        pass_over(t, t->last + region_bytes(t) + (size_t)i * train_state_bytes(t), t->state[i], train_state_bytes(t), true);
    t->last_step = t->step;
    t->last_epoch = t->epoch;
    t->committed = true;
}

void ae_trainer_commit(ae_trainer *t) {
    ae_fpstate saved;
    forget_iterates(t);
    ae_fpstate_enter(&saved);
    ae_net_constrain(t->net);
    ae_fpstate_leave(&saved);
    train_keep_last(t);
}

void train_roll_back(ae_trainer *t) {
    pass_over(t, t->net->parameter_base, t->last, region_bytes(t), false);
    for (int i = 0; i < t->n_state; i++)
        pass_over(t, t->state[i], t->last + region_bytes(t) + (size_t)i * train_state_bytes(t), train_state_bytes(t), false);
    ae_net_pack_all(t->net);
    t->step = t->last_step;
    t->epoch = t->last_epoch;
    forget_iterates(t);
}
