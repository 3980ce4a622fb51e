/* A stand-in OpenAI-compatible server for benchmarks: one thread, epoll, prepared answers.
 *
 *   upstream [--port N] [--listeners N] [--chunks N] [--chunk-interval-us N] [--delay-ms N]
 *
 * Listens on 127.0.0.1 only and prints "port N ..." when it is ready. An answer is a script: a list of byte
 * strings, each written by itself. With an interval of 0 every streaming connection gets one event per
 * turn of the loop, so that events of many streams interleave. GET /served says how many POSTs were answered.
 * A request may ask for a pace of its own, anywhere in its body: "pace-delay-us=N ", "pace-interval-us=N ",
 * "pace-chunks=N ". */
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

enum { MAX_BUSY = 16384, MAX_REQUEST = 16 << 20, FIRST_BUFFER = 16 << 10, BATCH = 256, MAX_LISTENERS = 16,
       MAX_LENGTHS = 8 };

typedef struct { char *data; size_t length; } Event;
typedef struct { Event *events; int count; } Script;

typedef struct {
    int fd;
    char *in;                /* unparsed input */
    size_t used, capacity;
    const Script *script;    /* the answer being written; NULL when waiting for a request */
    int step, place;         /* next event of the script; index in the busy list */
    size_t offset;           /* bytes of that event already written */
    uint64_t due_us;         /* not before this time */
    uint64_t interval_us;    /* between the events of this answer */
    bool blocked, closing;   /* waiting for EPOLLOUT; close after this answer */
} Conn;

static int poller, chunks = 100;
static uint64_t interval_us, delay_us, served;
static Conn *busy[MAX_BUSY];
static int busy_count;
static int listeners[MAX_LISTENERS], listener_count;
static struct { long chunks; Script plain, usage; } lengths[MAX_LENGTHS];  /* streams, made when first asked for */
static Script plain, health, models, metrics, version, missing, refused, counter;

static void die(const char *what) { perror(what); exit(1); }

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* --- prepared answers ------------------------------------------------------------------------------------- */

static void add(Script *script, const char *text) {
    script->events = realloc(script->events, sizeof(Event) * (size_t)(script->count + 1));
    if (!script->events) die("realloc");
    script->events[script->count++] = (Event){strdup(text), strlen(text)};
}

static Script whole(const char *status, const char *type, const char *body) {
    Script script = {0};
    char *text;
    if (asprintf(&text, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                 status, type, strlen(body), body) < 0) die("asprintf");
    add(&script, text);
    free(text);
    return script;
}

static void add_chunk(Script *script, const char *before, const char *choices, const char *usage) {
    char event[1024], text[2048];
    snprintf(event, sizeof event,
             "data: {\"id\":\"chatcmpl-6f1d2c3b4a5968778695a4b3\",\"object\":\"chat.completion.chunk\","
             "\"created\":1790000000,\"model\":\"bench-model\",\"choices\":[%s]%s}\n\n", choices, usage);
    snprintf(text, sizeof text, "%s%zx\r\n%s\r\n", before, strlen(event), event);
    add(script, text);
}

static void add_choice(Script *script, const char *before, const char *delta, const char *finish) {
    char choice[512];
    snprintf(choice, sizeof choice, "{\"index\":0,\"delta\":{%s},\"logprobs\":null,\"finish_reason\":%s}", delta, finish);
    add_chunk(script, before, choice, "");
}

static Script make_stream(long count, bool with_usage) {
    Script script = {0};
    add_choice(&script,
               "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
               "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n",
               "\"role\":\"assistant\",\"content\":\"\"", "null");
    for (long i = 2; i < count; i++) add_choice(&script, "", "\"content\":\" measured\"", "null");
    add_choice(&script, "", "", "\"stop\"");
    if (with_usage)
        add_chunk(&script, "", "", ",\"usage\":{\"prompt_tokens\":180,\"completion_tokens\":98,\"total_tokens\":278}");
    add(&script, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
    return script;
}

static Script make_plain(void) {
    char content[1024] = "", body[2048];
    while (strlen(content) < 700) strcat(content, "A benchmark answer says little, at length. ");
    snprintf(body, sizeof body,
             "{\"id\":\"chatcmpl-6f1d2c3b4a5968778695a4b3\",\"object\":\"chat.completion\",\"created\":1790000000,"
             "\"model\":\"bench-model\",\"system_fingerprint\":\"fp_bench\",\"choices\":[{\"index\":0,\"message\":"
             "{\"role\":\"assistant\",\"content\":\"%s\",\"tool_calls\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
             "\"usage\":{\"prompt_tokens\":180,\"completion_tokens\":160,\"total_tokens\":340}}", content);
    return whole("200 OK", "application/json", body);
}

static void prepare(void) {
    const char *json = "application/json", *text = "text/plain; version=0.0.4";
    plain = make_plain();
    health = whole("200 OK", json, "{\"status\":\"ok\"}");
    version = whole("200 OK", json, "{\"version\":\"0.11.0\"}");
    models = whole("200 OK", json, "{\"object\":\"list\",\"data\":[{\"id\":\"bench-model\",\"object\":\"model\","
                   "\"created\":1790000000,\"owned_by\":\"vllm\",\"root\":\"bench-model\",\"max_model_len\":131072}]}");
    metrics = whole("200 OK", text, "vllm:num_requests_running{model_name=\"bench-model\"} 0.0\n"
                    "vllm:num_requests_waiting{model_name=\"bench-model\"} 0.0\n"
                    "vllm:kv_cache_usage_perc{model_name=\"bench-model\"} 0.0\n");
    missing = whole("404 Not Found", json, "{\"error\":{\"message\":\"no such path\",\"type\":\"not_found\","
                    "\"param\":null,\"code\":\"not_found\"}}");
    refused = whole("411 Length Required", json, "{\"error\":{\"message\":\"Content-Length wanted\","
                    "\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}");
}

static const Script *count_served(void) {
    char body[64];
    snprintf(body, sizeof body, "{\"served\":%llu}", (unsigned long long)served);
    if (counter.count) { free(counter.events[0].data); free(counter.events); }
    counter = whole("200 OK", "application/json", body);
    return &counter;
}

/* --- connections ------------------------------------------------------------------------------------------ */

static void watch(Conn *conn, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = conn};
    if (epoll_ctl(poller, operation, conn->fd, &event) < 0) die("epoll_ctl");
}

static void leave_busy(Conn *conn) {
    if (!conn->script) return;
    busy[conn->place] = busy[--busy_count];
    busy[conn->place]->place = conn->place;
    conn->script = NULL;
}

static void hang_up(Conn *conn) {
    leave_busy(conn);
    close(conn->fd);
    free(conn->in);
    free(conn);
}

static void begin(Conn *conn, const Script *script, uint64_t due_us, uint64_t pause_us) {
    conn->script = script;
    conn->step = 0;
    conn->offset = 0;
    conn->due_us = due_us;
    conn->interval_us = pause_us;
    conn->place = busy_count;
    busy[busy_count++] = conn;
}

/* --- requests --------------------------------------------------------------------------------------------- */

static bool asks_for_stream(const char *body, size_t length) {
    static const char key[] = "\"stream\"";
    const char *at = memmem(body, length, key, sizeof key - 1), *end = body + length;
    if (!at) return false;
    for (at += sizeof key - 1; at < end && (*at == ' ' || *at == ':'); at++) {}
    return end - at >= 4 && !memcmp(at, "true", 4);
}

/* What a request says of its own pace; `otherwise` when it says nothing. */
static uint64_t paced(const char *body, size_t length, const char *name, uint64_t otherwise) {
    const char *at = memmem(body, length, name, strlen(name));
    return at ? strtoull(at + strlen(name), NULL, 10) : otherwise;
}

static const Script *stream_of(long count, bool with_usage) {
    int at = 0;
    while (at < MAX_LENGTHS - 1 && lengths[at].chunks && lengths[at].chunks != count) at++;
    if (!lengths[at].chunks) {
        lengths[at].chunks = count < 2 ? 2 : count;
        lengths[at].plain = make_stream(count, false);
        lengths[at].usage = make_stream(count, true);
    }
    return with_usage ? &lengths[at].usage : &lengths[at].plain;
}

static const Script *chat(const char *body, size_t length) {
    served++;
    if (!asks_for_stream(body, length)) return &plain;
    long count = (long)paced(body, length, "pace-chunks=", (uint64_t)chunks);
    return stream_of(count, memmem(body, length, "include_usage", 13) != NULL);
}

static bool path_is(const char *request, const char *line) { return !strncmp(request, line, strlen(line)); }

static const Script *look_up(const char *request) {
    if (path_is(request, "GET /served ")) return count_served();
    if (path_is(request, "GET /health ")) return &health;
    if (path_is(request, "GET /v1/models ")) return &models;
    if (path_is(request, "GET /metrics ")) return &metrics;
    if (path_is(request, "GET /version ")) return &version;
    return &missing;
}

static void consume(Conn *conn, size_t length) {
    conn->used -= length;
    memmove(conn->in, conn->in + length, conn->used);
}

/* Starts the answer to the first whole request in the buffer, if there is one. */
static void parse(Conn *conn) {
    char *end = memmem(conn->in, conn->used, "\r\n\r\n", 4);
    if (!end) return;
    *end = 0;
    const char *field = strcasestr(conn->in, "\r\ncontent-length:");
    size_t head = (size_t)(end - conn->in) + 4, length = field ? strtoul(field + 17, NULL, 10) : 0;
    bool unframed = strcasestr(conn->in, "\r\ntransfer-encoding:") != NULL || length > MAX_REQUEST - head;
    *end = '\r';
    if (!unframed && conn->used < head + length) return;
    bool is_chat = path_is(conn->in, "POST /v1/chat/completions ");
    const char *body = conn->in + head;
    const Script *script = unframed ? &refused : is_chat ? chat(body, length) : look_up(conn->in);
    uint64_t delay = is_chat ? paced(body, length, "pace-delay-us=", delay_us) : 0;
    uint64_t pause = is_chat ? paced(body, length, "pace-interval-us=", interval_us) : 0;
    *end = 0;
    conn->closing = unframed || strcasestr(conn->in, "\r\nconnection: close") || strcasestr(conn->in, " http/1.0\r\n");
    begin(conn, script, delay ? now_us() + delay : 0, pause);
    consume(conn, unframed ? conn->used : head + length);
}

/* Reads what has come; false when the peer is gone or sends too much. */
static bool receive(Conn *conn) {
    if (conn->used + 1 >= conn->capacity) {
        if (conn->capacity >= 2 * MAX_REQUEST) return false;
        conn->capacity *= 2;
        if (!(conn->in = realloc(conn->in, conn->capacity))) die("realloc");
    }
    ssize_t got = recv(conn->fd, conn->in + conn->used, conn->capacity - conn->used - 1, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    conn->used += (size_t)got;
    conn->in[conn->used] = 0;
    if (got && !conn->script) parse(conn);
    return got > 0;
}

/* --- answers ---------------------------------------------------------------------------------------------- */

static void finish(Conn *conn) {
    leave_busy(conn);
    if (conn->closing) hang_up(conn);
    else if (conn->used) parse(conn);
}

/* Writes the next event, or what is left of it. */
static void advance(Conn *conn, uint64_t now) {
    const Event *event = &conn->script->events[conn->step];
    ssize_t sent = send(conn->fd, event->data + conn->offset, event->length - conn->offset, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) { hang_up(conn); return; }
    if (sent > 0) conn->offset += (size_t)sent;
    if (conn->offset < event->length) {
        conn->blocked = true;
        watch(conn, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
        return;
    }
    conn->offset = 0;
    conn->due_us = now + conn->interval_us;
    if (++conn->step == conn->script->count) finish(conn);
}

static void advance_all(uint64_t now) {
    for (int i = busy_count - 1; i >= 0; i--)      /* backwards: a finished one is replaced by the last */
        if (i < busy_count && !busy[i]->blocked && busy[i]->due_us <= now) advance(busy[i], now);
}

/* Microseconds until an answer is due; -1 when none is. */
static int64_t next_due(uint64_t now) {
    int64_t wait = -1;
    for (int i = 0; i < busy_count; i++) {
        if (busy[i]->blocked) continue;
        int64_t left = busy[i]->due_us > now ? (int64_t)(busy[i]->due_us - now) : 0;
        if (wait < 0 || left < wait) wait = left;
        if (!wait) break;
    }
    return wait;
}

static void accept_all(int listener) {
    for (int fd, one = 1; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        Conn *conn = calloc(1, sizeof *conn);
        if (!conn || !(conn->in = malloc(FIRST_BUFFER))) die("malloc");
        conn->fd = fd;
        conn->capacity = FIRST_BUFFER;
        if (fd >= MAX_BUSY) hang_up(conn);
        else watch(conn, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void handle(const struct epoll_event *event) {
    int *listener = event->data.ptr;
    if (listener >= listeners && listener < listeners + listener_count) { accept_all(*listener); return; }
    Conn *conn = event->data.ptr;
    if (event->events & EPOLLOUT) {
        conn->blocked = false;
        watch(conn, EPOLL_CTL_MOD, EPOLLIN);
    }
    if (event->events & ~(uint32_t)EPOLLOUT && !receive(conn)) hang_up(conn);
}

static void serve(void) {
    struct epoll_event events[BATCH];
    for (;;) {
        int64_t wait = next_due(now_us());
        struct timespec timeout = {wait / 1000000, wait % 1000000 * 1000};
        int count = epoll_pwait2(poller, events, BATCH, wait < 0 ? NULL : &timeout, NULL);
        for (int i = 0; i < count; i++) handle(&events[i]);
        advance_all(now_us());
    }
}

static void listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 8192) < 0) die("listen");
    getsockname(fd, (struct sockaddr *)&address, &size);
    printf(" %d", ntohs(address.sin_port));
    int *place = &listeners[listener_count++];
    *place = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = place};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

static long number(int argc, char **argv, const char *name, long otherwise) {
    for (int i = 1; i + 1 < argc; i += 2)
        if (!strcmp(argv[i], name)) return atol(argv[i + 1]);
    return otherwise;
}

int main(int argc, char **argv) {
    chunks = (int)number(argc, argv, "--chunks", 100);
    interval_us = (uint64_t)number(argc, argv, "--chunk-interval-us", 0);
    delay_us = (uint64_t)number(argc, argv, "--delay-ms", 0) * 1000;
    if (chunks < 2) { fprintf(stderr, "upstream: --chunks must be 2 or more\n"); return 2; }
    signal(SIGPIPE, SIG_IGN);
    prepare();
    if ((poller = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll_create1");
    long wanted = number(argc, argv, "--listeners", 1);
    if (wanted < 1 || wanted > MAX_LISTENERS) { fprintf(stderr, "upstream: --listeners is out of bounds\n"); return 2; }
    printf("port");
    listen_on((int)number(argc, argv, "--port", 0));
    for (long i = 1; i < wanted; i++) listen_on(0);
    printf("\n");
    fflush(stdout);
    serve();
}
