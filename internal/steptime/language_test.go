package steptime

import (
	"math"
	"testing"

	"github.com/nb1shot/nb1shot/spaces/rnn"
)

func language(steps ...string) Config {
	return Config{
		Space: rnn.Name, Hidden: 6, Words: 30, Length: 4, Batch: 5,
		Steps: steps, Repeats: 1, Engine: "ref", Threads: 2,
	}
}

// What a float64 PyTorch model of the same problem computes (tools/peer/recurrent.py).
func TestLanguageOutcomes(t *testing.T) {
	const train, eval = 3.3858242449632066, 3.417638897231118
	for _, engine := range []struct {
		name      string
		tolerance float64
	}{{"ref", 1e-10}, {"cpu", 1e-5}} {
		// No step may see what those before it left behind.
		c := language("weight", "forward", "weight", "arch", "pgd", "forward")
		c.Engine = engine.name
		r := run(t, c, nil)
		for _, s := range r.Steps {
			want, got := train, s.Loss
			switch s.Step {
			case "forward":
				want = eval
			case "pgd":
				want, got = eval, s.Before
			}
			if got == nil || math.Abs(*got-want) > engine.tolerance*want {
				t.Errorf("%s on %s: loss %v, want %v", s.Step, engine.name, s.Outcome, want)
			}
		}
	}
}

// A word costs as much as the documents say: 4H²+36·2H²+V·H multiply-adds forward.
func TestLanguageFLOPs(t *testing.T) {
	c := language("forward", "arch", "weight", "pgd")
	r := run(t, c, nil)
	h, v, words := float64(c.Hidden), float64(c.Words), float64(c.Batch*c.Length)
	forward := 2 * words * (4*h*h + 72*h*h + v*h)
	flops := map[string]float64{}
	for _, s := range r.Steps {
		flops[s.Step] = s.FLOPs
	}
	if flops["forward"] != forward {
		t.Errorf("a pass has %v operations, want %v", flops["forward"], forward)
	}
	if !(flops["forward"] < flops["arch"] && flops["arch"] < flops["weight"]) || flops["pgd"] != 2*flops["forward"]+7*flops["arch"] {
		t.Errorf("operations %v", flops)
	}
}

func TestLanguageConfig(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) { c.Hidden = 0 },
		func(c *Config) { c.Words = 1 },
		func(c *Config) { c.Length = 0 },
		func(c *Config) { c.Batch = 1 },
		func(c *Config) { c.Steps = []string{"hessian"} },
	} {
		c := language("arch")
		change(&c)
		if _, err := Prepare(t.Context(), c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}
