"""One look at each byte of a streamed answer: what it holds, and what of it the client must not see.

``Scanner(strip_usage)`` reads server-sent events however they are cut: lines end in LF, CRLF or CR, an event ends at an
empty line, the ``data`` lines of an event are joined. It does not follow the tasks of a client: no ids, no retry.

``feed(data)`` answers what the client gets next: ``data`` itself when nothing is held or removed (the caller may ask by
``is``), else other bytes, perhaps none. ``flush()`` answers what is still held when the body has ended.
``passes(data, start, end)`` is `feed` without a copy for what streams are made of: True if ``data[start:end]`` is one
whole event that goes on as it is, and was read; False if nothing was done.

1. Nothing is ever changed but this: with ``strip_usage``, an event of OpenAI's whose ``choices`` is empty and whose
   ``usage`` is an object is removed with the empty line that ends it.
2. So with ``strip_usage`` an unfinished event waits, unless it already shows a choice or is longer than 64 KiB.
   Without it nothing ever waits.
3. Output, counts and usage do not depend on where the bytes were cut.
4. An event that counts (``events``) carries something that was generated: a delta with more than a role in it, a
   completion's text. The rest (a first role, a finish, usage, comments, ``[DONE]``) does not.
5. JSON is decoded only where ``"usage":{`` stands. In an event longer than 64 KiB only the beginning is looked at for
   4 and the end for usage, and it is never removed.

``usage`` is the latest report (None before one), ``done`` whether the event came that ends a stream (``[DONE]``,
``response.completed``, ``.failed``, ``.incomplete``, ``message_stop``), ``mid_event`` whether the last byte was inside
an event.
"""

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.wire._sse_py import Scanner
else:
    try:
        from kthena_fast.wire._sse_c import Scanner
    except ModuleNotFoundError:
        from kthena_fast.wire._sse_py import Scanner

__all__ = ["Scanner"]
