"""Keep the secrets of camera URLs out of messages: every text that may quote a URL goes through `redacted`."""

import re

_HIDDEN = "***"
_MAY_BE_A_URL = re.compile(r"[/\\]{2}|:[/\\]|:\S*@|\?\S*=")
"""Also mistyped URLs: http:/camera, rtsp//camera, or camera alone."""
_LOGIN = re.compile(r"(://|[/\\]{2}|:[/\\])[^\n]*@")
"""Up to the last @ of the line, because a password that is not escaped may contain any character."""
_AT_IN_PARAMETER = re.compile(r"(://|[/\\]{2}|:[/\\])[^\n]*[?&;][^=&;#\s]*=[^&;#\s'\"]*@[^&;#\s'\"]*")
"""The last @ of the line is in the value of a parameter, and what follows it is part of that value."""
_BARE_LOGIN = re.compile(r"[^\s/\\'\"@:]+:(?![/\\])[^\s'\"]*@")
_PARAMETER = re.compile(r"([?&;][^=&;#\s]*=)[^&;#\s'\"]*")
_IN_PATH = re.compile(r"((?:user|login|pass|pwd|token|key|auth|secret)[a-z]*=)[^&/?\s'\"]*", re.IGNORECASE)
"""Some cameras have user and password in the path: rtsp://camera/user=admin_password=..."""


def redacted(text: str) -> str:
    """`text` without user, password and the values of parameters, if it contains a URL or something like one.

    Only the maker of the camera knows which parameter is a password (token, sig, ...), so all values are removed.
    """
    if not _MAY_BE_A_URL.search(text):
        return text
    text = _AT_IN_PARAMETER.sub(rf"\1{_HIDDEN}", text)
    text = _LOGIN.sub(rf"\1{_HIDDEN}@", text)
    text = _BARE_LOGIN.sub(f"{_HIDDEN}@", text)
    text = _PARAMETER.sub(rf"\1{_HIDDEN}", text)
    return _IN_PATH.sub(rf"\1{_HIDDEN}", text)
