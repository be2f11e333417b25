"""The loss over the epochs."""

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np

from autoenc.plotting._common import BLUE, COLOURS, LIGHT, ORANGE, Display, axes_for, draw, inner, styled, tidy

ALLOWED = "allowed are estimators that are trained by epochs: all but the marginalized one, whose solution is closed"
WIDE = 20.0  # ratio of the largest to the least loss from which the scale is logarithmic


class LossCurveDisplay(Display):
    """Loss by epoch, of training and, where there are some, of validation rows.

    Parameters
    ----------
    curves : mapping of str to array-like of shape (n_epochs,)
        Losses, by their titles. The best epoch of a curve with "validation" in its title is marked.
    ylabel : str, default="loss"
        What they are.
    members : list of array-like, default=()
        Losses of an ensemble's members, drawn thin.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
        Where it was drawn.
    lines_ : dict of str to Line2D
        Of `curves`.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_digits
    >>> from autoenc import Autoencoder
    >>> from autoenc.plotting import LossCurveDisplay
    >>> model = Autoencoder(8, max_iter=10, early_stopping=True, random_state=0).fit(load_digits().data / 16)
    >>> display = LossCurveDisplay.from_estimator(model, ax=Figure().subplots())
    >>> sorted(display.lines_)
    ['training', 'validation']
    """

    def __init__(self, curves: Mapping[str, Any], *, ylabel: str = "loss", members: Any = ()) -> None:
        self.curves = curves
        self.ylabel = ylabel
        self.members = members

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **plot_arguments: Any) -> Self:
        """Draw the curves of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator, pipeline or search
            Trained by epochs. Of a classifier or regressor the second training follows on the first as curves of its
            own; of a detector all members and their median; of an imputer its network.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **plot_arguments
            Of `plot`.

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        TypeError
            For an estimator without epochs.
        """
        model = inner(estimator, "n_iter_", cls.__name__, ALLOWED)
        model = getattr(model, "autoencoder_", model)  # an imputer's network
        if model is None:
            raise ValueError(f"{cls.__name__}: no column had a value, so the imputer has no network")
        members = [one.loss_curve_ for one in getattr(model, "estimators_", ())]
        if members:
            return cls({"median of the members": np.median(members, axis=0)}, members=members).plot(
                ax, **plot_arguments
            )
        curves = {"training": model.loss_curve_}
        if hasattr(model, "validation_loss_curve_"):
            curves["validation"] = model.validation_loss_curve_
        if hasattr(model, "fine_tune_loss_curve_"):
            curves["training for labels"] = model.fine_tune_loss_curve_
        if hasattr(model, "fine_tune_validation_loss_curve_"):
            curves["validation of labels"] = model.fine_tune_validation_loss_curve_
        loss = getattr(model, "loss", None) or getattr(model, "likelihood", None)
        ylabel = f"loss ({loss})" if isinstance(loss, str) and "training for labels" not in curves else "loss"
        return cls(curves, ylabel=ylabel).plot(ax, **plot_arguments)

    @classmethod
    def from_predictions(cls, loss: Any, validation_loss: Any = None, *, ax: Any = None, **plot_arguments: Any) -> Self:
        """Draw losses that are there already, for instance those that a callback has collected.

        Parameters
        ----------
        loss, validation_loss : array-like of shape (n_epochs,)
            Losses of training and validation rows.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **plot_arguments
            Of `plot`.

        Returns
        -------
        LossCurveDisplay
        """
        curves = {"training": loss}
        if validation_loss is not None:
            curves["validation"] = validation_loss
        return cls(curves).plot(ax, **plot_arguments)

    def plot(
        self,
        ax: Any = None,
        *,
        name: str | None = None,
        scale: Literal["auto", "linear", "log"] = "auto",
        curve_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw. Several displays on the same axes have colours of their own.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        name : str or None, default=None
            Of the estimator, in front of the titles in the legend.
        scale : {"auto", "linear", "log"}, default="auto"
            Of the loss. "auto": "log" where all losses are positive and the largest is more than 20 times the least.
        curve_kwargs : dict or None, default=None
            Of each curve, for matplotlib's ``plot``: ``{"linewidth": 1}``.

        Returns
        -------
        self
            The display, drawn.
        """
        if scale not in ("auto", "linear", "log"):
            raise ValueError(f"scale={scale!r}; allowed are 'auto', 'linear' and 'log'")
        curves = {str(title): np.asarray(values, dtype=np.float64) for title, values in self.curves.items()}
        for title, values in curves.items():
            if values.ndim != 1 or not np.isfinite(values).any():
                raise ValueError(
                    f"the curve {title!r} has shape {values.shape}; allowed is (n_epochs,), with a finite number"
                )
        ax = axes_for(ax, type(self).__name__, (6.4, 3.6))
        from matplotlib.lines import Line2D

        before = len(ax.get_legend_handles_labels()[1])
        for values in self.members:
            ax.plot(np.arange(1, len(values) + 1), values, color=LIGHT, linewidth=0.8, zorder=1)
        self.lines_: dict[str, Any] = {}
        everything = np.concatenate([*curves.values()])
        colours = (BLUE, ORANGE, COLOURS[2], COLOURS[7])
        for i, (title, values) in enumerate(curves.items()):
            style: dict[str, Any] = {
                "linestyle": "--" if "validation" in title else "-",
                "color": colours[(before + i) % len(colours)],
                "marker": "o" if len(values) == 1 else "",
                "linewidth": 1.8,
                "label": title if name is None else f"{name}: {title}",
            }
            style = styled("curve_kwargs", curve_kwargs, Line2D, **style)
            epochs = np.arange(1, len(values) + 1)
            (self.lines_[title],) = draw("curve_kwargs", curve_kwargs, ax.plot, epochs, values, **style)
            if "validation" in title:
                best = int(np.nanargmin(values))
                ax.plot(best + 1, values[best], "o", color=self.lines_[title].get_color(), markersize=6)
                ax.annotate(
                    f"best: {values[best]:.4g} after {best + 1}",
                    (best + 1, values[best]),
                    xytext=(0, 9),
                    textcoords="offset points",
                    ha="right" if best > len(values) / 2 else "left",
                    color=self.lines_[title].get_color(),
                )
        wide = bool(np.nanmin(everything) > 0 and np.nanmax(everything) > WIDE * np.nanmin(everything))
        ax.set_yscale("log" if scale == "log" or (scale == "auto" and wide) else "linear")
        ax.set_xlabel("epoch")
        ax.set_ylabel(self.ylabel)
        if len(curves) > 1 or len(self.members) or before or name is not None:
            ax.legend(frameon=False)
        tidy(ax)
        self._keep(ax)
        return self
