/* The inner loop of math/hamming.c. Instruction sets differ by what the compiler makes of a count of ones. */
#include "math/hamming.h"

AE_INLINE void distances(int64_t n, int64_t words, const uint64_t *codes, const uint64_t *query, int32_t *out) {
    for (int64_t i = 0; i < n; i++) {
        int32_t ones = 0;
        for (int64_t w = 0; w < words; w++)
            ones += __builtin_popcountll(codes[i * words + w] ^ query[w]);
        out[i] = ones;
    }
}

/* The usual lengths as constants, so that their loops are unrolled. */
void AE_V(ae_hamming_distances)(int64_t n, int64_t words, const uint64_t *codes, const uint64_t *query, int32_t *out) {
    if (words == 1)
        distances(n, 1, codes, query, out);
    else if (words == 2)
        distances(n, 2, codes, query, out);
    else if (words == 4)
        distances(n, 4, codes, query, out);
    else
        distances(n, words, codes, query, out);
}
