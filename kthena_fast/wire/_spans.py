"""Where values stand in bytes, for the twins of ``Fields``; ``_spans.pxd`` holds the same function in C."""

import struct


def listed(data: bytes, names: tuple[bytes, ...], places: bytes) -> list[tuple[bytes, bytes]]:
    """Each name with its value, of which ``places`` says where it begins in ``data`` and how long it is."""
    return [
        (name, data[at : at + size]) for name, (at, size) in zip(names, struct.iter_unpack("=II", places), strict=True)
    ]
