"""`Refusal`: an answer that is an error, in vLLM's words; on `/v1/messages` in Anthropic's."""

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from pydantic import ValidationError

_VLLM_TYPES = {
    400: "BadRequestError",
    404: "NotFoundError",
    429: "TooManyRequestsError",
    500: "InternalServerError",
    503: "ServiceUnavailableError",
}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


class Refusal(Exception):
    """Raised by whatever finds the reason, written by the engine. `body` overrides vLLM's shape."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.headers = headers or {}
        self._body = body

    def render(self, path: str) -> bytes:
        """The JSON that a client of this path expects."""
        if self._body is not None:
            return orjson.dumps(self._body)
        if path.startswith("/v1/messages"):
            kind = _ANTHROPIC_TYPES.get(self.status, "api_error")
            return orjson.dumps({"type": "error", "error": {"type": kind, "message": self.message}})
        kind = _VLLM_TYPES.get(self.status) or HTTPStatus(self.status).phrase.replace(" ", "") + "Error"
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.status}
        return orjson.dumps({"error": error})


def unknown_model(model: str) -> Refusal:
    return Refusal(404, f"The model `{model}` does not exist.", param="model")


def unknown_path() -> Refusal:
    # FastAPI's own, which vLLM leaves as it is.
    return Refusal(404, "Not Found", body={"detail": "Not Found"})


def wrong_method(allowed: str) -> Refusal:
    return Refusal(405, "Method Not Allowed", body={"detail": "Method Not Allowed"}, headers={"Allow": allowed})


def unauthorized() -> Refusal:
    return Refusal(401, "Unauthorized", body={"error": "Unauthorized"})


def too_long(limit: int, prompt_tokens: int) -> Refusal:
    message = (
        f"This model's maximum context length is {limit} tokens. However, your request has {prompt_tokens} input "
        "tokens. Please reduce the length of the input messages."
    )
    return Refusal(400, message)


def invalid_call(error: ValidationError) -> Refusal:
    """400 that lists what pydantic found, as vLLM does."""
    found = [
        {"type": each["type"], "loc": ("body", *each["loc"]), "msg": each["msg"]}
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    lines = "".join(f"\n  {each}" for each in found)
    plural = "" if len(found) == 1 else "s"
    where = error.errors(include_url=False)[0]["loc"]
    return Refusal(400, f"{len(found)} validation error{plural}:{lines}", param=str(where[0]) if where else None)


def by_fault(status: int) -> Refusal:
    """What the fault `status` answers."""
    headers = {"Retry-After": "1"} if status in (429, 503) else {}
    return Refusal(status, f"The mock engine was told to answer {status}.", headers=headers)
