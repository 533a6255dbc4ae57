package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/internal/pipeline"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/nasbench/cell"
)

const (
	linesAtOnce = 256
	// longestLine bounds a line of the standard input. A cell has less than 1 KiB.
	longestLine = 64 << 10
)

// knownLine is the answer to a line of the standard input.
type knownLine struct {
	known
	Kind string `json:"kind"` // of the table
}

// unknownLine is the answer where there is none.
type unknownLine struct {
	Error string `json:"error"`
	Code  string `json:"code"` // one of those below
}

// What can be wrong with a line.
const (
	codeLine   = "line"   // neither a hash nor a cell
	codeCell   = "cell"   // not a cell of NAS-Bench-101
	codeHash   = "hash"   // not in the table
	codeBudget = "budget" // not in the table
	codeTable  = "table"  // the table failed
)

// queryLines answers every line of the standard input, in order.
func queryLines(c *cli.Context) error {
	if c.Args().Present() || c.IsSet("matrix") || c.IsSet("ops") || c.IsSet("file") {
		return misuse(errors.New("--stdin takes the cells from the standard input alone"), "see %s --help", c.Command.HelpName)
	}
	oracle, err := openTable(c.String("table"))
	if err != nil {
		return err
	}
	defer oracle.Close()
	q := question{oracle, c.Int("epochs"), c.Bool("halfway"), !c.Bool("mean")}
	// An interruption must not wait for the next line.
	if f, ok := c.App.Reader.(*os.File); ok {
		defer context.AfterFunc(c.Context, func() { f.SetReadDeadline(time.Now()) })()
	}
	return q.answerLines(c.Context, c.App.Reader, c.App.Writer)
}

// lines are consecutive lines and then their answers.
type lines struct {
	asked    [][]byte
	answered []byte
}

// answerLines answers lines as they come: whoever writes one and waits gets the
// answer, and where many are there they are worked on together.
func (q question) answerLines(ctx context.Context, in io.Reader, out io.Writer) error {
	return pipeline.Run(
		func(emit func(*lines) bool) error {
			r := bufio.NewReaderSize(in, longestLine)
			batch := new(lines)
			for {
				line, err := r.ReadSlice('\n')
				for err == bufio.ErrBufferFull { // the rest of a line that is too long
					line = nil
					_, err = r.ReadSlice('\n')
				}
				if err == nil || len(line) > 0 {
					batch.asked = append(batch.asked, bytes.Clone(line))
				}
				if full := len(batch.asked) == linesAtOnce; len(batch.asked) > 0 && (full || err != nil || r.Buffered() == 0) {
					if !emit(batch) {
						return nil
					}
					batch = new(lines)
				}
				switch {
				case err == io.EOF:
					return nil
				case ctx.Err() != nil:
					return ctx.Err()
				case err != nil:
					return err
				}
			}
		},
		func(b *lines) { b.answered = q.answerAll(b.asked) },
		func(b *lines) error {
			if _, err := out.Write(b.answered); err != nil {
				return err
			}
			return ctx.Err()
		})
}

// asked is a line of the standard input.
type asked struct {
	spec *cell.Spec // nil where it is a hash
	hash cell.Hash
	code string // of err
	err  error  // why there is no hash
}

// answerAll returns a JSON object and a newline for each line.
func (q question) answerAll(texts [][]byte) []byte {
	all := make([]asked, len(texts))
	var pruned []cell.Spec
	var which []*asked // has each of pruned
	for i, text := range texts {
		a := &all[i]
		if *a = parseLine(text); a.err != nil || a.spec == nil {
			continue
		}
		if a.err = a.spec.Check(); a.err != nil {
			a.code = codeCell
			continue
		}
		p, _ := a.spec.Prune() // Check has pruned it before
		pruned = append(pruned, p)
		which = append(which, a)
	}
	for i, h := range cell.Hashes(pruned) {
		which[i].hash = h
	}
	var answers []byte
	for i := range all {
		text, err := json.Marshal(q.answer(&all[i]))
		if err != nil {
			panic(err) // cannot be: numbers in a table are finite
		}
		answers = append(append(answers, text...), '\n')
	}
	return answers
}

func (q question) answer(a *asked) any {
	if a.err != nil {
		return unknownLine{a.err.Error(), a.code}
	}
	k, err := q.ask(a.spec, a.hash)
	if err == nil {
		return &knownLine{k, q.oracle.Source().Kind}
	}
	code := codeTable
	switch {
	case errors.Is(err, nasbench.ErrUnknownHash):
		code = codeHash
	case errors.Is(err, nasbench.ErrUnknownBudget):
		code = codeBudget
	case errors.Is(err, errNeedsCell):
		code = codeCell
	}
	return unknownLine{err.Error(), code}
}

// parseLine reads a hash, bare or in quotes, or a cell as in a file.
func parseLine(line []byte) asked {
	if line == nil {
		return asked{code: codeLine, err: errors.New("the line is too long")}
	}
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] != '{' {
		text := line
		if n := len(line) - 1; n > 0 && line[0] == '"' && line[n] == '"' {
			text = line[1:n]
		}
		a := asked{code: codeLine}
		a.err = a.hash.UnmarshalText(text)
		return a
	}
	a := asked{spec: new(cell.Spec), code: codeCell}
	if a.err = a.spec.UnmarshalJSON(line); a.err != nil && !json.Valid(line) {
		a.code = codeLine
	}
	return a
}
