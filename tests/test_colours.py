"""The colours of classes are told apart with every common colour vision.

Colours as seen without one kind of cones: the matrices for linear RGB, severity 1.0, of Machado, Oliveira and Fernandes
2009, "A physiologically-based model for simulation of color vision deficiency". Distances: CIEDE2000, as Sharma, Wu and
Dalal 2005 write it.
"""

from itertools import combinations

import numpy as np
import pytest

from autoenc.plotting._common import COLOURS, LIGHT

VISIONS = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def linear(colour):
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    share = XYZ @ rgb / XYZ.sum(axis=1)
    x, y, z = np.where(share > (6 / 29) ** 3, np.cbrt(share), share * (29 / 6) ** 2 / 3 + 4 / 29)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def distance(one, other):
    """CIEDE2000 of two colours in Lab."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    grey = 1.5 - 0.5 * chroma_share((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2)
    c1, c2 = np.hypot(grey * a1, b1), np.hypot(grey * a2, b2)
    h1, h2 = np.arctan2(b1, grey * a1), np.arctan2(b2, grey * a2)
    turn = (h2 - h1 + np.pi) % (2 * np.pi) - np.pi
    light, chroma, hue = (l1 + l2) / 2 - 50, (c1 + c2) / 2, h1 + turn / 2
    waves = ((0.17, 1, 30), (-0.24, 2, 0), (-0.32, 3, -6), (0.2, 4, 63))
    t = 1 - sum(share * np.cos(n * hue - np.radians(at)) for share, n, at in waves)
    d_light = (l2 - l1) / (1 + 0.015 * light**2 / np.sqrt(20 + light**2))
    d_chroma = (c2 - c1) / (1 + 0.045 * chroma)
    d_hue = 2 * np.sqrt(c1 * c2) * np.sin(turn / 2) / (1 + 0.015 * chroma * t)
    blue = np.radians(60) * np.exp(-(((np.degrees(hue) % 360 - 275) / 25) ** 2))
    rotation = -2 * chroma_share(chroma) * np.sin(blue)
    return np.sqrt(d_light**2 + d_chroma**2 + d_hue**2 + rotation * d_chroma * d_hue)


def chroma_share(chroma):
    return np.sqrt(chroma**7 / (chroma**7 + 25.0**7))


def nearest(colours, matrix):
    seen = [lab(np.clip(matrix @ linear(colour), 0, 1)) for colour in colours]
    return min(distance(one, other) for one, other in combinations(seen, 2))


def test_the_distance():
    # From the table of Sharma, Wu and Dalal.
    for one, other, expected in (
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0011), 7.2195),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((50.0, 2.5, 0.0), (58.0, 24.0, 15.0), 19.4535),
    ):
        assert distance(one, other) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("vision", VISIONS)
def test_classes_are_told_apart(vision):
    matrix = np.asarray(VISIONS[vision])
    assert len(COLOURS) == 10
    assert nearest(COLOURS, matrix) > 15
    assert nearest(COLOURS[:6], matrix) > 16
    assert nearest([*COLOURS, LIGHT], matrix) > 10  # rows without a label


def test_they_are_seen_on_white():
    assert min(1.05 / (XYZ[1] @ linear(colour) + 0.05) for colour in COLOURS) > 2.3


@pytest.mark.parametrize("vision", VISIONS)
def test_lines_bars_and_dots_are_told_apart(vision):
    """Displays that have colours of their own before those of classes, with as many as they usually draw."""
    figure = pytest.importorskip("matplotlib.figure").Figure
    from matplotlib.colors import to_hex

    from autoenc import plotting

    matrix, X = np.asarray(VISIONS[vision]), np.eye(4)
    ax = figure().subplots()
    for name in ("one", "other"):
        plotting.LossCurveDisplay.from_predictions([2.0, 1.0], [3.0, 2.0], name=name, ax=ax)
    curves = {line.get_color() for line in ax.lines}
    some = dict.fromkeys("abcd", X)
    rows = plotting.ReconstructionDisplay.from_predictions(X, some, X_corrupted=X, ax=figure().subplots())
    dots = {points.get_color() for points in rows.points_}
    assert (len(curves), len(dots)) == (4, 6)
    assert nearest(curves, matrix) > 15
    assert nearest(dots, matrix) > 15
    for groups in ("ab", [None, *"abcdef"]):
        labels = np.resize(np.array([*groups], dtype=object), 70)
        bars = plotting.ErrorDistributionDisplay.from_predictions(np.arange(70.0), labels, ax=figure().subplots())
        patches = bars.ax_.patches[::2]  # each group has its outline behind it
        assert len({patch.get_hatch() for patch in patches}) == len(groups)
        assert nearest([to_hex(patch.get_facecolor()) for patch in patches], matrix) > 15
