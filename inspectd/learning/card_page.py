"""The card as one file for a browser. It fetches nothing and runs no script."""

import html
from base64 import b64encode
from mimetypes import guess_type
from pathlib import Path

from markdown_it import MarkdownIt

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d0d5db; --band: #f4f6f8; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #dfe3e8; --paper: #15181c; --line: #3a4149; --band: #1e2328; }} }}
body {{ max-width: 70rem; margin: 0 auto; padding: 1rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }}
h2 {{ margin-top: 2.5rem; border-bottom: 1px solid var(--line); }}
p, ul {{ max-width: 48rem; }}
p:has(img) {{ max-width: none; }}
.scroll, p:has(img) {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 0.3rem 0.8rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; }}
tbody tr:nth-child(odd) {{ background: var(--band); }}
code {{ padding: 0 0.2em; background: var(--band); }}
img {{ min-width: 40rem; max-width: 100%; background: #fff; }}
</style>
</head>
<body>
{body}</body>
</html>
"""


def write_page(path: Path, card: str) -> None:
    """`card`: Markdown that begins with its title, and whose pictures are PNG or JPEG files beside `path`. Raises OSError."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(card)
    for token in (inner for block in tokens for inner in block.children or ()):
        if token.type == "image":
            token.attrs["src"] = _data_uri(path.parent / str(token.attrs["src"]))
    body = markdown.renderer.render(tokens, markdown.options, {})
    # text is escaped, so these tags can only come from the renderer
    body = body.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
    title = html.escape(card.partition("\n")[0].removeprefix("# "))
    path.write_text(_PAGE.format(title=title, body=body), encoding="utf-8")


def _data_uri(picture: Path) -> str:
    return f"data:{guess_type(picture.name)[0]};base64,{b64encode(picture.read_bytes()).decode()}"
