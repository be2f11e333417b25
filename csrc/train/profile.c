#include "train/profile.h"

#include <string.h>

#include "base/alloc.h"
#include "base/environment.h"
#include "base/stop.h"
#include "math/gemm.h"
#include "train/laps.h"

static const char *const phase_names[PROFILE_PHASES] = {
    "gather",        "forward",  "loss",      "backward", "weights",        "update",
    "curvature",     "inverses", "direction", "coupling", "sums of losses", "pairs by column",
    "norms, limits", "assigned", "L-BFGS",    "snapshot", "evaluation"};

/* Operations a second of one product, rows of A against one panel, whose operands stay in the first-level cache: the best of
 * a few times, some milliseconds in all. */
#define ROOF_ROWS 48
#define ROOF_SUM 96
#define ROOF_CALLS 40
static ae_status measure_roof(ae_context *context, const ae_trainer *t, double *roof) {
    const ae_gemm product = {ROOF_SUM / AE_PANEL, AE_PANEL, AE_PANEL, NULL, NULL, ROOF_ROWS * AE_PANEL, AE_PANEL * AE_PANEL};
    const size_t size = t->net->real_size;
    void *a;
    const ae_status status = ae_alloc(context, &a, ROOF_ROWS * ROOF_SUM + (ROOF_SUM + ROOF_ROWS) * AE_PANEL, size);
    if (status != AE_OK)
        return status;
    char *b = (char *)a + ROOF_ROWS * ROOF_SUM * size, *c = b + ROOF_SUM * AE_PANEL * size;
    for (int round = 0; round < 24; round++) {
        const double start = ae_clock();
        for (int i = 0; i < ROOF_CALLS; i++)
            t->kernels->gemm_rows(&product, ROOF_ROWS, AE_PANEL, a, b, AE_START_ZERO, NULL, c);
        const double rate = 2.0 * ROOF_CALLS * ROOF_ROWS * ROOF_SUM * AE_PANEL / (ae_clock() - start);
        *roof = rate > *roof ? rate : *roof;
    }
    ae_free(a);
    return AE_OK;
}

ae_status profile_new(ae_context *context, ae_trainer *t) {
    char room[AE_ENVIRONMENT_ROOM];
    const char *wanted = ae_environment("AUTOENC_PROFILE", room);
    const int n_nodes = t->net->n_nodes;
    ae_status status = AE_OK;
    void *block;
    if (!wanted || strcmp(wanted, "1") != 0)
        return AE_OK;
    AE_TRY(ae_alloc(context, &block, 1, sizeof *t->profile));
    ae_profile *p = t->profile = block;
    for (int i = 0; i < PROFILE_PHASES; i++) {
        const bool by_node = (i >= PROFILE_FORWARD && i <= PROFILE_UPDATE) || i == PROFILE_COUPLE;
        p->first[i + 1] = p->first[i] + (i == PROFILE_LOSS ? t->n_losses : by_node ? n_nodes : 1);
    }
    const int n = p->first[PROFILE_PHASES];
    p->stride = n + AE_ALIGNMENT / (int)sizeof *p->cells;
    AE_TRY(ae_alloc(context, &block, (size_t)p->stride * (size_t)ae_pool_size(t->pool), sizeof *p->cells));
    p->cells = block;
    AE_TRY(ae_alloc(context, &block, (size_t)n, sizeof *p->counts));
    p->counts = block;
    p->total.threads = 1;
    AE_TRY(measure_roof(context, t, &p->total.roof));
cleanup:
    return status;
}

void profile_free(ae_profile *p) {
    if (!p)
        return;
    ae_free(p->cells);
    ae_free(p->counts);
    ae_free(p);
}

void profile_step(ae_profile *p, bool counts, int workers) {
    p->total.steps += counts;
    p->total.threads = workers > p->total.threads ? workers : p->total.threads;
}

lap profile_begin(ae_profile *p, int worker) { return (lap){p, p->cells + worker * p->stride, ae_clock()}; }

void profile_end(lap *l, profile_phase phase, int subject) {
    const double now = ae_clock();
    profile_cell *cell = l->cells + l->profile->first[phase] + subject;
    cell->seconds += now - l->since;
    cell->calls++;
    l->since = now;
}

/* ---- what the shapes say ---- */

static void add(const ae_trainer *t, profile_phase phase, int subject, double flops, double reals) {
    profile_counts *c = &t->profile->counts[t->profile->first[phase] + subject];
    c->flops += flops;
    c->bytes += reals * (double)t->net->real_size;
}

static double pairs_of(const ae_pairs *pairs, int64_t rows) {
    double n = 0;
    for (int64_t row = 0; row < rows; row++)
        n += pairs->count[row];
    return n;
}

static double reals_of(const ae_node *node, int64_t rows) {
    return (double)rows * (double)node->plan.out.multiplicity * (double)node->plan.out.width;
}

/* What is read of a value: a pair is a value and a column. */
static double read_of(const ae_node *node, int64_t rows) {
    return node->by_pairs ? 2 * pairs_of(&node->pairs, rows * node->plan.out.multiplicity) : reals_of(node, rows);
}

/* The part of the stated operations that is done where the input, or the gradient, goes by pairs. */
static double density(const ae_net *net, const ae_node *node, int64_t rows, bool back) {
    const ae_node *by = node->desc.n_inputs ? &net->nodes[node->desc.inputs[0]] : node;
    const bool gradient = back && node->gradient_by >= 0;
    if (gradient)
        by = &net->nodes[node->gradient_by];
    else if (by == node || !by->by_pairs || !(node->ops->flags & AE_LAYER_READS_PAIRS))
        return 1.0;
    return pairs_of(&by->pairs, rows * by->plan.out.multiplicity) / reals_of(by, rows);
}

static double forward_flops(const ae_node *node, int64_t rows) {
    return node->plan.flops_per_row * (double)node->plan.in[0].multiplicity * (double)rows;
}

/* Reals of the parameters, or of the rows that pairs touch where these are fewer. */
static double parameter_reals(const ae_net *net, const ae_node *node, int64_t rows) {
    double reals = 0;
    for (int k = 0; k < node->plan.n_parameters; k++) {
        const ae_parameter_request *r = &node->plan.parameter[k];
        double n = (double)r->rows;
        if (node->desc.n_inputs && net->nodes[node->desc.inputs[0]].by_pairs && r->rows == node->plan.in[0].width) {
            const double touched = read_of(&net->nodes[node->desc.inputs[0]], rows) / 2;
            n = touched < n ? touched : n;
        }
        reals += n * (double)r->columns;
    }
    return reals;
}

static void count_rows(const ae_trainer *t, const stage *s, int64_t rows, bool gradients) {
    const ae_net *net = t->net;
    for (int i = s->desc.first_node; i <= s->desc.last_node; i++) {
        const ae_node *node = &net->nodes[i];
        const double value = read_of(node, rows), parameters = parameter_reals(net, node, rows);
        /* What comes by groups does not leave the cache, and is made at the turn of the next node. */
        const double out = node->by_groups ? 0 : value;
        double in = 0, wanted = 0;
        if (node->ops->flags & AE_LAYER_SOURCE)
            add(t, PROFILE_GATHER, 0, 0, 2 * (out + (node->by_pairs && node->beside_pairs ? reals_of(node, rows) : 0)));
        for (int k = 0; k < node->desc.n_inputs; k++) {
            in += net->nodes[node->desc.inputs[k]].by_groups ? 0 : read_of(&net->nodes[node->desc.inputs[k]], rows);
            wanted += node->binding.in[k].gradient ? read_of(&net->nodes[node->desc.inputs[k]], rows) : 0;
        }
        if (node->ops->forward && i + node->by_groups <= s->desc.last_node)
            add(t, PROFILE_FORWARD, i + node->by_groups, forward_flops(node, rows) * density(net, node, rows, false),
                in + parameters + out);
        if (gradients && node->active && node->ops->backward_data)
            add(t, PROFILE_BACKWARD, i, wanted > 0 ? forward_flops(node, rows) * density(net, node, rows, true) : 0,
                value + wanted + (wanted > 0 ? parameters : 0));
        if (gradients && node->ops->couple) {
            const double copies = (double)node->plan.in[0].multiplicity * (double)rows;
            add(t, PROFILE_COUPLE, i, node->plan.flops_per_pair * copies * copies + node->plan.flops_per_minibatch, in);
        }
    }
    for (int i = s->desc.first_loss; i < s->desc.first_loss + s->desc.n_losses; i++) {
        const ae_loss_desc *d = &t->losses[i].desc;
        const int read[] = {d->prediction, d->second, d->target, d->entry_weight};
        double reals = 0;
        for (int k = 0; k < 4; k++)
            if (read[k] >= 0)
                reals += k == 2 && (t->losses[i].ops->flags & AE_LOSS_READS_PAIRS)
                             ? read_of(&net->nodes[read[k]], rows)
                             : reals_of(&net->nodes[read[k]], rows) * (gradients && k < 2 ? 2 : 1);
        add(t, PROFILE_LOSS, i, 0, reals);
    }
}

static void count_weights(const ae_trainer *t, const stage *s, int64_t rows, bool keeps) {
    const ae_net *net = t->net;
    for (int i = s->desc.first_node; i <= s->desc.last_node; i++) {
        const ae_node *node = &net->nodes[i];
        if (!node->active || !node->plan.n_parameters || !node->ops->backward_weights)
            continue;
        const ae_parameter *p = &net->parameters[node->parameter[0]];
        const double in = node->desc.n_inputs ? read_of(&net->nodes[node->desc.inputs[0]], rows) : 0;
        add(t, PROFILE_WEIGHTS, p->use[0].node, forward_flops(node, rows) * density(net, node, rows, true),
            in + read_of(node, rows) + (keeps ? (double)p->size : 0));
    }
}

static void count_updates(const ae_trainer *t, const stage *s, bool keeps) {
    for (int64_t i = 0; i < s->n_tiles; i++) {
        const tile_task *task = &s->tiles[i];
        const ae_parameter *p = &t->net->parameters[task->parameter];
        const double reals = (double)((task->tile.row1 - task->tile.row0) * AE_PANEL);
        const double packs = (double)(p->parts * (1 + p->transposed_parts)) * sizeof(ae_bf16) / (double)t->net->real_size;
        const double state = 2 * t->n_state * (t->rounds_state ? (double)sizeof(ae_bf16) / (double)t->net->real_size : 1);
        add(t, PROFILE_UPDATE, p->use[0].node, 0, reals * (2 + state + (p->transposed_offset >= 0) + keeps + packs));
    }
}

void profile_count(const ae_trainer *t, const stage *s, int64_t rows, bool gradients, bool keeps, bool updates) {
    count_rows(t, s, rows, gradients);
    if (gradients)
        count_weights(t, s, rows, keeps);
    if (updates)
        count_updates(t, s, keeps);
}

/* ---- the account ---- */

bool ae_trainer_profile(const ae_trainer *t, ae_profile_total *total) {
    if (t->profile)
        *total = t->profile->total;
    return t->profile != NULL;
}

bool ae_trainer_profile_row(const ae_trainer *t, int index, ae_profile_row *row) {
    const ae_profile *p = t->profile;
    if (!p || index < 0 || index >= p->first[PROFILE_PHASES])
        return false;
    int phase = 0;
    while (index >= p->first[phase + 1])
        phase++;
    const int subject = index - p->first[phase];
    const bool by_subject = p->first[phase + 1] - p->first[phase] > 1 || phase == PROFILE_LOSS || phase == PROFILE_FORWARD;
    *row = (ae_profile_row){phase_names[phase], "", 0, 0, p->counts[index].flops, p->counts[index].bytes};
    if (phase == PROFILE_LOSS)
        row->subject = t->losses[subject].ops->name;
    else if (by_subject)
        row->subject = t->net->nodes[subject].desc.name;
    for (int worker = 0; worker < ae_pool_size(t->pool); worker++) {
        const profile_cell *cell = &p->cells[worker * p->stride + index];
        row->calls += cell->calls;
        row->seconds += cell->seconds / (phase < PROFILE_COUPLE ? p->total.threads : 1);
    }
    /* A node that does nothing there: sources forward, and back whom no loss reaches. */
    if ((phase == PROFILE_FORWARD || phase == PROFILE_BACKWARD) && row->bytes == 0)
        row->calls = 0;
    return true;
}
