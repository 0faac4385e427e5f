"""Files of every kind that cameras, phones and image programs write: photos, and what must not be taken for one."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow

from inspectd.part import Image


def scene(seed: int, width: int = 64, height: int = 48) -> Image:
    """(height, width, 3) BGR uint8, soft and strongly coloured: where ways to grey differ."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR))


def saved(image: Image, form: str, mode: str = "RGB", **options: Any) -> bytes:
    """By Pillow, converted to `mode`."""
    data = BytesIO()
    Pillow.fromarray(image[:, :, ::-1]).convert(mode).save(data, form, **options)
    return data.getvalue()


def encoded(image: Any, suffix: str) -> bytes:
    """By OpenCV."""
    return bytes(cv2.imencode(suffix, image)[1])


def turned(image: Image, form: str, orientation: int) -> bytes:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    return saved(image, form, exif=exif)


def with_chunks(png: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """More chunks behind the header, as cameras and programs write for the colour profile."""
    extra = b""
    for kind, data in chunks:
        extra += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return png[:33] + extra + png[33:]


def _opaque(image: Image) -> bytes:
    return encoded(np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]), ".png")


def _transparent(image: Image) -> Image:
    return np.dstack([image, np.arange(image.shape[0])[:, None] * np.ones((1, image.shape[1]))]).astype(np.uint8)


def _deep(image: Image) -> Any:
    return image.astype(np.uint16) << 4  # 12 bits in 16


def _cut(data: bytes) -> bytes:
    return data[: len(data) - 300]


def _without_a_block(data: bytes) -> bytes:
    """Zeros, as a failing disk or a broken transfer leaves them."""
    return data[:-400] + bytes(200) + data[-200:]


_GAMMA = (b"gAMA", struct.pack(">I", 100000))
_PRIMARIES = (b"cHRM", struct.pack(">8I", 31270, 32900, 70000, 30000, 17000, 79700, 13100, 4600))

PHOTOS: dict[str, tuple[str, Callable[[Image], bytes]]] = {
    "grey png": (".png", lambda image: saved(image, "PNG", "L")),
    "colour png": (".png", lambda image: saved(image, "PNG")),
    "png with a colour profile": (".png", lambda image: with_chunks(saved(image, "PNG"), _GAMMA, _PRIMARIES)),
    "palette png": (".png", lambda image: saved(image, "PNG", "P")),
    "1-bit png": (".png", lambda image: saved(image, "PNG", "1")),
    "opaque png": (".png", _opaque),
    "grey bmp": (".bmp", lambda image: saved(image, "BMP", "L")),
    "colour bmp": (".bmp", lambda image: saved(image, "BMP")),
    "grey jpg": (".jpg", lambda image: saved(image, "JPEG", "L")),
    "colour jpg": (".jpg", lambda image: saved(image, "JPEG")),
    "progressive jpg": (".jpeg", lambda image: saved(image, "JPEG", progressive=True)),
    "jpg with previews": (".jpg", lambda image: saved(image, "MPO", save_all=True, append_images=[Pillow.new("RGB", (8, 8))])),
    "colour tif": (".tif", lambda image: saved(image, "TIFF")),
    "lzw tif": (".tiff", lambda image: saved(image, "TIFF", compression="tiff_lzw")),
    "fax tif": (".tif", lambda image: saved(image, "TIFF", "1", compression="group4")),
    **{
        f"{form} turned {way}": (suffix, lambda image, form=form, way=way: turned(image, form, way))  # type: ignore[misc]
        for form, suffix in (("JPEG", ".jpg"), ("PNG", ".png"), ("TIFF", ".tif"))
        for way in (2, 6, 8)
    },
}  # fmt: skip
"""Kind -> suffix, and what makes the file from (h, w, 3) BGR."""

NO_PHOTOS: dict[str, tuple[str, Callable[[Image], bytes], str]] = {
    "12 bits in a png": (".png", lambda image: encoded(_deep(image[..., 0]), ".png"), "16 bits"),
    "12 bits in a colour png": (".png", lambda image: encoded(_deep(image), ".png"), "16 bits"),
    "12 bits in a tif": (".tif", lambda image: encoded(_deep(image[..., 0]), ".tif"), "16 bits"),
    "12 bits in a colour tif": (".tif", lambda image: encoded(_deep(image), ".tif"), "16 bits"),
    "full 16 bits": (".png", lambda image: encoded(image.astype(np.uint16) * 257, ".png"), "16 bits"),
    "float tif": (".tif", lambda image: encoded(image[..., 0].astype(np.float32) / 255, ".tif"), "32 bits"),
    "32-bit tif": (".tif", lambda image: saved(image, "TIFF", "I"), "32 bits"),
    "tif of two pages": (".tif", lambda image: saved(image, "TIFF", save_all=True, append_images=[Pillow.new("L", (9, 9))]), "2 pictures"),
    "animated png": (".png", lambda image: saved(image, "PNG", save_all=True, append_images=[Pillow.new("RGB", (64, 48))]), "2 pictures"),
    "cmyk jpg": (".jpg", lambda image: saved(image, "JPEG", "CMYK"), "CMYK"),
    "cmyk tif": (".tif", lambda image: saved(image, "TIFF", "CMYK"), "CMYK"),
    "lab tif": (".tif", lambda image: saved(image, "TIFF", "LAB"), "LAB"),
    "transparent png": (".png", lambda image: encoded(_transparent(image), ".png"), "transparent"),
    "transparent tif": (".tif", lambda image: encoded(_transparent(image), ".tif"), "transparent"),
    "transparent palette": (".png", lambda image: saved(image, "PNG", "P", transparency=bytes(256)), "transparent"),
    "webp called png": (".png", lambda image: saved(image, "WEBP"), "not an image that can be read"),
    "gif called jpg": (".jpg", lambda image: saved(image, "GIF"), "not an image that can be read"),
    "web page": (".jpg", lambda _: b"<html>404</html>", "not an image that can be read"),
    "empty file": (".png", lambda _: b"", "not an image that can be read"),
    "cut jpg with an end": (".jpg", lambda image: _cut(saved(image, "JPEG")) + b"\xff\xd9", "is damaged"),
    "cut progressive jpg with an end": (".jpg", lambda image: _cut(saved(image, "JPEG", progressive=True)) + b"\xff\xd9", "is damaged"),
    "jpg with a lost block": (".jpg", lambda image: _without_a_block(saved(image, "JPEG", quality=95)), "is damaged"),
}  # fmt: skip
"""Kind -> suffix, what makes the file, and a part of the sentence that refuses it."""

WHOLE = {
    name: PHOTOS[name]
    for name in ("colour png", "colour bmp", "colour jpg", "progressive jpg", "colour tif", "lzw tif", "JPEG turned 6")
}
"""Those that a cut makes a difference to."""
