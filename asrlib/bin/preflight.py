"""Checks the Python version, the packages against tools/requirements.lock and the free disk space; also shows cores, memory and cards."""

from pathlib import Path

from asrlib.utils.cli import Parser, run
from asrlib.utils.devices import add_asr_device


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--disk_gb", type=float, default=1, help="GB that must be free for --download_dir")
    parser.add_argument("--download_dir", type=Path, default=Path("."), help="folder that needs the free space; need not exist yet")
    add_asr_device(parser, "where stages 5 and 6 of recipes compute; a warning if this machine has no such card")
    args = parser.parse_args(argv)

    from asrlib.utils.log import get_logger
    from asrlib.utils.preflight import Fact, preflight, require_fit

    facts = preflight(args.disk_gb, args.download_dir)
    try:
        from asrlib.pt.device import described, find_cards
    except ImportError:  # torch is missing, which a fact says
        found = {}
    else:
        found = find_cards()
    for kind, (cards, reason) in found.items():
        facts.append(Fact(kind, described(cards) if cards else f"none: {reason}"))
    for fact in facts:
        print(f"{fact.name:12} {fact.value}")
    require_fit(facts)
    if args.asr_device in found and not found[args.asr_device][0]:
        get_logger(__name__).warning("--asr_device %s: stages 5 and 6 will need such a card, and this machine has none", args.asr_device)


if __name__ == "__main__":
    run(main)
