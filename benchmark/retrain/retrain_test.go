package retrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/checkpoint"
	"github.com/nb1shot/nb1shot/internal/durable"
	_ "github.com/nb1shot/nb1shot/internal/engine/cpu"
	"github.com/nb1shot/nb1shot/internal/formattest"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

// genotype has an identity, noise and a pooling in its cells.
const genotype = "sep3:0 skip:1 / noise:0 dil3:1 / skip:2 max:0 / sep3:0 dil5:3 | max:0 sep3:1 / skip:2 max:0 / skip:1 skip:2 / sep5:2 avg:0"

func job(t testing.TB, dir string) Job {
	t.Helper()
	c, err := NewConfig("smoke", results.FormCIFAR, data.KindProcedural)
	if err != nil {
		t.Fatal(err)
	}
	return Job{
		Config: c, Subject: results.Subject{Form: results.FormCIFAR, Genotype: genotype}, Seed: 3,
		Train: data.Procedural(100, 1), Test: data.Procedural(70, 2), Engine: "cpu", Threads: 1,
		Dir: filepath.Join(dir, "training"), Result: filepath.Join(dir, results.EvaluationFile),
	}
}

// run trains until ctx is done.
func run(ctx context.Context, j Job, report func(Progress)) (results.Evaluation, error) {
	training, err := j.Prepare()
	if err != nil {
		return results.Evaluation{}, err
	}
	return training.Run(ctx, report)
}

// sameOutcome compares what two trainings left.
func sameOutcome(t *testing.T, want, got Job) {
	t.Helper()
	if d := cmp.Diff(outcome(t, want), outcome(t, got)); d != "" {
		t.Error(d)
	}
}

// outcome is what a training leaves, without times.
func outcome(t *testing.T, j Job) string {
	t.Helper()
	epochs, err := ReadEpochs(j.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range epochs {
		if epochs[i].Seconds <= 0 {
			t.Errorf("epoch %d took %v seconds", i, epochs[i].Seconds)
		}
		epochs[i].Seconds = 0
	}
	e, err := results.ReadEvaluation(j.Result)
	if err != nil {
		t.Fatal(err)
	}
	if e.Seconds <= 0 {
		t.Errorf("the training took %v seconds", e.Seconds)
	}
	e.Seconds = 0
	text, err := json.MarshalIndent(struct {
		Epochs     []Epoch
		Evaluation results.Evaluation
	}{epochs, e}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(j.Dir, "checkpoint*")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	return string(text)
}

// A training that is interrupted at any step leaves the same bytes, times aside, on any
// number of threads.
func TestInterrupt(t *testing.T) {
	whole := job(t, t.TempDir())
	if _, err := run(t.Context(), whole, nil); err != nil {
		t.Fatal(err)
	}
	j := job(t, t.TempDir())
	j.Threads = 2
	stops := 0
	for first := true; ; first = false {
		ctx, cancel := context.WithCancel(t.Context())
		steps := 0
		_, err := run(ctx, j, func(p Progress) {
			if first != (p.Note == "" || p.Doing != "compiling") && p.Doing == "compiling" {
				t.Errorf("at %d of %d the training says %q", p.Epoch, p.Step, p.Note)
			}
			if p.Doing == "" {
				steps++
			}
			if steps == 2 || p.Doing == "testing" && p.Epoch == 1 && stops == 2 {
				cancel()
			}
		})
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		stops++
	}
	if stops < 4 {
		t.Errorf("stopped %d times", stops)
	}
	sameOutcome(t, whole, j)
}

// The environment variables that make the test binary a training in a folder, which waits at
// a step of an epoch to be killed.
const (
	trainIn = "NB1SHOT_TEST_TRAIN_IN"
	waitAt  = "NB1SHOT_TEST_WAIT_AT"
)

// A training that is killed, twice, leaves the same bytes, times aside.
func TestKill(t *testing.T) {
	if dir := os.Getenv(trainIn); dir != "" {
		j := job(t, dir)
		_, err := run(t.Context(), j, func(p Progress) {
			if fmt.Sprint(p.Epoch, p.Step) == os.Getenv(waitAt) && p.Doing == "" {
				fmt.Println("waiting")
				select {}
			}
		})
		t.Fatalf("nobody killed it: %v", err)
	}
	whole := job(t, t.TempDir())
	if _, err := run(t.Context(), whole, nil); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, where := range []string{"1 2", "2 1"} {
		child := exec.Command(os.Args[0], "-test.run=^TestKill$")
		child.Env = append(os.Environ(), trainIn+"="+dir, waitAt+"="+where)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		text := ""
		for buffer := make([]byte, 256); !strings.Contains(text, "waiting\n"); {
			n, err := out.Read(buffer)
			text += string(buffer[:n])
			if err != nil {
				t.Fatalf("it ended before epoch and step %s: %v\n%s", where, err, text)
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := child.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the end of the child: %v", err)
		}
	}
	j := job(t, dir)
	if epochs, err := ReadEpochs(j.Dir); err != nil || len(epochs) != 2 {
		t.Fatalf("%d records, %v", len(epochs), err)
	}
	if _, err := run(t.Context(), j, nil); err != nil {
		t.Fatal(err)
	}
	sameOutcome(t, whole, j)
}

// A damaged checkpoint is passed over for the one before it, and two end the training.
func TestDamage(t *testing.T) {
	whole := job(t, t.TempDir())
	if _, err := run(t.Context(), whole, nil); err != nil {
		t.Fatal(err)
	}
	j := job(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := run(ctx, j, func(p Progress) {
		if p.Epoch == 2 && p.Step == 1 {
			cancel()
		}
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	damage := func(name string) {
		path := filepath.Join(j.Dir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text[len(text)/2] ^= 1
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	damage(checkpoint.PreviousFile)
	damage(checkpoint.File)
	if _, err := run(t.Context(), j, nil); err == nil || !strings.Contains(err.Error(), "move it aside") {
		t.Fatalf("error %v", err)
	}
	damage(checkpoint.PreviousFile) // back again
	note := ""
	if _, err := run(t.Context(), j, func(p Progress) { note += p.Note }); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(note, "the checkpoint before it serves") {
		t.Errorf("note %q", note)
	}
	sameOutcome(t, whole, j)
}

// What is there of another training stays as it is.
func TestOthers(t *testing.T) {
	j := job(t, t.TempDir())
	done, err := run(t.Context(), j, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := run(t.Context(), j, nil); !errors.Is(err, ErrFinished) || again.Test != done.Test {
		t.Errorf("again: %v", err)
	}
	other := j
	other.Seed++
	if _, err := run(t.Context(), other, nil); !errors.Is(err, ErrOther) {
		t.Errorf("beside another result: %v", err)
	}
	other.Result += ".other"
	if _, err := run(t.Context(), other, nil); !errors.Is(err, ErrOther) || !strings.Contains(err.Error(), "move it aside") {
		t.Errorf("in the folder of another training: %v", err)
	}
	other.Dir += "-other"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var locked error
	if _, err := run(ctx, other, func(p Progress) {
		if p.Step == 1 && locked == nil {
			_, locked = run(t.Context(), other, nil)
			if !Busy(other.Dir) {
				t.Error("nobody works on it")
			}
			cancel()
		}
	}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if !errors.Is(locked, durable.ErrLocked) {
		t.Errorf("twice at a time: %v", locked)
	}
}

// The networks learn.
func TestLearns(t *testing.T) {
	epochs := map[string]int{"genotype": 12, "halves": 12, "cell": 24}
	for name, change := range map[string]func(*Job){
		"genotype": func(*Job) {},
		"halves":   func(j *Job) { j.Config.Halves, j.Test = true, nil },
		"cell": func(j *Job) {
			var err error
			if j.Config, err = NewConfig("smoke", results.FormNASBench101, data.KindProcedural); err != nil {
				t.Fatal(err)
			}
			spec, err := cell.Parse([][]int{{0, 1, 0, 1}, {0, 0, 1, 0}, {0, 0, 0, 1}, {0, 0, 0, 0}}, []string{"input", "conv3x3-bn-relu", "maxpool3x3", "output"})
			if err != nil {
				t.Fatal(err)
			}
			hash, err := spec.Hash()
			if err != nil {
				t.Fatal(err)
			}
			record := results.NewCell(spec, hash)
			j.Subject = results.Subject{Form: results.FormNASBench101, Cell: &record}
		},
	} {
		j := job(t, t.TempDir())
		change(&j)
		if j.Config.Images = 500; j.Config.Halves {
			j.Config.Images = 1000
		}
		j.Config.Epochs, j.Config.TestImages, j.Config.Batch, j.Config.Side, j.Config.Channels = epochs[name], 0, 20, 16, 8
		j.Config.DropPath, j.Config.Cutout = 0, false
		j.Train, j.Test = data.Procedural(1000, 1), data.Procedural(200, 2)
		e, err := run(t.Context(), j, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		epochs, err := ReadEpochs(j.Dir)
		if err != nil {
			t.Fatal(err)
		}
		first, last := epochs[0], epochs[len(epochs)-1]
		if !(last.Train.Loss < 0.8*first.Train.Loss) || !(last.Test.Accuracy > 0.2) || e.Test != last.Test || e.Best.Accuracy < e.Test.Accuracy {
			t.Errorf("%s: from %+v to %+v, %+v", name, first, last, e.Best)
		}
		if halves := e.Recipe.MeasuredOn == results.PartSecondHalf; halves != (name == "halves") || e.Recipe.TrainImages != 500 || halves && e.Recipe.TestImages != 500 {
			t.Errorf("%s: recipe %+v", name, e.Recipe)
		}
	}
}

// A training that diverges says so.
func TestDiverges(t *testing.T) {
	for _, rate := range []float64{1e6, 1e30} {
		j := job(t, t.TempDir())
		j.Config.LearningRate, j.Config.Clip = rate, 0
		if _, err := run(t.Context(), j, nil); !errors.Is(err, algorithms.ErrDiverged) {
			t.Errorf("at a learning rate of %g: %v", rate, err)
		}
		if _, err := os.Stat(j.Result); err == nil {
			t.Errorf("at a learning rate of %g there is a result", rate)
		}
	}
}

func TestPrepareRefuses(t *testing.T) {
	for _, tc := range []struct {
		change func(*Job)
		want   string
	}{
		{func(j *Job) { j.Config.Batch = 97 }, "a batch of 97 of 96 training images"},
		{func(j *Job) { j.Config.Images = 101 }, "101 training images are asked for, there are 100"},
		{func(j *Job) { j.Config.TestImages = 71 }, "71 test images are asked for, there are 70"},
		{func(j *Job) { j.Test = nil }, "no test images"},
		{func(j *Job) { j.Config.AuxiliaryWeight = 0.4 }, "quirk C22"},
		{func(j *Job) { j.Config.AuxiliaryWeight, j.Config.Images = 0.4, 65 }, "one image of 65"},
		{func(j *Job) { j.Subject.Form = results.FormImageNet }, "of the network cifar, the architecture of imagenet"},
		{func(j *Job) { j.Subject.Form, j.Config.Form = results.FormNASBench101, results.FormNASBench101 }, "there is none"},
		{func(j *Job) { j.Subject.Form, j.Config.Form = results.FormImageNet, results.FormImageNet }, "3 epochs, need more than 5"},
		{func(j *Job) {
			j.Subject.Form, j.Config.Form, j.Config.Epochs = results.FormImageNet, results.FormImageNet, 6
		}, "photographs in folders"},
		{func(j *Job) { j.Subject.Genotype = "sep3" }, "genotype"},
		{func(j *Job) { j.Config.Side = 12 }, "12"},
		{func(j *Job) { j.Engine = "abacus" }, "abacus"},
	} {
		j := job(t, t.TempDir())
		tc.change(&j)
		if _, err := j.Prepare(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("error %v, want %q", err, tc.want)
		}
	}
}

// The network for ImageNet is trained on photographs in folders, and resumed.
func TestImageNet(t *testing.T) {
	dir := t.TempDir()
	for _, part := range []string{"train", "val"} {
		for class := range 3 {
			folder := filepath.Join(dir, part, fmt.Sprint("n", class))
			if err := os.MkdirAll(folder, 0o777); err != nil {
				t.Fatal(err)
			}
			for i := range 4 {
				picture := image.NewRGBA(image.Rect(0, 0, 40, 30))
				for k := range picture.Pix {
					picture.Pix[k] = uint8(k*(class+1) + 40*i)
				}
				f, err := os.Create(filepath.Join(folder, fmt.Sprintf("%d.jpeg", i)))
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(jpeg.Encode(f, picture, nil), f.Close()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	prepare := func() Job {
		j := job(t, t.TempDir())
		var err error
		if j.Config, err = NewConfig("smoke", results.FormImageNet, data.KindImageNet); err != nil {
			t.Fatal(err)
		}
		if j.Photos, err = data.OpenImageNet(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		j.Subject.Form, j.Train, j.Test, j.Threads = results.FormImageNet, nil, nil, 2
		return j
	}
	whole := prepare()
	e, err := run(t.Context(), whole, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := e.Recipe; r.Classes != 3 || r.TrainImages != 8 || r.TestImages != 4 || r.Schedule != "linear" || r.LabelSmoothing != 0.1 || e.ParametersAuxiliary-e.Parameters != 32*128+2*128+4*128*768+769*3 {
		t.Errorf("%+v, %d parameters, %d with the head", r, e.Parameters, e.ParametersAuxiliary)
	}
	j := prepare()
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := run(ctx, j, func(p Progress) {
		if p.Epoch == 1 && p.Step == 1 {
			cancel()
		}
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := run(t.Context(), j, nil); err != nil {
		t.Fatal(err)
	}
	sameOutcome(t, whole, j)
	j = prepare()
	j.Config.Halves = true
	if _, err := j.Prepare(); err == nil || !strings.Contains(err.Error(), "sorted by class") {
		t.Errorf("halves: %v", err)
	}
	if err := j.Config.Set("cutout", "on"); err == nil || !strings.Contains(err.Error(), "no effect") {
		t.Errorf("cutout: %v", err)
	}
}

func TestSpread(t *testing.T) {
	if got, err := spread(10, 4, "training"); err != nil || !cmp.Equal(got, []int{0, 2, 5, 7}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestSettings(t *testing.T) {
	c, err := NewConfig("paper", results.FormCIFAR, data.KindSVHN)
	if err != nil || c.Channels != 16 || c.Cells != 8 || c.AuxiliaryWeight != 0.4 {
		t.Errorf("SVHN at the paper's scale: %+v, %v", c, err)
	}
	for text, want := range map[string]string{
		"epochs=0": "need 1 to", "epochs=x": "whole number", "clip=-1": "need 0", "cutout=maybe": "on or off", "nothing=1": "unknown setting",
		"drop-path=NaN": "need 0 to 0.95", "learning-rate=fast": "a number",
	} {
		name, value, _ := strings.Cut(text, "=")
		if err := c.Set(name, value); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	cell, err := NewConfig("quick", results.FormNASBench101, data.KindCIFAR10)
	if err != nil {
		t.Fatal(err)
	}
	if err := cell.Set("drop-path", "0.1"); err == nil || !strings.Contains(err.Error(), "no effect") {
		t.Errorf("drop path of a cell: %v", err)
	}
	if _, err := NewConfig("huge", results.FormCIFAR, data.KindCIFAR10); err == nil {
		t.Error("there is a preset huge")
	}
	for _, name := range Presets() {
		for _, form := range []string{results.FormCIFAR, results.FormNASBench101} {
			if PresetDoc(form, name) == "" {
				t.Errorf("no preset %s of %s", name, form)
			}
		}
	}
}

// Learning rate and drop path over the epochs, by hand (quirks C3, C29).
func TestSchedules(t *testing.T) {
	c, err := NewConfig("paper", results.FormCIFAR, data.KindCIFAR10)
	if err != nil {
		t.Fatal(err)
	}
	c.Epochs = 4
	for _, plain := range []bool{false, true} {
		c.PlainCosine, c.DropPathReached = plain, plain
		var got []string
		for e := range c.Epochs {
			got = append(got, fmt.Sprintf("%.5f %.4f", c.rate(e, 0, 10), c.dropPath(e)))
		}
		want := []string{"0.02134 0.0000", "0.01250 0.0500", "0.00366 0.1000", "0.00000 0.1500"}
		if plain {
			want = []string{"0.02500 0.0000", "0.02134 0.0667", "0.01250 0.1333", "0.00366 0.2000"}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	n, _ := NewConfig("paper", results.FormNASBench101, data.KindCIFAR10)
	n.Epochs = 2
	if first, middle, last := n.rate(0, 0, 10), n.rate(1, 0, 10), n.rate(1, 9, 10); first != 0 || middle != 0.1 || !(last > 0 && last < 0.002) {
		t.Errorf("NAS-Bench-101: %v, %v, %v", first, middle, last)
	}
}

const sample = `{"epoch":0,"learning_rate":0.02,"drop_path":0,"train":{"loss":2.25,"accuracy":0.125},"test":{"loss":2.5,"accuracy":0.25},"seconds":1.5}
{"epoch":1,"learning_rate":0.01,"drop_path":0.1,"train":{"loss":2,"accuracy":0.25},"test":{"loss":2.25,"accuracy":0.5},"seconds":1.5}
`

func TestFormat(t *testing.T) {
	formattest.Conform(t, formattest.Format{
		Document: "docs/retrain.md", Sample: []byte(sample), Open: true,
		Read: func(file []byte) error {
			epochs, err := parseEpochs(file)
			if err == nil && len(epochs) == 0 {
				return errors.New("no epoch is recorded")
			}
			return err
		},
	})
}

func FuzzParseEpochs(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(`{"epoch":0}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		epochs, err := parseEpochs(text)
		if err != nil {
			return
		}
		for i, e := range epochs {
			if e.Epoch != i || e.Test.Accuracy < 0 || e.Test.Accuracy > 1 {
				t.Errorf("record %d: %+v", i, e)
			}
		}
	})
}
