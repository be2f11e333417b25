/* A few training steps of a small network, for counts of instructions (.ci/instructions.py):
 *
 *   python csrc/build.py bench steps dense|top_k|sparse
 *
 * With AUTOENC_PROFILE=1 in the environment it also says where the time went. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "train/profile.h"

#define ROWS 96
#define MOST 12

static ae_node_desc nodes[8];
static int n_nodes;

static int add(const char *kind, int input, int64_t width, ae_activation activation) {
    ae_node_desc *d = &nodes[n_nodes];
    d->kind = ae_layer_find(kind);
    d->n_inputs = input >= 0;
    d->inputs[0] = input >= 0 ? input : 0;
    d->width = width;
    d->activation = (int32_t)activation;
    snprintf(d->name, sizeof d->name, "%s%d", kind, n_nodes);
    return n_nodes++;
}

static float x[ROWS * 200];
static int32_t columns[ROWS * MOST], starts[ROWS + 1];

static ae_data dense_rows(int64_t width) {
    for (int i = 0; i < ROWS * width; i++)
        x[i] = (float)(i * 7919 % 1009) / 504.5f - 1;
    return (ae_data){.rows = ROWS,
                     .columns = width,
                     .dtype = AE_F32,
                     .base = (const char *)x,
                     .row_bytes = width * (int64_t)sizeof *x,
                     .column_bytes = sizeof *x};
}

static ae_data sparse_rows(int64_t width) {
    for (int i = 0; i < ROWS * MOST; i++) {
        x[i] = 1;
        columns[i] = i % MOST * (int32_t)(width / MOST) + i * 31 % (int32_t)(width / MOST);
    }
    for (int r = 0; r <= ROWS; r++)
        starts[r] = r * MOST;
    return (ae_data){.rows = ROWS,
                     .columns = width,
                     .dtype = AE_F32,
                     .sparse = true,
                     .base = (const char *)x,
                     .row_start = (const char *)starts,
                     .column_index = (const char *)columns,
                     .index_bits = 32,
                     .n_stored = ROWS * MOST};
}

static void show_profile(const ae_trainer *t) {
    ae_profile_total total;
    ae_profile_row row;
    if (!ae_trainer_profile(t, &total))
        return;
    const double us = 1e6 / (double)total.steps;
    printf("%.1f us a step, products at most %.1f GFLOP/s\n", total.seconds * us, total.roof / 1e9);
    for (int i = 0; ae_trainer_profile_row(t, i, &row); i++)
        if (row.calls)
            printf("%-16s %-12s %5d calls %8.2f us a step %7.2f GFLOP/s %7.2f GB/s\n", row.phase, row.subject, (int)row.calls,
                   row.seconds * us, row.flops / row.seconds / 1e9, row.bytes / row.seconds / 1e9);
}

int main(int count, char **names) {
    const char *name = count > 1 ? names[1] : "dense";
    const int64_t width = !strcmp(name, "dense") ? 30 : !strcmp(name, "top_k") ? 64 : 192;
    const int in = add("input", -1, width, AE_IDENTITY);
    int at = in;
    const char *loss = "squared_error";
    ae_data data = dense_rows(width);
    if (!strcmp(name, "dense")) {
        static const int widths[] = {64, 32, 16, 32, 64};
        for (int i = 0; i < 5; i++)
            at = add("dense", at, widths[i], AE_RELU);
    } else if (!strcmp(name, "top_k")) {
        at = add("top_k", add("dense", in, 256, AE_IDENTITY), 0, AE_IDENTITY);
        nodes[at].size[0] = 8, nodes[at].size[1] = 1;
    } else if (!strcmp(name, "sparse")) {
        nodes[in].size[0] = MOST;
        data = sparse_rows(width);
        at = add("dense", in, 40, AE_TANH);
        loss = "multinomial";
    } else {
        fprintf(stderr, "no network '%s'; there are dense, top_k and sparse\n", name);
        return 2;
    }
    at = add("dense", at, width, AE_IDENTITY);
    const ae_loss_desc term = {ae_loss_find(loss), at, in, -1, -1, 0, 1, 1};
    const ae_stage_desc stage = {0, at, 0, 1, 1, ae_rule_find("adam"), 1, 0, 0};
    const ae_train_options options = {.bits = 32,
                                      .n_threads = 1,
                                      .batch_size = 32,
                                      .seed = 1,
                                      .shuffle = true,
                                      .rule_options = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
                                      .schedule = {.base = 0.001, .total_steps = 100, .period = 1},
                                      .max_norm = INFINITY,
                                      .clip_value = INFINITY,
                                      .clip_norm = INFINITY};
    ae_context context;
    ae_trainer *t = NULL;
    ae_epoch_result result = {0};
    if (ae_trainer_new(&context, &t, nodes, n_nodes, &term, 1, &stage, 1, &options) != AE_OK ||
        ae_trainer_bind(&context, t, 0, &data, 1, NULL) != AE_OK || ae_trainer_initialize(&context, t) != AE_OK ||
        ae_trainer_epoch(&context, t, NULL, NULL, &result) != AE_OK) {
        fprintf(stderr, "%s\n", context.message);
        ae_trainer_free(t);
        return 1;
    }
    printf("%s: %d steps, loss %.6f\n", name, (int)result.steps, result.loss);
    show_profile(t);
    ae_trainer_free(t);
    return 0;
}
