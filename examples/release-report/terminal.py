"""What the demo says, and how it asks: a person where there is a terminal, and itself where there is none."""

import asyncio
import os
import sys
import textwrap
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

YES = ("1", "true", "yes")
WIDTH = 100
"""Signs of the longest line; a narrower terminal gets narrower ones."""

INDENT = "   "
_INDENTED: Any = {"initial_indent": INDENT, "subsequent_indent": INDENT, "break_long_words": False}


class Terminal:
    """The demo's mouth and ears."""

    def __init__(self) -> None:
        in_ci = os.environ.get("CI", "").lower() in YES
        self.asks = sys.stdin.isatty() and sys.stdout.isatty() and not in_ci
        self._console = Console(highlight=False, markup=False, emoji=False)
        if not self._console.is_terminal:
            self._console.width = WIDTH
        self._parts = 0

    def part(self, title: str) -> None:
        """Begins the next part of the story."""
        self._parts += 1
        self._print(f"\n{self._parts}. {title}", "bold")

    def say(self, text: str, style: str = "") -> None:
        """Says something, in whole sentences, broken into lines that are read well."""
        self._print(textwrap.fill(text, min(self._console.width, WIDTH), **_INDENTED), style)

    def loud(self, text: str) -> None:
        """Says what nobody should miss."""
        self.say(text, "bold red")

    def stopped(self, text: str) -> None:
        """Says that it is over, on a line of its own: the cursor may stand behind a question, or behind `^C`."""
        self._print("")
        self.say(text)

    def command(self, line: str, output: str = "") -> None:
        """Shows a command as it was given, on one line, and what it has printed."""
        self._print(f"{INDENT}$ {line}", "cyan")
        if output:
            self.quote(output)

    def quote(self, text: str) -> None:
        """Shows a text that is not the demo's own."""
        for line in text.rstrip("\n").split("\n"):
            printable = "".join(sign if sign.isprintable() else " " for sign in line)
            self._print(f"{INDENT}│ {printable}".rstrip(), "dim")

    def show(self, thing: RenderableType) -> None:
        """Shows a table, or a tree."""
        with self._console.capture() as captured:
            self._console.print(thing, width=min(self._console.width, WIDTH) - len(INDENT))
        for line in captured.get().rstrip("\n").split("\n"):
            self._print(f"{INDENT}{line.rstrip()}")

    def _print(self, line: str, style: str = "") -> None:
        self._console.print(Text(line, style), soft_wrap=True)

    async def choose(self, question: str, answers: tuple[str, ...], by_itself: str, because: str) -> str:
        """One of the answers: a person's, or `by_itself` where nobody can be asked, which it says."""
        if not self.asks:
            self.say(f"{question} Nobody can be asked here, so the demo decides by itself: {by_itself}. {because}")
            return by_itself
        while True:
            self._console.print(Text(f"{INDENT}{question} [{'/'.join(answers)}] ", style="bold yellow"), end="")
            given = (await _line()).strip().lower()
            meant = [answer for answer in answers if given and answer.startswith(given)]
            if len(meant) == 1:
                return meant[0]
            self.say(f"Please answer with one of these words, or its beginning: {', '.join(answers)}.")


async def _line() -> str:
    """A line from the terminal. Reading it when it is there, and not before, lets Ctrl-C come through."""
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(sys.stdin, came.set)
    try:
        await came.wait()
    finally:
        loop.remove_reader(sys.stdin)
    line = sys.stdin.readline()
    if not line:
        raise asyncio.CancelledError  # the terminal is gone: as good as Ctrl-C
    return line
