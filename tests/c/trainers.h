/* A trainer with data and weights, and its steps with their status checked: what the tests of training begin with. Needs the
 * harness. */
#ifndef AE_TEST_TRAINERS_H
#define AE_TEST_TRAINERS_H

#include "harness.h"
#include "networks.h"

/* Made, bound to n sources as training data, and initialised; NULL after a failed check. */
static inline ae_trainer *trainer_started(const program *p, const ae_data *sources, int n, const double *row_weight) {
    ae_context context = {AE_OK, ""};
    ae_trainer *t = NULL;
    ae_status status = program_trainer(&context, p, &t);
    if (status == AE_OK)
        status = ae_trainer_bind(&context, t, 0, sources, n, row_weight);
    if (status == AE_OK)
        status = ae_trainer_initialize(&context, t);
    CHECK(status == AE_OK, "%s", context.message);
    if (status == AE_OK)
        return t;
    ae_trainer_free(t);
    return NULL;
}

/* One epoch; its loss is NaN after a failed check. */
static inline ae_epoch_result trainer_epoch(ae_trainer *t) {
    ae_context context;
    ae_epoch_result result = {.loss = NAN};
    const ae_status status = ae_trainer_epoch(&context, t, NULL, NULL, &result);
    CHECK(status == AE_OK, "%s", context.message);
    return result;
}
static inline double trainer_epoch_loss(ae_trainer *t) { return trainer_epoch(t).loss; }

/* The array of the rule's state as it lies in the core. */
static inline ae_trainer_part trainer_state_part(ae_trainer *t, int which) {
    ae_trainer_part parts[AE_TRAINER_PARTS];
    ae_trainer_parts(t, parts);
    return parts[1 + which];
}

/* Loss of the first rows of the training data. */
static inline double trainer_loss(ae_trainer *t, int64_t rows) {
    ae_context context;
    double loss = NAN;
    const ae_status status = ae_trainer_evaluate(&context, t, 0, 0, rows, false, NULL, NULL, &loss);
    CHECK(status == AE_OK, "%s", context.message);
    return loss;
}

#endif
