/* The minimum work of postprocessing: scan the scores once, decode the candidates above the
 * threshold, sort them and apply NMS. The program checks nothing, creates no objects and writes
 * into static memory.
 *
 * `floor.py` compiles this file for the machine, and compares its detections with ours.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define MAX_CANDIDATES 65536
#define BLOCK 64

typedef struct {
    float left, top, right, bottom, score;
    int32_t label;
} Detection;

typedef struct {
    const float *scores;  /* of an SSD: class logits; of YOLO: the whole map */
    const float *boxes;   /* of an SSD: deltas */
    const float *anchors; /* of an SSD: cxcywh; of YOLO: width and height in pixels */
    int32_t cells;        /* height * width */
    int32_t width;
    int32_t per_cell; /* number of anchors per cell */
    float stride;
} Level;

typedef struct {
    int32_t levels;
    int32_t classes; /* including the background of an SSD */
    float threshold;
    float iou;
    int32_t max_per_class;
    int32_t max_detections;
    float scale[4]; /* factors of the boxes, applied after the shift */
    float shift[4]; /* offsets that are added to the boxes */
} Rules;

static Detection found[MAX_CANDIDATES], kept[MAX_CANDIDATES];
static int32_t hits[MAX_CANDIDATES];
static uint64_t keys[MAX_CANDIDATES], spare[MAX_CANDIDATES];
static float lefts[MAX_CANDIDATES], tops[MAX_CANDIDATES], rights[MAX_CANDIDATES];
static float bottoms[MAX_CANDIDATES], area[MAX_CANDIDATES];
static uint8_t dead[MAX_CANDIDATES];
static float denominators[MAX_CANDIDATES];

/* Write the indices of values that reach the bound to `hits`, and return their number. If `other`
 * is not null, it is subtracted from the values first. */
static int32_t scan(const float *values, const float *other, int32_t n, float bound) {
    int32_t count = 0, i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        int32_t any = 0;
        if (other) {
            for (int32_t j = 0; j < BLOCK; j++) any |= values[i + j] - other[i + j] >= bound;
        } else {
            for (int32_t j = 0; j < BLOCK; j++) any |= values[i + j] >= bound;
        }
        if (!any) continue;
        for (int32_t j = i; j < i + BLOCK; j++)
            if (values[j] - (other ? other[j] : 0) >= bound) hits[count++] = j;
    }
    for (; i < n; i++)
        if (values[i] - (other ? other[i] : 0) >= bound) hits[count++] = i;
    return count;
}

/* Sort the first `n` keys in ascending order by their lowest `bytes` bytes. */
static void sort(int32_t n, int32_t bytes) {
    if (n < 64) {
        for (int32_t i = 1; i < n; i++) {
            uint64_t key = keys[i];
            int32_t j = i;
            for (; j > 0 && keys[j - 1] > key; j--) keys[j] = keys[j - 1];
            keys[j] = key;
        }
        return;
    }
    uint64_t *from = keys, *to = spare;
    for (int32_t byte = 0; byte < bytes; byte++) {
        int32_t start[257] = {0};
        for (int32_t i = 0; i < n; i++) start[(from[i] >> (8 * byte) & 255) + 1]++;
        for (int32_t i = 0; i < 256; i++) start[i + 1] += start[i];
        for (int32_t i = 0; i < n; i++) to[start[from[i] >> (8 * byte) & 255]++] = from[i];
        uint64_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != keys) memcpy(keys, from, n * sizeof *keys);
}

/* Apply NMS within each class to the `n` detections in `found`. Write the remaining detections back
 * to `found` in pixels, best first, and return their number. */
static int32_t suppress(int32_t n, const Rules *rules) {
    for (int32_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &found[i].score, sizeof bits);
        keys[i] = (uint64_t)found[i].label << 48 | (uint64_t)(0x3fffffff - bits) << 16 | i;
    }
    sort(n, 7);
    for (int32_t i = 0; i < n; i++) {
        const Detection *d = &found[keys[i] & 0xffff];
        lefts[i] = d->left, tops[i] = d->top, rights[i] = d->right, bottoms[i] = d->bottom;
        area[i] = (rights[i] - lefts[i]) * (bottoms[i] - tops[i]);
        dead[i] = 0;
    }
    int32_t count = 0;
    for (int32_t first = 0, end; first < n; first = end) {
        uint64_t label = keys[first] >> 48;
        for (end = first; end < n && keys[end] >> 48 == label; end++) {
        }
        int32_t last = end - first > rules->max_per_class ? first + rules->max_per_class : end;
        for (int32_t i = first; i < last; i++) {
            if (dead[i]) continue;
            kept[count++] = found[keys[i] & 0xffff];
            for (int32_t j = i + 1; j < last; j++) {
                float w = fminf(rights[i], rights[j]) - fmaxf(lefts[i], lefts[j]);
                float h = fminf(bottoms[i], bottoms[j]) - fmaxf(tops[i], tops[j]);
                float overlap = fmaxf(w, 0) * fmaxf(h, 0);
                dead[j] |= overlap > rules->iou * (area[i] + area[j] - overlap + 1e-5f);
            }
        }
    }
    for (int32_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &kept[i].score, sizeof bits);
        keys[i] = (uint64_t)(0x3fffffff - bits) << 16 | i;
    }
    sort(count, 6);
    if (count > rules->max_detections) count = rules->max_detections;
    for (int32_t i = 0; i < count; i++) {
        Detection d = kept[keys[i] & 0xffff];
        d.left = (d.left + rules->shift[0]) * rules->scale[0];
        d.top = (d.top + rules->shift[1]) * rules->scale[1];
        d.right = (d.right + rules->shift[2]) * rules->scale[2];
        d.bottom = (d.bottom + rules->shift[3]) * rules->scale[3];
        found[i] = d;
    }
    return count;
}

/* Decode an SSD box from deltas and a cxcywh anchor to xyxy. */
static Detection place(float dx, float dy, float dw, float dh, const float *anchor) {
    float x = anchor[0] + dx * 0.1f * anchor[2], y = anchor[1] + dy * 0.1f * anchor[3];
    float w = expf(dw * 0.2f) * anchor[2] * 0.5f, h = expf(dh * 0.2f) * anchor[3] * 0.5f;
    return (Detection){x - w, y - h, x + w, y + h, 0, 0};
}

/* TensorFlow's SSD: sigmoid scores, channels grouped by anchor, deltas y, x, height, width. */
int32_t ssd_sigmoid(const Level *levels, const Rules *rules) {
    float bound = logf(rules->threshold / (1 - rules->threshold)) - 1e-4f;
    int32_t n = 0;
    for (const Level *level = levels; level < levels + rules->levels; level++) {
        int32_t cells = level->cells;
        for (int32_t a = 0; a < level->per_cell; a++) {
            const float *logits = level->scores + ((int64_t)a * rules->classes + 1) * cells;
            const float *deltas = level->boxes + (int64_t)a * 4 * cells;
            int32_t count = scan(logits, 0, (rules->classes - 1) * cells, bound);
            for (int32_t i = 0; i < count; i++) {
                float score = 1 / (1 + expf(-logits[hits[i]]));
                if (score < rules->threshold || n == MAX_CANDIDATES) continue;
                int32_t cell = hits[i] % cells;
                const float *d = deltas + cell;
                const float *anchor = level->anchors + 4 * (cell * level->per_cell + a);
                found[n] = place(d[cells], d[0], d[3 * cells], d[2 * cells], anchor);
                found[n].score = score;
                found[n++].label = hits[i] / cells + 1;
            }
        }
    }
    return suppress(n, rules);
}

/* MLPerf's SSDResNet34: softmax scores, channels grouped by class, deltas x, y, width, height. */
int32_t ssd_softmax(const Level *levels, const Rules *rules) {
    float bound = logf(rules->threshold / (1 - rules->threshold)) - 1e-4f;
    int32_t n = 0;
    for (const Level *level = levels; level < levels + rules->levels; level++) {
        int32_t size = level->cells * level->per_cell;
        memset(denominators, 0, size * sizeof *denominators);
        for (int32_t label = 1; label < rules->classes; label++) {
            const float *logits = level->scores + (int64_t)label * size;
            int32_t count = scan(logits, level->scores, size, bound);
            for (int32_t i = 0; i < count; i++) {
                int32_t at = hits[i];
                if (denominators[at] == 0)
                    for (int32_t c = 0; c < rules->classes; c++)
                        denominators[at] += expf(level->scores[(int64_t)c * size + at]);
                float score = expf(logits[at]) / denominators[at];
                if (score <= rules->threshold || n == MAX_CANDIDATES) continue;
                const float *d = level->boxes + at;
                found[n] = place(d[0], d[size], d[2 * size], d[3 * size], level->anchors + 4 * at);
                found[n].score = score;
                found[n++].label = label;
            }
        }
    }
    return suppress(n, rules);
}

/* YOLOv5: the maps are outputs of a sigmoid. */
int32_t yolov5(const Level *levels, const Rules *rules) {
    int32_t n = 0;
    for (const Level *level = levels; level < levels + rules->levels; level++) {
        int32_t cells = level->cells;
        for (int32_t a = 0; a < level->per_cell; a++) {
            const float *map = level->scores + (int64_t)a * (5 + rules->classes) * cells;
            const float *anchor = level->anchors + 2 * a;
            int32_t count = scan(map + 4 * cells, 0, cells, rules->threshold);
            for (int32_t i = 0; i < count; i++) {
                const float *v = map + hits[i];
                float objectness = v[4 * cells];
                if (objectness <= rules->threshold) continue;
                int32_t row = hits[i] / level->width, column = hits[i] % level->width;
                float x = (v[0] * 2 - 0.5f + column) * level->stride;
                float y = (v[cells] * 2 - 0.5f + row) * level->stride;
                float w = v[2 * cells] * 2, h = v[3 * cells] * 2;
                w *= w * anchor[0] * 0.5f, h *= h * anchor[1] * 0.5f;
                for (int32_t c = 0; c < rules->classes; c++) {
                    float score = v[(5 + c) * cells] * objectness;
                    if (score <= rules->threshold || n == MAX_CANDIDATES) continue;
                    found[n++] = (Detection){x - w, y - h, x + w, y + h, score, c};
                }
            }
        }
    }
    return suppress(n, rules);
}

const Detection *detections(void) { return found; }
