/* How a phase takes its times: a lap begins with the task and each row ends one. Without a profile a lap is a NULL. */
#ifndef AE_TRAIN_LAPS_H
#define AE_TRAIN_LAPS_H

#include "train/internal.h"
#include "train/profile.h"

/* In the order of a step. By worker: */
typedef enum profile_phase {
    PROFILE_GATHER,
    PROFILE_FORWARD, /* by node, and so are the next ones with a subject but for the losses */
    PROFILE_LOSS,    /* by loss */
    PROFILE_BACKWARD,
    PROFILE_WEIGHTS, /* gradient, by the node that owns the parameter */
    PROFILE_UPDATE,
    PROFILE_CURVATURE, /* of K-FAC: averages of its factors, their inverses, and its step */
    PROFILE_INVERSES,
    PROFILE_DIRECTION,
    /* By the calling thread, for which the others wait: */
    PROFILE_COUPLE, /* by node, both ways */
    PROFILE_SUMS,   /* of losses */
    PROFILE_ORDER,  /* of pairs */
    PROFILE_LIMITS, /* norms, clipping, constraints */
    PROFILE_ASSIGN,
    PROFILE_LBFGS,
    PROFILE_SNAPSHOT,
    PROFILE_EVALUATION,
    PROFILE_PHASES
} profile_phase;

typedef struct profile_cell {
    double seconds;
    int64_t calls;
} profile_cell;

typedef struct profile_counts {
    double flops, bytes;
} profile_counts;

struct ae_profile {
    ae_profile_total total;
    int first[PROFILE_PHASES + 1]; /* row of a phase's first subject */
    int64_t stride;                /* cells from one worker to the next */
    profile_cell *cells;
    profile_counts *counts; /* by row */
};

typedef struct lap {
    ae_profile *profile;
    profile_cell *cells;
    double since;
} lap;

/* NULL into t->profile where none is wanted. The network is planned, the losses are checked. */
ae_status profile_new(ae_context *context, ae_trainer *t);
void profile_free(ae_profile *profile);
lap profile_begin(ae_profile *profile, int worker);
void profile_end(lap *l, profile_phase phase, int subject);
void profile_step(ae_profile *profile, bool counts, int workers);
/* Operations and bytes of a chunk of `rows` rows that has just run. keeps: the gradient went to its region. */
void profile_count(const ae_trainer *t, const stage *s, int64_t rows, bool gradients, bool keeps, bool updates);

static inline lap lap_begin(const ae_trainer *t, int worker) {
    return t->profile ? profile_begin(t->profile, worker) : (lap){NULL, NULL, 0};
}

static inline void lap_end(lap *l, profile_phase phase, int subject) {
    if (l->profile)
        profile_end(l, phase, subject);
}

#endif
