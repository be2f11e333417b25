"""Autoencoders as scikit-learn estimators, on a C core.

Names load on first use, so that ``import autoenc`` costs next to nothing and a service that only scores needs neither
scikit-learn nor SciPy.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Autoencoder",
    "AutoencoderClassifier",
    "AutoencoderImputer",
    "AutoencoderOutlierDetector",
    "AutoencoderRegressor",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "DivergenceError",
    "HashingAutoencoder",
    "MarginalizedDenoisingAutoencoder",
    "Predictor",
    "SparseAutoencoder",
    "VariationalAutoencoder",
    "VectorQuantizedAutoencoder",
    "__version__",
    "load",
    "load_predictor",
    "save",
]

if TYPE_CHECKING:
    from autoenc._autoencoder import Autoencoder
    from autoenc._contractive import ContractiveAutoencoder
    from autoenc._denoising import DenoisingAutoencoder
    from autoenc._hashing import HashingAutoencoder
    from autoenc._imputer import AutoencoderImputer
    from autoenc._marginalized import MarginalizedDenoisingAutoencoder
    from autoenc._outlier_detector import AutoencoderOutlierDetector
    from autoenc._predictor import Predictor
    from autoenc._sparse import SparseAutoencoder
    from autoenc._supervised import AutoencoderClassifier, AutoencoderRegressor
    from autoenc._variational import VariationalAutoencoder
    from autoenc._vector_quantized import VectorQuantizedAutoencoder
    from autoenc.exceptions import DivergenceError
    from autoenc.io import load, load_predictor, save

_HOME = {
    "Autoencoder": "autoenc._autoencoder",
    "AutoencoderClassifier": "autoenc._supervised",
    "AutoencoderImputer": "autoenc._imputer",
    "AutoencoderOutlierDetector": "autoenc._outlier_detector",
    "AutoencoderRegressor": "autoenc._supervised",
    "ContractiveAutoencoder": "autoenc._contractive",
    "DenoisingAutoencoder": "autoenc._denoising",
    "DivergenceError": "autoenc.exceptions",
    "HashingAutoencoder": "autoenc._hashing",
    "MarginalizedDenoisingAutoencoder": "autoenc._marginalized",
    "Predictor": "autoenc._predictor",
    "SparseAutoencoder": "autoenc._sparse",
    "VariationalAutoencoder": "autoenc._variational",
    "VectorQuantizedAutoencoder": "autoenc._vector_quantized",
    "load": "autoenc.io",
    "load_predictor": "autoenc.io",
    "save": "autoenc.io",
}


# Public modules, there without an import of their own.
_MODULES = frozenset(
    {
        "callbacks",
        "contraction",
        "corruption",
        "exceptions",
        "inspection",
        "io",
        "layers",
        "losses",
        "onnx",
        "penalties",
        "plotting",
        "sparsity",
    }
)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name == "_core":  # asked for before its import
        try:
            return import_module("autoenc._core")
        except ModuleNotFoundError as error:
            if error.name != "autoenc._core":  # it is there, and something that it needs is not
                raise
            raise ImportError(
                f"the compiled core of autoenc is not in {__path__[0]}, from where Python takes the package. In a "
                'clone it is only after "python -m pip install -e ."; what "pip install ." installs works elsewhere'
            ) from None
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__) | _MODULES)
