"""The web page of a fitted estimator: its decoder against `inverse_transform`, what it holds, and that it works.

The decoder runs in QuickJS (package quickjs), or in Node.js where that is installed instead. Where playwright and a
Chromium are installed, the page itself is opened in it; AUTOENC_BROWSER=required makes it an error if they are not.
"""

import io
import json
import os
import re
import shutil
import subprocess
import warnings
from importlib import import_module, util
from importlib.resources import files

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits, load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autoenc import (
    Autoencoder,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    MarginalizedDenoisingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
    _core,
)
from autoenc.inspection import SHAPES, decoder, explore
from autoenc.layers import Activation, BatchNorm, Dense
from autoenc.losses import ColumnLoss

CHROMIUM = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)


@pytest.fixture(scope="module")
def X():
    return (load_digits().data[:200] / 16).astype(np.float32)


def run_javascript(text):
    """The value of the last expression, through JSON."""
    if util.find_spec("quickjs"):
        import quickjs

        return json.loads(quickjs.Context().eval(text))
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs quickjs or Node.js")
    script = f"console.log((0, eval)({json.dumps(text)}))"
    return json.loads(subprocess.run([node, "-e", script], capture_output=True, text=True, check=True).stdout)


def decoded_by_javascript(model, codes, detector=None):
    """Codes through the decoder of the page; weights as decimals, which say float32 exactly."""
    import base64

    layers = decoder(model, detector)
    for layer in layers:
        for key in ("weight", "bias"):
            layer[key] = np.frombuffer(base64.b64decode(layer[key]), "<f4").astype(float).tolist()
        layer["bias"] = [None if np.isnan(value) else value for value in layer["bias"]]
    script = files("autoenc").joinpath("_explore_decoder.js").read_text(encoding="utf-8")
    given = json.dumps(np.asarray(codes, dtype=float).tolist())
    unknown = "for (const l of layers) l.bias = l.bias.map(v => v === null ? NaN : v);"
    call = f"{unknown}\nJSON.stringify({given}.map(c => Array.from(decode(layers, c))))"
    return np.array(run_javascript(f"{script}\nconst layers = {json.dumps(layers)};\n{call}"))


@pytest.mark.parametrize("activation", [*_core.ACTIVATIONS])
def test_the_decoder_decodes_by_every_activation(activation, X):
    steep = activation == "exp"  # of exp of exp there is soon nothing left that is finite
    sizes, rate = ((9,), 1e-4) if steep else ((9, 5), None)
    model = Autoencoder(3, activation=activation, hidden_layer_sizes=sizes, learning_rate_init=rate, max_iter=3)
    model.set_params(precision="float64", random_state=0).fit(X)
    codes = np.random.default_rng(1).normal(scale=0.5 if steep else 3, size=(20, 3)).astype(np.float32)
    codes[0] = 0
    expected = model.inverse_transform(codes.astype(np.float64))
    # The page has the weights in float32.
    rough = np.abs(expected).max()
    assert_allclose(decoded_by_javascript(model, codes), expected, rtol=2e-6, atol=2e-6 * rough)


def test_activations_to_double_precision():
    x = np.concatenate([np.linspace(-9, 9, 181), [-40, -300, 40, 300, 1e-9, -1e-9, 0]])
    from scipy.special import erf, expit, log_ndtr

    gelu = x * np.exp(log_ndtr(x))
    expected = {
        "gelu": gelu,
        "silu": x * expit(x),
        "softplus": np.logaddexp(0, x),
        "logistic": expit(x),
        "elu": np.where(x > 0, x, np.expm1(x)),
    }
    script = files("autoenc").joinpath("_explore_decoder.js").read_text(encoding="utf-8")
    for name, values in expected.items():
        found = run_javascript(f"{script}\nJSON.stringify({json.dumps(x.tolist())}.map(ACTIVATIONS[{name!r}]))")
        assert_allclose(found, values, rtol=1e-12, atol=1e-14, err_msg=name)
    found = run_javascript(f"{script}\nJSON.stringify({json.dumps(x.tolist())}.map(erfc))")
    assert_allclose(found, 1 - erf(x), rtol=1e-12, atol=1e-15)
    assert set(re.findall(r"^  (\w+): ", script, re.MULTILINE)) == set(_core.ACTIVATIONS) - {"softmax"}


@pytest.mark.parametrize(
    "model",
    [
        Autoencoder(2, loss="log_loss"),
        Autoencoder(2, loss="multinomial"),
        Autoencoder(2, loss="poisson"),
        Autoencoder(2, output_activation="relu"),
        Autoencoder(4, hidden_layer_sizes=(), tied_weights=True),
        Autoencoder(2, decoder=[Dense(5, activation="identity"), Activation("tanh")]),
        SparseAutoencoder(20, k=4),
        VariationalAutoencoder(2, likelihood="log_loss"),
    ],
    ids=lambda model: re.sub(r"\W+", "-", str(model))[:60],
)
def test_the_decoder_decodes_every_link_and_kind(model, X):
    model.set_params(max_iter=2, random_state=0).fit(X)
    codes = model.transform(X[:10])
    assert_allclose(decoded_by_javascript(model, codes), model.inverse_transform(codes), rtol=2e-5, atol=2e-6)


def content(path):
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)[1])


def floats(text):
    import base64

    return np.frombuffer(base64.b64decode(text), "<f4")


def test_what_the_page_holds(X, tmp_path):
    y = load_digits().target[:200]
    model = Autoencoder(3, max_iter=2, random_state=0).fit(X)
    path = model.explore(tmp_path / "page.html", X, labels=y, image_shape=(8, 8), max_rows=50, random_state=3)
    page = content(path)
    numbers = page["numbers"]
    assert len(set(numbers)) == page["n_rows"] == 50
    assert_array_equal(floats(page["rows"]).reshape(50, 64), X[numbers])
    assert_array_equal(floats(page["codes"]).reshape(50, 3), model.transform(X[numbers]))
    assert_allclose(floats(page["errors"]), -model.score_samples(X[numbers]), rtol=1e-6)
    assert page["labels"] == [str(label) for label in y[numbers]]
    assert [text for text, _, _ in page["legend"]] == [str(label) for label in np.unique(y[numbers])]
    assert page["threshold"] == pytest.approx(np.percentile(-model.score_samples(X[numbers]), 95))
    # The plane of the map: points are codes about their mean, along its axes.
    codes, axes = floats(page["codes"]).reshape(50, 3), floats(page["axes"]).reshape(2, 3)
    assert_allclose(floats(page["points"]).reshape(50, 2), (codes - codes.mean(axis=0)) @ axes.T, atol=1e-5)


def test_it_loads_nothing_and_its_size_is_bounded(X, tmp_path):
    model = Autoencoder(2, max_iter=1, random_state=0).fit(X)
    path = model.explore(tmp_path / "page.html", np.tile(X, (30, 1)), image_shape=(8, 8))
    text = path.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert not re.search(r"https?:|src=|@import|url\(|<link|fetch\(|XMLHttpRequest|WebSocket", text)
    assert content(path)["n_rows"] == 2000
    wide = np.random.default_rng(0).random((1500, 1200)).astype(np.float32)
    path = Autoencoder(2, hidden_layer_sizes=(4,), max_iter=1).fit(wide).explore(tmp_path / "wide.html", wide)
    assert path.stat().st_size < 6_000_000
    assert content(path)["n_rows"] == 4_000_000 // (4 * 1205)


def test_text_cannot_leave_its_place(X, tmp_path):
    evil = '</script><script>alert("&")</script>'
    model = Autoencoder(2, max_iter=1, random_state=0).fit(X[:, :5])
    labels = np.array([evil, "b"])[np.arange(200) % 2]
    path = model.explore(tmp_path / "page.html", X[:, :5], labels=labels, feature_names=[evil, *"abcd"], title=evil)
    text = path.read_text(encoding="utf-8")
    assert text.count("</script>") == 3
    assert "<script>alert" not in text
    page = content(path)
    assert page["feature_names"][0] == evil
    assert page["legend"][0][0] == evil


def test_pipelines_numbers_and_one_component(X, tmp_path):
    pipe = make_pipeline(StandardScaler(), Autoencoder(1, max_iter=1, random_state=0)).fit(X)
    page = content(explore(pipe, tmp_path / "page.html", X, labels=np.linspace(0, 1, 200)))
    assert page["is_line"]
    assert_allclose(floats(page["rows"]).reshape(200, 64), pipe[0].transform(X), rtol=1e-6)
    assert page["colours"][0] == "#00224E"
    assert page["colours"][-1] == "#FEE838"


def test_twenty_classes_look_different(X, tmp_path):
    model = Autoencoder(2, max_iter=1, random_state=0).fit(X)
    page = content(model.explore(tmp_path / "page.html", X, labels=np.arange(200) % 20))
    looks = {tuple(look) for _, *look in page["legend"]}
    assert len(looks) == 20
    # Ten classes differ in both.
    for some in (page["legend"][:10], page["legend"][10:]):
        assert [len({look[i] for look in some}) for i in (1, 2)] == [10, 10]
    assert [*zip(page["colours"], page["shapes"], strict=True)][:20] == [tuple(look) for _, *look in page["legend"]]


def test_shapes_have_one_area_and_stay_in_the_legend():
    page = files("autoenc").joinpath("_explore_page.js").read_text(encoding="utf-8")
    script = page[page.index("const SHAPES") : page.index("function drawMap")]
    pen = "{beginPath() {}, fill() {}, lineTo(x, y) { at.push([x, y]); }}"
    draw = f"Object.keys(SHAPES).map(name => {{ const at = []; mark({pen}, 7, 7, name, 4); return [name, at]; }})"
    found = dict(run_javascript(f"{script}\nJSON.stringify({draw})"))
    assert tuple(found) == SHAPES
    assert len({json.dumps(np.round(corners, 6).tolist()) for corners in found.values()}) == len(SHAPES)
    for x, y in (np.transpose(corners) for corners in found.values()):
        assert abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2 == pytest.approx(16 * np.pi)
        assert min(*x, *y) > 0
        assert max(*x, *y) < 14


@pytest.mark.parametrize("missing", ["error", "mask"])
def test_a_detector_in_the_units_of_its_columns(missing, tmp_path):
    import pandas as pd

    table = pd.DataFrame(load_wine().data, columns=load_wine().feature_names)
    if missing == "mask":
        table = table.mask(np.random.default_rng(0).random(table.shape) < 0.1)
        table["ash"] = np.nan
    detector = AutoencoderOutlierDetector(2, n_estimators=2, missing=missing, max_iter=20, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the empty column
        detector.fit(table)
    page = content(detector.explore(tmp_path / "page.html", table))
    assert page["threshold"] == pytest.approx(-detector.offset_)
    assert_allclose(floats(page["errors"]), -detector.score_samples(table), rtol=1e-6)
    assert_array_equal(floats(page["rows"]).reshape(table.shape), table.to_numpy(np.float32))
    assert page["feature_names"] == list(table.columns)
    decoded = decoded_by_javascript(detector.estimators_[0], floats(page["codes"]).reshape(-1, 2), detector)
    # The members read standardised columns, zero where there is nothing.
    known = np.isfinite(detector.mean_)
    Z = detector._standardise(detector._check(table))
    restored = detector.estimators_[0]._run(Z, detector.estimators_[0]._spec["output"], _core.LINKED)
    expected = restored * detector.scale_[known] + detector.mean_[known]
    assert_allclose(decoded[:, known].astype(float), expected, rtol=2e-5, atol=1e-5)
    assert known.sum() == (12 if missing == "mask" else 13)
    assert (decoded[:, ~known] == None).all()  # noqa: E711 (JSON has no NaN)


def test_rows_of_any_kind(X, tmp_path):
    polars, pyarrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    from scipy.sparse import coo_matrix

    model = Autoencoder(2, max_iter=1, random_state=0).fit(X[:, :5])
    names = [*"abcde"]
    expected = content(model.explore(tmp_path / "page.html", X[:, :5], max_rows=20))
    arrow = pyarrow.table({name: X[:, i] for i, name in enumerate(names)})
    for rows in (X[:, :5].tolist(), coo_matrix(X[:, :5]), polars.DataFrame(X[:, :5], schema=names), arrow):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fitted without names
            page = content(model.explore(tmp_path / "page.html", rows, max_rows=20))
        assert page["rows"] == expected["rows"]
        assert_allclose(floats(page["codes"]), floats(expected["codes"]), rtol=1e-5)
        assert page["feature_names"] == (names if hasattr(rows, "columns") else expected["feature_names"])


def fitted(kind, X, **parameters):
    return kind(**parameters).set_params(**({"max_iter": 1} if "max_iter" in kind().get_params() else {})).fit(X)


MIXED = ColumnLoss([("a", "squared_error", [0]), ("b", "log_loss", slice(1, None))])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda X: fitted(AutoencoderImputer, X), TypeError, "does not go with AutoencoderImputer"),
        (lambda X: fitted(MarginalizedDenoisingAutoencoder, X), TypeError, "which has no inverse_transform; allowed"),
        (lambda X: fitted(Autoencoder, X, decoder=[Dense(5), BatchNorm()]), ValueError, "Autoencoder has a batch_norm"),
        (lambda X: fitted(Autoencoder, X, loss=MIXED), ValueError, "has a loss by column, with a link of its own"),
        (lambda X: fitted(Autoencoder, X, hidden_layer_sizes=(31_000,)), ValueError, "weights; at most 2000000 go"),
        (lambda X: Autoencoder(2, max_iter=1).fit(X, condition=X[:, :2]), ValueError, "has a concatenate; allowed are"),
        (lambda X: Autoencoder(2, max_iter=1).fit(X, X_clean=X[:, :9]), ValueError, "of the row's own features"),
    ],
)
def test_what_it_refuses(make, error, message, X, tmp_path):
    with pytest.raises(error, match=message):
        explore(make(X), tmp_path / "page.html", X)
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments(X, tmp_path):
    model = Autoencoder(2, max_iter=1, random_state=0).fit(X)
    for wrong, message in (
        ({"labels": [1, 2]}, r"labels have shape \(2,\)"),
        ({"labels": np.arange(200)}, "200 different values; at most 20"),
        ({"labels": np.where(np.arange(200) < 5, np.inf, np.arange(200.0))}, "labels have infinity"),
        ({"image_shape": (3, 3)}, r"image_shape=\(3, 3\) does not fit 64"),
        ({"max_rows": 0}, "max_rows=0; allowed"),
        ({"threshold": np.nan}, "threshold=nan; allowed are finite"),
        ({"feature_names": ["a"]}, "feature_names has 1 names"),
    ):
        with pytest.raises(ValueError, match=message):
            model.explore(tmp_path / "page.html", X, **wrong)
    large = X.copy()
    large[7] = 1e30
    with pytest.raises(ValueError, match="the error of row 7 is not finite"):
        model.explore(tmp_path / "page.html", large)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def browser():
    required = os.environ.get("AUTOENC_BROWSER") == "required"
    sync_api = import_module("playwright.sync_api") if required else pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        except sync_api.Error as error:
            if required:
                raise
            pytest.skip(f"no Chromium could be started: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.mark.parametrize("k", [1, 2, 5])
def test_in_a_browser(k, X, tmp_path, browser):
    model = Autoencoder(k, loss="log_loss", max_iter=5, random_state=0).fit(X)
    path = model.explore(tmp_path / "page.html", X, labels=load_digits().target[:200], image_shape=(8, 8))
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert (said, asked) == ([], [path.as_uri()])

    # Drag row 7: the code moves within the plane of the map, and what is shown is what it decodes to.
    x, y = page.evaluate("(b => [toX(AT[14]) + b.left, toY(AT[15]) + b.top])(map.getBoundingClientRect())")
    page.mouse.move(x, y)
    row = page.evaluate("picked")
    before = page.evaluate("shownCode")
    assert_allclose(before, model.transform(X[row : row + 1])[0], rtol=1e-5)
    page.mouse.down()
    page.mouse.move(x + 60, y - 40, steps=4)
    page.mouse.up()
    after, shown = page.evaluate("[shownCode, shownValues]")
    moved = np.subtract(page.evaluate("Array.from(AT.slice(2 * picked, 2 * picked + 2))"),
                        page.evaluate("Array.from(START.slice(2 * picked, 2 * picked + 2))"))  # fmt: skip
    assert moved[0] > 0
    assert (moved[1] > 0) == (k > 1)
    axes = floats(content(path)["axes"]).reshape(2, k)
    assert_allclose(np.subtract(after, before), moved @ axes, atol=1e-5)
    expected = model.inverse_transform(np.float32([after]))[0]
    assert_allclose(shown, expected, rtol=1e-4, atol=1e-6)
    # The picture on the page has these values, dark where they are large.
    canvas = "document.querySelectorAll('.pictures canvas')[1]"
    pixels = page.evaluate(f"Array.from({canvas}.getContext('2d').getImageData(0, 0, 8, 8).data)")
    assert_allclose(np.reshape(pixels, (64, 4))[:, 0] / 255, 1 - np.clip(expected, 0, 1), atol=0.01)
    assert "(dragged)" in page.inner_text("#what")

    page.click("#reset")
    assert_allclose(page.evaluate("shownCode"), before)
    errors = -model.score_samples(X)
    for at in ("0", "500", "1000"):
        page.evaluate("v => { const s = element('threshold'); s.value = v; s.dispatchEvent(new Event('input')); }", at)
        assert page.evaluate("above") == pytest.approx(200 * (1 - int(at) / 1000), abs=1.5)
        assert page.evaluate("above") == (np.float32(errors) > np.float64(page.evaluate("threshold"))).sum()
    # The map shows every class: its colour, at the opacity of points, on white.
    page.evaluate("setThreshold(Infinity)")
    image = pytest.importorskip("matplotlib.image").imread(io.BytesIO(page.locator("#map").screenshot()))
    shown = np.rint(255 * image[..., :3].reshape(-1, 3)).astype(int)
    for _, colour, _ in content(path)["legend"]:
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        assert (np.abs(shown - (0.85 * rgb + 0.15 * 255)).max(axis=1) < 3).sum() > 50, colour
    page.close()


def test_long_words_stay_on_the_page_and_run_nothing(X, tmp_path, browser):
    evil = [
        "<script>ran = 1</script>",
        "\"><img src=x onerror='ran = 1'>",
        "</script><script>ran = 1</script>",
        "w" * 300,
    ]
    model = Autoencoder(2, max_iter=2, random_state=0).fit(X[:, :4])
    labels = np.array(evil)[np.arange(200) % 4]
    path = model.explore(tmp_path / "page.html", X[:, :4], labels=labels, feature_names=evil, title="t" * 300)
    for width in (1200, 390):
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.goto(path.as_uri())
        for row in range(4):  # each class is shown
            page.evaluate(f"show({row})")
            assert evil[row] in page.inner_text("#what")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("typeof ran") == "undefined"
        assert page.locator("td").all_inner_texts()[::3] == evil
        page.close()


def test_missing_many_classes_and_a_small_window(X, tmp_path, browser):
    """What is missing is no black pixel; a class can be seen alone; the columns are side by side, or fit a phone."""
    gaps = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X).astype(np.float32)
    model = Autoencoder(2, missing="mask", max_iter=3, random_state=0).fit(gaps)
    labels = np.array([f"a long name of class {i:02d}" for i in np.arange(200) % 20])
    path = model.explore(tmp_path / "page.html", gaps, labels=labels, image_shape=(8, 8))
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    said = []
    page.on("console", lambda message: message.type == "error" and said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    canvas = "document.querySelectorAll('.pictures canvas')[0]"
    pixels = page.evaluate(f"Array.from({canvas}.getContext('2d').getImageData(0, 0, 8, 8).data)")
    pale = (np.reshape(pixels, (64, 4))[:, :3] == [156, 201, 232]).all(axis=1)
    assert_array_equal(pale, np.isnan(gaps[0]))
    assert "missing" in page.inner_text(".pictures figure")

    # The side is beside the map, also with a long legend.
    assert page.evaluate("element('side').getBoundingClientRect().left > map.getBoundingClientRect().right")

    # Alone: at the place of a point of another class there is hardly any ink.
    ink = "(i => ink.getImageData(Math.round(toX(AT[2*i])), Math.round(toY(AT[2*i+1])), 1, 1).data[3])"
    page.evaluate("setThreshold(Infinity)")
    before = page.evaluate(f"{ink}(1)")
    page.click("text=a long name of class 03")
    assert page.evaluate("only") == "a long name of class 03"
    assert page.evaluate(f"{ink}(1)") < before
    page.click("text=a long name of class 03")
    assert page.evaluate("only") is None
    assert page.evaluate(f"{ink}(1)") == before

    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    # A point dragged far out stays where it can be seen.
    page.set_viewport_size({"width": 1200, "height": 800})
    x, y = page.evaluate("(b => [toX(AT[14]) + b.left, toY(AT[15]) + b.top])(map.getBoundingClientRect())")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(1190, 790, steps=3)
    page.mouse.up()
    at = page.evaluate("[toX(AT[2 * picked]), toY(AT[2 * picked + 1])]")
    assert 0 <= at[0] <= 620
    assert 0 <= at[1] <= 560
    assert said == []
    page.close()
