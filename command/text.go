package command

import (
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/data/text"
)

func dataTextCommand() *cli.Command {
	return &cli.Command{
		Name:      "text",
		Usage:     "write a generated text in the place of Penn Treebank",
		ArgsUsage: "DIR",
		Description: `Writes train.txt, valid.txt and test.txt into the folder DIR: sentences of a small
grammar, in which distant words agree. They are a stand-in that exercises language
models; perplexities on them say nothing about Penn Treebank. Penn Treebank itself
cannot be downloaded here: put its three files into a folder, and describe it with
data info.

Examples:
  nb1shot data text words
  nb1shot data info words`,
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "words", Value: 929_589, Usage: "write at least `N` words of training text, and a tenth of that each to validate and to test; by default as many as Penn Treebank has"},
			&cli.Uint64Flag{Name: "seed", Usage: "generate from `SEED`"},
			forceFlag(),
		},
		Action: interruptible(writeText),
	}
}

// writeText writes the generated text.
func writeText(c *cli.Context) error {
	dir, err := oneArgument(c, "DIR")
	if err != nil {
		return err
	}
	n := c.Int("words")
	if n < 1 || n > text.MaxGenerated {
		return misuse(fmt.Errorf("--words %d, want 1 to %s", n, grouped(text.MaxGenerated)), "Penn Treebank has 929589")
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	names := [3]string{"train.txt", "valid.txt", "test.txt"}
	for i := range names {
		names[i] = filepath.Join(dir, names[i])
	}
	if err := reserve(c, names[:]...); err != nil {
		return err
	}
	train, valid, test := text.Generate(n, c.Uint64("seed"))
	for i, content := range [][]byte{train, valid, test} {
		if err := c.Context.Err(); err != nil {
			return err
		}
		if err := save(c, names[i], content); err != nil {
			return err
		}
		fmt.Fprintln(c.App.Writer, names[i])
	}
	return nil
}

// describeText says what data info says of a text.
func describeText(c *cli.Context, path string) error {
	corpus, err := openText(c.Context, path, 0)
	if err != nil {
		return err
	}
	kind := "Penn Treebank by its numbers of words; no checksum is known"
	switch corpus.Source.Kind {
	case text.KindPTB:
	case text.KindGenerated:
		kind = standInText
	default:
		kind = "not Penn Treebank, which has 10,000 different words, 929,589 to train, 73,760 to validate and 82,430 to test"
	}
	t := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "kind\ttext %s: %s\n", corpus.Source.Detail, kind)
	fmt.Fprintf(t, "words\t%s different ones, ends of lines among them\n", grouped(len(corpus.Words)))
	for _, part := range []struct {
		name  string
		words []int32
	}{{"training", corpus.Train}, {"validation", corpus.Valid}, {"test", corpus.Test}} {
		fmt.Fprintf(t, "%s\t%s words; perplexity %.4g by how often each occurs in training\n", part.name, grouped(len(part.words)), corpus.Unigram(part.words))
	}
	fmt.Fprintf(t, "SHA-256\t%s\n", corpus.Source.Digest)
	return t.Flush()
}
