"""Only what the key's holder has signed runs where a config demands it; OpenSSL is the reference."""

import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml

from inspectd.cli import main
from inspectd.config import load_config
from inspectd.errors import ConfigError, EngineError
from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd.service.reload import Reload
from tests.factories import edit_manifest, make_toy_bundle, toy_image

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_toy_bundle(tmp_path / "toy", backends=["onnxruntime"])


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    assert engines("keygen", private, public) == 0
    return private, public


@pytest.fixture
def signed(folder: Path, keys: tuple[Path, Path]) -> Path:
    assert engines("sign", folder, "--key", keys[0]) == 0
    return folder


def engines(*arguments: object) -> int:
    return main(["engines", *map(str, arguments)])


def load(folder: Path, public: Path) -> None:
    load_engine(load_bundle(folder), InferenceConfig(backend="onnxruntime", threads=1, signed_by=public))


def refusal(folder: Path, public: Path) -> str:
    with pytest.raises(EngineError) as caught:
        load(folder, public)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_a_signed_bundle_verifies_and_runs(
    signed: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert engines("verify", signed, "--key", keys[1]) == 0
    assert f"toy 1.0.0 is whole and signed by the key {keys[1]}" in capsys.readouterr().out
    load(signed, keys[1])


def test_what_was_compiled_before_is_signed_by_nobody(signed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    """A cache is neither read nor written where only what was signed may run."""
    load_engine(load_bundle(signed), InferenceConfig(signed_by=keys[1], cache=tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_an_unsigned_one_does_not(folder: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{folder}: is not signed; only engines signed by the key {keys[1]}" in refusal(folder, keys[1])
    assert engines("verify", folder, "--key", keys[1]) == 78
    assert "is not signed" in capsys.readouterr().err


def test_another_holders_signature_does_not_count(signed: Path, tmp_path: Path) -> None:
    engines("keygen", tmp_path / "other.pem", tmp_path / "other-public.pem")
    assert "engine.yaml.sig: is not a signature of this engine.yaml" in refusal(signed, tmp_path / "other-public.pem")
    engines("sign", signed, "--key", tmp_path / "other.pem")
    load(signed, tmp_path / "other-public.pem")


def test_no_damaged_signature_counts(signed: Path, keys: tuple[Path, Path]) -> None:
    path = signed / "engine.yaml.sig"
    whole = path.read_bytes()
    flipped = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(len(whole))]
    for damaged in (b"", whole[:-1], whole + b"\n", whole + whole, bytes(64), *flipped):
        path.write_bytes(damaged)
        assert "is not a signature" in refusal(signed, keys[1])
    path.unlink()
    path.mkdir()
    assert "can't be read" in refusal(signed, keys[1])


@pytest.mark.parametrize(
    "edit",
    [
        lambda values: values["threshold"].update(value=0.4),
        lambda values: values.update({"pass_class": "fail_label_half_printed"}),
        lambda values: values.update(golden_tolerance=0.1),
    ],
)
def test_a_change_that_is_sealed_anew_is_whole_but_not_signed(
    signed: Path, keys: tuple[Path, Path], edit: Callable[[dict[str, Any]], object]
) -> None:
    edit_manifest(signed, edit)
    load_bundle(signed)
    assert "is not a signature" in refusal(signed, keys[1])


def test_other_weights_under_a_signed_manifest_are_refused(signed: Path, keys: tuple[Path, Path]) -> None:
    other = make_toy_bundle(signed.parent / "other", grey_of_class={"fail": 10, "no_fail": 99})
    shutil.copy(other / "model.onnx", signed / "model.onnx")
    assert "SHA-256 differs" in refusal(signed, keys[1])


def test_nothing_damaged_is_signed(folder: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "model.onnx").write_bytes(b"")
    assert engines("sign", folder, "--key", keys[0]) == 78
    assert "SHA-256 differs" in capsys.readouterr().err
    assert not (folder / "engine.yaml.sig").exists()


def test_the_private_key_is_its_owners_alone(keys: tuple[Path, Path]) -> None:
    private, public = keys
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert b"PRIVATE" not in public.read_bytes()


@pytest.mark.parametrize("existing", ["private.pem", "public.pem"])
def test_no_key_is_ever_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str], existing: str) -> None:
    (tmp_path / existing).write_text("mine")
    assert engines("keygen", tmp_path / "private.pem", tmp_path / "public.pem") == 78
    assert f"{tmp_path / existing}: exists" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(existing, "mine")]


def test_a_link_to_nowhere_is_no_place_for_a_key(tmp_path: Path) -> None:
    (tmp_path / "private.pem").symlink_to(tmp_path / "elsewhere.pem")
    assert engines("keygen", tmp_path / "private.pem", tmp_path / "public.pem") == 78
    assert not (tmp_path / "elsewhere.pem").exists()


@needs_openssl
def test_openssl_agrees(signed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    private, public = keys
    files = ["-rawin", "-in", str(signed / "engine.yaml"), "-sigfile", str(signed / "engine.yaml.sig")]
    openssl("pkeyutl", "-verify", "-pubin", "-inkey", str(public), *files)
    ours = (signed / "engine.yaml.sig").read_bytes()
    openssl("genpkey", "-algorithm", "ed25519", "-out", str(tmp_path / "new.pem"))
    openssl("pkey", "-in", str(tmp_path / "new.pem"), "-pubout", "-out", str(tmp_path / "new-public.pem"))
    files[3:] = ["-out", str(signed / "engine.yaml.sig")]
    openssl("pkeyutl", "-sign", "-inkey", str(tmp_path / "new.pem"), *files)
    assert (signed / "engine.yaml.sig").read_bytes() != ours
    load(signed, tmp_path / "new-public.pem")


@needs_openssl
def test_keys_of_another_kind_are_named(
    folder: Path, keys: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rsa, encrypted = tmp_path / "rsa.pem", tmp_path / "encrypted.pem"
    openssl("genpkey", "-algorithm", "RSA", "-out", str(rsa))
    openssl("pkey", "-in", str(keys[0]), "-aes256", "-passout", "pass:secret", "-out", str(encrypted))
    for key, said in ((rsa, "only Ed25519 is allowed"), (encrypted, "is encrypted"), (keys[1], "is not a private key")):
        assert engines("sign", folder, "--key", key) == 78
        assert f"{key}: " in (message := capsys.readouterr().err)
        assert said in message
    openssl("pkey", "-in", str(rsa), "-pubout", "-out", str(tmp_path / "rsa-public.pem"))
    with pytest.raises(ConfigError, match="only Ed25519 is allowed"):
        load(folder, tmp_path / "rsa-public.pem")


def test_a_public_key_that_is_none(signed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"private\.pem: is not a public key"):
        load(signed, keys[0])
    with pytest.raises(ConfigError, match=r"nowhere\.pem: can't be read: No such file"):
        load(signed, tmp_path / "nowhere.pem")


def test_without_the_package_only_signatures_are_missing(signed: Path, keys: tuple[Path, Path]) -> None:
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from inspectd.cli import main\n"
        f"assert main(['engines', 'list', {str(signed.parent)!r}]) == 0\n"
        f"sys.exit(main(['engines', 'verify', {str(signed)!r}, '--key', {str(keys[1])!r}]))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 78
    assert "pip install 'inspectd[signing]'" in ended.stderr


@pytest.fixture
def config(folder: Path, keys: tuple[Path, Path], tmp_path: Path) -> Path:
    """A line that demands a signature."""
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "0.png"), toy_image("no_fail"))
    values = {
        "engine": "toy",
        "camera": {"kind": "replay", "source": "images", "max_age_ms": 80},
        "inference": {"signed_by": "public.pem"},
        "gate": {
            "wiring": "pulse_to_reject",
            "delay_ms": 120,
            "width_ms": 30,
            "realtime_priority": 0,
            "output": {"kind": "simulated", "record": "output.jsonl"},
        },
        "journal": {"path": "journal.sqlite"},
    }
    path = tmp_path / "line.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def run(config: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "inspectd", "run", "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_daemon_starts_only_with_a_signed_engine(config: Path, folder: Path, keys: tuple[Path, Path]) -> None:
    ended = run(config)
    assert ended.returncode == 78
    assert "inspectd: " + f"{folder}: is not signed" in ended.stderr
    assert not (config.parent / "journal.sqlite").exists()
    engines("sign", folder, "--key", keys[0])
    assert run(config).returncode == 0
    assert (config.parent / "journal.sqlite").exists()


def test_a_reload_keeps_the_old_engine_until_the_new_one_is_signed(
    config: Path, folder: Path, keys: tuple[Path, Path]
) -> None:
    assert reloaded(config) is None
    engines("sign", folder, "--key", keys[0])
    engine = reloaded(config)
    assert engine is not None
    assert engine.manifest.name == "toy"


def reloaded(config: Path) -> Any:
    reload = Reload(config, load_config(config))
    while not reload.done:
        pass
    return reload.judges and reload.judges.engine


def test_check_says_whether_the_engine_is_signed(
    config: Path,
    folder: Path,
    keys: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["check", "--config", str(config)]) == 1
    assert "is not signed" in " ".join(capsys.readouterr().out.split())
    engines("sign", folder, "--key", keys[0])
    assert main(["check", "--config", str(config)]) == 0
    assert "signature, hashes" in capsys.readouterr().out
    keys[1].write_text("no key")
    assert main(["check", "--config", str(config)]) == 1


def test_activate_knows_what_the_line_demands(
    config: Path, folder: Path, keys: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.rename(tmp_path / "toy-1.0.0")
    command = ("activate", folder, tmp_path / "toy-1.0.0", "--config", config)
    assert engines(*command) == 78
    assert "is not signed" in capsys.readouterr().err
    engines("sign", tmp_path / "toy-1.0.0", "--key", keys[0])
    assert engines(*command) == 0
    assert run(config).returncode == 0


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
