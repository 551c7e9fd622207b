"""What the bodies of several APIs have in common, and how a body becomes a call."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kthena_fast.mock_engine import refusals, words

Content = str | list[dict[str, Any]] | None

MAX_TOKENS = Field(default=None, ge=1)


class Call(BaseModel):
    """Unknown members are accepted, as vLLM accepts them; without a model the first one answers."""

    model_config = ConfigDict(frozen=True)

    model: str | None = None


class Message(BaseModel):
    role: str
    content: Content = None

    def characters(self) -> int:
        return words.characters_in(self.content)


class StreamOptions(BaseModel):
    include_usage: bool | None = True
    continuous_usage_stats: bool | None = False


CallType = TypeVar("CallType", bound=Call)


def decode(kind: type[CallType], body: bytes) -> CallType:
    """The call that a JSON body holds, or a Refusal with everything that is wrong with it."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise refusals.invalid_call(error) from None
