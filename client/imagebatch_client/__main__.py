"""`python -m imagebatch_client`: the command line, where the console command is not on the path."""

from __future__ import annotations

from imagebatch_command import main

if __name__ == "__main__":
    main()
