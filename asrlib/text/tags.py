"""Tags in transcripts: marks of noises, hesitations and unknown words, written as one word that nobody spoke.

The forms are those of common corpora:
<NOISE>, <unk>, <sil>, <#s> (ESPnet, TED-LIUM, AISHELL-4, GigaSpeech); [noise], [laughter-yes], [*], [ENS] (Switchboard, WSJ, CHiME, MagicData);
{breath} (TED-LIUM, AMI); (uh), (noise) (names of sounds alone: other round brackets are punctuation); (()) (Fisher); +noise+ (Sphinx);
%hesitation (IBM); %嗯 (HKUST, CallHome); !SIL (HTK); &=laughs (CHAT); 【静音】; marks with words, (F えー), (W ...;...) (CSJ, asrlib.text.marks).
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping

from asrlib.text.marks import MARKED, has_words, is_marked, words_of
from asrlib.utils.log import get_logger

log = get_logger(__name__)

# Names of sounds, for brackets that also hold words.
SOUND = (
    "(?:"
    "uh|uhh|um|umm|uhm|erm?|ah|ahh|eh|hm|hmm|mm|mhm|mm-?hm|uh-?huh|huh|noises?|spoken[_-]noise|background(?:[_ -]noise)?|sil|silence|pause|"
    "breath(?:ing|s|e)?|inhale|exhale|sniff|sigh(?:s|ing)?|cough(?:s|ing)?|laugh(?:s|ter|ing)?|lip[_-]?smack|smack|click|music|applause|hesitation|hes|door|phone|rustle|"
    "inaudible|unintelligible|unk|unclear|crosstalk|skip|overlap|"
    "静音|沉默|停顿|噪音|噪声|杂音|背景音|背景音乐|笑|笑声|大笑|哭|哭声|咳嗽|清嗓子?|呼吸声?|喘气|叹气|音乐|掌声|鼓掌|铃声|敲门声|听不清楚?|无法识别|"
    "嗯+|呃+|啊+|哦+|唔|噢)"
)
# Tags of words that were spoken and are not, or not only, written: unknown, unintelligible, left out, or laughed ([laughter-yes]).
UNKNOWN_WORDS = (
    "unk|unknown|oov|inaudible|unintelligible|unclear|indiscernible|redacted|censored|skip|foreign|xxx|deleted|beep|bleep|pii|phi|anonymi[sz]ed|"
    "(?:person[ _-]?)?name|person|location|address|phone[ _-]?number|听不清楚?|无法识别|不清楚?|人名"
)
LANGUAGES = "english|mandarin|chinese|cantonese|japanese|korean|spanish|french|german|italian|portuguese|russian|arabic|hindi|malay|tamil|foreign"
SPOKEN = re.compile(
    rf"\W*(?:{UNKNOWN_WORDS})(?:[ _:-]+[\d:.,]+)?\W*|\W(?:laughter|laughing|laugh|ext|hes|cutoff|error|noise)-[^\W\d_].*|[\[［]\*[\]］]|\(\(\s*\)\)|"
    rf"[<＜](?:{LANGUAGES})[ _:][^=]*|【(?!{SOUND}】).*",
    re.IGNORECASE,
)


def _within(opening: str, closing: str) -> str:
    """A tag between brackets: no digit and no space first, no space last, at most 40 characters."""
    other = f"[^{opening}{closing}]"
    return rf"[{opening}](?![\s\d]){other}{{0,40}}(?<!\s)(?<![{opening}])[{closing}]"


TAG = re.compile(
    "|".join(
        [
            MARKED,
            rf"\[\[{SOUND}\]\]|\(\(\s*\)\)",
            _within("<＜", ">＞"),
            *(_within(*pair) for pair in ((r"\[［", r"\]］"), ("【", "】"))),
            r"(?![{｛][^{}｛｝]*[^\s{}｛｝]\s*/\s*[^\s}｝])" + _within("{｛", "}｝"),  # { a / b } are alternatives
            rf"[(（]%?{SOUND}[)）]|(?<!\S)(?P<stars>\*\*?){SOUND}(?P=stars)(?!\S)",
            rf"(?<!\S)(?P<plus>\+\+?){SOUND}(?P=plus)(?!\S)",
            rf"(?<!\S)(?:%{SOUND}(?!\w)|&[=~-][a-z]\w*|!(?:SIL|NULL|NOISE)(?!\w))",
        ]
    ),
    re.IGNORECASE,
)


SIGN = re.compile(r"[<＜[［【{｛(（*+%&!]")  # every tag begins with one
SCOPE = re.compile(r"<([^<>\s=]+(?:\s[^<>\s=]+)+)>(?=\s*\[[/:=?!%])")
BRACKETED = re.compile(r"[(（][^()（）]*[^\W\d_][^()（）]*[)）]")


def may_have_tags(text: str) -> bool:
    """Whether a text has a sign with which a tag begins: the search for tags in others can be left out."""
    return SIGN.search(text) is not None


def split_tags(text: str) -> list[tuple[str, bool]]:
    """The text in parts, each with whether it is a tag; joined they are the text again."""
    if not may_have_tags(text):
        return [(text, False)] if text else []
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
    return [found[0] for found in TAG.finditer(text)] if may_have_tags(text) else []


def is_tag(token: str) -> bool:
    """Whether a token is one tag."""
    return TAG.fullmatch(token) is not None


def stands_for_words(tag: str) -> bool:
    """Whether a tag stands for words that were spoken and are not in it, or not alone (<unk>, [inaudible], [laughter-yes], (())), not for a sound."""
    return not has_words(tag) if is_marked(tag) else SPOKEN.fullmatch(tag) is not None and not tag.startswith("</")


def remove_tags(text: str, kept: Callable[[str], bool] = lambda tag: False) -> str:
    """The text without its tags but those that `kept` accepts; a space takes the place of each, of a mark of asrlib.text.marks its words.

    In CHAT the words of <the dog> [//] were spoken.
    """
    text = SCOPE.sub(r"\1", text)
    parts = (part if not tag or kept(part) else words_of(part) if is_marked(part) else " " for part, tag in split_tags(text))
    return " ".join("".join(parts).split())


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
    fate = {tag: "kept" if kept(tag) else "put words in the place of" if is_marked(tag) and words_of(tag) else "removed" for tag in counts}
    for what in ("removed", "put words in the place of", "kept"):
        tags = [tag for tag in counts if fate[tag] == what]
        words = [tag for tag in tags if stands_for_words(tag)]
        for found, meaning, say in ((set(tags) - set(words), "", log.info), (words, " of words that were spoken", log.warning)):
            if found:
                listed = ", ".join(f"{tag} {counts[tag]} times, first in {first[tag]}" for tag in sorted(found, key=lambda tag: (-counts[tag], tag)))
                say("%s %d tags%s: %s", what, sum(counts[tag] for tag in found), meaning, listed)


def report_brackets(texts: Mapping[str, str]) -> None:
    """Warns of words in round brackets that are no tags: they stay, as if they had been spoken."""
    found = {utt: match[0] for utt, text in texts.items() for part, tag in split_tags(text) if not tag and (match := BRACKETED.search(part))}
    if found:
        utt = next(iter(found))
        what = "%d transcripts have words in round brackets, which are kept as spoken: remove them by hand if they are not; the first is %s: %s"
        log.warning(what, len(found), utt, found[utt])


def report_phrases(texts: Mapping[str, str], units: str) -> None:
    """Warns of tags with spaces, as CSJ's marks have, which become `units`."""
    counts, first = count_tags(texts)
    if phrases := [tag for tag in counts if " " in tag]:
        what = "%d tags have spaces and become %s, the first is %s in %s: normalise_text removes them, or puts their words in their place"
        log.warning(what, sum(counts[tag] for tag in phrases), units, phrases[0], first[phrases[0]])
