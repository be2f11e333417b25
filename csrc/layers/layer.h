/* The layer contract: what a node of the graph is, as the planner and the trainer see it.
 *
 * A layer is one file with one table of operations (ae_layer_ops) and one line in layers/registry.c. No layer knows another,
 * none allocates, none can fail once planned: `plan` states shapes, parameters and memory and may refuse; everything after
 * it is void and runs inside parallel phases.
 *
 * A training step is two kinds of phase. By rows: a block of rows of the minibatch goes forward through all nodes, through
 * the losses, and backward_data through all nodes in reverse; weights are read only. By weights: a tile of one parameter
 * gets its gradient over all rows (backward_weights), then its update, then its packs. All operations must give bits
 * that do not depend on how rows are cut into blocks or parameters into tiles.
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
#include "math/activation.h"
#include "math/panel.h"

#define AE_MAX_INPUTS 4
#define AE_MAX_PARAMETERS 4
#define AE_NAME_SIZE 40

typedef enum ae_initializer {
    AE_INIT_AUTO = 0, /* he for relu and leaky_relu, lecun for selu, glorot for the rest: on small tables the
                         smooth activations reach a lower held-out error from glorot's smaller weights */
    AE_INIT_GLOROT,   /* uniform, variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010, eq. 16) */
    AE_INIT_HE,       /* normal, variance 2 / fan_in (He et al. 2015, eq. 10) */
    AE_INIT_LECUN,    /* normal, variance 1 / fan_in (LeCun et al. 1998) */
    AE_INIT_ORTHOGONAL, /* orthonormal rows or columns (Saxe et al. 2014) */
    AE_INIT_SPARSE,   /* 15 inputs a unit, normal, variance 1; other weights zero (Martens 2010) */
    AE_INIT_ZERO,
    AE_INIT_COUNT
} ae_initializer;

/* A node as it travels from Python: plain data, validated in C (net/net.h). Fields that a kind does not use are zero. */
typedef struct ae_node_desc {
    int32_t kind;                  /* position in the registry */
    int32_t n_inputs;
    int32_t inputs[AE_MAX_INPUTS]; /* earlier nodes */
    int64_t width;                 /* features out, where the layer does not derive it */
    int32_t activation;            /* ae_activation */
    int32_t initializer;           /* ae_initializer */
    int32_t source;                /* input: which of the bound data sets */
    int32_t group;                 /* of its parameters, 0 .. 31: stages name the groups they update */
    double rate;                   /* dropout: probability of zero */
    char name[AE_NAME_SIZE];       /* unique, not empty, NUL-terminated: names its random streams and parameters */
} ae_node_desc;

typedef struct ae_shape {
    int64_t width;
    int64_t multiplicity;
} ae_shape;

/* A parameter that a layer asks for: a matrix (rows, columns) kept in panels, [panel][row][32]. */
typedef struct ae_parameter_request {
    const char *role;            /* "weight", "bias": part of its name */
    int64_t rows, columns;
    int64_t fan_in, fan_out;
    ae_initializer initializer;  /* not auto */
    bool decays;                 /* subject to alpha and max-norm */
    bool wants_transpose;        /* backward_data reads the panels of the transpose */
} ae_parameter_request;

typedef struct ae_layer_plan {
    /* given */
    const ae_node_desc *desc;
    ae_shape in[AE_MAX_INPUTS];
    /* answered */
    ae_shape out;
    int n_parameters;
    ae_parameter_request parameter[AE_MAX_PARAMETERS];
    int64_t cache_width;   /* columns of a panel matrix, shaped like out, kept from forward to backward; 0: none */
    int64_t scratch_reals; /* a worker's own memory during one call */
    int64_t table_bytes;   /* constant memory that `prepare` fills: descriptors of products, offsets */
    double flops_per_row;  /* of forward, to choose the number of threads */
} ae_layer_plan;

typedef struct ae_value {
    void *data;
    void *gradient; /* like data; NULL where no gradient is wanted */
    ae_shape shape;
    int64_t stride; /* reals from one panel to the next, in data, gradient and cache */
} ae_value;

/* A node bound to memory; the same for all blocks and tiles. */
typedef struct ae_binding {
    const ae_node_desc *desc;
    ae_value in[AE_MAX_INPUTS], out;
    bool accumulate[AE_MAX_INPUTS]; /* backward_data adds to in[i].gradient, because a later consumer has written it */
    void *parameter[AE_MAX_PARAMETERS];
    int64_t parameter_rows[AE_MAX_PARAMETERS];
    void *transposed[AE_MAX_PARAMETERS]; /* panels of the transpose, or NULL */
    void *cache;
    void *table;
    ae_key key; /* the node's corruption stream */
} ae_binding;

/* A block of rows of the minibatch. */
typedef struct ae_block {
    int64_t row0, row1;
    uint64_t step;       /* counter of the random streams */
    int64_t first_row;   /* position of row 0 in the minibatch (a minibatch may pass in chunks): draws are by first_row + row */
    bool training;       /* stochastic layers act */
    bool keep;           /* backward follows: caches are filled */
    void *scratch;
} ae_block;

/* A tile of one parameter: rows row0 .. row1 - 1 of one panel. row0 is a multiple of 32. */
typedef struct ae_tile {
    int parameter;
    int64_t panel, row0, row1;
} ae_tile;

enum {
    AE_LAYER_STOCHASTIC = 1,   /* draws from its key when training */
    AE_LAYER_COUPLES_ROWS = 2, /* needs all rows of the minibatch at once: no chunks */
    AE_LAYER_SOURCE = 4        /* has no inputs: filled from bound data */
};

typedef struct ae_layer_ops {
    const char *name;
    int min_inputs, max_inputs;
    unsigned flags;
    ae_status (*plan)(ae_context *context, ae_layer_plan *plan);
    void (*prepare)(const ae_binding *binding); /* fills binding->table; NULL where table_bytes is 0 */
    void (*forward)(const ae_binding *binding, const ae_block *block);
    /* out.gradient may be overwritten (a dense layer leaves the gradient before its activation there, for its weights). */
    void (*backward_data)(const ae_binding *binding, const ae_block *block);
    /* gradient: (row1 - row0, 32) over rows 0 .. rows - 1 of the values; NULL op: no parameters. */
    void (*backward_weights)(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate, void *gradient);
} ae_layer_ops;

/* By position, NULL beyond the last. */
const ae_layer_ops *ae_layer_get(int bits, ae_isa isa, int index);
int ae_layer_find(const char *name);

/* Glorot, He, ...: the concrete initializer that `auto` means for an activation. */
ae_initializer ae_initializer_resolve(ae_initializer initializer, ae_activation activation);
const char *ae_initializer_name(ae_initializer initializer);
int ae_initializer_find(const char *name);

/* Fills a parameter in panels from its stream. Element (row, column) depends on the key and its position only (orthogonal:
 * on the key and the shape). Needs memory for `orthogonal`. */
ae_status ae_initialize(ae_context *context, int bits, ae_isa isa, const ae_parameter_request *request, ae_key key,
                        void *panels);

#endif
