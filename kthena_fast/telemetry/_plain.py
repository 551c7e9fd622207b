"""A look at text for the twin that writes lines; ``_plain.pxd`` holds the same in C, which the compiled twin takes."""

import re
from typing import Final

_PLAIN: Final = re.compile(r"[!#-~]{0,1024}")


def is_plain(text: str) -> bool:
    """Whether it is at most 1,024 characters of printable ASCII without space and quote."""
    return _PLAIN.fullmatch(text) is not None
