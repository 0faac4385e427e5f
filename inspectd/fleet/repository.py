"""The repository at the centre: bundles, who uses them, and signed metadata. Any web server can serve the folder.

metadata/   who may sign (root), which files there are (targets), which version is the newest (snapshot, timestamp)
targets/    the files; each name begins with the SHA-256 of the file, so that no file ever changes
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import TargetFile

from inspectd.errors import ConfigError, RepositoryError
from inspectd.files.text_file import refuse_odd
from inspectd.files.whole_file import write_whole
from inspectd.fleet.assignments import KINDS, MANIFESTS, TARGET, Assignments, Kind
from inspectd.fleet.bundles import full_name, load_any
from inspectd.fleet.keys import load_keys, new_key
from inspectd.fleet.metadata import KEY_ROLES, ROLES_OF_KEY, KeyRole, RepositoryMetadata, new_metadata
from inspectd.section import checked

ROOT_COPY = "root.json"
"""The first root, which each line trusts. Everybody may read it."""
_RENEW_SHARE = 0.5
"""A role is renewed when less than this share of its time is left."""


@dataclass(frozen=True, slots=True)
class Published:
    """A bundle in the repository."""

    name: str
    kind: Kind
    size: int
    """Of all files, in bytes."""


def create(folder: Path, keys: Path, days: Mapping[KeyRole, int]) -> None:
    """An empty repository with new keys, which must not be below `folder`. Raises ConfigError, also if one exists."""
    if keys.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(
            f"--keys {keys}: is inside {folder}, which the web server shows to everybody: name another folder"
        )
    if (folder / "metadata").exists() or (keys / ROOT_COPY).exists():
        raise ConfigError(f"{folder if (folder / 'metadata').exists() else keys}: belongs to a repository already")
    signers = {name: new_key(keys, name) for name in KEY_ROLES}
    metadata = new_metadata(folder / "metadata", signers, days)
    repository = Repository(folder, metadata, _by_id(signers.values()))
    repository.put_assignments(Assignments())
    repository.commit("root", "targets")
    write_whole(keys / ROOT_COPY, metadata.root.to_bytes())


class Repository:
    def __init__(self, folder: Path, metadata: RepositoryMetadata, keys: Mapping[str, CryptoSigner]) -> None:
        self._folder = folder
        self._metadata = metadata
        self._keys = dict(keys)

    @classmethod
    def open(cls, folder: Path, keys: Iterable[Path] = ()) -> "Repository":
        """Check all signatures. `keys`: folders of private keys; none for reading. Raises RepositoryError, ConfigError."""
        keys = list(keys)
        roots = [place / ROOT_COPY for place in keys if (place / ROOT_COPY).exists()]
        metadata = RepositoryMetadata.read(folder / "metadata", roots[0] if roots else None)
        return cls(folder, metadata, load_keys(keys))

    @property
    def assignments(self) -> Assignments:
        """Raises RepositoryError."""
        target = self._targets[TARGET]
        path = self._place(target)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise RepositoryError(f"{path}: can't be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != target.hashes["sha256"]:
            raise RepositoryError(f"{path}: was altered: its SHA-256 differs")
        return checked(Assignments, json.loads(data), path, RepositoryError)

    def put_assignments(self, assignments: Assignments) -> None:
        self._put(TARGET, assignments.model_dump_json(indent=1).encode())

    @property
    def published(self) -> dict[str, Published]:
        """Bundles by their names."""
        found = {}
        for path, target in self._targets.items():
            for kind in KINDS:
                name, _, file = path.removeprefix("bundles/").partition("/")
                if file == MANIFESTS[kind]:
                    size = target.length + sum(
                        self._targets[f"bundles/{name}/{each}"].length for each in target.custom["files"]
                    )
                    found[name] = Published(name, kind, size)
        return found

    def publish(self, folder: Path) -> Published:
        """Add a bundle, after a check of all its files. Nothing counts before `commit`.

        Raises EngineError if it is damaged, ConfigError if another one has its name and version.
        """
        bundle = load_any(folder)
        name = full_name(bundle)
        manifest = f"bundles/{name}/{bundle.manifest_name}"
        if name in self.published and (
            manifest not in self._targets or self._targets[manifest].hashes["sha256"] != bundle.hash
        ):
            raise ConfigError(f"{folder}: another bundle is published as {name}: give this one a higher version")
        files = _files(bundle.folder)
        self._put(
            manifest, bundle.manifest_bytes, custom={"files": [file for file in files if file != bundle.manifest_name]}
        )
        for file in files:
            if file != bundle.manifest_name:
                self._put(f"bundles/{name}/{file}", (bundle.folder / file).read_bytes())
        return self.published[name]

    def commit(self, *changed: KeyRole) -> None:
        """Sign and write. Raises ConfigError if a key is missing or a file can't be written."""
        self._metadata.commit(self._keys, changed)

    def renew(self) -> list[str]:
        """Sign again what expires: always snapshot and timestamp; the others when more than half of their time has gone.

        Returns the keys that are missing for others. Raises ConfigError.
        """
        due = [name for name, (expires, days) in self.expiries.items() if _left(expires) < _RENEW_SHARE * days]
        due_roles: list[KeyRole] = [role for role in ("root", "targets") if role in due]
        able = [role for role in due_roles if any(key in self._keys for key in self._metadata.key_ids(role))]
        self.commit(*able)
        return [role for role in due_roles if role not in able]

    def rotate(self, role: KeyRole, place: Path) -> None:
        """Replace the keys of a role by a new one, written to `place`. It needs the key of root.

        Lines accept the repository at each moment, if the old key is at hand: both keys sign before root changes.
        Raises ConfigError.
        """
        self._metadata.find_key("root", self._keys)
        old_ids = self._metadata.key_ids(role)[:]
        old = {key: self._keys[key] for key in old_ids if key in self._keys}
        signer = new_key(place, role)
        new = _by_id([signer])
        if role != "root" and old:
            self._metadata.commit(self._keys, [role], also=new)
        for each in ROLES_OF_KEY[role]:
            self._metadata.root.signed.add_key(signer.public_key, each)
            for key in old_ids:
                self._metadata.root.signed.revoke_key(key, each)
        self._keys |= new
        self._metadata.write_root(self._keys, also=old if role == "root" else {})
        if role != "root" and not old:
            self.commit(role)

    @property
    def expiries(self) -> dict[str, tuple[datetime, int]]:
        """Role -> when it expires, and for how many days it is signed."""
        return self._metadata.expiries

    def damaged(self) -> list[Path]:
        """Files that are missing or altered."""
        return [place for target in self._targets.values() if not _is_whole(place := self._place(target), target)]

    @property
    def _targets(self) -> dict[str, TargetFile]:
        return self._metadata.targets.signed.targets

    def _put(self, path: str, data: bytes, custom: dict[str, object] | None = None) -> None:
        target = TargetFile.from_data(path, data, ["sha256"])
        if custom is not None:
            target.unrecognized_fields["custom"] = custom
        if not _is_whole(self._place(target), target):
            write_whole(self._place(target), data)
        self._targets[path] = target

    def _place(self, target: TargetFile) -> Path:
        return self._folder / "targets" / target.get_prefixed_paths()[0]


def _files(folder: Path) -> list[str]:
    """All files of a bundle, relative to it. Raises ConfigError."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ConfigError(f"{path}: is not a regular file: a bundle in a repository has only files and folders")
        if path.is_file():
            try:
                refuse_odd(name)
            except ValueError as error:
                raise ConfigError(f"{folder}: {error}") from error
            found.append(name)
    return found


def _is_whole(path: Path, target: TargetFile) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == target.hashes["sha256"]
    except OSError:
        return False


def _left(expires: datetime) -> float:
    """In days."""
    return (expires - datetime.now(UTC)).total_seconds() / 86_400


def _by_id(signers: Iterable[CryptoSigner]) -> dict[str, CryptoSigner]:
    return {signer.public_key.keyid: signer for signer in signers}
