"""Users and their sessions."""

import secrets
import sqlite3
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error

from inspectd.serve.web.access import Role, User


class Accounts:
    """Users in a file that only this process may read; sessions in memory, so a restart ends them."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, role INTEGER NOT NULL, password TEXT NOT NULL) STRICT"
        )
        self._hasher = PasswordHasher()
        self._sessions: dict[str, User] = {}

    def add(self, name: str, role: Role, password: str) -> None:
        self._connection.execute("INSERT INTO users VALUES (?, ?, ?)", (name, int(role), self._hasher.hash(password)))

    def login(self, name: str, password: str) -> str | None:
        """The new session's token; None if name or password are wrong."""
        row = self._connection.execute("SELECT role, password FROM users WHERE name = ?", (name,)).fetchone()
        try:
            self._hasher.verify(row[1] if row else _NOBODY, password)
        except Argon2Error:
            return None
        if row is None:
            return None
        token = secrets.token_urlsafe(32)
        self._sessions[token] = User(name, Role(row[0]))
        return token

    def user(self, token: str) -> User | None:
        return self._sessions.get(token)

    def logout(self, token: str) -> None:
        self._sessions.pop(token, None)


_NOBODY = PasswordHasher().hash(secrets.token_urlsafe(32))
"""Compared for a name that does not exist, so that the answer takes as long."""
