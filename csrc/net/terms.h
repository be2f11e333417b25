/* Terms of an objective over a network: which nodes a loss reads, checked once, and the calls that follow from it.
 * The trainer and the predictor share it. */
#ifndef AE_NET_TERMS_H
#define AE_NET_TERMS_H

#include "losses/loss.h"
#include "net/net.h"

#define AE_MAX_LOSSES 1024

/* A term of the objective: weight * loss. The loss of a row of data is the mean over the features of entry weight * term,
 * averaged over the k rows that the prediction has for it; it is divided by the width, not by the sum of the entry weights.
 * Several terms may have one prediction, and a node may be predicted here and a target there. */
typedef struct ae_loss_desc {
    int32_t loss;         /* position in the registry */
    int32_t prediction;   /* node of any multiplicity k */
    int32_t target;       /* node of the same width and of multiplicity k or 1, no gradient flows into it; -1: none, zeros take
                             its place */
    int32_t entry_weight; /* node of the same width and of multiplicity k or 1: nonnegative factors of the terms, no gradient
                             flows into it; -1: none */
    int32_t second;       /* node of the prediction's shape, for losses with two predicted parameters; else -1 */
    int32_t reserved;     /* 0 */
    double weight;        /* finite, not negative */
    double parameter;
} ae_loss_desc;

typedef struct ae_term {
    ae_loss_desc desc;
    const ae_loss_ops *ops;
    int64_t width, multiplicity; /* of the prediction */
} ae_term;

/* How the k samples of a row become its loss. */
typedef enum ae_combine {
    AE_COMBINE_MEAN = 0,
    /* -log(mean over s of e^-t_s), t_s = sum over the terms of weight * loss of sample s (Burda et al. 2016, eq. 8); terms of
     * multiplicity 1 are added to all. */
    AE_COMBINE_LOG_MEAN_EXP,
    AE_COMBINE_COUNT
} ae_combine;

/* Checks term number i against the network and fills *out. */
ae_status ae_term_init(ae_context *context, const ae_net *net, int i, const ae_loss_desc *desc, ae_term *out);

/* Most samples of the terms; AE_ERR_VALUE where `combine` is not known, or joins samples and terms differ in number (1 and
 * one other are allowed). */
ae_status ae_terms_samples(ae_context *context, const ae_term *terms, int n, int combine, int64_t *samples);

/* What rows row0 .. row1 - 1 of the data have to say: operands and rows of the call, in rows of the prediction. scale is 1;
 * nothing is asked for yet. */
ae_loss_call ae_term_call(const ae_net *net, const ae_term *term, int64_t row0, int64_t row1);

#endif
