/* CRC-32 as zlib has it: 64 bytes a step where the processor multiplies without carries, else 8.
 *
 * The fold is that of Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
 * Instruction" (Intel, 2009), bits reflected. It serves only where it agrees with the tables. */
#ifndef THROUGHLINE_CHECKSUMS_H
#define THROUGHLINE_CHECKSUMS_H

#include <stdint.h>
#include <string.h>

static uint32_t crc_tables[8][256];

static inline uint32_t crc_word(const uint8_t *at) { uint32_t v; memcpy(&v, at, 4); return v; }

/* Eight bytes a step; `c` and what is returned are not inverted, here and below. */
static uint32_t crc_by_tables(const uint8_t *at, int64_t size, uint32_t c) {
    for (; size >= 8; at += 8, size -= 8) {
        uint32_t low = crc_word(at) ^ c, high = crc_word(at + 4);
        c = crc_tables[7][low & 255] ^ crc_tables[6][(low >> 8) & 255] ^
            crc_tables[5][(low >> 16) & 255] ^ crc_tables[4][low >> 24] ^
            crc_tables[3][high & 255] ^ crc_tables[2][(high >> 8) & 255] ^
            crc_tables[1][(high >> 16) & 255] ^ crc_tables[0][high >> 24];
    }
    for (; size > 0; at++, size--) c = crc_tables[0][(c ^ *at) & 255] ^ (c >> 8);
    return c;
}

#define FOLDED_BYTES 64
#define TRIED_BYTES 1024

static int is_folding = 0;

#if defined(__x86_64__)
#include <immintrin.h>

#define FOLDS __attribute__((target("pclmul,sse4.1")))
#define LOAD(at) _mm_loadu_si128((const __m128i *)(at))

/* x times the powers in `k`, each half by its own, and `next` added. */
FOLDS static inline __m128i fold(__m128i x, __m128i k, __m128i next) {
    __m128i low = _mm_clmulepi64_si128(x, k, 0x00), high = _mm_clmulepi64_si128(x, k, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

/* `size` is a multiple of 16 and at least 64. */
FOLDS static uint32_t crc_by_folding(const uint8_t *at, int64_t size, uint32_t c) {
    const __m128i by_64 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
    const __m128i by_16 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    const __m128i by_8 = _mm_set_epi64x(0, 0x163cd6124);
    const __m128i polynomial = _mm_set_epi64x(0x1f7011641, 0x1db710641);
    const __m128i low_words = _mm_set_epi32(0, -1, 0, -1);
    __m128i a = _mm_xor_si128(LOAD(at), _mm_cvtsi32_si128((int)c));
    __m128i b = LOAD(at + 16), d = LOAD(at + 32), e = LOAD(at + 48);
    for (at += 64, size -= 64; size >= 64; at += 64, size -= 64) {
        a = fold(a, by_64, LOAD(at));
        b = fold(b, by_64, LOAD(at + 16));
        d = fold(d, by_64, LOAD(at + 32));
        e = fold(e, by_64, LOAD(at + 48));
    }
    a = fold(fold(fold(a, by_16, b), by_16, d), by_16, e);
    for (; size >= 16; at += 16, size -= 16) a = fold(a, by_16, LOAD(at));
    /* 128 bits to 64, to 32; then Barrett's reduction. */
    a = _mm_xor_si128(_mm_clmulepi64_si128(a, by_16, 0x10), _mm_srli_si128(a, 8));
    b = _mm_srli_si128(a, 4);
    a = _mm_xor_si128(_mm_clmulepi64_si128(_mm_and_si128(a, low_words), by_8, 0x00), b);
    b = _mm_clmulepi64_si128(_mm_and_si128(a, low_words), polynomial, 0x10);
    b = _mm_clmulepi64_si128(_mm_and_si128(b, low_words), polynomial, 0x00);
    return (uint32_t)_mm_extract_epi32(_mm_xor_si128(a, b), 1);
}

static int can_fold(void) {
    return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}
#else
static uint32_t crc_by_folding(const uint8_t *at, int64_t size, uint32_t c) {
    return crc_by_tables(at, size, c);
}

static int can_fold(void) { return 0; }
#endif

/* That of what has `crc` and these bytes behind it. */
static uint32_t crc32_behind(uint32_t crc, const uint8_t *at, int64_t size) {
    uint32_t c = crc ^ 0xFFFFFFFFu;
    if (is_folding && size >= FOLDED_BYTES) {
        int64_t folded = size & ~(int64_t)15;
        c = crc_by_folding(at, folded, c);
        at += folded;
        size -= folded;
    }
    return crc_by_tables(at, size, c) ^ 0xFFFFFFFFu;
}

static uint32_t crc32_of(const uint8_t *at, int64_t size) { return crc32_behind(0, at, size); }

/* Whether folding and tables agree on this machine, for every number of steps that differs. */
static int folds_right(void) {
    uint8_t tried[TRIED_BYTES];
    uint32_t drawn = 1;
    for (int n = 0; n < TRIED_BYTES; n++) {
        drawn = drawn * 1664525u + 1013904223u;
        tried[n] = (uint8_t)(drawn >> 24);
    }
    for (int64_t size = FOLDED_BYTES; size <= TRIED_BYTES; size += 16)
        if (crc_by_folding(tried, size, drawn) != crc_by_tables(tried, size, drawn)) return 0;
    return 1;
}

static void prepare_crc(void) {
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t c = n;
        for (int k = 0; k < 8; k++) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
        crc_tables[0][n] = c;
    }
    for (int n = 0; n < 256; n++)
        for (int k = 1; k < 8; k++) {
            uint32_t before = crc_tables[k - 1][n];
            crc_tables[k][n] = crc_tables[0][before & 255] ^ (before >> 8);
        }
    is_folding = can_fold() && folds_right();
}

#endif
