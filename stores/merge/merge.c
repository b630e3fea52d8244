/* The compiled merge: base and delta of many entities into feature values, in one call.
 *
 * It says what core/features/reading.py says, to the last bit, or it says nothing: whatever is
 * out of the ordinary (bytes that are not whole, a point that is too old, numbers that are not
 * finite, a tie) is answered by ASK, and the caller asks the reader in Python, which has the
 * answer or the error. Programs are told in core/features/merge_program.py. Nothing is
 * allocated, and nothing is global but tables that are filled once.
 */
#include "formulas.h"
#include "functions.h"

#define EXPORT __attribute__((visibility("default")))

#include "records.h"

enum { PRESENT, NOT_FOUND, FRESH, STALE, MISSING, ASK };

static const int64_t NEVER = INT64_MIN, UNKNOWN = -1;

EXPORT void throughline_prepare(double scale, double limit, const double *counts) {
    prepare_crc();
    prepare_base64();
    prepare_estimates(scale, limit, counts);
}

EXPORT uint32_t throughline_crc(const uint8_t *data, int64_t size) { return crc32_of(data, size); }

/* ---- Windows ---- */

static int windows(const int64_t *p, const Part *parts, int64_t at_ms, double *values) {
    const int64_t *grids = p + P_HEAD, *w = grids + p[P_GRIDS] * G_SIZE;
    for (int64_t n = 0; n < p[P_WINDOWS]; n++) {
        const int64_t *grid = grids + w[W_GRID] * G_SIZE;
        int64_t grid_ms = grid[G_GRID_MS];
        int64_t start_ms = floor_div(at_ms - w[W_WINDOW_MS], grid_ms) * grid_ms;
        Spans in = {0};
        in.first_cell = EVENT_BYTES + (p[P_HAS_TIES] ? TIE_BYTES : 0);
        for (int s = 0; s < 2; s++) {
            const Part *part = parts + s;
            if (!part->is_there) continue;
            const Block *block = &part->grids[w[W_GRID]];
            int64_t start = block->n ? bisect_tiles(block, floor_div(start_ms - block->origin_ms, grid_ms)) : 0;
            if (start < block->n) in.tiles[in.n_tiles++] = (Span){part, block, start, block->n};
            block = &part->rows;
            start = bisect(block->at, block->n, start_ms, 0);
            int64_t end = bisect(block->at, block->n, at_ms, 0);
            if (start < end) in.rows[in.n_rows++] = (Span){part, block, start, end};
        }
        const int64_t *f = w + W_HEAD;
        for (int64_t k = 0; k < w[W_FEATURES]; k++, f += F_SIZE)
            if (feature(&in, f, grid, values + f[F_OUT])) return 1;
        w = f;
    }
    return 0;
}

/* ---- Attributes ---- */

/* Place of the row in force at t, or -1. */
static int64_t in_force(const Part *part, int64_t at_ms) {
    int64_t k = bisect(part->rows.at, part->rows.n, at_ms, 1);
    while (k-- > 0)
        if (counts_in(part, &part->rows, EVENT_BYTES, k)) return k;
    return -1;
}

static int attributes(const int64_t *p, const Part *parts, int64_t at_ms, double *values,
                      int64_t *in_force_ms) {
    int64_t best = NEVER, place = -1;
    const Part *holder = 0;
    for (int s = 0; s < 2; s++) {
        int64_t k = parts[s].is_there ? in_force(&parts[s], at_ms) : -1;
        if (k < 0) continue;
        int64_t event_ms = i64(parts[s].rows.at + 8 * k);
        if (holder && event_ms == best) return ASK;
        if (!holder || event_ms > best) { best = event_ms; place = k; holder = &parts[s]; }
    }
    const int64_t *f = p + P_HEAD;
    for (int64_t k = 0; k < p[P_WIDTH]; k++) values[k] = NIL;
    *in_force_ms = best;
    if (!holder) return MISSING;
    int64_t age_ms;
    if (__builtin_sub_overflow(at_ms, best, &age_ms)) return ASK;
    if (age_ms > p[P_TTL]) return STALE;
    Spans in = {.first_cell = EVENT_BYTES + (p[P_HAS_TIES] ? TIE_BYTES : 0)};
    Span span = {holder, &holder->rows, place, place + 1};
    for (int64_t k = 0; k < p[P_WIDTH]; k++, f += F_SIZE) {
        if (!valid(&in, &span, f[F_CELL])[place]) continue;
        const uint8_t *cell = cells(&in, &span, f[F_CELL]) + 8 * place;
        values[f[F_OUT]] = f[F_IS_FLOAT] ? f64(cell) : (double)i64(cell);
        if (!__builtin_isfinite(values[f[F_OUT]])) return ASK;
    }
    return FRESH;
}

/* ---- A pass: the views of a plan for all its points, as columns ---- */

enum { V_PROGRAM, V_GROUP, V_OFFSET, V_ROW, V_WIDTH, V_SIZE };
enum { M_FIRST_MS, M_AVAILABLE_MS, M_POSITION, M_SIZE };

/* As stores/view_merging.py gives it: numbers of eight bytes, and behind them those of `Given`. */
typedef struct {
    int64_t n_views, n_groups, n_points, n_values;
    const int64_t *programs;
    const int64_t *views;   /* V_SIZE a view; of a program -1 where there is none */
    double *room;           /* for the values of the widest view */
    int64_t *places;        /* room: where each value begins */
    int64_t *leaders;       /* room: of a value the last point whose entity's first it is */
    double *numbers;        /* out: the values, a row a feature of the views; NaN for null */
    uint8_t *statuses;      /* out, a row a view, as all that follow */
    int64_t *ages_ms, *seen, *source_ages_ms, *asked;
} Pass;

_Static_assert(sizeof(Pass) == 15 * 8, "Python gives a pass as numbers of eight bytes");

typedef struct {
    const int64_t *marks;   /* M_SIZE a view; NEVER where nothing is known, of positions -1 */
    const int64_t *firsts;  /* a row a group: of each point the place of its entity's first value */
    const int64_t *at_ms;   /* of each point */
    const int64_t *sizes;   /* of each value, -1 where there is none */
    const uint8_t *data;    /* the values end to end */
} Given;

static int64_t seen_position(const Part *parts) {
    int64_t epoch = -1, seen = -1;
    for (int s = 0; s < 2; s++)
        if (parts[s].is_there && parts[s].epoch > epoch) epoch = parts[s].epoch;
    if (epoch > -1) seen = (epoch << 32) + 0xFFFFFFFFll;
    const Part *delta = &parts[1];
    if (delta->is_there && delta->last_epoch > delta->covered) {
        int64_t position = (delta->last_epoch << 32) + delta->last_offset;
        if (position > seen) seen = position;
    }
    return seen;
}

static int read_one(const Pass *pass, const Given *given, const int64_t *view, int64_t first_ms,
                    int64_t place, int64_t at_ms, int64_t *in_force_ms, int64_t *seen) {
    Part parts[2];
    const int64_t *p = pass->programs + view[V_PROGRAM];
    int64_t horizon_ms = first_ms;
    if (view[V_PROGRAM] < 0) return ASK;
    for (int s = 0; s < 2; s++) {
        int64_t blob = place + view[V_OFFSET] + 1 - s, size = given->sizes[blob]; /* delta first */
        parts[s].is_there = 0;
        if (size < 0) continue;
        if (open_part(p, given->data + pass->places[blob], size, s, &parts[s])) return ASK;
        if (parts[s].epoch < -1 || parts[s].epoch >= (1ll << 31)) return ASK;
        if (parts[s].horizon_ms > horizon_ms) horizon_ms = parts[s].horizon_ms;
    }
    if (at_ms < horizon_ms) return ASK;
    if (parts[0].is_there && parts[1].is_there && parts[1].first_epoch <= parts[0].epoch)
        parts[1].covered = parts[0].epoch;
    *seen = seen_position(parts);
    if (p[P_IS_ATTRIBUTES]) return attributes(p, parts, at_ms, pass->room, in_force_ms);
    if (windows(p, parts, at_ms, pass->room)) return ASK;
    return parts[0].is_there || parts[1].is_there ? PRESENT : NOT_FOUND;
}

/* How long before t something was; not less than nothing, UNKNOWN if it never was. */
static int64_t age_of(int64_t at_ms, int64_t then_ms) {
    int64_t age_ms;
    if (then_ms == NEVER) return UNKNOWN;
    if (at_ms <= then_ms) return 0;
    return __builtin_sub_overflow(at_ms, then_ms, &age_ms) ? INT64_MAX : age_ms;
}

/* One view of one point, into its cell; the number of answers that are left to Python. */
static int64_t read_cell(const Pass *pass, const Given *given, int64_t v, int64_t point) {
    int64_t n = pass->n_points, cell = v * n + point, in_force_ms = NEVER, seen = -1;
    const int64_t *view = pass->views + v * V_SIZE, *mark = given->marks + v * M_SIZE;
    int64_t place = given->firsts[view[V_GROUP] * n + point], at_ms = given->at_ms[point];
    int status = read_one(pass, given, view, mark[M_FIRST_MS], place, at_ms, &in_force_ms, &seen);
    double *numbers = pass->numbers + view[V_ROW] * n + point;
    for (int64_t k = 0; k < view[V_WIDTH]; k++) numbers[k * n] = pass->room[k];
    int is_attributes = status == FRESH || status == STALE || status == MISSING;
    int64_t source_age_ms = age_of(at_ms, mark[M_AVAILABLE_MS]);
    pass->statuses[cell] = (uint8_t)status;
    pass->ages_ms[cell] = is_attributes ? age_of(at_ms, in_force_ms) : source_age_ms;
    pass->seen[cell] = seen > mark[M_POSITION] ? seen : mark[M_POSITION];
    pass->source_ages_ms[cell] = source_age_ms;
    pass->asked[cell] = point;
    return status == ASK;
}

/* The same of a point that shares entity and instant with an earlier one. */
static int64_t copy_cell(const Pass *pass, int64_t v, int64_t point, int64_t leader) {
    int64_t n = pass->n_points, cell = v * n + point, from = v * n + leader;
    const int64_t *view = pass->views + v * V_SIZE;
    double *numbers = pass->numbers + view[V_ROW] * n;
    for (int64_t k = 0; k < view[V_WIDTH]; k++) numbers[k * n + point] = numbers[k * n + leader];
    pass->statuses[cell] = pass->statuses[from];
    pass->ages_ms[cell] = pass->ages_ms[from];
    pass->seen[cell] = pass->seen[from];
    pass->source_ages_ms[cell] = pass->source_ages_ms[from];
    pass->asked[cell] = leader;
    return pass->statuses[cell] == ASK;
}

/* Answer what a pass asks; how many answers are left to Python: their status is ASK. */
EXPORT int64_t throughline_merge(const Pass *pass, const uint8_t *data) {
    int64_t n = pass->n_points, place = 0, n_left = 0;
    Given given = {.marks = (const int64_t *)(pass + 1), .data = data};
    given.firsts = given.marks + M_SIZE * pass->n_views;
    given.at_ms = given.firsts + pass->n_groups * n;
    given.sizes = given.at_ms + n;
    for (int64_t k = 0; k < pass->n_values; k++) {
        pass->places[k] = place;
        if (given.sizes[k] > 0) place += given.sizes[k];
    }
    for (int64_t v = 0; v < pass->n_views; v++) {
        const int64_t *firsts = given.firsts + pass->views[v * V_SIZE + V_GROUP] * n;
        for (int64_t point = 0; point < n; point++) pass->leaders[firsts[point]] = -1;
        for (int64_t point = 0; point < n; point++) {
            int64_t leader = pass->leaders[firsts[point]];
            if (leader >= 0 && given.at_ms[leader] == given.at_ms[point]) {
                n_left += copy_cell(pass, v, point, leader);
            } else {
                n_left += read_cell(pass, &given, v, point);
                pass->leaders[firsts[point]] = point;
            }
        }
    }
    return n_left;
}

/* Follow formulas for every point of a table, which has a row a name; then put its vectors down:
   one a point, of the rows named by `vector`. */
EXPORT void throughline_compute(const int64_t *steps, const double *constants, int64_t n_steps,
                                double *table, int64_t n_points, const int64_t *vector,
                                int64_t width, float *vectors) {
    for (int64_t point = 0; point < n_points; point++) {
        double *column = table + point;
        follow(steps, n_steps, constants, column, n_points);
        for (int64_t k = 0; k < width; k++)
            *vectors++ = nearest(column[vector[k] * n_points]);
    }
}
