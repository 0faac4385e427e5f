"""The card of a built engine against a recount of what tools/evaluate.py says of the same photos, one by one."""

import csv
import json
from base64 import b64decode
from html.parser import HTMLParser
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import save_file
from scipy.stats import beta

from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd.learning.card_page import write_page
from inspectd_tools.data.images import Images
from inspectd_tools.deploy import cli as build_engine
from inspectd_tools.deploy.card.cases import cases
from inspectd_tools.deploy.card.examples import choose, write_examples
from inspectd_tools.deploy.card.performance import blind_spots
from inspectd_tools.deploy.judged import Judged
from inspectd_tools.evaluation import cli as evaluate
from inspectd_tools.explain import cli as explain
from inspectd_tools.explain.coverage import random_classifier
from inspectd_tools.explain.network import Network
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.settings import load_settings
from inspectd_tools.training import cli as train
from tests.factories import GREY_OF_CLASS, UNKNOWN_GREY, make_toy_bundle, toy_image

CROOKED, HALF, PARTLY, GOOD = GREY_OF_CLASS
HOSTILE = (
    "a|b",
    "<img src=x onerror=alert(1)>",
    "*good* `code` [link](http:x) &lt;",
    "__init__ ~~x~~",
    "a line | of # words",
)
SETTINGS = (
    *("pretrained=false", "epochs=6", "epoch_images=96", "batch_size=8", "lr=0.005", "augmentation=no_augment"),
    *("head_fit=covariance", "centroid_size=8", "input.width=64", "input.height=48"),
)
TEST = {
    CROOKED: [CROOKED] * 8 + [GOOD],  # the last one passes
    HALF: [HALF] * 9,
    PARTLY: [PARTLY] * 8 + [HALF],
    GOOD: [GOOD] * 8 + [CROOKED, (GREY_OF_CLASS[GOOD] + UNKNOWN_GREY) // 2],
    "unknown_dark": [0] * 5,
    "unknown_oil": [UNKNOWN_GREY] * 5,
    "unknown_product": [GOOD] * 2 + [UNKNOWN_GREY] * 3,
}


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Labels that differ in their grey; some of the test, and one unknown of the calibration, are not what they are called."""
    folder = tmp_path_factory.mktemp("labels")
    clean = {name: [name] * 24 for name in GREY_OF_CLASS}
    draw(folder / "train", clean, seed=0)
    draw(folder / "calibration", {**clean, "unknown_oil": [UNKNOWN_GREY] * 23 + [GOOD]}, seed=1000)
    draw(folder / "test", TEST, seed=2000)
    changes = [text for setting in SETTINGS for text in ("--set", setting)]
    data = ["--data", str(folder / "train"), "--run", str(folder / "run")]
    assert train.main(["filter-label", *data, *changes]) == 0
    return folder


@pytest.fixture(scope="module")
def engine(labels):
    return built(labels / "run", labels, labels / "engine")


@pytest.fixture(scope="module")
def photos(labels, engine):
    """What the line's own engine says of each test photo."""
    out = labels / "evaluation"
    assert evaluate.main([str(engine), "--data", str(labels / "test"), "--out", str(out), "--limit", "0"]) == 0
    with (out / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        scores = {name.removeprefix("score "): float(row[name]) for name in row if name.startswith("score ")}
        row["score"] = scores[GOOD]
        row["as good"] = scores[GOOD] if max(scores, key=scores.get) == GOOD else 0.0
    return rows


def draw(folder, contents, seed):
    for label, (name, drawn) in enumerate(contents.items()):
        (folder / name).mkdir(parents=True)
        for place, content in enumerate(drawn):
            image = toy_image(content, seed=seed + 100 * label + place, width=320, height=240)
            cv2.imwrite(str(folder / name / f"{place}|<b>.png"), image)


def built(run, data, out):
    images = ["--calibration", str(data / "calibration"), "--test", str(data / "test"), "--alpha", "0.2"]
    assert build_engine.main([str(run), "--name", "quick", *images, "--out", str(out)]) == 0
    return out


def test_one_folder_can_not_be_training_and_calibration(labels, tmp_path, capsys):
    for calibration, test, seen in (
        ("train", "test", "calibration photos are training photos"),
        ("train", "train", "test photos are calibration photos"),
    ):
        images = ["--calibration", str(labels / calibration), "--test", str(labels / test), "--alpha", "0.2"]
        assert build_engine.main([str(labels / "run"), "--name", "q", *images, "--out", str(tmp_path / "engine")]) == 78
        assert seen in capsys.readouterr().err
        assert not (tmp_path / "engine").exists()


def test_the_card_names_the_photos_that_decide_the_threshold(engine):
    manifest = load_bundle(engine).manifest
    found = tables_of(engine)["is", "image", "certainty", "at the threshold"]
    certainty = [float(row[2]) for row in found]
    assert certainty == sorted(certainty, reverse=True)
    assert {row[0] for row in found} <= set(manifest.threshold.false_accepts)
    passed = sum(kind.passed for kind in manifest.threshold.false_accepts.values())
    assert found[0][:2] == ["unknown_oil", "23\\|\\<b\\>.png"]
    assert passed == 1
    assert [row[3] for row in found] == ["passes"] * passed + ["just below"] * (len(found) - passed)
    assert max(certainty[passed:], default=0) < manifest.threshold.value


def test_several_bounds_are_asked_for_at_once(labels, tmp_path):
    images = ["--calibration", str(labels / "calibration"), "--test", str(labels / "test"), "--alpha", "0.2,0.3"]
    out = tmp_path / "engine"
    assert build_engine.main([str(labels / "run"), "--name", "q", *images, "--out", str(out)]) == 0
    threshold = load_bundle(out).manifest.threshold
    rows = tables_of(out)["bound", "threshold", "good parts rejected"]
    assert [row[0] for row in rows] == ["20.00%", "30.00%"]
    assert rows[0][1] == f"{threshold.value:.4f}"
    assert "2 values of alpha were tried at once" in threshold.method
    # with the 20 % of the other engine it is the second choice on these photos
    assert threshold.confidence == pytest.approx(0.9)
    assert "with 90% confidence" in card_of(out)


def tables_of(bundle):
    """Header -> rows of cells, of the Markdown."""
    lines = (line[2:-2].split(" | ") if line.startswith("| ") else None for line in card_of(bundle).splitlines())
    found = [list(rows) for is_table, rows in groupby(lines, key=lambda cells: cells is not None) if is_table]
    return {tuple(header): rows for header, _, *rows in found}


def card_of(bundle):
    return (bundle / "card.md").read_text()


def rate(answers):
    """As the card writes it, with the interval from the beta distribution."""
    errors, n = sum(answers), len(answers)
    low = beta.ppf(0.025, errors, n - errors + 1) if errors else 0
    high = beta.ppf(0.975, errors + 1, n - errors) if errors < n else 1
    return [f"{errors} of {n} ({errors / n:.2%})", f"{low:.2%} to {high:.2%}"]


def passed(rows):
    return [row["verdict"] == "pass" for row in rows]


class Page(HTMLParser):
    """Its tags, the texts of its cells, and all that it would fetch."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.cells, self.sources, self.is_cell = set(), [], [], False
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href", "srcset", "style")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag in ("td", "th"):
            self.cells.append("")
            self.is_cell = True

    def handle_endtag(self, tag):
        self.is_cell = False

    def handle_data(self, data):
        if self.is_cell:
            self.cells[-1] += data


def test_every_figure_is_that_of_an_evaluation(engine, photos):
    found = tables_of(engine)
    unknown = [row for row in photos if row["truth"].startswith("unknown_")]
    known = [row for row in photos if row not in unknown]
    good = [row for row in known if row["truth"] == GOOD]
    assert found["", "images", "95 % interval"] == [
        ["taken for another class", *rate([row["predicted"] != row["truth"] for row in known])],
        ["faulty labels passed", *rate(passed(row for row in known if row not in good))],
        ["unknown labels passed", *rate(passed(unknown))],
        ["good labels rejected", *rate([not answer for answer in passed(good)])],
    ]
    classes = load_bundle(engine).manifest.classes
    of_class = {name: [row for row in known if row["truth"] == name] for name in classes}
    assert found["class", "right", "95 % interval", "passed", "95 % interval"] == [
        [name, *rate([row["predicted"] == name for row in rows]), *rate(passed(rows))]
        for name, rows in of_class.items()
    ]


def test_unknowns_are_ranked_by_what_is_worst(engine, photos):
    kinds = {}
    for row in photos:
        if row["truth"].startswith("unknown_"):
            kinds.setdefault(row["truth"], []).append(row)
    ranked = sorted(kinds, key=lambda kind: (-sum(passed(kinds[kind])), -max(row["as good"] for row in kinds[kind])))
    found = tables_of(engine)["unknown", "passed", "95 % interval", f"highest certainty as {GOOD}"]
    assert len(found) == 3
    for kind, cells in zip(ranked, found, strict=True):
        highest = max(row["as good"] for row in kinds[kind])
        assert cells[:3] == [kind, *rate(passed(kinds[kind]))]
        assert cells[3] == f"{highest:.4f}" if highest else f"none taken for {GOOD}"


def test_photos_nearest_to_the_threshold_are_named_and_those_beyond_it_first(engine, photos):
    threshold = load_bundle(engine).manifest.threshold.value
    bad = sorted((row for row in photos if row["truth"] != GOOD), key=lambda row: (-row["as good"], -row["score"]))
    good = sorted((row for row in photos if row["truth"] == GOOD), key=lambda row: (row["as good"], row["score"]))
    found = tables_of(engine)["is", "image", "beyond by", "verdict", "taken for", "certainty"]
    for row, cells in zip([*bad[:5], *good[:5]], found, strict=True):
        margin = row["as good"] - threshold if row in bad else threshold - row["as good"]
        verdict = {"pass": "passed", "fault": "rejected: fault", "uncertain": "rejected: uncertain"}[row["verdict"]]
        said = [f"{margin:+.4f}", verdict, row["predicted"], f"{float(row['certainty']):.4f}"]
        assert [cells[0], cells[1].replace("\\", ""), *cells[2:]] == [row["truth"], Path(row["path"]).name, *said]


def test_it_says_what_it_is_for_and_what_not(engine):
    card = card_of(engine)
    manifest = load_bundle(engine).manifest
    assert f"Classes, in the order of the scores: {', '.join(manifest.classes)}; no_fail passes." in card
    assert "Input: 64x48 px, grey, of the whole image." in card
    assert "Not for another product" in card
    assert "Don't believe a map unchecked: `tools/explain.py check`" in card
    assert load_engine(load_bundle(engine), InferenceConfig()).manifest == manifest


def test_typical_and_worst_photos_are_shown_beside_their_maps(labels, engine, photos, tmp_path):
    """The last pair but one is the worst good photo: drawn as `explain.py maps` draws photo and overlay."""
    page = cv2.imread(str(engine / "explanations.jpg"))
    known = [row for row in photos if not row["truth"].startswith("unknown_")]
    n = len({row["truth"] for row in known if row["predicted"] == row["truth"]}) + 6
    good = sorted((row for row in photos if row["truth"] == GOOD), key=lambda row: (row["as good"], row["score"]))
    (tmp_path / "photos" / GOOD).mkdir(parents=True)
    photo = cv2.imread(good[0]["path"])
    cv2.imwrite(str(tmp_path / "photos" / GOOD / "0.png"), photo)
    arguments = [str(labels / "run"), "--data", str(tmp_path / "photos")]
    assert explain.main(["maps", *arguments, "--out", str(tmp_path / "maps")]) == 0
    (drawn,) = (tmp_path / "maps" / GOOD).glob("*.png")
    drawn = cv2.imread(str(drawn))
    height, width = photo.shape[:2]
    gap_px = (drawn.shape[1] - 3 * width) // 2
    rows = n // 2
    row_px = page.shape[0] // rows
    assert page.shape == (rows * row_px, 2 * (2 * width + gap_px + 16), 3)
    assert n % 2 == 0
    shown = page[-16 - height : -16]
    assert np.abs(shown[:, :width].astype(int) - photo).mean() < 3
    overlay = drawn[-height:, 2 * (width + gap_px) :].astype(int)
    difference = np.abs(shown[:, width + gap_px :][:, :width] - overlay)
    drawn_over = np.abs(photo - overlay).mean()
    assert drawn_over > 1
    assert difference.mean() < drawn_over / 2, (
        difference.mean(),
        drawn_over,
    )  # the engine's weights are rounded, the run's not


@pytest.mark.parametrize("backbone", ["MobileNetV2", "ResNet18", "ShuffleNetV2", "EfficientNetB1"])
@pytest.mark.parametrize("head", ["softmax", "DUQ"])
def test_every_backbone_and_head_has_its_maps(tmp_path, backbone, head):
    classifier = random_classifier(backbone, head == "DUQ", 64)
    test, manifest = one_right_photo_a_class(tmp_path)
    settings = [f"classes={json.dumps(test.names)}", f"pass_class={GOOD}", "input.width=64", "input.height=64"]
    settings = load_settings("photos", settings)
    path = tmp_path / "explanations.jpg"
    write_examples(path, choose(cases(test, manifest), test.names), Network(classifier, "contrast"), test, settings)
    page = cv2.imread(str(path))
    first = page[page.shape[0] // 4 - 16 - 320 :][:320]  # 4 typical ones, 2 faulty ones and the good one
    assert np.abs(first[:, :320].astype(int) - cv2.imread(str(test.images.files[0]))).mean() < 3
    assert np.ptp(page.astype(int), axis=2).max() > 50  # the photos are grey


def test_where_no_unknown_was_tried_nothing_is_known_of_them(tmp_path):
    test, manifest = one_right_photo_a_class(tmp_path)
    assert "No unknown was tried" in "\n".join(blind_spots(cases(test, manifest), manifest, test))


def one_right_photo_a_class(folder):
    """(1, 3, 64, 64) noise each, of which the engine is certain, and photos to draw in its place."""
    files = tuple(folder / f"{name}.png" for name in GREY_OF_CLASS)
    for file, grey in zip(files, GREY_OF_CLASS.values(), strict=True):
        cv2.imwrite(str(file), toy_image(grey, width=320, height=320))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 64, 64)).astype(np.uint8)
    images = Images(files, pixels, np.arange(4), ("",) * 4)
    manifest = load_bundle(make_toy_bundle(folder / "toy")).manifest
    return Judged(images, np.arange(4, dtype=np.int32), tuple(GREY_OF_CLASS), np.eye(4, dtype=np.float32)), manifest


def test_the_page_is_one_file_that_fetches_nothing(engine):
    page = Page(engine / "card.html")
    pictures = [b64decode(source.partition(";base64,")[2]) for source in page.sources]
    assert pictures == [(engine / name).read_bytes() for name in ("threshold.png", "deciding.jpg", "explanations.jpg")]
    assert [source.partition(";")[0] for source in page.sources] == [
        "data:image/png",
        "data:image/jpeg",
        "data:image/jpeg",
    ]
    cells = [cell for header, rows in tables_of(engine).items() for row in (header, *rows) for cell in row]
    assert page.cells == [cell.replace("\\", "") for cell in cells]
    assert "script" not in page.tags


def test_html_in_the_markdown_stays_text(tmp_path):
    write_page(
        tmp_path / "card.html", "# <b>quick\n\n<script>alert(1)</script>\n\n<img src=x> [link](javascript:alert)"
    )
    page = Page(tmp_path / "card.html")
    assert page.tags <= {"html", "head", "meta", "title", "style", "body", "h1", "p"}
    assert "<title>&lt;b&gt;quick</title>" in (tmp_path / "card.html").read_text()


def test_names_of_classes_are_text_wherever_they_stand(tmp_path):
    """And a network that has no place to look at says so: the small one's last feature map is 1x1."""
    unknown = "unknown_<script>alert(1)<"
    contents = {name: [50 * label] * 30 for label, name in enumerate((*HOSTILE, unknown))}
    for number, side in enumerate(("calibration", "test")):
        draw(tmp_path / side, contents, seed=1000 * number)
    settings = [f"classes={json.dumps(HOSTILE)}", f"pass_class={HOSTILE[0]}", "model=DuqCnn", "RBF_flag=false"]
    settings = load_settings("photos", [*settings, "input.width=28", "input.height=28"])
    run = tmp_path / "run"
    run.mkdir()
    torch.manual_seed(0)
    weights = Classifier(settings).state_dict()
    save_file({name: value.contiguous() for name, value in weights.items()}, run / "weights.safetensors")
    (run / "settings.json").write_text(settings.model_dump_json())
    made = {"n_train": 8, "n_validation": 2, "weights": "<b>.pth", "data_fingerprint": "0" * 64}
    (run / "provenance.json").write_text(json.dumps(made))
    bundle = built(run, tmp_path, tmp_path / "engine")
    page = Page(bundle / "card.html")
    tags = {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "h2",
        "h3",
        "p",
        "ul",
        "li",
        "code",
        "div",
        "img",
        "br",
    }
    assert page.tags <= tags | {"table", "thead", "tbody", "tr", "th", "td"}
    start = page.cells.index("class")
    assert page.cells[start + 5 :: 5][:5] == [name.replace("\n", " ") for name in HOSTILE]
    assert page.cells.count(unknown) >= 2
    assert any(cell.endswith("|<b>.png") for cell in page.cells)
    assert len(page.sources) == 3
    assert load_engine(load_bundle(bundle), InferenceConfig()).manifest.classes == HOSTILE
