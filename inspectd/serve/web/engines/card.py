"""The card of an engine as HTML. A bundle may come from elsewhere, so its card is text: it can't bring links, scripts or styles."""

import re
from collections.abc import Sequence
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from inspectd.errors import ConfigError
from inspectd.files.text_file import read_bytes

PICTURE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}\.(png|jpg)")
"""The names of pictures that a card may show."""
_RENDERER = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "autolink", "reference"])


def card(folder: Path, pictures: str) -> Markup:
    """`card.md` of a bundle. Its pictures are looked for at the address `pictures`. Raises ConfigError if there is no card."""
    text = read_bytes(folder / "card.md").decode(errors="replace")
    tokens = _RENDERER.parse(text)
    _restrain(tokens, pictures)
    return Markup(_RENDERER.renderer.render(tokens, _RENDERER.options, {}))


def picture(folder: Path, name: str) -> Path:
    """A picture in the bundle's own folder. Raises ConfigError if there is none with this name."""
    path = folder / name
    if not PICTURE.fullmatch(name) or path.is_symlink() or not path.is_file():
        raise ConfigError(f"{folder.name}: has no picture of this name")
    return path


def _restrain(tokens: Sequence[Token], pictures: str) -> None:
    """Pictures come from the bundle, and headings are below those of the page."""
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
        if token.type == "image":
            name = str(token.attrs.get("src", ""))
            if PICTURE.fullmatch(name):
                token.attrs["src"] = f"{pictures}/{name}"
            else:
                token.type, token.tag = "text", ""
        if token.type.endswith("_open") or token.type == "inline":
            token.attrs.pop("style", None)
        _restrain(token.children or (), pictures)
