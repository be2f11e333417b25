/* The fma() of MinGW-w64 goes through the 80-bit format and rounds twice. These take its place in what is linked with them,
 * because the same bits in every variant rest on it. */
#include "math/fused.h"

#if defined(_WIN32) && defined(__x86_64__)
double fma(double a, double b, double c) { return ae_fused_f64(a, b, c); }
float fmaf(float a, float b, float c) { return ae_fused_f32(a, b, c); }
#endif
