/* _core.Trainer: ae_trainer behind Python methods. */
#include "python/binding.h"

#include <limits.h>
#include <math.h>

typedef struct trainer_object {
    PyObject_HEAD ae_trainer *trainer;
    PyObject *kept[2]; /* owners of the data bound to each slot, and of its row weights */
    bool busy;         /* a method runs without the GIL */
    bool cleared;      /* by the garbage collector: the data is no longer kept */
} trainer_object;

static PyObject *trainer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"nodes",       "losses",     "stages",     "precision",    "n_threads",    "batch_size",
                            "seed",        "shuffle",    "keep_best",  "chunk_rows",   "momentum",     "nesterov",
                            "beta_1",      "beta_2",     "epsilon",    "amsgrad",      "schedule",     "rate",
                            "final_ratio", "factor",     "period",     "warmup_steps", "total_steps",  "l1",
                            "l2",          "max_norm",   "clip_value", "clip_norm",    "lbfgs_memory", "lbfgs_max_evaluations",
                            "lbfgs_gtol",  "state_bits", NULL};
    PyObject *nodes, *losses, *stages;
    long long batch_size = 0, chunk_rows = 0, period = 1, warmup_steps = 0, total_steps = 1;
    unsigned long long seed = 0;
    int shuffle = 1, keep_best = 0, nesterov = 0, amsgrad = 0, schedule = 0, precision = 0, n_nodes, n_losses, n_stages;
    ae_train_options o = {.max_norm = INFINITY,
                          .clip_value = INFINITY,
                          .clip_norm = INFINITY,
                          .lbfgs_memory = 10,
                          .lbfgs_max_evaluations = 25,
                          .rule_options = {.momentum = 0.9, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
                          .schedule = {.base = 1e-3, .factor = 0.1}};
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "OOO|$iiLKppLdpdddpidddLLLdddddiidi:Trainer", names, &nodes, &losses, &stages, &precision,
            &o.n_threads, &batch_size, &seed, &shuffle, &keep_best, &chunk_rows, &o.rule_options.momentum, &nesterov,
            &o.rule_options.beta1, &o.rule_options.beta2, &o.rule_options.epsilon, &amsgrad, &schedule, &o.schedule.base,
            &o.schedule.final_ratio, &o.schedule.factor, &period, &warmup_steps, &total_steps, &o.l1, &o.l2, &o.max_norm,
            &o.clip_value, &o.clip_norm, &o.lbfgs_memory, &o.lbfgs_max_evaluations, &o.lbfgs_gtol, &o.state_bits))
        return NULL;
    const ae_node_desc *node = binding_structures(nodes, "nodes", sizeof *node, AE_MAX_NODES, &n_nodes);
    const ae_loss_desc *loss = node ? binding_structures(losses, "losses", sizeof *loss, AE_MAX_LOSSES, &n_losses) : NULL;
    const ae_stage_desc *stage = loss ? binding_structures(stages, "stages", sizeof *stage, AE_MAX_STAGES, &n_stages) : NULL;
    if (!stage)
        return NULL;
    o.bits = precision;
    o.batch_size = batch_size;
    o.chunk_rows = chunk_rows;
    o.seed = seed;
    o.shuffle = shuffle;
    o.keep_best = keep_best;
    o.rule_options.nesterov = nesterov;
    o.rule_options.amsgrad = amsgrad;
    o.schedule.kind = (ae_schedule_kind)schedule;
    o.schedule.period = period;
    o.schedule.warmup_steps = warmup_steps;
    o.schedule.total_steps = total_steps;
    trainer_object *self = (trainer_object *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    /* With the GIL: the descriptions are checked and read in the caller's arrays, which nobody may change meanwhile, and the
     * garbage collector shows this object to other threads before it has a trainer. */
    ae_context context;
    const ae_status status = ae_trainer_new(&context, &self->trainer, node, n_nodes, loss, n_losses, stage, n_stages, &o);
    if (status != AE_OK) {
        Py_DECREF(self);
        return binding_raise(type, &context, status);
    }
    return (PyObject *)self;
}

/* What is kept may lead back here: arrays of a subclass have attributes. */
static int trainer_traverse(PyObject *object, visitproc visit, void *arg) {
    trainer_object *self = (trainer_object *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->kept[0]);
    Py_VISIT(self->kept[1]);
    return 0;
}

static int trainer_clear(PyObject *object) {
    trainer_object *self = (trainer_object *)object;
    self->cleared = true;
    Py_CLEAR(self->kept[0]);
    Py_CLEAR(self->kept[1]);
    return 0;
}

static void trainer_dealloc(PyObject *object) {
    trainer_object *self = (trainer_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    ae_trainer *trainer = self->trainer;
    Py_BEGIN_ALLOW_THREADS
    ae_trainer_free(trainer);
    Py_END_ALLOW_THREADS
    Py_XDECREF(self->kept[0]);
    Py_XDECREF(self->kept[1]);
    type->tp_free(object);
    Py_DECREF(type);
}

/* Every method asks here, after its arguments are read (which may run Python code or let another thread in) and before it
 * touches the trainer: a trainer serves one thread at a time. */
static trainer_object *idle(PyObject *object) {
    trainer_object *self = (trainer_object *)object;
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "this Trainer is in use by another thread");
        return NULL;
    }
    if (self->cleared) { /* a finalizer of what it kept */
        PyErr_SetString(PyExc_RuntimeError, "this Trainer was taken apart by the garbage collector");
        return NULL;
    }
    return self;
}

/* A number that an int does not hold is -1, which no table has. */
static int int_of(PyObject *object) {
    const long value = PyLong_AsLong(object);
    return value < INT_MIN || value > INT_MAX ? -1 : (int)value;
}

static PyObject *trainer_initialize(PyObject *object, PyObject *unused) {
    trainer_object *self = idle(object);
    ae_context context;
    binding_signals signals = {NULL, false};
    (void)unused;
    if (!self)
        return NULL;
    self->busy = true;
    signals.thread = PyEval_SaveThread();
    ae_trainer_ask(self->trainer, binding_stop, &signals);
    const ae_status status = ae_trainer_initialize(&context, self->trainer);
    ae_trainer_ask(self->trainer, NULL, NULL);
    PyEval_RestoreThread(signals.thread);
    self->busy = false;
    if (status != AE_OK)
        return binding_raise(Py_TYPE(object), &context, status);
    Py_RETURN_NONE;
}

static PyObject *trainer_parameters(PyObject *object, PyObject *unused) {
    trainer_object *self = (trainer_object *)object;
    const ae_net *net = ae_trainer_net(self->trainer);
    PyObject *list = PyList_New(net->n_parameters);
    (void)unused;
    for (int i = 0; list && i < net->n_parameters; i++) {
        const ae_parameter *p = &net->parameters[i];
        PyObject *item = Py_BuildValue("sLL", p->name, (long long)p->request.rows, (long long)p->request.columns);
        if (!item)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, item);
    }
    return list;
}

static bool good_index(const ae_net *net, int index) {
    if (index >= 0 && index < net->n_parameters)
        return true;
    PyErr_Format(PyExc_IndexError, "parameter %d; there are %d", index, net->n_parameters);
    return false;
}

static bool good_state(const trainer_object *self, int which) {
    if (which >= 0 && which < ae_trainer_n_state(self->trainer))
        return true;
    PyErr_Format(PyExc_IndexError, "optimiser state %d; there are %d", which, ae_trainer_n_state(self->trainer));
    return false;
}

static PyArrayObject *empty_for(const ae_net *net, int index) {
    const ae_parameter *p = &net->parameters[index];
    return (PyArrayObject *)PyArray_SimpleNew(2, ((npy_intp[]){p->request.rows, p->request.columns}),
                                              BINDING_NUMPY_TYPE(net->bits));
}

/* A copy of one parameter's part of a region. */
static PyObject *unpacked(const ae_net *net, int index, const void *region) {
    PyArrayObject *array = empty_for(net, index);
    if (array)
        ae_net_unpack(net, index, region, PyArray_DATA(array));
    return (PyObject *)array;
}

static bool fits(const ae_net *net, int index, PyObject *value) {
    const ae_parameter *p = &net->parameters[index];
    PyArrayObject *array = (PyArrayObject *)value;
    if (PyArray_Check(value) && PyArray_TYPE(array) == BINDING_NUMPY_TYPE(net->bits) && PyArray_NDIM(array) == 2 &&
        PyArray_DIM(array, 0) == p->request.rows && PyArray_DIM(array, 1) == p->request.columns && PyArray_ISCARRAY_RO(array))
        return true;
    PyErr_Format(PyExc_ValueError, "parameter '%s' must be a C-contiguous float%d array of shape (%lld, %lld)", p->name,
                 net->bits, (long long)p->request.rows, (long long)p->request.columns);
    return false;
}

static PyObject *trainer_get(PyObject *object, PyObject *argument) {
    const int index = int_of(argument);
    trainer_object *self = PyErr_Occurred() ? NULL : idle(object);
    if (!self || !good_index(ae_trainer_net(self->trainer), index))
        return NULL;
    return unpacked(ae_trainer_net(self->trainer), index, ae_trainer_net(self->trainer)->parameter_base);
}

static PyObject *trainer_set(PyObject *object, PyObject *args) {
    trainer_object *self;
    PyObject *value;
    int index;
    if (!PyArg_ParseTuple(args, "iO:set", &index, &value) || !(self = idle(object)) ||
        !good_index(ae_trainer_net(self->trainer), index) || !fits(ae_trainer_net(self->trainer), index, value))
        return NULL;
    ae_net_set_parameter(ae_trainer_net(self->trainer), index, PyArray_DATA((PyArrayObject *)value));
    ae_trainer_commit(self->trainer);
    Py_RETURN_NONE;
}

static PyObject *trainer_get_state(PyObject *object, PyObject *args) {
    trainer_object *self;
    int which, index;
    if (!PyArg_ParseTuple(args, "ii:get_state", &which, &index) || !(self = idle(object)) ||
        !good_index(ae_trainer_net(self->trainer), index) || !good_state(self, which))
        return NULL;
    PyArrayObject *array = empty_for(ae_trainer_net(self->trainer), index);
    if (array)
        ae_trainer_get_state(self->trainer, which, index, PyArray_DATA(array));
    return (PyObject *)array;
}

static PyObject *trainer_set_state(PyObject *object, PyObject *args) {
    trainer_object *self;
    PyObject *value;
    int which, index;
    if (!PyArg_ParseTuple(args, "iiO:set_state", &which, &index, &value) || !(self = idle(object)) ||
        !good_index(ae_trainer_net(self->trainer), index) || !good_state(self, which) ||
        !fits(ae_trainer_net(self->trainer), index, value))
        return NULL;
    ae_trainer_set_state(self->trainer, which, index, PyArray_DATA((PyArrayObject *)value));
    ae_trainer_commit(self->trainer);
    Py_RETURN_NONE;
}

static PyObject *trainer_bind(PyObject *object, PyObject *args) {
    trainer_object *self;
    PyObject *sources, *weights = Py_None, *keep = NULL;
    ae_data data[AE_MAX_SOURCES];
    ae_context context;
    int slot, n;
    if (!PyArg_ParseTuple(args, "iO|O:bind", &slot, &sources, &weights) || !binding_sources(sources, data, &n, &keep))
        return NULL;
    if (!(self = idle(object)))
        goto failed;
    const double *row_weight = NULL;
    if (weights != Py_None) {
        PyArrayObject *array = (PyArrayObject *)weights;
        if (!PyArray_Check(weights) || PyArray_TYPE(array) != NPY_FLOAT64 || PyArray_NDIM(array) != 1 ||
            PyArray_DIM(array, 0) != data[0].rows || !PyArray_ISCARRAY_RO(array)) {
            PyErr_Format(PyExc_ValueError, "row weights must be a contiguous float64 array of %lld entries",
                         (long long)data[0].rows);
            goto failed;
        }
        row_weight = PyArray_DATA(array);
        for (int64_t i = 0; i < data[0].rows; i++)
            if (!(row_weight[i] >= 0 && row_weight[i] < INFINITY)) {
                PyObject *shown = PyFloat_FromDouble(row_weight[i]);
                PyErr_Format(PyExc_ValueError, "the weight of row %lld is %R; it must be finite and not negative", (long long)i,
                             shown);
                Py_XDECREF(shown);
                goto failed;
            }
    }
    PyObject *kept = PyTuple_Pack(2, keep, weights);
    if (!kept)
        goto failed;
    Py_CLEAR(keep);
    ae_status status;
    self->busy = true;
    Py_BEGIN_ALLOW_THREADS
    status = ae_trainer_bind(&context, self->trainer, slot, data, n, row_weight);
    Py_END_ALLOW_THREADS
    self->busy = false;
    if (status != AE_OK) {
        Py_DECREF(kept);
        return binding_raise(Py_TYPE(object), &context, status);
    }
    Py_XSETREF(self->kept[slot], kept);
    Py_RETURN_NONE;
failed:
    Py_XDECREF(keep);
    return NULL;
}

static PyObject *trainer_subset(PyObject *object, PyObject *args) {
    trainer_object *self;
    long long first, count;
    int split;
    ae_context context;
    if (!PyArg_ParseTuple(args, "LLp:subset", &first, &count, &split) || !(self = idle(object)))
        return NULL;
    const ae_status status = ae_trainer_subset(&context, self->trainer, first, count, split);
    if (status != AE_OK)
        return binding_raise(Py_TYPE(object), &context, status);
    Py_RETURN_NONE;
}

static PyObject *trainer_moments(PyObject *object, PyObject *argument) {
    const int source = int_of(argument);
    trainer_object *self = PyErr_Occurred() ? NULL : idle(object);
    ae_context context;
    if (!self)
        return NULL;
    npy_intp width = ae_trainer_source_width(self->trainer, source);
    PyObject *mean = PyArray_SimpleNew(1, &width, NPY_FLOAT64), *variance = PyArray_SimpleNew(1, &width, NPY_FLOAT64);
    if (!mean || !variance)
        goto failed;
    binding_signals signals = {NULL, false};
    self->busy = true;
    signals.thread = PyEval_SaveThread();
    ae_trainer_ask(self->trainer, binding_stop, &signals);
    const ae_status status = ae_trainer_moments(&context, self->trainer, source, PyArray_DATA((PyArrayObject *)mean),
                                                PyArray_DATA((PyArrayObject *)variance));
    ae_trainer_ask(self->trainer, NULL, NULL);
    PyEval_RestoreThread(signals.thread);
    self->busy = false;
    if (status == AE_OK)
        return Py_BuildValue("NN", mean, variance);
    binding_raise(Py_TYPE(object), &context, status);
failed:
    Py_XDECREF(mean);
    Py_XDECREF(variance);
    return NULL;
}

static PyObject *trainer_epoch(PyObject *object, PyObject *unused) {
    trainer_object *self = idle(object);
    ae_context context;
    ae_epoch_result result;
    binding_signals signals = {NULL, false};
    (void)unused;
    if (!self)
        return NULL;
    self->busy = true;
    signals.thread = PyEval_SaveThread();
    const ae_status status = ae_trainer_epoch(&context, self->trainer, binding_stop, &signals, &result);
    PyEval_RestoreThread(signals.thread);
    self->busy = false;
    if (status != AE_OK)
        return binding_raise(Py_TYPE(object), &context, status);
    return Py_BuildValue("ddLN", result.loss, result.rate, (long long)result.steps, PyBool_FromLong(result.converged));
}

static PyObject *trainer_evaluate(PyObject *object, PyObject *args) {
    trainer_object *self;
    ae_context context;
    long long first, count;
    int slot, split;
    double loss;
    binding_signals signals = {NULL, false};
    if (!PyArg_ParseTuple(args, "iLLp:evaluate", &slot, &first, &count, &split) || !(self = idle(object)))
        return NULL;
    self->busy = true;
    signals.thread = PyEval_SaveThread();
    const ae_status status =
        ae_trainer_evaluate(&context, self->trainer, slot, first, count, split, binding_stop, &signals, &loss);
    PyEval_RestoreThread(signals.thread);
    self->busy = false;
    return status == AE_OK ? PyFloat_FromDouble(loss) : binding_raise(Py_TYPE(object), &context, status);
}

static PyObject *trainer_keep_best(PyObject *object, PyObject *unused) {
    trainer_object *self = idle(object);
    (void)unused;
    if (!self)
        return NULL;
    ae_trainer_keep_best(self->trainer);
    Py_RETURN_NONE;
}

static PyObject *trainer_restore_best(PyObject *object, PyObject *unused) {
    trainer_object *self = idle(object);
    (void)unused;
    if (!self)
        return NULL;
    ae_trainer_restore_best(self->trainer);
    Py_RETURN_NONE;
}

static PyObject *trainer_scale_rate(PyObject *object, PyObject *argument) {
    const double factor = PyFloat_AsDouble(argument);
    trainer_object *self = PyErr_Occurred() ? NULL : idle(object);
    if (!self)
        return NULL;
    if (!(factor > 0.0 && isfinite(factor)))
        return PyErr_Format(PyExc_ValueError, "factor is %R; it must be positive and finite", argument);
    ae_trainer_scale_rate(self->trainer, factor);
    Py_RETURN_NONE;
}

static PyObject *trainer_set_loss_weight(PyObject *object, PyObject *args) {
    trainer_object *self;
    ae_context context;
    double weight;
    int index;
    if (!PyArg_ParseTuple(args, "id:set_loss_weight", &index, &weight) || !(self = idle(object)))
        return NULL;
    const ae_status status = ae_trainer_set_loss_weight(&context, self->trainer, index, weight);
    if (status != AE_OK)
        return binding_raise(Py_TYPE(object), &context, status);
    Py_RETURN_NONE;
}

static PyObject *trainer_term_losses(PyObject *object, PyObject *unused) {
    trainer_object *self = idle(object);
    (void)unused;
    if (!self)
        return NULL;
    npy_intp n = ae_trainer_n_losses(self->trainer);
    PyObject *array = PyArray_SimpleNew(1, &n, NPY_FLOAT64);
    if (array)
        ae_trainer_term_losses(self->trainer, PyArray_DATA((PyArrayObject *)array));
    return array;
}

static PyObject *trainer_position(PyObject *object, PyObject *unused) {
    int64_t step, epoch;
    trainer_object *self = idle(object);
    (void)unused;
    if (!self)
        return NULL;
    ae_trainer_position(self->trainer, &step, &epoch);
    return Py_BuildValue("LL", (long long)step, (long long)epoch);
}

static PyObject *trainer_seek(PyObject *object, PyObject *args) {
    trainer_object *self;
    long long step, epoch;
    const long long most = INT64_MAX / 16; /* streams and schedules still count from there */
    if (!PyArg_ParseTuple(args, "LL:seek", &step, &epoch) || !(self = idle(object)))
        return NULL;
    if (step < 0 || epoch < 0 || step > most || epoch > most)
        return PyErr_Format(PyExc_ValueError, "step is %lld and epoch %lld; both must be from 0 to %lld", step, epoch, most);
    ae_trainer_seek(self->trainer, step, epoch);
    Py_RETURN_NONE;
}

static int part_type(const ae_trainer_part *part) {
    return part->size == sizeof(ae_bf16) ? NPY_UINT16 : part->size == sizeof(float) ? NPY_FLOAT32 : NPY_FLOAT64;
}

/* {name: array}: the parts and, as "numbers", the numbers. */
static PyObject *trainer_snapshot(PyObject *object, PyObject *unused) {
    trainer_object *self = idle(object);
    ae_trainer_part parts[AE_TRAINER_PARTS + 1];
    double numbers[AE_TRAINER_NUMBERS];
    (void)unused;
    PyObject *dict = self ? PyDict_New() : NULL;
    if (!dict)
        return NULL;
    int n = ae_trainer_parts(self->trainer, parts);
    ae_trainer_numbers(self->trainer, numbers);
    parts[n++] = (ae_trainer_part){"numbers", (char *)numbers, AE_TRAINER_NUMBERS, sizeof *numbers};
    for (int i = 0; i < n; i++) {
        PyObject *array = PyArray_SimpleNew(1, ((npy_intp[]){(npy_intp)parts[i].count}), part_type(&parts[i]));
        if (array)
            memcpy(PyArray_DATA((PyArrayObject *)array), parts[i].data, parts[i].count * parts[i].size);
        const bool failed = !array || PyDict_SetItemString(dict, parts[i].name, array) < 0;
        Py_XDECREF(array);
        if (failed) {
            Py_DECREF(dict);
            return NULL;
        }
    }
    return dict;
}

static PyObject *trainer_restore(PyObject *object, PyObject *dict) {
    trainer_object *self;
    ae_trainer_part parts[AE_TRAINER_PARTS + 1];
    const void *data[AE_TRAINER_PARTS + 1];
    ae_context context;
    if (!PyDict_Check(dict))
        return PyErr_Format(PyExc_TypeError, "a dict as of snapshot is needed, got %s", Py_TYPE(dict)->tp_name);
    if (!(self = idle(object)))
        return NULL;
    int n = ae_trainer_parts(self->trainer, parts);
    parts[n++] = (ae_trainer_part){"numbers", NULL, AE_TRAINER_NUMBERS, sizeof(double)};
    if (PyDict_Size(dict) != n)
        return PyErr_Format(PyExc_ValueError, "the state has %zd parts; this trainer has %d", PyDict_Size(dict), n);
    for (int i = 0; i < n; i++) {
        PyObject *item = PyDict_GetItemString(dict, parts[i].name); /* borrowed */
        PyArrayObject *array = (PyArrayObject *)item;
        if (!item || !PyArray_Check(item) || PyArray_TYPE(array) != part_type(&parts[i]) || PyArray_NDIM(array) != 1 ||
            PyArray_DIM(array, 0) != (npy_intp)parts[i].count || !PyArray_ISCARRAY_RO(array))
            return PyErr_Format(PyExc_ValueError, "the state needs '%s', a contiguous array of %zu numbers of %zu bytes",
                                parts[i].name, parts[i].count, parts[i].size);
        data[i] = PyArray_DATA(array);
    }
    const ae_status status = ae_trainer_restore(&context, self->trainer, data, data[n - 1]);
    if (status != AE_OK)
        return binding_raise(Py_TYPE(object), &context, status);
    Py_RETURN_NONE;
}

static PyObject *trainer_gradient(PyObject *object, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"stage", "training", NULL};
    trainer_object *self;
    int stage = 0, training = 0;
    ae_context context;
    double loss;
    const void *gradient;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|ip:gradient", names, &stage, &training) || !(self = idle(object)))
        return NULL;
    ae_status status;
    self->busy = true;
    Py_BEGIN_ALLOW_THREADS
    status = ae_trainer_gradient(&context, self->trainer, stage, training, &loss, &gradient);
    Py_END_ALLOW_THREADS
    self->busy = false;
    if (status != AE_OK)
        return binding_raise(Py_TYPE(object), &context, status);
    const ae_net *net = ae_trainer_net(self->trainer);
    PyObject *list = PyList_New(net->n_parameters);
    for (int i = 0; list && i < net->n_parameters; i++) {
        PyObject *array = unpacked(net, i, gradient);
        if (!array)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, array);
    }
    return list ? Py_BuildValue("dN", loss, list) : NULL;
}

/* (steps, threads, seconds, roof, [(phase, subject, calls, seconds, flops, bytes), ...]), or None where none is taken. */
static PyObject *trainer_profile(PyObject *object, PyObject *unused) {
    trainer_object *self = idle(object);
    ae_profile_total total;
    ae_profile_row row;
    (void)unused;
    if (!self)
        return NULL;
    if (!ae_trainer_profile(self->trainer, &total))
        Py_RETURN_NONE;
    PyObject *list = PyList_New(0);
    for (int i = 0; list && ae_trainer_profile_row(self->trainer, i, &row); i++) {
        PyObject *item =
            row.calls ? Py_BuildValue("ssLddd", row.phase, row.subject, (long long)row.calls, row.seconds, row.flops, row.bytes)
                      : NULL;
        if (row.calls && (!item || PyList_Append(list, item) < 0))
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list ? Py_BuildValue("LiddN", (long long)total.steps, total.threads, total.seconds, total.roof, list) : NULL;
}

static PyObject *trainer_n_state(PyObject *object, void *unused) {
    (void)unused;
    return PyLong_FromLong(ae_trainer_n_state(((trainer_object *)object)->trainer));
}

static PyMethodDef trainer_methods[] = {
    {"initialize", trainer_initialize, METH_NOARGS, PyDoc_STR("initialize($self)\n--\n\nDraws all weights from the seed.")},
    {"parameters", trainer_parameters, METH_NOARGS,
     PyDoc_STR("parameters($self)\n--\n\n(name, rows, columns) of each parameter.")},
    {"get", trainer_get, METH_O, PyDoc_STR("get($self, index, /)\n--\n\nA copy of a parameter.")},
    {"set", trainer_set, METH_VARARGS, PyDoc_STR("set($self, index, value, /)\n--\n\nReplaces a parameter.")},
    {"get_state", trainer_get_state, METH_VARARGS,
     PyDoc_STR("get_state($self, which, index, /)\n--\n\nA copy of optimiser state of a parameter.")},
    {"set_state", trainer_set_state, METH_VARARGS,
     PyDoc_STR("set_state($self, which, index, value, /)\n--\n\nReplaces optimiser state of a parameter.")},
    {"bind", trainer_bind, METH_VARARGS, PyDoc_STR("bind($self, slot, sources, row_weight=None, /)\n--\n\nBinds data.")},
    {"subset", trainer_subset, METH_VARARGS, PyDoc_STR("subset($self, first, count, split, /)\n--\n\nRows to train on.")},
    {"moments", trainer_moments, METH_O, PyDoc_STR("moments($self, source, /)\n--\n\nMean and variance of the columns.")},
    {"epoch", trainer_epoch, METH_NOARGS, PyDoc_STR("epoch($self)\n--\n\n(loss, rate, steps, converged) of one pass.")},
    {"evaluate", trainer_evaluate, METH_VARARGS,
     PyDoc_STR("evaluate($self, slot, first, count, split, /)\n--\n\nMean loss without training.")},
    {"keep_best", trainer_keep_best, METH_NOARGS, PyDoc_STR("keep_best($self)\n--\n\nRemembers the weights.")},
    {"restore_best", trainer_restore_best, METH_NOARGS, PyDoc_STR("restore_best($self)\n--\n\nBrings them back.")},
    {"scale_rate", trainer_scale_rate, METH_O, PyDoc_STR("scale_rate($self, factor, /)\n--\n\nFactor on top of the schedule.")},
    {"set_loss_weight", trainer_set_loss_weight, METH_VARARGS,
     PyDoc_STR("set_loss_weight($self, index, weight, /)\n--\n\nChanges the weight of a loss.")},
    {"term_losses", trainer_term_losses, METH_NOARGS,
     PyDoc_STR("term_losses($self)\n--\n\nMean of each loss over the last epoch, without its weight.")},
    {"position", trainer_position, METH_NOARGS, PyDoc_STR("position($self)\n--\n\n(steps, epochs) done.")},
    {"seek", trainer_seek, METH_VARARGS, PyDoc_STR("seek($self, step, epoch, /)\n--\n\nGoes on from there.")},
    {"snapshot", trainer_snapshot, METH_NOARGS,
     PyDoc_STR("snapshot($self)\n--\n\nAll that is known between two epochs, by name.")},
    {"restore", trainer_restore, METH_O, PyDoc_STR("restore($self, state, /)\n--\n\nGoes on from a snapshot.")},
    {"gradient", (PyCFunction)(void (*)(void))trainer_gradient, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("gradient($self, stage=0, training=False)\n--\n\nLoss and gradient without update.")},
    {"profile", trainer_profile, METH_NOARGS, PyDoc_STR("profile($self)\n--\n\nWhere the time went, or None.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef trainer_getset[] = {{"n_state", trainer_n_state, NULL, PyDoc_STR("Optimiser arrays a parameter."), NULL},
                                       {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot trainer_slots[] = {
    {Py_tp_new, trainer_new},
    {Py_tp_dealloc, trainer_dealloc},
    {Py_tp_traverse, trainer_traverse},
    {Py_tp_clear, trainer_clear},
    {Py_tp_methods, trainer_methods},
    {Py_tp_getset, trainer_getset},
    {Py_tp_doc, (void *)PyDoc_STR("One fit: network, optimiser, threads.")},
    {0, NULL},
};

PyType_Spec binding_trainer_spec = {
    .name = "autoenc._core.Trainer",
    .basicsize = sizeof(trainer_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = trainer_slots,
};
