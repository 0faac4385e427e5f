"""The private keys of a repository: one PEM file each (Ed25519), in a folder that the web server never sees.

A key is found by its id, which the root metadata of the repository names. So the names of the files do not matter.
"""

from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner

from inspectd.errors import ConfigError
from inspectd.files.text_file import read_bytes
from inspectd.files.whole_file import write_new


def new_key(folder: Path, name: str) -> CryptoSigner:
    """Write a new key, readable by its owner only. Raises ConfigError."""
    signer = CryptoSigner.generate_ed25519()
    path = folder / f"{name}-{signer.public_key.keyid[:8]}.pem"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: can't be made: {error.strerror}") from error
    write_new(path, signer.private_bytes, mode=0o600)
    return signer


def load_keys(folders: Iterable[Path]) -> dict[str, CryptoSigner]:
    """Key id -> key, of all private Ed25519 keys in these folders. Raises ConfigError."""
    found = {}
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"--keys {folder}: no such folder")
        for path in sorted(folder.glob("*.pem")):
            key = _private_key(path)
            if key is not None:
                signer = CryptoSigner(key)
                found[signer.public_key.keyid] = signer
    return found


def _private_key(path: Path) -> Ed25519PrivateKey | None:
    """None if the file holds something else, such as a public key."""
    try:
        key = load_pem_private_key(read_bytes(path), password=None)
    except TypeError as error:
        raise ConfigError(f"{path}: is encrypted; decrypt it first: openssl pkey -in {path} -out ...") from error
    except ValueError:
        return None
    return key if isinstance(key, Ed25519PrivateKey) else None
