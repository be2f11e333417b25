/* What the files of this floor share and nobody else sees. */
#ifndef AE_TRAIN_INTERNAL_H
#define AE_TRAIN_INTERNAL_H

#include "optim/lbfgs.h"
#include "train/trainer.h"

#define AE_LOSS_LANES 8

typedef struct tile_task {
    int parameter;
    int worker;     /* whose panels it belongs to, where products go by panels; else 0 */
    int64_t number; /* in the order of sums over tiles, which is the same for all workers */
    ae_tile tile;   /* of the parameter as it lies; each use puts in its slot and flag */
} tile_task;

typedef struct stage {
    ae_stage_desc desc;
    const ae_rule_ops *rule;
    tile_task *tiles;
    int64_t n_tiles;    /* that go by the rule */
    int64_t n_assigned; /* behind them: whose new value the layer gives */
    int64_t n_unit;     /* behind them: blocks of rows, over all panels, of parameters whose rows have norm one */
    bool couples;       /* a layer of its nodes couples rows */
    bool by_panels;     /* its products go by panels (train/rows.c) */
    int64_t slice;      /* rows of a minibatch whose gradient is summed by itself (train/slices.c); 0: all of them */
    bool *seeded;       /* by node */
    int64_t samples;    /* most rows of its predictions for one of the data */
    bool joins;         /* its samples are joined by log-mean-exp */
    bool *adds;         /* by loss of the stage, prediction and second: an earlier one has written that gradient */
    double *lanes;     /* [loss of the stage][AE_LOSS_LANES], by position in the pass modulo the lanes; behind them those of the
                           joined loss */
    bool reads_across; /* a node or a target of its losses is a value of an earlier stage */
} stage;

typedef struct slot {
    ae_data sources[AE_MAX_SOURCES];
    int n_sources;
    int64_t rows;
    const double *row_weight;
    double weight_scale; /* makes the mean weight of the rows trained on one */
} slot;

/* Which rows of which slot a pass visits: position i of the pass is row split(first + shuffle(i)). */
typedef struct pass {
    const slot *data;
    ae_permutation shuffle, split;
    int64_t first, count;
    bool training;       /* corruption, dropout */
    uint64_t step;       /* of the random streams */
    double weight_scale; /* makes the mean row weight of the pass one */
} pass;

typedef struct ae_profile ae_profile;
typedef struct ae_kfac ae_kfac;

struct ae_trainer {
    ae_net *net;
    const ae_kernels *kernels, *exact; /* of the precision; of doubles */
    ae_train_options options;
    ae_pool *pool;
    ae_term *losses;
    int n_losses;
    stage stages[AE_MAX_STAGES];
    int n_stages;
    int *changed_by; /* by parameter: 1 + the last stage that changes it; 0: none */
    slot slots[2];
    int64_t first, count; /* the subset trained on */
    bool split;
    int64_t chunk;
    bool whole_only; /* a layer needs all rows of a minibatch at once: no chunks */
    int n_state;
    bool rounds_state; /* options.state_bits == 16 */
    bool state_is_far; /* parameters, their transposes and state are more than the workers' caches of the second level hold */
    ae_key rounding_key;
    ae_lbfgs *lbfgs;
    bool lbfgs_started;
    ae_kfac *kfac; /* train/kfac.h, or NULL */

    ae_arena memory;
    char *gradient; /* region shaped like the parameters, or NULL where tiles keep their gradient to themselves */
    char *state[AE_RULE_MAX_STATE];
    char *last, *best;   /* snapshots: parameters, then state; parameters */
    char *slices;        /* gradients by slice of the minibatch, regions one after the other, or NULL */
    char *further;       /* gradients of second and later uses of parameters, where `gradient` is kept */
    char *tile_scratch;  /* a tile for each worker, two where parameters are shared */
    size_t tile_bytes;   /* of a worker */
    int64_t samples;     /* most rows that a prediction has for one of the data */
    double *row_loss;    /* [loss][chunk], behind them that of joined samples */
    double *sample;      /* three times [chunk][samples]: loss of a term, sum of the terms, share in the mean of the
                           exponentials. NULL where no term has samples */
    double *term_sum;    /* by loss, over the epoch in progress */
    double *term_loss;   /* by loss, of the last complete one */
    double *row_weight;  /* [chunk] */
    uint64_t *row_index; /* [chunk]: which row of the data */
    double *tile_sum;    /* squares of the gradient by tile, for the global norm */
    int bound_stage;     /* whose backward range the net is bound to, or -1 */

    int64_t step, epoch, last_step, last_epoch;
    double rate_scale, last_rate;
    double last_objective;    /* L-BFGS: loss and penalties at the iterate */
    bool committed, has_best; /* `last` and `best` hold something */
    double asked;             /* clock of the last question to `stop` */
    ae_asking asking;         /* outside of epochs and evaluations */
    ae_profile *profile;      /* NULL: none is taken (train/laps.h) */
};

/* Rows of a tile: small enough that parameter, gradient, two states and transpose of 32 columns stay in the second level
 * of cache, and fixed, because the global norm is summed by tile. */
#define AE_TILE_ROWS 192
#define AE_UNIT_ROWS 32 /* of a block of rows that are kept at norm one: whole tiles of the transpose */

typedef struct update {
    ae_rule_step decaying, plain; /* for parameters that decay, and that do not */
} update;

/* Forward (and backward where `gradients`) over rows from .. from + rows - 1 of a pass, in chunks no larger than the plan,
 * for one stage. Adds to the stage's lanes. Gradients accumulate over the chunks when they do not
 * fit one; the last chunk ends with `update` where given. AE_ERR_NONFINITE before any parameter changed. */
ae_status train_run(ae_context *context, ae_trainer *trainer, int stage_index, const pass *p, int64_t from, int64_t rows,
                    bool gradients, const update *how, ae_stop stop, void *stop_argument);

/* Rows of a pass that go at once. */
typedef struct chunk {
    int64_t from, rows;
    int64_t first_row; /* position in the minibatch */
    double denominator;
    bool gradients;
    bool slices; /* by slices of the minibatch */
} chunk;

/* Their way forward, through the losses of a stage, which it adds to the lanes, and back where they want gradients. False
 * where a loss is not finite. */
bool train_by_rows(const ae_trainer *trainer, const stage *s, const pass *p, const chunk *c, int workers);

/* Threads for a phase of so many operations. */
int train_workers(const ae_trainer *trainer, double flops);

/* train/slices.c. Rows of a slice of a stage's minibatches, 0 where their gradient is one sum; how many there are at most. Only steps
 * have slices: other gradients may be of more rows. */
int64_t train_slice_rows(const ae_trainer *trainer, const stage *s);
int64_t train_slices(const ae_trainer *trainer, const stage *s);
/* Adds rows row0 .. row1 - 1 of a chunk, all of one slice, to the slice's gradient of a tile. */
void train_add_to_slice(const ae_trainer *trainer, const stage *s, const chunk *c, const tile_task *task, int64_t row0,
                        int64_t row1);
/* The gradient of a tile over a minibatch of so many rows: the sum of its slices in order. */
void train_join_slices(const ae_trainer *trainer, const stage *s, int64_t rows, const tile_task *task, char *gradient);
/* A tile in a region shaped like the parameters. */
char *train_at_tile(const ae_trainer *trainer, char *region, const tile_task *task);

/* Lanes of a stage at zero. */
void train_clear_lanes(const ae_trainer *trainer, int stage_index);
/* Adds what the lanes hold of each term to the epoch's sums. */
void train_add_terms(ae_trainer *trainer, int stage_index);

/* Gives the parameters that a stage assigns their new values, from a minibatch of `rows` rows that has gone through train_run
 * (which does it itself where it updates). */
void train_assign(const ae_trainer *trainer, int stage_index, int64_t rows);

/* The stage's loss from its lanes: terms by weight, lanes as a tree, divided by count. */
double train_loss(const ae_trainer *trainer, int stage_index, double count);

ae_status train_ask(ae_context *context, ae_trainer *trainer, ae_stop stop, void *stop_argument);

/* Bytes of one array of the rule's state, shaped like the parameters. */
size_t train_state_bytes(const ae_trainer *trainer);

bool train_weights_are_finite(const ae_trainer *trainer);
/* Makes weights, optimiser state and position what train_roll_back returns to. */
void train_keep_last(ae_trainer *trainer);
void train_roll_back(ae_trainer *trainer);

/* Sets the pass's weight_scale; AE_ERR_VALUE where its rows have no weight. */
ae_status train_weigh(ae_context *context, pass *p);

pass train_pass(const ae_trainer *trainer, int slot, int64_t first, int64_t count, bool split);

#endif
