"""Everything scikit-learn asks of a transformer."""

import pytest
from sklearn.utils.estimator_checks import check_param_validation, parametrize_with_checks

import autoenc
from autoenc import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderRegressor,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    HashingAutoencoder,
    MarginalizedDenoisingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
    VectorQuantizedAutoencoder,
    _stored_estimators,
)
from autoenc.losses import ColumnLoss

REASON = "minibatches are drawn from the rows there are: repeated rows make other batches than weighted ones"
WEIGHTS = {
    "check_sample_weight_equivalence_on_dense_data": REASON,
    "check_sample_weight_equivalence_on_sparse_data": REASON,
}

MINIBATCH = [
    Autoencoder(),
    Autoencoder(solver="adam", precision="float64", early_stopping=True, loss="huber", max_iter=20),
    Autoencoder(solver="sgd", loss="poisson", dropout=0.1, learning_rate_init=1e-3, clip_norm=1.0, max_iter=20),
    Autoencoder(loss=ColumnLoss([("first", "huber", 0)], weights={"first": 2.0}), max_iter=20),
    VectorQuantizedAutoencoder(max_iter=20),
    VectorQuantizedAutoencoder(
        8, n_codes=16, n_codebooks=2, quantizer="residual", precision="float64", early_stopping=True, max_iter=20
    ),
    HashingAutoencoder(max_iter=20),
    HashingAutoencoder(7, method="straight_through", balance_weight=0.01, precision="float64", max_iter=20),
    HashingAutoencoder(9, method="bernoulli", loss="multinomial", max_iter=20),
    VariationalAutoencoder(max_iter=20),
    VariationalAutoencoder(
        precision="float64",
        objective="iwae",
        n_importance_samples=3,
        prior="mixture",
        n_prior_components=5,
        max_iter=20,
    ),
    VariationalAutoencoder(likelihood=ColumnLoss([("first", "poisson", slice(0, 2))]), max_iter=20),
    VariationalAutoencoder(precision="bfloat16", max_iter=20),
]
CURVED = [
    Autoencoder(solver="kfac", max_iter=20),
    Autoencoder(solver="kfac", precision="high", max_iter=20),
    DenoisingAutoencoder(solver="kfac", loss="poisson", precision="float64", max_iter=20),
]
# Equal rows are merged, so a weight is the same as a repetition.
FULL_BATCH = [
    Autoencoder(solver="lbfgs", precision="float64"),
    Autoencoder(solver="lbfgs", precision="float64", activation="relu"),
    Autoencoder(solver="lbfgs", precision="float64", early_stopping=True),
    Autoencoder(solver="lbfgs", precision="float64", hidden_layer_sizes=(), max_iter=30),
    Autoencoder(solver="lbfgs", precision="float64", loss=ColumnLoss([("first", "log_cosh", 0)]), max_iter=30),
]

CLOSED_FORM = [
    MarginalizedDenoisingAutoencoder(),
    MarginalizedDenoisingAutoencoder(n_layers=1, precision="float64", concatenate=False),
    MarginalizedDenoisingAutoencoder(n_pivots=2, precision="float64"),
]

NAMED = [
    SparseAutoencoder(max_iter=20),
    DenoisingAutoencoder(max_iter=20),
    ContractiveAutoencoder(max_iter=20),
    AutoencoderClassifier(max_iter=30, fine_tune_max_iter=60),
    AutoencoderRegressor(max_iter=50),
]
IMPUTERS = [
    AutoencoderImputer(max_iter=20),
    AutoencoderImputer(16, max_iter=20, precision="float64", missing_values=-1, add_indicator=True),
    AutoencoderImputer(16, max_iter=20, keep_empty_features=True, corruption_level=0.0, hidden_layer_sizes=()),
    AutoencoderImputer(4, max_iter=10, hidden_layer_sizes=(16,), sample_posterior=True),
]


def expected_failures(estimator):
    # Of an imputer the checks see what was observed only.
    failures = {} if getattr(estimator, "solver", "lbfgs") == "lbfgs" else dict(WEIGHTS)
    if isinstance(estimator, AutoencoderClassifier):
        failures["check_classifiers_classes"] = (
            "y = {-1, 1} means by unlabeled_label=-1 that half of the rows have none"
        )
    return failures


CHECKS = parametrize_with_checks(
    MINIBATCH + CURVED + FULL_BATCH + CLOSED_FORM + NAMED + IMPUTERS, expected_failed_checks=expected_failures
).mark
# scikit-learn 1.6 gives an iterator, of which pytest would warn.
CHECKS = (CHECKS.args[0], list(CHECKS.args[1]), CHECKS.kwargs)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(CHECKS[0], CHECKS[1], **CHECKS[2])
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", _stored_estimators.OUTER)
def test_parameters_are_validated_as_those_of_scikit_learn(name):
    """A check that it asks of its own estimators alone."""
    check_param_validation(name, getattr(autoenc, name)())
