"""What the gateway needs to know of a JSON body, and where in it, without writing it anew.

``peek(body)`` reads a body once. Compiled, it walks bodies that are plain without a decoder (`_peek_walk_py`); of any
other, orjson vouches that it is one JSON object in UTF-8 and gives the values, and a scan of the top level gives the
places. So ``splice`` can change two values and leave every other byte as the client wrote it.

1. Two parsers must never see two models: a top-level name that is read here (``model``, ``stream``, ``stream_options``,
   ``user``, ``userId``, ``max_tokens``, ``max_completion_tokens``) is refused when it comes twice or is spelt with
   escapes (``"mod\\u0065l"``).
2. A value of the wrong type is not refused: the engine's own answer says it better. It reads as absent.
3. The prompt's size is what the engine reads, not what the client typed: bytes of UTF-8 after escapes are undone.
   Counted are the strings, the text blocks and the arrays of tokens under ``prompt``, ``messages``, ``system``,
   ``input``, ``instructions``, ``query``, ``queries``, ``documents``, ``text_1`` and ``text_2``, however nested up to
   a depth no API has.

``Malformed`` is the only exception for a ``bytes`` body, whatever is in it.
"""

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS
from kthena_fast.wire.malformed import Malformed

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.wire._peek_py import peek, require_model, splice
    from kthena_fast.wire._peek_walk_py import Peek
else:
    try:
        from kthena_fast.wire._peek_c import peek, require_model, splice
        from kthena_fast.wire._peek_walk_c import Peek
    except ModuleNotFoundError:
        from kthena_fast.wire._peek_py import peek, require_model, splice
        from kthena_fast.wire._peek_walk_py import Peek

__all__ = ["Malformed", "Peek", "peek", "require_model", "splice"]
