/* Epochs, evaluation and the other passes over data. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fpstate.h"
#include "base/stop.h"
#include "train/kfac.h"
#include "train/laps.h"

static update step_update(const ae_trainer *t, const stage *s) {
    ae_rule_step plain = {.rate = t->last_rate * s->desc.rate_factor,
                          .step = t->step + 1,
                          .gradient_scale = 1.0,
                          .clip_value = t->options.clip_value};
    ae_rule_step decaying = plain;
    decaying.l1 = t->options.l1;
    decaying.l2 = t->options.l2;
    return (update){decaying, plain};
}

static ae_status minibatch_epoch(ae_context *context, ae_trainer *t, ae_stop stop, void *stop_argument, double *loss) {
    pass p = train_pass(t, 0, t->first, t->count, t->split);
    ae_status status = AE_OK;
    double total = 0.0;
    if (t->options.shuffle)
        ae_permutation_init(&p.shuffle, (uint64_t)t->count, ae_key_of(t->options.seed, AE_STREAM_SHUFFLE, ""),
                            (uint64_t)t->epoch);
    p.training = true;
    for (int64_t from = 0; from < t->count; from += t->options.batch_size) {
        const int64_t rows = t->count - from < t->options.batch_size ? t->count - from : t->options.batch_size;
        t->last_rate = ae_schedule_rate(&t->options.schedule, t->step) * t->rate_scale;
        for (int i = 0; i < t->n_stages; i++) {
            train_clear_lanes(t, i);
            p.step = (uint64_t)t->step * AE_MAX_STAGES + (uint64_t)i;
            if (t->kfac) {
                AE_TRY(train_kfac_step(context, t, &p, from, rows, stop, stop_argument));
            } else {
                const update how = step_update(t, &t->stages[i]);
                AE_TRY(train_run(context, t, i, &p, from, rows, true, &how, stop, stop_argument));
            }
            total += train_loss(t, i, 1.0);
            train_add_terms(t, i);
        }
        t->step++;
    }
    *loss = total / (double)t->count;
cleanup:
    return status;
}

/* Value and gradient of data loss plus l2 penalty at the present weights. */
static ae_status full_gradient(ae_context *context, ae_trainer *t, int stage_index, bool training, ae_stop stop,
                               void *stop_argument, double *loss) {
    pass p = train_pass(t, 0, t->first, t->count, t->split);
    p.training = training;
    train_clear_lanes(t, stage_index);
    if (t->whole_only && t->count > t->chunk)
        return ae_fail(context, AE_ERR_STATE, "a layer needs all %lld rows at once; batch_size is %lld", (long long)t->count,
                       (long long)t->options.batch_size);
    ae_status status = train_run(context, t, stage_index, &p, 0, t->count, true, NULL, stop, stop_argument);
    *loss = train_loss(t, stage_index, (double)t->count);
    return status;
}

/* Value of the l2 penalty; its gradient is added where asked. */
static double l2_penalty(ae_trainer *t, bool add_gradient) {
    double penalty = 0.0;
    for (int64_t i = 0; i < t->stages[0].n_tiles; i++) {
        const tile_task *task = &t->stages[0].tiles[i];
        const ae_parameter *p = &t->net->parameters[task->parameter];
        const size_t at = (size_t)p->offset * t->net->real_size;
        const char *w = t->net->parameter_base + at;
        /* Once for each parameter that is trained: at its first tile. */
        if (task->tile.panel || task->tile.row0 || !p->request.decays || t->options.l2 == 0.0)
            continue;
        penalty += 0.5 * t->options.l2 * t->kernels->dot(p->size, w, w);
        if (add_gradient)
            t->kernels->axpy(p->size, t->options.l2, w, t->gradient + at);
    }
    return penalty;
}

static ae_status lbfgs_epoch(ae_context *context, ae_trainer *t, ae_stop stop, void *stop_argument, double *loss,
                             bool *converged) {
    ae_status status = AE_OK;
    double data, objective, evaluated = NAN; /* where the lanes come from */
    *converged = false;
    if (!t->lbfgs_started) {
        AE_TRY(full_gradient(context, t, 0, true, stop, stop_argument, &data));
        objective = evaluated = data + l2_penalty(t, true);
        t->lbfgs_started = true;
    } else {
        objective = t->last_objective;
    }
    for (;;) {
        lap l = lap_begin(t, 0);
        const ae_lbfgs_request request = ae_lbfgs_advance(t->lbfgs, t->net->parameter_base, &objective, t->gradient);
        lap_end(&l, PROFILE_LBFGS, 0);
        if (request != AE_LBFGS_EVALUATE) {
            *converged = request == AE_LBFGS_CONVERGED;
            break;
        }
        ae_net_pack_all(t->net);
        status = full_gradient(context, t, 0, true, stop, stop_argument, &data);
        /* The line search shortens a step that leaves the domain. */
        if (status == AE_ERR_NONFINITE)
            data = INFINITY;
        else if (status != AE_OK)
            goto cleanup;
        objective = evaluated = data + l2_penalty(t, true);
    }
    /* The iterate may be an earlier point than the one evaluated last. */
    ae_net_pack_all(t->net);
    data = objective - l2_penalty(t, false);
    if (t->stages[0].n_assigned || evaluated != objective) {
        double again;
        AE_TRY(full_gradient(context, t, 0, true, stop, stop_argument, &again));
        train_assign(t, 0, t->count);
    }
    train_add_terms(t, 0);
    t->step++;
    *loss = data;
    t->last_objective = objective;
    return AE_OK;
cleanup:
    return status;
}

/* A term may belong to several stages. */
static void keep_terms(ae_trainer *t) {
    for (int l = 0; l < t->n_losses; l++) {
        int stages = 0;
        for (int i = 0; i < t->n_stages; i++)
            stages += l >= t->stages[i].desc.first_loss && l - t->stages[i].desc.first_loss < t->stages[i].desc.n_losses;
        t->term_loss[l] = stages ? t->term_sum[l] / ((double)t->count * stages) : (double)NAN;
    }
}

static void keep_last(ae_trainer *t) {
    lap l = lap_begin(t, 0);
    train_keep_last(t);
    lap_end(&l, PROFILE_SNAPSHOT, 0);
}

ae_status ae_trainer_epoch(ae_context *context, ae_trainer *t, ae_stop stop, void *stop_argument, ae_epoch_result *result) {
    ae_fpstate saved;
    ae_status status;
    bool converged = false;
    double loss = NAN;
    if (!t->slots[0].n_sources)
        return ae_fail(context, AE_ERR_STATE, "an epoch was asked for before data was bound");
    ae_fpstate_enter(&saved);
    const lap whole = lap_begin(t, 0);
    if (!t->committed)
        keep_last(t);
    memset(t->term_sum, 0, (size_t)t->n_losses * sizeof *t->term_sum);
    if (t->lbfgs)
        status = lbfgs_epoch(context, t, stop, stop_argument, &loss, &converged);
    else
        status = minibatch_epoch(context, t, stop, stop_argument, &loss);
    /* The last updates of an epoch may leave the finite numbers without a loss having shown it. */
    if (status == AE_OK && !train_weights_are_finite(t))
        status = ae_fail(context, AE_ERR_NONFINITE, "a weight is not finite");
    if (status == AE_OK) {
        t->epoch++;
        keep_last(t);
        keep_terms(t);
        *result = (ae_epoch_result){loss, t->last_rate, t->step, converged};
    } else {
        train_roll_back(t);
    }
    if (whole.profile)
        whole.profile->total.seconds += ae_clock() - whole.since;
    ae_fpstate_leave(&saved);
    return status;
}

ae_status ae_trainer_evaluate(ae_context *context, ae_trainer *t, int which, int64_t first, int64_t count, bool split,
                              ae_stop stop, void *stop_argument, double *loss) {
    ae_fpstate saved;
    ae_status status = AE_OK;
    if (which < 0 || which > 1 || !t->slots[which].n_sources || first < 0 || count < 1 || first > t->slots[which].rows - count)
        return ae_fail(context, AE_ERR_VALUE, "slot %d has no %lld rows from row %lld on", which, (long long)count,
                       (long long)first);
    pass p = train_pass(t, which, first, count, split);
    double total = 0.0;
    lap l = lap_begin(t, 0);
    const double since = l.since;
    t->profile = NULL; /* one row has all of it */
    ae_fpstate_enter(&saved);
    AE_TRY(train_weigh(context, &p));
    for (int i = 0; i < t->n_stages; i++)
        train_clear_lanes(t, i);
    /* A chunk goes through all stages, because a later one may read values of an earlier one. */
    for (int64_t from = 0; from < count; from += t->chunk)
        for (int i = 0; i < t->n_stages; i++)
            AE_TRY(train_run(context, t, i, &p, from, count - from < t->chunk ? count - from : t->chunk, false, NULL, stop,
                             stop_argument));
    for (int i = 0; i < t->n_stages; i++)
        total += train_loss(t, i, (double)count);
    *loss = total;
cleanup:
    ae_fpstate_leave(&saved);
    t->profile = l.profile;
    lap_end(&l, PROFILE_EVALUATION, 0);
    if (l.profile)
        l.profile->total.seconds += l.since - since;
    return status;
}

ae_status ae_trainer_gradient(ae_context *context, ae_trainer *t, int stage_index, bool training, double *loss,
                              const void **gradient) {
    if (stage_index < 0 || stage_index >= t->n_stages || !t->slots[0].n_sources || !t->gradient)
        return ae_fail(context, AE_ERR_STATE, "no gradient is kept for stage %d", stage_index);
    if (t->stages[stage_index].reads_across)
        return ae_fail(context, AE_ERR_STATE, "stage %d reads values of another stage and has no gradient of its own",
                       stage_index);
    ae_fpstate saved;
    ae_fpstate_enter(&saved);
    const ae_status status = full_gradient(context, t, stage_index, training, NULL, NULL, loss);
    ae_fpstate_leave(&saved);
    *gradient = t->gradient;
    return status;
}

/* ---- moments ---- */

/* Sums of a column over its observed entries: w x, w (x - s), w (x - s)^2 and w, where s is the first of them, so that a spread
 * shows beside a mean of any size; and how many entries are missing. */
enum { MOMENT_X, MOMENT_SHIFT, MOMENT_OFF, MOMENT_SQUARE, MOMENT_WEIGHT, MOMENT_MISSING, MOMENT_SUMS };

typedef struct moment_phase {
    ae_trainer *trainer;
    const pass *pass;
    int source;
    const ae_value *value; /* of the node that takes it */
    int64_t from, rows;
    double *sums; /* [panel][MOMENT_SUMS][32] */
} moment_phase;

static const ae_value *source_value(const ae_trainer *t, int source) {
    for (int i = 0; i < t->net->n_nodes; i++)
        if ((t->net->nodes[i].ops->flags & AE_LAYER_SOURCE) && t->net->nodes[i].desc.source == source)
            return &t->net->nodes[i].binding.out;
    return NULL;
}

int64_t ae_trainer_source_width(const ae_trainer *t, int source) {
    const ae_value *value = source_value(t, source);
    return value ? value->shape.width : 0;
}

static void moment_rows(void *argument, int64_t task, int worker) {
    const moment_phase *phase = argument;
    const ae_trainer *t = phase->trainer;
    const slot *data = phase->pass->data;
    const ae_value *value = phase->value;
    (void)worker;
    for (int64_t row = task * 64; row < phase->rows && row < (task + 1) * 64; row++) {
        const int64_t index =
            (int64_t)ae_permutation_at(&phase->pass->split, (uint64_t)(phase->pass->first + phase->from + row));
        ae_data_gather(&data->sources[phase->source], t->kernels, index, NULL, 1, value->stride, row, value->data);
        t->row_weight[row] = data->row_weight ? data->row_weight[index] * phase->pass->weight_scale : 1.0;
    }
}

/* Rows in order for each column, in double. */
static void moment_columns(void *argument, int64_t panel, int worker) {
    const moment_phase *phase = argument;
    const ae_trainer *t = phase->trainer;
    const ae_value *value = phase->value;
    double(*sum)[AE_PANEL] = (double(*)[AE_PANEL])phase->sums + panel * MOMENT_SUMS;
    (void)worker;
    for (int64_t row = 0; row < phase->rows; row++)
        for (int j = 0; j < AE_PANEL; j++) {
            const int64_t at = panel * value->stride + row * AE_PANEL + j;
            const double x = t->net->bits == 32 ? ((const float *)value->data)[at] : ((const double *)value->data)[at];
            const double weight = t->row_weight[row];
            sum[MOMENT_MISSING][j] += x != x ? 1.0 : 0.0;
            if (x != x || !(weight > 0.0)) /* a row without weight has no say, whatever it holds */
                continue;
            if (sum[MOMENT_WEIGHT][j] == 0.0)
                sum[MOMENT_SHIFT][j] = x;
            const double off = x - sum[MOMENT_SHIFT][j];
            sum[MOMENT_X][j] += weight * x;
            sum[MOMENT_OFF][j] += weight * off;
            sum[MOMENT_SQUARE][j] += weight * (off * off);
            sum[MOMENT_WEIGHT][j] += weight;
        }
}

ae_status ae_trainer_moments(ae_context *context, ae_trainer *t, int source, double *mean, double *variance) {
    const ae_value *value = source_value(t, source);
    ae_fpstate saved;
    void *sums = NULL;
    if (!value || !t->slots[0].n_sources)
        return ae_fail(context, AE_ERR_VALUE, "source %d is not bound", source);
    const pass p = train_pass(t, 0, t->first, t->count, t->split);
    ae_status status = ae_alloc(context, &sums, (size_t)ae_panels(value->shape.width) * MOMENT_SUMS * AE_PANEL, sizeof(double));
    if (status != AE_OK)
        return status;
    ae_fpstate_enter(&saved);
    for (int64_t from = 0; from < t->count && status == AE_OK; from += t->chunk) {
        moment_phase phase = {t, &p, source, value, from, t->count - from < t->chunk ? t->count - from : t->chunk, sums};
        ae_pool_run(t->pool, moment_rows, &phase, (phase.rows + 63) / 64, 0);
        ae_pool_run(t->pool, moment_columns, &phase, ae_panels(value->shape.width), 0);
        status = ae_ask(context, &t->asking);
    }
    for (int64_t c = 0; c < value->shape.width && status == AE_OK; c++) {
        const double *at = (const double *)sums + c / AE_PANEL * MOMENT_SUMS * AE_PANEL + c % AE_PANEL;
        /* The weights of all rows have the mean one. */
        const double weight = at[MOMENT_MISSING * AE_PANEL] == 0.0 ? (double)t->count : at[MOMENT_WEIGHT * AE_PANEL];
        mean[c] = weight > 0.0 ? at[MOMENT_X * AE_PANEL] / weight : 0.0;
        const double off = weight > 0.0 ? at[MOMENT_OFF * AE_PANEL] / weight : 0.0;
        const double spread = weight > 0.0 ? at[MOMENT_SQUARE * AE_PANEL] / weight - off * off : 0.0;
        variance[c] = spread > 0.0 ? spread : 0.0;
    }
    ae_fpstate_leave(&saved);
    ae_free(sums);
    return status;
}
