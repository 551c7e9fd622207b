import cython

from kthena_fast.exchange cimport _record_c as record

cdef dict _PLACES


@cython.final
cdef class Census:
    cdef unsigned long long[::1] _bits
    cdef long long[::1] _counts
    cdef long long _height, _least, _words
    cdef public bint is_current

    @cython.locals(bit="unsigned long long")
    cpdef move(self, long long place, long long before, long long after)
    @cython.locals(base="long long", word="long long", bits="unsigned long long")
    cpdef Py_ssize_t first(self, Py_ssize_t start) except -1
    @cython.locals(height="long long")
    cdef _grow(self, long long most)


@cython.final
cdef class Pod:
    # What each request looks at, side by side.
    cdef public str name
    cdef public bytes prefix, host_line
    cdef public object connections
    cdef public Census census
    cdef public long long in_flight, place
    # the rest
    cdef public bytes authority
    cdef public str key, server, namespace, host, server_name
    cdef public int port
    cdef public bint tls

    cpdef began(self)
    cpdef ended(self)


@cython.final
cdef class Server:
    cdef public str key, engine
    cdef public object model, timeout
    cdef public tuple pods
    cdef public long long retry_attempts
    cdef public double retry_interval
    cdef public Py_ssize_t turn
    cdef public Census census


@cython.final
cdef class Target:
    cdef public str name
    cdef public long long weight
    cdef public bint is_provider


@cython.freelist(0)
@cython.final
cdef class Match(record.Kept):
    # What each request looks at, side by side with what is kept.
    cdef public object queue
    cdef public str model, route
    cdef public bint lora
    # the rest
    cdef public Py_ssize_t rule
    cdef public tuple targets, destination


@cython.final
cdef class Snapshot:
    cdef public object objects, table, servers, pods, rejected, unsupported
    cdef dict _direct

    @cython.locals(direct=Match)
    cpdef match(self, str model, str path, headers)
    @cython.locals(target=Target, server=Server, ready=list, total="long long", limit="long long", point=double)
    cpdef draw(self, Match match, random)
    @cython.locals(target=Target, server=Server)
    cpdef bint is_usable(self, Match match) except -1
