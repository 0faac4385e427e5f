"""Drawings of the rooms: each box a package, each arrow an import, computed from the code."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 168, 36, 40, 40

Rooms = dict[str, set[str]]


def daemon() -> str:
    return _drawing(_ROOT / "inspectd", "part, errors, files ...")


def tools() -> str:
    return _drawing(_ROOT / "tools" / "inspectd_tools", "cli, settings ...")


def _drawing(package: Path, words: str) -> str:
    """SVG. `words`: what the box of modules is called that use none of the rooms. Arrows point from the room that imports to the one that is imported; those that follow from others are left out."""
    rooms = _rooms(package, words)
    arrows = _reduced(rooms)
    rows = _rows(arrows, _levels(rooms))
    width = max(map(len, rows)) * (_WIDTH + _GAP_X) + _GAP_X
    at = {}
    for number, row in enumerate(rows):
        left = (width - len(row) * (_WIDTH + _GAP_X) + _GAP_X) / 2
        for place, room in enumerate(row):
            at[room] = (left + place * (_WIDTH + _GAP_X), number * (_HEIGHT + _GAP_Y) + _GAP_X)
    height = len(rows) * (_HEIGHT + _GAP_Y) + _GAP_X
    lines = [_arrow(at[room], at[other]) for room in sorted(arrows) for other in sorted(arrows[room])]
    boxes = [_box(room, *at[room]) for room in sorted(rooms)]
    return "\n".join([_SVG.format(width=width, height=height), *lines, *boxes, "</svg>\n"])


def _rows(arrows: Rooms, levels: dict[str, int]) -> list[list[str]]:
    """From top to bottom; in a row a room is below those that import it, so that few arrows cross."""
    place = dict.fromkeys(arrows, 0.0)
    rows = []
    for level in range(max(levels.values()), -1, -1):
        row = [room for room in sorted(levels) if levels[room] == level]
        for room in row:
            above = [place[other] for other in arrows if room in arrows[other]]
            place[room] = sum(above) / len(above) if above else 0.0
        row.sort(key=lambda room: place[room])
        place |= {room: number - (len(row) - 1) / 2 for number, room in enumerate(row)}
        rows.append(row)
    return rows


_SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">
<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0 0 L8 4 L0 8 z" fill="#607d8b"/></marker></defs>
<rect width="100%" height="100%" fill="#ffffff"/>"""


def _box(room: str, x: float, y: float) -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="#e8eaf6" stroke="#3f51b5"/>'
        f'<text x="{x + _WIDTH / 2:g}" y="{y + _HEIGHT / 2 + 5:g}" text-anchor="middle" fill="#1a237e">{room}</text>'
    )


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1, x2, y2 = start[0] + _WIDTH / 2, start[1] + _HEIGHT, end[0] + _WIDTH / 2, end[1]
    bend = (y2 - y1) / 2
    return (
        f'<path d="M{x1:g} {y1:g} C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2 - 1:g}" fill="none" '
        'stroke="#90a4ae" marker-end="url(#head)"/>'
    )


def _rooms(package: Path, words: str) -> Rooms:
    """Packages, and modules beside them, with what they import."""
    rooms: Rooms = defaultdict(set)
    for path in sorted(package.rglob("*.py")):
        room = _room(path.relative_to(package.parent).with_suffix("").parts)
        if room:
            imported = {_room(tuple(name.split("."))) for name in _imports(path, package.name)}
            rooms[room] |= imported - {"", room}
    lowest = {room for room in rooms if not (package / room).is_dir()} | ({"files"} & rooms.keys())
    while more := {room for room in lowest if not rooms[room] <= lowest}:
        lowest -= more
    others: Rooms = {words: set()}
    for room in rooms.keys() - lowest:
        others[room] = {words if other in lowest else other for other in rooms[room]}
    return others


def _room(parts: tuple[str, ...]) -> str:
    return "" if len(parts) < 2 or parts[1].startswith("__") else parts[1]


def _imports(path: Path, package: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == package:
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith(f"{package}."))


def _levels(rooms: Rooms) -> dict[str, int]:
    """How many arrows are below a room, on the longest way down. A circle is an error."""
    levels: dict[str, int] = {}

    def level(room: str, above: tuple[str, ...] = ()) -> int:
        if room in above:
            raise ValueError(f"rooms import each other: {' -> '.join((*above, room))}")
        if room not in levels:
            levels[room] = 1 + max((level(other, (*above, room)) for other in rooms[room]), default=-1)
        return levels[room]

    for room in list(rooms):
        level(room)
    return levels


def _reduced(rooms: Rooms) -> Rooms:
    """Without the arrows that another way through the rooms already shows."""

    def below(room: str) -> set[str]:
        return {each for other in rooms[room] for each in (other, *below(other))}

    return {
        room: {other for other in others if not any(other in below(between) for between in others if between != other)}
        for room, others in rooms.items()
    }
