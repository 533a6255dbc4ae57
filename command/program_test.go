package command

import (
	"bytes"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// TestProgramOfOnesOwn holds all that a program under another name tells people to type.
func TestProgramOfOnesOwn(t *testing.T) {
	program = "own"
	t.Cleanup(func() { program = "nb1shot" })
	said := func(code int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if got := run(append([]string{"own"}, args...), &stdout, &stderr); got != code {
			t.Errorf("own %s: exit code %d, want %d: %s", strings.Join(args, " "), got, code, &stderr)
		}
		text := stdout.String() + stderr.String()
		if wrong := commandLine.FindString(text); wrong != "" {
			t.Errorf("own %s: says %q…, want own for nb1shot", strings.Join(args, " "), wrong)
		}
		return text
	}
	var help func(commands []*cli.Command, before []string)
	help = func(commands []*cli.Command, before []string) {
		for _, c := range commands {
			line := append(before[:len(before):len(before)], c.Name)
			said(0, append(line, "--help")...)
			help(c.Subcommands, line)
		}
	}
	help(newApp(nil, nil).Commands, nil)

	for _, test := range []struct {
		code int
		line string
		want string
	}{
		{0, "--help", "own COMMAND [options] [arguments]"},
		{0, "run --help", "own run --space 2 --algo sdarts-adv"},
		{0, "sweep --help", "own algos lists them"},
		{0, "man", "\n.SH NAME\nown \\- "},
		{0, "completion bash", "complete -F _own own\n"},
		{0, "completion fish", "complete -c own -f"},
		{0, "completion --help", "bash-completion/completions/own\n"},
		{2, "run", "own: option --space is missing\nhint: an example is: own run --space"},
		{2, "run --nonsense", "own run --help"},
	} {
		if text := said(test.code, strings.Fields(test.line)...); !strings.Contains(text, test.want) {
			t.Errorf("own %s: says\n%s\nwant %q in it", test.line, text, test.want)
		}
	}
}
