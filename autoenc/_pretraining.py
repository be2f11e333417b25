"""Greedy layer-wise pretraining: each hidden layer is first the code of an autoencoder of the layer before it."""

from typing import Any

from numpy.typing import NDArray

from autoenc import layers as _layers
from autoenc._fitting import FitData
from autoenc.corruption import Bernoulli
from autoenc.losses import of_ranges


def _widths(name: str, hidden: list[_layers.Layer]) -> list[_layers.Dense]:
    dense = [layer for layer in hidden if not isinstance(layer, _layers.Dropout)]
    for layer in dense:
        if not isinstance(layer, _layers.Dense):
            raise ValueError(
                f"pretrain='layerwise' needs dense layers; {name} has {layer!r}; allowed: Dense and Dropout"
            )
    return [layer for layer in dense if isinstance(layer, _layers.Dense)]


def layerwise(kind: Any, model: Any, data: FitData, seed: int) -> dict[str, NDArray[Any]]:
    """Weights of all layers to start from, by name (Bengio et al. 2007; with corruption, Vincent et al. 2010).

    `kind` is the class of the shallow ones. Layer i is the code of an autoencoder without hidden layers whose rows are
    the outputs of layer i - 1, with the model's own corruption and optimiser; its decoder becomes the mirrored layer of
    the model's decoder.
    """
    encoder, decoder = (
        _widths(name, side) for name, side in zip(("encoder", "decoder"), model._hidden_layers(), strict=True)
    )
    if [layer.units for layer in decoder] != [layer.units for layer in reversed(encoder)]:
        raise ValueError("pretrain='layerwise' needs a decoder that mirrors the encoder; its widths are different")
    if data.rows.target is not None or data.rows.condition is not None:
        raise ValueError(
            "pretrain='layerwise' does not go with X_clean or condition, which shallow layers have no place for"
        )
    names = [f"encoder_{i}" for i in range(len(encoder))] + [model._dense_of_code]
    mirrored = ["reconstruction", *(f"decoder_{i}" for i in reversed(range(len(decoder))))]
    activations = [layer.activation or model.activation for layer in encoder] + [model.latent_activation]
    widths = [layer.units for layer in encoder] + [model._code_width()]
    rows, corruption = data.rows.X, model._corruption()
    start: dict[str, NDArray[Any]] = {}
    for i, (name, other) in enumerate(zip(names, mirrored, strict=True)):
        shallow = kind(**{name: getattr(model, name, None) for name in kind._get_param_names()}).set_params(
            n_components=widths[i],
            hidden_layer_sizes=(),
            decoder_hidden_layer_sizes=None,
            encoder=None,
            decoder=None,
            latent_activation=activations[i],
            max_iter=model.pretrain_max_iter,
            pretrain=None,
            sparsity=None,
            penalties=None,
            unit_norm_decoder=False,
            # Binarising is of the data's own values, which outputs of layers need not share.
            corruption=None if i > 0 and isinstance(corruption, Bernoulli) else corruption,
            contraction=model._contraction(),
            warm_start=False,
            random_state=(seed + i) % 2**31,
            callbacks=None,
        )
        if data.rows.ranges is not None:
            shallow.set_params(loss=of_ranges(data.rows.ranges))  # the rows are an array, without names of columns
        if i > 0:
            shallow.set_params(
                loss="squared_error",
                missing="error",
                output_activation="auto" if activations[i - 1] == "softmax" else activations[i - 1],
            )
        shallow._is_start = True
        shallow.fit(rows, sample_weight=data.weights)
        start[f"{name}.weight"], start[f"{name}.bias"] = shallow.coefs_[0], shallow.intercepts_[0]
        start[f"{other}.bias"] = shallow.intercepts_[1]
        if not model.tied_weights:
            start[f"{other}.weight"] = shallow.coefs_[1]
        if i + 1 < len(names):
            rows = shallow.transform(rows)
    return start
