# The functions of _ledger_arrays.py in C, inlined into the compiled twins that cimport this file.
#
# They stay in the arrays: the first index and the number of rows come from the ledger, which has made both.

from cython cimport view
from libc.string cimport memset


cdef inline object names(Py_ssize_t count):
    # None in each, held and let go as objects are; and unknown to the garbage collector.
    return view.array(shape=(count,), itemsize=sizeof(void *), format="O")


cdef inline int empty(
    unsigned int[::1] cells, Py_ssize_t first_cell, Py_ssize_t slots, long long[::1] totals, Py_ssize_t first,
    Py_ssize_t rows,
) except -1:
    cdef unsigned int *cell = &cells[first_cell]
    cdef long long *total = &totals[first]
    cdef Py_ssize_t _slot, at
    for _slot in range(slots):
        for at in range(rows):
            total[at] -= cell[at]
        memset(cell, 0, rows * sizeof(unsigned int))
        cell += rows
    return 0


cdef inline list seated(unsigned int[::1] halves, Py_ssize_t first, Py_ssize_t rows):
    cdef list found = []
    cdef Py_ssize_t row
    for row in range(first, first + rows):
        if halves[8 * row + 6] != 0:
            found.append(row)
    return found


cdef inline Py_ssize_t lightest(
    unsigned int[::1] pins, long long[::1] totals, Py_ssize_t first, Py_ssize_t rows
) except -2:
    cdef Py_ssize_t row, found = -1
    for row in range(first, first + rows):
        if pins[row] == 1 and (found < 0 or totals[row] < totals[found]):
            found = row
    return found


cdef inline list unserved(
    unsigned int[::1] pins, long long[::1] totals, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t most
):
    cdef list found = []
    cdef Py_ssize_t row
    for row in range(first, first + rows):
        if pins[row] == 1 and totals[row] == 0:
            if len(found) == most:
                break
            found.append(row)
    return found


cdef inline list rows_of(unsigned int[::1] pins, unsigned int[::1] halves, Py_ssize_t used, long long model):
    cdef list found = []
    cdef Py_ssize_t row
    for row in range(used):
        if pins[row] != 0 and halves[8 * row + 7] >> 16 == model:
            found.append(row)
    return found


cdef inline double jain(
    unsigned int[::1] pins, unsigned int[::1] halves, long long[::1] totals, double[::1] shares, Py_ssize_t used,
    long long model,
) except -1.0:
    cdef Py_ssize_t row
    cdef long long count = 0
    cdef double amount, total = 0.0, squares = 0.0
    # Not fused with the addition, where there is an instruction for that: the sum would be another one.
    cdef volatile double square
    for row in range(used):
        if pins[row] != 0 and halves[8 * row + 7] >> 16 == model and totals[row] > 0:
            amount = <double> totals[row] / shares[halves[8 * row + 7] & 0xFFFF]
            square = amount * amount
            count += 1
            total += amount
            squares += square
    return total * total / (<double> count * squares) if count > 0 else 1.0
