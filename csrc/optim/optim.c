/* From precision, instruction set and position to the operations of a rule. */
#include <stddef.h>
#include <string.h>

#include "math/variant.h"
#include "optim/rule.h"

#define DECLARE(suffix, bits, isa) extern const ae_rule_ops *const ae_rules_##suffix[];
AE_FOR_EACH_VARIANT(DECLARE)

#define ENTRY(suffix, bits, isa) {bits, isa, ae_rules_##suffix},
static const struct {
    int bits;
    ae_isa isa;
    const ae_rule_ops *const *rules;
} variants[] = {AE_FOR_EACH_VARIANT(ENTRY)};

const ae_rule_ops *ae_rule_get(int bits, ae_isa isa, int index) {
    for (size_t v = 0; v < sizeof variants / sizeof variants[0]; v++)
        if (variants[v].bits == bits && variants[v].isa == isa) {
            /* Walked, because the list ends with NULL and its length is known to the registry only. */
            const ae_rule_ops *const *rules = variants[v].rules;
            for (int i = 0; rules[i]; i++)
                if (i == index)
                    return rules[i];
        }
    return NULL;
}

int ae_rule_find(const char *name) {
    for (int i = 0; variants[0].rules[i]; i++)
        if (strcmp(variants[0].rules[i]->name, name) == 0)
            return i;
    return -1;
}
