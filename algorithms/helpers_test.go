package algorithms_test

import (
	"encoding/json"
	"io/fs"
	"strconv"
	"testing"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/algorithmstest"
	goldens "github.com/nb1shot/nb1shot/internal/golden"
	"github.com/nb1shot/nb1shot/spaces"
)

// golden decodes a JSON file of the golden data.
func golden(t *testing.T, name string, into any) {
	t.Helper()
	b, err := fs.ReadFile(goldens.FS(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func space(t *testing.T, id int) *spaces.Space {
	t.Helper()
	s, err := spaces.Get(spaces.Name(strconv.Itoa(id)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// twoBatches is one batch a queue, with the given first labels.
func twoBatches(train, search int) algorithmstest.Batches {
	return algorithmstest.Batches{
		algorithms.Train:  {algorithmstest.Batch(train)},
		algorithms.Search: {algorithmstest.Batch(search)},
	}
}

// searcher builds a relaxed search of 100 epochs on one cell unless cfg says otherwise.
func searcher(t *testing.T, name string, cfg algorithms.Config) algorithms.Relaxed {
	t.Helper()
	if cfg.Cells == 0 {
		cfg.Cells = 1
	}
	if cfg.Epochs == 0 {
		cfg.Epochs = 100
	}
	s, err := algorithms.New(name, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s.(algorithms.Relaxed)
}

func alphasOf(d int) []float64 {
	a := make([]float64, d)
	for i := range a {
		a[i] = 0.1*float64(i%7) - 0.2*float64(i%3)
	}
	return a
}
