"""Model files that are damaged or made to do harm: each gives an error in words, and none more than that."""

import functools
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from model_files import answers, assert_equal, fitted, parts

import autoenc
from autoenc import _archive
from autoenc.__main__ import main

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def models():
    """Each kind, fitted once."""
    return functools.cache(fitted)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def put(file, header, data, configuration=None):
    if configuration is not None:
        text = configuration if isinstance(configuration, str) else json.dumps(configuration)
        header = {**header, "__metadata__": {"autoenc": text}}
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)


def edited(path, change):
    header, data = parts(path)
    configuration = json.loads(header["__metadata__"]["autoenc"])
    changed = change(configuration)
    put(path, header, data, configuration if changed is None else changed)


def at(configuration, *keys):
    for key in keys:
        configuration = configuration[key]
    return configuration


SPEC = ("estimator", "state", "_spec")
HOSTILE = {
    "a later format": (lambda c: c.update(format=3), r"is a model of format 3, written by autoenc '[\d.]+', and this"),
    "no format": (lambda c: c.pop("format"), "format None"),
    "another class": (lambda c: c["estimator"].update({"class": "os.system"}), "is of the class 'os.system'; allowed"),
    "an inner class": (lambda c: c["estimator"].update({"class": "Member"}), "is of the class 'Member'"),
    "an unknown part": (
        lambda c: c["estimator"]["parameters"].update(corruption={"object": "os.system", "parameters": {}}),
        "parameters.corruption is an object 'os.system', which this release does not know",
    ),
    "a parameter that writes": (
        lambda c: at(c, "estimator", "parameters").update(
            callbacks=[{"object": "callbacks.CSVLogger", "parameters": {"path": "log.csv"}}]
        ),
        "callbacks.0 is an object 'callbacks.CSVLogger', which this release does not know",
    ),
    "a parameter of a callback out of range": (
        lambda c: at(c, "estimator", "parameters").update(
            callbacks={"object": "callbacks.EarlyStopping", "parameters": {"patience": 0}}
        ),
        "patience=0; allowed are whole numbers from 1",
    ),
    "a parameter that is state of a callback": (
        lambda c: at(c, "estimator", "parameters").update(
            callbacks={"object": "callbacks.EarlyStopping", "parameters": {"_best": 0}}
        ),
        r"has the parameters \['_best'\], which EarlyStopping does not have",
    ),
    "an unknown parameter": (lambda c: c["estimator"]["parameters"].update(code=1), r"has the parameters \['code'\]"),
    "a parameter out of range": (lambda c: c["estimator"]["parameters"].update(alpha=-1), "The 'alpha' parameter"),
    "a method for an attribute": (lambda c: c["estimator"]["state"].update(transform=1), r"has \['transform'\]"),
    "an attribute too few": (lambda c: c["estimator"]["state"].pop("best_loss_"), "best_loss_ is missing"),
    "a wrong type": (lambda c: c["estimator"]["state"].update(n_iter_="2"), "n_iter_ is '2'; allowed are whole"),
    "an array twice": (
        lambda c: c["estimator"]["state"]["coefs_"].__setitem__(1, {"array": "coefs_.0"}),
        "which the file does not have, or has for something else",
    ),
    "an array too many": (lambda c: c["estimator"]["state"]["coefs_"].pop(), "coefs_ has 3 arrays; the network has 4"),
    "a layer of another width": (
        lambda c: at(c, *SPEC, "nodes", 1, "fields").update(width=8),
        "_spec.parameters are not those that the nodes have",
    ),
    "a layer beyond memory": (
        lambda c: (
            at(c, *SPEC, "nodes", 1, "fields").update(width=2**31 - 1),
            at(c, *SPEC).update(
                parameters=[
                    [n, 2**31 - 1 if n == "code.weight" else r, 2**31 - 1 if n.startswith("encoder_0") else k]
                    for n, r, k in at(c, *SPEC, "parameters")
                ]
            ),
        ),
        r"coefs_.0 has shape \(6, 7\); needed is \(6, 2147483647\)",
    ),
    "values beyond memory": (
        lambda c: (
            at(c, *SPEC, "score_nodes").append(
                {"kind": "constant", "name": "huge", "inputs": [], "fields": {"width": 2**31 - 1}}
            )
            or at(c, *SPEC).update(kept=["huge"])
        ),
        "values for a row, which no network of autoenc has",
    ),
    "an input that comes later": (
        lambda c: at(c, *SPEC, "nodes", 1).update(inputs=["reconstruction"]),
        "has the input 'reconstruction', which is no node before it",
    ),
    "a node by number": (lambda c: at(c, *SPEC, "nodes", 1).update(inputs=[-5]), "has the input -5"),
    "an unknown layer": (lambda c: at(c, *SPEC, "nodes", 1).update(kind="exec"), "is of the kind 'exec'"),
    "an unknown field": (lambda c: at(c, *SPEC, "nodes", 1, "fields").update(run=1), r"has \['run'\]"),
    "an unknown loss": (lambda c: at(c, *SPEC, "scores", 0).update(loss="x"), "has the loss 'x'"),
    "a code that is no node": (lambda c: at(c, *SPEC).update(code="nothing"), "_spec.code is 'nothing'"),
    "a term of no node": (lambda c: at(c, *SPEC, "objective", 0).update(target="nothing"), "has 'nothing' for target"),
    "two nodes of a name": (lambda c: at(c, *SPEC, "nodes", 1).update(name="x"), "has the name 'x'; names are unlike"),
    "a key twice": (lambda c: json.dumps(c)[:-1] + ', "format": 1}', "has a key twice"),
    "NaN": (lambda c: json.dumps(c)[:-1] + ', "more": NaN}', "has NaN, which JSON does not have"),
    "no end of brackets": (lambda c: "[" * 100_000, "nested too deeply|not JSON"),
    "deep values": (
        lambda c: json.dumps(c).replace('"alpha": 0.0001', '"alpha": ' + "[" * 600 + "]" * 600),
        "nested too deeply|The 'alpha' parameter",
    ),
    "a number of a million digits": (lambda c: json.dumps(c)[:-1] + ', "more": ' + "9" * 10**6 + "}", "not JSON"),
    "a number beyond float64": (
        lambda c: c["estimator"]["state"].update(best_loss_=10**400),
        "cannot be read|best_loss_",
    ),
    "an unknown key": (
        lambda c: c.update(more=1),
        r"the configuration has \['more'\], which this release does not know",
    ),
    "an unknown setting": (lambda c: at(c, *SPEC, "settings").update(more=1), r"_spec.settings has \['more'\], which"),
    "an output that is none": (
        lambda c: c["estimator"].update(output={"transform": "evil"}),
        "has the output {'transform': 'evil'}",
    ),
    "an output with more": (
        lambda c: c["estimator"].update(output={"transform": "pandas", "more": "x"}),
        "has the output",
    ),
    "a node of training beyond memory": (
        lambda c: at(c, *SPEC, "nodes").append(
            {"kind": "constant", "name": "huge", "inputs": [], "fields": {"width": 2**31 - 1}}
        ),
        "values for a row, which no network of autoenc has",
    ),
    "texts without end": (
        lambda c: c["estimator"]["state"].update(n_iter_="x" * 10**6),
        r"n_iter_ is 'xxx.* \.\.\. .*x'",
    ),
    "lists without end": (
        lambda c: at(c, *SPEC, "settings").update(loss=[[]] * 300_000),
        r"it has 300\d\d\d lists and objects in 1\d{6} characters",
    ),
    # Multiples of 2^61 - 1 have one hash, so that a dict of n of them takes n^2 steps.
    "a parameter with keys of one hash": (
        lambda c: c["estimator"]["parameters"].update(alpha={"dict": [[n * (2**61 - 1), 0] for n in range(99)]}),
        "parameters.alpha has a key that no integer of 64 bits is",
    ),
    "a parameter with a key twice": (
        lambda c: c["estimator"]["parameters"].update(alpha={"dict": [[1, 0], [1.0, 0]]}),
        "parameters.alpha has a key twice",
    ),
    "another program's file": (lambda c: "{}", "format None"),
    "something else": (lambda c: "3", "the configuration is not an object"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_configuration_is_refused_by_a_clear_error(case, models, path):
    change, message = HOSTILE[case]
    models("plain").save(path)

    def once(configuration):
        changed = change(configuration)
        return changed if isinstance(changed, str) else None

    edited(path, once)
    if case == "a number beyond float64":
        autoenc.load(path)  # a whole number; Python has it
        return
    for load in (autoenc.load, autoenc.load_predictor):
        if load is autoenc.load_predictor and any(
            word in case for word in ("parameter", "part", "output", "deep values")
        ):
            continue  # it does not look at them
        with pytest.raises(ValueError, match=message) as caught:
            load(path)
        assert str(path) in str(caught.value)
        assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("command", ["encode", "reconstruct", "score", "info"])
@pytest.mark.parametrize("state", [{"_spec": [1]}, {"_spec": None}, {"feature_names_in_": {"strings": 3}}])
def test_commands_refuse_a_hostile_configuration(command, state, models, path, tmp_path, capsys):
    models("plain").save(path)
    edited(path, lambda c: c["estimator"]["state"].update(state))
    np.save(tmp_path / "X.npy", np.zeros((3, 6)))
    more = [] if command == "info" else [str(tmp_path / "X.npy")]
    assert main([command, str(path), *more]) == 1
    assert f"{path} cannot be read as a model of autoenc: " in capsys.readouterr().err


def test_brackets_in_names_are_no_lists():
    text = json.dumps(["[[[["] * 300_000)
    assert _archive.parse(text) == json.loads(text)


def test_a_text_without_an_end_takes_no_longer_than_others():
    """An expression that looks for strings one by one would go back at each escaped quote: hours for this one."""
    with pytest.raises(_archive.Damaged, match="lists and objects in"):
        _archive.parse("[" * (2**18 + 1) + '"' + r"\"" * 1_000_000)
    text = json.dumps([r"[\\[" * 100_000, 'a"[' * 300_000])
    assert _archive.parse(text) == json.loads(text)


def test_arrays_beyond_memory_are_a_memory_error_with_the_name_of_the_file():
    entries = {"weight": {"dtype": "F32", "shape": [2**40, 2**10], "data_offsets": [0, 2**52]}}
    message = r"^model\.safetensors cannot be read as a model: Unable to allocate"
    with pytest.raises(MemoryError, match=message), _archive.named("model.safetensors", "a model"):
        _archive.Reader(_archive.Arrays(None, entries, 0, None), ["weight"]).array({"array": "weight"}, "x")


def test_what_became_shorter_while_it_was_read_is_refused(path):
    """A mapped file would end the process."""
    _archive.write(path, "key", {}, {"weight": np.zeros(10**6)})
    with (
        pytest.raises(ValueError, match=rf"^{path} cannot be read as a file: it ends within the array 'weight'"),
        _archive.opened(path, "key", "a file") as (file, names, _),
    ):
        os.truncate(path, 10**6)
        _archive.Reader(file, names).array({"array": "weight"}, "x")


def test_a_header_that_could_not_be_read_is_not_written(models, path, monkeypatch):
    model = models("plain")
    model.save(path)
    before = path.read_bytes()
    monkeypatch.setattr(_archive, "MOST_HEADER", 1000)
    with pytest.raises(
        ValueError, match=r"is not written: what is not arrays, such as names of features, takes [\d,]+"
    ):
        model.save(path)
    assert path.read_bytes() == before


def test_training_does_not_go_on_with_a_network_beyond_memory(models, path):
    """Parameters may differ from the network; that is said before there is memory for what they mean."""
    models("plain").save(path)
    sizes = {"tuple": [2**24, 2**24]}
    edited(path, lambda c: c["estimator"]["parameters"].update(hidden_layer_sizes=sizes))
    model = autoenc.load(path)
    with pytest.raises(ValueError, match=r"differs from what parameters and data now mean: hidden_layer_sizes from"):
        model.partial_fit(np.zeros((9, 6), np.float32))
    with pytest.raises(ValueError, match=r"differs from what parameters and data now mean: hidden_layer_sizes from"):
        model.set_params(warm_start=True).fit(np.zeros((9, 6), np.float32))


def setting(name, *value):
    """Another setting of the network; without a value none."""

    def change(configuration):
        settings = at(configuration, *SPEC, "settings")
        settings.pop(name)
        if value:
            settings[name] = value[0]

    return change


# What methods take by name, which the core does not see before a row asks for it.
LATER = [
    ("vamp", setting("prior"), "_spec.settings.prior is None; allowed: normal, mixture, vamp"),
    ("vamp", setting("prior", "flow"), "_spec.settings.prior is 'flow'; allowed"),
    ("vamp", setting("prior", "mixture"), "prior is 'mixture', which has 1 x 9 divergence.logits"),
    ("vamp", setting("n_prior_components"), "n_prior_components is None, which is not how many divergence.means"),
    ("vamp", setting("n_prior_components", 8), "n_prior_components is 8, which is not how many divergence.means"),
    ("variational", setting("prior", "vamp"), "which is not how many divergence.means"),
    ("variational", setting("noise_variance"), "noise_variance is None; allowed: positive numbers, shared, learned"),
    ("variational", setting("noise_variance", 0.0), "noise_variance is 0.0; allowed: positive numbers"),
    ("variational", setting("noise_variance", "learned"), "is 'learned', and there is a squared error"),
    ("likelihoods", lambda c: at(c, *SPEC, "scores").pop(1), r"_spec.ranges make parts of .* columns, and the scores"),
    ("columns", lambda c: at(c, *SPEC, "ranges").pop(0), "_spec.ranges do not have each of the 6 columns once"),
    ("product", setting("quantizer"), "_spec.settings.quantizer is None; allowed: product, residual"),
    ("product", lambda c: at(c, *SPEC).update(kept=[]), "_spec.kept is empty; needed is the node of the numbers"),
    ("plain", lambda c: at(c, *SPEC).update(linked="code"), "_spec.n_outputs is 6 and the node has 2"),
    (
        "gaussian",
        lambda c: at(c, *SPEC).update(linked="x_corrupted"),
        "_spec does without 'x_corrupted' where it is used",
    ),
    (
        "conditions",
        lambda c: at(c, "estimator", "state", "condition_categories_").pop("width"),
        "condition_categories_ has strings without a width",
    ),
]


@pytest.mark.parametrize(("kind", "change", "message"), LATER)
def test_what_methods_would_miss_is_refused_when_the_file_is_read(kind, change, message, models, path):
    models(kind).save(path)
    edited(path, lambda configuration: change(configuration) and None)
    for load in (autoenc.load, autoenc.load_predictor):
        with pytest.raises(ValueError, match=message) as caught:
            load(path)
        assert str(path) in str(caught.value)


def test_a_hostile_container_is_refused(models, path):
    models("plain").save(path)
    whole = path.read_bytes()
    header, data = parts(path)

    def refused(match="cannot be read as a model of autoenc"):
        for load in (autoenc.load, autoenc.load_predictor):
            with pytest.raises(ValueError, match=match):
                load(path)

    for n in (0, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:n])
        refused()
    path.write_bytes(struct.pack("<Q", 2**63) + whole[8:])
    refused()
    del header["__metadata__"][_archive.CHECKSUMS]  # which would be the first to show it
    for change in (
        {"shape": [2**40, 2**40]},
        {"dtype": "F64"},
        {"shape": [7, 6]},
        {"data_offsets": [0, 10**15]},
        {"dtype": "I32"},
    ):
        put(path, {**header, "coefs_.0": {**header["coefs_.0"], **change}}, data)
        refused()
    put(path, {k: v for k, v in header.items() if k != "__metadata__"}, data)
    refused("has no configuration 'autoenc'")
    text = json.dumps(header)
    for twice in ('"__metadata__": {"autoenc": "{}", ', '"intercepts_.0": 1, "__metadata__": {'):
        put(path, text.replace('"__metadata__": {', twice, 1).encode(), data)
        refused("has a key twice|cannot be read")
    other = np.frombuffer(data, np.uint8).copy()
    start = header["coefs_.0"]["data_offsets"][0]
    other[start : start + 4] = np.frombuffer(np.float32(np.nan).tobytes(), np.uint8)
    put(path, header, other.tobytes())
    refused("every weight must be finite")


def test_a_changed_byte_is_refused(models, path):
    """A weight whose byte has changed is a number like any other."""
    models("plain").save(path)
    whole = path.read_bytes()
    header, data = parts(path)
    begin = len(whole) - len(data)

    def refused(what):
        for load in (autoenc.load, autoenc.load_predictor):
            with pytest.raises(
                ValueError, match=f"{path}.*{what} has changed since .* its checksum is [0-9a-f]{{8}}, noted"
            ):
                load(path)

    for name in ("coefs_.0", "intercepts_.3"):
        changed = bytearray(whole)
        changed[begin + header[name]["data_offsets"][1] - 1] ^= 1
        path.write_bytes(changed)
        refused(f"the array '{name}'")
    changed = bytearray(whole)
    changed[whole.index(b'max_iter\\":') + 11] ^= 1
    path.write_bytes(changed)
    refused("the configuration")
    put(path, {**header, "coefs_.0": {**header["coefs_.0"], "dtype": "I32"}}, data)
    with pytest.raises(ValueError, match="cannot be read"):
        autoenc.load(path)
    for noted, message in (
        ('{"": "00000000"}', "not those of its arrays"),
        ("[]", "not those of"),
        ("x", "is not JSON"),
    ):
        put(path, {**header, "__metadata__": {**header["__metadata__"], _archive.CHECKSUMS: noted}}, data)
        with pytest.raises(ValueError, match=message):
            autoenc.load(path)
    path.write_bytes(whole)
    autoenc.load(path)


@pytest.mark.parametrize("kind", ["plain", "top-k", "detector", "classes"])
def test_other_writers_may_keep_the_checksums_or_leave_them_out(kind, models, path):
    """safetensors puts arrays in an order of its own."""
    model = models(kind)
    model.save(path)
    header, _ = parts(path)
    metadata = header["__metadata__"]
    for kept in (metadata, {"autoenc": metadata["autoenc"]}):
        safetensors.numpy.save_file(safetensors.numpy.load_file(path), path, metadata=kept)
        assert_equal(answers(model, kind), answers(autoenc.load(path), kind))


FUZZ = """
import json, random, resource, struct, sys
import numpy as np
import autoenc
from pathlib import Path

folder, seed, n = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(seed)
def without_checksums(raw):  # which would find all of it
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + size])
    del header["__metadata__"]["autoenc_crc32"]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + raw[8 + size :]

whole = [file.read_bytes() for file in sorted(folder.glob("*.safetensors"))]
files = [*map(without_checksums, whole)] * 9 + whole
X = np.random.default_rng(0).random((5, 6)).astype(np.float32)
for file in sorted(folder.glob("*.safetensors")):
    autoenc.load(file)  # everything that is imported late is, before the limit
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))
VALUES = [None, True, -1, 0, 1, 2, 3, 7, 2**31 - 1, 2**31, -2**63, 2**70, 0.5, 1e308, "", "x", "code", "input"]
VALUES += ["dense", "repeat", [], [0], [[]], {}, {"array": "coefs_.0"}, {"float": "nan"}, {"tuple": [1]}, "float32"]
VALUES += ["\\ud800", "a" * 99]

def places(value, at=()):
    yield at
    for key in (value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()):
        yield from places(value[key], (*at, key))

def mutate(configuration):
    found = list(places(configuration))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        *way, last = rng.choice(found) or (None,)
        if last is None:
            continue
        holder = configuration
        try:
            for key in way:
                holder = holder[key]
            kind = rng.randrange(4)
            if kind == 0:
                del holder[last]
            elif kind == 1:
                *other, end = rng.choice(found) or ("estimator",)
                source = configuration
                for key in (*other, end):
                    source = source[key]
                holder[last] = json.loads(json.dumps(source))
            elif kind == 2 and isinstance(holder, list):
                holder.append(holder[last])
            else:
                holder[last] = rng.choice(VALUES)
        except (KeyError, IndexError, TypeError):
            pass

counts = {"read": 0, "refused": 0}
for i in range(n):
    raw = rng.choice(files)
    size = struct.unpack("<Q", raw[:8])[0]
    if rng.random() < 0.3:  # bytes
        changed = bytearray(raw)
        for _ in range(rng.choice((1, 2, 10))):
            at = rng.randrange(min(len(changed), 8 + size + 64)) if rng.random() < 0.8 else rng.randrange(len(changed))
            what = rng.randrange(3)
            if what == 0:
                changed[at] = rng.randrange(256)
            elif what == 1:
                del changed[at : at + rng.randrange(1, 50)]
            else:
                changed[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
        changed = bytes(changed)
    else:
        header = json.loads(raw[8 : 8 + size])
        configuration = json.loads(header["__metadata__"]["autoenc"])
        if rng.random() < 0.15:
            tensor = header[rng.choice([name for name in header if name != "__metadata__"])]
            tensor[rng.choice(list(tensor))] = rng.choice([*VALUES, [3, 2], [2**40, 2**40], "F16", "I64", "BF16"])
        else:
            mutate(configuration)
        header["__metadata__"]["autoenc"] = json.dumps(configuration)
        text = json.dumps(header).encode()
        changed = struct.pack("<Q", len(text)) + text + raw[8 + size :]
    path = folder / "changed"
    path.write_bytes(changed)
    for load in (autoenc.load, autoenc.load_predictor):
        try:
            model = load(path)
        except ValueError as error:
            assert str(path) in str(error), error
            counts["refused"] += 1
            continue
        except BaseException:
            print("number", i, flush=True)
            (folder / "culprit").write_bytes(changed)
            raise
        counts["read"] += 1
        for method in ("score_samples", "transform", "predict", "sample"):  # no crash, and no KeyError or the like
            try:
                if hasattr(model, method):
                    getattr(model, method)(*(() if method == "sample" else (X,)))
            except ValueError:
                pass
print(json.dumps(counts))
"""


@pytest.mark.parametrize("seed", [0, 1])
def test_hundreds_of_damaged_files_give_errors_and_no_crash(seed, models, tmp_path, environment):
    if not Path("/proc/self/statm").exists():
        pytest.skip("the memory in use is read from /proc")
    for kind in ("plain", "vamp", "product", "hashing", "classes", "columns", "layers", "top-k", "pivots", "detector"):
        models(kind).save(tmp_path / f"{kind}.safetensors")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FUZZ, str(tmp_path), str(seed), "250"],
        capture_output=True,
        text=True,
        env={**environment, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout)
    assert counts["refused"] > 250  # mutations that matter
    assert counts["read"] > 10  # and some that do not


def test_few_characters_do_not_ask_for_gigabytes():
    for n in (20_000, 60_000):
        reader = _archive.Reader(None, [])
        with pytest.raises(_archive.Damaged, match=f"has {n} strings, which would take"):
            reader.decode({"strings": ["a" * n] + [""] * (n - 1), "shape": [n], "width": n}, "x")
    found = reader.decode({"strings": ["a" * 1000] * 20_000, "shape": [20_000], "width": 1000}, "x")
    assert found.shape == (20_000,) and found.dtype == "U1000"
    reader = _archive.Reader(None, [])
    wide = {"strings": ["class"] * 20_000, "shape": [20_000], "width": 300}  # as other formats have them
    assert reader.decode(wide, "x").dtype == "U300"
    for _ in range(500):  # the room is one for the file
        reader.decode({"strings": [""], "shape": [1], "width": 33_000}, "x")
    with pytest.raises(_archive.Damaged, match="has 1 strings, which would take 1320"):
        for _ in range(20):
            reader.decode({"strings": [""], "shape": [1], "width": 33_000}, "x")


WATCHED = """
import json, re, sys
from pathlib import Path
import numpy as np
import autoenc

RUNS = "exec|compile|code|import|subprocess|socket|ctypes|pickle|marshal|os.(exec|fork|posix|spawn|start|system)"
files, hostile, checkpoint = json.loads(sys.argv[1])
X = np.random.default_rng(0).random((40, 6)).astype(np.float32)
fit = autoenc.Autoencoder(2, hidden_layer_sizes=(4,), max_iter=2, random_state=0)
calls = [(file, load) for file in files + hostile for load in (autoenc.load, autoenc.load_predictor)]
calls.append((checkpoint, lambda file: fit.fit(X, checkpoint=file, resume=True)))
opened, run, refused, now = {}, [], [], None

def hook(event, arguments):
    if now is None:
        return
    if event == "open":
        opened[now].add(str(arguments[0]))
    elif re.match(RUNS, event):
        run.append((now, event, repr(arguments)[:200]))

sys.addaudithook(hook)
for watched in (False, True):
    for file, load in calls:
        if not watched and file in hostile:
            continue  # what is new in these must not be imported by a first look
        opened.setdefault(file, set())
        now = file if watched else None
        try:
            load(file)
        except ValueError:
            refused.append(file)
        now = None
print(json.dumps([{k: sorted(v) for k, v in opened.items()}, run, sorted(set(refused))]))
"""
# How many processors a container may use, which joblib reads where threads are counted.
OF_THREADS = re.compile(r"/sys/fs/cgroup/|/proc/(self/cgroup|cpuinfo)")


def test_reading_a_file_runs_nothing_and_opens_no_other(models, tmp_path, environment):
    """By Python's own record of what it does; the imports of a first call are done before."""
    files = sorted((Path(__file__).parent / "model_files").rglob("*.safetensors"))
    assert len(files) > 10
    hostile = [tmp_path / f"hostile{i}" for i in range(2)]
    changes = (
        lambda c: c["estimator"].update({"class": "antigravity.Autoencoder"}),
        lambda c: c["estimator"]["parameters"].update(corruption={"object": "antigravity.Gaussian", "parameters": {}}),
    )
    for file, change in zip(hostile, changes, strict=True):
        models("plain").save(file)
        edited(file, lambda configuration, change=change: change(configuration) and None)
    checkpoint = tmp_path / "run.checkpoint"
    asked = json.dumps([[*map(str, files)], [*map(str, hostile)], str(checkpoint)])
    command = [sys.executable, "-W", "ignore", "-c", WATCHED, asked]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100)
    assert done.returncode == 0, done.stderr
    opened, run, refused = json.loads(done.stdout)
    assert run == []
    assert refused == [str(file) for file in hostile]
    # A fit tries at its begin whether it will be able to write there.
    tried = re.compile(re.escape(str(tmp_path)) + r"/\.run\.checkpoint\.\w+\.tmp")
    for file in map(str, [*files, *hostile, checkpoint]):
        others = {name for name in opened[file] if not OF_THREADS.match(name)} - {file}
        assert file in opened[file]
        assert [name for name in others if file != str(checkpoint) or not tried.fullmatch(name)] == []
