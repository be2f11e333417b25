/* What tests leave out under sanitizers, which look for where memory is read and written and by whom; that the numbers are
 * right is what the plain build says.
 * SLOW: 1 under ThreadSanitizer, ten times slower: tests which are not about threads try less.
 * SANITIZED: 1 under any: comparisons of whole trainings have fewer cases, without plain C, whose accesses are those of
 * the vector sets one by one (the tests of kernels and gradients have it here too).
 * FEWER: what the strides of central differences are multiplied by; an eighth of the entries reads the same places. */
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
#define SANITIZED 1
#define FEWER 8
#else
#define SANITIZED 0
#define FEWER 1
#endif

#endif
