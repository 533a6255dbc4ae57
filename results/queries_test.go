package results

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// asked is the record of a search after trainings of 4, 4, 108 and 12 epochs.
func asked() Epoch {
	e := record(0)
	q := (*Queries)(nil).Next()
	for i, epochs := range []int{4, 4, 108, 12} {
		q.Add(epochs, 2, ptr(100*float64(i+1)))
		if epochs == 12 {
			continue
		}
		q.Incumbents = append(q.Incumbents, Incumbent{
			Trainings: q.Trainings, Epochs: q.Epochs, Seconds: q.Seconds, Budget: epochs, Cell: e.Cell, Lookup: e.Lookup,
		})
	}
	e.Queries = q
	return e
}

func TestQueries(t *testing.T) {
	e := asked()
	if err := e.Check(); err != nil {
		t.Fatal(err)
	}
	q := e.Queries
	if q.Trainings != 4 || q.Epochs != 128 || *q.Seconds != 400 || q.Workers != 2 {
		t.Errorf("%+v", q)
	}
	if diff := cmp.Diff([]Budget{{4, 2}, {12, 1}, {108, 1}}, q.Budgets); diff != "" {
		t.Error(diff)
	}
	next := q.Next()
	next.Add(4, 2, nil)
	if next.Incumbents != nil || next.Trainings != 5 || q.Budgets[0].Trainings != 2 || next.Seconds != nil {
		t.Errorf("after another training: %+v, from %+v", next, q)
	}
}

// Counts that contradict each other are refused, by the member that is wrong.
func TestQueriesCheck(t *testing.T) {
	for name, change := range map[string]func(*Queries){
		"queries:":                  func(q *Queries) { q.Trainings++ },
		"queries: 4":                func(q *Queries) { q.Epochs++ },
		"queries.budgets":           func(q *Queries) { q.Budgets[0], q.Budgets[1] = q.Budgets[1], q.Budgets[0] },
		"queries.workers":           func(q *Queries) { q.Workers = 0 },
		"queries.seconds":           func(q *Queries) { q.Seconds = ptr(-1) },
		"queries.incumbents:":       func(q *Queries) { q.Incumbents[1].Trainings = 1 },
		"queries.incumbents.cell":   func(q *Queries) { q.Incumbents[0].Cell.Hash = "x" },
		"queries.incumbents.lookup": func(q *Queries) { q.Incumbents[0].Lookup.TestError = ptr(2) },
	} {
		e := asked()
		change(e.Queries)
		if err := e.Check(); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
