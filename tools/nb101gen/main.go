// Command nb101gen writes a file in the layout and of the size of NAS-Bench-101's
// own, to exercise an import at its true scale:
//
//	nb1shot table import cells.tsv.gz -o means.sqlite
//	go run ./tools/nb101gen means.sqlite big.tfrecord
//
// The cells and their mean test errors are those of the table, or, of a TABLE called
// surrogate, the cells of the three spaces and the errors that the embedded surrogate
// predicts. How the errors spread over the three runs, and all else that the table does
// not know, is made up, so that a table of the file is of kind synthetic. With -full it
// has the four budgets of nasbench_full.tfrecord, without only 108 epochs: after e of
// fewer epochs a cell has the share e/(e+τ) of its accuracy after 108, with a τ of its own
// around 5, so that shorter trainings rank the cells worse.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nb1shot/nb1shot/internal/tfrecord"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

func main() {
	full := flag.Bool("full", false, "write the budgets 4, 12 and 36 too")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: nb101gen [-full] TABLE FILE")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	budgets := []int{nasbench.Epochs}
	if *full {
		budgets = []int{4, 12, 36, nasbench.Epochs}
	}
	if err := write(flag.Arg(0), flag.Arg(1), budgets); err != nil {
		fmt.Fprintln(os.Stderr, "nb101gen:", err)
		os.Exit(1)
	}
}

func write(tablePath, path string, budgets []int) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriterSize(file, 1<<20)
	cells := uint64(0)
	visit := func(e nasbench.Entry) error {
		r := random.New(0, "nb101gen", cells)
		τ := 5 * math.Exp(0.1*random.New(0, "nb101gen/speed", cells).NormFloat64())
		cells++
		for _, epochs := range budgets {
			for repeat := range 3 {
				if _, err := out.Write(tfrecord.Append(nil, record(e, epochs, repeat, τ, r))); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if tablePath == "surrogate" {
		err = predicted(visit)
	} else {
		err = measured(tablePath, visit)
	}
	return errors.Join(err, out.Flush())
}

// measured visits the cells of a table.
func measured(path string, visit func(nasbench.Entry) error) (err error) {
	table, err := nasbench.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, table.Close()) }()
	return table.Each(context.Background(), "", nasbench.Epochs, visit)
}

// predicted visits the cells of the three spaces with the errors of the embedded surrogate.
func predicted(visit func(nasbench.Entry) error) error {
	seen := map[cell.Hash]bool{}
	for _, space := range nb1shot1.All() {
		for hash, spec := range space.Cells {
			if seen[hash] {
				continue
			}
			seen[hash] = true
			m, err := nasbench.Default().Query(spec)
			if err != nil {
				return err
			}
			if err := visit(nasbench.Entry{Hash: hash, Spec: spec, Parameters: m.Parameters, TestError: m.TestError}); err != nil {
				return err
			}
		}
	}
	return nil
}

const images = 9984 // of an evaluation

// record returns the JSON of one training run, spaced as Python's.
func record(e nasbench.Entry, epochs, repeat int, τ float64, r *rand.Rand) []byte {
	// The three numbers of images that are right sum to that of the table.
	sum := int(math.Round((1 - e.TestError) * 3 * images))
	right := (sum + repeat) / 3
	if epochs < nasbench.Epochs {
		right = int(float64(right) * float64(epochs) / (float64(epochs) + τ))
	}
	seconds := 900 * (1 + r.Float32()) * float32(epochs) / nasbench.Epochs
	var m []byte
	for _, share := range []float64{0, 0.5, 1} {
		test := int(float64(right) * (0.1 + 0.9*share))
		validation := min(test+r.IntN(60), images)
		train := min(test+r.IntN(600), images)
		evaluation := double(nil, 1, float64(epochs)*share)
		evaluation = double(evaluation, 2, float64(seconds*float32(share)))
		for i, k := range []int{train, validation, test} {
			evaluation = double(evaluation, protowire.Number(3+i), float64(float32(float64(k)/images)))
		}
		m = protowire.AppendBytes(protowire.AppendTag(m, 1, protowire.BytesType), evaluation)
	}
	m = protowire.AppendVarint(protowire.AppendTag(m, 2, protowire.VarintType), uint64(e.Parameters))
	m = double(m, 3, float64(seconds*1.1))

	var adjacency strings.Builder
	for _, row := range e.Spec.Matrix {
		for _, edge := range row {
			adjacency.WriteByte('0' + edge)
		}
	}
	return fmt.Appendf(nil, `["%v", %d, "%s", "%s", "%s"]`,
		e.Hash, epochs, adjacency.String(), strings.Join(e.Spec.OpNames(), ","), base64.StdEncoding.EncodeToString(m))
}

// double appends a protobuf field of 8 bytes.
func double(m []byte, field protowire.Number, x float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(m, field, protowire.Fixed64Type), math.Float64bits(x))
}
