package steptime

import (
	"github.com/nb1shot/nb1shot/internal/engine"
)

// PhaseTiming is what a phase of a program costs in one repeat of a step, and how near it
// comes to what the machine can do.
type PhaseTiming struct {
	Program      int     `json:"program"` // of the step, in the order in which they run first
	Phase        int     `json:"phase"`
	Runs         int     `json:"runs"` // in a repeat
	Instructions string  `json:"instructions"`
	Read         float64 `json:"read_bytes"`    // from memory in a repeat, see engine.Phase
	Written      float64 `json:"written_bytes"` // to it
	FLOPs        float64 `json:"flops"`
	Images       float64 `json:"images_seconds"` // median over the repeats, on all threads
	Batch        float64 `json:"batch_seconds"`  // of what is done between phases, on one thread for the most part

	// The bound is the least time that the images can take: that of the arithmetic at the
	// machine's peak or that of the bytes at the speed of memory, if they overlap
	// completely.
	Arithmetic float64 `json:"arithmetic_seconds"`
	Memory     float64 `json:"memory_seconds"`
	Share      float64 `json:"share_of_bound"` // bound by time; above 1 where caches hold what the bytes count
}

// Bound is the larger of the two, in seconds.
func (p PhaseTiming) Bound() float64 { return max(p.Arithmetic, p.Memory) }

// judge compares the phase with the machine.
func (p *PhaseTiming) judge(r Report) {
	p.Arithmetic = p.FLOPs / r.Peak / 1e9
	p.Memory = (p.Read/r.MemoryRead + p.Written/r.MemoryWritten) / 1e9
	if p.Images > 0 {
		p.Share = p.Bound() / p.Images
	}
}

// phaseWatch collects the phases of the repeats of a step.
type phaseWatch struct {
	programs []engine.Program
	order    []phaseKey
	phases   map[phaseKey]*watched
}

type phaseKey struct {
	program, phase int
}

type watched struct {
	cost          engine.Phase // of a repeat, without times
	runs          int
	images, batch []float64 // of the repeats that are over
	now           engine.Phase
}

func (w *phaseWatch) saw(p engine.Program, phase int, cost engine.Phase) {
	program := 0
	for program < len(w.programs) && w.programs[program] != p {
		program++
	}
	if program == len(w.programs) {
		w.programs = append(w.programs, p)
	}
	key := phaseKey{program, phase}
	if w.phases == nil {
		w.phases = map[phaseKey]*watched{}
	}
	at := w.phases[key]
	if at == nil {
		at = &watched{}
		w.phases[key] = at
		w.order = append(w.order, key)
	}
	at.runs++
	at.now.Instructions = cost.Instructions
	at.now.Read += cost.Read
	at.now.Written += cost.Written
	at.now.FLOPs += cost.FLOPs
	at.now.Images += cost.Images
	at.now.Batch += cost.Batch
}

// next ends a repeat.
func (w *phaseWatch) next() {
	for _, at := range w.phases {
		at.images, at.batch = append(at.images, at.now.Images.Seconds()), append(at.batch, at.now.Batch.Seconds())
		at.cost, at.now = at.now, engine.Phase{}
	}
}

// timings is what was seen, but for the first repeat, which warms up.
func (w *phaseWatch) timings() []PhaseTiming {
	var list []PhaseTiming
	for _, key := range w.order {
		at := w.phases[key]
		repeats := len(at.images)
		list = append(list, PhaseTiming{
			Program: key.program, Phase: key.phase, Runs: at.runs / repeats, Instructions: at.cost.Instructions,
			Read: at.cost.Read, Written: at.cost.Written, FLOPs: at.cost.FLOPs,
			Images: median(at.images[min(1, repeats-1):]), Batch: median(at.batch[min(1, repeats-1):]),
		})
	}
	return list
}
