/* Window functions over spans of tiles and of raw rows: what core/features/reducing.py says. */
#ifndef THROUGHLINE_FUNCTIONS_H
#define THROUGHLINE_FUNCTIONS_H

#include "parts.h"

#define MAX_PARTIALS 48
#define REGISTERS 256
#define RANKS 58

enum { COUNT, SUM, MEAN, MIN, MAX, DISTINCT };

static const double NIL = __builtin_nan("");

static double linear_counts[REGISTERS + 1];
static double raw_scale, linear_limit;

static void prepare_estimates(double scale, double limit, const double *counts) {
    raw_scale = scale;
    linear_limit = limit;
    memcpy(linear_counts, counts, sizeof linear_counts);
}

/* ---- Exact sums: as math.fsum, which rounds the true sum once ---- */

typedef struct { int n; double partials[MAX_PARTIALS]; } Exact;

/* 0, or 1 when it has become too wide, or is not finite. */
static int exact_add(Exact *sum, double x) {
    int kept = 0;
    for (int j = 0; j < sum->n; j++) {
        double y = sum->partials[j];
        if (__builtin_fabs(x) < __builtin_fabs(y)) { double z = x; x = y; y = z; }
        double high = x + y, back = high - x, low = y - back;
        if (low != 0.0) sum->partials[kept++] = low;
        x = high;
    }
    sum->n = kept;
    if (x != 0.0) {
        if (!__builtin_isfinite(x) || kept == MAX_PARTIALS) return 1;
        sum->partials[sum->n++] = x;
    }
    return 0;
}

static double exact_value(const Exact *sum) {
    int n = sum->n;
    if (n == 0) return 0.0;
    double high = sum->partials[--n], low = 0.0;
    while (n > 0) {
        double x = high, y = sum->partials[--n];
        high = x + y;
        low = y - (high - x);
        if (low != 0.0) break;
    }
    /* Half-way cases are decided by what lies below the half. */
    if (n > 0 && ((low < 0.0 && sum->partials[n - 1] < 0.0) ||
                  (low > 0.0 && sum->partials[n - 1] > 0.0))) {
        double y = low * 2.0, x = high + y;
        if (y == x - high) high = x;
    }
    return high;
}

/* ---- Spans ---- */

typedef struct { const Part *part; const Block *block; int64_t start, end; } Span;

typedef struct { int n_tiles, n_rows; Span tiles[2], rows[2]; int64_t first_cell; } Spans;

static inline const uint8_t *field(const Span *span, int64_t before) {
    return span->block->at + (before + shift(span->part)) * span->block->n;
}

static inline const uint8_t *valid(const Spans *in, const Span *span, int64_t cell) {
    return field(span, in->first_cell + CELL_BYTES * cell);
}

static inline const uint8_t *cells(const Spans *in, const Span *span, int64_t cell) {
    return field(span, in->first_cell + CELL_BYTES * cell + 1);
}

#define TILES(in, span, k) \
    for (const Span *span = (in)->tiles; span < (in)->tiles + (in)->n_tiles; span++) \
        for (int64_t k = span->start; k < span->end; k++) \
            if (counts_in(span->part, span->block, 4, k))

#define ROWS(in, span, k) \
    for (const Span *span = (in)->rows; span < (in)->rows + (in)->n_rows; span++) \
        for (int64_t k = span->start; k < span->end; k++) \
            if (counts_in(span->part, span->block, EVENT_BYTES, k))

static int64_t count_of(const Spans *in, const int64_t *f) {
    int64_t total = 0;
    TILES(in, span, k) total += u32(field(span, f[F_COUNT]) + 4 * k);
    ROWS(in, span, k) total += valid(in, span, f[F_CELL])[k];
    return total;
}

static int float_sum(const Spans *in, const int64_t *f, double *out) {
    Exact sum = {0};
    int is_odd = 0;
    TILES(in, span, k) {
        is_odd |= exact_add(&sum, f64(field(span, f[F_FIELD]) + 8 * k));
        is_odd |= exact_add(&sum, f64(field(span, f[F_FIELD] + 8) + 8 * k));
        if (is_odd) return 1;
    }
    ROWS(in, span, k) {
        if (valid(in, span, f[F_CELL])[k] && exact_add(&sum, f64(cells(in, span, f[F_CELL]) + 8 * k)))
            return 1;
    }
    *out = exact_value(&sum);
    return 0;
}

static double whole_sum(const Spans *in, const int64_t *f) {
    __int128 total = 0;
    TILES(in, span, k) total += i64(field(span, f[F_FIELD]) + 8 * k);
    ROWS(in, span, k) total += i64(cells(in, span, f[F_CELL]) + 8 * k); /* 0 where none is */
    return (double)total;
}

typedef struct { int is_least, is_any; double best; } FloatBest;

/* The first of equal ones stays, as Python's min and max have it (there are two zeros). */
static inline int float_meet(FloatBest *met, double v) {
    if (!met->is_any || (met->is_least ? v < met->best : v > met->best)) met->best = v;
    met->is_any = 1;
    return v != v;
}

static int float_extreme(const Spans *in, const int64_t *f, double *out) {
    FloatBest met = {f[F_FUNCTION] == MIN, 0, NIL};
    int is_odd = 0;
    TILES(in, span, k) is_odd |= float_meet(&met, f64(field(span, f[F_FIELD]) + 8 * k));
    ROWS(in, span, k) {
        if (valid(in, span, f[F_CELL])[k])
            is_odd |= float_meet(&met, f64(cells(in, span, f[F_CELL]) + 8 * k));
    }
    *out = met.best;
    return is_odd || !__builtin_isfinite(met.best);
}

static inline int64_t better(int is_least, int64_t best, int64_t v) {
    return (is_least ? v < best : v > best) ? v : best;
}

static double whole_extreme(const Spans *in, const int64_t *f) {
    int is_least = f[F_FUNCTION] == MIN;
    int64_t best = is_least ? INT64_MAX : INT64_MIN;
    TILES(in, span, k) best = better(is_least, best, i64(field(span, f[F_FIELD]) + 8 * k));
    ROWS(in, span, k) {
        if (valid(in, span, f[F_CELL])[k])
            best = better(is_least, best, i64(cells(in, span, f[F_CELL]) + 8 * k));
    }
    return (double)best;
}

static uint64_t hash_of(uint64_t bits, const int64_t *f) {
    if (f[F_IS_TEXT]) return bits;
    if (f[F_IS_FLOAT]) { /* -0.0 counts as 0.0 */
        double value;
        memcpy(&value, &bits, 8);
        value += 0.0;
        memcpy(&bits, &value, 8);
    }
    bits += 0x9E3779B97F4A7C15u;
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9u;
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBu;
    return bits ^ (bits >> 31);
}

/* Estimate of core/features/hll.py: one order of adding, so one rounding. */
static double estimate_of(const uint8_t *registers) {
    int64_t counts[RANKS] = {0};
    for (int k = 0; k < REGISTERS; k++) counts[registers[k]]++;
    double harmonic = 0.0, share = 0x1p-57;
    for (int rank = RANKS - 1; rank > 0; rank--, share *= 2.0)
        if (counts[rank]) harmonic += (double)counts[rank] * share;
    double raw = raw_scale / (harmonic + (double)counts[0]);
    if (raw <= linear_limit && counts[0] > 0) raw = linear_counts[counts[0]];
    return __builtin_nearbyint(raw);
}

static int distinct(const Spans *in, const int64_t *f, const int64_t *grid, double *out) {
    uint8_t registers[REGISTERS] = {0};
    for (const Span *span = in->tiles; span < in->tiles + in->n_tiles; span++) {
        const uint8_t *at = span->block->heap;
        for (int64_t h = 0; h < f[F_HEAP]; h++) {
            const uint8_t *others = field(span, grid[G_LENGTHS + h]);
            for (int64_t k = 0; k < span->block->n; k++) at += u16(others + 2 * k);
        }
        const uint8_t *lengths = field(span, f[F_FIELD]);
        for (int64_t k = 0; k < span->block->n; k++) {
            const uint8_t *next = at + u16(lengths + 2 * k);
            if (k >= span->start && counts_in(span->part, span->block, 4, k)) {
                if ((next - at) % 2) return 1;
                for (; at < next; at += 2) {
                    if (at[1] == 0 || at[1] >= RANKS) return 1;
                    if (at[1] > registers[at[0]]) registers[at[0]] = at[1];
                }
            }
            at = next;
        }
    }
    ROWS(in, span, k) {
        if (!valid(in, span, f[F_CELL])[k]) continue;
        uint64_t hashed = hash_of((uint64_t)i64(cells(in, span, f[F_CELL]) + 8 * k), f);
        uint64_t rest = hashed & ((1ull << 56) - 1);
        uint8_t rank = rest ? (uint8_t)(__builtin_clzll(rest) - 8 + 1) : 57;
        if (rank > registers[hashed >> 56]) registers[hashed >> 56] = rank;
    }
    *out = estimate_of(registers);
    return 0;
}

/* 0 with a value (NaN is null), or 1. */
static int feature(const Spans *in, const int64_t *f, const int64_t *grid, double *out) {
    int64_t count = 0;
    if (f[F_FUNCTION] == DISTINCT) return distinct(in, f, grid, out);
    if (f[F_FUNCTION] != SUM) count = count_of(in, f);
    if (f[F_FUNCTION] == COUNT) { *out = (double)count; return 0; }
    if (f[F_FUNCTION] == SUM || f[F_FUNCTION] == MEAN) {
        double total;
        if (!f[F_IS_FLOAT]) total = whole_sum(in, f);
        else if (float_sum(in, f, &total)) return 1;
        if (f[F_FUNCTION] == MEAN) total = count ? total / (double)count : NIL;
        *out = total;
        return 0;
    }
    if (!count) { *out = NIL; return 0; }
    if (f[F_IS_FLOAT]) return float_extreme(in, f, out);
    *out = whole_extreme(in, f);
    return 0;
}

#endif
