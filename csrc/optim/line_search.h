/* A step length that satisfies the strong Wolfe conditions, by bracketing and zoom (Nocedal and Wright 2006, algorithms 3.5
 * and 3.6), one evaluation at a time. Only numbers, in double: the caller moves along its direction and comes back with
 * value and slope. */
#ifndef AE_OPTIM_LINE_SEARCH_H
#define AE_OPTIM_LINE_SEARCH_H

#include <stdbool.h>

typedef struct ae_search_point {
    double step, value, slope;
} ae_search_point;

typedef enum ae_search_verdict {
    AE_SEARCH_GO_ON,     /* evaluate at search->step */
    AE_SEARCH_ACCEPT,    /* the point just given satisfies both conditions */
    AE_SEARCH_FALL_BACK, /* no evaluations left: search->low is the best that lowers the value enough */
    AE_SEARCH_FAILED     /* no evaluations left, and none did */
} ae_search_verdict;

typedef struct ae_line_search {
    ae_search_point start; /* step 0; slope < 0 */
    ae_search_point low;   /* lowest point so far that lowers the value enough, or start */
    ae_search_point high;  /* the other end once bracketed; its value may be infinite */
    bool bracketed;
    bool low_is_new; /* the point just given became `low` */
    double step;     /* to evaluate next */
    double noise;    /* differences of the value below it mean nothing */
    int evaluations, max_evaluations;
} ae_line_search;

/* precision: relative rounding error of values. */
void ae_line_search_start(ae_line_search *search, double value, double slope, double first_step, double precision,
                          int max_evaluations);

/* value and slope at search->step; not finite where the function is not. */
ae_search_verdict ae_line_search_advance(ae_line_search *search, double value, double slope);

#endif
