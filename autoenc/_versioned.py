"""Pickles that say which release wrote them, and checks of parameters that scikit-learn leaves out."""

from typing import Any

from numpy.typing import NDArray

from autoenc import __version__
from autoenc._options import refuse_booleans
from autoenc._saving import Saving
from autoenc._warn import warn

KEY = "_autoenc_version"


def _release(version: str) -> tuple[int, ...]:
    """The leading numbers of a version."""
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


class Versioned(Saving):
    """Goes before BaseEstimator: it can be saved; its pickles carry the version, and warn where it is a later one.

    Its parameters that are numbers are no booleans; it takes sparse rows, and answers in float32 to such.
    """

    # scikit-learn sets them, of which type checkers know nothing.
    n_features_in_: int
    feature_names_in_: NDArray[Any]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = getattr(self, "missing", "error") == "mask"
        if tags.transformer_tags is not None:
            tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _validate_params(self) -> None:
        super()._validate_params()  # type: ignore[misc]
        refuse_booleans(self)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())  # type: ignore[call-overload]
        state[KEY] = __version__
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        written = state.pop(KEY, __version__)
        if _release(written) > _release(__version__):
            warn(
                f"this {type(self).__name__} was pickled by autoenc {written}; this is {__version__}, "
                "which may read it wrongly"
            )
        super().__setstate__(state)  # type: ignore[misc]
