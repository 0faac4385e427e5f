"""`inspectd engines keygen`, `sign` and `verify`."""

from pathlib import Path

from inspectd.inference import Bundle, load_bundle
from inspectd.text.bundle import MANIFEST, ReaderBundle, load_reader_bundle


def run_keygen(private: Path, public: Path) -> int:
    """Write a new pair of keys. Raises ConfigError."""
    from inspectd.inference.signature import write_keys

    write_keys(private, public)
    print(
        f"{private}: the private key, which signs engines; do not copy it to a line\n{public}: the public key; copy it to the lines and name it in `inference.signed_by`"
    )
    return 0


def run_sign(bundle: Path, key: Path) -> int:
    """Sign `bundle`. Raises EngineError if it is damaged, ConfigError if the key can't be used or the signature not written."""
    from inspectd.inference.signature import sign

    print(f"{sign(_load(bundle), key)}: written")
    return 0


def run_verify(bundle: Path, key: Path) -> int:
    """Check `bundle`. Raises EngineError if it is damaged or not signed by the key, ConfigError if the key can't be used."""
    from inspectd.inference.signature import check_signature

    loaded = _load(bundle)
    check_signature(loaded, key)
    print(f"{bundle}: {loaded.manifest.name} {loaded.manifest.version} is whole and signed by the key {key}")
    return 0


def _load(folder: Path) -> Bundle | ReaderBundle:
    return load_reader_bundle(folder) if (folder / MANIFEST).exists() else load_bundle(folder)
