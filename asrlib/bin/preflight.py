"""Checks the Python version, the packages against tools/requirements.lock and the free disk space; also shows cores and memory."""

from pathlib import Path

from asrlib.utils.cli import Parser, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--disk_gb", type=float, default=1, help="GB that must be free for --download_dir")
    parser.add_argument("--download_dir", type=Path, default=Path("."), help="folder that needs the free space; need not exist yet")
    args = parser.parse_args(argv)

    from asrlib.utils.preflight import preflight, require_fit

    facts = preflight(args.disk_gb, args.download_dir)
    for fact in facts:
        print(f"{fact.name:12} {fact.value}")
    require_fit(facts)


if __name__ == "__main__":
    run(main)
