/* Layer normalisation by its formula, activation functions alone, and the blocks that are built of them: gradients by differences,
 * bits however the work is cut. */
#include "walk.h"

#define ROWS 37
#define WIDEST 70

static double x[ROWS * WIDEST];
static const int64_t widths[] = {1, 2, 31, 32, 33, 70};

static ae_isa best_isa(void) {
    ae_isa isa = AE_ISA_REF;
    ae_isa_select(NULL, &isa);
    return isa;
}

static void set_parameter(const walk *w, const char *name, double low, double high) {
    const int i = parameter_of(w->net, name);
    CHECK(i >= 0, "no parameter %s", name);
    double values[WIDEST];
    float narrow[WIDEST];
    for (int64_t c = 0; c < w->net->parameters[i].request.columns; c++) {
        values[c] = low + (high - low) * (double)(c * 37 % 101) / 101;
        narrow[c] = (float)values[c];
    }
    ae_net_set_parameter(w->net, i, w->net->bits == 32 ? (void *)narrow : (void *)values);
}

TEST(layer_norm_by_formula) {
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < 2; k++) {
            const int64_t width = widths[i];
            const double eps = k ? 0.3 : 1e-5;
            network n = {.n = 0};
            network_add(&n, "layer_norm", "norm", 1, network_input(&n, width, 0));
            n.node[1].value[0] = k ? eps : 0;
            walk w = walk_new(&n, 64, best_isa(), ROWS);
            set_parameter(&w, "norm.gain", 0.5, 2);
            set_parameter(&w, "norm.bias", -1, 1);
            w.keep = w.training = k;
            walk_feed(&w, 0, x, 0);
            walk_forward(&w, 1);
            double gain[WIDEST], bias[WIDEST], worst = 0;
            ae_net_get_parameter(w.net, 0, gain);
            ae_net_get_parameter(w.net, 1, bias);
            CHECK(!strcmp(w.net->parameters[0].name, "norm.gain") && !w.net->parameters[0].request.decays &&
                      !w.net->parameters[1].request.decays,
                  "%s", w.net->parameters[0].name);
            for (int64_t r = 0; r < ROWS; r++) {
                long double mean = 0, square = 0;
                for (int64_t c = 0; c < width; c++)
                    mean += x[r * width + c] / (long double)width;
                for (int64_t c = 0; c < width; c++)
                    square += (x[r * width + c] - mean) * (x[r * width + c] - mean) / (long double)width;
                for (int64_t c = 0; c < width; c++) {
                    const long double y = gain[c] * (x[r * width + c] - mean) / sqrtl(square + eps) + bias[c];
                    worst = fmax(worst, fabs((double)(y - walk_get(&w, 1, r, c))));
                }
            }
            CHECK(worst < 1e-12, "width %d: off by %g", (int)width, worst);
            ae_net_free(w.net);
        }
    static const double wrong[] = {-1e-5, NAN, INFINITY};
    ae_context context;
    ae_net *net;
    for (int i = 0; i < 3; i++) {
        network n = {.n = 0};
        network_add(&n, "layer_norm", "norm", 1, network_input(&n, 3, 0));
        n.node[1].value[0] = wrong[i];
        CHECK(ae_net_new(&context, &net, 64, AE_ISA_REF, n.node, 2) == AE_ERR_VALUE &&
                  strstr(context.message, "'norm': epsilon is"),
              "%s", context.message);
    }
}

/* What a dense layer does with its activation, done apart, has the same bits. */
TEST(an_activation_apart_is_the_same) {
    for (int a = 0; a < AE_ACTIVATION_COUNT; a++)
        for (int bits = 32; bits <= 64; bits += 32)
            for (int i = 0; i < 6; i++) {
                char *values[2], *gradients[2];
                size_t bytes[2];
                for (int apart = 0; apart < 2; apart++) {
                    network n = {.n = 0};
                    int h = network_dense(&n, network_input(&n, 5, 0), widths[i], AE_TANH);
                    h = network_dense(&n, h, widths[i], apart ? AE_IDENTITY : (ae_activation)a);
                    n.node[h].initializer = AE_INIT_GLOROT; /* not by the activation */
                    if (apart)
                        n.node[h = network_add(&n, "activation", NULL, 1, h)].activation = a;
                    walk w = walk_new(&n, bits, best_isa(), 7);
                    w.block = apart ? 3 : 7;
                    walk_feed(&w, 0, x, 0);
                    walk_forward(&w, 1);
                    values[apart] = walk_copy(&w, h, &bytes[apart]);
                    walk_gradient(&w, 1);
                    const ae_value *v = &w.net->nodes[1].binding.out;
                    gradients[apart] = malloc((size_t)(ae_panels(widths[i]) * v->stride) * w.net->real_size);
                    memcpy(gradients[apart], v->gradient, (size_t)(ae_panels(widths[i]) * v->stride) * w.net->real_size);
                    if (apart)
                        CHECK(bytes[0] == bytes[1] && !memcmp(values[0], values[1], bytes[0]), "%s f%d: values",
                              ae_activation_name((ae_activation)a), bits);
                    if (apart)
                        for (int64_t p = 0; p < ae_panels(widths[i]); p++)
                            CHECK(!memcmp(gradients[0] + (size_t)(p * v->stride) * w.net->real_size,
                                          gradients[1] + (size_t)(p * v->stride) * w.net->real_size,
                                          7 * AE_PANEL * w.net->real_size),
                                  "%s f%d: gradients", ae_activation_name((ae_activation)a), bits);
                    ae_net_free(w.net);
                }
                for (int apart = 0; apart < 2; apart++) {
                    free(values[apart]);
                    free(gradients[apart]);
                }
            }
}

TEST(the_same_bits_however_it_is_cut) {
    for (int norm = 0; norm < 2; norm++)
        for (int bits = 32; bits <= 64; bits += 32)
            for (int i = 0; i < 6; i++) {
                char *one = NULL;
                size_t bytes, other_bytes;
                network n = {.n = 0};
                network_add(&n, norm ? "layer_norm" : "activation", "it", 1, network_input(&n, widths[i], 0));
                n.node[1].activation = norm ? AE_IDENTITY : i & 1 ? AE_SOFTMAX : AE_GELU;
                for (int isa = 0; isa < AE_ISA_COUNT; isa++)
                    for (int64_t block = 1; block < 2 * ROWS; block += 12) {
                        if (!ae_cpu_has((ae_isa)isa) || !ae_kernels_get(bits, (ae_isa)isa))
                            continue;
                        walk w = walk_new(&n, bits, (ae_isa)isa, ROWS);
                        if (norm)
                            set_parameter(&w, "it.gain", 0.5, 2), set_parameter(&w, "it.bias", -1, 1);
                        w.block = block;
                        walk_feed(&w, 0, x, 0);
                        walk_forward(&w, 1);
                        char *other = walk_copy(&w, 1, &other_bytes);
                        CHECK(!one || (bytes == other_bytes && !memcmp(one, other, bytes)), "%s f%d: %s, blocks of %d",
                              norm ? "layer_norm" : "activation", bits, ae_isa_name((ae_isa)isa), (int)block);
                        if (one)
                            free(other);
                        else
                            one = other, bytes = other_bytes;
                        ae_net_free(w.net);
                    }
                free(one);
            }
}

/* One value read by the layer and, before and after it, by others. */
TEST(gradients_of_values) {
    for (int kind = 0; kind <= AE_ACTIVATION_COUNT; kind++)
        for (int i = 0; i < 6; i++)
            for (int fan = 0; fan < 2; fan++) {
                const bool norm = kind == AE_ACTIVATION_COUNT;
                network n = {.n = 0};
                int from = network_dense(&n, network_input(&n, 3, 0), widths[i], AE_TANH), h = from;
                if ((norm || kind == AE_SOFTMAX) && widths[i] == 1)
                    continue; /* a constant */
                h = network_add(&n, norm ? "layer_norm" : "activation", "it", 1, from);
                n.node[h].activation = norm ? AE_IDENTITY : kind;
                h = network_add(&n, "multiply", NULL, 2, h, fan ? from : h);
                if (fan)
                    network_add(&n, "add", NULL, 3, from, h, from);
                walk w = walk_new(&n, 64, best_isa(), 6);
                if (norm)
                    set_parameter(&w, "it.gain", 0.5, 2), set_parameter(&w, "it.bias", -1, 1);
                w.block = 4;
                walk_feed(&w, 0, x, 0);
                walk_forward(&w, 1);
                for (int64_t r = 0; r < 6; r++)
                    for (int64_t c = 0; c < widths[i]; c++) /* away from the corners of relu */
                        walk_set(&w, from, r, c, (network_draw() & 1 ? 1 : -1) * (0.05 + network_unit()));
                walk_check(norm ? "layer_norm" : ae_activation_name((ae_activation)kind), &w, from);
                ae_net_free(w.net);
            }
}

/* dense -> norm -> activation -> add, twice; then with norm and activation first (pre-activation). */
static program residual(int bits, const char *norm, bool first, int64_t width) {
    program p = {.options = plain_options(bits)};
    int in = network_input(&p.net, 7, 0), h = network_dense(&p.net, in, width, AE_SILU);
    for (int i = 0; i < 2; i++) {
        int inner = first ? h : network_dense(&p.net, h, width, AE_IDENTITY);
        inner = network_add(&p.net, norm, NULL, 1, inner);
        p.net.node[inner].value[!strcmp(norm, "batch_norm")] = 0.1;
        inner = network_add(&p.net, "activation", NULL, 1, inner);
        p.net.node[inner].activation = i ? AE_GELU : AE_TANH;
        if (first)
            inner = network_dense(&p.net, inner, width, AE_IDENTITY);
        h = network_add(&p.net, "add", NULL, 2, h, inner);
    }
    h = network_dense(&p.net, h, 7, AE_IDENTITY);
    program_loss(&p, "squared_error", h, in, 1);
    program_stage(&p, "adam");
    return p;
}

TEST(residual_blocks) {
    static const int64_t some[] = {1, 5, 33, 40};
    for (int layer = 0; layer < 2; layer++)
        for (int first = 0; first < 2; first++) {
            const char *norm = layer ? "layer_norm" : "batch_norm";
            for (int i = 0; i < 8; i++) {
                program p = residual(64, norm, first, some[i % 4]);
                const ae_data data = dense_data(x, AE_F64, 19, 7);
                if (layer && some[i % 4] == 1)
                    continue;
                p.options.chunk_rows = i / 4 ? 8 : 0;
                /* Behind it batch norm subtracts what this bias adds, in training. */
                for (int k = 0; !layer && !first && k + 1 < p.net.n; k++)
                    if (p.net.node[k + 1].kind == ae_layer_find("batch_norm"))
                        snprintf(p.net.node[k].name, sizeof p.net.node[k].name, "free%d", k);
                differences_check(norm, &p, &data, 1, false, 10, NULL);
                differences_check(norm, &p, &data, 1, true, 10, "free");
            }
            for (int bits = 32; bits <= 64; bits += 32) {
                program p = residual(bits, norm, first, 70);
                const ae_data data = dense_data(x, AE_F64, ROWS, 7);
                p.options.batch_size = 19;
                same_bits_check(norm, &p, &data, 1);
            }
        }
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    fill(x, ROWS * WIDEST, -1, 2);
    RUN(layer_norm_by_formula);
    RUN(an_activation_apart_is_the_same);
    RUN(the_same_bits_however_it_is_cut);
    RUN(gradients_of_values);
    RUN(residual_blocks);
    return harness_finish("test_norms");
}
