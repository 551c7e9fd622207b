import cython


@cython.final
cdef class Pod:
    cdef public str key, server, namespace, name, host, server_name
    cdef public int port
    cdef public bint tls
    cdef public bytes prefix, authority
    cdef public long long in_flight
    cdef public object connections


@cython.final
cdef class Server:
    cdef public str key, engine
    cdef public object model, timeout
    cdef public tuple pods
    cdef public long long retry_attempts
    cdef public double retry_interval
    cdef public Py_ssize_t turn


@cython.final
cdef class Target:
    cdef public str name
    cdef public long long weight
    cdef public bint is_provider


@cython.final
cdef class Match:
    cdef public str model, route
    cdef public Py_ssize_t rule
    cdef public tuple targets, destination
    cdef public bint lora


@cython.final
cdef class Snapshot:
    cdef public object objects, table, servers, pods, rejected, unsupported

    cpdef match(self, str model, str path, headers)
    @cython.locals(target=Target, server=Server, ready=list, total="long long", limit="long long", point=double)
    cpdef draw(self, Match match, random)
    @cython.locals(target=Target, server=Server)
    cpdef bint is_usable(self, Match match) except -1
