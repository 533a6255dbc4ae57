package dagnet

// #cgo CFLAGS: -Wall
// #cgo !asan,!race CFLAGS: -O3
// #cgo noescape product
// #cgo nocallback product
// #cgo noescape gate
// #cgo nocallback gate
// #cgo noescape gate_back
// #cgo nocallback gate_back
// #cgo noescape smooth
// #cgo nocallback smooth
// #cgo noescape smooth_back
// #cgo nocallback smooth_back
// #include "kernels.h"
//
// static void product(const nb1_kernels *k, long rows, long columns, long depth, const float *a, long a_row, long a_column,
//                     const float *b, long b_row, float *c, long c_row, int add) {
// 	k->product(rows, columns, depth, a, a_row, a_column, b, b_row, c, c_row, add);
// }
// static void gate(const nb1_kernels *k, long n, long hidden, const float *z, const float *m, long m_row, float *s) {
// 	k->gate(n, hidden, z, m, m_row, s);
// }
// static void gate_back(const nb1_kernels *k, long n, long hidden, float *z, const float *m, long m_row, const float *ds, float *dm) {
// 	k->gate_back(n, hidden, z, m, m_row, ds, dm);
// }
// static void smooth(const nb1_kernels *k, long n, const float *z, float *y) { k->smooth(n, z, y); }
// static void smooth_back(const nb1_kernels *k, long n, const float *z, float *dy) { k->smooth_back(n, z, dy); }
import "C"

// kernels are the C functions of kernels.h for one kind of processor.
type kernels struct{ table *C.nb1_kernels }

// available returns the kernels that run on this processor, the fastest first.
func available() []kernels {
	var all []kernels
	for _, table := range []*C.nb1_kernels{C.nb1_avx512(), C.nb1_avx2(), C.nb1_plain()} {
		if table != nil {
			all = append(all, kernels{table})
		}
	}
	return all
}

// matrix is a view of rows by columns in a slice.
type matrix struct {
	data          []float32
	rows, columns int
	row, column   int // distances of neighbours in a column and in a row
}

// dense returns the first rows·columns elements as a matrix.
func dense(data []float32, rows, columns int) matrix {
	return matrix{data[:rows*columns], rows, columns, columns, 1}
}

func (m matrix) transposed() matrix {
	return matrix{m.data, m.columns, m.rows, m.column, m.row}
}

// first returns the given number of first columns.
func (m matrix) first(columns int) matrix {
	m.columns = columns
	return m
}

// part returns the rows from..to-1.
func (m matrix) part(from, to int) matrix {
	m.data, m.rows = m.data[from*m.row:], to-from
	return m
}

func pointer(x []float32) *C.float { return (*C.float)(&x[0]) }

// product sets c to a·b, or adds it. The rows of b and c lie in one piece each.
func (k kernels) product(c, a, b matrix, add bool) {
	if a.rows == 0 {
		return
	}
	if c.rows != a.rows || c.columns != b.columns || a.columns != b.rows || b.column != 1 || c.column != 1 {
		panic("dagnet: product of matrices that do not fit")
	}
	adding := C.int(0)
	if add {
		adding = 1
	}
	C.product(k.table, C.long(a.rows), C.long(b.columns), C.long(b.rows), pointer(a.data), C.long(a.row), C.long(a.column),
		pointer(b.data), C.long(b.row), pointer(c.data), C.long(c.row), adding)
}

// gate computes the states of vertices: what comes in, m, passes as far as their
// gates are shut, and a new value as far as they are open. See kernels.h.
func (k kernels) gate(s, z, m matrix) {
	if z.rows > 0 {
		C.gate(k.table, C.long(z.rows), C.long(s.columns), pointer(z.data), pointer(m.data), C.long(m.row), pointer(s.data))
	}
}

// gateBack turns z into its gradient, and sets dm.
func (k kernels) gateBack(dm, z, m, ds matrix) {
	if z.rows > 0 {
		C.gate_back(k.table, C.long(z.rows), C.long(ds.columns), pointer(z.data), pointer(m.data), C.long(m.row), pointer(ds.data), pointer(dm.data))
	}
}

// smooth computes the values of a hidden layer.
func (k kernels) smooth(y, z []float32) { C.smooth(k.table, C.long(len(y)), pointer(z), pointer(y)) }

func (k kernels) smoothBack(dy, z []float32) {
	C.smooth_back(k.table, C.long(len(dy)), pointer(z), pointer(dy))
}
