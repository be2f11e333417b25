"""Errors of autoenc that are not one of Python's own."""

from autoenc import _core


class DivergenceError(_core.DivergenceError, FloatingPointError):
    """A loss became infinite or not a number while fitting.

    The estimator keeps the weights of the last complete epoch; where there is none, it is as it was before the call.

    Parameters
    ----------
    message : str
        What happened.
    epoch : int, default=0
        The epoch that failed, from 1.

    Attributes
    ----------
    epoch : int
        The epoch that failed, from 1.
    """

    epoch: int

    def __init__(self, message: str, epoch: int = 0) -> None:
        super().__init__(message)
        self.epoch = epoch

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        return type(self), (str(self), self.epoch)
