/*
 * inocula_backend.h: the interface between Inocula and a compute backend in a shared library.
 *
 * This file is the specification. A backend may be written in any language that can export one C
 * function; Rust backends get all of it from `inocula_core::export_backend!`.
 *
 * THE ENTRY
 *   A library exports one function,
 *       const inocula_backend_api *inocula_backend_NAME_v1(void);
 *   where NAME is the part of its file's name after "libinocula_backend_", or, whatever the file is
 *   called, inocula_backend_v1. The table it returns is constant and lives as long as the process:
 *   a library is loaded once (RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) and never unloaded.
 *
 * THE MANIFEST
 *   A text of lines, in a section called ".inocula" ("__DATA,__inocula" on Apple systems) and in the
 *   table. The host lists backends by reading the section, without loading the library:
 *       inocula backend
 *       abi=1.1
 *       name=NAME
 *       version=0.1.0
 *       devices=cpu, cuda
 *       summary=One line.
 *   The first line is fixed; abi and name are required; unknown keys are ignored.
 *
 * VERSIONS
 *   The major version is in the entry's name and in the table, and changes when something that
 *   exists changes its meaning. Everything else is append-only: functions at the end of the table,
 *   operation codes, attributes at the end of an operation's list, error codes. A field of a struct
 *   that begins with struct_size exists if and only if it ends within struct_size bytes; sizes and
 *   minor versions are never compared for equality. A null function is one that is not implemented.
 *   A backend answers INOCULA_UNIMPLEMENTED to an operation that it does not know, and the host
 *   computes a fused one from simpler ones.
 *
 * ERRORS
 *   Functions that can fail return NULL for success or an error, which the backend allocates and
 *   frees (error_free). Its message is one line of UTF-8: lower case, what failed, what to do. After
 *   an error, out parameters are not read.
 *
 * MEMORY
 *   Who allocates frees. Texts and lists that a function is given are valid during the call only,
 *   unless stated otherwise. Arrays are immutable from the moment they are returned, but for what
 *   host_memory lends, and freed by buffer_free or by being donated. A donated operand belongs to the callee from the moment of the
 *   call, which consumes it on success and on failure alike, and may compute in its memory. An array
 *   is not passed as a donated and as a shared operand of the same call. close is called after every
 *   array of the device was freed.
 *
 * THREADS
 *   Every function may be called from any thread, and from several at once, on one device as well.
 *
 * PANICS AND EXCEPTIONS
 *   Nothing unwinds through these functions. A backend that fails in a way that leaves it unusable
 *   answers every later call on that device with an error.
 *
 * ARITHMETIC
 *   Shapes and element types are checked by the host before a call; `outs` tells what the results
 *   will be, and the backend may rely on it. What the numbers of an array are is not checked: an
 *   index out of range must be an error that names it, never a read outside of the array. Nothing is
 *   computed in a lower precision than the operands'. What each operation means, its rules for ties
 *   included, is stated in the table below and in the documentation of inocula_core::op::Op.
 */
#ifndef INOCULA_BACKEND_H
#define INOCULA_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define INOCULA_ABI_MAJOR 1
#define INOCULA_ABI_MINOR 1
#define INOCULA_MAX_RANK 6

/* Element types. Arrays cross in row-major order, dense, little-endian. */
enum { INOCULA_F32 = 0, INOCULA_F64 = 1, INOCULA_I64 = 2 };

/* Kinds of errors. An unknown one counts as INOCULA_FAILED. */
enum {
    INOCULA_FAILED = 1,        /* the backend failed while it ran */
    INOCULA_UNIMPLEMENTED = 2, /* an operation, element type or function that there is not */
    INOCULA_BAD_OPTION = 3,    /* an option is unknown or out of range */
    INOCULA_NOT_FOUND = 4,     /* no such device */
    INOCULA_MISUSE = 5,        /* a call that this specification rules out */
    INOCULA_BAD_SHAPE = 6,
    INOCULA_NOT_A_NUMBER = 7,
    INOCULA_IO = 8,
    INOCULA_CANCELLED = 9,
    INOCULA_BAD_DATA = 10
};

/* UTF-8, not terminated. */
typedef struct inocula_text {
    const char *ptr; /* may be NULL if len is 0 */
    size_t len;
} inocula_text;

/* One key=value of a device spec such as "tch:cuda:0?threads=2". */
typedef struct inocula_option {
    inocula_text key;
    inocula_text value;
} inocula_option;

/* Element type and shape of an array. A scalar has rank 0; extents may be 0. */
typedef struct inocula_array {
    uint32_t dtype;
    uint32_t rank;
    uint64_t dims[INOCULA_MAX_RANK]; /* outermost first; 0 from rank on */
} inocula_array;

/* An operation: a code and attributes of the table below, booleans as 0 and 1. */
typedef struct inocula_op {
    uint32_t code;
    uint32_t n_ints;
    uint32_t n_floats;
    uint32_t reserved; /* 0 */
    const int64_t *ints;
    const double *floats;
} inocula_op;

/* Types that only the backend looks into. */
typedef struct inocula_device inocula_device;
typedef struct inocula_buffer inocula_buffer;
typedef struct inocula_error inocula_error;

typedef struct inocula_arg {
    inocula_buffer *buffer;
    uint32_t donated;  /* not 0: given away, see MEMORY */
    uint32_t reserved; /* 0 */
} inocula_arg;

/* What a backend may call. Valid as long as the process. */
typedef struct inocula_host {
    size_t struct_size;
    /* A line for the log. level: 1 error, 2 warning, 3 info, 4 debug, 5 trace. */
    void (*log)(uint32_t level, inocula_text message);
} inocula_host;

typedef struct inocula_device_info {
    size_t struct_size;   /* set by the caller */
    uint64_t threads;     /* worker threads on the host, 0 if none */
    inocula_text device;  /* within the backend: "cpu", "cuda:0". Valid as long as the device */
    inocula_text version; /* of the backend and what it stands on. Valid as long as the device */
} inocula_device_info;

typedef struct inocula_backend_api {
    size_t struct_size; /* sizeof(inocula_backend_api) of the backend's header */
    uint32_t major;     /* INOCULA_ABI_MAJOR */
    uint32_t minor;     /* INOCULA_ABI_MINOR */
    inocula_text manifest;

    /* An error's kind; its message, valid until it is freed. All three are required. */
    uint32_t (*error_code)(const inocula_error *);
    inocula_text (*error_message)(const inocula_error *);
    void (*error_free)(inocula_error *);

    /* Calls visit with the name of each device that could be opened now. Optional. */
    inocula_error *(*devices)(void (*visit)(void *context, inocula_text device), void *context);

    /* Opens a device; an empty name is the default one. Options that the backend does not know are
     * an error. Required, as is close. */
    inocula_error *(*open)(const inocula_host *host, inocula_text device,
                           const inocula_option *options, size_t n_options, inocula_device **out);
    void (*close)(inocula_device *);

    /* Describes a device: fills in the fields that exist by out->struct_size. Required. */
    inocula_error *(*info)(const inocula_device *, inocula_device_info *out);

    /* Whether an operation runs on operands of an element type. Optional: without it the host
     * expects all but the fused ones. */
    uint32_t (*supports)(const inocula_device *, uint32_t op, uint32_t dtype);

    /* Copies an array to the device, and back. download waits until it has been computed; len is the
     * size of the whole array. Required. */
    inocula_error *(*upload)(const inocula_device *, const inocula_array *array,
                             const uint8_t *bytes, size_t len, inocula_buffer **out);
    inocula_error *(*download)(const inocula_device *, const inocula_buffer *, uint8_t *bytes,
                               size_t len);

    /* Runs an operation. outs describes the results, out has room for n_outs of them. Required. */
    inocula_error *(*execute)(const inocula_device *, const inocula_op *op, const inocula_arg *args,
                              size_t n_args, const inocula_array *outs, size_t n_outs,
                              inocula_buffer **out);

    /* Waits for everything that was queued. Optional: without it nothing is ever queued. */
    inocula_error *(*sync)(const inocula_device *);

    /* Required. */
    void (*buffer_free)(const inocula_device *, inocula_buffer *);

    /* From 1.1 on. Lends the elements of an array for the host to change where they lie: all of them,
     * row-major, *len bytes, until the next call that is given this array. NULL where they lie elsewhere
     * or in another order, or where the memory is another array's too. The host does so only while
     * nobody reads the array. Optional: without it elements are changed by operations. */
    uint8_t *(*host_memory)(const inocula_device *, inocula_buffer *, size_t *len);
} inocula_backend_api;

/*
 * Operations. Operands are positional, `*` is any number from one. Attributes are in order;
 * `name[2]` is a pair (height, width), `name[..]` takes what is left, split evenly where two lists
 * follow each other. Codes from 1000 are fused: a backend need not have them.
 *
 * BEGIN GENERATED from inocula_core::op by `cargo xtask abi write`
 *   code  name               operands  ints                                                        floats
 *   1     neg                1
 *   2     exp                1
 *   3     log                1
 *   4     sqrt               1
 *   5     tanh               1
 *   6     erf                1
 *   7     abs                1
 *   8     sign               1
 *   9     round              1
 *   10    affine             1                                                                     mul add
 *   20    add                2
 *   21    sub                2
 *   22    mul                2
 *   23    div                2
 *   24    maximum            2
 *   25    minimum            2
 *   26    pow                2
 *   30    eq                 2
 *   31    lt                 2
 *   32    le                 2
 *   33    where              3
 *   34    cast               1         dtype
 *   40    full               0         dtype shape[..]                                             value
 *   41    iota               0         len
 *   50    sum                1         axes[..]
 *   51    max                1         axis
 *   52    argmax             1         axis
 *   60    broadcast          1         shape[..]
 *   61    reshape            1         shape[..]
 *   62    permute            1         axes[..]
 *   63    flip               1         axes[..]
 *   64    slice              1         start[..] len[..]
 *   65    pad                1         before[..] after[..]
 *   66    concat             *         axis
 *   70    gather             2         axis
 *   71    scatter_add        3         axis
 *   72    take               2         axis
 *   73    put_add            3         axis
 *   80    unfold2d           1         kernel[2] stride[2] padding[2] dilation[2]
 *   81    fold2d             1         kernel[2] stride[2] padding[2] dilation[2] size[2]
 *   90    matmul             2         trans_a trans_b
 *   91    conv2d             2         stride[2] padding[2] dilation[2] groups
 *   92    conv2d_dx          2         stride[2] padding[2] dilation[2] groups input[2]
 *   93    conv2d_dw          2         stride[2] padding[2] dilation[2] groups kernel[2]
 *   94    max_pool2d_idx     1         kernel[2] stride[2] padding[2] dilation[2]
 *   1000  relu               1
 *   1001  relu_grad          2
 *   1002  linear             3         relu
 *   1003  conv_bias          3         stride[2] padding[2] dilation[2] groups relu
 *   1004  max_pool2d         1         kernel[2] stride[2] padding[2] dilation[2]
 *   1005  max_pool2d_grad    2         kernel[2] stride[2] padding[2] dilation[2]
 *   1006  softmax_xent       2
 *   1007  softmax_xent_grad  3
 *   1008  pgd_step           3                                                                     step eps lo hi
 *   1009  adam_step          4                                                                     beta1 beta2 step scale eps
 *   1010  conv_weight_grads  2         stride[2] padding[2] dilation[2] groups kernel[2]
 */
enum {
    INOCULA_OP_NEG = 1,
    INOCULA_OP_EXP = 2,
    INOCULA_OP_LOG = 3,
    INOCULA_OP_SQRT = 4,
    INOCULA_OP_TANH = 5,
    INOCULA_OP_ERF = 6,
    INOCULA_OP_ABS = 7,
    INOCULA_OP_SIGN = 8,
    INOCULA_OP_ROUND = 9,
    INOCULA_OP_AFFINE = 10,
    INOCULA_OP_ADD = 20,
    INOCULA_OP_SUB = 21,
    INOCULA_OP_MUL = 22,
    INOCULA_OP_DIV = 23,
    INOCULA_OP_MAXIMUM = 24,
    INOCULA_OP_MINIMUM = 25,
    INOCULA_OP_POW = 26,
    INOCULA_OP_EQ = 30,
    INOCULA_OP_LT = 31,
    INOCULA_OP_LE = 32,
    INOCULA_OP_WHERE = 33,
    INOCULA_OP_CAST = 34,
    INOCULA_OP_FULL = 40,
    INOCULA_OP_IOTA = 41,
    INOCULA_OP_SUM = 50,
    INOCULA_OP_MAX = 51,
    INOCULA_OP_ARGMAX = 52,
    INOCULA_OP_BROADCAST = 60,
    INOCULA_OP_RESHAPE = 61,
    INOCULA_OP_PERMUTE = 62,
    INOCULA_OP_FLIP = 63,
    INOCULA_OP_SLICE = 64,
    INOCULA_OP_PAD = 65,
    INOCULA_OP_CONCAT = 66,
    INOCULA_OP_GATHER = 70,
    INOCULA_OP_SCATTER_ADD = 71,
    INOCULA_OP_TAKE = 72,
    INOCULA_OP_PUT_ADD = 73,
    INOCULA_OP_UNFOLD2D = 80,
    INOCULA_OP_FOLD2D = 81,
    INOCULA_OP_MATMUL = 90,
    INOCULA_OP_CONV2D = 91,
    INOCULA_OP_CONV2D_DX = 92,
    INOCULA_OP_CONV2D_DW = 93,
    INOCULA_OP_MAX_POOL2D_IDX = 94,
    INOCULA_OP_RELU = 1000,
    INOCULA_OP_RELU_GRAD = 1001,
    INOCULA_OP_LINEAR = 1002,
    INOCULA_OP_CONV_BIAS = 1003,
    INOCULA_OP_MAX_POOL2D = 1004,
    INOCULA_OP_MAX_POOL2D_GRAD = 1005,
    INOCULA_OP_SOFTMAX_XENT = 1006,
    INOCULA_OP_SOFTMAX_XENT_GRAD = 1007,
    INOCULA_OP_PGD_STEP = 1008,
    INOCULA_OP_ADAM_STEP = 1009,
    INOCULA_OP_CONV_WEIGHT_GRADS = 1010
};
/*
 * END GENERATED
 */

#ifdef __cplusplus
}
#endif

#endif
