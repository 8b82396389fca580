"""Turns a colored terminal screen, as tmux captures it, into SVG; for scripts/picture.

The SVG is self-contained: it loads no font, and each run of letters has a fixed width, so any monospaced font works.
"""

import io
import re
import sys

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

COLUMNS = 104


def main() -> None:
    # As a whole, since colors continue from one line to the next.
    screen = Text.from_ansi(sys.stdin.read().rstrip("\n"))
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(screen, no_wrap=True, overflow="crop")
    frame = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    frame = frame.replace("Fira Code, monospace", "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace")
    frame = frame.replace("font-family: arial", "font-family: sans-serif")
    svg = console.export_svg(title=sys.argv[1], code_format=frame, unique_id="viridian")
    sys.stdout.write("\n".join(line.rstrip() for line in svg.split("\n")) + "\n")


main()
