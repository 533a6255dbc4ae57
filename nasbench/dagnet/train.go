package dagnet

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"

	"github.com/nb1shot/nb1shot/internal/fault"
)

// Example is a graph and what a network shall say of it.
type Example struct {
	Graph  Graph
	Target [Outputs]float32 // NaN where it is unknown
	Weight float32          // in the loss
}

// Options are the settings of Train.
type Options struct {
	Hidden   int // units, at most 1,024; a multiple of 32 is fast
	Epochs   int // passes through the examples
	Random   *rand.Rand
	Progress func(epochs int) // is told how many are done; may be nil
}

// The settings that are the same for all: AdamW, its learning rate rising for a
// tenth of the steps and falling with a cosine to nothing.
const (
	batchSize = 1024
	chunkSize = 128 // examples that are worked on together
	beta1     = 0.9
	beta2     = 0.999
	epsilon   = 1e-8
	decay     = 0.1
	warmUp    = 0.1
	rateTop   = 3e-3
	rateStart = 0.04 // of the highest
	longest   = 1.0  // norm of a gradient
	bend      = 0.15 // error from which the loss is linear
)

// Train fits a network to examples and rounds it to what its file can hold. The
// result is the same for any number of threads, but not on processors that round
// products otherwise, such as those without fused multiply-add. It is an error if
// the context ends or if there is no full batch of 1,024 examples.
func Train(ctx context.Context, examples []Example, o Options) (*Network, error) {
	if len(examples) < batchSize {
		return nil, fmt.Errorf("%d examples, want at least %d", len(examples), batchSize)
	}
	n := newNetwork(o.Hidden, o.Random)
	t := newTrainer(n, available()[0])
	perEpoch := len(examples) / batchSize
	steps := o.Epochs * perEpoch
	step := 0
	for epoch := range o.Epochs {
		order := o.Random.Perm(len(examples))
		for b := range perEpoch {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			batch := make([]*Example, batchSize)
			for i := range batch {
				batch[i] = &examples[order[b*batchSize+i]]
			}
			t.step(batch, rate(float64(step)/float64(steps)))
			step++
		}
		if o.Progress != nil {
			o.Progress(epoch + 1)
		}
	}
	n.quantise()
	return n, nil
}

// rate is the learning rate when so much is done.
func rate(done float64) float64 {
	from, to, x := rateStart, 1.0, done/warmUp
	if done > warmUp {
		from, to, x = 1.0, 0.0, (done-warmUp)/(1-warmUp)
	}
	return rateTop * (to + (from-to)*(1+math.Cos(math.Pi*x))/2)
}

// trainer holds a network in training.
type trainer struct {
	*Network
	kernels  kernels
	mean     []float32 // of the gradient
	variance []float32 // uncentred
	steps    int
	turned   [matrices][]float32 // transposed matrices
	chunks   []*chunk
}

func newTrainer(n *Network, k kernels) *trainer {
	t := &trainer{Network: n, kernels: k, mean: make([]float32, len(n.weights.all)), variance: make([]float32, len(n.weights.all))}
	for i, m := range n.weights.of {
		t.turned[i] = make([]float32, len(m.data))
	}
	for range batchSize / chunkSize {
		t.chunks = append(t.chunks, newChunk(n.shape))
	}
	return t
}

// step improves the network by a batch and returns the batch's loss.
func (t *trainer) step(batch []*Example, rate float64) float64 {
	for i, m := range t.weights.of {
		turn(t.turned[i], m)
	}
	work := make(chan int, len(t.chunks))
	for i := range t.chunks {
		work <- i
	}
	close(work)
	var workers fault.Group
	for range min(runtime.GOMAXPROCS(0), len(t.chunks)) {
		workers.Go(func() {
			for i := range work {
				t.chunks[i].gradient(t, batch[i*chunkSize:(i+1)*chunkSize])
			}
		})
	}
	workers.Wait()

	var loss, norm float64
	sum := t.chunks[0].derivative.all
	for i, c := range t.chunks {
		loss += c.loss
		if i > 0 {
			for k, g := range c.derivative.all {
				sum[k] += g
			}
		}
	}
	scale := 1 / float32(len(batch))
	for k := range sum {
		sum[k] *= scale
		norm += float64(sum[k]) * float64(sum[k])
	}
	shrink := float32(min(1, longest/math.Sqrt(norm)))
	t.steps++
	unbias1 := float32(1 / (1 - math.Pow(beta1, float64(t.steps))))
	unbias2 := float32(1 / (1 - math.Pow(beta2, float64(t.steps))))
	keep := float32(1 - rate*decay)
	for k, g := range sum {
		g *= shrink
		t.mean[k] = beta1*t.mean[k] + (1-beta1)*g
		t.variance[k] = beta2*t.variance[k] + (1-beta2)*g*g
		slope := t.mean[k] * unbias1 / (float32(math.Sqrt(float64(t.variance[k]*unbias2))) + epsilon)
		t.weights.all[k] = t.weights.all[k]*keep - float32(rate)*slope
	}
	return loss / float64(len(batch))
}

// turn sets to to the transposed matrix.
func turn(to []float32, m matrix) {
	for i := range m.rows {
		for j, x := range m.data[i*m.row:][:m.columns] {
			to[j*m.rows+i] = x
		}
	}
}

// stage is a step of a direction: the vertices at one slot, of all graphs of a chunk, those
// of one kind together.
type stage struct {
	row   [chunkSize]int32 // of each graph that has such a vertex
	begin [kinds + 2]int   // first row of each kind
	m     []float32        // what comes in
	z     []float32
	s     []float32 // states, one row for each graph, in the order of the rows
	ds    []float32 // their gradients
}

// chunk works on some examples.
type chunk struct {
	shape
	stages     [2][slots]*stage
	x, dx      []float32 // what the first hidden layer reads
	z1, y1, d1 []float32
	z2, y2, d2 []float32
	out        []float32
	dm         []float32
	derivative weights
	loss       float64
}

func newChunk(s shape) *chunk {
	floats := func(columns int) []float32 { return make([]float32, chunkSize*columns) }
	c := &chunk{shape: s, derivative: s.weights(), x: floats(s.read()), dx: floats(4 * s.hidden),
		z1: floats(2 * s.hidden), y1: floats(2*s.hidden + 1), d1: floats(2 * s.hidden),
		z2: floats(s.hidden), y2: floats(s.hidden + 1), d2: floats(s.hidden),
		out: floats(Outputs), dm: floats(s.hidden)}
	for direction := range 2 {
		for slot := range slots {
			c.stages[direction][slot] = &stage{m: floats(s.arriving()), z: floats(2 * s.hidden), s: floats(s.hidden), ds: floats(s.hidden)}
		}
	}
	return c
}

// gradient sets the chunk's loss and its derivative, both summed over examples.
func (c *chunk) gradient(t *trainer, examples []*Example) {
	n, h := len(examples), c.hidden
	clear(c.derivative.all)
	for direction := range 2 {
		first, order := route(direction)
		st := c.stages[direction][first]
		initial := t.start(direction)
		for i := range examples {
			st.row[i] = int32(i)
			copy(st.s[i*h:], initial)
		}
		clear(st.ds)
		for _, slot := range order {
			c.arrive(direction, slot, examples)
			st := c.stages[direction][slot]
			for kind := range kinds + 1 {
				from, to := st.begin[kind], st.begin[kind+1]
				m := dense(st.m, n, c.arriving()).part(from, to)
				t.kernels.product(dense(st.z, n, 2*h).part(from, to), m, t.weights.of[vertex(direction, kind)], false)
			}
			rows := st.begin[kinds+1]
			t.kernels.gate(dense(st.s, rows, h), dense(st.z, rows, 2*h), dense(st.m, rows, c.arriving()))
		}
	}

	for i, e := range examples {
		x := c.x[i*c.read():][:c.read()]
		clear(x)
		copy(x, c.state(forward, output, i))
		copy(x[h:], c.state(backward, input, i))
		both, ahead := x[2*h:3*h], x[3*h:4*h]
		for v := 1; v <= e.Graph.n; v++ {
			f, b := c.state(forward, v, i), c.state(backward, v, i)
			for k := range f {
				both[k] += f[k] * b[k]
				ahead[k] += f[k]
			}
		}
		x[4*h], x[4*h+1] = e.Graph.size, 1
	}
	layers := []struct {
		x, z, y matrix
		w       int
	}{
		{dense(c.x, n, c.read()), dense(c.z1, n, 2*h), dense(c.y1, n, 2*h+1), layer1},
		{dense(c.y1, n, 2*h+1), dense(c.z2, n, h), dense(c.y2, n, h+1), layer2},
	}
	for _, l := range layers {
		t.kernels.product(l.z, l.x, t.weights.of[l.w], false)
		for i := range n {
			y := l.y.data[i*l.y.row:][:l.y.columns]
			t.kernels.smooth(y[:l.z.columns], l.z.data[i*l.z.row:][:l.z.columns])
			y[l.z.columns] = 1
		}
	}
	t.kernels.product(dense(c.out, n, Outputs), layers[1].y, t.weights.of[layer3], false)
	c.measure(examples)

	// Back through the layers.
	t.kernels.product(c.derivative.of[layer3], layers[1].y.transposed(), dense(c.out, n, Outputs), true)
	t.kernels.product(dense(c.d2, n, h), dense(c.out, n, Outputs), c.turned(t, layer3, h), false)
	t.kernels.smoothBack(c.d2[:n*h], c.z2[:n*h])
	t.kernels.product(c.derivative.of[layer2], layers[1].x.transposed(), dense(c.d2, n, h), true)
	t.kernels.product(dense(c.d1, n, 2*h), dense(c.d2, n, h), c.turned(t, layer2, 2*h), false)
	t.kernels.smoothBack(c.d1[:n*2*h], c.z1[:n*2*h])
	t.kernels.product(c.derivative.of[layer1], layers[0].x.transposed(), dense(c.d1, n, 2*h), true)
	t.kernels.product(dense(c.dx, n, 4*h), dense(c.d1, n, 2*h), c.turned(t, layer1, 4*h), false)

	// Into the states that were read.
	for direction := range 2 {
		for _, st := range c.stages[direction] {
			clear(st.ds)
		}
	}
	for i, e := range examples {
		dx := c.dx[i*4*h:][:4*h]
		add(c.slope(forward, output, i), dx[:h])
		add(c.slope(backward, input, i), dx[h:])
		both, ahead := dx[2*h:3*h], dx[3*h:4*h]
		for v := 1; v <= e.Graph.n; v++ {
			f, b := c.state(forward, v, i), c.state(backward, v, i)
			df, db := c.slope(forward, v, i), c.slope(backward, v, i)
			for k := range f {
				df[k] += both[k]*b[k] + ahead[k]
				db[k] += both[k] * f[k]
			}
		}
	}
	for direction := range 2 {
		first, order := route(direction)
		for at := len(order) - 1; at >= 0; at-- {
			c.depart(t, direction, order[at], examples)
		}
		initial := c.derivative.of[start].data[direction*h:][:h]
		for i := range examples {
			add(initial, c.slope(direction, first, i))
		}
	}
}

// turned returns the transposed matrix without what belongs to constants.
func (c *chunk) turned(t *trainer, which, columns int) matrix {
	m := t.weights.of[which]
	return dense(t.turned[which], m.columns, m.rows).first(columns)
}

func add(to, x []float32) {
	x = x[:len(to)]
	for k := range to {
		to[k] += x[k]
	}
}

func (c *chunk) state(direction, slot, i int) []float32 {
	st := c.stages[direction][slot]
	return st.s[int(st.row[i])*c.hidden:][:c.hidden]
}

func (c *chunk) slope(direction, slot, i int) []float32 {
	st := c.stages[direction][slot]
	return st.ds[int(st.row[i])*c.hidden:][:c.hidden]
}

// arrive orders the vertices at a slot by kind and sums what comes into each.
func (c *chunk) arrive(direction, slot int, examples []*Example) {
	st := c.stages[direction][slot]
	rows := 0
	for k := range kinds + 1 {
		st.begin[k] = rows
		for i, e := range examples {
			if e.Graph.at(slot) == k {
				st.row[i] = int32(rows)
				rows++
			}
		}
	}
	st.begin[kinds+1] = rows
	for i, e := range examples {
		if e.Graph.at(slot) == none {
			continue
		}
		m := st.m[int(st.row[i])*c.arriving():][:c.arriving()]
		clear(m)
		from := e.Graph.from(direction, slot)
		for u := range slots {
			if from>>u&1 == 1 {
				add(m[:c.hidden], c.state(direction, u, i))
			}
		}
		m[c.hidden], m[c.hidden+1] = 1, e.Graph.share[slot]
	}
}

// depart takes the gradients of the states at a slot to the matrices and to the
// states that came in.
func (c *chunk) depart(t *trainer, direction, slot int, examples []*Example) {
	st, h := c.stages[direction][slot], c.hidden
	rows := st.begin[kinds+1]
	m, z, dm := dense(st.m, rows, c.arriving()), dense(st.z, rows, 2*h), dense(c.dm, rows, h)
	t.kernels.gateBack(dm, z, m, dense(st.ds, rows, h))
	for kind := range kinds + 1 {
		from, to := st.begin[kind], st.begin[kind+1]
		if from == to {
			continue
		}
		w := vertex(direction, kind)
		dz := z.part(from, to)
		t.kernels.product(c.derivative.of[w], m.part(from, to).transposed(), dz, true)
		t.kernels.product(dm.part(from, to), dz, c.turned(t, w, h), true)
	}
	for i, e := range examples {
		if e.Graph.at(slot) == none {
			continue
		}
		d := dm.data[int(st.row[i])*h:][:h]
		from := e.Graph.from(direction, slot)
		for u := range slots {
			if from>>u&1 == 1 {
				add(c.slope(direction, u, i), d)
			}
		}
	}
}

// measure sets the loss and turns the outputs into its gradient: squared for
// small errors, linear beyond.
func (c *chunk) measure(examples []*Example) {
	c.loss = 0
	for i, e := range examples {
		for j, target := range e.Target {
			at := &c.out[i*Outputs+j]
			if target != target {
				*at = 0
				continue
			}
			miss := *at - target
			if size := float32(math.Abs(float64(miss))); size < bend {
				c.loss += float64(e.Weight * miss * miss / (2 * bend))
				*at = e.Weight * miss / bend
			} else {
				c.loss += float64(e.Weight * (size - bend/2))
				*at = e.Weight * float32(math.Copysign(1, float64(miss)))
			}
		}
	}
}
