package plots

import (
	"slices"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// withAlphas makes up a run whose first entry of every row of alphas wins.
func withAlphas(t testing.TB, space spaces.Name, epochs int) *results.History {
	t.Helper()
	s, err := spaces.Get(space)
	if err != nil {
		t.Fatal(err)
	}
	h := history(t, space, "darts", 0, epochs, map[string]int{"epochs": epochs})
	for i := range h.Epochs {
		for _, tensor := range s.Tensors() {
			a := results.Alpha{Name: tensor.Name}
			for row, values := range s.Split(tensor, make([]float64, s.Dim())) {
				values[0] = 0.3 * float64(i*(row+1)) / float64(tensor.Rows)
				a.Rows = append(a.Rows, values)
			}
			h.Epochs[i].Alphas = append(h.Epochs[i].Alphas, a)
		}
	}
	return h
}

// Every row of alphas has a panel, at each width, and the candidates a legend.
func TestAlphas(t *testing.T) {
	want := map[spaces.Name][]string{
		"1": {"Operation of block 1", "Operation of block 2", "Operation of block 3", "Operation of block 4", "Inputs of block 3", "Inputs of block 4", "Inputs of the output"},
		"2": {"Operation of block 1", "Operation of block 2", "Operation of block 3", "Operation of block 4", "Inputs of block 2", "Inputs of block 3", "Inputs of block 4", "Inputs of the output"},
		"3": {"Operation of block 1", "Operation of block 2", "Operation of block 3", "Operation of block 4", "Operation of block 5", "Inputs of block 2", "Inputs of block 3", "Inputs of block 4", "Inputs of block 5", "Inputs of the output"},
	}
	for space, want := range want {
		for _, width := range []Width{Page, Column, 120} {
			h := withAlphas(t, space, 5)
			f, err := Alphas(h, Options{Width: width})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			all := texts(t, f)
			for _, text := range all {
				if strings.HasPrefix(text, "Operation of ") || strings.HasPrefix(text, "Inputs of ") {
					got = append(got, text)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("space %s, %v mm: panels %q, want %q", space, width, got, want)
			}
			for _, candidate := range []string{"max pool 3×3", "conv 1×1", "cell input", "block 4"} {
				if !slices.Contains(all, candidate) {
					t.Errorf("space %s: no %q in %q", space, candidate, all)
				}
			}
		}
	}
}

// What is drawn is the softmax, of the architecture after so many epochs.
func TestSoftmaxes(t *testing.T) {
	s, err := spaces.Get("2")
	if err != nil {
		t.Fatal(err)
	}
	h := withAlphas(t, "2", 3)
	paths, end, err := softmaxes(h, s, 0)
	if err != nil {
		t.Fatal(err)
	}
	if end != 3 || len(paths) != 26 || len(paths[0]) != 4 || !paths[0][3].Final {
		t.Errorf("%d paths to epoch %d, first %+v", len(paths), end, paths[0])
	}
	for i := range paths[0] {
		if sum := paths[0][i].Middle + paths[1][i].Middle + paths[2][i].Middle; sum < 1-1e-12 || sum > 1+1e-12 || paths[0][i].Epoch != i {
			t.Errorf("the operations of block 1 weigh %v in all at epoch %d", sum, paths[0][i].Epoch)
		}
	}
	if later, end, err := softmaxes(h, s, 1); err != nil || end != 3 || later[0][0].Epoch != 1 || later[0][3].Epoch != 3 {
		t.Errorf("of cells after their epochs: %+v, %v", later, err)
	}
}

func TestAlphasFail(t *testing.T) {
	for name, spoil := range map[string]func(h *results.History){
		"none":    func(h *results.History) { h.Epochs = nil },
		"tensors": func(h *results.History) { h.Epochs[1].Alphas = h.Epochs[1].Alphas[1:] },
		"name":    func(h *results.History) { h.Epochs[1].Alphas[0].Name = "input_node3" },
		"rows":    func(h *results.History) { h.Epochs[1].Alphas[0].Rows = h.Epochs[1].Alphas[0].Rows[1:] },
		"columns": func(h *results.History) { h.Epochs[1].Alphas[0].Rows[0] = []float64{1} },
		"space":   func(h *results.History) { h.Run.Space = "4" },
	} {
		h := withAlphas(t, "1", 3)
		spoil(h)
		if _, err := Alphas(h, Options{}); err == nil || !strings.Contains(err.Error(), h.Dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if HasAlphas(history(t, "1", "enas", 0, 2, struct{}{})) || !HasAlphas(withAlphas(t, "1", 2)) {
		t.Error("alphas where there are none, or none where there are some")
	}
}
