# The functions of _chunks.py in C, inlined into the compiled twins that cimport this file.
#
# Nothing is read beyond the size of the bytes; eight digits fit into the size of a piece.

from cpython.bytes cimport PyBytes_GET_SIZE

from kthena_fast.wire cimport _scan as scan


cdef inline Py_ssize_t _size(const unsigned char *base, Py_ssize_t at, Py_ssize_t end, Py_ssize_t *start) noexcept:
    """The size that stands at ``at``, and where its line ends; 0: no plain one does."""
    cdef Py_ssize_t size = 0
    cdef Py_ssize_t first = at
    cdef int digit
    while at < end and at - first < 8:
        digit = scan.hex_digit(base[at])
        if digit < 0:
            break
        size = size << 4 | digit
        at += 1
    if at == first or end - at < 2 or base[at] != b"\r" or base[at + 1] != b"\n":
        return 0
    start[0] = at + 2
    return size


cdef inline Py_ssize_t body_start(bytes data, Py_ssize_t at) except? -2:
    cdef const unsigned char *base = data
    cdef Py_ssize_t end = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t size = _size(base, at, end, &start)
    if size == 0 or end - start - 2 < size or base[start + size] != b"\r" or base[start + size + 1] != b"\n":
        return -1
    return start


cdef inline Py_ssize_t body_end(bytes data, Py_ssize_t at) except? -2:
    cdef const unsigned char *base = data
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t size = _size(base, at, PyBytes_GET_SIZE(data), &start)
    return start + size
