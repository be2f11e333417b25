/* SLOW: 1 where ThreadSanitizer makes everything ten times slower, so that tests which are not about threads try less.
 * FEWER: what the strides of central differences are multiplied by: sanitizers look for where a gradient is read and
 * written, which an eighth of the entries shows as well; what it is the plain build says. */
#ifndef AE_TEST_SLOW_H
#define AE_TEST_SLOW_H

#if defined(__SANITIZE_THREAD__)
#define SLOW 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLOW 1
#endif
#endif
#if !defined(SLOW)
#define SLOW 0
#endif

#if SLOW || defined(__SANITIZE_ADDRESS__)
#define FEWER 8
#else
#define FEWER 1
#endif

#endif
