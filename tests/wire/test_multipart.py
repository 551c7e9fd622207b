"""The one field of a form that the gateway reads, and the many ways to hide a second one."""

import contextlib

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.wire import multipart as wire
from kthena_fast.wire.malformed import Malformed

MODEL = b'Content-Disposition: form-data; name="model"\r\n\r\nwhisper'
FILE = (
    b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    b"\x00\r\n\r\n--\xff"
)


def form(*parts: bytes, boundary: bytes = b"b1") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


def refusal(body: bytes, boundary: bytes = b"b1") -> str:
    with pytest.raises(Malformed) as caught:
        wire.peek(body, boundary)
    return str(caught.value.code)


@pytest.mark.parametrize("parts", [(MODEL, FILE), (FILE, MODEL)])
def test_the_model_is_found_and_replaced(parts: tuple[bytes, ...]) -> None:
    body = form(*parts)
    found = wire.peek(body, b"b1")
    assert (found.model, found.stream) == ("whisper", False)
    assert body[found.model_start : found.model_end] == b"whisper"
    assert wire.splice(body, found, "org/large") == body.replace(b"whisper", b"org/large")


def test_a_form_of_a_real_client_is_read() -> None:
    request = httpx.Request(
        "POST",
        "http://gateway/v1/audio/transcriptions",
        data={"model": "whisper", "stream": "true", "prompt": "a"},
        files={"file": ("a.wav", b"\x00\r\n\r\n--\xff" * 1000, "audio/wav")},
    )
    boundary = wire.boundary(request.headers["content-type"].encode())
    assert boundary is not None
    found = wire.peek(request.read(), boundary)
    assert (found.model, found.stream) == ("whisper", True)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b"multipart/form-data; boundary=b1", b"b1"),
        (b'Multipart/Form-Data;charset=utf-8; BOUNDARY="b 1:x"', b"b 1:x"),
        (
            b"multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
            b"----WebKitFormBoundary7MA4YWxkTrZu0gW",
        ),
        (b"multipart/form-data; boundary=b1 ; charset=utf-8", b"b1"),
        (b"application/json", None),
        (b"application/json; boundary=b1", None),
        (b"multipart/mixed; boundary=b1", None),
        (b"", None),
        (None, None),
    ],
)
def test_a_boundary_is_read_from_the_content_type(content_type: bytes | None, boundary: bytes | None) -> None:
    assert wire.boundary(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b'multipart/form-data; boundary=""',
        b"multipart/form-data; boundary=a b",
        b"multipart/form-data; boundary=a; boundary=b",
        b"multipart/form-data; boundary*=utf-8''a",
        b"multipart/form-data; boundary*0=a; boundary*1=b",
        b'multipart/form-data; x="; boundary=a"; boundary=b',
        b'multipart/form-data; boundary=a; boundary="b\\"c"',
        b"multipart/form-data; boundary=" + b"a" * 71,
    ],
)
def test_a_boundary_that_two_could_read_differently_is_refused(content_type: bytes) -> None:
    with pytest.raises(Malformed):
        wire.boundary(content_type)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (form(MODEL, MODEL), "duplicate_key"),
        (form(FILE), "missing_model"),
        (form(), "missing_model"),
        (form(b'Content-Disposition: form-data; name="model"\r\n\r\n'), "missing_model"),
        (form(b'Content-Disposition: form-data; name="model"\r\n\r\n \t'), "missing_model"),
        (b"", "bad_request"),
        (b"--b1", "bad_request"),
        (b"--b1--", "missing_model"),
        (form(MODEL)[:-6], "bad_request"),
        (b"x" + form(MODEL), "bad_request"),
        (form(MODEL) + form(MODEL), "bad_request"),
        (form(MODEL, boundary=b"b2"), "bad_request"),
        # Delimiters that some take for one and some do not.
        (form(MODEL, b'Content-Disposition: form-data; name="x"\r\n\r\ny\n--b1\r\n' + MODEL), "bad_request"),
        (form(MODEL, b'Content-Disposition: form-data; name="x"\r\n\r\ny\r\n--b1 \r\n' + MODEL), "bad_request"),
        (form(MODEL, b'Content-Disposition: form-data; name="x"\r\n\r\ny\r\n--b10\r\n' + MODEL), "bad_request"),
        # Second spellings of a name.
        (form(MODEL, b'Content-Disposition: form-data; name="mod\\el"\r\n\r\nx'), "bad_request"),
        (form(MODEL, b"Content-Disposition: form-data; name*=utf-8''model\r\n\r\nx"), "bad_request"),
        (form(MODEL, b'Content-Disposition: form-data; name="x"; name="model"\r\n\r\nx'), "bad_request"),
        (form(MODEL, b'Content-Disposition: form-data; name="x"; name=\r\n\r\nx'), "bad_request"),
        (form(MODEL, b'Content-Disposition: form-data; name="x" "model"\r\n\r\nx'), "bad_request"),
        (form(MODEL, b'Content-Disposition: attachment; name="model"\r\n\r\nx'), "bad_request"),
        (form(MODEL, b"Content-Type: text/plain\r\n\r\nx"), "bad_request"),
        (
            form(
                MODEL,
                b'Content-Disposition: form-data; name="x"\r\nContent-Disposition: form-data; name="model"\r\n\r\n',
            ),
            "bad_request",
        ),
        (form(b'Content-Disposition: form-data;\r\n name="model"\r\n\r\nx'), "bad_request"),
        (form(b'X: y\nContent-Disposition: form-data; name="model"\r\n\r\nx'), "bad_request"),
        # A model that is no plain text.
        (form(b'Content-Disposition: form-data; name="model"; filename="m"\r\n\r\nx'), "bad_request"),
        (form(b"Content-Transfer-Encoding: base64\r\n" + MODEL), "bad_request"),
        (form(b'Content-Disposition: form-data; name="model"\r\n\r\n\xff'), "bad_request"),
        (form(b'Content-Disposition: form-data; name="model"\r\n\r\n' + b"x" * 1025), "bad_request"),
        # More than any client sends.
        (form(*[b'Content-Disposition: form-data; name="x"\r\n\r\n'] * 200, MODEL), "bad_request"),
        (form(b"X: " + b"y" * 10_000 + b"\r\n" + MODEL), "bad_request"),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else value,
)
def test_a_form_that_two_could_read_differently_is_refused(body: bytes, code: str) -> None:
    assert refusal(body) == code


def test_a_name_without_quotes_is_a_name() -> None:
    assert wire.peek(form(b"content-disposition:form-data;name=model\r\n\r\nx"), b"b1").model == "x"


@pytest.mark.parametrize("model", ["a\r\nb", "a\n", "a--b1"])
def test_a_name_that_would_break_the_form_is_not_written(model: str) -> None:
    body = form(MODEL)
    with pytest.raises(Malformed, match="cannot stand"):
        wire.splice(body, wire.peek(body, b"b1"), model)


PIECES = (
    b"--b1",
    b"--",
    b"\r\n",
    b"\n",
    b'Content-Disposition: form-data; name="model"',
    b"\r\n\r\n",
    b"x",
    FILE,
    MODEL,
)


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=5))).map(b"".join))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(Malformed):
        found = wire.peek(body, b"b1")
        assert found.model.encode() == body[found.model_start : found.model_end]
