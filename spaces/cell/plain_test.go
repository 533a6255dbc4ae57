package cell

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"slices"
	"strconv"
)

// label is the lower-case hexadecimal MD5 sum that stands for a vertex.
type label [2 * md5.Size]byte

func labelOf(text []byte) (l label) {
	sum := md5.Sum(text)
	hex.Encode(l[:], sum[:])
	return l
}

// labels holds one label per vertex of a cell of at most MaxVertices.
type labels [MaxVertices]label

// textSize bounds the texts that are summed: the longest is the final list.
const textSize = MaxVertices * (len(label{}) + len("'', "))

// plainDigest is the hash in plain words:
// it hashes a pruned cell of at most MaxVertices vertices: every vertex
// mixes the labels of its neighbours into its own as many times as there are
// vertices, so that each learns of the whole graph, and the sorted labels
// are summed.
func (s Spec) plainDigest() Hash {
	l := s.initialLabels()
	for range s.Vertices() {
		l = s.refine(&l)
	}
	text := append(make([]byte, 0, textSize), '[')
	for i, v := range s.byLabel(&l) {
		if i > 0 {
			text = append(text, ", "...)
		}
		text = append(text, '\'')
		text = append(text, l[v][:]...)
		text = append(text, '\'')
	}
	return md5.Sum(append(text, ']'))
}

// initialLabels sums "(out-degree, in-degree, operation)" of each vertex.
func (s Spec) initialLabels() (l labels) {
	n := s.Vertices()
	text := make([]byte, 0, textSize)
	for v := range n {
		out, in := 0, 0
		for u := range n {
			out += int(s.Matrix[v][u])
			in += int(s.Matrix[u][v])
		}
		op := -1 // the input
		switch {
		case v == n-1:
			op = -2
		case v > 0:
			op = int(s.Ops[v-1])
		}
		text = append(text[:0], '(')
		text = strconv.AppendInt(text, int64(out), 10)
		text = append(text, ", "...)
		text = strconv.AppendInt(text, int64(in), 10)
		text = append(text, ", "...)
		text = strconv.AppendInt(text, int64(op), 10)
		l[v] = labelOf(append(text, ')'))
	}
	return l
}

// refine sums, for each vertex, the sorted labels of its in-neighbours, those
// of its out-neighbours and its own, separated by bars.
func (s Spec) refine(l *labels) (next labels) {
	order := s.byLabel(l)
	text := make([]byte, 0, textSize)
	for v := range s.Vertices() {
		text = text[:0]
		for _, u := range order {
			if s.Matrix[u][v] == 1 {
				text = append(text, l[u][:]...)
			}
		}
		text = append(text, '|')
		for _, u := range order {
			if s.Matrix[v][u] == 1 {
				text = append(text, l[u][:]...)
			}
		}
		text = append(text, '|')
		next[v] = labelOf(append(text, l[v][:]...))
	}
	return next
}

// byLabel lists the vertices in the order of their labels.
func (s Spec) byLabel(l *labels) []int {
	order := make([]int, s.Vertices(), MaxVertices)
	for v := range order {
		order[v] = v
	}
	slices.SortFunc(order, func(u, v int) int { return bytes.Compare(l[u][:], l[v][:]) })
	return order
}
