/* Frames of packed records (core/packed_records.py), one behind the other, check sums included.
 *
 * A record's text is how it begins, its own members, and its numbers: gathered from columns that
 * hold those of all points of a pass, and written as base64. */
#ifndef THROUGHLINE_RECORDS_H
#define THROUGHLINE_RECORDS_H

#include <stdint.h>
#include <string.h>

#include "checksums.h"

/* `shape`: records, bytes of their own members, points; of one point values, views, entries of the
   vector; of how a record begins that has a score, and of how one that has none, bytes and check sum. */
enum { C_RECORDS, C_OWN, C_POINTS, C_VALUES, C_VIEWS, C_WIDTH, C_SCORED, C_UNSCORED = C_SCORED + 2 };

#define FRAME_HEADER 8
#define MOST_NUMBERS 49152 /* as MOST_BYTES in stores/records/frames.py */

static const char NAMED[] = ",\"numbers\":\"", ENDED[] = "\"}";
static uint16_t base64_pairs[4096]; /* two characters for twelve bits */

static void prepare_base64(void) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (int n = 0; n < 4096; n++) {
        uint8_t pair[2] = {(uint8_t)digits[n >> 6], (uint8_t)digits[n & 63]};
        memcpy(&base64_pairs[n], pair, 2);
    }
}

static inline uint8_t *put(uint8_t *out, const void *from, int64_t size) {
    memcpy(out, from, (size_t)size);
    return out + size;
}

/* Headers begin with their high bytes. */
static inline uint8_t *put_u32(uint8_t *out, uint32_t value) {
    for (int k = 0; k < 4; k++) out[k] = (uint8_t)(value >> (24 - 8 * k));
    return out + 4;
}

/* Reads up to two bytes behind `size`. */
static uint8_t *put_base64(uint8_t *out, uint8_t *from, int64_t size) {
    int64_t at = 0;
    from[size] = from[size + 1] = 0;
    for (; at < size; at += 3, out += 4) {
        uint32_t bits = (uint32_t)from[at] << 16 | (uint32_t)from[at + 1] << 8 | from[at + 2];
        memcpy(out, &base64_pairs[bits >> 12], 2);
        memcpy(out + 2, &base64_pairs[bits & 4095], 2);
    }
    for (; at > size; at--) out[size - at] = '=';
    return out;
}

/* One number of each of `n` columns. */
static inline uint8_t *gather(uint8_t *out, const uint8_t *from, int64_t n, int64_t n_points) {
    for (int64_t k = 0; k < n; k++, from += 8 * n_points, out += 8) memcpy(out, from, 8);
    return out;
}

/* The numbers of one point, end to end; its score goes to `score`. */
static int64_t numbers_of(const int64_t *shape, const uint8_t *columns, int64_t point,
                          uint8_t *numbers, double *score) {
    int64_t n = shape[C_POINTS], n_wide = shape[C_VALUES] + 1 + 2 * shape[C_VIEWS];
    int64_t row = 4 * shape[C_WIDTH];
    const uint8_t *narrow = columns + 8 * n * n_wide, *vectors = narrow + n * shape[C_VIEWS];
    uint8_t *out = gather(numbers, columns + 8 * point, n_wide, n);
    for (int64_t k = 0; k < shape[C_VIEWS]; k++) *out++ = narrow[k * n + point];
    memcpy(score, numbers + 8 * shape[C_VALUES], 8);
    return put(out, vectors + row * point, row) - numbers;
}

/* `own` has a line a record: an object, of which the outer braces are left out. `columns` lie end to
   end, each with a number a point: values, score, ages, positions, then statuses of one byte; then
   vectors, point by point. `points` says whose record each is; without it each point has one. Returns
   the bytes that were written; -1 when there are not as many lines as records. */
EXPORT int64_t throughline_frames(const int64_t *shape, const uint8_t *beginnings,
                                  const uint8_t *own, const int64_t *points,
                                  const uint8_t *columns, uint8_t *out, int64_t *sizes) {
    uint8_t numbers[MOST_NUMBERS + 2], *written = out;
    const uint8_t *limit = own + shape[C_OWN];
    for (int64_t k = 0; k < shape[C_RECORDS]; k++) {
        double score;
        int64_t n_bytes = numbers_of(shape, columns, points ? points[k] : k, numbers, &score);
        const uint8_t *line = own, *end = memchr(line, '\n', (size_t)(limit - line));
        if (!end) return -1;
        int is_scored = score == score;
        const int64_t *begins = shape + (is_scored ? C_SCORED : C_UNSCORED);
        uint8_t *text = out + FRAME_HEADER;
        uint8_t *first = put(text, is_scored ? beginnings : beginnings + shape[C_SCORED], begins[0]);
        uint8_t *at = put(first, line + 1, end - line - 2);
        at = put(at, NAMED, sizeof NAMED - 1);
        at = put_base64(at, numbers, n_bytes);
        at = put(at, ENDED, sizeof ENDED - 1);
        uint32_t crc = crc32_behind((uint32_t)begins[1], first, at - first);
        put_u32(put_u32(out, (uint32_t)(at - text)), crc);
        sizes[k] = at - out;
        out = at;
        own = end + 1;
    }
    return own == limit ? out - written : -1;
}

#endif
