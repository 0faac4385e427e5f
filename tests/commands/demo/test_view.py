from rich.console import Console

from inspectd.commands.demo.ground_truth import Comparison, Row, Truth
from inspectd.commands.demo.view import result_tables
from inspectd.part import MissedReason


def row(part: int, verdict: str, reason: str | None = None, predicted: str | None = None) -> Row:
    return Row(part, part, verdict, reason, predicted, None, (), "rejected", 5000, 10, None)


def test_a_missed_label_is_counted_as_missed_and_not_as_another_fault():
    rows = [row(number, "missed", reason.value) for number, reason in enumerate(MissedReason)]
    rows += [row(20, "fault", None, "crooked"), row(21, "fault", None, "oil"), row(22, "uncertain", None, "oil")]
    truth = Truth("a.png", "crooked", "")
    console = Console(width=120, record=True)
    console.print(result_tables(Comparison([(each, truth) for each in rows], "good"))[0])
    line = next(line for line in console.export_text().splitlines() if "crooked" in line)
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells == ["crooked", "10", "", "1", "1", "1", "7"]
