"""Fitted estimators as files for other programs: ONNX models and C source. What writes them is imported when asked."""

from os import PathLike
from typing import Any, Literal

from autoenc._whole_file import check_path, replacing

PartName = Literal["encoder", "decoder", "reconstruction", "score", "prediction", "decision", "hash", "indices"]


class Exportable:
    """Gives an estimator or a predictor `to_onnx` and `to_c`."""

    def to_onnx(self, path: str | PathLike[str] | None = None, *, part: PartName | None = None) -> Any:
        """The fitted network as an ONNX model.

        Parameters
        ----------
        path : str or path-like, default=None
            A file to write the model to.
        part : str or None, default=None
            "encoder", "decoder", "reconstruction" or "score"; of classifiers and regressors also "prediction", of
            outlier detectors "score", "decision" or "prediction", of `HashingAutoencoder` also "hash", of
            `VectorQuantizedAutoencoder` also "indices"; imputers have "reconstruction" alone. None: the first of
            these that the estimator has, of classifiers and regressors "prediction".

        Returns
        -------
        onnx.ModelProto
            As `autoenc.onnx.convert` describes it.

        Raises
        ------
        ImportError
            Where the package onnx is not installed.
        ValueError
            Where the estimator has no such part.
        NotImplementedError
            Where the network has something that cannot be written, which the message names.
        sklearn.exceptions.NotFittedError
            Before `fit`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from autoenc import Autoencoder
        >>> model = Autoencoder(2, max_iter=5, random_state=0).fit(load_iris().data)
        >>> [one.name for one in model.to_onnx(part="encoder").graph.output]
        ['code']
        """
        from autoenc.onnx import convert

        if path is not None:
            check_path(path)
        model = convert(self, part)
        if path is not None:
            with replacing(path) as file:
                file.write_bytes(model.SerializeToString())
        return model

    def to_c(self, path: str | PathLike[str] | None = None, *, prefix: str = "model") -> str:
        """The fitted estimator as one self-contained C99 file, for programs without Python.

        Weights are constants in it. It allocates nothing, needs only ``<math.h>`` and ``<stdint.h>``, and compiles
        without warnings. Its functions begin with the prefix and take one row:

        * ``model_encode(x, code)``, ``model_decode(code, out)``, ``model_reconstruct(x, out)``, and ``model_score(x)``,
          which is `score_samples`. Where the fit had a condition, its numbers (labels one-hot) follow `x` or `code`; a
          score after a fit to pairs ends with the clean row.
        * Classifiers: ``model_predict(x)``, the number of a class, ``model_label(number)``, ``model_predict_proba(x,
          out)``. Regressors: ``model_predict(x, out)``, in double.
        * `HashingAutoencoder`: ``model_hash(x, bytes)``. `VectorQuantizedAutoencoder`: ``model_encode_indices(x,
          numbers)``.
        * Outlier detectors, in double: ``model_score(x)``, ``model_decision(x)``, ``model_predict(x)`` (1 or -1) and
          ``model_contributions(x, out)``. Imputers: ``model_impute(x, out)``, in double.

        Sizes are macros: ``MODEL_N_FEATURES``. Rows are not checked: one with NaN, where none is allowed, gives NaN,
        the class -1 and indices of -1, and ``model_hash`` returns -1 instead of 0.

        Parameters
        ----------
        path : str or path-like, default=None
            A file to write.
        prefix : str, default="model"
            What names begin with, macros in capitals; two in one program differ by more than case.

        Returns
        -------
        str
            The text of the file.

        Raises
        ------
        ValueError
            Where the prefix is no name of C, or a keyword.
        NotImplementedError
            Where the network has something that cannot be written, which the message names.
        sklearn.exceptions.NotFittedError
            Before `fit`.

        Notes
        -----
        Sums have the order of the core. Compiled for a processor with fused multiply-adds (``-O3 -march=native``, or
        any AArch64) results have the bits of the estimator's, in float32 and float64; without them products are rounded
        before they are added, unless ``MODEL_EXACT`` is defined.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from autoenc import Autoencoder
        >>> model = Autoencoder(2, max_iter=5, random_state=0).fit(load_iris().data)
        >>> source = model.to_c(prefix="iris")
        >>> "void iris_encode(const iris_real *x, iris_real *code)" in source
        True
        """
        from autoenc._export_c_models import write

        if path is not None:
            check_path(path)
        text = write(self, prefix)
        if path is not None:
            with replacing(path) as file:
                file.write_text(text, encoding="utf-8")
        return text
