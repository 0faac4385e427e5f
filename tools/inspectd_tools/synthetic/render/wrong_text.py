"""Labels that are printed perfectly but say something wrong (`fail_label_date`)."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import numpy as np

from inspectd_tools.synthetic.render.label_text import GTINS, LINES, LabelText, random_text

WRONG_TEXTS: Final = (
    "yesterday",
    "swapped_date",
    "other_lot",
    "other_product",
    "wrong_character",
    "lost_character",
    "extra_character",
    "code_disagrees",
)
"""`yesterday`, `other_lot` and `other_product` are wrong in text and code, `code_disagrees` only in the code, the others only in
one line of text."""

_ALIKE: Final = {
    **{
        "0": "689",
        "1": "47",
        "2": "37",
        "3": "825",
        "4": "19",
        "5": "63",
        "6": "580",
        "7": "12",
        "8": "360",
        "9": "804",
    },
    **{
        "A": "R",
        "B": "ERD",
        "C": "GO",
        "D": "OB",
        "E": "FB",
        "G": "CO",
        "H": "NM",
        "K": "XR",
        "L": "IE",
        "O": "CD",
        "T": "IY",
    },
}
"""Character -> characters that look like it. A digit becomes a digit and a letter a letter, so that every pattern still fits."""


def wrong_fields(kind: str, right: LabelText, rng: np.random.Generator) -> dict[str, str]:
    """Field -> what is printed instead of `right`. `kind`: one of WRONG_TEXTS."""
    fields = right.fields
    match kind:
        case "yesterday":
            return replace(right, made=right.made - timedelta(days=1)).fields
        case "other_lot":
            return replace(right, lot=_other_lot(right, rng)).fields
        case "other_product":
            return replace(right, part_number=_other_product(right, rng)).fields
        case "code_disagrees":
            wrong = str(rng.choice(["yesterday", "other_lot", "other_product"]))
            return {**fields, "code": wrong_fields(wrong, right, rng)["code"]}
        case "swapped_date":
            swapped = right.made.strftime("%Y-%d-%m")
            return {**fields, "date": swapped if swapped != fields["date"] else right.made.strftime("%d-%m-%Y")}
    field = str(rng.choice(LINES[:3]))
    return {**fields, field: _with_wrong_character(kind, fields[field], rng)}


def _with_wrong_character(kind: str, text: str, rng: np.random.Generator) -> str:
    index = int(rng.choice([index for index, character in enumerate(text) if character in _ALIKE]))
    alike = str(rng.choice(list(_ALIKE[text[index]])))
    instead = {"wrong_character": alike, "lost_character": "", "extra_character": text[index] + alike}[kind]
    return text[:index] + instead + text[index + 1 :]


def _other_lot(right: LabelText, rng: np.random.Generator) -> str:
    while (lot := random_text(rng).lot) == right.lot:
        pass
    return lot


def _other_product(right: LabelText, rng: np.random.Generator) -> str:
    return str(rng.choice([number for number in GTINS if number != right.part_number]))
