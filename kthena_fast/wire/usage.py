"""What an engine says it used: OpenAI's, Responses' and Anthropic's shapes, whole or at the end of a long body.

``of(document, before)`` and ``parse(usage, before)`` read decoded JSON, ``last(data)`` and ``Tail`` raw bytes.

Engines are not trusted with arithmetic: a count that is not an integer from 0 to 2**31 - 1 (``true``, ``1e9``, ``"7"``,
``-1``) is as good as absent.
"""

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.wire._usage_py import Tail, Usage, last, of, parse
else:
    try:
        from kthena_fast.wire._usage_c import Tail, Usage, last, of, parse
    except ModuleNotFoundError:
        from kthena_fast.wire._usage_py import Tail, Usage, last, of, parse

__all__ = ["Tail", "Usage", "last", "of", "parse"]
