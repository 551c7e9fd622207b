# The function of _spans.py in C, inlined into the compiled twins that cimport this file, and what else they need of it.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE


cdef struct Span:
    unsigned int at
    unsigned int size


cdef inline Span *spans_of(bytes places) noexcept:
    return <Span *> PyBytes_AS_STRING(places)


cdef inline list listed(bytes data, tuple names, bytes places):
    cdef Py_ssize_t number, count = len(names), end = PyBytes_GET_SIZE(data)
    cdef Span *span = spans_of(places)
    cdef list found = []
    if PyBytes_GET_SIZE(places) != count * <Py_ssize_t> sizeof(Span):
        raise ValueError("as many places as names")
    for number in range(count):
        if <Py_ssize_t> span[number].at + span[number].size > end:
            raise ValueError("a value stands beyond the bytes")
        found.append(
            (names[number], PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + span[number].at, span[number].size))
        )
    return found
