/* The layer contract: what a node of the graph is, as the planner and the trainer see it.
 *
 * A layer is one file with one table of operations (ae_layer_ops) and one line in layers/registry.c. No layer knows another,
 * none allocates, none can fail once planned: `plan` states shapes, parameters and memory and may refuse; everything after
 * it is void and runs inside parallel phases.
 *
 * A training step is two kinds of phase. By rows: a block of rows of the minibatch goes forward through all nodes, through
 * the losses, and backward_data through all nodes in reverse; weights are read only. By weights: a tile of one parameter
 * gets its gradient over all rows (backward_weights), then its update, then its packs. All operations must give bits
 * that do not depend on how rows are cut into blocks or parameters into tiles. Layers that plan by_panels may be asked for
 * shares of forward and backward_data (ae_block.share) instead. A layer that couples rows (batch norm) cuts
 * the phase by rows before its forward and before its backward_data, and works there by parts over all rows.
 *
 * A node may use the parameters of an earlier one (ae_node_desc.shares). Layers do not notice: parameter and transposed
 * point to what the node calls its parameter and its transpose.
 *
 * Values are panel matrices (math/panel.h) of multiplicity * rows rows: multiplicity 1 for ordinary features, k for k
 * samples, T for time steps; row r of the minibatch owns rows r * multiplicity to (r + 1) * multiplicity - 1.
 * All void pointers point to reals of the variant's precision. */
#ifndef AE_LAYERS_LAYER_H
#define AE_LAYERS_LAYER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "base/status.h"
#include "base/stop.h"
#include "math/activation.h"
#include "math/bf16.h"
#include "math/pairs.h"
#include "math/panel.h"

#define AE_MAX_INPUTS 4
#define AE_MAX_PARAMETERS 4
#define AE_NAME_SIZE 40
#define AE_ROLE_SIZE 16

typedef enum ae_initializer {
    AE_INIT_AUTO = 0,   /* he for relu and leaky_relu, lecun for selu, glorot for the rest: on small tables the
                         smooth activations reach a lower held-out error from glorot's smaller weights */
    AE_INIT_GLOROT,     /* uniform, variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010, eq. 16) */
    AE_INIT_HE,         /* normal, variance 2 / fan_in (He et al. 2015, eq. 10) */
    AE_INIT_LECUN,      /* normal, variance 1 / fan_in (LeCun et al. 1998) */
    AE_INIT_ORTHOGONAL, /* orthonormal rows or columns (Saxe et al. 2014) */
    AE_INIT_SPARSE,     /* 15 inputs a unit, normal, variance 1; other weights zero (Martens 2010) */
    AE_INIT_ZERO,
    AE_INIT_COUNT,
    AE_INIT_ONE = AE_INIT_COUNT /* asked for by layers only: descriptions cannot name it */
} ae_initializer;

/* A node as it travels from Python: plain data, validated in C (net/net.h). Fields that a kind does not use are zero. */
typedef struct ae_node_desc {
    int32_t kind; /* position in the registry */
    int32_t n_inputs;
    int32_t inputs[AE_MAX_INPUTS]; /* earlier nodes */
    int64_t width;                 /* features out, where the layer does not derive it */
    int32_t activation;            /* ae_activation */
    int32_t initializer;           /* ae_initializer */
    int32_t source;                /* input: which of the bound data sets */
    int32_t group;                 /* of its parameters, 0 .. 31: stages name the groups they update */
    int32_t shares;                /* 1 + the earlier node whose parameters it uses; 0: none */
    int32_t shares_transposed;     /* 0: all of them, from a node of the same kind and shapes. 1: only the first, as its
                                      transpose (tied weights); the others are its own. AE_LAYER_BORROWS: any kind */
    int64_t multiplicity;          /* rows of a value for one row of data, where a layer sets them */
    int32_t size[8];               /* lengths and counts: of images, kernels, steps, prefixes; samples, components kept.
                                      dense: size[2] = 1 keeps the rows of its weight at norm one */
    double rate;                   /* dropout: probability of zero */
    double value[2];               /* batch_norm: momentum, epsilon; 0 means the default */
    char name[AE_NAME_SIZE];       /* unique, not empty, NUL-terminated: names its random streams and parameters */
} ae_node_desc;

typedef struct ae_shape {
    int64_t width;
    int64_t multiplicity;
} ae_shape;

/* What a step does to a parameter. Only what goes by the rule has a gradient and optimiser state and is subject to
 * clipping, decay and max-norm; the rest is kept, loaded and taken back with it. */
typedef enum ae_update {
    AE_UPDATE_RULE = 0, /* backward_weights gives its gradient, the update rule changes it */
    AE_UPDATE_ASSIGN,   /* backward_weights gives its new value (running statistics, averages), once a step of training. It
                           reads the old one; operations on other parameters must not. Forbids chunks */
    AE_UPDATE_NEVER     /* constant to training (thresholds, tables of positions) */
} ae_update;

/* What a parameter is held to after each update. */
typedef enum ae_constraint {
    AE_CONSTRAINT_NONE = 0,
    AE_CONSTRAINT_UNIT_ROWS /* rows of Euclidean norm one; the part of the gradient along a row is taken out before the rule
                               (Bricken et al. 2023). Not for L-BFGS; max_norm passes over it */
} ae_constraint;

/* A parameter that a layer asks for: a matrix (rows, columns) kept in panels, [panel][row][32]. */
typedef struct ae_parameter_request {
    const char *role; /* "weight", "bias": part of its name, at most AE_ROLE_SIZE - 1 bytes */
    int64_t rows, columns;
    int64_t fan_in, fan_out;
    ae_initializer initializer; /* not auto */
    bool decays;                /* subject to alpha and max-norm */
    bool wants_transpose;       /* backward_data reads the panels of the transpose */
    ae_update update;
} ae_parameter_request;

typedef struct ae_layer_plan {
    /* given */
    const ae_node_desc *desc;
    ae_shape in[AE_MAX_INPUTS];
    /* answered */
    ae_shape out;
    int n_parameters;
    ae_parameter_request parameter[AE_MAX_PARAMETERS];
    int64_t cache_width;    /* columns of a panel matrix, shaped like out, kept from forward to backward; 0: none */
    int64_t scratch_reals;  /* a worker's own memory during one call */
    int64_t coupling_reals; /* memory that is not by row, while training, for layers that couple rows */
    int64_t coupling_parts; /* independent parts, panels for instance, in which `couple` and `couple_backward` do their work */
    int64_t table_bytes;    /* constant memory that `prepare` fills: descriptors of products, offsets */
    /* Operations, to choose the number of threads: of forward for a row; for each pair of rows of a minibatch and once for it,
     * where backward follows (`couple` included). */
    double flops_per_row, flops_per_pair, flops_per_minibatch;
    ae_constraint constraint[AE_MAX_PARAMETERS]; /* of its own parameters, by slot */
    int64_t most_nonzero; /* the layer can give its value as pairs, at most so many a row; 0: it cannot */
    int parts; /* its products with its first parameter are of bfloat16 operands (math/bf16.h), in so many parts; 0: they are not */
    /* Has one input, and forward and backward_data can be done in shares (ae_block.share), where nothing goes by pairs. */
    bool by_panels;
    bool forgets_value; /* neither backward_data nor backward_weights reads out.data */
    bool by_slices;     /* backward_weights can begin at any row (ae_tile.first), where nothing goes by pairs */
    /* Where its value goes by pairs it can take its one input by groups of panels, as shares that it reads, and need not see the whole
     * of it: reals by row of its value that it keeps from one group to the next (ae_binding.between). 0: it cannot. */
    int64_t between_reals;
} ae_layer_plan;

typedef struct ae_value {
    void *data;
    void *gradient; /* like data; NULL where no gradient is wanted */
    ae_shape shape;
    int64_t stride; /* reals from one panel to the next, in data, gradient and cache */
    /* Or NULL. `gradient` is then that of the pairs, where one is wanted, and `data` NULL unless somebody reads it beside them. */
    const ae_pairs *pairs;
    /* Whose gradients are all that flows into this value; `gradient` is then theirs. Or NULL. */
    const ae_pairs *gradient_pairs;
    int64_t group; /* 0; or so many panels have memory in `data`, panel q at q % group of them: see ae_node.by_groups */
} ae_value;

/* Where panel q of the data begins, in reals. */
static inline int64_t ae_panel_at(const ae_value *value, int64_t q) {
    return (value->group ? q % value->group : q) * value->stride;
}

/* What products of bfloat16 operands read (math/bf16.h), for layers that planned parts: the parameter, kept by the net, and the
 * node's input and the gradient of its value, which the layer writes.
 *
 * By rows, for sums over columns: number (row, column) at step * (panel % at_once) + 32 * row + column within its panel. For sums over rows, a
 * block for each panel p and each 32 rows g: as the factor on the right at (p * blocks + g) * AE_BF16_BLOCK, by pairs; as
 * the factor on the left at g * across_step + p * AE_BF16_BLOCK, turned. delta_totals: its columns summed over each 32 rows g, at
 * (p * blocks + g) * 32.
 *
 * Where ae_net_reuse_memory was asked for, what is by rows holds from the layer's writing it to the end of the call, and out.gradient to
 * the end of backward_data; then other layers write there. So backward_weights of a layer in parts reads sums and totals alone. */
typedef struct ae_operands {
    ae_parts weight, transposed;  /* [panel][block], by pairs */
    ae_parts in, delta;           /* by rows */
    ae_parts in_sums, delta_sums; /* for sums over rows; one of them is the factor on the left */
    void *delta_totals;           /* reals */
    int64_t step, blocks;         /* of the node's values; step in numbers */
    int64_t at_once;              /* panels by rows that have room; all of them where shares are asked for */
    bool delta_on_left;           /* the parameter is the transpose of another node's: delta is, else the input */
    int parts;                    /* 0: there is nothing here */
} ae_operands;

/* A node bound to memory; the same for all blocks and tiles. */
typedef struct ae_binding {
    const ae_node_desc *desc;
    ae_value in[AE_MAX_INPUTS], out;
    bool accumulate[AE_MAX_INPUTS]; /* backward_data adds to in[i].gradient, because a later consumer has written it */
    void *parameter[AE_MAX_PARAMETERS];
    int64_t parameter_rows[AE_MAX_PARAMETERS];
    void *transposed[AE_MAX_PARAMETERS]; /* panels of the transpose, or NULL */
    void *cache;
    void *between;  /* [row][plan.between_reals]; NULL where the input does not come by groups */
    void *coupling; /* NULL where nothing is trained */
    void *table;
    ae_operands operands;
    ae_key key;         /* the node's stream of ops->stream */
    ae_key scoring_key; /* for draws where `sampling`: by sample and column, never by row, so that each row has the same */
} ae_binding;

/* What of forward or backward_data a call does: all of it for its rows; or what the layer makes of panels panel0 .. panel1 - 1
 * of what it reads (its input; in backward_data the gradient of its value); or, when that is done for all panels of
 * these rows, the panels panel0 .. panel1 - 1 of what it writes (its value; the gradient of its input). */
typedef enum ae_share { AE_SHARE_ALL = 0, AE_SHARE_READ, AE_SHARE_WRITTEN } ae_share;

/* A block of rows of the minibatch. */
typedef struct ae_block {
    int64_t row0, row1;
    uint64_t step;     /* counter of the random streams */
    int64_t first_row; /* position of row 0 in the minibatch (a minibatch may pass in chunks): draws are by first_row + row */
    bool training;     /* stochastic layers act */
    bool keep;         /* backward follows: caches are filled, and `couple` has been called */
    bool sampling;     /* scoring by samples: layers that sample draw from scoring_key; the others rest */
    void *scratch;
    ae_share share; /* other than all only for layers that plan by_panels, or take groups (between_reals) */
    int64_t panel0, panel1;
} ae_block;

/* A tile of one parameter: rows row0 .. row1 - 1 of one panel. row0 is a multiple of 32. Its gradient is over rows of the
 * values from `first` on, which is zero but for layers that plan by_slices. */
typedef struct ae_tile {
    int parameter;   /* slot of the layer */
    bool transposed; /* the tile is one of the transpose of what the layer calls the parameter: rows are its columns */
    int64_t panel, row0, row1;
    int64_t first;
} ae_tile;

enum {
    AE_LAYER_STOCHASTIC = 1,   /* draws from its key when training */
    AE_LAYER_COUPLES_ROWS = 2, /* needs all rows of the minibatch at once: no chunks */
    AE_LAYER_SOURCE = 4,       /* has no inputs: filled from bound data */
    AE_LAYER_TRANSPOSES = 8,   /* its first parameter may be the transpose of another node's: knows ae_tile.transposed */
    AE_LAYER_STOPS = 16,       /* passes no gradient on, neither to its inputs nor to parameters that it borrows */
    AE_LAYER_BORROWS = 32,     /* must share: its parameters are the first ones of a node of any kind (penalties of weights) */
    AE_LAYER_TRAINING_ONLY = 64, /* what a row gets depends on its position in the minibatch: not for predictors */
    AE_LAYER_READS_PAIRS = 128   /* reads its input as pairs where it has them, and takes the gradient of its value so */
};

typedef struct ae_layer_ops {
    const char *name;
    int min_inputs, max_inputs;
    unsigned flags;
    ae_stream stream; /* of draws when training; 0: corruption */
    ae_status (*plan)(ae_context *context, ae_layer_plan *plan);
    void (*prepare)(const ae_binding *binding); /* fills binding->table; NULL where table_bytes is 0 */
    void (*forward)(const ae_binding *binding, const ae_block *block);
    /* out.gradient may be overwritten (a dense layer leaves the gradient before its activation there; not in parts, see ae_operands). */
    void (*backward_data)(const ae_binding *binding, const ae_block *block);
    /* gradient: (row1 - row0, 32) over `rows` rows of the values from tile->first on; NULL op: no parameters. Of an assigned parameter: its
     * new value. */
    void (*backward_weights)(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate, void *gradient);
    /* For layers that couple rows, NULL elsewhere: one part of what all rows of the minibatch have to say, into
     * binding->coupling. `couple` runs before the forward of any row, when the inputs of all are complete; couple_backward before the
     * backward_data of any row, when out.gradient is complete. rows as in backward_weights. Only where backward follows: in
     * evaluation and inference `forward` finds block->keep false and manages without. */
    void (*couple)(const ae_binding *binding, int64_t rows, int64_t part, bool training);
    void (*couple_backward)(const ae_binding *binding, int64_t rows, int64_t part, bool training);
} ae_layer_ops;

/* AE_PLAN(dense) { ... } defines the operation `plan` of a layer, AE_PLANNED(dense) is its name. Instruction sets do not
 * matter to it: the library has it once per precision, from plain C, and the compiler drops it from the other variants. */
#define AE_PLANNED(layer) AE_P(ae_plan_##layer)
#if defined(AE_TARGET_REF)
#define AE_PLAN(layer)                                                       \
    ae_status AE_PLANNED(layer)(ae_context * context, ae_layer_plan * plan); \
    ae_status AE_PLANNED(layer)(ae_context * context, ae_layer_plan * plan)
#else
#define AE_PLAN(layer)                                                       \
    ae_status AE_PLANNED(layer)(ae_context * context, ae_layer_plan * plan); \
    static ae_status layer##_plan_of_ref(ae_context *context, ae_layer_plan *plan)
#endif

/* By position, NULL beyond the last. */
const ae_layer_ops *ae_layer_get(int bits, ae_isa isa, int index);
int ae_layer_find(const char *name);

/* Glorot, He, ...: the concrete initializer that `auto` means for an activation. */
ae_initializer ae_initializer_resolve(ae_initializer initializer, ae_activation activation);
const char *ae_initializer_name(ae_initializer initializer);
int ae_initializer_find(const char *name);

/* Fills a parameter in panels from its stream. Element (row, column) depends on the key and its position only (orthogonal:
 * on the key and the shape). Needs memory for `orthogonal`. asking (or NULL) may end it with
 * AE_ERR_INTERRUPTED. */
ae_status ae_initialize(ae_context *context, int bits, ae_isa isa, const ae_parameter_request *request, ae_key key,
                        ae_asking *asking, void *panels);

#endif
