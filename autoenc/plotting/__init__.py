"""Pictures of fitted autoencoders, in the manner of scikit-learn's display classes.

Each class has `from_estimator`, which computes what is shown, `from_predictions` (or another constructor from arrays),
and `plot`, which draws it again into any axes. Estimators may be pipelines and fitted searches: the autoencoder in them
is found, and the steps before it are applied. matplotlib is needed by `plot` alone (``pip install matplotlib``); with
`ax` given neither pyplot nor any setting of it is touched.

Examples
--------
>>> from matplotlib.figure import Figure
>>> from sklearn.datasets import load_digits
>>> from autoenc import Autoencoder
>>> from autoenc.plotting import LatentSpaceDisplay
>>> X, y = load_digits(return_X_y=True)
>>> model = Autoencoder(2, max_iter=5, random_state=0).fit(X / 16)
>>> display = LatentSpaceDisplay.from_estimator(model, X / 16, y, ax=Figure().subplots())
>>> display.ax_.get_xlabel()
'component 1 of the code'
"""

from autoenc.plotting._contributions import FeatureContributionDisplay
from autoenc.plotting._errors import ErrorDistributionDisplay
from autoenc.plotting._filters import FilterDisplay
from autoenc.plotting._latent import LatentSpaceDisplay
from autoenc.plotting._loss_curve import LossCurveDisplay
from autoenc.plotting._manifold import ManifoldDisplay
from autoenc.plotting._network import NetworkDisplay
from autoenc.plotting._reconstruction import ReconstructionDisplay

__all__ = [
    "ErrorDistributionDisplay",
    "FeatureContributionDisplay",
    "FilterDisplay",
    "LatentSpaceDisplay",
    "LossCurveDisplay",
    "ManifoldDisplay",
    "NetworkDisplay",
    "ReconstructionDisplay",
]
