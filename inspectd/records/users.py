"""The users of the operator's page, in a file that only the page's own user may read.

The page and `inspectd users` open the file for each call, so each sees at once what the other has changed.
"""

import hashlib
import os
import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from inspectd.errors import AccountError, StoreError

FILE = "accounts.sqlite"
LONGEST_NAME = 64
LOCKED_AFTER = 10
"""So many failed logins with a name from one address, one after another, lock the name there until somebody unlocks it."""
LOCKED_EVERYWHERE_AFTER = 100
"""So many from all addresses together lock it everywhere but on the line's own computer (NIST SP 800-63B, 5.2.2)."""
_WAIT_S = 5.0
_TABLES = """
CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, role INTEGER NOT NULL, password TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS attempts (who BLOB, address TEXT, count INTEGER NOT NULL, last_utc_s REAL NOT NULL,
    PRIMARY KEY (who, address)) STRICT, WITHOUT ROWID;
"""
_MOST_FAILURES_KEPT = 5000


class Role(IntEnum):
    """What a user may do. Each role may do all that the roles before it may."""

    VIEWER = 1  # look
    OPERATOR = 2  # acknowledge stops, review labels
    ENGINEER = 3  # engines, expected text
    ADMIN = 4  # users


@dataclass(frozen=True, slots=True)
class Account:
    """One user. A new password has a new hash, also if it is the old password."""

    name: str
    role: Role
    password_hash: str


@dataclass(frozen=True, slots=True)
class Failures:
    """Logins that failed one after another."""

    count: int = 0
    last_utc_s: float = 0.0


class Users:
    """Each method raises StoreError if the file can't be used, and AccountError if what it is asked for can't be done."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def all(self) -> list[Account]:
        """By name."""
        with self._open() as connection:
            return [_account(row) for row in connection.execute("SELECT name, role, password FROM users ORDER BY name")]

    def find(self, name: str) -> Account | None:
        with self._open() as connection:
            return _find(connection, normal_name(name))

    def add(self, name: str, role: Role, password_hash: str) -> None:
        name = normal_name(name)
        if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
            raise AccountError(f"a user's name must have 1 to {LONGEST_NAME} characters that can be printed")
        with self._changing() as connection:
            if _find(connection, name) is not None:
                raise AccountError(f"the user {name} exists already")
            connection.execute("INSERT INTO users VALUES (?, ?, ?)", (name, int(role), password_hash))
            connection.execute("DELETE FROM attempts WHERE who = ?", (_key(name),))

    def set_role(self, name: str, role: Role) -> None:
        with self._changing() as connection:
            account = _existing(connection, name)
            if role < Role.ADMIN:
                _keep_an_admin(connection, account)
            connection.execute("UPDATE users SET role = ? WHERE name = ?", (int(role), account.name))

    def set_password(self, name: str, password_hash: str) -> None:
        with self._changing() as connection:
            account = _existing(connection, name)
            connection.execute("UPDATE users SET password = ? WHERE name = ?", (password_hash, account.name))

    def remove(self, name: str) -> None:
        with self._changing() as connection:
            account = _existing(connection, name)
            _keep_an_admin(connection, account)
            connection.execute("DELETE FROM users WHERE name = ?", (account.name,))

    def failures(self, address: str, name: str | None = None) -> Failures:
        """From this address: with one name, or with any. A name counts whether there is such a user or not."""
        with self._open() as connection:
            sql = "SELECT count, last_utc_s FROM attempts WHERE who = ? AND address = ?"
            row = connection.execute(sql, (_key(name), address)).fetchone()
        return Failures(*row) if row else Failures()

    def failures_everywhere(self, name: str) -> int:
        """With this name, from all addresses."""
        with self._open() as connection:
            return _failures_everywhere(connection, name)

    def locked_at(self, name: str) -> list[str]:
        """From where this name can't log in: addresses, or "every address"."""
        with self._open() as connection:
            if _failures_everywhere(connection, name) >= LOCKED_EVERYWHERE_AFTER:
                return ["every address"]
            sql = "SELECT address FROM attempts WHERE who = ? AND count >= ? ORDER BY address"
            return [address for (address,) in connection.execute(sql, (_key(name), LOCKED_AFTER))]

    def set_failures(self, failures: Failures, address: str, name: str | None = None) -> None:
        """The oldest failures of names that are not users are forgotten, so that the file stays small."""
        with self._changing() as connection:
            connection.execute(
                "INSERT INTO attempts VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = excluded.count, "
                "last_utc_s = excluded.last_utc_s",
                (_key(name), address, failures.count, failures.last_utc_s),
            )
            (kept,) = connection.execute("SELECT count(*) FROM attempts").fetchone()
            if kept > _MOST_FAILURES_KEPT:
                names = [_key(name) for (name,) in connection.execute("SELECT name FROM users")]
                connection.execute(
                    "DELETE FROM attempts WHERE (who, address) IN (SELECT who, address FROM attempts WHERE who NOT IN "  # noqa: S608 - only ?
                    f"({', '.join('?' * len(names))}) ORDER BY last_utc_s LIMIT ?)",
                    (*names, kept - _MOST_FAILURES_KEPT),
                )

    def unlock(self, name: str) -> None:
        with self._changing() as connection:
            account = _existing(connection, name)
            connection.execute("DELETE FROM attempts WHERE who = ?", (_key(account.name),))

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._open(create=True) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def _open(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            if create:
                os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            uri = f"{self.path.resolve().as_uri()}?mode=rw" if self.path.exists() else ":memory:"
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_WAIT_S)) as connection:
                if not connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'attempts'").fetchone()[0]:
                    connection.executescript(_TABLES)
                yield connection
        except (OSError, sqlite3.Error, ValueError) as error:
            raise StoreError(f"{self.path}: the page's users can't be read or written: {error}") from error


def normal_name(name: str) -> str:
    """The same characters from each keyboard, without blanks at the ends."""
    return unicodedata.normalize("NFKC", name).strip()


def _find(connection: sqlite3.Connection, name: str) -> Account | None:
    row = connection.execute("SELECT name, role, password FROM users WHERE name = ?", (name,)).fetchone()
    return _account(row) if row else None


def _existing(connection: sqlite3.Connection, name: str) -> Account:
    account = _find(connection, normal_name(name))
    if account is None:
        raise AccountError("there is no such user")
    return account


def _account(row: tuple[str, int, str]) -> Account:
    return Account(row[0], Role(row[1]), row[2])


def _keep_an_admin(connection: sqlite3.Connection, account: Account) -> None:
    (admins,) = connection.execute("SELECT count(*) FROM users WHERE role = ?", (int(Role.ADMIN),)).fetchone()
    if account.role == Role.ADMIN and admins == 1:
        raise AccountError(f"{account.name} is the only admin: make another user an admin first")


def _failures_everywhere(connection: sqlite3.Connection, name: str) -> int:
    sql = "SELECT coalesce(sum(count), 0) FROM attempts WHERE who = ?"
    return int(connection.execute(sql, (_key(name),)).fetchone()[0])


def _key(name: str | None) -> bytes:
    """People type their password into the field for the name by mistake, so the name itself is not kept. None: any name."""
    return b"" if name is None else hashlib.sha256(normal_name(name).encode(errors="surrogatepass")).digest()
