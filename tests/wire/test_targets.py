"""Targets that would lead elsewhere once somebody resolves them, and hosts that are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.wire import paths, targets


def problem(target: bytes) -> str:
    return targets.problem(target, paths.decode(target))


@pytest.mark.parametrize("path", paths.KNOWN)
def test_the_paths_of_the_api_are_plain(path: str) -> None:
    assert problem(path.encode()) == ""
    assert problem(path.encode() + b"?a=../b&c=.&d=\\") == ""


@pytest.mark.parametrize(
    "target", [b"/v1/models/llama-3.1", b"/v1/models/a..b", b"/v1/...", b"/v1/models/.hidden", b"//v1/", b"/v1/%2f"]
)
def test_dots_in_names_are_no_segments(target: bytes) -> None:
    assert problem(target) == ""


@pytest.mark.parametrize(
    ("target", "about"),
    [
        (b"/v1/../admin", "'..'"),
        (b"/v1/..", "'..'"),
        (b"/v1/./chat/completions", "'.'"),
        (b"/v1/%2e%2e/admin", "'..'"),
        (b"/v1/.%2E/admin", "'..'"),
        (b"/v1/..%2fadmin", "'..'"),
        (b"/v1/x%2f..%2F..%2fadmin", "'..'"),
        (b"/v1/..\\admin", "backslash"),
        (b"/v1/x%5c..%5Cadmin", "backslash"),
        (b"/v1/chat/completions#here", "fragment"),
        (b"/v1/chat/completions?a#b", "fragment"),
    ],
)
def test_what_leads_elsewhere_is_told_apart(target: bytes, about: str) -> None:
    assert about in problem(target)


@given(st.text("./%2eEfF5cC\\ab", max_size=20))
def test_no_plain_path_leaves_its_prefix(rest: str) -> None:
    target = b"/v1/" + rest.encode()
    if problem(target) == "":
        assert not {".", ".."} & set(paths.decode(target).replace("\\", "/").split("/"))


@pytest.mark.parametrize(
    "host", [b"gateway.test", b"gateway.test:8080", b"[::1]:8080", b"192.0.2.1", b"", b"a_b-c.test"]
)
def test_hosts_are_hosts(host: bytes) -> None:
    assert targets.valid_host(host)


@pytest.mark.parametrize("host", [b"a b", b'"a"', b"a'b", b"a\tb", b"a\x01", b"a/b", b"a@b", b"a?b", b"\xc3\xa4.test"])
def test_what_is_no_host_is_told_apart(host: bytes) -> None:
    assert not targets.valid_host(host)
