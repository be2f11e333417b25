/* What the files of the extension share: module state, sources from Python objects, errors. */
#ifndef AE_PYTHON_BINDING_H
#define AE_PYTHON_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL autoenc_core_array_api
#ifndef AE_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#endif
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#endif
#include <numpy/arrayobject.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#include "net/data.h"
#include "net/predictor.h"
#include "train/profile.h"

typedef struct binding_state {
    PyObject *divergence_error;
    PyTypeObject *trainer_type, *predictor_type;
} binding_state;

extern struct PyModuleDef binding_module;
extern PyType_Spec binding_trainer_spec, binding_predictor_spec;

binding_state *binding_state_of(PyTypeObject *type);

/* Sets the Python exception that a status means and returns NULL. */
PyObject *binding_raise(PyTypeObject *type, const ae_context *context, ae_status status);

/* A source from an array or a CSR tuple; *keep gets the objects that own its memory (new reference). False with an
 * exception set. */
bool binding_source(PyObject *object, ae_data *data, PyObject **keep);

/* A sequence of 1 .. AE_MAX_SOURCES sources; *keep becomes a tuple of what owns them. */
bool binding_sources(PyObject *sequence, ae_data *data, int *n, PyObject **keep);

/* The items of a one-dimensional structured array of `size`-byte items; NULL with an exception set. */
const void *binding_structures(PyObject *object, const char *name, size_t size, int most, int *n);

/* Runs work with the GIL released, taking it back to look for signals. */
typedef struct binding_signals {
    PyThreadState *thread;
    bool raised;
} binding_signals;
bool binding_stop(void *signals);

/* hamming_neighbors(codes, queries, k, n_threads), a function of the module. */
PyObject *binding_hamming_neighbors(PyObject *module, PyObject *arguments);

#define BINDING_NUMPY_TYPE(bits) ((bits) == 32 ? NPY_FLOAT32 : NPY_FLOAT64)

#endif
