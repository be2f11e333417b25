/* Neighbours of packed binary codes. */
#include "math/hamming.h"

#include "python/binding.h"

/* Rows of bytes without gaps; a copy where the array has some. */
static PyArrayObject *packed_codes(PyObject *object, const char *what) {
    if (!PyArray_Check(object) || PyArray_TYPE((PyArrayObject *)object) != NPY_UINT8 ||
        PyArray_NDIM((PyArrayObject *)object) != 2) {
        PyErr_Format(PyExc_TypeError, "%s must be a two-dimensional NumPy array of uint8 (packed bits)", what);
        return NULL;
    }
    return (PyArrayObject *)PyArray_FROM_OF(object, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED);
}

PyObject *binding_hamming_neighbors(PyObject *module, PyObject *arguments) {
    PyObject *codes_object, *queries_object;
    PyArrayObject *codes = NULL, *queries = NULL, *distances = NULL, *indices = NULL;
    Py_ssize_t k;
    int n_threads;
    ae_context context;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "OOni:hamming_neighbors", &codes_object, &queries_object, &k, &n_threads))
        return NULL;
    if (!(codes = packed_codes(codes_object, "codes")) || !(queries = packed_codes(queries_object, "queries")))
        goto failed;
    if (PyArray_DIM(codes, 1) != PyArray_DIM(queries, 1)) {
        PyErr_Format(PyExc_ValueError, "queries have %zd bytes and codes %zd; they must be equal",
                     (Py_ssize_t)PyArray_DIM(queries, 1), (Py_ssize_t)PyArray_DIM(codes, 1));
        goto failed;
    }
    if (k < 1 || k > PyArray_DIM(codes, 0)) { /* before room is made for the result */
        PyErr_Format(PyExc_ValueError, "k is %zd; it must be 1 to the number of codes, %zd", k,
                     (Py_ssize_t)PyArray_DIM(codes, 0));
        goto failed;
    }
    npy_intp shape[2] = {PyArray_DIM(queries, 0), k};
    if (!(distances = (PyArrayObject *)PyArray_SimpleNew(2, shape, NPY_INT32)) ||
        !(indices = (PyArrayObject *)PyArray_SimpleNew(2, shape, NPY_INT64)))
        goto failed;
    binding_signals signals = {NULL, false};
    ae_hamming_call call = {
        .codes = PyArray_DATA(codes),
        .queries = PyArray_DATA(queries),
        .n_codes = PyArray_DIM(codes, 0),
        .n_queries = shape[0],
        .bytes = PyArray_DIM(codes, 1),
        .k = k,
        .distances = PyArray_DATA(distances),
        .indices = PyArray_DATA(indices),
        .stop = binding_stop,
        .stop_argument = &signals,
    };
    ae_isa isa;
    ae_pool *pool = NULL;
    signals.thread = PyEval_SaveThread();
    ae_status status = ae_isa_select(&context, &isa);
    if (status == AE_OK)
        status = ae_pool_new(&context, &pool, n_threads);
    if (status == AE_OK)
        status = ae_hamming_neighbors(&context, pool, isa, &call);
    ae_pool_free(pool);
    PyEval_RestoreThread(signals.thread);
    if (status != AE_OK) {
        binding_raise(NULL, &context, status);
        goto failed;
    }
    Py_DECREF(codes);
    Py_DECREF(queries);
    return Py_BuildValue("NN", distances, indices);
failed:
    Py_XDECREF(codes);
    Py_XDECREF(queries);
    Py_XDECREF(distances);
    Py_XDECREF(indices);
    return NULL;
}
