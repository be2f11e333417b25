"""Sphinx configuration: `sphinx-build -W -n docs build/docs`."""

import shutil
from pathlib import Path

import autoenc

HERE = Path(__file__).resolve().parent
# Sphinx reads below docs/ only; the notebook stays where users look for it.
shutil.copyfile(HERE.parent / "notebooks" / "quickstart.ipynb", HERE / "quickstart.ipynb")

project = "autoenc"
author = "The autoenc developers"
copyright = "The autoenc developers"
version = release = autoenc.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_nb",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "force"  # what it prints and draws is of this build, not of the one it was saved by
nb_execution_timeout = 300
nb_execution_raise_on_error = True

autosummary_generate = True
autodoc_typehints = "none"  # types stand in the docstrings
numpydoc_show_class_members = False
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"sklearn\..*")]  # their pages are elsewhere, and the build needs no network
# Words of numpydoc's type descriptions that are no Python objects, and single backticks that name a parameter.
default_role = "code"
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_title = "autoenc"
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False, "secondary_sidebar_items": ["page-toc"]}
html_show_sourcelink = False


def skip_inherited(app, what, name, obj, skip, options):
    """Leaves out what scikit-learn's mixins bring: its own documentation has it."""
    module = getattr(obj, "__module__", None) or ""
    return True if module.startswith("sklearn") else skip


def setup(app):
    app.connect("autodoc-skip-member", skip_inherited)
