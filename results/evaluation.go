package results

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
	"github.com/nb1shot/nb1shot/spaces/rnn"
)

// EvaluationFile is the file of an Evaluation: in the directory of the search run that
// found the architecture, or in a folder of its own for one that no run here found.
const EvaluationFile = "evaluation.json"

// EvaluationVersion is the format of an evaluation, its member "format".
const EvaluationVersion = 1

// maxEvaluation bounds the file of an evaluation, in bytes.
const maxEvaluation = 1 << 20

// Evaluation is what an architecture scores after its network was trained from scratch:
// the result of a search on a space that no table knows (Tables 1, 2 and 4 of the paper).
type Evaluation struct {
	Format     int        `json:"format"` // EvaluationVersion, set when it is written
	Subject    Subject    `json:"subject"`
	Seed       uint64     `json:"seed"`       // of the training
	Provenance Provenance `json:"provenance"` // of the training; Table is NoTable, Preset the scale of the training
	Recipe     Recipe     `json:"recipe"`
	Test       Score      `json:"test"`           // after the last epoch, on the images that Recipe.MeasuredOn says
	Train      Score      `json:"train"`          // running means over the last epoch, as in Training
	Best       *BestEpoch `json:"best,omitempty"` // nil where no other epoch was measured
	// Words is the result of a network of words, of FormRecurrent, in the place of Test, whose
	// accuracy is 0; nil of the others.
	Words *WordsResult `json:"words,omitempty"`
	// Parameters are those that are trained; those of the auxiliary head, which only
	// training has, are in ParametersAuxiliary alone (quirk C27).
	Parameters          int      `json:"parameters"`
	ParametersAuxiliary int      `json:"parameters_auxiliary"`     // equal to Parameters without an auxiliary head
	MACs                int64    `json:"macs"`                     // multiply-adds of convolutions and linear layers for one image, in evaluation mode
	Seconds             float64  `json:"seconds"`                  // wall time of the training
	SearchSeconds       *float64 `json:"search_seconds,omitempty"` // wall time of the search, summed over its records; nil where unknown
	Program             string   `json:"program,omitempty"`        // version of the program that trained, for people
}

// The networks that an architecture is trained in, Subject.Form.
const (
	FormCIFAR       = "cifar"       // of DARTS for CIFAR-10, CIFAR-100 and SVHN
	FormImageNet    = "imagenet"    // of DARTS for ImageNet: a stem of stride 4
	FormNASBench101 = "nasbench101" // of NAS-Bench-101: three stacks of three cells
	FormRecurrent   = "recurrent"   // the language model of DARTS with a recurrent cell
)

// WordsResult is what a language model is worth (Table 3 of the paper), by the weights of the
// epoch of the lowest validation loss.
type WordsResult struct {
	Valid Perplexity `json:"valid"` // on the validation text, which chose the epoch
	Test  Perplexity `json:"test"`  // on the test text
	Epoch int        `json:"epoch"` // whose weights they are, from 0
	// AveragingFrom is the first epoch of averaged SGD; nil where SGD lasted to the end.
	AveragingFrom *int `json:"averaging_from,omitempty"`
}

// Perplexity is that of a text.
type Perplexity struct {
	Loss       float64 `json:"loss"`       // cross-entropy of a word in nats, summed over the predicted rows and divided by all (quirk R1)
	Perplexity float64 `json:"perplexity"` // exp(Loss), as the released code reports it
	Exact      float64 `json:"exact"`      // perplexity of the predicted words
}

// NewPerplexity returns the perplexity of mean cross-entropies: as released, and exact.
func NewPerplexity(loss, exact float64) Perplexity {
	return Perplexity{Loss: loss, Perplexity: math.Exp(loss), Exact: math.Exp(exact)}
}

// Check verifies that it is finite and that of its loss.
func (p Perplexity) Check() error {
	if !(p.Loss >= 0) || math.IsInf(p.Exact, 0) || !(math.Abs(p.Perplexity-math.Exp(p.Loss)) <= 1e-9*p.Perplexity) || !(p.Exact >= p.Perplexity*(1-1e-9)) {
		return fmt.Errorf("a perplexity of %v, exactly %v, at a loss of %v: want finite numbers, exp(loss) and no less", p.Perplexity, p.Exact, p.Loss)
	}
	return nil
}

// Subject is what was trained.
type Subject struct {
	Form     string      `json:"form"`               // one of the above
	Space    spaces.Name `json:"space,omitempty"`    // in which it was found; empty where that is none of ours
	Genotype string      `json:"genotype,omitempty"` // cells of DARTS, as darts.Genotype.Line writes them, or a recurrent one, as rnn.Genotype.Line does
	Cell     *Cell       `json:"cell,omitempty"`     // of FormNASBench101, instead
	// Run is the name of the search run that found it, Published that of a published
	// genotype; both are empty for one from elsewhere.
	Run       string `json:"run,omitempty"`
	Published string `json:"published,omitempty"`
	// Selection is ByPerturbation where it is what the run's Selection selected from its
	// supernet; empty where the search delivered it.
	Selection string `json:"selection,omitempty"`
}

// ByPerturbation is the Subject.Selection of what a Selection selected.
const ByPerturbation = "perturbation"

// Recipe is how an architecture was trained, every value resolved. Two evaluations of
// equal recipes on the same images by the same engine can be compared and averaged.
type Recipe struct {
	Epochs            int     `json:"epochs"`
	Batch             int     `json:"batch"`    // images; the last one of an epoch may be smaller
	Channels          int     `json:"channels"` // of the first cells
	Cells             int     `json:"cells"`
	Side              int     `json:"side"` // of the images
	Classes           int     `json:"classes"`
	Optimizer         string  `json:"optimizer"`     // "sgd", "rmsprop" or "asgd": SGD, then averaged SGD
	LearningRate      float64 `json:"learning_rate"` // at the start of the schedule
	FinalLearningRate float64 `json:"final_learning_rate"`
	Schedule          string  `json:"schedule"`               // "cosine", "linear" or "constant"
	PlainCosine       bool    `json:"plain_cosine,omitempty"` // taken at the epoch's number, not at the next (quirk C3)
	Momentum          float64 `json:"momentum"`
	Decay             float64 `json:"decay,omitempty"`   // of the mean square of "rmsprop"
	Epsilon           float64 `json:"epsilon,omitempty"` // of "rmsprop"
	WeightDecay       float64 `json:"weight_decay"`
	Clip              float64 `json:"clip"`                          // joint 2-norm of the gradient; 0 is none
	BatchNormMomentum float64 `json:"batch_norm_momentum,omitempty"` // weight of the newest batch in the running statistics
	Cutout            int     `json:"cutout"`                        // side of the square, in pixels; 0 is none
	DropPath          float64 `json:"drop_path"`                     // probability that the schedule tends to, in [0,1)
	DropPathReached   bool    `json:"drop_path_reached,omitempty"`   // it is that of the last epoch (quirk C29)
	AuxiliaryWeight   float64 `json:"auxiliary_weight"`              // of the loss of the auxiliary head; 0 without one
	AuxiliaryNorm     bool    `json:"auxiliary_norm,omitempty"`      // the head for ImageNet has a second batch normalisation (quirk C24)
	LabelSmoothing    float64 `json:"label_smoothing"`               // in [0,1)
	TrainedOn         string  `json:"trained_on"`                    // PartAll or PartFirstHalf of the training images
	MeasuredOn        string  `json:"measured_on"`                   // PartTest or PartSecondHalf
	TrainImages       int     `json:"train_images"`
	TestImages        int     `json:"test_images"`
	// Augment says in words what departs from the transform of the images, such as "no
	// flip"; empty where nothing does.
	Augment string `json:"augment,omitempty"`
	// Words is what only a network of words has; it has no channels, cells, side or classes.
	// Batch counts the sequences that are read side by side, TrainImages and TestImages words.
	Words WordsRecipe `json:"words,omitzero"`
}

// WordsRecipe is how a language model is trained.
type WordsRecipe struct {
	Vocabulary    int     `json:"vocabulary"`  // different words
	Hidden        int     `json:"hidden"`      // length of the hidden state and of the words' vectors
	BPTT          int     `json:"bptt"`        // usual rows of a window
	Output        float64 `json:"dropout"`     // of the outputs
	H             float64 `json:"dropout_h"`   // of every state before a matrix
	X             float64 `json:"dropout_x"`   // of the word's vector in the cell
	Input         float64 `json:"dropout_i"`   // of the same, once more
	Words         float64 `json:"dropout_e"`   // of whole words
	Activation    float64 `json:"activation"`  // weight of the mean square of the outputs
	Temporal      float64 `json:"temporal"`    // weight of that of their change
	Patience      int     `json:"patience"`    // epochs that do not count when averaging begins
	ValidBatch    int     `json:"valid_batch"` // sequences side by side when the validation text is read
	TestBatch     int     `json:"test_batch"`  // likewise of the test text
	ValidWords    int     `json:"valid_words"`
	AllWordsLearn bool    `json:"all_words_learn,omitempty"` // also the last one where it is read (quirk R7)
	RateByRows    bool    `json:"rate_by_rows,omitempty"`    // learning rate by the rows that a window has (quirk R3)
	RateOfStep    bool    `json:"rate_of_step,omitempty"`    // averaged SGD at the learning rate of the step itself (quirk R17)
	NoRollBack    bool    `json:"no_roll_back,omitempty"`    // a loss that is not finite is the end (quirk R19)
}

// The images of a Recipe.
const (
	PartAll        = "all"         // all training images
	PartFirstHalf  = "first half"  // of the training images, to choose among searches
	PartTest       = "test"        // the test images
	PartSecondHalf = "second half" // of the training images
	PartTestText   = "test text"   // of a language model
)

// BestEpoch is the epoch of a training with the highest accuracy on the images that
// Recipe.MeasuredOn says. It was chosen by these images, so its error is too low (quirk
// C35).
type BestEpoch struct {
	Epoch    int     `json:"epoch"` // from 0
	Accuracy float64 `json:"accuracy"`
}

// TestError is the share of the test images that the network mistakes after its last
// epoch, in [0,1].
func (e Evaluation) TestError() float64 { return 1 - e.Test.Accuracy }

// EvaluationKey is what must agree for two evaluations to stand side by side or be averaged.
type EvaluationKey struct {
	Form       string     `json:"form"`
	Provenance Provenance `json:"provenance"` // Provenance.Key
	Recipe     Recipe     `json:"recipe"`
}

// Key returns how the evaluation was made, without what of and from which seed.
func (e Evaluation) Key() EvaluationKey {
	return EvaluationKey{e.Subject.Form, e.Provenance.Key(), e.Recipe}
}

// Difference returns the name in evaluation.json and both values of the first member in
// which a and b differ; the name is empty where they agree.
func (k EvaluationKey) Difference(other EvaluationKey) (name, mine, others string) {
	var texts [2][]byte
	for i, key := range []EvaluationKey{k, other} {
		var err error
		if texts[i], err = json.Marshal(key); err != nil {
			return "recipe", fmt.Sprint(k), fmt.Sprint(other)
		}
	}
	changes, err := memberChanges(texts[0], texts[1])
	if err != nil || len(changes) == 0 {
		return "", "", ""
	}
	return changes[0].Name, changes[0].A, changes[0].B
}

// EvaluationGroup is runs whose evaluations were made alike.
type EvaluationGroup struct {
	Key  EvaluationKey
	Runs []*History // in the order they were given
}

// GroupEvaluations sorts the runs that have an evaluation on a part, PartTest say, by how that
// was made, those of most runs first. The order of the runs makes no difference to that of
// the groups.
func GroupEvaluations(runs []*History, measuredOn string) []EvaluationGroup {
	var groups []EvaluationGroup
	for _, h := range runs {
		if h.Evaluation == nil || h.Evaluation.Recipe.MeasuredOn != measuredOn {
			continue
		}
		key := h.Evaluation.Key()
		i := slices.IndexFunc(groups, func(g EvaluationGroup) bool { return g.Key == key })
		if i < 0 {
			i = len(groups)
			groups = append(groups, EvaluationGroup{Key: key})
		}
		groups[i].Runs = append(groups[i].Runs, h)
	}
	text := func(g EvaluationGroup) string {
		line, _ := json.Marshal(g.Key) // of finite numbers, as Check sees to
		return string(line)
	}
	slices.SortFunc(groups, func(a, b EvaluationGroup) int {
		return cmp.Or(-cmp.Compare(len(a.Runs), len(b.Runs)), strings.Compare(text(a), text(b)))
	})
	return groups
}

// String says how evaluations were made, in a few words.
func (k EvaluationKey) String() string {
	return fmt.Sprintf("preset %s: %s, %d epochs, on %s, by %s in %s", k.Provenance.Preset, k.Provenance.Scale, k.Recipe.Epochs, k.Provenance.Images, k.Provenance.Engine, k.Provenance.Precision)
}

// Check verifies an evaluation that came from elsewhere, or is to be written. The error is
// a *FormatError.
func (e Evaluation) Check() error {
	if field, x := nonFinite(reflect.ValueOf(e), ""); field != "" {
		return invalid(field, "%v has no place in JSON: only finite numbers can be recorded", x)
	}
	if err := e.Subject.check(); err != nil {
		return err
	}
	if !name.MatchString(e.Provenance.Preset) {
		return invalid("provenance.preset", "%q is not a name of lower-case letters, digits and hyphens", e.Provenance.Preset)
	}
	for _, m := range e.Provenance.key() {
		if m.value == "" {
			return invalid("provenance."+m.name, "is missing")
		}
	}
	if e.Provenance.Table != NoTable {
		return invalid("provenance.table", "is %q, but a training looks nothing up: want %q", e.Provenance.Table, NoTable)
	}
	if err := e.Recipe.check(); err != nil {
		return err
	}
	if words := e.Subject.Form == FormRecurrent; words != (e.Words != nil) || words != (e.Recipe.Words != WordsRecipe{}) || words != (e.Recipe.MeasuredOn == PartTestText) {
		return invalid("words", "a network %s measured on the %s: a language model, and no other, has words here and in its recipe, and is measured on the %s", e.Subject.Form, e.Recipe.MeasuredOn, PartTestText)
	}
	if w := e.Words; w != nil {
		for field, p := range map[string]Perplexity{"words.valid": w.Valid, "words.test": w.Test} {
			if err := p.Check(); err != nil {
				return invalid(field, "%w", err)
			}
		}
		if from := w.AveragingFrom; w.Epoch < 0 || w.Epoch >= e.Recipe.Epochs || from != nil && (*from < 1 || *from >= e.Recipe.Epochs) {
			return invalid("words.epoch", "%d, averaging from %v, of %d epochs", w.Epoch, from, e.Recipe.Epochs)
		}
	}
	for field, x := range map[string]float64{"test.accuracy": e.Test.Accuracy, "train.accuracy": e.Train.Accuracy} {
		if x < 0 || x > 1 {
			return invalid(field, "%v is not in [0,1]", x)
		}
	}
	if b := e.Best; b != nil && (b.Epoch < 0 || b.Epoch >= e.Recipe.Epochs || b.Accuracy < e.Test.Accuracy || b.Accuracy > 1) {
		return invalid("best", "accuracy %v in epoch %d: want an epoch below %d and no accuracy below %v, that of the last", b.Accuracy, b.Epoch, e.Recipe.Epochs, e.Test.Accuracy)
	}
	switch {
	case e.Parameters < 1:
		return invalid("parameters", "%d parameters", e.Parameters)
	case e.ParametersAuxiliary < e.Parameters:
		return invalid("parameters_auxiliary", "is %d, less than the %d without the auxiliary head", e.ParametersAuxiliary, e.Parameters)
	case e.MACs < 1:
		return invalid("macs", "%d multiply-adds", e.MACs)
	case e.Seconds < 0:
		return invalid("seconds", "%v seconds", e.Seconds)
	case e.SearchSeconds != nil && *e.SearchSeconds < 0:
		return invalid("search_seconds", "%v seconds", *e.SearchSeconds)
	}
	return nil
}

func (s Subject) check() error {
	if s.Space != "" {
		if err := s.Space.Check(); err != nil {
			return invalid("subject.space", "%w", err)
		}
	}
	if s.Run != "" && s.Published != "" {
		return invalid("subject.published", "stands beside a run: want one or the other")
	}
	if s.Selection != "" && (s.Selection != ByPerturbation || s.Run == "") {
		return invalid("subject.selection", "is %q, of the run %q: want %q and the run, or nothing", s.Selection, s.Run, ByPerturbation)
	}
	switch s.Form {
	case FormNASBench101:
		if s.Cell == nil || s.Genotype != "" {
			return invalid("subject.cell", "want a cell and no genotype in the network %s", s.Form)
		}
		if err := s.Cell.check(); err != nil {
			return under("subject", err)
		}
	case FormRecurrent:
		g, err := rnn.ParseGenotype(s.Genotype)
		if err != nil || s.Cell != nil || g.Line() != s.Genotype {
			return invalid("subject.genotype", "is %q: want a recurrent genotype on one line and no cell (%v)", s.Genotype, err)
		}
	case FormCIFAR, FormImageNet:
		if s.Cell != nil {
			return invalid("subject.cell", "want a genotype in the network %s", s.Form)
		}
		g, err := darts.ParseGenotype(s.Genotype)
		if err != nil {
			return invalid("subject.genotype", "%w", err)
		}
		if line := g.Line(); line != s.Genotype {
			return invalid("subject.genotype", "is %q: want the short names on one line, %q", s.Genotype, line)
		}
	default:
		return invalid("subject.form", "is %q: want %q, %q, %q or %q", s.Form, FormCIFAR, FormImageNet, FormNASBench101, FormRecurrent)
	}
	return nil
}

// under names the member that holds the one which err complains about.
func under(member string, err error) error {
	var f *FormatError
	if errors.As(err, &f) {
		f.Field = member + "." + f.Field
	}
	return err
}

func (r Recipe) check() error {
	type count struct {
		name string
		x    int
	}
	counts := []count{{"epochs", r.Epochs}, {"batch", r.Batch}, {"train_images", r.TrainImages}, {"test_images", r.TestImages}}
	probabilities := map[string]float64{}
	if w := r.Words; w != (WordsRecipe{}) {
		counts = append(counts, count{"words.vocabulary", w.Vocabulary}, count{"words.hidden", w.Hidden}, count{"words.bptt", w.BPTT}, count{"words.patience", w.Patience},
			count{"words.valid_batch", w.ValidBatch}, count{"words.test_batch", w.TestBatch}, count{"words.valid_words", w.ValidWords})
		probabilities = map[string]float64{"dropout": w.Output, "dropout_h": w.H, "dropout_x": w.X, "dropout_i": w.Input, "dropout_e": w.Words}
		if w.Activation < 0 || w.Temporal < 0 {
			return invalid("recipe.words.activation", "%v and %v for the change: want none below 0", w.Activation, w.Temporal)
		}
	} else {
		counts = append(counts, count{"channels", r.Channels}, count{"cells", r.Cells}, count{"side", r.Side}, count{"classes", r.Classes})
	}
	for name, p := range probabilities {
		if p < 0 || p >= 1 {
			return invalid("recipe.words."+name, "%v is not in [0,1)", p)
		}
	}
	for _, m := range counts {
		if m.x < 1 {
			return invalid("recipe."+m.name, "is %d: want at least 1", m.x)
		}
	}
	for _, m := range []struct {
		name string
		x    float64
	}{
		{"learning_rate", r.LearningRate}, {"final_learning_rate", r.FinalLearningRate}, {"momentum", r.Momentum}, {"decay", r.Decay}, {"epsilon", r.Epsilon},
		{"weight_decay", r.WeightDecay}, {"clip", r.Clip}, {"batch_norm_momentum", r.BatchNormMomentum}, {"cutout", float64(r.Cutout)}, {"auxiliary_weight", r.AuxiliaryWeight},
	} {
		if m.x < 0 {
			return invalid("recipe."+m.name, "is %v: want none below 0", m.x)
		}
	}
	for _, m := range []struct {
		name string
		x    float64
	}{{"drop_path", r.DropPath}, {"label_smoothing", r.LabelSmoothing}} {
		if m.x < 0 || m.x >= 1 {
			return invalid("recipe."+m.name, "%v is not in [0,1)", m.x)
		}
	}
	for _, m := range []struct {
		name, text string
		of         []string
	}{
		{"optimizer", r.Optimizer, []string{"sgd", "rmsprop", "asgd"}}, {"schedule", r.Schedule, []string{"cosine", "linear", "constant"}},
		{"trained_on", r.TrainedOn, []string{PartAll, PartFirstHalf}}, {"measured_on", r.MeasuredOn, []string{PartTest, PartSecondHalf, PartTestText}},
	} {
		if !slices.Contains(m.of, m.text) {
			return invalid("recipe."+m.name, "is %q: want one of %q", m.text, m.of)
		}
	}
	if r.TrainedOn == PartAll && r.MeasuredOn == PartSecondHalf {
		return invalid("recipe.measured_on", "the %s of the training images was trained on too", r.MeasuredOn)
	}
	return nil
}

// WriteEvaluation writes the file at path, which must not be there: the error is
// fs.ErrExist otherwise, as no record is replaced. An evaluation that breaks the format is
// refused with a *FormatError.
func WriteEvaluation(path string, e Evaluation) error {
	e.Format = EvaluationVersion
	err := e.Check()
	var text []byte
	if err == nil {
		text, err = json.MarshalIndent(e, "", "  ")
	}
	if err == nil {
		err = durable.WriteNew(path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write evaluation %s: %w", path, err)
	}
	return nil
}

// ReadEvaluation reads the file of an evaluation. One that breaks the format gives a
// *FormatError.
func ReadEvaluation(path string) (Evaluation, error) {
	text, err := foreign.ReadFile(path, maxEvaluation)
	var e Evaluation
	if err == nil {
		e, err = parseEvaluation(path, text)
	}
	if err != nil {
		return e, fmt.Errorf("read evaluation: %w", err)
	}
	return e, nil
}

// parseEvaluation reads the content of the file at path.
func parseEvaluation(path string, text []byte) (Evaluation, error) {
	return parseVersioned[Evaluation](path, text, EvaluationVersion)
}

// readEvaluation reads an evaluation of a run in its directory dir, whose files are in fsys:
// that of what the search delivered, or of what was selected from its supernet. It is nil
// where there is none.
func readEvaluation(fsys fs.FS, dir string, run Run, selection string) (*Evaluation, error) {
	name := EvaluationFile
	if selection != "" {
		name = path.Join(SelectionFolder, EvaluationFile)
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	e, err := readBeside(fsys, path, name, maxEvaluation, parseEvaluation)
	if e == nil || err != nil {
		return nil, err
	}
	if e.Subject.Selection != selection {
		return nil, locate(invalid("subject.selection", "is %q, want %q in this file", e.Subject.Selection, selection), path, 0)
	}
	if e.Subject.Run != run.Name() {
		return nil, locate(invalid("subject.run", "is %q, but this is the run %s", e.Subject.Run, run.Name()), path, 0)
	}
	if e.Subject.Space != run.Space {
		return nil, locate(invalid("subject.space", "is %q, but the run searched space %s", e.Subject.Space, run.Space), path, 0)
	}
	return e, nil
}

// is tells whether a record has the architecture.
func (s Subject) is(e Epoch) bool {
	if s.Cell != nil {
		return e.Cell.Hash == s.Cell.Hash
	}
	return genotype(e) == s.Genotype
}

// checkEvaluation tells whether what was evaluated is an architecture that the whole
// record has. The error is a *FormatError.
func (h *History) checkEvaluation() error {
	e := h.Evaluation
	if e == nil {
		return nil
	}
	if !slices.ContainsFunc(h.Epochs, e.Subject.is) {
		return locate(invalid("subject", "no record of the run has this architecture"), filepath.Join(h.Dir, EvaluationFile), 0)
	}
	return nil
}
