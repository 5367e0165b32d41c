"""``python -m acclimate``: the command line."""

from acclimate.cli.app import main

if __name__ == "__main__":
    main()
