/* Names of initializers and the way from (precision, instruction set) to a variant's layers. */
#include <string.h>

#include "layers/layer.h"
#include "math/variant.h"

#define DECLARE(suffix, bits, isa)                                                                                            \
    extern const ae_layer_ops *const ae_layers_##suffix[];                                                                    \
    ae_status ae_initialize_##suffix(ae_context *context, const ae_parameter_request *request, ae_key key, ae_asking *asking, \
                                     void *panels);
AE_FOR_EACH_VARIANT(DECLARE)

static const ae_layer_ops *const *layers_of(int bits, ae_isa isa) {
#define MATCH(suffix, its_bits, its_isa)    \
    if (bits == its_bits && isa == its_isa) \
        return ae_layers_##suffix;
    AE_FOR_EACH_VARIANT(MATCH)
#undef MATCH
    return NULL;
}

const ae_layer_ops *ae_layer_get(int bits, ae_isa isa, int index) {
    const ae_layer_ops *const *layers = layers_of(bits, isa);
    for (int i = 0; layers && layers[i]; i++)
        if (i == index)
            return layers[i];
    return NULL;
}

int ae_layer_find(const char *name) {
    for (int i = 0; ae_layers_f32_ref[i]; i++)
        if (!strcmp(ae_layers_f32_ref[i]->name, name))
            return i;
    return -1;
}

ae_status ae_initialize(ae_context *context, int bits, ae_isa isa, const ae_parameter_request *request, ae_key key,
                        ae_asking *asking, void *panels) {
#define CALL(suffix, its_bits, its_isa)     \
    if (bits == its_bits && isa == its_isa) \
        return ae_initialize_##suffix(context, request, key, asking, panels);
    AE_FOR_EACH_VARIANT(CALL)
#undef CALL
    return ae_fail(context, AE_ERR_UNAVAILABLE, "no variant of %d bits for %s in this build", bits, ae_isa_name(isa));
}

static const char *const initializer_names[AE_INIT_COUNT] = {"auto", "glorot", "he", "lecun", "orthogonal", "sparse", "zero"};

const char *ae_initializer_name(ae_initializer initializer) {
    return (unsigned)initializer < AE_INIT_COUNT ? initializer_names[initializer] : NULL;
}

int ae_initializer_find(const char *name) {
    for (int i = 0; i < AE_INIT_COUNT; i++)
        if (!strcmp(initializer_names[i], name))
            return i;
    return -1;
}

ae_initializer ae_initializer_resolve(ae_initializer initializer, ae_activation activation) {
    if (initializer != AE_INIT_AUTO)
        return initializer;
    switch (activation) {
    case AE_RELU:
    case AE_LEAKY_RELU:
        return AE_INIT_HE;
    case AE_SELU:
        return AE_INIT_LECUN;
    default:
        return AE_INIT_GLOROT;
    }
}
