/* Counter-based randomness: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
 *
 * A draw is a function of a key and of (step, row, column) only, so it depends neither on threads nor on the order of
 * work, and a stream that is added never shifts another. Pure functions, thread safe. Vectorised fills: math/random.h.
 */
#ifndef AE_BASE_RNG_H
#define AE_BASE_RNG_H

#include <stdint.h>

typedef struct ae_key {
    uint32_t k[2];
} ae_key;

/* What a stream is for; together with a name (a node's, usually) it makes the key. */
typedef enum ae_stream {
    AE_STREAM_INIT = 1,
    AE_STREAM_SPLIT,
    AE_STREAM_SHUFFLE,
    AE_STREAM_CORRUPTION,
    AE_STREAM_LATENT,
    AE_STREAM_SCORING,
    AE_STREAM_CURVATURE,
    AE_STREAM_ROUNDING
} ae_stream;

/* The key of stream `purpose` of `name` (a C string, may be "") under the fit's seed. */
ae_key ae_key_of(uint64_t seed, ae_stream purpose, const char *name);

/* The four words of one counter. */
void ae_philox(ae_key key, const uint32_t counter[4], uint32_t out[4]);

/* The word at (step, row, column): counter {column / 4, row, step low, step high}, word column % 4. */
uint32_t ae_rng_word(ae_key key, uint64_t step, uint32_t row, uint32_t column);

#endif
