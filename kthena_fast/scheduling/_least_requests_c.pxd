import cython

from kthena_fast.routing._snapshot_c cimport Census as Census_c, Pod as Pod_c, Server as Server_c


@cython.final
cdef class LeastRequests:
    @cython.locals(
        pods=tuple, count=Py_ssize_t, start=Py_ssize_t, at=Py_ssize_t, index=Py_ssize_t, best=Pod_c, pod=Pod_c,
        census=Census_c,
    )
    cpdef Pod_c pick(self, Server_c server, tried)
