"""The process that searches: `python -m tests.fuzz.searching PROPERTY [libFuzzer's options and folders]`."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["kthena_fast"]):
    from tests.fuzz import properties


def main() -> None:
    name, *rest = sys.argv[1:]
    with properties.opened(name) as check:
        # Never returns: libFuzzer ends the process.
        atheris.Setup([sys.argv[0], *rest], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
