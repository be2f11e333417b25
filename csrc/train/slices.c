/* Gradients by slices of the minibatch.
 *
 * As one sum over all rows a weight gradient is a phase of its own, in which each worker reads values that others have just written; and
 * next time they write lines that it has read. In a small network that takes a third of the time of the products. Where there are
 * few weights for the values of a slice of rows, each slice has a gradient of its own instead, which whoever takes these rows forward and back
 * sums while they are in its cache; the phase by weights adds the slices up. For which networks, and with which rows, is said by shapes
 * alone, since the sum has another order. */
#include "train/laps.h"

#define LEAST_SLICE 64         /* rows */
#define LONGEST_SLICE 256      /* rows of values: a chunk has several, or too few workers would have something to do */
#define MOST_SLICES 16         /* larger minibatches have longer ones */
#define MOST_REALS (1ll << 18) /* of the gradients of all slices: they stay in the second-level cache */

static int64_t slices_of(int64_t rows, int64_t slice) { return rows / slice + (rows % slice > 0); }

int64_t train_slice_rows(const ae_trainer *t, const stage *s) {
    const int64_t batch = t->options.batch_size;
    const int64_t share = slices_of(slices_of(batch, MOST_SLICES), AE_PANEL) * AE_PANEL;
    const int64_t rows = share < LEAST_SLICE ? LEAST_SLICE : share;
    int64_t weights = 0, columns = 0;
    if (!s->rule || s->couples || batch <= rows || rows > LONGEST_SLICE)
        return 0;
    for (int64_t k = 0; k < s->n_tiles; k++) {
        const ae_tile *tile = &s->tiles[k].tile;
        const ae_parameter *p = &t->net->parameters[s->tiles[k].parameter];
        const ae_node *node = &t->net->nodes[p->use[0].node];
        const ae_value *in = &node->binding.in[0], *out = &node->binding.out;
        if (p->n_uses > 1 || !node->plan.by_slices || in->pairs || out->gradient_pairs ||
            rows * out->shape.multiplicity > LONGEST_SLICE)
            return 0;
        weights += (tile->row1 - tile->row0) * AE_PANEL;
        if (tile->parameter == 0 && tile->panel == 0 && tile->row0 == 0)
            columns += (in->shape.width + out->shape.width) * out->shape.multiplicity;
    }
    /* Each slice has room for all parameters, those of other stages too. */
    const bool fits = t->net->parameter_reals <= MOST_REALS / slices_of(batch, rows);
    return weights <= rows * columns && fits ? rows : 0;
}

int64_t train_slices(const ae_trainer *t, const stage *s) { return s->slice ? slices_of(t->options.batch_size, s->slice) : 0; }

void train_add_to_slice(const ae_trainer *t, const stage *s, const chunk *c, const tile_task *task, int64_t row0,
                        int64_t row1) {
    const ae_node *node = &t->net->nodes[t->net->parameters[task->parameter].use[0].node];
    const int64_t k = node->binding.out.shape.multiplicity, from = c->first_row + row0;
    char *region = t->slices + (size_t)(from / s->slice * t->net->parameter_reals) * t->net->real_size;
    ae_tile tile = task->tile;
    tile.first = row0 * k;
    node->ops->backward_weights(&node->binding, &tile, (row1 - row0) * k, from % s->slice != 0, train_at_tile(t, region, task));
}

void train_join_slices(const ae_trainer *t, const stage *s, int64_t rows, const tile_task *task, char *gradient) {
    t->kernels->add_up((task->tile.row1 - task->tile.row0) * AE_PANEL, slices_of(rows, s->slice), t->net->parameter_reals,
                       train_at_tile(t, t->slices, task), gradient);
}
