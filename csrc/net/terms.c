#include "net/terms.h"

#include <math.h>

static bool is_node(const ae_net *net, int32_t node) { return node >= 0 && node < net->n_nodes; }

/* A node beside the prediction: of its width, with as many rows or with one for all. */
static ae_status check_beside(ae_context *context, const ae_net *net, int i, const char *what, const ae_term *term,
                              int32_t node) {
    if (!is_node(net, node))
        return ae_fail(context, AE_ERR_VALUE, "loss %d: %s is %d; it must be a node (0 to %d) or -1", i, what, node,
                       net->n_nodes - 1);
    const ae_shape *shape = &net->nodes[node].plan.out;
    if (shape->width != term->width)
        return ae_fail(context, AE_ERR_VALUE, "loss %d: the prediction has %lld features and the %s %lld; they must be equal",
                       i, (long long)term->width, what, (long long)shape->width);
    if (shape->multiplicity != 1 && shape->multiplicity != term->multiplicity)
        return ae_fail(context, AE_ERR_VALUE,
                       "loss %d: the prediction has %lld rows a sample and the %s %lld; as many or 1 "
                       "are allowed",
                       i, (long long)term->multiplicity, what, (long long)shape->multiplicity);
    return AE_OK;
}

ae_status ae_term_init(ae_context *context, const ae_net *net, int i, const ae_loss_desc *d, ae_term *out) {
    const ae_loss_ops *ops = ae_loss_get(net->bits, net->isa, d->loss);
    ae_status status = AE_OK;
    if (!ops)
        return ae_fail(context, AE_ERR_VALUE, "loss %d: kind %d is not known", i, d->loss);
    if (!is_node(net, d->prediction))
        return ae_fail(context, AE_ERR_VALUE, "loss %d: prediction is %d; it must be a node (0 to %d)", i, d->prediction,
                       net->n_nodes - 1);
    if (d->reserved)
        return ae_fail(context, AE_ERR_VALUE, "loss %d: reserved is %d; it must be 0", i, d->reserved);
    const ae_shape *shape = &net->nodes[d->prediction].plan.out;
    *out = (ae_term){*d, ops, shape->width, shape->multiplicity};
    if (!(d->weight >= 0) || !isfinite(d->weight) || (ops->has_parameter && !(d->parameter > 0 && isfinite(d->parameter))))
        return ae_fail(context, AE_ERR_VALUE, "loss %d (%s): weight %g must not be negative and parameter %g must be positive",
                       i, ops->name, d->weight, d->parameter);
    if (d->target != -1 && (ops->flags & AE_LOSS_NO_TARGET))
        return ae_fail(context, AE_ERR_VALUE, "loss %d (%s): target is node %d; this loss takes none (-1)", i, ops->name,
                       d->target);
    if (d->entry_weight != -1 && (ops->flags & AE_LOSS_ROW))
        return ae_fail(context, AE_ERR_VALUE,
                       "loss %d (%s): entry_weight is node %d; a loss over whole rows has no weights of entries (-1)", i,
                       ops->name, d->entry_weight);
    if ((d->second != -1) != ((ops->flags & AE_LOSS_SECOND) != 0))
        return ae_fail(context, AE_ERR_VALUE, "loss %d (%s): second is %d; this loss %s", i, ops->name, d->second,
                       ops->flags & AE_LOSS_SECOND ? "predicts two parameters and needs the node of the second"
                                                   : "predicts one parameter (-1)");
    if (d->target != -1)
        AE_TRY(check_beside(context, net, i, "target", out, d->target));
    if (d->entry_weight != -1)
        AE_TRY(check_beside(context, net, i, "entry_weight", out, d->entry_weight));
    if (d->second != -1) {
        AE_TRY(check_beside(context, net, i, "second", out, d->second));
        if (d->second == d->prediction || net->nodes[d->second].plan.out.multiplicity != out->multiplicity)
            return ae_fail(context, AE_ERR_VALUE,
                           "loss %d (%s): second is node %d; it must be another node than the prediction, of its shape", i,
                           ops->name, d->second);
    }
cleanup:
    return status;
}

ae_status ae_terms_samples(ae_context *context, const ae_term *terms, int n, int combine, int64_t *samples) {
    *samples = 1;
    if (combine < 0 || combine >= AE_COMBINE_COUNT)
        return ae_fail(context, AE_ERR_VALUE, "combine is %d; it must be 0 (mean) or 1 (log-mean-exp)", combine);
    for (int i = 0; i < n; i++)
        *samples = terms[i].multiplicity > *samples ? terms[i].multiplicity : *samples;
    for (int i = 0; combine == AE_COMBINE_LOG_MEAN_EXP && i < n; i++)
        if (terms[i].multiplicity != 1 && terms[i].multiplicity != *samples)
            return ae_fail(context, AE_ERR_VALUE,
                           "combine is 1 (log-mean-exp) and there are losses with %lld and %lld rows a sample; all must have "
                           "the same number or 1",
                           (long long)terms[i].multiplicity, (long long)*samples);
    return AE_OK;
}

ae_loss_call ae_term_call(const ae_net *net, const ae_term *term, int64_t row0, int64_t row1) {
    const ae_loss_desc *d = &term->desc;
    const ae_value *prediction = &net->nodes[d->prediction].binding.out;
    ae_loss_call call = {
        .prediction = prediction->data,
        .prediction_stride = prediction->stride,
        .width = term->width,
        .row0 = row0 * term->multiplicity,
        .row1 = row1 * term->multiplicity,
        .parameter = d->parameter,
        .scale = 1.0,
    };
    if (d->target >= 0) {
        const ae_value *target = &net->nodes[d->target].binding.out;
        call.target = target->data;
        call.target_stride = target->stride;
        call.target_pairs = term->ops->flags & AE_LOSS_READS_PAIRS ? target->pairs : NULL;
        call.target_repeat = term->multiplicity / target->shape.multiplicity;
    }
    if (d->entry_weight >= 0) {
        const ae_value *entry = &net->nodes[d->entry_weight].binding.out;
        call.entry_weight = entry->data;
        call.entry_stride = entry->stride;
        call.entry_repeat = term->multiplicity / entry->shape.multiplicity;
    }
    if (d->second >= 0)
        call.second = net->nodes[d->second].binding.out.data;
    return call;
}
