"""Which features of a row are strange."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np

from autoenc._options import check_count
from autoenc.plotting._common import (
    BLUE,
    LIGHT,
    ORANGE,
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
    styled,
    tidy,
    width_of,
)

ALLOWED = "allowed are estimators with feature_contributions (the detector) or feature_errors (the autoencoders)"


class FeatureContributionDisplay(Display):
    """What each feature has to do with the error of one row: bars, or an image.

    A detector's contributions add up to its score; an autoencoder's are the terms of its loss, whose mean is the error.

    Parameters
    ----------
    contributions : ndarray of shape (n_features,)
        Of one row.
    feature_names : list of str or None, default=None
        Default: x0, x1, ...
    values : ndarray of shape (n_features,) or None, default=None
        The row itself, written beside the names.
    typical : ndarray of shape (n_features,) or None, default=None
        Mean contributions of other rows, as marks on the bars.
    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels): the row and its contributions as images.
    title : str or None, default=None
        Of the axes.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
        Where it was drawn.
    bars_ : BarContainer or None
        The bars, from the largest.
    image_ : AxesImage or None
        The images, as one artist.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_wine
    >>> from autoenc import AutoencoderOutlierDetector
    >>> from autoenc.plotting import FeatureContributionDisplay
    >>> wine = load_wine(as_frame=True)
    >>> detector = AutoencoderOutlierDetector(n_estimators=3, random_state=0).fit(wine.data)
    >>> ax = Figure().subplots()
    >>> display = FeatureContributionDisplay.from_estimator(detector, wine.data, row=121, ax=ax)
    >>> ax.get_yticklabels()[0].get_text()
    'flavanoids = 5.08'
    """

    def __init__(
        self,
        contributions: Any,
        *,
        feature_names: Sequence[str] | None = None,
        values: Any = None,
        typical: Any = None,
        image_shape: Sequence[int] | None = None,
        title: str | None = None,
    ) -> None:
        self.contributions = contributions
        self.feature_names = feature_names
        self.values = values
        self.typical = typical
        self.image_shape = image_shape
        self.title = title

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        row: int | None = None,
        condition: Any = None,
        image_shape: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
        **plot_arguments: Any,
    ) -> Self:
        """Find what the features of rows contribute and draw one of them.

        Parameters
        ----------
        estimator : fitted estimator, pipeline or search
            With `feature_contributions` or `feature_errors`.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. The means over all of them are the marks on the bars, where there are at least two.
        row : int or None, default=None
            Number of the row that is drawn. None: the strangest.
        condition : array-like of shape (n_samples,) or (n_samples, n_conditions), default=None
            Where the fit had it.
        image_shape, feature_names : tuple of int or None, list of str or None, default=None
            As in the class. Frames name their features themselves.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **plot_arguments
            Of `plot`.

        Returns
        -------
        FeatureContributionDisplay
        """
        try:
            found, method = place(estimator, X, "feature_contributions", cls.__name__, ALLOWED), "feature_contributions"
        except TypeError:
            found, method = place(estimator, X, "feature_errors", cls.__name__, ALLOWED), "feature_errors"
        beside = {} if condition is None else {"condition": condition}
        terms = np.asarray(getattr(found.model, method)(found.X, **beside), dtype=np.float64)
        n = len(terms)
        whole = isinstance(row, Integral) and not isinstance(row, bool)
        if row is not None and not (whole and -n <= row < n):
            raise ValueError(f"row={row!r}; allowed are numbers of the {n} rows, from 0 to {n - 1}, and None")
        total = terms.sum(axis=1)
        at = int(np.argmax(total)) if row is None else int(row) % n
        seen = dense(X)
        names = names_of(X, terms.shape[1], feature_names)
        score = total[at] if method == "feature_contributions" else terms[at].mean()
        display = cls(
            terms[at],
            feature_names=names,
            values=seen[at] if seen.shape[1] == terms.shape[1] else None,
            typical=terms.mean(axis=0) if n > 1 else None,
            image_shape=image_shape,
            title=f"row {at}: {'score' if method == 'feature_contributions' else 'error'} {score:.4g}",
        )
        return display.plot(ax, **plot_arguments)

    @classmethod
    def from_predictions(
        cls,
        contributions: Any,
        *,
        feature_names: Sequence[str] | None = None,
        values: Any = None,
        image_shape: Sequence[int] | None = None,
        ax: Any = None,
        **plot_arguments: Any,
    ) -> Self:
        """Draw contributions that are there already.

        Parameters
        ----------
        contributions : array-like of shape (n_features,)
            Of one row.
        feature_names : list of str or None, default=None
            As in the class.
        values : array-like of shape (n_features,) or None, default=None
            As in the class.
        image_shape : tuple of int or None, default=None
            As in the class.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **plot_arguments
            Of `plot`.

        Returns
        -------
        FeatureContributionDisplay
        """
        display = cls(contributions, feature_names=feature_names, values=values, image_shape=image_shape)
        return display.plot(ax, **plot_arguments)

    def plot(
        self,
        ax: Any = None,
        *,
        max_features: int = 12,
        bar_kwargs: Any = None,
        line_kwargs: Any = None,
        image_kwargs: Any = None,
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        max_features : int, default=12
            Bars at most; the sum of the others is a bar of its own.
        bar_kwargs : dict or None, default=None
            Of the bars, for matplotlib's ``barh``: ``{"height": 0.5}``.
        line_kwargs : dict or None, default=None
            Of the marks of the means, for matplotlib's ``vlines``: ``{"color": "black"}``.
        image_kwargs : dict or None, default=None
            Of images, for matplotlib's ``imshow``.

        Returns
        -------
        self
            The display, drawn.

        Raises
        ------
        ValueError
            For keywords of what is not drawn: `image_kwargs` of bars, the others of images.
        """
        terms = np.asarray(self.contributions, dtype=np.float64)
        if terms.ndim != 1 or len(terms) == 0:
            raise ValueError(f"contributions have shape {terms.shape}; allowed is (n_features,), those of one row")
        self.bars_, self.image_ = None, None
        if self.image_shape is not None:
            why = "with image_shape the contributions are an image, without bars"
            refuse_unused(why, bar_kwargs=bar_kwargs, line_kwargs=line_kwargs)
            ax = self._plot_images(ax, terms, image_kwargs)
        else:
            refuse_unused("without image_shape the contributions are bars, without images", image_kwargs=image_kwargs)
            ax = self._plot_bars(ax, terms, check_count("max_features", max_features), bar_kwargs, line_kwargs)
        if self.title:
            ax.set_title(self.title, fontsize="medium", loc="left")
        self._keep(ax)
        return self

    def _plot_bars(self, ax: Any, terms: Array, most: int, bars: Any, marks: Any) -> Any:
        from matplotlib import collections, patches

        d = len(terms)
        names = [short(name) for name in names_of(None, d, self.feature_names)]
        order = np.argsort(-terms, kind="stable")
        shown = order if d <= most + 1 else order[:most]
        labels = [names[i] if self.values is None else f"{names[i]} = {self.values[i]:.4g}" for i in shown]
        lengths = list(terms[shown])
        if len(shown) < d:
            labels.append(f"{d - most} others together")
            lengths.append(float(terms[order[most:]].sum()))
        ax = axes_for(ax, type(self).__name__, (max(6.4, 3.9 + width_of(labels)), 0.3 * len(lengths) + 1.0))
        y = np.arange(len(lengths))
        colours = [BLUE] * len(shown) + [LIGHT] * (len(shown) < d)
        style = styled("bar_kwargs", bars, patches.Rectangle, color=colours, height=0.7)
        self.bars_ = draw("bar_kwargs", bars, ax.barh, y, lengths, **style)
        typical = np.zeros(1) if self.typical is None else np.asarray(self.typical)[shown]
        if self.typical is not None:
            at = np.arange(len(shown))
            kind = collections.LineCollection
            style = styled("line_kwargs", marks, kind, color=ORANGE, linewidth=2.2, label="mean of all rows")
            draw("line_kwargs", marks, ax.vlines, typical, at - 0.42, at + 0.42, **style)
            ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 0.99))
        ax.set_yticks(y, [plain(label) for label in labels])
        ax.set_ylim(len(lengths) - 0.5, -0.5)
        if min(*lengths, *typical) >= 0:  # minus the logarithm of a density may be less
            ax.set_xlim(left=0)
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel("contribution")
        tidy(ax)
        return ax

    def _plot_images(self, ax: Any, terms: Array, given: Any) -> Any:
        shape = check_image_shape(self.image_shape, len(terms))
        low = min(0.0, float(terms.min()))
        images = [(terms - low) / (float(terms.max()) - low or 1.0)]
        titles = ["contributions"]
        if self.values is not None:
            values = np.asarray(self.values, dtype=np.float64)
            span = float(np.ptp(values)) or 1.0
            images.insert(0, (values - values.min()) / span)
            titles.insert(0, "row")
        ax = axes_for(ax, type(self).__name__, (2.4 * len(images) + 0.3, 2.4 * shape[0] / shape[1] + 0.7), "compressed")
        self.image_, gap = draw_mosaic(ax, np.stack(images)[np.newaxis], shape, "gray_r", 0.0, 1.0, given)
        ax.set_xticks((shape[1] - 1) / 2 + np.arange(len(images)) * (shape[1] + gap), titles)
        return ax
