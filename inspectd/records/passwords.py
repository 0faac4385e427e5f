"""Passwords are kept as Argon2id hashes, with the parameters that OWASP's Password Storage Cheat Sheet recommends first."""

import secrets
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from inspectd.errors import AccountError

SHORTEST, LONGEST = 12, 200
_FEWEST_CHARACTERS = 5
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
"""One hash takes 19 MiB and about 30 ms: the page makes one at a time, so that it stays below its memory limit."""


def hash_password(name: str, password: str) -> str:
    """What may be kept of a new password of the user `name`. Raises AccountError if the password is too easy to guess."""
    password = _normal(password)
    if not SHORTEST <= len(password) <= LONGEST:
        raise AccountError(f"the password must have {SHORTEST} to {LONGEST} characters, not {len(password)}")
    if len(set(password)) < _FEWEST_CHARACTERS:
        raise AccountError(f"the password must have at least {_FEWEST_CHARACTERS} different characters")
    if name.casefold() in password.casefold() and len(password) - len(name) < SHORTEST:
        raise AccountError("the password must not be made of the user's name")
    return _HASHER.hash(password)


def is_password(password: str, kept: str | None) -> bool:
    """Whether the hash was made of this password. Without a hash (there is no such user) the answer takes as long."""
    try:
        return _HASHER.verify(kept or _NOBODY, _normal(password)[: LONGEST + 1]) and kept is not None
    except (Argon2Error, InvalidHashError):
        return False


def _normal(password: str) -> str:
    """The same characters from each keyboard and browser (NIST SP 800-63B)."""
    return unicodedata.normalize("NFKC", password)


_NOBODY = _HASHER.hash(secrets.token_urlsafe(32))
