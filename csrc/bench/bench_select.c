/* Selection beside the product that feeds it: time of a row through top_k and of a minibatch through batch_top_k, as a share of the
 * encoder's forward, one thread, float32.
 *
 *   python csrc/build.py bench select */
#include <stdio.h>

#include "base/alloc.h"
#include "net/net.h"

#include "bench/bench.h"

typedef struct passage {
    const ae_net *net;
    int node;
    int64_t rows;
} passage;

/* `couple` and forward of a node over all rows in blocks. */
static void pass(const void *argument) {
    const passage *p = argument;
    const ae_node *n = &p->net->nodes[p->node];
    if (n->ops->couple)
        n->ops->couple(&n->binding, p->rows, 0, true);
    for (int64_t row = 0; row < p->rows; row += 128) {
        const int64_t end = row + 128 < p->rows ? row + 128 : p->rows;
        const ae_block block = {row, end, 0, 0, true, true, false, ae_net_scratch(p->net, 0), AE_SHARE_ALL, 0, 0};
        n->ops->forward(&n->binding, &block);
    }
}

int main(void) {
    static const int64_t shapes[][3] = {{784, 1000, 25}, {784, 4096, 32}, {784, 16384, 32}, {784, 16384, 256}};
    const int64_t rows = 256;
    ae_isa isa;
    ae_context context;
    if (ae_isa_select(&context, &isa) != AE_OK)
        return 1;
    printf("%s, %d rows\n%24s %12s %22s %22s\n", ae_isa_name(isa), (int)rows, "inputs x latents, k", "dense us/row",
           "top_k us/row", "batch_top_k us/row");
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        ae_node_desc nodes[4] = {{.kind = ae_layer_find("input"), .width = shapes[s][0], .name = "x"},
                                 {.kind = ae_layer_find("dense"), .n_inputs = 1, .width = shapes[s][1], .name = "pre"},
                                 {.kind = ae_layer_find("top_k"), .n_inputs = 1, .inputs = {1}, .name = "top"},
                                 {.kind = ae_layer_find("batch_top_k"), .n_inputs = 1, .inputs = {1}, .name = "batch"}};
        nodes[2].size[0] = nodes[3].size[0] = (int32_t)shapes[s][2];
        ae_net *net = NULL;
        if (ae_net_new(&context, &net, 32, isa, nodes, 4) != AE_OK || ae_net_plan_rows(&context, net, rows, true, 1) != AE_OK ||
            ae_net_initialize(&context, net, 1) != AE_OK) {
            printf("%s\n", context.message);
            ae_net_free(net);
            return 1;
        }
        uint32_t state = 12345;
        for (int64_t i = 0; i < ae_panels(shapes[s][0]) * net->nodes[0].binding.out.stride; i++) {
            state = state * 1664525u + 1013904223u;
            ((float *)net->nodes[0].binding.out.data)[i] = (float)(state >> 8) * 0x1p-23f - 1;
        }
        double time[4];
        for (int node = 1; node < 4; node++)
            time[node] = bench_best(pass, &(passage){net, node, rows}, 4, 0) * 1e6 / (double)rows;
        printf("%10d x %5d, %4d %12.1f %12.2f (%4.1f %%) %12.2f (%4.1f %%)\n", (int)shapes[s][0], (int)shapes[s][1],
               (int)shapes[s][2], time[1], time[2], 100 * time[2] / time[1], time[3], 100 * time[3] / time[1]);
        ae_net_free(net);
    }
    return 0;
}
