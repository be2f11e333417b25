/* The graph: nodes in topological order with input ids, the table of their parameters, and the memory of both.
 *
 * ae_net_new validates descriptions that may come from anywhere, asks each layer for its plan, and allocates parameters.
 * ae_net_plan_rows then lays out the values for a number of rows, with or without gradients, and binds every node to its
 * memory. After both nothing here allocates or fails. A net is used by one thread at a time, but for the row and weight
 * operations, which the phases of one pool may call at once on different blocks and tiles. */
#ifndef AE_NET_NET_H
#define AE_NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "layers/layer.h"

#define AE_MAX_NODES 4096
#define AE_MAX_WIDTH INT32_MAX /* columns of a value: random streams count them in 32 bits */
#define AE_MAX_ROWS INT32_MAX  /* rows of a value, likewise */

#define AE_MAX_USES 16

/* A use of a parameter by a node. The gradient is the sum over the uses, in this order, of what backward_weights of each
 * gives over all rows. */
typedef struct ae_use {
    int node, slot;  /* slot: number of the parameter within its layer */
    bool transposed; /* the node sees the transpose */
} ae_use;

typedef struct ae_parameter {
    char name[AE_NAME_SIZE + 16]; /* "<node>.<role>" */
    ae_parameter_request request;
    ae_constraint constraint; /* on the parameter as its first user sees it */
    int group;
    int n_uses;
    ae_use use[AE_MAX_USES];   /* the first is the node that it is named after, whose request it is */
    int64_t size;              /* reals: panels * rows * 32, padding included */
    int64_t offset;            /* reals from the start of the parameter region; the same in gradients and optimiser state */
    int64_t transposed_offset; /* reals from the start of the region of transposes, or -1 */
    int parts;                 /* of the packs for products of bfloat16 operands; 0: there are none */
    int64_t parts_offset[2];   /* numbers from the start of their region: of the parameter, of its transpose; part after part */
    bool transposed_parts;     /* the packs of the transpose are read */
    int64_t further_offset;    /* likewise of a region with the gradients of the second and later uses, size reals each */
} ae_parameter;

typedef struct ae_node {
    ae_node_desc desc;
    const ae_layer_ops *ops;
    ae_layer_plan plan;
    int parameter[AE_MAX_PARAMETERS]; /* numbers in the table, by slot */
    bool depends_on_parameters;       /* itself or an ancestor has some: its value has room for a gradient; not behind a
                                         layer that stops it */
    bool reached;                     /* while a range is bound: something has written its gradient */
    ae_pairs pairs;                   /* of the binding, where its value goes by pairs */
    bool by_pairs;                    /* its value and gradient are pairs */
    bool beside_pairs;                /* and its data is there all the same, for other readers */
    bool outside;                     /* somebody else may write or read its gradient, see ae_net_reuse_memory */
    /* Its value exists for a few panels at a time, for the next node, which takes them (ae_layer_plan.between_reals) and is all that
     * reads it. */
    bool by_groups;
    bool in_place;   /* the one loss that reads its value writes the gradient over it */
    int gradient_by; /* node whose pairs carry the gradient of its value; -1: none */
    bool active;     /* in the bound range and on a way from updated parameters to a loss: backward runs */
    ae_binding binding;
} ae_node;

typedef struct ae_net {
    int bits;
    ae_isa isa;
    size_t real_size;
    int n_nodes, n_parameters;
    ae_node *nodes;
    ae_parameter *parameters;
    int64_t parameter_reals, transposed_reals, further_reals, part_numbers;
    int64_t trained_reals; /* of the parameters that go by the rule: they come first */
    ae_arena weights;      /* parameters, then transposes, then both in parts */
    char *parameter_base, *transposed_base;
    ae_bf16 *part_base;
    bool reuses;     /* see ae_net_reuse_memory */
    ae_arena values; /* one block for all values, gradients, caches, tables and scratch */
    int64_t row_capacity;
    int64_t scratch_bytes; /* of one worker */
    char *scratch_base;
    int n_workers;
    double flops_per_row, flops_per_pair, flops_per_minibatch; /* of forward over all nodes, see ae_layer_plan */
    int64_t value_reals_per_row;                               /* all that a row of the minibatch holds */
    int64_t operand_reals_per_row;                             /* of these, copies in parts */
} ae_net;

/* Validates and builds; *out is NULL on failure. Parameters are zero. bits: 32 or 64. */
ae_status ae_net_new(ae_context *context, ae_net **out, int bits, ae_isa isa, const ae_node_desc *descs, int n_nodes);
/* Accepts NULL. */
void ae_net_free(ae_net *net);

/* Whether a node sees the parameter in a slot as its transpose. */
bool ae_net_sees_transpose(const ae_net *net, const ae_node *node, int slot);

/* Lets values go as pairs (math/pairs.h) where a layer can give them and its readers take them. `outside`: by node, whether a loss
 * or the caller reads its data or writes its gradient. For nets that are trained; before ae_net_plan_rows and ae_net_initialize. */
void ae_net_use_pairs(ae_net *net, const bool *outside);

/* Lets the gradient of a value lie where the value does, if no other node reads it and the layer does not read it again. For values
 * that one loss reads, in place; before ae_net_plan_rows. */
void ae_net_write_in_place(ae_net *net, int node);

/* A stage begins at node `first`: the value before it is read by that stage from memory, so all of it must be there. */
void ae_net_keep_whole(ae_net *net, int first);

/* What a pass has read for the last time makes room for what comes: copies in parts by rows, and gradients of values between nodes
 * that go in parts, so that less memory goes through the caches. Before ae_net_plan_rows, for passes in which one worker takes a block of
 * rows all the way and nobody looks at either afterwards. `outside` as above. */
void ae_net_reuse_memory(ae_net *net, const bool *outside);

/* Orders the pairs of `rows` rows by column, between the phase by rows and the one by weights. */
void ae_net_order_pairs(const ae_net *net, int first, int last, int64_t rows);

/* Memory for `rows` rows of values, for gradients too where asked, and for n_workers workers. Replaces an earlier plan;
 * on failure the earlier plan is gone and the net can only be planned again or freed. */
ae_status ae_net_plan_rows(ae_context *context, ae_net *net, int64_t rows, bool gradients, int n_workers);

/* Sets the streams of stochastic layers. */
void ae_net_seed(ae_net *net, uint64_t seed);
/* Draws all parameters that have an initializer from their streams and packs them. */
ae_status ae_net_initialize(ae_context *context, ae_net *net, uint64_t seed);
/* The same, where asking (or NULL) may end it with AE_ERR_INTERRUPTED and some of the parameters drawn. */
ae_status ae_net_initialize_asking(ae_context *context, ae_net *net, uint64_t seed, ae_asking *asking);

/* Brings all parameters to what they are held to, and packs them. */
void ae_net_constrain(ae_net *net);

/* One parameter from and to a row-major (rows, columns) array of reals; set packs. */
void ae_net_get_parameter(const ae_net *net, int index, void *row_major);
void ae_net_set_parameter(ae_net *net, int index, const void *row_major);
/* The same between a region shaped like the parameters (optimiser state, gradients) and row-major. */
void ae_net_unpack(const ae_net *net, int index, const void *region, void *row_major);
void ae_net_pack(const ae_net *net, int index, const void *row_major, void *region);

/* Rewrites the transpose and the parts of rows row0 .. row1 - 1 of one panel of a parameter, after they changed. */
void ae_net_pack_tile(const ae_net *net, int index, int64_t panel, int64_t row0, int64_t row1);
/* Asks for the memory of the transpose and the packs in parts of up to 32 rows from `row` on, which will be written. */
void ae_net_prefetch_packs(const ae_net *net, int index, int64_t panel, int64_t row);
/* All of them. */
void ae_net_pack_all(const ae_net *net);

/* Prepares backward over nodes first .. last: which values get gradients (those on a way from parameters of the groups in
 * the mask to a node that a loss has seeded), who writes and who accumulates on fan-out. seeded: by node. */
void ae_net_bind_range(ae_net *net, int first, int last, uint32_t groups, const bool *seeded);

/* Nodes first .. last, forward and in reverse, for a block of rows. The scratch of the block is set here. worker: 0 .. n_workers - 1. */
void ae_net_forward(const ae_net *net, int first, int last, ae_block block, int worker);
void ae_net_backward(const ae_net *net, int first, int last, ae_block block, int worker);

/* A parameter, or its transpose, in parts. */
ae_parts ae_net_parts(const ae_net *net, const ae_parameter *parameter, bool transposed);

/* The scratch of a worker. */
void *ae_net_scratch(const ae_net *net, int worker);

#endif
