package supernet_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

// rowDirections are random directions, in each row one fewer than it has candidates.
func rowDirections(net *supernet.Net, seed uint64) []supernet.Direction {
	r := random.New(seed, "directions")
	d := net.Config().Space.Dim()
	var all []supernet.Direction
	for i, row := range net.Config().Space.Rows() {
		for range len(row.Candidates) - 1 {
			v := make([]float64, net.Config().MixingLen())
			for from := 0; from < len(v); from += d {
				for k := row.Offset; k < row.End(); k++ {
					v[from+k] = r.NormFloat64()
				}
			}
			all = append(all, supernet.Direction{Row: i, Values: v})
		}
	}
	return all
}

// few are at most 5 of the directions, from the first to the last, so that all networks of
// the tests take them at once.
func few(all []supernet.Direction) []supernet.Direction {
	var some []supernet.Direction
	for i := 0; i < len(all); i += (len(all) + 4) / 5 {
		some = append(some, all[i])
	}
	return some
}

// The Hessian in all directions at once is what its product with each says, on every space
// and with whatever random numbers take part in the pass.
func TestHessianForms(t *testing.T) {
	type network struct {
		name string
		net  *supernet.Net
		b    data.Batch
	}
	var networks []network
	for _, s := range []shape{{1, 4, 3, 8, 4}, {2, 3, 4, 9, 3}, {3, 5, 3, 8, 3}} {
		networks = append(networks, network{fmt.Sprint(s), s.net(t, ref.New[float64](2)), s.images()})
	}
	s := shape{2, 8, 3, 8, 4}
	networks = append(networks,
		network{"partial channels", s.variant(t, ref.New[float64](2), supernet.Variant{Partial: 4}), s.images()},
		network{"sampled", s.sampled(t, ref.New[float64](2)), s.images()})
	for _, name := range []spaces.Name{"darts", "darts8", "darts-s2", "darts-s4"} {
		networks = append(networks, network{string(name), newDARTS(t, name, supernet.Variant{DropPath: true}), dartsBatch(4)})
	}
	networks = append(networks, network{"partial channels of darts-s3", newDARTS(t, "darts-s3", supernet.Variant{Partial: 2}), dartsBatch(4)})
	for _, n := range networks {
		t.Run(n.name, func(t *testing.T) {
			directions := few(rowDirections(n.net, 1))
			mixing := uniform(n.net.Config().Space)
			if n.net.Config().Sampled {
				mixing = perCell(n.net.Config(), random.New(2, "choices"), oneEach(random.New(3, "choices")))
			}
			var values [][]float64
			for _, v := range directions {
				values = append(values, v.Values)
			}
			n.net.SetDraws(1, "pass", 0)
			wantPass, wantGrad, products, err := n.net.HessianProducts(t.Context(), n.b, mixing, values)
			if err != nil {
				t.Fatal(err)
			}
			wantPass.Logits = slices.Clone(wantPass.Logits)
			n.net.HoldDraws()
			pass, grad, forms, err := n.net.HessianForms(t.Context(), n.b, mixing, directions)
			if err != nil {
				t.Fatal(err)
			}
			if pass.Loss != wantPass.Loss || !slices.Equal(pass.Logits, wantPass.Logits) || !slices.Equal(grad, wantGrad) {
				t.Error("loss, logits or gradient differ from those of the products")
			}
			largest, worst := 0.0, 0.0
			for i, v := range values {
				if s := n.net.Config(); s.Sampled { // moves in operations that are not executed do not count
					v = slices.Clone(v)
					for k := range v {
						if unsampled(s.Space, mixing, k) {
							v[k] = 0
						}
					}
				}
				for j, p := range products {
					want := dot(v, p)
					largest, worst = max(largest, math.Abs(want)), max(worst, math.Abs(forms[i][j]-want))
				}
			}
			if !(worst <= 1e-10*largest) || largest == 0 {
				t.Errorf("an entry is off by %.1e, the largest is %.1e", worst, largest)
			}
		})
	}
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}
