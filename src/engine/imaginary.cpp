// Imaginary accelerators: devices with a name and so much memory, whose kernels are the CPU's. llama.cpp's own fit, its
// allocator and its loader see them as GPUs, so that a plan for hardware that is not here is made by the same code.
//
// A device is never registered: it exists for the models that are loaded with it named in their parameters, and for
// nobody else. Its memory is capped for real: an allocation beyond what is free fails, as it would on a card. What decides
// how much memory is wanted is as in ggml-cuda.cu: alignment, padded rows, large batches that are computed on the device
// also where the weights are on the host, and copies of the inputs where several devices work as a pipeline.

#include "ggml-backend-impl.h"
#include "ggml-backend.h"
#include "ggml-cpu.h"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>

struct agent_imaginary {
    std::string name;
    size_t total;
    // What others hold from the beginning, and what is allocated on top of it.
    size_t others;
    std::atomic<size_t> used{0};
    ggml_backend_buffer_type type;
    ggml_backend_device device;
};

namespace {

agent_imaginary & of(ggml_backend_dev_t device) { return *static_cast<agent_imaginary *>(device->context); }

size_t room(const agent_imaginary & one) {
    const size_t taken = one.others + one.used;
    return taken < one.total ? one.total - taken : 0;
}

constexpr size_t aligned_to = 128;

size_t alignment(ggml_backend_buffer_type_t) { return aligned_to; }

// Every CPU buffer is freed in the same way; remembered when the first one is made.
void (*free_on_host)(ggml_backend_buffer_t) = nullptr;

void free_buffer(ggml_backend_buffer_t buffer) {
    static_cast<agent_imaginary *>(buffer->buft->context)->used -= buffer->size;
    free_on_host(buffer);
}

// Host memory is aligned to less than a device's: a buffer begins at the first address that is.
void * base(ggml_backend_buffer_t buffer) {
    const auto start = reinterpret_cast<uintptr_t>(buffer->context);
    return reinterpret_cast<void *>((start + aligned_to - 1) / aligned_to * aligned_to);
}

void clear(ggml_backend_buffer_t buffer, uint8_t value) { memset(base(buffer), value, buffer->size); }

ggml_backend_buffer_t allocate(ggml_backend_buffer_type_t type, size_t size) {
    auto & one = *static_cast<agent_imaginary *>(type->context);
    if (size > room(one)) return nullptr;
    ggml_backend_buffer_t buffer = ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), size + aligned_to);
    if (!buffer) return nullptr;
    free_on_host = buffer->iface.free_buffer;
    buffer->iface.free_buffer = free_buffer;
    buffer->iface.get_base = base;
    buffer->iface.clear = clear;
    buffer->buft = type;
    buffer->size = size;
    one.used += size;
    return buffer;
}

// What a tensor takes: attention over a cache that is not F16 unpacks keys and values behind its result, and the last row
// of a quantized matrix is padded, for kernels that read beyond it.
size_t needed(ggml_backend_buffer_type_t, const ggml_tensor * tensor) {
    constexpr int64_t row = 512;
    if (tensor->op == GGML_OP_FLASH_ATTN_EXT) {
        const ggml_tensor * keys = tensor->src[1];
        const ggml_tensor * values = tensor->src[2];
        size_t size = ggml_nbytes(tensor);
        const auto unpacked = [&](const ggml_tensor * one) {
            if (one && one->type != GGML_TYPE_F16) size = GGML_PAD(size, aligned_to) + ggml_nelements(one) * sizeof(ggml_fp16_t);
        };
        unpacked(keys);
        // MLA's values are part of its keys.
        const auto part = [](const ggml_tensor * v, const ggml_tensor * k) {
            return v && k && v->view_src && (v->view_src == k || (v->view_src == k->view_src && v->view_offs == k->view_offs));
        };
        if (!part(values, keys)) unpacked(values);
        return size;
    }
    const int64_t beyond = tensor->ne[0] % row;
    const size_t padding = ggml_is_quantized(tensor->type) && beyond ? ggml_row_size(tensor->type, row - beyond) : 0;
    return ggml_nbytes(tensor) + padding;
}

// Copying weights to the device pays from this batch on.
bool offloads(ggml_backend_dev_t, const ggml_tensor * op) {
    constexpr int64_t batch = 32;
    switch (op->op) {
        case GGML_OP_GET_ROWS: return false;
        case GGML_OP_MUL_MAT: return op->ne[1] >= batch;
        case GGML_OP_MUL_MAT_ID:
        case GGML_OP_ROPE:
        case GGML_OP_ROPE_BACK: return op->ne[2] >= batch;
        default: return ggml_nrows(op) >= batch;
    }
}

void memory(ggml_backend_dev_t device, size_t * free, size_t * total) {
    *free = room(of(device));
    *total = of(device).total;
}

const char * name(ggml_backend_dev_t device) { return of(device).name.c_str(); }
const char * description(ggml_backend_dev_t) { return ""; }

void properties(ggml_backend_dev_t device, ggml_backend_dev_props * props) {
    props->name = name(device);
    props->description = description(device);
    props->type = GGML_BACKEND_DEVICE_TYPE_GPU;
    memory(device, &props->memory_free, &props->memory_total);
    props->caps = {};
    props->caps.async = true;
    props->caps.events = true;
}

ggml_backend_t open(ggml_backend_dev_t device, const char *) {
    ggml_backend_t backend = ggml_backend_cpu_init();
    if (!backend) return nullptr;
    backend->device = device;
    backend->iface.get_name = [](ggml_backend_t b) { return name(b->device); };
    return backend;
}

// The CPU's, but for its own buffer types: an imaginary device has one.
void * procedure(ggml_backend_reg_t, const char * wanted) {
    if (strcmp(wanted, "ggml_backend_dev_get_extra_bufts") == 0) return nullptr;
    return ggml_backend_reg_get_proc_address(ggml_backend_cpu_reg(), wanted);
}

ggml_backend_reg * registry() {
    static ggml_backend_reg one = [] {
        ggml_backend_reg reg{};
        reg.api_version = GGML_BACKEND_API_VERSION;
        reg.iface.get_name = [](ggml_backend_reg_t) { return ""; };
        reg.iface.get_device_count = [](ggml_backend_reg_t) -> size_t { return 0; };
        reg.iface.get_device = [](ggml_backend_reg_t, size_t) -> ggml_backend_dev_t { return nullptr; };
        reg.iface.get_proc_address = procedure;
        return reg;
    }();
    return &one;
}

} // namespace

extern "C" {

// Makes a device; null when memory is short. It must outlive every model that was loaded with it.
agent_imaginary * agent_imaginary_open(const char * called, size_t total, size_t free) {
    auto * one = new (std::nothrow) agent_imaginary();
    if (!one) return nullptr;
    one->name = called;
    one->total = total;
    one->others = free < total ? total - free : 0;
    one->type = *ggml_backend_cpu_buffer_type();
    one->type.context = one;
    one->type.device = &one->device;
    one->type.iface.get_name = [](ggml_backend_buffer_type_t t) { return static_cast<agent_imaginary *>(t->context)->name.c_str(); };
    one->type.iface.alloc_buffer = allocate;
    one->type.iface.get_alignment = alignment;
    one->type.iface.get_alloc_size = needed;
    one->type.iface.is_host = [](ggml_backend_buffer_type_t) { return false; };
    one->device.iface = ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0)->iface;
    one->device.context = one;
    one->device.reg = registry();
    auto & face = one->device.iface;
    face.get_name = name;
    face.get_description = description;
    face.get_memory = memory;
    face.get_type = [](ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_GPU; };
    face.get_props = properties;
    face.init_backend = open;
    face.get_buffer_type = [](ggml_backend_dev_t d) -> ggml_backend_buffer_type_t { return &of(d).type; };
    // Weights that stay on the host lie there plain, not repacked for the processor, where a device can fetch them.
    face.get_host_buffer_type = [](ggml_backend_dev_t) { return ggml_backend_cpu_buffer_type(); };
    face.buffer_from_host_ptr = nullptr;
    face.offload_op = offloads;
    face.supports_op = [](ggml_backend_dev_t, const ggml_tensor *) { return true; };
    face.supports_buft = [](ggml_backend_dev_t d, ggml_backend_buffer_type_t t) { return t->device == d; };
    return one;
}

void agent_imaginary_close(agent_imaginary * one) { delete one; }

// The device as llama.cpp takes it. Borrowed.
ggml_backend_dev_t agent_imaginary_device(agent_imaginary * one) { return &one->device; }

} // extern "C"
