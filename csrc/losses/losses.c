/* From precision, instruction set and position to the operations of a loss. */
#include <stddef.h>
#include <string.h>

#include "losses/loss.h"
#include "math/variant.h"

#define DECLARE(suffix, bits, isa) extern const ae_loss_ops *const ae_losses_##suffix[];
AE_FOR_EACH_VARIANT(DECLARE)

#define ENTRY(suffix, bits, isa) {bits, isa, ae_losses_##suffix},
static const struct {
    int bits;
    ae_isa isa;
    const ae_loss_ops *const *losses;
} variants[] = {AE_FOR_EACH_VARIANT(ENTRY)};

const ae_loss_ops *ae_loss_get(int bits, ae_isa isa, int index) {
    for (size_t v = 0; v < sizeof variants / sizeof variants[0]; v++)
        if (variants[v].bits == bits && variants[v].isa == isa) {
            /* Walked, because the list ends with NULL and its length is known to the registry only. */
            const ae_loss_ops *const *losses = variants[v].losses;
            for (int i = 0; losses[i]; i++)
                if (i == index)
                    return losses[i];
        }
    return NULL;
}

int ae_loss_find(const char *name) {
    for (int i = 0; variants[0].losses[i]; i++)
        if (strcmp(variants[0].losses[i]->name, name) == 0)
            return i;
    return -1;
}
