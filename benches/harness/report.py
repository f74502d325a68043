"""The run as CSV (a line a run) and as a summary in Markdown."""

import csv
import dataclasses
import os
import statistics

from . import cells, growth

COLUMNS = (
    "date", "cell", "contender", "run", "wall_s", "user_s", "system_s", "cpu_s", "server_cpu_s", "peak_rss_kib",
    "peak_dirty_kib", "written_bytes", "load", "exit", "right",
)


@dataclasses.dataclass
class Row:
    """One run of one contender; `right` is None where this run's output was not compared."""

    cell: str
    contender: str
    run: int
    sample: object
    server_cpu: float
    right: bool | None


@dataclasses.dataclass
class Results:
    """All that was measured: pairs of a cell and its rows, of an image and seconds, of a point and samples."""

    cells: list
    answers: list
    grown: list

    def rows(self):
        """A row for every run of a command."""
        for _, rows in self.cells:
            yield from rows
        for point, samples in self.grown:
            name = f"growth: {point.series}: {point.label}"
            yield from (Row(name, "diskpour", number, sample, 0, None) for number, sample in enumerate(samples, 1))


def write_csv(path, results, date):
    """Every run, for whoever wants to look again."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in results.rows():
            sample = row.sample
            right = "" if row.right is None else ("yes" if row.right else "NO")
            writer.writerow([
                date, row.cell, row.contender, row.run, f"{sample.wall:.3f}", f"{sample.user:.3f}",
                f"{sample.system:.3f}", f"{sample.cpu:.3f}", f"{row.server_cpu:.2f}", sample.peak_rss_kib,
                sample.dirty_kib, sample.written, f"{sample.load:.2f}", sample.exit_code, right,
            ])


@dataclasses.dataclass
class Figures:
    """The medians of one contender in one cell."""

    name: str
    wall: float
    cpu: float
    server_cpu: float
    peak_mib: float
    dirty_mib: float
    written_mib: float
    spread: str
    failed: bool


def figures(rows, name):
    """What the runs of the contender `name` come to; `rows` are those of one cell."""
    mine = [row for row in rows if row.contender == name]
    samples = [row.sample for row in mine]
    walls = [sample.wall for sample in samples]
    median = statistics.median
    return Figures(
        name=name,
        wall=median(walls),
        cpu=median(sample.cpu for sample in samples),
        server_cpu=median(row.server_cpu for row in mine),
        peak_mib=max(sample.peak_rss_kib for sample in samples) / 1024,
        dirty_mib=max(sample.dirty_kib for sample in samples) / 1024,
        written_mib=max(sample.written for sample in samples) / (1 << 20),
        spread=f"{min(walls):.2f}–{max(walls):.2f}",
        failed=any(row.sample.exit_code != 0 or row.right is False for row in mine),
    )


def paired_ratio(rows, peer, cost):
    """The median over all runs of diskpour's cost divided by that of `peer` in the same round."""
    ours = {row.run: cost(row.sample) for row in rows if row.contender == "diskpour"}
    theirs = {row.run: cost(row.sample) for row in rows if row.contender == peer}
    ratios = [ours[run] / theirs[run] for run in ours if theirs.get(run)]
    return statistics.median(ratios) if ratios else None


def judged(ratio, goal):
    """A ratio beside its goal, in words."""
    if ratio is None:
        return "–", "–"
    if goal is None:
        return f"{ratio:.2f}", "–"
    return f"{ratio:.2f}", f"≤ {goal} {'met' if ratio <= goal else '**not met**'}"


def goal_line(cell, rows):
    """The line of `cell` in the table of goals."""
    peer = cell.peers[0].name
    ours, theirs = figures(rows, "diskpour"), figures(rows, peer)
    if ours.failed or theirs.failed:
        verdicts = ("–", "**failed**", "–", "**failed**")
    else:
        wall = judged(paired_ratio(rows, peer, lambda sample: sample.wall), cell.wall_goal)
        cpu = judged(paired_ratio(rows, peer, lambda sample: sample.cpu), cell.cpu_goal)
        verdicts = (*wall, *cpu)
    rounds = max(row.run for row in rows)
    columns = [cell.work, peer, rounds, f"{ours.wall:.2f} / {theirs.wall:.2f}", *verdicts[:2],
               f"{ours.cpu:.2f} / {theirs.cpu:.2f}", *verdicts[2:]]
    return "| " + " | ".join(escaped(column) for column in columns) + " |"


def escaped(text):
    """Words for a cell of a Markdown table."""
    return str(text).replace("|", "\\|")


def detail_lines(cell, rows):
    """A line for each contender of `cell`."""
    for number, contender in enumerate(cell.contenders()):
        got = figures(rows, contender.name)
        columns = [
            cell.work if number == 0 else "", contender.name + (" **failed**" if got.failed else ""), f"{got.wall:.2f}",
            got.spread, f"{got.cpu:.2f}", f"{got.server_cpu:.2f}", f"{got.peak_mib:.0f}", f"{got.dirty_mib:.0f}",
            f"{got.written_mib:.0f}",
        ]
        yield "| " + " | ".join(escaped(column) for column in columns) + " |"


LIMIT_GOAL = 1.15


def limit_line(cell, rows):
    """How far `cell` is from what its parts allow."""
    by_run = {}
    for row in rows:
        by_run.setdefault(row.run, {})[row.contender] = row
    ratios, limits = [], []
    for run in by_run.values():
        ours = run["diskpour"]
        parts = [run[name].sample.wall for name in (cells.READ, cells.DECODE, cells.WRITE)]
        limits.append(max(*parts, (ours.sample.cpu + ours.server_cpu) / os.cpu_count()))
        ratios.append(ours.sample.wall / limits[-1])
    alone = [f"{figures(rows, name).wall:.2f}" for name in (cells.READ, cells.DECODE, cells.WRITE)]
    ours, ratio = figures(rows, "diskpour"), statistics.median(ratios)
    work = f"{(ours.cpu + ours.server_cpu) / os.cpu_count():.2f}"
    columns = [cell.work, f"{ours.wall:.2f}", *alone, work, *judged(ratio, LIMIT_GOAL)]
    return "| " + " | ".join(escaped(column) for column in columns) + " |"


def memory_lines(table):
    """The most memory of any route, beside the goals."""
    ours = [(cell.work, figures(rows, "diskpour")) for cell, rows in table]
    for what, goal, value in (
        ("resident", 128, lambda got: got.peak_mib), ("dirty pages", 64, lambda got: got.dirty_mib),
    ):
        work, worst = max(ours, key=lambda pair: value(pair[1]))
        ratio = value(worst)
        yield f"| {what} | {ratio:.0f} MiB ({work}) | ≤ {goal} MiB {'met' if ratio <= goal else '**not met**'} |"


def answer_line(name, took):
    """How long an upload's answer took; the goal is one for qcow2, whose last bytes are no gigabytes of zeros."""
    goal = f"≤ 1 {'met' if took <= 1 else '**not met**'}" if name.startswith("qcow2") else "–"
    return f"| {name} | {took:.2f} | {goal} |"


def growth_line(point, samples):
    """One image of a series."""
    median = statistics.median
    columns = [
        point.series, point.label, growth.words(point.virtual), growth.words(point.data),
        f"{median(sample.wall for sample in samples):.2f}", f"{median(sample.cpu for sample in samples):.2f}",
        f"{max(sample.peak_rss_kib for sample in samples) / 1024:.0f}",
    ]
    return "| " + " | ".join(columns) + " |"


def write_summary(path, results, facts):
    """The summary; `facts` is what `tools.describe` says and more."""
    table = results.cells
    lines = ["# diskpour beside its peers", ""]
    lines += [f"- {name}: {value}" for name, value in facts]
    lines += [
        "",
        "Contenders take turns on the same image (A B A B …); every run ends with its output durable. A ratio is the",
        "median over the rounds of diskpour's cost divided by the peer's; below 1 diskpour is cheaper. Seconds are medians.",
        "",
        "## Goals",
        "",
        "| work | peer | rounds | wall s, ours / theirs | ratio | goal | CPU s, ours / theirs | ratio | goal |",
        "|---|---|---|---|---|---|---|---|---|",
        *(goal_line(cell, rows) for cell, rows in table),
        "",
        "The worst memory of any run:",
        "",
        "| memory | worst | goal |",
        "|---|---|---|",
        *memory_lines(table),
        "",
        "Uploads, from the last byte that the client sent to the answer:",
        "",
        "| image | seconds | goal |",
        "|---|---|---|",
        *(answer_line(name, took) for name, took in results.answers),
        "",
        "## Against the limit",
        "",
        "Nothing can end before the slowest of its parts alone, nor before the cores there are have done all the work, the",
        "server's too. Read is the bytes to /dev/null, decode is diskpour from a local file to /dev/null, write is cp of the",
        "decoded disk, made durable.",
        "",
        f"| work | wall s | read | decode | write | CPU s / {os.cpu_count()} | ratio to the largest | goal |",
        "|---|---|---|---|---|---|---|---|",
        *(limit_line(cell, rows) for cell, rows in table),
        "",
        "## How cost grows",
        "",
        "Local qcow2 of noise in stretches of a MiB, spread evenly.",
        "",
        "| series | point | virtual | data | wall s | CPU s | peak MiB |",
        "|---|---|---|---|---|---|---|",
        *(growth_line(point, samples) for point, samples in results.grown),
        "",
        "## Every contender",
        "",
        "CPU is user + system of all processes but the HTTP server, whose own is in the next column. Peak memory is that of",
        "the largest process; dirty is the most unwritten page cache seen; both are the worst run's.",
        "",
        "| work | contender | wall s | min–max | CPU s | server CPU s | peak MiB | dirty MiB | written MiB |",
        "|---|---|---|---|---|---|---|---|---|",
        *(line for cell, rows in table for line in detail_lines(cell, rows)),
        "",
    ]
    path.write_text("\n".join(lines))
