/* Standard normals as functions of (key, call, position) alone, and a Langevin step that makes its own.

   Philox4x32-10: block b of a call has the counter (b low, b high, call low, call high). 32 blocks stand side by side.
   In single precision they fill 128 positions: words 0 and 1 of lane i are radius and angle of positions i and 32 + i,
   words 2 and 3 of 64 + i and 96 + i; |z| <= sqrt(66 ln 2) = 6.76. In double precision 64 positions: words 0 and 1
   together are the radius, 2 and 3 the angle of positions i and 32 + i; |z| <= sqrt(108 ln 2) = 8.65. Nothing is left
   to the compiler's rounding: without contraction to fused multiply-adds every processor gives the same bits.

   Salmon, Moraes, Dror and Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", SC11; Box and Muller (1958).
   Loops over lanes have no branches and nothing that a compiler does not make vectors of. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES 32

typedef uint32_t Words[4][LANES];

/* Words are kept in 64 bits, of which the upper half is left over: so a product needs no shuffling of lanes. */
static inline void philox(Words out, uint64_t key, uint64_t call, uint64_t first) {
    uint64_t a[LANES], b[LANES], c[LANES], d[LANES];
    uint32_t low = (uint32_t)key, high = (uint32_t)(key >> 32);
    for (int i = 0; i < LANES; i++) {
        a[i] = first + i;
        b[i] = (first + i) >> 32;
        c[i] = call;
        d[i] = call >> 32;
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < LANES; i++) {
            uint64_t p = (uint64_t)0xD2511F53u * (uint32_t)a[i], q = (uint64_t)0xCD9E8D57u * (uint32_t)c[i];
            a[i] = (q >> 32) ^ b[i] ^ low;
            b[i] = q;
            c[i] = (p >> 32) ^ d[i] ^ high;
            d[i] = p;
        }
        low += 0x9E3779B9u;
        high += 0xBB67AE85u;
    }
    for (int i = 0; i < LANES; i++) {
        out[0][i] = (uint32_t)a[i];
        out[1][i] = (uint32_t)b[i];
        out[2][i] = (uint32_t)c[i];
        out[3][i] = (uint32_t)d[i];
    }
}

/* sqrt(-2 ln u) of u = (bits + 1/2) / 2^32 = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), by ln (1 + f) =
   2 artanh(f / (2 + f)). Next to u = 1, f comes from the bits' complement, so that nothing cancels. */
static inline float radius32(uint32_t bits) {
    float u = ((float)bits + 0.5f) * 0x1p-32f, near = ((float)~bits + 0.5f) * -0x1p-32f;
    uint32_t held, root = 0x3f3504f3u; /* sqrt(1/2) */
    memcpy(&held, &u, sizeof u);
    float e = (float)((int32_t)(held - root) >> 23);
    held = ((held - root) & 0x007fffffu) + root;
    memcpy(&u, &held, sizeof u);
    float f = e == 0 ? near : u - 1;
    float t = f / (2 + f), z = t * t;
    float series = 1 + z * (1 / 3.0f + z * (1 / 5.0f + z * (1 / 7.0f + z * (1 / 9.0f))));
    float ln = 2 * t * series + e * 0.693147181f;
    return sqrtf(-2 * ln);
}

/* cos and sin of 2 pi bits / 2^32. The quadrant and the rest are found by integers, so that nothing is lost. */
static inline void circle32(uint32_t bits, float *cosine, float *sine) {
    uint32_t quadrant = (bits + 0x20000000u) >> 30, held;
    float x = (float)(int32_t)(bits - (quadrant << 30)) * (6.283185307f * 0x1p-32f), z = x * x;
    float s = x * (1 + z * (-1 / 6.0f + z * (1 / 120.0f + z * (-1 / 5040.0f + z * (1 / 362880.0f)))));
    float c = 1 + z * (-1 / 2.0f + z * (1 / 24.0f + z * (-1 / 720.0f + z * (1 / 40320.0f - z * (1 / 3628800.0f)))));
    float one = quadrant & 1 ? s : c, other = quadrant & 1 ? c : s;
    memcpy(&held, &one, sizeof one);
    held ^= ((quadrant + 1) & 2) << 30;
    memcpy(cosine, &held, sizeof held);
    memcpy(&held, &other, sizeof other);
    held ^= (quadrant & 2) << 30;
    memcpy(sine, &held, sizeof held);
}

static inline void normals32(float *out, uint64_t key, uint64_t call, uint64_t part) {
    Words x;
    philox(x, key, call, part * LANES);
    for (int i = 0; i < LANES; i++) {
        float r = radius32(x[0][i]), s = radius32(x[2][i]), c[2], d[2];
        circle32(x[1][i], c, c + 1);
        circle32(x[3][i], d, d + 1);
        out[i] = r * c[0];
        out[LANES + i] = r * c[1];
        out[2 * LANES + i] = s * d[0];
        out[3 * LANES + i] = s * d[1];
    }
}

/* sqrt(-2 ln u) of u = (bits + 1/2) / 2^53, as above. */
static inline double radius64(uint64_t bits) {
    double u = ((double)(int64_t)bits + 0.5) * 0x1p-53;
    double near = ((double)(int64_t)(0x1fffffffffffffu - bits) + 0.5) * -0x1p-53;
    uint64_t held, root = 0x3fe6a09e667f3bcdu;
    memcpy(&held, &u, sizeof u);
    double e = (double)((int64_t)(held - root) >> 52);
    held = ((held - root) & 0x000fffffffffffffu) + root;
    memcpy(&u, &held, sizeof u);
    double f = e == 0 ? near : u - 1, t = f / (2 + f), z = t * t, sum = 1 / 19.0;
    for (int k = 17; k > 0; k -= 2) sum = sum * z + 1.0 / k;
    return sqrt(-2 * (2 * t * sum + e * 0.6931471805599453));
}

/* cos and sin of 2 pi bits / 2^64. */
static inline void circle64(uint64_t bits, double *cosine, double *sine) {
    uint64_t quadrant = (bits + 0x2000000000000000u) >> 62, held;
    double x = (double)(int64_t)(bits - (quadrant << 62)) * (6.283185307179586 * 0x1p-64), z = x * x, s = 1, c = 1;
    for (int k = 15; k > 1; k -= 2) s = 1 - s * z / (k * (k - 1.0));
    for (int k = 16; k > 0; k -= 2) c = 1 - c * z / (k * (k - 1.0));
    double one = quadrant & 1 ? s * x : c, other = quadrant & 1 ? c : s * x;
    memcpy(&held, &one, sizeof one);
    held ^= ((quadrant + 1) & 2) << 62;
    memcpy(cosine, &held, sizeof held);
    memcpy(&held, &other, sizeof other);
    held ^= (quadrant & 2) << 62;
    memcpy(sine, &held, sizeof held);
}

static inline void normals64(double *out, uint64_t key, uint64_t call, uint64_t part) {
    Words x;
    philox(x, key, call, part * LANES);
    for (int i = 0; i < LANES; i++) {
        double r = radius64(((uint64_t)x[0][i] << 32 | x[1][i]) >> 11), c, s;
        circle64((uint64_t)x[2][i] << 32 | x[3][i], &c, &s);
        out[i] = r * c;
        out[LANES + i] = r * s;
    }
}

/* out [chains, size]; keys [chains]. */
#define NORMAL(NAME, TYPE, PART, SPAN)                                                                 \
    void NAME(TYPE *out, int64_t chains, int64_t size, const uint64_t *keys, uint64_t call) {          \
        for (int64_t chain = 0; chain < chains; chain++, out += size) {                                \
            int64_t at = 0;                                                                            \
            for (; at + SPAN <= size; at += SPAN) PART(out + at, keys[chain], call, at / SPAN);        \
            if (at < size) {                                                                           \
                TYPE rest[SPAN];                                                                       \
                PART(rest, keys[chain], call, at / SPAN);                                              \
                memcpy(out + at, rest, (size - at) * sizeof(TYPE));                                    \
            }                                                                                          \
        }                                                                                              \
    }

NORMAL(normal32, float, normals32, (4 * LANES))
NORMAL(normal64, double, normals64, (2 * LANES))

/* out = (w + drift * grad) + scale * z, all [chains, size], rounded as those four operations are one by one; squares
   [chains, 2] gets the sums of the squares of grad and of z. */
void langevin32(float *restrict out, const float *restrict w, const float *restrict grad, double *squares,
                int64_t chains, int64_t size, const uint64_t *keys, uint64_t call, float drift, float scale) {
    const int64_t span = 4 * LANES;
    for (int64_t chain = 0; chain < chains; chain++, out += size, w += size, grad += size) {
        double of_grad[4 * LANES] = {0}, of_noise[4 * LANES] = {0};
        for (int64_t at = 0; at < size; at += span) {
            float z[4 * LANES];
            int64_t count = size - at < span ? size - at : span;
            normals32(z, keys[chain], call, at / span);
            for (int64_t i = 0; i < count; i++) {
                float g = grad[at + i];
                out[at + i] = (w[at + i] + drift * g) + scale * z[i];
                of_grad[i] += (double)g * g;
                of_noise[i] += (double)z[i] * z[i];
            }
        }
        squares[2 * chain] = squares[2 * chain + 1] = 0;
        for (int i = 0; i < span; i++) {
            squares[2 * chain] += of_grad[i];
            squares[2 * chain + 1] += of_noise[i];
        }
    }
}
