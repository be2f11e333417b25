/* Descriptions of small networks, programs and data, for the tests of net and train. */
#ifndef AE_TEST_NETWORKS_H
#define AE_TEST_NETWORKS_H

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "net/predictor.h"
#include "train/trainer.h"

static inline uint64_t network_draw(void) { /* xorshift64, Marsaglia 2003 */
    static uint64_t draws = 88172645463325252u;
    draws ^= draws << 13;
    draws ^= draws >> 7;
    draws ^= draws << 17;
    return draws;
}
static inline double network_unit(void) { return ((double)(network_draw() >> 11) + 0.5) * 0x1p-53; }

/* Where an entry of a matrix of n rows lies. */
static inline int64_t in_panels(int64_t n, int64_t row, int64_t column) {
    return (column / AE_PANEL * n + row) * AE_PANEL + column % AE_PANEL;
}

#define NETWORK_NODES 80

/* A graph that grows node by node; each function gives the number of its node. */
typedef struct network {
    ae_node_desc node[NETWORK_NODES];
    int n;
} network;

static inline int network_add(network *net, const char *kind, const char *name, int n_inputs, ...) {
    ae_node_desc *d = &net->node[net->n];
    va_list inputs;
    memset(d, 0, sizeof *d);
    d->kind = ae_layer_find(kind);
    d->n_inputs = n_inputs;
    va_start(inputs, n_inputs);
    for (int i = 0; i < n_inputs; i++)
        d->inputs[i] = va_arg(inputs, int);
    va_end(inputs);
    if (name)
        snprintf(d->name, sizeof d->name, "%s", name);
    else
        snprintf(d->name, sizeof d->name, "%s%d", kind, net->n);
    return net->n++;
}
static inline int network_input(network *net, int64_t width, int source) {
    const int node = network_add(net, "input", NULL, 0);
    net->node[node].width = width;
    net->node[node].source = source;
    return node;
}
static inline int network_dense(network *net, int from, int64_t width, ae_activation activation) {
    const int node = network_add(net, "dense", NULL, 1, from);
    net->node[node].width = width;
    net->node[node].activation = (int32_t)activation;
    return node;
}
static inline int network_dropout(network *net, int from, double rate) {
    const int node = network_add(net, "dropout", NULL, 1, from);
    net->node[node].rate = rate;
    return node;
}

/* A program of one or more stages over a network, with options that do nothing unusual. */
typedef struct program {
    network net;
    ae_loss_desc loss[48];
    int n_losses;
    ae_stage_desc stage[4];
    int n_stages;
    ae_train_options options;
} program;

/* A term of a loss; target -1: none. */
static inline ae_loss_desc term_of(const char *loss, int prediction, int target, double weight) {
    return (ae_loss_desc){.loss = ae_loss_find(loss),
                          .prediction = prediction,
                          .target = target,
                          .entry_weight = -1,
                          .second = -1,
                          .weight = weight,
                          .parameter = 0.75};
}
static inline void program_loss(program *p, const char *loss, int prediction, int target, double weight) {
    p->loss[p->n_losses++] = term_of(loss, prediction, target, weight);
}
/* One stage over all nodes, groups and losses. rule NULL: L-BFGS. */
static inline void program_stage(program *p, const char *rule) {
    p->stage[p->n_stages++] =
        (ae_stage_desc){0, p->net.n - 1, 0, p->n_losses, UINT32_MAX, rule ? ae_rule_find(rule) : -1, 1.0, 0, 0};
}
static inline ae_train_options plain_options(int bits) {
    return (ae_train_options){.bits = bits,
                              .n_threads = 1,
                              .batch_size = 32,
                              .seed = 7,
                              .rule_options = {.momentum = 0.9, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
                              .schedule = {.base = 0.01, .total_steps = 1000, .period = 1},
                              .max_norm = INFINITY,
                              .clip_value = INFINITY,
                              .clip_norm = INFINITY,
                              .lbfgs_memory = 5,
                              .lbfgs_max_evaluations = 20,
                              .lbfgs_gtol = 1e-9};
}
static inline ae_status program_trainer(ae_context *context, const program *p, ae_trainer **out) {
    return ae_trainer_new(context, out, p->net.node, p->net.n, p->loss, p->n_losses, p->stage, p->n_stages, &p->options);
}

/* Dense rows in float64 or float32, C order. */
static inline ae_data dense_data(const void *values, ae_dtype dtype, int64_t rows, int64_t columns) {
    const int64_t size = dtype == AE_F64 ? 8 : dtype == AE_F32 ? 4 : 1;
    return (ae_data){
        .rows = rows, .columns = columns, .dtype = dtype, .base = values, .row_bytes = columns * size, .column_bytes = size};
}
/* CSR rows of float32 values; what lies in row r ends at starts[r + 1]. */
static inline ae_data sparse_data(const float *values, const int32_t *starts, const int32_t *columns, int64_t rows,
                                  int64_t width) {
    return (ae_data){.rows = rows,
                     .columns = width,
                     .dtype = AE_F32,
                     .sparse = true,
                     .base = (const char *)values,
                     .row_start = (const char *)starts,
                     .column_index = (const char *)columns,
                     .index_bits = 32,
                     .n_stored = starts[rows]};
}
static inline void fill(double *x, int64_t n, double low, double high) {
    for (int64_t i = 0; i < n; i++)
        x[i] = low + (high - low) * network_unit();
}

/* All weights without padding, row-major and one parameter after the other; *n: how many. To be freed. */
static inline double *copy_weights(const ae_net *net, const void *region, int64_t *n) {
    int64_t total = 0, at = 0;
    for (int i = 0; i < net->n_parameters; i++)
        total += net->parameters[i].request.rows * net->parameters[i].request.columns;
    double *out = malloc((size_t)total * sizeof *out);
    for (int i = 0; i < net->n_parameters; i++) {
        const int64_t count = net->parameters[i].request.rows * net->parameters[i].request.columns;
        void *one = malloc((size_t)count * 8);
        ae_net_unpack(net, i, region ? region : net->parameter_base, one);
        for (int64_t j = 0; j < count; j++)
            out[at + j] = net->bits == 32 ? (double)((float *)one)[j] : ((double *)one)[j];
        free(one);
        at += count;
    }
    *n = total;
    return out;
}

/* Number of a parameter by its full name, or -1. */
static inline int parameter_of(const ae_net *net, const char *name) {
    for (int i = 0; i < net->n_parameters; i++)
        if (!strcmp(net->parameters[i].name, name))
            return i;
    return -1;
}

/* The instruction sets that AUTOENC_ISA may name here; ends with NULL. */
static inline const char *const *usable_isas(void) {
    static const char *names[AE_ISA_COUNT + 1];
    int n = 0;
    for (int isa = 0; isa < AE_ISA_COUNT; isa++)
        if (ae_cpu_has((ae_isa)isa) && ae_kernels_get(32, (ae_isa)isa))
            names[n++] = ae_isa_name((ae_isa)isa);
    names[n] = NULL;
    return names;
}

#endif
