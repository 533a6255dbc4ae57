package nasbench

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"

	"github.com/nb1shot/nb1shot/spaces/cell"
)

// Microsoft's NNI kept all of NAS-Bench-101 in an SQLite file that it built itself
// and gave away, nasbench101.db, for many the only copy that they could get without
// TensorFlow. It has the runs one by one, halfway and at their end; accuracies in
// per cent, parameters in millions, in rows that are joined here.

// sqliteMagic starts every SQLite file.
const sqliteMagic = "SQLite format 3\x00"

const nniPresent = `
SELECT count(*) FROM sqlite_schema
WHERE type = 'table' AND rootpage > 0 AND name IN ('nb101trialconfig', 'nb101trialstats', 'nb101intermediatestats')`

const nniTrials = `
SELECT c.hash, c.num_vertices, c.num_epochs, c.arch, t.id, t.parameters,
       i.current_epoch, i.training_time, i.train_acc, i.valid_acc, i.test_acc
FROM nb101trialconfig c
JOIN nb101trialstats t ON t.config_id = c.id
JOIN nb101intermediatestats i ON i.trial_id = t.id
ORDER BY c.hash, c.num_epochs, t.id, i.current_epoch`

// addTrials adds the runs of NNI's database, of which in is the content.
func (w *writer) addTrials(ctx context.Context, in io.Reader) (err error) {
	defer func() {
		var corrupt *CorruptError // of addRun, which knows no trials
		if errors.As(err, &corrupt) {
			err = fmt.Errorf("%s: trial %d: %s", w.path, corrupt.Offset, corrupt.Reason)
		}
	}()
	// For the digest. What is read twice is in memory the second time.
	for err == nil {
		if err = w.check(); err == nil {
			_, err = io.CopyN(io.Discard, in, 64<<20)
		}
	}
	if err != io.EOF {
		return err
	}
	info, err := os.Stat(w.path)
	if err != nil {
		return err
	}
	database, err := newDatabase(w.path, info)
	if err != nil {
		return err
	}
	db := sql.OpenDB(database)
	defer db.Close() // only read
	var application int
	if err := db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&application); err != nil {
		return fmt.Errorf("%s: %w", w.path, err)
	}
	if application == applicationID {
		return fmt.Errorf("%s is a table already: give it as --table, or copy it", w.path)
	}
	// A view or a virtual table could stand for more rows than there ever were.
	var tables int
	if err := db.QueryRowContext(ctx, nniPresent).Scan(&tables); err != nil {
		return fmt.Errorf("%s: %w", w.path, err)
	}
	if tables != 3 {
		return fmt.Errorf("%s is a SQLite database, but not the one that NNI made of NAS-Bench-101: it lacks one of the tables nb101trialconfig, nb101trialstats, nb101intermediatestats", w.path)
	}
	rows, err := db.QueryContext(ctx, nniTrials)
	if err != nil {
		return fmt.Errorf("%s is not the SQLite file that NNI made of NAS-Bench-101: %w", w.path, err)
	}
	defer rows.Close()
	var batch cellList
	var runs []cellRun
	flush := func() error {
		if wrong, err := batch.mismatch(); err != nil {
			for _, run := range runs {
				if run.cell == wrong {
					return &CorruptError{w.path, run.offset, err.Error()}
				}
			}
		}
		for i := range runs {
			if err := w.addRun(batch.stored[runs[i].cell], batch.packed[runs[i].cell], &runs[i]); err != nil {
				return err
			}
		}
		batch, runs = cellList{}, nil
		return w.check()
	}
	var last nniRow
	for half := true; rows.Next(); half = !half {
		var r nniRow
		if err := r.scan(rows); err != nil {
			return fmt.Errorf("%s: %w", w.path, err)
		}
		if half {
			last = r
			continue
		}
		run, err := last.run(r)
		if err == nil && (len(batch.stored) == 0 || last.hash != batch.stored[len(batch.stored)-1]) {
			if len(runs) >= 4096 {
				if err := flush(); err != nil {
					return err
				}
			}
			var spec cell.Spec
			if spec, err = parseArchitecture(last.architecture, last.vertices); err == nil {
				err = batch.add(spec, last.hash)
			}
		}
		if err != nil {
			return &CorruptError{w.path, last.trial, err.Error()}
		}
		run.cell = len(batch.stored) - 1
		runs = append(runs, run)
		last = nniRow{}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%s: %w", w.path, err)
	}
	if last.trial != 0 {
		return &CorruptError{w.path, last.trial, "it was evaluated once, want halfway and at its end"}
	}
	if err := flush(); err != nil {
		return err
	}
	return w.flush()
}

// nniRow is one evaluation of a trial.
type nniRow struct {
	hash             cell.Hash
	vertices, epochs int
	architecture     []byte
	trial            int64
	parameters       float64 // millions
	at               int     // epochs that have passed
	Evaluation
}

func (r *nniRow) scan(rows *sql.Rows) error {
	var hash string
	err := rows.Scan(&hash, &r.vertices, &r.epochs, &r.architecture, &r.trial, &r.parameters,
		&r.at, &r.Seconds, &r.TrainAccuracy, &r.ValidationAccuracy, &r.TestAccuracy)
	if err == nil {
		r.hash, err = cell.ParseHash(hash)
	}
	if err != nil {
		return fmt.Errorf("trial %d: %w", r.trial, err)
	}
	for _, x := range [...]*float64{&r.TrainAccuracy, &r.ValidationAccuracy, &r.TestAccuracy} {
		if !(*x >= 0 && *x <= 100) {
			return fmt.Errorf("trial %d: accuracy %v, want 0 to 100", r.trial, *x)
		}
		// As it was before NNI multiplied it by 100.
		*x /= 100
		if exact := unpackAccuracy(uint16(math.Round(*x * evaluationImages))); math.Abs(exact-*x) < 1e-12 {
			*x = exact
		}
	}
	if !(r.Seconds >= 0 && r.Seconds <= math.MaxFloat32 && r.parameters >= 0 && r.parameters < 1e3) {
		return fmt.Errorf("trial %d: %v s, %v million parameters", r.trial, r.Seconds, r.parameters)
	}
	return nil
}

// run makes a training run of the halfway evaluation r and the final one.
func (r nniRow) run(final nniRow) (cellRun, error) {
	if final.trial != r.trial || r.at != r.epochs/2 || final.at != r.epochs {
		return cellRun{}, fmt.Errorf("it was not evaluated after %d and %d epochs, once each", r.epochs/2, r.epochs)
	}
	return cellRun{
		Repeat: Repeat{r.Evaluation, final.Evaluation}, offset: r.trial,
		epochs: r.epochs, parameters: int(math.Round(r.parameters * 1e6)),
	}, nil
}

// parseArchitecture reads a cell as NNI writes it: {"op1": "conv3x3-bn-relu",
// "input1": [0], "input2": [0, 1]}, its vertices numbered from the input, 0.
func parseArchitecture(text []byte, vertices int) (cell.Spec, error) {
	if vertices < 2 || vertices > cell.MaxVertices {
		return cell.Spec{}, fmt.Errorf("a cell of %d vertices", vertices)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return cell.Spec{}, fmt.Errorf("architecture: %w", err)
	}
	if len(members) != 2*vertices-3 {
		return cell.Spec{}, fmt.Errorf("architecture of %d members, want %d for %d vertices", len(members), 2*vertices-3, vertices)
	}
	matrix := make([][]int, vertices)
	for v := range matrix {
		matrix[v] = make([]int, vertices)
	}
	names := make([]string, vertices)
	names[0], names[vertices-1] = "input", "output"
	for v := 1; v < vertices; v++ {
		if v < vertices-1 {
			if err := json.Unmarshal(members["op"+strconv.Itoa(v)], &names[v]); err != nil {
				return cell.Spec{}, fmt.Errorf("architecture: op%d: %w", v, err)
			}
		}
		var from []int
		if err := json.Unmarshal(members["input"+strconv.Itoa(v)], &from); err != nil {
			return cell.Spec{}, fmt.Errorf("architecture: input%d: %w", v, err)
		}
		for _, u := range from {
			if u < 0 || u >= v {
				return cell.Spec{}, fmt.Errorf("architecture: input%d names vertex %d", v, u)
			}
			matrix[u][v] = 1
		}
	}
	return cell.Parse(matrix, names)
}
