import cython

from kthena_fast.wire cimport _peek_walk_c as walk
from kthena_fast.wire cimport _lines as lines
from kthena_fast.wire cimport _scan as scan

cdef int _QUOTE
cdef int _BACKSLASH
cdef int _COMMA
cdef int _OPEN
cdef int _CLOSE
cdef int _NULL
cdef dict _NAMES
cdef frozenset _OTHER_PROMPTS


@cython.locals(found=walk.Peek)
cpdef walk.Peek peek(body)

@cython.locals(model=str)
cpdef str require_model(walk.Peek found)

cpdef bytes splice(bytes body, walk.Peek found, model, bint include_usage)

cdef object _usage_edit(bytes body, walk.Peek found)

@cython.locals(
    end=Py_ssize_t, at=Py_ssize_t, after=Py_ssize_t, start=Py_ssize_t, seen=int, bit=int,
)
cdef object _find(walk.Peek found, bytes data)

@cython.locals(size=Py_ssize_t)
cdef int _name_bit(bytes data, Py_ssize_t start, Py_ssize_t end) except -1

cdef object _read(walk.Peek found, dict document)
cdef str _text(object value)
cdef object _budget(object value)
cdef object _measure(walk.Peek found, object value, int depth)
