import pytest
from rich.console import Console

from inspectd.commands.demo.ground_truth import Comparison, Row, Truth
from inspectd.commands.demo.view import live_view, result_tables
from inspectd.part import Anomaly, MissedReason


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


def stopped(part: int) -> Row:
    """A label that the guard stopped."""
    anomaly = Anomaly("print", (200, 120, 32, 24), 1.754)
    return Row(part, part, "uncertain", "anomaly", "good", 0.97, (), "rejected", 5000, 10, None, anomaly)


def test_a_label_that_the_guard_stopped_is_an_anomaly_and_not_another_fault():
    rows = [stopped(1), stopped(2), row(3, "uncertain"), row(4, "fault", None, "oil"), row(5, "pass", None, "good")]
    truth = [*[Truth("a.png", "crooked", "")] * 4, Truth("a.png", "good", "")]
    table = result_tables(Comparison(list(zip(rows, truth, strict=True)), "good"))[0]
    headers = [str(column.header).replace("-\n", "").replace("\n", " ") for column in table.columns]
    assert headers == ["what it was", "parts", "passed", "its class", "other fault", "uncertain", "anomaly", "missed"]
    cells = [list(column.cells) for column in table.columns]
    assert [cell[0] for cell in cells] == ["crooked", "4", "", "", "1", "1", "2", ""]
    assert [cell[1] for cell in cells] == ["good", "1", "1", "", "", "", "", ""]


def test_a_terminal_of_80_columns_shows_the_whole_name_of_a_class_beside_anomalies():
    name = "fail_label_not_fully_printed"
    console = Console(width=80, record=True)
    console.print(result_tables(Comparison([(stopped(1), Truth("a.png", name, ""))], "good"))[0])
    assert name in console.export_text()


def test_the_live_view_says_how_far_an_anomaly_is_above_its_limit():
    console = Console(width=80, record=True)
    console.print(live_view([stopped(1), stopped(2)], 2))
    text = console.export_text()
    assert text.count("anomaly 1.8x") == 2
    assert text.count("anomaly") == 3, "two rejects, one count"


def test_the_live_view_shows_the_whole_progress():
    console = Console(width=80, record=True)
    console.print(live_view([stopped(1)], 36))
    bar, title = console.export_text().splitlines()[:2]
    assert set(bar.strip()) <= set("━╸╺")
    assert title.strip() == "1 of 36 labels inspected"
