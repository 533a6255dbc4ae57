package phases

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unsafe"

	"github.com/nb1shot/nb1shot/internal/engine"
)

// Listing compiles a plan without an engine and writes its program, an instruction a
// line. The machine is one that finishes an image before the next, as the CPU engine
// does.
//
// A plane is written as the number of its storage and, from the second block of 16
// channels on, the block: s3 or s3.1. The letter is s for scratch memory, m for memory
// of the whole batch. A coefficient that is not 1 is written k, whatever its value. What
// depends on the varying inputs is marked by ~.
func Listing(w io.Writer, plan *engine.Plan) error {
	m := &paper{}
	inputs := map[string]engine.Vector{}
	for _, v := range plan.Values {
		if v.Input != "" {
			inputs[v.Input] = m.vector(v.Input, v.Size())
		}
	}
	var outputs []engine.Vector
	for i, o := range plan.Outputs {
		outputs = append(outputs, m.vector(fmt.Sprintf("output %d", i), plan.Values[o].Size()))
	}
	c, err := newCompiler(m, plan, inputs, outputs)
	if err != nil {
		return err
	}
	if err := c.compile(); err != nil {
		return err
	}
	c.schedule()
	l := &lister{compiler: c}
	l.program()
	_, err = io.WriteString(w, strings.Join(l.lines, "\n")+"\n")
	return err
}

// paper is a machine without kernels: its memory is only there to have addresses.
type paper struct {
	vectors int
	kept    []any
}

// paperVector is a vector of it, which has a name and a length instead of elements.
type paperVector struct {
	engine.Vector // nil: nothing is computed
	name          string
	n             int
	address       *byte
}

func (m *paper) vector(name string, n int) paperVector {
	return paperVector{name: name, n: n, address: new(byte)}
}

func (m *paper) Alloc(bytes int) (Address, unsafe.Pointer) {
	memory := make([]uint64, bytes/8+1)
	m.kept = append(m.kept, memory)
	p := unsafe.Pointer(unsafe.SliceData(memory))
	return Address(p), p
}

func (m *paper) Room(bytes int) Address {
	a, _ := m.Alloc(bytes)
	return a
}

func (m *paper) NewVector(n int) Vector {
	m.vectors++
	return m.vector(fmt.Sprintf("vector %d", m.vectors), n)
}

func (m *paper) Pack(*Packing) Address              { return m.Room(8) }
func (m *paper) PackedGradients(out, in, k int) int { return out * in * k * k * Lanes * Lanes }
func (m *paper) Together() bool                     { return false }
func (m *paper) Layout() Layout                     { return Layout{Lanes, 1} }
func (m *paper) Half() bool                         { return false }

func (v paperVector) Len() int         { return v.n }
func (v paperVector) Address() Address { return Address(unsafe.Pointer(v.address)) }

var kindNames = [OpCount]string{"combine", "reduce", "conv1", "conv3", "convk", "weight1", "weight3", "weightk", "pool", "pool-back",
	"pool-take", "depth", "depth-back", "depth-weight", "average", "average-back", "subsample", "spread", "mask", "mean", "mean-back", "load", "store", "repack", "loss", "loss-back", "loss-back-back", "loss-dot", "stream"}

var numbersNames = [NumbersCount]string{"copy", "add", "subtract", "multiply", "scale", "divide", "root", "positive", "sum", "read", "write"}

type lister struct {
	*compiler
	lines []string
}

func (l *lister) line(format string, arguments ...any) {
	l.lines = append(l.lines, fmt.Sprintf(format, arguments...))
}

// program writes every phase that has something in it; after the last one there may be
// numbers left.
func (l *lister) program() {
	next := 0
	for level := range l.lastPhase() + 2 {
		heading := len(l.lines)
		l.line("phase %d", level)
		l.numbers(level)
		for ; next < len(l.instructions) && l.instructions[next].phase == level; next++ {
			l.instruction(l.instructions[next])
		}
		if len(l.lines) == heading+1 {
			l.lines = l.lines[:heading]
		}
	}
}

// numbers writes how many computations of each kind come before the phase.
func (l *lister) numbers(level int) {
	for _, varies := range []bool{false, true} {
		var counts [NumbersCount]int
		for _, h := range l.hosts {
			if h.level == level && h.varies == varies {
				counts[h.kind]++
			}
		}
		var parts []string
		for kind, n := range counts {
			if n > 0 {
				parts = append(parts, fmt.Sprintf("%s %d", numbersNames[kind], n))
			}
		}
		if parts != nil {
			l.line("  %s%-10s %s", mark(varies), "numbers", strings.Join(parts, ", "))
		}
	}
}

func mark(varies bool) string {
	if varies {
		return "~"
	}
	return " "
}

func (l *lister) instruction(in *instruction) {
	text := ""
	switch in.kind {
	case OpCombine:
		var passes []string
		for _, p := range in.passes {
			passes = append(passes, describePass(p))
		}
		text = strings.Join(passes, "; ")
	case OpReduce:
		var all []string
		for _, r := range in.reductions {
			all = append(all, describeReduction(r))
		}
		text = strings.Join(all, "; ")
	case OpStream:
		text = describePlanes(in.in) + " to memory"
	case OpWeight1, OpWeight3, OpWeightK:
		text = fmt.Sprintf("%s = %s", vectorName(in.weights.pieces[0].w.array), describePlanes(slices.Concat(in.in, in.aux)))
	default:
		text = describePlanes(slices.Concat(in.in, in.aux))
		if len(in.out) > 0 {
			becomes := "="
			if in.accumulate {
				becomes = "+="
			}
			text = fmt.Sprintf("%s %s %s", describePlanes(in.out), becomes, text)
		}
		if in.weights != nil {
			var names []string
			for _, p := range in.weights.pieces {
				name := vectorName(p.w.array)
				if p.transposed {
					name += "ᵀ"
				}
				names = append(names, name)
			}
			text += " by " + strings.Join(names, ", ")
		}
	}
	if slices.ContainsFunc(in.stats, func(s *sums) bool { return s != nil }) {
		text += "; sums"
	}
	if in.sums != nil {
		text += "; sum"
	}
	if in.guard != always {
		text += fmt.Sprintf("; unless one of %v is 0", l.guards[in.guard])
	}
	l.line("  %s%-10s %s", mark(in.varies), kindNames[in.kind], text)
}

func vectorName(v Vector) string {
	if p, ok := v.(paperVector); ok {
		return p.name
	}
	return "?"
}

func describePlane(p plane) string {
	if p.storage == nil {
		return "1"
	}
	if p.vector != nil {
		return vectorName(p.vector)
	}
	name := fmt.Sprintf("m%d", p.id)
	if p.scratch {
		name = fmt.Sprintf("s%d", p.id)
	}
	if p.block > 0 {
		name += fmt.Sprintf(".%d", p.block)
	}
	return name
}

// describePlanes writes planes, consecutive blocks of a storage as one.
func describePlanes(planes []plane) string {
	var parts []string
	for i := 0; i < len(planes); {
		n := 1
		for i+n < len(planes) && planes[i+n].storage == planes[i].storage && planes[i+n].block == planes[i].block+n {
			n++
		}
		text := describePlane(planes[i])
		if n > 1 {
			text += fmt.Sprintf("…%d", planes[i].block+n-1)
		}
		parts = append(parts, text)
		i += n
	}
	return strings.Join(parts, ", ")
}

func describePass(p pass) string {
	var sum []string
	for _, t := range p.terms {
		sum = append(sum, describeTerm(t))
	}
	if p.b != nil {
		sum = append(sum, "k")
	}
	if sum == nil {
		sum = []string{"0"}
	}
	becomes := "="
	if p.accumulate {
		becomes = "+="
	}
	return fmt.Sprintf("%s %s %s", describePlane(p.out), becomes, strings.Join(sum, " + "))
}

func describeTerm(t term) string {
	text := describePlane(t.z)
	if t.kind == relu {
		text = "max(" + describeAffine(t.y, t.s, t.t) + ", 0)"
	}
	text = describeProduct(t.a, text)
	if t.kind == masked {
		text = fmt.Sprintf("(%s where %s > 0)", text, describeAffine(t.y, t.s, t.t))
	}
	if t.image.storage != nil {
		text += " of each image times " + describePlane(t.image)
	}
	return text
}

func describeProduct(a *coef, text string) string {
	if a == one {
		return text
	}
	return "k·" + text
}

func describeAffine(y plane, s, t *coef) string {
	text := describeProduct(s, describePlane(y))
	if t != nil {
		text += " + k"
	}
	return text
}

func describeReduction(r *reduction) string {
	sums := []string{describePlane(r.z)}
	for _, w := range r.w {
		sums = append(sums, describePlane(r.z)+"·"+describePlane(w))
	}
	text := "Σ " + strings.Join(sums, ", Σ ")
	if r.mask.y.storage != nil {
		text += " where " + describeAffine(r.mask.y, r.mask.s, r.mask.t) + " > 0"
	}
	if r.image.storage != nil {
		text += " of each image times " + describePlane(r.image)
	}
	return text
}
