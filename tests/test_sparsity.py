"""Parameter objects of sparse codes: scikit-learn's protocol, checks of parameters, and what they promise the graph."""

import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone

from autoenc import _core, sparsity
from autoenc.sparsity import KL, L1, BatchTopK, Gated, JumpReLU, Matryoshka, TopK

KINDS = (L1, KL, TopK, BatchTopK, JumpReLU, Gated, Matryoshka)


def test_all_of_them_are_public():
    assert {kind.__name__ for kind in KINDS} == set(sparsity.__all__)


@pytest.mark.parametrize("kind", KINDS)
def test_scikit_learns_protocol(kind):
    one = kind()
    assert isinstance(one, BaseEstimator)
    assert one.validate() is one
    assert clone(one).get_params() == one.get_params()
    assert pickle.loads(pickle.dumps(one)).get_params() == one.get_params()
    assert set(one._parameter_constraints) == set(one.get_params(deep=False))
    assert vars(one).keys() == one.get_params(deep=False).keys()


@pytest.mark.parametrize("kind", KINDS)
def test_docstrings_name_each_parameter(kind):
    for name in kind().get_params(deep=False):
        assert f"\n    {name} : " in kind.__doc__
    assert "References" in kind.__doc__


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (L1(weight=-1), "weight"),
        (L1(weight="much"), "weight"),
        (KL(target=0), "target"),
        (KL(target=1.0), "target"),
        (KL(running="yes"), "running"),
        (KL(momentum=0), "momentum"),
        (TopK(k=0), "k"),
        (TopK(k=2.5), "k"),
        (TopK(aux_k=0), "aux_k"),
        (TopK(aux_weight=-0.1), "aux_weight"),
        (TopK(dead_after=2**24 + 1), "dead_after"),
        (TopK(relu=3), "relu"),
        (BatchTopK(k=None), "k"),
        (BatchTopK(momentum=1.5), "momentum"),
        (BatchTopK(dead_after=0), "dead_after"),
        (JumpReLU(bandwidth=0), "bandwidth"),
        (JumpReLU(threshold=-1), "threshold"),
        (JumpReLU(weight=-1), "weight"),
        (Gated(weight=-1), "weight"),
        (Gated(aux_weight=-1), "aux_weight"),
        (Matryoshka(prefixes=3), "prefixes"),
        (Matryoshka(sparsity="top"), "sparsity"),
        (Matryoshka(sparsity=TopK(k=0)), "k"),
    ],
)
def test_wrong_values_are_named(wrong, name):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of "):
        wrong.validate()


@pytest.mark.parametrize("prefixes", [[], [0, 2], [3, 3], [5, 2], [1.5], [True, 2], range(1, 9), [-1]])
def test_wrong_prefixes(prefixes):
    with pytest.raises(ValueError, match=r"prefixes=.* must be 1 to 7 increasing integers"):
        Matryoshka(prefixes=prefixes).validate()


def test_a_matryoshka_holds_no_matryoshka():
    with pytest.raises(ValueError, match="another Matryoshka"):
        Matryoshka(sparsity=Matryoshka()).validate()


def test_parameters_inside_a_matryoshka_can_be_searched():
    outer = Matryoshka(prefixes=(4, 8), sparsity=TopK(k=3))
    outer.set_params(sparsity__k=5)
    assert outer.sparsity.k == 5
    assert clone(outer).sparsity.k == 5


@pytest.mark.parametrize(
    ("prefixes", "width", "expected"),
    [((4, 8), 16, (4, 8, 16)), ((4, 16), 16, (4, 16)), ((32,), 16, (16,)), (np.array([2, 3]), 5, (2, 3, 5))],
)
def test_lengths_end_with_the_whole_code(prefixes, width, expected):
    assert Matryoshka(prefixes=prefixes).validate().lengths(width) == expected


def test_the_core_has_the_layers():
    assert {"top_k", "batch_top_k", "jump_relu", "gated", "kl_sparsity", "prefixes"} <= set(_core.LAYERS)
