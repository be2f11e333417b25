/* Learning rate as a function of the step. Pure, in double. */
#ifndef AE_OPTIM_SCHEDULE_H
#define AE_OPTIM_SCHEDULE_H

#include <stdint.h>

typedef enum ae_schedule_kind {
    AE_SCHEDULE_CONSTANT = 0,
    AE_SCHEDULE_STEP,        /* times factor every `period` steps */
    AE_SCHEDULE_EXPONENTIAL, /* falls geometrically from 1 to final_ratio over the steps after warm-up */
    AE_SCHEDULE_COSINE,      /* half a cosine from 1 to final_ratio (Loshchilov and Hutter 2017, without restarts) */
    AE_SCHEDULE_ONE_CYCLE, /* cosine up from 1/25 to 1 over the first 30 %, cosine down to final_ratio (Smith and Topin 2019) */
    AE_SCHEDULE_LINEAR,    /* straight from 1 to final_ratio */
    AE_SCHEDULE_KINDS
} ae_schedule_kind;

typedef struct ae_schedule {
    ae_schedule_kind kind;
    double base;          /* the highest rate */
    double final_ratio;   /* rate at the end / base */
    double factor;        /* step */
    int64_t period;       /* step; >= 1 */
    int64_t warmup_steps; /* linear from base / warmup_steps; not for one_cycle */
    int64_t total_steps;  /* >= 1; beyond it the rate stays at the end's */
} ae_schedule;

/* step: 0 for the first. After warm-up the way from 1 to final_ratio is (step - warmup_steps) / (total_steps - warmup_steps),
 * and `period` counts from there; one_cycle uses step / total_steps. The same bits with every C library.
 * Reduce-on-plateau is a factor on top, set between epochs by the caller. */
double ae_schedule_rate(const ae_schedule *schedule, int64_t step);

#endif
