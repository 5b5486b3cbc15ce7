"""Tags in transcripts: marks of noises, hesitations and unknown words, written as one word that nobody spoke.

The forms are those of common corpora:
<NOISE>, <unk>, <sil>, <#s> (ESPnet, TED-LIUM, AISHELL-4, GigaSpeech); [noise], [laughter-yes], [*], [ENS] (Switchboard, WSJ, CHiME, MagicData);
{breath} (TED-LIUM, AMI); (uh), (noise) (names of sounds alone: other round brackets are punctuation); (()) (Fisher); +noise+ (Sphinx);
%hesitation (IBM); !SIL (HTK); &=laughs (CHAT).
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping

from asrlib.utils.log import get_logger

log = get_logger(__name__)

# Names of sounds, for brackets that also hold words.
SOUND = (
    "(?:"
    "uh|uhh|um|umm|uhm|erm?|ah|ahh|eh|hm|hmm|mm|mhm|mm-?hm|uh-?huh|huh|noises?|spoken[_-]noise|background(?:[_ -]noise)?|sil|silence|pause|"
    "breath(?:ing|s|e)?|inhale|exhale|sniff|sigh(?:s|ing)?|cough(?:s|ing)?|laugh(?:s|ter|ing)?|lip[_-]?smack|smack|click|music|applause|hesitation|hes|door|phone|rustle|"
    "inaudible|unintelligible|unk|unclear|crosstalk|skip|静音|噪音|噪声|笑|笑声|咳嗽|呼吸|音乐|掌声)"
)
# Tags of words that were spoken and are not, or not only, written: unknown, unintelligible, left out, or laughed ([laughter-yes]).
UNKNOWN_WORDS = "unk|unknown|oov|inaudible|unintelligible|unclear|indiscernible|redacted|censored|skip|foreign|xxx|deleted|beep"
SPOKEN = re.compile(rf"\W*(?:{UNKNOWN_WORDS})\W*|\W(?:laughter|laughing|laugh)-[^\W\d_].*|[\[［]\*[\]］]|\(\(\s*\)\)", re.IGNORECASE)


def _within(opening: str, closing: str) -> str:
    """A tag between brackets: no digit and no space first, no space last, at most 40 characters."""
    other = f"[^{opening}{closing}]"
    return rf"[{opening}](?![\s\d]){other}{{0,40}}(?<!\s)(?<![{opening}])[{closing}]"


TAG = re.compile(
    "|".join(
        [
            rf"\[\[{SOUND}\]\]|\(\(\s*\)\)",
            *(_within(*pair) for pair in (("<＜", ">＞"), (r"\[［", r"\]］"))),
            r"(?![{｛][^{}｛｝]*\S\s*/\s*[^\s}｝])" + _within("{｛", "}｝"),  # { a / b } are alternatives
            rf"[(（]%?{SOUND}[)）]|【{SOUND}】|(?<!\S)(?P<stars>\*\*?){SOUND}(?P=stars)(?!\S)",
            rf"(?<!\S)(?P<plus>\+\+?){SOUND}(?P=plus)(?!\S)",
            rf"(?<!\S)(?:%{SOUND}(?!\w)|&[=~-][a-z]\w*|!(?:SIL|NULL|NOISE)(?!\w))",
        ]
    ),
    re.IGNORECASE,
)


def split_tags(text: str) -> list[tuple[str, bool]]:
    """The text in parts, each with whether it is a tag; joined they are the text again."""
    parts, end = [], 0
    for found in TAG.finditer(text):
        parts += [(text[end : found.start()], False), (found[0], True)]
        end = found.end()
    return [(part, is_tag) for part, is_tag in [*parts, (text[end:], False)] if part]


def characters(text: str, space: str) -> list[str]:
    """The code points and tags of a text, with `space` for each run of white space."""
    units = []
    for part, tag in split_tags(" ".join(text.split())):
        units += [part] if tag else [space if c == " " else c for c in part]
    return units


def find_tags(text: str) -> list[str]:
    """The tags of a text in order."""
    return [found[0] for found in TAG.finditer(text)]


def is_tag(token: str) -> bool:
    """Whether a token is one tag."""
    return TAG.fullmatch(token) is not None


def stands_for_words(tag: str) -> bool:
    """Whether a tag stands for words that were spoken (<unk>, [inaudible], [laughter-yes], (())), not for a sound."""
    return SPOKEN.fullmatch(tag) is not None


def remove_tags(text: str, kept: Callable[[str], bool] = lambda tag: False) -> str:
    """The text without its tags but those that `kept` accepts; a space takes the place of each."""
    return " ".join("".join(part if not tag or kept(part) else " " for part, tag in split_tags(text)).split())


def count_tags(texts: Mapping[str, str]) -> tuple[Counter[str], dict[str, str]]:
    """How often each tag occurs in {utterance: text}, and the first utterance of each."""
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for utterance, text in texts.items():
        for tag in find_tags(text):
            counts[tag] += 1
            first.setdefault(tag, utterance)
    return counts, first


def report_tags(texts: Mapping[str, str], kept: Callable[[str], bool]) -> None:
    """Logs the tags of {utterance: text} with their counts: removed ones, with a warning those of spoken words, and those that `kept` accepts."""
    counts, first = count_tags(texts)
    for what, chosen in (("removed", False), ("kept", True)):
        tags = [tag for tag in counts if kept(tag) == chosen]
        words = [tag for tag in tags if stands_for_words(tag)]
        for found, meaning, say in ((set(tags) - set(words), "", log.info), (words, " of words that were spoken", log.warning)):
            if found:
                listed = ", ".join(f"{tag} {counts[tag]} times, first in {first[tag]}" for tag in sorted(found, key=lambda tag: (-counts[tag], tag)))
                say("%s %d tags%s: %s", what, sum(counts[tag] for tag in found), meaning, listed)
