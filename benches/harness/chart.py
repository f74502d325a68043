"""All cells as one SVG: wall time left, CPU right, each on a log scale; readable on light and dark pages."""

import math
from xml.sax.saxutils import escape

from . import report

ROW, HEADING, TOP, BOTTOM = 17, 26, 96, 40
LABELS, PANEL, GAP = 268, 296, 56
WIDTH = LABELS + PANEL + GAP + PANEL + GAP

STYLE = """
    text { font: 12px system-ui, sans-serif; fill: #57606a; paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
    .title { font-size: 16px; font-weight: 600; fill: #1f2328; }
    .work { font-weight: 600; fill: #1f2328; }
    .ours { fill: #1f2328; font-weight: 600; }
    .grid { stroke: #d0d7de; stroke-width: 1; }
    .stem { stroke: #afb8c1; stroke-width: 2; }
    .peer { fill: #6e7781; }
    .stem.us { stroke: #0969da; stroke-width: 3; }
    .us { fill: #0969da; }
    .failed { fill: #cf222e; }
    .page { fill: #ffffff; }
    @media (prefers-color-scheme: dark) {
      text { fill: #9198a1; stroke: #0d1117; }
      .title, .work, .ours { fill: #f0f6fc; }
      .grid { stroke: #30363d; }
      .stem { stroke: #484f58; }
      .peer { fill: #9198a1; }
      .stem.us { stroke: #4493f8; }
      .us { fill: #4493f8; }
      .failed { fill: #ff7b72; }
      .page { fill: #0d1117; }
    }
"""


class Scale:
    """Seconds to a place on a log axis whose ends are round numbers."""

    def __init__(self, values, left):
        values = [value for value in values if value > 0] or [1.0]
        self.low = math.floor(math.log10(min(values)))
        self.high = max(math.ceil(math.log10(max(values))), self.low + 1)
        self.left = left

    def place(self, value):
        """The x of `value`."""
        power = math.log10(max(value, 10.0**self.low))
        return self.left + PANEL * (power - self.low) / (self.high - self.low)

    def has_room(self):
        """Whether more than each power of ten can be named."""
        return PANEL / (self.high - self.low) > 80

    def ticks(self):
        """The values that get a line."""
        for power in range(self.low, self.high + 1):
            for step in (1, 2, 5):
                if power < self.high or step == 1:
                    yield step * 10.0**power


def seconds(value):
    """A value as its label says it."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def text(x, y, words, kind="", anchor="start"):
    """One piece of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1, y1, x2, y2, kind):
    """One line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def mark(scale, y, value, kind):
    """A stem, a dot and the value in figures."""
    x = scale.place(value)
    return [
        line(scale.left, y, x, y, f"stem {kind}"),
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" class="{kind}"/>',
        text(x + 9, y + 4, seconds(value), "ours" if kind == "us" else ""),
    ]


def axis(scale, name, foot):
    """The grid of one panel and its words."""
    parts = [text(scale.left, TOP - 24, name, "work")]
    for value in scale.ticks():
        x = scale.place(value)
        parts.append(line(x, TOP - 6, x, foot, "grid"))
        mantissa = f"{value:g}".strip("0.")
        if mantissa == "1" or (mantissa == "5" and scale.has_room()):
            parts.append(text(x, foot + 16, f"{value:g}", anchor="middle"))
    return parts


def rows_of(cell, figures, y, scales):
    """One cell: its heading and a row for each contender; where the next one starts."""
    parts = [text(12, y + 4, cell.work, "work")]
    y += ROW
    for got in figures:
        ours = got.name == "diskpour"
        parts.append(text(LABELS - 14, y + 4, got.name, "ours" if ours else "", "end"))
        if got.failed:
            parts.append(text(scales[0].left + 4, y + 4, "failed", "failed"))
        else:
            kind = "us" if ours else "peer"
            parts += mark(scales[0], y, got.wall, kind) + mark(scales[1], y, got.cpu, kind)
        y += ROW
    return parts, y + HEADING - ROW


def write(path, table, subtitle):
    """Draws `table`, pairs of a cell and its rows."""
    cells = [(cell, [report.figures(rows, each.name) for each in cell.contenders()]) for cell, rows in table]
    walls = [got.wall for _, group in cells for got in group if not got.failed]
    costs = [got.cpu for _, group in cells for got in group if not got.failed]
    scales = Scale(walls, LABELS), Scale(costs, LABELS + PANEL + GAP)
    body, y = [], TOP + 10
    for cell, group in cells:
        parts, y = rows_of(cell, group, y, scales)
        body += parts
    foot = y - HEADING / 2
    height = foot + BOTTOM
    grid = axis(scales[0], "wall seconds", foot) + axis(scales[1], "CPU seconds, user + system", foot)
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}" role="img">',
        f"<title>diskpour beside its peers</title><style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height:.0f}"/>',
        text(12, 22, "diskpour beside its peers: shorter is better, log scale", "title"),
        text(12, 40, subtitle),
    ]
    path.write_text("\n".join([*head, *grid, *body, "</svg>", ""]))
