"""Links from a page to what lies beside docs/ in the repository: the site, which has none of it, names the path."""

import re
from pathlib import Path

from sphinx.application import Sphinx

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\./[^)#\s]+)[^)]*\)")


def name(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the path in place of the link, as Sphinx' `source-read` asks; what is not there stays, and is an error."""
    pages = Path(app.srcdir).resolve()

    def named(link: re.Match[str]) -> str:
        target = (pages / page).parent.joinpath(link[2]).resolve()
        if pages in target.parents or not target.exists():
            return link[0]
        path = str(target.relative_to(pages.parent))
        return link[1] if link[1].strip("`") == path else f"{link[1]} (`{path}`)"

    source[0] = _LINK.sub(named, source[0])
