"""Reading a report as a browser does, and its model card as a program that shows Markdown does."""

from html.parser import HTMLParser
from pathlib import Path

from markdown_it import MarkdownIt


class Page(HTMLParser):
    """The elements, attributes and text of a page; its tables as rows of cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self.in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.in_cell:
            self.tables[-1][-1][-1] += data

    def rows_below(self, first_head: str) -> list[list[str]]:
        """The rows of the first table whose first column has this head."""
        return next(table[1:] for table in self.tables if table[0][0] == first_head)


def read_markdown(text: str) -> Page:
    """As shown by a program that lets HTML through."""
    return Page(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))


def read_card(folder: Path) -> Page:
    """The model card of a report."""
    return read_markdown((folder / "model-card.md").read_text())


def read_page(folder: Path) -> Page:
    """The page of a report."""
    return Page((folder / "report.html").read_text())
