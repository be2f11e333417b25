"""Model files: what is saved comes back to the bit, and no file does more than give an estimator or an error."""

import functools
import json
import os
import pickle
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from model_files import COMMON, KINDS, LABELS, X, answers, assert_equal, fitted, learned, parts, said
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import autoenc
from autoenc import (
    Autoencoder,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    SparseAutoencoder,
    VariationalAutoencoder,
    _archive,
    _cache,
    _stored_estimators,
    _stored_scalers,
    _stored_spec,
)
from autoenc._outlier_scores import Fitted
from autoenc._scaling import Scaling, Step
from autoenc.callbacks import CSVLogger, EarlyStopping
from autoenc.losses import ColumnLoss

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def models():
    """Each kind, fitted once."""
    return functools.cache(fitted)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def test_folders_are_named(tmp_path):
    model = Autoencoder(2, max_iter=1, random_state=0).fit(X)
    for folder in (tmp_path, ""):
        calls = [model.save, autoenc.load, autoenc.load_predictor]
        if not folder:  # in one that is there a fit has a file of its own
            calls.append(lambda at: model.fit(X, checkpoint=at))
        for call in calls:
            with pytest.raises(IsADirectoryError, match="a file is needed, and this is a folder") as error:
                call(folder)
            assert error.value.filename == str(folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_pipes_and_devices_are_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    model = Autoencoder(2, max_iter=1, random_state=0)
    for path in (tmp_path / "pipe", *filter(Path.exists, [Path("/dev/zero")])):
        for call in (autoenc.load, autoenc.load_predictor, lambda at: model.fit(X, checkpoint=at, resume=True)):
            with pytest.raises(OSError, match="a file is needed, and this is a device, a pipe or a socket") as error:
                call(path)
            assert error.value.filename == str(path)


# ---- what comes back ----


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_estimator_is_the_one_that_was_saved(kind, models, path):
    model = models(kind)
    before = path.parent / "before.pickle"
    before.write_bytes(pickle.dumps(model))
    model.save(path)
    again = autoenc.load(path)
    assert type(again) is type(model)
    assert repr(again) == repr(model) == repr(clone(again))
    assert_equal(learned(model), learned(again))
    assert_equal(learned(pickle.loads(before.read_bytes())), learned(model))  # saving changes nothing
    expected, found = answers(model, kind), answers(again, kind)
    assert expected and expected.keys() == found.keys()
    for method, values in expected.items():
        assert_equal(values, found[method])


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_predictor_has_the_bits_of_the_estimator(kind, models, path):
    model = models(kind)
    model.save(path)
    if "imputer" in kind:
        with pytest.raises(ValueError, match="AutoencoderImputer has no predictor"):
            autoenc.load_predictor(path)
        return
    expected, found = answers(model, kind), answers(autoenc.load_predictor(path, n_jobs=2), kind)
    assert "score_samples" in found
    for method, values in found.items():
        assert_equal(np.asarray(values), np.asarray(expected[method]))


def test_every_estimator_and_every_part_has_its_place():
    """A new class, or a new layer with parameters, needs a line here and there."""
    estimators = {name for name in autoenc.__all__ if hasattr(getattr(autoenc, name), "fit")}
    assert estimators == set(_stored_estimators.OUTER)
    assert {type(model).__name__ for model, _, _ in KINDS.values()} == estimators
    for module in ("contraction", "corruption", "layers", "losses", "penalties", "sparsity"):
        classes = vars(sys.modules[f"autoenc.{module}"])
        public = {f"{module}.{name}" for name in classes["__all__"]}
        assert public <= set(_stored_estimators.parts())


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_worked_out_from_the_layers_are_those_of_the_core(kind, models):
    model = models(kind)
    networks = [model, getattr(model, "autoencoder_", None), *getattr(model, "estimators_", ())]
    for network in networks:
        spec = getattr(network, "_spec", None)
        if spec is not None:
            widths = {}
            for node in spec["nodes"]:
                widths[node["name"]] = _stored_spec._width(node, widths, "here")
            assert _stored_spec.table(spec["nodes"], widths) == [tuple(entry) for entry in spec["parameters"]]


@pytest.mark.parametrize("kind", ["plain", "missing", "top-k", "variational", "product", "one marginalized"])
def test_training_goes_on_where_it_was(kind, path):
    model, (rows,), _ = KINDS[kind]
    model = clone(model).partial_fit(rows).partial_fit(rows)
    model.save(path)
    again = autoenc.load(path)
    assert_equal(learned(model.partial_fit(rows)), learned(again.partial_fit(rows)))


def test_a_warm_start_goes_on(path):
    model = Autoencoder(2, warm_start=True, **COMMON).fit(X)
    model.save(path)
    again = autoenc.load(path)
    assert_equal(learned(model.fit(X)), learned(again.fit(X)))
    with pytest.raises(ValueError, match="the fitted network differs"):
        again.set_params(n_components=3).fit(X)


def test_weights_are_read_only_as_those_of_a_fit(models, path):
    models("plain").save(path)
    with pytest.raises(ValueError, match="read-only"):
        autoenc.load(path).coefs_[0][0, 0] = 1.0


def test_names_of_features_and_the_kind_of_output(path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    model = Autoencoder(2, **COMMON).set_output(transform="pandas").fit(frame)
    model.save(path)
    again = autoenc.load(path)
    assert_array_equal(again.feature_names_in_, model.feature_names_in_)
    pandas.testing.assert_frame_equal(again.transform(frame), model.transform(frame))
    with pytest.raises(ValueError, match="feature names"):
        again.transform(frame[list("bacdef")])


def test_requests_for_metadata_come_back(path):
    import sklearn

    with sklearn.config_context(enable_metadata_routing=True):
        model = Autoencoder(2, **COMMON).set_fit_request(condition=True, sample_weight="w").fit(X, condition=LABELS)
        model.save(path)
        again = autoenc.load(path)
        assert again.get_metadata_routing()._serialize() == model.get_metadata_routing()._serialize()


def test_parameters_changed_after_the_fit_are_kept_beside_the_network(models, path):
    model = clone(models("plain")).fit(X).set_params(n_components=5, alpha=np.float32(0.1), n_jobs=2)
    model.save(path)
    again = autoenc.load(path)
    assert again.n_components == 5 and again.alpha == np.float32(0.1) and type(again.alpha) is np.float32
    assert_array_equal(again.transform(X), model.transform(X))


def test_parameters_of_any_plain_kind(path):
    model = Autoencoder(
        np.int64(2), hidden_layer_sizes=np.array([5, 4]), decoder_hidden_layer_sizes=[4, 5], **COMMON
    ).fit(X)
    model.save(path)
    again = autoenc.load(path)
    assert type(again.n_components) is np.int64
    assert again.decoder_hidden_layer_sizes == [4, 5]
    assert_array_equal(again.hidden_layer_sizes, [5, 4])


# ---- what cannot be saved ----


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"callbacks": print}, "callbacks is <built-in function print>, which cannot be written as data"),
        ({"callbacks": [lambda state: None]}, "callbacks.0 is <function"),
        (
            {"callbacks": [EarlyStopping(), CSVLogger(os.devnull)]},
            r"callbacks.1 is CSV.*; set_params\(callbacks=None\)",
        ),
        ({"random_state": np.random.RandomState(0)}, "random_state is RandomState"),
        ({"loss": ColumnLoss([("a", "huber", lambda X: [0])])}, "loss.losses.0.2 is <function"),
    ],
)
def test_a_parameter_that_is_no_data_is_refused_by_name(parameters, message, path):
    model = Autoencoder(2, **{**COMMON, **parameters}).fit(X)
    with pytest.raises(ValueError, match=message):
        model.save(path)
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("as_list", [False, True])
def test_early_stopping_is_saved_by_its_parameters(as_list, path):
    skops = pytest.importorskip("skops.io")
    stop = EarlyStopping(monitor="loss", patience=np.int64(2), min_delta=0.5, target=-1.0)
    model = Autoencoder(2, **{**COMMON, "max_iter": 40, "callbacks": [stop] if as_list else stop}).fit(X)
    assert model.n_iter_ < 40
    model.save(path)
    files = [autoenc.load(path), skops.loads(skops.dumps(model), trusted=list(autoenc.io.SKOPS_TRUSTED))]
    for again in files:
        assert repr(again.callbacks) == repr(model.callbacks)
        assert again.fit(X).n_iter_ == model.n_iter_
    assert_array_equal(autoenc.load_predictor(path).transform(X), model.transform(X))


def test_an_imputer_can_be_saved_without_its_callbacks(path):
    seen = []
    model = AutoencoderImputer(2, max_iter=2, random_state=0, callbacks=seen.append).fit(X)
    assert len(seen) == 2
    with pytest.raises(ValueError, match=r"^callbacks is <built-in method append .*; set_params\(callbacks=None\)"):
        model.save(path)
    model.set_params(callbacks=None).save(path)
    assert_array_equal(autoenc.load(path).transform(X), model.transform(X))


def test_callbacks_of_scikit_learn_are_no_part_of_a_model(path):
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 and later")
    model = Autoencoder(2, **COMMON).set_callbacks(callback.ScoringMonitor(scoring=None)).fit(X)
    pipe = make_pipeline(StandardScaler(), model)
    pipe[0].fit(X)._skl_callbacks = model._skl_callbacks  # which scalers have in some releases
    for made in (model, pipe):
        autoenc.save(made, path)
        again = autoenc.load(path)
        assert_array_equal(again.transform(X), made.transform(X))
        assert not hasattr(again, "_skl_callbacks")
    assert model._skl_callbacks


def test_other_things_that_cannot_be_saved(models, path):
    with pytest.raises(NotFittedError):
        Autoencoder().save(path)
    with pytest.raises(NotFittedError):
        AutoencoderOutlierDetector().save(path)

    class Mine(Autoencoder):
        pass

    with pytest.raises(ValueError, match="Mine is not a class of autoenc; allowed are Autoencoder, "):
        Mine(2, **COMMON).fit(X).save(path)
    noted = clone(models("plain")).fit(X)
    noted.note_ = "mine"
    with pytest.raises(ValueError, match="Autoencoder has the attribute 'note_'"):
        noted.save(path)
    schedule = VariationalAutoencoder(2, beta_schedule=lambda share: 1.0, **COMMON).fit(X)
    with pytest.raises(ValueError, match="beta_schedule is <function"):
        schedule.save(path)
    assert not list(path.parent.iterdir())


def test_without_safetensors(models, path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"pip install safetensors$"):
        models("plain").save(path)
    with pytest.raises(ImportError, match=r"pip install safetensors$"):
        autoenc.load(path)


# ---- all or nothing ----


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there, and permissions are others")
def test_a_file_gets_the_permissions_of_new_files_and_a_link_stays_one(models, tmp_path):
    real, link, plain = tmp_path / "real.safetensors", tmp_path / "link.safetensors", tmp_path / "plain"
    plain.write_bytes(b"")
    real.write_bytes(b"old")
    link.symlink_to(real)
    models("plain").save(link)
    assert link.is_symlink()
    assert autoenc.load(real).n_components == 2
    assert real.stat().st_mode == plain.stat().st_mode


def test_a_full_disk_leaves_the_old_file(models, path, run_python):
    pytest.importorskip("resource")
    models("plain").save(path)
    before = path.read_bytes()
    script = f"""
import resource, signal
import autoenc
model = autoenc.load({str(path)!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    model.save({str(path)!r})
except OSError as error:
    assert error.filename == {str(path)!r}, error
else:
    raise SystemExit("it was written")
"""
    done = run_python("-c", script)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_kill_while_saving_leaves_a_whole_file_and_what_the_next_day_clears(models, path, environment):
    models("detector").save(path)
    size = path.stat().st_size
    script = f"""
import autoenc
model = autoenc.load({str(path)!r})
print("ready", flush=True)
while True:
    model.save({str(path)!r})
"""
    rng = np.random.default_rng(0)
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.05 * rng.random())
        child.kill()
        child.wait()
        child.stdout.close()
        assert path.stat().st_size == size
        assert autoenc.load(path).n_estimators == 3
        left = {file.name for file in path.parent.iterdir()} - {path.name}
        assert all(re.fullmatch(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}\.tmp", name) for name in left), left


def test_what_is_read_keeps_its_network_between_calls(models, path):
    models("plain").save(path)
    model = autoenc.load(path)
    model.transform(X)
    network = _cache._entries[id(model)].core
    model.transform(X)
    assert _cache._entries[id(model)].core is network


def test_any_reader_of_safetensors_knows_the_arrays(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "columns": rng.random((3, 4)).T,
        "bytes": np.arange(5, dtype=np.int8),
        "none": np.zeros((0, 3)),
        "one": np.array(3.5, dtype=np.float32),
        "every other": np.arange(10)[::2],
        "flags": np.array([True, False]),
        "halves": rng.random((2, 3, 4)).astype(np.float16),
        "wide": np.arange(3, dtype=np.uint64),
    }
    _archive.write(tmp_path / "a", "key", {"text": 'ü "<\u2028'}, arrays)
    header, _ = parts(tmp_path / "a")
    assert json.loads(header["__metadata__"]["key"]) == {"text": 'ü "<\u2028'}
    noted = json.loads(header["__metadata__"][_archive.CHECKSUMS])
    assert set(noted) == {"", *arrays}
    assert {name: noted[name] for name in ("", "bytes", "none", "one")} == {
        "": "b247a918",
        "bytes": "b65f9227",
        "none": "b86c083a",
        "one": "2e35300c",
    }
    assert _archive.checksum(arrays["columns"].astype(">f8")) == noted["columns"]
    found = safetensors.numpy.load_file(tmp_path / "a")
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(found[name], array)
        assert header[name]["data_offsets"][0] % array.itemsize == 0


def test_a_folder_that_is_not_there(models, tmp_path):
    with pytest.raises(FileNotFoundError):
        models("plain").save(tmp_path / "nowhere" / "model.safetensors")
    with pytest.raises(FileNotFoundError):
        autoenc.load(tmp_path / "nowhere.safetensors")


# ---- without scikit-learn ----


@pytest.mark.parametrize(
    "kind", ["plain", "conditions", "vamp", "product", "hashing", "classes", "number", "pivots", "detector"]
)
def test_a_predictor_is_loaded_where_scikit_learn_and_scipy_are_not(kind, models, path, environment):
    model = models(kind)
    model.save(path)
    known = answers(model, kind, ("transform", "score_samples", "predict", "hash", "encode_indices"))
    np.savez(path.parent / "known.npz", **known)
    script = f"""
import sys
for blocked in ("sklearn", "scipy", "joblib", "pickle5"):
    sys.modules[blocked] = None
import autoenc, numpy as np
predictor = autoenc.load_predictor({str(path)!r})
X = np.random.default_rng(0).random((90, 6)).astype(np.float32)[:40]
labels = np.array(["north", "east", "south"])[np.arange(40) % 3]
given = {{"condition": labels}} if {kind in ("conditions", "vamp")} else {{}}
known = np.load({str(path.parent / "known.npz")!r})
done = [name for name in known if hasattr(predictor, name)]
for name in done:
    assert np.array_equal(getattr(predictor, name)(X, **given), known[name]), name
assert "score_samples" in done
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert {"numpy", "safetensors"} <= set(done.stdout.split())


# ---- other ways ----


@pytest.mark.parametrize("kind", ["columns", "layers", "imputer", "drawing imputer", "detector", "pivots", "classes"])
def test_skops_reads_what_it_is_told_to_trust(kind, models):
    skops = pytest.importorskip("skops.io")
    from autoenc.io import SKOPS_TRUSTED

    model = models(kind)
    again = skops.loads(skops.dumps(model), trusted=list(SKOPS_TRUSTED))
    assert_equal(answers(model, kind), answers(again, kind))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "imputer" not in kind])
def test_skops_keeps_predictors(kind, models):
    skops = pytest.importorskip("skops.io")
    from autoenc.io import SKOPS_TRUSTED

    predictor = models(kind).predictor()
    again = skops.loads(skops.dumps(predictor), trusted=list(SKOPS_TRUSTED))
    assert type(again) is type(predictor)
    assert_equal(answers(predictor, kind), answers(again, kind))


def test_the_list_for_skops_has_every_class():
    from autoenc.io import SKOPS_TRUSTED

    classes = [*_stored_estimators.classes().values(), *_stored_estimators.parts().values()]
    public = [getattr(autoenc.io, name) for name in autoenc.io.__all__]
    classes += [thing for thing in public if isinstance(thing, type)]
    classes += [autoenc.Predictor, Scaling, Step, Fitted]
    assert {f"{cls.__module__}.{cls.__qualname__}" for cls in classes} <= set(SKOPS_TRUSTED)


def test_a_pipeline_is_saved_by_skops(models):
    skops = pytest.importorskip("skops.io")
    from autoenc.io import SKOPS_TRUSTED

    pipe = make_pipeline(StandardScaler(), SparseAutoencoder(9, k=2, **COMMON)).fit(X)
    again = skops.loads(skops.dumps(pipe), trusted=list(SKOPS_TRUSTED))
    assert_array_equal(again.transform(X), pipe.transform(X))


# ---- earlier releases ----

KEPT = Path(__file__).parent / "model_files"


@pytest.mark.parametrize("file", sorted(KEPT.glob("format_1/*.safetensors")), ids=lambda file: file.stem)
def test_files_of_format_1_stay_readable(file):
    """Written by 0.1.0 and never again; see ``python tests/model_files.py``."""
    known = np.load(file.with_suffix(".npz"))
    model = autoenc.load(file)
    found = answers(model, file.stem)
    assert set(known) <= set(found)
    for method in known:
        assert_array_equal(found[method], known[method])
    for method, values in answers(autoenc.load_predictor(file), file.stem).items():
        if method in known:
            assert_array_equal(values, known[method])


@pytest.mark.parametrize("file", sorted(KEPT.glob("format_2/*.safetensors")), ids=lambda file: file.stem)
def test_files_of_format_2_stay_readable(file):
    known = np.load(file.with_suffix(".npz"))
    for model in (autoenc.load(file), autoenc.load_predictor(file)):
        found = said(model)
        assert set(found) == set(known)
        for method in known:
            assert_array_equal(found[method], known[method])


def test_there_are_files_of_every_format():
    for number in range(1, _stored_scalers.FORMAT + 1):
        assert len(list(KEPT.glob(f"format_{number}/*.safetensors"))) >= 5
