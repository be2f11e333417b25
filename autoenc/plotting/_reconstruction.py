"""Rows beside what is left of them after a round trip."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from autoenc._options import check_count
from autoenc.plotting._common import (
    BLUE,
    COLOURS,
    INK,
    LIGHT,
    MARKERS,
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
    short,
    spread_rows,
    styled,
    tidy,
    width_of,
)

MOST_LEVEL = 12  # names of rows beside each other; more of them stand on end

ALLOWED = "allowed are estimators that reconstruct: the autoencoders, not the detector or the imputer"


class ReconstructionDisplay(Display):
    """Rows and their reconstructions, and what the encoder saw where that was something else.

    With `image_shape` each row is an image; without it each is a strip of a chart with one line for each feature, in
    which dots lie the further apart the worse the feature was restored.

    Parameters
    ----------
    rows : mapping of str to ndarray of shape (n_samples, n_features)
        What is shown below each other, by its title; the first are the originals.
    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels) of the images.
    feature_names : list of str or None, default=None
        Of tables. Default: x0, x1, ...
    row_names : list of str or None, default=None
        Titles of the columns of the picture.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
        Where it was drawn.
    image_ : AxesImage or None
        All images, as one artist.
    points_ : list of Line2D
        The dots of a table, one artist for each of `rows`.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_digits
    >>> from autoenc import Autoencoder
    >>> from autoenc.plotting import ReconstructionDisplay
    >>> X = load_digits().data / 16
    >>> model = Autoencoder(16, max_iter=5, random_state=0).fit(X)
    >>> ax = Figure().subplots()
    >>> display = ReconstructionDisplay.from_estimator(model, X, image_shape=(8, 8), ax=ax)
    >>> list(display.rows)
    ['original', 'reconstruction']
    """

    def __init__(
        self,
        rows: Mapping[str, Any],
        *,
        image_shape: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        row_names: Sequence[str] | None = None,
    ) -> None:
        self.rows = dict(rows)
        self.image_shape = image_shape
        self.feature_names = feature_names
        self.row_names = row_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        X_corrupted: Any = None,
        condition: Any = None,
        n_rows: int = 8,
        image_shape: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
        **plot_arguments: Any,
    ) -> Self:
        """Reconstruct rows and draw them.

        Parameters
        ----------
        estimator : fitted estimator, pipeline or search
            With `reconstruct`. In a pipeline the steps before it are applied and, where they can be, undone.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        X_corrupted : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            What the encoder sees in their place.
        condition : array-like of shape (n_samples,) or (n_samples, n_conditions), default=None
            Where the fit had it.
        n_rows : int, default=8
            Rows shown, evenly spaced over X.
        image_shape, feature_names : tuple of int or None, list of str or None, default=None
            As in the class. Frames name their features themselves.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **plot_arguments
            Of `plot`.

        Returns
        -------
        ReconstructionDisplay

        Raises
        ------
        TypeError
            For an estimator that does not reconstruct.
        ValueError
            Where `X_corrupted` has not as many rows as `X`, or `image_shape` does not fit.
        """
        n = check_count("n_rows", n_rows)
        seen = X if X_corrupted is None else X_corrupted
        if _n_rows(seen) != _n_rows(X):
            raise ValueError(f"X_corrupted has {_n_rows(seen)} rows and X {_n_rows(X)}; allowed: the same rows")
        found = place(estimator, seen, "reconstruct", cls.__name__, ALLOWED)
        out = found.model.reconstruct(found.X, **({} if condition is None else {"condition": condition}))
        original = dense(X)
        back = out if found.back is None else np.asarray(found.back(out))
        if found.back is None and found.X is not seen:  # steps that cannot be undone
            original = dense(place(estimator, X, "reconstruct", cls.__name__, ALLOWED).X)
            X_corrupted = None if X_corrupted is None else found.X
        which = spread_rows(len(original), n)
        rows = {"original": original[which]}
        if X_corrupted is not None:
            rows["corrupted"] = dense(X_corrupted)[which]
        rows["reconstruction"] = back[which]
        names = None if image_shape is not None else names_of(X, original.shape[1], feature_names)
        row_names = [f"row {i}" for i in which]
        display = cls(rows, image_shape=image_shape, feature_names=names, row_names=row_names)
        return display.plot(ax, **plot_arguments)

    @classmethod
    def from_predictions(
        cls,
        X: Any,
        reconstructions: Any,
        *,
        X_corrupted: Any = None,
        image_shape: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
        **plot_arguments: Any,
    ) -> Self:
        """Draw rows and reconstructions that are there already, all of them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        reconstructions : array-like of shape (n_samples, n_features) or mapping of str to such
            Of one model, or of several by their titles.
        X_corrupted : array-like of shape (n_samples, n_features), default=None
            What was reconstructed in the place of X.
        image_shape, feature_names : tuple of int or None, list of str or None, default=None
            As in the class.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **plot_arguments
            Of `plot`.

        Returns
        -------
        ReconstructionDisplay
        """
        rows = {"original": dense(X)}
        if X_corrupted is not None:
            rows["corrupted"] = dense(X_corrupted)
        given = reconstructions if isinstance(reconstructions, Mapping) else {"reconstruction": reconstructions}
        rows.update({str(title): dense(values) for title, values in given.items()})
        names = None if image_shape is not None else names_of(X, rows["original"].shape[1], feature_names)
        return cls(rows, image_shape=image_shape, feature_names=names).plot(ax, **plot_arguments)

    def plot(
        self,
        ax: Any = None,
        *,
        cmap: Any = "gray_r",
        vmin: float | None = None,
        vmax: float | None = None,
        max_features: int = 20,
        image_kwargs: Any = None,
        line_kwargs: Any = None,
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        cmap : str or Colormap, default="gray_r"
            Of images without colours.
        vmin, vmax : float or None, default=None
            Ends of its scale. None: the least and the largest value of the originals.
        max_features : int, default=20
            Of tables: the features that differ most from the originals, relative to their range, in their order.
        image_kwargs : dict or None, default=None
            Of images, for matplotlib's ``imshow``: ``{"interpolation": "bilinear"}``.
        line_kwargs : dict or None, default=None
            Of the points of tables, for matplotlib's ``plot``: ``{"markersize": 8}``.

        Returns
        -------
        self
            The display, drawn.

        Raises
        ------
        ValueError
            For keywords of what is not drawn: `image_kwargs` of a table, `line_kwargs` of images.
        """
        tables = {title: dense(values) for title, values in self.rows.items()}
        if not tables:
            raise ValueError("rows is empty; allowed: at least one table by its title")
        shapes = {values.shape for values in tables.values()}
        if len(shapes) > 1:
            raise ValueError(f"rows has tables of different shapes: {sorted(shapes)}; allowed: one shape")
        n, d = shapes.pop()
        if self.row_names is not None and len(self.row_names) != n:
            raise ValueError(f"row_names has {len(self.row_names)} names; there are {n} rows")
        self.image_: Any = None
        self.points_: list[Any] = []
        if self.image_shape is not None:
            refuse_unused("with image_shape rows are images, without points", line_kwargs=line_kwargs)
            shape = check_image_shape(self.image_shape, d)
            width, height = 0.8 * n + 1.5, (0.8 * len(tables) + 0.3) * shape[0] / shape[1]
            ax = axes_for(ax, type(self).__name__, (min(width, 14.0), min(height, 14.0)), "compressed")
            self._plot_images(ax, tables, shape, cmap, vmin, vmax, image_kwargs)
        else:
            refuse_unused("without image_shape rows are a table, without images", image_kwargs=image_kwargs)
            shown = min(d, check_count("max_features", max_features))
            beside = max(2.0, 0.2 + width_of([short(str(name)) for name in self.feature_names or ()]))
            ax = axes_for(ax, type(self).__name__, (min(1.1 * n + beside, 14.0), 0.3 * shown + 1.2))
            self._plot_table(ax, tables, shown, line_kwargs)
        self._keep(ax)
        return self

    def _plot_images(
        self, ax: Any, tables: dict[str, Array], shape: tuple[int, ...], cmap: Any, vmin: Any, vmax: Any, given: Any
    ) -> None:
        first = next(iter(tables.values()))
        low = float(np.nanmin(first)) if vmin is None else vmin
        high = float(np.nanmax(first)) if vmax is None else vmax
        self.image_, gap = draw_mosaic(ax, np.stack(list(tables.values())), shape, cmap, low, high, given)
        at = (shape[0] - 1) / 2 + np.arange(len(tables)) * (shape[0] + gap)
        ax.set_yticks(at, [plain(title) for title in tables])

    def _plot_table(self, ax: Any, tables: dict[str, Array], n_shown: int, given: Any) -> None:
        from matplotlib.lines import Line2D

        stack = np.stack([values.astype(np.float64) for values in tables.values()])
        n, d = stack.shape[1:]
        low, high = np.nanmin(stack, axis=(0, 1)), np.nanmax(stack, axis=(0, 1))
        span = np.where(high > low, high - low, 1.0)
        scaled = (stack - low) / span
        off = np.nansum(np.abs(scaled[1:] - scaled[0]), axis=(0, 1))
        chosen = np.sort(np.argsort(-off, kind="stable")[:n_shown])
        names = [short(str(name)) for name in self.feature_names or [f"x{i}" for i in range(d)]]
        y = np.arange(len(chosen))
        x = np.arange(n)[:, np.newaxis] + 0.1 + 0.8 * scaled[:, :, chosen]
        for j in range(n):
            pairs = x[:, j]
            ax.hlines(y, np.nanmin(pairs, axis=0), np.nanmax(pairs, axis=0), color=LIGHT, linewidth=2.0, zorder=1)
        for j in range(1, n):
            ax.axvline(j, color="#E4E4E4", linewidth=0.8, zorder=0)
        colours = [INK, *(("#999999",) if "corrupted" in tables else ()), BLUE, *COLOURS[3:6], COLOURS[9]]
        for k, title in enumerate(tables):
            style: dict[str, Any] = {"color": colours[k % len(colours)], "marker": MARKERS[k % len(MARKERS)]}
            if title == "corrupted":
                style["marker"] = "x"
            elif k > 0:
                style["markerfacecolor"] = "none"
            flat = np.broadcast_to(y, x[k].shape).ravel()
            style.update(linestyle="none", markersize=5.5, label=plain(title), zorder=2 + k)
            look = styled("line_kwargs", given, Line2D, **style)
            (points,) = draw("line_kwargs", given, ax.plot, x[k].ravel(), flat, **look)
            self.points_.append(points)
        ax.set_yticks(y, [plain(names[i]) for i in chosen])
        ax.set_ylim(len(chosen) - 0.5, -0.5)
        ax.set_xlim(0, n)
        row_names = [plain(name) for name in self.row_names or [f"row {i}" for i in range(n)]]
        ax.set_xticks(np.arange(n) + 0.5, row_names, rotation=90 if n > MOST_LEVEL else 0)
        ax.tick_params(length=0)
        ax.set_xlabel("each strip: from the least to the largest value shown of the feature")
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(tables), frameon=False)
        tidy(ax)


def _n_rows(X: Any) -> int:
    """Of an array, a frame, a sparse matrix or a list."""
    return int(X.shape[0]) if hasattr(X, "shape") and len(X.shape) else len(X)
