"""The table of a run as Markdown, and its place in bench/RESULTS.md."""

from __future__ import annotations

from measure import Line, Sample

HEAD = """\
# Measurements

The budgets of the project and how they stand, against other programs that do a part of the same work. Everything in
one table was measured in the same run, in turns (ours, theirs, ours, theirs ...). A cell is *median (least)*; the ratio
is that of the medians, ours to theirs. Times depend on the machine and on what else it does; ratios hardly do.

    ./script/bench                  all rows, a few minutes; replaces the section below for this kind of account
    ./script/bench --quick          few runs
    ./script/bench --only stop      one row: start, spawn, many, kill, stop, output, idle, inputs, builds or size
    ./script/bench --soak           a million random steps of the policy, with every promise checked after each

What is measured is a regular installation in a virtual environment of its own (`VAGGA_BENCH_VENV` names another place),
not the checkout. Peers that are not installed are left out and named. The reasons for budgets that are not met are in
`docs/decisions/`.
"""
COLUMNS = ("what", "ours", "peer", "theirs", "ratio", "bound", "met", "runs")


def render(lines: list[Line], notes: list[str], conditions: str) -> str:
    """Return one table with its conditions."""
    rows = [COLUMNS, *(_row(line) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    text = [_format(rows[0], widths), "| " + " | ".join("-" * width for width in widths) + " |"]
    text += [_format(row, widths) for row in rows[1:]]
    left_out = [f"\nNot measured: {'; '.join(notes)}."] if notes else []
    return "\n".join([conditions, "", *text, *left_out]) + "\n"


def _format(row: tuple[str, ...], widths: list[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"


def _row(line: Line) -> tuple[str, ...]:
    ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
    met = {None: "", True: "yes", False: "**no**"}[line.met]
    theirs = "" if line.theirs is None else _cell(line.theirs, line)
    return (
        line.what,
        _cell(line.ours, line),
        line.peer,
        theirs,
        ratio,
        _bound(line),
        met,
        str(len(line.ours.values)),
    )


def _cell(sample: Sample, line: Line) -> str:
    if len(sample.values) == 1:
        return f"{_number(sample.median)} {line.unit}".strip()
    extreme = max(sample.values) if line.limits == "rate" else sample.best
    return f"{_number(sample.median)} ({_number(extreme)}) {line.unit}".strip()


def _number(value: float) -> str:
    if value == int(value):
        return str(int(value))
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _bound(line: Line) -> str:
    if line.bound is None:
        return ""
    sign = "at least" if line.limits == "rate" else "at most"
    unit = "x" if line.limits == "ratio" else line.unit
    return f"{sign} {line.bound:g} {unit}".strip()


def replace_section(before: str, title: str, text: str) -> str:
    """Return the whole file with the section `title` replaced; other sections stay."""
    sections = {}
    for part in before.split("\n## ")[1:]:
        name, _, body = part.partition("\n")
        sections[name] = body.strip("\n")
    sections[title] = text.strip("\n")
    return HEAD + "".join(f"\n## {name}\n\n{sections[name]}\n" for name in sorted(sections, reverse=True))
