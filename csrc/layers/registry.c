/* The layers of this variant. A new layer is its own file and one line here; positions travel in node descriptions, so
 * lines are added at the end. */
#include "layers/layer.h"
#include "math/variant.h"

#define LAYERS(X)         \
    X(input)              \
    X(dense)              \
    X(dropout)            \
    X(add)                \
    X(concatenate)        \
    X(batch_norm)         \
    X(top_k)              \
    X(batch_top_k)        \
    X(jump_relu)          \
    X(gated)              \
    X(kl_sparsity)        \
    X(prefixes)           \
    X(gaussian_noise)     \
    X(masking_noise)      \
    X(salt_and_pepper)    \
    X(swap_noise)         \
    X(observed)           \
    X(present)            \
    X(emphasis)           \
    X(multiply)           \
    X(subtract)           \
    X(scale)              \
    X(slice)              \
    X(repeat)             \
    X(stop)               \
    X(layer_norm)         \
    X(activation)         \
    X(gaussian_sample)    \
    X(gaussian_kl)        \
    X(free_bits)          \
    X(gaussian_log_ratio) \
    X(vector_quantize)    \
    X(binary)             \
    X(slope)              \
    X(diagonal)           \
    X(probe)              \
    X(tangent)            \
    X(noisy_copies)       \
    X(deviation)          \
    X(sum_of_squares)     \
    X(contraction)        \
    X(orthogonality)      \
    X(decorrelation)      \
    X(sparse_inference)   \
    X(split_rows)         \
    X(mixture_log_ratio)  \
    X(pseudo_inputs)      \
    X(vamp_log_ratio)     \
    X(constant)           \
    X(permute_columns)    \
    X(total_correlation)  \
    X(mmd)                \
    X(binarize)

#define DECLARE(layer) extern const ae_layer_ops AE_V(ae_layer_##layer);
LAYERS(DECLARE)

#define ENTRY(layer) &AE_V(ae_layer_##layer),
extern const ae_layer_ops *const AE_V(ae_layers)[];
const ae_layer_ops *const AE_V(ae_layers)[] = {LAYERS(ENTRY) 0};
