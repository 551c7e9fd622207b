"""Header sets as they cross the gateway: what an engine gets, what a client gets, and the id of a request.

A header set is a list of (name, value) in bytes, names in lower case, in the order of arrival.

1. What is written is always whole lines: ``Unsafe`` is raised for a name that is no token and for a value with a
   control character (tab apart), wherever they came from.
2. Hop-by-hop headers end here in both directions, and so do those that ``Connection`` names.
3. What the gateway sets (``Content-Length``, ``X-Request-Id``, ``X-Forwarded-For``, ``X-Forwarded-Proto``, and for
   each pod ``Host``) it sets once, and what a client said in its place is dropped; behind a trusted proxy the two
   ``X-Forwarded`` are continued. Other tales of where a request came from (``Forwarded``, ``X-Real-IP``...) pass from
   a trusted proxy only.
4. The rest passes: ``traceparent``, ``Authorization`` and ``X-Api-Key`` (unless credentials are stripped) to the
   engine; ``Date`` and ``Server``, which are the engine's to say, to the client.
"""

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.wire._headers_py import (
        HOP_BY_HOP,
        Headers,
        Unsafe,
        is_token,
        new_request_id,
        request_id,
        request_line,
        to_client,
        to_engine,
        valid_request_id,
    )
else:
    try:
        from kthena_fast.wire._headers_c import (
            HOP_BY_HOP,
            Headers,
            Unsafe,
            is_token,
            new_request_id,
            request_id,
            request_line,
            to_client,
            to_engine,
            valid_request_id,
        )
    except ModuleNotFoundError:
        from kthena_fast.wire._headers_py import (
            HOP_BY_HOP,
            Headers,
            Unsafe,
            is_token,
            new_request_id,
            request_id,
            request_line,
            to_client,
            to_engine,
            valid_request_id,
        )

__all__ = [
    "HOP_BY_HOP",
    "Headers",
    "Unsafe",
    "is_token",
    "new_request_id",
    "request_id",
    "request_line",
    "to_client",
    "to_engine",
    "valid_request_id",
]
