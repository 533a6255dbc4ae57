package command

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"
)

// program is the name of the running program. Texts in the source call it nb1shot;
// another module's program that calls Main has a name of its own.
var program = "nb1shot"

// nameProgram takes the name that the process was started by.
func nameProgram() { program = strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") }

// commandLine recognises a command line in a text.
var commandLine = regexp.MustCompile(`(^|[\s:])nb1shot ([a-z]|COMMAND)`)

// named makes the command lines that a text shows those of the running program.
func named(text string) string {
	return commandLine.ReplaceAllStringFunc(text, func(begin string) string {
		return strings.Replace(begin, "nb1shot", program, 1)
	})
}

func init() {
	print := cli.HelpPrinter
	cli.HelpPrinter = func(w io.Writer, template string, data any) {
		var help bytes.Buffer
		print(&help, template, data)
		io.WriteString(w, named(help.String())) // a stream remembers its error
	}
}
