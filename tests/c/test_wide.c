/* Wide layers: sums of so many terms that they are cut, against plain chains, and the rows of a minibatch that pass at once. */
#include "harness.h"
#include "networks.h"
#include "walk.h"

#define WIDTH 1065 /* 34 terms, the last of 9 */
#define CODE 18
#define ROWS 23

static double x[ROWS * WIDTH], weight[3][WIDTH * CODE], bias[CODE];

static double chain(int bits, double a, double b, double sum) {
    return bits == 32 ? (double)fmaf((float)a, (float)b, (float)sum) : fma(a, b, sum);
}

/* A parameter from x's kind of numbers, and what it holds then. */
static void draw(const walk *w, int parameter, double *into, int64_t n) {
    static float narrow[WIDTH * CODE];
    fill(into, n, -1, 1);
    for (int64_t i = 0; i < n; i++)
        narrow[i] = (float)into[i], into[i] = w->net->bits == 32 ? (double)narrow[i] : into[i];
    ae_net_set_parameter(w->net, parameter, w->net->bits == 32 ? (const void *)narrow : (const void *)into);
}

static void check(const char *isa_name, ae_isa isa, int bits) {
    network n = {0};
    const int in = network_input(&n, WIDTH, 0), code = network_dense(&n, in, CODE, AE_IDENTITY);
    const int one = network_dense(&n, code, WIDTH, AE_IDENTITY), other = network_dense(&n, code, WIDTH, AE_IDENTITY);
    network_add(&n, "add", NULL, 2, one, other);
    walk w = walk_new(&n, bits, isa, ROWS);
    if (!w.net)
        return;
    w.block = 5;
    walk_feed(&w, in, x, 0);
    draw(&w, 0, weight[0], WIDTH * CODE);
    draw(&w, 1, bias, CODE);
    draw(&w, 2, weight[1], WIDTH * CODE);
    draw(&w, 4, weight[2], WIDTH * CODE);
    walk_forward(&w, code);
    walk_gradient(&w, code);
    const ae_value *v = &w.net->nodes[code].binding.out;
    int forward = 0, backward = 0;
    for (int r = 0; r < ROWS; r++)
        for (int u = 0; u < CODE; u++) {
            double sum = bias[u], gradient = 0;
            for (int k = 0; k < WIDTH; k++)
                sum = chain(bits, walk_get(&w, in, r, k), weight[0][k * CODE + u], sum);
            /* The later node writes, the earlier one goes on from there. */
            for (int k = 0; k < 2 * WIDTH; k++) {
                const int j = k % WIDTH;
                gradient = chain(bits, walk_weight(r * WIDTH + j), weight[k < WIDTH ? 2 : 1][u * WIDTH + j], gradient);
            }
            forward += walk_get(&w, code, r, u) != sum;
            backward += walk_real(&w, v->gradient, walk_place(v, r, u)) != gradient;
        }
    CHECK(!forward && !backward, "%s f%d: %d sums forward and %d back have other bits", isa_name, bits, forward, backward);
    ae_net_free(w.net);
}

TEST(long_sums_are_one_chain) {
    fill(x, ROWS * WIDTH, -1, 1);
    for (const char *const *name = usable_isas(); *name; name++) {
        ae_context context;
        ae_isa isa;
        setenv("AUTOENC_ISA", *name, 1);
        CHECK(ae_isa_select(&context, &isa) == AE_OK, "%s", context.message);
        for (int bits = 32; bits <= 64; bits += 32)
            check(*name, isa, bits);
    }
    unsetenv("AUTOENC_ISA");
}

#define BATCH 200
static int64_t rows_at_once(int hidden, double clip_norm, int64_t chunk_rows) {
    program p = {.options = plain_options(32)};
    ae_context context;
    ae_trainer *t = NULL;
    const int in = network_input(&p.net, 30000, 0);
    const int code = network_dense(&p.net, in, hidden, AE_TANH);
    program_loss(&p, "squared_error", network_dense(&p.net, code, 30000, AE_IDENTITY), in, 1);
    program_stage(&p, "sgd");
    p.options.rule_options.momentum = 0;
    p.options.batch_size = BATCH;
    p.options.clip_norm = clip_norm;
    p.options.chunk_rows = chunk_rows;
    const ae_status status = program_trainer(&context, &p, &t);
    CHECK(status == AE_OK, "%s", context.message);
    const int64_t rows = status == AE_OK ? ae_trainer_net(t)->row_capacity : 0;
    ae_trainer_free(t);
    return rows;
}

/* Values of 200 rows take more than what a chunk may, and less than a gradient of 84 MB, but not of 2 MB. */
TEST(a_minibatch_is_cut_only_where_that_saves_memory) {
    const int64_t cut = rows_at_once(8, INFINITY, 0);
    CHECK(cut > 0 && cut < BATCH, "%d rows at once", (int)cut);
    CHECK(rows_at_once(350, INFINITY, 0) == BATCH, "cut, and the gradient is kept");
    const int64_t clipped = rows_at_once(350, 1.0, 0);
    CHECK(clipped > 0 && clipped < BATCH, "%d rows at once, where the gradient is kept anyway", (int)clipped);
    CHECK(rows_at_once(350, INFINITY, 16) == 16, "not as asked for");
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    RUN(long_sums_are_one_chain);
    RUN(a_minibatch_is_cut_only_where_that_saves_memory);
    return harness_finish("test_wide");
}
