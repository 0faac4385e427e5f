"""Secrets of camera URLs stay in the config file: every text that may quote a URL goes through `redacted`."""

import re

_HIDDEN = "***"
_MAY_BE_A_URL = re.compile(r"[/\\]{2}|:[/\\]|:\S*@|\?\S*=")
"""People mistype URLs, too: http:/camera, rtsp//camera, camera without anything."""
_LOGIN = re.compile(r"(://|[/\\]{2}|:[/\\])[^\n]*@")
"""Up to the last @ of the line: a password may hold any character where nobody has escaped it."""
_BARE_LOGIN = re.compile(r"[^\s/\\'\"@:]+:(?![/\\])[^\s'\"]*@")
_PARAMETER = re.compile(r"([?&;][^=&;#\s]*=)[^&;#\s'\"]*")
_IN_PATH = re.compile(r"((?:user|login|pass|pwd|token|key|auth|secret)[a-z]*=)[^&/?\s'\"]*", re.IGNORECASE)
"""Some cameras take both in the path: rtsp://camera/user=admin_password=..."""


def redacted(text: str) -> str:
    """`text` without user, password and the values of parameters, if there is a URL in it, or what may be meant as one.

    Which parameter is a password (token, sig, ...) is known only to the camera's maker: all values are taken out.
    """
    if not _MAY_BE_A_URL.search(text):
        return text
    text = _LOGIN.sub(rf"\1{_HIDDEN}@", text)
    text = _BARE_LOGIN.sub(f"{_HIDDEN}@", text)
    text = _PARAMETER.sub(rf"\1{_HIDDEN}", text)
    return _IN_PATH.sub(rf"\1{_HIDDEN}", text)
