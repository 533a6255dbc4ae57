package recurrent

import (
	"fmt"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/random"
)

// The streams of a search, whose hidden states are carried.
const (
	streamTrain  = "train"
	streamSearch = "search"
	streamHeld   = "held" // never trained on
)

// Passages cuts the columns of a search into the windows of its steps. Those of training have
// lengths that are drawn; the architecture learns from a window of the usual length of the other
// columns, at the same row modulo what there is, so that after a short one it reads some words
// again, and after the end it begins at a shifted place (quirk R4), unless it reads InOrder.
type Passages struct {
	Train, Search text.Columns
	BPTT          int // the usual length, at least 2
	// Uniform is the draw in [0,1) for the length of a step, see SearchLength.
	Uniform func(epoch, step int) float64
	// InOrder has the architecture learn from one window after the other, each word once; after
	// the last one it goes round, from hidden states of 0 on.
	InOrder bool
	// RateByRows scales the learning rate by the rows that a window has. In the released code the
	// last one has the rate of the length that was drawn, also where the text ends before (quirk R3).
	RateByRows bool

	epoch   int // whose windows are known
	windows []span
}

// span is a window of training: its first row, and the length that was drawn.
type span struct{ row, length int }

// NewPassages checks the columns, and draws lengths from streams of a seed. It is an error if no
// step is left: training needs 3 rows, and BPTT must be at least 2.
func NewPassages(train, search text.Columns, bptt int, seed uint64) (*Passages, error) {
	if bptt < 2 {
		return nil, fmt.Errorf("passages of %d rows, want at least 2", bptt)
	}
	if train.Rows < 3 || search.Rows < 2 {
		return nil, fmt.Errorf("%d rows to train and %d to search, want at least 3 and 2: take a longer text or a smaller batch", train.Rows, search.Rows)
	}
	return &Passages{Train: train, Search: search, BPTT: bptt, Uniform: func(epoch, step int) float64 {
		return random.New(seed, "text/length", uint64(epoch), uint64(step)).Float64()
	}}, nil
}

// spans returns the windows of training of an epoch.
func (p *Passages) spans(epoch int) []span {
	if p.windows == nil || p.epoch != epoch {
		p.epoch, p.windows = epoch, nil
		for row := 0; row < p.Train.Rows-2; {
			length := SearchLength(p.BPTT, p.Uniform(epoch, len(p.windows)))
			p.windows = append(p.windows, span{row, length})
			row += length
		}
	}
	return p.windows
}

// Steps is the number of windows of training in an epoch.
func (p *Passages) Steps(epoch int) int { return len(p.spans(epoch)) }

func passage(stream string, epoch, number int, c text.Columns, row, length int, rate float64) data.Batch {
	t := text.Passage{Stream: stream, Epoch: epoch, Number: number, Batch: c.Batch, Rate: rate}
	t.Inputs, t.Targets = c.Window(row, length)
	return data.Batch{N: len(t.Targets), Text: &t}
}

// Training returns window k of training of an epoch; after the last one it goes round.
func (p *Passages) Training(epoch, k int) data.Batch {
	all := p.spans(epoch)
	w := all[k%len(all)]
	b := passage(streamTrain, epoch, k, p.Train, w.row, w.length, float64(w.length)/float64(p.BPTT))
	if p.RateByRows {
		b.Text.Rate = float64(b.N) / float64(b.Text.Batch*p.BPTT)
	}
	return b
}

// Searching returns the window that the architecture learns from at step k of an epoch.
func (p *Passages) Searching(epoch, k int) data.Batch {
	if p.InOrder {
		n := p.HeldLen()
		b := passage(streamSearch, epoch, k, p.Search, k%n*p.BPTT, p.BPTT, 1)
		b.Text.Begins = k%n == 0
		return b
	}
	all := p.spans(epoch)
	row := all[k%len(all)].row % (p.Search.Rows - 1)
	return passage(streamSearch, epoch, k, p.Search, row, p.BPTT, 1)
}

// HeldLen is how many windows of the usual length the columns of the search have.
func (p *Passages) HeldLen() int { return (p.Search.Rows - 2 + p.BPTT) / p.BPTT }

// Held returns window k of the columns of the search, one after another; after the last one it
// goes round. Nothing trains on them, so that each is read from hidden states of 0 on.
func (p *Passages) Held(k int) data.Batch {
	return passage(streamHeld, 0, k, p.Search, k%p.HeldLen()*p.BPTT, p.BPTT, 1)
}
