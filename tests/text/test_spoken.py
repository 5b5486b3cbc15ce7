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
        ("0, 007", "zero, zero zero seven"),
        ("$100 million, $2.5bn and $5m", "one hundred million dollars, two point five billion dollars and five million dollars"),
        ("$2.5, $0.50 and -$5", "two point five dollars, fifty cents and minus five dollars"),
        ("1/5, 1/2, 3/4 and 2 1/2", "one fifth, one half, three quarters and two and a half"),
        ("2½ and \uff11\uff0f\uff13", "two and a half and one third"),
        ("5:02, 10:30 and 8:00", "five oh two, ten thirty and eight o'clock"),
        ("-10 and \u22123.5%", "minus ten and minus three point five percent"),
        ("5km, 1 kg and 60mph", "five kilometers, one kilogram and sixty miles per hour"),
        ("No. 1, MP3, 4G, G20, COVID-19", "number one, MP three, four G, G twenty, COVID nineteen"),
        ("the 1990s and '80s", "the nineteen nineties and eighties"),
        ("a 5-year plan", "a five-year plan"),
    ],
)
def test_read_aloud(text, expected):
    assert spoken_en(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("2002-01-28", "1/28/2002", "50-60", "50 - 60", "1.000,5", "24/7", "9/11", "192.168.0.1", "10:30:15", "555-1234", "10 000", "5m", "5\u00b2"),
        *("5:02pm", "2x4", "km2", "\xa55", "US$5", "50\xa2", "v2.0", "5kg/m", "<s1>", "[noise2]", "9" * 40),
    ],
)
def test_what_can_be_read_in_several_ways_stays(text):
    assert spoken_en(f"it is {text} then") == f"it is {text} then"


def test_what_is_left_can_be_written_with_letters():
    expected = "IT COST ONE THOUSAND FIFTY DOLLARS NINETY NINE CENTS ON MAY THIRD TWENTY TWENTY ONE"
    assert normalise_en(spoken_en("It cost $1,050.99 on May 3rd, 2021")) == expected


@pytest.mark.parametrize("text", ["5'10\"", "10^6", "1st\u20132nd", "1st-2nd"])
def test_no_number_is_read_in_part(text):
    assert spoken_en(text) == text
