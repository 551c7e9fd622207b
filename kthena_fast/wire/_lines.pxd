# The functions of _lines.py in C, inlined into the compiled twins that cimport this file.
#
# A table has 256 bytes, so whatever byte is looked up in it is there; what is written stays in the size counted first.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.string cimport memcmp, memcpy

from kthena_fast.wire cimport _spans as spans
from kthena_fast.wire._fields_c cimport Fields

cdef extern from "Python.h":
    # Borrowed: the list, or the tuple, has them.
    PyObject *PyList_GET_ITEM(list, Py_ssize_t)
    Py_ssize_t PyList_GET_SIZE(list)
    PyObject *PyTuple_GET_ITEM(tuple, Py_ssize_t)
    bint PyBytes_CheckExact(PyObject *)
    bint PyTuple_CheckExact(PyObject *)
    Py_ssize_t PyTuple_GET_SIZE(tuple)

cdef extern from *:
    """
    #ifdef __SSE2__
    #include <emmintrin.h>
    #endif

    #ifndef KTHENA_VALUE
    #define KTHENA_VALUE
    #ifdef __SSE2__
    static inline int kthena_has_control(__m128i bytes)
    {
        const __m128i controls = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(31)), bytes);
        const __m128i tabs = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\t'));
        return _mm_movemask_epi8(
            _mm_or_si128(_mm_andnot_si128(tabs, controls), _mm_cmpeq_epi8(bytes, _mm_set1_epi8(127))));
    }
    #endif

    /* Whether no byte is a control character, but for tabs. The last bytes are looked at together with some that were
       looked at before. */
    static inline int kthena_is_value(const unsigned char *at, Py_ssize_t size)
    {
        const unsigned char *end = at + size;
    #ifdef __SSE2__
        if (size >= 16) {
            for (; end - at > 16; at += 16)
                if (kthena_has_control(_mm_loadu_si128((const __m128i *) at)))
                    return 0;
            return !kthena_has_control(_mm_loadu_si128((const __m128i *) (end - 16)));
        }
        if (size >= 8)
            return !kthena_has_control(_mm_unpacklo_epi64(
                _mm_loadl_epi64((const __m128i *) at), _mm_loadl_epi64((const __m128i *) (end - 8))));
    #endif
        for (; at < end; at++)
            if ((*at < 32 && *at != '\\t') || *at == 127)
                return 0;
        return 1;
    }
    #endif
    """
    bint kthena_is_value(const unsigned char *, Py_ssize_t) nogil


cdef inline bint all_of(bytes data, bytes allowed) except -1:
    cdef const unsigned char *base = data
    cdef const unsigned char *table = allowed
    cdef Py_ssize_t at
    for at in range(PyBytes_GET_SIZE(data)):
        if not table[base[at]]:
            return False
    return True


cdef inline bytes part(bytes data, Py_ssize_t start, Py_ssize_t end):
    if start < 0 or end > PyBytes_GET_SIZE(data):
        raise IndexError("outside of the bytes")
    if start >= end:
        return b""
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, end - start)


cdef inline char *put_bytes(char *to, bytes data) noexcept:
    memcpy(to, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    return to + PyBytes_GET_SIZE(data)


cdef inline bytes together(bytes first, bytes second, bytes third, bytes last):
    cdef bytes whole
    cdef char *to
    if first is None or second is None or third is None or last is None:
        raise TypeError("bytes are put together with bytes")
    whole = PyBytes_FromStringAndSize(
        NULL, PyBytes_GET_SIZE(first) + PyBytes_GET_SIZE(second) + PyBytes_GET_SIZE(third) + PyBytes_GET_SIZE(last)
    )
    to = put_bytes(PyBytes_AS_STRING(whole), first)
    to = put_bytes(to, second)
    to = put_bytes(to, third)
    put_bytes(to, last)
    return whole


cdef inline bint is_text(PyObject *name, const char *text, Py_ssize_t size) noexcept:
    return PyBytes_GET_SIZE(<bytes> name) == size and not memcmp(PyBytes_AS_STRING(<bytes> name), text, size)


cdef inline Py_ssize_t place_of(bytes data, Py_ssize_t start, Py_ssize_t end, tuple names) except -2:
    cdef PyObject *name
    cdef Py_ssize_t place, size = end - start
    if start < 0 or size < 0 or end > PyBytes_GET_SIZE(data):
        raise IndexError("outside of the bytes")
    for place in range(len(names)):
        # Borrowed: the tuple has it.
        name = PyTuple_GET_ITEM(names, place)
        if is_text(name, PyBytes_AS_STRING(data) + start, size):
            return place
    return -1


cdef inline int place(const char *name, Py_ssize_t size) noexcept:
    return (5 * size + 31 * name[0] + name[size - 1]) & 127 if size else 0


cdef inline bint is_same(PyObject *one, PyObject *other) noexcept:
    return one == other or is_text(one, PyBytes_AS_STRING(<bytes> other), PyBytes_GET_SIZE(<bytes> other))


cdef struct Texts:
    # The headers of a `Fields` or of a list, whichever there is.
    PyObject *fields
    PyObject *listed
    spans.Span *values
    Py_ssize_t count


cdef inline int open_texts(Texts *texts, headers) except -1:
    texts.fields = texts.listed = NULL
    texts.values = NULL
    if type(headers) is Fields:
        texts.fields = <PyObject *> headers
        texts.values = spans.spans_of((<Fields> headers).places)
        texts.count = PyTuple_GET_SIZE((<Fields> headers).names)
    else:
        if not isinstance(headers, list):
            raise TypeError("headers are a list")
        texts.listed = <PyObject *> headers
        texts.count = PyList_GET_SIZE(<list> headers)
    return 0


cdef inline PyObject *part_of(list headers, Py_ssize_t at, int which) except NULL:
    # The name or the value of a header in a list, which may be anything.
    cdef PyObject *header = PyList_GET_ITEM(headers, at)
    cdef PyObject *part
    if not PyTuple_CheckExact(header) or PyTuple_GET_SIZE(<tuple> header) != 2:
        raise TypeError("a header is a tuple of its name and its value")
    part = PyTuple_GET_ITEM(<tuple> header, which)
    if not PyBytes_CheckExact(part):
        raise TypeError("names and values of headers are bytes")
    return part


cdef inline PyObject *name_of(Texts *texts, Py_ssize_t at) except NULL:
    if texts.fields != NULL:
        return PyTuple_GET_ITEM((<Fields> texts.fields).names, at)
    return part_of(<list> texts.listed, at, 0)


cdef inline const char *text_of(Texts *texts, Py_ssize_t at, Py_ssize_t *size) except NULL:
    # Its value.
    cdef PyObject *value
    if texts.fields != NULL:
        size[0] = texts.values[at].size
        return PyBytes_AS_STRING((<Fields> texts.fields).data) + texts.values[at].at
    value = part_of(<list> texts.listed, at, 1)
    size[0] = PyBytes_GET_SIZE(<bytes> value)
    return PyBytes_AS_STRING(<bytes> value)


cdef inline bytes value_of(Texts *texts, Py_ssize_t at):
    cdef Py_ssize_t size = 0
    cdef const char *text
    if texts.fields == NULL:
        return <bytes> part_of(<list> texts.listed, at, 1)
    text = text_of(texts, at, &size)
    return PyBytes_FromStringAndSize(text, size)


cdef inline bint is_among(PyObject *name, tuple names) except -1:
    # Of `sieved`.
    cdef const char *places = PyBytes_AS_STRING(<bytes> PyTuple_GET_ITEM(names, 1))
    if not places[place(PyBytes_AS_STRING(<bytes> name), PyBytes_GET_SIZE(<bytes> name))]:
        return False
    return <bytes> name in <frozenset> PyTuple_GET_ITEM(names, 0)


cdef inline list told(headers, tuple asked):
    cdef tuple names = <tuple> PyTuple_GET_ITEM(asked, 0)
    cdef const char *places = PyBytes_AS_STRING(<bytes> PyTuple_GET_ITEM(asked, 2))
    cdef Py_ssize_t number, at, count = PyTuple_GET_SIZE(names)
    cdef list found = [None] * count
    cdef PyObject *name
    cdef Texts texts
    open_texts(&texts, headers)
    for number in range(texts.count):
        name = name_of(&texts, number)
        if not places[place(PyBytes_AS_STRING(<bytes> name), PyBytes_GET_SIZE(<bytes> name))]:
            continue
        for at in range(count):
            if is_same(name, PyTuple_GET_ITEM(names, at)):
                if found[at] is not None:
                    return None
                found[at] = value_of(&texts, number)
                break
        else:
            if <bytes> name in <frozenset> PyTuple_GET_ITEM(asked, 1):
                return None
    return found


cdef inline bint is_of_plain_head(headers) noexcept:
    return type(headers) is Fields


cdef enum:
    # So many headers are looked up once, those behind them twice.
    REMEMBERED = 128


cdef inline bint is_line(Texts *texts, Py_ssize_t at, tuple common, bytes names) except -1:
    # Whether it is one line, with a name that is a token; of a plain head that is known.
    cdef PyObject *name
    cdef const char *text
    cdef Py_ssize_t length, size = 0
    if texts.fields != NULL:
        return True
    name = name_of(texts, at)
    length = PyBytes_GET_SIZE(<bytes> name)
    if not length:
        return False
    if not is_same(name, PyTuple_GET_ITEM(common, place(PyBytes_AS_STRING(<bytes> name), length))):
        if not all_of(<bytes> name, names):
            return False
    text = text_of(texts, at, &size)
    return kthena_is_value(<const unsigned char *> text, size)


cdef inline Py_ssize_t size_of(Texts *texts, Py_ssize_t at) except -1:
    # The bytes of its line.
    cdef Py_ssize_t size = 0
    text_of(texts, at, &size)
    return PyBytes_GET_SIZE(<bytes> name_of(texts, at)) + size + 4


cdef inline char *put_line(char *to, Texts *texts, Py_ssize_t at) except NULL:
    cdef PyObject *name = name_of(texts, at)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(<bytes> name)
    cdef const char *text
    memcpy(to, PyBytes_AS_STRING(<bytes> name), size)
    to += size
    memcpy(to, b": ", 2)
    to += 2
    text = text_of(texts, at, &size)
    memcpy(to, text, size)
    to += size
    memcpy(to, b"\r\n", 2)
    return to + 2


cdef inline bytes joined(headers, tuple dropped, list added, tuple common, bytes names):
    cdef Texts kept, further
    cdef bytes lines
    cdef Py_ssize_t at, size = 0
    cdef bint[REMEMBERED] gone
    cdef bint is_gone
    cdef char *to
    open_texts(&kept, headers)
    open_texts(&further, added)
    for at in range(kept.count):
        is_gone = is_among(name_of(&kept, at), dropped)
        if at < REMEMBERED:
            gone[at] = is_gone
        if not is_gone:
            if not is_line(&kept, at, common, names):
                return None
            size += size_of(&kept, at)
    for at in range(further.count):
        if not is_line(&further, at, common, names):
            return None
        size += size_of(&further, at)
    lines = PyBytes_FromStringAndSize(NULL, size)
    to = PyBytes_AS_STRING(lines)
    for at in range(kept.count):
        if not (gone[at] if at < REMEMBERED else is_among(name_of(&kept, at), dropped)):
            to = put_line(to, &kept, at)
    for at in range(further.count):
        to = put_line(to, &further, at)
    return lines


cdef inline bytes decimal(long long number):
    cdef char[20] digits
    cdef int at = 20
    while True:
        at -= 1
        digits[at] = <char> (48 + number % 10)
        number //= 10
        if number == 0:
            return PyBytes_FromStringAndSize(digits + at, 20 - at)


cdef inline bytes hex16(unsigned long long number):
    cdef const unsigned char *digits = b"0123456789abcdef"
    cdef bytes text = PyBytes_FromStringAndSize(NULL, 16)
    cdef char *to = PyBytes_AS_STRING(text)
    cdef int at
    for at in range(16):
        to[15 - at] = digits[number & 15]
        number >>= 4
    return text
