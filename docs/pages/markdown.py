"""What every page is written with."""

from collections.abc import Iterable, Sequence

__all__ = ["Row", "cell", "table"]

Row = Sequence[str]


def table(head: Row, rows: Iterable[Row]) -> list[str]:
    """Give a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def cell(text: str) -> str:
    """Write a cell of a table."""
    return text.replace("|", "\\|")
