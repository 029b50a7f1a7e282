"""How the documentation is built: `make docs`. Everything works without a network, mathematics included."""

import re
import shutil
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import figures  # the folder of this file is on the path
import mathml

project = "mnist-ddm"
author = "The mnist-ddm authors"
copyright = author
version = release = installed_version("mnist-ddm")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "static"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # the results begin where their file begins

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "code"
nitpicky = False

html_theme = "furo"
html_title = "mnist-ddm"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["mathematics.css"]
html_show_sphinx = False
html_copy_source = False
html_extra_path = ["results/reproduce-mnist/report.html", "figures/play.html", "figures/trainings.html"]

TRAININGS = (Path(__file__).parent / "results" / "trainings" / "report.html").resolve()
"""Another page of the name `report.html`, in the site under that of its copy."""
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#]+)\)")


def without_folder_links(app, docname: str, source: list[str]) -> None:
    """Links to folders lead somewhere in the repository, but not in a site: there they become their names.

    Pages that the site has as they stand lie at its top.
    """
    here = Path(app.srcdir) / Path(docname).parent
    pages = {(Path(app.srcdir) / path).resolve(): Path(path).name for path in html_extra_path}
    pages[TRAININGS] = "trainings.html"
    top = "../" * docname.count("/")

    def replaced(link: re.Match[str]) -> str:
        target = here / link[2]
        if target.resolve() in pages:
            return f'<a href="{top}{pages[target.resolve()]}">{link[1]}</a>'
        in_site = not target.exists() or target.suffix in (".md", ".png")
        return link[0] if in_site else link[1]

    source[0] = _LINK.sub(replaced, source[0])


def setup(app) -> None:
    """Add the mathematics and draw the figures."""
    mathml.setup(app)
    app.connect("source-read", without_folder_links)
    app.connect("builder-inited", lambda app: figures.draw_all(Path(app.srcdir) / "figures"))
    drawn = Path(app.srcdir) / "figures"
    figures.write_play(drawn)  # now, since the builder looks for it before anything is built
    shutil.copyfile(TRAININGS, drawn / "trainings.html")
