"""Autoencoders as scikit-learn estimators, on a C core.

Names load on first use, so that ``import autoenc`` costs next to nothing and a service that only scores needs neither
scikit-learn nor SciPy.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["Autoencoder", "AutoencoderOutlierDetector", "DivergenceError", "Predictor", "__version__"]

if TYPE_CHECKING:
    from autoenc._autoencoder import Autoencoder
    from autoenc._outlier_detector import AutoencoderOutlierDetector
    from autoenc._predictor import Predictor
    from autoenc.exceptions import DivergenceError

_HOME = {
    "Autoencoder": "autoenc._autoencoder",
    "AutoencoderOutlierDetector": "autoenc._outlier_detector",
    "DivergenceError": "autoenc.exceptions",
    "Predictor": "autoenc._predictor",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
