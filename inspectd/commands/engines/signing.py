"""`inspectd engines keygen`, `sign` and `verify`."""

from pathlib import Path

from inspectd.inference import load_bundle


def run_keygen(private: Path, public: Path) -> int:
    """Raises ConfigError."""
    from inspectd.inference.signature import write_keys

    write_keys(private, public)
    print(f"{private}: signs engines; keep it off the lines\n{public}: goes to the lines, as `inference.signed_by`")
    return 0


def run_sign(bundle: Path, key: Path) -> int:
    """Raises EngineError if the bundle is not whole, ConfigError if the key can't be used or nothing can be written."""
    from inspectd.inference.signature import sign

    print(f"{sign(load_bundle(bundle), key)}: written")
    return 0


def run_verify(bundle: Path, key: Path) -> int:
    """Raises EngineError if the bundle is not whole or not signed by the key, ConfigError if the key can't be used."""
    from inspectd.inference.signature import check_signature

    loaded = load_bundle(bundle)
    check_signature(loaded, key)
    print(f"{bundle}: {loaded.manifest.name} {loaded.manifest.version} is whole and signed by the key {key}")
    return 0
