package cuda_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/internal/engine/cuda"
	"github.com/nb1shot/nb1shot/internal/engine/cuda/emulator"
	"github.com/nb1shot/nb1shot/internal/golden"
	"github.com/nb1shot/nb1shot/internal/verify"
)

func init() {
	engine.Register(engine.Definition{Name: "emulated", Doc: "the CUDA engine on an emulated device", Rank: -1, Open: func(int) (engine.Engine, error) {
		return cuda.New(emulator.New(emulator.Forwards()))
	}})
}

// Whole networks and steps of searches agree with the golden numbers. Emulating all
// cases takes three minutes: NB1SHOT_EMULATE_ALL=1 asks for it.
func TestGolden(t *testing.T) {
	if testing.Short() {
		t.Skip("emulating takes long: not in short mode")
	}
	source := verify.Embedded()
	if os.Getenv("NB1SHOT_EMULATE_ALL") == "" {
		dir := t.TempDir()
		source = verify.Folder(dir)
		for _, name := range []string{"forward_s2", "forward_pcdarts_s1", "steps_gdas_s1", "steps_sdarts_adv_s1"} {
			files, err := fs.Sub(golden.FS(), name)
			if err == nil {
				err = os.CopyFS(filepath.Join(dir, name), files)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	all, err := verify.Run(context.Background(), source, "emulated", 1, func(r verify.Result) {
		t.Logf("%-22s %s: %d numbers, worst %s: %.2g of %.2g %s", r.Case, r.Verdict, r.Compared, r.At, r.Error, r.Tolerance, r.Detail)
	})
	if err != nil {
		t.Fatal(err)
	}
	if !verify.Passed(all) {
		t.Error("some cases fail")
	}
}
