"""A body of known size that is put together as its pieces come, for the twins that read bodies.

``_whole.pxd`` holds the same functions in C, and the compiled twins take those in place of these. There the bytes that
are to be filled are the body itself: nobody else sees them until they are sealed.
"""


def blank(size: int) -> bytearray:
    """Room for ``size`` bytes."""
    return bytearray(size)


def grown(whole: bytearray, size: int) -> bytearray:
    """As much room as ``size``, which is more, with what was put."""
    return whole + bytearray(size - len(whole))


def put(whole: bytearray, at: int, piece: bytes) -> None:
    """Put a piece, which lies in it, into its place."""
    whole[at : at + len(piece)] = piece


def sealed(whole: bytearray) -> bytes:
    """The body, all of which has been put."""
    return bytes(whole)
