/* Printed by csrc/math/coefficients.py; not edited by hand. */
#ifndef AE_MATH_COEFFICIENTS_H
#define AE_MATH_COEFFICIENTS_H

#include "math/variant.h"

/* clang-format off */
#if AE_BITS == 32

#define VF_LN2_HIGH ((real)0x1.62e4300000000p-1)
#define VF_LN2_LOW ((real)-0x1.05c6100000000p-29)
#define VF_TWO_PI_HIGH ((real)0x1.921fb60000000p+2)
#define VF_TWO_PI_LOW ((real)-0x1.777a5c0000000p-23)
/* e^r = 1 + r + r^2 P(r), |r| <= ln(2)/2, relative to e^r; 5 coefficients, error 2^-28.0. */
static const real vf_exp_c[] = {
    (real)0x1.fffffc0000000p-2,
    (real)0x1.5554920000000p-3,
    (real)0x1.5558f20000000p-5,
    (real)0x1.1239d20000000p-7,
    (real)0x1.6a243c0000000p-10,
};
/* e^r - 1 = r + r^2 P(r), |r| <= ln(2)/2, relative to e^r - 1; 6 coefficients, error 2^-28.8. */
static const real vf_expm1_c[] = {
    (real)0x1.0000000000000p-1,
    (real)0x1.5555540000000p-3,
    (real)0x1.5554b20000000p-5,
    (real)0x1.11118a0000000p-7,
    (real)0x1.6d71e20000000p-10,
    (real)0x1.a0311a0000000p-13,
};
/* ln(1 + f) = f - f^2/2 + f^3 P(f), sqrt(1/2) <= 1 + f <= sqrt(2), relative; 8 coefficients, error 2^-27.2. */
static const real vf_log_c[] = {
    (real)0x1.5555540000000p-2,
    (real)-0x1.0002260000000p-2,
    (real)0x1.99a0060000000p-3,
    (real)-0x1.54724c0000000p-3,
    (real)0x1.22da500000000p-3,
    (real)-0x1.0d853e0000000p-3,
    (real)0x1.055a560000000p-3,
    (real)-0x1.38b32a0000000p-4,
};
/* tanh(x) = x + x z P(z), z = x^2, |x| <= 0.55, relative; 5 coefficients, error 2^-29.7. */
static const real vf_tanh_c[] = {
    (real)-0x1.55554a0000000p-2,
    (real)0x1.110cee0000000p-3,
    (real)-0x1.b91e7e0000000p-5,
    (real)0x1.58e5180000000p-6,
    (real)-0x1.9921a20000000p-8,
};
/* erf(x) = x + x P(x^2), |x| <= 1, relative; 7 coefficients, error 2^-29.4. */
static const real vf_erf_c[] = {
    (real)0x1.06eba80000000p-3,
    (real)-0x1.81273e0000000p-2,
    (real)0x1.ce2ce60000000p-4,
    (real)-0x1.b7f71a0000000p-6,
    (real)0x1.53f2240000000p-8,
    (real)-0x1.a3515e0000000p-11,
    (real)0x1.4771fe0000000p-14,
};
/* -ln erfc(1 + d) = P(d), 0 <= d <= 3, error of 1 - e^-P; 7 coefficients, error 2^-26.9. */
static const real vf_erfc_c[] = {
    (real)0x1.d97fc00000000p+0,
    (real)0x1.51c9880000000p+1,
    (real)0x1.afb44a0000000p-1,
    (real)0x1.5205260000000p-5,
    (real)-0x1.35bf100000000p-7,
    (real)0x1.8441bc0000000p-10,
    (real)-0x1.79f0c00000000p-14,
};
#define VF_TAIL_CENTRE ((real)0x1.0f876c0000000p+2)
/* Phi(-a) = e^(-a^2/2) P(y), y = (a - k)/(a + k), k = 3 sqrt(2), a >= 0, relative; 11 coefficients, error 2^-26.3. */
static const real vf_tail_c[] = {
    (real)0x1.6e98280000000p-4,
    (real)-0x1.4e102c0000000p-3,
    (real)0x1.f6ff200000000p-4,
    (real)-0x1.336fe80000000p-4,
    (real)0x1.258b220000000p-5,
    (real)-0x1.8facb80000000p-7,
    (real)0x1.17c1760000000p-9,
    (real)0x1.7725de0000000p-12,
    (real)-0x1.37a1ce0000000p-12,
    (real)0x1.eb583a0000000p-17,
    (real)0x1.d685a80000000p-16,
};
/* sin(2 pi r) = 2 pi r + r z P(z), z = r^2, |r| <= 1/8, relative; 3 coefficients, error 2^-27.9. */
static const real vf_sin_c[] = {
    (real)-0x1.4abbbe0000000p+5,
    (real)0x1.465fac0000000p+6,
    (real)-0x1.2db5a60000000p+6,
};
/* cos(2 pi r) = 1 + z P(z), z = r^2, |r| <= 1/8, relative; 4 coefficients, error 2^-31.1. */
static const real vf_cos_c[] = {
    (real)-0x1.3bd3cc0000000p+4,
    (real)0x1.03c1b00000000p+6,
    (real)-0x1.55b2b60000000p+6,
    (real)0x1.d4f7f20000000p+5,
};

#else

#define VF_LN2_HIGH ((real)0x1.62e42fefa39efp-1)
#define VF_LN2_LOW ((real)0x1.abc9e3b39803fp-56)
#define VF_TWO_PI_HIGH ((real)0x1.921fb54442d18p+2)
#define VF_TWO_PI_LOW ((real)0x1.1a62633145c07p-52)
/* e^r = 1 + r + r^2 P(r), |r| <= ln(2)/2, relative to e^r; 10 coefficients, error 2^-56.3. */
static const real vf_exp_c[] = {
    (real)0x1.000000000000ap-1,
    (real)0x1.55555555554fap-3,
    (real)0x1.5555555550892p-5,
    (real)0x1.1111111127ba0p-7,
    (real)0x1.6c16c18425275p-10,
    (real)0x1.a01a012a5d90ap-13,
    (real)0x1.a0199a1a4ec75p-16,
    (real)0x1.71df2564ece04p-19,
    (real)0x1.28ad657880d23p-22,
    (real)0x1.ad7f258039d23p-26,
};
/* e^r - 1 = r + r^2 P(r), |r| <= ln(2)/2, relative to e^r - 1; 11 coefficients, error 2^-59.9. */
static const real vf_expm1_c[] = {
    (real)0x1.0000000000000p-1,
    (real)0x1.5555555555559p-3,
    (real)0x1.555555555553fp-5,
    (real)0x1.111111110f6e2p-7,
    (real)0x1.6c16c16c1eff3p-10,
    (real)0x1.a01a01afd0813p-13,
    (real)0x1.a01a017bf2acfp-16,
    (real)0x1.71ddf887a6aa5p-19,
    (real)0x1.27e535cc7cf54p-22,
    (real)0x1.af5e64ae0e305p-26,
    (real)0x1.1ee918d964ff1p-29,
};
/* ln(1 + f) = 2 s + s z P(z), s = f / (2 + f), z = s^2, |s| <= 0.1716, relative; 7 coefficients, error 2^-59.5. */
static const real vf_log_c[] = {
    (real)0x1.5555555555592p-1,
    (real)0x1.999999997fed7p-2,
    (real)0x1.24924941e77f1p-2,
    (real)0x1.c71c520dc38e0p-3,
    (real)0x1.74663e87ab088p-3,
    (real)0x1.39a1b9b92d8bcp-3,
    (real)0x1.2f05c78d2584fp-3,
};
/* tanh(x) = x + x z P(z), z = x^2, |x| <= 0.55, relative; 10 coefficients, error 2^-55.5. */
static const real vf_tanh_c[] = {
    (real)-0x1.555555555549ep-2,
    (real)0x1.11111111029b6p-3,
    (real)-0x1.ba1ba1ad73e13p-5,
    (real)0x1.664f45c33e015p-6,
    (real)-0x1.226ddd519278ep-7,
    (real)0x1.d6c61ed54ba4fp-9,
    (real)-0x1.7cf3c84f3dfe3p-10,
    (real)0x1.2fa2c68671565p-11,
    (real)-0x1.b90b417de1ecbp-13,
    (real)0x1.ac052bf0e5e70p-15,
};
/* erf(x) = x + x P(x^2), |x| <= 1, relative; 12 coefficients, error 2^-56.0. */
static const real vf_erf_c[] = {
    (real)0x1.06eba8214db68p-3,
    (real)-0x1.812746b03799dp-2,
    (real)0x1.ce2f21a03f8abp-4,
    (real)-0x1.b82ce311a8fc7p-6,
    (real)0x1.565bcceebf2a8p-8,
    (real)-0x1.c02daeb1488d1p-11,
    (real)0x1.f9a29601be3ecp-14,
    (real)-0x1.f4c821bdfe2dbp-17,
    (real)0x1.b96abb5dac53fp-20,
    (real)-0x1.5b8817ff0f974p-23,
    (real)0x1.d3bba55521ce2p-27,
    (real)-0x1.a1ccacf0e3d1bp-31,
};
/* -ln erfc(1 + d) = P(d), 0 <= d <= 5, error of 1 - e^-P; 18 coefficients, error 2^-57.0. */
static const real vf_erfc_c[] = {
    (real)0x1.d97fbf27aa2a1p+0,
    (real)0x1.51c9b0006c22ap+1,
    (real)0x1.afabc11a2a729p-1,
    (real)0x1.5477f09a3e53ap-5,
    (real)-0x1.48c9d391f3421p-7,
    (real)0x1.033f5b94f7570p-9,
    (real)-0x1.f1b09f49e3457p-13,
    (real)-0x1.b92767ed1a3c8p-16,
    (real)0x1.c847780f44c29p-16,
    (real)-0x1.44681459e07d1p-17,
    (real)0x1.1dbb1e3af893ep-19,
    (real)-0x1.b34ac21b86a09p-23,
    (real)-0x1.fb75df1e1b72ap-25,
    (real)0x1.22287d540dd0ep-25,
    (real)-0x1.281ab38737deep-27,
    (real)0x1.6f34efc1c65f4p-30,
    (real)-0x1.0a20193f28b15p-33,
    (real)0x1.5bc07f870de54p-38,
};
#define VF_TAIL_CENTRE ((real)0x1.6a09e667f3bcdp+2)
/* Phi(-a) = e^(-a^2/2) P(y), y = (a - k)/(a + k), k = 4 sqrt(2), a >= 0, relative; 24 coefficients, error 2^-51.2. */
static const real vf_tail_c[] = {
    (real)0x1.18932bf08e154p-4,
    (real)-0x1.094922737431ap-3,
    (real)0x1.bff01a5f90864p-4,
    (real)-0x1.506666f69e509p-4,
    (real)0x1.be502c36582fap-5,
    (real)-0x1.027d5744b779fp-5,
    (real)0x1.0066e10499feap-6,
    (real)-0x1.a4ded413b896fp-8,
    (real)0x1.0a17eb790f53cp-9,
    (real)-0x1.a2f8fc65febc2p-12,
    (real)-0x1.6d19d89639441p-17,
    (real)0x1.4b4791fd09f90p-15,
    (real)-0x1.7a6d94fec505fp-17,
    (real)-0x1.fee80e2210d1dp-21,
    (real)0x1.8b390e5b1d664p-20,
    (real)-0x1.b6c3dac0ec01bp-23,
    (real)-0x1.313b597cab0d9p-23,
    (real)0x1.9cc176c0a2df5p-25,
    (real)0x1.b7502bece7cefp-27,
    (real)-0x1.04d167d53bd35p-27,
    (real)-0x1.56f7bde5e775cp-30,
    (real)0x1.f53c32dfa192dp-31,
    (real)0x1.1732d202750a4p-33,
    (real)-0x1.9ebde1f8a91c2p-35,
};
/* sin(2 pi r) = 2 pi r + r z P(z), z = r^2, |r| <= 1/8, relative; 6 coefficients, error 2^-57.9. */
static const real vf_sin_c[] = {
    (real)-0x1.4abbce625be46p+5,
    (real)0x1.466bc67758c4cp+6,
    (real)-0x1.32d2cce31bef7p+6,
    (real)0x1.5078300342d44p+5,
    (real)-0x1.e3008fa36f395p+3,
    (real)0x1.e3fbdd5447fddp+1,
};
/* cos(2 pi r) = 1 + z P(z), z = r^2, |r| <= 1/8, relative; 7 coefficients, error 2^-61.5. */
static const real vf_cos_c[] = {
    (real)-0x1.3bd3cc9be45dep+4,
    (real)0x1.03c1f081b5a52p+6,
    (real)-0x1.55d3c7e3bfe56p+6,
    (real)0x1.e1f50675b205ap+5,
    (real)-0x1.a6d1e238dfcf2p+4,
    (real)0x1.f9c4adacce73cp+2,
    (real)-0x1.b0345623fb3e3p+0,
};

#endif
/* clang-format on */

#endif
