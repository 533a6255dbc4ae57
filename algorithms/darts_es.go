package algorithms

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/spaces"
)

func init() {
	Register(Definition{
		Name:  "darts-es",
		Title: "DARTS-ES",
		Look:  catalogue.Look{Family: catalogue.Stabilised, Colour: catalogue.Black, Place: 12},
		Doc: "First-order DARTS that stops early (Zela et al., ICLR 2020): when the largest eigenvalue of the architecture Hessian, " +
			"averaged over a window, has grown by a factor, the search goes back to the alphas from before the growth and ends. " +
			"The rule and its numbers are those of the released RobustDARTS code (quirk C21).",
		Options: append(RelaxationOptions(),
			Option{Name: "es-window", Kind: Count, Default: 5, Min: 3, Max: 1000, Doc: "early stopping: eigenvalues in a mean"},
			Option{Name: "es-distance", Kind: Count, Default: 4, Min: 1, Max: 1000, Doc: "early stopping: how many means back the newest is compared with"},
			Option{Name: "es-factor", Default: 1.3, Min: 1, Max: 1e6, Doc: "early stopping: growth of the mean that ends the search"},
			Option{Name: "es-start", Kind: Count, Default: 10, Max: 1e6, Doc: "early stopping: first epoch to which the search may go back"},
			Option{Name: "es-every", Kind: Count, Default: 1, Min: 1, Max: 1000, Doc: "early stopping: epochs between eigenvalues that count"},
		),
		Supports: notRecurrent(undefined),
		Adapt:    adaptToDARTS(Settings{"learning-rate-shift": 0, "es-every": 2}, unrolledOptions()...), // quirk C3
		New:      newEarlyStopping,
	})
}

// earlyStopping is DARTS with the stop rule of RobustDARTS. In its words the
// mean of the newest eigenvalues is that of the epoch in their centre.
type earlyStopping struct {
	*Relaxation
	rule StopRule
	// What was seen, by epoch.
	eigenvalues []float64   // largest algebraic eigenvalue after each epoch
	history     [][]float64 // alphas after each epoch
	stopped     []float64   // alphas that the search went back to; nil while it goes on
}

func newEarlyStopping(cfg Config) (Searcher, error) {
	s := cfg.Settings
	r := NewRelaxation("darts-es", cfg, 0)
	r.unrollIfAsked()
	return &earlyStopping{
		Relaxation: r,
		rule: StopRule{
			Window: s.Count("es-window"), Distance: s.Count("es-distance"), Factor: s.Number("es-factor"),
			Start: s.Count("es-start"), Every: s.Count("es-every"),
		},
	}, nil
}

// StopRule decides from the eigenvalues of the architecture Hessian when DARTS
// should have stopped.
type StopRule struct {
	Window   int     // eigenvalues in a mean; the first means are of 3 and more
	Distance int     // means between those that are compared
	Factor   float64 // growth that stops
	Start    int     // first epoch to go back to
	Every    int     // epochs between eigenvalues
}

// Stop tells whether to stop given the eigenvalues after each epoch so far, and
// the epoch whose alphas to return to.
func (r StopRule) Stop(eigenvalues []float64) (back int, stop bool) {
	epoch := len(eigenvalues) - 1
	if epoch < 0 || epoch%r.Every != 0 {
		return 0, false
	}
	means := r.Averages(eigenvalues, 0)
	back = r.Centre(epoch) - r.Distance*r.Every
	if last := len(means) - 1; back >= r.Start && last >= r.Distance && means[last]/means[last-r.Distance] > r.Factor {
		return back, true
	}
	return 0, false
}

// fewest is how many eigenvalues make the first mean.
const fewest = 3

// Centre is the epoch in the middle of the mean that an epoch with an eigenvalue that
// counts adds, -1 if it adds none.
func (r StopRule) Centre(epoch int) int {
	if epoch < (fewest-1)*r.Every {
		return -1
	}
	return epoch - 2*r.Every
}

// Averages returns the means that the rule looks at, given the eigenvalues after each
// epoch so far: from the third eigenvalue that counts on, each adds the mean of the newest
// ones. If they are those of all epochs of a search, the last always counts, the rule
// does not look at it, and it adds the means of as many as the window has, and of fewer,
// down to 3; with 0 epochs the search is not at its end.
func (r StopRule) Averages(eigenvalues []float64, epochs int) (means []float64) {
	var seen []float64
	for e, v := range eigenvalues {
		end := e == epochs-1
		if e%r.Every != 0 && !end {
			continue
		}
		seen = append(seen, v)
		shortest := r.Window
		if end {
			shortest = fewest
		}
		for n := r.Window; n >= shortest && len(seen) >= fewest; n-- {
			window := seen[max(len(seen)-n, 0):]
			mean := 0.0
			for _, v := range window {
				mean += v / float64(len(window))
			}
			means = append(means, mean)
		}
	}
	return means
}

// EpochDone implements [Watcher]. The last epoch never stops: the search is over
// anyway.
func (s *earlyStopping) EpochDone(spectrum Spectrum) (stop bool) {
	s.eigenvalues = append(s.eigenvalues, spectrum.Max())
	s.history = append(s.history, s.Relaxation.Alphas())
	if len(s.eigenvalues) >= s.cfg.Epochs {
		return false
	}
	back, stop := s.rule.Stop(s.eigenvalues)
	if stop {
		s.stopped = s.history[back]
	}
	return stop
}

// Alphas are those that the search went back to, once it has.
func (s *earlyStopping) Alphas() []float64 {
	if s.stopped != nil {
		return slices.Clone(s.stopped)
	}
	return s.Relaxation.Alphas()
}

func (s *earlyStopping) Architecture() spaces.Architecture {
	return s.cfg.Space.Discretize(s.Alphas(), s.cfg.Ties)
}

// earlyState is the state of a relaxation and what was seen.
type earlyState struct {
	State
	Eigenvalues []float64   `json:"eigenvalues"`
	History     [][]float64 `json:"history"`
	Stopped     []float64   `json:"stopped"`
}

func (s *earlyStopping) State() ([]byte, error) {
	b, err := json.Marshal(earlyState{s.state(), s.eigenvalues, s.history, s.stopped})
	if err != nil {
		return nil, fmt.Errorf("save state of %s: %w", s.name, err)
	}
	return b, nil
}

func (s *earlyStopping) SetState(b []byte) error {
	var saved earlyState
	if err := json.Unmarshal(b, &saved); err != nil {
		return fmt.Errorf("restore state of %s: %w", s.name, err)
	}
	if len(saved.History) != len(saved.Eigenvalues) {
		return fmt.Errorf("restore state of %s: %d eigenvalues and %d vectors of alphas", s.name, len(saved.Eigenvalues), len(saved.History))
	}
	for i, alphas := range append(saved.History, saved.Stopped) {
		if d := s.cfg.Space.Dim(); len(alphas) != d && !(i == len(saved.History) && alphas == nil) {
			return fmt.Errorf("restore state of %s: alphas %d have %d numbers, space %s needs %d", s.name, i, len(alphas), s.cfg.Space.Name(), d)
		}
	}
	if err := s.setState(saved.State); err != nil {
		return err
	}
	s.eigenvalues, s.history, s.stopped = saved.Eigenvalues, saved.History, saved.Stopped
	return nil
}
