import cython

from kthena_fast.wire cimport _lines as lines
from kthena_fast.wire cimport _scan as scan

cdef int _QUOTE
cdef int _BACKSLASH
cdef int _COMMA
cdef int _OPEN
cdef int _CLOSE
cdef int _OPEN_LIST
cdef int _CLOSE_LIST
cdef int _MINUS
cdef int _POINT
cdef int _ZERO
cdef int _NINE
cdef int _TRUE
cdef int _NULL
cdef int _U
cdef int _HIGH
cdef int _LOW
cdef int _LAST_LOW
cdef int DEEPEST
cdef int COUNTED
cdef int LENGTH
cdef int _MODEL
cdef int _STREAM
cdef int _STREAM_OPTIONS
cdef int _USER
cdef int _USER_ID
cdef int _MAX_TOKENS
cdef int _MAX_COMPLETION_TOKENS
cdef int _PROMPT
cdef int _TEXT
cdef int _CONTENT
cdef int _TYPE
cdef int _NOBODYS
cdef int _DOUBTFUL
cdef int _LONGEST
cdef int _LONGEST_MEMBER
cdef long long MOST_TOKENS
cdef tuple PROMPTS
cdef frozenset IMAGES
cdef tuple _NAMES
cdef tuple _MEMBERS
cdef bytes _SHORT


@cython.final
cdef class Peek:
    cdef bint _escaped
    cdef Py_ssize_t _less
    cdef Py_ssize_t _size
    cdef public str model
    cdef public Py_ssize_t model_start
    cdef public Py_ssize_t model_end
    cdef public bint stream
    cdef public Py_ssize_t stream_options_start
    cdef public Py_ssize_t stream_options_end
    cdef public bint include_usage
    cdef public bint continuous_usage
    cdef public Py_ssize_t object_end
    cdef public bint empty
    cdef public str user
    cdef public str user_id
    cdef public object max_tokens
    cdef public object max_completion_tokens
    cdef public bint has_prompt
    cdef public Py_ssize_t prompt_bytes
    cdef public Py_ssize_t prompt_tokens
    cdef public Py_ssize_t images


@cython.locals(end=Py_ssize_t, at=Py_ssize_t, after=Py_ssize_t, start=Py_ssize_t, seen=int, known=int)
cpdef bint walk(Peek found, bytes data) except -1

cdef Py_ssize_t separator(bytes data, Py_ssize_t at, Py_ssize_t end, int closing) except -2
cdef int _known(
    Peek found, bytes data, Py_ssize_t start, Py_ssize_t end, tuple names, int longest,
) except -3
cdef object _take(Peek found, int known, bytes data, Py_ssize_t start, Py_ssize_t end)
cdef str _text(Peek found, bytes data, Py_ssize_t start, Py_ssize_t end)
@cython.locals(number="long long")
cdef object _budget(bytes data, Py_ssize_t start, Py_ssize_t end)
@cython.locals(number="long long", at=Py_ssize_t)
cdef long long count(bytes data, Py_ssize_t start, Py_ssize_t end) except -2
@cython.locals(start=Py_ssize_t)
cdef Py_ssize_t string(Peek found, bytes data, Py_ssize_t at, Py_ssize_t end) except -2
cdef Py_ssize_t _special_end(Peek found, bytes data, Py_ssize_t at, Py_ssize_t end) except -2
@cython.locals(marks="unsigned long long", past=Py_ssize_t, here=Py_ssize_t, after=Py_ssize_t)
cdef Py_ssize_t _blocks_end(Peek found, bytes data, Py_ssize_t at, Py_ssize_t end) except -2
@cython.locals(code=int)
cdef Py_ssize_t _escape(Peek found, bytes data, Py_ssize_t at, Py_ssize_t end) except -2
@cython.locals(start=Py_ssize_t, first=Py_ssize_t, fraction=Py_ssize_t)
cdef Py_ssize_t _number(bytes data, Py_ssize_t at, Py_ssize_t end) except -2
@cython.locals(byte="unsigned char")
cdef Py_ssize_t skip(Peek found, bytes data, Py_ssize_t at, Py_ssize_t end, int depth) except -2
cdef Py_ssize_t _skip_list(Peek found, bytes data, Py_ssize_t at, Py_ssize_t end, int depth) except -2
cdef Py_ssize_t _skip_object(Peek found, bytes data, Py_ssize_t at, Py_ssize_t end, int depth) except -2
@cython.locals(byte="unsigned char")
cdef Py_ssize_t _count(Peek found, bytes data, Py_ssize_t at, Py_ssize_t end, int depth) except -2
@cython.locals(of_tokens=bint, items=Py_ssize_t)
cdef Py_ssize_t _count_list(Peek found, bytes data, Py_ssize_t at, Py_ssize_t end, int depth) except -2
@cython.locals(byte="unsigned char", after=Py_ssize_t)
cdef bint _is_integer(bytes data, Py_ssize_t at, Py_ssize_t end) except -1
@cython.locals(seen=int, after=Py_ssize_t, known=int, start=Py_ssize_t)
cdef Py_ssize_t _count_object(Peek found, bytes data, Py_ssize_t at, Py_ssize_t end, int depth) except -2
