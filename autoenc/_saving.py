"""The method that writes a fitted estimator to a file."""

import os
from typing import Any


class Saving:
    """Goes before BaseEstimator: a fitted estimator can be saved."""

    def save(self: Any, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a file, from which `autoenc.load` and `autoenc.load_predictor` read it.

        The file is safetensors: arrays, and a JSON string with parameters, network and what else was learned. Reading
        it runs no code. It is written whole or not at all: a file of that name is replaced when the new one is
        complete, and stays as it is where that fails.

        Parameters
        ----------
        path : str or path-like
            The file, ``.safetensors`` by custom.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        ValueError
            Where a parameter is not data: a callable, such as one of `callbacks` but EarlyStopping, or a RandomState.
            The message names it. Pickle keeps those that are importable. Where an attribute was changed so that
            `autoenc.load` would refuse the file.
        OSError
            Where the file cannot be written.
        ImportError
            Where safetensors is not installed (``python -m pip install safetensors``).

        See Also
        --------
        autoenc.load : Reads it.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> import autoenc
        >>> from sklearn.datasets import load_iris
        >>> X = load_iris().data
        >>> model = autoenc.Autoencoder(2, max_iter=5, random_state=0).fit(X)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(Path(folder) / "iris.safetensors")
        ...     again = autoenc.load(Path(folder) / "iris.safetensors")
        >>> bool((again.transform(X) == model.transform(X)).all())
        True
        """
        from autoenc import _stored_estimators

        _stored_estimators.save(self, path)
