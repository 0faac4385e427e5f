"""Review without a browser: which cards come, what is kept of a decision, and what the exports hold."""

import csv
import io
import json
import sqlite3
import unicodedata
import zipfile
from hashlib import sha256

import pytest
from starlette.testclient import TestClient

from inspectd.commands.report import cli as report
from inspectd.records.reviews import UNKNOWN, Reviews
from inspectd.records.users import Role
from inspectd.serve.web.app import make_app
from inspectd.serve.web.journal_reading import journal_of
from inspectd.serve.web.review.queue import Chooser, Filters, next_page, read_filters
from inspectd_tools.data.scan import class_folders
from tests.serve.web.conftest import VERDICTS, login_fields

HALF = "fail_label_half_printed"
REVIEWED_KINDS = (3, 4, 5, 6)
"""The parts of `VERDICTS`, counted from 1, that have an image."""


@pytest.fixture
def ask(client):
    """`ask(role, path, body)`: the status and the JSON of an answer. With a body it is a POST with the token."""

    def asked(role: Role, path: str, body: object = None):
        session = client(role)
        if body is None:
            answer = session.get(path)
        else:
            token = session.get("/review").text.partition('name="csrf" content="')[2].partition('"')[0]
            answer = session.post(path, content=json.dumps(body), headers={"X-CSRF-Token": token})
        return answer.status_code, answer.json()

    return asked


@pytest.fixture
def decide(ask):
    def decided(role: Role, part: int, says: str):
        cards = ask(role, "/review/cards?seen=all")[1]["cards"]
        (card,) = (each for each in cards if each["part"] == part)
        status, said = ask(role, "/review/decide", {"says": says, "parts": [{"part": part, "t": card["t"]}]})
        assert status == 200, said
        return said["cards"][0]

    return decided


def test_the_queue_holds_what_needs_a_look_newest_first(ask):
    status, said = ask(Role.OPERATOR, "/review/cards?seen=all")
    numbers = [card["part"] for card in said["cards"]]
    assert status == 200
    assert numbers == sorted((n for n in range(1, 71) if (n - 1) % len(VERDICTS) + 1 in REVIEWED_KINDS), reverse=True)


def test_a_card_says_what_the_line_said_and_why(ask):
    cards = {card["part"]: card for card in ask(Role.OPERATOR, "/review/cards?seen=all")[1]["cards"]}
    half, guarded, text = cards[3], cards[5], cards[6]
    assert (half["kind"], half["certainty"], half["threshold"]) == ("fault", 0.93, 0.5)
    assert guarded["certainty"] == 0.92
    assert [(each["name"], each["value"]) for each in half["scores"]][1] == (HALF, 0.93)
    assert guarded["marks"][0]["box"] == [30, 8, 12, 9]
    assert guarded["guard"]["excess"] == "1.70 times the limit"
    assert text["texts"][0]["found"] == [["LOT 7481-8", False], ["8", True]]
    assert text["texts"][0]["place"] == 11


def test_pages_follow_each_other_without_gaps_in_both_orders(plant):
    chooser = Chooser(0.5, 1.0, "anna")
    with journal_of(plant.site) as connection:
        everything = {
            row["id"]: abs(row["certainty"] - 0.5)
            for row in connection.execute("SELECT id, certainty FROM parts WHERE image IS NOT NULL")
        }
        for sort in ("newest", "nearest"):
            after, numbers = "", []
            while after is not None:
                page = next_page(connection, Filters(sort=sort, seen="all"), chooser, after, 7)
                numbers += page.numbers
                after = page.after
            assert len(numbers) == len(set(numbers))
            assert set(numbers) == set(everything)
            if sort == "newest":
                assert numbers == sorted(numbers, reverse=True)
            else:
                distances = [everything[number] for number in numbers]
                assert distances == sorted(distances)


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("show=uncertain", {4, 5}),
        ("show=rejects&verdict=fault", {3, 6}),
        ("predicted=fail_label_half_printed", {3}),
        ("field=lot", {6}),
        ("show=near", set()),
        ("show=passes", set()),
        ("engine=99", set()),
        ("until=2020-01-01T00:00", set()),
        ("since=9999-01-01T00:00", set()),
        ("since=2020-01-01T00:00&show=uncertain", {4, 5}),
    ],
)
def test_filters(ask, query, kinds):
    status, said = ask(Role.OPERATOR, f"/review/cards?seen=all&{query}")
    assert status == 200, said
    assert {(card["part"] - 1) % len(VERDICTS) + 1 for card in said["cards"]} == kinds


@pytest.mark.parametrize(
    "query",
    ["show=x", "seen=x", "sort=x", "verdict='", "engine=-1", "since=now", "after=x", "after=nan,1", "after=1,9e99"],
)
def test_a_filter_that_makes_no_sense_is_refused_in_words(ask, query):
    status, said = ask(Role.OPERATOR, f"/review/cards?{query}")
    assert status == 400
    assert said["problem"].startswith(query.partition("=")[0])


def test_new_labels_are_counted_and_come_without_the_others(ask, plant, monkeypatch):
    newest = ask(Role.ENGINEER, "/review/cards")[1]["newest"]
    plant.inspect(7)
    query = f"newer_than={newest}"
    assert ask(Role.ENGINEER, f"/review/new?{query}")[1]["parts"] == 0, "their images may not be stored yet"
    monkeypatch.setattr("inspectd.serve.web.review.queue._STORED_NS", 0)
    assert ask(Role.ENGINEER, f"/review/new?{query}")[1] == {"parts": 4, "is_all": True}
    assert ask(Role.ENGINEER, f"/review/new?{query}&show=uncertain")[1]["parts"] == 2
    said = ask(Role.ENGINEER, f"/review/cards?{query}")[1]
    wanted = [newest + part for part in range(7, 0, -1) if (newest + part - 1) % len(VERDICTS) + 1 in REVIEWED_KINDS]
    assert [card["part"] for card in said["cards"]] == wanted
    assert ask(Role.ENGINEER, f"/review/new?newer_than={said['newest']}")[1]["parts"] == 0
    assert ask(Role.ENGINEER, "/review/new?newer_than=x")[0] == 400


def test_a_page_that_asks_for_new_labels_does_not_keep_its_user_logged_in(plant):
    used = []
    with TestClient(make_app(plant.site), "http://localhost") as client:
        client.post("/login", data=login_fields(Role.OPERATOR, client.get("/login").text))
        session = plant.site.accounts._sessions[sha256(client.cookies["inspectd_session"].encode()).digest()]
        for path in ("/review/new", "/review/cards"):
            before = session.used_s
            assert client.get(path).status_code == 200
            used.append(session.used_s > before)
    assert used == [False, True]


def test_passes_are_drawn_by_their_number_so_that_everybody_sees_the_same(plant):
    for _ in range(20):
        plant.inspect(1)
    with journal_of(plant.site) as connection:
        image = connection.execute("SELECT image FROM parts WHERE image IS NOT NULL LIMIT 1").fetchone()[0]
    passes = [number for number in range(1, 91) if (number - 1) % len(VERDICTS) < 2]
    for number in passes:
        plant.journal.amend_image(number, image)
    plant.journal.flush()
    with journal_of(plant.site) as connection:

        def drawn(share: float) -> set[int]:
            return set(next_page(connection, Filters(show="passes"), Chooser(0.5, share, "anna"), "", 100).numbers)

        assert drawn(0.0) == set()
        assert drawn(0.4) == drawn(0.4) < drawn(1.0) == set(passes)


def test_another_opinion_is_hidden_until_the_own_decision(ask, decide):
    decide(Role.OPERATOR, 3, HALF)
    (card,) = [each for each in ask(Role.ENGINEER, "/review/cards?seen=all")[1]["cards"] if each["part"] == 3]
    assert (card["mine"], card["others"], card["decisions"]) == (None, 1, [])
    assert HALF not in str({**card, "scores": None, "predicted": None, "cause": None})
    card = decide(Role.ENGINEER, 3, "no_fail")
    assert card["disagree"]
    assert [(each["by"], each["says"]) for each in card["decisions"]] == [("operator", HALF)]
    seen = {
        seen: {each["part"] for each in ask(Role.OPERATOR, f"/review/cards?seen={seen}")[1]["cards"]}
        for seen in ("disagreement", "reviewed", "nobody", "open")
    }
    assert seen["disagreement"] == {3} <= seen["reviewed"]
    assert 3 not in seen["nobody"] | seen["open"]
    assert 3 in {each["part"] for each in ask(Role.ADMIN, "/review/cards?seen=open")[1]["cards"]}


def test_undo_takes_back_the_own_last_decisions(ask, decide):
    for part in (10, 17, 18):
        decide(Role.ADMIN, part, HALF)
    decide(Role.OPERATOR, 11, UNKNOWN)
    status, said = ask(Role.ADMIN, "/review/undo", {"labels": 2})
    assert (status, said["parts"], [card["mine"] for card in said["cards"]]) == (200, [18, 17], [None, None])
    assert ask(Role.ADMIN, "/review/undo", {"labels": 5})[1]["parts"] == [10]
    assert ask(Role.ADMIN, "/review/undo", {"labels": 1})[1]["parts"] == []
    assert ask(Role.ADMIN, "/review/undo", {"labels": 10**9})[0] == 400


def test_decisions_survive_a_restart(decide, plant):
    decide(Role.OPERATOR, 12, "no_fail")
    again = Reviews(plant.site.config.state / "reviews", read_only=True)
    assert 12 in {each.part for each in again.reviewed()}


def test_a_decision_that_makes_no_sense_is_refused_and_nothing_is_kept(ask, plant):
    (card,) = [each for each in ask(Role.OPERATOR, "/review/cards?seen=all")[1]["cards"] if each["part"] == 17]
    before = plant.site.reviews().counts()
    for status, body in (
        (400, [1]),
        (400, {"says": HALF, "parts": []}),
        (400, {"says": HALF, "parts": [{"part": float("inf"), "t": 1}]}),
        (409, {"says": "\ud800", "parts": [card]}),
        (400, {"says": HALF, "parts": [{"part": number, "t": 1} for number in range(200)]}),
        (409, {"says": "no such class", "parts": [card]}),
        (409, {"says": HALF, "parts": [{"part": 17, "t": "5"}]}),
        (409, {"says": HALF, "parts": [{"part": 10**12, "t": card["t"]}]}),
        (409, {"says": HALF, "parts": [{"part": 10**30, "t": card["t"]}]}),
    ):
        answer = ask(Role.OPERATOR, "/review/decide", body)
        assert answer[0] == status, answer
        assert "was not kept" in answer[1]["problem"]
    assert plant.site.reviews().counts() == before


def test_a_full_disk_is_said_and_the_card_stays_undecided(ask, plant, monkeypatch):
    (card,) = [each for each in ask(Role.OPERATOR, "/review/cards?seen=all")[1]["cards"] if each["part"] == 18]
    photos = plant.site.config.state / "reviews/photos"
    photos.rename(photos.with_name("away"))
    try:
        status, said = ask(Role.OPERATOR, "/review/decide", {"says": HALF, "parts": [card]})
    finally:
        photos.with_name("away").rename(photos)
    assert status == 507
    assert said["problem"].startswith("The decision on part 18 was not kept")
    assert said["cards"][0]["mine"] is None


def test_a_viewer_sees_parts_but_no_review(client):
    assert client(Role.VIEWER).get("/parts/3").status_code == 200
    for path in ("/review", "/review/cards", "/review/new"):
        assert client(Role.VIEWER).get(path).status_code == 403
    for path in ("/review/decide", "/review/undo", "/review/export.csv", "/review/export.zip"):
        assert client(Role.VIEWER).post(path).status_code == 403
        assert client(Role.OPERATOR).post(path).status_code == 403  # without the token


def test_the_page_of_a_part_says_everything(client):
    text = client(Role.VIEWER).get("/parts/6").text
    for words in (
        "Text wrong",
        "rejected on time",
        "0.3 ms after its due time",
        "trigger to verdict",
        "6.00 ms",
        "toy",
        "begun",
    ):
        assert words in text
    assert "/parts/5" in text
    assert "/parts/7" in text


@pytest.mark.parametrize(
    ("number", "words"),
    [(999_999, "does not exist yet. The newest part is"), (10**40, "too large"), (0, "never existed")],
)
def test_a_part_that_is_not_there_is_explained(client, number, words):
    answer = client(Role.VIEWER).get(f"/parts/{number}")
    assert answer.status_code == 404
    assert words in answer.text


def test_a_thumbnail_is_small_and_only_of_the_part_that_was_asked_for(client, ask):
    (card,) = [each for each in ask(Role.OPERATOR, "/review/cards?seen=all")[1]["cards"] if each["part"] == 3]
    answer = client(Role.VIEWER).get(f"/thumbnails/3?t={card['t']}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    for path in (
        f"/thumbnails/3?t={int(card['t']) + 1}",
        f"/thumbnails/{10**30}?t=1",
        "/thumbnails/7?t=1",
    ):
        assert client(Role.VIEWER).get(path).status_code == 404


def test_only_files_of_the_archive_are_sent(client, plant, tmp_path, ask):
    """Whatever a damaged journal says."""
    secret = tmp_path / "secret.png"
    secret.write_bytes((plant.archive / next(plant.archive.rglob("*.png"))).read_bytes())
    (card,) = [each for each in ask(Role.OPERATOR, "/review/cards?seen=all")[1]["cards"] if each["part"] == 24]
    for path in (secret, plant.archive / ".." / ".." / secret, plant.archive.parent / "web/accounts.sqlite"):
        plant.journal.amend_image(24, str(path))
        plant.journal.flush()
        assert client(Role.VIEWER).get(f"/thumbnails/24?t={card['t']}").status_code == 404
        assert ask(Role.OPERATOR, "/review/decide", {"says": HALF, "parts": [card]})[0] == 410


def test_a_reviewed_photo_is_shown_after_the_archive_has_deleted_it(client, plant, ask, decide):
    card = decide(Role.OPERATOR, 25, HALF)
    other = next(each for each in ask(Role.OPERATOR, "/review/cards?seen=all")[1]["cards"] if each["part"] == 26)
    for number in (25, 26):
        next(plant.archive.rglob(f"{number:09d}_*.png")).unlink()
    assert client(Role.VIEWER).get(card["image"]).headers["content-type"] == "image/png"
    assert client(Role.VIEWER).get(f"/thumbnails/25?t={card['t']}").status_code == 200
    assert client(Role.VIEWER).get(other["image"]).status_code == 404
    gone = {each["part"]: each["gone"] for each in ask(Role.OPERATOR, "/review/cards?seen=all")[1]["cards"]}
    assert (gone[25], gone[26]) == (False, True)
    assert decide(Role.ENGINEER, 25, HALF)["mine"] == HALF
    assert ask(Role.OPERATOR, "/review/decide", {"says": HALF, "parts": [other]})[0] == 410


def saved(client, path: str):
    session = client(Role.OPERATOR)
    token = session.get("/review").text.partition('name="csrf" content="')[2].partition('"')[0]
    answer = session.post(path, data={"csrf": token})
    assert answer.status_code == 200, answer.text
    return answer


def test_the_csv_is_that_of_the_report(client, plant, capsys):
    report.run(report.Options(None, plant.site.line.journal, last="1d", since=None, until=None, json=False, csv=True))
    rows = {row["id"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out, newline=""))}
    answer = saved(client, "/review/export.csv?show=uncertain&seen=all")
    found = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert found == [rows[row["id"]] for row in found] != []
    assert 'filename="printer-3-parts.csv"' in answer.headers["content-disposition"]


def test_the_zip_holds_photos_in_folders_that_prepare_data_reads(client, plant, decide, tmp_path):
    decide(Role.OPERATOR, 31, HALF)
    decide(Role.OPERATOR, 32, "no_fail")
    decide(Role.OPERATOR, 33, UNKNOWN)
    answer = saved(client, "/review/export.zip?seen=all")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
        names = archive.namelist()
    assert all(not name.startswith("/") and ".." not in name for name in names)
    labels = {int(row["part"]): row for row in csv.DictReader((tmp_path / "labels.csv").open(newline=""))}
    assert labels[31]["label"] == HALF
    assert labels[31]["decisions"] == f"operator: {HALF}"
    assert labels[33]["photo"].startswith("photos/unknown_reviewed/")
    assert labels[3]["photo"].startswith("undecided/")  # two reviewers disagree
    reviewed = {each.part: each.photo.read_bytes() for each in plant.site.reviews().reviewed()}
    assert (tmp_path / labels[31]["photo"]).read_bytes() == reviewed[31]
    assert set(class_folders(tmp_path / "photos")) >= {HALF, "no_fail", "unknown_reviewed"}


def test_class_names_with_markup_or_sql_do_no_harm():
    assert read_filters({"predicted": "<b>' OR 1=1 --", "field": "';--"}).predicted == "<b>' OR 1=1 --"


def test_names_of_folders_in_the_zip_are_safe_and_never_shared():
    from inspectd.serve.web.pages.export import _Folders

    folders = _Folders()
    accents = ("e\u0301t\u00e9", "\u00e9te\u0301", "\u00c9T\u00c9", "stra\u00dfe", "STRASSE")
    devices = ("con", "CON", "con_", "Nul", "aux", "prn", "com1", "LPT9", "com\u00b9", "nul.png", "con:")
    labels = ("a b", "a_b", "A_B", "a.b", "dots...", "dots___", "<x>", *accents, *devices, None, UNKNOWN)
    names = [folders.of(name) for name in labels]
    assert [folders.of(name) for name in labels] == names
    assert len({unicodedata.normalize("NFKC", name).casefold() for name in names}) == len(labels)
    assert not any(set(name) & set('<>:"\\|?*.') for name in names)
    last = {name.rpartition("/")[2].upper() for name in names}
    assert not last & {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9", "COM\u00b9"}
    assert {"CON_", "NUL_"} <= last


def test_the_reviews_can_be_lost_without_the_journal_being_touched(plant):
    with journal_of(plant.site) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM reviews.labels")
