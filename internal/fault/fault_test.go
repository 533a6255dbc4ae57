package fault_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/internal/fault"
)

func library(value any) { panic(value) }

func call(value any) (err error) {
	defer fault.Catch(&err)
	if value != nil {
		library(value)
	}
	return nil
}

func TestCatch(t *testing.T) {
	if err := call(nil); err != nil {
		t.Error(err)
	}
	err := call("no such font")
	var f *fault.Error
	if !errors.As(err, &f) || err.Error() != "a fault of the program: no such font" {
		t.Fatalf("error %v", err)
	}
	if len(f.Stack) < 2 || !strings.Contains(f.Stack[0], "fault_test.library") || !strings.Contains(f.Stack[0], "fault_test.go:") || !strings.Contains(f.Stack[1], "fault_test.call") {
		t.Errorf("stack %q", f.Stack)
	}
	if err := call(fs.ErrExist); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v hides its reason", err)
	}
	if again := call(f); again != error(f) {
		t.Errorf("error %v, want the first", again)
	}
	var none []int
	if err := func() (err error) { defer fault.Catch(&err); none[3] = 1; return nil }(); err == nil || !strings.Contains(err.Error(), "index out of range") {
		t.Errorf("error %v", err)
	}
}
