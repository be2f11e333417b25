/* All rules of this variant, one line each. The position is the number that parameter descriptions use: append only. */
#include <stddef.h>

#include "math/variant.h"
#include "optim/rule.h"

#define RULES(X) \
    X(sgd)       \
    X(rmsprop)   \
    X(adagrad)   \
    X(adam)      \
    X(adamw)

#define DECLARE(name) extern const ae_rule_ops AE_V(ae_rule_##name);
#define ENTRY(name) &AE_V(ae_rule_##name),

RULES(DECLARE)

const ae_rule_ops *const AE_V(ae_rules)[] = {RULES(ENTRY) NULL};
