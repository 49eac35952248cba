/* Decoding steps of few rows on processors with AVX-512 VNNI: what torch has no single operation
 * for. One thread; the caller splits nothing and shares nothing.
 *
 * Compiled without any library: cc -O3 -shared -fPIC -mavx512f -mavx512bw -mavx512vl -mavx512vnni
 */
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define MOST_ROWS 8
#define LANES 16
#define SMALLEST 1e-12f

/* y = x W^T with 8-bit W. `weights` is [blocks of 16 outputs][inputs / 4][16][4], padded with
 * zeros; `offsets` is -128 times the sum of each output's weights, for inputs are shifted by 128. */
typedef struct {
    const int8_t *weights;
    const float *scales;
    const int32_t *offsets;
    const float *bias; /* NULL where there is none */
    int64_t inputs, outputs;
    uint8_t *scratch; /* MOST_ROWS rows of inputs, rounded up to four */
} int8_layer;

static inline __m512 absolute(__m512 v) { return _mm512_abs_ps(v); }

static inline __mmask16 first(int64_t count) {
    return count >= LANES ? (__mmask16)0xffff : (__mmask16)((1u << count) - 1);
}

/* Round one row to 8 bits, shifted by 128. Returns the step; not a number where the row holds any
 * that is not finite. */
static float quantise(const float *x, int64_t inputs, int64_t padded, uint8_t *out) {
    __m512 most = _mm512_setzero_ps();
    __mmask16 strange = 0;
    for (int64_t i = 0; i < inputs; i += LANES) {
        __mmask16 here = first(inputs - i);
        __m512 v = absolute(_mm512_maskz_loadu_ps(here, x + i));
        strange |= _mm512_cmp_ps_mask(v, _mm512_set1_ps(INFINITY), _CMP_NLT_UQ);
        most = _mm512_max_ps(most, v);
    }
    if (strange) {
        memset(out, 128, padded);
        return NAN;
    }
    float step = _mm512_reduce_max_ps(most) / 127.0f;
    if (step < SMALLEST) step = SMALLEST;
    __m512 divisor = _mm512_set1_ps(step);
    __m512i shift = _mm512_set1_epi32(128);
    for (int64_t i = 0; i < inputs; i += LANES) {
        __mmask16 here = first(inputs - i);
        __m512 v = _mm512_div_ps(_mm512_maskz_loadu_ps(here, x + i), divisor);
        __m512i whole = _mm512_add_epi32(_mm512_cvtps_epi32(v), shift);
        _mm512_mask_cvtusepi32_storeu_epi8(out + i, here, whole);
    }
    for (int64_t i = inputs; i < padded; i++) out[i] = 128;
    return step;
}

static inline void finish(const int8_layer *layer, int64_t at, __m512i sum, float step, float *y) {
    __mmask16 here = first(layer->outputs - at);
    __m512 v = _mm512_mul_ps(
        _mm512_cvtepi32_ps(sum), _mm512_maskz_loadu_ps(here, layer->scales + at));
    v = _mm512_mul_ps(v, _mm512_set1_ps(step));
    if (layer->bias) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(here, layer->bias + at));
    _mm512_mask_storeu_ps(y + at, here, v);
}

/* `many` blocks of outputs at the same time for `rows` rows, both known when this is compiled. */
static inline __attribute__((always_inline)) void blocks(
    const int8_layer *layer, int64_t block, const int many, const int rows, int64_t quads,
    const float *steps, float *y) {
    __m512i sums[4][MOST_ROWS];
    const int8_t *weights[4];
    for (int b = 0; b < many; b++) {
        weights[b] = layer->weights + (block + b) * quads * 64;
        __m512i offset = _mm512_loadu_si512(layer->offsets + (block + b) * LANES);
        for (int r = 0; r < rows; r++) sums[b][r] = offset;
    }
    for (int64_t q = 0; q < quads; q++) {
        __m512i inputs[MOST_ROWS];
        for (int r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, layer->scratch + (r * quads + q) * 4, 4);
            inputs[r] = _mm512_set1_epi32(four);
        }
        for (int b = 0; b < many; b++) {
            __m512i w = _mm512_loadu_si512(weights[b] + q * 64);
            _mm_prefetch((const char *)(weights[b] + q * 64 + 1024), _MM_HINT_T0);
            for (int r = 0; r < rows; r++)
                sums[b][r] = _mm512_dpbusd_epi32(sums[b][r], inputs[r], w);
        }
    }
    for (int b = 0; b < many; b++)
        for (int r = 0; r < rows; r++)
            finish(layer, (block + b) * LANES, sums[b][r], steps[r], y + r * layer->outputs);
}

static inline __attribute__((always_inline)) void all_blocks(
    const int8_layer *layer, const int many, const int rows, const float *steps, float *y) {
    int64_t quads = (layer->inputs + 3) / 4, count = (layer->outputs + LANES - 1) / LANES, at = 0;
    for (; at + many <= count; at += many) blocks(layer, at, many, rows, quads, steps, y);
    for (; at < count; at++) blocks(layer, at, 1, rows, quads, steps, y);
}

/* x [rows, inputs], y [rows, outputs], 1 to MOST_ROWS rows. */
void int8_linear(const int8_layer *layer, const float *x, int64_t rows, float *y) {
    float steps[MOST_ROWS];
    int64_t padded = (layer->inputs + 3) / 4 * 4;
    for (int64_t r = 0; r < rows; r++)
        steps[r] = quantise(x + r * layer->inputs, layer->inputs, padded,
                            layer->scratch + r * padded);
    switch (rows) {
    case 1: all_blocks(layer, 4, 1, steps, y); break;
    case 2: all_blocks(layer, 4, 2, steps, y); break;
    case 3: all_blocks(layer, 4, 3, steps, y); break;
    case 4: all_blocks(layer, 4, 4, steps, y); break;
    case 5: all_blocks(layer, 2, 5, steps, y); break;
    case 6: all_blocks(layer, 2, 6, steps, y); break;
    case 7: all_blocks(layer, 2, 7, steps, y); break;
    case 8: all_blocks(layer, 2, 8, steps, y); break;
    }
}

/* y = x / sqrt(mean(x^2) + eps) * weight, row by row. */
void rms_norm(const float *x, const float *weight, float eps, int64_t rows, int64_t width,
              float *y) {
    for (int64_t r = 0; r < rows; r++, x += width, y += width) {
        __m512 squares = _mm512_setzero_ps();
        for (int64_t i = 0; i < width; i += LANES) {
            __m512 v = _mm512_maskz_loadu_ps(first(width - i), x + i);
            squares = _mm512_fmadd_ps(v, v, squares);
        }
        float scale = 1.0f / sqrtf(_mm512_reduce_add_ps(squares) / width + eps);
        for (int64_t i = 0; i < width; i += LANES) {
            __mmask16 here = first(width - i);
            __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(here, x + i), _mm512_set1_ps(scale));
            v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(here, weight + i));
            _mm512_mask_storeu_ps(y + i, here, v);
        }
    }
}

/* y = x W^T + bias in 32 bits. `weights` is [blocks of 16 outputs][inputs][16], padded with zeros. */
typedef struct {
    const float *weights;
    const float *bias; /* NULL where there is none */
    int64_t inputs, outputs;
} plain_layer;

static inline __attribute__((always_inline)) void plain_blocks(
    const plain_layer *layer, int64_t block, const int many, const int rows, const float *x,
    float *y) {
    __m512 sums[4][4];
    const float *weights[4];
    for (int b = 0; b < many; b++) {
        int64_t at = (block + b) * LANES;
        weights[b] = layer->weights + at * layer->inputs;
        __m512 begin = _mm512_setzero_ps();
        if (layer->bias) begin = _mm512_maskz_loadu_ps(first(layer->outputs - at), layer->bias + at);
        for (int r = 0; r < rows; r++) sums[b][r] = begin;
    }
    for (int64_t i = 0; i < layer->inputs; i++)
        for (int b = 0; b < many; b++) {
            __m512 w = _mm512_loadu_ps(weights[b] + i * LANES);
            _mm_prefetch((const char *)(weights[b] + i * LANES + 256), _MM_HINT_T0);
            for (int r = 0; r < rows; r++)
                sums[b][r] = _mm512_fmadd_ps(
                    w, _mm512_set1_ps(x[r * layer->inputs + i]), sums[b][r]);
        }
    for (int b = 0; b < many; b++)
        for (int r = 0; r < rows; r++) {
            int64_t at = (block + b) * LANES;
            _mm512_mask_storeu_ps(
                y + r * layer->outputs + at, first(layer->outputs - at), sums[b][r]);
        }
}

static inline __attribute__((always_inline)) void all_plain_blocks(
    const plain_layer *layer, const int rows, const float *x, float *y) {
    int64_t count = (layer->outputs + LANES - 1) / LANES, at = 0;
    for (; at + 4 <= count; at += 4) plain_blocks(layer, at, 4, rows, x, y);
    for (; at < count; at++) plain_blocks(layer, at, 1, rows, x, y);
}

/* x [rows, inputs], y [rows, outputs], 1 to 4 rows. */
void plain_linear(const plain_layer *layer, const float *x, int64_t rows, float *y) {
    switch (rows) {
    case 1: all_plain_blocks(layer, 1, x, y); break;
    case 2: all_plain_blocks(layer, 2, x, y); break;
    case 3: all_plain_blocks(layer, 3, x, y); break;
    case 4: all_plain_blocks(layer, 4, x, y); break;
    }
}
