"""``python -m kthena_fast`` is the command ``kthena-fast``."""

from kthena_fast.cli import main

if __name__ == "__main__":
    main()
