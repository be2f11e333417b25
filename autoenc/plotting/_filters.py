"""Weights of the first or the last layer, as images."""

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np

from autoenc import _predictor
from autoenc._options import check_count
from autoenc.plotting._common import (
    Array,
    Display,
    axes_for,
    check_image_shape,
    dense,
    draw,
    draw_mosaic,
    inner,
    names_of,
    plain,
    require_matplotlib,
    short,
    styled,
)

ALLOWED = (
    "allowed are estimators of dense layers: the autoencoders (of a detector one of `estimators_`, of an imputer the "
    "network `autoencoder_`)"
)


class FilterDisplay(Display):
    """What the units of the first layer look for, or what those of the last one draw.

    With `image_shape` each unit's weights are an image, as in the papers on sparse codes [1]_; for tables they are a
    column of a chart.

    Parameters
    ----------
    filters : ndarray of shape (n_units, n_features)
        Weights.
    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels) of the images.
    feature_names : list of str or None, default=None
        Of tables.
    unit_numbers : ndarray of shape (n_units,) or None, default=None
        Numbers of the units, as the layer has them.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
        Where it was drawn.
    image_ : AxesImage
        All of them, as one artist.

    References
    ----------
    .. [1] Olshausen, B. A. and Field, D. J. (1996). Emergence of simple-cell receptive field properties by learning a
       sparse code for natural images. Nature 381, 607-609.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_digits
    >>> from autoenc import SparseAutoencoder
    >>> from autoenc.plotting import FilterDisplay
    >>> X = load_digits().data / 16
    >>> model = SparseAutoencoder(64, k=8, max_iter=5, random_state=0).fit(X)
    >>> display = FilterDisplay.from_estimator(model, image_shape=(8, 8), layer="decoder", ax=Figure().subplots())
    >>> display.filters.shape
    (64, 64)
    """

    def __init__(
        self,
        filters: Any,
        *,
        image_shape: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        unit_numbers: Any = None,
    ) -> None:
        self.filters = filters
        self.image_shape = image_shape
        self.feature_names = feature_names
        self.unit_numbers = unit_numbers

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        layer: Literal["encoder", "decoder"] = "encoder",
        n_filters: int = 64,
        sort: bool = True,
        image_shape: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
        **plot_arguments: Any,
    ) -> Self:
        """Draw weights of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator, pipeline or search
            With dense layers.
        layer : {"encoder", "decoder"}, default="encoder"
            The first layer, behind the features, or the last one, before them.
        n_filters : int, default=64
            Units shown at most.
        sort : bool, default=True
            Whether those of the largest norm come first, or the first.
        image_shape, feature_names : tuple of int or None, list of str or None, default=None
            As in the class.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **plot_arguments
            Of `plot`.

        Returns
        -------
        FilterDisplay

        Raises
        ------
        TypeError
            For an estimator without weights of its own.
        """
        n = check_count("n_filters", n_filters)
        if layer not in ("encoder", "decoder"):
            raise ValueError(f"layer={layer!r}; allowed are 'encoder' and 'decoder'")
        model = inner(estimator, "coefs_", cls.__name__, ALLOWED)
        weights = first_layer(model) if layer == "encoder" else last_layer(model)
        norms = np.linalg.norm(weights.astype(np.float64), axis=1)
        numbers = (np.argsort(-norms, kind="stable") if sort else np.arange(len(weights)))[:n]
        names = None
        if image_shape is None:
            names = feature_names
            known = getattr(model, "feature_names_in_", None)
            if names is None and known is not None and len(known) == weights.shape[1]:
                names = list(known)
            names = names_of(None, weights.shape[1], names)
        display = cls(weights[numbers], image_shape=image_shape, feature_names=names, unit_numbers=numbers)
        return display.plot(ax, **plot_arguments)

    @classmethod
    def from_predictions(
        cls,
        filters: Any,
        *,
        image_shape: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
        **plot_arguments: Any,
    ) -> Self:
        """Draw vectors that are there already, for instance codebooks.

        Parameters
        ----------
        filters : array-like of shape (n_filters, n_features)
            One vector a row.
        image_shape, feature_names : tuple of int or None, list of str or None, default=None
            As in the class.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **plot_arguments
            Of `plot`.

        Returns
        -------
        FilterDisplay
        """
        filters = dense(filters)
        names = None if image_shape is not None else names_of(None, filters.shape[1], feature_names)
        return cls(filters, image_shape=image_shape, feature_names=names).plot(ax, **plot_arguments)

    def plot(
        self, ax: Any = None, *, cmap: Any = None, scale: Literal["each", "common"] = "each", image_kwargs: Any = None
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        cmap : str or Colormap or None, default=None
            None: "gray" for images, in which zero is grey, "PuOr" for tables, in which it is white.
        scale : {"each", "common"}, default="each"
            Whether each image has a scale of its own. Zero is in the middle of it either way. Tables have a common one.
        image_kwargs : dict or None, default=None
            Of the image, for matplotlib's ``imshow``: ``{"interpolation": "bilinear"}``.

        Returns
        -------
        self
            The display, drawn.
        """
        if scale not in ("each", "common"):
            raise ValueError(f"scale={scale!r}; allowed are 'each' and 'common'")
        filters = dense(self.filters).astype(np.float64)
        n, d = filters.shape
        largest = float(np.abs(filters).max()) or 1.0
        if self.image_shape is None:
            return self._plot_table(ax, filters, largest, cmap or "PuOr", image_kwargs)
        shape = check_image_shape(self.image_shape, d)
        n_columns = int(np.ceil(np.sqrt(n)))
        n_rows = -(-n // n_columns)
        each = np.abs(filters).max(axis=1, keepdims=True)
        scaled = filters / (np.where(each > 0, each, 1.0) if scale == "each" else largest)
        if len(shape) == 3:
            scaled = 0.5 + 0.5 * scaled
        grid = np.full((n_rows * n_columns, d), np.nan if len(shape) == 2 else 0.87)
        grid[:n] = scaled
        size = (0.62 * n_columns + 0.3, 0.62 * n_rows * shape[0] / shape[1] + 0.3)
        ax = axes_for(ax, type(self).__name__, size, "compressed")
        images = grid.reshape(n_rows, n_columns, d)
        self.image_, _ = draw_mosaic(ax, images, shape, cmap or "gray", -1.0, 1.0, image_kwargs)
        self._keep(ax)
        return self

    def _plot_table(self, ax: Any, filters: Array, largest: float, cmap: Any, given: Any) -> Self:
        require_matplotlib(type(self).__name__)
        n, d = filters.shape
        size = (min(0.32 * n + 2.6, 14.0), min(0.26 * d + 1.2, 14.0))
        ax = axes_for(ax, type(self).__name__, size)
        style = {"cmap": cmap, "vmin": -largest, "vmax": largest, "aspect": "auto", "interpolation": "nearest"}
        style = styled("image_kwargs", given, **style)
        if "norm" in style:  # which has ends of its own
            del style["vmin"], style["vmax"]
        self.image_ = draw("image_kwargs", given, ax.imshow, filters.T, **style)
        ax.figure.colorbar(self.image_, ax=ax, label="weight")
        names = self.feature_names if self.feature_names is not None else [f"x{i}" for i in range(d)]
        shown = range(d) if d <= 40 else np.linspace(0, d - 1, 40).astype(int)
        ax.set_yticks(list(shown), [plain(short(str(names[i]))) for i in shown])
        numbers = np.arange(n) if self.unit_numbers is None else np.asarray(self.unit_numbers)
        shown = range(n) if n <= 24 else np.linspace(0, n - 1, 24).astype(int)
        ax.set_xticks(list(shown), [str(numbers[i]) for i in shown])
        ax.set_xlabel("unit")
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        self._keep(ax)
        return self


def first_layer(model: Any) -> Array:
    """Weights from the features into each unit of the first dense layer, (n_units, n_features)."""
    weights = np.asarray(model.coefs_[0])[: model.n_features_in_]
    return weights.T


def last_layer(model: Any) -> Array:
    """Weights out of each unit in front of the reconstruction, (n_units, n_outputs)."""
    spec = getattr(model, "_spec", None)
    if spec is None:  # layers in closed form
        return np.asarray(model.coefs_[-1])
    values = _predictor.parameters(spec, model.coefs_, model.intercepts_, model.other_parameters_)
    output = next(node for node in spec["nodes"] if node["name"] == spec["output"])
    if output["kind"] != "dense":
        raise TypeError(
            f"FilterDisplay: the last layer of {type(model).__name__} is of the kind {output['kind']}; allowed: dense"
        )
    shares = output["fields"].get("shares")
    weights = values[f"{shares or spec['output']}.weight"]
    return weights.T if output["fields"].get("shares_transposed") else weights
