"""Pick a template in a photo: with the mouse, or by its coordinates."""

from pathlib import Path

from inspectd.errors import ConfigError
from inspectd_tools.synthetic.compose.config import Box
from inspectd_tools.synthetic.compose.photos import check_inside, read_grey


def pick(photo: Path, name: str, box: Box | None) -> str:
    """The line for `templates:` in the YAML. Without `box`, a window opens to draw it in. Raises ConfigError."""
    image = read_grey(photo)
    if box is None:
        box = _ask(photo)
    check_inside(box, image, "--box")
    return f"  {name}: {{photo: {photo}, box: {list(box)}}}"


def _ask(photo: Path) -> Box:
    import matplotlib.pyplot as plt  # chooses a window system, which only this verb needs
    from matplotlib.backends.registry import BackendFilter, backend_registry
    from matplotlib.widgets import RectangleSelector

    if plt.get_backend().lower() in backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE):
        raise ConfigError("no window can be opened to draw in; give --box LEFT,TOP,WIDTH,HEIGHT")
    figure, ax = plt.subplots(num=f"{photo.name}: draw the box, then close the window")
    ax.imshow(read_grey(photo), cmap="gray", vmin=0, vmax=255)
    selector = RectangleSelector(ax, lambda *_: None, useblit=True, interactive=True)
    plt.show()
    left, right, top, bottom = (round(value) for value in selector.extents)
    plt.close(figure)
    if right - left < 8 or bottom - top < 8:
        raise ConfigError(f"{photo}: no box of at least 8x8 px was drawn")
    return left, top, right - left, bottom - top
