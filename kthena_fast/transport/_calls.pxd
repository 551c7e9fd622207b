# The functions of _calls.py in C, inlined into the compiled twins that cimport this file.
#
# The GIL is held: the calls do not wait, and the place that is read into is one for the process.

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE, _PyBytes_Resize
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from cpython.object cimport PyObject
from libc.errno cimport EAGAIN, EINTR, errno

cdef extern from "Python.h":
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *, Py_ssize_t) except NULL
    char *place_of "PyBytes_AS_STRING"(PyObject *)
    void let_go "Py_DECREF"(PyObject *)

cdef extern from *:
    """
    #include <sys/types.h>
    #include <sys/socket.h>
    #ifdef __linux__
    #include <sys/epoll.h>
    #else
    #include <errno.h>
    #include <stdint.h>
    struct epoll_event { uint32_t events; union { int fd; } data; };
    static int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout) { errno = ENOSYS; return -1; }
    #endif
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif
    #define KTHENA_FAST_MOST_READ (256 * 1024)
    static char kthena_fast_read[KTHENA_FAST_MOST_READ];
    """
    ctypedef union epoll_data:
        int fd
    struct epoll_event:
        unsigned int events
        epoll_data data
    int epoll_wait(int epoll, epoll_event *events, int most, int timeout)
    Py_ssize_t recv(int descriptor, void *place, size_t size, int flags)
    Py_ssize_t c_send "send"(int descriptor, const void *place, size_t size, int flags)
    const int MSG_NOSIGNAL
    char *kthena_fast_read
    enum: MOST_READ "KTHENA_FAST_MOST_READ"


cdef inline bytes receive(int descriptor):
    cdef Py_ssize_t size
    while True:
        size = recv(descriptor, kthena_fast_read, MOST_READ, 0)
        if size >= 0:
            return PyBytes_FromStringAndSize(kthena_fast_read, size)
        if errno == EAGAIN:
            return None
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
        PyErr_CheckSignals()


cdef inline bytes receive_much(int descriptor):
    cdef PyObject *data
    cdef Py_ssize_t size
    cdef bint interrupted
    while True:
        data = new_bytes(NULL, MOST_READ)
        size = recv(descriptor, place_of(data), MOST_READ, 0)
        if size >= 0:
            _PyBytes_Resize(&data, size)
            received = <bytes> data
            let_go(data)
            return received
        if errno != EAGAIN and errno != EINTR:
            try:
                PyErr_SetFromErrno(OSError)
            finally:
                let_go(data)
        interrupted = errno == EINTR
        let_go(data)
        if not interrupted:
            return None
        PyErr_CheckSignals()


cdef inline Py_ssize_t receive_into(int descriptor, room, Py_ssize_t at, Py_ssize_t end) except -2:
    # Bytes have one owner and no hash yet: nobody has seen them.
    cdef Py_ssize_t size
    cdef char *base
    if type(room) is bytearray:
        base = PyByteArray_AS_STRING(room)
    else:
        base = PyBytes_AS_STRING(<bytes?> room)
    if at < 0 or at >= end or end > len(room):
        raise IndexError("outside of the room")
    while True:
        size = recv(descriptor, base + at, end - at, 0)
        if size >= 0:
            return size
        if errno == EAGAIN:
            return -1
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
        PyErr_CheckSignals()


cdef inline Py_ssize_t send(int descriptor, bytes data, Py_ssize_t at) except -1:
    cdef Py_ssize_t size
    if at < 0 or at > PyBytes_GET_SIZE(data):
        raise IndexError("outside of the bytes")
    while True:
        size = c_send(descriptor, PyBytes_AS_STRING(data) + at, PyBytes_GET_SIZE(data) - at, MSG_NOSIGNAL)
        if size >= 0:
            return size
        if errno == EAGAIN:
            return 0
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
        PyErr_CheckSignals()


cdef inline bytes room(int most):
    return PyBytes_FromStringAndSize(NULL, most * sizeof(epoll_event))


cdef inline int wait(object epoll, int descriptor, bytes events) except -1:
    cdef int most = PyBytes_GET_SIZE(events) // sizeof(epoll_event)
    cdef int found
    while True:
        found = epoll_wait(descriptor, <epoll_event *> PyBytes_AS_STRING(events), most, 0)
        if found >= 0:
            return found
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
        PyErr_CheckSignals()


cdef inline int descriptor_of(bytes events, int number) noexcept:
    return (<epoll_event *> PyBytes_AS_STRING(events))[number].data.fd


cdef inline unsigned int mask_of(bytes events, int number) noexcept:
    return (<epoll_event *> PyBytes_AS_STRING(events))[number].events
