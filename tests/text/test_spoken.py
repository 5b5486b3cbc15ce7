"""Numbers and abbreviations as they are read aloud."""

import pytest

from asrlib.text.normalise import normalise_en
from asrlib.text.spoken import spoken_en


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mr. Hay paid $2.50 in 1984", "mister Hay paid two dollars, fifty cents in nineteen eighty-four"),
        ("£1 and €0", "one pound and zero euros"),
        ("1,234 men", "one thousand two hundred thirty-four men"),
        ("in 1905, 1900 and 2004", "in nineteen oh five, nineteen hundred and two thousand four"),
        ("the 2nd and the 21st", "the second and the twenty-first"),
        ("3.14 is 50 %", "three point one four is fifty percent"),
        ("R&D", "R and D"),
        ("Dr. No, St. Ives", "doctor No, saint Ives"),
        ("drive on", "drive on"),
        ("0 007", "zero seven"),
    ],
)
def test_read_aloud(text, expected):
    assert spoken_en(text) == expected


def test_what_is_left_can_be_written_with_letters():
    expected = "IT COST ONE THOUSAND FIFTY DOLLARS NINETY NINE CENTS ON MAY THIRD TWENTY TWENTY ONE"
    assert normalise_en(spoken_en("It cost $1,050.99 on May 3rd, 2021")) == expected
