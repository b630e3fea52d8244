/* Open-loop load over HTTP/1.1, cheap enough to ask for more than a service can answer.

   open_loop PORT REQUESTS RATE SECONDS CONNECTIONS SEED OUT WOKEN

   Requests leave at instants drawn beforehand (a Poisson process), whether or not answers came.
   Each takes the connection that has been free for longest; where none is free it waits, and that
   counts. REQUESTS holds whole requests, each behind its length (4 bytes, little end first); they
   are sent in turn. OUT gets one `result` a request, in the order in which they were due.

   Where WOKEN is 1 each answer is taken as it comes. To be woken costs whoever sends it, so a crowd
   that comes for the rate and not for the microseconds looks for answers instead (WOKEN is 0): when
   it sends, and twice a millisecond. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { MOST_ANSWER = 1 << 16, MOST_EVENTS = 256 };
static const double PATIENCE_S = 5.0, LOOK_S = 0.0005;
static const double LEAD_S = 1.0; /* in which the service takes all connections */

typedef struct {
    double due_s;      /* when it was meant to leave, from the start of the load */
    double left_ms;    /* how much later it left */
    double ms;         /* how long after it was due its answer was whole */
    int32_t status;    /* of HTTP; 0 unanswered, -1 closed, -2 not to be read */
    int32_t has_retry; /* whether a Retry-After came with it */
} result;

typedef struct {
    const char *bytes;
    uint32_t length;
} request;

typedef struct {
    int fd;
    long carries; /* place of the request that is out, or -1 */
    size_t held;
    char answer[MOST_ANSWER];
} connection;

static struct sockaddr_in address;
static connection *connections;
static request *requests;
static result *results;
static long n_requests, n_due, n_settled, *free_ring, free_head, free_count, n_connections;
static int polling, is_woken;
static double start_s;

static void fail(const char *what)
{
    fprintf(stderr, "open_loop: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void is_free(long place)
{
    free_ring[(free_head + free_count++) % n_connections] = place;
}

static void open_connection(long place)
{
    connection *each = &connections[place];
    int yes = 1;
    each->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (each->fd < 0 || connect(each->fd, (struct sockaddr *)&address, sizeof address))
        fail("cannot connect");
    setsockopt(each->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    fcntl(each->fd, F_SETFL, O_NONBLOCK);
    each->carries = -1;
    each->held = 0;
    struct epoll_event wanted = {.events = EPOLLIN, .data.u64 = (uint64_t)place};
    if (epoll_ctl(polling, EPOLL_CTL_ADD, each->fd, &wanted))
        fail("cannot be polled");
}

static void settle(long place, int status, int has_retry)
{
    connection *each = &connections[place];
    if (each->carries < 0)
        return;
    result *of = &results[each->carries];
    of->ms = (now_s() - start_s - of->due_s) * 1e3;
    of->status = status;
    of->has_retry = has_retry;
    each->carries = -1;
    each->held = 0;
    n_settled++;
}

static void begin_again(long place, int status)
{
    int was_idle = connections[place].carries < 0;
    settle(place, status, 0);
    close(connections[place].fd);
    open_connection(place);
    if (!was_idle)
        is_free(place);
}

static void ask(long number)
{
    long place = free_ring[free_head];
    free_head = (free_head + 1) % n_connections;
    free_count--;
    connection *each = &connections[place];
    const request *given = &requests[number % n_requests];
    each->carries = number;
    results[number].left_ms = (now_s() - start_s - results[number].due_s) * 1e3;
    if (send(each->fd, given->bytes, given->length, MSG_NOSIGNAL) != (ssize_t)given->length)
        begin_again(place, -1);
}

/* Take what came; the answer is whole when its head and as many bytes as that says are there. */
static void take(long place)
{
    connection *each = &connections[place];
    ssize_t got = recv(each->fd, each->answer + each->held, MOST_ANSWER - 1 - each->held, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0 || each->carries < 0) {
        begin_again(place, -1);
        return;
    }
    each->held += (size_t)got;
    each->answer[each->held] = 0;
    char *end = strstr(each->answer, "\r\n\r\n");
    if (end) {
        *end = 0;
        char *length = strcasestr(each->answer, "\r\ncontent-length:");
        int has_retry = strcasestr(each->answer, "\r\nretry-after:") != NULL;
        *end = '\r';
        size_t whole = (size_t)(end - each->answer) + 4;
        if (!length || strncmp(each->answer, "HTTP/1.1 ", 9)) {
            begin_again(place, -2);
            return;
        }
        whole += strtoul(length + 17, NULL, 10);
        if (each->held >= whole) {
            settle(place, atoi(each->answer + 9), has_retry);
            is_free(place);
            return;
        }
    }
    if (each->held >= MOST_ANSWER - 1)
        begin_again(place, -2);
}

static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        fail(path);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*size + 1);
    if (!bytes || fread(bytes, 1, *size, file) != *size)
        fail(path);
    fclose(file);
    return bytes;
}

static void read_requests(const char *path)
{
    size_t size, at = 0;
    char *bytes = read_file(path, &size);
    requests = malloc((size / 4 + 1) * sizeof *requests);
    while (at + 4 <= size) {
        uint32_t length;
        memcpy(&length, bytes + at, 4);
        requests[n_requests++] = (request){bytes + at + 4, length};
        at += 4 + length;
    }
}

static void draw(double rate, double seconds, long seed)
{
    n_due = lround(rate * seconds);
    results = calloc((size_t)n_due + 1, sizeof *results);
    double at_s = 0;
    srand48(seed);
    for (long number = 0; number < n_due; number++) {
        at_s -= log(1 - drand48()) / rate;
        results[number].due_s = at_s;
    }
}

static void run(void)
{
    struct epoll_event events[MOST_EVENTS];
    long due = 0, asked = 0; /* requests before `due` are due, those before `asked` have left */
    double last_s = n_due ? results[n_due - 1].due_s : 0;
    start_s = now_s() + LEAD_S;
    while (n_settled < n_due) {
        double at_s = now_s() - start_s;
        if (at_s > last_s + PATIENCE_S)
            return;
        while (due < n_due && results[due].due_s <= at_s)
            due++;
        while (asked < due && free_count)
            ask(asked++);
        double rest_s = due < n_due ? results[due].due_s - (now_s() - start_s) : LOOK_S;
        struct timespec rest = {0, (long)(fmax(0, fmin(rest_s, LOOK_S)) * 1e9)}, none = {0};
        if (!is_woken)
            nanosleep(&rest, NULL);
        int n = epoll_pwait2(polling, events, MOST_EVENTS, is_woken ? &rest : &none, NULL);
        if (n < 0 && errno != EINTR)
            fail("cannot be waited for");
        for (int i = 0; i < n; i++)
            take((long)events[i].data.u64);
    }
}

int main(int count, char **given)
{
    if (count != 9) {
        fprintf(stderr, "open_loop PORT REQUESTS RATE SECONDS CONNECTIONS SEED OUT WOKEN\n");
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){1}); /* in time where that is allowed */
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)atoi(given[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    read_requests(given[2]);
    draw(atof(given[3]), atof(given[4]), atol(given[6]));
    n_connections = atol(given[5]);
    connections = calloc((size_t)n_connections, sizeof *connections);
    free_ring = calloc((size_t)n_connections, sizeof *free_ring);
    polling = epoll_create1(0);
    is_woken = atoi(given[8]);
    if (!n_requests || n_connections < 1 || !connections || !free_ring || !results || polling < 0)
        fail("nothing to do, or no memory for it");
    for (long place = 0; place < n_connections; place++) {
        open_connection(place);
        is_free(place);
    }
    run();
    FILE *out = fopen(given[7], "wb");
    if (!out || fwrite(results, sizeof *results, (size_t)n_due, out) != (size_t)n_due)
        fail(given[7]);
    return fclose(out) ? 1 : 0;
}
