"""What the displays share: colours, axes, images, and the autoencoder within what a user passes."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from autoenc._names import columns_of

Array = NDArray[Any]

# Found by a search near Paul Tol's "muted" scheme (https://sronpersonalpages.nl/~pault/): two of them are at least 15
# apart by CIEDE2000, and of the first six 16, for normal vision and where one of the three kinds of cones is missing
# (Machado et al. 2009). On white they have a contrast of 2.3 and more, as thin digits need.
COLOURS = ("#332288", "#457BC7", "#1EB8C8", "#0F500A", "#6A7B19", "#C8A415", "#E86585", "#5C1A39", "#98517F", "#695E53")
# Okabe and Ito's blue and vermilion (https://jfly.uni-koeln.de/color/), and ink: for two or three things that differ.
BLUE, ORANGE, INK, LIGHT = "#0072B2", "#D55E00", "#222222", "#BBBBBB"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")


class Place(NamedTuple):
    """An autoencoder, rows as it sees them, and the way back through what stands before it."""

    model: Any
    X: Any
    back: Callable[[Array], Any] | None


def require_matplotlib(what: str) -> Any:
    """The module matplotlib, or an ImportError that says how to get it."""
    try:
        return import_module("matplotlib")
    except ImportError as error:
        raise ImportError(f"{what} needs matplotlib, which is not installed: pip install matplotlib") from error


def axes_for(ax: Any, what: str, size: tuple[float, float], layout: str = "constrained") -> Any:
    """The axes to draw into: those given, or those of a new figure of pyplot, as scikit-learn's displays make it.

    Images, whose sides keep their ratio, want the layout "compressed".
    """
    require_matplotlib(what)
    if ax is not None:
        if not hasattr(ax, "get_subplotspec"):
            raise TypeError(f"ax is {ax!r}; allowed are axes of matplotlib or None")
        return ax
    plt = import_module("matplotlib.pyplot")
    return plt.subplots(figsize=size, layout=layout)[1]


def tidy(ax: Any) -> None:
    ax.spines[["top", "right"]].set_visible(False)


def inner(estimator: Any, method: str, what: str, allowed: str) -> Any:
    """The fitted autoencoder of an estimator, a pipeline or a search, which must have a method or attribute."""
    return place(estimator, None, method, what, allowed).model


def place(estimator: Any, X: Any, method: str, what: str, allowed: str) -> Place:
    """The same, with rows as it sees them."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    back = None
    model = estimator
    steps = getattr(estimator, "steps", None)
    if steps is not None:
        at = [i for i, (_, step) in enumerate(steps) if type(step).__module__.split(".")[0] == "autoenc"]
        if not at:
            names = ", ".join(type(step).__name__ for _, step in steps)
            raise TypeError(f"{what}: the pipeline has no estimator of autoenc among its steps ({names})")
        first = next((i for i in at if hasattr(steps[i][1], method)), at[0])
        model = steps[first][1]
        if first > 0:
            before = estimator[:first]
            X = None if X is None else before.transform(X)
            back = getattr(before, "inverse_transform", None)
    if isinstance(model, type) or not hasattr(model, "fit"):
        raise TypeError(
            f"{what} needs a fitted estimator of autoenc; got {model!r}. {allowed[:1].upper()}{allowed[1:]}"
        )
    check_is_fitted(model)
    try:
        getattr(model, method)
    except AttributeError:
        has = "is another kind of model" if method.startswith("_") else f"has no {method}"
        raise TypeError(f"{what} does not go with {type(model).__name__}, which {has}; {allowed}") from None
    return Place(model, X, back)


def dense(X: Any) -> Array:
    """Rows as a NumPy array of two dimensions."""
    if hasattr(X, "toarray"):
        X = X.toarray()
    array = np.asarray(X)
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        array = np.asarray(X, dtype=np.float64)
    if array.ndim != 2:
        raise ValueError(f"rows have shape {array.shape}; allowed is (n_samples, n_features)")
    return array


def names_of(X: Any, n: int, given: Sequence[str] | None) -> list[str]:
    """Names of n features: those given, those of a frame, or numbers."""
    if given is not None:
        names = [str(name) for name in given]
        if len(names) != n:
            raise ValueError(f"feature_names has {len(names)} names; there are {n} features")
        return names
    columns = columns_of(X)
    return list(map(str, columns)) if len(columns) == n else [f"x{i}" for i in range(n)]


def _is_missing(value: Any) -> bool:
    """None, NaN, and what pandas has in their place."""
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):  # pandas.NA, of which nothing is known, not even this
        return True


def as_labels(given: Any) -> Array:
    """Labels as an array. Of a list NumPy would make texts of the gaps between texts."""
    if not isinstance(given, (list, tuple)):
        return np.asarray(given)
    labels = np.asarray(given, dtype=object)
    return labels if labels.ndim != 1 or any(map(_is_missing, labels)) else np.asarray(given)


def read_labels(given: Any, n: int, of: str) -> tuple[Array, Array, Array]:
    """Labels of those of n rows that have one, which there are, in order, and where the rows are."""
    labels = as_labels(given)
    if labels.shape != (n,):
        raise ValueError(f"labels have shape {labels.shape}; there are {n} {of}, so allowed is ({n},)")
    known = np.array([not _is_missing(value) for value in labels.tolist()], dtype=bool)
    gaps, labels = not known.all(), labels[known]
    if labels.dtype.kind == "O" and labels.size and all(isinstance(one, (Real, np.bool_)) for one in labels):
        labels = np.array(labels.tolist())
    try:
        values = np.unique(labels)
    except TypeError:
        raise TypeError(
            "labels have values of several kinds, which have no order; allowed are numbers or strings alone, and None "
            "or NaN where there is none"
        ) from None
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError("labels have infinity; allowed are finite numbers and strings, and None or NaN for none")
    if gaps and labels.dtype.kind == "f" and (values % 1 == 0).all() and (abs(values) < 2**53).all():
        labels, values = labels.astype(np.int64), values.astype(np.int64)  # they are no whole numbers for the gaps
    return labels, values, known


def styled(name: str, given: Any, artist: Any = None, **usual: Any) -> dict[str, Any]:
    """Keywords for matplotlib: the usual ones, and those of the user, which win, also by another name of the same."""
    if given is None:
        given = {}
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise TypeError(f"{name}={given!r}; allowed are None and a dict of matplotlib's keywords")
    if artist is not None and given:
        names = import_module("matplotlib.cbook").normalize_kwargs
        try:
            given, usual = names(dict(given), artist), names(usual, artist)
        except TypeError as error:  # two names of one keyword
            raise TypeError(f"{name}={given!r}: {error}; allowed is one of them") from error
    if "c" in given or "colors" in given:
        usual.pop("color", None)
    return {**usual, **given}


def refuse_unused(why: str, **given: Any) -> None:
    """Refuses keywords of artists that a picture does not have: they would say nothing, right or wrong."""
    for name, value in given.items():
        if value is not None and not (isinstance(value, Mapping) and not value):
            raise ValueError(f"{name}={value!r}: {why}; allowed is None")


def draw(name: str, given: Any, call: Any, *arguments: Any, **style: Any) -> Any:
    """What a function of matplotlib draws; its errors name the parameter where the user gave keywords."""
    try:
        return call(*arguments, **style)
    except (AttributeError, TypeError, ValueError) as error:
        if not given:
            raise
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{name}={given!r}: {error}; allowed are keywords of matplotlib's {call.__name__}") from error


def plain(text: Any) -> str:
    """A name from the data as matplotlib shows it letter by letter: two dollar signs would make a formula of it."""
    return str(text).replace("$", r"\$")


MOST_LETTERS = 64  # of a name beside the axes: more would leave no room for them


def short(name: str) -> str:
    """A long name without its middle: its ends tell it from others."""
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 25]}\N{HORIZONTAL ELLIPSIS}{name[-24:]}"


def width_of(names: Sequence[str]) -> float:
    """Inches that the longest of some names takes beside the axes, at the usual size of ticks, at most six."""
    return min(0.085 * max((len(name) for name in names), default=0), 6.0)


def check_image_shape(shape: Any, n: int) -> tuple[int, ...]:
    """Height, width and, of colours, 3 or 4 channels."""
    try:
        sizes = tuple(int(size) for size in shape)
    except (TypeError, ValueError):
        sizes = ()
    if len(sizes) not in (2, 3) or min(sizes) < 1 or int(np.prod(sizes)) != n or (len(sizes) == 3 and sizes[2] > 4):
        raise ValueError(
            f"image_shape={shape!r} does not fit {n} features; allowed are (height, width) and (height, width, "
            f"channels) with 1, 3 or 4 channels, whose product is {n}"
        )
    if len(sizes) == 3 and sizes[2] == 2:
        raise ValueError(f"image_shape={shape!r} has 2 channels; allowed are 1, 3 and 4")
    return sizes[:2] if len(sizes) == 3 and sizes[2] == 1 else sizes


def mosaic(grid: ArrayLike, shape: tuple[int, ...]) -> tuple[Array, int]:
    """Images of a grid (rows, columns, features) as one, with gaps of NaN (of light grey between coloured ones).

    The second answer is the width of a gap in pixels.
    """
    images = np.asarray(grid, dtype=np.float64)
    n_rows, n_columns = images.shape[:2]
    height, width = shape[:2]
    gap = max(1, round(0.06 * max(height, width)))
    channels = shape[2:]
    size = (n_rows * (height + gap) - gap, n_columns * (width + gap) - gap, *channels)
    out = np.full(size, 0.87 if channels else np.nan)
    for i in range(n_rows):
        for j in range(n_columns):
            top, left = i * (height + gap), j * (width + gap)
            image = images[i, j].reshape(shape)
            out[top : top + height, left : left + width] = np.clip(image, 0.0, 1.0) if channels else image
    return out, gap


def draw_mosaic(
    ax: Any, grid: Array, shape: tuple[int, ...], cmap: Any, vmin: Any, vmax: Any, given: Any = None
) -> tuple[Any, int]:
    """Draws the images into axes without ticks; the artist and the gap."""
    matplotlib = require_matplotlib("a picture")
    whole, gap = mosaic(grid, shape)
    style = styled("image_kwargs", given, cmap=cmap, vmin=vmin, vmax=vmax, interpolation="nearest", aspect="equal")
    if "norm" in style:  # which has ends of its own
        del style["vmin"], style["vmax"]
    style["cmap"] = matplotlib.colormaps.get_cmap(style["cmap"]).with_extremes(bad="#DEDEDE")
    image = draw("image_kwargs", given, ax.imshow, whole, **style)
    ax.set(xticks=[], yticks=[])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return image, gap


def spread_rows(n_samples: int, n: int) -> Array:
    """Numbers of at most n rows, evenly spaced over all."""
    return np.unique(np.linspace(0, n_samples - 1, min(n, n_samples)).round().astype(np.intp))


class Display:
    """What every display has after `plot`."""

    ax_: Any
    figure_: Any

    def _keep(self, ax: Any) -> None:
        self.ax_ = ax
        self.figure_ = ax.figure
