"""Many selections on one page, as many of them drawn as leave it a size that opens at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ec_agent.visual.page import PageRow, rendered, rows_of
from ec_agent.visual.views import View

MOST_BYTES = 7_500_000
"""Of pictures in one page; with what else is there it stays below 10 MB."""

COLUMNS = 180
_WORDS = 4000  # bytes of a rollout beside its strip and its tokens, about


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One selection among others.

    Attributes:
        name: its id on the page.
        view: what is shown.
        rows: its rollouts, drawn; empty where they would make the page too large.
    """

    name: str
    view: View
    rows: list[PageRow]


def pictures(views: Iterable[View], most_bytes: int | None = None) -> Iterator[Picture]:
    """The selections in order, those drawn that fit into so many bytes together with all before them."""
    left = MOST_BYTES if most_bytes is None else most_bytes
    for place, view in enumerate(views):
        rows = rows_of(view, f"task-{place}", columns=COLUMNS) if left > 0 else []
        left -= sum(len(row.svg or "") + len(row.data) + _WORDS for row in rows)
        yield Picture(f"task-{place}", view, rows if left > 0 else [])


def page_of_many(views: Sequence[View], title: str) -> str:
    """A page of many selections.

    Raises:
        ConfigError: jinja2 or matplotlib is not installed.
    """
    return rendered("selections.html.j2", pictures=list(pictures(views)), title=title)
