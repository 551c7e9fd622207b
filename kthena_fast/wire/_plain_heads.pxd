# The functions of _plain_heads.py in C, inlined into the compiled twins that cimport this file.
#
# Those of bytes look at data[at:end] only, where end is len(data), and at nothing when at >= end.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.string cimport memcmp

from kthena_fast.wire cimport _lines as lines
from kthena_fast.wire cimport _scan as scan
from kthena_fast.wire cimport _spans as spans
from kthena_fast.wire._fields_c cimport Fields

cdef extern from "Python.h":
    PyObject *PyTuple_GET_ITEM(tuple, Py_ssize_t)
    tuple PyTuple_New(Py_ssize_t)
    void PyTuple_SET_ITEM(tuple, Py_ssize_t, object)

cdef enum:
    # A place has 32 bits.
    MOST_BYTES = 1 << 30

cdef extern from *:
    """
    #ifdef __SSE2__
    #include <emmintrin.h>
    #endif

    #ifndef KTHENA_LOWER
    #define KTHENA_LOWER
    #ifdef __SSE2__
    /* Letters, digits and hyphens in lower case; whether the first `size` of the 16 bytes are nothing else. */
    static inline int kthena_lower16(char *to, const unsigned char *at, Py_ssize_t size)
    {
        const __m128i bytes = _mm_loadu_si128((const __m128i *) at);
        const __m128i upper = _mm_and_si128(
            _mm_cmpgt_epi8(bytes, _mm_set1_epi8('A' - 1)), _mm_cmplt_epi8(bytes, _mm_set1_epi8('Z' + 1)));
        const __m128i lower = _mm_or_si128(bytes, _mm_and_si128(upper, _mm_set1_epi8(32)));
        const __m128i letters = _mm_and_si128(
            _mm_cmpgt_epi8(lower, _mm_set1_epi8('a' - 1)), _mm_cmplt_epi8(lower, _mm_set1_epi8('z' + 1)));
        const __m128i digits = _mm_and_si128(
            _mm_cmpgt_epi8(lower, _mm_set1_epi8('0' - 1)), _mm_cmplt_epi8(lower, _mm_set1_epi8('9' + 1)));
        const __m128i usual = _mm_or_si128(
            _mm_or_si128(letters, digits), _mm_cmpeq_epi8(lower, _mm_set1_epi8('-')));
        const unsigned int wanted = size < 16 ? (1u << size) - 1 : 0xffffu;
        _mm_storeu_si128((__m128i *) to, lower);
        return ((unsigned int) _mm_movemask_epi8(usual) & wanted) == wanted;
    }
    #else
    static inline int kthena_lower16(char *to, const unsigned char *at, Py_ssize_t size)
    {
        return 0;
    }
    #endif

    /* A name of 32 bytes at most that has nothing but those, in lower case; 32 bytes may be written, and be read from
       `at` on, which are below `end`. False: it is something else, or stands too near to the end. */
    static inline int kthena_lower(char *to, const unsigned char *at, Py_ssize_t size, const unsigned char *end)
    {
        if (size > 32 || end - at < 32 || !kthena_lower16(to, at, size))
            return 0;
        return size <= 16 || kthena_lower16(to + 16, at + 16, size - 16);
    }

    /* How many bytes are line feeds. */
    static inline Py_ssize_t kthena_lines(const unsigned char *at, const unsigned char *end)
    {
        Py_ssize_t count = 0;
    #ifdef __SSE2__
        const __m128i feed = _mm_set1_epi8('\\n'), zero = _mm_setzero_si128();
        while (end - at >= 16) {
            /* A counter of eight bits for each of sixteen places. */
            __m128i found = zero;
            for (int times = 0; times < 255 && end - at >= 16; times++, at += 16)
                found = _mm_sub_epi8(found, _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *) at), feed));
            found = _mm_sad_epu8(found, zero);
            count += _mm_cvtsi128_si32(found) + _mm_extract_epi16(found, 4);
        }
    #endif
        for (; at < end; at++)
            count += *at == '\\n';
        return count;
    }
    #endif
    """
    Py_ssize_t kthena_lines(const unsigned char *, const unsigned char *) nogil
    bint kthena_lower(char *, const unsigned char *, Py_ssize_t, const unsigned char *) nogil


cdef inline bytes lowered(
    const unsigned char *base, Py_ssize_t at, Py_ssize_t end, const unsigned char *last, tuple common
):
    """A token in lower case, that of ``common`` if it is there; None: it is none. ``last``: where the bytes end."""
    # Of each byte below 128 what it becomes; a space where it is of no token.
    cdef const unsigned char *table = (
        b"                                "
        b" ! #$%&'  *+ -. 0123456789      "
        b" abcdefghijklmnopqrstuvwxyz   ^_"
        b"`abcdefghijklmnopqrstuvwxyz | ~ "
    )
    cdef char short[64]
    cdef char *to = short
    cdef bytes text = None
    cdef Py_ssize_t place, size = end - at
    cdef PyObject *known
    if size < 1:
        return None
    if size > 64:
        text = PyBytes_FromStringAndSize(NULL, size)
        to = PyBytes_AS_STRING(text)
    if not kthena_lower(to, base + at, size, last):
        for place in range(size):
            if base[at + place] >= 128 or table[base[at + place]] == b" ":
                return None
            to[place] = table[base[at + place]]
    if text is not None:
        return text
    # Borrowed: the tuple has it.
    known = PyTuple_GET_ITEM(common, lines.place(to, size))
    if lines.is_text(known, to, size):
        return <bytes> known
    return PyBytes_FromStringAndSize(to, size)


cdef inline bytes request_target(bytes data):
    cdef const unsigned char *base = data
    cdef Py_ssize_t end = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t at = 6
    if end < 17 or memcmp(base, b"POST /", 6):
        return None
    while at < end and 33 <= base[at] <= 126:
        at += 1
    if end - at < 11 or memcmp(base + at, b" HTTP/1.1\r\n", 11):
        return None
    return PyBytes_FromStringAndSize(<const char *> base + 5, at - 5)


cdef inline int response_status(bytes data) except -1:
    cdef const unsigned char *base = data
    cdef Py_ssize_t end = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t stop
    if end < 15 or memcmp(base, b"HTTP/1.1 ", 9) or not b"2" <= base[9] <= b"5":
        return 0
    if not b"0" <= base[10] <= b"9" or not b"0" <= base[11] <= b"9" or base[12] != b" ":
        return 0
    stop = scan.find_byte(data, b"\r", 13, end)
    if stop < 0 or stop + 1 >= end or base[stop + 1] != b"\n" or not lines.kthena_is_value(base + 13, stop - 13):
        return 0
    return 100 * (base[9] - 48) + 10 * (base[10] - 48) + base[11] - 48


cdef inline Fields fields(bytes data, Py_ssize_t at, tuple common):
    cdef const unsigned char *base = data
    cdef Py_ssize_t end = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t stop, colon, first, last, number = 0
    # But for the blank one.
    cdef Py_ssize_t count = kthena_lines(base + at, base + end) - 1 if at < end <= MOST_BYTES else -1
    cdef bytes name, places
    cdef tuple names
    cdef spans.Span *span
    if count < 0:
        return None
    names = PyTuple_New(count)
    places = PyBytes_FromStringAndSize(NULL, count * sizeof(spans.Span))
    span = spans.spans_of(places)
    while at < end:
        stop = scan.find_byte(data, b"\r", at, end)
        if stop < 0 or stop + 1 >= end or base[stop + 1] != b"\n":
            return None
        if stop == at:
            return of_plain_head(data, names, places) if stop + 2 == end and number == count else None
        colon = scan.find_byte(data, b":", at, stop)
        if colon < 0 or number == count:
            return None
        name = lowered(base, at, colon, base + end, common)
        if name is None:
            return None
        first = colon + 1
        last = stop
        while first < last and (base[first] == b" " or base[first] == b"\t"):
            first += 1
        while first < last and (base[last - 1] == b" " or base[last - 1] == b"\t"):
            last -= 1
        if not lines.kthena_is_value(base + first, last - first):
            return None
        # The tuple takes over a reference.
        Py_INCREF(name)
        PyTuple_SET_ITEM(names, number, name)
        span[number].at = <unsigned int> first
        span[number].size = <unsigned int> (last - first)
        number += 1
        at = stop + 2
    return None


cdef inline Fields of_plain_head(bytes data, tuple names, bytes places):
    cdef Fields found = Fields.__new__(Fields)
    found.data = data
    found.names = names
    found.places = places
    return found


cdef inline long long number(bytes value) except? -1:
    cdef const unsigned char *base = value
    cdef Py_ssize_t at, size = PyBytes_GET_SIZE(value)
    cdef long long said = 0
    if not 0 < size <= 18:
        return -1
    for at in range(size):
        if not b"0" <= base[at] <= b"9":
            return -1
        said = 10 * said + base[at] - 48
    return said
