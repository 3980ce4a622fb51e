/* A closed-loop HTTP/1.1 load generator: one thread, epoll, keep-alive, 127.0.0.1 only.
 *
 *   load --port N --path P --body FILE [--header "Name: value"]... [--connections N] [--requests N] [--seconds S]
 *        [--grace S]
 *
 * Stops issuing after N requests or S seconds, waits --grace more for the answers under way, prints one line of JSON.
 * Knows what usual tools do not tell: the time to the first byte of the body, and the events of a stream.
 * "counter=00000000" in the body counts, so that no two requests are the same. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 8192, MAX_HEAD = 16 << 10, MAX_ERRORS = 1000, BATCH = 256 };
enum { MAX_REQUESTS = 20 * 1000 * 1000, MAX_SECONDS = 120, MAX_GRACE = 120 };

typedef enum { HEAD, LENGTH, SIZE, DATA, DATA_END, TRAILER, DONE, BROKEN } State;

typedef struct {
    int fd;
    State state;
    char head[MAX_HEAD];
    size_t head_used, left;          /* left: bytes of the body or chunk still to come */
    size_t sent;                     /* bytes of the request written */
    int status, matched, line;       /* matched: characters of "data: "; line: length of a trailer line */
    long answers;                    /* whole answers on this connection */
    bool in_flight, closing, events; /* closing: the server will hang up; events: an event stream */
    uint64_t started_ns, first_ns;
} Conn;

typedef struct { uint32_t *us; size_t count, capacity; } Samples;

static int poller, port, in_flight;
static char *request, *counter;   /* counter: its eight digits, if there are any */
static size_t request_length;
static long first_count, issued, limit = MAX_REQUESTS, errors;
static uint64_t start_ns, deadline_ns, bytes, events_seen;
static Samples latency, first_byte;
static Conn *conns[MAX_CONNECTIONS];

static void die(const char *what) { perror(what); exit(1); }

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* --- samples ---------------------------------------------------------------------------------------------- */

static void record(Samples *samples, uint64_t ns) {
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity ? samples->capacity * 2 : 4096;
        samples->us = realloc(samples->us, samples->capacity * sizeof *samples->us);
        if (!samples->us) die("realloc");
    }
    samples->us[samples->count++] = (uint32_t)((ns + 500) / 1000);
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t percentile(const Samples *sorted, double share) {
    if (!sorted->count) return 0;
    return sorted->us[(size_t)(share * (double)(sorted->count - 1) + 0.5)];
}

/* --- reading an answer ------------------------------------------------------------------------------------ */

static void count_events(Conn *conn, const char *data, size_t length) {
    static const char pattern[] = "data: ";
    for (size_t i = 0; i < length; i++) {
        conn->matched = data[i] == pattern[conn->matched] ? conn->matched + 1 : data[i] == 'd';
        if (!pattern[conn->matched]) { events_seen++; conn->matched = 0; }
    }
}

static void parse_head(Conn *conn) {
    const char *length = strcasestr(conn->head, "\r\ncontent-length:");
    conn->status = atoi(conn->head + sizeof "HTTP/1.1 " - 1);
    conn->closing = strcasestr(conn->head, "\r\nconnection: close") != NULL;
    conn->events = strcasestr(conn->head, "text/event-stream") != NULL;
    conn->left = length ? strtoul(length + 17, NULL, 10) : 0;
    if (strcasestr(conn->head, "\r\ntransfer-encoding: chunked")) conn->state = SIZE;
    else if (length) conn->state = conn->left ? LENGTH : DONE;
    else conn->state = BROKEN;      /* without framing its end cannot be told from a cut */
}

/* Takes bytes of the head; returns how many. */
static size_t feed_head(Conn *conn, const char *data, size_t length) {
    size_t room = MAX_HEAD - 1 - conn->head_used, taken = length < room ? length : room;
    size_t from = conn->head_used < 3 ? 0 : conn->head_used - 3, before = conn->head_used;
    memcpy(conn->head + conn->head_used, data, taken);
    conn->head_used += taken;
    char *end = memmem(conn->head + from, conn->head_used - from, "\r\n\r\n", 4);
    if (!end) {
        if (conn->head_used == MAX_HEAD - 1) conn->state = BROKEN;
        return taken;
    }
    end[2] = 0;
    parse_head(conn);
    return (size_t)(end + 4 - conn->head) - before;
}

static size_t feed_body(Conn *conn, const char *data, size_t length, State then) {
    size_t taken = length < conn->left ? length : conn->left;
    if (!conn->first_ns) conn->first_ns = now_ns();
    if (conn->events) count_events(conn, data, taken);
    bytes += taken;
    conn->left -= taken;
    if (!conn->left) conn->state = then;
    return taken;
}

static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes one byte between the chunks. */
static void feed_framing(Conn *conn, char c) {
    if (conn->state == DATA_END) {
        if (c == '\n') conn->state = SIZE;
    } else if (conn->state == SIZE) {
        if (hex(c) >= 0) conn->left = conn->left * 16 + (size_t)hex(c);
        else if (c == '\n') { conn->state = conn->left ? DATA : TRAILER; conn->line = 0; }
        else if (c != '\r') conn->state = BROKEN;
    } else if (c == '\n') {
        if (!conn->line) conn->state = DONE;
        conn->line = 0;
    } else if (c != '\r') {
        conn->line++;
    }
}

static void feed(Conn *conn, const char *data, size_t length) {
    for (size_t at = 0; at < length && conn->state < DONE;) {
        if (conn->state == HEAD) at += feed_head(conn, data + at, length - at);
        else if (conn->state == LENGTH) at += feed_body(conn, data + at, length - at, DONE);
        else if (conn->state == DATA) at += feed_body(conn, data + at, length - at, DATA_END);
        else feed_framing(conn, data[at++]);
    }
}

/* --- the loop --------------------------------------------------------------------------------------------- */

static void watch(Conn *conn, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = conn};
    if (epoll_ctl(poller, operation, conn->fd, &event) < 0) die("epoll_ctl");
}

static void dial(Conn *conn) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    conn->answers = 0;
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(conn->fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(conn->fd, F_SETFL, O_NONBLOCK);
    watch(conn, EPOLL_CTL_ADD, EPOLLIN);
}

static void push(Conn *conn) {
    ssize_t sent = send(conn->fd, request + conn->sent, request_length - conn->sent, MSG_NOSIGNAL);
    if (sent > 0) conn->sent += (size_t)sent;
    if (conn->sent < request_length) watch(conn, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void issue(Conn *conn) {
    uint64_t now = now_ns();
    if (issued >= limit || now >= deadline_ns || errors >= MAX_ERRORS) return;
    issued++;
    in_flight++;
    conn->in_flight = true;
    conn->state = HEAD;
    conn->head_used = conn->sent = 0;
    conn->matched = 0;
    conn->started_ns = now;
    conn->first_ns = 0;
    if (counter) {
        char digits[24];
        snprintf(digits, sizeof digits, "%08ld", (first_count + issued) % 100000000);
        memcpy(counter, digits, 8);
    }
    push(conn);
}

static void redial(Conn *conn) {
    close(conn->fd);
    dial(conn);
}

/* A server may close a kept connection while a request is on its way: asking once more on a new one is fair. */
static bool was_idle_closed(const Conn *conn, ssize_t got) {
    return got <= 0 && conn->in_flight && conn->answers && !conn->head_used;
}

static void ask_again(Conn *conn) {
    redial(conn);
    conn->sent = 0;
    push(conn);
}

/* Closes the books on one request and starts the next. */
static void settle(Conn *conn, bool good) {
    uint64_t now = now_ns();
    if (conn->in_flight) {
        in_flight--;
        conn->in_flight = false;
        if (good) {
            record(&latency, now - conn->started_ns);
            record(&first_byte, (conn->first_ns ? conn->first_ns : now) - conn->started_ns);
        } else {
            errors++;
        }
    }
    conn->answers++;
    if (conn->state != DONE || conn->closing) redial(conn);
    issue(conn);
}

static void receive(Conn *conn) {
    char data[64 << 10];
    ssize_t got = recv(conn->fd, data, sizeof data, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (was_idle_closed(conn, got)) { ask_again(conn); return; }
    if (got > 0 && conn->in_flight) feed(conn, data, (size_t)got);
    if (got <= 0 || !conn->in_flight) conn->state = BROKEN;      /* cut, or spoke unasked */
    if (conn->state >= DONE) settle(conn, conn->state == DONE && conn->status == 200);
}

static void handle(const struct epoll_event *event) {
    Conn *conn = event->data.ptr;
    if (event->events & EPOLLOUT) {
        watch(conn, EPOLL_CTL_MOD, EPOLLIN);
        push(conn);
    }
    if (event->events & ~(uint32_t)EPOLLOUT) receive(conn);
}

static void run(int connections, double seconds, double grace) {
    struct epoll_event events[BATCH];
    for (int i = 0; i < connections; i++) {
        if (!(conns[i] = calloc(1, sizeof(Conn)))) die("calloc");
        dial(conns[i]);
    }
    start_ns = now_ns();        /* when all are connected: a crowd may take a while to be let in */
    deadline_ns = start_ns + (uint64_t)(seconds * 1e9);
    uint64_t give_up_ns = deadline_ns + (uint64_t)(grace * 1e9);
    for (int i = 0; i < connections; i++) issue(conns[i]);
    while (in_flight && now_ns() < give_up_ns) {
        int count = epoll_wait(poller, events, BATCH, 100);
        for (int i = 0; i < count; i++) handle(&events[i]);
    }
    errors += in_flight;
}

static void report(double seconds) {
    if (latency.count) {
        qsort(latency.us, latency.count, sizeof *latency.us, ascending);
        qsort(first_byte.us, first_byte.count, sizeof *first_byte.us, ascending);
    }
    printf("{\"requests\":%zu,\"errors\":%ld,\"seconds\":%.6f,\"rps\":%.1f,\"p50_us\":%u,\"p90_us\":%u,\"p99_us\":%u,"
           "\"ttfb_p50_us\":%u,\"bytes\":%llu,\"events\":%llu}\n",
           latency.count, errors, seconds, (double)latency.count / seconds, percentile(&latency, 0.5),
           percentile(&latency, 0.9), percentile(&latency, 0.99), percentile(&first_byte, 0.5),
           (unsigned long long)bytes, (unsigned long long)events_seen);
}

/* --- arguments -------------------------------------------------------------------------------------------- */

static const char *text(int argc, char **argv, const char *name, const char *otherwise) {
    for (int i = 1; i + 1 < argc; i += 2)
        if (!strcmp(argv[i], name)) return argv[i + 1];
    return otherwise;
}

static size_t read_body(const char *path, char *into, size_t room) {
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    size_t length = fread(into, 1, room, file);
    fclose(file);
    return length;
}

static void compose(int argc, char **argv) {
    static char body[8 << 20];
    size_t length = read_body(text(argc, argv, "--body", "/dev/null"), body, sizeof body), size;
    FILE *out = open_memstream(&request, &size);
    fprintf(out, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n",
            text(argc, argv, "--path", "/"), port);
    for (int i = 1; i + 1 < argc; i += 2)
        if (!strcmp(argv[i], "--header")) fprintf(out, "%s\r\n", argv[i + 1]);
    fprintf(out, "Content-Length: %zu\r\n\r\n", length);
    fwrite(body, 1, length, out);
    fclose(out);
    request_length = size;
    counter = memmem(request, size, "counter=00000000", 16);
    if (counter) counter += 8;
    first_count = (long)(now_ns() / 1000 % 100000000);  /* where no earlier run has counted */
}

int main(int argc, char **argv) {
    int connections = atoi(text(argc, argv, "--connections", "1"));
    double seconds = atof(text(argc, argv, "--seconds", "60"));
    double grace = atof(text(argc, argv, "--grace", "20"));
    port = atoi(text(argc, argv, "--port", "0"));
    limit = atol(text(argc, argv, "--requests", "20000000"));
    if (port < 1 || connections < 1 || connections > MAX_CONNECTIONS || seconds <= 0 || seconds > MAX_SECONDS || grace < 0 || grace > MAX_GRACE ||
        limit < 1 || limit > MAX_REQUESTS) {
        fprintf(stderr, "load: an argument is missing or out of bounds\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    compose(argc, argv);
    if ((poller = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll_create1");
    run(connections, seconds, grace);
    report((double)(now_ns() - start_ns) / 1e9);
}
