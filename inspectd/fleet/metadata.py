"""The signed metadata of a repository, for whoever writes it.

Four roles sign: `root` names the keys, `targets` lists the files with their SHA-256, `snapshot` and `timestamp` say which version
is the newest. Keys and order are those of The Update Framework 1.0. Each role keeps in its own metadata how many days it is
valid after it is signed.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError as TufError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from inspectd.errors import ConfigError, RepositoryError
from inspectd.files.text_file import read_bytes
from inspectd.files.whole_file import write_whole

KeyRole = Literal["root", "targets", "timestamp"]
KEY_ROLES: tuple[KeyRole, ...] = ("root", "targets", "timestamp")
ROLES_OF_KEY: Mapping[KeyRole, tuple[str, ...]] = {
    "root": ("root",),
    "targets": ("targets",),
    "timestamp": ("snapshot", "timestamp"),
}
"""The key `timestamp` signs both of its roles."""
DAYS: Final = "x-inspectd-days"
_MAX_BYTES = 5_000_000
"""What lines read at most: UpdaterConfig of tuf."""

Keys = Mapping[str, CryptoSigner]
S = TypeVar("S", Root, Timestamp, Snapshot, Targets)


class RepositoryMetadata:
    """What is in the folder `metadata` of a repository. Change `root` and `targets`, then `commit`."""

    def __init__(
        self,
        folder: Path,
        root: Metadata[Root],
        targets: Metadata[Targets],
        snapshot: Metadata[Snapshot],
        timestamp: Metadata[Timestamp],
    ) -> None:
        self._folder = folder
        self.root = root
        self.targets = targets
        self.snapshot = snapshot
        self.timestamp = timestamp

    @classmethod
    def read(cls, folder: Path, trusted_root: Path | None = None) -> "RepositoryMetadata":
        """Check all signatures, from `trusted_root` on; None: from the oldest root in the folder on.

        Somebody could have altered the folder, and whoever adds to it would sign that. Raises RepositoryError, ConfigError.
        """
        root = _newest_root(folder, trusted_root)
        try:
            timestamp = _read(folder / "timestamp.json", Timestamp)
            _verify(root, timestamp)
            snapshot = _read(folder / f"{timestamp.signed.snapshot_meta.version}.snapshot.json", Snapshot)
            _verify(root, snapshot)
            targets = _read(folder / f"{snapshot.signed.meta['targets.json'].version}.targets.json", Targets)
            _verify(root, targets)
        except (TufError, KeyError) as error:
            raise RepositoryError(f"{folder}: is not as it was signed: {error}") from error
        return cls(folder, root, targets, snapshot, timestamp)

    @property
    def expiries(self) -> dict[str, tuple[datetime, int]]:
        """Role -> when it expires, and for how many days it is signed."""
        roles: list[Metadata[Any]] = [self.root, self.targets, self.snapshot, self.timestamp]
        return {each.signed.type: (each.signed.expires, each.signed.unrecognized_fields[DAYS]) for each in roles}

    def commit(self, keys: Keys, changed: Iterable[KeyRole], also: Keys | None = None) -> None:
        """Sign and write the roles that have changed, and always snapshot and timestamp: the timestamp makes the rest count.

        A line that reads meanwhile, or after a crash at any place, sees all of the old state or all of the new one.
        `also`: keys that sign beside those that root names. Raises ConfigError if a key is missing or a file can't be written.
        """
        if "root" in changed:
            self.write_root(keys)
        if "targets" in changed:
            self._sign(self.targets, keys, also)
            data = self.targets.to_bytes()
            self.snapshot.signed.meta["targets.json"] = MetaFile.from_data(
                self.targets.signed.version, data, ["sha256"]
            )
            write_whole(self._folder / f"{self.targets.signed.version}.targets.json", data)
        self._sign(self.snapshot, keys, also)
        data = self.snapshot.to_bytes()
        self.timestamp.signed.snapshot_meta = MetaFile.from_data(self.snapshot.signed.version, data, ["sha256"])
        write_whole(self._folder / f"{self.snapshot.signed.version}.snapshot.json", data)
        self._sign(self.timestamp, keys, also)
        write_whole(self._folder / "timestamp.json", self.timestamp.to_bytes())

    def write_root(self, keys: Keys, also: Keys | None = None) -> None:
        """Sign and write the next version of root. Raises ConfigError."""
        self._sign(self.root, keys, also)
        write_whole(self._folder / f"{self.root.signed.version}.root.json", self.root.to_bytes())

    def _sign(self, metadata: Metadata[Any], keys: Keys, also: Keys | None) -> None:
        signed = metadata.signed
        own = self.find_key(signed.type, keys)
        signed.version += 1
        signed.expires = datetime.now(UTC) + timedelta(days=signed.unrecognized_fields[DAYS])
        metadata.signatures.clear()
        for signer in (dict(own) | dict(also or {})).values():
            metadata.sign(signer, append=True)

    def find_key(self, role: str, keys: Keys) -> Keys:
        """Those of `keys` that may sign for a role. Raises ConfigError if there is none."""
        own = {keyid: keys[keyid] for keyid in self.key_ids(role) if keyid in keys}
        if not own:
            name = next(name for name, roles in ROLES_OF_KEY.items() if role in roles)
            raise ConfigError(
                f"the key of {name} is missing, the file {name}-{self.key_ids(role)[0][:8]}.pem: name its folder with --keys"
            )
        return own

    def key_ids(self, role: str) -> list[str]:
        """Of the keys that may sign for a role."""
        return self.root.signed.get_delegated_role(role).keyids


def new_metadata(folder: Path, keys: Mapping[KeyRole, CryptoSigner], days: Mapping[KeyRole, int]) -> RepositoryMetadata:
    """Of an empty repository, not yet signed: `commit` writes version 1. `days`: how long each role is valid."""
    of_role = {role: name for name, roles in ROLES_OF_KEY.items() for role in roles}

    def fields(role: str) -> dict[str, Any]:
        return {DAYS: days[of_role[role]]}

    now = datetime.now(UTC)
    root = Root(expires=now, consistent_snapshot=True, unrecognized_fields=fields("root"))
    for role, name in of_role.items():
        root.add_key(keys[name].public_key, role)
    targets = Targets(expires=now, unrecognized_fields=fields("targets"))
    snapshot = Snapshot(expires=now, unrecognized_fields=fields("snapshot"))
    timestamp = Timestamp(expires=now, unrecognized_fields=fields("timestamp"))
    for signed in (root, targets, snapshot, timestamp):
        signed.version = 0
    return RepositoryMetadata(folder, Metadata(root), Metadata(targets), Metadata(snapshot), Metadata(timestamp))


def _newest_root(folder: Path, trusted: Path | None) -> Metadata[Root]:
    versions = [int(path.name.partition(".")[0]) for path in folder.glob("[0-9]*.root.json")]
    if not versions:
        raise ConfigError(f"{folder}: is not the metadata of a repository; `inspectd repository init` makes one")
    path = trusted or folder / f"{min(versions)}.root.json"
    root = _read(path, Root)
    try:
        _verify(root, root)
        while (path := folder / f"{root.signed.version + 1}.root.json").exists():
            newer = _read(path, Root)
            _verify(root, newer)
            _verify(newer, newer)
            root = newer
    except TufError as error:
        raise RepositoryError(
            f"{path}: is not signed by the keys of {trusted or 'the root before it'}: {error}"
        ) from error
    return root


def _verify(root: Metadata[Root], metadata: Metadata[Any]) -> None:
    """Raises tuf's RepositoryError."""
    root.signed.verify_delegate(metadata.signed.type, metadata.signed_bytes, metadata.signatures)


def _read(path: Path, kind: type[S]) -> Metadata[S]:
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(read_bytes(path, _MAX_BYTES))
    except DeserializationError as error:
        raise RepositoryError(f"{path}: is not metadata of a repository: {error}") from error
    if not isinstance(metadata.signed, kind):
        raise RepositoryError(f"{path}: is {metadata.signed.type} metadata, not {kind.type}")
    return metadata
