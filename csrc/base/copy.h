/* Copies for later: past the caches where the machine can. */
#ifndef AE_BASE_COPY_H
#define AE_BASE_COPY_H

#include <stddef.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* memcpy to what nobody reads soon, for more bytes than the caches hold: lines that are to be overwritten need not come from memory
 * first, which is a third of what moves. Both ends on 16 bytes. */
static inline void ae_copy_away(void *to, const void *from, size_t bytes) {
    size_t done = 0;
#if defined(__SSE2__)
    enum { LINE = 64 };
    for (; done + LINE <= bytes; done += LINE) {
        const __m128i *source = (const __m128i *)(const void *)((const char *)from + done);
        __m128i *target = (__m128i *)(void *)((char *)to + done);
        const __m128i a = _mm_load_si128(source), b = _mm_load_si128(source + 1), c = _mm_load_si128(source + 2),
                      d = _mm_load_si128(source + 3);
        _mm_stream_si128(target, a);
        _mm_stream_si128(target + 1, b);
        _mm_stream_si128(target + 2, c);
        _mm_stream_si128(target + 3, d);
    }
    _mm_sfence(); /* before others are told that it is there */
#endif
    memcpy((char *)to + done, (const char *)from + done, bytes - done);
}

#endif
