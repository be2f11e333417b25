/* The state of a trainer between two epochs, out of it and into another one: of a rule, and all that a checkpoint holds. Streams, schedule and the
 * order of rows follow from the seed and from the counts of steps and epochs; scratch, gradients and the search of L-BFGS hold
 * nothing between epochs. */
#include <math.h>
#include <string.h>

#include "train/kfac.h"

enum { STEP, EPOCH, RATE_SCALE, LAST_RATE, LAST_OBJECTIVE, HAS_BEST, LBFGS_STARTED, LBFGS, KFAC = LBFGS + AE_LBFGS_NUMBERS };

_Static_assert(KFAC + 2 == AE_TRAINER_NUMBERS, "the numbers of K-FAC come last");

int ae_trainer_n_state(const ae_trainer *t) { return t->n_state; }

/* Of a state in bfloat16: the number of a column of one of its rows of 32. */
static ae_bf16 *rounded_at(const ae_trainer *t, int which, const ae_parameter *p, int64_t row, int64_t column) {
    const int64_t at = p->offset + (column / AE_PANEL * p->request.rows + row) * AE_PANEL;
    const int64_t within = column % AE_PANEL;
    return (ae_bf16 *)(void *)t->state[which] + at + within % 16 * 2 + within / 16;
}

void ae_trainer_get_state(const ae_trainer *t, int which, int parameter, void *row_major) {
    const ae_parameter *p = &t->net->parameters[parameter];
    if (!t->rounds_state) {
        ae_net_unpack(t->net, parameter, t->state[which], row_major);
        return;
    }
    uint32_t *bits = row_major;
    for (int64_t row = 0; row < p->request.rows; row++)
        for (int64_t column = 0; column < p->request.columns; column++)
            *bits++ = (uint32_t)*rounded_at(t, which, p, row, column) << 16;
}

void ae_trainer_set_state(ae_trainer *t, int which, int parameter, const void *row_major) {
    const ae_parameter *p = &t->net->parameters[parameter];
    if (!t->rounds_state) {
        ae_net_pack(t->net, parameter, row_major, t->state[which]);
        return;
    }
    const uint32_t *bits = row_major;
    for (int64_t row = 0; row < p->request.rows; row++)
        for (int64_t column = 0; column < p->request.columns; column++, bits++) {
            const bool number = (*bits & 0x7fffffffu) <= 0x7f800000u;
            const uint32_t nearest = number ? *bits + 0x7fffu + (*bits >> 16 & 1u) : *bits | 0x00400000u;
            *rounded_at(t, which, p, row, column) = (ae_bf16)(nearest >> 16);
        }
}

int ae_trainer_parts(ae_trainer *t, ae_trainer_part *parts) {
    static const char *const states[AE_RULE_MAX_STATE] = {"state_0", "state_1", "state_2"};
    const size_t reals = (size_t)t->net->parameter_reals, size = t->net->real_size;
    int n = 0;
    parts[n++] = (ae_trainer_part){"parameters", t->net->parameter_base, reals, size};
    for (int i = 0; i < t->n_state; i++)
        parts[n++] = (ae_trainer_part){states[i], t->state[i], reals, t->rounds_state ? sizeof(ae_bf16) : size};
    if (t->best)
        parts[n++] = (ae_trainer_part){"best", t->best, reals, size};
    parts[n++] = (ae_trainer_part){"terms", (char *)t->term_loss, (size_t)t->n_losses, sizeof(double)};
    if (t->lbfgs) {
        ae_lbfgs_region regions[AE_LBFGS_REGIONS];
        ae_lbfgs_regions(t->lbfgs, regions);
        for (int i = 0; i < AE_LBFGS_REGIONS; i++)
            parts[n++] = (ae_trainer_part){regions[i].name, regions[i].data, regions[i].count, regions[i].size};
    }
    if (t->kfac) {
        size_t count;
        char *state = train_kfac_state(t->kfac, &count);
        parts[n++] = (ae_trainer_part){"curvature", state, count, size};
    }
    return n;
}

void ae_trainer_numbers(const ae_trainer *t, double *numbers) {
    memset(numbers, 0, AE_TRAINER_NUMBERS * sizeof *numbers);
    numbers[STEP] = (double)t->step;
    numbers[EPOCH] = (double)t->epoch;
    numbers[RATE_SCALE] = t->rate_scale;
    numbers[LAST_RATE] = t->last_rate;
    numbers[LAST_OBJECTIVE] = t->last_objective;
    numbers[HAS_BEST] = t->has_best;
    numbers[LBFGS_STARTED] = t->lbfgs_started;
    if (t->kfac)
        train_kfac_numbers(t->kfac, numbers + KFAC);
    if (t->lbfgs)
        ae_lbfgs_numbers(t->lbfgs, numbers + LBFGS);
}

static bool is_count(double number) { return number >= 0 && number <= 0x1p53 && number == floor(number); }

ae_status ae_trainer_restore(ae_context *context, ae_trainer *t, const void *const *data, const double *numbers) {
    ae_trainer_part parts[AE_TRAINER_PARTS];
    const int n = ae_trainer_parts(t, parts);
    if (!is_count(numbers[STEP]) || !is_count(numbers[EPOCH]) || !(numbers[RATE_SCALE] > 0) || !isfinite(numbers[RATE_SCALE]) ||
        (numbers[HAS_BEST] != 0 && !t->best) || (numbers[LBFGS_STARTED] != 0 && !t->lbfgs) ||
        (t->kfac ? !train_kfac_accepts(numbers + KFAC) : numbers[KFAC] != 0 || numbers[KFAC + 1] != 0) ||
        (t->lbfgs && !ae_lbfgs_accepts(t->lbfgs, numbers + LBFGS)))
        return ae_fail(context, AE_ERR_VALUE, "the numbers of a trainer's state are not such as one gives");
    for (int i = 0; i < n; i++)
        memcpy(parts[i].data, data[i], parts[i].count * parts[i].size);
    t->step = (int64_t)numbers[STEP];
    t->epoch = (int64_t)numbers[EPOCH];
    t->rate_scale = numbers[RATE_SCALE];
    t->last_rate = numbers[LAST_RATE];
    t->last_objective = numbers[LAST_OBJECTIVE];
    t->has_best = numbers[HAS_BEST] != 0;
    t->lbfgs_started = numbers[LBFGS_STARTED] != 0;
    if (t->kfac)
        train_kfac_take(t->kfac, numbers + KFAC);
    if (t->lbfgs)
        ae_lbfgs_take(t->lbfgs, numbers + LBFGS);
    ae_net_pack_all(t->net);
    train_keep_last(t);
    return AE_OK;
}
