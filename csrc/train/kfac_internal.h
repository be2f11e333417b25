/* What the files of K-FAC share and nobody else sees: kfac_memory.c makes and takes apart, kfac_curvature.c learns the factors and
 * inverts them, kfac.c steps. */
#ifndef AE_TRAIN_KFAC_INTERNAL_H
#define AE_TRAIN_KFAC_INTERNAL_H

#include "train/kfac.h"

#define ROWS_OF_TASK 192 /* of the products between inverses: those of a thousand columns stay in the second-level cache */

enum { INPUTS, UNITS };
enum { DD, DP, PP, GD, GP, WD, WP, DOTS };

/* One factor of a layer's curvature. */
typedef struct kfac_factor {
    int64_t n, size; /* rows; padded to panels */
    char *average;   /* panels, [panel][size][32]; only tiles at and below the diagonal */
    char *inverse;   /* of the damped average; whole */
    ae_parts parts;  /* of it where products are by parts: of the inputs by rows, of the units by pairs */
    /* What the average learns from, where products are by parts: [32 rows][panel], turned, an odd number of blocks for each 32
     * rows; and [panel][32 rows] by pairs. */
    ae_parts turned, pairs;
    bool failed;
} kfac_factor;

typedef struct kfac_layer {
    const ae_node *node;
    int weight, bias;                    /* parameters; bias -1: none */
    int64_t inputs, units, rows, panels; /* rows: inputs, and one for the bias */
    kfac_factor factor[2];
    /* (rows, units) in panels: gradient (where products are of floats), product with one inverse (scratch), direction, last step. */
    char *gradient, *product, *direction, *last;
    ae_parts gradient_parts, product_parts; /* by rows; by pairs */
    ae_parts direction_parts, last_parts;   /* of the weight alone, by pairs */
} kfac_layer;

typedef struct kfac_task {
    int layer, side;
    int64_t panel, row0, row1;
} kfac_task;

struct ae_kfac {
    ae_arena memory;
    kfac_layer *layers;
    int n_layers;
    int *by_size; /* [2 * n_layers]: 2 * layer + side of each factor, the largest first */
    kfac_task *factor_tasks, *product_tasks, *panel_tasks; /* tiles of averages; blocks of rows by panel; panels */
    kfac_task *side_tasks;                                 /* panels of what averages learn from */
    int64_t n_factor_tasks, n_product_tasks, n_panel_tasks, n_side_tasks;
    double *dots;          /* [panel task][DOTS] */
    char *roots, *along;   /* [panel][sampled][32]: roots of the loss's curvature; derivatives along the direction */
    char *normal;          /* [worker][width]: draws of a row */
    char *tiles, *scratch; /* by worker: a tile of an average or of a gradient, memory of inversion */
    char *weighted;        /* likewise: a panel of inputs by the rows' weights */
    size_t tile_bytes, scratch_bytes, normal_bytes, weighted_bytes;
    int64_t sampled; /* most rows of the factors and the quadratic model */
    char *state;
    size_t state_reals, real_size;
    int parts;      /* of the factors of products with inverses: as the network's own have; 0: floats */
    bool packed;    /* inverses and last steps are in parts as they are */
    double damping; /* 0: not chosen yet */
    int64_t steps;
};

/* Rows of a minibatch for the factors: a quarter, at least 256. Those of the quadratic model are no more. */
static inline int64_t kfac_sampled(int64_t rows) {
    const int64_t quarter = rows / 4 > 256 ? rows / 4 : 256;
    return quarter < rows ? quarter : rows;
}

/* Numbers in parts of 32 rows of what a factor learns from. */
static inline int64_t turned_step(const kfac_factor *a) { return (a->size / AE_PANEL | 1) * AE_BF16_BLOCK; }

static inline int64_t padded(int64_t n) { return ae_panels(n) * AE_PANEL; }

static inline char *at(const ae_trainer *t, const char *base, int64_t reals) {
    return (char *)base + (size_t)reals * t->net->real_size;
}

/* A step on its way. */
typedef struct kfac_phase {
    const ae_trainer *t;
    ae_kfac *k;
    const pass *pass;
    int workers;
    int64_t rows;      /* of the minibatch */
    int64_t s;         /* of them, those that factors are taken of */
    int64_t model;     /* and those of the quadratic model, no more */
    int64_t rooted;    /* those whose roots this step needs */
    double weight;     /* sum of the weights of the s rows */
    int first_inverse; /* of those that run now, in k->by_size */
    double kept;       /* of the averages */
    double root;       /* of the damping, for both factors */
    double l2;
    int layer;        /* whose derivatives along a change are next */
    bool last;        /* the change is the last step, else the direction */
    bool along_last;  /* both are wanted */
    bool looks_ahead; /* the step may be taken back */
    double a, b;      /* the step: a * direction + b * last */
    double share;     /* that a shortening leaves of it */
} kfac_phase;

#define ROWS_OF_BLOCK 64 /* of the roots, of the way back from draws, and of derivatives along steps of narrow layers */

static const ae_parts kfac_nothing = {{NULL, NULL}};

static inline void kfac_run(const kfac_phase *f, ae_task function, int64_t n) {
    ae_pool_run(f->t->pool, function, (void *)f, n, f->workers);
}

static inline int64_t kfac_blocks(int64_t rows) { return (rows + ROWS_OF_BLOCK - 1) / ROWS_OF_BLOCK; }

/* Roots of the loss's curvature, factors, damping and inverses as the step needs them. Without any curvature the damping stays 0. */
ae_status kfac_learn_curvature(ae_context *context, ae_trainer *t, kfac_phase *f, ae_stop stop, void *stop_argument);
/* The mean of a weight's, by the factors. */
double kfac_mean_curvature(const ae_trainer *t, const ae_kfac *k);

/* Rows of a panel in parts, in either layout or both. */
void kfac_pack_rows(const kfac_phase *f, int64_t rows, const char *from, ae_parts by_rows, ae_parts pairs);
/* Rows row0 .. row1 - 1 of a panel of a change of the weight, by pairs; the row of the bias stays out. */
void kfac_pack_change(const kfac_phase *f, const kfac_layer *l, int64_t panel, int64_t row0, int64_t row1, const char *change,
                      ae_parts pairs);

#endif
