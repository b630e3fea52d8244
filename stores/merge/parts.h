/* One value taken apart: the layout of core/features/blob.py, every place checked against its end. */
#ifndef THROUGHLINE_PARTS_H
#define THROUGHLINE_PARTS_H

#include <stdint.h>
#include <string.h>

#include "checksums.h"

#define MAX_GRIDS 16

/* ---- Numbers in bytes that are not aligned ---- */

static inline uint16_t u16(const uint8_t *at) { uint16_t v; memcpy(&v, at, 2); return v; }
static inline uint32_t u32(const uint8_t *at) { uint32_t v; memcpy(&v, at, 4); return v; }
static inline int64_t i64(const uint8_t *at) { int64_t v; memcpy(&v, at, 8); return v; }
static inline double f64(const uint8_t *at) { double v; memcpy(&v, at, 8); return v; }

static inline int64_t floor_div(int64_t a, int64_t b) {
    int64_t q = a / b;
    return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}

typedef struct {
    const uint8_t *at;   /* first array */
    const uint8_t *heap; /* of tiles: heaps of the grid, end to end; of rows: ids */
    int64_t n, origin_ms;
} Block;

typedef struct {
    int is_there, is_delta;
    int64_t covered; /* epochs up to it are in base and left out of delta; -1 for none */
    int64_t epoch, horizon_ms, first_epoch, last_epoch, last_offset;
    Block grids[MAX_GRIDS], rows;
} Part;

/* ---- Programs: flat arrays of int64, see core/features/merge_program.py ---- */

enum { P_IS_ATTRIBUTES, P_GRIDS, P_COLUMNS, P_HAS_TIES, P_WINDOWS, P_TTL, P_DIGEST, P_WIDTH, P_HEAD };
enum { G_GRID_MS, G_BYTES, G_HEAPS, G_LENGTHS, G_SIZE = G_LENGTHS + 8 };
enum { W_GRID, W_WINDOW_MS, W_FEATURES, W_HEAD };
enum { F_FUNCTION, F_IS_FLOAT, F_IS_TEXT, F_CELL, F_COUNT, F_FIELD, F_HEAP, F_OUT, F_SIZE };

#define FIXED_HEADER 44
#define EVENT_BYTES 8
#define TIE_BYTES 10
#define CELL_BYTES 9

/* Arrays of delta stand 4 bytes a member later: epochs come second in each block. */
static inline int64_t shift(const Part *part) { return part->is_delta ? 4 : 0; }

static inline int counts_in(const Part *part, const Block *block, int64_t before, int64_t k) {
    return part->covered < 0 || (int64_t)u32(block->at + before * block->n + 4 * k) > part->covered;
}

/* 0, or 1 when the bytes are not what the program says. */
static int open_part(const int64_t *p, const uint8_t *data, int64_t size, int is_delta, Part *part) {
    part->is_there = 1;
    part->is_delta = is_delta;
    part->covered = -1;
    int64_t n_grids = p[P_GRIDS], at = FIXED_HEADER + 12 * n_grids, end = size - 4;
    if (end < at) return 1;
    if (data[0] != 't' || data[1] != 'l' || data[2] != is_delta || data[3] != 1) return 1;
    if (i64(data + 4) != p[P_DIGEST] || crc32_of(data, end) != u32(data + end)) return 1;
    part->epoch = i64(data + 12);
    part->horizon_ms = i64(data + 20);
    int64_t n_epochs = u32(data + 36), n_rows = u32(data + 40);
    part->first_epoch = part->last_epoch = part->last_offset = -1;
    if (n_epochs) {
        if (at + 8 * n_epochs > end) return 1;
        part->first_epoch = u32(data + at);
        at += 8 * n_epochs;
        part->last_epoch = u32(data + at - 8);
        part->last_offset = u32(data + at - 4);
    }
    const int64_t *grid = p + P_HEAD;
    for (int64_t g = 0; g < n_grids; g++, grid += G_SIZE) {
        Block *block = &part->grids[g];
        block->n = u32(data + FIXED_HEADER + 12 * g);
        block->origin_ms = i64(data + FIXED_HEADER + 12 * g + 4);
        block->at = data + at;
        at += block->n * (grid[G_BYTES] + shift(part));
        if (at > end) return 1;
        block->heap = data + at;
        for (int64_t h = 0; h < grid[G_HEAPS]; h++) {
            const uint8_t *lengths = block->at + (grid[G_LENGTHS + h] + shift(part)) * block->n;
            for (int64_t k = 0; k < block->n; k++) at += u16(lengths + 2 * k);
        }
        if (at > end) return 1;
    }
    Block *rows = &part->rows;
    int64_t row_bytes = EVENT_BYTES + CELL_BYTES * p[P_COLUMNS] + (p[P_HAS_TIES] ? TIE_BYTES : 0);
    rows->n = n_rows;
    rows->origin_ms = 0;
    rows->at = data + at;
    at += n_rows * (row_bytes + shift(part));
    if (at > end) return 1;
    rows->heap = data + at;
    if (p[P_HAS_TIES]) {
        const uint8_t *lengths = rows->at + (EVENT_BYTES + 8 + shift(part)) * n_rows;
        for (int64_t k = 0; k < n_rows; k++) at += u16(lengths + 2 * k);
    }
    return at != end;
}

/* First place of a sorted array of int64 that is not below (or, if `is_right`, is above) a value. */
static int64_t bisect(const uint8_t *array, int64_t n, int64_t value, int is_right) {
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t middle = (low + high) / 2, found = i64(array + 8 * middle);
        if (found < value || (is_right && found == value)) low = middle + 1;
        else high = middle;
    }
    return low;
}

static int64_t bisect_tiles(const Block *block, int64_t step) {
    int64_t low = 0, high = block->n;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if ((int64_t)u32(block->at + 4 * middle) < step) low = middle + 1;
        else high = middle;
    }
    return low;
}

#endif
