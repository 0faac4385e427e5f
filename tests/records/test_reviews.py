"""Decisions of reviewers: what stands after any order of deciding and undoing, and what happens if it can't be kept."""

import sqlite3
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from inspectd.errors import ReviewError
from inspectd.records.reviews import UNKNOWN, Reviews

PNG = b"\x89PNG\r\n\x1a\n and the rest"
REVIEWERS = ("anna", "ben", "chris")
LABELS = ("no_fail", "half printed", UNKNOWN)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "000000007_fault.png"
    path.write_bytes(PNG)
    return path


@pytest.fixture
def reviews(tmp_path: Path) -> Reviews:
    return Reviews(tmp_path / "reviews")


class AnyOrder(RuleBasedStateMachine):
    """The model: a stack of decisions per reviewer. The highest one on a part counts."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.photo = Path(self.folder.name) / "photo.png"
        self.photo.write_bytes(PNG)
        self.reviews = Reviews(Path(self.folder.name))
        self.stacks: dict[str, list[tuple[int, str]]] = {name: [] for name in REVIEWERS}

    @rule(part=st.integers(1, 3), says=st.sampled_from(LABELS), by=st.sampled_from(REVIEWERS))
    def decide(self, part: int, says: str, by: str) -> None:
        self.reviews.decide(part, says, by, photo=self.photo, t_trigger_utc_ns=1000 - part)
        self.stacks[by].append((part, says))

    @rule(by=st.sampled_from(REVIEWERS))
    def undo(self, by: str) -> None:
        expected = self.stacks[by].pop()[0] if self.stacks[by] else None
        assert self.reviews.undo(by) == expected

    @rule()
    def restart(self) -> None:
        self.reviews.close()
        self.reviews = Reviews(Path(self.folder.name))

    @invariant()
    def what_stands_is_what_the_model_says(self) -> None:
        said: dict[int, dict[str, str]] = {}
        for by, stack in self.stacks.items():
            for part, says in stack:
                said.setdefault(part, {})[by] = says
        labels = {
            part: next(iter(set(by.values()))) if len(set(by.values())) == 1 else None for part, by in said.items()
        }
        found = list(self.reviews.reviewed())
        assert [each.part for each in found] == sorted(said, reverse=True)  # by the time of the trigger
        assert {each.part: {one.by: one.says for one in each.decisions} for each in found} == said
        assert {each.part: each.label for each in found} == labels
        assert self.reviews.counts() == Counter(label for label in labels.values() if label)
        assert self.reviews.of({part: 1000 - part for part in (1, 2, 3)}) == {e.part: e.decisions for e in found}

    def teardown(self) -> None:
        self.reviews.close()
        self.folder.cleanup()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)


def test_a_reviewed_photo_outlives_the_archive(reviews, photo):
    reviews.decide(7, "no_fail", "anna", photo=photo, t_trigger_utc_ns=5)
    photo.unlink()
    reviews.decide(7, "half printed", "ben", photo=photo, t_trigger_utc_ns=5)
    (reviewed,) = reviews.reviewed()
    assert reviewed.label is None
    assert reviewed.photo.read_bytes() == PNG
    assert reviews.photo(7, 5) == reviewed.photo


def test_a_part_number_that_is_used_again_is_another_label(reviews, photo):
    reviews.decide(7, "no_fail", "anna", photo=photo, t_trigger_utc_ns=5)
    assert reviews.of({7: 6}) == {}
    reviews.decide(7, UNKNOWN, "anna", photo=photo, t_trigger_utc_ns=6)
    assert [(each.part, each.label) for each in reviews.reviewed()] == [(7, "no_fail"), (7, UNKNOWN)]


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "'; DROP TABLE decisions --", "Größe 検査"])
def test_a_class_name_and_a_reviewer_are_kept_as_they_are(reviews, photo, name):
    reviews.decide(7, name, name, photo=photo, t_trigger_utc_ns=5)
    assert reviews.counts() == {name: 1}
    assert reviews.of({7: 5})[7][0].by == name


@pytest.mark.parametrize("name", ["\x1b[31mred", "a/b", "", "=1+1", "x" * 101])
def test_a_name_that_no_class_may_have_is_refused(reviews, photo, name):
    with pytest.raises(ValueError, match="class name"):
        reviews.decide(7, name, "anna", photo=photo, t_trigger_utc_ns=5)
    assert list(reviews.reviewed()) == []


def test_a_photo_that_is_gone_or_broken_is_no_ground_for_a_decision(reviews, photo):
    photo.write_bytes(b"not an image")
    for path, why in (
        (photo, "not a PNG"),
        (photo.with_name("gone.png"), "No such file"),
        (photo.parent, "regular file"),
    ):
        with pytest.raises(ReviewError, match=f"the decision on part 7 was not kept: .*{why}"):
            reviews.decide(7, "no_fail", "anna", photo=path, t_trigger_utc_ns=5)
    assert list(reviews.reviewed()) == []


def test_a_full_disk_leaves_nothing_half_written(reviews, photo, tmp_path):
    reviews.decide(1, "no_fail", "anna", photo=photo, t_trigger_utc_ns=4)
    reviews._connection.execute("PRAGMA max_page_count = 1")  # as small as SQLite allows: what is there now
    kept = 1
    with pytest.raises(ReviewError, match=r"was not kept: .*full"):
        for part in range(2, 1000):
            reviews.decide(part, "no_fail", "anna", photo=photo, t_trigger_utc_ns=5)
            kept = part
    assert reviews.counts() == {"no_fail": kept}
    assert len(list((tmp_path / "reviews/photos").iterdir())) == kept


def test_a_folder_without_room_for_photos_keeps_no_decision(reviews, photo, tmp_path):
    (tmp_path / "reviews/photos").rmdir()
    with pytest.raises(ReviewError, match="was not kept"):
        reviews.decide(7, "no_fail", "anna", photo=photo, t_trigger_utc_ns=5)
    assert reviews.counts() == {}


def test_a_reader_writes_nothing(reviews, photo, tmp_path):
    reviews.decide(7, "no_fail", "anna", photo=photo, t_trigger_utc_ns=5)
    reader = Reviews(tmp_path / "reviews", read_only=True)
    assert reader.counts() == {"no_fail": 1}
    with pytest.raises(ReviewError, match=r"not kept.*readonly"):
        reader.undo("anna")
    with pytest.raises(ReviewError, match="nobody has reviewed"):
        Reviews(tmp_path, read_only=True)


def test_a_database_of_another_program_or_version_is_refused(reviews, tmp_path):
    with sqlite3.connect(tmp_path / "reviews/reviews.sqlite") as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(ReviewError, match="schema 9"):
        Reviews(tmp_path / "reviews")
    with sqlite3.connect(tmp_path / "reviews/reviews.sqlite") as connection:
        connection.execute("PRAGMA application_id = 9")
    with pytest.raises(ReviewError, match="another program"):
        Reviews(tmp_path / "reviews")


def test_nothing_is_written_into_a_file_that_was_replaced(reviews, photo, tmp_path):
    reviews.decide(7, "no_fail", "anna", photo=photo, t_trigger_utc_ns=1)
    file = tmp_path / "reviews" / "reviews.sqlite"
    copy = tmp_path / "copy"
    copy.write_bytes(file.read_bytes())
    copy.replace(file)
    for use in (
        lambda: reviews.decide(7, "no_fail", "ben", photo=photo, t_trigger_utc_ns=1),
        lambda: reviews.undo("anna"),
        reviews.counts,
    ):
        with pytest.raises(ReviewError, match="was replaced"):
            use()
    file.unlink()
    with pytest.raises(ReviewError):
        reviews.decide(7, "no_fail", "ben", photo=photo, t_trigger_utc_ns=1)


def test_a_decision_is_never_changed_or_deleted(reviews, photo, tmp_path):
    reviews.decide(7, "no_fail", "anna", photo=photo, t_trigger_utc_ns=5)
    with sqlite3.connect(tmp_path / "reviews/reviews.sqlite") as connection:
        for statement in ("UPDATE decisions SET says = 'x'", "DELETE FROM decisions"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                connection.execute(statement)


def test_a_connection_to_the_journal_can_read_the_reviews(reviews, photo):
    reviews.decide(7, "no_fail", "anna", photo=photo, t_trigger_utc_ns=5)
    journal = sqlite3.connect("file::memory:", uri=True)
    reviews.attach_to(journal)
    assert journal.execute("SELECT part, t_trigger_utc_ns, agreed, reviewers FROM reviews.labels").fetchall() == [
        (7, 5, "no_fail", 1)
    ]
