/* All losses of this variant, one line each. The position is the number that node descriptions use: append only. */
#include <stddef.h>

#include "losses/loss.h"
#include "math/variant.h"

#define LOSSES(X)        \
    X(squared_error)     \
    X(absolute_error)    \
    X(huber)             \
    X(log_cosh)          \
    X(log_loss)          \
    X(poisson)           \
    X(multinomial)       \
    X(sum)               \
    X(correntropy)       \
    X(gaussian)          \
    X(negative_binomial) \
    X(categorical)

#define DECLARE(name) extern const ae_loss_ops AE_V(ae_loss_##name);
#define ENTRY(name) &AE_V(ae_loss_##name),

LOSSES(DECLARE)

const ae_loss_ops *const AE_V(ae_losses)[] = {LOSSES(ENTRY) NULL};
