"""Header lines that are no objects yet: to whoever looks, they are the list that the pure twins make of a head."""

from __future__ import annotations

import importlib
import struct
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.core import _choice
from kthena_fast.wire import _headers_py, _heads_py

DATA = b"a: b\r\nHost:  x \r\n\r\n"
LISTED = [(b"a", b"b"), (b"host", b"x")]


@pytest.fixture(scope="session")
def wire(twin: Callable[[str, str], ModuleType]) -> ModuleType:
    return twin("wire", "fields")


def made(wire: ModuleType, *places: int) -> Any:
    return wire.Fields(DATA, (b"a", b"host"), struct.pack(f"={len(places)}I", *places))


def test_they_are_a_list_to_whoever_looks(wire: ModuleType) -> None:
    fields = made(wire, 3, 1, 13, 1)
    assert len(fields) == 2
    assert fields == LISTED
    assert fields == made(wire, 3, 1, 13, 1)
    assert fields != made(wire, 3, 1, 13, 2)
    assert fields != LISTED[:1]
    assert fields != "ab"
    assert list(fields) == list(fields.listed()) == LISTED
    assert list(reversed(fields)) == LISTED[::-1]
    assert fields[1] == LISTED[1]
    assert dict(fields) == dict(LISTED)
    assert repr(fields) == repr(LISTED)
    # Made once.
    assert fields.listed() is fields.listed()
    with pytest.raises(TypeError):
        hash(fields)


@pytest.mark.parametrize("places", [(3, 1), (3, 1, 13, 1, 13, 1)])
def test_as_many_places_as_names(wire: ModuleType, places: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"places|shorter|longer"):
        made(wire, *places).listed()


if not _choice.NO_EXTENSIONS:

    @pytest.mark.parametrize("places", [(3, 1, len(DATA), 1), (3, 1, 0, len(DATA) + 1), (3, 1, 2**32 - 1, 2**32 - 1)])
    def test_a_value_beyond_the_bytes_is_an_error(places: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="beyond the bytes"):
            made(importlib.import_module("kthena_fast.wire._fields_c"), *places).listed()


NAMES = st.sampled_from(
    b"Accept Connection Cookie X-Forwarded-For x-forwarded-proto X-Request-Id TraceParent X-Own x".split()
)
VALUES = st.sampled_from([b"", b"a", b" a b ", b"\xff\t.", b"close", b"keep-alive"])


if not _choice.NO_EXTENSIONS:

    @given(st.lists(st.tuples(NAMES, VALUES), max_size=140), st.booleans(), st.booleans())
    def test_what_is_written_of_them_is_what_is_written_of_the_list(
        said: list[tuple[bytes, bytes]], trusted: bool, strip: bool
    ) -> None:
        heads = importlib.import_module("kthena_fast.wire._heads_c")
        headers = importlib.import_module("kthena_fast.wire._headers_c")
        lines = b"".join(b"%b:%b\r\n" % header for header in said)
        data = b"POST /a HTTP/1.1\r\nContent-Length: 1\r\n%b\r\n" % lines
        head, listed = heads.request(data), _heads_py.request(data)
        assert (head is None) == (listed is None)
        if head is None or listed is None:
            return
        assert head.fields == listed.fields
        assert headers.to_client(head.fields, b"id") == _headers_py.to_client(listed.fields, b"id")
        written = _headers_py.to_engine(listed.fields, 1, b"id", "c", "http", trusted, strip)
        assert headers.to_engine(head.fields, 1, b"id", "c", "http", trusted, strip) == written
        assert headers.to_engine(listed.fields, 1, b"id", "c", "http", trusted, strip) == written
