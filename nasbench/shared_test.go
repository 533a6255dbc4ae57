package nasbench

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/nb1shot/nb1shot/internal/golden"
	"github.com/nb1shot/nb1shot/internal/tfrecord"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

// goldenFile returns the path of a file of the golden case about the synthetic records in
// NAS-Bench-101's layout.
func goldenFile(t testing.TB, name string) string {
	t.Helper()
	content, err := fs.ReadFile(golden.FS(), "tfrecord_synthetic/"+name)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// goldenRecord is what must be read from a record of the synthetic file.
type goldenRecord struct {
	ModuleHash          cell.Hash `json:"module_hash"`
	Epochs              int       `json:"epochs"`
	Matrix              [][]int   `json:"matrix"`
	Ops                 []string  `json:"ops"`
	TrainableParameters int32     `json:"trainable_parameters"`
	TotalTime           float64   `json:"total_time"`
	EvaluationData      []struct {
		CurrentEpoch       float64 `json:"current_epoch"`
		TrainingTime       float64 `json:"training_time"`
		TrainAccuracy      float64 `json:"train_accuracy"`
		ValidationAccuracy float64 `json:"validation_accuracy"`
		TestAccuracy       float64 `json:"test_accuracy"`
	} `json:"evaluation_data"`
	RepeatID int `json:"repeat_id"`
}

func (g goldenRecord) evaluation(i int) Evaluation {
	e := g.EvaluationData[i]
	return Evaluation{e.TrainingTime, e.TrainAccuracy, e.ValidationAccuracy, e.TestAccuracy}
}

func (g goldenRecord) repeat() Repeat { return Repeat{g.evaluation(1), g.evaluation(2)} }

func goldenRecords(t testing.TB) []goldenRecord {
	t.Helper()
	var expected struct {
		Records []goldenRecord `json:"records_in_file_order"`
	}
	if err := json.Unmarshal(readFile(t, goldenFile(t, "expected.json")), &expected); err != nil {
		t.Fatal(err)
	}
	return expected.Records
}

// syntheticRecords returns the records of the synthetic file, undecoded.
func syntheticRecords(t testing.TB) [][]byte {
	t.Helper()
	var records [][]byte
	err := tfrecord.Read(bytes.NewReader(readFile(t, goldenFile(t, "synthetic.tfrecord"))), func(_ int64, data []byte) error {
		records = append(records, bytes.Clone(data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func writeFile(t testing.TB, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// realMeans returns the path of the means-only TSV of the real benchmark,
// which is not part of the repository, or skips the test.
func realMeans(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("imports all of NAS-Bench-101: not in short mode")
	}
	shared := os.Getenv("NB1SHOT_SHARED")
	if shared == "" {
		shared = "../../shared"
	}
	path := filepath.Join(shared, "data/nb101/cells.tsv.gz")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no NAS-Bench-101 data: %v; set NB1SHOT_SHARED to the folder that holds data/nb101", err)
	}
	return path
}

func mustParse(t testing.TB, matrix [][]int, ops ...string) cell.Spec {
	t.Helper()
	s, err := cell.Parse(matrix, ops)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parseRecord(data []byte) (record, error) { return new(parser).parse(data) }

func parseModelMetrics(data []byte) (m modelMetrics, err error) {
	err = m.parse(data)
	return m, err
}
