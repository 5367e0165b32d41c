"""``acclimate`` and ``python -m acclimate``: the command line, and what Ctrl-C says while it is being imported."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point."""
    try:
        from acclimate.cli.app import main as command_line
    except KeyboardInterrupt:
        print("interrupted: nothing was begun", file=sys.stderr)
        sys.exit(130)
    command_line()


if __name__ == "__main__":
    main()
