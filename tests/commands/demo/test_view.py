import pytest
from rich.console import Console

from inspectd.commands.demo.ground_truth import Comparison, Row, Truth
from inspectd.commands.demo.view import live_view, result_tables
from inspectd.part import MissedReason


def row(part: int, verdict: str, reason: str | None = None, predicted: str | None = None) -> Row:
    return Row(part, part, verdict, reason, predicted, None, (), "rejected", 5000, 10, None)


def test_a_missed_label_is_counted_as_missed_and_not_as_another_fault():
    rows = [row(number, "missed", reason.value) for number, reason in enumerate(MissedReason)]
    rows += [row(20, "fault", None, "crooked"), row(21, "fault", None, "oil"), row(22, "uncertain", None, "oil")]
    truth = Truth("a.png", "crooked", "")
    table = result_tables(Comparison([(each, truth) for each in rows], "good"))[0]
    assert [next(column.cells) for column in table.columns] == ["crooked", "10", "", "1", "1", "1", "7"]


@pytest.mark.parametrize(
    ("name", "mark", "times"),
    [("fail_label_not_fully_printed", "fail_label_not_fully_printed", 4), ("q" * 100, "q", 400)],
)
def test_a_terminal_of_80_columns_shows_the_whole_name_of_a_class(name, mark, times):
    rows = [row(0, "fault", None, name), row(1, "uncertain", "low_certainty")]
    truth = [Truth("a.png", name, ""), Truth("b.png", "unknown", name)]
    console = Console(width=80, record=True)
    for shown in (*result_tables(Comparison(list(zip(rows, truth, strict=True)), "good")), live_view(rows, 2)):
        console.print(shown)
    text = console.export_text()
    assert "…" not in text
    assert text.count(mark) == times
