"""How a rotation is shown as it goes: a spinner on a terminal, plain lines elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from rich.status import Status

_WIDTH = 9


class Progress:
    """Says what was done, and while something is waited for, what."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spinner: Status | None = None
        self._waited_for = ""

    def done(self, word: str, sentence: str) -> None:
        """Say what was done."""
        self.quiet()
        mark = "[green]✓[/] " if self._console.is_terminal else ""
        self._say(f"{mark}[bold]{word:<{_WIDTH}}[/] ", sentence)

    def waiting(self, word: str, sentence: str) -> None:
        """Say what is waited for, once for each change."""
        if sentence == self._waited_for:
            return
        self._waited_for = sentence
        if not self._console.is_terminal:
            self._say(f"{word:<{_WIDTH}} ", sentence)
        elif self._spinner is None:
            self._spinner = self._console.status("")
            self._spinner.start()
        if self._spinner is not None:
            self._spinner.update(escape(f"{word:<{_WIDTH}} {sentence}"))

    def quiet(self) -> None:
        """Stop the spinner."""
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None
        self._waited_for = ""

    @contextmanager
    def shown(self) -> Iterator["Progress"]:
        """Leave the terminal as it was, however this ends."""
        try:
            yield self
        finally:
            self.quiet()

    def _say(self, head: str, sentence: str) -> None:
        self._console.print(head, end="", highlight=False)
        self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)
