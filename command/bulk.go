package command

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/internal/pipeline"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/spaces/cell"
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
	oracle, err := openTableAt(c, c.Int("budget"))
	if err != nil {
		return err
	}
	defer oracle.Close()
	q := question{oracle, c.Int("budget"), c.Bool("halfway"), !c.Bool("mean")}
	// An interruption must not wait for the next line.
	ctx, cancel := context.WithCancel(c.Context)
	defer cancel()
	if f, ok := c.App.Reader.(*os.File); ok {
		fault.Start(func() {
			<-ctx.Done()
			f.SetReadDeadline(time.Now())
		})
	}
	failed, err := q.answerLines(ctx, c.App.Reader, c.App.Writer)
	if err == nil && failed > 0 && !c.Bool("keep-going") {
		err = hinted(fmt.Errorf("%d of the lines could not be answered", failed), "their answers have \"error\"; --keep-going makes it no failure")
	}
	return err
}

// lines are consecutive lines and then their answers.
type lines struct {
	asked    [][]byte
	answered []byte
	failed   int // how many could not be answered
}

// answerLines answers lines as they come: whoever writes one and waits gets the
// answer, and where many are there they are worked on together. It returns how many
// could not be answered.
func (q question) answerLines(ctx context.Context, in io.Reader, out io.Writer) (failed int, err error) {
	err = pipeline.Run(
		func(emit func(*lines) bool) error {
			r := bufio.NewReaderSize(foreign.Decode(in), longestLine)
			batch := new(lines)
			for {
				line, err := r.ReadSlice('\n')
				for err == bufio.ErrBufferFull { // the rest of a line that is too long
					line = nil
					_, err = r.ReadSlice('\n')
				}
				if line == nil || !blank(line) {
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
		func(b *lines) { b.answered, b.failed = q.answerAll(b.asked) },
		func(b *lines) error {
			if _, err := out.Write(b.answered); err != nil {
				return err
			}
			failed += b.failed
			return ctx.Err()
		})
	return failed, err
}

// blank tells whether a line has nothing but white space and the mark that some
// editors put at the beginning of a file.
func blank(line []byte) bool { return len(trimmed(line)) == 0 }

func trimmed(line []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(line, []byte("\ufeff")))
}

// asked is a line of the standard input.
type asked struct {
	spec *cell.Spec // nil where it is a hash
	hash cell.Hash
	code string // of err
	err  error  // why there is no hash
}

// answerAll returns a JSON object and a newline for each line, and how many of them
// are errors.
func (q question) answerAll(texts [][]byte) (answers []byte, failed int) {
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
	for i := range all {
		answer := q.answer(&all[i])
		if _, ok := answer.(unknownLine); ok {
			failed++
		}
		text, err := json.Marshal(answer)
		if err != nil {
			panic(err) // cannot be: numbers in a table are finite
		}
		answers = append(append(answers, text...), '\n')
	}
	return answers, failed
}

func (q question) answer(a *asked) any {
	if a.err != nil {
		return unknownLine{message(a.err), a.code}
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
	return unknownLine{message(err), code}
}

// parseLine reads a hash, bare or in quotes, or a cell as in a file.
func parseLine(line []byte) asked {
	if line == nil {
		return asked{code: codeLine, err: errors.New("the line is too long")}
	}
	line = trimmed(line)
	if !bytes.ContainsAny(line, "{[(=") {
		a := asked{code: codeLine}
		a.err = a.hash.UnmarshalText(bytes.Trim(line, `"'`))
		return a
	}
	spec, err := cell.Read(line)
	a := asked{spec: &spec, code: codeCell, err: err}
	if errors.As(err, new(*cell.SyntaxError)) {
		a.code = codeLine
	}
	return a
}
