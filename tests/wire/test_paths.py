"""Paths that are told apart, and labels that no client can add to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.wire import paths


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/v1/chat/completions", "/v1/chat/completions"),
        (b"/v1/chat/completions?x=/v1/models", "/v1/chat/completions"),
        (b"/v1/chat%2Fcompletions", "/v1/chat/completions"),
        (b"/v1/models/org%2Fname", "/v1/models/org/name"),
        (b"/v1/%ff", "/v1/\ufffd"),
        (b"/%", "/%"),
        (b"/\xc3\xa9", "/\u00e9"),
        (b"", ""),
    ],
)
def test_a_target_is_decoded_to_its_path(target: bytes, path: str) -> None:
    assert paths.decode(target) == path


@given(st.one_of(st.binary(), st.binary().map(lambda rest: b"/v1/" + rest)))
def test_labels_and_dialects_are_few_whatever_is_asked(target: bytes) -> None:
    path = paths.decode(target)
    assert paths.label(path) in {*paths.KNOWN, "other"}
    assert paths.dialect(path) in {*paths.KNOWN.values(), "other"}


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/chat/completions", "chat"),
        ("/v1/completions", "completions"),
        ("/v1/embeddings", "embeddings"),
        ("/v1/responses", "responses"),
        ("/v1/messages", "messages"),
        ("/v1/rerank", "rerank"),
        ("/v1/score", "score"),
        ("/v1/classify", "classify"),
        ("/v1/tokenize", "tokenize"),
        ("/v1/audio/transcriptions", "audio"),
    ],
)
def test_known_paths_have_their_own_label_and_dialect(path: str, dialect: str) -> None:
    assert (paths.label(path), paths.dialect(path)) == (path, dialect)


@pytest.mark.parametrize("path", ["/v1/chat/completions/", "/V1/chat/completions", "/v1/new", "/", "", "/v1/modelsx"])
def test_other_paths_are_other(path: str) -> None:
    assert (paths.label(path), paths.dialect(path)) == ("other", "other")


def test_models_share_one_label() -> None:
    assert paths.label("/v1/models/a/b") == "/v1/models"
    assert paths.dialect("/v1/models/a") == paths.dialect("/v1/models") == "models"


@pytest.mark.parametrize(
    ("path", "model"), [("/v1/models/a/b", "a/b"), ("/v1/models/", None), ("/v1/models", None), ("/v1/x", None)]
)
def test_the_id_of_a_model_may_hold_slashes(path: str, model: str | None) -> None:
    assert paths.model_id(path) == model


def test_usage_is_asked_for_where_the_api_knows_the_option() -> None:
    assert {"/v1/chat/completions", "/v1/completions"} == paths.USAGE_ON_REQUEST
