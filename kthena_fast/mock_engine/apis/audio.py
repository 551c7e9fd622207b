"""POST /v1/audio/transcriptions and /v1/audio/translations: multipart forms."""

import dataclasses
import email.message
import email.policy
from collections.abc import Mapping
from typing import Any

import orjson

from kthena_fast.mock_engine import refusals, words
from kthena_fast.mock_engine.generation import Demand, Generation

from . import chunks
from .calls import StreamOptions

BYTES_PER_TOKEN = 1_000
BYTES_PER_SECOND = 32_000
"""16 kHz, 16 bit, one channel: whatever is sent is taken for that."""


@dataclasses.dataclass(frozen=True, slots=True)
class AudioCall:
    model: str | None
    audio_bytes: int
    stream: bool
    include_usage: bool
    as_text: bool

    def demand(self) -> Demand:
        return Demand(self.model, max(1, -(-self.audio_bytes // BYTES_PER_TOKEN)), stream=self.stream)

    def script(self, generation: Generation) -> "AudioScript":
        return AudioScript(self, generation)


class AudioScript:
    __slots__ = ("_call", "_generation", "_stream")

    def __init__(self, call: AudioCall, generation: Generation) -> None:
        self._call = call
        self._generation = generation
        options = StreamOptions() if call.include_usage else None
        self._stream = chunks.ChunkStream(generation, f"trsc-{generation.id}", "transcription.chunk", _delta, options)

    @property
    def content_type(self) -> str:
        return "text/plain; charset=utf-8" if self._call.as_text else "application/json"

    def whole(self) -> bytes:
        text = words.text(self._generation.output_tokens)
        if self._call.as_text:
            return text.encode()
        seconds = -(-self._call.audio_bytes // BYTES_PER_SECOND)
        return orjson.dumps({"text": text, "usage": {"type": "duration", "seconds": seconds}})

    def opening(self) -> bytes:
        return b""

    def token(self, index: int) -> bytes:
        return self._stream.token(index)

    def closing(self) -> bytes:
        return self._stream.closing()


def _delta(_index: int, text: str, finish: str | None) -> dict[str, Any]:
    choice: dict[str, Any] = {"delta": {"content": text}}
    return choice if finish is None else {**choice, "finish_reason": finish, "stop_reason": None}


def decode(content_type: str, body: bytes) -> AudioCall:
    """The call that a multipart form holds."""
    form = parts(content_type, body)
    audio = form.get("file")
    if audio is None:
        raise refusals.Refusal(400, "The form has no field `file`.", param="file")
    return AudioCall(
        model=_text(form, "model"),
        audio_bytes=len(audio),
        stream=_text(form, "stream") == "true",
        include_usage=_text(form, "stream_include_usage") == "true",
        as_text=_text(form, "response_format") == "text",
    )


def _text(form: Mapping[str, bytes], name: str) -> str | None:
    value = form.get(name)
    return None if value is None else value.decode("utf-8", "replace")


def parts(content_type: str, body: bytes) -> dict[str, bytes]:
    """Fields of a multipart form by name. Cut at the boundary by hand: the body was read whole, for the record."""
    head = email.message.EmailMessage(email.policy.HTTP)
    head["Content-Type"] = content_type
    boundary = head.get_param("boundary")
    if head.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise refusals.Refusal(400, "The body is not multipart/form-data with a boundary.")
    mark = b"\r\n--" + boundary.encode()
    *pieces, rest = (b"\r\n" + body).split(mark)[1:] or [b""]
    if not rest.startswith(b"--"):
        raise refusals.Refusal(400, "The form ends before its last boundary.")
    return dict(filter(None, map(_field, pieces)))


def _field(piece: bytes) -> tuple[str, bytes] | None:
    head, separator, value = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    if not separator:
        raise refusals.Refusal(400, "A part of the form has no end of its headers.")
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, _, rest = line.partition(":")
        if name.strip().lower() == "content-disposition":
            part = email.message.EmailMessage(email.policy.HTTP)
            part["Content-Disposition"] = " ".join(rest.split())
            field = part.get_param("name", header="content-disposition")
            return (field, value) if isinstance(field, str) else None
    return None
