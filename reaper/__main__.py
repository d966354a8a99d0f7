"""`python -m reaper`: the same as the command `reaper`."""

from reaper.cli.app import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
