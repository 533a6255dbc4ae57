package kubernetes

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden manifests")

func plain() *Sweep {
	return &Sweep{
		Name: "nb1shot-runs-0123456789", Image: "registry.example.org/nb1shot:1", Claim: "runs",
		Mount: "/srv/nas", Root: "/srv/nas/runs", CPUs: 2,
		Arguments: []string{"--data", "/srv/nas/cifar-10", "--table", "surrogate"},
	}
}

// The manifests, which the module in apitest decodes into the types of the API.
func TestManifest(t *testing.T) {
	full := plain()
	full.Memory, full.MaxRunning = "2Gi", 3
	full.Devices = []Device{{"nvidia.com/gpu", 1}}
	full.Report, full.ReportArguments = "/srv/nas/report", []string{"--table", "/srv/nas/table.sqlite"}

	// Names that mean something to YAML, to Kubernetes or to a shell.
	hostile := plain()
	hostile.Mount = "/a \"b\" 'c' \\ # $(rm -rf x)"
	hostile.Root = hostile.Mount + "/{{ - & * ! | > % @ ` $NB1SHOT_UNITS $$(D) $$$(E) $"
	hostile.Report = hostile.Root + "/é\u00a0\u2028\u202e\ufeff\U0001f600\U000e0001 $(date); `date`"
	hostile.Arguments = []string{"--data", "null", "--table", "- yes", "", "~", "0x1f", "---", "$", "$$", "$(", "a$b$(JOB_COMPLETION_INDEX)"}
	hostile.ReportArguments = []string{"--table", "'; exit 7; '"}

	for name, test := range map[string]struct {
		sweep *Sweep
		units []int
	}{
		"plain":   {plain(), []int{0, 1, 2, 3}},
		"full":    {full, []int{0, 2, 3, 4, 5, 9, 11, 12}},
		"hostile": {hostile, []int{7}},
		"report":  {full, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := test.sweep.Manifest(test.units)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (look at it, then -update):\n%s", path, diff)
			}
		})
	}
	if text, err := plain().Manifest(nil); text != "" || err != nil {
		t.Errorf("without units and report: %q, %v; want nothing", text, err)
	}
}

// No Job can have these.
func TestUnfit(t *testing.T) {
	for what, spoil := range map[string]func(*Sweep){
		"line break":       func(s *Sweep) { s.Root += "\n- x" },
		"control":          func(s *Sweep) { s.Report = "/srv/nas/\u0085" },
		"bytes":            func(s *Sweep) { s.Arguments[1] = "/srv/nas/\xff" },
		"colon":            func(s *Sweep) { s.Mount = "/srv/n:as" },
		"report arguments": func(s *Sweep) { s.ReportArguments = []string{"\x00"} },
	} {
		s := plain()
		spoil(s)
		if text, err := s.Manifest([]int{0}); !errors.Is(err, ErrPath) {
			t.Errorf("%s: error %v, want ErrPath\n%s", what, err, text)
		}
	}
	var all, every []int
	for i := range maxUnits + 1 {
		all = append(all, i)
		if len(every) < 20_000 {
			every = append(every, 2*i)
		}
	}
	for what, test := range map[string]struct {
		units []int
		want  error
	}{
		"most":       {all[:maxUnits], nil},
		"too many":   {all, ErrTooMany},
		"in pieces":  {every, ErrTooMany},
		"few pieces": {every[:10_000], nil},
	} {
		if _, err := plain().Manifest(test.units); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", what, err, test.want)
		}
	}
}

func TestChecks(t *testing.T) {
	devices := func(s string) error { _, err := ParseDevices(s); return err }
	for what, test := range map[string]struct {
		check     func(string) error
		good, bad []string
	}{
		"name":   {CheckName, []string{"a", "nb1shot-1", strings.Repeat("a", 50)}, []string{"", "A", "-a", "a-", "1a", "a.b", "a b", "a\n", strings.Repeat("a", 51)}},
		"claim":  {CheckClaim, []string{"a", "1-a.b"}, []string{"", "A", "a.", "a..b", "a-.b", "a/b", "a\n", strings.Repeat("a", 254)}},
		"image":  {CheckImage, []string{"a", "h.org:5000/a/b:1@sha256:00"}, []string{"", " a", "a b", "-a", "a\n", "a\"", "$(a)"}},
		"memory": {CheckMemory, []string{"2Gi", "1.5G", "512Mi"}, []string{"", "2", "0Gi", "-1Gi", "2GB", "2g", "2 Gi", "500m", "2Gi\n"}},
		"gres":   {devices, []string{"nvidia.com/gpu:1", "a.b/c:2,d.e/f_G:1000"}, []string{"", "gpu:1", "nvidia.com/gpu", "nvidia.com/gpu:0", "a.b/c:1,a.b/c:1", "a.b/c:1,", "a.b/c: 1", "a.b/c\n:1", "a.b/-:1"}},
	} {
		for _, s := range test.good {
			if err := test.check(s); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		for _, s := range test.bad {
			if test.check(s) == nil {
				t.Errorf("%s: %q passes", what, s)
			}
		}
	}
}

// The name of a Job is one whatever the folder is called, and tells folders apart.
func TestDefaultName(t *testing.T) {
	seen := map[string]string{}
	for _, root := range []string{"/a/runs", "/b/runs", "/", "/a/Ünï --$(x)", "/a/" + strings.Repeat("long-", 40), "/a/-", "/a/aaaaaaaaaaaaaaaaaaaaaaa-b"} {
		name := DefaultName("claim", root)
		if err := CheckName(name); err != nil {
			t.Errorf("%s: %v", root, err)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%s and %s are both called %s", root, other, name)
		}
		seen[name] = root
	}
	if DefaultName("claim", "/a/runs") == DefaultName("other", "/a/runs") {
		t.Error("the folder of another claim has the same name")
	}
}

func TestWithin(t *testing.T) {
	s := plain()
	for path, inside := range map[string]bool{
		"/srv/nas": true, "/srv/nas/runs/x": true, "/srv/nas/..x": true, "/srv": false, "/srv/nasty": false, "/srv/nas/../x": false,
	} {
		var outside *OutsideError
		if err := s.Within("the folder", path); errors.As(err, &outside) == inside {
			t.Errorf("%s: error %v", path, err)
		}
	}
}
