// Package results keeps what a search run measured: the run directory on disk,
// its writer and reader, and the curves that several seeds of one
// configuration form.
//
// A run directory is named by its configuration, never by the clock, and holds
// config.json (what was asked for and what it was measured on), epochs.jsonl
// (one record per line, append-only) and status.json (how the run stands).
// docs/run-directory.md describes the files for readers in other languages.
package results

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/spaces"
)

// Version is the format of the run directory, the member "format" of
// config.json. Adding an optional member keeps it; changing or removing one
// raises it, and a reader refuses every version but its own.
const Version = 1

// The kinds of images and tables that are what the benchmark is defined on.
// Every other kind is a stand-in, which figures and reports must name.
const (
	CIFAR10 = "cifar10" // Provenance.Images
	// CIFAR100 and SVHN are what spaces without a table are searched on as well. A table
	// is of CIFAR-10, so that beside one they are no better than a stand-in.
	CIFAR100 = "cifar100" // Provenance.Images
	SVHN     = "svhn"     // Provenance.Images
	// ImageNet is what architectures of the DARTS spaces are trained on as well.
	ImageNet = "imagenet" // Provenance.Images
	// PennTreebank is the text that the recurrent space is searched and trained on, in the
	// place of images.
	PennTreebank = "ptb"         // Provenance.Images
	NASBench101  = "nasbench101" // Provenance.Table
	// NASBench101Means is a table of means over the repeats, imported from a
	// file that no published checksum vouches for.
	NASBench101Means = "nasbench101-means" // Provenance.Table
	// NASBench101NNI is a table imported from the SQLite file that NNI made of
	// NAS-Bench-101, which no published checksum vouches for.
	NASBench101NNI = "nasbench101-nni" // Provenance.Table
	// NoTable is the kind of table of a space without one: its records have no lookup.
	NoTable = "none" // Provenance.Table
	// NoImages is the kind of images of a search that trains nothing.
	NoImages = "none" // Provenance.Images
)

// Provenance says what a run was measured on. All fields but the details are
// required, so that two unknown origins never pass for the same one.
type Provenance struct {
	Images       string `json:"images"`                  // kind of images: CIFAR10, or the name of a stand-in
	ImagesDetail string `json:"images_detail,omitempty"` // where the images came from, for people
	ImagesDigest string `json:"images_digest"`           // SHA-256 of pixels and labels, hex
	Table        string `json:"table"`                   // kind of table: NASBench101, or the name of a stand-in
	TableDetail  string `json:"table_detail,omitempty"`  // where the table came from, for people
	TableDigest  string `json:"table_digest"`            // SHA-256 of the table, hex
	TableContent string `json:"table_content,omitempty"` // SHA-256 of the table's file, hex, which a run that is continued must find again
	Preset       string `json:"preset"`                  // name of the preset, lower-case letters, digits and hyphens
	Scale        string `json:"scale"`                   // "3 cells, 8 channels, side 8, 96+96 images"
	Engine       string `json:"engine"`                  // name of the engine
	Precision    string `json:"precision"`               // "float64", "float32", "bfloat16+float32"
	Device       string `json:"device,omitempty"`        // processor or accelerator, for people
}

// StandIns tells whether the images or the table are not what the benchmark is
// defined on.
func (p Provenance) StandIns() (images, table bool) {
	own := []string{CIFAR10, NoImages}
	if p.Table == NoTable {
		own = append(own, CIFAR100, SVHN, ImageNet, PennTreebank)
	}
	images = !slices.Contains(own, p.Images)
	table = !slices.Contains([]string{NASBench101, NASBench101Means, NASBench101NNI, NoTable}, p.Table)
	return images, table
}

// Setting returns the part of p that must agree for two runs to share a
// figure: images, table, preset and scale, without the details for people, and whether
// activations were rounded to bfloat16. Other precisions may share one.
func (p Provenance) Setting() Provenance {
	p.ImagesDetail, p.TableDetail, p.TableContent, p.Engine, p.Device = "", "", "", "", ""
	if p.Precision != MixedPrecision {
		p.Precision = ""
	}
	return p
}

// MixedPrecision is the Precision of engines that round activations to bfloat16.
const MixedPrecision = "bfloat16+float32"

// Key returns the part of p that must agree for two runs to be averaged: its
// Setting, engine and precision. Engines agree only up to rounding, and
// rounding is enough to part two searches, so their runs are not repetitions
// of each other; the device is left out, since an engine computes the same on
// every device.
func (p Provenance) Key() Provenance {
	key := p.Setting()
	key.Engine, key.Precision = p.Engine, p.Precision
	return key
}

// member is one named value of a provenance or of a configuration.
type member struct{ name, value string }

// key lists the members of p.Key in the order of config.json.
func (p Provenance) key() []member {
	return []member{
		{"images", p.Images}, {"images_digest", p.ImagesDigest},
		{"table", p.Table}, {"table_digest", p.TableDigest},
		{"preset", p.Preset}, {"scale", p.Scale},
		{"engine", p.Engine}, {"precision", p.Precision},
	}
}

// Comparable returns a and b with what only one of them has taken out: a search
// that trains nothing has no images and no scale, and may share a figure with
// those that do, whatever their precision.
func Comparable(a, b Provenance) (Provenance, Provenance) {
	if a.Images == NoImages || b.Images == NoImages {
		for _, p := range []*Provenance{&a, &b} {
			p.Images, p.ImagesDigest, p.Scale, p.Precision = "", "", "", ""
		}
	}
	return a, b
}

// Difference returns the name in config.json and both values of the first
// member in which a and b differ, details and device aside; the name is empty
// where they agree. Compare Settings or Keys.
func Difference(a, b Provenance) (name, inA, inB string) {
	other := b.key()
	for i, m := range a.key() {
		if x, y := m.value, other[i].value; x != y {
			if m.name == "precision" { // of Settings
				x, y = cmp.Or(x, "full"), cmp.Or(y, "full")
			}
			return m.name, x, y
		}
	}
	return "", "", ""
}

// Run describes one search run: everything that decides its records. Make it
// with NewRun.
type Run struct {
	Space      spaces.Name     `json:"space"`
	Algorithm  string          `json:"algorithm"` // registered name, lower-case letters, digits and hyphens
	Seed       uint64          `json:"seed"`
	Provenance Provenance      `json:"provenance"`
	Config     json.RawMessage `json:"config"`      // resolved configuration: a compact JSON object, members sorted
	ConfigHash string          `json:"config_hash"` // SHA-256 of space, algorithm, Provenance.Key and Config, hex
}

// NewRun describes the run of an algorithm on a space from a seed. The
// resolved configuration is anything that marshals to a JSON object. It must
// not have a member "seed": the seed stands in the Run alone, so that the
// seeds of one configuration share its hash.
func NewRun(space spaces.Name, algorithm string, seed uint64, p Provenance, config any) (Run, error) {
	raw, err := json.Marshal(config)
	if err != nil {
		return Run{}, fmt.Errorf("marshal configuration: %w", err)
	}
	run := Run{Space: space, Algorithm: algorithm, Seed: seed, Provenance: p, Config: raw}
	if err := run.normalise(); err != nil {
		return Run{}, fmt.Errorf("describe run: %w", err)
	}
	return run, nil
}

// Name is the folder name of the run, such as
// "s2-sdarts-adv-quick-1f0c9a3e-seed0": space, algorithm, preset, the first
// eight digits of ConfigHash, seed.
func (r Run) Name() string {
	return fmt.Sprintf("%s-%s-%s-%.8s-seed%d", r.Space.Prefix(), r.Algorithm, r.Provenance.Preset, r.ConfigHash, r.Seed)
}

// Setting returns a member of the configuration's top level as it stands in
// config.json, a text without its quotes; empty if there is none.
func (r Run) Setting(name string) string {
	var members map[string]json.RawMessage
	if json.Unmarshal(r.Config, &members) != nil {
		return ""
	}
	return strings.Trim(string(members[name]), `"`)
}

// Settings lists the configuration by dotted names, such as "settings.momentum",
// with the values as they stand in config.json, texts without their quotes.
func (r Run) Settings() (map[string]string, error) {
	all := map[string]string{}
	if err := flatten(json.NewDecoder(bytes.NewReader(r.Config)), r.Config, "", all); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return all, nil
}

// checkLookup tells of a record whether it has a lookup where the run has a table, and
// none where it has not. The error is a *FormatError.
func (r Run) checkLookup(e Epoch) error {
	switch has, should := e.Lookup.Source != "", r.Provenance.Table != NoTable; {
	case should && !has:
		return invalid("lookup", "is missing, though the run was looked up in a table (%s)", r.Provenance.Table)
	case has && !should:
		return invalid("lookup", "is there, though the run has no table")
	}
	return nil
}

// maxDepth bounds how deep the objects and lists of a configuration are nested.
const maxDepth = 16

// depth is how deep the objects and lists of a decoded JSON value are nested.
func depth(value any) int {
	deepest := 0
	switch v := value.(type) {
	case map[string]any:
		for _, member := range v {
			deepest = max(deepest, depth(member))
		}
	case []any:
		for _, entry := range v {
			deepest = max(deepest, depth(entry))
		}
	default:
		return 0
	}
	return deepest + 1
}

// name is what algorithms and presets are called, fit for a file name.
var name = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// normalise checks every member, brings Config into its canonical form and
// sets ConfigHash. The error is a *FormatError that names the member.
func (r *Run) normalise() error {
	if err := r.Space.Check(); err != nil {
		return invalid("space", "%w", err)
	}
	for _, m := range []member{{"algorithm", r.Algorithm}, {"provenance.preset", r.Provenance.Preset}} {
		if !name.MatchString(m.value) {
			return invalid(m.name, "%q is not a name of lower-case letters, digits and hyphens", m.value)
		}
	}
	for _, m := range r.Provenance.key() {
		if m.value == "" {
			return invalid("provenance."+m.name, "is missing")
		}
	}

	decoder := json.NewDecoder(bytes.NewReader(r.Config))
	decoder.UseNumber() // numbers keep their digits
	var config map[string]any
	if err := decoder.Decode(&config); err != nil {
		return invalid("config", "is not a JSON object: %w", err)
	}
	if config == nil {
		return invalid("config", "is not a JSON object")
	}
	if depth(config) > maxDepth {
		return invalid("config", "is nested deeper than %d objects and lists", maxDepth)
	}
	if _, ok := config["seed"]; ok {
		return invalid("config.seed", "the seed belongs to the run, not to its configuration")
	}
	var err error
	if r.Config, err = json.Marshal(config); err != nil {
		return invalid("config", "%w", err)
	}

	hashed, err := json.Marshal(struct {
		Space      spaces.Name     `json:"space"`
		Algorithm  string          `json:"algorithm"`
		Provenance Provenance      `json:"provenance"`
		Config     json.RawMessage `json:"config"`
	}{r.Space, r.Algorithm, r.Provenance.Key(), r.Config})
	if err != nil {
		return invalid("config", "%w", err)
	}
	sum := sha256.Sum256(hashed)
	r.ConfigHash = hex.EncodeToString(sum[:])
	return nil
}

// checked returns the normalised form of a Run that came from elsewhere, and an
// error where that contradicts its ConfigHash.
func (r Run) checked() (Run, error) {
	stated := r.ConfigHash
	if err := r.normalise(); err != nil {
		return Run{}, err
	}
	if stated != r.ConfigHash {
		return Run{}, invalid("config_hash", "%q is not the hash of this run, %q: it was changed by hand", stated, r.ConfigHash)
	}
	return r, nil
}

// FormatError reports a run directory, or a record meant for one, that breaks
// the format.
type FormatError struct {
	Path  string // the file; empty for what is not yet in one
	Line  int    // 1-based; 0 where no line is to blame
	Field string // path of the JSON member, such as "hessian.eigenvalues[3]"; empty where none is to blame
	Err   error
}

// Error reads "path:line: field: what is wrong", without the absent parts.
func (e *FormatError) Error() string {
	s := e.Path
	if e.Line > 0 {
		s += fmt.Sprintf(":%d", e.Line)
	}
	if s != "" {
		s += ": "
	}
	if e.Field != "" {
		s += e.Field + ": "
	}
	return s + e.Err.Error()
}

// Unwrap returns the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// invalid is the FormatError of a member whose file is not known yet.
func invalid(field, format string, args ...any) error {
	return &FormatError{Field: field, Err: fmt.Errorf(format, args...)}
}

// locate fills in where the content that err complains about stands.
func locate(err error, path string, line int) error {
	var f *FormatError
	if !errors.As(err, &f) {
		f = &FormatError{Err: err}
	}
	f.Path, f.Line = path, line
	return f
}
