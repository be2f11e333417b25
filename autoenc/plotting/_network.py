"""Layers and connections of a network, and what a row makes of them."""

import reprlib
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np

from autoenc import _outline, _predictor, _spec
from autoenc._options import check_count
from autoenc._outline import Layer
from autoenc.plotting._common import (
    BLUE,
    INK,
    ORANGE,
    Array,
    Display,
    axes_for,
    dense,
    draw,
    inner,
    place,
    styled,
)

ALLOWED = (
    "allowed are single networks: the autoencoders but the marginalized one, `estimators_[0]` of a detector, "
    "`autoencoder_` of an imputer"
)
LAYERS = "allowed is a list of (label, number of units, weights from the layer before or None, values or None)"


class Drawn(NamedTuple):
    """A layer as it is drawn."""

    label: str
    width: int
    weights: Array | None  # from the layer before, (units before, units); None: there is none, or it does not fit
    values: Array | None  # of the row


class NetworkDisplay(Display):
    """A network as columns of units, with connections in the colour of their sign and as dark as they are strong.

    For a given row the opacity of a unit is its activation, relative to the largest of its layer; negative ones have a
    vermilion rim.

    Parameters
    ----------
    layers : list of (str, int, ndarray or None, ndarray or None)
        From input to output: label, number of units, weights from the layer before of shape
        (n_units_before, n_units), values of the units for a row.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
        Where it was drawn.
    units_ : list of PathCollection
        One for each layer.
    connections_ : list of LineCollection
        One for each pair of layers with weights between them.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_iris
    >>> from autoenc import Autoencoder
    >>> from autoenc.plotting import NetworkDisplay
    >>> X = load_iris().data
    >>> model = Autoencoder(2, hidden_layer_sizes=(8,), max_iter=5, random_state=0).fit(X)
    >>> display = NetworkDisplay.from_estimator(model, X[0], ax=Figure().subplots())
    >>> [width for _, width, _, _ in display.layers]
    [4, 8, 2, 8, 4]
    """

    def __init__(self, layers: Any) -> None:
        try:
            self.layers = [Drawn(*layer) for layer in layers]
        except TypeError:
            raise TypeError(f"layers={layers!r}; {LAYERS}") from None
        before = None
        for i, (_, width, weights, values) in enumerate(self.layers):
            check_count(f"layers[{i}][1]", width, 0)
            for at, array, shape in ((2, weights, (before, width)), (3, values, (width,))):
                if array is None:
                    continue
                fits = "None" if None in shape else f"None and an array of numbers of shape {shape}"
                try:
                    found = np.asarray(array, dtype=np.float64).shape
                except (TypeError, ValueError):  # lists of unequal lengths, or no numbers
                    raise ValueError(f"layers[{i}][{at}]={reprlib.repr(array)}; allowed: {fits}") from None
                if found != shape:
                    raise ValueError(f"layers[{i}][{at}] has shape {found}; allowed: {fits}")
            before = width

    @classmethod
    def from_estimator(
        cls, estimator: Any, x: Any = None, *, condition: Any = None, ax: Any = None, **plot_arguments: Any
    ) -> Self:
        """Draw a fitted network.

        Parameters
        ----------
        estimator : fitted estimator, pipeline or search
            With a single network.
        x : array-like of shape (n_features,) or (1, n_features), default=None
            The row whose activations are shown. None: no row.
        condition : array-like of shape (1,) or (1, n_conditions), default=None
            Of the row, where the fit had it.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **plot_arguments
            Of `plot`.

        Returns
        -------
        NetworkDisplay

        Raises
        ------
        TypeError
            For an estimator that is not a single network.
        """
        model = inner(estimator, "_spec", cls.__name__, ALLOWED)
        layers = _outline.of_spec(model._spec)
        values = [None] * len(layers)
        if x is not None:
            row = x if hasattr(x, "columns") or getattr(x, "ndim", 0) == 2 else np.atleast_2d(np.asarray(x))
            if row.shape[0] != 1:
                raise ValueError(f"x has {row.shape[0]} rows; allowed is one")
            seen = model._check(place(estimator, row, "_spec", cls.__name__, ALLOWED).X)
            beside = {"condition": model._check_condition(condition, 1)}
            values = [cls._value(model, layer, seen, beside) for layer in layers]
        weights = [None, *(_weights(model, layer, before) for before, layer in pairwise(layers))]
        drawn = [
            (_label(layer), int(layer.width or 0), weight, value)
            for layer, weight, value in zip(layers, weights, values, strict=True)
        ]
        return cls(drawn).plot(ax, **plot_arguments)

    @staticmethod
    def _value(model: Any, layer: Layer, seen: Any, beside: dict[str, Any]) -> Any:
        if layer.dense is None:
            return dense(seen)[0]
        if layer.role == "output":
            return model._run(seen, *_spec.reconstruction(model._spec), **beside)[0]
        return model._run(seen, layer.value, **beside)[0]

    @classmethod
    def from_predictions(cls, layers: Any, *, ax: Any = None, **plot_arguments: Any) -> Self:
        """Draw layers that are there already.

        Parameters
        ----------
        layers : list of (str, int, ndarray or None, ndarray or None)
            As in the class.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **plot_arguments
            Of `plot`.

        Returns
        -------
        NetworkDisplay
        """
        return cls(layers).plot(ax, **plot_arguments)

    def plot(
        self,
        ax: Any = None,
        *,
        max_units: int = 16,
        max_connections: int = 400,
        scatter_kwargs: Any = None,
        line_kwargs: Any = None,
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        max_units : int, default=16
            Units of a layer that are drawn: of wider ones the first and the last, with dots between them.
        max_connections : int, default=400
            Of a pair of layers: the strongest.
        scatter_kwargs : dict or None, default=None
            Of the units, for matplotlib's ``scatter``: ``{"s": 40}``.
        line_kwargs : dict or None, default=None
            Of the connections, for matplotlib's ``LineCollection``: ``{"linewidths": 0.3}``.

        Returns
        -------
        self
            The display, drawn.
        """
        most, lines = check_count("max_units", max_units, 2), check_count("max_connections", max_connections, 0)
        if not self.layers:
            raise ValueError(f"layers={self.layers!r}; there must be at least one")
        ax = axes_for(ax, type(self).__name__, (1.7 * len(self.layers) + 0.6, 4.6))
        from matplotlib.collections import LineCollection
        from matplotlib.colors import to_rgba

        self.units_: list[Any] = []
        self.connections_: list[Any] = []
        before: tuple[Array, Array] | None = None
        for i, layer in enumerate(self.layers):
            shown, y = _places(layer.width, most)
            if before is not None and layer.weights is not None:
                weights = np.asarray(layer.weights, dtype=np.float64)[np.ix_(before[0], shown)]
                strength = np.abs(weights) / (np.abs(weights).max() or 1.0)
                order = np.argsort(strength, axis=None)[::-1][:lines][::-1]  # the strongest on top
                a, b = np.unravel_index(order, weights.shape)
                ends = np.stack([np.column_stack([np.full(len(a), i - 1.0), before[1][a]]),
                                 np.column_stack([np.full(len(b), float(i)), y[b]])], axis=1)  # fmt: skip
                colours = np.array([to_rgba(BLUE if w > 0 else ORANGE) for w in weights[a, b]]).reshape(-1, 4)
                colours[:, 3] = 0.04 + 0.7 * strength[a, b] ** 1.5
                style = styled("line_kwargs", line_kwargs, LineCollection, edgecolors=colours, linewidths=0.8, zorder=1)
                lines_drawn = draw("line_kwargs", line_kwargs, LineCollection, list(ends), **style)
                ax.add_collection(lines_drawn)
                self.connections_.append(lines_drawn)
            self.units_.append(self._draw_units(ax, i, layer, shown, y, scatter_kwargs))
            if layer.width > most:
                ax.text(i, 0.0, "⋮", ha="center", va="center", fontsize=14, color=INK, zorder=4)
            before = shown, y
        ax.set_xlim(-0.6, len(self.layers) - 0.4)
        tall = min(most, max(layer.width for layer in self.layers))
        ax.set_ylim(-tall / 2 - 0.5, tall / 2 + 0.5)
        ax.set_xticks(range(len(self.layers)), [layer.label for layer in self.layers])
        ax.set_yticks([])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        self._keep(ax)
        return self

    def _draw_units(self, ax: Any, i: int, layer: Drawn, shown: Array, y: Array, given: Any) -> Any:
        from matplotlib.collections import PathCollection
        from matplotlib.colors import to_rgba

        faces = np.tile(to_rgba("white"), (len(shown), 1))
        rims = np.tile(to_rgba(INK), (len(shown), 1))
        if layer.values is not None:
            values = np.asarray(layer.values, dtype=np.float64)[shown]
            whole = np.abs(np.asarray(layer.values, dtype=np.float64))
            scale = float(np.nanmax(whole)) if np.isfinite(whole).any() else 1.0
            faces = np.tile(to_rgba(INK), (len(shown), 1))
            faces[:, 3] = np.nan_to_num(np.abs(values) / (scale or 1.0))
            rims[values < 0] = to_rgba(ORANGE)
        usual = {"s": 95, "facecolors": faces, "edgecolors": rims, "linewidths": 1.3, "zorder": 3}
        style = styled("scatter_kwargs", given, PathCollection, **usual)
        x = np.full(len(y), i)
        beneath = {key: style[key] for key in ("s", "marker") if key in style}  # hides the connections
        draw("scatter_kwargs", given, ax.scatter, x, y, **beneath, color="white", linewidths=0, zorder=2)
        return draw("scatter_kwargs", given, ax.scatter, x, y, **style)


def _places(width: int, most: int) -> tuple[Array, Array]:
    """Units that are drawn, and where: from above, about the middle."""
    if width <= most:
        return np.arange(width), (width - 1) / 2 - np.arange(width, dtype=np.float64)
    half = most // 2
    shown = np.concatenate([np.arange(half), np.arange(width - half, width)])
    y = np.concatenate([most / 2 - np.arange(half), half - most / 2 - 1.0 - np.arange(half)])
    return shown, y


def _label(layer: Layer) -> str:
    what = f"\n{layer.what}" if layer.what else "\n"
    return f"{layer.role}\n{layer.width}{what}"


def _weights(model: Any, layer: Layer, before: Layer) -> Array | None:
    """Weights between two layers of an outline; of the rows only those of the layer before, not of a condition."""
    if layer.dense is None:
        return None
    values = _predictor.parameters(model._spec, model.coefs_, model.intercepts_, model.other_parameters_)
    fields = layer.dense["fields"]
    weight = values[f"{fields.get('shares', layer.dense['name'])}.weight"]
    if fields.get("shares_transposed"):
        weight = weight.T
    return weight[: before.width] if before.width is not None and len(weight) >= before.width else None
