/* Load that keeps to a timetable, whatever the server does.
 *
 *     client rate    PORT CONNECTIONS RATE WARM_UP SECONDS REQUEST_FILE
 *     client streams PORT CONNECTIONS RAMP SECONDS REQUEST_FILE
 *
 * 1. `rate` is an open loop. Request i is due at start + i / RATE. It is sent then, on a connection that is free; where
 *    none is, it waits for one. Its latency is counted from when it was due until its answer was read to the end, so a
 *    server that stalls is charged for every request that was to be sent meanwhile (no coordinated omission). What is
 *    due within WARM_UP seconds is sent and not counted.
 * 2. `streams` keeps CONNECTIONS requests going, one after the other on each connection; the n-th begins
 *    n / CONNECTIONS of RAMP seconds late. It counts server-sent events, and the reads in which any came: one event a
 *    read means that nothing was merged on the way.
 * 3. Answers are framed by Content-Length or chunks. Another status than 200, another framing, and a connection that
 *    ends within an answer are failures; the connection is replaced.
 * 4. What was seen is one line of JSON on stdout; times are microseconds.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { HEAD = 8192, PIECE = 65536, READY = 512 };
static const uint64_t SECOND = 1000000000u, GRACE = 2000000000u;

enum part { IN_HEAD, IN_LENGTH, IN_SIZE, IN_CHUNK, IN_CHUNK_END, IN_TRAILER };

struct connection {
    int fd;
    int busy;
    uint64_t due;        /* of the request under way */
    int counts;          /* whether its latency is wanted */
    size_t written;
    int is_blocked;      /* the rest of the request waits for room in the socket */
    enum part part;
    size_t left;         /* of the body or the chunk */
    size_t line;         /* bytes of the line of a trailer; in that of a size, 1 within an extension */
    char last;           /* the byte of the body before this read */
    size_t got;
    char head[HEAD];
};

static struct connection *connections;
static int many, poller, port, is_streaming;
static char *request;
static size_t request_size;
static int *idle, idle_count;
static uint64_t completed, failed, events, reads, bytes;
static uint64_t *latencies;
static size_t recorded, recordable;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * SECOND + (uint64_t)at.tv_nsec;
}

static void watch(struct connection *each, int operation, uint32_t wishes) {
    struct epoll_event wish = {.events = wishes, .data.u32 = (uint32_t)(each - connections)};
    if (epoll_ctl(poller, operation, each->fd, &wish) < 0) die("epoll_ctl");
}

static void open_one(struct connection *each) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    each->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (each->fd < 0) die("socket");
    /* On loopback a connection is there at once, or waits for the backlog of the server. */
    if (connect(each->fd, (struct sockaddr *)&at, sizeof at) < 0) die("connect");
    setsockopt(each->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    each->busy = each->is_blocked = 0;
    watch(each, EPOLL_CTL_ADD, EPOLLIN);
}

static void ask(struct connection *each, uint64_t due, int counts);

/* The connection has nothing under way. */
static void release(struct connection *each) {
    each->busy = 0;
    if (is_streaming)
        ask(each, 0, 0);
    else
        idle[idle_count++] = (int)(each - connections);
}

static void fail(struct connection *each) {
    int was_busy = each->busy;
    close(each->fd);
    open_one(each);
    /* A server may close a connection that nothing happens on. */
    if (!was_busy) return;
    failed++;
    release(each);
}

static void push(struct connection *each) {
    while (each->written < request_size) {
        ssize_t sent = send(each->fd, request + each->written, request_size - each->written, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) {
                fail(each);
                return;
            }
            if (!each->is_blocked) watch(each, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            each->is_blocked = 1;
            return;
        }
        each->written += (size_t)sent;
    }
    if (each->is_blocked) watch(each, EPOLL_CTL_MOD, EPOLLIN);
    each->is_blocked = 0;
}

static void ask(struct connection *each, uint64_t due, int counts) {
    each->busy = 1;
    each->due = due;
    each->counts = counts;
    each->written = 0;
    each->part = IN_HEAD;
    each->got = 0;
    each->last = 0;
    push(each);
}

/* Events end with an empty line. */
static uint64_t events_in(struct connection *each, const char *piece, size_t size) {
    uint64_t found = 0;
    for (const char *at = piece, *end = piece + size; (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
        if ((at > piece ? at[-1] : each->last) == '\n') found++;
    if (size > 0) each->last = piece[size - 1];
    return found;
}

/* The framing of an answer from its head; 0: it is not what is expected. */
static int understand(struct connection *each) {
    const char *line = each->head;
    int framed = 0;
    if (strncmp(line, "HTTP/1.1 200", 12) != 0) return 0;
    while ((line = strstr(line, "\r\n")) != NULL && *(line += 2) != '\0') {
        if (strncasecmp(line, "content-length:", 15) == 0) {
            each->left = strtoul(line + 15, NULL, 10);
            each->part = IN_LENGTH;
            framed = 1;
        } else if (strncasecmp(line, "transfer-encoding: chunked", 26) == 0) {
            each->part = IN_SIZE;
            each->left = each->line = 0;
            framed = 1;
        }
    }
    return framed;
}

/* 1: the answer is complete, 0: more is to come, -1: it is malformed. `found` counts events. */
static int take(struct connection *each, const char *piece, size_t size, uint64_t *found) {
    while (size > 0 || (each->part == IN_LENGTH && each->left == 0)) {
        size_t used = 1;
        char byte = size > 0 ? *piece : 0;
        switch (each->part) {
        case IN_HEAD: {
            size_t room = HEAD - 1 - each->got, part = size < room ? size : room;
            memcpy(each->head + each->got, piece, part);
            each->head[each->got + part] = '\0';
            char *end = strstr(each->got > 3 ? each->head + each->got - 3 : each->head, "\r\n\r\n");
            if (end == NULL) {
                each->got += part;
                if (part < size || each->got >= HEAD - 1) return -1;
                used = part;
                break;
            }
            used = (size_t)(end + 4 - each->head) - each->got;
            end[2] = '\0';
            if (!understand(each)) return -1;
            break;
        }
        case IN_LENGTH:
        case IN_CHUNK:
            used = size < each->left ? size : each->left;
            *found += events_in(each, piece, used);
            each->left -= used;
            if (each->left == 0) {
                if (each->part == IN_LENGTH) return used == size ? 1 : -1;
                each->part = IN_CHUNK_END;
            }
            break;
        case IN_CHUNK_END:
            if (byte == '\n') {
                each->part = IN_SIZE;
                each->left = each->line = 0;
            }
            break;
        case IN_SIZE:
            if (byte == '\n') {
                each->part = each->left > 0 ? IN_CHUNK : IN_TRAILER;
                each->line = 0;
            } else if (byte == ';') {
                each->line = 1;
            } else if (byte != '\r' && each->line == 0) {
                int digit = byte >= 'a' ? byte - 'a' + 10 : byte >= 'A' ? byte - 'A' + 10 : byte - '0';
                if (digit < 0 || digit > 15) return -1;
                each->left = each->left * 16 + (size_t)digit;
            }
            break;
        case IN_TRAILER:
            if (byte == '\n') {
                if (each->line == 0) return size == 1 ? 1 : -1;
                each->line = 0;
            } else if (byte != '\r')
                each->line++;
            break;
        }
        piece += used;
        size -= used;
    }
    return 0;
}

static void settle(struct connection *each) {
    completed++;
    if (each->counts && recorded < recordable) latencies[recorded++] = now_ns() - each->due;
    release(each);
}

static void on_readable(struct connection *each) {
    static char piece[PIECE];
    uint64_t found = 0;
    ssize_t got = recv(each->fd, piece, sizeof piece, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0 || !each->busy) {
        fail(each);
        return;
    }
    bytes += (uint64_t)got;
    int state = take(each, piece, (size_t)got, &found);
    events += found;
    if (found > 0) reads++;
    if (state > 0) settle(each);
    if (state < 0) {
        fprintf(stderr, "not an answer: %.*s\n", (int)(got < 200 ? got : 200), piece);
        fail(each);
    }
}

static void on_ready(struct epoll_event *ready, int number) {
    for (int i = 0; i < number; i++) {
        if (ready[i].data.u32 == UINT32_MAX) continue;
        struct connection *each = &connections[ready[i].data.u32];
        if (ready[i].events & EPOLLOUT) push(each);
        if (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_readable(each);
    }
}

static void wait_until(int timer, uint64_t until) {
    static struct epoll_event ready[READY];
    struct itimerspec spec = {.it_value = {(time_t)(until / SECOND), (long)(until % SECOND)}};
    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, NULL) < 0) die("timerfd_settime");
    int number = epoll_wait(poller, ready, READY, -1);
    if (number < 0 && errno != EINTR) die("epoll_wait");
    on_ready(ready, number);
}

static int by_size(const void *one, const void *other) {
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

static double at_quantile(double quantile) {
    if (recorded == 0) return 0;
    size_t place = (size_t)(quantile * (double)recorded);
    return (double)latencies[place < recorded ? place : recorded - 1] / 1000;
}

static void keep_rate(int timer, double rate, double warm_up, double seconds) {
    double interval = (double)SECOND / rate;
    size_t all = (size_t)((warm_up + seconds) * rate), sent = 0;
    uint64_t start = now_ns() + SECOND / 100, ends = start + (uint64_t)((warm_up + seconds) * 1e9) + GRACE;
    uint64_t counted_from = start + (uint64_t)(warm_up * 1e9), now, lagged = 0;
    recordable = all;
    latencies = malloc((all + 1) * sizeof *latencies);
    if (latencies == NULL) die("malloc");
    while ((now = now_ns()) < ends && (sent < all || idle_count < many)) {
        uint64_t due = start + (uint64_t)((double)sent * interval);
        while (sent < all && due <= now && idle_count > 0) {
            if (now - due > lagged) lagged = now - due;
            ask(&connections[idle[--idle_count]], due, due >= counted_from);
            due = start + (uint64_t)((double)++sent * interval);
        }
        /* Where no connection is free, the next answer wakes it. */
        wait_until(timer, sent < all && idle_count > 0 ? due : ends);
    }
    size_t unfinished = all - sent + (size_t)(many - idle_count);
    qsort(latencies, recorded, sizeof *latencies, by_size);
    printf("{\"completed\": %llu, \"failed\": %llu, \"unfinished\": %zu, \"recorded\": %zu, \"p50_us\": %.1f, "
           "\"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, \"longest_wait_us\": %.1f}\n",
           (unsigned long long)completed, (unsigned long long)failed, unfinished, recorded, at_quantile(0.5),
           at_quantile(0.9), at_quantile(0.99), at_quantile(0.999), at_quantile(1), (double)lagged / 1000);
}

static void keep_streams(int timer, double ramp, double seconds) {
    uint64_t start = now_ns(), ends = start + (uint64_t)(seconds * 1e9), now;
    int begun = 0;
    is_streaming = 1;
    while ((now = now_ns()) < ends) {
        uint64_t due = ends;
        while (begun < many && (due = start + (uint64_t)(ramp * 1e9 * begun / many)) <= now) {
            /* Connected only now: a burst of connections could overflow a backlog, and the kernel tries again in seconds. */
            open_one(&connections[begun]);
            ask(&connections[begun++], 0, 0);
            due = ends;
        }
        wait_until(timer, due < ends ? due : ends);
    }
    printf("{\"completed\": %llu, \"failed\": %llu, \"events\": %llu, \"reads\": %llu, \"bytes\": %llu}\n",
           (unsigned long long)completed, (unsigned long long)failed, (unsigned long long)events,
           (unsigned long long)reads, (unsigned long long)bytes);
}

static void read_request(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) die(path);
    fseek(file, 0, SEEK_END);
    request_size = (size_t)ftell(file);
    rewind(file);
    request = malloc(request_size + 1);
    if (request == NULL || fread(request, 1, request_size, file) != request_size) die(path);
    fclose(file);
}

int main(int count, char **words) {
    int is_rate = count == 8 && strcmp(words[1], "rate") == 0;
    if (!is_rate && !(count == 7 && strcmp(words[1], "streams") == 0)) {
        fprintf(stderr, "usage: client rate PORT CONNECTIONS RATE WARM_UP SECONDS REQUEST_FILE\n"
                        "       client streams PORT CONNECTIONS RAMP SECONDS REQUEST_FILE\n");
        return 2;
    }
    port = atoi(words[2]);
    many = atoi(words[3]);
    read_request(words[count - 1]);
    connections = calloc((size_t)many, sizeof *connections);
    idle = calloc((size_t)many, sizeof *idle);
    poller = epoll_create1(0);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (connections == NULL || idle == NULL || poller < 0 || timer < 0) die("no room");
    struct epoll_event wish = {.events = EPOLLIN | EPOLLET, .data.u32 = UINT32_MAX};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, timer, &wish) < 0) die("epoll_ctl");
    if (is_rate) {
        for (; idle_count < many; idle_count++) {
            open_one(&connections[many - 1 - idle_count]);
            idle[idle_count] = many - 1 - idle_count;
        }
        keep_rate(timer, atof(words[4]), atof(words[5]), atof(words[6]));
    } else
        keep_streams(timer, atof(words[4]), atof(words[5]));
    return 0;
}
