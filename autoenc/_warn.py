"""Warnings that point at the user's line."""

import sys
import warnings
from pathlib import Path
from types import FrameType

import sklearn

# Folders, with a separator behind.
_NOT_THE_USERS = tuple(str(Path(file).parent / "_")[:-1] for file in (__file__, str(sklearn.__file__)))


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the line of the user: the first outside of this package and scikit-learn."""
    level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename.startswith(_NOT_THE_USERS):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level - (frame is None))
