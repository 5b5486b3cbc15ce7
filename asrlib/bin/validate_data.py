"""Validates Kaldi data directories, or repairs them with --fix true.

  validate_data data/train data/dev
  validate_data data/train --fix true      keeps the original files in data/train/.backup, lists dropped utterances in data/train/bad_utts.txt

--fix true makes other white space (no-break, ideographic) plain spaces, removes invisible characters and reserved words, and drops what is invalid;
of a test set (a folder named test*, *test or eval*, or --keep_all true) it drops nothing, but refuses.
Lists all problems (of each kind the first three) with file, line and what to do. Exit code 1 if a directory has problems.
"""

from dataclasses import replace
from pathlib import Path

from asrlib.utils.cli import Parser, boolean, run


def get_parser() -> Parser:
    parser = Parser(__doc__)
    parser.add_argument("dirs", nargs="+", type=Path, metavar="DIR", help="data directories")
    parser.add_argument("--fix", type=boolean, default=False, help="sort the files, drop invalid or incomplete utterances, write spk2utt")
    keep = "--fix refuses to drop utterances; default: true for folders named test*, *test or eval*"
    parser.add_argument("--keep_all", type=boolean, default=None, help=keep)
    parser.add_argument("--no_text", type=boolean, default=False, help="accept a directory without text")
    parser.add_argument("--no_wav", type=boolean, default=False, help="accept a directory without wav.scp")
    parser.add_argument("--no_spk_sort", type=boolean, default=False, help="accept utterance ids that do not begin with the speaker id")
    parser.add_argument("--non_print", type=boolean, default=False, help="accept characters in text that cannot be printed")
    parser.add_argument("--allow_pipes", type=boolean, default=False, help='accept commands in wav.scp ("sox ... |")')
    parser.add_argument("--audio", type=boolean, default=False, help="open every audio file, on all cores: header, last sample, NaN")
    parser.add_argument("--audio_root", type=Path, help="base folder of relative paths in wav.scp; default: the current one")
    return parser


def main(argv=None) -> int:
    args = get_parser().parse_args(argv)
    from asrlib.corpora.kaldi_fix import fix
    from asrlib.corpora.kaldi_table import summarise
    from asrlib.corpora.kaldi_validate import Rules, validate
    from asrlib.utils.errors import UserError

    rules = Rules(
        text=not args.no_text,
        wav=not args.no_wav,
        spk_sort=not args.no_spk_sort,
        printable=not args.non_print,
        allow_pipes=args.allow_pipes,
        audio=args.audio,
        audio_root=args.audio_root,
    )
    faulty, unreadable = 0, []
    for folder in args.dirs:
        try:
            if args.fix:
                name = folder.resolve().name.lower()
                named = name.startswith(("test", "eval")) or name.endswith("test")
                result = fix(folder, replace(rules, keep_all=named if args.keep_all is None else args.keep_all))
                print(f"{folder}: {result.summary}")
                for utt, reason in result.dropped.items():
                    print(f"  dropped {utt}: {reason}")
            problems = validate(folder, rules)
        except UserError as error:
            unreadable.append(str(error))
            continue
        for line in summarise(problems):
            print(line)
        faulty += bool(problems)
        print(f"{folder}: {len(problems)} problems" if problems else f"Successfully validated data-directory {folder}")
    if unreadable:
        raise UserError("; ".join(unreadable))
    return 1 if faulty else 0


if __name__ == "__main__":
    run(main)
