"""What is shipped: metadata, the wheel's size, and what a source distribution must hold to build from itself."""

import contextlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

import autoenc

MEGABYTE = 1_000_000


def test_version_is_the_same_everywhere(checkout):
    text = (checkout / "autoenc" / "__init__.py").read_text(encoding="utf-8")
    assert re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)[1] == autoenc.__version__
    newest = re.search(r"^## (\S+)", (checkout / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert newest == autoenc.__version__


def test_installed_metadata_agrees():
    try:
        installed = importlib.metadata.version("autoenc")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is imported from the tree, not installed")
    assert installed == autoenc.__version__
    requirements = importlib.metadata.requires("autoenc") or []
    at_run_time = {re.match(r"[\w-]+", r)[0] for r in requirements if "extra ==" not in r}
    assert at_run_time == {"numpy", "scipy", "scikit-learn"}


def test_project_table(checkout):
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11"
    assert set(project["optional-dependencies"]) == {"io", "plot", "onnx", "test", "bench", "docs"}
    assert (checkout / "LICENSE").read_text(encoding="utf-8").startswith("BSD 3-Clause License")


def test_type_information_is_installed():
    folder = Path(autoenc.__file__).parent
    assert (folder / "py.typed").is_file()
    assert (folder / "_core.pyi").is_file()


def test_import_loads_neither_sklearn_nor_scipy(run_python):
    heavy = ("sklearn", "scipy", "numpy")
    code = f"import sys, autoenc; autoenc.__version__; print([m for m in {heavy} if m in sys.modules])"
    done = run_python("-c", code)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")


def test_first_screen_commands_are_one_line_each(checkout):
    commands = readme_commands(checkout)
    assert len(commands) == 2
    assert "-m autoenc demo" in commands[0]
    assert "-m pytest" in commands[1]
    for command in commands:
        assert "\n" not in command.strip()
        assert "-m venv" in command


def readme_commands(checkout: Path) -> list[str]:
    """The first two shell blocks of the README, which .ci/run executes as they stand."""
    text = (checkout / "README.md").read_text(encoding="utf-8")
    return [block.strip() for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[:2]]


def figures(results: str, section: str) -> dict[str, str]:
    """Medians by the first column of the table of a section of RESULTS.md."""
    body = results.split(f"# {section}", 1)[1]
    return dict(re.findall(r"^\| (.+?) +\| ([\d.]+) \(", body[: body.find("\n#")], re.MULTILINE))


def states(written: str, measured: str) -> bool:
    """Whether one number is the other, rounded."""
    return abs(float(written) - float(measured)) <= 0.5000001 * 10.0 ** -len(written.partition(".")[2])


def test_the_readme_states_the_figures_of_the_results(checkout):
    """So that neither is measured again without the other."""
    results = (checkout / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    readme = (checkout / "README.md").read_text(encoding="utf-8")
    stated = []
    table = re.search(r"^\| network, batch \|.*\n\|[-|]+\n((?:\|.*\n)+)", readme, re.MULTILINE)[1]
    networks = ("small-32", "small-256", "shallow", "vae", "deep", "deep-1024", "topk", "multvae")
    theirs = ("jax", "torch", "torch-compile", "torch-bf16", "torch-bf16-compile", "sklearn")
    peers = ("ours", "ours-high", "ours-bf16", *theirs)
    for row, network in zip(table.splitlines(), networks, strict=True):
        measured = figures(results, network + ": ")
        written = [cell.strip() for cell in row.strip("|").split("|")[1:]]
        there = {peer: value for peer, value in zip(peers, written, strict=True) if value}
        assert set(there) == measured.keys() & set(peers)
        stated += [(f"{network} {peer}", value, measured[peer]) for peer, value in there.items()]
    page = (checkout / "docs" / "how_it_is_made.md").read_text(encoding="utf-8")
    labels = [row.strip("|").split("|")[0].strip() for row in table.splitlines()]
    rows = re.findall(r"^\| ([^|]*, \d+) \| (.*) \|$", page, re.MULTILINE)
    assert len(rows) == 4
    for label, row in rows:
        measured = figures(results, networks[labels.index(label)] + ": ")
        peers = ("ours", "ours-bf16", "jax", "torch", "torch-bf16")
        stated += [(f"{label} {p}", v, measured[p]) for p, v in zip(peers, row.split(" | "), strict=True)]
    number = r"(\d+(?:\.\d+)?)"
    sentence = rf"one row takes {number} microseconds \(`PCA.transform` {number}\), a call of `predictor\(\)` {number}"
    sentence += rf", of the C that `to_c` writes {number}"
    measured = figures(results, "transform-one-row")
    calls = ("ours transform", "PCA.transform", "ours predictor", "ours to_c, from C")
    written = re.search(sentence, readme).groups()
    stated += [(call, value, measured[call]) for call, value in zip(calls, written, strict=True)]
    page = (checkout / "docs" / "deployment.md").read_text(encoding="utf-8")
    sentence = rf"One row .* {number} microseconds .*, a call of\s+`predictor\(\)` from Python {number} \("
    written = re.search(sentence, page).groups()
    stated += [(call, value, measured[call]) for call, value in zip(reversed(calls[2:]), written, strict=True)]
    assert [entry for entry in stated if not states(*entry[1:])] == []
    assert not states("64", "135") and not states("1.31", "1.32") and states("0.343", "0.3432")


def test_recipe_for_conda_asks_for_what_the_package_declares(checkout):
    recipe = (checkout / "packaging" / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))

    def asked(section: str) -> set[str]:
        text = re.search(rf"^  {section}:\n((?:    .*\n)+)", recipe, re.MULTILINE)[1]
        return {line.replace(" ", "") for line in re.findall(r"^    - (.*)$", text, re.MULTILINE)}

    declared = project["project"]
    assert asked("run") == {*declared["dependencies"], f"python{declared['requires-python']}"}
    assert asked("host") == {*project["build-system"]["requires"], "python", "pip"}
    assert f'version: "{autoenc.__version__}"' in recipe
    assert f"summary: {declared['description']}\n" in recipe
    assert f"license: {declared['license']}\n" in recipe


@pytest.mark.parametrize("platform", ["linux-64", "linux-aarch64", "osx-arm64"])
def test_recipe_for_conda_is_rendered(platform, checkout):
    rattler_build = pytest.importorskip("rattler_build")
    recipe = rattler_build.Stage0Recipe.from_file(checkout / "packaging" / "conda" / "recipe.yaml")
    variants = rattler_build.VariantConfig({"python": ["3.11.*"], "c_compiler": ["cc"], "c_stdlib": ["libc"]})
    config = rattler_build.RenderConfig(rattler_build.PlatformConfig(target_platform=platform, host_platform=platform))
    (rendered,) = recipe.render(variants, config)
    found = rendered.recipe.to_dict()
    assert found["package"] == {"name": "autoenc", "version": autoenc.__version__}
    assert found["requirements"]["build"] == [f"cc_{platform}", f"libc_{platform}"]


def test_wheels_are_those_of_the_versions_that_are_declared(checkout):
    """What cibuildwheel makes of its configuration."""
    pytest.importorskip("cibuildwheel")
    declared = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = re.findall(r"Python :: 3\.(\d+)$", "\n".join(declared["classifiers"]), re.MULTILINE)
    options = ["--platform", "linux", "--archs", "x86_64", "--print-build-identifiers", str(checkout)]
    done = subprocess.run([sys.executable, "-m", "cibuildwheel", *options], capture_output=True, text=True)
    assert done.stdout.split() == [f"cp3{minor}-manylinux_x86_64" for minor in versions], done.stderr


def test_citation_is_that_of_the_readme(checkout):
    """CITATION.cff (version 1.2.0 of the format) is flat enough to be read line by line."""
    text = (checkout / "CITATION.cff").read_text(encoding="utf-8")
    declared = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    values = dict(re.findall(r'^([a-z-]+): "?(.*?)"?$', text, re.MULTILINE))
    assert set(values) == {"cff-version", "message", "type", "title", "version", "license"}
    assert (values["cff-version"], values["type"]) == ("1.2.0", "software")
    assert (values["version"], values["license"]) == (autoenc.__version__, declared["license"])
    assert re.findall(r"^  - name: (.*)$", text, re.MULTILINE) == [one["name"] for one in declared["authors"]]
    assert re.findall(r"^  - (?!name: )(.*)$", text, re.MULTILINE) == declared["keywords"]
    (author,) = declared["authors"]
    readme = (checkout / "README.md").read_text(encoding="utf-8")
    cited = re.search(r"^To cite it: (.*?) \(\d{4}\)\. (.*), version (\d+\.\d+\.\d+)\.", readme, re.MULTILINE)
    assert cited.groups() == (author["name"], values["title"], values["version"])


def run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@contextlib.contextmanager
def alone(folder):
    """One of the processes of a test run at a time: setuptools lays out an sdist in the checkout, under one name."""
    lock = folder / f"checkout-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
    while True:
        try:
            lock.mkdir()
            break
        except FileExistsError:
            time.sleep(0.1)
    try:
        yield
    finally:
        lock.rmdir()


@pytest.fixture(scope="module")
def distributions(checkout, tmp_path_factory):
    """(sdist, wheel); the wheel is built from the unpacked sdist."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("distributions")
    with alone(tmp_path_factory.getbasetemp().parent):
        run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "-o", str(folder), str(checkout), cwd=folder)
    (sdist,) = folder.glob("autoenc-*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "clean", filter="data")
    (source,) = (folder / "clean").iterdir()
    # What the checkout has compiled of the same sources is not compiled again; .ci/run does that, in an empty folder.
    (source / "build").mkdir()
    for objects in (checkout / "build").glob("c-*"):
        (source / "build" / objects.name).symlink_to(objects)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder), str(source), cwd=folder)
    (wheel,) = folder.glob("autoenc-*.whl")
    return sdist, wheel


@pytest.mark.slow
def test_sdist_holds_all_sources_and_no_product(checkout, distributions):
    sdist, _ = distributions
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"setup.py", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "csrc/build.py"}
    suffixes = {".c", ".h", ".py", ".pyi", ".html", ".js"}
    for folder in ("csrc", "autoenc", "tests"):
        files = [p for p in (checkout / folder).rglob("*") if p.suffix in suffixes]
        assert files
        wanted |= {p.relative_to(checkout).as_posix() for p in files}
    assert wanted - names == set()
    assert [name for name in names if name.endswith((".so", ".o", ".pyc")) or name.startswith("build/")] == []


@pytest.mark.slow
def test_wheel_is_small_and_holds_the_package_only(distributions):
    _, wheel = distributions
    assert wheel.stat().st_size < MEGABYTE
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (license_name,) = [name for name in names if name.endswith("LICENSE")]
        assert b"BSD 3-Clause" in archive.read(license_name)
    tops = {name.split("/")[0] for name in names}
    assert tops == {"autoenc", f"autoenc-{autoenc.__version__}.dist-info"}
    assert len([name for name in names if name.startswith("autoenc/_core.") and name.endswith(".so")]) == 1
    assert {"autoenc/__init__.py", "autoenc/__main__.py", "autoenc/py.typed", "autoenc/_core.pyi"} <= set(names)
    own = Path(autoenc.__file__).parent
    beside = [p for p in own.rglob("*") if p.suffix in (".py", ".html", ".js")]
    assert {f"autoenc/{p.relative_to(own).as_posix()}" for p in beside} <= set(names)


@pytest.mark.slow
def test_wheel_works_away_from_the_tree(distributions, tmp_path):
    _, wheel = distributions
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "import numpy as np, autoenc\n"
        "X = np.random.default_rng(0).random((64, 5))\n"
        "codes = autoenc.Autoencoder(2, max_iter=2, random_state=0).fit_transform(X)\n"
        "print(autoenc.__file__, codes.shape)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True,
                          env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"})  # fmt: skip
    assert done.stdout.strip() == f"{tmp_path / 'autoenc' / '__init__.py'} (64, 2)", done.stderr
