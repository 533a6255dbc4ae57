package supernet_test

import (
	"fmt"
	"math"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
	"github.com/nb1shot/nb1shot/supernet"
)

// oracle builds the training-mode network once more, over gorgonia's own
// operations, to be differentiated and run by gorgonia's own TapeMachine. It
// shares nothing with package graph. Operations whose gradients gorgonia 0.9.18
// gets wrong are avoided: batch norm, ReLU (at 0), global pooling, and sums over
// several axes are made of matrix products and masks.
type oracle struct {
	t       *testing.T
	g       *G.ExprGraph
	weights map[string]*G.Node
	mixing  []*G.Node
	drop    []float64 // of every convolution of a choice block and image, or nil
	count   int
}

func (o *oracle) must(n *G.Node, err error) *G.Node {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
	return n
}

// constant is a matrix filled with v; gorgonia merges nodes of one name.
func (o *oracle) constant(rows, cols int, v float64) *G.Node {
	o.count++
	backing := make([]float64, rows*cols)
	for i := range backing {
		backing[i] = v
	}
	return G.NewMatrix(o.g, tensor.Float64, G.WithName(fmt.Sprint("constant", o.count)),
		G.WithValue(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(backing))))
}

// spread repeats a column [C, 1] m times.
func (o *oracle) spread(column *G.Node, m int) *G.Node {
	return o.must(G.Mul(column, o.constant(1, m, 1)))
}

func (o *oracle) relu(x *G.Node) *G.Node {
	mask := o.must(G.Gt(x, G.NewConstant(0.0, G.WithName("zero")), true))
	return o.must(G.HadamardProd(x, mask))
}

// normalized returns batch-normalised x as a matrix [C, N·H·W].
func (o *oracle) normalized(x *G.Node) *G.Node {
	s := x.Shape()
	m := s[0] * s[2] * s[3]
	flat := o.must(G.Reshape(o.must(G.Transpose(x, 1, 0, 2, 3)), tensor.Shape{s[1], m}))
	average := o.constant(m, 1, 1/float64(m))
	centered := o.must(G.Sub(flat, o.spread(o.must(G.Mul(flat, average)), m)))
	variance := o.must(G.Mul(o.must(G.Square(centered)), average))
	deviation := o.must(G.Sqrt(o.must(G.Add(variance, o.constant(s[1], 1, 1e-5)))))
	return o.must(G.HadamardDiv(centered, o.spread(deviation, m)))
}

func (o *oracle) conv(x *G.Node, name string) *G.Node {
	w := o.weights[name]
	k := w.Shape()[2]
	return o.must(G.Conv2d(x, w, tensor.Shape{k, k}, []int{k / 2, k / 2}, []int{1, 1}, []int{1, 1}))
}

func (o *oracle) layer(x *G.Node, conv, norm string) *G.Node {
	y := o.conv(x, conv+".weight")
	s := y.Shape()
	m := s[0] * s[2] * s[3]
	column := func(name string) *G.Node {
		return o.spread(o.must(G.Reshape(o.weights[name], tensor.Shape{s[1], 1})), m)
	}
	z := o.must(G.HadamardProd(o.normalized(y), column(norm+".weight")))
	z = o.relu(o.must(G.Add(z, column(norm+".bias"))))
	z = o.must(G.Reshape(z, tensor.Shape{s[1], s[0], s[2], s[3]}))
	return o.must(G.Transpose(z, 1, 0, 2, 3))
}

// weighted is Σ mixing[at+j]·xs[j], or the plain sum when at is negative.
func (o *oracle) weighted(at int, xs ...*G.Node) *G.Node {
	var total *G.Node
	for j, x := range xs {
		if at >= 0 {
			x = o.must(G.Mul(x, o.mixing[at+j]))
		}
		if total == nil {
			total = x
		} else {
			total = o.must(G.Add(total, x))
		}
	}
	return total
}

// dropped is the output x of the i-th convolution of the choice blocks, every
// image times its number.
func (o *oracle) dropped(i int, x *G.Node) *G.Node {
	if o.drop == nil {
		return x
	}
	s := x.Shape()
	positions := s[1] * s[2] * s[3]
	factors := make([]float64, s[0]*positions)
	for k := range factors {
		factors[k] = o.drop[i*s[0]+k/positions]
	}
	o.count++
	return o.must(G.HadamardProd(x, G.NewTensor(o.g, tensor.Float64, 4, G.WithName(fmt.Sprint("drop", o.count)),
		G.WithValue(tensor.New(tensor.WithShape(s...), tensor.WithBacking(factors))))))
}

// channels are some channels of x in the given order, by a convolution with zeros
// and ones, whose gradient the other tests here have found right.
func (o *oracle) channels(x *G.Node, list []int) *G.Node {
	s := x.Shape()
	o.count++
	pick := make([]float64, len(list)*s[1])
	for to, from := range list {
		pick[to*s[1]+from] = 1
	}
	kernel := G.NewTensor(o.g, tensor.Float64, 4, G.WithName(fmt.Sprint("pick", o.count)),
		G.WithValue(tensor.New(tensor.WithShape(len(list), s[1], 1, 1), tensor.WithBacking(pick))))
	return o.must(G.Conv2d(x, kernel, tensor.Shape{1, 1}, []int{0, 0}, []int{1, 1}, []int{1, 1}))
}

func (o *oracle) loss(c supernet.Config, images, labels *G.Node) *G.Node {
	x := o.layer(images, "stem.op.0", "stem.op.1")
	space, err := nb1shot1.Get(c.Space.Name())
	if err != nil {
		panic(err)
	}
	blocks := space.Blocks()
	for cell := range c.Cells {
		if cell == c.Cells/3 || cell == 2*c.Cells/3 {
			x = o.must(G.MaxPool2D(x, tensor.Shape{2, 2}, []int{1, 1}, []int{2, 2}))
		}
		proj := func(i int) *G.Node {
			name := fmt.Sprintf("cells.%d._input_projections.%d.op.", cell, i)
			return o.layer(x, name+"0", name+"1")
		}
		var states []*G.Node
		for b := range blocks {
			at, learnable := space.InputOffset(b + 1)
			if !learnable {
				at = -1
			}
			u := o.weighted(at, append([]*G.Node{proj(b)}, states...)...)
			name := fmt.Sprintf("cells.%d._choice_blocks.%d.mixed_op._ops.", cell, b)
			first := (cell*blocks + b) * 2
			part, groups, n := u, max(c.Partial, 1), u.Shape()[1]
			var computed, bypass, order []int
			for k := range n {
				if k < n/groups {
					computed = append(computed, k)
				} else {
					bypass = append(bypass, k)
				}
				order = append(order, k%groups*(n/groups)+k/groups)
			}
			if groups > 1 {
				part = o.channels(u, computed)
			}
			y := o.weighted(space.MixedOp(b+1),
				o.must(G.MaxPool2D(part, tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1})),
				o.dropped(first, o.layer(part, name+"1.op.op.0", name+"1.op.op.1")),
				o.dropped(first+1, o.layer(part, name+"2.op.op.0", name+"2.op.op.1")))
			if groups > 1 {
				y = o.channels(o.must(G.Concat(1, y, o.channels(u, bypass))), order)
			}
			states = append(states, y)
		}
		out := space.OutputOffset()
		for i, s := range states {
			states[i] = o.weighted(out+1+i, s)
		}
		x = o.must(G.Add(o.weighted(out, proj(blocks)), o.must(G.Concat(1, states...))))
	}
	s := x.Shape()
	x = o.conv(o.relu(x), "postprocess.op.1.weight")
	channels, positions := x.Shape()[1], s[2]*s[3]
	x = o.must(G.Reshape(o.normalized(x), tensor.Shape{channels * s[0], positions}))
	x = o.must(G.Mul(x, o.constant(positions, 1, 1/float64(positions))))
	x = o.must(G.Reshape(x, tensor.Shape{channels, s[0]}))
	bias := o.must(G.Reshape(o.weights["classifier.bias"], tensor.Shape{c.Classes, 1}))
	logits := o.must(G.Add(o.must(G.Mul(o.weights["classifier.weight"], x)), o.spread(bias, s[0]))) // [classes, N]
	// mean over images of log Σ exp(l) - l[label]
	total := o.must(G.Log(o.must(G.Mul(o.constant(1, c.Classes, 1), o.must(G.Exp(logits))))))
	right := o.must(G.Mul(o.constant(1, c.Classes, 1), o.must(G.HadamardProd(logits, labels))))
	mean := o.must(G.Mul(o.must(G.Sub(total, right)), o.constant(s[0], 1, 1/float64(s[0]))))
	return o.must(G.Sum(mean))
}

func TestAgainstTapeMachine(t *testing.T) {
	var all []supernet.Config
	for _, space := range nb1shot1.All() {
		all = append(all, supernet.Config{Space: space.Space, Channels: 2})
	}
	all = append(all,
		supernet.Config{Space: all[0].Space, Channels: 4, Variant: supernet.Variant{Partial: 2}},
		supernet.Config{Space: all[1].Space, Channels: 2, Variant: supernet.Variant{DropPath: true}},
		supernet.Config{Space: all[2].Space, Channels: 4, Variant: supernet.Variant{Partial: 4, DropPath: true}})
	for _, config := range all {
		space := config.Space
		t.Run(fmt.Sprintf("space %s, %+v", space.Name(), config.Variant), func(t *testing.T) {
			config.Cells, config.Classes, config.Side, config.BatchNormMomentum = 3, 10, 8, 0.997
			net, err := supernet.New(config, ref.New[float64](2))
			if err != nil {
				t.Fatal(err)
			}
			r := random.New(7, "oracle", uint64(space.Name()[0]-'0'))
			net.Initialize(r)
			weights := make([]float64, net.ParameterCount())
			net.ReadParameters(weights)
			for i := range weights { // batch norm away from 1 and 0 too
				weights[i] += 0.1 * r.NormFloat64()
			}
			net.WriteParameters(weights)
			batch := data.Batch{N: 3, Side: 8, Images: make([]float64, 3*3*8*8), Labels: []int{3, 9, 3}}
			for i := range batch.Images {
				batch.Images[i] = r.NormFloat64()
			}
			mixing := make([]float64, space.Dim())
			for i := range mixing {
				mixing[i] = 0.1 + r.Float64()
			}

			o := &oracle{t: t, g: G.NewGraph(), weights: map[string]*G.Node{}}
			if config.DropPath {
				o.drop = dropPath(config, batch.N)
				net.SetDropPath(o.drop)
			}
			var inputs G.Nodes
			dense := func(name string, data []float64, shape ...int) *G.Node {
				return G.NewTensor(o.g, tensor.Float64, len(shape), G.WithName(name),
					G.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))))
			}
			for _, p := range net.Parameters() {
				o.weights[p.Name] = dense(p.Name, weights[p.Offset:p.Offset+p.Size:p.Offset+p.Size], p.Shape...)
				inputs = append(inputs, o.weights[p.Name])
			}
			for i, v := range mixing {
				o.mixing = append(o.mixing, G.NewScalar(o.g, tensor.Float64, G.WithName(fmt.Sprint("mixing", i)), G.WithValue(v)))
			}
			inputs = append(inputs, o.mixing...)
			oneHot := make([]float64, 10*3)
			for i, label := range batch.Labels {
				oneHot[label*3+i] = 1
			}
			loss := o.loss(config, dense("images", batch.Images, 3, 3, 8, 8), dense("labels", oneHot, 10, 3))
			if _, err := G.Grad(loss, inputs...); err != nil {
				t.Fatal(err)
			}
			vm := G.NewTapeMachine(o.g, G.BindDualValues(inputs...))
			defer vm.Close()
			if err := vm.RunAll(); err != nil {
				t.Fatal(err)
			}

			gradient := make([]float64, space.Dim())
			pass, err := net.MixingGradient(batch, mixing, supernet.BatchStatistics, gradient)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, "loss", pass.Loss, loss.Value().Data().(float64))
			for i, n := range o.mixing {
				compare(t, n.Name(), gradient[i], gradientOf(t, n)[0])
			}
			if _, err := net.WeightGradient(batch, mixing, supernet.BatchStatistics); err != nil {
				t.Fatal(err)
			}
			got := make([]float64, net.ParameterCount())
			net.ReadGradient(got)
			for _, p := range net.Parameters() {
				for i, want := range gradientOf(t, o.weights[p.Name]) {
					compare(t, fmt.Sprintf("%s[%d]", p.Name, i), got[p.Offset+i], want)
				}
			}
		})
	}
}

func gradientOf(t *testing.T, n *G.Node) []float64 {
	t.Helper()
	g, err := n.Grad()
	if err != nil {
		t.Fatalf("%s: %v", n.Name(), err)
	}
	if v, ok := g.Data().(float64); ok {
		return []float64{v}
	}
	return g.Data().([]float64)
}

func compare(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9*(1+math.Abs(want)) {
		t.Errorf("%s: %.12g, gorgonia computes %.12g", what, got, want)
	}
}
