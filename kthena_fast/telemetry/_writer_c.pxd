import cython


cdef class Writer:
    # Seen by tests.
    cdef public str _output
    cdef public object _lines, _wake, _stop, _thread
    cdef public long long _limit, _bytes_in, _bytes_out, _dropped_full, _dropped_failed
    cdef public double _interval
    cdef public int _file
    cdef public bint _failing, _torn, _reopen, _closed, _is_awake

    @cython.locals(size="long long")
    cpdef write(self, bytes line)
