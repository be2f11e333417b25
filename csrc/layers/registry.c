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
    X(gaussian_sample)    \
    X(gaussian_kl)        \
    X(free_bits)          \
    X(gaussian_log_ratio) \
    X(vector_quantize)    \
    X(binary)             \
    X(mixture_log_ratio)  \
    X(pseudo_inputs)      \
    X(vamp_log_ratio)     \
    X(constant)           \
    X(permute_columns)    \
    X(total_correlation)  \
    X(mmd)

#define DECLARE(layer) extern const ae_layer_ops AE_V(ae_layer_##layer);
LAYERS(DECLARE)

#define ENTRY(layer) &AE_V(ae_layer_##layer),
extern const ae_layer_ops *const AE_V(ae_layers)[];
const ae_layer_ops *const AE_V(ae_layers)[] = {LAYERS(ENTRY) 0};
