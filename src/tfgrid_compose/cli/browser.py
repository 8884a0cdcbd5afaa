"""The interactive browser of nodes: search, sort, details, favourites, deploy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Static

from tfgrid_compose.cli.nodeview import HEAD, details, row
from tfgrid_compose.grids.models import Node

# What can be sorted by, in the order in which `s` goes through it: (title, key).
_ORDERS: tuple[tuple[str, Callable[[Node], Any]], ...] = (
    ("free memory", lambda node: -node.free.mru),
    ("free disk", lambda node: -node.free.sru),
    ("cores", lambda node: -node.total.cru),
    ("uptime", lambda node: -node.uptime),
    ("country", lambda node: (node.country.lower(), node.city.lower())),
    ("farm", lambda node: node.farm.lower()),
    ("node", lambda node: node.id),
)
_PAGES = 5


class Details(ModalScreen[None]):
    """One node, over the table."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "dismiss", "Back")]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """A box with the facts."""
        with VerticalScroll(id="details"):
            yield Static(Text.from_ansi(self._text))
            yield Static(Text("\nEscape goes back; d deploys on the node that is marked.", style="dim"))


class Browser(App[int]):
    """A table of nodes; ends with the id of the node to deploy on, or None.

    `keep` is called when a node is marked as favourite, or no longer: `keep(id, on)` returns all favourites.
    """

    TITLE = "Nodes"
    CSS = """
    DataTable { height: 1fr; }
    #status { height: 1; color: $text-muted; }
    #search { display: none; }
    Details { align: center middle; }
    #details { width: 80%; max-width: 90; height: auto; max-height: 90%; border: round $accent; padding: 1 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search"),
        Binding("s", "sort", "Sort"),
        Binding("f", "favorite", "Favourite"),
        Binding("asterisk", "only_favorites", "Only favourites"),
        Binding("d", "deploy", "Deploy here"),
        Binding("right", "page(1)", "Page", show=False),
        Binding("left", "page(-1)", "Page back", show=False),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, nodes: Iterable[Node], stars: set[int], keep: Callable[[int, bool], set[int]], note: str = "") -> None:
        super().__init__()
        self._known, self._stars, self._keep, self._note = list(nodes), set(stars), keep, note
        self._order, self._wanted, self._only_stars = 0, "", False
        self._shown: list[Node] = []

    def compose(self) -> ComposeResult:
        """Table, search line, status line, keys."""
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Input(placeholder="farm, country, city or id; Enter keeps the search, Escape forgets it", id="search")
        yield Static(id="status")
        yield Footer()

    def on_mount(self) -> None:
        """Fill the table."""
        self._table.add_columns(*HEAD)
        self._fill()
        self._table.focus()

    @property
    def _table(self) -> DataTable[str]:
        return self.query_one(DataTable)

    def _fill(self) -> None:
        """Show the nodes that fit the search, in the order chosen; the marked one stays marked."""
        marked = self._marked()
        words = self._wanted.lower().split()
        title, key = _ORDERS[self._order]
        fitting = [node for node in self._known if self._fits(node, words)]
        self._shown = sorted(fitting, key=lambda node: (key(node), node.id))
        self._table.clear()
        for node in self._shown:
            self._table.add_row(*row(node, self._stars), key=str(node.id))
        if marked in self._shown:
            self._table.move_cursor(row=self._shown.index(marked))
        search = f", search `{self._wanted}`" if self._wanted else ""
        note = f"  {self._note}" if self._note else ""
        self.query_one("#status", Static).update(f"{len(self._shown)} of {len(self._known)} nodes, by {title}{search}.{note}")

    def _fits(self, node: Node, words: list[str]) -> bool:
        if self._only_stars and node.id not in self._stars:
            return False
        text = f"{node.id} {node.farm} {node.country} {node.city} {node.status}".lower()
        return all(word in text for word in words)

    def _marked(self) -> Node | None:
        place = self._table.cursor_row
        return self._shown[place] if 0 <= place < len(self._shown) else None

    # Keys

    def action_search(self) -> None:
        """Open the search line."""
        search = self.query_one("#search", Input)
        search.styles.display = "block"
        search.focus()

    @on(Input.Changed, "#search")
    def _typed(self, event: Input.Changed) -> None:
        self._wanted = event.value
        self._fill()

    @on(Input.Submitted, "#search")
    def _searched(self) -> None:
        self._close_search()

    def on_key(self, event: events.Key) -> None:
        """Escape leaves the search line and forgets the search."""
        search = self.query_one("#search", Input)
        if event.key == "escape" and search.has_focus:
            search.value = ""
            self._close_search()

    def _close_search(self) -> None:
        self.query_one("#search", Input).styles.display = "none"
        self._table.focus()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._order = (self._order + 1) % len(_ORDERS)
        self._fill()

    def action_favorite(self) -> None:
        """Mark the node as favourite, or no longer."""
        node = self._marked()
        if node:
            self._stars = self._keep(node.id, node.id not in self._stars)
            self._fill()

    def action_only_favorites(self) -> None:
        """Show favourites only, or all again."""
        self._only_stars = not self._only_stars
        self._fill()

    def action_page(self, direction: int) -> None:
        """Go a page on or back."""
        step = max(1, self._table.size.height - 1) * direction
        self._table.move_cursor(row=min(max(0, self._table.cursor_row + step), max(0, len(self._shown) - 1)))

    @on(DataTable.RowSelected)
    def _opened(self) -> None:
        node = self._marked()
        if node:
            self.push_screen(Details(details(node, self._stars)))

    def action_deploy(self) -> None:
        """End with the marked node."""
        node = self._marked()
        if node:
            self.exit(node.id)
