"""The site's menu. A page that is in none of the lists makes the build fail."""

from sphinx.application import Sphinx

MENU = {
    "index": {
        "Begin": ["quick-start"],
        "Guides": ["cameras", "consumers", "researchers", "training"],
        "Operating": [
            "installing", "operating", "fleet", "live", "sources", "control", "metrics", "logs", "dashboard", "purging",
            "planning", "cpu", "gpu",
        ],
        "Reference": ["configuration", "commands", "messages", "models", "heads", "benchmarks"],
        "Understanding": ["outputs", "privacy", "faq", "glossary", "decisions/README"],
    },
    "benchmarks": {"Results in full": ["benchmarks/paper-synthetic"]},
    "decisions/README": {
        "Decisions": [
            "processes", "fleet", "commit-order", "batching", "pictures", "live-sources", "refine", "gates", "sources",
            "media-time", "tracking", "models", "engines", "training", "temporal-head", "stat-exact", "va-derived",
            "snapshot-format", "buses", "command-line", "dependencies", "documentation", "*",
        ],
    },
}  # fmt: skip


def add(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the menu under the page that it hangs on, as Sphinx' `source-read` asks."""
    folder = page.rpartition("/")[0]
    pages = {name.removeprefix(f"{folder}/") for name in app.env.found_docs if name.rpartition("/")[0] == folder}
    for caption, names in MENU.get(page, {}).items():
        there = [name for name in names if name in app.env.found_docs | pages]
        if "*" in names:  # and all others of the folder
            there += sorted(pages - {*names, page.removeprefix(f"{folder}/")})
        source[0] += "\n".join(["", "", "```{toctree}", ":hidden:", f":caption: {caption}", "", *there, "```", ""])
