package benchmark

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/data"
)

// Every data set is normalised by its own constants. An algorithm may have others for
// CIFAR-10, and so for its stand-in, and a setting gives others for CIFAR-100.
func TestNormalization(t *testing.T) {
	none := algorithms.Preparation{TrainPortion: 0.5}
	enas := algorithms.Preparation{TrainPortion: 0.5, Normalization: &data.ENASNormalization}
	own := []data.Normalization{data.DARTSNormalization, data.CIFAR100Normalization, data.SVHNNormalization}
	for i, test := range []struct {
		images data.Normalization
		from   algorithms.Preparation
		config Config
		want   data.Normalization
	}{
		{own[0], none, Config{}, own[0]},
		{own[1], none, Config{}, own[1]},
		{own[2], none, Config{}, own[2]},
		{own[0], enas, Config{}, data.ENASNormalization},
		{own[1], enas, Config{}, own[1]},
		{own[2], enas, Config{}, own[2]},
		{own[1], none, Config{PDARTSConstants: true}, data.PDARTSNormalization},
	} {
		set := data.Procedural100(40, 1)
		set.Normalization = test.images
		test.config.Batch = 4
		q, err := Job{Config: test.config, Train: set}.newQueues(test.from, false)
		if err != nil {
			t.Fatal(err)
		}
		levels := test.want.Levels()
		// Without augmentation every value is the level of its pixel.
		b := q.Batch(algorithms.Train, 0, 0)
		for k, v := range b.Images {
			image, channel, at := k/3072, k/1024%3, k%3072
			if want := levels[channel][set.Image(b.Recipe.Numbers[image])[at]]; v != want {
				t.Fatalf("case %d: value %d is %v, want %v", i, k, v, want)
			}
		}
		refused := errors.Is((Config{PDARTSConstants: true}).checkImages(set), ErrNoEffect)
		if wrong := test.images != data.CIFAR100Normalization; refused != wrong {
			t.Errorf("case %d: p-darts-constants refused: %v, want %v", i, refused, wrong)
		}
	}
}

// The network has as many outputs as the images have classes, and the estimate of memory
// counts the images that there are.
func TestClassesAndMemory(t *testing.T) {
	config, err := NewConfig("paper", "2", "darts")
	if err != nil {
		t.Fatal(err)
	}
	config.Channels, config.Side, config.Cells = 2, 8, 3
	memory := func(classes, images int) int64 {
		n, err := config.Memory(&data.Set{Labels: make([]uint8, images), Classes: classes}, 4)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	ten, hundred := memory(10, 50_000), memory(100, 50_000)
	if hundred <= ten {
		t.Errorf("%d bytes for 10 classes, %d for 100", ten, hundred)
	}
	// Half of 50,000 images leaves a last batch of 40 for the Hessian, half of 49,920 none.
	if whole := memory(10, 49_920); whole <= ten {
		t.Errorf("%d bytes for a Hessian of 40 images, %d for one of 96", ten, whole)
	}
}

// Settings that came later are not in configurations where they are off, so that these
// keep their hashes.
func TestLaterSettings(t *testing.T) {
	config, err := NewConfig("smoke", "2", "darts")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"no-flip", "p-darts-constants"} {
		for _, on := range []bool{true, false} {
			if err := config.Set(name, map[bool]string{true: "on", false: "off"}[on]); err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(config)
			if err != nil {
				t.Fatal(err)
			}
			if has := bytes.Contains(text, []byte("no_flip")) || bytes.Contains(text, []byte("p_darts")); has != on {
				t.Errorf("%s %v: %s", name, on, text)
			}
		}
	}
}
