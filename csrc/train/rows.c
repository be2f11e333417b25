/* The phase by rows of a training step: rows are gathered and go forward, through the losses, and back. */
#include <string.h>

#include "train/laps.h"

typedef struct row_phase {
    const ae_trainer *trainer;
    const stage *stage;
    const pass *pass;
    const chunk *chunk;
    int64_t block;          /* rows that go together */
    int64_t height, before; /* rows of a task: a block, or a slice, of whose first one so many were in the chunk before */
    /* What of the way forward and back is in this phase: all of it, unless layers couple rows or products go by panels. */
    int first, last;           /* nodes forward; none where last < first */
    int back_first, back_last; /* nodes in reverse */
    bool begins;               /* gathers the rows */
    bool turns;                /* reaches the losses */
    bool splits;               /* products of layers that allow it go by panels, in phases of their own */
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
    find_rows(p, phase->chunk->from + row0, row1 - row0, index + row0);
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
    call.scale = term->desc.weight / phase->chunk->denominator / (shared ? 1.0 : (double)k);
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
    for (int i = 0; phase->chunk->gradients && i < s->desc.n_losses; i++)
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
        run_term(phase, i, row0, row1, phase->chunk->gradients, NULL);
        lap_end(l, PROFILE_LOSS, s->desc.first_loss + i);
    }
}

static ae_block block_of(const row_phase *phase, int64_t row0, int64_t row1) {
    return (ae_block){.row0 = row0,
                      .row1 = row1,
                      .step = phase->pass->step,
                      .first_row = phase->chunk->first_row,
                      .training = phase->pass->training,
                      .keep = phase->chunk->gradients};
}

/* Products by panels. By rows each worker reads all weights once for its block, half of them from the cache of another that has just
 * updated them. Where a minibatch has few rows this takes as long as the products. Then these go by panels, in phases of their
 * own: a worker has all rows and, of each layer, a few panels of what it writes, and reads their weights only. What a layer
 * makes of what it reads goes with whoever writes that: it is there before the phase begins. */
static bool goes_by_panels(const ae_node *node) {
    const ae_binding *binding = &node->binding;
    return node->plan.by_panels && !binding->in[0].pairs && !binding->out.gradient_pairs;
}

static bool goes_back_by_panels(const ae_node *node) {
    return node->active && goes_by_panels(node) && node->binding.in[0].gradient;
}

/* The value of a node, or of those before the stage (-1), is there as far as the block reaches. */
static void value_is_there(const row_phase *phase, int node, ae_block block, int worker) {
    const stage *s = phase->stage;
    const ae_net *net = phase->trainer->net;
    block.share = AE_SHARE_READ;
    for (int i = s->desc.first_node; i <= s->desc.last_node; i++) {
        const int from = net->nodes[i].desc.inputs[0];
        if (goes_by_panels(&net->nodes[i]) && (from < s->desc.first_node ? -1 : from) == node) {
            ae_block own = block;
            own.panel1 = own.panel1 ? own.panel1 : ae_panels(net->nodes[i].binding.in[0].shape.width);
            ae_net_forward(net, i, i, own, worker);
        }
    }
}

/* Whose backward_data writes to the gradient of a node's value last; -1: only losses do. */
static int last_to_add(const row_phase *phase, int node) {
    const ae_node *nodes = phase->trainer->net->nodes;
    for (int i = node + 1; i <= phase->stage->desc.last_node; i++)
        for (int k = 0; nodes[i].active && k < nodes[i].desc.n_inputs; k++)
            if (nodes[i].desc.inputs[k] == node && nodes[i].binding.in[k].gradient)
                return i;
    return -1;
}

/* A node, or the losses (-1), has given its inputs their gradients, as far as the block reaches. */
static void gradients_are_there(const row_phase *phase, int by, ae_block block, int worker) {
    const stage *s = phase->stage;
    const ae_net *net = phase->trainer->net;
    block.share = AE_SHARE_READ;
    for (int i = s->desc.last_node; i >= s->desc.first_node; i--)
        if (net->nodes[i].active && goes_by_panels(&net->nodes[i]) && last_to_add(phase, i) == by) {
            ae_block own = block;
            own.panel1 = own.panel1 ? own.panel1 : ae_panels(net->nodes[i].binding.out.shape.width);
            ae_net_backward(net, i, i, own, worker);
        }
}

/* Node by node where each has a time of its own, or where others go by panels. */
static void run_forward(const row_phase *phase, const ae_block *block, int worker, lap *l) {
    const bool single = l->profile || phase->splits;
    const int step = single ? 1 : phase->last - phase->first + 1;
    for (int i = phase->first; i <= phase->last; i += step) {
        ae_net_forward(phase->trainer->net, i, i + step - 1, *block, worker);
        if (phase->splits)
            value_is_there(phase, i, *block, worker);
        lap_end(l, PROFILE_FORWARD, i);
    }
}

static void run_backward(const row_phase *phase, const ae_block *block, int worker, lap *l) {
    const bool single = l->profile || phase->splits;
    const int step = single ? 1 : phase->back_last - phase->back_first + 1;
    for (int i = phase->back_last; i >= phase->back_first; i -= step) {
        if (phase->splits && goes_by_panels(&phase->trainer->net->nodes[i]))
            continue;
        ae_net_backward(phase->trainer->net, i - step + 1, i, *block, worker);
        if (phase->splits && phase->trainer->net->nodes[i].active)
            gradients_are_there(phase, i, *block, worker);
        lap_end(l, PROFILE_BACKWARD, i);
    }
}

static void run_block(const row_phase *phase, int64_t row0, int64_t row1, int worker) {
    const ae_trainer *t = phase->trainer;
    const stage *s = phase->stage;
    const ae_block block = block_of(phase, row0, row1);
    lap l = lap_begin(t, worker);
    if (phase->begins) {
        gather_rows(phase, row0, row1);
        lap_end(&l, PROFILE_GATHER, 0);
        if (phase->splits)
            value_is_there(phase, -1, block, worker);
    }
    run_forward(phase, &block, worker, &l);
    if (phase->turns) {
        run_losses(phase, row0, row1, &l);
        if (phase->splits)
            gradients_are_there(phase, -1, block, worker);
    }
    if (phase->chunk->gradients)
        run_backward(phase, &block, worker, &l);
    for (int64_t k = 0; phase->chunk->slices && k < s->n_tiles; k++) {
        train_add_to_slice(t, s, phase->chunk, &s->tiles[k], row0, row1);
        lap_end(&l, PROFILE_WEIGHTS, t->net->parameters[s->tiles[k].parameter].use[0].node);
    }
}

static void row_task(void *argument, int64_t task, int worker) {
    const row_phase *phase = argument;
    const int64_t rows = phase->chunk->rows, first = task * phase->height - phase->before;
    const int64_t end = first + phase->height < rows ? first + phase->height : rows;
    for (int64_t row = first > 0 ? first : 0, next; row < end; row = next) {
        next = row + phase->block < end ? row + phase->block : end;
        run_block(phase, row, next, worker);
    }
}

/* Rows of a block: values of a small network stay in the second-level cache from forward to backward; of a wide one hardly
 * more than the input of one layer fits, because its weights stream anyway, once for each block, and the product asks for
 * rows in time. Equal parts for the workers. */
static int64_t block_rows(const ae_trainer *t, int64_t rows, int workers) {
    const int64_t l2 = ae_cpu_l2_bytes();
    int64_t widest = 1, samples = 1;
    for (int i = 0; i < t->net->n_nodes; i++) {
        const ae_node *node = &t->net->nodes[i];
        const ae_shape *shape = &node->plan.out;
        samples = shape->multiplicity > samples ? shape->multiplicity : samples;
        /* What comes by groups is never there as a whole, and goes on as pairs. */
        const int64_t width = node->by_groups               ? node->binding.out.group * AE_PANEL
                              : i > 0 && node[-1].by_groups ? node->plan.between_reals
                                                            : shape->width;
        widest = width * shape->multiplicity > widest ? width * shape->multiplicity : widest;
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
    couple_phase c = {n, phase->chunk->rows * n->plan.out.multiplicity, phase->pass->training, backward};
    lap l = lap_begin(phase->trainer, 0);
    ae_pool_run(phase->trainer->pool, couple_task, &c, n->plan.coupling_parts, workers);
    lap_end(&l, PROFILE_COUPLE, node);
}

static void run_rows(row_phase *phase, int workers) {
    const int64_t rows = phase->before + phase->chunk->rows;
    ae_pool_run(phase->trainer->pool, row_task, phase, (rows + phase->height - 1) / phase->height, workers);
}

/* The phase by rows: in one piece, or where backward follows and layers couple rows, cut before the forward and before the
 * backward of each such layer. */
static void run_by_rows(row_phase *phase, int workers) {
    const stage *s = phase->stage;
    const ae_node *nodes = phase->trainer->net->nodes;
    const int first = s->desc.first_node, last = s->desc.last_node;
    int forward = first, back = last;
    phase->begins = true;
    for (int i = first; s->couples && phase->chunk->gradients && i <= last; i++) {
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
    for (int i = last; s->couples && phase->chunk->gradients && i >= first; i--) {
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

/* ---- by panels ---- */

/* A phase of fewer tasks is cut by rows, too, so that the workers are done at about the same time: into whole tiles of the
 * products of floats, or blocks of 32 rows, each of which has one writer where sums over rows read them so. */
#define TASKS_OF_WORKER 8
#define LEAST_ROWS 24

typedef struct panel_phase {
    const row_phase *rows;
    int first, last; /* nodes that do not read each other; of one input where they go back */
    bool back;
    int64_t height; /* rows of a task, which has one panel */
} panel_phase;

/* Of what a node's products write. */
static int64_t panels_across(const panel_phase *phase, int node) {
    const ae_binding *binding = &phase->rows->trainer->net->nodes[node].binding;
    return ae_panels(phase->back ? binding->in[0].shape.width : binding->out.shape.width);
}

static void panel_task(void *argument, int64_t task, int worker) {
    const panel_phase *phase = argument;
    const row_phase *rows = phase->rows;
    const ae_net *net = rows->trainer->net;
    const int64_t n = rows->chunk->rows, down = (n + phase->height - 1) / phase->height, row0 = task % down * phase->height;
    int64_t panel = task / down;
    int node = phase->first;
    ae_block block = block_of(rows, row0, n - row0 < phase->height ? n : row0 + phase->height);
    lap l = lap_begin(rows->trainer, worker);
    for (int64_t across; !phase->back && panel >= (across = panels_across(phase, node)); node++)
        panel -= across;
    block.share = AE_SHARE_WRITTEN;
    block.panel0 = panel, block.panel1 = panel + 1;
    if (!phase->back) {
        ae_net_forward(net, node, node, block, worker);
        value_is_there(rows, node, block, worker);
        lap_end(&l, PROFILE_FORWARD, node);
        return;
    }
    for (int i = phase->last; i >= phase->first; i--) {
        ae_net_backward(net, i, i, block, worker);
        gradients_are_there(rows, i, block, worker);
        lap_end(&l, PROFILE_BACKWARD, i);
    }
}

static void run_panels(const row_phase *rows, int first, int last, bool back, int workers) {
    const ae_trainer *t = rows->trainer;
    const int64_t n = rows->chunk->rows, multiple = t->net->part_numbers ? AE_PANEL : 12;
    panel_phase phase = {rows, first, last, back, LEAST_ROWS};
    int64_t across = 0;
    for (int i = first; i <= (back ? first : last); i++)
        across += panels_across(&phase, i);
    const int64_t cuts = (TASKS_OF_WORKER * workers + across - 1) / across;
    if ((n + cuts - 1) / cuts > phase.height)
        phase.height = (n + cuts - 1) / cuts;
    phase.height = (phase.height + multiple - 1) / multiple * multiple;
    ae_pool_run(t->pool, panel_task, &phase, across * ((n + phase.height - 1) / phase.height), workers);
}

static void run_by_panels(row_phase *phase, int workers) {
    const stage *s = phase->stage;
    const ae_node *nodes = phase->trainer->net->nodes;
    const int first = s->desc.first_node, last = s->desc.last_node;
    int i = first, end;
    phase->splits = phase->begins = true;
    phase->back_first = 0, phase->back_last = -1;
    for (; i <= last; i = end) {
        for (end = i; end <= last && !goes_by_panels(&nodes[end]); end++)
            continue;
        if (end > last)
            break;
        if (end > i || phase->begins) {
            phase->first = i, phase->last = end - 1;
            run_rows(phase, workers);
            phase->begins = false;
            i = end;
        }
        for (end = i + 1; end <= last && goes_by_panels(&nodes[end]) && nodes[end].desc.inputs[0] < i; end++)
            continue;
        run_panels(phase, i, end - 1, false, workers);
    }
    phase->first = i, phase->last = last;
    phase->turns = true;
    i = last;
    do {
        for (end = i; end >= first && !goes_back_by_panels(&nodes[end]); end--)
            continue;
        phase->back_first = end + 1, phase->back_last = i;
        bool any = phase->turns;
        for (int k = end + 1; k <= i; k++)
            any |= nodes[k].active && !goes_by_panels(&nodes[k]);
        if (any)
            run_rows(phase, workers);
        phase->begins = phase->turns = false;
        phase->first = 0, phase->last = -1;
        for (i = end; i >= first && goes_back_by_panels(&nodes[i]); i = end) {
            for (end = i - 1;
                 end >= first && goes_back_by_panels(&nodes[end]) && nodes[end].desc.inputs[0] == nodes[i].desc.inputs[0];
                 end--)
                continue;
            run_panels(phase, end + 1, i, true, workers);
        }
    } while (i >= first);
}

/* Sums the losses of a chunk. Lanes go by position in the pass, so the cut into chunks does not show. */
static bool add_losses(const row_phase *phase) {
    const ae_trainer *t = phase->trainer;
    const stage *s = phase->stage;
    double check = 0.0;
    for (int i = 0; i < s->desc.n_losses + (s->joins ? 1 : 0); i++) {
        const int64_t l = i < s->desc.n_losses ? s->desc.first_loss + i : t->n_losses;
        const double *loss = t->row_loss + l * t->chunk;
        double *lane = s->lanes + (int64_t)i * AE_LOSS_LANES;
        for (int64_t row = 0; row < phase->chunk->rows; row++)
            /* A row without weight has no say, whatever it holds. */
            lane[(phase->chunk->from + row) % AE_LOSS_LANES] +=
                t->row_weight[row] == 0.0 ? 0.0 : t->row_weight[row] * loss[row];
        for (int j = 0; j < AE_LOSS_LANES; j++)
            check += lane[j] * 0.0;
    }
    return check == 0.0;
}

bool train_by_rows(const ae_trainer *t, const stage *s, const pass *p, const chunk *c, int workers) {
    row_phase phase = {.trainer = t, .stage = s, .pass = p, .chunk = c};
    phase.block = c->slices ? block_rows(t, s->slice, 1) : block_rows(t, c->rows, workers);
    phase.height = c->slices ? s->slice : phase.block;
    phase.before = c->slices ? c->first_row % s->slice : 0;
    if (s->by_panels && c->gradients && (workers > 1 || t->options.by_panels == AE_BY_PANELS_ALWAYS))
        run_by_panels(&phase, workers);
    else
        run_by_rows(&phase, workers);
    lap l = lap_begin(t, 0);
    const bool finite = add_losses(&phase);
    lap_end(&l, PROFILE_SUMS, 0);
    return finite;
}
