// The kernels in plain C, with the compiler's own vectors of 4 floats: any
// processor, 64-bit ARM among them.

#include "ops.h"

#define VL 4
#ifdef NARROW
#define LANES 8
#else
#define LANES 16
#endif
#define IMAGES 1
typedef float vf __attribute__((vector_size(16)));
typedef int vm __attribute__((vector_size(16)));
typedef vm vi;
typedef int vi_unaligned __attribute__((vector_size(16), aligned(4), may_alias));
typedef float vf_unaligned __attribute__((vector_size(16), aligned(4), may_alias));
#define LD(p) ((vf)*(const vf_unaligned *)(p))
#define ST(p, v) (*(vf_unaligned *)(p) = (vf_unaligned)(v))
#define STREAM(p, v) ST(p, v)
#define SET1(s) ((vf){ s, s, s, s })
#define FMA(a, b, c) ((a) * (b) + (c))
#define ADD(a, b) ((a) + (b))
#define SUB(a, b) ((a) - (b))
#define MUL(a, b) ((a) * (b))
#define GT(a, b) ((vm)((a) > (b)))
#define ANDNOT(a, b) (~(a) & (b))
#define OR(a, b) ((a) | (b))
#define ALL ((vm){ -1, -1, -1, -1 })
#define NONE ((vm){ 0, 0, 0, 0 })
#define KEEP(m, x) ((vf)((m) & (vm)(x)))
#define MERGE(m, x, y) ((vf)(((m) & (vm)(x)) | (~(m) & (vm)(y))))
#define LDI(p) ((vi)*(const vi_unaligned *)(p))
#define LDH(p) widened(p)
#define STH(p, v) halve(p, v)
#define STREAMH(p, v) halve(p, v)
#define ROUND(v) rounded(v)
typedef uint32_t vu __attribute__((vector_size(16)));
static inline vf widened(const uint16_t *p) {
	return (vf)((vu){ p[0], p[1], p[2], p[3] } << 16);
}
static inline vf rounded(vf v) {
	vu x = (vu)v;
	return (vf)((x + 0x7fff + (x >> 16 & 1)) & 0xffff0000u);
}
static inline void halve(uint16_t *p, vf v) { // of rounded ones
	vu x = (vu)v >> 16;
	for (int i = 0; i < VL; i++) p[i] = (uint16_t)x[i];
}
#define PERMUTE(i, x) permuted(i, x)
static inline vf permuted(vi i, vf x) {
	return (vf){ x[i[0]], x[i[1]], x[i[2]], x[i[3]] };
}
#define MAX(a, b) larger(a, b)
static inline vf larger(vf a, vf b) {
	return MERGE(GT(a, b), a, b);
}

#include "kernels.h"
#ifndef NARROW
#include "steps.h"
#endif

#ifdef NARROW
const nb_kernel *nb_generic_narrow(void) { return table; }
#else
const nb_kernel *nb_generic(void) { return table; }

const nb_steps *nb_generic_steps(void) { return &steps; }
#endif
