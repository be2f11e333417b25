"""A fitted autoencoder as one web page, to be explored by hand."""

import base64
import html
import json
from collections.abc import Sequence
from importlib.resources import files
from numbers import Real
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from autoenc import _core, _outline, _predictor, _spec
from autoenc._options import check_count
from autoenc._whole_file import check_path, replacing
from autoenc.plotting._common import (
    COLOURS,
    LIGHT,
    as_labels,
    check_image_shape,
    dense,
    names_of,
    place,
    read_labels,
)
from autoenc.plotting._latent import MOST_LABELS, codes_of, plane

__all__ = ["explore"]

MOST_BYTES = 4_000_000  # of the rows
MOST_WEIGHTS = 2_000_000  # of the decoder
UNLABELLED = "unlabelled"  # rows whose label is None or NaN
SHAPES = ("circle", "square", "triangle", "diamond", "down", "plus", "cross", "left", "right", "star")  # as MARKERS
SCALE = ("#00224E", "#35456C", "#666970", "#948E77", "#C8B866", "#FEE838")  # of matplotlib's cividis, from low to high
ALLOWED = (
    "allowed are autoencoders whose decoder consists of dense layers (not the marginalized one or the imputer, whose "
    "network is `autoencoder_`) and the detector"
)


def explore(
    estimator: Any,
    path: str | Path,
    X: Any,
    *,
    labels: Any = None,
    image_shape: Sequence[int] | None = None,
    feature_names: Sequence[str] | None = None,
    threshold: float | None = None,
    max_rows: int = 2000,
    random_state: int = 0,
    title: str | None = None,
) -> Path:
    """Write a web page on which the code can be walked through.

    It shows the codes as points; pointing at one shows its row, dragging it what the code decodes to, and a slider the
    rows whose error is above a threshold. The page is one file that loads nothing: the decoder is in it, as JavaScript
    with its weights, and so are the rows that it shows. Give it to nobody who must not see those.

    Parameters
    ----------
    estimator : fitted estimator, pipeline or search
        With a decoder of dense layers, any activations. Of a pipeline the page shows what its network sees. Of a
        detector it shows the code of the first member, decoded to the units of the columns, and the errors are minus
        the scores of the whole detector.
    path : str or path
        The file that is written, for instance "page.html".
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows.
    labels : array-like of shape (n_samples,) or None, default=None
        Up to 20 classes, each with a colour and a shape, or floats for a scale. Rows whose label is None or NaN are
        "unlabelled", in grey.
    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels) where rows are images.
    feature_names : list of str or None, default=None
        Of tables, whose first 60 features are shown. Frames name them themselves.
    threshold : float or None, default=None
        Where the slider starts. None: the 95th percentile of the errors, of a detector ``-offset_``.
    max_rows : int, default=2000
        Rows in the page at most, and at most as many as take four megabytes; which ones is drawn.
    random_state : int, default=0
        Of that draw.
    title : str or None, default=None
        Of the page. None: the estimator's class.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    TypeError
        Where the estimator has no code or no decoder.
    ValueError
        Where the decoder has other layers than dense ones, or more than two million weights.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_digits
    >>> from autoenc import Autoencoder
    >>> from autoenc.inspection import explore
    >>> X, y = load_digits(return_X_y=True)
    >>> model = Autoencoder(2, max_iter=5, random_state=0).fit(X / 16)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = explore(model, Path(folder) / "digits.html", X / 16, labels=y, image_shape=(8, 8))
    ...     page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    True
    """
    check_path(path)
    found = place(estimator, X, "fit", "explore", ALLOWED)
    seen = found.X.tocsr() if hasattr(found.X, "tocsr") else found.X
    n_rows = _num_samples(seen)
    page = (_Detector if hasattr(found.model, "estimators_samples_") else _Network)(found.model)
    layers, d, k = page.layers, page.n_features, page.n_components
    shape = None if image_shape is None else check_image_shape(image_shape, d)
    names = [] if shape is not None else names_of(X, d, feature_names)[:60]
    if labels is not None and np.shape(labels) != (n_rows,):
        raise ValueError(f"labels have shape {np.shape(labels)}; there are {n_rows} rows, so allowed is ({n_rows},)")
    most = min(check_count("max_rows", max_rows), max(1, MOST_BYTES // (4 * (d + k + 3))))
    rng = np.random.default_rng(random_state)
    chosen = np.sort(rng.permutation(n_rows)[:most])
    rows = _safe_indexing(seen, chosen)
    codes, errors = page.of(rows)
    for row in chosen[~np.isfinite(errors)][:1]:
        raise ValueError(
            f"the error of row {row} is not finite, since its values are too large; allowed are other rows"
        )
    points, axes, _ = plane(codes)
    marks = _labels(None if labels is None else as_labels(labels)[chosen])
    values = dense(rows).astype(np.float32)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if threshold is None:
        threshold = page.threshold(errors)
    elif isinstance(threshold, bool) or not isinstance(threshold, Real) or not np.isfinite(threshold):
        raise ValueError(f"threshold={threshold!r}; allowed are finite numbers and None")
    content = {
        "layers": layers,
        "n_components": k,
        "n_outputs": d,
        "n_rows": len(chosen),
        "numbers": chosen.tolist(),
        "codes": _text(codes),
        "points": _text(points),
        "axes": _text(axes),
        "is_line": k == 1,
        "rows": _text(values),
        "errors": _text(errors),
        "threshold": float(threshold),
        "image_shape": shape,
        "feature_names": names,
        "range": [low, high if high > low else low + 1.0],
        "colours": marks.colours,
        "shapes": marks.shapes,
        "legend": marks.legend,
        "labels": marks.texts,
    }
    widths = " → ".join(str(layer.width) for layer in _outline.of_estimator(page.network).layers)
    about = f"{page.what}{widths}; {len(chosen)} of {n_rows} rows; "
    about += {1: "the code itself", 2: "the two components of the code"}.get(
        k, f"the plane of most variance of the code's {k} components"
    )
    own = files("autoenc")
    text = Template((own / "_explore.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(title or f"{type(found.model).__name__} of {d} features"),
        about=html.escape(about),
        data=_script(json.dumps(content, allow_nan=False)),
        decoder=(own / "_explore_decoder.js").read_text(encoding="utf-8"),
        page=(own / "_explore_page.js").read_text(encoding="utf-8"),
    )
    with replacing(path) as file:
        file.write_text(text, encoding="utf-8")
    return Path(path)


class _Network:
    """What the page shows of an autoencoder."""

    def __init__(self, model: Any) -> None:
        place(model, None, "inverse_transform", "explore", ALLOWED)
        place(model, None, "_spec", "explore", ALLOWED)
        self.model = self.network = model
        left = getattr(model, "reconstruction_weight", 1.0) == 0.0
        self.what = "the decoder as the first training left it (reconstruction_weight=0): " if left else ""
        self.layers = decoder(model)
        self.n_features, self.n_components = int(model._spec["n_outputs"]), int(model._spec["n_components"])
        if self.n_features != model.n_features_in_:
            raise ValueError(
                f"explore needs a reconstruction of the row's own features; this one has {self.n_features} and the row "
                f"{model.n_features_in_}"
            )

    def of(self, rows: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Codes and errors."""
        codes = codes_of(self.model, rows, None, "explore").astype(np.float64)
        return codes, -np.asarray(self.model.score_samples(rows), dtype=np.float64)

    def threshold(self, errors: NDArray[np.float64]) -> float:
        return float(np.percentile(errors, 95))


class _Detector:
    """What the page shows of a detector: the code of its first member, in the units of the columns, and all scores."""

    def __init__(self, model: Any) -> None:
        self.model, self.network = model, model.estimators_[0]
        self.what = f"the first of {len(model.estimators_)} networks, errors are of all: "
        self.n_features, self.n_components = int(model.n_features_in_), int(self.network._spec["n_components"])
        self.layers = decoder(self.network, model)

    def of(self, rows: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Codes and errors."""
        Z = self.model._standardise(self.model._check(rows))
        codes = self.network._run(Z, self.network._spec["code"], _core.VALUES).astype(np.float64)
        return codes, -np.asarray(self.model.score_samples(rows), dtype=np.float64)

    def threshold(self, errors: NDArray[np.float64]) -> float:
        return -float(self.model.offset_)


def decoder(model: Any, detector: Any = None) -> list[dict[str, Any]]:
    """The layers from the code to the reconstruction, for ``_explore_decoder.js``.

    With a detector the last layer goes on to the units and the places of its columns; columns that its members do not
    know are NaN.

    Raises
    ------
    ValueError
        Where there are others than dense ones, or too many weights.
    """
    spec = model._spec
    chain = _outline.path(_spec.inference_nodes(spec), spec["output"])
    names = [node["name"] for node in chain]
    behind = chain[names.index(spec["code"]) + 1 :] if spec["code"] in names else chain
    other = [node["kind"] for node in behind if node["kind"] not in ("dense", "activation")]
    if spec.get("linked") is not None:
        other.append("loss by column, with a link of its own for some of the columns")
    if other or spec["code"] not in names:
        raise ValueError(
            f"explore decodes in the page, which has dense layers only; the decoder of this {type(model).__name__} has "
            f"a {other[0] if other else 'code of parts'}; allowed are decoders of dense layers without a condition"
        )
    values = _predictor.parameters(spec, model.coefs_, model.intercepts_, model.other_parameters_)
    layers: list[dict[str, Any]] = []
    total = 0
    for node in behind:
        fields = node["fields"]
        activation = str(fields.get("activation", "identity"))
        if node["kind"] == "activation":
            layers[-1]["activations"].append(activation)
            continue
        weight = values[f"{fields.get('shares', node['name'])}.weight"]
        weight = weight.T if fields.get("shares_transposed") else weight
        bias = values.get(f"{node['name']}.bias", np.zeros((1, weight.shape[1])))
        total += weight.size
        layers.append({"weight": weight, "bias": bias[0], "activations": [activation]})
    if total > MOST_WEIGHTS:
        raise ValueError(f"the decoder has {total} weights; at most {MOST_WEIGHTS} go into a page")
    link = _spec.loss_link(spec["scores"][0]["loss"])
    if link != "identity":
        layers[-1]["activations"].append(link)
    if detector is not None:
        last, mean, scale = layers[-1], detector.mean_, detector.scale_
        used = np.flatnonzero(np.isfinite(mean))
        weight, bias = np.zeros((len(last["weight"]), len(mean))), np.full(len(mean), np.nan)
        weight[:, used] = last["weight"] * scale[used]
        bias[used] = last["bias"] * scale[used] + mean[used]
        last.update(weight=weight, bias=bias)
    for layer in layers:
        layer.update(weight=_text(layer["weight"]), bias=_text(layer["bias"]))
        layer["activations"] = [name for name in layer["activations"] if name != "identity"]
    return layers


def _text(array: NDArray[Any]) -> str:
    """Numbers as float32, little end first, in base64."""
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode("ascii")


def _script(text: str) -> str:
    """JSON that cannot end the element it stands in."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


class _Labels(NamedTuple):
    """What labels are on the page: of each row colour, shape and text, and a legend of texts, colours and shapes."""

    colours: list[str] = []  # noqa: RUF012 (never changed)
    shapes: list[str] = []  # noqa: RUF012
    legend: list[tuple[str, str, str | None]] = []  # noqa: RUF012
    texts: list[str] | None = None


def _labels(labels: NDArray[Any] | None) -> _Labels:
    """Classes have ten colours and ten shapes, the second ten classes the same in other pairs; floats have a scale."""
    if labels is None:
        return _Labels()  # all alike
    n_rows = len(labels)
    labels, values, known = read_labels(labels, n_rows, "rows")
    marks = _marks(labels, values)
    if known.all():
        return marks
    places = np.cumsum(known) - 1

    def spread(given: list[str] | None, other: str) -> list[str]:
        return [given[at] if is_known and given else other for at, is_known in zip(places, known, strict=True)]

    shape = SHAPES[0] if marks.shapes else None
    return _Labels(
        spread(marks.colours, LIGHT),
        spread(marks.shapes, SHAPES[0]) if marks.shapes else [],
        [*marks.legend, (UNLABELLED, LIGHT, shape)],
        spread(marks.texts, UNLABELLED),
    )


def _marks(labels: NDArray[Any], values: NDArray[Any]) -> _Labels:
    """The same for rows that all have a label."""
    if labels.dtype.kind == "f" and len(values) > MOST_LABELS:
        low, high = float(values[0]), float(values[-1])
        stops = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in SCALE], dtype=np.float64)
        at = (labels - low) / (high - low) * (len(SCALE) - 1)
        mixed = np.column_stack([np.interp(at, np.arange(len(SCALE)), stops[:, i]) for i in range(3)]).round()
        colours = ["#" + "".join(f"{int(v):02X}" for v in rgb) for rgb in mixed]
        ends: list[tuple[str, str, str | None]] = [(f"{low:.4g}", SCALE[0], None), (f"{high:.4g}", SCALE[-1], None)]
        return _Labels(colours, [], ends, [f"{value:.4g}" for value in labels])
    if len(values) > MOST_LABELS:
        raise ValueError(
            f"labels have {len(values)} different values; at most {MOST_LABELS} classes can be told apart, and numbers "
            "must be floats"
        )
    n = len(COLOURS)
    of = {value: (COLOURS[i % n], SHAPES[(i // n + i) % n]) for i, value in enumerate(values.tolist())}
    looks = [of[value] for value in labels.tolist()]
    legend: list[tuple[str, str, str | None]] = [(str(value), *look) for value, look in of.items()]
    return _Labels([look[0] for look in looks], [look[1] for look in looks], legend, [str(v) for v in labels.tolist()])
