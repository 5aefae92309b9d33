// The source of the GPU's kernels, compiled for a CPU: the qualifiers mean nothing here and the grid is a loop.
#include <algorithm>
#include <cmath>
#include <cstring>

#define __global__
#define __device__
#define __forceinline__ inline
using std::max;
using std::min;

struct Dim {
    int x, y, z;
};
static Dim blockIdx, blockDim, threadIdx;

#define HALF_ON_CPU                                      \
    static inline unsigned short to_half(float value) { \
        const _Float16 half = (_Float16)value;           \
        unsigned short bits;                             \
        std::memcpy(&bits, &half, sizeof bits);          \
        return bits;                                     \
    }
#include "crops.cu"

template <typename Kernel>
static void over_grid(const int* grid, const int* block, Kernel kernel) {
    blockDim = {block[0], block[1], 1};
    for (blockIdx.z = 0; blockIdx.z < grid[2]; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < grid[1]; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < grid[0]; ++blockIdx.x)
                for (threadIdx.y = 0; threadIdx.y < block[1]; ++threadIdx.y)
                    for (threadIdx.x = 0; threadIdx.x < block[0]; ++threadIdx.x) kernel();
}

extern "C" {
void normalise_on_cpu(const int* grid, const int* block, const unsigned char* crops, const float* form, void* out,
                      int width, int height, int half) {
    over_grid(grid, block, [&] {
        if (half)
            normalise_crops_half(crops, form, (unsigned short*)out, width, height);
        else
            normalise_crops_float(crops, form, (float*)out, width, height);
    });
}
void cut_on_cpu(const int* grid, const int* block, const unsigned char* frame, const int* parts, const float* maps,
                const float* colour, const float* form, void* out, int width, int height, int replicate, int half) {
    const Component* components = (const Component*)parts;
    over_grid(grid, block, [&] {
        if (half)
            cut_crops_half(frame, components, maps, colour, form, (unsigned short*)out, width, height, replicate);
        else
            cut_crops_float(frame, components, maps, colour, form, (float*)out, width, height, replicate);
    });
}
}
