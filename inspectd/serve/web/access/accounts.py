"""Log in and stay logged in: waits after failed attempts, and sessions.

Sessions are in memory, so a restart of the page ends them. Of a token only the SHA-256 is kept.
"""

import hashlib
import math
import secrets
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path

from inspectd.errors import AccountError
from inspectd.records.audit import AuditTrail
from inspectd.records.passwords import hash_password, is_password
from inspectd.records.users import LOCKED_AFTER, LOCKED_EVERYWHERE_AFTER, Account, Failures, Users
from inspectd.serve.web.access.roles import User

_USER_FREE, _ADDRESS_FREE = 3, 10
"""So many failed attempts cost no waiting. After them each further one doubles the wait, from 1 s."""
_LONGEST_WAIT_S = 900.0
_MOST_SESSIONS = 500


class LoginRefusedError(AccountError):
    """The message is for the person who tried. It does not tell whether there is such a user."""

    def __init__(self, message: str, *, may_try_now: bool) -> None:
        super().__init__(message)
        self.may_try_now = may_try_now


@dataclass(slots=True)
class _Session:
    account: Account
    begun_s: float
    used_s: float


class Accounts:
    """The users, and who of them is logged in. Times are seconds: `now_utc_s` of the wall clock, `now_s` of the monotonic clock."""

    def __init__(self, folder: Path, audit: AuditTrail, *, idle_s: float, longest_s: float) -> None:
        self.users = Users(folder)
        self._audit = audit
        self._idle_s = idle_s
        self._longest_s = longest_s
        self._sessions: dict[bytes, _Session] = {}

    def login(self, name: str, password: str, address: str, *, now_utc_s: float, now_s: float) -> str:
        """The token of a new session. Takes about 30 ms and 19 MiB, so call it in a thread, one at a time.

        Raises LoginRefusedError; AuditError and StoreError if the attempt can't be recorded.
        """
        account = self._proven(name, password, address, now_utc_s, "Name or password is wrong.")
        self._audit.append(account.name, "login", {}, address)
        return self._begin(account, now_s)

    def change_password(self, name: str, old: str, new: str, address: str, *, now_utc_s: float, now_s: float) -> str:
        """Ends all sessions of this user, and returns the token of a new one. A wrong old password counts as a failed login.

        Raises as `login`, and AccountError if the new password can't be used.
        """
        account = self._proven(name, old, address, now_utc_s, "The old password is wrong. Nothing was changed.")
        password_hash = hash_password(account.name, new)
        if is_password(new, account.password_hash):
            raise AccountError("the new password is the old one")
        self._audit.append(account.name, "user_changed", {"user": account.name, "password": "new"}, address)
        self.users.set_password(account.name, password_hash)
        return self._begin(Account(account.name, account.role, password_hash), now_s)

    def _proven(self, name: str, password: str, address: str, now_utc_s: float, refusal: str) -> Account:
        """The user whose password it is. Raises LoginRefusedError, with `refusal` if the password is wrong."""
        place = _place(address)
        self._refuse_if_too_many(name, place, now_utc_s)
        account = self.users.find(name)
        if not is_password(password, account.password_hash if account else None) or account is None:
            self._count_failure(name, place, address, now_utc_s, is_user=account is not None)
            raise LoginRefusedError(refusal, may_try_now=True)
        self.users.set_failures(Failures(), place, name)
        return account

    def _begin(self, account: Account, now_s: float) -> str:
        token = secrets.token_urlsafe(32)
        if len(self._sessions) >= _MOST_SESSIONS:
            del self._sessions[min(list(self._sessions), key=lambda key: self._sessions[key].used_s)]
        self._sessions[_key(token)] = _Session(account, now_s, now_s)
        return token

    def user(self, token: str, *, now_s: float, is_use: bool = True) -> User | None:
        """Whose session it is. It ends some time after its begin and after its last use, and when password or role change.

        Raises StoreError.
        """
        session = self._sessions.get(_key(token))
        if session is None:
            return None
        if (
            now_s - session.begun_s >= self._longest_s
            or now_s - session.used_s >= self._idle_s
            or self.users.find(session.account.name) != session.account
        ):
            self.logout(token)
            return None
        if is_use:
            session.used_s = now_s
        return User(session.account.name, session.account.role)

    def logout(self, token: str) -> None:
        self._sessions.pop(_key(token), None)

    def _refuse_if_too_many(self, name: str, place: str, now_utc_s: float) -> None:
        """A name is locked at one address only, so that a stranger who types it can't lock its user out everywhere."""
        here, by_place = self.users.failures(place, name), self.users.failures(place)
        is_locked_everywhere = self.users.failures_everywhere(name) >= LOCKED_EVERYWHERE_AFTER
        if here.count >= LOCKED_AFTER or (is_locked_everywhere and not _is_this_computer(place)):
            raise LoginRefusedError(
                "Too many failed attempts with this name. An admin can unlock it on the page Users, or with "
                "inspectd users unlock on the line's computer.",
                may_try_now=False,
            )
        left_s = max(_wait_left_s(here, _USER_FREE, now_utc_s), _wait_left_s(by_place, _ADDRESS_FREE, now_utc_s))
        if left_s > 0:
            raise LoginRefusedError(f"Too many failed attempts. Try again in {math.ceil(left_s)} s.", may_try_now=False)

    def _count_failure(self, name: str, place: str, address: str, now_utc_s: float, *, is_user: bool) -> None:
        here, by_place = self.users.failures(place, name), self.users.failures(place)
        before = by_place.count if 0 <= now_utc_s - by_place.last_utc_s < _LONGEST_WAIT_S else 0
        self.users.set_failures(Failures(before + 1, now_utc_s), place)
        self.users.set_failures(Failures(here.count + 1, now_utc_s), place, name)
        # what is not the name of a user may be a password
        said = name if is_user else "(unknown)"
        self._audit.append(said, "login_failed", {"attempt": here.count + 1}, address)
        if here.count + 1 == LOCKED_AFTER or self.users.failures_everywhere(name) == LOCKED_EVERYWHERE_AFTER:
            self._audit.append(said, "locked_out", {}, address)


def _place(address: str) -> str:
    """Failures are counted per IPv4 address and per IPv6 network of 64 bits: one computer has as many IPv6 addresses as it wants."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        if not found.is_loopback:
            return str(ip_network((found.packed[:8] + bytes(8), 64)))
    return str(found)


def _is_this_computer(place: str) -> bool:
    try:
        return ip_address(place).is_loopback
    except ValueError:
        return False


def _wait_left_s(failures: Failures, free: int, now_utc_s: float) -> float:
    """How long the next attempt must still wait. A clock that was set back ends the wait."""
    if failures.count < free:
        return 0.0
    wait_s = min(2.0 ** min(failures.count - free, 30), _LONGEST_WAIT_S)
    since_s = now_utc_s - failures.last_utc_s
    return wait_s - since_s if 0 <= since_s < wait_s else 0.0


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
