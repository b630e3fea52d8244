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

static const int64_t NEVER = INT64_MIN;

EXPORT void throughline_prepare(double scale, double limit, const double *counts) {
    prepare_crc();
    prepare_base64();
    prepare_estimates(scale, limit, counts);
}

EXPORT uint32_t throughline_crc(const uint8_t *data, int64_t size) { return crc32_of(data, size); }

/* ---- Windows ---- */

static int64_t newest_before(const Part *parts, int64_t at_ms) {
    int64_t newest = NEVER;
    for (int s = 0; s < 2; s++) {
        const Part *part = parts + s;
        if (!part->is_there) continue;
        if (part->newest_ms > newest) newest = part->newest_ms;
        for (int64_t k = bisect(part->rows.at, part->rows.n, at_ms, 0); k-- > 0;)
            if (counts_in(part, &part->rows, EVENT_BYTES, k)) {
                int64_t event_ms = i64(part->rows.at + 8 * k);
                if (event_ms > newest) newest = event_ms;
                break;
            }
    }
    return newest;
}

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
                      int64_t *newest_ms) {
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
    *newest_ms = best;
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

/* ---- Jobs: one entity of one view at one instant ---- */

enum { J_PROGRAM, J_BASE, J_DELTA, J_AT, J_FIRST, J_OUT, J_SIZE };
enum { R_STATUS, R_NEWEST, R_SEEN, R_SIZE };

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

static int read_one(const int64_t *p, const int64_t *job, const uint8_t *data,
                    const int64_t *places, const int64_t *sizes, double *values,
                    int64_t *newest_ms, int64_t *seen) {
    Part parts[2];
    int64_t at_ms = job[J_AT], horizon_ms = job[J_FIRST];
    for (int s = 0; s < 2; s++) {
        int64_t blob = job[J_BASE + s];
        parts[s].is_there = 0;
        if (sizes[blob] < 0) continue;
        if (open_part(p, data + places[blob], sizes[blob], s, &parts[s])) return ASK;
        if (parts[s].epoch < -1 || parts[s].epoch >= (1ll << 31)) return ASK;
        if (parts[s].horizon_ms > horizon_ms) horizon_ms = parts[s].horizon_ms;
    }
    if (at_ms < horizon_ms) return ASK;
    if (parts[0].is_there && parts[1].is_there && parts[1].first_epoch <= parts[0].epoch)
        parts[1].covered = parts[0].epoch;
    *seen = seen_position(parts);
    if (p[P_IS_ATTRIBUTES]) return attributes(p, parts, at_ms, values, newest_ms);
    *newest_ms = newest_before(parts, at_ms);
    if (windows(p, parts, at_ms, values)) return ASK;
    return parts[0].is_there || parts[1].is_there ? PRESENT : NOT_FOUND;
}

/* Answer every job; a view without a program is Python's. The values stand end to end in `data`, in
   the order of `sizes`, which is -1 where there is none; where each begins goes into `places`. */
EXPORT void throughline_merge(const int64_t *programs, const int64_t *jobs, int64_t n_jobs,
                              const uint8_t *data, const int64_t *sizes, int64_t n_values,
                              int64_t *places, double *values, int64_t *results) {
    int64_t place = 0;
    for (int64_t n = 0; n < n_values; n++) {
        places[n] = place;
        if (sizes[n] > 0) place += sizes[n];
    }
    for (int64_t n = 0; n < n_jobs; n++, jobs += J_SIZE, results += R_SIZE)
        results[R_STATUS] = jobs[J_PROGRAM] < 0
                                ? ASK
                                : read_one(programs + jobs[J_PROGRAM], jobs, data, places, sizes,
                                           values + jobs[J_OUT], &results[R_NEWEST],
                                           &results[R_SEEN]);
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
