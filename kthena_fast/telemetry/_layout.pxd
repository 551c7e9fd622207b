# The function of _layout.py in C. A line is written into one place, which is kept and grows with the longest line.
#
# The GIL is held from the first byte to the last. Texts that are not ASCII are written as UTF-8; one with a lone
# surrogate is none, and raises.

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.float cimport PyFloat_AsDouble
from cpython.mem cimport PyMem_Realloc
from libc.string cimport memcpy

from kthena_fast.exchange._record_c cimport Exchange

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    const void *PyUnicode_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL

cdef extern from *:
    """
    static struct { char *base; Py_ssize_t size, room; } kthena_fast_line;
    """
    struct Line:
        char *base
        Py_ssize_t size, room
    Line kthena_fast_line


cdef inline int put(const char *text, Py_ssize_t size) except -1:
    cdef Py_ssize_t room = kthena_fast_line.size + size
    cdef char *base
    if room > kthena_fast_line.room:
        room = 2 * room + 512
        base = <char *> PyMem_Realloc(kthena_fast_line.base, room)
        if base == NULL:
            raise MemoryError()
        kthena_fast_line.base = base
        kthena_fast_line.room = room
    memcpy(kthena_fast_line.base + kthena_fast_line.size, text, size)
    kthena_fast_line.size += size
    return 0


cdef inline int put_text(str text) except -1:
    cdef Py_ssize_t size
    cdef const char *base
    if text is None:
        raise TypeError("a text is a str")
    if PyUnicode_IS_COMPACT_ASCII(text):
        return put(<const char *> PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text))
    base = PyUnicode_AsUTF8AndSize(text, &size)
    return put(base, size)


cdef inline int put_number(long long number) except -1:
    cdef char digits[20]
    cdef int at = 20
    cdef unsigned long long left = <unsigned long long> number
    if number < 0:
        put(b"-", 1)
        left = 0 - left
    while True:
        at -= 1
        digits[at] = <char> (48 + left % 10)
        left //= 10
        if not left:
            return put(digits + at, 20 - at)


cdef inline int put_fraction(long long microsecond) except -1:
    cdef char digits[7]
    cdef int at, size = 7
    if not microsecond:
        return 0
    digits[0] = 46
    for at in range(6, 0, -1):
        digits[at] = <char> (48 + microsecond % 10)
        microsecond //= 10
    while digits[size - 1] == 48:
        size -= 1
    return put(digits, size)


cdef inline int put_float(object number) except -1:
    cdef double value = PyFloat_AsDouble(number)
    if -1e15 < value < 1e15 and value == <double> <long long> value:
        return put_number(<long long> value)
    return put_text(f"{int(number) if number.is_integer() else number}")


cdef inline bytes line(
    Exchange exchange,
    str date,
    long long microsecond,
    str zone,
    str request,
    str failure,
    str route,
    str pod,
    str request_id,
    str backend,
    str origin,
    long long tokens_in,
    long long tokens_out,
    long long total,
    long long reading,
    long long upstream,
    long long response,
    str user,
    long long ttft,
    str client,
    str turn,
    object usage,
    str standing,
):
    kthena_fast_line.size = 0
    put(b"[", 1)
    put_text(date)
    put_fraction(microsecond)
    put_text(zone)
    put(b'] "', 3)
    put_text(request)
    put(b'" ', 2)
    put_number(exchange.status)
    put_text(failure)
    put_text(route)
    if pod:
        put(b" selected_pod=", 14)
        put_text(pod)
    if request_id:
        put(b" request_id=", 12)
        put_text(request_id)
    put_text(backend)
    if exchange.upstream_status:
        put(b" upstream_status_code=", 22)
        put_number(exchange.upstream_status)
    if exchange.attempts:
        put(b" upstream_attempts=", 19)
        put_number(exchange.attempts)
    put_text(origin)
    if tokens_in or tokens_out:
        put(b" tokens=", 8)
        put_number(tokens_in)
        put(b"/", 1)
        put_number(tokens_out)
    put(b" timings=", 9)
    put_number(total)
    put(b"ms(", 3)
    put_number(reading)
    put(b"+", 1)
    put_number(upstream)
    put(b"+", 1)
    put_number(response)
    put(b")", 1)
    if user:
        put(b" user=", 6)
        put_text(user)
    if ttft >= 0:
        put(b" ttft=", 6)
        put_number(ttft)
        put(b"ms", 2)
    put(b" bytes=", 7)
    put_number(exchange.bytes_out)
    if client:
        put(b" client=", 8)
        put_text(client)
    put_text(turn)
    if usage is not None:
        put(b" usage_at_admission=", 20)
        put_float(usage)
    put_text(standing)
    put(b"\n", 1)
    return PyBytes_FromStringAndSize(kthena_fast_line.base, kthena_fast_line.size)
