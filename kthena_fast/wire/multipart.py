"""The ``model`` field of a multipart form (audio, images): found and replaced, the rest untouched.

The reading is narrow on purpose, because two parsers must never see two models:

1. Every place where ``--boundary`` stands is a delimiter on a line of its own; there is nothing before the first but
   one line end, and the last closes the form.
2. Part headers are lines that end in CRLF, at most 8 KiB a part, at most 128 parts.
3. ``model`` is given once, as plain text: no file, no second spelling (``name*``, escapes), no transfer encoding.
"""

import re
from typing import Final

from kthena_fast.wire.malformed import Malformed

_MULTIPART: Final = re.compile(rb"\s*multipart/form-data\s*(?:;|$)", re.IGNORECASE)
# RFC 2046: bcharsnospace, and spaces inside quotes that are not the last character.
_BOUNDARY: Final = re.compile(
    rb""";\s*boundary="""
    rb"""(?:"([0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?])"|([0-9A-Za-z'+_\-.]{1,70}))\s*(?=;|$)""",
    re.IGNORECASE,
)
# Any spelling of the parameter, the ones in pieces (boundary*0=) among them.
_BOUNDARY_NAME: Final = re.compile(rb"boundary[*0-9\s]*+=", re.IGNORECASE)
_DISPOSITION: Final = re.compile(rb"content-disposition[ \t]*:[ \t]*form-data[ \t]*((?:;.*)?)", re.IGNORECASE)
_PARAMETER: Final = re.compile(rb';[ \t]*([!#$%&*+\-.^_`|~0-9A-Za-z]+)=(?:"((?:[^"\\]|\\.)*+)"|([^;"\s]*+))[ \t]*')
_ENCODING: Final = re.compile(rb"content-transfer-encoding[ \t]*:", re.IGNORECASE)

_MOST_PARTS: Final = 128
_MOST_HEADER_BYTES: Final = 8192
_LONGEST_MODEL: Final = 1024


class Form:
    """What is known of a form: its model, where the value stands (``body[model_start:model_end]``), and whether the
    answer is to be streamed."""

    __slots__ = ("boundary", "model", "model_end", "model_start", "stream")

    def __init__(self, boundary: bytes) -> None:
        self.boundary = boundary
        self.model = ""
        self.model_start = -1
        self.model_end = -1
        self.stream = False


def boundary(content_type: bytes | None) -> bytes | None:
    """The boundary that a ``Content-Type`` gives; None when it is not a multipart form at all."""
    if content_type is None or not _MULTIPART.match(content_type):
        return None
    found = _BOUNDARY.findall(content_type)
    if len(found) != 1 or len(_BOUNDARY_NAME.findall(content_type)) != 1:
        raise _broken("Content-Type must give one boundary")
    quoted, plain = found[0]
    return bytes(quoted or plain)


def peek(body: bytes, boundary: bytes) -> Form:
    """Find what the gateway needs in ``body``; raise ``Malformed`` when it is no form or has no model."""
    form = Form(boundary)
    delimiter = b"--" + boundary
    at = 2 if body.startswith(b"\r\n") else 0
    if not body.startswith(delimiter, at):
        raise _broken("it does not begin with its boundary")
    for _ in range(_MOST_PARTS):
        at += len(delimiter)
        if body.startswith(b"--", at):
            return _finished(form, body, delimiter, at)
        if not body.startswith(b"\r\n", at):
            raise _broken("a boundary does not stand alone on its line")
        following = body.find(delimiter, at)
        if following < 0:
            raise _broken("it has no end")
        if body[following - 2 : following] != b"\r\n":
            raise _broken("a boundary does not begin its line")
        _read_part(form, body, at + 2, following - 2)
        at = following
    raise _broken(f"it has more than {_MOST_PARTS} parts")


def splice(body: bytes, form: Form, model: str) -> bytes:
    """``body`` with ``model`` in the place of its model; ``Malformed`` where the form cannot carry the name."""
    value = model.encode()
    if b"\r" in value or b"\n" in value or form.boundary in value:
        raise _broken("the name of the model that serves it cannot stand in it")
    return b"".join((body[: form.model_start], value, body[form.model_end :]))


def _finished(form: Form, body: bytes, delimiter: bytes, at: int) -> Form:
    if body.find(delimiter, at) >= 0:
        raise _broken("a boundary follows its end")
    if form.model_start < 0 or not form.model or form.model.isspace():
        raise Malformed("missing_model", "The form must have a field 'model' that is not blank.", "model")
    return form


def _read_part(form: Form, body: bytes, start: int, end: int) -> None:
    """Read the part ``body[start:end]``: header lines, an empty line, the value."""
    stop = body.find(b"\r\n\r\n", start, min(end, start + _MOST_HEADER_BYTES))
    # A part without headers begins with the empty line itself and has no name.
    if stop < 0:
        raise _broken("a part has no end of headers")
    name = b""
    is_file = encoded = False
    for line in body[start:stop].split(b"\r\n"):
        if b"\r" in line or b"\n" in line or line[:1] in (b" ", b"\t"):
            raise _broken("a part's header does not end with its line")
        if _ENCODING.match(line):
            encoded = True
        disposition = _DISPOSITION.fullmatch(line)
        if disposition is not None:
            if name:
                raise _broken("a part is named twice")
            name, is_file = _read_disposition(disposition[1])
        elif line.lower().startswith(b"content-disposition"):
            raise _broken("a part is not form-data")
    if not name:
        raise _broken("a part has no name")
    value = body[stop + 4 : min(end, stop + 4 + _LONGEST_MODEL + 1)]
    if name == b"model":
        if is_file or encoded or len(value) > _LONGEST_MODEL:
            raise _broken("the model is not plain text")
        if form.model_start >= 0:
            raise Malformed("duplicate_key", "'model' is given more than once.", "model")
        try:
            form.model = value.decode()
        except UnicodeDecodeError:
            raise _broken("the model is not UTF-8") from None
        form.model_start = stop + 4
        form.model_end = end
    elif name == b"stream" and not is_file:
        form.stream = value.lower() in (b"true", b"1")


def _read_disposition(parameters: bytes) -> tuple[bytes, bool]:
    name = b""
    is_file = False
    at = 0
    while at < len(parameters):
        match = _PARAMETER.match(parameters, at)
        if match is None:
            raise _broken("a Content-Disposition cannot be read")
        key = match[1].lower()
        value = match[2] if match[2] is not None else match[3]
        if key == b"name":
            if name or not value or b"\\" in value:
                raise _broken("a part's name is not plain")
            name = value
        elif key in (b"filename", b"filename*"):
            is_file = True
        elif key == b"name*":
            raise _broken("a part's name is not plain")
        at = match.end()
    return name, is_file


def _broken(reason: str) -> Malformed:
    return Malformed("bad_request", f"The multipart form cannot be read: {reason}.")
