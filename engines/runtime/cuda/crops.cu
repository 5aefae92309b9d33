// Pictures on the GPU as a network wants them: (B,3,H,W), normalised, float or half.
//
// normalise_crops: from crops that were cut on the CPU.
// cut_crops: straight from a decoded frame, whatever its planes: bilinear sampling, colour and normalisation in one pass.
//
// Both are plain float arithmetic without contraction (compiled with --fmad=false), so that `reference.py` in numpy and
// this very source compiled for a CPU give the same bits. One thread a pixel: x and y of the crop, z the crop.

#ifdef HALF_ON_CPU
HALF_ON_CPU
#else
__device__ __forceinline__ unsigned short to_half(float value) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#endif

__device__ __forceinline__ void put(float* out, long long at, float value) { out[at] = value; }
__device__ __forceinline__ void put(unsigned short* out, long long at, float value) { out[at] = to_half(value); }

// `form` is mean[3], std[3], in the order of the crop's channels.
template <typename Out>
__device__ void normalise(const unsigned char* crops, const float* form, Out* out, int width, int height) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    const int crop = blockIdx.z;
    if (x >= width || y >= height) return;
    const long long area = (long long)width * height;
    const long long pixel = (long long)y * width + x;
    const unsigned char* from = crops + (crop * area + pixel) * 3;
    for (int channel = 0; channel < 3; ++channel) {
        put(out, (crop * 3 + channel) * area + pixel, ((float)from[channel] - form[channel]) / form[3 + channel]);
    }
}

// One component of a frame: where its first sample is, bytes from row to row and from sample to sample, its size, and
// which of a crop's two maps leads to it (0 as luma, 1 as chroma).
struct Component {
    int offset, pitch, step, width, height, map;
};

__device__ __forceinline__ float tap(const unsigned char* frame, const Component& part, int x, int y, int replicate,
                                     float fill) {
    if (replicate) {
        x = min(max(x, 0), part.width - 1);
        y = min(max(y, 0), part.height - 1);
    } else if (x < 0 || y < 0 || x >= part.width || y >= part.height) {
        return fill;
    }
    return (float)frame[part.offset + (long long)y * part.pitch + (long long)x * part.step];
}

__device__ __forceinline__ float sample(const unsigned char* frame, const Component& part, const float* map, int x,
                                        int y, int replicate, float fill) {
    // Far outside it does not matter where: the limits keep the conversion to int defined.
    const float limit = 1000000.0f;
    const float at_x = fminf(fmaxf(map[0] * (float)x + map[1] * (float)y + map[2], -limit), limit);
    const float at_y = fminf(fmaxf(map[3] * (float)x + map[4] * (float)y + map[5], -limit), limit);
    const float left = floorf(at_x), top = floorf(at_y);
    const int x0 = (int)left, y0 = (int)top;
    const float right_share = at_x - left, lower_share = at_y - top;
    const float a = tap(frame, part, x0, y0, replicate, fill);
    const float b = tap(frame, part, x0 + 1, y0, replicate, fill);
    const float c = tap(frame, part, x0, y0 + 1, replicate, fill);
    const float d = tap(frame, part, x0 + 1, y0 + 1, replicate, fill);
    const float upper = a + (b - a) * right_share;
    const float lower = c + (d - c) * right_share;
    return upper + (lower - upper) * lower_share;
}

// `maps` (B,2,6): from pixel indices of a crop to sample indices. `colour` (3,4): samples to 0..255 in the network's
// channel order. `form`: mean[3], std[3], then the samples of black[3].
template <typename Out>
__device__ void cut(const unsigned char* frame, const Component* parts, const float* maps, const float* colour,
                    const float* form, Out* out, int width, int height, int replicate) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    const int crop = blockIdx.z;
    if (x >= width || y >= height) return;
    float samples[3];
    for (int i = 0; i < 3; ++i) {
        const Component part = parts[i];
        samples[i] = sample(frame, part, maps + (crop * 2 + part.map) * 6, x, y, replicate, form[6 + i]);
    }
    const long long area = (long long)width * height;
    for (int channel = 0; channel < 3; ++channel) {
        const float* row = colour + channel * 4;
        const float mixed = row[0] * samples[0] + row[1] * samples[1] + row[2] * samples[2] + row[3];
        const float value = fminf(fmaxf(mixed, 0.0f), 255.0f);
        put(out, (crop * 3 + channel) * area + (long long)y * width + x, (value - form[channel]) / form[3 + channel]);
    }
}

extern "C" {
__global__ void normalise_crops_float(const unsigned char* crops, const float* form, float* out, int width,
                                      int height) {
    normalise(crops, form, out, width, height);
}
__global__ void normalise_crops_half(const unsigned char* crops, const float* form, unsigned short* out, int width,
                                     int height) {
    normalise(crops, form, out, width, height);
}
__global__ void cut_crops_float(const unsigned char* frame, const Component* parts, const float* maps,
                                const float* colour, const float* form, float* out, int width, int height,
                                int replicate) {
    cut(frame, parts, maps, colour, form, out, width, height, replicate);
}
__global__ void cut_crops_half(const unsigned char* frame, const Component* parts, const float* maps,
                               const float* colour, const float* form, unsigned short* out, int width, int height,
                               int replicate) {
    cut(frame, parts, maps, colour, form, out, width, height, replicate);
}
}
