package algorithms

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/supernet"
)

// P-DARTS and what SDARTS makes of it. The SDARTS paper has the latter without released
// code: inside each stage the weight step is perturbed as soon as the alphas move.
// (quirk C15)
func init() {
	const stages = " in three stages (Chen et al., ICCV 2019): networks of more and more cells, whose edges have fewer and fewer " +
		"operations, each stage with new weights and alphas. Dropout on the skip connections, which falls within a stage, and in " +
		"the end a bound on those of the normal cell keep them from winning."
	options := WithDefaults(RelaxationOptions(), Settings{
		"learning-rate-min": 0, "learning-rate-shift": 0, "arch-learning-rate": 6e-4, // quirk C3
	})
	options = slices.DeleteFunc(options, func(o Option) bool { return o.Name == warmStartEpochs })
	options = append(options,
		Option{Name: "warm-start-share", Default: 0.4, Max: 1, Doc: "stages: share of the epochs, the first ones, in which only the weights move; 10 of 25"},
		Option{Name: "arch-clip", Default: 5, Max: 1e9, Doc: "alphas: bound on the 2-norm of the gradient; 0 does not clip"},
		Option{Name: "added-cells", Kind: Count, Default: 6, Max: 100, Doc: "stages: cells that each network has more than the one before"},
		Option{Name: "dropped-1", Kind: Count, Default: 3, Max: 7, Doc: "stages: operations that each edge loses after the first"},
		Option{Name: "dropped-2", Kind: Count, Default: 2, Max: 7, Doc: "stages: operations that each edge loses after the second"},
		Option{Name: "dropout-1", Default: 0.1, Max: 0.95, Doc: "dropout on skip connections at the start of the first stage (quirk C33)"},
		Option{Name: "dropout-2", Default: 0.4, Max: 0.95, Doc: "dropout on skip connections at the start of the second stage (quirk C33)"},
		Option{Name: "dropout-3", Default: 0.7, Max: 0.95, Doc: "dropout on skip connections at the start of the third stage (quirk C33)"},
		Option{Name: "max-skips", Kind: Count, Default: 2, Max: 8, Doc: "derivation: skip connections that the normal cell may have; 8 is no bound"},
	)
	for _, v := range []struct {
		name, title string
		look        catalogue.Look
		what        string
		further     []Option
		loop        func(name string, cfg Config) *Relaxation
	}{
		{"p-darts", "P-DARTS", catalogue.Look{Family: catalogue.Baselines, Colour: catalogue.Purple, Place: 18}, "First-order DARTS",
			nil, func(name string, cfg Config) *Relaxation { return NewRelaxation(name, cfg, 0) }},
		{"p-darts-rs", "P-DARTS-RS", catalogue.Look{Family: catalogue.PerturbedPCDARTS, Colour: catalogue.Green, Place: 19}, "SDARTS-RS",
			perturbationOptions(), newSDARTSRS},
		{"p-darts-adv", "P-DARTS-ADV", catalogue.Look{Family: catalogue.PerturbedPCDARTS, Colour: catalogue.Purple, Place: 20}, "SDARTS-ADV",
			slices.Concat(perturbationOptions(), attackOptions()), newSDARTSADV},
	} {
		Register(Definition{
			Name: v.name, Title: v.title, Look: v.look, Doc: v.what + stages,
			Options:  slices.Concat(options, v.further),
			Supports: supportsStages,
			Network:  func(Settings) supernet.Variant { return supernet.Variant{Dropout: true} },
			Preparation: func(space *spaces.Space, _ Settings) Preparation {
				p := dartsPreparation(space)
				p.Batch, p.Epochs, p.Cells = 96, stageCount*25, 5
				p.Passes = true // quirk C5
				return p
			},
			New: func(cfg Config) (Searcher, error) { return newPDARTS(v.name, cfg, v.loop) },
		})
	}
}

// supportsStages is the Supports of P-DARTS.
func supportsStages(space *spaces.Space) error {
	if !isDARTS(space) || len(space.Rows()[0].Candidates) < 7 {
		return errors.New("its stages drop 5 operations from each edge of the DARTS spaces darts and darts8")
	}
	return nil
}

// warmStartEpochs is the option of a relaxation that follows from the length of a stage.
const warmStartEpochs = "warm-start-epochs"

// stageCount is the number of stages of P-DARTS.
const stageCount = 3

// pDARTS is P-DARTS: a relaxation for each stage, of which the current one is embedded.
type pDARTS struct {
	*Relaxation
	name  string
	whole Config // of all stages
	loop  func(name string, cfg Config) *Relaxation
	space *darts.Space // the one searched
	stage int
	kept  [][]int // candidates of the current stage, by their numbers in the space; nil in the first
}

func newPDARTS(name string, cfg Config, loop func(string, Config) *Relaxation) (Searcher, error) {
	space, ok := darts.Of(cfg.Space)
	if !ok {
		return nil, fmt.Errorf("%s: space %s is not one of DARTS", name, cfg.Space.Name())
	}
	if cfg.Epochs < stageCount {
		return nil, fmt.Errorf("%s: %d epochs, need at least one for each of the %d stages", name, cfg.Epochs, stageCount)
	}
	dropped := cfg.Settings.Count("dropped-1") + cfg.Settings.Count("dropped-2")
	for _, row := range space.Rows() {
		if left := len(row.Candidates) - dropped; left < 2 {
			return nil, fmt.Errorf("%s: the %s has %d operations, of which dropped-1 and dropped-2 leave %d: need at least 2", name, row.Title, len(row.Candidates), left)
		}
	}
	p := &pDARTS{name: name, whole: cfg, loop: loop, space: space}
	p.begin(0, nil)
	return p, nil
}

// firstEpoch is the epoch with which a stage begins: all have as many, but for remainders.
func (p *pDARTS) firstEpoch(stage int) int { return p.whole.Epochs * stage / stageCount }

// begin makes the relaxation of a stage, with new alphas over the kept
// candidates (quirk C34).
func (p *pDARTS) begin(stage int, kept [][]int) {
	cfg := p.whole
	cfg.Epochs = p.firstEpoch(stage+1) - p.firstEpoch(stage)
	cfg.Settings = maps.Clone(cfg.Settings)
	cfg.Settings[warmStartEpochs] = math.Round(cfg.Settings.Number("warm-start-share") * float64(cfg.Epochs))
	if kept != nil {
		cfg.Space = p.space.Restrict(kept).Space
	}
	r := p.loop(p.name, cfg)
	r.first = p.firstEpoch(stage)
	r.archClip = cfg.Settings.Number("arch-clip")
	if stage > 0 {
		draws := random.New(cfg.Seed, "alphas", uint64(stage))
		for i := range r.alphas {
			r.alphas[i] = 1e-3 * draws.NormFloat64()
		}
	}
	rate := cfg.Settings.Number(fmt.Sprintf("dropout-%d", stage+1))
	r.Before = func(net Supernet, _ Use, _ int) {
		net.SetDropout(StageDropout{Rate: rate, Epochs: cfg.Epochs, WarmStart: r.warmStart}.At(r.scheduled()))
	}
	if perturb := r.Perturb; perturb != nil {
		r.Perturb = func(net Supernet, train data.Batch, info *StepInfo) error {
			if r.scheduled() < r.warmStart {
				return nil
			}
			return perturb(net, train, info)
		}
	}
	p.Relaxation, p.stage, p.kept = r, stage, kept
}

// StageDropout is how the dropout of P-DARTS falls within a stage: linearly as long as the
// alphas do not move, so that it would be 0 at the end of the stage, and exponentially from
// the starting rate again once they do.
type StageDropout struct {
	Rate      float64 // of the stage
	Epochs    int     // of the stage
	WarmStart int     // epochs without architecture steps
}

// At returns the probability in an epoch of the stage.
func (d StageDropout) At(epoch int) float64 {
	if epoch < d.WarmStart {
		return d.Rate * float64(d.Epochs-epoch-1) / float64(d.Epochs)
	}
	return d.Rate * math.Exp(-0.2*float64(epoch-d.WarmStart))
}

// StartEpoch implements [Searcher]. A stage that begins drops from every edge the
// operations of smallest weight.
func (p *pDARTS) StartEpoch(epoch int) {
	for p.stage+1 < stageCount && epoch >= p.firstEpoch(p.stage+1) {
		current, _ := darts.Of(p.Space())
		dropped := p.whole.Settings.Count(fmt.Sprintf("dropped-%d", p.stage+1))
		p.begin(p.stage+1, current.Drop(p.alphas, dropped))
	}
	p.Relaxation.StartEpoch(epoch)
}

// Stage implements [Staged].
func (p *pDARTS) Stage() Stage {
	return Stage{Number: p.stage, Space: p.Space(), Cells: p.whole.Cells + p.stage*p.whole.Settings.Count("added-cells")}
}

// Architecture is that of the current stage's alphas, by the rule of P-DARTS.
func (p *pDARTS) Architecture() spaces.Architecture {
	current, _ := darts.Of(p.Space())
	a, err := p.space.Architecture(current.DeriveStage(p.alphas, p.whole.Settings.Count("max-skips")))
	if err != nil {
		panic(fmt.Sprintf("algorithms: %s derived an architecture that its space does not have: %v", p.name, err))
	}
	return a
}

// stagedState is the state of the relaxation of a stage, and which stage that is.
type stagedState struct {
	State
	Stage int     `json:"stage"`
	Kept  [][]int `json:"kept,omitempty"`
}

// State implements [Searcher].
func (p *pDARTS) State() ([]byte, error) {
	b, err := json.Marshal(stagedState{p.state(), p.stage, p.kept})
	if err != nil {
		return nil, fmt.Errorf("save state of %s: %w", p.name, err)
	}
	return b, nil
}

// SetState implements [Searcher].
func (p *pDARTS) SetState(b []byte) error {
	var s stagedState
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("restore state of %s: %w", p.name, err)
	}
	if s.Stage < 0 || s.Stage >= stageCount {
		return fmt.Errorf("restore state of %s: stage %d, want 0 to %d", p.name, s.Stage, stageCount-1)
	}
	if err := p.checkKept(s.Kept, s.Stage); err != nil {
		return fmt.Errorf("restore state of %s: %w", p.name, err)
	}
	fresh := *p
	fresh.begin(s.Stage, s.Kept)
	if err := fresh.setState(s.State); err != nil {
		return err
	}
	*p = fresh
	return nil
}

// checkKept verifies the candidates of a stage that were read from a saved state.
func (p *pDARTS) checkKept(kept [][]int, stage int) error {
	if (kept == nil) != (stage == 0) {
		return fmt.Errorf("%d edges with kept operations in stage %d", len(kept), stage)
	}
	if kept == nil {
		return nil
	}
	rows := p.space.Rows()
	if len(kept) != len(rows) {
		return fmt.Errorf("%d edges with kept operations, want %d", len(kept), len(rows))
	}
	dropped := p.whole.Settings.Count("dropped-1")
	if stage > 1 {
		dropped += p.whole.Settings.Count("dropped-2")
	}
	for i, row := range kept {
		n := len(rows[i].Candidates)
		if len(row) != n-dropped || !slices.IsSorted(row) || len(slices.Compact(slices.Clone(row))) != len(row) || row[0] < 0 || row[len(row)-1] >= n {
			return fmt.Errorf("%s keeps the operations %v, want %d of 0 to %d, ascending", rows[i].Title, row, n-dropped, n-1)
		}
	}
	return nil
}
