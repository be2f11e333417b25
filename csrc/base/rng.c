#include "base/rng.h"

#include <stddef.h>
#include <string.h>

/* Salmon et al. 2011, section 3.3, with the constants of Random123. */
#define MULTIPLIER_0 0xD2511F53u
#define MULTIPLIER_1 0xCD9E8D57u
#define WEYL_0 0x9E3779B9u
#define WEYL_1 0xBB67AE85u

void ae_philox(ae_key key, const uint32_t counter[4], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key.k[0], k1 = key.k[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)MULTIPLIER_0 * c0, p1 = (uint64_t)MULTIPLIER_1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += WEYL_0;
        k1 += WEYL_1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The name is absorbed eight bytes at a time: they are the key of one call of Philox whose counter is the state, and
 * the result is xored to the state, so that a state cannot be run backwards to a second name (the construction of
 * Davies and Meyer). The length is in the first state, so the padding of the last piece is unambiguous. Bytes are put
 * together by shifts: the same keys on every machine. */
ae_key ae_key_of(uint64_t seed, ae_stream purpose, const char *name) {
    const size_t length = strlen(name);
    ae_key key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    const uint32_t first[4] = {(uint32_t)purpose, (uint32_t)length, (uint32_t)((uint64_t)length >> 32), 0};
    uint32_t state[4], mixed[4];
    ae_philox(key, first, state);
    for (size_t at = 0; at < length; at += 8) {
        ae_key piece = {{0, 0}};
        for (size_t i = at; i < length && i < at + 8; i++)
            piece.k[(i - at) / 4] |= (uint32_t)(unsigned char)name[i] << (8 * ((i - at) % 4));
        ae_philox(piece, state, mixed);
        for (int i = 0; i < 4; i++)
            state[i] ^= mixed[i];
    }
    return (ae_key){{state[0] ^ state[2], state[1] ^ state[3]}};
}

uint32_t ae_rng_word(ae_key key, uint64_t step, uint32_t row, uint32_t column) {
    const uint32_t counter[4] = {column / 4, row, (uint32_t)step, (uint32_t)(step >> 32)};
    uint32_t words[4];
    ae_philox(key, counter, words);
    return words[column % 4];
}
