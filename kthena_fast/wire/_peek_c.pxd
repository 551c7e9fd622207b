import cython

from kthena_fast.wire cimport _lines as lines
from kthena_fast.wire cimport _scan as scan

cdef int _QUOTE
cdef int _BACKSLASH
cdef int _COLON
cdef int _COMMA
cdef int _OPEN
cdef int _CLOSE
cdef int _NULL
cdef dict _NAMES
cdef tuple _PROMPTS
cdef frozenset _IMAGES
cdef int _DEEPEST


@cython.final
@cython.freelist(256)
cdef class Peek:
    cdef readonly str model
    cdef readonly Py_ssize_t model_start
    cdef readonly Py_ssize_t model_end
    cdef readonly bint stream
    cdef readonly Py_ssize_t stream_options_start
    cdef readonly Py_ssize_t stream_options_end
    cdef readonly bint include_usage
    cdef readonly bint continuous_usage
    cdef readonly Py_ssize_t object_end
    cdef readonly bint empty
    cdef readonly str user
    cdef readonly str user_id
    cdef readonly object max_tokens
    cdef readonly object max_completion_tokens
    cdef readonly bint has_prompt
    cdef readonly Py_ssize_t prompt_bytes
    cdef readonly Py_ssize_t prompt_tokens
    cdef readonly Py_ssize_t images


@cython.locals(found=Peek)
cpdef Peek peek(body)

@cython.locals(model=str)
cpdef str require_model(Peek found)

cpdef bytes splice(bytes body, Peek found, model, bint include_usage)

cdef object _usage_edit(bytes body, Peek found)

@cython.locals(
    end=Py_ssize_t, at=Py_ssize_t, after=Py_ssize_t, start=Py_ssize_t, seen=int, bit=int,
)
cdef object _find(Peek found, bytes data)

@cython.locals(size=Py_ssize_t)
cdef int _name_bit(bytes data, Py_ssize_t start, Py_ssize_t end) except -1

cdef object _read(Peek found, dict document)
cdef str _text(object value)
cdef object _budget(object value)
cdef object _measure(Peek found, object value, int depth)
