# The functions of _scan.py in C, inlined into the compiled twins that cimport this file.
#
# They stay in the bounds they are given: at and end come from len(data) or from an answer of these functions, and
# nothing is read when at >= end.

cdef extern from "string.h" nogil:
    void *memchr(const void *, int, size_t)

cdef extern from *:
    """
    #include <string.h>
    #ifdef __SSE2__
    #include <emmintrin.h>
    #endif

    #ifndef KTHENA_FIND
    #define KTHENA_FIND
    /* memmem fills a table of 256 bytes before it looks: for an event of 190 bytes that is most of its work. Here the
       first and the last byte of the needle are looked for together, sixteen places at a time (W. Mula, "SIMD-friendly
       algorithms for substring searching"). A needle has two bytes at least. */
    static inline const unsigned char *kthena_find(
        const unsigned char *at, const unsigned char *end, const unsigned char *needle, Py_ssize_t length)
    {
        const unsigned char *stop = end - length + 1;
    #ifdef __SSE2__
        const __m128i first = _mm_set1_epi8((char) needle[0]);
        const __m128i last = _mm_set1_epi8((char) needle[length - 1]);
        for (; stop - at >= 16; at += 16) {
            const __m128i heads = _mm_loadu_si128((const __m128i *) at);
            const __m128i tails = _mm_loadu_si128((const __m128i *) (at + length - 1));
            int hits = _mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(first, heads), _mm_cmpeq_epi8(last, tails)));
            for (; hits; hits &= hits - 1) {
                const unsigned char *hit = at + __builtin_ctz((unsigned int) hits);
                if (!memcmp(hit + 1, needle + 1, (size_t) length - 2))
                    return hit;
            }
        }
    #endif
        for (; at < stop; at++) {
            at = (const unsigned char *) memchr(at, needle[0], (size_t) (stop - at));
            if (at == NULL)
                return NULL;
            if (!memcmp(at + 1, needle + 1, (size_t) length - 1))
                return at;
        }
        return NULL;
    }
    #endif
    """
    const unsigned char *kthena_find(
        const unsigned char *, const unsigned char *, const unsigned char *, Py_ssize_t) nogil


cdef inline Py_ssize_t find(bytes data, bytes needle, Py_ssize_t at, Py_ssize_t end) except? -2:
    cdef const unsigned char *base = data
    cdef const unsigned char *wanted = needle
    cdef const unsigned char *hit
    if end - at < len(needle):
        return -1
    hit = kthena_find(base + at, base + end, wanted, len(needle))
    return -1 if hit == NULL else hit - base


cdef inline Py_ssize_t find_byte(bytes data, int byte, Py_ssize_t at, Py_ssize_t end) except? -2:
    cdef const unsigned char *base = data
    cdef const unsigned char *hit
    if at >= end:
        return -1
    hit = <const unsigned char *> memchr(base + at, byte, end - at)
    return -1 if hit == NULL else hit - base


cdef inline Py_ssize_t space_end(bytes data, Py_ssize_t at, Py_ssize_t end) except? -2:
    cdef const unsigned char *base = data
    while at < end and (base[at] == b" " or base[at] == b"\n" or base[at] == b"\r" or base[at] == b"\t"):
        at += 1
    return at


cdef inline Py_ssize_t string_end(bytes data, Py_ssize_t at, Py_ssize_t end) except? -2:
    cdef const unsigned char *base = data
    cdef const unsigned char *hit
    cdef Py_ssize_t quote, back
    while at < end:
        hit = <const unsigned char *> memchr(base + at, b'"', end - at)
        if hit == NULL:
            return -1
        quote = hit - base
        # A quote after an odd number of backslashes is escaped. A run of backslashes is counted once: it cannot
        # reach over the quote before it, because at stands behind that one.
        back = quote
        while back > at and base[back - 1] == b"\\":
            back -= 1
        if not (quote - back) & 1:
            return quote + 1
        at = quote + 1
    return -1


cdef inline Py_ssize_t value_end(bytes data, Py_ssize_t at, Py_ssize_t end) except? -2:
    cdef const unsigned char *base = data
    cdef unsigned char byte
    cdef Py_ssize_t depth = 0
    if at >= end:
        return -1
    byte = base[at]
    if byte == b'"':
        return string_end(data, at + 1, end)
    if byte != b"{" and byte != b"[":
        while at < end:
            byte = base[at]
            if (
                byte == b"," or byte == b"}" or byte == b"]" or byte == b":"
                or byte == b" " or byte == b"\n" or byte == b"\r" or byte == b"\t"
            ):
                break
            at += 1
        return at
    while at < end:
        byte = base[at]
        at += 1
        if byte == b'"':
            at = string_end(data, at, end)
            if at < 0:
                return -1
        elif byte == b"{" or byte == b"[":
            depth += 1
        elif byte == b"}" or byte == b"]":
            depth -= 1
            if depth == 0:
                return at
    return -1
