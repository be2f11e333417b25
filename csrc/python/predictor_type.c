/* _core.Predictor: ae_predictor behind one method. */
#include "python/binding.h"

#include <stdatomic.h>

typedef struct predictor_object {
    PyObject_HEAD ae_predictor *predictor;
    PyThread_type_lock lock; /* calls take turns */
    atomic_ulong owner;      /* the thread that holds it, or 0 */
    unsigned process;        /* that made the lock, by ae_pool_forks */
    int bits;
} predictor_object;

static ae_status fill(ae_context *context, ae_net *net, PyObject *sequence) {
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(sequence);
    const ae_kernels *kernels = ae_kernels_get(net->bits, net->isa);
    if (n != net->n_parameters)
        return ae_fail(context, AE_ERR_VALUE, "the network has %d parameters, got %lld", net->n_parameters, (long long)n);
    for (int i = 0; i < net->n_parameters; i++) {
        const ae_parameter *p = &net->parameters[i];
        PyObject *item = PySequence_Fast_GET_ITEM(sequence, i);
        PyArrayObject *array = (PyArrayObject *)item;
        if (!PyArray_Check(item) || PyArray_TYPE(array) != BINDING_NUMPY_TYPE(net->bits) || PyArray_NDIM(array) != 2 ||
            PyArray_DIM(array, 0) != p->request.rows || PyArray_DIM(array, 1) != p->request.columns ||
            !PyArray_ISCARRAY_RO(array))
            return ae_fail(context, AE_ERR_VALUE, "parameter '%s' must be a C-contiguous float%d array of shape (%lld, %lld)",
                           p->name, net->bits, (long long)p->request.rows, (long long)p->request.columns);
        if (!kernels->all_below(PyArray_SIZE(array), INFINITY, PyArray_DATA(array)))
            return ae_fail(context, AE_ERR_VALUE, "parameter '%s' has a value that is not finite", p->name);
        ae_net_set_parameter(net, i, PyArray_DATA(array));
    }
    return AE_OK;
}

static PyObject *predictor_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"nodes", "parameters", "precision", "losses", "n_threads", NULL};
    PyObject *nodes, *parameters, *losses = Py_None;
    int precision = 0, n_threads = 1, n_nodes, n_losses = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|$iOi:Predictor", names, &nodes, &parameters, &precision, &losses,
                                     &n_threads))
        return NULL;
    /* First what may run Python code, then the addresses of arrays. */
    PyObject *sequence = PySequence_Fast(parameters, "parameters must be a sequence");
    if (!sequence)
        return NULL;
    predictor_object *self = NULL;
    const ae_node_desc *node = binding_structures(nodes, "nodes", sizeof *node, AE_MAX_NODES, &n_nodes);
    const ae_loss_desc *loss = NULL;
    if (!node ||
        (losses != Py_None && !(loss = binding_structures(losses, "losses", sizeof *loss, AE_MAX_LOSSES, &n_losses))) ||
        !(self = (predictor_object *)type->tp_alloc(type, 0)))
        goto failed;
    self->lock = PyThread_allocate_lock();
    if (!self->lock) {
        PyErr_NoMemory();
        goto failed;
    }
    self->bits = precision;
    ae_context context;
    ae_status status = ae_predictor_new(&context, &self->predictor, precision, node, n_nodes, loss, n_losses, n_threads);
    self->process = ae_pool_forks(); /* counts from the pool on */
    if (status == AE_OK) {
        ae_net_seed(ae_predictor_net(self->predictor), 0); /* of draws when scoring, the same in every predictor */
        status = fill(&context, ae_predictor_net(self->predictor), sequence);
    }
    if (status != AE_OK) {
        binding_raise(type, &context, status);
        goto failed;
    }
    Py_DECREF(sequence);
    return (PyObject *)self;
failed:
    Py_DECREF(sequence);
    Py_XDECREF(self);
    return NULL;
}

static void predictor_dealloc(PyObject *object) {
    predictor_object *self = (predictor_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    ae_predictor_free(self->predictor);
    if (self->lock)
        PyThread_free_lock(self->lock);
    type->tp_free(object);
    Py_DECREF(type);
}

static bool out_type(PyObject *dtype, int bits, ae_dtype *out) {
    PyArray_Descr *descr = NULL;
    if (dtype == Py_None) {
        *out = bits == 32 ? AE_F32 : AE_F64;
        return true;
    }
    if (!PyArray_DescrConverter(dtype, &descr))
        return false;
    const int type = descr->type_num;
    Py_DECREF(descr);
    if (type != NPY_FLOAT32 && type != NPY_FLOAT64) {
        PyErr_Format(PyExc_ValueError, "dtype is %R; it must be float32 or float64", dtype);
        return false;
    }
    *out = type == NPY_FLOAT32 ? AE_F32 : AE_F64;
    return true;
}

/* Whether waiting for the lock can end. A fork may have copied it locked by a thread that the child does not have: the child
 * makes its own (the old one is left, once a fork). A signal handler that calls the predictor it interrupted would wait
 * for itself. */
static bool can_wait(predictor_object *self) {
    if (self->process != ae_pool_forks()) {
        PyThread_type_lock lock = PyThread_allocate_lock();
        if (!lock) {
            PyErr_NoMemory();
            return false;
        }
        self->lock = lock;
        atomic_store_explicit(&self->owner, 0, memory_order_relaxed);
        self->process = ae_pool_forks();
    }
    if (atomic_load_explicit(&self->owner, memory_order_relaxed) == PyThread_get_thread_ident()) {
        PyErr_SetString(PyExc_RuntimeError, "this Predictor is in use by this thread: a signal handler or finalizer called it");
        return false;
    }
    return true;
}

/* So many operations take less time than other threads would need to get the GIL. */
#define FLOPS_WITH_GIL 200000.0

/* Runs a call and says how it went; false with an exception set where it may not wait for its turn. */
static bool run_call(predictor_object *self, ae_context *context, const ae_predict_call *call, ae_status *status) {
    if (!can_wait(self))
        return false;
    const PyThread_type_lock lock = self->lock; /* a signal handler that forks may put another into its place, in the child */
    const double flops =
        (double)call->sources[0].rows * (ae_predictor_net(self->predictor)->flops_per_row + (double)call->sources[0].columns);
    *status = AE_OK;
    /* Nothing that holds the lock without the GIL is waited for with it. */
    if (call->n_sources == 1 && !call->sources[0].sparse && flops <= FLOPS_WITH_GIL &&
        PyThread_acquire_lock(lock, NOWAIT_LOCK)) {
        *status = ae_predictor_run(context, self->predictor, call, NULL, NULL);
        PyThread_release_lock(lock);
        return true;
    }
    binding_signals signals = {PyEval_SaveThread(), false};
    PyThread_acquire_lock(lock, WAIT_LOCK);
    atomic_store_explicit(&self->owner, PyThread_get_thread_ident(), memory_order_relaxed);
    for (int i = 0; i < call->n_sources && *status == AE_OK; i++)
        *status = ae_data_check(context, &call->sources[i], "X");
    if (*status == AE_OK)
        *status = ae_predictor_run(context, self->predictor, call, binding_stop, &signals);
    atomic_store_explicit(&self->owner, 0, memory_order_relaxed);
    PyThread_release_lock(lock);
    PyEval_RestoreThread(signals.thread);
    return true;
}

static PyObject *predictor_run(PyObject *object, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"sources", "last_node", "what", "from_node", "combine", "dtype", "sampling", NULL};
    predictor_object *self = (predictor_object *)object;
    PyObject *sources, *dtype = Py_None, *keep = NULL, *result = NULL;
    ae_data data[AE_MAX_SOURCES];
    int what = AE_PREDICT_VALUES, sampling = 0;
    ae_predict_call call = {.sources = data, .from_node = -1};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Oi|i$iiOp:run", names, &sources, &call.last_node, &what, &call.from_node,
                                     &call.combine, &dtype, &sampling) ||
        !out_type(dtype, self->bits, &call.out_type) || !binding_sources(sources, data, &call.n_sources, &keep))
        return NULL;
    const ae_net *net = ae_predictor_net(self->predictor);
    const bool by_row = what == AE_PREDICT_LOSS || what == AE_PREDICT_NLL, terms = what == AE_PREDICT_TERMS;
    if (what < AE_PREDICT_VALUES || what > AE_PREDICT_NLL ||
        (!by_row && !terms && (call.last_node < 0 || call.last_node >= net->n_nodes))) {
        PyErr_Format(PyExc_ValueError, "what is %d and last_node %d; what must be 0 to %d and last_node 0 to %d", what,
                     call.last_node, AE_PREDICT_NLL, net->n_nodes - 1);
        goto cleanup;
    }
    call.what = (ae_predict_what)what;
    call.sampling = sampling != 0;
    npy_intp shape[2] = {data[0].rows, ae_predictor_term_width(self->predictor)};
    if (by_row) {
        call.out_type = AE_F64;
    } else if (!terms) {
        const ae_shape *out = &net->nodes[call.last_node].plan.out;
        int64_t rows;
        if (!ae_mul_i64(data[0].rows, out->multiplicity, &rows)) {
            PyErr_Format(PyExc_OverflowError,
                         "%lld rows of data with %lld rows of node '%s' each are more than can be addressed",
                         (long long)data[0].rows, (long long)out->multiplicity, net->nodes[call.last_node].desc.name);
            goto cleanup;
        }
        shape[0] = rows;
        shape[1] = out->width;
    }
    result = PyArray_SimpleNew(by_row ? 1 : 2, shape, call.out_type == AE_F32 ? NPY_FLOAT32 : NPY_FLOAT64);
    if (!result)
        goto cleanup;
    call.out = PyArray_BYTES((PyArrayObject *)result);
    ae_context context;
    ae_status status;
    if (!run_call(self, &context, &call, &status)) {
        Py_CLEAR(result);
    } else if (status != AE_OK) {
        Py_CLEAR(result);
        binding_raise(Py_TYPE(object), &context, status);
    }
cleanup:
    Py_DECREF(keep);
    return result;
}

/* values(X, last_node, what, from_node, allow_nan): the short way of plain rows. Whatever is not plain is None, and the caller
 * takes the long way, which converts what can be converted and says what is wrong with the rest. */
static PyObject *predictor_values(PyObject *object, PyObject *const *args, Py_ssize_t n) {
    predictor_object *self = (predictor_object *)object;
    if (n != 5)
        return PyErr_Format(PyExc_TypeError, "values takes 5 arguments, got %zd", n);
    long number[4];
    for (int i = 0; i < 4; i++) {
        number[i] = PyLong_AsLong(args[i + 1]);
        if (number[i] == -1 && PyErr_Occurred())
            return NULL;
    }
    const ae_net *net = ae_predictor_net(self->predictor);
    if (number[0] < 0 || number[0] >= net->n_nodes || number[1] < AE_PREDICT_VALUES || number[1] > AE_PREDICT_LINKED ||
        number[2] < -1 || number[2] >= net->n_nodes)
        return PyErr_Format(PyExc_ValueError, "last_node %ld, what %ld, from_node %ld; nodes are 0 to %d, what is 0 or 1",
                            number[0], number[1], number[2], net->n_nodes - 1);
    if (!PyArray_Check(args[0]))
        Py_RETURN_NONE;
    PyArrayObject *array = (PyArrayObject *)args[0];
    const int type = PyArray_TYPE(array), n_dimensions = PyArray_NDIM(array);
    const ae_shape *out = &net->nodes[number[0]].plan.out;
    if ((type != NPY_FLOAT32 && type != NPY_FLOAT64 && type != NPY_UINT8) || !PyArray_ISNOTSWAPPED(array) ||
        !PyArray_ISALIGNED(array) || n_dimensions < 1 || n_dimensions > 2 || out->multiplicity != 1)
        Py_RETURN_NONE;
    const npy_intp *shape = PyArray_DIMS(array), *strides = PyArray_STRIDES(array);
    const bool single = n_dimensions == 1;
    const ae_data data = {.rows = single ? 1 : shape[0],
                          .columns = shape[n_dimensions - 1],
                          .dtype = type == NPY_FLOAT32   ? AE_F32
                                   : type == NPY_FLOAT64 ? AE_F64
                                                         : AE_U8,
                          .base = PyArray_BYTES(array),
                          .row_bytes = single ? 0 : strides[0],
                          .column_bytes = strides[n_dimensions - 1]};
    const int out_number = type == NPY_UINT8 ? BINDING_NUMPY_TYPE(self->bits) : type;
    npy_intp out_shape[2] = {data.rows, out->width};
    PyObject *result = PyArray_SimpleNew(n_dimensions, single ? out_shape + 1 : out_shape, out_number);
    if (!result)
        return NULL;
    const ae_predict_call call = {.sources = &data,
                                  .n_sources = 1,
                                  .from_node = (int)number[2],
                                  .last_node = (int)number[0],
                                  .what = (ae_predict_what)number[1],
                                  .out_type = out_number == NPY_FLOAT32 ? AE_F32 : AE_F64,
                                  .out = PyArray_BYTES((PyArrayObject *)result),
                                  .finite = true,
                                  .allow_nan = number[3] != 0};
    ae_context context;
    ae_status status;
    Py_INCREF(array); /* for a caller that lets go of it meanwhile: the GIL may be released */
    const bool ran = run_call(self, &context, &call, &status);
    Py_DECREF(array);
    if (ran && status == AE_OK)
        return result;
    Py_DECREF(result);
    if (ran && status == AE_ERR_VALUE)
        Py_RETURN_NONE;
    return ran ? binding_raise(Py_TYPE(object), &context, status) : NULL;
}

static PyMethodDef predictor_methods[] = {
    {"run", (PyCFunction)(void (*)(void))predictor_run, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("run($self, sources, last_node, what=0, *, from_node=-1, combine=0, dtype=None, "
               "sampling=False)\n--\n\n"
               "Values, linked values, losses, loss terms or negative log-likelihoods of rows.")},
    {"values", (PyCFunction)(void (*)(void))predictor_values, METH_FASTCALL,
     PyDoc_STR("values($self, X, last_node, what, from_node, allow_nan, /)\n--\n\n"
               "Values or linked values of the rows of an array, all of them finite; None where it is no such array.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot predictor_slots[] = {
    {Py_tp_new, predictor_new},
    {Py_tp_dealloc, predictor_dealloc},
    {Py_tp_methods, predictor_methods},
    {Py_tp_doc, (void *)PyDoc_STR("Weights and a graph, ready to run.")},
    {0, NULL},
};

PyType_Spec binding_predictor_spec = {
    .name = "autoenc._core.Predictor",
    .basicsize = sizeof(predictor_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = predictor_slots,
};
