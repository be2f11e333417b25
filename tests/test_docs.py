"""The README and the pages in docs/: their Python runs as it stands, and the files that pages link to exist."""

import importlib
import re
import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest

import autoenc
from autoenc.__main__ import main

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="tested away from the tree: there are no pages here")

# test_deployment.py runs the C and the shell between the blocks of Python, test_plotting.py looks at what is written.
ELSEWHERE = {"deployment.md", "pictures.md"}

MODULES = ("callbacks", "contraction", "corruption", "inspection", "io", "layers", "losses", "onnx", "penalties")
MODULES += ("plotting", "sparsity")
COMMANDS = {"train", "encode", "reconstruct", "score", "predict", "info", "export"}
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(((?!https?:|mailto:)[^)#\s]*)(#[^)\s]+)?\)")
OURS = "https://github.com/autoenc/autoenc/blob/main/"  # files of the tree, on pages that are read elsewhere


def blocks(page: Path) -> list[tuple[int, str]]:
    """The Python of a page, each block with the line that it begins on."""
    text = page.read_text(encoding="utf-8")
    return [(text.count("\n", 0, match.start()) + 2, match.group(1)) for match in BLOCK.finditer(text)]


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page",
    [page for page in [ROOT / "README.md", *PAGES] if blocks(page) and page.name not in ELSEWHERE],
    ids=lambda page: page.name,
)
def test_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for line, source in blocks(page):
            exec(compile("\n" * (line - 1) + source, str(page), "exec"), names)


def test_commands_of_the_page_on_files_run(tmp_path, monkeypatch):
    """One after the other, as they stand, on a table with the columns that they name."""
    pytest.importorskip("pyarrow")
    pytest.importorskip("onnx")
    text = (DOCS / "files.md").read_text(encoding="utf-8")
    commands = [line for block in re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S) for line in block.splitlines()]
    assert {shlex.split(command)[3] for command in commands} == COMMANDS
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).normal(size=(40, 9))
    np.save("new.npy", X)
    for name in ("data.csv", "new.csv"):
        rows = [",".join(map(str, [i, *row])) for i, row in enumerate(X)]
        Path(name).write_text("\n".join([",".join(["id", *"abcdefghi"]), *rows]) + "\n")
    for command in commands:
        words = shlex.split(command)
        assert words[:3] == ["python", "-m", "autoenc"]
        assert main([*words[3:], *(["--param", "max_iter=2"] if "64" in command else [])]) == 0, command
        if "-o" in words:
            assert Path(words[words.index("-o") + 1]).stat().st_size > 0


@pytest.mark.parametrize(
    "page",
    [*PAGES, *sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("[cb]*/*.md")), *sorted(ROOT.glob("packaging/**/*.md"))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_links_of_a_page_lead_somewhere(page):
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8").replace(OURS, f"{ROOT}/")):
        if target == "quickstart.ipynb":  # copied there by conf.py
            assert (ROOT / "notebooks" / target).is_file()
            continue
        file = page.parent / target if target else page
        assert file.exists(), f"{page.name} links to {target}, which does not exist"
        if anchor and file.suffix == ".md":
            assert anchor[1:] in anchors(file), f"{page.name} links to {target}{anchor}, which has no such heading"


def test_every_page_is_in_the_index():
    """Sphinx warns of pages that are not, and readers do not find them."""
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = set(re.search(r"```{toctree}\n(.*?)```", text, re.DOTALL)[1].split())
    assert listed >= {page.stem for page in PAGES} - {"index"}


def public() -> dict[str, object]:
    """Public names of the package and of its modules."""
    modules = [importlib.import_module(f"autoenc.{name}") for name in MODULES]
    return {name: getattr(module, name) for module in (autoenc, *modules) for name in module.__all__}


def test_every_public_name_is_in_the_reference():
    text = (DOCS / "api.rst").read_text(encoding="utf-8")
    named = {name.rpartition(".")[2] for name in text.split()}
    assert named >= {name for name, thing in public().items() if callable(thing)}


def test_every_feature_is_on_a_page():
    """Names, parameters of constructors, methods and what a fit leaves: beside the reference too."""
    text = " ".join(page.read_text(encoding="utf-8") for page in PAGES if page.name != "changelog.md")
    words = set(re.findall(r"\w+", text))
    wanted = set()
    for name, thing in public().items():
        wanted.add(name.strip("_"))
        if not hasattr(thing, "fit"):  # parts stand there with the parameters that matter
            continue
        wanted |= set(thing().get_params())
        for listed in re.findall(r"^    (\w+_(?:, \w+_)*) : ", thing.__doc__, re.MULTILINE):
            wanted |= set(listed.split(", "))
        members = {key: getattr(thing, key) for key in dir(thing) if not key.startswith("_")}
        wanted |= {key for key, member in members.items() if getattr(member, "__module__", "").startswith("autoenc.")}
    assert sorted(wanted - words) == []


def test_there_are_pages_with_python():
    assert sum(len(blocks(page)) for page in PAGES) > 30
