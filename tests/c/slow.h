/* SLOW: 1 where ThreadSanitizer makes everything ten times slower, so that tests which are not about threads try less. */
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

#endif
