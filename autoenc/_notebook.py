"""What estimators show of themselves: a diagram of the network in notebooks, and a web page of a fitted one."""

import html
import math
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.utils import estimator_html_repr

from autoenc import _outline

STEP, BAR, TALL = 92, 22, 96  # of the diagram in pixels: between layers, width and largest height of a layer
FILLS = {"input": "#999999", "hidden": "#0072B2", "code": "#D55E00", "output": "#999999"}


class _Markup(str):
    """HTML that scikit-learn 1.6 shows as such: it replaces what is special in a text before it shows that."""

    def __str__(self) -> str:
        return self

    def replace(self, *_: Any) -> "_Markup":
        return self


class Diagram:
    """Goes before BaseEstimator: notebooks show the network above the parameters, within scikit-learn's representation.

    It is also there where the estimator is a step of a pipeline.
    """

    if hasattr(BaseEstimator, "_get_params_html"):  # scikit-learn 1.7 and later

        def _get_params_html(self, *arguments: Any, **keywords: Any) -> Any:
            """scikit-learn's table of parameters, below the diagram."""
            table = super()._get_params_html(*arguments, **keywords)  # type: ignore[misc]
            inner, above = table._repr_html_inner, diagram(self)
            table._repr_html_inner = lambda: above + inner()
            return table

    else:

        def _sk_visual_block_(self) -> Any:
            """The same above scikit-learn's text of the parameters, which stands within <pre> and </pre>."""
            details = _Markup(f"</pre>{diagram(self)}<pre>{html.escape(repr(self))}")
            block = import_module("sklearn.utils._estimator_html_repr")._VisualBlock
            return block("single", self, names=type(self).__name__, name_details=details)

    def _html_repr(self) -> str:
        text: str = estimator_html_repr(self)
        return text

    def _repr_html_inner(self) -> str:
        return self._html_repr()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        out = {"text/plain": repr(self)}
        if get_config()["display"] == "diagram":
            out["text/html"] = self._html_repr()
        return out


class Shown(Diagram):
    """The same, for estimators with a page."""

    def explore(
        self,
        path: str | Path,
        X: Any,
        *,
        labels: Any = None,
        image_shape: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        **others: Any,
    ) -> Path:
        """Write a web page on which the code can be walked through, see `autoenc.inspection.explore`.

        Parameters
        ----------
        path : str or path
            The file that is written, for instance "page.html".
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        labels : array-like of shape (n_samples,) or None, default=None
            Up to 20 classes, or floats for a scale; None or NaN for rows without one.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels) where rows are images.
        feature_names : list of str or None, default=None
            Of tables.
        **others
            `threshold`, `max_rows`, `random_state`, `title`.

        Returns
        -------
        Path
            Of the file.
        """
        from autoenc.inspection import explore

        return explore(self, path, X, labels=labels, image_shape=image_shape, feature_names=feature_names, **others)


def diagram(model: Any) -> str:
    """The network as HTML; empty where the parameters do not say one, for a representation must not fail."""
    try:
        return _drawn(_outline.of_estimator(model))
    except Exception:
        return ""


def _drawn(outline: _outline.Outline) -> str:
    layers = outline.layers
    known = [layer.width for layer in layers if layer.width]
    most = math.log1p(max(known, default=1))
    heights = [TALL * (0.25 + 0.75 * math.log1p(layer.width) / most) if layer.width else TALL for layer in layers]
    middle, left = 8 + TALL / 2, STEP / 2
    parts = []
    for i in range(1, len(layers)):
        x, y = left + (i - 1) * STEP + BAR / 2, left + i * STEP - BAR / 2
        a, b = heights[i - 1] / 2, heights[i] / 2
        points = [(x, middle - a), (y, middle - b), (y, middle + b), (x, middle + a)]
        corners = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<polygon points="{corners}" fill="#999999" fill-opacity="0.22"/>')
    for i, (layer, height) in enumerate(zip(layers, heights, strict=True)):
        x, top = left + i * STEP - BAR / 2, middle - height / 2
        dashed = "" if layer.width else ' stroke="currentColor" stroke-dasharray="3 2" fill-opacity="0.25"'
        parts.append(
            f'<rect x="{x:.1f}" y="{top:.1f}" width="{BAR}" height="{height:.1f}" rx="4" fill="{FILLS[layer.role]}"'
            f"{dashed}/>"
        )
        lines = [layer.role, "?" if layer.width is None else f"{layer.width:,}", *_wrapped(layer.what)]
        for k, text in enumerate(lines):
            weight = ' font-weight="bold"' if k == 1 else ""
            parts.append(
                f'<text x="{left + i * STEP:.1f}" y="{TALL + 26 + 14 * k}" text-anchor="middle" font-size="11" '
                f'fill="currentColor"{weight}>{html.escape(text)}</text>'
            )
    lines_below = max(len(_wrapped(layer.what)) for layer in layers)
    width, height = STEP * len(layers), TALL + 44 + 14 * lines_below
    return (
        f'<div class="autoenc-network" style="overflow-x:auto;padding:4px 0">'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(_text(layers))}" '
        f'style="max-width:none">{"".join(parts)}</svg>'
        f'<div style="font-size:90%;padding:2px 8px">{html.escape(_caption(outline))}</div></div>'
    )


def _wrapped(text: str) -> list[str]:
    """At most three short lines."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    parts = [part if len(part) <= 15 else part[:14] + "…" for part in parts]
    return parts if len(parts) <= 3 else [*parts[:2], f"and {len(parts) - 2} more"]


def _text(layers: Sequence[_outline.Layer]) -> str:
    return "network of " + " to ".join("?" if layer.width is None else str(layer.width) for layer in layers)


def _caption(outline: _outline.Outline) -> str:
    several = f"{outline.n_networks} networks, together " if outline.n_networks > 1 else ""
    if outline.n_parameters is None:
        return f"{outline.n_networks} networks; not fitted" if several else "not fitted"
    size = float(outline.n_parameters * outline.bytes_each)
    unit = "bytes"
    for larger in ("kB", "MB", "GB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    amount = f"{size:.0f}" if unit == "bytes" or size >= 100 else f"{size:.1f}"
    return f"{several}{outline.n_parameters:,} parameters, {amount} {unit} as float{8 * outline.bytes_each}"
