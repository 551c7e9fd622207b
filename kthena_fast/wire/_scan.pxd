# The functions of _scan.py in C, inlined into the compiled twins that cimport this file.
#
# They stay in the bounds they are given: at and end come from len(data) or from an answer of these functions, and
# nothing is read when at >= end.

cdef enum:
    COMPILED = 1

cdef extern from "string.h" nogil:
    void *memchr(const void *, int, size_t)
    int memcmp(const void *, const void *, size_t)

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

    /* The same from the end. */
    static inline const unsigned char *kthena_find_last(
        const unsigned char *at, const unsigned char *end, const unsigned char *needle, Py_ssize_t length)
    {
        const unsigned char *stop = end - length + 1;
    #ifdef __SSE2__
        const __m128i first = _mm_set1_epi8((char) needle[0]);
        const __m128i last = _mm_set1_epi8((char) needle[length - 1]);
        for (; stop - at >= 16; stop -= 16) {
            const __m128i heads = _mm_loadu_si128((const __m128i *) (stop - 16));
            const __m128i tails = _mm_loadu_si128((const __m128i *) (stop - 16 + length - 1));
            int hits = _mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(first, heads), _mm_cmpeq_epi8(last, tails)));
            while (hits) {
                const int place = 31 - __builtin_clz((unsigned int) hits);
                const unsigned char *hit = stop - 16 + place;
                if (!memcmp(hit + 1, needle + 1, (size_t) length - 2))
                    return hit;
                hits ^= 1 << place;
            }
        }
    #endif
        while (stop-- > at)
            if (!memcmp(stop, needle, (size_t) length))
                return stop;
        return NULL;
    }

    /* The first byte that is a quote, a backslash or no printable ASCII. As signed bytes, those that are below the
       blank are the control characters and all that is beyond ASCII. */
    static inline const unsigned char *kthena_plain_end(const unsigned char *at, const unsigned char *end)
    {
    #ifdef __SSE2__
        const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\\\'), blank = _mm_set1_epi8(' ');
        for (; end - at >= 16; at += 16) {
            const __m128i bytes = _mm_loadu_si128((const __m128i *) at);
            const __m128i marks = _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash));
            const int hits = _mm_movemask_epi8(_mm_or_si128(marks, _mm_cmplt_epi8(bytes, blank)));
            if (hits)
                return at + __builtin_ctz((unsigned int) hits);
        }
    #endif
        while (at < end && *at != '"' && *at != '\\\\' && *at >= ' ' && *at < 0x80)
            at++;
        return at;
    }
    /* A bit for each of 64 bytes: set where that would stop. */
    static inline unsigned long long kthena_marks(const unsigned char *at)
    {
        unsigned long long marks = 0;
    #ifdef __SSE2__
        const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\\\'), blank = _mm_set1_epi8(' ');
        for (int place = 0; place < 64; place += 16) {
            const __m128i bytes = _mm_loadu_si128((const __m128i *) (at + place));
            const __m128i found = _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash));
            const int hits = _mm_movemask_epi8(_mm_or_si128(found, _mm_cmplt_epi8(bytes, blank)));
            marks |= (unsigned long long) hits << place;
        }
    #else
        for (int place = 0; place < 64; place++)
            marks |= (unsigned long long) (kthena_plain_end(at + place, at + place + 1) == at + place) << place;
    #endif
        return marks;
    }
    #endif
    """
    const unsigned char *kthena_plain_end(const unsigned char *, const unsigned char *) nogil
    unsigned long long kthena_marks(const unsigned char *) nogil
    int __builtin_ctzll(unsigned long long) nogil
    const unsigned char *kthena_find(
        const unsigned char *, const unsigned char *, const unsigned char *, Py_ssize_t) nogil
    const unsigned char *kthena_find_last(
        const unsigned char *, const unsigned char *, const unsigned char *, Py_ssize_t) nogil


cdef inline Py_ssize_t find(bytes data, bytes needle, Py_ssize_t at, Py_ssize_t end) except? -2:
    cdef const unsigned char *base = data
    cdef const unsigned char *wanted = needle
    cdef const unsigned char *hit
    if end - at < len(needle):
        return -1
    hit = kthena_find(base + at, base + end, wanted, len(needle))
    return -1 if hit == NULL else hit - base


cdef inline Py_ssize_t find_last(bytes data, bytes needle, Py_ssize_t end) except? -2:
    cdef const unsigned char *base = data
    cdef const unsigned char *wanted = needle
    cdef const unsigned char *hit
    if end < len(needle):
        return -1
    hit = kthena_find_last(base, base + end, wanted, len(needle))
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


cdef inline Py_ssize_t plain_end(bytes data, Py_ssize_t at, Py_ssize_t end) except? -2:
    cdef const unsigned char *base = data
    if at >= end:
        return end
    return kthena_plain_end(base + at, base + end) - base


cdef enum:
    BLOCK = 64


cdef inline unsigned long long marks(bytes data, Py_ssize_t at) except? 1:
    cdef const unsigned char *base = data
    return kthena_marks(base + at)


cdef inline int first(unsigned long long marks) noexcept:
    return __builtin_ctzll(marks)


cdef inline Py_ssize_t sequence_end(bytes data, Py_ssize_t at, Py_ssize_t end) except? -2:
    cdef const unsigned char *base = data
    cdef unsigned char lead, least = 0x80, most = 0xBF
    cdef Py_ssize_t size, further
    if at >= end:
        return -1
    lead = base[at]
    if 0xC2 <= lead <= 0xDF:
        size = 2
    elif 0xE0 <= lead <= 0xEF:
        size = 3
        # What fewer bytes could say, and halves of surrogate pairs, are not said in three.
        if lead == 0xE0:
            least = 0xA0
        elif lead == 0xED:
            most = 0x9F
    elif 0xF0 <= lead <= 0xF4:
        size = 4
        if lead == 0xF0:
            least = 0x90
        elif lead == 0xF4:
            most = 0x8F
    else:
        return -1
    if end - at < size or not least <= base[at + 1] <= most:
        return -1
    for further in range(at + 2, at + size):
        if base[further] & 0xC0 != 0x80:
            return -1
    return at + size


cdef inline Py_ssize_t sequences_end(bytes data, Py_ssize_t at, Py_ssize_t end) except? -2:
    cdef const unsigned char *base = data
    while True:
        at = sequence_end(data, at, end)
        if at < 0 or at >= end or base[at] < 0x80:
            return at


cdef inline Py_ssize_t literal_end(bytes data, Py_ssize_t at, Py_ssize_t end) except? -2:
    cdef const unsigned char *base = data
    if end - at >= 4 and (not memcmp(base + at, b"true", 4) or not memcmp(base + at, b"null", 4)):
        return at + 4
    if end - at >= 5 and not memcmp(base + at, b"false", 5):
        return at + 5
    return -1


cdef inline int hex_digit(unsigned char byte) noexcept:
    if b"0" <= byte <= b"9":
        return byte - 48
    byte |= 32
    return byte - 87 if b"a" <= byte <= b"f" else -1


cdef inline int hex4(bytes data, Py_ssize_t at, Py_ssize_t end) except? -2:
    cdef const unsigned char *base = data
    cdef int digit, code = 0
    cdef Py_ssize_t place
    if end - at < 4:
        return -1
    for place in range(at, at + 4):
        digit = hex_digit(base[place])
        if digit < 0:
            return -1
        code = code << 4 | digit
    return code


cdef inline Py_ssize_t value_start(bytes data, Py_ssize_t at, Py_ssize_t end) except? -2:
    cdef const unsigned char *base = data
    at = space_end(data, at, end)
    if at >= end or base[at] != b":":
        return -1
    at = space_end(data, at + 1, end)
    return at if at < end else -1
