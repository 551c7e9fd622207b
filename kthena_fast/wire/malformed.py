"""The one failure of a request's body."""

from typing import Literal

from kthena_fast import errors

Code = Literal["invalid_json", "duplicate_key", "missing_model", "bad_request"]


class Malformed(errors.GatewayError):
    """The body cannot be served: 400, with ``code`` and ``param`` as OpenAI's error object names them.

    ``message`` is for the client; it never repeats the body.
    """

    def __init__(self, code: Code, message: str, param: str | None = None) -> None:
        super().__init__(400, errors.INVALID_REQUEST, code, message, reason="request_parsing", param=param)
