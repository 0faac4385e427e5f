"""The results of a run as a page to read."""

from typing import Any


def as_markdown(found: dict[str, Any]) -> str:
    """`found`: as in results.json. Each table of figures becomes a table; the card's name is in the title."""
    by_name = {step["step"]: step for step in found["steps"]}
    machine = by_name.get("machine", {}).get("figures", {})
    card = machine.get("card") or f"{found['device']}, without a GPU"
    lines = [f"# {card}", ""]
    if found["quick"]:
        lines += ["A quick run, which only shows that the steps work: its figures mean nothing.", ""]
    lines += ["| step | outcome | s | |", "| --- | --- | ---: | --- |"]
    lines += [f"| {s['step']} | {s['outcome']} | {s['seconds']:.0f} | {_cell(s['says'])} |" for s in found["steps"]]
    for step in found["steps"]:
        if step["figures"]:
            lines += ["", f"## {step['step']}", "", *_figures(step["figures"])]
    return "\n".join(lines) + "\n"


def _figures(figures: dict[str, Any]) -> list[str]:
    plain = {key: value for key, value in figures.items() if not _is_table(value)}
    lines = [f"- {key}: {_cell(value)}" for key, value in plain.items()]
    for key, rows in figures.items():
        if _is_table(rows):
            columns = list(dict.fromkeys(column for row in rows for column in row))
            lines += ["", f"{key}:", "", f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
            lines += [f"| {' | '.join(_cell(row.get(column, '')) for column in columns)} |" for row in rows]
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _cell(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "/").replace("\n", " ")
