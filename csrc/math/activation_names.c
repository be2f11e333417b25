#include <string.h>

#include "math/activation.h"

static const char *const names[AE_ACTIVATION_COUNT] = {
    [AE_IDENTITY] = "identity", [AE_RELU] = "relu",         [AE_LEAKY_RELU] = "leaky_relu",
    [AE_ELU] = "elu",           [AE_SELU] = "selu",         [AE_GELU] = "gelu",
    [AE_SILU] = "silu",         [AE_SOFTPLUS] = "softplus", [AE_TANH] = "tanh",
    [AE_LOGISTIC] = "logistic", [AE_EXP] = "exp",           [AE_SOFTMAX] = "softmax",
};

const char *ae_activation_name(ae_activation activation) {
    return (unsigned)activation < AE_ACTIVATION_COUNT ? names[activation] : "unknown";
}

int ae_activation_find(const char *name) {
    for (int i = 0; i < AE_ACTIVATION_COUNT; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

bool ae_activation_keeps_slope(ae_activation activation) { return activation == AE_GELU || activation == AE_SILU; }
