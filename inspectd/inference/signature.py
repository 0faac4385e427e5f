"""The signature of a bundle: Ed25519 (RFC 8032) over its manifest, which lists the SHA-256 of every other file.

Keys are PEM files and a signature is 64 raw bytes, so OpenSSL can make and check all of them. This module is imported only
where it is needed, because its library is in the extra `signing`.
"""

import os
from pathlib import Path
from typing import ClassVar, Protocol

from inspectd.errors import ConfigError, EngineError
from inspectd.files.text_file import read_bytes
from inspectd.files.whole_file import write_new, write_whole

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
        load_pem_private_key,
        load_pem_public_key,
    )
except ImportError as error:
    raise ConfigError("signatures need the package cryptography: pip install 'inspectd[signing]'") from error

SUFFIX = ".sig"


class Bundle(Protocol):
    """Of an engine or of a reader."""

    manifest_name: ClassVar[str]

    @property
    def folder(self) -> Path: ...

    @property
    def manifest_bytes(self) -> bytes: ...


def check_signature(bundle: Bundle, public: Path) -> None:
    """Raises EngineError unless the holder of the key has signed the bundle, ConfigError if the key can't be used."""
    key = _public_key(public)
    path = bundle.folder / (bundle.manifest_name + SUFFIX)
    if not os.path.lexists(path):
        raise EngineError(f"{bundle.folder}: is not signed; only engines signed by the key {public} are allowed")
    try:
        signature = read_bytes(path)
    except ConfigError as error:
        raise EngineError(str(error)) from error
    try:
        key.verify(signature, bundle.manifest_bytes)
    except InvalidSignature as error:
        raise EngineError(f"{path}: is not a signature of this {bundle.manifest_name} by the key {public}") from error


def sign(bundle: Bundle, private: Path) -> Path:
    """Write the signature of the bundle and return its path. Replaces an older signature. Raises ConfigError."""
    signature = _private_key(private).sign(bundle.manifest_bytes)
    path = bundle.folder / (bundle.manifest_name + SUFFIX)
    write_whole(path, signature)
    return path


def write_keys(private: Path, public: Path) -> None:
    """Write a new pair of keys. Only the owner can read the private key. Raises ConfigError, also if a file exists."""
    for path in (private, public):
        if os.path.lexists(path):
            raise ConfigError(f"{path}: exists; a key is never overwritten: give a new name")
    key = Ed25519PrivateKey.generate()
    write_new(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
    write_new(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), mode=0o644)


def _public_key(path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(read_bytes(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{path}: is not a public key in PEM format; `inspectd engines keygen` makes a pair"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path}: contains a key of kind {type(key).__name__}; only Ed25519 is allowed")
    return key


def _private_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(read_bytes(path), password=None)
    except TypeError as error:
        raise ConfigError(f"{path}: is encrypted; decrypt it first: openssl pkey -in {path} -out ...") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{path}: is not a private key in PEM format; `inspectd engines keygen` makes a pair"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: contains a key of kind {type(key).__name__}; only Ed25519 is allowed")
    return key
