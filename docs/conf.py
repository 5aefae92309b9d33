"""How Sphinx makes the site from these pages (`make docs`). The pages are plain Markdown and readable as they are."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent / "_site"))

import commands
import navigation
import outside

project = "affect-streamer"
project_copyright = "The affect-streamer authors, Apache-2.0"
language = "en"

extensions = ["myst_parser"]
root_doc = "index"
exclude_patterns = ["_build"]
nitpicky = True
# Headings can be linked to as in the repository; where a link leads must be there.
myst_heading_anchors = 4
# Code is shown as it is typed: nothing is guessed, no quote is bent.
highlight_language = "text"
smartquotes = False

html_theme = "furo"
html_title = "affect-streamer"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False


def setup(app: Sphinx) -> None:
    """While a page is read it gets its menu, or the help of every command, and loses links out of docs/."""
    app.connect("source-read", outside.name)
    app.connect("source-read", navigation.add)
    app.connect("source-read", commands.add)
