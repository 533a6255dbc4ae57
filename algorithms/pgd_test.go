package algorithms_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/algorithmstest"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

var nan = math.NaN()

// linear returns a supernet with the loss ⟨slope, s⟩ plus a constant.
func linear(sp *spaces.Space, slope []float64) *algorithmstest.Quadratic {
	q := algorithmstest.NewQuadratic(sp.Dim(), 1)
	for k := range q.Coupling {
		clear(q.Coupling[k])
	}
	clear(q.Bend)
	q.Slope = slope
	return q
}

func uniform(sp *spaces.Space) []float64 {
	s := make([]float64, sp.Dim())
	sp.Softmax(s, make([]float64, sp.Dim()))
	return s
}

func TestPGDBoxAlone(t *testing.T) {
	sp := space(t, 2)
	slope := make([]float64, sp.Dim())
	slope[0], slope[1] = 2, -3 // and 0 elsewhere, where nothing may move
	centre := uniform(sp)
	pgd := algorithms.PGD{Steps: 4, RollBack: true, BatchNorm: supernet.RunningStatistics}
	a, err := pgd.Attack(linear(sp, slope), sp, algorithmstest.Batch(1), centre, 0.1, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Four steps of 2ε/4 would leave the box after the second.
	for k, moved := range []float64{0.05, 0.1, 0.1, 0.1} {
		for i, s := range centre {
			if want := s + moved*math.Copysign(min(math.Abs(slope[i]), 1), slope[i]); math.Abs(a.Iterates[k][i]-want) > 1e-15 {
				t.Errorf("step %d: entry %d is %v, want %v", k, i, a.Iterates[k][i], want)
			}
		}
	}
	if a.RolledBack || math.Abs(a.After-a.Before-0.5) > 1e-12 || len(a.Losses) != 4 || a.Losses[0] != a.Before {
		t.Errorf("before %v, losses %v, after %v, rolled back %v", a.Before, a.Losses, a.After, a.RolledBack)
	}
}

func TestPGDSimplexHasTheLastWord(t *testing.T) {
	sp := space(t, 2)
	slope := make([]float64, sp.Dim())
	slope[0], slope[1], slope[2] = 1, 1, 1 // all three operations up: renormalising undoes it
	slope[3], slope[4], slope[5] = 1, -1, -1
	pgd := algorithms.PGD{Steps: 1, Simplex: true}
	a, err := pgd.Attack(linear(sp, slope), sp, algorithmstest.Batch(1), uniform(sp), 0.4, nil)
	if err != nil {
		t.Fatal(err)
	}
	third := 1.0 / 3
	for i, want := range []float64{third, third, third, 1, 0, 0} {
		if math.Abs(a.Mixing[i]-want) > 1e-15 {
			t.Errorf("entry %d is %v, want %v", i, a.Mixing[i], want)
		}
	}
}

func TestPGDRollBack(t *testing.T) {
	sp := space(t, 1)
	slope := make([]float64, sp.Dim())
	slope[0] = 1
	worse := make([]float64, sp.Dim())
	worse[0] = -0.2 // one step of 2ε/20 cannot climb back from here
	for _, tt := range []struct {
		name     string
		rollBack bool
		slope    []float64
		want     bool
	}{
		{"loss fell", true, slope, true},
		{"loss fell, switched off", false, slope, false},
		{"loss equal", true, make([]float64, sp.Dim()), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			centre := uniform(sp)
			net := linear(sp, tt.slope)
			pgd := algorithms.PGD{Steps: 20, RollBack: tt.rollBack, BatchNorm: supernet.RunningStatistics}
			stuck := stopAfter{net, 1}
			a, err := pgd.Attack(&stuck, sp, algorithmstest.Batch(1), centre, 0.2, worse)
			if err != nil {
				t.Fatal(err)
			}
			if a.RolledBack != tt.want || slices.Equal(a.Mixing, centre) != tt.want {
				t.Errorf("rolled back %v, mixing %v", a.RolledBack, a.Mixing)
			}
			if !slices.Equal(centre, uniform(sp)) {
				t.Error("the centre was written to")
			}
		})
	}
}

// stopAfter zeroes the gradient after some calls, so that an ascent gets stuck.
type stopAfter struct {
	*algorithmstest.Quadratic
	calls int
}

func (s *stopAfter) MixingGradient(b data.Batch, mixing []float64, bn supernet.BatchNorm, grad []float64) (supernet.Pass, error) {
	pass, err := s.Quadratic.MixingGradient(b, mixing, bn, grad)
	if s.calls--; s.calls < 0 {
		clear(grad)
	}
	return pass, err
}

// broken fails every pass.
type broken struct{ *algorithmstest.Quadratic }

var errBroken = errors.New("device lost")

func (broken) Forward(data.Batch, []float64, supernet.BatchNorm) (supernet.Pass, error) {
	return supernet.Pass{}, errBroken
}

func TestPGDError(t *testing.T) {
	sp := space(t, 1)
	_, err := algorithms.PGD{Steps: 1}.Attack(broken{linear(sp, alphasOf(sp.Dim()))}, sp, algorithmstest.Batch(1), uniform(sp), 0.1, nil)
	if !errors.Is(err, errBroken) {
		t.Errorf("got error %v", err)
	}
}
