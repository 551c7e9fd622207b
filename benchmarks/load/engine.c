/* An engine that is never the bottleneck: streams paced by a clock, and whole answers at once.
 *
 *     engine PORT PACE_MS EVENTS EVENT_FILE TAIL_FILE ANSWER_FILE
 *
 * 1. It listens on every address of loopback, so that 127.0.0.1, 127.0.0.2, ... are as many pods.
 * 2. A POST whose body asks for "stream":true is answered with the head at once, and then with EVENTS times the content
 *    of EVENT_FILE, each as one chunk in one write, PACE_MS apart by the clock; one pace after the last follow
 *    TAIL_FILE and the end. Streams are out of step with each other: the k-th begins k golden ratios of a pace late, so
 *    that events never come in bursts.
 * 3. Any other POST is answered with ANSWER_FILE, once its body was read to the end.
 * 4. `GET /pace/MS` sets another pace for the events from then on.
 * 5. `GET /stats` says in JSON how many events were written, how many of them more than half a pace late, the worst
 *    lateness since the last look, and how many streams are open; `GET /metrics` what vLLM would say; any other GET: 200.
 * 6. A reader so slow that the socket is full is cut off: whoever loads a contestant must take what comes.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
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

enum { MOST_FDS = 65536, HEAD = 16384, PIECE = 262144, READY = 512, CARRY = 15 };

struct connection {
    int fd;
    int place;           /* in the heap; -1: no stream is open */
    int left;            /* events still to come; 0: the tail is next */
    uint64_t due;        /* nanoseconds of the monotonic clock */
    size_t got;          /* bytes of the head */
    size_t body_left;
    int in_body;
    int streams;         /* whether the body asks for a stream */
    int carried;
    char carry[CARRY];   /* the end of what came, for a word that is cut */
    char head[HEAD];
};

static struct connection *connections[MOST_FDS];
static struct connection *heap[MOST_FDS];
static int open_streams;
static uint64_t pace, begun, events, late, worst;
static int paced_events;
static struct { char *bytes; size_t size; } event_chunk, tail_chunk, answer;

static const char STREAM_HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char LOAD[] = "vllm:num_requests_waiting 0.0\nvllm:num_requests_running 0.0\n";

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

/* The heap of open streams by the time of their next event. */

static void put(int place, struct connection *each) {
    heap[place] = each;
    each->place = place;
}

static void rise(int place) {
    struct connection *each = heap[place];
    while (place > 0 && heap[(place - 1) / 2]->due > each->due) {
        put(place, heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(place, each);
}

static void sink(int place) {
    struct connection *each = heap[place];
    for (;;) {
        int child = 2 * place + 1;
        if (child >= open_streams) break;
        if (child + 1 < open_streams && heap[child + 1]->due < heap[child]->due) child++;
        if (heap[child]->due >= each->due) break;
        put(place, heap[child]);
        place = child;
    }
    put(place, each);
}

static void leave(struct connection *each) {
    int place = each->place;
    if (place < 0) return;
    each->place = -1;
    open_streams--;
    if (place == open_streams) return;
    put(place, heap[open_streams]);
    rise(place);
    sink(heap[place]->place);
}

static void hang_up(struct connection *each) {
    leave(each);
    connections[each->fd] = NULL;
    close(each->fd);
    free(each);
}

/* 0: it was cut off. */
static int say(struct connection *each, const char *bytes, size_t size) {
    ssize_t written = send(each->fd, bytes, size, MSG_NOSIGNAL);
    if (written == (ssize_t)size) return 1;
    hang_up(each);
    return 0;
}

static int say_whole(struct connection *each, const char *type, const char *bytes, size_t size) {
    char *text = NULL;
    int length = asprintf(&text, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%.*s", type, size,
                          (int)size, bytes);
    if (length < 0) die("asprintf");
    int whole = say(each, text, (size_t)length);
    free(text);
    return whole;
}

static int begin_stream(struct connection *each) {
    static double phase;
    if (!say(each, STREAM_HEAD, sizeof STREAM_HEAD - 1)) return 0;
    phase += 0.6180339887498949;
    if (phase >= 1) phase -= 1;
    each->due = now_ns() + (uint64_t)((double)pace * phase);
    each->left = paced_events;
    begun++;
    put(open_streams++, each);
    rise(each->place);
    return 1;
}

static void send_due(void) {
    uint64_t now = now_ns();
    while (open_streams > 0 && heap[0]->due <= now) {
        struct connection *each = heap[0];
        if (each->left == 0) {
            leave(each);
            say(each, tail_chunk.bytes, tail_chunk.size);
            continue;
        }
        uint64_t lateness = now - each->due;
        if (lateness > worst) worst = lateness;
        if (lateness > pace / 2) late++;
        events++;
        each->left--;
        each->due += pace;
        sink(0);
        say(each, event_chunk.bytes, event_chunk.size);
    }
}

static const char *header(const char *head, const char *name) {
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, strlen(name)) == 0) return line + strlen(name);
    }
    return NULL;
}

/* Answer a GET. */
static int show(struct connection *each) {
    char text[256];
    if (strncmp(each->head, "GET /metrics ", 13) == 0) return say_whole(each, "text/plain", LOAD, sizeof LOAD - 1);
    if (strncmp(each->head, "GET /pace/", 10) == 0) pace = strtoull(each->head + 10, NULL, 10) * 1000000u;
    if (strncmp(each->head, "GET /stats ", 11) != 0) return say_whole(each, "application/json", "{}", 2);
    int size = snprintf(text, sizeof text,
                        "{\"events\": %llu, \"late\": %llu, \"worst_late_us\": %llu, \"open\": %d, \"begun\": %llu}",
                        (unsigned long long)events, (unsigned long long)late, (unsigned long long)worst / 1000,
                        open_streams, (unsigned long long)begun);
    worst = 0;
    return say_whole(each, "application/json", text, (size_t)size);
}

static int asks_for_stream(const char *bytes, size_t size) {
    return memmem(bytes, size, "\"stream\":true", 13) != NULL || memmem(bytes, size, "\"stream\": true", 14) != NULL;
}

/* Look for the wish to stream in a piece of the body, and in what joins it to the piece before. */
static void look(struct connection *each, const char *bytes, size_t size) {
    char joined[2 * CARRY];
    size_t start = size < CARRY ? size : CARRY;
    memcpy(joined, each->carry, (size_t)each->carried);
    memcpy(joined + each->carried, bytes, start);
    if (asks_for_stream(joined, (size_t)each->carried + start) || asks_for_stream(bytes, size)) each->streams = 1;
    if (size >= CARRY) {
        memcpy(each->carry, bytes + size - CARRY, CARRY);
        each->carried = CARRY;
    } else {
        size_t kept = (size_t)each->carried + size > CARRY ? CARRY - size : (size_t)each->carried;
        memmove(each->carry, each->carry + each->carried - kept, kept);
        memcpy(each->carry + kept, bytes, size);
        each->carried = (int)(kept + size);
    }
}

/* 0: the connection is gone. */
static int take(struct connection *each, const char *bytes, size_t size) {
    while (size > 0 || (each->in_body && each->body_left == 0)) {
        if (each->in_body) {
            size_t part = size < each->body_left ? size : each->body_left;
            if (part > 0) look(each, bytes, part);
            bytes += part;
            size -= part;
            each->body_left -= part;
            if (each->body_left > 0) continue;
            each->in_body = 0;
            int kept = each->streams ? begin_stream(each) : say(each, answer.bytes, answer.size);
            if (!kept) return 0;
            continue;
        }
        size_t room = HEAD - 1 - each->got, part = size < room ? size : room;
        memcpy(each->head + each->got, bytes, part);
        each->head[each->got + part] = '\0';
        char *end = strstr(each->got > 3 ? each->head + each->got - 3 : each->head, "\r\n\r\n");
        if (end == NULL) {
            each->got += part;
            if (part < size || each->got >= HEAD - 1) {
                hang_up(each);
                return 0;
            }
            return 1;
        }
        size_t used = (size_t)(end + 4 - each->head) - each->got;
        bytes += used;
        size -= used;
        each->got = 0;
        end[2] = '\0';
        if (strncmp(each->head, "GET ", 4) == 0) {
            if (!show(each)) return 0;
            continue;
        }
        const char *length = header(each->head, "content-length:");
        if (length == NULL || each->place >= 0) {
            /* Nothing here sends chunks, nor a second request while the first is answered. */
            hang_up(each);
            return 0;
        }
        each->body_left = strtoul(length, NULL, 10);
        each->in_body = 1;
        each->streams = 0;
        each->carried = 0;
    }
    return 1;
}

static void on_readable(struct connection *each) {
    static char piece[PIECE];
    ssize_t got = recv(each->fd, piece, sizeof piece, 0);
    if (got > 0)
        take(each, piece, (size_t)got);
    else if (got == 0 || errno != EAGAIN)
        hang_up(each);
}

static void on_connection(int listener, int poller) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct connection *each = fd < MOST_FDS ? malloc(sizeof *each) : NULL;
        if (each == NULL) die("a connection");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        each->fd = fd;
        each->place = -1;
        each->got = 0;
        each->in_body = 0;
        connections[fd] = each;
        struct epoll_event wish = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &wish) < 0) die("epoll_ctl");
    }
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_ANY);
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0) die("bind");
    if (listen(fd, 4096) < 0) die("listen");
    return fd;
}

static char *content(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) die(path);
    char *bytes = malloc(1 << 20);
    if (bytes == NULL) die("malloc");
    *size = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

static void make_answers(char **paths) {
    size_t size;
    char *bytes = content(paths[0], &size);
    event_chunk.size = (size_t)asprintf(&event_chunk.bytes, "%zx\r\n%.*s\r\n", size, (int)size, bytes);
    free(bytes);
    bytes = content(paths[1], &size);
    tail_chunk.size = (size_t)asprintf(&tail_chunk.bytes, "%zx\r\n%.*s\r\n0\r\n\r\n", size, (int)size, bytes);
    free(bytes);
    bytes = content(paths[2], &size);
    answer.size = (size_t)asprintf(&answer.bytes,
                                   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%.*s",
                                   size, (int)size, bytes);
    free(bytes);
}

int main(int count, char **words) {
    if (count != 7) {
        fprintf(stderr, "usage: engine PORT PACE_MS EVENTS EVENT_FILE TAIL_FILE ANSWER_FILE\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    pace = strtoull(words[2], NULL, 10) * 1000000u;
    paced_events = atoi(words[3]);
    make_answers(words + 4);
    int listener = listen_on(atoi(words[1]));
    int poller = epoll_create1(0);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (poller < 0 || timer < 0) die("epoll, timerfd");
    struct epoll_event wish = {.events = EPOLLIN, .data.fd = listener}, ready[READY];
    if (epoll_ctl(poller, EPOLL_CTL_ADD, listener, &wish) < 0) die("epoll_ctl");
    wish.data.fd = timer;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, timer, &wish) < 0) die("epoll_ctl");
    uint64_t set_for = 0;
    for (;;) {
        uint64_t next = open_streams > 0 ? heap[0]->due : 0;
        if (next != set_for) {
            /* An absolute time of zero takes the timer out. */
            struct itimerspec spec = {.it_value = {(time_t)(next / 1000000000u), (long)(next % 1000000000u)}};
            if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, NULL) < 0) die("timerfd_settime");
            set_for = next;
        }
        int number = epoll_wait(poller, ready, READY, -1);
        if (number < 0 && errno != EINTR) die("epoll_wait");
        send_due();
        for (int i = 0; i < number; i++) {
            int fd = ready[i].data.fd;
            uint64_t expired;
            if (fd == listener)
                on_connection(listener, poller);
            else if (fd == timer)
                while (read(timer, &expired, sizeof expired) > 0) set_for = 0;
            else if (connections[fd] != NULL)
                on_readable(connections[fd]);
        }
    }
}
