package stability

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

// BaselineVersion is the format of baseline files, their member "format". A
// reader refuses every version but its own. docs/gate.md describes the file.
const BaselineVersion = 1

// Baseline is what recorded runs came to, for a Gate to test others against.
type Baseline struct {
	Format  int     `json:"format"`  // BaselineVersion
	Entries []Entry `json:"entries"` // by space, algorithm and ConfigHash, at least one
}

// Entry is the runs of one configuration, all on one kind of device.
type Entry struct {
	Space      spaces.Name        `json:"space"`
	Algorithm  string             `json:"algorithm"`
	Provenance results.Provenance `json:"provenance"`
	Config     json.RawMessage    `json:"config"`      // as in config.json
	ConfigHash string             `json:"config_hash"` // likewise, and checked likewise
	Seeds      []Recorded         `json:"seeds"`       // ascending, at least one
}

// Recorded is one run of a baseline.
type Recorded struct {
	Seed     uint64   `json:"seed"`
	SHA256   string   `json:"sha256"`   // of results.Canonical of its records, hex
	Digests  string   `json:"digests"`  // of its records, see digests
	Measures Measures `json:"measures"` // those that the records alone decide: no seconds, no regrets
}

// digestFields are the members of a record that have a digest of their own. A
// last digest is that of all other members.
var digestFields = []string{"cell", "lookup", "warning", "structure", "training", "search", "projection", "hessian", "alphas"}

// A digest is the first 12 bits of a SHA-256 in two letters; absent stands for a
// member that is not there. It tells where two records part, not that they are
// equal: one of 4,096 departures hides.
const (
	digestSize = 2
	absent     = ".."
)

var recordDigest = digestSize * (len(digestFields) + 1) // letters of one record

// digests returns the digests of canonical records, one record after the other.
func digests(canonical []byte) (string, error) {
	var text strings.Builder
	for line := range bytes.Lines(canonical) {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(line, &members); err != nil {
			return "", err
		}
		for _, field := range digestFields {
			if raw, ok := members[field]; ok {
				text.WriteString(digest(raw))
			} else {
				text.WriteString(absent)
			}
			delete(members, field)
		}
		rest, err := json.Marshal(members) // sorted by name
		if err != nil {
			return "", err
		}
		text.WriteString(digest(rest))
	}
	return text.String(), nil
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:])[:digestSize]
}

// record reads the records of a complete run.
func record(h *results.History) (Recorded, error) {
	text, err := results.Records(h.Dir)
	if err != nil {
		return Recorded{}, err
	}
	canonical := results.Canonical(text)
	sum := sha256.Sum256(canonical)
	r := Recorded{Seed: h.Run.Seed, SHA256: hex.EncodeToString(sum[:]), Measures: Of(h, Anchor{})}
	delete(r.Measures, Seconds)
	delete(r.Measures, SecondsPerEpoch)
	delete(r.Measures, RetrainedError)
	if r.Digests, err = digests(canonical); err != nil {
		return Recorded{}, fmt.Errorf("records of %s: %w", h.Dir, err)
	}
	return r, nil
}

// NewBaseline records runs. It refuses those that are not Complete, none at all,
// and runs of one configuration from several kinds of devices, which need not
// agree.
func NewBaseline(runs []*results.History) (*Baseline, error) {
	for _, h := range runs {
		if !Complete(h) {
			return nil, fmt.Errorf("%s is not finished (%s, %d records): a baseline holds complete runs only", h.Dir, h.Status.State, len(h.Epochs))
		}
	}
	curves, err := results.Group(runs)
	if err != nil {
		return nil, err
	}
	b := &Baseline{Format: BaselineVersion}
	for _, c := range curves {
		first := c.Runs[0]
		e := Entry{Space: c.Space, Algorithm: c.Algorithm, Provenance: c.Provenance, Config: first.Run.Config, ConfigHash: first.Run.ConfigHash}
		for _, h := range c.Runs {
			if device := h.Run.Provenance.Device; device != e.Provenance.Device {
				return nil, fmt.Errorf("%s ran on %q and %s on %q: a baseline holds one kind of device", first.Dir, e.Provenance.Device, h.Dir, device)
			}
			r, err := record(h)
			if err != nil {
				return nil, err
			}
			e.Seeds = append(e.Seeds, r)
		}
		b.Entries = append(b.Entries, e)
	}
	return b, b.check()
}

// maxBaseline bounds a baseline file, in bytes: two thousand times those that exist.
const maxBaseline = 64 << 20

// ReadBaseline reads a baseline file, or all the files NAME.json of a folder as
// one baseline.
func ReadBaseline(path string) (*Baseline, error) {
	files := []string{path}
	if info, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("read baseline: %w", err)
	} else if info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*.json")); err != nil {
			return nil, fmt.Errorf("read baseline: %w", err)
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("read baseline: no file NAME.json in %s", path)
		}
	}
	all := &Baseline{Format: BaselineVersion}
	for _, file := range files {
		text, err := foreign.ReadFile(file, maxBaseline)
		if err != nil {
			return nil, fmt.Errorf("read baseline: %w", err)
		}
		b, err := ParseBaseline(text)
		if err != nil {
			return nil, fmt.Errorf("read baseline: %s: %w", file, err)
		}
		all.Entries = append(all.Entries, b.Entries...)
	}
	slices.SortStableFunc(all.Entries, Entry.compare)
	if err := all.check(); err != nil {
		return nil, fmt.Errorf("read baseline: %s: %w", path, err)
	}
	return all, nil
}

// ParseBaseline reads the content of a baseline file. It refuses other versions,
// unknown members, and whatever contradicts itself.
func ParseBaseline(text []byte) (*Baseline, error) {
	var version struct {
		Format *int `json:"format"`
	}
	if err := json.Unmarshal(text, &version); err != nil { // which also refuses what follows the end
		return nil, fmt.Errorf("not a baseline: %w", err)
	}
	switch {
	case version.Format == nil:
		return nil, errors.New("not a baseline: it has no format")
	case *version.Format != BaselineVersion:
		return nil, fmt.Errorf("format: version %d, but this program reads version %d only: record the baseline anew", *version.Format, BaselineVersion)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var b Baseline
	if err := decoder.Decode(&b); err != nil {
		return nil, fmt.Errorf("not a baseline: %w", err)
	}
	return &b, b.check()
}

// Marshal returns the content of the baseline's file.
func (b *Baseline) Marshal() ([]byte, error) {
	text, err := json.MarshalIndent(b, "", " ")
	if err != nil {
		return nil, fmt.Errorf("write baseline: %w", err)
	}
	return append(text, '\n'), nil
}

func (e Entry) compare(other Entry) int {
	return cmp.Or(cmp.Compare(e.Space, other.Space), strings.Compare(e.Algorithm, other.Algorithm), strings.Compare(e.ConfigHash, other.ConfigHash))
}

var (
	sha256Text  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	digestsText = regexp.MustCompile(`^[-_.A-Za-z0-9]+$`)
)

// check verifies all that can be wrong with a baseline.
func (b *Baseline) check() error {
	if len(b.Entries) == 0 {
		return errors.New("entries: there is none")
	}
	for i, e := range b.Entries {
		where := fmt.Sprintf("entries[%d]", i)
		if err := e.check(); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		if i > 0 && b.Entries[i-1].compare(e) >= 0 {
			return fmt.Errorf("%s: configuration %.8s of %s on space %s is there twice, or not in order", where, e.ConfigHash, e.Algorithm, e.Space)
		}
	}
	return nil
}

func (e Entry) check() error {
	run, err := e.run()
	if err != nil {
		return err
	}
	if run.ConfigHash != e.ConfigHash {
		return fmt.Errorf("config_hash: %q is not the hash of this configuration, %q: it was changed by hand", e.ConfigHash, run.ConfigHash)
	}
	if len(e.Seeds) == 0 {
		return errors.New("seeds: there is none")
	}
	for i, r := range e.Seeds {
		where := fmt.Sprintf("seeds[%d]", i)
		switch {
		case i > 0 && e.Seeds[i-1].Seed >= r.Seed:
			return fmt.Errorf("%s: seed %d is there twice, or not in order", where, r.Seed)
		case !sha256Text.MatchString(r.SHA256):
			return fmt.Errorf("%s.sha256: %q is not 64 lower-case hex digits", where, r.SHA256)
		case len(r.Digests)%recordDigest != 0 || !digestsText.MatchString(r.Digests):
			return fmt.Errorf("%s.digests: not %d letters for each record", where, recordDigest)
		}
		for name := range r.Measures {
			if _, ok := Lookup(name); !ok {
				return fmt.Errorf("%s.measures: there is no measure %q", where, name)
			}
		}
	}
	return nil
}

// run describes the runs of the entry, with the seed 0.
func (e Entry) run() (results.Run, error) {
	return results.NewRun(e.Space, e.Algorithm, 0, e.Provenance, e.Config)
}
