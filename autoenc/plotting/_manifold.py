"""What a grid of codes decodes to."""

from collections.abc import Sequence
from importlib import import_module
from numbers import Integral
from typing import Any, Self

import numpy as np

from autoenc._options import check_count
from autoenc.plotting._common import (
    Array,
    Display,
    axes_for,
    check_image_shape,
    dense,
    draw,
    draw_mosaic,
    names_of,
    place,
    plain,
    refuse_unused,
    styled,
)
from autoenc.plotting._latent import codes_of

ALLOWED = "allowed are estimators with a decoder of codes: the autoencoders but the marginalized one"


class ManifoldDisplay(Display):
    """The plane of two components of the code, decoded.

    With `image_shape` it shows the image that each point of a grid decodes to; for tables the decoded value of one
    feature, as colours over the plane.

    Parameters
    ----------
    decoded : ndarray of shape (n_grid, n_grid, n_features)
        Reconstructions; the first axis goes along the second component, the second along the first one.
    first, second : ndarray of shape (n_grid,)
        Values of the two components.
    components : tuple of int, default=(0, 1)
        Which ones they are.
    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels) of the images.
    feature_names : list of str or None, default=None
        Of tables.
    codes : ndarray of shape (n_samples, 2) or None, default=None
        Codes of rows in the two components, drawn over the plane of tables.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
        Where it was drawn.
    image_ : AxesImage or QuadMesh
        The images, as one artist, or the colours.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_digits
    >>> from autoenc import VariationalAutoencoder
    >>> from autoenc.plotting import ManifoldDisplay
    >>> X = load_digits().data / 16
    >>> model = VariationalAutoencoder(2, likelihood="log_loss", max_iter=5, random_state=0).fit(X)
    >>> ax = Figure().subplots()
    >>> display = ManifoldDisplay.from_estimator(model, X, image_shape=(8, 8), n_grid=5, ax=ax)
    >>> display.decoded.shape
    (5, 5, 64)
    """

    def __init__(
        self,
        decoded: Any,
        first: Any,
        second: Any,
        *,
        components: Sequence[int] = (0, 1),
        image_shape: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        codes: Any = None,
    ) -> None:
        self.decoded = decoded
        self.first = first
        self.second = second
        self.components = components
        self.image_shape = image_shape
        self.feature_names = feature_names
        self.codes = codes

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        components: Sequence[int] = (0, 1),
        n_grid: int = 15,
        condition: Any = None,
        image_shape: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
        **plot_arguments: Any,
    ) -> Self:
        """Decode a grid over the codes of rows and draw it.

        The grid goes from the 5th to the 95th percentile of the two components; further components stay at their
        medians.

        Parameters
        ----------
        estimator : fitted estimator, pipeline or search
            With `inverse_transform`. In a pipeline the steps before it are undone, where they can be.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows whose codes say where the grid lies.
        components : tuple of int, default=(0, 1)
            Two components of the code. Of codes of one component, (0,) makes a strip.
        n_grid : int, default=15
            Points along each component.
        condition : array-like of shape (n_samples,) or (n_samples, n_conditions), default=None
            Where the fit had it: those of X. The grid is decoded with that of the first row.
        image_shape, feature_names : tuple of int or None, list of str or None, default=None
            As in the class. Frames name their features themselves.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **plot_arguments
            Of `plot`.

        Returns
        -------
        ManifoldDisplay

        Raises
        ------
        TypeError
            For an estimator that does not decode.
        """
        n = check_count("n_grid", n_grid, 2)
        found = place(estimator, X, "inverse_transform", cls.__name__, ALLOWED)
        codes = codes_of(estimator, X, condition, cls.__name__).astype(np.float64)
        k = codes.shape[1]
        given: Any = components if np.ndim(components) == 1 and not isinstance(components, str) else (components,)
        given = (0,) if k == 1 and tuple(given) == (0, 1) else tuple(given)
        whole = all(isinstance(i, Integral) and not isinstance(i, bool) and 0 <= int(i) < k for i in given)
        if not whole or len(given) != min(2, k) or len(set(given)) != len(given):
            raise ValueError(
                f"components={components!r}; allowed are {min(2, k)} different numbers of the {k} components, "
                f"from 0 to {k - 1}"
            )
        chosen = [int(i) for i in given]
        low, high = np.percentile(codes[:, chosen], [5, 95], axis=0)
        half = np.where(high > low, 0.0, 0.5)  # where all codes are the same
        axes = [np.linspace(a, b, n) for a, b in zip(low - half, high + half, strict=True)]
        if k == 1:
            axes.append(np.zeros(1))
        grid = np.tile(np.median(codes, axis=0), (len(axes[1]), n, 1))
        for i, values in zip(chosen, np.meshgrid(*axes), strict=False):
            grid[:, :, i] = values
        rows = grid.reshape(-1, k).astype(np.float32)
        beside = {} if condition is None else {"condition": np.repeat(np.asarray(condition)[:1], len(rows), axis=0)}
        out = found.model.inverse_transform(rows, **beside)
        out = out if found.back is None else np.asarray(found.back(out))
        names = None if image_shape is not None else names_of(X, out.shape[1], feature_names)
        display = cls(
            out.reshape(*grid.shape[:2], -1),
            *axes,
            components=chosen,
            image_shape=image_shape,
            feature_names=names,
            codes=codes[:, chosen],
        )
        return display.plot(ax, **plot_arguments)

    @classmethod
    def from_predictions(
        cls,
        decoded: Any,
        first: Any,
        second: Any,
        *,
        image_shape: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
        **plot_arguments: Any,
    ) -> Self:
        """Draw a grid that has been decoded already.

        Parameters
        ----------
        decoded, first, second : ndarray of shape (n_grid, n_grid, n_features), (n_grid,), (n_grid,)
            As in the class.
        image_shape, feature_names : tuple of int or None, list of str or None, default=None
            As in the class.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **plot_arguments
            Of `plot`.

        Returns
        -------
        ManifoldDisplay
        """
        display = cls(decoded, first, second, image_shape=image_shape, feature_names=feature_names)
        return display.plot(ax, **plot_arguments)

    def plot(
        self,
        ax: Any = None,
        *,
        feature: int | str | None = None,
        cmap: Any = None,
        image_kwargs: Any = None,
        scatter_kwargs: Any = None,
        line_kwargs: Any = None,
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        feature : int, str or None, default=None
            Of tables: the feature shown. None: the one with the largest range over the grid, relative to its mean
            absolute value.
        cmap : str or Colormap or None, default=None
            Of images without colours "gray_r", of a feature "cividis", where None.
        image_kwargs : dict or None, default=None
            Of images, for matplotlib's ``imshow``, or of a feature's colours, for ``pcolormesh``.
        scatter_kwargs : dict or None, default=None
            Of the codes over those colours, for matplotlib's ``scatter``: ``{"s": 4}``.
        line_kwargs : dict or None, default=None
            Of a feature over a code of one component, for matplotlib's ``plot``.

        Returns
        -------
        self
            The display, drawn.

        Raises
        ------
        ValueError
            For keywords of what is not drawn: each of the three pictures takes its own.
        """
        decoded = np.asarray(self.decoded)
        first, second = np.asarray(self.first, dtype=float), np.asarray(self.second, dtype=float)
        if decoded.ndim != 3 or decoded.shape[:2] != (len(second), len(first)):
            raise ValueError(
                f"decoded has shape {decoded.shape}; allowed is ({len(second)}, {len(first)}, n_features), by the "
                "sizes of second and first"
            )
        if self.image_shape is not None:
            why = "with image_shape the grid has images alone"
            refuse_unused(why, scatter_kwargs=scatter_kwargs, line_kwargs=line_kwargs)
            shape = check_image_shape(self.image_shape, decoded.shape[2])
            ax = axes_for(ax, type(self).__name__, (6.0, 6.0 * len(second) / len(first) + 0.4), "compressed")
            # The second component grows upwards, as on a scatter.
            self.image_, gap = draw_mosaic(ax, decoded[::-1], shape, cmap or "gray_r", None, None, image_kwargs)
            self._ticks(ax.set_xticks, first, (shape[1] - 1) / 2, shape[1] + gap)
            if len(second) > 1:
                self._ticks(ax.set_yticks, second[::-1], (shape[0] - 1) / 2, shape[0] + gap)
        else:
            if len(second) == 1:
                why = "a feature over a code of one component is a line"
                refuse_unused(why, image_kwargs=image_kwargs, scatter_kwargs=scatter_kwargs)
            else:
                refuse_unused("a feature over two components of the code is colours", line_kwargs=line_kwargs)
            ax = axes_for(ax, type(self).__name__, (6.4, 5.2))
            at, name = self._feature(decoded, feature)
            if len(second) == 1:
                style = styled("line_kwargs", line_kwargs, import_module("matplotlib.lines").Line2D, color="#0072B2")
                (self.image_,) = draw("line_kwargs", line_kwargs, ax.plot, first, decoded[0, :, at], **style)
                ax.set_ylabel(f"decoded {name}")
                ax.spines[["top", "right"]].set_visible(False)
            else:
                style = styled("image_kwargs", image_kwargs, cmap=cmap or "cividis", shading="gouraud")
                call = ax.pcolormesh
                self.image_ = draw("image_kwargs", image_kwargs, call, first, second, decoded[:, :, at], **style)
                ax.figure.colorbar(self.image_, ax=ax, label=f"decoded {name}")
                self._plot_codes(ax, first, second, scatter_kwargs)
        numbers = [int(i) + 1 for i in self.components]
        ax.set_xlabel(f"component {numbers[0]} of the code")
        if len(second) > 1:
            ax.set_ylabel(f"component {numbers[1]}")
        self._keep(ax)
        return self

    def _ticks(self, put: Any, values: Array, start: float, step: float) -> None:
        shown = np.unique(np.linspace(0, len(values) - 1, min(5, len(values))).round().astype(int))
        span = float(np.ptp(values)) or 1.0
        decimals = max(0, 1 - int(np.floor(np.log10(span))))
        put(start + step * shown, [f"{round(values[i], decimals) + 0.0:.{decimals}f}" for i in shown])

    def _feature(self, decoded: Array, feature: Any) -> tuple[int, str]:
        """Number and name of the one that is shown."""
        d = decoded.shape[2]
        names = list(self.feature_names) if self.feature_names is not None else [f"x{i}" for i in range(d)]
        if feature is None:
            flat = decoded.reshape(-1, d).astype(np.float64)
            at = int(np.argmax(np.ptp(flat, axis=0) / (np.abs(flat).mean(axis=0) + np.finfo(np.float32).eps)))
        elif isinstance(feature, str):
            if feature not in names:
                raise ValueError(f"feature={feature!r}; allowed are numbers and the names {', '.join(names[:20])}")
            at = names.index(feature)
        else:
            if not 0 <= int(feature) < d:
                raise ValueError(f"feature={feature!r}; allowed are numbers from 0 to {d - 1} and names")
            at = int(feature)
        return at, plain(names[at])

    def _plot_codes(self, ax: Any, first: Array, second: Array, given: Any) -> None:
        if self.codes is None:
            return
        kind = import_module("matplotlib.collections").PathCollection
        style = styled("scatter_kwargs", given, kind, s=9, color="white", edgecolors="#222222", linewidths=0.5)
        draw("scatter_kwargs", given, ax.scatter, *dense(self.codes).T, **style)
        ax.set(xlim=(first[0], first[-1]), ylim=(second[0], second[-1]))
