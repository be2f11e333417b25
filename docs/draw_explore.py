"""Draws the picture of `explore` in pictures.md: `python docs/draw_explore.py` writes docs/images/explore.png.

Needs the package playwright and a Chromium.
"""

import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from sklearn.datasets import load_digits

from autoenc import Autoencoder

CHROMIUM = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)


def main() -> None:
    digits = load_digits()
    model = Autoencoder(2, loss="log_loss", max_iter=60, random_state=0).fit(digits.data / 16)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = model.explore(Path(folder) / "digits.html", digits.data / 16, labels=digits.target, image_shape=(8, 8))
        page = playwright.chromium.launch(executable_path=CHROMIUM).new_page(viewport={"width": 1100, "height": 690})
        page.goto(path.as_uri())
        # Row 0, a zero, is dragged halfway to the middle of the map.
        page.evaluate("show(0)")
        x, y = page.evaluate("(b => [toX(AT[0]) + b.left, toY(AT[1]) + b.top])(map.getBoundingClientRect())")
        middle = page.evaluate("(b => [b.left + b.width / 2, b.top + b.height / 2])(map.getBoundingClientRect())")
        page.evaluate("dragged = true")  # whichever point is nearest to the mouse: row 0 it shall be
        page.mouse.move(x, y)
        page.mouse.move((x + middle[0]) / 2, (y + middle[1]) / 2, steps=4)
        page.evaluate("dragged = false")
        page.screenshot(path=Path(folder) / "page.png")
        # A third of the bytes, with the colours of the classes as they are but for two levels of 255.
        image = Image.open(Path(folder) / "page.png").convert("RGB")
        image = image.quantize(128, kmeans=128, dither=Image.Dither.NONE)
        image.save(Path(__file__).resolve().parent / "images" / "explore.png", optimize=True)


if __name__ == "__main__":
    main()
