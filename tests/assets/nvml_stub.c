/* A stand-in for NVIDIA's management library, for machines without a GPU.
 *
 *     cc -shared -fPIC -o DIR/libnvidia-ml.so.1 nvml_stub.c
 *     LD_LIBRARY_PATH=DIR NVML_STUB=FILE python ...
 *
 * What it says stands in FILE, which is read anew at every call, so that a test can change the
 * world under a process that runs. Lines, in any order:
 *
 *     init CODE                     nvmlInit answers CODE (9: driver not loaded, 18: version mismatch)
 *     gpu INDEX UTIL [WORD ...]     a GPU at UTIL percent; further words:
 *           minor=N                   its device node is /dev/nvidiaN (else N = INDEX)
 *           mig                       divided: utilisation is not supported
 *           lost                      it has fallen off the bus: every question answers 15
 *           blind                     use by process is not supported
 *           memory=MIB                memory in use, of 16 GiB
 *     work INDEX PID PERCENT        a process at work on it
 *     hold INDEX PID                a process that has a context on it, at work or not
 *
 * Without NVML_STUB or its file, nvmlInit answers 9. INDEX counts from 0 without gaps.
 * Layouts and codes are those of NVML 12 (nvml.h, as nvidia-ml-py declares them).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

enum {
    OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15
};
enum { MOST = 64 };

typedef struct { unsigned gpu, memory; } utilization_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned pid; unsigned long long time; unsigned sm, mem, enc, dec; } process_sample_t;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process_t;
typedef struct { unsigned long long time; union { double d; unsigned u; unsigned long long ull; } value; } sample_t;

typedef struct { int used, util, minor, mig, lost, blind, memory; } gpu_t;
typedef struct { unsigned gpu, pid, percent; } use_t;
typedef struct { int init, works, holds; gpu_t gpus[MOST]; use_t work[MOST], hold[MOST]; } world_t;

static world_t world(void)
{
    world_t w;
    char line[512], *word;
    unsigned index, pid, percent;
    int code, util, from;
    const char *path = getenv("NVML_STUB");
    FILE *file = path ? fopen(path, "r") : NULL;

    memset(&w, 0, sizeof w);
    if (!file) {
        w.init = DRIVER_NOT_LOADED;
        return w;
    }
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "init %d", &code) == 1)
            w.init = code;
        else if (sscanf(line, "gpu %u %d%n", &index, &util, &from) == 2 && index < MOST) {
            gpu_t *g = &w.gpus[index];
            g->used = 1;
            g->util = util;
            g->minor = (int)index;
            for (word = strtok(line + from, " \n"); word; word = strtok(NULL, " \n")) {
                sscanf(word, "minor=%d", &g->minor);
                sscanf(word, "memory=%d", &g->memory);
                g->mig |= !strcmp(word, "mig");
                g->lost |= !strcmp(word, "lost");
                g->blind |= !strcmp(word, "blind");
            }
        } else if (sscanf(line, "work %u %u %u", &index, &pid, &percent) == 3 && w.works < MOST)
            w.work[w.works++] = (use_t){index, pid, percent};
        else if (sscanf(line, "hold %u %u", &index, &pid) == 2 && w.holds < MOST)
            w.hold[w.holds++] = (use_t){index, pid, 0};
    }
    fclose(file);
    return w;
}

static unsigned long long now_us(void)
{
    struct timeval t;
    gettimeofday(&t, NULL);
    return (unsigned long long)t.tv_sec * 1000000 + (unsigned long long)t.tv_usec;
}

/* A handle is a pointer to static storage whose place says which GPU is meant. */
static char handles[MOST];

static int find(world_t *w, void *handle, unsigned *index, gpu_t **gpu)
{
    *w = world();
    *index = (unsigned)((char *)handle - handles);
    if (*index >= MOST || !w->gpus[*index].used)
        return INVALID_ARGUMENT;
    *gpu = &w->gpus[*index];
    return (*gpu)->lost ? GPU_IS_LOST : OK;
}
#define FIND                                            \
    world_t w; unsigned index; gpu_t *gpu;              \
    int found = find(&w, device, &index, &gpu);         \
    if (found != OK) return found

int nvmlInitWithFlags(unsigned flags) { (void)flags; return world().init; }
int nvmlInit_v2(void) { return world().init; }
int nvmlShutdown(void) { return OK; }

const char *nvmlErrorString(int code)
{
    switch (code) {
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "An error of the stub";
    }
}

int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "550.00"); return OK; }

int nvmlDeviceGetCount_v2(unsigned *count)
{
    world_t w = world();
    for (*count = 0; *count < MOST && w.gpus[*count].used;)
        ++*count;
    return w.init;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    if (index >= MOST || !world().gpus[index].used)
        return INVALID_ARGUMENT;
    *device = handles + index;
    return OK;
}

int nvmlDeviceGetIndex(void *device, unsigned *number) { FIND; *number = index; return OK; }
int nvmlDeviceGetMinorNumber(void *device, unsigned *minor) { FIND; *minor = (unsigned)gpu->minor; return OK; }
int nvmlDeviceGetName(void *device, char *text, unsigned size) { FIND; snprintf(text, size, "Stub GPU"); return OK; }

int nvmlDeviceGetUUID(void *device, char *text, unsigned size)
{
    FIND;
    snprintf(text, size, "GPU-00000000-0000-0000-0000-%012u", index);
    return OK;
}

int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending)
{
    FIND;
    *current = *pending = (unsigned)gpu->mig;
    return OK;
}

int nvmlDeviceGetMemoryInfo(void *device, memory_t *memory)
{
    FIND;
    memory->total = 16ULL << 30;
    memory->used = (unsigned long long)gpu->memory << 20;
    memory->free = memory->total - memory->used;
    return OK;
}

int nvmlDeviceGetUtilizationRates(void *device, utilization_t *rates)
{
    FIND;
    if (gpu->mig)
        return NOT_SUPPORTED;
    rates->gpu = (unsigned)gpu->util;
    rates->memory = 0;
    return OK;
}

/* One sample, of now. Type 1 is "unsigned int"; sampling type 1 is GPU utilisation. */
int nvmlDeviceGetSamples(void *device, int type, unsigned long long since, int *value_type, unsigned *count,
                         sample_t *samples)
{
    FIND;
    if (gpu->mig || type != 1)
        return NOT_SUPPORTED;
    if (since > now_us())
        return NOT_FOUND;
    *value_type = 1;
    *count = 1;
    if (samples) {
        samples->time = now_us();
        samples->value.ull = 0;
        samples->value.u = (unsigned)gpu->util;
    }
    return OK;
}

int nvmlDeviceGetProcessUtilization(void *device, process_sample_t *samples, unsigned *count,
                                    unsigned long long since)
{
    unsigned have = 0;
    FIND;
    if (gpu->mig || gpu->blind)
        return NOT_SUPPORTED;
    for (int i = 0; i < w.works && since <= now_us(); i++) {
        if (w.work[i].gpu != index)
            continue;
        if (samples && have < *count)
            samples[have] = (process_sample_t){w.work[i].pid, now_us(), w.work[i].percent, 0, 0, 0};
        have++;
    }
    if (!have)
        return NOT_FOUND;
    if (!samples || *count < have) {
        *count = have;
        return INSUFFICIENT_SIZE;
    }
    *count = have;
    return OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, process_t *processes)
{
    unsigned have = 0;
    FIND;
    for (int i = 0; i < w.holds; i++) {
        if (w.hold[i].gpu != index)
            continue;
        if (processes && have < *count)
            processes[have] = (process_t){w.hold[i].pid, 1ULL << 30, ~0U, ~0U};
        have++;
    }
    if (have > *count) {
        *count = have;
        return INSUFFICIENT_SIZE;
    }
    *count = have;
    return OK;
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(void *device, unsigned *count, process_t *processes)
{
    FIND;
    (void)processes;
    *count = 0;
    return OK;
}
