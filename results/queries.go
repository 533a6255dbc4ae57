package results

import (
	"slices"
)

// Queries is what a search that asks the table alone has had trained, in simulation, from
// its start to the end of an epoch.
type Queries struct {
	Trainings int      `json:"trainings"`         // that have ended
	Epochs    int      `json:"epochs"`            // of these trainings, together
	Seconds   *float64 `json:"seconds,omitempty"` // at which the newest ended, by the table's training times, with Workers at a time; nil where it does not know them all
	Workers   int      `json:"workers"`           // networks that train at the same time
	Budgets   []Budget `json:"budgets"`           // by which the table was asked, the shortest first
	// Incumbents are the cells that became the best of the search in this epoch, in order.
	Incumbents []Incumbent `json:"incumbents,omitempty"`
}

// Budget counts the trainings of one length.
type Budget struct {
	Epochs    int `json:"epochs"`
	Trainings int `json:"trainings"`
}

// Incumbent is the best cell of a search from the end of its training on: one of those
// trained for the most epochs so far, with the lowest validation error among them.
type Incumbent struct {
	Trainings int      `json:"trainings"` // that had ended, this one included
	Epochs    int      `json:"epochs"`    // of these, together
	Seconds   *float64 `json:"seconds,omitempty"`
	Budget    int      `json:"budget"` // epochs that this one was trained for
	Cell      Cell     `json:"cell"`
	// Lookup is what the table says of the cell at 108 epochs, which the search did not
	// have to know.
	Lookup Lookup `json:"lookup"`
}

// Add counts a training.
func (q *Queries) Add(epochs, workers int, seconds *float64) {
	q.Trainings++
	q.Epochs += epochs
	q.Seconds, q.Workers = seconds, workers
	i, found := slices.BinarySearchFunc(q.Budgets, epochs, func(b Budget, epochs int) int { return b.Epochs - epochs })
	if !found {
		q.Budgets = slices.Insert(q.Budgets, i, Budget{Epochs: epochs})
	}
	q.Budgets[i].Trainings++
}

// Next returns what the counts of the epoch after this one begin with.
func (q *Queries) Next() *Queries {
	if q == nil {
		return &Queries{}
	}
	next := *q
	next.Budgets, next.Incumbents = slices.Clone(q.Budgets), nil
	return &next
}

// check verifies the counts of a record. The error is a *FormatError.
func (q Queries) check() error {
	trainings, epochs := 0, 0
	for i, b := range q.Budgets {
		if b.Epochs < 1 || b.Trainings < 1 || i > 0 && b.Epochs <= q.Budgets[i-1].Epochs {
			return invalid("queries.budgets", "are not ascending numbers of epochs, each with trainings: %v", q.Budgets)
		}
		trainings += b.Trainings
		epochs += b.Trainings * b.Epochs
	}
	if trainings != q.Trainings || epochs != q.Epochs || trainings == 0 {
		return invalid("queries", "%d trainings of %d epochs, but the budgets have %d of %d", q.Trainings, q.Epochs, trainings, epochs)
	}
	if q.Workers < 1 {
		return invalid("queries.workers", "is %d: want at least 1", q.Workers)
	}
	if q.Seconds != nil && *q.Seconds < 0 {
		return invalid("queries.seconds", "%v seconds", *q.Seconds)
	}
	before := Incumbent{}
	for _, n := range q.Incumbents {
		if n.Trainings <= before.Trainings || n.Trainings > q.Trainings || n.Epochs <= before.Epochs || n.Epochs > q.Epochs || n.Budget < 1 {
			return invalid("queries.incumbents", "do not come in order: one after %d trainings of %d epochs, of %d of %d", n.Trainings, n.Epochs, q.Trainings, q.Epochs)
		}
		if n.Seconds != nil && *n.Seconds < 0 {
			return invalid("queries.incumbents.seconds", "%v seconds", *n.Seconds)
		}
		if err := n.Cell.check(); err != nil {
			return under("queries.incumbents", err)
		}
		if err := n.Lookup.check("queries.incumbents.lookup"); err != nil {
			return err
		}
		before = n
	}
	return nil
}
