"""How errors of rows are distributed, and where the threshold lies."""

from numbers import Real
from typing import Any, Literal, Self

import numpy as np

from autoenc._options import check_count
from autoenc.plotting._common import (
    BLUE,
    COLOURS,
    INK,
    ORANGE,
    Array,
    Display,
    axes_for,
    draw,
    place,
    plain,
    read_labels,
    styled,
    tidy,
)

ALLOWED = "allowed are the estimators with score_samples: all but the imputer"
MOST_CLASSES = 6
WIDE = 50.0  # ratio of the largest to the median error from which the scale is logarithmic


class ErrorDistributionDisplay(Display):
    """Histogram of the errors of rows, by class where there are labels, with a threshold.

    Parameters
    ----------
    errors : ndarray of shape (n_samples,)
        Higher is stranger: ``-score_samples``.
    labels : array-like of shape (n_samples,) or None, default=None
        Classes, for instance 0 for ordinary rows and 1 for outliers.
    threshold : float or None, default=None
        Errors above are outliers.
    xlabel : str, default="error"
        What the errors are.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
        Where it was drawn.
    threshold_ : Line2D or None
        The line of the threshold.
    counts_ : dict of str to ndarray
        Rows in the bins, by class.
    bins_ : ndarray
        Edges of the bins.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_wine
    >>> from autoenc import AutoencoderOutlierDetector
    >>> from autoenc.plotting import ErrorDistributionDisplay
    >>> X = load_wine().data
    >>> detector = AutoencoderOutlierDetector(n_estimators=3, contamination=0.05, random_state=0).fit(X)
    >>> display = ErrorDistributionDisplay.from_estimator(detector, X, ax=Figure().subplots())
    >>> round(float((display.errors > display.threshold).mean()), 3)
    0.051
    """

    def __init__(
        self, errors: Any, *, labels: Any = None, threshold: float | None = None, xlabel: str = "error"
    ) -> None:
        self.errors = errors
        self.labels = labels
        self.threshold = threshold
        self.xlabel = xlabel

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        threshold: float | None = None,
        condition: Any = None,
        ax: Any = None,
        **plot_arguments: Any,
    ) -> Self:
        """Score rows and draw how their errors are distributed.

        Parameters
        ----------
        estimator : fitted estimator, pipeline or search
            With `score_samples`.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), default=None
            Labels.
        threshold : float or None, default=None
            None: that of a detector, ``-offset_``; of others none.
        condition : array-like of shape (n_samples,) or (n_samples, n_conditions), default=None
            Where the fit had it.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **plot_arguments
            Of `plot`.

        Returns
        -------
        ErrorDistributionDisplay
        """
        found = place(estimator, X, "score_samples", cls.__name__, ALLOWED)
        errors = -found.model.score_samples(found.X, **({} if condition is None else {"condition": condition}))
        detects = hasattr(found.model, "offset_")
        if threshold is None and detects:
            threshold = -float(found.model.offset_)
        xlabel = "anomaly score (median row: about 1)" if detects else "reconstruction error of a row"
        return cls(errors, labels=y, threshold=threshold, xlabel=xlabel).plot(ax, **plot_arguments)

    @classmethod
    def from_predictions(
        cls, errors: Any, y: Any = None, *, threshold: float | None = None, ax: Any = None, **plot_arguments: Any
    ) -> Self:
        """Draw errors that are there already.

        Parameters
        ----------
        errors : array-like of shape (n_samples,)
            Higher is stranger.
        y : array-like of shape (n_samples,), default=None
            Labels.
        threshold : float or None, default=None
            Errors above are outliers.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **plot_arguments
            Of `plot`.

        Returns
        -------
        ErrorDistributionDisplay
        """
        return cls(errors, labels=y, threshold=threshold).plot(ax, **plot_arguments)

    def plot(
        self,
        ax: Any = None,
        *,
        bins: int = 40,
        scale: Literal["auto", "linear", "log"] = "auto",
        bar_kwargs: Any = None,
        line_kwargs: Any = None,
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        bins : int, default=40
            Of the histogram.
        scale : {"auto", "linear", "log"}, default="auto"
            Of the errors. "auto": "log" where all are positive and the largest is more than 50 times the median.
        bar_kwargs : dict or None, default=None
            Of the filled bars, for matplotlib's ``stairs``: ``{"alpha": 0.2}``.
        line_kwargs : dict or None, default=None
            Of the threshold, for matplotlib's ``axvline``: ``{"color": "red"}``.

        Returns
        -------
        self
            The display, drawn.
        """
        if scale not in ("auto", "linear", "log"):
            raise ValueError(f"scale={scale!r}; allowed are 'auto', 'linear' and 'log'")
        bins = check_count("bins", bins)
        threshold = self.threshold
        if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, Real)):
            raise TypeError(f"threshold={threshold!r}; allowed are numbers and None")
        if threshold is not None and not np.isfinite(threshold):
            raise ValueError(f"threshold={threshold!r}; allowed are finite numbers and None")
        errors = np.asarray(self.errors, dtype=np.float64)
        if errors.ndim != 1 or len(errors) == 0 or not np.isfinite(errors).all():
            raise ValueError(f"errors have shape {errors.shape}; allowed are finite numbers of shape (n_samples,)")
        if scale == "log" and errors.min() <= 0:
            raise ValueError(f"scale='log' needs positive errors; the least is {errors.min():.4g}")
        groups = self._groups(errors)
        ax = axes_for(ax, type(self).__name__, (6.4, 3.6))
        wide = bool(errors.min() > 0 and errors.max() > WIDE * np.median(errors))
        logarithmic = scale == "log" or (scale == "auto" and wide)
        low, high = float(errors.min()), float(errors.max())
        if high <= low:
            low, high = low - 0.5, low + 0.5
        from matplotlib import lines, patches

        self.bins_ = np.geomspace(low, high, bins + 1) if logarithmic else np.linspace(low, high, bins + 1)
        self.counts_: dict[str, Array] = {}
        colours = (BLUE, ORANGE) if len(groups) < 3 else COLOURS
        for i, (title, values) in enumerate(groups.items()):
            self.counts_[title] = np.histogram(values, self.bins_)[0]
            style = styled(
                "bar_kwargs",
                bar_kwargs,
                patches.StepPatch,
                fill=True,
                alpha=0.45,
                color=colours[i],
                hatch=("", "///", "...", "xx", "--", "\\\\", "++")[i] if len(groups) > 1 else None,
                label=plain(title) or None,
            )
            draw("bar_kwargs", bar_kwargs, ax.stairs, self.counts_[title], self.bins_, **style)
            ax.stairs(self.counts_[title], self.bins_, color=colours[i], linewidth=1.4)
        if logarithmic:
            ax.set_xscale("log")
        self.threshold_ = None
        if self.threshold is not None:
            above = float((errors > self.threshold).mean())
            label = f"threshold {self.threshold:.4g}: {above:.1%} of the rows above"
            style = styled(
                "line_kwargs", line_kwargs, lines.Line2D, color=INK, linestyle="--", linewidth=1.6, label=label
            )
            self.threshold_ = draw("line_kwargs", line_kwargs, ax.axvline, self.threshold, **style)
        ax.set_xlabel(self.xlabel)
        ax.set_ylabel("rows")
        if len(groups) > 1 or self.threshold is not None:
            # Above the axes, where no bar and no line is.
            ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        tidy(ax)
        self._keep(ax)
        return self

    def _groups(self, errors: Array) -> dict[str, Array]:
        if self.labels is None:
            return {"": errors}
        labels, values, known = read_labels(self.labels, len(errors), "errors")
        if len(values) > MOST_CLASSES:
            raise ValueError(f"labels have {len(values)} different values; at most {MOST_CLASSES} histograms fit")
        labelled = errors[known]
        groups = {f"{value} ({(labels == value).sum()} rows)": labelled[labels == value] for value in values}
        return groups if known.all() else {**groups, f"unlabelled ({(~known).sum()} rows)": errors[~known]}
