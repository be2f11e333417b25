/* Python objects to the core's view of data, and the core's statuses to exceptions. */
#include "python/binding.h"

binding_state *binding_state_of(PyTypeObject *type) {
    PyObject *module = PyType_GetModuleByDef(type, &binding_module);
    return module ? PyModule_GetState(module) : NULL;
}

PyObject *binding_raise(PyTypeObject *type, const ae_context *context, ae_status status) {
    binding_state *state;
    switch (status) {
    case AE_ERR_MEMORY:
        PyErr_SetString(PyExc_MemoryError, context->message);
        break;
    case AE_ERR_VALUE:
        PyErr_SetString(PyExc_ValueError, context->message);
        break;
    case AE_ERR_OVERFLOW:
        PyErr_SetString(PyExc_OverflowError, context->message);
        break;
    case AE_ERR_NONFINITE:
        state = type ? binding_state_of(type) : NULL;
        PyErr_SetString(state && state->divergence_error ? state->divergence_error : PyExc_ArithmeticError, context->message);
        break;
    case AE_ERR_INTERRUPTED:
        if (!PyErr_Occurred()) /* the signal handler has usually set one */
            PyErr_SetNone(PyExc_KeyboardInterrupt);
        break;
    default:
        PyErr_SetString(PyExc_RuntimeError, context->message);
    }
    return NULL;
}

bool binding_stop(void *argument) {
    binding_signals *signals = argument;
    PyEval_RestoreThread(signals->thread);
    signals->raised = PyErr_CheckSignals() != 0;
    signals->thread = PyEval_SaveThread();
    return signals->raised;
}

/* The array itself where the core can read it in place, else a copy in native byte order and aligned. New reference. */
static PyArrayObject *readable(PyObject *object, const char *what) {
    if (!PyArray_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s must be a NumPy array, got %s", what, Py_TYPE(object)->tp_name);
        return NULL;
    }
    PyArrayObject *array = (PyArrayObject *)object;
    if (PyArray_ISNOTSWAPPED(array) && PyArray_ISALIGNED(array))
        return (PyArrayObject *)Py_NewRef(object);
    return (PyArrayObject *)PyArray_FROM_OF(object, NPY_ARRAY_ALIGNED | NPY_ARRAY_NOTSWAPPED);
}

static bool dtype_of(PyArrayObject *array, ae_dtype *dtype) {
    switch (PyArray_TYPE(array)) {
    case NPY_FLOAT32:
        *dtype = AE_F32;
        return true;
    case NPY_FLOAT64:
        *dtype = AE_F64;
        return true;
    case NPY_UINT8:
        *dtype = AE_U8;
        return true;
    default:
        PyErr_Format(PyExc_TypeError, "data must be float32, float64 or uint8, got %R", (PyObject *)PyArray_DESCR(array));
        return false;
    }
}

static bool dense_source(PyObject *object, ae_data *data, PyObject **keep) {
    PyArrayObject *array = readable(object, "data");
    if (!array)
        return false;
    if (PyArray_NDIM(array) != 2) {
        PyErr_Format(PyExc_ValueError, "data must have 2 dimensions, got %d", PyArray_NDIM(array));
        goto failed;
    }
    if (!dtype_of(array, &data->dtype))
        goto failed;
    data->rows = PyArray_DIM(array, 0);
    data->columns = PyArray_DIM(array, 1);
    data->base = PyArray_BYTES(array);
    data->row_bytes = PyArray_STRIDE(array, 0);
    data->column_bytes = PyArray_STRIDE(array, 1);
    *keep = (PyObject *)array;
    return true;
failed:
    Py_DECREF(array);
    return false;
}

/* One of the three arrays of CSR: one-dimensional and contiguous. */
static PyArrayObject *csr_part(PyObject *object, const char *what) {
    PyArrayObject *array = readable(object, what);
    if (array && (PyArray_NDIM(array) != 1 || !PyArray_IS_C_CONTIGUOUS(array))) {
        PyErr_Format(PyExc_ValueError, "malformed CSR: %s must be one-dimensional and contiguous", what);
        Py_CLEAR(array);
    }
    return array;
}

static bool csr_source(PyObject *tuple, ae_data *data, PyObject **keep) {
    PyArrayObject *values = NULL, *indices = NULL, *starts = NULL;
    PyObject *data_object, *indices_object, *starts_object;
    Py_ssize_t rows, columns;
    bool done = false;
    if (!PyArg_ParseTuple(tuple, "OOO(nn);CSR is (data, indices, indptr, (rows, columns))", &data_object, &indices_object,
                          &starts_object, &rows, &columns))
        return false;
    if (!(values = csr_part(data_object, "data")) || !(indices = csr_part(indices_object, "indices")) ||
        !(starts = csr_part(starts_object, "indptr")) || !dtype_of(values, &data->dtype))
        goto cleanup;
    const int type = PyArray_TYPE(indices), bytes = (int)PyArray_ITEMSIZE(indices);
    if (!PyTypeNum_ISSIGNED(type) || !PyTypeNum_ISINTEGER(type) || (bytes != 4 && bytes != 8) ||
        !PyTypeNum_ISSIGNED(PyArray_TYPE(starts)) || !PyTypeNum_ISINTEGER(PyArray_TYPE(starts)) ||
        PyArray_ITEMSIZE(starts) != bytes) {
        PyErr_SetString(PyExc_TypeError, "malformed CSR: indices and indptr must both be int32 or both be int64");
        goto cleanup;
    }
    if (rows < 0 || columns < 0 || PyArray_SIZE(starts) - 1 != rows || PyArray_SIZE(indices) != PyArray_SIZE(values)) {
        PyErr_Format(PyExc_ValueError,
                     "malformed CSR: %zd rows need one entry of indptr more, got %zd; data has %zd values and indices %zd",
                     rows, (Py_ssize_t)PyArray_SIZE(starts), (Py_ssize_t)PyArray_SIZE(values),
                     (Py_ssize_t)PyArray_SIZE(indices));
        goto cleanup;
    }
    *data = (ae_data){.rows = rows,
                      .columns = columns,
                      .dtype = data->dtype,
                      .sparse = true,
                      .base = PyArray_BYTES(values),
                      .row_start = PyArray_BYTES(starts),
                      .column_index = PyArray_BYTES(indices),
                      .index_bits = bytes * 8,
                      .n_stored = PyArray_SIZE(values)};
    *keep = PyTuple_Pack(3, values, indices, starts);
    done = *keep != NULL;
cleanup:
    Py_XDECREF(values);
    Py_XDECREF(indices);
    Py_XDECREF(starts);
    return done;
}

bool binding_source(PyObject *object, ae_data *data, PyObject **keep) {
    memset(data, 0, sizeof *data);
    return PyTuple_Check(object) ? csr_source(object, data, keep) : dense_source(object, data, keep);
}

bool binding_sources(PyObject *sequence, ae_data *data, int *n, PyObject **keep) {
    /* A tuple of its own: reading a source may run Python code (the numbers of a CSR shape), which could empty a list. */
    PyObject *fixed = PySequence_Tuple(sequence);
    if (!fixed)
        return false;
    const Py_ssize_t count = PyTuple_GET_SIZE(fixed);
    PyObject *kept = count >= 1 && count <= AE_MAX_SOURCES ? PyTuple_New(count) : NULL;
    if (!kept) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_ValueError, "%zd sources; 1 to %d are allowed", count, AE_MAX_SOURCES);
        Py_DECREF(fixed);
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *owner;
        if (!binding_source(PyTuple_GET_ITEM(fixed, i), &data[i], &owner)) {
            Py_DECREF(kept);
            Py_DECREF(fixed);
            return false;
        }
        PyTuple_SET_ITEM(kept, i, owner);
    }
    Py_DECREF(fixed);
    *n = (int)count;
    *keep = kept;
    return true;
}

const void *binding_structures(PyObject *object, const char *name, size_t size, int most, int *n) {
    if (!PyArray_Check(object) || PyArray_TYPE((PyArrayObject *)object) != NPY_VOID ||
        (size_t)PyArray_ITEMSIZE((PyArrayObject *)object) != size || PyArray_NDIM((PyArrayObject *)object) != 1 ||
        !PyArray_IS_C_CONTIGUOUS((PyArrayObject *)object) || !PyArray_ISALIGNED((PyArrayObject *)object)) {
        PyErr_Format(PyExc_TypeError, "%s must be a one-dimensional structured array with items of %zu bytes", name, size);
        return NULL;
    }
    const npy_intp count = PyArray_SIZE((PyArrayObject *)object);
    if (count < 1 || count > most) {
        PyErr_Format(PyExc_ValueError, "%s has %zd items; 1 to %d are allowed", name, (Py_ssize_t)count, most);
        return NULL;
    }
    *n = (int)count;
    return PyArray_DATA((PyArrayObject *)object);
}
