/* The module: constants, functions, types. */
#define AE_IMPORTS_NUMPY
#include "python/binding.h"

#include "math/linalg.h"

/* ---- linear algebra: SciPy's routines at first use ---- */

/* Whether a C signature as Cython writes it, "void (char *, int *, T *)", has these arguments: c, i and d for pointers to char,
 * int and double. SciPy has a name of its own for double, which ends with its module's name and _d; a build with other
 * integers writes another type than int. */
static bool signature_has(const char *signature, const char *arguments) {
    static const char *const opening = "void (";
    if (strncmp(signature, opening, strlen(opening)))
        return false;
    for (const char *at = signature + strlen(opening); *arguments; arguments++) {
        const char *end = strstr(at, " *");
        const size_t length = end ? (size_t)(end - at) : 0;
        const bool is_char = length == 4 && !strncmp(at, "char", 4), is_int = length == 3 && !strncmp(at, "int", 3);
        const bool is_double = (length == 6 && !strncmp(at, "double", 6)) ||
                               (length > 8 && !strncmp(at, "__pyx_t_", 8) && !strncmp(end - 2, "_d", 2));
        if (!(*arguments == 'c' ? is_char : *arguments == 'i' ? is_int : is_double))
            return false;
        at = end + 2;
        if (arguments[1] ? strncmp(at, ", ", 2) : strcmp(at, ")"))
            return false;
        at += 2;
    }
    return true;
}

/* The capsule's name is the routine's C signature. Called by another one it would write where it must not. */
static void *capsule_pointer(PyObject *api, const char *name, const char *arguments) {
    PyObject *capsule = PyMapping_GetItemString(api, name);
    if (!capsule)
        return NULL;
    const char *signature = PyCapsule_CheckExact(capsule) ? PyCapsule_GetName(capsule) : NULL;
    void *pointer = NULL;
    if (signature && signature_has(signature, arguments))
        pointer = PyCapsule_GetPointer(capsule, signature);
    else
        PyErr_Format(
            PyExc_ImportError,
            "SciPy's routine %s has the signature '%s', which this build of autoenc cannot call (it passes pointers to "
            "%s, by first letters of their types); install another SciPy, or build with AUTOENC_BLAS=openblas",
            name, signature ? signature : "(none)", arguments);
    Py_DECREF(capsule);
    return pointer;
}

static bool provide_linalg(void) {
    enum { MOST = 32 };
    void *pointers[MOST];
    if (ae_linalg_ready())
        return true;
    PyObject *apis[2] = {NULL, NULL};
    static const char *const modules[2] = {"scipy.linalg.cython_lapack", "scipy.linalg.cython_blas"};
    bool done = true;
    for (int i = 0; i < 2 && done; i++) {
        PyObject *module = PyImport_ImportModule(modules[i]);
        apis[i] = module ? PyObject_GetAttrString(module, "__pyx_capi__") : NULL;
        Py_XDECREF(module);
        done = apis[i] != NULL;
    }
    for (int i = 0; done && ae_linalg_names[i]; i++) {
        if (i == MOST) {
            PyErr_SetString(PyExc_SystemError, "more routines than room");
            done = false;
            break;
        }
        pointers[i] = capsule_pointer(apis[0], ae_linalg_names[i], ae_linalg_arguments[i]);
        if (!pointers[i] && PyErr_ExceptionMatches(PyExc_KeyError)) {
            PyErr_Clear();
            pointers[i] = capsule_pointer(apis[1], ae_linalg_names[i], ae_linalg_arguments[i]);
        }
        done = pointers[i] != NULL;
    }
    Py_XDECREF(apis[0]);
    Py_XDECREF(apis[1]);
    if (done)
        ae_linalg_provide(pointers);
    return done;
}

static PyObject *core_svd(PyObject *module, PyObject *argument) {
    ae_context context;
    PyArrayObject *u = NULL, *s = NULL, *vt = NULL;
    (void)module;
    if (!provide_linalg())
        return NULL;
    PyArrayObject *a = (PyArrayObject *)PyArray_FROMANY(argument, NPY_FLOAT64, 2, 2,
                                                        NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | NPY_ARRAY_WRITEABLE |
                                                            NPY_ARRAY_NOTSWAPPED | NPY_ARRAY_ENSURECOPY);
    if (!a)
        return NULL;
    npy_intp m = PyArray_DIM(a, 0), n = PyArray_DIM(a, 1), r = m < n ? m : n;
    if (r < 1) {
        PyErr_Format(PyExc_ValueError, "svd of a %zd x %zd matrix; it must have rows and columns", (Py_ssize_t)m,
                     (Py_ssize_t)n);
        goto failed;
    }
    if (!(u = (PyArrayObject *)PyArray_SimpleNew(2, ((npy_intp[]){m, r}), NPY_FLOAT64)) ||
        !(s = (PyArrayObject *)PyArray_SimpleNew(1, &r, NPY_FLOAT64)) ||
        !(vt = (PyArrayObject *)PyArray_SimpleNew(2, ((npy_intp[]){r, n}), NPY_FLOAT64)))
        goto failed;
    ae_status status;
    Py_BEGIN_ALLOW_THREADS
    status = ae_linalg_svd(&context, m, n, PyArray_DATA(a), PyArray_DATA(u), PyArray_DATA(s), PyArray_DATA(vt));
    Py_END_ALLOW_THREADS
    if (status != AE_OK) {
        binding_raise(NULL, &context, status);
        goto failed;
    }
    Py_DECREF(a);
    return Py_BuildValue("NNN", u, s, vt);
failed:
    Py_XDECREF(u);
    Py_XDECREF(s);
    Py_XDECREF(vt);
    Py_DECREF(a);
    return NULL;
}

/* ---- checks of data ---- */

static PyObject *place(int64_t row, int64_t column, double value) {
    if (row < 0)
        Py_RETURN_NONE;
    return Py_BuildValue("LLd", (long long)row, (long long)column, value);
}

/* What is looked for. */
typedef struct wanted {
    bool outside; /* of [low, high]; else what is not finite */
    bool allow_nan;
    double low, high;
} wanted;

static void find_first(const ae_data *data, const wanted *w, int64_t *row, int64_t *column, double *value) {
    if (w->outside)
        ae_data_find_outside(data, w->low, w->high, w->allow_nan, row, column, value);
    else
        (w->allow_nan ? ae_data_find_infinite : ae_data_find_nonfinite)(data, row, column, value);
}

#define VALUES_AT_ONCE ((int64_t)1 << 22)

/* In pieces of rows, between which signals are looked for: a memory map may take minutes to read. CSR goes in one. */
static PyObject *find(PyObject *object, const wanted *w) {
    ae_context context;
    ae_data data;
    PyObject *keep;
    int64_t row = -1, column = -1;
    double value = 0;
    if (!binding_source(object, &data, &keep))
        return NULL;
    binding_signals signals = {NULL, false};
    ae_asking asking = {binding_stop, &signals, 0};
    signals.thread = PyEval_SaveThread();
    ae_status status = ae_data_check(&context, &data, "X");
    const int64_t piece = data.sparse ? data.rows : VALUES_AT_ONCE / (data.columns + 1) + 1;
    for (int64_t first = 0, rows; status == AE_OK && row < 0 && first < data.rows; first += rows) {
        ae_data part = data;
        rows = data.rows - first < piece ? data.rows - first : piece;
        part.rows = rows;
        part.base += data.sparse ? 0 : first * data.row_bytes;
        find_first(&part, w, &row, &column, &value);
        if (row >= 0)
            row += first;
        else if (first + rows < data.rows)
            status = ae_ask(&context, &asking);
    }
    PyEval_RestoreThread(signals.thread);
    Py_DECREF(keep);
    return status == AE_OK ? place(row, column, value) : binding_raise(NULL, &context, status);
}

static PyObject *core_find_nonfinite(PyObject *module, PyObject *arguments, PyObject *keywords) {
    static const char *const names[] = {"", "allow_nan", NULL};
    PyObject *object;
    int allow_nan = 0;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|$p:find_nonfinite", (char **)(uintptr_t)names, &object,
                                     &allow_nan))
        return NULL;
    return find(object, &(wanted){.allow_nan = allow_nan != 0});
}

static PyObject *core_find_outside(PyObject *module, PyObject *arguments, PyObject *keywords) {
    static const char *const names[] = {"", "", "", "allow_nan", NULL};
    PyObject *object;
    double low, high;
    int allow_nan = 0;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "Odd|$p:find_outside", (char **)(uintptr_t)names, &object, &low,
                                     &high, &allow_nan))
        return NULL;
    return find(object, &(wanted){true, allow_nan != 0, low, high});
}

static PyObject *core_isa(PyObject *module, PyObject *unused) {
    ae_context context;
    ae_isa isa;
    (void)module;
    (void)unused;
    ae_status status = ae_isa_select(&context, &isa);
    return status == AE_OK ? PyUnicode_FromString(ae_isa_name(isa)) : binding_raise(NULL, &context, status);
}

static PyMethodDef core_functions[] = {
    {"isa", core_isa, METH_NOARGS, PyDoc_STR("isa()\n--\n\nInstruction set in use.")},
    {"svd", core_svd, METH_O, PyDoc_STR("svd(a, /)\n--\n\nThin singular value decomposition (u, s, vt).")},
    {"find_nonfinite", (PyCFunction)(void (*)(void))core_find_nonfinite, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("find_nonfinite(source, /, *, allow_nan=False)\n--\n\n"
               "First (row, column, value) that is infinite or, unless allow_nan, NaN; or None.")},
    {"find_outside", (PyCFunction)(void (*)(void))core_find_outside, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("find_outside(source, low, high, /, *, allow_nan=False)\n--\n\n"
               "First (row, column, value) outside [low, high] or, unless allow_nan, NaN; or None.")},
    {"hamming_neighbors", binding_hamming_neighbors, METH_VARARGS,
     PyDoc_STR("hamming_neighbors(codes, queries, k, n_threads, /)\n--\n\nThe k nearest codes (distances, indices) of each "
               "query.")},
    {NULL, NULL, 0, NULL},
};

/* ---- tables of names ---- */

static const char *layer_name(int i) {
    const ae_layer_ops *ops = ae_layer_get(32, AE_ISA_REF, i);
    return ops ? ops->name : NULL;
}
static const char *activation_name(int i) { return i < AE_ACTIVATION_COUNT ? ae_activation_name((ae_activation)i) : NULL; }
static const char *initializer_name(int i) { return i < AE_INIT_COUNT ? ae_initializer_name((ae_initializer)i) : NULL; }
static const char *rule_name(int i) {
    const ae_rule_ops *ops = ae_rule_get(32, AE_ISA_REF, i);
    return ops ? ops->name : NULL;
}
static const char *schedule_name(int i) {
    static const char *const names[AE_SCHEDULE_KINDS] = {"constant", "step", "exponential", "cosine", "one_cycle", "linear"};
    return i < AE_SCHEDULE_KINDS ? names[i] : NULL;
}
static const ae_loss_ops *loss(int i) { return ae_loss_get(32, AE_ISA_REF, i); }
static const char *loss_name(int i) { return loss(i) ? loss(i)->name : NULL; }
static const char *loss_link(int i) { return loss(i) ? ae_activation_name(loss(i)->link) : NULL; }
static const char *loss_target(int i) {
    static const char *const names[] = {"any", "unit_interval", "nonnegative"};
    return loss(i) ? names[loss(i)->target] : NULL;
}

static int add_names(PyObject *module, const char *attribute, const char *(*name)(int)) {
    int n = 0;
    while (name(n))
        n++;
    PyObject *tuple = PyTuple_New(n);
    for (int i = 0; tuple && i < n; i++) {
        PyObject *item = PyUnicode_FromString(name(i));
        if (!item)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, i, item);
    }
    const int failed = PyModule_AddObjectRef(module, attribute, tuple);
    Py_XDECREF(tuple);
    return failed;
}

/* A tuple of bools by loss. */
static int add_loss_flags(PyObject *module, const char *attribute, bool (*flag)(const ae_loss_ops *)) {
    int n = 0;
    while (loss(n))
        n++;
    PyObject *tuple = PyTuple_New(n);
    for (int i = 0; tuple && i < n; i++)
        PyTuple_SET_ITEM(tuple, i, PyBool_FromLong(flag(loss(i))));
    const int failed = PyModule_AddObjectRef(module, attribute, tuple);
    Py_XDECREF(tuple);
    return failed;
}

static bool has_parameter(const ae_loss_ops *ops) { return ops->has_parameter; }
static bool has_second(const ae_loss_ops *ops) { return (ops->flags & AE_LOSS_SECOND) != 0; }
static bool has_target(const ae_loss_ops *ops) { return (ops->flags & AE_LOSS_NO_TARGET) == 0; }
static bool weighs_entries(const ae_loss_ops *ops) { return (ops->flags & AE_LOSS_ROW) == 0; }
static bool is_likelihood(const ae_loss_ops *ops) { return ops->likelihood != NULL; }

static int core_exec(PyObject *module) {
    binding_state *state = PyModule_GetState(module);
    if (PyArray_ImportNumPyAPI() < 0)
        return -1;
    state->divergence_error = PyErr_NewExceptionWithDoc(
        "autoenc._core.DivergenceError",
        "A loss became infinite or not a number. Weights are those of the last complete epoch.", PyExc_ArithmeticError, NULL);
    if (!state->divergence_error || PyModule_AddObjectRef(module, "DivergenceError", state->divergence_error) < 0)
        return -1;
    state->trainer_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &binding_trainer_spec, NULL);
    state->predictor_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &binding_predictor_spec, NULL);
    if (!state->trainer_type || !state->predictor_type || PyModule_AddType(module, state->trainer_type) < 0 ||
        PyModule_AddType(module, state->predictor_type) < 0)
        return -1;
    if (add_names(module, "LAYERS", layer_name) || add_names(module, "ACTIVATIONS", activation_name) ||
        add_names(module, "INITIALIZERS", initializer_name) || add_names(module, "RULES", rule_name) ||
        add_names(module, "SCHEDULES", schedule_name) || add_names(module, "LOSSES", loss_name) ||
        add_names(module, "LOSS_LINKS", loss_link) || add_names(module, "LOSS_TARGETS", loss_target) ||
        add_loss_flags(module, "LOSS_HAS_PARAMETER", has_parameter) || add_loss_flags(module, "LOSS_HAS_SECOND", has_second) ||
        add_loss_flags(module, "LOSS_HAS_TARGET", has_target) ||
        add_loss_flags(module, "LOSS_WEIGHS_ENTRIES", weighs_entries) ||
        add_loss_flags(module, "LOSS_IS_LIKELIHOOD", is_likelihood))
        return -1;
    PyObject *sizes = Py_BuildValue("nnn", (Py_ssize_t)sizeof(ae_node_desc), (Py_ssize_t)sizeof(ae_loss_desc),
                                    (Py_ssize_t)sizeof(ae_stage_desc));
    const int failed = PyModule_AddObjectRef(module, "STRUCT_SIZES", sizes);
    Py_XDECREF(sizes);
    return failed || PyModule_AddIntConstant(module, "VALUES", AE_PREDICT_VALUES) < 0 ||
                   PyModule_AddIntConstant(module, "LINKED", AE_PREDICT_LINKED) < 0 ||
                   PyModule_AddIntConstant(module, "LOSS", AE_PREDICT_LOSS) < 0 ||
                   PyModule_AddIntConstant(module, "TERMS", AE_PREDICT_TERMS) < 0 ||
                   PyModule_AddIntConstant(module, "NLL", AE_PREDICT_NLL) < 0
               ? -1
               : 0;
}

static int core_traverse(PyObject *module, visitproc visit, void *arg) {
    binding_state *state = PyModule_GetState(module);
    Py_VISIT(state->divergence_error);
    Py_VISIT(state->trainer_type);
    Py_VISIT(state->predictor_type);
    return 0;
}

static int core_clear(PyObject *module) {
    binding_state *state = PyModule_GetState(module);
    Py_CLEAR(state->divergence_error);
    Py_CLEAR(state->trainer_type);
    Py_CLEAR(state->predictor_type);
    return 0;
}

static void core_free(void *module) { core_clear(module); }

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
#if PY_VERSION_HEX >= 0x030C0000 /* NumPy's table of functions and LAPACK's are one for the process */
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

struct PyModuleDef binding_module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "autoenc._core",
    .m_doc = PyDoc_STR("The C core of autoenc. Internal."),
    .m_size = sizeof(binding_state),
    .m_methods = core_functions,
    .m_slots = core_slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
    .m_free = core_free,
};

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&binding_module); }
