/* math/select.h. Every decision rests on exact counts, so the result is the same for all instruction sets. */
#include "math/select.h"

#include <math.h>
#include <string.h>

#include "math/panel.h"
#include "math/vec.h"

#define VECTORS (AE_PANEL / VL)

#if AE_BITS == 32
typedef int32_t order;
typedef uint32_t distance;
#define ORDER_MAX INT32_MAX
#else
typedef int64_t order;
typedef uint64_t distance;
#define ORDER_MAX INT64_MAX
#endif

/* Bits of a real as an integer that grows with it: negative numbers have theirs inverted below the sign. */
static order order_of(real x) {
    order bits;
    memcpy(&bits, &x, sizeof bits);
    return bits < 0 ? bits ^ ORDER_MAX : bits;
}

static real real_of(order o) {
    const order bits = o < 0 ? o ^ ORDER_MAX : o;
    real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* A lane counts at most 2^24 / 32 keys of a row, exact in float; longer runs are added up piece by piece. */
#define PIECE ((int64_t)1 << 24)

/* Keys from `value` on; none where it is not a number. */
static int64_t count_from(const ae_keys *keys, real value) {
    const vec pivot = v_set1(value), one = v_set1(1);
    int64_t count = 0;
    for (int64_t run = 0; run < keys->runs; run++)
        for (int64_t piece = 0; piece < keys->length; piece += PIECE) {
            const int64_t end = keys->length - piece < PIECE ? keys->length : piece + PIECE;
            const real *x = keys->at + run * keys->stride;
            vec sum[VECTORS];
            real lane[AE_PANEL];
            for (int v = 0; v < VECTORS; v++)
                sum[v] = v_zero();
            for (int64_t i = piece; i < end; i += AE_PANEL)
                for (int v = 0; v < VECTORS; v++)
                    sum[v] = v_add(sum[v], v_select(v_le(pivot, v_load(x + i + v * VL)), one, v_zero()));
            for (int v = 0; v < VECTORS; v++)
                v_store(lane + v * VL, sum[v]);
            for (int i = 0; i < AE_PANEL; i++)
                count += (int64_t)lane[i];
        }
    return count;
}

int64_t AE_V(ae_count_above)(const ae_keys *keys, real value) { return count_from(keys, real_of(order_of(value) + 1)); }

/* A value from which on there are k to `enough` keys, or the k-th largest where equal keys leave no such value. There are at
 * least k from `low` on, and none above `high`. *count: keys from it on. */
static real bisect(const ae_keys *keys, int64_t k, int64_t enough, real low, real high, int64_t *count) {
    order from = order_of(low), to = order_of(high);
    *count = count_from(keys, low);
    /* Many keys equal to the bound (zeros behind a rectifier): it is the k-th largest itself. */
    if (*count > enough && count_from(keys, real_of(from + 1)) < k)
        return low;
    while (*count > enough && from < to) {
        const order middle = (order)((distance)from + ((distance)to - (distance)from + 1) / 2);
        const int64_t here = count_from(keys, real_of(middle));
        if (here >= k) {
            from = middle;
            *count = here;
        } else {
            to = middle - 1;
        }
    }
    return real_of(from);
}

/* Largest keys of `groups` (a multiple of 32) groups, into `largest`. */
static void group_maxima(const ae_keys *keys, int64_t groups, real *largest) {
    int64_t at = 0;
    for (int64_t i = 0; i < groups; i++)
        largest[i] = -(real)INFINITY;
    for (int64_t run = 0; run < keys->runs; run++)
        for (int64_t i = 0; i < keys->length; i += AE_PANEL) {
            const real *x = keys->at + run * keys->stride + i;
            for (int v = 0; v < AE_PANEL; v += VL)
                v_store(largest + at + v, v_max(v_load(x + v), v_load(largest + at + v)));
            at = at + AE_PANEL == groups ? 0 : at + AE_PANEL;
        }
}

/* Copies the keys from `bound` on, and fills up with -infinity to a multiple of 32; their number, or -1 where there is no room. */
static int64_t gather_from(const ae_keys *keys, real bound, real *to, int64_t room) {
    const vec pivot = v_set1(bound);
    int64_t n = 0;
    for (int64_t run = 0; run < keys->runs; run++)
        for (int64_t i = 0; i < keys->length; i += VL) {
            const real *x = keys->at + run * keys->stride + i;
            if (!m_any(v_le(pivot, v_load(x))))
                continue;
            if (n + 2 * AE_PANEL > room)
                return -1;
            for (int lane = 0; lane < VL; lane++) {
                to[n] = x[lane];
                n += x[lane] >= bound;
            }
        }
    const int64_t whole = (n + AE_PANEL - 1) / AE_PANEL * AE_PANEL;
    for (int64_t i = n; i < whole; i++)
        to[i] = -(real)INFINITY;
    return whole;
}

/* Position of the n-th key that equals `value`. */
static int64_t position_of(const ae_keys *keys, real value, int64_t n) {
    const vec wanted = v_set1(value);
    for (int64_t run = 0; run < keys->runs; run++)
        for (int64_t i = 0; i < keys->length; i += VL) {
            const real *x = keys->at + run * keys->stride + i;
            if (!m_any(v_eq(wanted, v_load(x))))
                continue;
            for (int lane = 0; lane < VL; lane++)
                if (x[lane] == value && --n == 0)
                    return run * keys->length + i + lane;
        }
    return -1;
}

/* `few`: of the keys all that may be chosen, which have lost their positions; or the keys. */
static ae_selection select_among(const ae_keys *keys, const ae_keys *few, int64_t k, int64_t enough, real low, real high) {
    int64_t count;
    const real value = bisect(few, k, enough, low, high, &count);
    if (count <= enough)
        return (ae_selection){value, INT64_MAX};
    return (ae_selection){value, position_of(keys, value, k - AE_V(ae_count_above)(few, value))};
}

ae_selection AE_V(ae_select_about)(const ae_keys *keys, int64_t k, int64_t enough, real low, real high) {
    return select_among(keys, keys, k, enough, low, high);
}

ae_selection AE_V(ae_select_largest)(const ae_keys *keys, int64_t k, real floor, real *work, int64_t work_reals) {
    const int64_t groups = (4 * k + AE_PANEL - 1) / AE_PANEL * AE_PANEL;
    ae_keys from = *keys;
    real high = (real)INFINITY;
    if (keys->runs * keys->length >= 4 * groups && work_reals >= 2 * groups) {
        const ae_keys largest = {work, 1, groups, 0};
        group_maxima(keys, groups, work);
        real most = work[0];
        for (int64_t i = 1; i < groups; i++)
            most = work[i] > most ? work[i] : most;
        /* Where whole groups are empty the maxima may hold fewer than k keys above the floor. */
        if (count_from(&largest, floor) >= k) {
            int64_t count;
            const real bound = bisect(&largest, k, k + k / 8, floor, most, &count);
            floor = bound > floor ? bound : floor;
        }
        high = most > floor ? most : floor;
        const int64_t gathered = gather_from(keys, floor, work + groups, work_reals - groups);
        if (gathered >= 0)
            from = (ae_keys){work + groups, 1, gathered, 0};
    }
    return select_among(keys, &from, k, k, floor, high);
}
