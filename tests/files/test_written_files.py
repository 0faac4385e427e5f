"""Files that people write: what is not clear is refused in one sentence that names file, line, key and value."""

import codecs
import importlib
import io
import os
import socket
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from inspectd.class_name import check_class_name
from inspectd.cli import main
from inspectd.config import Config, config_schema, load_config
from inspectd.errors import ConfigError
from inspectd.files.csv_file import read_csv
from inspectd.files.json_file import parse_json, read_json
from inspectd.files.text_file import read_bytes, read_text
from inspectd.files.yaml_file import dump_yaml, parse_yaml, read_yaml
from inspectd.section import Section
from tests.test_config import GOOD, PROJECT, changed, write


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: 2026-02-30", ["line 1", "name", "'2026-02-30' is a date in YAML", "quotes"]),
        ("name: 2026-02-28", ["name", "'2026-02-28' is a date"]),
        ("a: 2001-01-01T99:99:99Z", ["a: '2001-01-01T99:99:99Z' is a date"]),
        ("gate:\n  width_ms: on", ["line 2", "gate.width_ms: 'on'", "true or false"]),
        ("a: Yes", ["'Yes'"]),
        ("serial: 0024", ["serial: '0024'", "plain digits", "quotes"]),
        ("a: 12:30:45", ["'12:30:45'", "plain digits"]),
        ("a: 1:30.5", ["'1:30.5'"]),
        ("a: 1_000", ["'1_000'"]),
        ("a: 1_0.5", ["'1_0.5'"]),
        ("a: 0b11", ["'0b11'"]),
        (f"a: {'1' * 5000}", ["a: '111", "numbers up to 9007199254740992"]),
        ("a: 10000000000000000000000", ["numbers up to"]),
        ("a: NULL", ["'NULL': write null"]),
        ("a: 1\nb: 2\na: 3", ["line 3", "'a' occurs twice, first in line 1"]),
        ("a: {b: 1, b: 1}", ["'b' occurs twice"]),
        ("1: x", ["the key '1' must be text"]),
        ("[a]: x", ["key a list or mapping must be text"]),
        ("? {a: 1}\n: x", ["must be text"]),
        ("true: x", ["the key 'true' must be text"]),
        ('a: "\\u0000"', ["a: '\\x00' can't be read", "'\\x00'"]),
        ('a: "\\ud800"', ["'\\ud800'"]),
        ("a: 'x\n\n  y'", ["'\\n'"]),
        ("a: &a [*a]", ["more than 32 levels"]),
        ("a: " + "[" * 3000, ["more than 32 levels"]),
        ("a: !!python/object:os.system x", ["tag 'tag:yaml.org,2002:python/object:os.system' is not allowed"]),
        ("a: !!binary aGk=", ["binary"]),
        ("a: !!set {a, b}", ["set"]),
        ("a: !!timestamp x", ["is a date"]),
        ("a: !!float ''", ["plain digits"]),
        ("a: !!bool maybe", ["'maybe'"]),
        ("a: 1\n---\nb: 1", ["line 2", "another document"]),
        ("a: *b", ["undefined alias"]),
        ("a: =", ["not allowed here"]),
        ("<<: 1", ["<<: must be an alias of a mapping"]),
    ],
)
def test_yaml_that_is_not_clear_is_refused_by_line_and_value(text: str, words: list[str]) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        parse_yaml(text)
    for word in words:
        assert word in str(error.value)
    assert len(str(error.value)) < 600
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1e3", 1000.0),
        ("a: 1.5e-4", 0.00015),
        ("a: .5", 0.5),
        ("a: -0x10", None),
        ("a: 0x10", 16),
        ("a: +7", 7),
        ("a: '2026-02-30'", "2026-02-30"),
        ("a: 'on'", "on"),
        ("a: no_fail", "no_fail"),
        ("a: Größe [2]", "Größe [2]"),
        ("a: >-\n  one\n  line", "one line"),
        ("a: |\n  one line\n", "one line"),
        ("a: 192.168.1.10", "192.168.1.10"),
        ("a: 0o17", "0o17"),
        ("a: ", None),
        ("b: &b {x: 1, y: 2}\na: {<<: *b, y: 3}", {"x": 1, "y": 3}),
    ],
)
def test_yaml_that_is_clear_is_read_as_it_looks(text: str, value: object) -> None:
    if text == "a: -0x10":
        with pytest.raises(ValueError, match="plain digits"):
            parse_yaml(text)
    else:
        assert parse_yaml(text)["a"] == value


SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
SCALARS |= st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc-._ ", min_size=1), inner)
)


@given(VALUES)
def test_what_we_write_is_read_as_it_was(value: object) -> None:
    assert parse_yaml(dump_yaml({"a": value, "b": value})) == {"a": value, "b": value}


@given(st.text())
def test_any_text_is_yaml_or_refused(text: str) -> None:
    try:
        parse_yaml(text)
    except ValueError as error:
        refusal = str(error)
        assert refusal.isprintable()


def test_aliases_that_stand_for_millions_of_values_are_refused_at_once(tmp_path: Path) -> None:
    lines = ["name: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [f"k{i}: &{chr(98 + i)} [" + ",".join([f"*{chr(97 + i)}"] * 9) + "]" for i in range(8)]
    begin = time.monotonic()
    with pytest.raises(ConfigError, match="has more than 200000 values") as error:
        load_config(write(tmp_path, "\n".join(lines)))
    assert time.monotonic() - begin < 5
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1, "a": 2}', "'a' occurs twice"),
        ('{"a": NaN}', "NaN is not a number"),
        ('{"a": 1e999}', "must be finite"),
        ('{"a": 1' + "0" * 5000 + "}", "numbers up to"),
        ('{"a": ["\\ud800"]}', "ud800"),
        ('{"\\u0000": 1}', "x00"),
        ("[" * 100_000, "levels deep"),
        ("[" * 40 + "]" * 40, "32 levels deep"),
    ],
)
def test_json_that_is_not_clear_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_json(text)


@pytest.mark.timeout(20)
def test_what_is_no_file_of_text_is_refused_and_nothing_hangs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.yaml"))
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "gone.yaml").symlink_to("nowhere")
    (tmp_path / "large.yaml").write_bytes(b"#" * (1 << 21))
    (tmp_path / "latin.yaml").write_bytes("name: größe\n".encode("latin-1"))
    (tmp_path / "nul.yaml").write_bytes(b"name: a\n\0\n")
    (tmp_path / "empty.yaml").write_bytes(b"")
    for name, words in {
        "pipe.yaml": "is not a regular file",
        "socket.yaml": "can't be read",
        "loop.yaml": "can't be read",
        "gone.yaml": "can't be read: No such file",
        "large.yaml": "larger than the 1048576 bytes allowed",
        "latin.yaml": "line 1 is not UTF-8 text",
        "nul.yaml": r"line 2 contains the control character '\\x00'",
        "empty.yaml": "must contain keys",
        ".": "is not a regular file",
        "x" * 300: "File name too long",
        "a\0b": "can't be read",
    }.items():
        with pytest.raises(ConfigError, match=words):
            read_yaml(tmp_path / name, "'a'")
        with pytest.raises(ConfigError):
            read_json(tmp_path / name)
    for device in ("/dev/zero", "/dev/null"):
        with pytest.raises(ConfigError, match="is not a regular file"):
            read_bytes(Path(device))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, encoding: str) -> None:
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    (tmp_path / "a").write_bytes(mark + "größe\r\n".encode(encoding))
    assert read_text(tmp_path / "a") == "größe\r\n"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (changed(gate__width_ms=True), ["gate.width_ms: True is not allowed", "valid number"]),
        (changed(gate__width_ms="30"), ["gate.width_ms: '30' is not allowed", "valid number"]),
        (changed(gate__width_ms=float("inf")), ["gate.width_ms: inf is not allowed", "finite"]),
        (changed(gate__width_ms=float("nan")), ["gate.width_ms: nan is not allowed", "finite"]),
        (changed(camera__forever=1), ["camera.forever: 1 is not allowed", "boolean"]),
        (
            changed(camera={"kind": "pylon", "serial": 24012345, "trigger": {"source": "line"}}),
            ["camera.serial: 24012345", "quotes"],
        ),
        (changed(gate__realtime_priority=50.5), ["gate.realtime_priority: 50.5"]),
        (changed(journal__keep_days=10**10), ["journal.keep_days", "36500"]),
        (changed(archive={"folder": "a", "max_gb": 1e308}), ["archive.max_gb: 1e+308", "less than or equal to"]),
        (changed(engine=""), ["engine: '' is not allowed: must not be empty"]),
        (changed(engine="x" * 300), ["engine: 'xxx", "255"]),
        (changed(engine="a/" * 3000), ["engine", "2000 bytes"]),
        (changed(inference={"threads": 1024}), ["inference.threads: 1024", "64"]),
        (changed(**{"gate__" + "z" * 5000: 1}), ["gate.zzz", "unknown key"]),
    ],
)
def test_a_value_of_another_kind_is_refused_by_key(tmp_path: Path, values: dict, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(write(tmp_path, values))
    for word in words:
        assert word in str(error.value)
    assert len(str(error.value)) < 1500


def sections(model: type = Section) -> list[type[Section]]:
    return [model, *(each for below in model.__subclasses__() for each in sections(below))]


def test_every_number_that_people_write_has_bounds() -> None:
    pytest.importorskip("torch")
    for module in ("experiments.config", "synthetic.compose.config", "settings"):
        importlib.import_module(f"inspectd_tools.{module}")
    assert Config in sections()
    recorded = {"GoldenImage.scores", "Arithmetic.golden_scores"}  # looked at by Manifest, which names the image
    unbounded = {
        f"{section.__name__}.{key}"
        for section in sections()
        for key, schema in section.model_json_schema().get("properties", {}).items()
        if any(lacks_a_bound(each) for each in numbers_in(schema))
    }
    assert unbounded - recorded == set()


def numbers_in(schema: dict) -> list[dict]:
    found = [schema] if schema.get("type") in ("integer", "number") and not {"const", "enum"} & schema.keys() else []
    below = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("prefixItems", ())]
    below += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    return found + [each for part in below for each in numbers_in(part)]


def lacks_a_bound(schema: dict) -> bool:
    return not ({"minimum", "exclusiveMinimum"} & schema.keys() and {"maximum", "exclusiveMaximum"} & schema.keys())


def test_every_yaml_and_json_file_we_ship_is_read_as_before() -> None:
    shipped = [
        path for path in PROJECT.glob("**/*.yaml") if not {".venv", "out", "run", "node_modules"} & set(path.parts)
    ]
    assert len(shipped) >= 12
    for path in shipped:
        assert read_yaml(path, "") == yaml.safe_load(path.read_text())
    for path in (PROJECT / "config" / "training").glob("*.json"):
        assert read_json(path)


@pytest.mark.parametrize("verb", [["check"], ["run"], ["report"]])
@pytest.mark.parametrize(
    "text", ["name: 2026-02-30", "a: 1\na: 2", "a: &a [*a]", "x: " + "[" * 5000, "gate: on", "\x00"]
)
def test_each_verb_ends_with_78_and_one_sentence(
    verb: list[str], text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", end)  # `run` ends at once, whatever a driver's thread does
    path = write(tmp_path, text)
    try:
        code = main([*verb, "--config", str(path)])
    except SystemExit as ended:
        code = ended.code
    said = capfd.readouterr().err
    assert code == 78
    assert str(path) in said
    assert "Traceback" not in said
    assert len(said) < 1000


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("first", ["", "sep="])
def test_a_table_is_read_however_a_spreadsheet_saves_it(
    tmp_path: Path, separator: str, end: str, encoding: str, first: str
) -> None:
    lines = [["path", "class"], ["a b.png", "größe"], ['"x,y;z\t.png"', '"two ""quotes"""'], ["", ""]]
    text = end.join(separator.join(cells) for cells in lines)
    (tmp_path / "UP.CSV").write_bytes(((f"sep={separator}{end}" if first else "") + text).encode(encoding))
    rows = read_csv(tmp_path / "UP.CSV", ("path", "class"))
    assert [row.cells for row in rows] == [
        {"path": "a b.png", "class": "größe"},
        {"path": "x,y;z\t.png", "class": 'two "quotes"'},
    ]
    assert rows[1].line == 3 + bool(first)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,class\na", "line 2: has 1 cells"),
        ("path,class\na,b,c", "line 2: has 3 cells"),
        ("path,kind\na,b", "class missing"),
        ("path,class,path\na,b,c", "path twice"),
        ('path,class\n"a', "is not valid CSV: line"),
        ("", "missing"),
        (f"path,class\n{'x' * 200_000},b", "field larger"),
    ],
)
def test_a_damaged_table_is_refused_by_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_csv(tmp_path / "a.csv", ("path", "class"))


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".hidden",
        "a/b",
        "a\\b",
        "../../escaped",
        " a",
        "a ",
        "a\tb",
        "a\nb",
        "\x1b[31m",
        "a\x00",
        "\ud800",
        *["=HYPERLINK(1)", "+1", "-1", "@x", "x" * 101, "ü" * 101, "写" * 70, "\u202eabc", "\u00a0a", "a\u2028b"],
    ],
)
def test_names_that_break_paths_tables_or_terminals_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="the class name") as error:
        check_class_name(name)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "name",
    ["no_fail", "gut (neu) [v2] ü.1", "[bold]schief, halb", "bad[red]", "写真", "0", "2026-01-01", "a..b", "x" * 100],
)
def test_names_of_real_life_are_allowed(name: str) -> None:
    assert check_class_name(name) == name


@given(st.text(max_size=120))
def test_an_allowed_name_is_a_file_a_cell_and_a_line(name: str) -> None:
    try:
        check_class_name(name)
    except ValueError:
        return
    assert len(f"123456789012345678_{name}.png".encode()) <= 255
    assert Path("a", name).parent == Path("a")
    assert name[0] not in "=+-@\t\r"
    assert io.StringIO(name).readlines() == [name]
    assert name.isprintable()
    assert yaml.safe_load(yaml.safe_dump([name])) == [name]


def test_the_schema_says_the_same(tmp_path: Path) -> None:
    assert '"maximum": 36500' in config_schema()
    assert load_config(write(tmp_path, GOOD)).journal.keep_days == 365
