/* One layer by itself: values that the test writes, forward, backward and gradients of parameters in any cut into blocks, in
 * both precisions and on every instruction set. The objective is a sum of the outputs with fixed odd weights. */
#ifndef AE_TEST_SINGLE_LAYER_H
#define AE_TEST_SINGLE_LAYER_H

#include "harness.h"
#include "networks.h"

typedef struct lone {
    ae_net *net;
    ae_node *node; /* the last of the network */
    int64_t rows;
    ae_block block; /* what forward is told, row0 and row1 aside */
    void *gradient[AE_MAX_INPUTS];
} lone;

static inline double lone_get(const lone *l, const void *data, int64_t i) {
    return l->net->bits == 32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}
static inline void lone_put(const lone *l, void *data, int64_t i, double value) {
    if (l->net->bits == 32)
        ((float *)data)[i] = (float)value;
    else
        ((double *)data)[i] = value;
}
static inline int64_t lone_index(const ae_value *v, int64_t row, int64_t column) {
    return column / AE_PANEL * v->stride + row * AE_PANEL + column % AE_PANEL;
}
static inline int64_t lone_rows(const lone *l, const ae_value *v) { return l->rows * v->shape.multiplicity; }
static inline double lone_value(const lone *l, const ae_value *v, int64_t row, int64_t column) {
    return lone_get(l, v->data, lone_index(v, row, column));
}
static inline void lone_set(const lone *l, const ae_value *v, int64_t row, int64_t column, double value) {
    lone_put(l, v->data, lone_index(v, row, column), value);
}
static inline size_t lone_bytes(const lone *l, const ae_value *v) {
    return (size_t)(ae_panels(v->shape.width) * v->stride) * l->net->real_size;
}

/* Room is filled with numbers that are far off, padding with ones that are finite: neither may show. */
static inline bool lone_open(lone *l, const network *net, int bits, const char *isa, int64_t rows) {
    ae_context context = {AE_OK, ""};
    ae_isa which;
    memset(l, 0, sizeof *l);
    if (isa)
        setenv("AUTOENC_ISA", isa, 1);
    ae_status status = ae_isa_select(&context, &which);
    unsetenv("AUTOENC_ISA");
    if (status == AE_OK)
        status = ae_net_new(&context, &l->net, bits, which, net->node, net->n);
    if (status == AE_OK)
        status = ae_net_plan_rows(&context, l->net, rows, true, 1);
    if (status == AE_OK)
        status = ae_net_initialize(&context, l->net, 5);
    CHECK(status == AE_OK, "%s", context.message);
    if (status != AE_OK) {
        ae_net_free(l->net);
        return false;
    }
    ae_net_seed(l->net, 5);
    l->node = &l->net->nodes[l->net->n_nodes - 1];
    l->rows = rows;
    l->block = (ae_block){.step = 11, .training = true, .keep = true, .scratch = ae_net_scratch(l->net, 0)};
    for (int k = 0; k < l->node->desc.n_inputs; k++) {
        const ae_value *in = &l->node->binding.in[k];
        l->gradient[k] = malloc(lone_bytes(l, in));
        l->node->binding.in[k].gradient = l->gradient[k];
        for (int64_t i = 0; i < ae_panels(in->shape.width) * in->stride; i++)
            lone_put(l, in->data, i, 3.25);
    }
    if (!l->node->binding.out.gradient)
        l->node->binding.out.gradient = malloc(lone_bytes(l, &l->node->binding.out));
    return true;
}

static inline void lone_close(lone *l) {
    for (int k = 0; k < l->node->desc.n_inputs; k++)
        free(l->gradient[k]);
    if (!l->node->depends_on_parameters)
        free(l->node->binding.out.gradient);
    ae_net_free(l->net);
}

static inline void lone_forward(lone *l, int64_t block_rows) {
    const ae_binding *b = &l->node->binding;
    if (l->node->ops->couple && l->block.keep)
        for (int64_t part = l->node->plan.coupling_parts - 1; part >= 0; part--)
            l->node->ops->couple(b, lone_rows(l, &b->out), part, l->block.training);
    for (int64_t row = 0; row < l->rows; row += block_rows) {
        ae_block block = l->block;
        block.row0 = row;
        block.row1 = row + block_rows < l->rows ? row + block_rows : l->rows;
        l->node->ops->forward(b, &block);
    }
}

/* Of an element of the output in the objective. */
static inline double lone_weight(int64_t row, int64_t column) {
    return 0.25 + 0.5 * (double)((row * 7 + column * 13 + row * column) % 11) / 11 - (row % 3 == 1 ? 0.6 : 0);
}

static inline double lone_objective(const lone *l) {
    const ae_value *out = &l->node->binding.out;
    double sum = 0;
    for (int64_t r = 0; r < lone_rows(l, out); r++)
        for (int64_t c = 0; c < out->shape.width; c++)
            sum += lone_weight(r, c) * lone_value(l, out, r, c);
    return sum;
}

/* Gradients of the objective, written over NaN, or added to one where `onto`. */
static inline void lone_backward(lone *l, int64_t block_rows, bool onto) {
    ae_binding *b = &l->node->binding;
    for (int64_t i = 0; i < ae_panels(b->out.shape.width) * b->out.stride; i++)
        lone_put(l, b->out.gradient, i, 0);
    for (int64_t r = 0; r < lone_rows(l, &b->out); r++)
        for (int64_t c = 0; c < b->out.shape.width; c++)
            lone_put(l, b->out.gradient, lone_index(&b->out, r, c), lone_weight(r, c));
    for (int k = 0; k < l->node->desc.n_inputs; k++) {
        b->accumulate[k] = onto;
        for (int64_t i = 0; b->in[k].gradient && i < ae_panels(b->in[k].shape.width) * b->in[k].stride; i++)
            lone_put(l, b->in[k].gradient, i, onto ? 1 : NAN);
    }
    if (l->node->ops->couple_backward)
        for (int64_t part = l->node->plan.coupling_parts - 1; part >= 0; part--)
            l->node->ops->couple_backward(b, lone_rows(l, &b->out), part, l->block.training);
    for (int64_t row = 0; l->node->ops->backward_data && row < l->rows; row += block_rows) {
        ae_block block = l->block;
        block.row0 = row;
        block.row1 = row + block_rows < l->rows ? row + block_rows : l->rows;
        l->node->ops->backward_data(b, &block);
    }
}

/* Gradient (or new value) of one parameter, row-major in double, computed in tiles of `tile_rows` rows. */
static inline double *lone_parameter_gradient(lone *l, int slot, int64_t tile_rows) {
    const ae_parameter *p = &l->net->parameters[l->node->parameter[slot]];
    double *out = malloc((size_t)(p->request.rows * p->request.columns) * sizeof *out);
    void *tile = malloc((size_t)(tile_rows * AE_PANEL) * l->net->real_size);
    for (int64_t q = 0; q < ae_panels(p->request.columns); q++)
        for (int64_t row = 0; row < p->request.rows; row += tile_rows) {
            const int64_t end = row + tile_rows < p->request.rows ? row + tile_rows : p->request.rows;
            const ae_tile t = {slot, false, q, row, end, 0};
            const int columns = ae_panel_columns(p->request.columns, q);
            for (int64_t i = 0; i < (end - row) * AE_PANEL; i++)
                lone_put(l, tile, i, NAN);
            l->node->ops->backward_weights(&l->node->binding, &t, lone_rows(l, &l->node->binding.out), false, tile);
            for (int64_t r = row; r < end; r++)
                for (int c = 0; c < AE_PANEL; c++) {
                    const double value = lone_get(l, tile, (r - row) * AE_PANEL + c);
                    if (c < columns)
                        out[r * p->request.columns + q * AE_PANEL + c] = value;
                    else
                        CHECK(value == 0, "%s: padding of the gradient is %g", p->name, value);
                }
        }
    free(tile);
    return out;
}

static inline double lone_numeric(lone *l, void *at, int64_t i) {
    const double h = 1e-5, before = lone_get(l, at, i);
    lone_put(l, at, i, before + h);
    const double above = lone_get(l, at, i);
    lone_forward(l, l->rows);
    const double up = lone_objective(l);
    lone_put(l, at, i, before - h);
    const double below = lone_get(l, at, i);
    lone_forward(l, l->rows);
    const double down = lone_objective(l);
    lone_put(l, at, i, before);
    return (up - down) / (above - below);
}

/* All inputs and all parameters that go by the rule, in double; padding of gradients must be zero. Inputs named in the mask
 * `silent` get none. */
static inline void lone_check_gradients(const char *what, lone *l, unsigned silent) {
    ae_binding *b = &l->node->binding;
    lone_forward(l, l->rows);
    const double rounding = 4e-10 * (1 + fabs(lone_objective(l)));
    for (int onto = 0; onto < 2; onto++) {
        lone_forward(l, l->rows);
        lone_backward(l, 3, onto);
        for (int k = 0; k < l->node->desc.n_inputs; k++) {
            const ae_value *in = &b->in[k];
            double typical = 0;
            for (int64_t r = 0; r < lone_rows(l, in); r++)
                for (int64_t c = 0; c < in->shape.width; c++)
                    typical = fmax(typical, fabs(lone_get(l, in->gradient, lone_index(in, r, c)) - onto));
            CHECK(silent >> k & 1 ? typical == 0 : typical > 1e-4, "%s: input %d: its largest gradient is %g", what, k,
                  typical);
            for (int64_t r = 0; r < lone_rows(l, in); r++)
                for (int64_t c = 0; c < ae_panels(in->shape.width) * AE_PANEL; c++) {
                    const double got = lone_get(l, in->gradient, lone_index(in, r, c)) - onto;
                    if (c >= in->shape.width) {
                        CHECK(got == 0, "%s: input %d: padding %g", what, k, got);
                        continue;
                    }
                    const double want = silent >> k & 1 ? 0 : lone_numeric(l, in->data, lone_index(in, r, c));
                    CHECK(fabs(got - want) <= 1e-6 * (fabs(want) + typical) + rounding,
                          "%s: input %d (%d, %d): %.12g, not %.12g", what, k, (int)r, (int)c, got, want);
                }
        }
    }
    for (int slot = 0; slot < l->node->plan.n_parameters; slot++) {
        const ae_parameter *p = &l->net->parameters[l->node->parameter[slot]];
        if (p->request.update != AE_UPDATE_RULE)
            continue;
        lone_forward(l, l->rows);
        lone_backward(l, l->rows, false);
        double *g = lone_parameter_gradient(l, slot, 32), typical = 0;
        for (int64_t i = 0; i < p->request.rows * p->request.columns; i++)
            typical = fmax(typical, fabs(g[i]));
        CHECK(typical > 1e-4, "%s: %s: its largest gradient is %g", what, p->name, typical);
        for (int64_t r = 0; r < p->request.rows; r++)
            for (int64_t c = 0; c < p->request.columns; c++) {
                const int64_t at = (c / AE_PANEL * p->request.rows + r) * AE_PANEL + c % AE_PANEL;
                const double want = lone_numeric(l, b->parameter[slot], at), got = g[r * p->request.columns + c];
                CHECK(fabs(got - want) <= 1e-6 * (fabs(want) + typical) + rounding, "%s: %s (%d, %d): %.12g, not %.12g", what,
                      p->name, (int)r, (int)c, got, want);
            }
        free(g);
    }
}

/* FNV-1a of what a layer computes: values and gradients without padding, gradients or new values of parameters. */
static inline uint64_t lone_hash_bytes(uint64_t hash, const void *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
    return hash;
}
static inline uint64_t lone_hash_value(const lone *l, uint64_t hash, const ae_value *v, const void *data) {
    for (int64_t r = 0; r < lone_rows(l, v); r++)
        for (int64_t c = 0; c < v->shape.width; c++) {
            const double value = lone_get(l, data, lone_index(v, r, c));
            hash = lone_hash_bytes(hash, &value, sizeof value);
        }
    return hash;
}
static inline uint64_t lone_hash(lone *l, int64_t block_rows, int64_t tile_rows) {
    const ae_binding *b = &l->node->binding;
    uint64_t hash = 0xcbf29ce484222325u;
    lone_forward(l, block_rows);
    hash = lone_hash_value(l, hash, &b->out, b->out.data);
    lone_backward(l, block_rows, false);
    for (int k = 0; k < l->node->desc.n_inputs; k++)
        if (l->node->ops->backward_data)
            hash = lone_hash_value(l, hash, &b->in[k], b->in[k].gradient);
    for (int slot = 0; slot < l->node->plan.n_parameters; slot++) {
        const ae_parameter *p = &l->net->parameters[l->node->parameter[slot]];
        double *g = lone_parameter_gradient(l, slot, tile_rows);
        hash = lone_hash_bytes(hash, g, (size_t)(p->request.rows * p->request.columns) * sizeof *g);
        free(g);
    }
    return hash;
}

/* The same bits on every instruction set and in every cut, in both precisions. `fill_inputs` writes the inputs. */
static inline void lone_check_bits(const char *what, const network *net, int64_t rows, void (*fill_inputs)(lone *l)) {
    for (int bits = 32; bits <= 64; bits += 32) {
        uint64_t first = 0;
        for (const char *const *isa = usable_isas(); *isa; isa++) {
            static const int64_t cuts[][2] = {{1000, 192}, {5, 32}, {1, 64}};
            for (int i = 0; i < 3; i++) {
                lone l;
                if (!lone_open(&l, net, bits, *isa, rows))
                    return;
                fill_inputs(&l);
                const uint64_t hash = lone_hash(&l, cuts[i][0], cuts[i][1]);
                first = first ? first : hash;
                CHECK(hash == first, "%s: f%d %s in blocks of %d", what, bits, *isa, (int)cuts[i][0]);
                lone_close(&l);
            }
        }
    }
}

/* Whole programs: the weights after some epochs, for all instruction sets and numbers of threads, with chunks and without. */
static inline void lone_check_training(const char *what, const program *p, int epochs, const double *x, int64_t rows,
                                       int64_t columns) {
    static const int threads[] = {1, 2, 3, 8, 1};
    for (int bits = 32; bits <= 64; bits += 32) {
        char *first = NULL;
        const char *const *isas = usable_isas();
        int n_isas = 0;
        while (isas[n_isas])
            n_isas++;
        for (int i = 0; i < n_isas + 4; i++) {
            ae_context context = {AE_OK, ""};
            ae_trainer *t = NULL;
            program q = *p;
            q.options.bits = bits;
            q.options.n_threads = i < n_isas ? 1 : threads[i - n_isas + 1];
            q.options.chunk_rows = i == n_isas + 3 ? 8 : 0;
            if (i < n_isas)
                setenv("AUTOENC_ISA", isas[i], 1);
            ae_status status = program_trainer(&context, &q, &t);
            unsetenv("AUTOENC_ISA");
            const ae_data data = dense_data(x, AE_F64, rows, columns);
            ae_epoch_result result = {.loss = NAN};
            if (status == AE_OK)
                status = ae_trainer_bind(&context, t, 0, &data, 1, NULL);
            if (status == AE_OK)
                status = ae_trainer_initialize(&context, t);
            for (int e = 0; e < epochs && status == AE_OK; e++)
                status = ae_trainer_epoch(&context, t, NULL, NULL, &result);
            CHECK(status == AE_OK && isfinite(result.loss), "%s: %s (loss %g)", what, context.message, result.loss);
            if (status == AE_OK) {
                const ae_net *net = ae_trainer_net(t);
                const size_t bytes = (size_t)net->parameter_reals * net->real_size;
                if (!first) {
                    first = malloc(bytes);
                    memcpy(first, net->parameter_base, bytes);
                }
                CHECK(!memcmp(first, net->parameter_base, bytes), "%s: f%d: %s, %d threads, chunks of %d", what, bits,
                      i < n_isas ? isas[i] : "best", q.options.n_threads, (int)q.options.chunk_rows);
            }
            ae_trainer_free(t);
        }
        free(first);
    }
}

static inline void lone_refused(const network *net, const char *message) {
    ae_context context = {AE_OK, ""};
    ae_net *made;
    const ae_status status = ae_net_new(&context, &made, 64, AE_ISA_REF, net->node, net->n);
    CHECK(status == AE_ERR_VALUE && strstr(context.message, message), "refused with '%s', not '%s'", context.message, message);
    ae_net_free(made);
}

#endif
