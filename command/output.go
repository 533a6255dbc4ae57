package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/internal/watch"
)

func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print JSON", DisableDefaultText: true}
}

// writeJSON writes one line.
func writeJSON(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }

// grouped writes 1312200 as 1,312,200.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// percent writes a fraction of images.
func percent(x float64) string { return fmt.Sprintf("%.2f %%", 100*x) }

// withBar writes a test error and, if there is one, its error bar.
func withBar(x float64, bar *float64) string {
	if bar == nil {
		return percent(x)
	}
	return percent(x) + " ± " + percent(*bar)
}

// eigenvalue writes a λ.
func eigenvalue(x float64) string { return fmt.Sprintf("%.3g", x) }

// duration writes a time as people say it.
func duration(d time.Duration) string { return watch.Duration(d) }

// wrap breaks a text into lines of at most width characters.
func wrap(text string, width int) []string {
	var lines []string
	for word := range strings.FieldsSeq(text) {
		last := len(lines) - 1
		if last >= 0 && utf8.RuneCountInString(lines[last])+1+utf8.RuneCountInString(word) <= width {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}
