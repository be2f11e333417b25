/* Training: an objective as a program of stages over a network, one resumable epoch at a time.
 *
 * A trainer owns the network, the optimiser's state, the snapshots and the pool of one fit. Everything is allocated by
 * ae_trainer_new and ae_trainer_bind; an epoch allocates nothing. One thread at a time.
 *
 * The bits of the result depend on descriptions, data, seed and options, but not on n_threads, the instruction set, or how
 * a minibatch is cut into chunks and blocks. */
#ifndef AE_TRAIN_TRAINER_H
#define AE_TRAIN_TRAINER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "losses/loss.h"
#include "net/net.h"
#include "net/terms.h"
#include "optim/lbfgs.h"
#include "optim/rule.h"
#include "optim/schedule.h"
#include "net/data.h"

#define AE_MAX_SOURCES 4
#define AE_MAX_STAGES 8
#define AE_LBFGS (-1)
#define AE_KFAC (-2)

/* One stage of a step: nodes first .. last run forward, losses seed, gradients flow back to parameters of the groups in
 * the mask, which are then updated. Values of nodes outside the range are those of earlier stages of the same step; a
 * program with a stage that reads such values does not cut its minibatches into chunks.
 *
 * Ranges of stages may overlap. A node of several is run by each of them anew, with the weights as they are by then and with draws of
 * the stage's own; who reads it from outside finds what the last one before has left. A loss of several stages counts in each.
 * A parameter may be trained by several stages, by one rule, with one state; only one stage may assign it (layers/layer.h). */
typedef struct ae_stage_desc {
    int32_t first_node, last_node;
    int32_t first_loss, n_losses;
    uint32_t groups;
    int32_t rule; /* position in the registry, or one of the solvers that need a single stage, no l1, max_norm and clipping:
                           AE_LBFGS over the full batch, one iteration an epoch; AE_KFAC (train/kfac.h) by minibatches */
    double rate_factor; /* of the schedule's rate; > 0 */
    int32_t combine;    /* ae_combine: how the samples of a row become its loss */
    int32_t reserved;   /* 0 */
} ae_stage_desc;

/* Whether products of a step go by panels, where layers allow it (train/rows.c). */
typedef enum ae_by_panels { AE_BY_PANELS_CHOSEN = 0, AE_BY_PANELS_ALWAYS, AE_BY_PANELS_NEVER } ae_by_panels;

typedef struct ae_train_options {
    int bits;
    int n_threads;
    int64_t batch_size;     /* >= 1 */
    bool keep_best;         /* room for ae_trainer_keep_best */
    int64_t chunk_rows;     /* rows of a minibatch that pass at once; 0: chosen by memory. Does not change the bits */
    ae_by_panels by_panels; /* chosen: by size. Does not change the bits; stages by slices (train/slices.c) never go so */
    uint64_t seed;
    bool shuffle;
    ae_rule_options rule_options;
    int32_t
        state_bits; /* of a number of the rule's state: 0, as the parameters, or 16, bfloat16 rounded at random (math/random.h); with
                           32-bit parameters and rules only */
    ae_schedule schedule;
    double l1, l2;                /* of parameters that decay; see ae_rule_step */
    double max_norm;              /* of the incoming weights of a unit, after each update; infinity: none */
    double clip_value, clip_norm; /* of gradients; infinity: none */
    int32_t lbfgs_memory, lbfgs_max_evaluations;
    double lbfgs_gtol;
} ae_train_options;

typedef struct ae_trainer ae_trainer;

/* Asked about every 50 ms from the thread that runs the epoch; true ends the epoch with AE_ERR_INTERRUPTED. */
typedef bool (*ae_stop)(void *argument);

ae_status ae_trainer_new(ae_context *context, ae_trainer **out, const ae_node_desc *nodes, int n_nodes,
                         const ae_loss_desc *losses, int n_losses, const ae_stage_desc *stages, int n_stages,
                         const ae_train_options *options);
void ae_trainer_free(ae_trainer *trainer);

ae_net *ae_trainer_net(ae_trainer *trainer);

/* Binds data to a source number (the `source` of input nodes); all sources have the same number of rows. row_weight: one
 * finite nonnegative number a row, or NULL; their mean over the subset trained on is scaled to one. The arrays must
 * outlive the trainer or the next bind. slot 0: training data, slot 1: validation data. */
ae_status ae_trainer_bind(ae_context *context, ae_trainer *trainer, int slot, const ae_data *sources, int n_sources,
                          const double *row_weight);

/* Trains on positions first .. first + count - 1 of the rows of slot 0 (after bind: all), in a permuted order drawn from
 * the split stream where `split`, so that the rest can be held out. */
ae_status ae_trainer_subset(ae_context *context, ae_trainer *trainer, int64_t first, int64_t count, bool split);

/* Who is asked about every 50 ms by initialize and moments; NULL, as at first: nobody. Holds until it is set again. */
void ae_trainer_ask(ae_trainer *trainer, ae_stop stop, void *stop_argument);

/* Draws all parameters from the fit's seed. On failure or AE_ERR_INTERRUPTED they are as they were last committed, where they
 * were. */
ae_status ae_trainer_initialize(ae_context *context, ae_trainer *trainer);

/* Features of the input node that takes a source; 0 where there is none. */
int64_t ae_trainer_source_width(const ae_trainer *trainer, int source);

/* Weighted mean and variance of each column of an input node's source over the training subset, in double. Entries that are NaN
 * are missing: a column has the numbers of those that are there, and zeros where none is. */
ae_status ae_trainer_moments(ae_context *context, ae_trainer *trainer, int source, double *mean, double *variance);

typedef struct ae_epoch_result {
    double loss;    /* mean over the epoch's rows of the data terms, penalties left out; L-BFGS: at the new iterate */
    double rate;    /* last learning rate */
    int64_t steps;  /* done so far, over all epochs */
    bool converged; /* L-BFGS cannot improve */
} ae_epoch_result;

/* One pass over the subset (L-BFGS: one iteration). On AE_ERR_INTERRUPTED and AE_ERR_NONFINITE weights and optimiser
 * are those of the end of the last complete epoch (or of the start). An epoch that would end with a weight that is not
 * finite is AE_ERR_NONFINITE too. */
ae_status ae_trainer_epoch(ae_context *context, ae_trainer *trainer, ae_stop stop, void *stop_argument,
                           ae_epoch_result *result);

/* Mean loss over positions first .. first + count - 1 (of the split permutation where `split`) of a slot, without corruption,
 * dropout or penalties. */
ae_status ae_trainer_evaluate(ae_context *context, ae_trainer *trainer, int slot, int64_t first, int64_t count, bool split,
                              ae_stop stop, void *stop_argument, double *loss);

/* Changes the weight of a term (annealing between epochs). L-BFGS starts afresh: its function is another. */
ae_status ae_trainer_set_loss_weight(ae_context *context, ae_trainer *trainer, int index, double weight);
int ae_trainer_n_losses(const ae_trainer *trainer);
/* Mean of each term over the rows of the last complete epoch, not weighted by the term's weight (L-BFGS: at the new iterate);
 * not a number before one and for terms of no stage. losses: one a term. */
void ae_trainer_term_losses(const ae_trainer *trainer, double *losses);

/* Factor on top of the schedule (reduce on plateau). */
void ae_trainer_scale_rate(ae_trainer *trainer, double factor);
/* Counts of steps and epochs done: streams and schedule go on from there, also after an interruption. */
void ae_trainer_position(const ae_trainer *trainer, int64_t *step, int64_t *epoch);
void ae_trainer_seek(ae_trainer *trainer, int64_t step, int64_t epoch);

/* Keeps the present weights as the best so far, and brings them back (nothing happens where none were kept). */
void ae_trainer_keep_best(ae_trainer *trainer);
void ae_trainer_restore_best(ae_trainer *trainer);
/* Makes the present weights and optimiser state what an interruption returns to (after set_parameter); L-BFGS starts
 * afresh from them. */
void ae_trainer_commit(ae_trainer *trainer);

/* Optimiser state: number of arrays a parameter has; one of them, (rows, columns) reals, out and in. What is set is rounded to the
 * nearest number of the state's precision. */
int ae_trainer_n_state(const ae_trainer *trainer);
void ae_trainer_get_state(const ae_trainer *trainer, int which, int parameter, void *row_major);
void ae_trainer_set_state(ae_trainer *trainer, int which, int parameter, const void *row_major);

/* What a trainer knows between two epochs, for checkpoints: regions of memory, listed in a fixed order, and numbers. Another trainer
 * of the same descriptions, options and data goes on from it as this one would, to the bit. The regions belong to the trainer;
 * parameters and state lie in them as within the core (panels; words of two bfloat16 numbers, math/random.h). */
typedef struct ae_trainer_part {
    const char *name;
    char *data;
    size_t count, size; /* reals, and bytes of one */
} ae_trainer_part;
#define AE_TRAINER_PARTS (AE_RULE_MAX_STATE + 6)
#define AE_TRAINER_NUMBERS (9 + AE_LBFGS_NUMBERS)

/* Lists the regions; their number. parts: room for AE_TRAINER_PARTS. */
int ae_trainer_parts(ae_trainer *trainer, ae_trainer_part *parts);
/* numbers: AE_TRAINER_NUMBERS. */
void ae_trainer_numbers(const ae_trainer *trainer, double *numbers);
/* data: one for each part, as large as that. AE_ERR_VALUE, and nothing has changed, where the numbers cannot be. After bind and
 * subset, which forget what L-BFGS knows. */
ae_status ae_trainer_restore(ae_context *context, ae_trainer *trainer, const void *const *data, const double *numbers);

/* For tests: gradient of a stage over the subset in order, without update, into a region shaped like the parameters (only
 * those of the stage are written), and the stage's data loss. Not for a stage that reads values of another. training: corruption and dropout act, with the draws of
 * step 0 each time. */
ae_status ae_trainer_gradient(ae_context *context, ae_trainer *trainer, int stage, bool training, double *loss,
                              const void **gradient);

#endif
