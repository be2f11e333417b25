/* Inference: blocks of rows through a range of nodes, each block in cache from the first layer to the last.
 *
 * What a row gets (code, reconstruction, loss) does not depend on which other rows are in the call. A call allocates
 * nothing. One thread at a time. */
#ifndef AE_NET_PREDICTOR_H
#define AE_NET_PREDICTOR_H

#include "base/pool.h"
#include "losses/loss.h"
#include "net/data.h"
#include "net/net.h"

typedef struct ae_predictor ae_predictor;

/* loss: position in the registry of the loss that ae_predict_call may ask for. */
ae_status ae_predictor_new(ae_context *context, ae_predictor **out, int bits, const ae_node_desc *nodes, int n_nodes, int loss,
                           double loss_parameter, int n_threads);
void ae_predictor_free(ae_predictor *predictor);
ae_net *ae_predictor_net(ae_predictor *predictor);

typedef enum ae_predict_what {
    AE_PREDICT_VALUES = 0, /* values of the last node: rows x width */
    AE_PREDICT_LINKED,     /* the same after the loss's link */
    AE_PREDICT_LOSS,       /* loss of each row against `target`: rows, always f64. Needs one row of prediction a sample */
    AE_PREDICT_TERMS       /* its terms by feature: rows x width */
} ae_predict_what;

typedef struct ae_predict_call {
    const ae_data *sources; /* by source number; where from_node >= 0 the first becomes that node's value, and inputs of the
                               others (conditions) take theirs as usual */
    int n_sources;
    int from_node; /* -1: from the inputs; else a node with one row a sample */
    int last_node;
    ae_predict_what what;
    int target_source; /* loss and terms: what the prediction is compared with */
    ae_dtype out_type; /* f32 or f64 */
    char *out;         /* row-major, contiguous: rows x multiplicity of the last node */
    bool sampling;     /* layers that sample draw (ae_block.sampling), after ae_net_seed of the predictor's net */
} ae_predict_call;

/* True ends the call with AE_ERR_INTERRUPTED; asked about every 50 ms. */
typedef bool (*ae_predict_stop)(void *argument);

ae_status ae_predictor_run(ae_context *context, ae_predictor *predictor, const ae_predict_call *call, ae_predict_stop stop,
                           void *stop_argument);

#endif
