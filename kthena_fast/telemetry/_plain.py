"""A look at text for the twin that writes lines; ``_plain.pxd`` holds the same in C, which the compiled twin takes."""

import re
from typing import Final

_PLAIN: Final = re.compile(r"[!#-~]{0,1024}")


def are_plain(first: str, second: str, third: str, fourth: str) -> bool:
    """Whether all are printable ASCII without space and quote. Where they are long, this may say no."""
    # One look costs less than four, here.
    return _PLAIN.fullmatch(first + second + third + fourth) is not None
