"""An engine with a guard: what it sees, what it refuses to load, and that nothing passes when the guard fails."""

import io
import pickle
import random
import shutil
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.errors import EngineError, InferenceError
from inspectd.guard.judgement import Finding, Judgement
from inspectd.inference import Engine, InferenceConfig, load_bundle, load_engine
from inspectd.inference.bundled_guard import BundledGuard, find_anomaly
from inspectd.inference.signature import sign, write_keys
from inspectd.part import AnomalyKind, Fault, Pass, Uncertain, words
from tests.factories import add_guard, edit_manifest, make_toy_bundle, sha256_of, small_label, toy_image
from tests.inference.test_fuzz import cut_short, flip_bytes, insert_bytes

MUTATIONS = 150
KINDS: tuple[AnomalyKind, ...] = ("print", "part", "turned", "shifted", "faded")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_guard(make_toy_bundle(tmp_path_factory.mktemp("engines") / "toy"))


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    """A fresh bundle with a guard, to spoil."""
    return Path(shutil.copytree(pristine, tmp_path / "toy"))


@pytest.fixture(scope="module")
def engine(pristine: Path) -> Engine:
    return load(pristine)


def load(folder: Path) -> Engine:
    return load_engine(load_bundle(folder), InferenceConfig(backend="onnxruntime", threads=1))


def refusal(folder: Path) -> str:
    with pytest.raises(EngineError) as error:
        load(folder)
    return str(error.value)


def edit_guard(folder: Path, **changes: Any) -> None:
    edit_manifest(folder, lambda values: values["guard"].update(changes))


def test_a_good_label_passes_the_guard(engine: Engine) -> None:
    for seed in range(100, 110):
        judged = engine.judge(small_label(seed=seed))
        assert isinstance(judged.verdict, Pass)
        assert judged.guard_us is not None
        assert judged.guard_us > 0


@pytest.mark.parametrize(
    ("fault", "place"), [({"blot_px": 10}, (79, 65)), ({"beside_px": 10}, (115, 89)), ({"shift_px": 6}, None)]
)
def test_a_small_fault_that_the_network_passes_is_an_anomaly(
    engine: Engine, fault: dict[str, int], place: tuple[int, int] | None
) -> None:
    image = small_label(seed=100, **fault)
    assert isinstance(engine.policy.judge(engine.infer(engine.preprocess(image)).tolist()), Pass)
    verdict = engine.judge(image).verdict
    assert isinstance(verdict, Uncertain)
    assert verdict.anomaly is not None
    assert verdict.anomaly.excess > 1
    assert words(verdict).reason == "anomaly"
    if place is not None:
        left, top, width, height = verdict.anomaly.box
        assert left <= place[0] <= left + width
        assert top <= place[1] <= top + height


def test_a_label_that_the_network_rejects_is_not_shown_to_the_guard(engine: Engine) -> None:
    fault = engine.judge(toy_image("fail_label_half_printed", width=160, height=120))
    assert isinstance(fault.verdict, Fault)
    unknown = engine.judge(toy_image(160, width=160, height=120))
    assert isinstance(unknown.verdict, Uncertain)
    assert unknown.verdict.anomaly is fault.guard_us is unknown.guard_us is None


def test_colour_images_are_turned_to_grey(engine: Engine) -> None:
    image = small_label(seed=100)
    assert isinstance(engine.judge(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)).verdict, Pass)
    faulty = small_label(seed=100, blot_px=10)
    tinted = cv2.merge([faulty // 2, faulty, faulty])
    grey = cv2.cvtColor(tinted, cv2.COLOR_BGR2GRAY)
    assert engine._guard is not None
    assert engine._guard.judge(tinted)[0] == engine._guard.judge(grey)[0] is not None


def test_an_engine_without_guard_loads_and_judges_as_before(tmp_path: Path) -> None:
    engine = load(make_toy_bundle(tmp_path / "toy"))
    judged = engine.judge(toy_image("no_fail"))
    assert isinstance(judged.verdict, Pass)
    assert judged.guard_us is None
    assert engine.misfit((1, 1)) is None


@pytest.mark.parametrize("shape", [(120, 161), (121, 160), (160, 120), (120, 161, 3)])
@pytest.mark.parametrize("grey", [200, 80])
def test_an_image_of_another_size_is_an_error_whatever_it_shows(
    engine: Engine, shape: tuple[int, ...], grey: int
) -> None:
    with pytest.raises(InferenceError, match=r"fitted to images of 160x120 px, but the image has .*fit_guard.py"):
        engine.judge(np.full(shape, grey, np.uint8))


def judged(scores: Sequence[float], box: tuple[int, int, int, int] = (0, 0, 8, 8)) -> Judgement:
    return Judgement(tuple(Finding(kind, score, box) for kind, score in zip(KINDS, scores, strict=False)), (), None)


def broken(engine: Engine, judge: Callable[[Any], Any]) -> Engine:
    """The engine with a guard whose scores come from `judge`."""
    other = object.__new__(Engine)
    other.__dict__.update(engine.__dict__)
    guard = object.__new__(BundledGuard)
    guard.__dict__.update(engine._guard.__dict__)
    guard._guard = SimpleNamespace(judge=judge, size=guard.size)  # type: ignore[assignment]
    other._guard = guard
    return other


@pytest.mark.parametrize("error", [ValueError("x"), cv2.error("x"), MemoryError(), ZeroDivisionError(), KeyError("x")])
def test_a_guard_that_raises_is_an_engine_error(engine: Engine, error: Exception) -> None:
    def fail(_: Any) -> None:
        raise error

    with pytest.raises(InferenceError, match="the guard failed"):
        broken(engine, fail).judge(small_label(seed=100))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
@pytest.mark.parametrize("place", range(len(KINDS)))
def test_scores_that_are_not_numbers_are_an_engine_error(engine: Engine, bad: float, place: int) -> None:
    scores = [0.1] * len(KINDS)
    scores[place] = bad
    judgement = judged(scores)
    with pytest.raises(InferenceError, match="not numbers from 0 on"):
        broken(engine, lambda _: judgement).judge(small_label(seed=100))


def test_too_few_scores_are_an_engine_error(engine: Engine) -> None:
    with pytest.raises(InferenceError, match="3 scores"):
        broken(engine, lambda _: judged((0.1, 0.1, 0.1))).judge(small_label(seed=100))


SCORES = st.tuples(*[st.floats(0, 1e6)] * len(KINDS))
LIMITS = st.tuples(*[st.floats(1e-3, 1e6)] * len(KINDS))
BOXES = st.tuples(st.integers(-500, 500), st.integers(-500, 500), st.integers(0, 400), st.integers(0, 400))


@given(SCORES, LIMITS, BOXES)
def test_an_anomaly_is_the_score_farthest_above_its_limit(scores, limits, box) -> None:
    found = find_anomaly(judged(scores, box), limits, (160, 120))
    assert (found is None) == all(score <= limit for score, limit in zip(scores, limits, strict=True))
    if found is None:
        return
    shares = {kind: score / limit for kind, score, limit in zip(KINDS, scores, limits, strict=True)}
    assert found.excess == shares[found.kind] == max(shares.values())
    left, top, width, height = found.box
    assert 0 <= left < left + width <= 160
    assert 0 <= top < top + height <= 120


@given(st.integers(0, 3), st.floats(1e-3, 1e6))
def test_a_score_at_its_limit_is_good_and_the_next_number_is_not(place: int, limit: float) -> None:
    limits = (limit,) * len(KINDS)
    scores = [limit] * len(KINDS)
    assert find_anomaly(judged(scores), limits, (160, 120)) is None
    scores[place] = float(np.nextafter(limit, np.inf))
    assert find_anomaly(judged(scores), limits, (160, 120)) is not None


def test_the_measured_times_include_the_guard(pristine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = BundledGuard.judge

    def slow(*arguments: Any) -> Any:
        time.sleep(0.01)
        return judge(*arguments)

    monkeypatch.setattr(BundledGuard, "judge", slow)
    engine = load(pristine)
    assert engine.median_ms > 10
    assert engine.service_ms > 10


@pytest.mark.parametrize(("factor", "is_refused"), [(1.03, True), (0.97, True), (1.005, False)])
def test_other_golden_scores_are_refused(folder: Path, factor: float, is_refused: bool) -> None:
    def scale(values: dict[str, Any]) -> None:
        good = [golden["path"] for golden in values["golden"]].index("golden/no_fail.png")
        scores, limits = values["guard"]["golden_scores"][good], values["guard"]["limits"]
        # as far as `factor` is from 1, as a share of what is compared
        scores[0] += (factor - 1) * max(scores[0], limits[0])

    edit_manifest(folder, scale)
    if is_refused:
        message = refusal(folder)
        assert "golden/no_fail.png: the guard gives print the score" in message
        assert "was recorded" in message
    else:
        load(folder)


def test_scores_far_above_the_limit_are_only_known_to_be_far(folder: Path) -> None:
    def move(values: dict[str, Any]) -> None:
        for scores in values["guard"]["golden_scores"]:
            scores[0] = scores[0] * 1.5 if scores[0] > 10 * values["guard"]["limits"][0] else scores[0]

    edit_manifest(folder, move)
    load(folder)
    edit_manifest(folder, lambda values: values["guard"]["golden_scores"][0].__setitem__(0, 0.5))
    assert "golden/fail_label_crooked_print.png" in refusal(folder)


def test_another_guard_is_refused_by_its_golden_scores(folder: Path, tmp_path: Path) -> None:
    other = add_guard(make_toy_bundle(tmp_path / "other"), fitted_to=8)
    (folder / "guard.npz").write_bytes((other / "guard.npz").read_bytes())
    edit_manifest(folder)
    assert "the guard gives" in refusal(folder)


def test_a_golden_image_of_another_size_is_refused(folder: Path) -> None:
    cv2.imwrite(str(folder / "golden/no_fail.png"), toy_image("no_fail"))
    edit_manifest(folder)
    assert "golden/no_fail.png: the guard of this engine was fitted to images of 160x120 px" in refusal(folder)


def test_a_guard_for_another_size_than_stated_is_refused(folder: Path) -> None:
    edit_guard(folder, width=640)
    assert "guard.npz: is for images of 160x120 px, but engine.yaml says 640x120 px" in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"limits": [0.0, 1.0, 1.0, 1.0, 1.0]}, "guard.limits.0"),
        ({"limits": [-1.0, 1.0, 1.0, 1.0, 1.0]}, "guard.limits.0"),
        ({"limits": [float("nan"), 1.0, 1.0, 1.0, 1.0]}, "guard.limits.0"),
        ({"limits": [1.0, 1.0, 1.0]}, "limits: has 3 values for 5 kinds: print, part, turned, shifted, faded"),
        ({"kinds": ["part"]}, "limits: has 5 values for 1 kinds: part"),
        ({"kinds": []}, "guard.kinds"),
        ({"golden_scores": [[1.0] * len(KINDS)]}, "golden_scores of 1 images, but there are 4 golden images"),
        ({"golden_scores": [[1.0, 1.0, float("inf"), 1.0, 1.0]] * 4}, "golden_scores"),
        ({"rejected_good": 13}, "rejected_good: 13 is more than n_good, 12"),
        ({"path": "../guard.npz"}, "must be a relative path inside the bundle"),
        ({"fitted_to": 0}, "fitted_to"),
    ],
)
def test_a_guard_that_contradicts_the_rest_is_refused(folder: Path, changes: dict[str, Any], said: str) -> None:
    edit_guard(folder, **changes)
    with pytest.raises(EngineError) as error:
        load_bundle(folder)
    assert said in str(error.value)


def test_a_damaged_guard_is_refused_before_it_is_opened(folder: Path) -> None:
    path = folder / "guard.npz"
    data = path.read_bytes()
    path.write_bytes(flip_bytes(data, random.Random(1)))
    with pytest.raises(EngineError, match=r"guard\.npz: is not the file that engine.yaml lists"):
        load_bundle(folder)
    path.unlink()
    with pytest.raises(EngineError, match=r"guard\.npz"):
        load_bundle(folder)


def test_a_signature_covers_the_guard(folder: Path, tmp_path: Path) -> None:
    write_keys(tmp_path / "private.pem", tmp_path / "public.pem")
    sign(load_bundle(folder), tmp_path / "private.pem")
    config = InferenceConfig(backend="onnxruntime", threads=1, signed_by=tmp_path / "public.pem")
    load_engine(load_bundle(folder), config)
    edit_guard(folder, limits=[9.0] * len(KINDS))
    load(folder)
    with pytest.raises(EngineError, match="is not a signature of this"):
        load_engine(load_bundle(folder), config)


def test_a_file_changed_between_check_and_load_is_refused(folder: Path) -> None:
    bundle = load_bundle(folder)
    (folder / "guard.npz").write_bytes(b"another")
    with pytest.raises(EngineError, match="SHA-256 differs"):
        load_engine(bundle, InferenceConfig(backend="onnxruntime", threads=1))


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def bomb() -> bytes:
    """1 GiB of zeros in 1 MB."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("mean.npy", "w") as member:
        for _ in range(1024):
            member.write(bytes(1 << 20))
    return file.getvalue()


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was run",))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a zip file"),
        (b"PK", "not a zip file"),
        (npy(np.zeros(3)), "not a zip file"),
        (npz(format=np.array(1)), "size"),
        (npz(format=np.array([Evil()], dtype=object)), "allow_pickle=False"),
        (pickle.dumps(Evil()), "not a zip file"),
        (bomb(), "its arrays take 1073741824 bytes; 268435456 are allowed"),
    ],
    ids=["empty", "cut", "npy", "incomplete", "pickle inside", "pickle", "bomb"],
)
def test_a_file_that_is_not_a_guard_is_refused(folder: Path, data: bytes, said: str) -> None:
    (folder / "guard.npz").write_bytes(data)
    edit_manifest(folder)
    message = refusal(folder)
    assert "guard.npz: can't be read as a guard" in message
    assert said in message


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("size", np.array([10**9, 10**9]), "engine.yaml says 160x120 px"),
        ("region", np.array([0, 0, 10**9, 10**9]), "print region"),
        ("region", np.array([8, 8, 8, 8]), "print region"),
        ("region", np.array([np.nan] * 4), "print region"),
        ("usual", np.array([np.nan] * 5), "not numbers from 0 on"),
        ("view_part_rows", np.array(0), ""),
        ("view_part_rows", np.array(10**9), ""),
        ("view_part_mean", np.zeros((10**9, 0), np.float32), "are not those of windows"),
        ("view_part_mean", np.zeros((3, 36), np.float32), "are not those of windows"),
        ("view_part_whitening", np.zeros((1, 666), np.float16), "are not those of windows"),
        ("part0_mean", np.zeros((1, 1), np.float32), ""),
        ("part0_mean", np.full((15, 20), np.nan, np.float32), ""),
    ],
)
def test_arrays_that_contradict_each_other_are_refused(folder: Path, name: str, array: Any, said: str) -> None:
    with np.load(folder / "guard.npz") as file:
        arrays = dict(file)
    assert name in arrays
    (folder / "guard.npz").write_bytes(npz(**{**arrays, name: array}))
    edit_manifest(folder)
    assert said in refusal(folder)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_mutated_guards_are_refused_or_give_the_recorded_scores(folder: Path) -> None:
    """With hashes and seal made anew. Any other exception is the defect that is looked for."""
    data = (folder / "guard.npz").read_bytes()
    good, (recorded, *_) = small_label(seed=99), load_bundle(folder).manifest.guard.golden_scores[3:]
    refused = 0
    for number in range(MUTATIONS):
        rng = random.Random(number)
        (folder / "guard.npz").write_bytes(rng.choice([flip_bytes, cut_short, insert_bytes])(data, rng))
        bundle = load_bundle_with(folder)
        try:
            BundledGuard(bundle, bundle.manifest.guard, 1).check_golden(good, recorded)
        except (EngineError, InferenceError):
            refused += 1
    assert refused > MUTATIONS * 0.9


def load_bundle_with(folder: Path) -> Any:
    digest = sha256_of(folder / "guard.npz")
    edit_manifest(folder, lambda values: values["guard"].update(sha256=digest))
    return load_bundle(folder)
