# The functions of _lines.py in C, inlined into the compiled twins that cimport this file.
#
# A table has 256 bytes, so whatever byte is looked up in it is there; what is written stays in the size counted first.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.string cimport memcmp, memcpy

cdef extern from "Python.h":
    PyObject *PyTuple_GET_ITEM(tuple, Py_ssize_t)

cdef extern from *:
    """
    #ifdef __SSE2__
    #include <emmintrin.h>
    #endif

    #ifndef KTHENA_VALUE
    #define KTHENA_VALUE
    /* Whether no byte is a control character, but for tabs. */
    static inline int kthena_is_value(const unsigned char *at, Py_ssize_t size)
    {
        const unsigned char *end = at + size;
    #ifdef __SSE2__
        const __m128i most = _mm_set1_epi8(31), tab = _mm_set1_epi8('\\t'), delete = _mm_set1_epi8(127);
        for (; end - at >= 16; at += 16) {
            const __m128i bytes = _mm_loadu_si128((const __m128i *) at);
            const __m128i controls = _mm_cmpeq_epi8(_mm_min_epu8(bytes, most), bytes);
            const __m128i bad = _mm_or_si128(
                _mm_andnot_si128(_mm_cmpeq_epi8(bytes, tab), controls), _mm_cmpeq_epi8(bytes, delete));
            if (_mm_movemask_epi8(bad))
                return 0;
        }
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


cdef inline Py_ssize_t place_of(bytes data, Py_ssize_t start, Py_ssize_t end, tuple names) except -2:
    cdef PyObject *name
    cdef Py_ssize_t place, size = end - start
    if start < 0 or size < 0 or end > PyBytes_GET_SIZE(data):
        raise IndexError("outside of the bytes")
    for place in range(len(names)):
        # Borrowed: the tuple has it.
        name = PyTuple_GET_ITEM(names, place)
        if PyBytes_GET_SIZE(<bytes> name) == size and not memcmp(
            PyBytes_AS_STRING(data) + start, PyBytes_AS_STRING(<bytes> name), size
        ):
            return place
    return -1


cdef inline bytes joined(list headers, bytes names):
    cdef tuple header
    cdef bytes name, value, lines
    cdef Py_ssize_t size = 0
    cdef char *to
    for header in headers:
        name = header[0]
        value = header[1]
        if not PyBytes_GET_SIZE(name) or not all_of(name, names):
            return None
        if not kthena_is_value(value, PyBytes_GET_SIZE(value)):
            return None
        size += PyBytes_GET_SIZE(name) + PyBytes_GET_SIZE(value) + 4
    lines = PyBytes_FromStringAndSize(NULL, size)
    to = PyBytes_AS_STRING(lines)
    for header in headers:
        name = header[0]
        value = header[1]
        memcpy(to, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
        to += PyBytes_GET_SIZE(name)
        memcpy(to, b": ", 2)
        to += 2
        memcpy(to, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        to += PyBytes_GET_SIZE(value)
        memcpy(to, b"\r\n", 2)
        to += 2
    return lines


cdef inline bytes hex16(unsigned long long number):
    cdef const unsigned char *digits = b"0123456789abcdef"
    cdef bytes text = PyBytes_FromStringAndSize(NULL, 16)
    cdef char *to = PyBytes_AS_STRING(text)
    cdef int at
    for at in range(16):
        to[15 - at] = digits[number & 15]
        number >>= 4
    return text
