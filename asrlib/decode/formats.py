"""Words with times as text: NIST's CTM, SubRip's and WebVTT's subtitles."""

from collections.abc import Sequence

from asrlib.decode.longform import Word


def ctm(name: str, words: Sequence[Word], channel: int = 1) -> str:
    """Lines of NIST's CTM: recording, channel, begin, duration, word, confidence. The name must be one word (asrlib.utils.files.plain_name)."""
    rows = (f"{name} {channel} {word.begin:.2f} {word.end - word.begin:.2f} {word.text} {word.confidence:.2f}" for word in words)
    return "".join(f"{row}\n" for row in rows)


def srt(words: Sequence[Word], separator: str = " ", **limits: float) -> str:
    """Subtitles in SubRip's format. separator: between words; limits: see _subtitles."""
    rows = enumerate(_subtitles(words, separator, **limits), 1)
    blocks = (f"{n}\n{_time(begin, ',')} --> {_time(end, ',')}\n{text}\n" for n, (begin, end, text) in rows)
    return "\n".join(blocks)


def vtt(words: Sequence[Word], separator: str = " ", **limits: float) -> str:
    """Subtitles in WebVTT, whose texts have `&`, `<` and `>` as entities."""
    escaped = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
    rows = _subtitles(words, separator, **limits)
    blocks = (f"{_time(begin, '.')} --> {_time(end, '.')}\n{text.translate(escaped)}\n" for begin, end, text in rows)
    return "\n".join(["WEBVTT\n", *blocks])


def _subtitles(words: Sequence[Word], separator: str, longest: float = 6.0, pause: float = 0.7) -> list[tuple[float, float, str]]:
    """Begin, end and text of subtitles of at most `longest` seconds, a new one after every pause."""
    groups: list[list[Word]] = []
    for word in words:
        if not groups or word.begin - groups[-1][-1].end > pause or word.end - groups[-1][0].begin > longest:
            groups.append([])
        groups[-1].append(word)
    return [(group[0].begin, group[-1].end, separator.join(word.text for word in group)) for group in groups]


def _time(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 3600000:02d}:{milliseconds // 60000 % 60:02d}:{milliseconds // 1000 % 60:02d}{point}{milliseconds % 1000:03d}"
