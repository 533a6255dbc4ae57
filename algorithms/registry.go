package algorithms

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/nb1shot/nb1shot/algorithms/catalogue"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/supernet"
)

// Definition describes an algorithm and builds its searchers.
type Definition struct {
	Name    string         // as written on the command line, for example "sdarts-adv"
	Title   string         // as written in figures, for example "SDARTS-ADV"
	Look    catalogue.Look // in figures and reports; the zero value will do
	Doc     string         // one paragraph: what it does and whose it is
	Options []Option
	// Supports says in a sentence for the user why the algorithm cannot search a space, or
	// nil where it can. An algorithm without it supports every space.
	Supports func(*spaces.Space) error
	// Adapt returns the options that the algorithm has on a space, given Options, which it
	// must not change; nil is those. There may be more of them, or other defaults.
	Adapt func(*spaces.Space, []Option) []Option
	// Extend adds to a space the rows of architecture parameters that the algorithm
	// learns besides; nil adds none. The architectures stay those of the space.
	Extend func(*spaces.Space, Settings) *spaces.Space
	// Network is how the supernet departs from that of DARTS; nil if it does not.
	Network func(Settings) supernet.Variant
	// TableOnly tells that the algorithm trains nothing: there is no supernet.
	TableOnly bool
	// Budgets are the training budgets, in epochs, that an algorithm which is TableOnly asks
	// the table for; nil is FullBudget alone.
	Budgets []int
	// Discrete tells that the algorithm trains a supernet and has no alphas, so that there
	// is no Hessian, no validation, no projection gap and no landscape. The searchers of
	// all others that train must be Relaxed.
	Discrete bool
	// After tells that the cell of an epoch is what the search delivers after it.
	// Otherwise it is that of the alphas before it, as in the released code (quirk Q11).
	After bool
	// Preparation says how the images are prepared for a space with these settings; nil
	// is as for DARTS.
	Preparation func(*spaces.Space, Settings) Preparation
	// Warning is what every record of a run with these settings must say; nil, or
	// an empty text, is nothing.
	Warning func(Settings) string
	// Own says what of the algorithm is this module's own definition on a space where no source
	// has all of it, which every record there must say; nil, or an empty text, is nothing.
	Own func(*spaces.Space) string
	// New builds a searcher from a configuration whose settings are complete and
	// checked. Call the package's New instead, which sees to that.
	New func(Config) (Searcher, error)
}

// Preparation is how an algorithm's released code divides and prepares the images, and
// the size of its run.
type Preparation struct {
	Batch        int     // images in a batch at the paper's setting
	Epochs       int     // at the paper's setting; 0 is as many as DARTS
	Cells        int     // of its first network at the paper's setting; 0 is as many as DARTS
	Cutout       float64 // probability
	Passes       bool    // whether the search batches pass through their half on every space (quirk C5)
	TrainPortion float64 // of the training images for the queue Train; the others are for Search
	// Normalization is used in place of that of CIFAR-10 and its stand-in; nil keeps theirs.
	// Other data sets have their own.
	Normalization *data.Normalization
	TestSet       bool // whether the queue TestSet is needed
}

// dartsPreparation is that of every algorithm that does not say otherwise.
func dartsPreparation(space *spaces.Space) Preparation {
	p := Preparation{Batch: 96, TrainPortion: 0.5}
	if _, ok := darts.Of(space); ok {
		p.Batch = 64
	}
	return p
}

// Kind is the type of an option's value.
type Kind int

const (
	Real   Kind = iota // any number in the range
	Count              // whole numbers
	Switch             // 0 = off, 1 = on
)

// Option describes one setting of an algorithm: a number between Min and Max,
// both included. A Switch needs no range.
type Option struct {
	Name     string
	Kind     Kind
	Default  float64
	Min, Max float64
	Doc      string // what it does, its source, and for a quirk its number
	// Later tells that there are records from before the option: where it has its default
	// it is left out of what is recorded, so that their runs can be continued and averaged.
	Later bool
}

// Settings holds values of options by name.
type Settings map[string]float64

// ErrUnknown reports the name of an algorithm or option that does not exist.
var ErrUnknown = errors.New("unknown name")

var registry = map[string]Definition{}

// Register makes an algorithm known under its name. Each algorithm does so in an
// init function of its own file. It panics if the name is taken or a default is
// outside its own range, which are mistakes of the program and not of its input.
func Register(d Definition) {
	if _, taken := registry[d.Name]; taken {
		panic(fmt.Sprintf("algorithms: %q registered twice", d.Name))
	}
	if _, err := d.Resolve(nil); err != nil {
		panic(fmt.Sprintf("algorithms: default of %v", err))
	}
	registry[d.Name] = d
	catalogue.Add(catalogue.Entry{Name: d.Name, Title: d.Title, Look: d.Look})
}

// Names returns the names of all algorithms in alphabetical order.
func Names() []string { return slices.Sorted(maps.Keys(registry)) }

// Lookup returns the algorithm of the given name, or an error that wraps
// [ErrUnknown] and lists the names there are.
func Lookup(name string) (Definition, error) {
	d, ok := registry[name]
	if !ok {
		return Definition{}, fmt.Errorf("algorithm %q: %w, choose one of %s", name, ErrUnknown, strings.Join(Names(), ", "))
	}
	return d, nil
}

// New builds a searcher of the named algorithm. Settings left out take their
// defaults; a setting the algorithm does not have, or a value outside its range,
// is an error.
func New(name string, cfg Config) (Searcher, error) {
	d, err := Lookup(name)
	if err != nil {
		return nil, err
	}
	return d.NewSearcher(cfg)
}

// ErrSpace reports a space that an algorithm does not support.
var ErrSpace = errors.New("is not supported")

// CheckSpace returns an error that wraps [ErrSpace] and says why if the algorithm does not
// support the space.
func (d Definition) CheckSpace(space *spaces.Space) error {
	if d.Supports == nil {
		return nil
	}
	if err := d.Supports(space); err != nil {
		return fmt.Errorf("algorithm %s: space %s %w: %w", d.Name, space.Name(), ErrSpace, err)
	}
	return nil
}

// NewSearcher is New for a definition that need not be registered.
func (d Definition) NewSearcher(cfg Config) (_ Searcher, err error) {
	name := d.Name
	if cfg.Space == nil {
		return nil, fmt.Errorf("algorithm %s: no search space given", name)
	}
	if err := d.CheckSpace(cfg.Space); err != nil {
		return nil, err
	}
	d = d.On(cfg.Space)
	if cfg.Epochs < 1 {
		return nil, fmt.Errorf("algorithm %s: %d epochs, need at least 1", name, cfg.Epochs)
	}
	if cfg.Cells < 1 {
		return nil, fmt.Errorf("algorithm %s: %d cells, need at least 1", name, cfg.Cells)
	}
	if cfg.Settings, err = d.Resolve(cfg.Settings); err != nil {
		return nil, err
	}
	s, err := d.New(cfg)
	if err != nil {
		return nil, err
	}
	if _, relaxed := s.(Relaxed); relaxed == (d.Discrete || d.TableOnly) {
		if relaxed {
			return nil, fmt.Errorf("algorithm %s: its searcher, a %T, has alphas, but its definition says Discrete or TableOnly", name, s)
		}
		return nil, fmt.Errorf("algorithm %s: its searcher, a %T, is not algorithms.Relaxed, so there would be no Hessian: "+
			"if it wraps another searcher, embed that as Relaxed or *Relaxation and not as Searcher; if it has no alphas, say Discrete in its definition", name, s)
	}
	return s, nil
}

// Variant is how the supernet departs from that of DARTS with the given
// settings, the defaults where they are left out.
func (d Definition) Variant(given Settings) (supernet.Variant, error) {
	all, err := d.Resolve(given)
	if err != nil || d.Network == nil {
		return supernet.Variant{}, err
	}
	return d.Network(all), nil
}

// LearnsFrom returns what the algorithm learns from on a space with the given settings,
// the defaults where they are left out.
func (d Definition) LearnsFrom(space *spaces.Space, given Settings) (Preparation, error) {
	all, err := d.On(space).Resolve(given)
	if err != nil || d.Preparation == nil {
		return dartsPreparation(space), err
	}
	return d.Preparation(space, all), nil
}

// Caveat is what every record of a run on a space with these settings, which are complete, must
// say; it may be empty.
func (d Definition) Caveat(space *spaces.Space, all Settings) string {
	var texts []string
	if d.Warning != nil {
		texts = append(texts, d.Warning(all))
	}
	if d.Own != nil {
		texts = append(texts, d.Own(space))
	}
	return strings.Join(slices.DeleteFunc(texts, func(t string) bool { return t == "" }), "; ")
}

// On returns the definition with the options that it has on a space.
func (d Definition) On(space *spaces.Space) Definition {
	if d.Adapt != nil {
		d.Options = d.Adapt(space, d.Options)
	}
	return d
}

// SpaceOption is an option of an algorithm and what becomes of it on the spaces.
type SpaceOption struct {
	Option
	// Spaces are those that have the option; nil is all.
	Spaces []spaces.Name
	// Others are the defaults that differ from that of the option, by space.
	Others map[spaces.Name]float64
}

// OnEverySpace lists the options that the algorithm has on any registered space that it
// supports.
func (d Definition) OnEverySpace() []SpaceOption {
	var all []SpaceOption
	supported := 0
	for _, o := range d.Options {
		all = append(all, SpaceOption{Option: o})
	}
	for _, space := range spaces.All() {
		if d.CheckSpace(space) != nil {
			continue
		}
		supported++
		for _, o := range d.On(space).Options {
			i := slices.IndexFunc(all, func(s SpaceOption) bool { return s.Name == o.Name })
			if i < 0 {
				i = len(all)
				all = append(all, SpaceOption{Option: o})
			}
			all[i].Spaces = append(all[i].Spaces, space.Name())
			if o.Default != all[i].Default {
				if all[i].Others == nil {
					all[i].Others = map[spaces.Name]float64{}
				}
				all[i].Others[space.Name()] = o.Default
			}
		}
	}
	for i := range all {
		if len(all[i].Spaces) == supported {
			all[i].Spaces = nil
		}
	}
	return all
}

// WithDefaults returns the options with other defaults, for Definition.Adapt.
func WithDefaults(options []Option, defaults Settings) []Option {
	options = slices.Clone(options)
	for i, o := range options {
		if v, ok := defaults[o.Name]; ok {
			options[i].Default = v
		}
	}
	return options
}

// SearchSpace returns the space whose parameters the algorithm learns when it searches a
// space with the given settings: that space, or one derived from it with more rows.
func (d Definition) SearchSpace(space *spaces.Space, given Settings) (*spaces.Space, error) {
	all, err := d.On(space).Resolve(given)
	if err != nil || d.Extend == nil {
		return space, err
	}
	return d.Extend(space, all), nil
}

// Resolve returns a value for every option: the given settings, checked, and
// defaults for the rest.
func (d Definition) Resolve(given Settings) (Settings, error) {
	all := Settings{}
	for _, o := range d.Options {
		v, ok := given[o.Name]
		if !ok {
			v = o.Default
		}
		if err := o.check(v); err != nil {
			return nil, fmt.Errorf("algorithm %s: %w", d.Name, err)
		}
		all[o.Name] = v
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, ok := all[name]; !ok {
			return nil, fmt.Errorf("algorithm %s: setting %q: %w, choose one of %s",
				d.Name, name, ErrUnknown, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
		}
	}
	return all, nil
}

// Recorded returns complete settings as records have them, without those that Option.Later
// leaves out.
func (d Definition) Recorded(all Settings) Settings {
	all = maps.Clone(all)
	for _, o := range d.Options {
		if o.Later && all[o.Name] == o.Default {
			delete(all, o.Name)
		}
	}
	return all
}

// ErrBudgets reports a table without the training budgets that an algorithm needs.
var ErrBudgets = errors.New("training budgets are missing in the table")

// CheckBudgets returns an error that wraps ErrBudgets where a table that has results after
// these numbers of epochs lacks some that the algorithm asks for; table is what to call it.
func (d Definition) CheckBudgets(table string, budgets []int) error {
	for _, b := range d.Budgets {
		if !slices.Contains(budgets, b) {
			return fmt.Errorf("algorithm %s: %w: it asks for results after %s epochs, %s has those after %s alone",
				d.Name, ErrBudgets, epochList(d.Budgets), table, epochList(budgets))
		}
	}
	return nil
}

// epochList lists budgets for a sentence: "4, 12 and 108".
func epochList(budgets []int) string {
	var list []string
	for _, b := range budgets {
		list = append(list, strconv.Itoa(b))
	}
	if n := len(list); n > 1 {
		list = append(list[:n-2], list[n-2]+" and "+list[n-1])
	}
	return strings.Join(list, ", ")
}

func (o Option) check(v float64) error {
	if o.Kind == Switch {
		if v != 0 && v != 1 {
			return fmt.Errorf("setting %s is %v, want 0 (off) or 1 (on)", o.Name, v)
		}
		return nil
	}
	if !(v >= o.Min && v <= o.Max) {
		return fmt.Errorf("setting %s is %v, want %v to %v", o.Name, v, o.Min, o.Max)
	}
	if o.Kind == Count && v != math.Trunc(v) {
		return fmt.Errorf("setting %s is %v, want a whole number", o.Name, v)
	}
	return nil
}

// Parse reads a value of the option as written on a command line: a number, or
// on and off for a switch.
func (o Option) Parse(text string) (float64, error) {
	if o.Kind == Switch {
		switch text {
		case "on":
			return 1, nil
		case "off":
			return 0, nil
		}
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("setting %s: %q is not a number", o.Name, text)
	}
	return v, o.check(v)
}

// Format writes a value of the option as Parse reads it.
func (o Option) Format(v float64) string {
	if o.Kind == Switch {
		if v == 0 {
			return "off"
		}
		return "on"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// Number returns a resolved setting. Asking for one that the algorithm's
// definition does not list is a mistake of the program.
func (s Settings) Number(name string) float64 {
	v, ok := s[name]
	if !ok {
		panic(fmt.Sprintf("algorithms: setting %q is not among the algorithm's options", name))
	}
	return v
}

// Count returns a resolved setting of Kind Count.
func (s Settings) Count(name string) int { return int(s.Number(name)) }

// On returns a resolved setting of Kind Switch.
func (s Settings) On(name string) bool { return s.Number(name) == 1 }
