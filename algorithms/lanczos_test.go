package algorithms_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/algorithmstest"
	"github.com/nb1shot/nb1shot/data"
	recorded "github.com/nb1shot/nb1shot/internal/golden"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

// bowl is a loss of the mixing weights m alone, ⟨slope, m⟩ + ½ mᵀ·bend·m.
type bowl struct {
	bend     *mat.SymDense
	slope    []float64
	products int
}

func (b *bowl) times(v []float64) []float64 {
	out := mat.NewVecDense(len(v), nil)
	out.MulVec(b.bend, mat.NewVecDense(len(v), v))
	return out.RawVector().Data
}

func (b *bowl) HessianSequence(_ context.Context, _ data.Batch, m []float64, next func(grad, product []float64) []float64) (supernet.Pass, error) {
	grad := b.times(m)
	for i, s := range b.slope {
		grad[i] += s
	}
	for v := next(nil, nil); v != nil; b.products++ {
		v = next(grad, b.times(v))
	}
	return supernet.Pass{}, nil
}

func (b *bowl) HessianForms(_ context.Context, _ data.Batch, m []float64, directions []supernet.Direction) (supernet.Pass, []float64, [][]float64, error) {
	grad := b.times(m)
	for i, s := range b.slope {
		grad[i] += s
	}
	var products [][]float64
	for _, v := range directions {
		products = append(products, b.times(v.Values))
	}
	return supernet.Pass{}, grad, supernet.FormsOfProducts(supernet.ValuesOf(directions), products), nil
}

// rotated returns a symmetric matrix of the eigenvalues with random eigenvectors.
func rotated(eigenvalues []float64, r *rand.Rand) *mat.SymDense {
	n := len(eigenvalues)
	random := mat.NewDense(n, n, nil)
	for i := range n {
		for j := range n {
			random.Set(i, j, r.NormFloat64())
		}
	}
	var qr mat.QR
	qr.Factorize(random)
	var q, product mat.Dense
	qr.QTo(&q)
	product.Mul(&q, mat.NewDiagDense(n, eigenvalues))
	product.Mul(&product, q.T())
	h := mat.NewSymDense(n, nil)
	for i := range n {
		for j := range i + 1 {
			h.SetSym(i, j, (product.At(i, j)+product.At(j, i))/2)
		}
	}
	return h
}

// choices is a space of rows with so many candidates each.
func choices(candidates ...int) *spaces.Space {
	var rows []spaces.Row
	at := 0
	for i, n := range candidates {
		r := spaces.Row{Tensor: "t", Title: fmt.Sprint("row ", i), Offset: at, Keep: 1}
		for j := range n {
			r.Candidates = append(r.Candidates, spaces.Candidate{Name: fmt.Sprint("candidate ", j)})
		}
		rows, at = append(rows, r), r.End()
	}
	return spaces.New("choices", rows, nil)
}

// The ends of any spectrum, clustered, of low rank, of one sign or null, are those of the
// dense Hessian, and so is all that is called whole; whatever the softmax does. Of
// eigenvalues that almost coincide at an end it may be another one.
func TestLanczosFindsBothEnds(t *testing.T) {
	const tolerance = 1e-7
	rapid.Check(t, func(t *rapid.T) {
		space := choices(rapid.SliceOfN(rapid.IntRange(1, 8), 1, 8).Draw(t, "candidates")...)
		d := space.Dim()
		kinds := rapid.SliceOfN(rapid.Float64Range(-3, 3), 1, 4).Draw(t, "clusters")
		spread := rapid.SampledFrom([]float64{0, 1e-9, 1e-3, 1}).Draw(t, "spread")
		shift := rapid.SampledFrom([]float64{0, 4, -4}).Draw(t, "shift")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		var eigenvalues []float64
		for i := range d {
			eigenvalues = append(eigenvalues, kinds[i%len(kinds)]+shift+spread*r.NormFloat64())
		}
		if rapid.Bool().Draw(t, "low rank") {
			clear(eigenvalues[min(d, 3):])
		}
		net := &bowl{bend: rotated(eigenvalues, r), slope: make([]float64, d)}
		alphas := make([]float64, d)
		for i := range alphas {
			alphas[i], net.slope[i] = 0.5*r.NormFloat64(), r.NormFloat64()
		}
		m := algorithms.Softmax(space, alphas)
		m.Identity = rapid.Bool().Draw(t, "identity")
		decay := rapid.SampledFrom([]float64{0, 1e-3, 0.5}).Draw(t, "decay")

		_, want, err := algorithms.Hessian(t.Context(), net, m, data.Batch{}, decay)
		if err != nil {
			t.Fatal(err)
		}
		got, err := algorithms.Lanczos(t.Context(), net, m, data.Batch{}, decay, r, tolerance)
		if err != nil {
			t.Fatal(err)
		}
		near, coincide := 1e-6*max(want.Norm(), 1e-3), 1e-4*max(want.Norm(), 1e-3)
		found := func(got, end float64) bool {
			return slices.ContainsFunc(want, func(x float64) bool { return math.Abs(x-end) <= coincide && math.Abs(x-got) <= near })
		}
		if !found(got.Spectrum.Max(), want.Max()) || !found(got.Spectrum.Min(), want.Min()) {
			t.Errorf("ends %v, %v, want %v, %v (%d products of %d)", got.Spectrum.Min(), got.Spectrum.Max(), want.Min(), want.Max(), got.Products, d)
		}
		if free := algorithms.FreeDirections(space); got.Products > d || !m.Identity && got.Products > free {
			t.Errorf("%d products for %d directions", got.Products, free)
		}
		if !slices.IsSorted(got.Spectrum) {
			t.Errorf("%v does not ascend", got.Spectrum)
		}
		if got.Whole {
			if len(got.Spectrum) != d {
				t.Fatalf("%d eigenvalues of %d are not the whole spectrum", len(got.Spectrum), d)
			}
			for i, v := range got.Spectrum {
				if math.Abs(v-want[i]) > near {
					t.Errorf("eigenvalue %d is %v, want %v", i, v, want[i])
				}
			}
		}
	})
}

// The ends of a mean of Hessians, each at mixing weights of its own, are those of the mean
// of the dense ones.
func TestLanczosOfMean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		space := choices(rapid.SliceOfN(rapid.IntRange(1, 8), 1, 6).Draw(t, "candidates")...)
		d := space.Dim()
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		random := func() []float64 {
			v := make([]float64, d)
			for i := range v {
				v[i] = r.NormFloat64()
			}
			return v
		}
		const decay = 0.01
		total := mat.NewSymDense(d, nil)
		nets := make([]*bowl, rapid.IntRange(1, 4).Draw(t, "terms"))
		mixings := make([]algorithms.Mixing, len(nets))
		for i := range nets {
			nets[i] = &bowl{bend: rotated(random(), r), slope: random()}
			mixings[i] = algorithms.Softmax(space, random())
			h, _, err := algorithms.Hessian(t.Context(), nets[i], mixings[i], data.Batch{}, decay)
			if err != nil {
				t.Fatal(err)
			}
			h.ScaleSym(1/float64(len(nets)), h)
			total.AddSym(total, h)
		}
		want, err := algorithms.NewSpectrum(total)
		if err != nil {
			t.Fatal(err)
		}
		asked := 0
		got, err := algorithms.LanczosOfMean(mixings[0], decay, r, 1e-7, func(v []float64) ([]float64, error) {
			asked++
			mean := make([]float64, d)
			for i, net := range nets {
				_, product, err := algorithms.HessianProduct(t.Context(), net, mixings[i], data.Batch{}, v)
				if err != nil {
					return nil, err
				}
				for j, x := range product {
					mean[j] += x / float64(len(nets))
				}
			}
			return mean, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if near := 1e-6 * max(want.Norm(), 1e-3); math.Abs(got.Spectrum.Max()-want.Max()) > near || math.Abs(got.Spectrum.Min()-want.Min()) > near {
			t.Errorf("ends %v, %v, want %v, %v", got.Spectrum.Min(), got.Spectrum.Max(), want.Min(), want.Max())
		}
		if asked != got.Products || asked > algorithms.FreeDirections(space) {
			t.Errorf("asked for %d products of %d, counts %d", asked, algorithms.FreeDirections(space), got.Products)
		}
	})
}

func TestLanczosOfMeanPassesErrorsOn(t *testing.T) {
	m := algorithms.Softmax(choices(3), make([]float64, 3))
	failed := errors.New("no product")
	for want, product := range map[error]func([]float64) ([]float64, error){
		failed:                 func([]float64) ([]float64, error) { return nil, failed },
		algorithms.ErrDiverged: func(v []float64) ([]float64, error) { return []float64{0, math.Inf(1), 0}, nil },
	} {
		if _, err := algorithms.LanczosOfMean(m, 0, rand.New(rand.NewPCG(1, 1)), 1e-3, product); !errors.Is(err, want) {
			t.Errorf("error %v, want one that wraps %v", err, want)
		}
	}
}

// A spectrum of the DARTS space takes a small part of its 168 directions, and the ends are
// far better than the tolerance.
func TestLanczosOnDARTS(t *testing.T) {
	want := algorithms.Spectrum(readArray(t, "forward_cnn_darts/hessian_eigenvalues_sorted.npy"))
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 0))
		net := &bowl{bend: rotated(want, r), slope: make([]float64, len(want))}
		m := algorithms.Mixing{Weights: make([]float64, len(want)), Space: choices(slices.Repeat([]int{7}, 28)...), Temperature: 1, Identity: true}
		got, err := algorithms.Lanczos(t.Context(), net, m, data.Batch{}, 0, r, 1e-3)
		if err != nil {
			t.Fatal(err)
		}
		if off := max(math.Abs(got.Spectrum.Max()-want.Max()), math.Abs(got.Spectrum.Min()-want.Min())); off > 1e-5 {
			t.Errorf("seed %d: ends are off by %v", seed, off)
		}
		if got.Products > 60 || got.Products != net.products || got.Whole || got.Residual > 1e-3 {
			t.Errorf("seed %d: %d products, %d counted, whole %v, residual %v", seed, got.Products, net.products, got.Whole, got.Residual)
		}
	}
}

// The spectra of all Hessians that the released code recorded, on eigenvectors of our own.
// Among them are the directions that change nothing, which count here as any other.
func TestLanczosOnGoldenSpectra(t *testing.T) {
	files, err := fs.Glob(recorded.FS(), "*/*eigenvalues_sorted.npy")
	if err != nil || len(files) < 20 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		want := algorithms.Spectrum(readArray(t, file))
		d := len(want)
		r := rand.New(rand.NewPCG(1, 1))
		m := algorithms.Mixing{Weights: make([]float64, d), Space: choices(d), Temperature: 1, Identity: true}
		got, err := algorithms.Lanczos(t.Context(), &bowl{bend: rotated(want, r), slope: make([]float64, d)}, m, data.Batch{}, 0, r, 1e-6)
		if err != nil {
			t.Fatal(err)
		}
		if off := max(math.Abs(got.Spectrum.Max()-want.Max()), math.Abs(got.Spectrum.Min()-want.Min())); off > 1e-9*want.Norm() {
			t.Errorf("%s: ends are off by %v", file, off)
		}
	}
}

// One pass serves all products, as in Hessian.
func TestLanczosPassesOnce(t *testing.T) {
	sp := space(t, 3)
	net := algorithmstest.NewQuadratic(sp.Dim(), 1)
	_, err := algorithms.Lanczos(t.Context(), net, algorithms.Softmax(sp, alphasOf(sp.Dim())), algorithmstest.Batch(2), 0, rand.New(rand.NewPCG(1, 1)), 1e-3)
	if err != nil {
		t.Fatal(err)
	}
	if len(net.Calls) != 1 || net.Calls[0].Method != "HessianSequence" {
		t.Errorf("calls %+v", net.Calls)
	}
}

func TestLanczosSaysThatItDiverged(t *testing.T) {
	h := mat.NewSymDense(3, nil)
	h.SetSym(0, 1, math.NaN())
	m := algorithms.Mixing{Weights: make([]float64, 3), Space: choices(3), Temperature: 1, Identity: true}
	_, err := algorithms.Lanczos(t.Context(), &bowl{bend: h, slope: make([]float64, 3)}, m, data.Batch{}, 0, rand.New(rand.NewPCG(1, 1)), 1e-3)
	if !errors.Is(err, algorithms.ErrDiverged) {
		t.Errorf("error %v, want one that wraps ErrDiverged", err)
	}
}

// readArray returns the numbers of a golden .npy file of float64.
func readArray(t *testing.T, path string) []float64 {
	t.Helper()
	b, err := fs.ReadFile(recorded.FS(), path)
	if err != nil {
		t.Fatal(err)
	}
	b = b[10+int(binary.LittleEndian.Uint16(b[8:])):] // after the header
	numbers := make([]float64, len(b)/8)
	if err := binary.Read(bytes.NewReader(b), binary.LittleEndian, numbers); err != nil {
		t.Fatal(err)
	}
	return numbers
}
