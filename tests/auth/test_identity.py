"""Whose request it is: the first source that gives a name."""

import base64

import orjson
import pytest

from kthena_fast.auth.identity import ANONYMOUS, LONGEST, Identifier
from kthena_fast.exchange.record import Exchange
from kthena_fast.settings import BadSetting, Settings, read
from kthena_fast.wire import peek
from tests.telemetry import records


def asked(*headers: tuple[bytes, bytes], **members: object) -> Exchange:
    exchange = records.exchange()
    exchange.headers = list(headers)
    exchange.body = orjson.dumps({"model": "m", **members})
    exchange.peek = peek.peek(exchange.body)
    return exchange


def user(exchange: Exchange, *sources: str) -> str:
    return Identifier(sources).of(exchange)


def test_by_default_it_is_openais_field_then_that_of_kthenas_first_gateway() -> None:
    sources = Settings().fairness_user_sources
    assert sources == ("body:user", "body:userId", "anonymous")
    assert user(asked(user="alice", userId="bob"), *sources) == "alice"
    assert user(asked(userId="bob"), *sources) == "bob"
    assert user(asked(), *sources) == ANONYMOUS


def test_sources_are_asked_in_their_order() -> None:
    exchange = asked((b"x-user", b"header"), user="body")
    assert user(exchange, "header:X-User", "body:user") == "header"
    assert user(exchange, "body:user", "header:X-User") == "body"


def test_anonymous_ends_the_search() -> None:
    assert user(asked(user="alice"), "anonymous", "body:user") == ANONYMOUS


def test_nobody_is_without_a_name() -> None:
    assert user(asked(), "header:x-user") == ANONYMOUS


@pytest.mark.parametrize("value", [b"", b"   ", b"\t"])
def test_a_name_that_is_empty_is_none(value: bytes) -> None:
    assert user(asked((b"x-user", value), user="alice"), "header:x-user", "body:user") == "alice"


@pytest.mark.parametrize("value", ["", None, 7, ["a"], {"a": 1}, True])
def test_a_field_that_is_no_text_is_no_name(value: object) -> None:
    assert user(asked(user=value), "body:user") == ANONYMOUS
    assert user(asked(tenant=value), "body:tenant") == ANONYMOUS


def test_any_field_of_the_body_may_hold_the_name() -> None:
    assert user(asked(tenant="acme"), "body:tenant") == "acme"
    assert user(asked(), "body:tenant") == ANONYMOUS


def test_a_body_that_is_a_form_has_no_fields_to_read() -> None:
    form = records.exchange()
    form.peek = None
    form.body = b"--x\r\n"
    assert user(form, "body:user", "body:userId", "body:tenant") == ANONYMOUS


def test_the_first_value_of_a_header_counts() -> None:
    assert user(asked((b"x-user", b"a"), (b"x-user", b"b")), "header:x-user") == "a"


def test_a_header_that_is_not_utf8_still_names_somebody() -> None:
    assert user(asked((b"x-user", b"J\xf6rg")), "header:x-user") == "J\N{REPLACEMENT CHARACTER}rg"
    assert user(asked((b"x-user", "Jörg".encode())), "header:x-user") == "Jörg"


@pytest.mark.parametrize("sources", [("header:x-user",), ("body:user",), ("body:tenant",)])
def test_a_name_is_cut_so_that_no_client_fills_the_ledger_with_one_request(sources: tuple[str, ...]) -> None:
    long = "n" * 100_000
    exchange = asked((b"x-user", long.encode()), user=long, tenant=long)
    assert user(exchange, *sources) == "n" * LONGEST


def test_an_unverified_token_is_never_decoded() -> None:
    claims = base64.urlsafe_b64encode(b'{"sub":"root"}').decode().rstrip("=")
    exchange = asked((b"authorization", f"Bearer eyJhbGciOiJub25lIn0.{claims}.".encode()))
    assert user(exchange, *Settings().fairness_user_sources) == ANONYMOUS


@pytest.mark.parametrize("source", ["jwt:sub", "apikey", "jwt", "body:user,jwt:sub"])
def test_what_needs_authentication_refuses_to_start_until_there_is_some(source: str) -> None:
    with pytest.raises(BadSetting, match=r"FAIRNESS_USER_SOURCES=.*needs authentication"):
        read({"FAIRNESS_USER_SOURCES": source}, pytest.fail)


@pytest.mark.parametrize("source", ["cookie:x", "header:", "body", "Anonymous", "header"])
def test_what_is_no_source_refuses_to_start(source: str) -> None:
    with pytest.raises(BadSetting, match="FAIRNESS_USER_SOURCES"):
        read({"FAIRNESS_USER_SOURCES": source}, pytest.fail)


@pytest.mark.parametrize(
    ("sources", "trusts"),
    [(("anonymous",), False), (("body:user", "anonymous"), True), (("header:x-user",), True)],
)
def test_whether_names_can_be_invented_is_known(sources: tuple[str, ...], trusts: bool) -> None:
    assert Identifier(sources).trusts_clients is trusts
