package benchmark

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nb1shot/nb1shot/results"
)

// LogFile is the name of the log in a run directory: what became of the run and when, a
// line each. It is for people; nothing reads it, and it is no part of the record.
const LogFile = "log.txt"

// maxLog bounds the log, in bytes: a run that is taken up again and again stops logging.
const maxLog = 4 << 20

// journal writes the log of a run. The zero value writes none. A log that cannot be
// written is no reason for a run to fail.
type journal struct {
	mutex sync.Mutex // a step that was let go of may still write
	file  *os.File
	size  int64
}

func (j *journal) open(dir string) {
	f, err := os.OpenFile(filepath.Join(dir, LogFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		f.Close()
		return
	}
	j.file, j.size = f, info.Size()
}

// line adds a line with the time of day, in one write.
func (j *journal) line(format string, args ...any) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if j.file == nil || j.size > maxLog {
		return
	}
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ")
	n, _ := fmt.Fprintf(j.file, "%s %s\n", time.Now().UTC().Format(time.RFC3339), text)
	j.size += int64(n)
}

func (j *journal) close() {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if j.file != nil {
		j.file.Close()
		j.file = nil
	}
}

// epoch adds a line for a record.
func (j *journal) epoch(e results.Epoch) {
	text := fmt.Sprintf("epoch %d recorded", e.Epoch)
	if e.Final {
		text = "final record"
	}
	if e.Lookup.TestError != nil {
		text += fmt.Sprintf(", test error %.4f", *e.Lookup.TestError)
	}
	if p := results.ValidPerplexity(e); p != nil {
		text += fmt.Sprintf(", validation perplexity %.2f", *p)
	}
	if e.Hessian != nil {
		text += fmt.Sprintf(", λ %.4g", e.Hessian.Reported)
	}
	total := 0.0
	for _, s := range e.Seconds {
		total += s
	}
	j.line("%s, %.1f s", text, total)
}

// end adds how the run ended in this process.
func (j *journal) end(err error, ctx context.Context) {
	switch {
	case err == nil:
		j.line("finished")
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		j.line("interrupted")
	default:
		j.line("failed: %v", err)
	}
}
