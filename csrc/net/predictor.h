/* Inference: blocks of rows through a range of nodes, each block in cache from the first layer to the last.
 *
 * What a row gets (code, reconstruction, loss) does not depend on which other rows are in the call. A call allocates
 * nothing. One thread at a time. */
#ifndef AE_NET_PREDICTOR_H
#define AE_NET_PREDICTOR_H

#include "base/pool.h"
#include "net/data.h"
#include "net/net.h"
#include "net/terms.h"

typedef struct ae_predictor ae_predictor;

/* losses: the terms that ae_predict_call may ask for, 0 .. AE_MAX_LOSSES. Their predictions, targets, factors and second nodes
 * are nodes; a target that the network does not read is an input node with a source of its own. */
ae_status ae_predictor_new(ae_context *context, ae_predictor **out, int bits, const ae_node_desc *nodes, int n_nodes,
                           const ae_loss_desc *losses, int n_losses, int n_threads);
void ae_predictor_free(ae_predictor *predictor);
/* Columns of the terms of all losses together. */
int64_t ae_predictor_term_width(const ae_predictor *predictor);
ae_net *ae_predictor_net(ae_predictor *predictor);

typedef enum ae_predict_what {
    AE_PREDICT_VALUES = 0, /* values of the last node: rows x width */
    AE_PREDICT_LINKED,     /* the same after the link of the first loss that predicts that node (none: as they are) */
    AE_PREDICT_LOSS,       /* of each row the sum over the losses of weight * loss, always f64: rows */
    AE_PREDICT_TERMS,      /* the terms by feature, times their entry weights, mean over samples, without the weights of the
                              losses: rows x widths, those of each loss behind those of the one before */
    AE_PREDICT_NLL         /* of each row the sum over the losses of weight * negative log-likelihood in nats, summed over
                              features with all constants, always f64: rows. A loss that is no likelihood counts with the sum
                              of its terms */
} ae_predict_what;

typedef struct ae_predict_call {
    const ae_data *sources; /* by source number; where from_node >= 0 the first becomes that node's value, and inputs of the
                               others (conditions) take theirs as usual */
    int n_sources;
    int from_node; /* -1: from the inputs; else a node with one row a sample */
    int last_node; /* of values; losses, terms and likelihoods evaluate what they need */
    ae_predict_what what;
    int combine;       /* loss and NLL: ae_combine, of the samples of a row */
    ae_dtype out_type; /* f32 or f64 */
    char *out;         /* row-major, contiguous: rows x multiplicity of the last node */
    bool sampling;     /* layers that sample draw (ae_block.sampling), after ae_net_seed of the predictor's net */
    bool finite;       /* a value of the first source that is not finite (as a real of the network) ends the call with
                          AE_ERR_VALUE; of what is written by then nothing counts. Dense sources only */
    bool allow_nan;    /* with `finite`: NaN passes */
} ae_predict_call;

/* True ends the call with AE_ERR_INTERRUPTED; asked about every 50 ms. */
typedef bool (*ae_predict_stop)(void *argument);

ae_status ae_predictor_run(ae_context *context, ae_predictor *predictor, const ae_predict_call *call, ae_predict_stop stop,
                           void *stop_argument);

#endif
