"""Heads that are beyond doubt, read in one pass.

`request(head)` and `response(head)` take a whole head, its blank line included, and read it if it is in the plain form
that nearly all heads have. For any other they say None, and llhttp is asked: so what is refused and what is let through
is llhttp's to say, and what is read here it would have read the same (``test_what_is_read_here_llhttp_reads_the_same``).

Plain are: HTTP/1.1; lines that end in CRLF and hold no control character but tabs; names that are tokens directly before
their colon; one ``Content-Length`` of 1 to 18 digits; no ``Transfer-Encoding``, no ``Upgrade``, no ``Expect``; at most
one ``Connection``, and that ``keep-alive`` or ``close``. A request is a ``POST``, its target printable ASCII. A response
has a status from 200 on that comes with a body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.wire._heads_py import Head as Head
    from kthena_fast.wire._heads_py import request as request
    from kthena_fast.wire._heads_py import response as response
else:
    try:
        from kthena_fast.wire._heads_c import Head as Head
        from kthena_fast.wire._heads_c import request as request
        from kthena_fast.wire._heads_c import response as response
    except ModuleNotFoundError:
        from kthena_fast.wire._heads_py import Head as Head
        from kthena_fast.wire._heads_py import request as request
        from kthena_fast.wire._heads_py import response as response
