"""Codes as points on a plane."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from autoenc.plotting._common import (
    COLOURS,
    LIGHT,
    MARKERS,
    Array,
    Display,
    axes_for,
    dense,
    draw,
    place,
    plain,
    read_labels,
    styled,
    tidy,
)

ALLOWED = (
    "allowed are estimators whose transform gives codes: the autoencoders (of an imputer the network `autoencoder_`)"
)
MOST_LABELS = 20


def plane(codes: Array) -> tuple[Array, Array, list[str]]:
    """Two coordinates of codes, two axes (2, n_components) that they are along, and names of both.

    One component stays, beside an even spread; two are the plane; of more, the first two principal axes.
    """
    n, k = codes.shape
    if k == 1:
        # Van der Corput's sequence: even, and the same in every call.
        at = np.arange(n, dtype=np.uint32)
        height, digit = np.zeros(n), 0.5
        while at.any():
            height += digit * (at & 1)
            at >>= 1
            digit /= 2
        return np.column_stack([codes[:, 0], height]), np.array([[1.0], [0.0]]), ["component 1 of the code", ""]
    if k == 2:
        return codes, np.eye(2), ["component 1 of the code", "component 2"]
    centred = codes - codes.mean(axis=0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    axes = np.vstack([axes, np.zeros((max(0, 2 - len(axes)), k))])[:2]
    largest = np.abs(axes).argmax(axis=1)
    axes = axes * np.where(axes[np.arange(2), largest] < 0, -1.0, 1.0)[:, np.newaxis]
    share = np.append(singular**2, 0.0)[:2] / max(float((singular**2).sum()), np.finfo(float).tiny)
    names = [f"principal axis {i + 1} of the code ({share[i]:.0%} of its variance)" for i in range(2)]
    return centred @ axes.T, axes, names


class LatentSpaceDisplay(Display):
    """Scatter of codes, in the colours of their labels.

    Codes of two components are drawn as they are, of more along their first two principal axes, of one on a line,
    spread out evenly across it. Labels of one character (digits) are drawn as such; others by colours and shapes.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, n_components)
        Codes.
    labels : array-like of shape (n_samples,) or None, default=None
        Classes, or numbers: floats of more than 20 values are drawn by a colour scale. Rows whose label is None or NaN
        are "unlabelled", in light grey behind the others.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
        Where it was drawn.
    points_ : list of PathCollection
        One for each class, and before them one for the rows without a label, where there are some.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from autoenc import Autoencoder
    >>> from autoenc.plotting import LatentSpaceDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), Autoencoder(3, max_iter=5, random_state=0)).fit(X)
    >>> display = LatentSpaceDisplay.from_estimator(model, X, y, ax=Figure().subplots())
    >>> len(display.points_), display.ax_.get_xlabel()[:16]
    (3, 'principal axis 1')
    """

    def __init__(self, codes: Any, *, labels: Any = None) -> None:
        self.codes = codes
        self.labels = labels

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, *, condition: Any = None, ax: Any = None, **plot_arguments: Any
    ) -> Self:
        """Encode rows and draw them.

        Parameters
        ----------
        estimator : fitted estimator, pipeline or search
            Whose `transform` gives codes.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), default=None
            Labels.
        condition : array-like of shape (n_samples,) or (n_samples, n_conditions), default=None
            Where the fit had it.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **plot_arguments
            Of `plot`.

        Returns
        -------
        LatentSpaceDisplay

        Raises
        ------
        TypeError
            For an estimator without a code.
        """
        return cls(codes_of(estimator, X, condition, cls.__name__), labels=y).plot(ax, **plot_arguments)

    @classmethod
    def from_predictions(cls, codes: Any, y: Any = None, *, ax: Any = None, **plot_arguments: Any) -> Self:
        """Draw codes that are there already.

        Parameters
        ----------
        codes : array-like of shape (n_samples, n_components)
            Codes.
        y : array-like of shape (n_samples,), default=None
            Labels.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **plot_arguments
            Of `plot`.

        Returns
        -------
        LatentSpaceDisplay
        """
        return cls(dense(codes), labels=y).plot(ax, **plot_arguments)

    def plot(
        self,
        ax: Any = None,
        *,
        size: float | None = None,
        alpha: float = 0.9,
        cmap: Any = "cividis",
        scatter_kwargs: Any = None,
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        size : float or None, default=None
            Area of a point, in points squared. None: the smaller the more there are.
        alpha : float, default=0.9
            Opacity.
        cmap : str or Colormap, default="cividis"
            Of numbers.
        scatter_kwargs : dict or None, default=None
            Of the points, for matplotlib's ``scatter``: ``{"edgecolors": "black"}``.

        Returns
        -------
        self
            The display, drawn.
        """
        codes = dense(self.codes).astype(np.float64)
        if not np.isfinite(codes).all():
            raise ValueError("codes has values that are not finite; every code must be")
        if codes.size == 0:
            raise ValueError(f"codes has shape {codes.shape}; there must be a row and a component")
        at, _, names = plane(codes)
        ax = axes_for(ax, type(self).__name__, (6.4, 5.2))
        self.points_: list[Any] = []
        if self.labels is None:
            area = float(np.clip(20_000 / len(at), 6, 30)) if size is None else size
            style = self._style(scatter_kwargs, s=area, color=COLOURS[1], alpha=alpha, linewidths=0)
            self.points_.append(draw("scatter_kwargs", scatter_kwargs, ax.scatter, *at.T, **style))
        else:
            labels, values, known = read_labels(self.labels, len(at), "codes")
            if not known.all():
                area = float(np.clip(20_000 / len(at), 6, 30)) if size is None else size
                style = self._style(scatter_kwargs, s=area, alpha=alpha, linewidths=0)
                style = {key: value for key, value in style.items() if key not in ("c", "cmap", "norm", "facecolor")}
                style.update(color=LIGHT, marker="o", label="unlabelled", zorder=0.9)
                self.points_.append(draw("scatter_kwargs", scatter_kwargs, ax.scatter, *at[~known].T, **style))
                at = at[known]
            if labels.dtype.kind == "f" and len(values) > MOST_LABELS:
                area = float(np.clip(20_000 / len(at), 6, 30)) if size is None else size
                style = self._style(scatter_kwargs, s=area, c=labels, cmap=cmap, alpha=alpha, linewidths=0)
                points = draw("scatter_kwargs", scatter_kwargs, ax.scatter, *at.T, **style)
                ax.figure.colorbar(points, ax=ax, label="label")
                if self.points_:
                    ax.legend(frameon=False)
                self.points_.append(points)
            else:
                self._plot_classes(ax, at, labels, list(values), size, alpha, scatter_kwargs)
        ax.set_xlabel(names[0])
        ax.set_ylabel(names[1])
        if codes.shape[1] == 1:
            ax.set_yticks([])
            ax.set_ylim(-0.1, 1.3)
            ax.spines["left"].set_visible(False)
        tidy(ax)
        self._keep(ax)
        return self

    @staticmethod
    def _style(given: Any, **usual: Any) -> dict[str, Any]:
        from matplotlib.collections import PathCollection

        return styled("scatter_kwargs", given, PathCollection, **usual)

    def _plot_classes(
        self, ax: Any, at: Array, labels: Array, values: Sequence[Any], size: float | None, alpha: float, given: Any
    ) -> None:
        if len(values) > MOST_LABELS:
            raise ValueError(
                f"labels have {len(values)} different values; at most {MOST_LABELS} classes can be told apart, and "
                "numbers must be floats"
            )
        texts = [str(value) for value in values]
        glyphs = all(len(text) == 1 and text.isascii() and text.isalnum() for text in texts)
        area = float(np.clip(30_000 / max(1, len(at)), 14, 44)) if size is None else size
        for i, (value, text) in enumerate(zip(values, texts, strict=True)):
            marker = f"${text}$" if glyphs else MARKERS[(i // len(COLOURS) + i) % len(MARKERS)]
            style = self._style(
                given,
                s=area,
                marker=marker,
                color=COLOURS[i % len(COLOURS)],
                alpha=alpha,
                linewidths=0.4 if glyphs else 0,
                label=plain(text),
            )
            self.points_.append(draw("scatter_kwargs", given, ax.scatter, *at[labels == value].T, **style))
        unlabelled = len(self.points_) - len(texts)
        if glyphs and unlabelled:
            ax.legend(self.points_[:1], ["unlabelled"], frameon=False)
        if not glyphs:
            texts = [*["unlabelled"] * unlabelled, *texts]
            outside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if len(values) > 6 else {"loc": "best"}
            # Handed over, for matplotlib leaves out names with an underscore in front.
            ax.legend(self.points_, [plain(text) for text in texts], frameon=False, **outside)


def codes_of(estimator: Any, X: Any, condition: Any, what: str) -> Array:
    """Codes of rows, of an estimator that has some."""
    found = place(estimator, X, "transform", what, ALLOWED)
    if not hasattr(found.model, "_n_features_out"):  # the imputer's are tables
        raise TypeError(
            f"{what} does not go with {type(found.model).__name__}, whose transform gives no code; {ALLOWED}"
        )
    return dense(found.model.transform(found.X, **({} if condition is None else {"condition": condition})))
